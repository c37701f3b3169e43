"""Exports that a worker writes; failures and API calls by the hour, the calls of the last days among them."""

import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0023_notifications"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="Export",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=100)),
                ("query", models.TextField(blank=True, db_default="")),
                ("file_format", models.CharField(choices=[("csv", "CSV"), ("xlsx", "Excel (XLSX)")], max_length=10)),
                ("file_name", models.CharField(max_length=100)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waits for a worker"),
                            ("writing", "Being written"),
                            ("done", "Ready"),
                            ("failed", "Failed"),
                        ],
                        db_default="waiting",
                        max_length=20,
                    ),
                ),
                ("attempts", models.SmallIntegerField(db_default=0, verbose_name="how often writing it was begun")),
                ("total", models.IntegerField(db_default=0, verbose_name="rows when it was asked for")),
                ("rows", models.IntegerField(db_default=0, verbose_name="rows written")),
                ("size", models.BigIntegerField(db_default=0, verbose_name="bytes")),
                ("problem", models.TextField(blank=True, db_default="")),
                ("made_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("moved_at", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="when it last got on")),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={"db_table": "sync_exports", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="ExportPart",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("content", models.BinaryField()),
                (
                    "export",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="parts", to="sync.export"
                    ),
                ),
            ],
            options={"db_table": "sync_export_parts", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="HourCount",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("hour", models.DateTimeField()),
                ("name", models.CharField(max_length=80)),
                ("entity_type", models.CharField(blank=True, db_default="", max_length=50)),
                ("value", models.FloatField()),
            ],
            options={
                "db_table": "sync_hour_counts",
                "constraints": [
                    models.UniqueConstraint(fields=("hour", "name", "entity_type"), name="sync_hour_counts_one_an_hour")
                ],
            },
        ),
        migrations.AddIndex(
            model_name="export", index=models.Index(fields=["owner", "-made_at"], name="sync_exports_by_owner")
        ),
        migrations.AddConstraint(
            model_name="exportpart",
            constraint=models.UniqueConstraint(fields=("export", "number"), name="sync_export_parts_one_a_number"),
        ),
        migrations.RunSQL(
            """INSERT INTO sync_hour_counts (hour, name, entity_type, value)
            SELECT date_trunc('hour', slot, 'UTC'), 'quota_calls', '', sum(calls)::float8
            FROM sync_api_usage WHERE calls > 0 GROUP BY 1""",
            migrations.RunSQL.noop,
        ),
    ]
