"""An index by which the deleted records of a type are listed in the order of their deletion."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0036_unmatched_items_counted")]

    operations = [
        migrations.AddIndex(
            model_name="feedevent",
            index=models.Index(
                fields=["entity_type", "at", "id"],
                condition=models.Q(("type", "record.deleted")),
                name="sync_events_deleted",
            ),
        )
    ]
