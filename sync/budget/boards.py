"""What a board's calls have taught: how many records a document may carry, and how many points they cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db import connection

from sync.clock import SyncNow
from sync.connectors.monday import pacing
from sync.connectors.monday.answers import Answer
from sync.connectors.monday.budget import READ_POINTS, WRITE_POINTS
from sync.models import BoardLink, MondayAccount

FORGET = 0.1
"""A dearer call is believed at once, cheaper ones bit by bit."""

_DEMAND = """
    SELECT count(*), min(priority), min(next_retry) FROM (
        SELECT priority, next_retry FROM sync_queue
        WHERE status = 'pending' AND entity_type = %s AND next_retry <= sync_now()
        ORDER BY priority, next_retry LIMIT %s
    ) AS due
"""


@dataclass(frozen=True)
class Learned:
    """Of one board: records a document, points a read and a record written, and when it was last looked at."""

    size: int
    read_points: float
    write_points: float
    last_look: datetime | None


@dataclass(frozen=True)
class Demand:
    """Due rows of a board, no more counted than asked for; the most urgent's priority, the oldest's time."""

    rows: int
    priority: int | None
    oldest: datetime | None


def learned(link_id: int) -> Learned:
    """What is known of a board; the size is also bounded by what the account bears after a failure."""
    row = BoardLink.objects.only("batch_limit", "read_points", "write_points", "last_look").get(pk=link_id)
    account = MondayAccount.objects.filter(id=1).values_list("batch_limit", flat=True).first()
    size = min(row.batch_limit or pacing.FULL_BATCH, account or pacing.FULL_BATCH)
    return Learned(size, row.read_points or READ_POINTS, row.write_points or WRITE_POINTS, row.last_look)


def demand_of(entity_type: str, most: int) -> Demand:
    """What is due on a board, `most` rows of it."""
    with connection.cursor() as cursor:
        cursor.execute(_DEMAND, [entity_type, most])
        rows, priority, oldest = cursor.fetchone()
    return Demand(int(rows), priority, oldest)


def learn(link_id: int, records: int, answer: Answer, *, writes: bool, first: bool) -> None:
    """Learn from an answer to a call for so many records; the `first` of a look is when it was looked at."""
    row = BoardLink.objects.only("batch_limit", "read_points", "write_points").get(pk=link_id)
    size = row.batch_limit or pacing.FULL_BATCH
    found = pacing.next_size(size, records, answer.seconds, settings.MONDAY_TIMEOUT_SECONDS)
    changed: dict[str, object] = {"last_look": SyncNow()} if first else {}
    if found != size:
        changed["batch_limit"] = None if found >= pacing.FULL_BATCH else found
    if answer.complexity and records:
        name = "write_points" if writes else "read_points"
        cost = answer.complexity.query / records if writes else float(answer.complexity.query)
        points = _dearest(getattr(row, name), cost)
        if points != getattr(row, name):
            changed[name] = points
    if changed:
        BoardLink.objects.filter(pk=link_id).update(**changed)


def learn_timeout(link_id: int, records: int) -> None:
    """A call for so many records got no answer in time."""
    BoardLink.objects.filter(pk=link_id).update(batch_limit=pacing.size_after_timeout(records))


def _dearest(known: float | None, cost: float) -> float:
    return cost if known is None else max(cost, known + FORGET * (cost - known))
