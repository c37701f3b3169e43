"""Indexes of the inbox and of Health; what is folded names its act; the country of phone numbers is a choice;
exports are no rows any more."""

from django.db import migrations, models

NAME = """
    UPDATE sync_decisions d SET fold_id = md5(concat_ws(':', d.batch_id, d.entity_type, d.kind, d.key))::uuid
    WHERE (d.batch_id, d.entity_type, d.kind, d.key) IN (
        SELECT batch_id, entity_type, kind, key FROM sync_decisions WHERE folded
    )
"""


class Migration(migrations.Migration):
    replaces = [("sync", name) for name in ("0004_indexes_of_the_inbox", "0005_folded_by_act", "0005_phone_region")]

    dependencies = [("sync", "0003_todays_words")]

    operations = [
        migrations.AddIndex(
            "syncmetadata",
            models.Index(
                fields=["entity_type", "removed_since"],
                condition=models.Q(removed_since__isnull=False),
                name="sync_metadata_removed",
            ),
        ),
        migrations.AddIndex(
            "webhookevent", models.Index(fields=["board_id", "-received_at"], name="sync_webhook_events_board")
        ),
        migrations.AddField("decision", "fold_id", models.UUIDField(blank=True, null=True, verbose_name="act")),
        migrations.AlterField(
            "decision",
            "folded",
            models.BooleanField(db_default=False, default=False, verbose_name="listed within another entry of its act"),
        ),
        migrations.RunSQL(NAME, migrations.RunSQL.noop),
        migrations.AddIndex(
            "decision",
            models.Index(fields=["fold_id"], condition=models.Q(fold_id__isnull=False), name="sync_decisions_of_act"),
        ),
        migrations.AddField(
            "mondayaccount",
            "phone_region",
            models.CharField(
                blank=True, db_default="", max_length=2, verbose_name="country of phone numbers without one"
            ),
        ),
        migrations.DeleteModel("ExportPart"),
        migrations.DeleteModel("Export"),
        # What stays is a right, and no table.
        migrations.CreateModel(
            "Export",
            [("id", models.BigAutoField(primary_key=True, serialize=False))],
            options={
                "managed": False,
                "default_permissions": (),
                "permissions": (("export_lists", "Can export lists"),),
            },
        ),
    ]
