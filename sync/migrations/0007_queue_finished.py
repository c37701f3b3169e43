"""The index behind the queue screen's throughput; made beside running workers, who write to the table all day."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0006_queue_steering")]

    operations = [
        # One that was interrupted leaves an invalid index of the same name behind.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS sync_queue_finished", migrations.RunSQL.noop, elidable=True
        ),
        AddIndexConcurrently(
            model_name="syncqueue",
            index=models.Index(
                fields=["finished_at", "entity_type"],
                condition=models.Q(("status", "completed")),
                name="sync_queue_finished",
            ),
        ),
    ]
