"""Statements that are prepared once a connection, and what becomes of them when that connection or a table changes."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from sync.kernel.db import fetch_prepared

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "SELECT * FROM prepared_before WHERE %(more)s"


@pytest.fixture
def table() -> Iterator[None]:
    """A table that a prepared statement reads, on a connection of its own."""
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE prepared_before AS SELECT 1 AS one")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE prepared_before")


def run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@pytest.mark.parametrize(
    ("change", "row"), [("ALTER TABLE prepared_before ADD COLUMN two int DEFAULT 2", (1, 2)), ("DEALLOCATE ALL", (1,))]
)
def test_a_prepared_statement_that_went_stale_is_prepared_anew(table: None, change: str, row: tuple[int, ...]) -> None:
    assert fetch_prepared(ASK, {"more": True}) == [(1,)]
    run(change)
    assert fetch_prepared(ASK, {"more": True}) == [row]
    assert fetch_prepared(ASK, {"more": True}) == [row]


def test_in_a_transaction_it_fails_once_and_the_next_one_is_well(table: None) -> None:
    assert fetch_prepared(ASK, {"more": True}) == [(1,)]
    run("ALTER TABLE prepared_before ADD COLUMN two int DEFAULT 2")
    with pytest.raises(DatabaseError), transaction.atomic():
        fetch_prepared(ASK, {"more": True})
    with transaction.atomic():
        assert fetch_prepared(ASK, {"more": True}) == [(1, 2)]


def test_another_failure_is_not_tried_again(table: None) -> None:
    before = connection.connection
    with pytest.raises(DatabaseError, match="division by zero"):
        fetch_prepared("SELECT 1 / %(nothing)s", {"nothing": 0})
    assert connection.connection is before


@pytest.mark.parametrize("threshold", [0, "off"])
def test_a_connection_keeps_its_rule(table: None, monkeypatch: pytest.MonkeyPatch, threshold: Any) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", threshold)
    usual = connection.connection.prepare_threshold
    fetch_prepared(ASK, {"more": True})
    assert connection.connection.prepare_threshold == usual
    with pytest.raises(DatabaseError):
        fetch_prepared("SELECT no_such_column", {})
    assert connection.connection.prepare_threshold == usual
