"""Labels in the words of config/glossary.py. No table changes; the permissions' names do, where they are there."""

from django.db import migrations, models

RENAMED = (
    "decision", "guardedact", "intent", "refuseditem", "syncaudit", "syncmetadata", "syncqueue", "tombstone",
)  # fmt: skip
QUEUE = {"retry": "Can retry jobs", "cancel": "Can cancel pending jobs", "discard": "Can discard failed jobs"}


def rename(apps, schema_editor):
    # Django names a permission when it makes it, and never again.
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="sync")
    for model in RENAMED:
        words = apps.get_model("sync", model)._meta.verbose_name_raw
        for act in ("add", "change", "delete", "view"):
            permissions.filter(codename=f"{act}_{model}").update(name=f"Can {act} {words}")
    for act, name in QUEUE.items():
        permissions.filter(codename=f"{act}_syncqueue").update(name=name)


class Migration(migrations.Migration):
    dependencies = [
        ("npd", "0006_import_files"),
        ("sync", "0018_vocabulary"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(rename, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="contact",
            name="sync_enabled",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Off: nothing is synced in either direction.",
                verbose_name="sync with Monday",
            ),
        ),
        migrations.AlterField(
            model_name="contact",
            name="sync_status",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="contactevent",
            name="sync_enabled",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Off: nothing is synced in either direction.",
                verbose_name="sync with Monday",
            ),
        ),
        migrations.AlterField(
            model_name="organization",
            name="sync_enabled",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Off: nothing is synced in either direction.",
                verbose_name="sync with Monday",
            ),
        ),
        migrations.AlterField(
            model_name="organization",
            name="sync_status",
            field=models.CharField(
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
        migrations.AlterField(
            model_name="organizationevent",
            name="sync_enabled",
            field=models.BooleanField(
                db_default=True,
                default=True,
                help_text="Off: nothing is synced in either direction.",
                verbose_name="sync with Monday",
            ),
        ),
    ]
