"""The app, and a constant that settings may import before Django loads models."""

from typing import Any

from django.apps import AppConfig
from django.core.checks import register
from django.db.models.signals import post_migrate, pre_migrate


class SyncConfig(AppConfig):
    name = "sync"
    verbose_name = "Sync"

    def ready(self) -> None:
        from sync import registry
        from sync.attention import sources
        from sync.outbox import notify

        register(registry.check_synced_models)
        pre_migrate.connect(create_clock, sender=self)
        post_migrate.connect(sources.install, sender=self)
        notify.connect_signals()


def create_clock(using: str, **kwargs: Any) -> None:
    """Create `sync_now()` before the first table with columns that default to it, in any app."""
    from django.db import connections

    from sync.clock import CREATE_SYNC_NOW

    with connections[using].cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW)


# The filters in links to the list of jobs: all but completed ones, which stay for a while.
LIVE_ROWS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
