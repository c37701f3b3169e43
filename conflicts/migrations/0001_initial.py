"""The state that all migrations up to 0010_conflicts_counted had made. Where they were applied, this counts as applied."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import migrations, models
from pgtrigger.compiler import Trigger, UpsertTriggerSql
from pgtrigger.migrations import AddTrigger

from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())

# fmt: off
REPLACED = [
    "0002_ways_out_and_undo", "0003_many_at_once", "0004_suggestions_put_aside", "0005_asked_items",
    "0006_one_outcome_a_row", "0007_vocabulary", "0008_outcome_labels", "0009_conflict_events",
    "0010_conflicts_counted",
]
SYNC_CONFLICT_RESOLUTION_TYPE = [
    ("keep_npd", "Use NPD"), ("keep_monday", "Use Monday"), ("merge", "Field by field"), ("auto", "By itself"),
]
SYNC_CONFLICT_KIND = [
    ("fields", "Fields differ"), ("overwritten", "An edit was overwritten"), ("delete", "Deleted on one side"),
    ("identity", "Who is this?"),
]
CONFLICT_BATCH_STATE = [
    ("prepared", "Not confirmed yet"), ("running", "In progress"), ("done", "Done"), ("undoing", "Being undone"),
    ("undone", "Undone"),
]
BATCH_ENTRY_OUTCOME = [
    ("ready", "Pending"), ("stored", "Stored"), ("handed_back", "Returned"), ("left_out", "Left out"),
    ("undo_wanted", "To be undone"), ("undo_requested", "Being undone"), ("undone", "Undone"),
    ("not_undone", "Not undone"),
]
# fmt: on


class Migration(migrations.Migration):
    initial = True

    replaces = [("conflicts", name) for name in REPLACED]

    dependencies = [("sync", "0001_initial"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="SyncConflict",
            fields=[
                ("id", models.UUIDField(db_default=RandomUUID(), editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(db_index=True, max_length=50)),
                ("entity_id", models.UUIDField(db_index=True)),
                ("monday_item_id", models.CharField(db_index=True, max_length=50)),
                ("npd_data", models.JSONField()),
                ("monday_data", models.JSONField()),
                ("conflict_fields", ArrayField(base_field=models.CharField(max_length=100), size=None)),
                ("detected_at", models.DateTimeField(db_default=SyncNow(), db_index=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "resolution_type",
                    models.CharField(blank=True, choices=SYNC_CONFLICT_RESOLUTION_TYPE, max_length=50, null=True),
                ),
                ("kind", models.CharField(choices=SYNC_CONFLICT_KIND, db_default="fields", max_length=20)),
                ("base_data", models.JSONField(db_default=EMPTY)),
                ("notes", models.JSONField(db_default=EMPTY)),
                ("merge_selections", models.JSONField(db_default=EMPTY)),
                ("resolved_data", models.JSONField(db_default=EMPTY)),
                ("choice", models.JSONField(blank=True, null=True)),
                (
                    "choice_problem",
                    models.TextField(blank=True, db_default="", verbose_name="why the choice was not applied"),
                ),
                (
                    "resolved_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("about", models.JSONField(db_default=EMPTY)),
                ("inverse", models.JSONField(db_default=EMPTY, verbose_name="what undoes it, by field")),
            ],
            options={
                "verbose_name": "conflict",
                "db_table": "sync_conflicts",
                "ordering": ["-detected_at", "id"],
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
                    models.Index(
                        condition=models.Q(
                            ("resolved_at", None),
                            models.Q(("choice__isnull", True), ("choice__fields", {}), _connector="OR"),
                        ),
                        fields=["kind"],
                        name="sync_conflicts_counted",
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
        ),
        migrations.CreateModel(
            name="ConflictBatch",
            fields=[
                ("id", models.UUIDField(db_default=RandomUUID(), editable=False, primary_key=True, serialize=False)),
                ("made_at", models.DateTimeField(db_default=SyncNow())),
                ("resolution_type", models.CharField(max_length=50)),
                ("state", models.CharField(choices=CONFLICT_BATCH_STATE, db_default="prepared", max_length=20)),
                ("address", models.TextField(blank=True, db_default="")),
                ("matches", models.TextField(blank=True, db_default="")),
                ("total", models.IntegerField(db_default=0)),
                ("plan", models.JSONField(default=dict)),
                ("confirmed_at", models.DateTimeField(blank=True, null=True)),
                ("undo_asked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "undo_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "sync_conflict_batches",
                "ordering": ["-made_at", "id"],
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state__in", ["running", "undoing"])),
                        fields=["made_at"],
                        name="sync_conflict_batches_at_work",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="BatchEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=200)),
                ("seen", models.JSONField()),
                ("outcome", models.CharField(choices=BATCH_ENTRY_OUTCOME, max_length=20)),
                ("reason", models.TextField(blank=True, db_default="")),
                ("chosen_at", models.CharField(blank=True, db_default="", max_length=40)),
                (
                    "conflict",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="+", to="conflicts.syncconflict"),
                ),
                (
                    "batch",
                    models.ForeignKey(on_delete=models.CASCADE, related_name="entries", to="conflicts.conflictbatch"),
                ),
            ],
            options={
                "db_table": "sync_conflict_batch_entries",
                "ordering": ["id"],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("batch", "conflict"), name="sync_conflict_batch_entries_one_a_conflict"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DismissedSuggestion",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("key", models.CharField(max_length=100, verbose_name="field")),
                ("at", models.DateTimeField(db_default=SyncNow())),
                (
                    "by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "db_table": "sync_suggestions_dismissed",
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("entity_type", "key"), name="sync_suggestions_dismissed_one_a_field"
                    )
                ],
            },
        ),
        AddTrigger(
            model_name="syncconflict",
            trigger=Trigger(
                name="sync_event_conflict",
                sql=UpsertTriggerSql(
                    func="\n    IF TG_OP = 'UPDATE' AND (OLD.resolved_at IS NULL) = (NEW.resolved_at IS NULL) THEN\n        RETURN NULL;\n    END IF;\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES (CASE WHEN NEW.resolved_at IS NULL THEN 'conflict.opened' ELSE 'conflict.resolved' END,\n        NEW.entity_type, NEW.entity_id, _pgh_attach_context(), jsonb_build_object(\n            'id', NEW.id, 'kind', NEW.kind, 'conflict_fields', NEW.conflict_fields,\n            'resolution_type', NEW.resolution_type, 'resolved_by', NEW.resolved_by_id));\n    RETURN NULL;\n",
                    hash="8eb70310ba9fc8ece8327dc6e2dd72ca90822871",
                    operation='INSERT OR UPDATE OF "resolved_at"',
                    pgid="pgtrigger_sync_event_conflict_c3156",
                    table="sync_conflicts",
                    when="AFTER",
                ),
            ),
        ),
    ]
