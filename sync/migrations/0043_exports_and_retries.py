"""To have a list as a file is a right of its own; and an index by which the inbox finds the jobs that are retried."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0042_webhooks_scope")]

    operations = [
        migrations.AlterModelOptions(
            name="export", options={"default_permissions": (), "permissions": (("export_lists", "Can export lists"),)}
        ),
        migrations.AddIndex(
            model_name="syncqueue",
            index=models.Index(
                fields=["id"],
                condition=models.Q(("payload__has_key", "retried"), ("status__in", ["pending", "in_progress"])),
                name="sync_queue_retried",
            ),
        ),
    ]
