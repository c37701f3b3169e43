"""Migrations match the models and can be reversed and reapplied; their rows can be dumped."""

import sys
from io import StringIO
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from tests.admin import states
from tests.support import rows
from tests.support.servers import run_command
from tests.support.site import child_environment

OURS = ("conflicts", "npd", "sync")
SCHEMA = """
    SELECT table_name, column_name, data_type || coalesce(column_default, '') || is_nullable
    FROM information_schema.columns WHERE table_schema = 'public'
    UNION SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) || convalidated FROM pg_constraint
    UNION SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION SELECT 'persistence', relname, relpersistence::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
"""


def schema() -> set[tuple[str, str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return set(cursor.fetchall())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "encoding is SQL_ASCII"),
        ("ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'", "LC_CTYPE is C"),
    ],
)
def test_a_database_that_does_not_know_every_letter_is_refused(options: str, fault: str) -> None:
    env = child_environment()
    name = f"{connection.settings_dict['NAME']}_ascii"
    url = urlsplit(env["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name} {options} TEMPLATE template0")
        try:
            migrated = run_command(sys.executable, "manage.py", "migrate", env=env | {"DATABASE_URL": url})
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert migrated.returncode == 1
    assert migrated.stderr.startswith(f"Settings: the database's {fault}")


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_filled_database_goes_down_to_nothing_and_up_again_to_the_same_schema() -> None:
    before = schema()
    try:
        states.one_of_each()
        MigrationExecutor(connection).migrate([(app, None) for app in OURS])
        remaining = {table for table, _, _ in schema()}
        assert not [table for table in remaining if table.startswith(("sync_", "npd_", "contacts", "organizations"))]
    finally:
        call_command("migrate", verbosity=0)
        rows.number_further_on()
    assert schema() == before


@pytest.mark.django_db
def test_every_table_can_be_dumped() -> None:
    call_command("dumpdata", verbosity=0, stdout=StringIO())
