CREATE TRIGGER pgtrigger_insert_insert_0faa5 AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_insert_insert_0faa5();

CREATE TRIGGER pgtrigger_sync_bookkeeping_ea97b BEFORE UPDATE ON public.contacts FOR EACH ROW WHEN ((((old.email)::text IS DISTINCT FROM (new.email)::text) OR (old.id IS DISTINCT FROM new.id) OR ((old.name)::text IS DISTINCT FROM (new.name)::text) OR (old.notes IS DISTINCT FROM new.notes) OR (old.organization_id IS DISTINCT FROM new.organization_id) OR ((old.phone)::text IS DISTINCT FROM (new.phone)::text) OR ((old.role_title)::text IS DISTINCT FROM (new.role_title)::text) OR ((old.sync_direction)::text IS DISTINCT FROM (new.sync_direction)::text) OR (old.sync_enabled IS DISTINCT FROM new.sync_enabled))) EXECUTE FUNCTION pgtrigger_sync_bookkeeping_ea97b();

CREATE TRIGGER pgtrigger_sync_event_delete_b711e AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS old_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_delete_b711e();

CREATE TRIGGER pgtrigger_sync_event_insert_5dfd6 AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_insert_5dfd6();

CREATE TRIGGER pgtrigger_sync_event_update_fded3 AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_update_fded3();

CREATE TRIGGER pgtrigger_sync_item_matched_e6df3 AFTER INSERT OR UPDATE OF monday_id ON public.contacts FOR EACH ROW WHEN ((new.monday_id IS NOT NULL)) EXECUTE FUNCTION pgtrigger_sync_item_matched_e6df3();

CREATE TRIGGER pgtrigger_sync_outbox_delete_4e191 AFTER DELETE ON public.contacts REFERENCING OLD TABLE AS old_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_delete_4e191();

CREATE TRIGGER pgtrigger_sync_outbox_insert_2a583 AFTER INSERT ON public.contacts REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_insert_2a583();

CREATE TRIGGER pgtrigger_sync_outbox_update_5eaca AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_update_5eaca();

CREATE TRIGGER pgtrigger_sync_status_new_47269 BEFORE INSERT ON public.contacts FOR EACH ROW EXECUTE FUNCTION pgtrigger_sync_status_new_47269();

CREATE TRIGGER pgtrigger_update_update_f50d0 AFTER UPDATE ON public.contacts REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_update_update_f50d0();

CREATE TRIGGER pgtrigger_insert_insert_7b077 AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_insert_insert_7b077();

CREATE TRIGGER pgtrigger_sync_bookkeeping_c96a6 BEFORE UPDATE ON public.organizations FOR EACH ROW WHEN ((((old.address_city)::text IS DISTINCT FROM (new.address_city)::text) OR ((old.address_country)::text IS DISTINCT FROM (new.address_country)::text) OR ((old.address_state)::text IS DISTINCT FROM (new.address_state)::text) OR ((old.address_street)::text IS DISTINCT FROM (new.address_street)::text) OR ((old.address_zip)::text IS DISTINCT FROM (new.address_zip)::text) OR (old.aliases IS DISTINCT FROM new.aliases) OR (old.billing_contact_id IS DISTINCT FROM new.billing_contact_id) OR (old.id IS DISTINCT FROM new.id) OR ((old.inventory_url)::text IS DISTINCT FROM (new.inventory_url)::text) OR ((old.name)::text IS DISTINCT FROM (new.name)::text) OR (old.notes IS DISTINCT FROM new.notes) OR ((old.sync_direction)::text IS DISTINCT FROM (new.sync_direction)::text) OR (old.sync_enabled IS DISTINCT FROM new.sync_enabled))) EXECUTE FUNCTION pgtrigger_sync_bookkeeping_c96a6();

CREATE TRIGGER pgtrigger_sync_event_delete_5c696 AFTER DELETE ON public.organizations REFERENCING OLD TABLE AS old_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_delete_5c696();

CREATE TRIGGER pgtrigger_sync_event_insert_c2fd2 AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_insert_c2fd2();

