import uuid

import django.contrib.postgres.fields
import django.contrib.postgres.functions
import django.contrib.postgres.indexes
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0032_erased_items"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="FeedEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False)),
                ("position", models.BigIntegerField(blank=True, null=True)),
                (
                    "type",
                    models.CharField(
                        choices=[
                            ("record.created", "Record created"),
                            ("record.changed", "Record changed"),
                            ("record.deleted", "Record deleted"),
                            ("conflict.opened", "Conflict opened"),
                            ("conflict.resolved", "Conflict resolved"),
                            ("sync_state.changed", "Sync state changed"),
                        ],
                        max_length=30,
                    ),
                ),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("context_id", models.UUIDField(blank=True, null=True)),
                ("data", models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()))),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
            ],
            options={"verbose_name": "event", "db_table": "sync_events", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "message_id",
                    models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), editable=False),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("in_progress", "In progress"),
                            ("delivered", "Delivered"),
                            ("failed", "Failed"),
                        ],
                        db_default="pending",
                        max_length=20,
                    ),
                ),
                ("attempts", models.IntegerField(db_default=0)),
                ("counted", models.SmallIntegerField(db_default=0, verbose_name="failures of this delivery alone")),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("next_attempt", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                ("last_attempt", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("status_code", models.SmallIntegerField(blank=True, null=True)),
                ("duration_ms", models.IntegerField(blank=True, null=True)),
                ("problem", models.TextField(blank=True, db_default="")),
                (
                    "excerpt",
                    models.CharField(blank=True, db_default="", max_length=500, verbose_name="how the answer began"),
                ),
            ],
            options={
                "verbose_name": "webhook delivery",
                "verbose_name_plural": "webhook deliveries",
                "db_table": "sync_webhook_deliveries",
                "ordering": ["-id"],
                "default_permissions": ("view", "change"),
            },
        ),
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.contrib.postgres.functions.RandomUUID(),
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("address", models.CharField(max_length=2000)),
                ("description", models.CharField(blank=True, db_default="", default="", max_length=255)),
                (
                    "event_types",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("record.created", "Record created"),
                                ("record.changed", "Record changed"),
                                ("record.deleted", "Record deleted"),
                                ("conflict.opened", "Conflict opened"),
                                ("conflict.resolved", "Conflict resolved"),
                                ("sync_state.changed", "Sync state changed"),
                            ],
                            max_length=30,
                        ),
                        blank=True,
                        db_default=[],
                        default=list,
                        size=None,
                    ),
                ),
                ("enabled", models.BooleanField(db_default=True, default=True, verbose_name="on")),
                (
                    "disabled_code",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("", "On"),
                            ("person", "Switched off by a person"),
                            ("gone", "Its server says that it is gone"),
                            ("failing", "Every delivery failed for five days"),
                        ],
                        db_default="",
                        max_length=20,
                        verbose_name="why it is off",
                    ),
                ),
                ("disabled_at", models.DateTimeField(blank=True, null=True, verbose_name="off since")),
                ("secret", models.TextField(editable=False)),
                ("previous_secret", models.TextField(blank=True, db_default="", editable=False)),
                ("previous_until", models.DateTimeField(blank=True, editable=False, null=True)),
                ("position", models.BigIntegerField(db_default=0, editable=False)),
                ("failures", models.IntegerField(db_default=0, editable=False, verbose_name="failures in succession")),
                ("failing_since", models.DateTimeField(blank=True, editable=False, null=True)),
                ("next_attempt", models.DateTimeField(blank=True, editable=False, null=True)),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow(), editable=False)),
            ],
            options={
                "verbose_name": "webhook endpoint",
                "db_table": "sync_webhook_endpoints",
                "ordering": ["created_at", "id"],
            },
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="syncmetadata",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_state_new",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.system = 'monday' AND length(NEW.entity_id) = 36 AND NEW.entity_id ~ '^[0-9a-f-]+$')",
                    func="\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),\n        jsonb_build_object('sync_state', jsonb_build_array(NULL::text, CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)));\n    RETURN NULL;\n",
                    hash="94eaf2098efaa960420049146682e1dc665d4d13",
                    operation="INSERT",
                    pgid="pgtrigger_sync_event_state_new_f0a78",
                    table="sync_metadata",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="syncmetadata",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_state",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition="WHEN (NEW.system = 'monday' AND length(NEW.entity_id) = 36 AND NEW.entity_id ~ '^[0-9a-f-]+$' AND CASE\n    WHEN OLD.sync_status = 'completed' AND OLD.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN OLD.sync_status = 'completed' THEN 'synced'\n    WHEN OLD.sync_status = 'skipped' THEN 'disabled'\n    ELSE OLD.sync_status END <> CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)",
                    func="\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),\n        jsonb_build_object('sync_state', jsonb_build_array(CASE\n    WHEN OLD.sync_status = 'completed' AND OLD.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN OLD.sync_status = 'completed' THEN 'synced'\n    WHEN OLD.sync_status = 'skipped' THEN 'disabled'\n    ELSE OLD.sync_status END, CASE\n    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'\n    WHEN NEW.sync_status = 'completed' THEN 'synced'\n    WHEN NEW.sync_status = 'skipped' THEN 'disabled'\n    ELSE NEW.sync_status END)));\n    RETURN NULL;\n",
                    hash="a9d4016490a1cd2806015260b19e70382a7a3d86",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_event_state_3f4e9",
                    table="sync_metadata",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="feedevent",
            index=models.Index(condition=models.Q(("position", None)), fields=["id"], name="sync_events_unplaced"),
        ),
        migrations.AddIndex(
            model_name="feedevent", index=models.Index(fields=["entity_id", "position"], name="sync_events_record")
        ),
        migrations.AddIndex(
            model_name="feedevent",
            index=models.Index(
                condition=models.Q(("type__in", ("record.deleted", "conflict.opened", "conflict.resolved"))),
                fields=["type", "position"],
                name="sync_events_rare",
            ),
        ),
        migrations.AddIndex(
            model_name="feedevent",
            index=django.contrib.postgres.indexes.BrinIndex(fields=["at"], name="sync_events_age"),
        ),
        migrations.AddConstraint(
            model_name="feedevent",
            constraint=models.UniqueConstraint(
                condition=models.Q(("position__isnull", False)), fields=("position",), name="sync_events_position"
            ),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="event",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="sync.feedevent",
            ),
        ),
        migrations.AddField(
            model_name="webhookendpoint",
            name="created_by",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="webhookdelivery",
            name="endpoint",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="sync.webhookendpoint"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state__in", ["pending", "in_progress"])),
                fields=["endpoint", "next_attempt"],
                name="sync_webhook_deliveries_due",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["endpoint", "-id"], name="sync_webhook_deliveries_log"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(fields=("endpoint", "event"), name="sync_webhook_deliveries_once"),
        ),
    ]
