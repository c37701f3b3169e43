import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("npd", "0011_second_factors"), ("sync", "0033_events_and_webhooks")]

    operations = [
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func="\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT 'record.created', 'contact', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM new_values AS row) AS changed;\nRETURN NULL;",
                    hash="99764716af9edf0577c77d295882f8e2c86b87ca",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_sync_event_insert_5dfd6",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func='\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT \'record.changed\', \'contact\', changed.id, author, changed.data FROM (SELECT new_values.id, CASE WHEN old_values."sync_enabled" IS DISTINCT FROM new_values."sync_enabled" THEN jsonb_build_object(\'sync_enabled\', jsonb_build_array(old_values."sync_enabled", new_values."sync_enabled")) ELSE jsonb_build_object() END || CASE WHEN old_values."sync_direction" IS DISTINCT FROM new_values."sync_direction" THEN jsonb_build_object(\'sync_direction\', jsonb_build_array(old_values."sync_direction", new_values."sync_direction")) ELSE jsonb_build_object() END || CASE WHEN old_values."name" IS DISTINCT FROM new_values."name" THEN jsonb_build_object(\'name\', jsonb_build_array(old_values."name", new_values."name")) ELSE jsonb_build_object() END || CASE WHEN old_values."email" IS DISTINCT FROM new_values."email" THEN jsonb_build_object(\'email\', jsonb_build_array(old_values."email", new_values."email")) ELSE jsonb_build_object() END || CASE WHEN old_values."organization_id" IS DISTINCT FROM new_values."organization_id" THEN jsonb_build_object(\'organization_id\', jsonb_build_array(old_values."organization_id", new_values."organization_id")) ELSE jsonb_build_object() END || CASE WHEN old_values."role_title" IS DISTINCT FROM new_values."role_title" THEN jsonb_build_object(\'role_title\', jsonb_build_array(old_values."role_title", new_values."role_title")) ELSE jsonb_build_object() END || CASE WHEN old_values."phone" IS DISTINCT FROM new_values."phone" THEN jsonb_build_object(\'phone\', jsonb_build_array(old_values."phone", new_values."phone")) ELSE jsonb_build_object() END || CASE WHEN old_values."notes" IS DISTINCT FROM new_values."notes" THEN jsonb_build_object(\'notes\', jsonb_build_array(old_values."notes", new_values."notes")) ELSE jsonb_build_object() END AS data FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed;\nRETURN NULL;',
                    hash="e2539f098a333bbaa84092737f24ad8e2671c7b2",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_event_update_fded3",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func="\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT 'record.deleted', 'contact', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM old_values AS row) AS changed;\nRETURN NULL;",
                    hash="7a8d2958547565caa8ed70307eeb4aadec1fc929",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_event_delete_b711e",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func="\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT 'record.created', 'organization', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM new_values AS row) AS changed;\nRETURN NULL;",
                    hash="53d05b3fa9b524d9498ab3c54d6f08bc8dde70df",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_sync_event_insert_c2fd2",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func='\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT \'record.changed\', \'organization\', changed.id, author, changed.data FROM (SELECT new_values.id, CASE WHEN old_values."sync_enabled" IS DISTINCT FROM new_values."sync_enabled" THEN jsonb_build_object(\'sync_enabled\', jsonb_build_array(old_values."sync_enabled", new_values."sync_enabled")) ELSE jsonb_build_object() END || CASE WHEN old_values."sync_direction" IS DISTINCT FROM new_values."sync_direction" THEN jsonb_build_object(\'sync_direction\', jsonb_build_array(old_values."sync_direction", new_values."sync_direction")) ELSE jsonb_build_object() END || CASE WHEN old_values."name" IS DISTINCT FROM new_values."name" THEN jsonb_build_object(\'name\', jsonb_build_array(old_values."name", new_values."name")) ELSE jsonb_build_object() END || CASE WHEN old_values."aliases" IS DISTINCT FROM new_values."aliases" THEN jsonb_build_object(\'aliases\', jsonb_build_array(old_values."aliases", new_values."aliases")) ELSE jsonb_build_object() END || CASE WHEN old_values."billing_contact_id" IS DISTINCT FROM new_values."billing_contact_id" THEN jsonb_build_object(\'billing_contact_id\', jsonb_build_array(old_values."billing_contact_id", new_values."billing_contact_id")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_street" IS DISTINCT FROM new_values."address_street" THEN jsonb_build_object(\'address_street\', jsonb_build_array(old_values."address_street", new_values."address_street")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_city" IS DISTINCT FROM new_values."address_city" THEN jsonb_build_object(\'address_city\', jsonb_build_array(old_values."address_city", new_values."address_city")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_state" IS DISTINCT FROM new_values."address_state" THEN jsonb_build_object(\'address_state\', jsonb_build_array(old_values."address_state", new_values."address_state")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_zip" IS DISTINCT FROM new_values."address_zip" THEN jsonb_build_object(\'address_zip\', jsonb_build_array(old_values."address_zip", new_values."address_zip")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_country" IS DISTINCT FROM new_values."address_country" THEN jsonb_build_object(\'address_country\', jsonb_build_array(old_values."address_country", new_values."address_country")) ELSE jsonb_build_object() END || CASE WHEN old_values."inventory_url" IS DISTINCT FROM new_values."inventory_url" THEN jsonb_build_object(\'inventory_url\', jsonb_build_array(old_values."inventory_url", new_values."inventory_url")) ELSE jsonb_build_object() END || CASE WHEN old_values."notes" IS DISTINCT FROM new_values."notes" THEN jsonb_build_object(\'notes\', jsonb_build_array(old_values."notes", new_values."notes")) ELSE jsonb_build_object() END AS data FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed;\nRETURN NULL;',
                    hash="cd11535eb14ef9b62aed03acd9d123d55691700e",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_event_update_7b38a",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_event_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE author uuid;",
                    func="\n    author := _pgh_attach_context();\n    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)\n    SELECT 'record.deleted', 'organization', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM old_values AS row) AS changed;\nRETURN NULL;",
                    hash="de8890f7bfa3f5de1978c69d57ac730e7c8ccd3a",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_event_delete_5c696",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
    ]
