"""Four groups of permissions. Made where they are missing; from then on they are the administrator's."""

from django.db import migrations

LOOKED_AT = {
    "npd": ("contact", "organization"),
    "sync": (
        "boardlink", "decision", "fieldmapping", "guardedact", "intent", "mondayaccount", "refuseditem", "syncaudit",
        "syncmetadata", "syncqueue", "tombstone", "webhookevent",
    ),
    "conflicts": ("syncconflict",),
    "django_celery_beat": ("periodictask",),
}  # fmt: skip
VIEW = [(app, model, "view") for app, models in LOOKED_AT.items() for model in models]
GROUPS = {
    "NPD Sync: view": VIEW,
    "NPD Sync: resolve conflicts": [*VIEW, ("conflicts", "syncconflict", "change")],
    "NPD Sync: steer the queue": [
        *VIEW,
        ("sync", "syncqueue", "retry"),
        ("sync", "syncqueue", "cancel"),
        ("sync", "syncqueue", "discard"),
        ("sync", "syncqueue", "pause"),
        ("sync", "guardedact", "change"),
        ("sync", "refuseditem", "delete"),
        ("django_celery_beat", "periodictask", "change"),
    ],
    "NPD Sync: change mappings": [*VIEW, ("sync", "boardlink", "change"), ("sync", "fieldmapping", "change")],
}
NAMES = {
    "retry": "Can try queue rows again",
    "cancel": "Can cancel waiting queue rows",
    "discard": "Can discard dead letters",
    "pause": "Can pause and resume the sync",
}
"""The words of permissions that aren't Django's own."""


def make(apps, schema_editor):
    # Permissions are made after all migrations; those that a group needs are made here, as Django would make them,
    # which then finds them there.
    Group = apps.get_model("auth", "Group")
    for name, wanted in GROUPS.items():
        group, made = Group.objects.get_or_create(name=name)
        if made:
            group.permissions.set([permission(apps, *one) for one in wanted])


def permission(apps, app, model, act):
    ContentType = apps.get_model("contenttypes", "ContentType")
    kind, _ = ContentType.objects.get_or_create(app_label=app, model=model)
    words = apps.get_model(app, model)._meta.verbose_name_raw
    found, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=kind, codename=f"{act}_{model}", defaults={"name": NAMES.get(act, f"Can {act} {words}")}
    )
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("npd", "0004_imports"),
        ("sync", "0008_queue_permissions"),
        ("conflicts", "0001_initial"),
        ("django_celery_beat", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    # Down: the groups stay, for people are in them.
    operations = [migrations.RunPython(make, migrations.RunPython.noop)]
