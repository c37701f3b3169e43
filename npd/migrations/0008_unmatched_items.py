"""A record that gets an item takes it off the list of unmatched items; who may see and ignore what is on it."""

import pgtrigger.compiler
import pgtrigger.migrations
from django.db import migrations

# Whoever may do the one with ignored items may do the other with unmatched ones.
LIKE = {"view": "view", "delete": "change"}


def permit(apps, schema_editor):
    # Permissions are made after all migrations; here as Django would make them, which then finds them there.
    ContentType, Permission = apps.get_model("contenttypes", "ContentType"), apps.get_model("auth", "Permission")
    kind, _ = ContentType.objects.get_or_create(app_label="sync", model="unmatcheditem")
    groups = apps.get_model("auth", "Group").objects
    for known, act in LIKE.items():
        found, _ = Permission.objects.get_or_create(
            content_type=kind, codename=f"{act}_unmatcheditem", defaults={"name": f"Can {act} unmatched item"}
        )
        like = {"permissions__codename": f"{known}_refuseditem", "permissions__content_type__app_label": "sync"}
        for group in groups.filter(**like):
            group.permissions.add(found)


class Migration(migrations.Migration):
    dependencies = [
        ("npd", "0007_vocabulary"),
        ("sync", "0021_unmatched_items"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
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
        migrations.RunPython(permit, migrations.RunPython.noop),
    ]
