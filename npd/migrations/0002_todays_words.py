"""Permissions of models that have other names now follow them, so that no group loses one."""

from django.db import migrations

RENAMED = (
    ("guardedact", "approvalrequest"),
    ("refuseditem", "ignoreditem"),
    ("syncaudit", "verification"),
    ("fieldloop", "writeloop"),
)


def move(apps, pairs):
    types, permissions = (
        apps.get_model(*name).objects for name in (("contenttypes", "ContentType"), ("auth", "Permission"))
    )
    labels = {name: model._meta.verbose_name_raw for name, model in apps.all_models["sync"].items()}
    for old, new in pairs:
        target, _ = types.get_or_create(app_label="sync", model=new)
        for given in permissions.filter(content_type__app_label="sync", codename__endswith=f"_{old}"):
            act = given.codename.removesuffix(f"_{old}")
            # Django may have made it already, where somebody migrated the other app alone.
            made = permissions.filter(content_type=target, codename=f"{act}_{new}").first()
            if made is not None:
                made.group_set.add(*given.group_set.all())
                made.user_set.add(*given.user_set.all())
                given.delete()
                continue
            given.content_type, given.codename = target, f"{act}_{new}"
            given.name = f"Can {act} {labels.get(new, new)}"
            given.save()
        types.filter(app_label="sync", model=old).delete()


def rename(apps, schema_editor):
    move(apps, RENAMED)


def rename_back(apps, schema_editor):
    move(apps, [(new, old) for old, new in RENAMED])


class Migration(migrations.Migration):
    dependencies = [
        ("npd", "0001_initial"),
        ("sync", "0003_todays_words"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(rename, rename_back)]
