"""Secrets that are entered on a page, encrypted."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import sync.clock

NAMES = {
    "api_token": "API token",
    "refresh_token": "Refresh token",
    "webhook_token": "Webhook token",
    "signing_secret": "Signing secret",
    "client_id": "Client ID",
    "client_secret": "Client secret",
}


class Migration(migrations.Migration):
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL), ("sync", "0021_unmatched_items")]

    operations = [
        migrations.CreateModel(
            name="StoredSecret",
            fields=[
                ("name", models.CharField(choices=[*NAMES.items()], max_length=30, primary_key=True, serialize=False)),
                ("sealed", models.TextField()),
                ("set_at", models.DateTimeField(db_default=sync.clock.SyncNow())),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("claimed_until", models.DateTimeField(blank=True, null=True)),
                (
                    "set_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "db_table": "sync_stored_secrets",
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("name__in", [*NAMES])), name="sync_stored_secrets_known")
                ],
            },
        )
    ]
