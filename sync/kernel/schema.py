"""Whether the database has what the code expects, and the command that mends it."""

from functools import cache

from django.apps import apps
from django.db import connection
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.questioner import NonInteractiveMigrationQuestioner
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

from sync.kernel.db import fetch_rows

# PostgreSQL's codes of an unknown column and an unknown table.
UNKNOWN_NAME = ("42703", "42P01")

_COLUMNS = """
    SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = ANY (current_schemas(false))
"""

BEHIND = "The database is behind the code: migrations of {} are missing. Run “manage.py migrate”."
NOT_WRITTEN = (
    "The models of {} changed without a migration. Make it (“Write a migration” in CONTRIBUTING.md); if you made "
    "an existing one again, run “make reset” for the demo."
)
MADE_AGAIN = (
    "The database was made by other migrations of the same names: it has no {}. For the demo run “make reset”; for "
    "data that you need, use the code that made it, or keep its migrations (“Write a migration” in CONTRIBUTING.md)."
)


def is_unknown_name(error: BaseException) -> bool:
    """Whether PostgreSQL knows no such column or table."""
    return getattr(error.__cause__, "sqlstate", None) in UNKNOWN_NAME


def schema_problem() -> str:
    """Return how database, migrations and models differ, with the command that mends it; empty if they don't."""
    applied = MigrationRecorder(connection).applied_migrations()
    if missing := sorted({app for app, name in _last_migrations() if (app, name) not in applied}):
        return BEHIND.format(", ".join(missing))
    if changed := _changed_apps():
        return NOT_WRITTEN.format(", ".join(changed))
    columns = {f"{table}.{column}" for table, column in fetch_rows(_COLUMNS)}
    if unknown := sorted(_expected_columns() - columns):
        return MADE_AGAIN.format(unknown[0])
    return ""


@cache
def _last_migrations() -> list[tuple[str, str]]:
    last: list[tuple[str, str]] = MigrationLoader(None, ignore_no_migrations=True).graph.leaf_nodes()
    return last


@cache
def _changed_apps() -> list[str]:
    """Return the applications whose models differ from their migrations, as `makemigrations --check` finds them."""
    loader = MigrationLoader(None, ignore_no_migrations=True)
    states = (loader.project_state(), ProjectState.from_apps(apps))
    questioner = NonInteractiveMigrationQuestioner(specified_apps=set(), dry_run=True)
    return sorted(MigrationAutodetector(*states, questioner).changes(graph=loader.graph))


def _expected_columns() -> set[str]:
    models = [model._meta for model in apps.get_models(include_auto_created=True)]
    managed = [options for options in models if options.managed and not options.proxy and not options.swapped]
    return {f"{options.db_table}.{field.column}" for options in managed for field in options.local_concrete_fields}
