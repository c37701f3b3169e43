"""Indexes of what was removed on Monday, for the inbox, and of a board's last webhook, for Health."""

from django.db import migrations, models


class Migration(migrations.Migration):
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
    ]
