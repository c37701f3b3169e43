"""API tokens of our own, of which only a hash is stored; and the counts of requests."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock


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
                ("start", models.CharField(max_length=15, verbose_name="begins with")),
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
    ]
