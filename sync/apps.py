"""The app, and what the settings may read of it before Django has loaded any model: its lists' filters in a link."""

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
    """Make `sync_now()` before the first table whose columns default to it, whichever app that is of."""
    from django.db import connections

    from sync.clock import CREATE_SYNC_NOW

    with connections[using].cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW)


# The queue's list as links show it: the filters in its address. Imports nothing, so that settings may read it.


# Without what is done, which stays in the queue for a while.
LIVE_ROWS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
