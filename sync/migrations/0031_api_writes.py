"""Ids that other systems have for records, and the answers that are given again for an Idempotency-Key."""

import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models

import sync.clock


class Migration(migrations.Migration):
    dependencies = [("sync", "0030_inbox_index"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="ExternalId",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("entity_id", models.UUIDField()),
                ("source", models.CharField(max_length=50)),
                ("value", models.CharField(max_length=255)),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("released_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={"db_table": "sync_external_ids", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="StoredAnswer",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("path", models.CharField(max_length=255)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=64)),
                ("status", models.SmallIntegerField()),
                ("content_type", models.CharField(max_length=100)),
                ("headers", models.JSONField(default=dict)),
                ("body", models.TextField(null=True)),
                ("at", models.DateTimeField(db_default=sync.clock.SyncNow())),
            ],
            options={"db_table": "sync_stored_answers", "default_permissions": ()},
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="tombstone",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_external_ids_released",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    IF NEW.state = 'restored' THEN\n        UPDATE sync_external_ids AS former SET released_at = NULL\n        WHERE former.entity_type = NEW.entity_type AND former.entity_id = NEW.entity_id\n            AND former.released_at IS NOT NULL AND NOT EXISTS (\n                SELECT 1 FROM sync_external_ids AS other\n                WHERE other.entity_type = former.entity_type AND other.source = former.source\n                    AND other.value = former.value AND other.released_at IS NULL);\n    ELSIF TG_OP = 'INSERT' OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at THEN\n        UPDATE sync_external_ids SET released_at = sync_now()\n        WHERE entity_type = NEW.entity_type AND entity_id = NEW.entity_id AND released_at IS NULL;\n    END IF;\n    RETURN NULL;\n",
                    hash="e55cb2ebbadaa2d60f6e260aeaaeacdeef9d7568",
                    operation='INSERT OR UPDATE OF "state", "deleted_at"',
                    pgid="pgtrigger_sync_external_ids_released_f20d4",
                    table="sync_tombstones",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddConstraint(
            model_name="externalid",
            constraint=models.UniqueConstraint(
                condition=models.Q(("released_at", None)),
                fields=("entity_type", "source", "value"),
                name="sync_external_ids_one_record_an_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="externalid",
            constraint=models.UniqueConstraint(
                fields=("entity_type", "entity_id", "source"), name="sync_external_ids_one_id_a_source"
            ),
        ),
        migrations.AddField(
            model_name="storedanswer",
            name="user",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
            ),
        ),
        migrations.AddIndex(
            model_name="storedanswer", index=models.Index(fields=["at"], name="sync_stored_answers_by_age")
        ),
        migrations.AddConstraint(
            model_name="storedanswer",
            constraint=models.UniqueConstraint(fields=("user", "path", "key"), name="sync_stored_answers_one_a_key"),
        ),
    ]
