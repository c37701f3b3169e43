"""What Django's database layer lacks: bulk updates, prepared statements, retries after a lock timeout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg
from django.db import Error, OperationalError, connection, models
from psycopg.errors import DeadlockDetected, LockNotAvailable


def update_many(rows: Sequence[models.Model], names: Sequence[str]) -> None:
    """Write these fields of these rows of one model in one statement; triggers fire as for any other."""
    if not rows or not names:
        return
    opts: Any = rows[0]._meta
    fields = [opts.get_field(name) for name in names]
    quote = connection.ops.quote_name
    kinds = [(opts.pk, opts.pk.rel_db_type(connection)), *((one, one.db_type(connection)) for one in fields)]
    typed_columns = ", ".join(f"{quote(one.column)} {kind}" for one, kind in kinds)
    assignments = ", ".join(f"{quote(one.column)} = given.{quote(one.column)}" for one in fields)
    table, key = quote(opts.db_table), quote(opts.pk.column)
    values = [{one.column: _json(getattr(row, one.attname)) for one, _kind in kinds} for row in rows]
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} AS stored SET {assignments} "
            f"FROM jsonb_to_recordset(%s::jsonb) AS given({typed_columns}) WHERE stored.{key} = given.{key}",
            [json.dumps(values)],
        )


def _json(value: Any) -> Any:
    """A value as JSON; keys and choices become text."""
    return value if value is None or isinstance(value, str | int | bool | list | dict) else str(value)


# Prepared statements: PostgreSQL parses and plans them once for each connection. Used for the two statements
# that are large and run all the time.
#
# Django's own cursors write the parameters into the text, so that each statement is a new one; for a claim or
# a delivery, parsing and planning would be a third of the work. Django's wrappers don't see these statements:
# the history's wrapper would put a command of its own in front, and two commands can't be prepared together.
# So what is written here gets no history.
#
# A pooler that gives each transaction another connection may lose prepared statements;
# `?prepare_threshold=off` at the end of DATABASE_URL switches them off.


STALE_SQLSTATES = ("0A000", "26000")
"""SQLSTATEs of a prepared statement whose result has changed shape, or that the server has lost."""


def fetch_prepared(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, in its transaction where there is one, and return the rows.

    A prepared statement may be stale: a table was altered, a pooler reset the session. Outside a transaction
    it is tried again on a new connection; inside one, the rollback drops it, so that the next try prepares it
    anew. Raises Django's database errors.
    """
    try:
        return _fetch_once(sql, params)
    except Error as error:
        if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", None) not in STALE_SQLSTATES:
            raise
        connection.close()
        return _fetch_once(sql, params)


def _fetch_once(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    driver = connection.connection
    threshold, former_threshold = (
        connection.settings_dict["OPTIONS"].get("prepare_threshold", 0),
        driver.prepare_threshold,
    )
    driver.prepare_threshold = threshold if isinstance(threshold, int) else None
    try:
        with connection.wrap_database_errors, psycopg.Cursor(driver) as cursor:
            return cursor.execute(sql, params).fetchall()
    finally:
        driver.prepare_threshold = former_threshold  # Django's own statements are new each time


MAX_ATTEMPTS = 20

# ruff: noqa: S608 - statements made of the fragments above

T = TypeVar("T")


def retry_on_lock_timeout(work: Callable[[], T]) -> T:
    """Run a transaction, again when it gave way to a save; raises OperationalError when that never ends."""
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return work()
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                raise
    return work()


def fetch_rows(sql: str, params: Any = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
