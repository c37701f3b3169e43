"""A permission for each act on the queue, in place of the one to change its rows."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("sync", "0007_queue_finished")]

    operations = [
        migrations.AlterModelOptions(
            name="syncqueue",
            options={
                "permissions": (
                    ("retry_syncqueue", "Can try queue rows again"),
                    ("cancel_syncqueue", "Can cancel waiting queue rows"),
                    ("discard_syncqueue", "Can discard dead letters"),
                    ("pause_syncqueue", "Can pause and resume the sync"),
                ),
                "verbose_name": "queue row",
                "verbose_name_plural": "queue rows",
            },
        )
    ]
