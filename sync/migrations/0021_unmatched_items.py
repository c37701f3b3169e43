"""The list of unmatched items; what it begins with are those whose pass is pending."""

from django.db import migrations, models

import sync.clock

FIRST_ITEMS = """
    INSERT INTO sync_unmatched_items (entity_type, item_id)
    SELECT DISTINCT entity_type, remote_id FROM sync_queue
    WHERE status = 'pending' AND entity_id IS NULL AND remote_id IS NOT NULL
    ON CONFLICT DO NOTHING
"""


class Migration(migrations.Migration):
    dependencies = [("sync", "0020_assignments")]

    operations = [
        migrations.CreateModel(
            name="UnmatchedItem",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("board_id", models.CharField(blank=True, db_default="", max_length=50)),
                ("item_id", models.CharField(max_length=50, verbose_name="Monday item")),
                ("name", models.TextField(blank=True, db_default="")),
                ("reason_code", models.CharField(db_default="queued", max_length=30, verbose_name="why")),
                ("details", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("values", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("first_seen", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="since")),
                (
                    "last_seen",
                    models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="last seen on the board"),
                ),
                ("ignored_at", models.DateTimeField(blank=True, null=True, verbose_name="ignored")),
                ("ignored_by", models.CharField(blank=True, db_default="", max_length=150)),
            ],
            options={
                "verbose_name": "unmatched item",
                "verbose_name_plural": "unmatched items",
                "db_table": "sync_unmatched_items",
                "indexes": [
                    models.Index(
                        condition=models.Q(("ignored_at", None)),
                        fields=["-first_seen", "-id"],
                        include=("reason_code", "entity_type"),
                        name="sync_unmatched_items_listed",
                    ),
                    models.Index(
                        condition=models.Q(("ignored_at__isnull", False)),
                        fields=["ignored_at"],
                        name="sync_unmatched_items_ignored",
                    ),
                    models.Index(fields=["entity_type", "last_seen"], name="sync_unmatched_items_seen"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("item_id", "entity_type"), name="sync_unmatched_items_once")
                ],
            },
        ),
        migrations.RunSQL(FIRST_ITEMS, migrations.RunSQL.noop, elidable=True),
    ]
