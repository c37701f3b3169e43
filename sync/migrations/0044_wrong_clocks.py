"""Processes whose clock differs from the database's say so in a table that /readyz and Health read."""

from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0043_exports_and_retries")]

    operations = [
        migrations.CreateModel(
            name="WrongClock",
            fields=[
                ("process", models.CharField(max_length=200, primary_key=True, serialize=False)),
                (
                    "seconds",
                    models.FloatField(verbose_name="seconds ahead of the database's clock; negative behind it"),
                ),
                ("measured_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
            ],
            options={"db_table": "sync_wrong_clocks", "default_permissions": ()},
        )
    ]
