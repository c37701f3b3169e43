"""Which board is due for a sweep or a comparison, paced by the day's allowance; taken by one worker at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Q

from sync import budget, registry, stopping
from sync.backfill import open_backfill
from sync.boards import link_of
from sync.clock import SyncNow, sync_now
from sync.models import BoardLink
from sync.standstill import why_not

SHORTEST_SECONDS = 600
"""Between two sweeps of a board where the allowance is large, or not known."""
LONGEST_SECONDS = 6 * 3_600
SHARE = 0.05
"""Sweeps take no more than this share of a day's calls: hourly at 1,000 calls and two boards."""
NIGHT = 2
"""The hour, in UTC, from which on boards are compared."""
NIGHT_ENDS = 5
UNDER_WAY = (
    "It is not finished: it is under way, or its worker was stopped, and the next night makes it again."
)
LATEST = timedelta(hours=26)
"""A comparison that no night had room for is made as soon as it can be."""


def interval() -> timedelta:
    """How long after a sweep the next one of that board is due."""
    forecast = budget.forecast()
    if not forecast.limit:
        return timedelta(seconds=SHORTEST_SECONDS)
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    seconds = 86_400 * boards / (forecast.limit * SHARE)
    if forecast.ends_at is not None:
        seconds = max(2 * seconds, 3_600.0)
    return timedelta(seconds=min(LONGEST_SECONDS, max(SHORTEST_SECONDS, seconds)))


def boards_to_sweep() -> Iterator[BoardLink]:
    """Yield the boards whose sweep is due, each taken for this worker.

    A board that was never swept begins here: what came before is the set-up's, the backfill's and the comparison's.
    """
    wait = interval()
    for link in _workable():
        if stopping.asked():
            return
        if BoardLink.objects.filter(pk=link.pk, swept_at=None).update(swept_at=SyncNow(), swept_to=SyncNow()):
            continue
        due = BoardLink.objects.filter(pk=link.pk, swept_at__lte=SyncNow() - wait)
        if due.update(swept_at=SyncNow()):
            yield link


def boards_to_compare() -> Iterator[BoardLink]:
    """Yield the boards whose nightly comparison is due, each taken for this worker."""
    for link in _workable():
        now = sync_now()
        if stopping.asked():
            return
        if not _is_due(link.compared_at, now) or open_backfill(link.entity_type) is not None:
            continue
        same = Q(compared_at=link.compared_at) if link.compared_at else Q(compared_at=None)
        if BoardLink.objects.filter(same, pk=link.pk).update(compared_at=SyncNow(), compared=UNDER_WAY):
            yield link


def _is_due(last: datetime | None, now: datetime) -> bool:
    night = now.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    if last is None:
        return NIGHT <= now.hour < NIGHT_ENDS
    return now - last > LATEST or last < night <= now < night + timedelta(hours=NIGHT_ENDS - NIGHT)


def _workable() -> Iterator[BoardLink]:
    """The boards that can be asked at all: set up, not paused, with room in the allowance."""
    for spec in registry.entities():
        link = link_of(spec.entity_type)
        if link is not None and link.board_id and not why_not(spec.entity_type):
            yield link
