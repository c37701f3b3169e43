"""Every migration goes down and up again."""

import pytest
from django.core.management import call_command
from django.db import connection

OURS = ("conflicts", "npd", "sync")


def tables() -> set[str]:
    return set(connection.introspection.table_names())


@pytest.mark.django_db(transaction=True)
def test_migrations_go_up_down_and_up() -> None:
    before = tables()
    try:
        for app in OURS:
            call_command("migrate", app, "zero", verbosity=0)
        assert not {"contacts", "organizations", "sync_queue", "sync_metadata", "sync_conflicts"} & tables()
    finally:
        call_command("migrate", verbosity=0)
    assert tables() == before


@pytest.mark.django_db
def test_models_and_migrations_say_the_same() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
