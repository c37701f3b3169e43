"""One outcome for each conflict of a batch, of its undo too; a code says which undone field joined another conflict."""

from typing import Any

from django.db import migrations, models
from django.db.models import Case, F, Value, When

JOINED_ANOTHER = "It is in conflict again, together with other fields of the record."
"""As it was stored until now, and looked for."""

STILL_STORED = "stored"
OF_UNDO = {"wanted": "undo_wanted", "asked": "undo_requested", "done": "undone", "refused": "not_undone"}
RESUMED = {"changed": "handed_back", "refused": "handed_back"}


def merge_outcomes(apps: Any, schema_editor: Any) -> None:
    """Carry each row's two states over into one, with the sentence that was shown of it."""
    entries = apps.get_model("conflicts", "BatchEntry").objects
    entries.filter(outcome__in=RESUMED).update(outcome="handed_back")
    for undo, outcome in OF_UNDO.items():
        entries.filter(undo=undo).update(
            outcome=outcome, reason=Case(When(undo_reason="", then=F("reason")), default=F("undo_reason"))
        )


def split_outcomes(apps: Any, schema_editor: Any) -> None:
    """Go back to two states. Whether a row had changed or was refused is not known any more."""
    entries = apps.get_model("conflicts", "BatchEntry").objects
    entries.filter(outcome="handed_back").update(outcome="changed")
    for undo, outcome in OF_UNDO.items():
        entries.filter(outcome=outcome).update(
            outcome=STILL_STORED, undo=undo, undo_reason=F("reason"), reason=Value("")
        )


def name_joined(apps: Any, schema_editor: Any) -> None:
    """Give the fields that the sentence names its code, too."""
    conflicts = apps.get_model("conflicts", "SyncConflict").objects
    rows = conflicts.extra(where=["merge_selections::text LIKE %s"], params=[f"%{JOINED_ANOTHER}%"])
    for conflict in rows.iterator(chunk_size=500):
        for entry in conflict.merge_selections.values():
            if entry.get("undo") == JOINED_ANOTHER:
                entry["undo_code"] = "joined_another"
        conflict.save(update_fields=["merge_selections"])


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0005_asked_items")]

    operations = [
        migrations.RunPython(merge_outcomes, split_outcomes),
        migrations.RunPython(name_joined, migrations.RunPython.noop),
        migrations.RemoveField(model_name="batchentry", name="undo"),
        migrations.RemoveField(model_name="batchentry", name="undo_reason"),
        migrations.AlterField(
            model_name="batchentry",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("ready", "Waits"),
                    ("stored", "Stored"),
                    ("handed_back", "Came back"),
                    ("left_out", "Left out"),
                    ("undo_wanted", "To be undone"),
                    ("undo_requested", "Being undone"),
                    ("undone", "Undone"),
                    ("not_undone", "Not undone"),
                ],
                max_length=20,
            ),
        ),
    ]