CREATE TRIGGER pgtrigger_sync_event_update_7b38a AFTER UPDATE ON public.organizations REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_event_update_7b38a();

CREATE TRIGGER pgtrigger_sync_item_matched_ab908 AFTER INSERT OR UPDATE OF monday_id ON public.organizations FOR EACH ROW WHEN ((new.monday_id IS NOT NULL)) EXECUTE FUNCTION pgtrigger_sync_item_matched_ab908();

CREATE TRIGGER pgtrigger_sync_outbox_delete_e35ec AFTER DELETE ON public.organizations REFERENCING OLD TABLE AS old_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_delete_e35ec();

CREATE TRIGGER pgtrigger_sync_outbox_insert_3a021 AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_insert_3a021();

CREATE TRIGGER pgtrigger_sync_outbox_update_28580 AFTER UPDATE ON public.organizations REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_sync_outbox_update_28580();

CREATE TRIGGER pgtrigger_sync_status_new_b74b9 BEFORE INSERT ON public.organizations FOR EACH ROW EXECUTE FUNCTION pgtrigger_sync_status_new_b74b9();

CREATE TRIGGER pgtrigger_update_update_dba07 AFTER UPDATE ON public.organizations REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_update_update_dba07();

CREATE TRIGGER pgtrigger_wake_contact_organization_changed_b9a89 AFTER UPDATE ON public.organizations REFERENCING OLD TABLE AS old_values NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_wake_contact_organization_changed_b9a89();

CREATE TRIGGER pgtrigger_wake_contact_organization_gone_ac61a AFTER DELETE ON public.organizations REFERENCING OLD TABLE AS old_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_wake_contact_organization_gone_ac61a();

CREATE TRIGGER pgtrigger_wake_contact_organization_new_cacd3 AFTER INSERT ON public.organizations REFERENCING NEW TABLE AS new_values FOR EACH STATEMENT EXECUTE FUNCTION pgtrigger_wake_contact_organization_new_cacd3();

CREATE TRIGGER pgtrigger_sync_event_conflict_c3156 AFTER INSERT OR UPDATE OF resolved_at ON public.sync_conflicts FOR EACH ROW EXECUTE FUNCTION pgtrigger_sync_event_conflict_c3156();

CREATE TRIGGER pgtrigger_success_was_attempt_5fa96 BEFORE INSERT OR UPDATE ON public.sync_metadata FOR EACH ROW WHEN (((new.last_successful_sync IS NOT NULL) AND ((new.last_sync_attempt IS NULL) OR (new.last_sync_attempt < new.last_successful_sync)))) EXECUTE FUNCTION pgtrigger_success_was_attempt_5fa96();

CREATE TRIGGER pgtrigger_sync_event_state_3f4e9 AFTER UPDATE ON public.sync_metadata FOR EACH ROW WHEN ((((new.system)::text = 'monday'::text) AND (length(new.entity_id) = 36) AND (new.entity_id ~ '^[0-9a-f-]+$'::text) AND ((
        CASE
            WHEN (((old.sync_status)::text = 'completed'::text) AND (old.conflicts <> jsonb_build_object())) THEN 'conflict'::character varying
            WHEN ((old.sync_status)::text = 'completed'::text) THEN 'synced'::character varying
            WHEN ((old.sync_status)::text = 'skipped'::text) THEN 'disabled'::character varying
            ELSE old.sync_status
        END)::text <> (
        CASE
            WHEN (((new.sync_status)::text = 'completed'::text) AND (new.conflicts <> jsonb_build_object())) THEN 'conflict'::character varying
            WHEN ((new.sync_status)::text = 'completed'::text) THEN 'synced'::character varying
            WHEN ((new.sync_status)::text = 'skipped'::text) THEN 'disabled'::character varying
            ELSE new.sync_status
        END)::text))) EXECUTE FUNCTION pgtrigger_sync_event_state_3f4e9();

