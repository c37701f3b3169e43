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
        pre_migrate.connect(check_database, sender=self)
        pre_migrate.connect(create_clock, sender=self)
        post_migrate.connect(definitions.install, sender=self)
        wakeups.connect_signals()


def check_database(using: str, **kwargs: Any) -> None:
    """Refuse a database in which the user may make no tables, or as a server makes it that has no locale.

    In another encoding no record could be saved; and if it knows the case of ASCII's letters only, names with a capital
    Ö or Ł would never match.
    """
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_encoding'), datctype, lower('Ö') = 'ö', quote_ident(current_user), "
            "quote_ident(datname), has_schema_privilege(to_regnamespace('public'), 'CREATE') FROM pg_database "
            "WHERE datname = current_database()"
        )
        encoding, letters, knows_capitals, user, database, may_create = cursor.fetchone()
    if not may_create:
        raise ImproperlyConfigured(
            f"the database's user {user} may make nothing in its schema “public”. Type as a superuser: "
            f"ALTER DATABASE {database} OWNER TO {user};"
        )
    if encoding == "UTF8" and knows_capitals:
        return
    fault = (
        f"encoding is {encoding}" if encoding != "UTF8" else f"LC_CTYPE is {letters}, which knows ASCII's capitals only"
    )
    raise ImproperlyConfigured(
        f"the database's {fault}, and NPD Sync needs UTF8 with all letters. Make a new database: "
        "CREATE DATABASE npd OWNER npd ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' TEMPLATE template0. "
        "Where the server doesn't know C.UTF-8, use en_US.UTF-8."
    )


def create_clock(using: str, **kwargs: Any) -> None:
    """Create `sync_now()` before the first table with columns that default to it, in any app."""
    with connections[using].cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW)


# The filters in links to the list of jobs: all but completed ones, which stay for a while.
LIVE_JOBS = "status__exact=pending&status__exact=in_progress&status__exact=failed"
