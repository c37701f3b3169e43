"""Statements that are prepared once per connection, what happens when the connection or a table changes, and what a
connection sets itself.
"""

from collections.abc import Iterator

import pytest
from django.db import DatabaseError, connection, transaction

from sync.kernel.db import fetch_prepared, fetch_rows, run_sql

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "SELECT * FROM prepared_before WHERE %(more)s"


@pytest.fixture
def table() -> Iterator[None]:
    """A table that a prepared statement reads, on a new connection."""
    connection.close()
    run_sql("CREATE TABLE prepared_before AS SELECT 1 AS one")
    yield
    run_sql("DROP TABLE prepared_before")


@pytest.mark.parametrize(
    ("change", "row"), [("ALTER TABLE prepared_before ADD COLUMN two int DEFAULT 2", (1, 2)), ("DEALLOCATE ALL", (1,))]
)
def test_a_prepared_statement_that_went_stale_is_prepared_anew(table: None, change: str, row: tuple[int, ...]) -> None:
    assert fetch_prepared(ASK, {"more": True}) == [(1,)]
    run_sql(change)
    assert fetch_prepared(ASK, {"more": True}) == [row]
    assert fetch_prepared(ASK, {"more": True}) == [row]


def test_in_a_transaction_it_fails_once_and_the_next_one_is_well(table: None) -> None:
    assert fetch_prepared(ASK, {"more": True}) == [(1,)]
    run_sql("ALTER TABLE prepared_before ADD COLUMN two int DEFAULT 2")
    with pytest.raises(DatabaseError), transaction.atomic():
        fetch_prepared(ASK, {"more": True})
    with transaction.atomic():
        assert fetch_prepared(ASK, {"more": True}) == [(1, 2)]


def test_behind_a_pooler_statements_can_be_left_unprepared(table: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `?prepare_threshold=off` in DATABASE_URL."""
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", "off")
    assert fetch_prepared(ASK, {"more": True}) == [(1,)]
    assert fetch_rows("SELECT name FROM pg_prepared_statements") == []


OTHER_DEFAULTS = {
    "DateStyle": "German, DMY",
    "IntervalStyle": "iso_8601",
    "default_transaction_isolation": "serializable",
}


@pytest.fixture
def other_defaults() -> Iterator[None]:
    """A new connection of a role that has other defaults than PostgreSQL."""
    role = "DO $$BEGIN EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I {}', current_database()); END$$"
    for name, value in OTHER_DEFAULTS.items():
        run_sql(role.format(f"SET {name} = ''{value}''"))
    connection.close()
    yield
    run_sql(role.format("RESET ALL"))
    connection.close()


def test_a_connection_depends_on_no_defaults_of_its_role(other_defaults: None) -> None:
    settings = [fetch_rows(f"SHOW {name}")[0][0] for name in OTHER_DEFAULTS]
    assert settings == ["ISO, MDY", "postgres", "read committed"]
    run_sql("SET default_transaction_isolation = 'serializable'")  # as on another connection of a pooler
    with transaction.atomic():
        assert fetch_rows("SHOW transaction_isolation") == [("read committed",)]