CREATE TRIGGER pgtrigger_sync_event_state_new_f0a78 AFTER INSERT ON public.sync_metadata FOR EACH ROW WHEN ((((new.system)::text = 'monday'::text) AND (length(new.entity_id) = 36) AND (new.entity_id ~ '^[0-9a-f-]+$'::text))) EXECUTE FUNCTION pgtrigger_sync_event_state_new_f0a78();

CREATE TRIGGER pgtrigger_sync_external_ids_released_f20d4 AFTER INSERT OR UPDATE OF state, deleted_at ON public.sync_tombstones FOR EACH ROW EXECUTE FUNCTION pgtrigger_sync_external_ids_released_f20d4();

CREATE OR REPLACE FUNCTION public.pgtrigger_insert_insert_0faa5()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, NOW(), 'insert', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_insert_insert_7b077()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, NOW(), 'insert', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_success_was_attempt_5fa96()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    NEW.last_sync_attempt := NEW.last_successful_sync; RETURN NEW;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_bookkeeping_c96a6()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    NEW.updated_at := sync_now();
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'
        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'
        ELSE NEW.sync_status END;
    RETURN NEW;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_bookkeeping_ea97b()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    NEW.updated_at := sync_now();
    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'
        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'
        ELSE NEW.sync_status END;
    RETURN NEW;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_conflict_c3156()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    IF TG_OP = 'UPDATE' AND (OLD.resolved_at IS NULL) = (NEW.resolved_at IS NULL) THEN
        RETURN NULL;
    END IF;
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    VALUES (CASE WHEN NEW.resolved_at IS NULL THEN 'conflict.opened' ELSE 'conflict.resolved' END,
        NEW.entity_type, NEW.entity_id, _pgh_attach_context(), jsonb_build_object(
            'id', NEW.id, 'kind', NEW.kind, 'conflict_fields', NEW.conflict_fields,
            'resolution_type', NEW.resolution_type, 'resolved_by', NEW.resolved_by_id));
    RETURN NULL;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_delete_5c696()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.deleted', 'organization', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM old_values AS row) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_delete_b711e()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.deleted', 'contact', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM old_values AS row) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_insert_5dfd6()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.created', 'contact', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM new_values AS row) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_insert_c2fd2()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.created', 'organization', changed.id, author, changed.data FROM (SELECT row.id, to_jsonb(row.*) - ARRAY['id', 'monday_id', 'monday_last_synced', 'sync_status', 'created_at', 'updated_at'] AS data FROM new_values AS row) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_state_3f4e9()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),
        jsonb_build_object('sync_state', jsonb_build_array(CASE
    WHEN OLD.sync_status = 'completed' AND OLD.conflicts <> jsonb_build_object() THEN 'conflict'
    WHEN OLD.sync_status = 'completed' THEN 'synced'
    WHEN OLD.sync_status = 'skipped' THEN 'disabled'
    ELSE OLD.sync_status END, CASE
    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'
    WHEN NEW.sync_status = 'completed' THEN 'synced'
    WHEN NEW.sync_status = 'skipped' THEN 'disabled'
    ELSE NEW.sync_status END)));
    RETURN NULL;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_state_new_f0a78()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    VALUES ('sync_state.changed', NEW.entity_type, NEW.entity_id::uuid, _pgh_attach_context(),
        jsonb_build_object('sync_state', jsonb_build_array(NULL::text, CASE
    WHEN NEW.sync_status = 'completed' AND NEW.conflicts <> jsonb_build_object() THEN 'conflict'
    WHEN NEW.sync_status = 'completed' THEN 'synced'
    WHEN NEW.sync_status = 'skipped' THEN 'disabled'
    ELSE NEW.sync_status END)));
    RETURN NULL;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_update_7b38a()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.changed', 'organization', changed.id, author, changed.data FROM (SELECT new_values.id, CASE WHEN old_values."sync_enabled" IS DISTINCT FROM new_values."sync_enabled" THEN jsonb_build_object('sync_enabled', jsonb_build_array(old_values."sync_enabled", new_values."sync_enabled")) ELSE jsonb_build_object() END || CASE WHEN old_values."sync_direction" IS DISTINCT FROM new_values."sync_direction" THEN jsonb_build_object('sync_direction', jsonb_build_array(old_values."sync_direction", new_values."sync_direction")) ELSE jsonb_build_object() END || CASE WHEN old_values."name" IS DISTINCT FROM new_values."name" THEN jsonb_build_object('name', jsonb_build_array(old_values."name", new_values."name")) ELSE jsonb_build_object() END || CASE WHEN old_values."aliases" IS DISTINCT FROM new_values."aliases" THEN jsonb_build_object('aliases', jsonb_build_array(old_values."aliases", new_values."aliases")) ELSE jsonb_build_object() END || CASE WHEN old_values."billing_contact_id" IS DISTINCT FROM new_values."billing_contact_id" THEN jsonb_build_object('billing_contact_id', jsonb_build_array(old_values."billing_contact_id", new_values."billing_contact_id")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_street" IS DISTINCT FROM new_values."address_street" THEN jsonb_build_object('address_street', jsonb_build_array(old_values."address_street", new_values."address_street")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_city" IS DISTINCT FROM new_values."address_city" THEN jsonb_build_object('address_city', jsonb_build_array(old_values."address_city", new_values."address_city")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_state" IS DISTINCT FROM new_values."address_state" THEN jsonb_build_object('address_state', jsonb_build_array(old_values."address_state", new_values."address_state")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_zip" IS DISTINCT FROM new_values."address_zip" THEN jsonb_build_object('address_zip', jsonb_build_array(old_values."address_zip", new_values."address_zip")) ELSE jsonb_build_object() END || CASE WHEN old_values."address_country" IS DISTINCT FROM new_values."address_country" THEN jsonb_build_object('address_country', jsonb_build_array(old_values."address_country", new_values."address_country")) ELSE jsonb_build_object() END || CASE WHEN old_values."inventory_url" IS DISTINCT FROM new_values."inventory_url" THEN jsonb_build_object('inventory_url', jsonb_build_array(old_values."inventory_url", new_values."inventory_url")) ELSE jsonb_build_object() END || CASE WHEN old_values."notes" IS DISTINCT FROM new_values."notes" THEN jsonb_build_object('notes', jsonb_build_array(old_values."notes", new_values."notes")) ELSE jsonb_build_object() END AS data FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_event_update_fded3()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE author uuid;
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    author := _pgh_attach_context();
    INSERT INTO sync_events (type, entity_type, entity_id, context_id, data)
    SELECT 'record.changed', 'contact', changed.id, author, changed.data FROM (SELECT new_values.id, CASE WHEN old_values."sync_enabled" IS DISTINCT FROM new_values."sync_enabled" THEN jsonb_build_object('sync_enabled', jsonb_build_array(old_values."sync_enabled", new_values."sync_enabled")) ELSE jsonb_build_object() END || CASE WHEN old_values."sync_direction" IS DISTINCT FROM new_values."sync_direction" THEN jsonb_build_object('sync_direction', jsonb_build_array(old_values."sync_direction", new_values."sync_direction")) ELSE jsonb_build_object() END || CASE WHEN old_values."name" IS DISTINCT FROM new_values."name" THEN jsonb_build_object('name', jsonb_build_array(old_values."name", new_values."name")) ELSE jsonb_build_object() END || CASE WHEN old_values."email" IS DISTINCT FROM new_values."email" THEN jsonb_build_object('email', jsonb_build_array(old_values."email", new_values."email")) ELSE jsonb_build_object() END || CASE WHEN old_values."organization_id" IS DISTINCT FROM new_values."organization_id" THEN jsonb_build_object('organization_id', jsonb_build_array(old_values."organization_id", new_values."organization_id")) ELSE jsonb_build_object() END || CASE WHEN old_values."role_title" IS DISTINCT FROM new_values."role_title" THEN jsonb_build_object('role_title', jsonb_build_array(old_values."role_title", new_values."role_title")) ELSE jsonb_build_object() END || CASE WHEN old_values."phone" IS DISTINCT FROM new_values."phone" THEN jsonb_build_object('phone', jsonb_build_array(old_values."phone", new_values."phone")) ELSE jsonb_build_object() END || CASE WHEN old_values."notes" IS DISTINCT FROM new_values."notes" THEN jsonb_build_object('notes', jsonb_build_array(old_values."notes", new_values."notes")) ELSE jsonb_build_object() END AS data FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_external_ids_released_f20d4()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    IF NEW.state = 'restored' THEN
        UPDATE sync_external_ids AS former SET released_at = NULL
        WHERE former.entity_type = NEW.entity_type AND former.entity_id = NEW.entity_id
            AND former.released_at IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM sync_external_ids AS other
                WHERE other.entity_type = former.entity_type AND other.source = former.source
                    AND other.value = former.value AND other.released_at IS NULL);
    ELSIF TG_OP = 'INSERT' OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at THEN
        UPDATE sync_external_ids SET released_at = sync_now()
        WHERE entity_type = NEW.entity_type AND entity_id = NEW.entity_id AND released_at IS NULL;
    END IF;
    RETURN NULL;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_item_matched_ab908()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    DELETE FROM sync_unmatched_items WHERE item_id = NEW.monday_id; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_item_matched_e6df3()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    DELETE FROM sync_unmatched_items WHERE item_id = NEW.monday_id; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_delete_4e191()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data)
    SELECT 'contact', gone.id, gone.monday_id, to_jsonb(gone.*)
    FROM old_values AS gone ORDER BY gone.id
    ON CONFLICT (entity_type, entity_id) DO UPDATE
    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),
        state = 'waiting', settled_at = NULL, note = '';

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'contact', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1
    FROM (SELECT id, monday_id FROM old_values) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_delete_e35ec()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data)
    SELECT 'organization', gone.id, gone.monday_id, to_jsonb(gone.*)
    FROM old_values AS gone ORDER BY gone.id
    ON CONFLICT (entity_type, entity_id) DO UPDATE
    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),
        state = 'waiting', settled_at = NULL, note = '';

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'organization', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1
    FROM (SELECT id, monday_id FROM old_values) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_insert_2a583()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'contact', changed.id, 'to_monday', 'create', '{}'::jsonb, 20, 1
    FROM (SELECT id FROM new_values) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '';
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_insert_3a021()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'organization', changed.id, 'to_monday', 'create', '{}'::jsonb, 20, 1
    FROM (SELECT id FROM new_values) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '';
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_update_28580()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'organization', changed.id, 'to_monday', 'update', '{}'::jsonb, 20, 1
    FROM (SELECT new_values.id FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '';
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_outbox_update_5eaca()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)
    SELECT 'contact', changed.id, 'to_monday', 'update', '{}'::jsonb, 20, 1
    FROM (SELECT new_values.id FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed
    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))
    ORDER BY changed.id
    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
    DO UPDATE SET
        priority = least(sync_queue.priority, excluded.priority),
        next_retry = least(sync_queue.next_retry, excluded.next_retry),
        causes = sync_queue.causes | excluded.causes,
        attempts = 0, reason = '', error_message = '';
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_status_new_47269()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;
    RETURN NEW;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_sync_status_new_b74b9()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    NEW.sync_status := CASE
        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;
    RETURN NEW;

                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_update_update_dba07()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, NOW(), 'update', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_update_update_f50d0()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$

                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;
                    WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, NOW(), 'update', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_wake_contact_organization_changed_b9a89()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE woken uuid[];
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    SELECT array_agg(DISTINCT pointing.id) INTO woken
    FROM (
        SELECT new_values.id, old_values.name IS DISTINCT FROM new_values.name AS renamed,
            (old_values.monday_id, old_values.sync_enabled, old_values.sync_direction) IS DISTINCT FROM
            (new_values.monday_id, new_values.sync_enabled, new_values.sync_direction) AS switched
        FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))
    ) AS seen
    JOIN contacts AS pointing ON pointing.organization_id = seen.id
    JOIN sync_board_links AS link ON link.entity_type = 'contact'
    JOIN sync_field_mappings AS mapping
        ON mapping.link_id = link.id AND mapping.column_id <> '' AND 'organization' = ANY (mapping.fields)
    WHERE pointing.sync_enabled AND pointing.sync_direction <> 'none'
        AND CASE mapping.converter WHEN 'relation_name' THEN seen.renamed ELSE seen.switched END;

    IF woken IS NOT NULL THEN
        UPDATE contacts AS pointing SET sync_status = 'pending'
        FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'
              ORDER BY id FOR NO KEY UPDATE) AS locked
        WHERE pointing.id = locked.id;
        INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
        SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id
        ORDER BY id
        ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
        DO UPDATE SET
            priority = least(sync_queue.priority, excluded.priority),
            next_retry = least(sync_queue.next_retry, excluded.next_retry),
            causes = sync_queue.causes | excluded.causes;
    END IF;

    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN
        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken
        FROM sync_awaited_relations AS awaiting JOIN (
            SELECT 'item ' || monday_id AS target FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS old_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'))) FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS old_values UNION SELECT 'item ' || monday_id AS target FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS new_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'))) FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS new_values
        ) AS come ON come.target = awaiting.target
        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';

        IF woken IS NOT NULL THEN
            UPDATE contacts AS pointing SET sync_status = 'pending'
            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'
                  ORDER BY id FOR NO KEY UPDATE) AS locked
            WHERE pointing.id = locked.id;
            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id
            ORDER BY id
            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
            DO UPDATE SET
                priority = least(sync_queue.priority, excluded.priority),
                next_retry = least(sync_queue.next_retry, excluded.next_retry),
                causes = sync_queue.causes | excluded.causes;
        END IF;

    END IF;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_wake_contact_organization_gone_ac61a()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE woken uuid[];
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN
        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken
        FROM sync_awaited_relations AS awaiting JOIN (
            SELECT 'item ' || monday_id AS target FROM old_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'))) FROM old_values
        ) AS come ON come.target = awaiting.target
        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';

        IF woken IS NOT NULL THEN
            UPDATE contacts AS pointing SET sync_status = 'pending'
            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'
                  ORDER BY id FOR NO KEY UPDATE) AS locked
            WHERE pointing.id = locked.id;
            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id
            ORDER BY id
            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
            DO UPDATE SET
                priority = least(sync_queue.priority, excluded.priority),
                next_retry = least(sync_queue.next_retry, excluded.next_retry),
                causes = sync_queue.causes | excluded.causes;
        END IF;

    END IF;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.pgtrigger_wake_contact_organization_new_cacd3()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
                DECLARE woken uuid[];
                BEGIN
                    IF ("public"._pgtrigger_should_ignore(TG_NAME) IS TRUE) THEN
                        IF (TG_OP = 'DELETE') THEN
                            RETURN OLD;
                        ELSE
                            RETURN NEW;
                        END IF;
                    END IF;

    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN
        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken
        FROM sync_awaited_relations AS awaiting JOIN (
            SELECT 'item ' || monday_id AS target FROM new_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\s\u001c-\u001f\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+', ' ', 'g'))) FROM new_values
        ) AS come ON come.target = awaiting.target
        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';

        IF woken IS NOT NULL THEN
            UPDATE contacts AS pointing SET sync_status = 'pending'
            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'
                  ORDER BY id FOR NO KEY UPDATE) AS locked
            WHERE pointing.id = locked.id;
            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)
            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id
            ORDER BY id
            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL
            DO UPDATE SET
                priority = least(sync_queue.priority, excluded.priority),
                next_retry = least(sync_queue.next_retry, excluded.next_retry),
                causes = sync_queue.causes | excluded.causes;
        END IF;

    END IF;
RETURN NULL;
                END;
            $function$
;

CREATE OR REPLACE FUNCTION public.sync_now()
 RETURNS timestamp with time zone
 LANGUAGE sql
 PARALLEL SAFE
AS $function$SELECT clock_timestamp()$function$
;

