"""Statements that PostgreSQL parses and plans once a connection, for the two that are large and run all the time.

Django's own cursors write the parameters into the text, so that each statement is a new one; of a claim or a delivery
parsing and planning would be a third of the work. Django's wrappers don't see them: the history's puts a command of its
own in front, and two commands can't be prepared; what is written here has no history.

A pooler that hands out another connection for each transaction may not keep what was prepared: with
`?prepare_threshold=off` at the end of DATABASE_URL nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from django.db import Error, connection

STALE = ("0A000", "26000")
"""SQLSTATEs of a prepared statement whose result has another shape by now, or that the server doesn't hold any more."""


def fetch_prepared(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, in its transaction where there is one, and return the rows.

    What was prepared may be stale: a table was altered, a pooler reset the session. Outside a transaction it is tried
    again on a new connection; inside one the rollback lets go of what was prepared, so that the next try is a fresh
    one. Raises Django's database errors.
    """
    try:
        return _fetch(sql, params)
    except Error as error:
        if connection.in_atomic_block or getattr(error.__cause__, "sqlstate", None) not in STALE:
            raise
        connection.close()
        return _fetch(sql, params)


def _fetch(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    driver = connection.connection
    asked, usual = connection.settings_dict["OPTIONS"].get("prepare_threshold", 0), driver.prepare_threshold
    driver.prepare_threshold = asked if isinstance(asked, int) else None
    try:
        with connection.wrap_database_errors, psycopg.Cursor(driver) as cursor:
            return cursor.execute(sql, params).fetchall()
    finally:
        driver.prepare_threshold = usual  # Django's own statements are each a new one
