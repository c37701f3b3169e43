"""Compares the rows of what waits for a person with their definitions."""

from typing import Any

from sync.attention.definitions import COLUMNS, DEFINITIONS
from sync.kernel.db import fetch_rows

_DEFINED = " UNION ALL ".join(f"({definition.select('true')})" for definition in DEFINITIONS)

# Without the moment and the act, which a row keeps as it got them.
_COMPARED = ", ".join(column for column in COLUMNS if column != "since")

_DIFFERENCES_OF_ROWS = f"""
    WITH defined AS (SELECT DISTINCT ON (kind, source) {_COMPARED} FROM ({_DEFINED}) AS defined ({", ".join(COLUMNS)})
        ORDER BY kind, source)
    SELECT 'missing', rows.* FROM (SELECT * FROM defined EXCEPT SELECT {_COMPARED} FROM sync_attention) AS rows
    UNION ALL
    SELECT 'too many', rows.* FROM (SELECT {_COMPARED} FROM sync_attention EXCEPT SELECT * FROM defined) AS rows
"""


def untrue_rows() -> list[tuple[Any, ...]]:
    """Return the rows that are missing and those that are too many."""
    return fetch_rows(_DIFFERENCES_OF_ROWS)
