"""A narrow index by which the sidebar's number counts open conflicts."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0009_conflict_events")]

    operations = [
        migrations.AddIndex(
            model_name="syncconflict",
            index=models.Index(
                fields=["kind"],
                condition=models.Q(
                    ("resolved_at", None), models.Q(("choice__isnull", True), ("choice__fields", {}), _connector="OR")
                ),
                name="sync_conflicts_counted",
            ),
        )
    ]
