"""The app, and a constant that settings may import before Django loads models."""

from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

from sync.clock import CREATE_SYNC_NOW


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Sync"

    def ready(self) -> None:
        from sync import registry
        from sync.attention import definitions
        from sync.outbox import wakeups

        register(registry.check_synced_models)
        pre_migrate.connect(check_encoding, sender=self)
        pre_migrate.connect(create_clock, sender=self)
        post_migrate.connect(definitions.install, sender=self)
        wakeups.connect_signals()


def check_encoding(using: str, **kwargs: Any) -> None:
    """Refuse a database in which no record could be saved, as a server makes it that was installed without a locale."""
    with connections[using].cursor() as cursor:
        cursor.execute("SHOW server_encoding")
        [encoding] = cursor.fetchone()
    if encoding != "UTF8":
        raise ImproperlyConfigured(
            f"the database's encoding is {encoding}, and NPD Sync needs UTF8. Make a new database: "
            "CREATE DATABASE npd OWNER npd ENCODING 'UTF8' TEMPLATE template0"
        )


def create_clock(using: str, **kwargs: Any) -> None:
    """Create `sync_now()` before the first table with columns that default to it, in any app."""
    with connections[using].cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW)


# The filters in links to the list of jobs: all but completed ones, which stay for a while.
LIVE_JOBS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
