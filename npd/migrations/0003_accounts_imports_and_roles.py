"""Second factors move to django-allauth's tables; what django-axes counted goes, and so do all sessions. Rows of an import
keep what can't be read of them and what Monday will probably reject, and may wait for their columns to be chosen; who
edits records has a group."""

from base64 import b32encode

from django.db import migrations, models

from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt

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


def carry_over(apps, schema_editor):
    """The app's key encrypted as before, under the library's spelling; recovery codes hashed as before."""
    authenticators = apps.get_model("mfa", "Authenticator").objects
    for factor in apps.get_model("npd", "SecondFactor").objects.iterator():
        try:
            secret = encrypt(b32encode(bytes.fromhex(decrypt(factor.sealed_key))).decode())
        except KeyChanged:  # it stays unreadable, and the recovery codes sign in
            secret = factor.sealed_key
        data = {
            "secret": secret,
            "last_step": factor.last_step,
            "failures": factor.failures,
            "failed_password": factor.failed_password,
            "told": factor.told,
        }
        if factor.failed_at:
            data["failed_at"] = factor.failed_at.isoformat()
        if factor.turned_on_told:
            data["announced"] = True
        made_at = factor.confirmed_at or factor.made_at
        authenticators.create(user_id=factor.user_id, type="totp", data=data, created_at=made_at)
        codes = {"migrated_codes": [f"sha256:{code}" for code in factor.recovery]}
        authenticators.create(user_id=factor.user_id, type="recovery_codes", data=codes, created_at=made_at)
    # Those of before were signed in with the password alone, until the code came; by today's rule they would be inside.
    apps.get_model("sessions", "Session").objects.all().delete()


class Migration(migrations.Migration):
    replaces = [
        ("npd", name) for name in ("0003_accounts_by_allauth", "0004_import_columns", "0005_roles_and_warnings")
    ]

    dependencies = [
        ("npd", "0002_todays_words"),
        ("conflicts", "0002_todays_words"),
        ("sync", "0004_inbox_and_activity"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("usersessions", "0001_initial"),
        ("sessions", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(carry_over, migrations.RunPython.noop),
        migrations.DeleteModel(name="SecondFactor"),
        migrations.RunSQL(
            "DROP TABLE IF EXISTS axes_accessattemptexpiration, axes_accessattempt, axes_accessfailurelog, axes_accesslog;"
            "DELETE FROM django_migrations WHERE app = 'axes'",
            migrations.RunSQL.noop,
        ),
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
