"""A save that takes its time: its transaction is open while workers work."""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection
from psycopg import sql

from tests.chaos.journal import FIELDS, NPD
from tests.chaos.stage import SKIPPED, Stage, local_value


def begin_save(stage: Stage, handle: str, key: str, number: int) -> str | None:
    """The change is written, and not committed yet."""
    record = stage.record(handle)
    if record is None or key not in FIELDS[stage.type_of(handle)] or stage.slow:
        return SKIPPED
    told = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password")
    slow = psycopg.connect(**{name: told[name] for name in names if told.get(name)})
    statement = sql.SQL("UPDATE {} SET {} = %s WHERE id = %s").format(
        sql.Identifier(record._meta.db_table), sql.Identifier(stage.field(key))
    )
    value = stage.text(handle, key, number)
    slow.execute(statement, [value, record.pk])
    stage.slow = (slow, handle, key, value, local_value(record, key))
    return None


def commit_save(stage: Stage) -> str | None:
    if not stage.slow:
        return SKIPPED
    slow, handle, key, value, before = _taken(stage)
    slow.commit()
    slow.close()
    stage.wrote("a slow import", NPD, handle, key, value, (before,))
    return None


def _taken(stage: Stage) -> tuple[Any, ...]:
    taken, stage.slow = stage.slow, ()
    return taken
