import django.contrib.postgres.fields
import django.db.models.deletion
import pgtrigger.compiler
import pgtrigger.migrations
import sync.clock
import sync.kernel.db
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [("pghistory", "0007_auto_20250421_0444")]

    operations = [
        migrations.CreateModel(
            name="Contact",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "monday_id",
                    models.CharField(
                        blank=True, editable=False, max_length=50, null=True, unique=True, verbose_name="Monday item"
                    ),
                ),
                ("item_since", models.DateTimeField(editable=False, null=True)),
                (
                    "monday_last_synced",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last found in sync"),
                ),
                (
                    "sync_status",
                    models.CharField(
                        choices=[
                            ("synced", "Synced"),
                            ("pending", "Pending"),
                            ("conflict", "Conflict"),
                            ("disabled", "Sync off"),
                        ],
                        db_default="pending",
                        db_index=True,
                        default="pending",
                        editable=False,
                        max_length=20,
                    ),
                ),
                (
                    "sync_enabled",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="When off, nothing is synced in either direction.",
                        verbose_name="sync with Monday",
                    ),
                ),
                (
                    "sync_direction",
                    models.CharField(
                        choices=[
                            ("bidirectional", "Both ways"),
                            ("npd_to_monday", "NPD to Monday only"),
                            ("monday_to_npd", "Monday to NPD only"),
                            ("none", "Sync off"),
                        ],
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow(), editable=False)),
                ("updated_at", models.DateTimeField(db_default=sync.clock.SyncNow(), editable=False)),
                ("name", models.CharField(max_length=255)),
                ("email", models.EmailField(blank=True, db_default="", default="", max_length=254)),
                (
                    "role_title",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="role"),
                ),
                ("phone", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("notes", models.TextField(blank=True, db_default="", default="")),
            ],
            options={
                "db_table": "contacts",
                "ordering": [sync.kernel.db.SortKey("name"), "id"],
                "abstract": False,
                "default_permissions": ("add", "change", "delete", "view", "import", "export"),
            },
        ),
        migrations.CreateModel(
            name="Organization",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                (
                    "monday_id",
                    models.CharField(
                        blank=True, editable=False, max_length=50, null=True, unique=True, verbose_name="Monday item"
                    ),
                ),
                ("item_since", models.DateTimeField(editable=False, null=True)),
                (
                    "monday_last_synced",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last found in sync"),
                ),
                (
                    "sync_status",
                    models.CharField(
                        choices=[
                            ("synced", "Synced"),
                            ("pending", "Pending"),
                            ("conflict", "Conflict"),
                            ("disabled", "Sync off"),
                        ],
                        db_default="pending",
                        db_index=True,
                        default="pending",
                        editable=False,
                        max_length=20,
                    ),
                ),
                (
                    "sync_enabled",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="When off, nothing is synced in either direction.",
                        verbose_name="sync with Monday",
                    ),
                ),
                (
                    "sync_direction",
                    models.CharField(
                        choices=[
                            ("bidirectional", "Both ways"),
                            ("npd_to_monday", "NPD to Monday only"),
                            ("monday_to_npd", "Monday to NPD only"),
                            ("none", "Sync off"),
                        ],
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow(), editable=False)),
                ("updated_at", models.DateTimeField(db_default=sync.clock.SyncNow(), editable=False)),
                ("name", models.CharField(max_length=255)),
                (
                    "aliases",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255), blank=True, db_default=[], default=list, size=100
                    ),
                ),
                (
                    "address_street",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="street"),
                ),
                (
                    "address_city",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="city"),
                ),
                (
                    "address_state",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="state"),
                ),
                (
                    "address_zip",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="zip code"),
                ),
                (
                    "address_country",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="country"),
                ),
                (
                    "inventory_url",
                    models.URLField(blank=True, db_default="", default="", max_length=500, verbose_name="inventory"),
                ),
                ("notes", models.TextField(blank=True, db_default="", default="")),
                (
                    "billing_contact",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="billed_organizations",
                        to="npd.contact",
                    ),
                ),
            ],
            options={
                "db_table": "organizations",
                "ordering": [sync.kernel.db.SortKey("name"), "id"],
                "abstract": False,
                "default_permissions": ("add", "change", "delete", "view", "import", "export"),
            },
        ),
        migrations.CreateModel(
            name="ContactEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                (
                    "sync_enabled",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="When off, nothing is synced in either direction.",
                        verbose_name="sync with Monday",
                    ),
                ),
                (
                    "sync_direction",
                    models.CharField(
                        choices=[
                            ("bidirectional", "Both ways"),
                            ("npd_to_monday", "NPD to Monday only"),
                            ("monday_to_npd", "Monday to NPD only"),
                            ("none", "Sync off"),
                        ],
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                ("email", models.EmailField(blank=True, db_default="", default="", max_length=254)),
                (
                    "role_title",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="role"),
                ),
                ("phone", models.CharField(blank=True, db_default="", default="", max_length=64)),
                ("notes", models.TextField(blank=True, db_default="", default="")),
                (
                    "pgh_context",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="npd.contact",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="npd.organization",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.AddField(
            model_name="contact",
            name="organization",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="contacts",
                to="npd.organization",
            ),
        ),
        migrations.CreateModel(
            name="OrganizationEvent",
            fields=[
                ("pgh_id", models.AutoField(primary_key=True, serialize=False)),
                ("pgh_created_at", models.DateTimeField(auto_now_add=True)),
                ("pgh_label", models.TextField(help_text="The event label.")),
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, serialize=False)),
                (
                    "sync_enabled",
                    models.BooleanField(
                        db_default=True,
                        default=True,
                        help_text="When off, nothing is synced in either direction.",
                        verbose_name="sync with Monday",
                    ),
                ),
                (
                    "sync_direction",
                    models.CharField(
                        choices=[
                            ("bidirectional", "Both ways"),
                            ("npd_to_monday", "NPD to Monday only"),
                            ("monday_to_npd", "Monday to NPD only"),
                            ("none", "Sync off"),
                        ],
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                (
                    "aliases",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=255), blank=True, db_default=[], default=list, size=100
                    ),
                ),
                (
                    "address_street",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="street"),
                ),
                (
                    "address_city",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="city"),
                ),
                (
                    "address_state",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="state"),
                ),
                (
                    "address_zip",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="zip code"),
                ),
                (
                    "address_country",
                    models.CharField(blank=True, db_default="", default="", max_length=255, verbose_name="country"),
                ),
                (
                    "inventory_url",
                    models.URLField(blank=True, db_default="", default="", max_length=500, verbose_name="inventory"),
                ),
                ("notes", models.TextField(blank=True, db_default="", default="")),
                (
                    "billing_contact",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="npd.contact",
                    ),
                ),
                (
                    "pgh_context",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="events",
                        to="npd.organization",
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.AddIndex(
            model_name="organization",
            index=models.Index(sync.kernel.db.SortKey("name"), models.F("id"), name="organizations_by_name"),
        ),
        migrations.AddIndex(
            model_name="organization", index=models.Index(fields=["updated_at"], name="organizations_by_change")
        ),
        migrations.AddIndex(
            model_name="organization", index=models.Index(fields=["item_since"], name="organizations_by_item_since")
        ),
        migrations.AddIndex(
            model_name="organization",
            index=models.Index(
                models.Func(
                    "name",
                    output_field=models.TextField(),
                    template="normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(%(expressions)s, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC)",
                ),
                name="organizations_by_match_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_status__in", ["synced", "pending", "conflict", "disabled"])),
                name="organization_sync_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_direction__in", ["bidirectional", "npd_to_monday", "monday_to_npd", "none"])),
                name="organization_sync_direction_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="organization",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="organization_has_a_name"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_status_new",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM pg_current_xact_id();\n    NEW.updated_at := sync_now();\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;\n    RETURN NEW;\n",
                    hash="57fa71ba93839d6eb434e37b11696c19a38dd5f3",
                    operation="INSERT",
                    pgid="pgtrigger_sync_status_new_b74b9",
                    table="organizations",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_item_since",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."monday_id" IS DISTINCT FROM (NEW."monday_id"))',
                    func="NEW.item_since := sync_now(); RETURN NEW;",
                    hash="ace0158071dd7b9ae10a65c260bc231b4fcb4206",
                    operation='UPDATE OF "monday_id"',
                    pgid="pgtrigger_sync_item_since_4f3e7",
                    table="organizations",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_bookkeeping",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."address_city" IS DISTINCT FROM (NEW."address_city") OR OLD."address_country" IS DISTINCT FROM (NEW."address_country") OR OLD."address_state" IS DISTINCT FROM (NEW."address_state") OR OLD."address_street" IS DISTINCT FROM (NEW."address_street") OR OLD."address_zip" IS DISTINCT FROM (NEW."address_zip") OR OLD."aliases" IS DISTINCT FROM (NEW."aliases") OR OLD."billing_contact_id" IS DISTINCT FROM (NEW."billing_contact_id") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."inventory_url" IS DISTINCT FROM (NEW."inventory_url") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."notes" IS DISTINCT FROM (NEW."notes") OR OLD."sync_direction" IS DISTINCT FROM (NEW."sync_direction") OR OLD."sync_enabled" IS DISTINCT FROM (NEW."sync_enabled"))',
                    func="\n    NEW.updated_at := sync_now();\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'\n        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'\n        ELSE NEW.sync_status END;\n    RETURN NEW;\n",
                    hash="b31f9328cba3d87304cb9c6474a26f7a1a1b13fd",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_bookkeeping_c96a6",
                    table="organizations",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'organization', changed.id, 'to_monday', 'create', '{}'::jsonb, 20, 1\n    FROM (SELECT id FROM new_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '';\nRETURN NULL;",
                    hash="155de20389ba8ab335342e3725825bb4144a3498",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_sync_outbox_insert_3a021",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT \'organization\', changed.id, \'to_monday\', \'update\', \'{}\'::jsonb, 20, 1\n    FROM (SELECT new_values.id FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting(\'npd.settling\', true), \'\'), \',\'))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = \'pending\' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = \'\', error_message = \'\';\nRETURN NULL;',
                    hash="7037ab312070734780b292b0d7c7fd76c921c755",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_outbox_update_28580",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE deletion uuid;",
                    func="\n    deletion := _pgh_attach_context();\n    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data, context_id)\n    SELECT 'organization', gone.id, gone.monday_id, to_jsonb(gone.*), deletion\n    FROM old_values AS gone ORDER BY gone.id\n    ON CONFLICT (entity_type, entity_id) DO UPDATE\n    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),\n        context_id = excluded.context_id, state = 'waiting', settled_at = NULL, note = '';\n\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'organization', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1\n    FROM (SELECT id, monday_id FROM old_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;\nRETURN NULL;",
                    hash="f47299955d91c518187e16e2b74a3db259435620",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_outbox_delete_e35ec",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_item_matched",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (NEW."monday_id" IS NOT NULL)',
                    func="DELETE FROM sync_unmatched_items WHERE item_id = NEW.monday_id; RETURN NULL;",
                    hash="cf5f2c701ac84d312261d56189e591718bf2e1fb",
                    operation='INSERT OR UPDATE OF "monday_id"',
                    pgid="pgtrigger_sync_item_matched_ab908",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="wake_contact_organization_new",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func="\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT 'item ' || monday_id AS target FROM new_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(name, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC) FROM new_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = 'pending'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;",
                    hash="f55ea9d8b8813104b0b1606f732f4b2bc9cf3848",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_wake_contact_organization_new_cacd3",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="wake_contact_organization_changed",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func="\n    SELECT array_agg(DISTINCT pointing.id) INTO woken\n    FROM (\n        SELECT new_values.id, old_values.name IS DISTINCT FROM new_values.name AS renamed,\n            (old_values.monday_id, old_values.sync_enabled, old_values.sync_direction) IS DISTINCT FROM\n            (new_values.monday_id, new_values.sync_enabled, new_values.sync_direction) AS switched\n        FROM old_values JOIN new_values ON (old_values.\"id\") = (new_values.\"id\") WHERE (old_values.\"monday_id\" IS DISTINCT FROM (new_values.\"monday_id\") OR old_values.\"name\" IS DISTINCT FROM (new_values.\"name\") OR old_values.\"sync_direction\" IS DISTINCT FROM (new_values.\"sync_direction\") OR old_values.\"sync_enabled\" IS DISTINCT FROM (new_values.\"sync_enabled\"))\n    ) AS seen\n    JOIN contacts AS pointing ON pointing.organization_id = seen.id\n    JOIN sync_board_links AS link ON link.entity_type = 'contact'\n    JOIN sync_field_mappings AS mapping ON mapping.link_id = link.id AND 'organization' = ANY (mapping.fields)\n    WHERE pointing.sync_enabled AND pointing.sync_direction <> 'none' AND (\n        mapping.column_id <> '' AND CASE mapping.converter WHEN 'relation_name' THEN seen.renamed ELSE seen.switched END\n        OR seen.renamed AND link.sync_filter -> 'records' @> jsonb_build_array(jsonb_build_object('field', mapping.key))\n    );\n\n    IF woken IS NOT NULL THEN\n        UPDATE contacts AS pointing SET sync_status = 'pending'\n        FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n              ORDER BY id FOR NO KEY UPDATE) AS locked\n        WHERE pointing.id = locked.id;\n        INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n        SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n        ORDER BY id\n        ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n        DO UPDATE SET\n            priority = least(sync_queue.priority, excluded.priority),\n            next_retry = least(sync_queue.next_retry, excluded.next_retry),\n            causes = sync_queue.causes | excluded.causes;\n    END IF;\n\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT 'item ' || monday_id AS target FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values.\"id\") = (new_values.\"id\") WHERE (old_values.\"monday_id\" IS DISTINCT FROM (new_values.\"monday_id\") OR old_values.\"name\" IS DISTINCT FROM (new_values.\"name\") OR old_values.\"sync_direction\" IS DISTINCT FROM (new_values.\"sync_direction\") OR old_values.\"sync_enabled\" IS DISTINCT FROM (new_values.\"sync_enabled\"))) AS old_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(name, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC) FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values.\"id\") = (new_values.\"id\") WHERE (old_values.\"monday_id\" IS DISTINCT FROM (new_values.\"monday_id\") OR old_values.\"name\" IS DISTINCT FROM (new_values.\"name\") OR old_values.\"sync_direction\" IS DISTINCT FROM (new_values.\"sync_direction\") OR old_values.\"sync_enabled\" IS DISTINCT FROM (new_values.\"sync_enabled\"))) AS old_values UNION SELECT 'item ' || monday_id AS target FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values.\"id\") = (new_values.\"id\") WHERE (old_values.\"monday_id\" IS DISTINCT FROM (new_values.\"monday_id\") OR old_values.\"name\" IS DISTINCT FROM (new_values.\"name\") OR old_values.\"sync_direction\" IS DISTINCT FROM (new_values.\"sync_direction\") OR old_values.\"sync_enabled\" IS DISTINCT FROM (new_values.\"sync_enabled\"))) AS new_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(name, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC) FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values.\"id\") = (new_values.\"id\") WHERE (old_values.\"monday_id\" IS DISTINCT FROM (new_values.\"monday_id\") OR old_values.\"name\" IS DISTINCT FROM (new_values.\"name\") OR old_values.\"sync_direction\" IS DISTINCT FROM (new_values.\"sync_direction\") OR old_values.\"sync_enabled\" IS DISTINCT FROM (new_values.\"sync_enabled\"))) AS new_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = 'pending'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;",
                    hash="4dff9c93649f4db69d438ccacfbb394099ffb305",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_wake_contact_organization_changed_b9a89",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="wake_contact_organization_gone",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func="\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT 'item ' || monday_id AS target FROM old_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(name, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC) FROM old_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = 'pending'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;",
                    hash="1c685a06949c8222da20de9dc0c8b2ac9e7ea28f",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_wake_contact_organization_gone_ac61a",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, sync_now(), \'insert\', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="58bf285d64dfb28cb9cb57c850a20eda5b124f10",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_7b077",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="organization",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, sync_now(), \'update\', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="21393bf3ef46c950cc509331fa70299c66056259",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_dba07",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(sync.kernel.db.SortKey("name"), models.F("id"), name="contacts_by_name"),
        ),
        migrations.AddIndex(model_name="contact", index=models.Index(fields=["updated_at"], name="contacts_by_change")),
        migrations.AddIndex(
            model_name="contact", index=models.Index(fields=["item_since"], name="contacts_by_item_since")
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.Func(
                    "email",
                    output_field=models.TextField(),
                    template="normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(%(expressions)s, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC)",
                ),
                name="contacts_by_match_key",
            ),
        ),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                models.Func(
                    "name",
                    output_field=models.TextField(),
                    template="normalize(regexp_replace(regexp_replace(replace(translate(replace(replace(lower(btrim(regexp_replace(normalize(regexp_replace(%(expressions)s, '[\\u0001-\\u0008\\u000e-\\u001b\\u007f-\\u0084\\u0086-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\U0001bca0-\\U0001bca3\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff]+', '', 'g'), NFKC), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))), 'ß', 'ss'), 'i̇', 'i'), 'ςı。', 'σi.'), ' ́', ''''), '[`ʹʻʼʽ՚‘’‛′‵ꞌ](?=[^ ]* )|(?<= [^ ]*)[`ʹʻʼʽ՚‘’‛′‵ꞌ]|(?<!^.+@.*)[`ʹʻʼʽ՚‘’‛′‵ꞌ](?!.*@)', '''', 'g'), '[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?=[^ ]* )|(?<= [^ ]*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭]|(?<!^.+@.*)[֊־᐀᠆‐‑‒–—―⁃−⸗⸚⸺⸻⹀⹝〜〰゠𐺭](?!.*@)', '-', 'g'), NFC)",
                ),
                name="contacts_by_name_key",
            ),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_status__in", ["synced", "pending", "conflict", "disabled"])),
                name="contact_sync_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.CheckConstraint(
                condition=models.Q(("sync_direction__in", ["bidirectional", "npd_to_monday", "monday_to_npd", "none"])),
                name="contact_sync_direction_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.CheckConstraint(
                condition=models.Q(("name", ""), _negated=True), name="contact_has_a_name"
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_status_new",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    PERFORM pg_current_xact_id();\n    NEW.updated_at := sync_now();\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;\n    RETURN NEW;\n",
                    hash="26c6e8fc0c39e750c82ee069f59e213e6bc5c365",
                    operation="INSERT",
                    pgid="pgtrigger_sync_status_new_47269",
                    table="contacts",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_item_since",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."monday_id" IS DISTINCT FROM (NEW."monday_id"))',
                    func="NEW.item_since := sync_now(); RETURN NEW;",
                    hash="63e20f24ef986d359e214b0a8ac565685bbd7602",
                    operation='UPDATE OF "monday_id"',
                    pgid="pgtrigger_sync_item_since_1fb0b",
                    table="contacts",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_bookkeeping",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (OLD."email" IS DISTINCT FROM (NEW."email") OR OLD."id" IS DISTINCT FROM (NEW."id") OR OLD."name" IS DISTINCT FROM (NEW."name") OR OLD."notes" IS DISTINCT FROM (NEW."notes") OR OLD."organization_id" IS DISTINCT FROM (NEW."organization_id") OR OLD."phone" IS DISTINCT FROM (NEW."phone") OR OLD."role_title" IS DISTINCT FROM (NEW."role_title") OR OLD."sync_direction" IS DISTINCT FROM (NEW."sync_direction") OR OLD."sync_enabled" IS DISTINCT FROM (NEW."sync_enabled"))',
                    func="\n    NEW.updated_at := sync_now();\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled'\n        WHEN OLD.sync_status IN ('disabled', 'synced') THEN 'pending'\n        ELSE NEW.sync_status END;\n    RETURN NEW;\n",
                    hash="1f9efe136fa6fc550344b945ba4b2ef8a8941ce5",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_bookkeeping_ea97b",
                    table="contacts",
                    when="BEFORE",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func="\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'contact', changed.id, 'to_monday', 'create', '{}'::jsonb, 20, 1\n    FROM (SELECT id FROM new_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '';\nRETURN NULL;",
                    hash="567104ad9169889a317fffb68a2557cfb4ac48f8",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_sync_outbox_insert_2a583",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT \'contact\', changed.id, \'to_monday\', \'update\', \'{}\'::jsonb, 20, 1\n    FROM (SELECT new_values.id FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting(\'npd.settling\', true), \'\'), \',\'))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = \'pending\' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = \'\', error_message = \'\';\nRETURN NULL;',
                    hash="02096c9a3eafd89b433b4efbc69e16ed25168c86",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_sync_outbox_update_5eaca",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_outbox_delete",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    declare="DECLARE deletion uuid;",
                    func="\n    deletion := _pgh_attach_context();\n    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data, context_id)\n    SELECT 'contact', gone.id, gone.monday_id, to_jsonb(gone.*), deletion\n    FROM old_values AS gone ORDER BY gone.id\n    ON CONFLICT (entity_type, entity_id) DO UPDATE\n    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),\n        context_id = excluded.context_id, state = 'waiting', settled_at = NULL, note = '';\n\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'contact', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1\n    FROM (SELECT id, monday_id FROM old_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;\nRETURN NULL;",
                    hash="7c9907787eaa02e5cc8570263fe58c5b3a2a4581",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_outbox_delete_4e191",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="sync_item_matched",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    condition='WHEN (NEW."monday_id" IS NOT NULL)',
                    func="DELETE FROM sync_unmatched_items WHERE item_id = NEW.monday_id; RETURN NULL;",
                    hash="d20ee0e6e2f4e51b39b33c31977d9037a813fd41",
                    operation='INSERT OR UPDATE OF "monday_id"',
                    pgid="pgtrigger_sync_item_matched_e6df3",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="insert_insert",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, sync_now(), \'insert\', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="bf88762dcbc43cf52a269f71e7d88bb3cb0c300e",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_0faa5",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name="contact",
            trigger=pgtrigger.compiler.Trigger(
                name="update_update",
                sql=pgtrigger.compiler.UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, sync_now(), \'update\', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="6bc7c692b040588307dad3983827016cae447952",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_f50d0",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
    ]
