"""Labels in the words of config/glossary.py; no table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0017_ledger_checks")]

    operations = [
        migrations.AlterModelOptions(
            name="decision",
            options={"ordering": ["-at", "-id"], "verbose_name": "activity", "verbose_name_plural": "activity"},
        ),
        migrations.AlterModelOptions(
            name="guardedact", options={"verbose_name": "approval request", "verbose_name_plural": "approval requests"}
        ),
        migrations.AlterModelOptions(
            name="intent", options={"verbose_name": "API write", "verbose_name_plural": "API writes"}
        ),
        migrations.AlterModelOptions(
            name="refuseditem", options={"verbose_name": "ignored item", "verbose_name_plural": "ignored items"}
        ),
        migrations.AlterModelOptions(
            name="syncaudit", options={"verbose_name": "verification", "verbose_name_plural": "verifications"}
        ),
        migrations.AlterModelOptions(
            name="syncmetadata", options={"verbose_name": "sync state", "verbose_name_plural": "sync states"}
        ),
        migrations.AlterModelOptions(
            name="syncqueue",
            options={
                "permissions": (
                    ("retry_syncqueue", "Can retry jobs"),
                    ("cancel_syncqueue", "Can cancel pending jobs"),
                    ("discard_syncqueue", "Can discard failed jobs"),
                    ("pause_syncqueue", "Can pause and resume the sync"),
                ),
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.AlterModelOptions(
            name="tombstone", options={"verbose_name": "deleted record", "verbose_name_plural": "deleted records"}
        ),
        migrations.AlterField(
            model_name="backfill",
            name="tries",
            field=models.SmallIntegerField(db_default=0, verbose_name="files rejected"),
        ),
        migrations.AlterField(
            model_name="boardlink",
            name="item_gone",
            field=models.CharField(
                choices=[
                    ("ask", "Ask"),
                    ("unlink", "Unlink the record"),
                    ("delete", "Delete the record"),
                    ("create", "Create the item again"),
                ],
                db_default="ask",
                max_length=20,
                verbose_name="when an item is deleted on Monday",
            ),
        ),
        migrations.AlterField(
            model_name="boardlink",
            name="read_points",
            field=models.FloatField(blank=True, null=True, verbose_name="complexity points of a pass's read"),
        ),
        migrations.AlterField(
            model_name="boardlink",
            name="record_gone",
            field=models.CharField(
                choices=[
                    ("archive", "Archive the item"),
                    ("delete", "Delete the item"),
                    ("unlink", "Unlink the item"),
                    ("ask", "Ask"),
                ],
                db_default="archive",
                max_length=20,
                verbose_name="when a record is deleted in NPD",
            ),
        ),
        migrations.AlterField(
            model_name="decision",
            name="undoes",
            field=models.BigIntegerField(blank=True, null=True, verbose_name="the entry that this one undoes"),
        ),
        migrations.AlterField(
            model_name="fieldloop",
            name="damped",
            field=models.SmallIntegerField(db_default=0, verbose_name="how often it was throttled in succession"),
        ),
        migrations.AlterField(
            model_name="fieldmapping",
            name="first_match",
            field=models.CharField(
                choices=[
                    ("ask", "Ask"),
                    ("npd_wins", "NPD wins"),
                    ("monday_wins", "Monday wins"),
                    ("newest", "The newer edit wins"),
                    ("union", "Merge lists"),
                ],
                db_default="ask",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="fieldmapping",
            name="rule",
            field=models.CharField(
                choices=[
                    ("ask", "Ask"),
                    ("npd_wins", "NPD wins"),
                    ("monday_wins", "Monday wins"),
                    ("newest", "The newer edit wins"),
                    ("union", "Merge lists"),
                ],
                db_default="ask",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="guardedact",
            name="state",
            field=models.CharField(
                choices=[
                    ("held", "Waits for approval"),
                    ("approved", "Approved, on its way"),
                    ("rejected", "Rejected, on its way back"),
                    ("released", "Released: its cause has ended"),
                    ("done", "Done"),
                    ("kept", "Rejected and kept"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="intent",
            name="state",
            field=models.CharField(
                choices=[
                    ("open", "Outcome not known yet"),
                    ("applied", "Answered: it took effect"),
                    ("landed", "Found on Monday afterwards"),
                    ("refused", "Monday rejected it"),
                    ("void", "It did not take effect"),
                ],
                db_default="open",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="mondayaccount",
            name="tags",
            field=models.JSONField(
                blank=True,
                db_default=models.Value({}, models.JSONField()),
                verbose_name="tags by id, as far as passes have met them",
            ),
        ),
        migrations.AlterField(
            model_name="refuseditem",
            name="entity_id",
            field=models.UUIDField(
                blank=True, null=True, verbose_name="the record that it was unlinked from, or is not the same as"
            ),
        ),
        migrations.AlterField(
            model_name="setupdraft",
            name="first_match",
            field=models.CharField(
                choices=[
                    ("ask", "Ask"),
                    ("npd_wins", "NPD wins"),
                    ("monday_wins", "Monday wins"),
                    ("newest", "The newer edit wins"),
                    ("union", "Merge lists"),
                ],
                db_default="ask",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="syncmetadata",
            name="gone_looks",
            field=models.SmallIntegerField(db_default=0, verbose_name="passes in succession that found it so"),
        ),
        migrations.AlterField(
            model_name="syncmetadata",
            name="gone_since",
            field=models.DateTimeField(
                blank=True, null=True, verbose_name="since when its item is known to be deleted"
            ),
        ),
        migrations.AlterField(
            model_name="syncqueue",
            name="counted",
            field=models.BooleanField(db_default=False, verbose_name="the present attempt counts"),
        ),
        migrations.AlterField(
            model_name="syncqueue",
            name="priority",
            field=models.SmallIntegerField(
                choices=[
                    (10, "A person's click"),
                    (20, "A new edit"),
                    (30, "A check for missed changes"),
                    (40, "Backfill"),
                ],
                db_default=20,
            ),
        ),
        migrations.AlterField(
            model_name="syncqueue",
            name="status",
            field=models.CharField(
                choices=[
                    ("pending", "Pending"),
                    ("in_progress", "In progress"),
                    ("completed", "Completed"),
                    ("failed", "Failed"),
                ],
                db_default="pending",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="tombstone",
            name="state",
            field=models.CharField(
                choices=[
                    ("waiting", "Its item is checked next"),
                    ("asked", "A person decides"),
                    ("held", "Waits for approval"),
                    ("archived", "Its item was archived"),
                    ("deleted", "Its item was deleted"),
                    ("unlinked", "Its item was unlinked"),
                    ("kept", "Its item stays as it is"),
                    ("gone", "Nothing was left to do"),
                    ("restored", "The record was restored"),
                ],
                db_default="waiting",
                max_length=20,
            ),
        ),
    ]
