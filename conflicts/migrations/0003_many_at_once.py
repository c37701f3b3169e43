"""Many conflicts settled at once, each with what was shown of it and what became of it; indexes of the list."""

import django.contrib.postgres.functions
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0002_ways_out_and_undo"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="BatchEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("seen", models.JSONField()),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("ready", "Waits"),
                            ("stored", "Stored"),
                            ("changed", "Changed since"),
                            ("refused", "Refused"),
                            ("left_out", "Left out"),
                        ],
                        max_length=20,
                    ),
                ),
                ("reason", models.TextField(blank=True, db_default="")),
                ("chosen_at", models.CharField(blank=True, db_default="", max_length=40)),
                (
                    "undo",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("wanted", "To be undone"),
                            ("asked", "Being undone"),
                            ("done", "Undone"),
                            ("refused", "Not undone"),
                        ],
                        db_default="",
                        max_length=20,
                    ),
                ),
                ("undo_reason", models.TextField(blank=True, db_default="")),
            ],
            options={"db_table": "sync_conflict_batch_entries", "ordering": ["id"], "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="ConflictBatch",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("made_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("resolution_type", models.CharField(max_length=50)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("prepared", "Not confirmed yet"),
                            ("running", "Being stored"),
                            ("done", "Stored"),
                            ("undoing", "Being undone"),
                            ("undone", "Undone"),
                        ],
                        db_default="prepared",
                        max_length=20,
                    ),
                ),
                ("address", models.TextField(blank=True, db_default="")),
                ("matches", models.TextField(blank=True, db_default="")),
                ("total", models.IntegerField(db_default=0)),
                ("plan", models.JSONField(default=dict)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("undo_asked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "sync_conflict_batches", "ordering": ["-made_at", "id"], "default_permissions": ()},
        ),
        migrations.AddIndex(
            model_name="syncconflict",
            index=models.Index(
                models.OrderBy(models.F("resolved_at"), descending=True, nulls_first=True),
                models.OrderBy(models.F("detected_at")),
                models.F("id"),
                name="sync_conflicts_in_order",
            ),
        ),
        migrations.AddField(
            model_name="batchentry",
            name="conflict",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to="conflicts.syncconflict"
            ),
        ),
        migrations.AddField(
            model_name="conflictbatch",
            name="by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="conflictbatch",
            name="undo_by",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="batchentry",
            name="batch",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="entries", to="conflicts.conflictbatch"
            ),
        ),
        migrations.AddIndex(
            model_name="conflictbatch",
            index=models.Index(
                condition=models.Q(("state__in", ["running", "undoing"])),
                fields=["made_at"],
                name="sync_conflict_batches_at_work",
            ),
        ),
        migrations.AddConstraint(
            model_name="batchentry",
            constraint=models.UniqueConstraint(
                fields=("batch", "conflict"), name="sync_conflict_batch_entries_one_a_conflict"
            ),
        ),
    ]
