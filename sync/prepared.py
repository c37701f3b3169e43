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
from django.db import connection


def fetch_prepared(sql: str, params: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Run a statement on Django's connection, in its transaction where there is one, and return the rows.

    Raises Django's database errors.
    """
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    driver = connection.connection
    asked = connection.settings_dict["OPTIONS"].get("prepare_threshold", 0)
    driver.prepare_threshold = asked if isinstance(asked, int) else None
    with connection.wrap_database_errors, psycopg.Cursor(driver) as cursor:
        return cursor.execute(sql, params).fetchall()
