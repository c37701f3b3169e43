"""What was spent, minute by minute and board by board: for the forecast, for pacing, and for comparing with Monday."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection

from sync import metrics
from sync.clock import SyncNow
from sync.metrics.names import API_CALLS, API_POINTS, API_REJECTIONS
from sync.models import ApiUsage

KEPT = timedelta(days=8)

_ADD = """
    INSERT INTO sync_api_usage (slot, entity_type, calls, looks, points, rejections)
    VALUES (date_trunc('minute', sync_now()), %s, %s, %s, %s, %s)
    ON CONFLICT (slot, entity_type) DO UPDATE SET
        calls = sync_api_usage.calls + excluded.calls, looks = sync_api_usage.looks + excluded.looks,
        points = sync_api_usage.points + excluded.points,
        rejections = sync_api_usage.rejections + excluded.rejections
"""
_LAST_HOUR = """
    SELECT coalesce(sum(calls), 0), count(DISTINCT entity_type) FILTER (WHERE looks > 0 AND entity_type <> '')
    FROM sync_api_usage WHERE slot > sync_now() - interval '1 hour'
"""


@dataclass(frozen=True)
class LastHour:
    """Calls of the last hour, and how many boards had looks."""

    calls: float
    boards: int


def add(
    entity_type: str, calls: Decimal, *, kind: str, looks: int = 0, points: int = 0, rejections: int = 0
) -> None:
    """Add one call to this minute's row, under the budget's lock; `calls` is what it counts, `kind` what it was."""
    with connection.cursor() as cursor:
        cursor.execute(_ADD, [entity_type, calls, looks, points, rejections])
    metrics.add(
        [
            metrics.Count(API_CALLS, entity_type, kind),
            metrics.Count(API_POINTS, entity_type, value=points),
            metrics.Count(API_REJECTIONS, entity_type, value=rejections),
        ]
    )


def last_hour() -> LastHour:
    """What the last hour took."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_HOUR)
        calls, boards = cursor.fetchone()
    return LastHour(float(calls), int(boards))


def calls_between(start: datetime, end: datetime) -> Decimal:
    """Our calls of the minutes that began from `start` to `end`."""
    rows = ApiUsage.objects.filter(slot__gte=start, slot__lte=end).values_list("calls", flat=True)
    return sum(rows, Decimal(0))


def forget_old() -> None:
    """Drop what no page and no forecast asks for any more."""
    ApiUsage.objects.filter(slot__lt=SyncNow() - KEPT).delete()
