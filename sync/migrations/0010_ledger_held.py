"""The index behind "which records have held fields"; made beside running workers, who write to the ledger all day."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("sync", "0009_latency_hours")]

    operations = [
        # One that was interrupted leaves an invalid index of the same name behind.
        migrations.RunSQL(
            "DROP INDEX CONCURRENTLY IF EXISTS sync_metadata_held", migrations.RunSQL.noop, elidable=True
        ),
        AddIndexConcurrently(
            model_name="syncmetadata",
            index=models.Index(
                condition=models.Q(("held", models.Value({}, models.JSONField())), _negated=True),
                fields=["entity_type", "entity_id"],
                name="sync_metadata_held",
            ),
        ),
    ]
