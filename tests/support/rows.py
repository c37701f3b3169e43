"""The rows of the test database, which are deleted or restored after a test with transactions of its own.

Migrating takes seconds, so a run copies a kept database with the same migrations. Kept rows are in their own schema
beside the tables. They are restored with triggers and foreign keys off: in any order, and with nothing in the outbox.
"""

import hashlib
import os
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from psycopg import sql

from sync.kernel.db import run_sql
from tests.support.servers import ROOT

PREFIX = "migrated_"


def kept_name() -> str:
    """Return a name derived from all that migrations depend on: our files, and the versions of other packages."""
    sources = [ROOT / name for name in ("requirements/development.txt", "sync/clock.py", "npd/apps.py")]
    digest = hashlib.sha256()
    for path in (*sources, *sorted(ROOT.glob("*/migrations/*.py"))):
        digest.update(f"{path.relative_to(ROOT)} {path.read_text()}".encode())
    return PREFIX + digest.hexdigest()[:16]


def begin_with_migrated() -> None:
    """Make the test database a copy of the kept one, if there is one; Django migrates what is missing."""
    if is_own_cluster() and kept_name() in _kept_names():
        connection.settings_dict["TEST"]["TEMPLATE"] = kept_name()


def keep_migrated() -> None:
    """Keep a copy of the migrated database before any test, and drop those of other migrations."""
    if not is_own_cluster() or kept_name() in _kept_names():
        return
    with _server() as server:
        for name in _kept_names():
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
        names = sql.Identifier(kept_name()), sql.Identifier(str(connection.settings_dict["NAME"]))
        connection.close()  # or PostgreSQL refuses to copy it
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))


def is_own_cluster() -> bool:
    """Return whether the run has its own cluster; on other servers it leaves nothing behind."""
    return os.environ.get("TEST_SERVERS") != "1"


def _kept_names() -> list[str]:
    with _server() as server:
        rows = server.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [PREFIX])
        return [name for (name,) in rows]


def _server() -> psycopg.Connection:
    parts = urlsplit(os.environ["DATABASE_URL"])
    return psycopg.connect(urlunsplit(("postgresql", parts.netloc, "/postgres", parts.query, "")), autocommit=True)


# Filled by migrations and only read by tests: written again after each test, rows would get other numbers each time.
FILLED_BY_MIGRATE = ("django_migrations", "django_content_type", "auth_permission")
QUIETLY = "SET session_replication_role = replica; {} SET session_replication_role = DEFAULT"
# Filled by what runs after migrations, and changed by tests.
FILLED_AFTER_MIGRATE = (
    *("auth_group", "auth_group_permissions"),
    *(f"django_celery_beat_{name}" for name in ("crontabschedule", "intervalschedule", "periodictask")),
)
KEEP_FILLED = "DROP SCHEMA IF EXISTS migrated CASCADE; CREATE SCHEMA migrated;" + "".join(
    f"CREATE TABLE migrated.{table} AS TABLE {table};" for table in FILLED_AFTER_MIGRATE
)
RESTORE_FILLED = "".join(f"INSERT INTO {table} SELECT * FROM migrated.{table};" for table in FILLED_AFTER_MIGRATE)
# TRUNCATE takes forty times as long for fifty tables with a few rows.
EMPTY = """DO $$ DECLARE table_name text; is_filled bool; BEGIN
  FOR table_name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ('{%s}') LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %%I)', table_name) INTO is_filled;
    IF is_filled THEN EXECUTE format('DELETE FROM %%I', table_name); END IF;
  END LOOP;
END $$;"""


def keep_filled() -> None:
    run_sql(KEEP_FILLED)


def empty() -> None:
    """Delete all rows except those that `migrate` makes."""
    run_sql(QUIETLY.format(EMPTY % ",".join(FILLED_BY_MIGRATE) + RESTORE_FILLED))


def end_other_sessions() -> None:
    run_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


# Restored rows keep their numbers, so tables that were made anew must not give them out again.
NUMBER_FURTHER_ON = """DO $$ DECLARE counter text; BEGIN
  FOR counter IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND sequencename <> ALL ('{%s}') LOOP
    EXECUTE format('ALTER SEQUENCE %%I RESTART WITH 100000', counter);
  END LOOP;
END $$;"""


def number_further_on() -> None:
    """Continue the numbers after migrations went down and up."""
    # These tables are not emptied: numbers from the start would collide with their rows.
    run_sql(NUMBER_FURTHER_ON % ",".join(f"{table}_id_seq" for table in FILLED_BY_MIGRATE))
    # A renamed model has another number now, and `migrate` clears only the cache of its own models.
    ContentType.objects.clear_cache()


# The body of a delivery says when it happened, and a sweep compares that with the board.
MOVE_DELIVERIES = """UPDATE sync_webhook_events SET body = jsonb_set(body, '{{event,triggerTime}}', to_jsonb(to_char(
    ((body #>> '{{event,triggerTime}}')::timestamptz + (now() - '{then}')) AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))) WHERE body #>> '{{event,triggerTime}}' IS NOT NULL;"""


class KeptRows:
    """The rows of all tables at one moment. Restored, their times are as far from now as they were then."""

    def __init__(self, schema: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
            cursor.execute(
                "SELECT table_name, column_name, data_type = 'timestamp with time zone'"
                " FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)"
                " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND is_generated = 'NEVER'"
                " AND table_name <> ALL (%s) ORDER BY table_name, ordinal_position",
                [[*FILLED_BY_MIGRATE, *FILLED_AFTER_MIGRATE]],
            )
            columns: dict[str, list[tuple[str, bool]]] = {}
            for table, column, is_time in cursor.fetchall():
                columns.setdefault(table, []).append((f'"{column}"', is_time))
            cursor.execute("SELECT clock_timestamp()::text")
            (then,) = cursor.fetchone()
            statements = []
            for table, named in columns.items():
                cursor.execute(f'SELECT EXISTS (SELECT FROM "{table}")')
                if not cursor.fetchone()[0]:
                    continue
                cursor.execute(f'CREATE TABLE {schema}."{table}" AS TABLE "{table}"')
                moved = [f"{c} + (now() - '{then}')" if is_time else c for c, is_time in named]
                into, selected = ", ".join(c for c, _ in named), ", ".join(moved)
                statements.append(
                    f'INSERT INTO "{table}" ({into}) OVERRIDING SYSTEM VALUE SELECT {selected} FROM {schema}."{table}";'
                )
        self._statement = QUIETLY.format(" ".join([*statements, MOVE_DELIVERIES.format(then=then)]))

    def put_back(self) -> None:
        run_sql(self._statement)


def count_queries(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return len(queries)
