"""Latencies hour by hour: what the sums of `/metrics`, which know no time, can't say of the last 24 hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.db import connection

from sync.metrics.scale import step_of

KEPT_DAYS = 8
# Sorted, as the sums are (counts.py): who adds holds the board's lease.
_ADD = """
    INSERT INTO sync_latency_hours (hour, entity_type, direction, bucket, changes)
    SELECT date_bin('1 hour', sync_now(), timestamptz '2001-01-01 00:00:00+00'), %s, told.direction, told.bucket,
        told.changes
    FROM unnest(%s::text[], %s::int[], %s::int[]) AS told (direction, bucket, changes)
    ORDER BY 3, 4
    ON CONFLICT (hour, entity_type, direction, bucket)
    DO UPDATE SET changes = sync_latency_hours.changes + excluded.changes
"""


def add_to_hour(entity_type: str, arrived: Iterable[tuple[str, float]]) -> None:
    """Count changes of one board in the present hour, each told by its direction and its seconds on the way."""
    counts = Counter((str(direction), step_of(seconds)) for direction, seconds in arrived)
    if not counts:
        return
    directions, steps = zip(*counts, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [entity_type, list(directions), list(steps), list(counts.values())])
