"""Whoever only resolves conflicts sees those and their records; exports are for the other groups.

A group that an administrator has changed since stays as it is.
"""

from importlib import import_module

from django.db import migrations

permission = import_module("npd.migrations.0005_groups").permission
RESOLVERS = "NPD Sync: resolve conflicts"
EXPORTERS = ("NPD Sync: view", "NPD Sync: steer the queue", "NPD Sync: change mappings")
NOT_THEIRS = [
    *(("sync", model, "view") for model in (
        "boardlink", "fieldmapping", "guardedact", "intent", "mondayaccount", "refuseditem", "syncaudit",
        "syncmetadata", "syncqueue", "tombstone", "unmatcheditem", "webhookevent",
    )),
    ("django_celery_beat", "periodictask", "view"),
]  # fmt: skip


def narrow(apps, schema_editor):
    Group, kept = apps.get_model("auth", "Group"), [permission(apps, *one) for one in NOT_THEIRS]
    for group in Group.objects.filter(name=RESOLVERS):
        if set(kept) <= set(group.permissions.all()):
            group.permissions.remove(*kept)
    export = right_to_export(apps)
    for group in Group.objects.filter(name__in=EXPORTERS, permissions__codename="view_contact"):
        group.permissions.add(export)


def widen(apps, schema_editor):
    Group, export = apps.get_model("auth", "Group"), right_to_export(apps)
    for group in Group.objects.filter(name=RESOLVERS, permissions__codename="change_syncconflict"):
        group.permissions.add(*(permission(apps, *one) for one in NOT_THEIRS))
    for group in Group.objects.filter(permissions=export):
        group.permissions.remove(export)


def right_to_export(apps):
    # Permissions are made after all migrations; here as Django would make it, which then finds it there.
    kind, _ = apps.get_model("contenttypes", "ContentType").objects.get_or_create(app_label="sync", model="export")
    found, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename="export_lists", defaults={"name": "Can export lists"}
    )
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("npd", "0016_told_of_second_factors"),
        ("sync", "0043_exports_and_retries"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # These migrations know the models by the names that they had until then.
    run_before = [("sync", "0049_todays_words")]

    operations = [migrations.RunPython(narrow, widen)]
