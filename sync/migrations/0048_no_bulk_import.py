"""Monday's bulk import goes: its jobs, what referred to them, and the reason of what waited for it."""

from django.db import migrations, models

EXPLAINED = ["queued", "paused", "unconfirmed", "being_edited", "ambiguous", "left_out"]
INDEXES = {
    "sync_unmatched_items_causes": ["entity_type", "reason_code", "first_seen", "id"],
    "sync_unmatched_items_counted": ["reason_code"],
}
CONDITION = models.Q(("ignored_at", None), models.Q(("reason_code__in", EXPLAINED), _negated=True))
WAITED = "UPDATE sync_unmatched_items SET reason_code = 'queued' WHERE reason_code = 'waits_for_import'"


class Migration(migrations.Migration):
    dependencies = [("sync", "0047_claimed_in_parts")]

    operations = [
        migrations.RunSQL(WAITED, migrations.RunSQL.noop),
        migrations.RemoveField(model_name="intent", name="backfill"),
        migrations.DeleteModel(name="Backfill"),
        migrations.RemoveField(model_name="syncqueue", name="deferred_until"),
        migrations.AlterField(
            model_name="syncqueue",
            name="priority",
            field=models.SmallIntegerField(
                choices=[
                    (10, "A person's click"),
                    (20, "A new edit"),
                    (30, "A check for missed changes"),
                    (40, "A load of many records"),
                ],
                db_default=20,
            ),
        ),
        *(migrations.RemoveIndex(model_name="unmatcheditem", name=name) for name in INDEXES),
        *(
            migrations.AddIndex(
                model_name="unmatcheditem", index=models.Index(fields=fields, condition=CONDITION, name=name)
            )
            for name, fields in INDEXES.items()
        ),
    ]
