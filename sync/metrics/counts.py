"""Counting what only grows: sums in a table that every process of the installation adds to.

Who adds to a row holds a lock that others want first: of a board's looks the board's lease, of calls the budget's
row. So no two transactions meet here, and none waits for another that it did not wait for already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import connection

from sync.metrics.names import Metric

# Sorted, so that two who add to the same rows lock them in the same order.
_ADD = """
    INSERT INTO sync_metric_counts (name, entity_type, label, bucket, value)
    SELECT name, entity_type, label, bucket, sum(value)
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::float8[])
        AS told (name, entity_type, label, bucket, value)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (name, entity_type, label, bucket)
    DO UPDATE SET value = sync_metric_counts.value + excluded.value
"""


@dataclass(frozen=True)
class Count:
    """So much more of a metric; `label` is the value of the label that isn't the board, if it has one."""

    metric: Metric
    entity_type: str = ""
    label: str = ""
    value: float = 1.0
    bucket: str = ""


def add(counts: Iterable[Count]) -> None:
    """Add to the sums, in one statement of the caller's transaction; nothing is sent where nothing is told."""
    told = [one for one in counts if one.value]
    if not told:
        return
    columns: list[Any] = [
        [one.metric.name for one in told],
        [one.entity_type for one in told],
        [one.label for one in told],
        [one.bucket for one in told],
        [float(one.value) for one in told],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_ADD, columns)
