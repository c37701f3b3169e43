"""Rows of an import keep what can't be read of them and what Monday will probably reject, and may wait for their columns
to be chosen; who edits records has a group."""

from django.db import migrations, models

GROUP = "NPD Sync: edit contacts"
# fmt: off
MAY = (
    *(("npd", kind, act) for kind in ("contact", "organization") for act in ("view", "add", "change", "delete")),
    ("conflicts", "syncconflict", "view"), ("conflicts", "syncconflict", "change"), ("sync", "decision", "view"),
    ("sync", "syncmetadata", "view"), ("sync", "unmatcheditem", "view"), ("sync", "tombstone", "view"),
    ("sync", "export", "export_lists"),
)
# fmt: on


def make_group(apps, schema_editor):
    Group = apps.get_model("auth", "Group")
    group, made = Group.objects.get_or_create(name=GROUP)
    if made:
        group.permissions.set([permission(apps, *one) for one in MAY])


def permission(apps, app, model, act):
    # Permissions are made after all migrations; one that isn't there yet is made as Django would make it.
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
    replaces = [("npd", "0004_import_columns"), ("npd", "0005_roles_and_warnings")]

    dependencies = [
        ("npd", "0003_accounts_by_allauth"),
        ("conflicts", "0002_todays_words"),
        ("sync", "0004_inbox_and_activity"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.AddField(
            model_name="importrow",
            name="broken",
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField())),
        ),
        migrations.AlterField(
            model_name="importjob",
            name="state",
            field=models.CharField(
                choices=[
                    ("reading", "Being read"),
                    ("failed", "Could not be read"),
                    ("columns", "Columns to be chosen"),
                    ("shown", "Not confirmed yet"),
                    ("running", "Being imported"),
                    ("done", "Imported"),
                    ("undoing", "Being undone"),
                    ("undone", "Undone"),
                ],
                db_default="shown",
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="importrow",
            name="outcome",
            field=models.CharField(
                blank=True,
                choices=[
                    ("new", "New"),
                    ("changed", "Changed"),
                    ("unchanged", "Unchanged"),
                    ("equal", "Equal"),
                    ("invalid", "Not imported"),
                    ("ambiguous", "Ambiguous"),
                    ("repeated", "Repeated"),
                    ("other", "Another record?"),
                ],
                db_default="",
                max_length=20,
            ),
        ),
        migrations.AddField(
            model_name="importrow",
            name="warnings",
            field=models.JSONField(blank=True, db_default=models.Value([], models.JSONField())),
        ),
        migrations.RunPython(make_group, migrations.RunPython.noop),
    ]
