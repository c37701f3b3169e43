"""What logic asked of stored sentences until now, as codes beside them: filled from these sentences, once."""

import django.contrib.postgres.fields
from django.db import migrations, models

# The sentences of sync/kernel/messages.py on the day of this migration; the first that fits names the code.
TOMBSTONE_NOTES = (
    ("%had no item on Monday.", "no_item"),
    ("%bears the NPD ID of %", "other_npd_id"),
    ("%Its item belongs to %", "other_owner"),
    ("%Its sync was off%", "sync_off"),
    ("%Its direction let nothing be sent%", "one_way"),
    ("%was moved to another board%", "moved"),
    ("%Monday doesn't show its item any more; nothing%", "not_shown"),
    ("%on Monday already.", "removed_before"),
    ("%Nothing is left to do.", "removed_meanwhile"),
    ("%was archived on Monday. People can restore it%", "archived"),
    ("%was deleted on Monday. People can restore it%", "deleted"),
    ("%was let go: it makes no new record.", "unlinked"),
    ("%A person rejected that its item leaves the board%", "removal_rejected"),
    ("%its item waits for approval%", "pending_approval"),
    ("%Should the record come back too?", "question_restored"),
    ("%was edited on Monday since both sides agreed.", "question_edited"),
    ("%What should become of its item%", "question"),
)

_WHEN = " ".join(f"WHEN note LIKE $${note}$$ THEN '{code}'" for note, code in TOMBSTONE_NOTES)
FILL_TOMBSTONES = f"UPDATE sync_tombstones SET reason_code = CASE {_WHEN} ELSE '' END WHERE note <> ''"  # noqa: S608


class Migration(migrations.Migration):
    dependencies = [("sync", "0013_lease_session")]

    operations = [
        migrations.AddField(
            model_name="syncmetadata",
            name="asked_items",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=50), blank=True, db_default=[], default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="tombstone", name="reason_code", field=models.CharField(blank=True, db_default="", max_length=30)
        ),
        migrations.RunSQL(FILL_TOMBSTONES, migrations.RunSQL.noop, elidable=True),
    ]
