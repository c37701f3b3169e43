"""Migrations match the models and can be reversed and reapplied; their rows can be dumped."""

import sys
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client

import manage
from sync.kernel.db import run_sql
from sync.kernel.schema import schema_problem
from tests.admin import states
from tests.support import rows
from tests.support.servers import ROOT, run_command
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


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ("ENCODING 'SQL_ASCII' LOCALE 'C'", "encoding is SQL_ASCII"),
        ("ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'", "LC_CTYPE is C"),
    ],
)
def test_a_database_that_does_not_know_every_letter_is_refused(options: str, fault: str) -> None:
    name = f"{connection.settings_dict['NAME']}_ascii"
    with (
        psycopg.connect(child_environment()["DATABASE_URL"], autocommit=True) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        server.execute(f"CREATE DATABASE {name} {options} TEMPLATE template0")
        connection.close()
        patch.setitem(connection.settings_dict, "NAME", name)
        try:
            with pytest.raises(ImproperlyConfigured, match=f"the database's {fault}"):
                call_command("migrate", verbosity=0)
        finally:
            connection.close()
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.django_db
def test_a_user_who_may_make_no_tables_is_told_what_to_type() -> None:
    """As PostgreSQL 15 and newer have it for everybody but the database's owner."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE nobodys_owner; GRANT SELECT ON ALL TABLES IN SCHEMA public TO nobodys_owner")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC; SET LOCAL ROLE nobodys_owner")
    with pytest.raises(ImproperlyConfigured, match=r"ALTER DATABASE .* OWNER TO nobodys_owner"):
        call_command("migrate", verbosity=0)


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM django_migrations WHERE app = 'npd'", ["migrations of npd", "manage.py migrate"]),
        ("ALTER TABLE contacts RENAME COLUMN notes TO remarks", ["contacts.notes", "make reset"]),
        ("DROP TABLE sync_board_leases CASCADE", ["sync_board_leases", "make reset"]),
    ],
)
def test_a_database_behind_the_code_is_named_with_the_command_that_mends_it(
    client: Client, change: str, words: list[str]
) -> None:
    assert not schema_problem()
    run_sql(change)
    answer = client.get("/readyz")
    with pytest.raises(CommandError, match=words[0]):
        call_command("demo", "--admin")
    assert answer.status_code == 503
    assert [word for word in words if word not in answer.json()["reasons"][0]] == []


CHANGED = """
import django
django.setup()
from django.core.management import call_command
from npd.models import Contact
Contact._meta.get_field("name").max_length = 300
call_command("demo", "--admin")
"""


@pytest.mark.processes
@pytest.mark.django_db(transaction=True)
def test_a_model_that_changed_without_a_migration_is_named() -> None:
    env = child_environment() | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    end = run_command(sys.executable, "-c", CHANGED, env=env)
    assert "The models of npd changed without a migration." in end.stderr


@pytest.mark.django_db(transaction=True)
def test_a_command_that_meets_an_unknown_column_says_why_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["manage.py", "sync_explain", "contact", "40b8baf5-d9f1-490f-876f-abc7cf724d0f"])
    run_sql("ALTER TABLE contacts RENAME COLUMN notes TO remarks")
    try:
        with pytest.raises(SystemExit, match="The database was made by other migrations"):
            manage.main()
    finally:
        run_sql("ALTER TABLE contacts RENAME COLUMN remarks TO notes")


@pytest.mark.django_db
def test_migrations_are_as_makemigrations_writes_them(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the difference which a change of a model makes shows nothing else."""
    for app in OURS:
        (tmp_path / f"new_{app}").mkdir()
        (tmp_path / f"new_{app}" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    settings.MIGRATION_MODULES = settings.MIGRATION_MODULES | {app: f"new_{app}" for app in OURS}
    call_command("makemigrations", *OURS, include_header=False, verbosity=0)
    run_command(sys.executable, "-m", "ruff", "format", "--config", "pyproject.toml", str(tmp_path), check=True)
    for app in OURS:
        [committed] = (ROOT / app / "migrations").glob("0*.py")
        assert (tmp_path / f"new_{app}" / committed.name).read_text() == committed.read_text()


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
