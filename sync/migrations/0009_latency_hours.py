"""Latencies hour by hour."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sync", "0008_queue_permissions")]

    operations = [
        migrations.CreateModel(
            name="LatencyHour",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("hour", models.DateTimeField()),
                ("entity_type", models.CharField(max_length=50)),
                ("direction", models.CharField(max_length=20)),
                ("bucket", models.SmallIntegerField()),
                ("changes", models.IntegerField()),
            ],
            options={
                "db_table": "sync_latency_hours",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "entity_type", "direction", "bucket"), name="sync_latency_hours_one_a_step"
                    )
                ],
            },
        )
    ]
