"""One kind of API token. Those of DRF and of knox become rows of it, and the clear text of DRF's is gone.

On the way back, tokens that open the API and have all scopes become knox's, where its table still is; the program before
this one takes them all as "Bearer". What can't come back: the clear text of DRF's tokens, so that "Token" is no longer
taken for them; and tokens with fewer scopes, which would be good for everything there. All of them are kept in a table
of their own, from which they return as they were with the next update; those that were revoked there meanwhile don't.
"""

# ruff: noqa: S608 - statements made of the names above

import hashlib

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock

ALL_SCOPES = ["read", "write", "resolve", "operate"]
START_LENGTH = 15  # which knox looks its tokens up by


KEPT = "sync_api_tokens_kept"
COLUMNS = (
    "id, user_id, name, scopes, start, digest, previous_digest, previous_until, created_at, rotated_at, last_used_at, "
    "expires_at, revoked_at, is_legacy"
)


def has_table(schema_editor, name):
    with schema_editor.connection.cursor() as cursor:
        return name in schema_editor.connection.introspection.table_names(cursor)


def has_knox_tokens(schema_editor):
    return has_table(schema_editor, "knox_authtoken")


def take_back(schema_editor):
    if not has_table(schema_editor, KEPT):
        return
    still_there = "false"
    if has_knox_tokens(schema_editor):
        still_there = "EXISTS (SELECT FROM knox_authtoken AS knox WHERE knox.digest = kept.digest)"
    schema_editor.execute(
        f"""
        INSERT INTO sync_api_tokens ({COLUMNS}) SELECT {COLUMNS} FROM {KEPT} AS kept
        WHERE user_id IN (SELECT id FROM auth_user) AND (NOT was_given OR {still_there})
        """
    )
    if has_knox_tokens(schema_editor):
        schema_editor.execute("DELETE FROM knox_authtoken WHERE digest IN (SELECT digest FROM sync_api_tokens)")
    schema_editor.execute(
        "SELECT setval(pg_get_serial_sequence('sync_api_tokens', 'id'), max(id)) FROM sync_api_tokens HAVING max(id) > 0"
    )
    schema_editor.execute(f"DROP TABLE {KEPT}")


def take_over(apps, schema_editor):
    take_back(schema_editor)
    tokens, clear_text = apps.get_model("sync", "ApiToken"), apps.get_model("authtoken", "Token")
    for old in clear_text.objects.all():
        token = tokens.objects.create(
            user_id=old.user_id,
            name="From before tokens were hashed",
            scopes=ALL_SCOPES,
            start=old.key[:START_LENGTH],
            digest=hashlib.sha512(old.key.encode()).hexdigest(),
            is_legacy=True,
        )
        tokens.objects.filter(pk=token.pk).update(created_at=old.created)
    clear_text.objects.all().delete()
    if has_knox_tokens(schema_editor):
        # Those that have expired open nothing, and knox would have deleted them at their next use.
        schema_editor.execute(
            """
            INSERT INTO sync_api_tokens (user_id, name, scopes, start, digest, created_at, expires_at)
            SELECT user_id, 'API token', %s, token_key, digest, created, expiry FROM knox_authtoken
            WHERE expiry IS NULL OR expiry > now() ORDER BY created
            """,
            [ALL_SCOPES],
        )
        schema_editor.execute("DELETE FROM knox_authtoken")


def give_back(apps, schema_editor):
    schema_editor.execute(f"CREATE TABLE {KEPT} AS SELECT *, false AS was_given FROM sync_api_tokens")
    if has_knox_tokens(schema_editor):
        schema_editor.execute(
            """
            INSERT INTO knox_authtoken (user_id, token_key, digest, created, expiry)
            SELECT user_id, start, digest, created_at, expires_at FROM sync_api_tokens
            WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) AND scopes @> %s::varchar[]
            ON CONFLICT (digest) DO NOTHING
            """,
            [ALL_SCOPES],
        )
        schema_editor.execute(f"UPDATE {KEPT} SET was_given = digest IN (SELECT digest FROM knox_authtoken)")


class Migration(migrations.Migration):
    dependencies = [
        ("sync", "0028_folded_activity"),
        ("authtoken", "0004_alter_tokenproxy_options"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="RequestCount",
            fields=[
                ("key", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("requests", models.PositiveBigIntegerField()),
                ("ends_at", models.DateTimeField()),
            ],
            options={"db_table": "sync_request_counts", "default_permissions": ()},
        ),
        # A count is no data: without a log it costs no write to the disk.
        migrations.RunSQL("ALTER TABLE sync_request_counts SET UNLOGGED", migrations.RunSQL.noop),
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("read", "Read"),
                                ("write", "Write"),
                                ("resolve", "Resolve conflicts"),
                                ("operate", "Operate the sync"),
                            ],
                            max_length=20,
                        ),
                        db_default=[],
                        size=None,
                    ),
                ),
                ("start", models.CharField(max_length=START_LENGTH, verbose_name="begins with")),
                ("digest", models.CharField(max_length=128, unique=True)),
                ("previous_digest", models.CharField(blank=True, max_length=128, null=True, unique=True)),
                ("previous_until", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(db_default=sync.clock.SyncNow(), verbose_name="created")),
                ("rotated_at", models.DateTimeField(blank=True, null=True, verbose_name="rotated")),
                ("last_used_at", models.DateTimeField(blank=True, null=True, verbose_name="last used")),
                ("expires_at", models.DateTimeField(blank=True, null=True, verbose_name="expires")),
                ("revoked_at", models.DateTimeField(blank=True, null=True, verbose_name="revoked")),
                ("is_legacy", models.BooleanField(db_default=False)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_tokens",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={"verbose_name": "API token", "db_table": "sync_api_tokens", "default_permissions": ()},
        ),
        migrations.RunPython(take_over, give_back),
    ]
