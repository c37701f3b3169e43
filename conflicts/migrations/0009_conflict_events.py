import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("conflicts", "0008_outcome_labels"), ("sync", "0033_events_and_webhooks")]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="syncconflict",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_conflict",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    IF TG_OP = 'UPDATE' AND (OLD.resolved_at IS NULL) = (NEW.resolved_at IS NULL) THEN\n        RETURN NULL;\n    END IF;\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    VALUES (CASE WHEN NEW.resolved_at IS NULL THEN 'conflict.opened' ELSE 'conflict.resolved' END,\n        NEW.entity_type, NEW.entity_id, _pgh_attach_context(), jsonb_build_object(\n            'id', NEW.id, 'kind', NEW.kind, 'conflict_fields', NEW.conflict_fields,\n            'resolution_type', NEW.resolution_type, 'resolved_by', NEW.resolved_by_id));\n    RETURN NULL;\n",
                    hash="8eb70310ba9fc8ece8327dc6e2dd72ca90822871",
                    operation='INSERT OR UPDATE OF "resolved_at"',
                    pgid="pgtrigger_sync_event_conflict_c3156",
                    table="sync_conflicts",
                    when="AFTER",
                ),
            ),
        )
    ]
