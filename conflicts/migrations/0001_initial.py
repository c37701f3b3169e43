import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.db.models.deletion
import sync.clock
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="SyncConflict",
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
                ("entity_type", models.CharField(db_index=True, max_length=50)),
                ("entity_id", models.UUIDField(db_index=True)),
                ("monday_item_id", models.CharField(db_index=True, max_length=50)),
                ("npd_data", models.JSONField()),
                ("monday_data", models.JSONField()),
                (
                    "conflict_fields",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), size=None),
                ),
                ("detected_at", models.DateTimeField(db_default=sync.clock.SyncNow(), db_index=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "resolution_type",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("keep_npd", "Use NPD"),
                            ("keep_monday", "Use Monday"),
                            ("merge", "Field by field"),
                            ("auto", "By itself"),
                        ],
                        max_length=50,
                        null=True,
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("fields", "Fields differ"),
                            ("overwritten", "Lost on Monday"),
                            ("delete", "Deleted on one side"),
                            ("identity", "Who is this?"),
                        ],
                        db_default="fields",
                        max_length=20,
                    ),
                ),
                ("base_data", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                ("notes", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                ("merge_selections", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                ("resolved_data", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                ("resolution", models.JSONField(blank=True, null=True)),
                ("about", models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict)),
                (
                    "inverse",
                    models.JSONField(
                        db_default=models.Value({}, models.JSONField()),
                        default=dict,
                        verbose_name="what undoes it, by field",
                    ),
                ),
                (
                    "resolved_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "conflict",
                "db_table": "sync_conflicts",
                "ordering": ["-detected_at", "id"],
                "default_permissions": ("change", "view"),
                "indexes": [
                    models.Index(
                        condition=models.Q(("resolved_at", None)), fields=["detected_at"], name="sync_conflicts_waiting"
                    ),
                    models.Index(
                        models.OrderBy(models.F("resolved_at"), descending=True, nulls_first=True),
                        models.OrderBy(models.F("detected_at")),
                        models.F("id"),
                        name="sync_conflicts_in_order",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None), models.Q(("kind", "identity"), _negated=True)),
                        fields=("entity_type", "entity_id", "kind"),
                        name="sync_conflicts_one_open_a_kind",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("kind", "identity"), ("resolved_at", None)),
                        fields=("entity_type", "entity_id", "monday_item_id"),
                        name="sync_conflicts_one_open_an_item",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("resolution_type", None),
                            ("resolution_type__in", ["keep_npd", "keep_monday", "merge", "auto"]),
                            _connector="OR",
                        ),
                        name="sync_conflicts_resolution_known",
                    ),
                ],
            },
        )
    ]
