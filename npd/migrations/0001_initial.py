"""The state that all migrations up to 0017_roles had made. Where they were applied, this counts as applied."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models.functions.text import Lower
from pgtrigger.compiler import Trigger, UpsertTriggerSql
from pgtrigger.migrations import AddTrigger

from sync.clock import SyncNow

EMPTY = models.Value({}, models.JSONField())

# fmt: off
REPLACED = [
    "0002_relations", "0003_deleted_again", "0004_imports", "0005_groups", "0006_import_files", "0007_vocabulary",
    "0008_unmatched_items", "0009_one_spelling", "0010_match_keys", "0011_second_factors", "0012_record_events",
    "0013_by_change", "0014_growing_locks", "0015_what_off_means", "0016_told_of_second_factors", "0017_roles",
]
SYNC_STATUS = [("synced", "Synced"), ("pending", "Pending"), ("conflict", "Conflict"), ("disabled", "Sync off")]
SYNC_DIRECTION = [
    ("bidirectional", "Both ways"), ("npd_to_monday", "NPD to Monday only"), ("monday_to_npd", "Monday to NPD only"),
    ("none", "No sync"),
]
IMPORT_JOB_STATE = [
    ("reading", "Being read"), ("failed", "Could not be read"), ("shown", "Not confirmed yet"),
    ("running", "Being imported"), ("done", "Imported"), ("undoing", "Being undone"), ("undone", "Undone"),
]
IMPORT_ROW_OUTCOME = [
    ("new", "New"), ("changed", "Changed"), ("unchanged", "Unchanged"), ("invalid", "Not imported"),
    ("ambiguous", "Ambiguous"), ("repeated", "Repeated"), ("other", "Another record?"),
]
IMPORT_ROW_RESULT = [
    ("", "Not imported"), ("written", "Imported"), ("left", "Left alone"), ("undone", "Undone"), ("kept", "Not undone"),
]

# The groups of permissions, made where they are missing: from then on they are the administrator's.
VIEW = [
    *(("npd", model, "view") for model in ("contact", "organization")),
    *(
        ("sync", model, "view")
        for model in (
            "boardlink", "decision", "fieldmapping", "guardedact", "intent", "mondayaccount", "refuseditem",
            "syncaudit", "syncmetadata", "syncqueue", "tombstone", "unmatcheditem", "webhookevent",
        )
    ),
    ("conflicts", "syncconflict", "view"), ("django_celery_beat", "periodictask", "view"),
    ("sync", "export", "export_lists"),
]
GROUPS = {
    "NPD Sync: view": VIEW,
    "NPD Sync: resolve conflicts": [
        ("npd", "contact", "view"), ("npd", "organization", "view"), ("sync", "decision", "view"),
        ("conflicts", "syncconflict", "view"), ("conflicts", "syncconflict", "change"),
    ],
    "NPD Sync: operate": [
        *VIEW,
        *(("sync", "syncqueue", act) for act in ("retry", "cancel", "discard", "pause")),
        ("sync", "guardedact", "change"), ("sync", "refuseditem", "delete"), ("sync", "unmatcheditem", "change"),
        ("sync", "boardlink", "change"), ("sync", "fieldmapping", "change"),
        ("django_celery_beat", "periodictask", "change"),
    ],
}
# fmt: on


def make_groups(apps, schema_editor):
    # Permissions are made after all migrations; those that a group needs are made here, as Django would make them,
    # which then finds them there.
    Group = apps.get_model("auth", "Group")
    for name, wanted in GROUPS.items():
        group, made = Group.objects.get_or_create(name=name)
        if made:
            group.permissions.set([permission(apps, *one) for one in wanted])


def permission(apps, app, model, act):
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label=app, model=model)
    options = apps.get_model(app, model)._meta
    own = dict(options.permissions)
    codename = act if act in own else f"{act}_{model}"
    found, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind,
        codename=codename,
        defaults={"name": own.get(codename, f"Can {act} {options.verbose_name_raw}")},
    )
    return found


class Migration(migrations.Migration):
    initial = True

    replaces = [("npd", name) for name in REPLACED]

    dependencies = [
        ("sync", "0001_initial"),
        ("conflicts", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_celery_beat", "0001_initial"),
        ("pghistory", "0007_auto_20250421_0444"),
    ]

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
                (
                    "monday_last_synced",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last found in sync"),
                ),
                (
                    "sync_status",
                    models.CharField(
                        choices=SYNC_STATUS,
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
                        choices=SYNC_DIRECTION,
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=SyncNow(), editable=False)),
                ("updated_at", models.DateTimeField(db_default=SyncNow(), editable=False)),
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
                "ordering": ["name", "id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["name", "id"], name="contacts_by_name"),
                    models.Index(
                        Lower(
                            models.Func(
                                models.Func(models.F("email"), function="normalize", output_field=models.TextField()),
                                models.Value(" \t\n\r\x0c\x0b\xa0"),
                                function="btrim",
                                output_field=models.TextField(),
                            )
                        ),
                        name="contacts_by_match_key",
                    ),
                    models.Index(fields=["updated_at"], name="contacts_by_change"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("sync_status__in", ["synced", "pending", "conflict", "disabled"])),
                        name="contact_sync_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("sync_direction__in", ["bidirectional", "npd_to_monday", "monday_to_npd", "none"])
                        ),
                        name="contact_sync_direction_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("name", ""), _negated=True), name="contact_has_a_name"),
                ],
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
                (
                    "monday_last_synced",
                    models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last found in sync"),
                ),
                (
                    "sync_status",
                    models.CharField(
                        choices=SYNC_STATUS,
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
                        choices=SYNC_DIRECTION,
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=SyncNow(), editable=False)),
                ("updated_at", models.DateTimeField(db_default=SyncNow(), editable=False)),
                ("name", models.CharField(max_length=255)),
                (
                    "aliases",
                    ArrayField(
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
                        on_delete=models.SET_NULL,
                        related_name="billed_organizations",
                        to="npd.contact",
                    ),
                ),
            ],
            options={
                "db_table": "organizations",
                "ordering": ["name", "id"],
                "abstract": False,
                "indexes": [
                    models.Index(fields=["name", "id"], name="organizations_by_name"),
                    models.Index(
                        Lower(
                            models.Func(
                                models.Func(models.F("name"), function="normalize", output_field=models.TextField()),
                                models.Value(" \t\n\r\x0c\x0b\xa0"),
                                function="btrim",
                                output_field=models.TextField(),
                            )
                        ),
                        name="organizations_by_match_key",
                    ),
                    models.Index(fields=["updated_at"], name="organizations_by_change"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("sync_status__in", ["synced", "pending", "conflict", "disabled"])),
                        name="organization_sync_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("sync_direction__in", ["bidirectional", "npd_to_monday", "monday_to_npd", "none"])
                        ),
                        name="organization_sync_direction_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("name", ""), _negated=True), name="organization_has_a_name"
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="contact",
            name="organization",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=models.SET_NULL, related_name="contacts", to="npd.organization"
            ),
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
                        choices=SYNC_DIRECTION,
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
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False, on_delete=models.DO_NOTHING, related_name="events", to="npd.contact"
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        null=True,
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        related_query_name="+",
                        to="npd.organization",
                    ),
                ),
            ],
            options={"abstract": False},
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
                        choices=SYNC_DIRECTION,
                        db_default="bidirectional",
                        default="bidirectional",
                        max_length=20,
                        verbose_name="direction",
                    ),
                ),
                ("name", models.CharField(max_length=255)),
                (
                    "aliases",
                    ArrayField(
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
                        on_delete=models.DO_NOTHING,
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
                        on_delete=models.DO_NOTHING,
                        related_name="+",
                        to="pghistory.context",
                    ),
                ),
                (
                    "pgh_obj",
                    models.ForeignKey(
                        db_constraint=False, on_delete=models.DO_NOTHING, related_name="events", to="npd.organization"
                    ),
                ),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="ImportJob",
            fields=[
                ("id", models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ("entity_type", models.CharField(max_length=50)),
                ("file_name", models.CharField(max_length=255)),
                (
                    "how",
                    models.CharField(blank=True, db_default="", max_length=255, verbose_name="how the file was read"),
                ),
                ("options", models.JSONField(blank=True, db_default=EMPTY)),
                ("columns", models.JSONField(blank=True, default=list)),
                ("counts", models.JSONField(blank=True, db_default=EMPTY)),
                ("organizations", models.JSONField(blank=True, db_default=EMPTY)),
                ("state", models.CharField(choices=IMPORT_JOB_STATE, db_default="shown", max_length=20)),
                ("made_at", models.DateTimeField(db_default=SyncNow())),
                ("moved_at", models.DateTimeField(db_default=SyncNow(), verbose_name="when it last got on")),
                ("by", models.ForeignKey(on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
                (
                    "done_by",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=models.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("facts", models.JSONField(blank=True, db_default=EMPTY)),
                (
                    "reason",
                    models.CharField(blank=True, db_default="", max_length=50, verbose_name="why it could not be read"),
                ),
                ("rows_compared", models.IntegerField(db_default=0)),
                ("rows_read", models.IntegerField(db_default=0)),
                ("attempts", models.SmallIntegerField(db_default=0, verbose_name="how often reading it was begun")),
            ],
            options={
                "db_table": "npd_imports",
                "default_permissions": (),
                "indexes": [models.Index(fields=["-made_at"], name="npd_imports_by_age")],
            },
        ),
        migrations.CreateModel(
            name="ImportRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.IntegerField()),
                ("outcome", models.CharField(choices=IMPORT_ROW_OUTCOME, max_length=20)),
                ("record_id", models.UUIDField(blank=True, null=True)),
                ("name", models.CharField(blank=True, db_default="", max_length=255)),
                ("cells", models.JSONField(blank=True, default=list)),
                ("before", models.JSONField(blank=True, db_default=EMPTY)),
                ("after", models.JSONField(blank=True, db_default=EMPTY)),
                ("problems", models.JSONField(blank=True, default=list)),
                ("result", models.CharField(blank=True, choices=IMPORT_ROW_RESULT, db_default="", max_length=20)),
                ("note", models.TextField(blank=True, db_default="")),
                ("job", models.ForeignKey(on_delete=models.CASCADE, related_name="rows", to="npd.importjob")),
            ],
            options={
                "db_table": "npd_import_rows",
                "ordering": ["number"],
                "default_permissions": (),
                "indexes": [models.Index(fields=["job", "outcome", "result"], name="npd_import_rows_to_do")],
                "constraints": [models.UniqueConstraint(fields=("job", "number"), name="npd_import_rows_one_a_number")],
            },
        ),
        migrations.CreateModel(
            name="ImportFile",
            fields=[
                (
                    "job",
                    models.OneToOneField(
                        on_delete=models.CASCADE,
                        primary_key=True,
                        related_name="file",
                        serialize=False,
                        to="npd.importjob",
                    ),
                ),
                ("content", models.BinaryField()),
            ],
            options={"db_table": "npd_import_files", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="SecondFactor",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed_key", models.TextField()),
                ("recovery", ArrayField(base_field=models.CharField(max_length=64), default=list, size=None)),
                ("last_step", models.BigIntegerField(db_default=-1)),
                ("failures", models.SmallIntegerField(db_default=0)),
                ("failed_at", models.DateTimeField(null=True)),
                ("made_at", models.DateTimeField(db_default=SyncNow())),
                ("confirmed_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=models.CASCADE, related_name="second_factor", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("failed_password", models.CharField(blank=True, db_default="", max_length=16)),
                ("told", models.SmallIntegerField(db_default=0)),
                ("turned_on_told", models.BooleanField(db_default=True)),
            ],
            options={"db_table": "npd_second_factors", "default_permissions": ()},
        ),
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_status_new",
                sql=UpsertTriggerSql(
                    func="\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;\n    RETURN NEW;\n",
                    hash="7f2e046bd42a4ab2c8c6c9436ba315df1d524152",
                    operation="INSERT",
                    pgid="pgtrigger_sync_status_new_47269",
                    table="contacts",
                    when="BEFORE",
                ),
            ),
        ),
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_bookkeeping",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_outbox_insert",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_outbox_update",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="insert_insert",
                sql=UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="660590137fb3537bb96fa1e6792490e9f420f32a",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_0faa5",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="update_update",
                sql=UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_contactevent" ("email", "id", "name", "notes", "organization_id", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "phone", "role_title", "sync_direction", "sync_enabled") SELECT new_values."email", new_values."id", new_values."name", new_values."notes", new_values."organization_id", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."phone", new_values."role_title", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."email" IS DISTINCT FROM (new_values."email") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."organization_id" IS DISTINCT FROM (new_values."organization_id") OR old_values."phone" IS DISTINCT FROM (new_values."phone") OR old_values."role_title" IS DISTINCT FROM (new_values."role_title") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="122278356e17ce34bcc9732fe7c1b2962ed12d2f",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_f50d0",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_outbox_delete",
                sql=UpsertTriggerSql(
                    func="\n    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data)\n    SELECT 'contact', gone.id, gone.monday_id, to_jsonb(gone.*)\n    FROM old_values AS gone ORDER BY gone.id\n    ON CONFLICT (entity_type, entity_id) DO UPDATE\n    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),\n        state = 'waiting', settled_at = NULL, note = '';\n\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'contact', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1\n    FROM (SELECT id, monday_id FROM old_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;\nRETURN NULL;",
                    hash="260d32f1eedaf43df0fd5de25be8e1e88dc6340b",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_outbox_delete_4e191",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="contacts",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_item_matched",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_event_insert",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_event_update",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="contact",
            trigger=Trigger(
                name="sync_event_delete",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_status_new",
                sql=UpsertTriggerSql(
                    func="\n    NEW.sync_status := CASE\n        WHEN NOT NEW.sync_enabled OR NEW.sync_direction = 'none' THEN 'disabled' ELSE 'pending' END;\n    RETURN NEW;\n",
                    hash="fe05baee51bba3934b126b5910a9205b83e66bf4",
                    operation="INSERT",
                    pgid="pgtrigger_sync_status_new_b74b9",
                    table="organizations",
                    when="BEFORE",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_bookkeeping",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_outbox_insert",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_outbox_update",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="insert_insert",
                sql=UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, NOW(), \'insert\', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM new_values  ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="7d6f49d1b31293949eca30e551c9767a2b6357b5",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_insert_insert_7b077",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="update_update",
                sql=UpsertTriggerSql(
                    func='WITH _pgh_attached_context AS ( SELECT _pgh_attach_context() AS value ) INSERT INTO "npd_organizationevent" ("address_city", "address_country", "address_state", "address_street", "address_zip", "aliases", "billing_contact_id", "id", "inventory_url", "name", "notes", "pgh_context_id", "pgh_created_at", "pgh_label", "pgh_obj_id", "sync_direction", "sync_enabled") SELECT new_values."address_city", new_values."address_country", new_values."address_state", new_values."address_street", new_values."address_zip", new_values."aliases", new_values."billing_contact_id", new_values."id", new_values."inventory_url", new_values."name", new_values."notes", _pgh_attached_context.value, NOW(), \'update\', new_values."id", new_values."sync_direction", new_values."sync_enabled" FROM ( SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."address_city" IS DISTINCT FROM (new_values."address_city") OR old_values."address_country" IS DISTINCT FROM (new_values."address_country") OR old_values."address_state" IS DISTINCT FROM (new_values."address_state") OR old_values."address_street" IS DISTINCT FROM (new_values."address_street") OR old_values."address_zip" IS DISTINCT FROM (new_values."address_zip") OR old_values."aliases" IS DISTINCT FROM (new_values."aliases") OR old_values."billing_contact_id" IS DISTINCT FROM (new_values."billing_contact_id") OR old_values."id" IS DISTINCT FROM (new_values."id") OR old_values."inventory_url" IS DISTINCT FROM (new_values."inventory_url") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."notes" IS DISTINCT FROM (new_values."notes") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled")) ) AS new_values, _pgh_attached_context; RETURN NULL;',
                    hash="94e98373fdf7137cf0fa165c813818fa0be181d2",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_update_update_dba07",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="wake_contact_organization_new",
                sql=UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func="\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT 'item ' || monday_id AS target FROM new_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))) FROM new_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = 'pending'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;",
                    hash="4bdc84b197f04a3dc293b66581682299ce0abbe5",
                    level="STATEMENT",
                    operation="INSERT",
                    pgid="pgtrigger_wake_contact_organization_new_cacd3",
                    referencing="REFERENCING NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="wake_contact_organization_changed",
                sql=UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func='\n    SELECT array_agg(DISTINCT pointing.id) INTO woken\n    FROM (\n        SELECT new_values.id, old_values.name IS DISTINCT FROM new_values.name AS renamed,\n            (old_values.monday_id, old_values.sync_enabled, old_values.sync_direction) IS DISTINCT FROM\n            (new_values.monday_id, new_values.sync_enabled, new_values.sync_direction) AS switched\n        FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))\n    ) AS seen\n    JOIN contacts AS pointing ON pointing.organization_id = seen.id\n    JOIN sync_board_links AS link ON link.entity_type = \'contact\'\n    JOIN sync_field_mappings AS mapping\n        ON mapping.link_id = link.id AND mapping.column_id <> \'\' AND \'organization\' = ANY (mapping.fields)\n    WHERE pointing.sync_enabled AND pointing.sync_direction <> \'none\'\n        AND CASE mapping.converter WHEN \'relation_name\' THEN seen.renamed ELSE seen.switched END;\n\n    IF woken IS NOT NULL THEN\n        UPDATE contacts AS pointing SET sync_status = \'pending\'\n        FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = \'synced\'\n              ORDER BY id FOR NO KEY UPDATE) AS locked\n        WHERE pointing.id = locked.id;\n        INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n        SELECT \'contact\', id, \'to_monday\', \'update\', 30, 32 FROM unnest(woken) AS id\n        ORDER BY id\n        ON CONFLICT (entity_type, entity_id, direction) WHERE status = \'pending\' AND entity_id IS NOT NULL\n        DO UPDATE SET\n            priority = least(sync_queue.priority, excluded.priority),\n            next_retry = least(sync_queue.next_retry, excluded.next_retry),\n            causes = sync_queue.causes | excluded.causes;\n    END IF;\n\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = \'contact\') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT \'item \' || monday_id AS target FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS old_values WHERE monday_id IS NOT NULL UNION SELECT \'name \' || lower(btrim(regexp_replace(normalize(name), \'[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+\', \' \', \'g\'))) FROM (SELECT old_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS old_values UNION SELECT \'item \' || monday_id AS target FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS new_values WHERE monday_id IS NOT NULL UNION SELECT \'name \' || lower(btrim(regexp_replace(normalize(name), \'[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+\', \' \', \'g\'))) FROM (SELECT new_values.* FROM old_values JOIN new_values ON (old_values."id") = (new_values."id") WHERE (old_values."monday_id" IS DISTINCT FROM (new_values."monday_id") OR old_values."name" IS DISTINCT FROM (new_values."name") OR old_values."sync_direction" IS DISTINCT FROM (new_values."sync_direction") OR old_values."sync_enabled" IS DISTINCT FROM (new_values."sync_enabled"))) AS new_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = \'contact\' AND awaiting.target_type = \'organization\';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = \'pending\'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = \'synced\'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT \'contact\', id, \'to_monday\', \'update\', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = \'pending\' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;',
                    hash="7a2830872b53d00577718b3c0d0940745b3521e1",
                    level="STATEMENT",
                    operation="UPDATE",
                    pgid="pgtrigger_wake_contact_organization_changed_b9a89",
                    referencing="REFERENCING OLD TABLE AS old_values  NEW TABLE AS new_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="wake_contact_organization_gone",
                sql=UpsertTriggerSql(
                    declare="DECLARE woken uuid[];",
                    func="\n    IF EXISTS (SELECT 1 FROM sync_awaited_relations WHERE entity_type = 'contact') THEN\n        SELECT array_agg(DISTINCT awaiting.entity_id) INTO woken\n        FROM sync_awaited_relations AS awaiting JOIN (\n            SELECT 'item ' || monday_id AS target FROM old_values WHERE monday_id IS NOT NULL UNION SELECT 'name ' || lower(btrim(regexp_replace(normalize(name), '[\\s\\u001c-\\u001f\\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+', ' ', 'g'))) FROM old_values\n        ) AS come ON come.target = awaiting.target\n        WHERE awaiting.entity_type = 'contact' AND awaiting.target_type = 'organization';\n\n        IF woken IS NOT NULL THEN\n            UPDATE contacts AS pointing SET sync_status = 'pending'\n            FROM (SELECT id FROM contacts WHERE id = ANY (woken) AND sync_status = 'synced'\n                  ORDER BY id FOR NO KEY UPDATE) AS locked\n            WHERE pointing.id = locked.id;\n            INSERT INTO sync_queue (entity_type, entity_id, direction, operation, priority, causes)\n            SELECT 'contact', id, 'to_monday', 'update', 30, 32 FROM unnest(woken) AS id\n            ORDER BY id\n            ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n            DO UPDATE SET\n                priority = least(sync_queue.priority, excluded.priority),\n                next_retry = least(sync_queue.next_retry, excluded.next_retry),\n                causes = sync_queue.causes | excluded.causes;\n        END IF;\n\n    END IF;\nRETURN NULL;",
                    hash="c68333706dd8834eb2d9789720ced23bf84424c5",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_wake_contact_organization_gone_ac61a",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_outbox_delete",
                sql=UpsertTriggerSql(
                    func="\n    INSERT INTO sync_tombstones (entity_type, entity_id, monday_id, data)\n    SELECT 'organization', gone.id, gone.monday_id, to_jsonb(gone.*)\n    FROM old_values AS gone ORDER BY gone.id\n    ON CONFLICT (entity_type, entity_id) DO UPDATE\n    SET monday_id = excluded.monday_id, data = excluded.data, deleted_at = sync_now(),\n        state = 'waiting', settled_at = NULL, note = '';\n\n    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes)\n    SELECT 'organization', changed.id, 'to_monday', 'delete', jsonb_build_object('monday_id', changed.monday_id), 20, 1\n    FROM (SELECT id, monday_id FROM old_values) AS changed\n    WHERE NOT changed.id::text = ANY (string_to_array(coalesce(current_setting('npd.settling', true), ''), ','))\n    ORDER BY changed.id\n    ON CONFLICT (entity_type, entity_id, direction) WHERE status = 'pending' AND entity_id IS NOT NULL\n    DO UPDATE SET\n        priority = least(sync_queue.priority, excluded.priority),\n        next_retry = least(sync_queue.next_retry, excluded.next_retry),\n        causes = sync_queue.causes | excluded.causes,\n        attempts = 0, reason = '', error_message = '', operation = excluded.operation, payload = sync_queue.payload || excluded.payload;\nRETURN NULL;",
                    hash="ce66b9c7be41062e19ef7df59e27cf947cff1fdd",
                    level="STATEMENT",
                    operation="DELETE",
                    pgid="pgtrigger_sync_outbox_delete_e35ec",
                    referencing="REFERENCING OLD TABLE AS old_values ",
                    table="organizations",
                    when="AFTER",
                ),
            ),
        ),
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_item_matched",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_event_insert",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_event_update",
                sql=UpsertTriggerSql(
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
        AddTrigger(
            model_name="organization",
            trigger=Trigger(
                name="sync_event_delete",
                sql=UpsertTriggerSql(
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
        # Down: the groups stay, for people are in them.
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
