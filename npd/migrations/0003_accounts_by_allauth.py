"""Second factors move to django-allauth's tables; what django-axes counted goes, and so do all sessions."""

from base64 import b32encode

from django.db import migrations

from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt


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
    dependencies = [
        ("npd", "0002_todays_words"),
        ("mfa", "0003_authenticator_type_uniq"),
        ("usersessions", "0001_initial"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        migrations.RunPython(carry_over, migrations.RunPython.noop),
        migrations.DeleteModel(name="SecondFactor"),
        migrations.RunSQL(
            "DROP TABLE IF EXISTS axes_accessattemptexpiration, axes_accessattempt, axes_accessfailurelog, axes_accesslog;"
            "DELETE FROM django_migrations WHERE app = 'axes'",
            migrations.RunSQL.noop,
        ),
    ]
