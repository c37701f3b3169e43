"""What a board's calls have taught: how many records a document may carry, and how many points they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from sync.clock import SyncNow
from sync.connectors.monday import pacing
from sync.connectors.monday.answers import Answer
from sync.connectors.monday.budget import DOCUMENT_POINTS, READ_POINTS, WRITE_POINTS
from sync.models import BoardLink, MondayAccount
from sync.pausing import PAUSED_DIRECTIONS

FORGET = 0.1
"""A dearer call is believed at once, cheaper ones bit by bit."""

_DEMAND = """
    SELECT count(*), min(priority), min(next_retry) FROM (
        SELECT priority, next_retry FROM sync_queue
        WHERE status = 'pending' AND entity_type = %s AND next_retry <= sync_now()
          AND direction <> ALL ({paused})
        ORDER BY priority, next_retry LIMIT %s
    ) AS due
""".format(paused=PAUSED_DIRECTIONS.format(entity_type="%s"))  # noqa: S608
_DEMANDS = """
    SELECT asked.entity_type, due.rows, due.priority, due.oldest
    FROM unnest(%s::text[], %s::int[]) AS asked (entity_type, most)
    CROSS JOIN LATERAL (SELECT count(*) AS rows, min(priority) AS priority, min(next_retry) AS oldest FROM (
        SELECT priority, next_retry FROM sync_queue
        WHERE status = 'pending' AND entity_type = asked.entity_type AND next_retry <= sync_now()
          AND direction <> ALL ({paused})
        ORDER BY priority, next_retry LIMIT asked.most
    ) AS few) AS due
""".format(paused=PAUSED_DIRECTIONS.format(entity_type="asked.entity_type"))  # noqa: S608

_WAIT_LONGER = """
    SELECT coalesce(sum(coalesce(link.read_points, %s)
        + least(due.rows, coalesce(link.batch_limit, due.rows)) * coalesce(link.write_points, %s)), 0)
    FROM sync_board_links AS mine
    JOIN sync_board_links AS link ON link.id <> mine.id AND link.board_id <> ''
        AND coalesce(link.last_look < mine.last_look, link.last_look IS NULL AND mine.last_look IS NOT NULL)
        AND coalesce(link.blocked_until <= sync_now(), true)
    CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
        SELECT 1 FROM sync_queue
        WHERE status = 'pending' AND entity_type = link.entity_type AND next_retry <= sync_now()
          AND direction <> ALL ({paused})
        LIMIT %s
    ) AS few) AS due
    WHERE mine.id = %s AND due.rows > 0
""".format(paused=PAUSED_DIRECTIONS.format(entity_type="link.entity_type"))  # noqa: S608
_ALL_WAIT_LONGER = _WAIT_LONGER.replace("SELECT ", "SELECT mine.id, ", 1).replace(
    "mine.id = %s AND due.rows > 0", "due.rows > 0 GROUP BY mine.id"
)


@dataclass(frozen=True)
class Learned:
    """Of one board: records a document, points a read and a record written, and when it was last looked at."""

    link_id: int
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
    return learned_by(row, account)


def learned_by(row: BoardLink, account_limit: int | None) -> Learned:
    """The same of a link that has been read, with what the account bears."""
    size = min(row.batch_limit or pacing.FULL_BATCH, account_limit or pacing.FULL_BATCH)
    return Learned(
        row.pk, size, row.read_points or READ_POINTS, row.write_points or WRITE_POINTS, row.last_look
    )


def demand_of(entity_type: str, most: int) -> Demand:
    """What is due on a board, `most` rows of it."""
    with connection.cursor() as cursor:
        cursor.execute(_DEMAND, [entity_type, entity_type, most])
        rows, priority, oldest = cursor.fetchone()
    return Demand(int(rows), priority, oldest)


def demands_of(most: Mapping[str, int]) -> dict[str, Demand]:
    """What is due on each of these boards, so many rows of it at most; one query."""
    columns: list[Any] = [list(most), list(most.values())]
    with connection.cursor() as cursor:
        cursor.execute(_DEMANDS, columns)
        found = cursor.fetchall()
    return {entity_type: Demand(int(rows), priority, oldest) for entity_type, rows, priority, oldest in found}


def all_needed_by_longer_waiting() -> dict[int, int]:
    """By link, what `needed_by_longer_waiting` says of it; none of it where it is 0. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_ALL_WAIT_LONGER, [READ_POINTS, WRITE_POINTS, pacing.FULL_BATCH])
        return {int(link_id): math.ceil(float(points)) for link_id, points in cursor.fetchall()}


def needed_by_longer_waiting(link_id: int) -> int:
    """The points for a look of every board on which something is due and that was looked at before this one."""
    with connection.cursor() as cursor:
        cursor.execute(_WAIT_LONGER, [READ_POINTS, WRITE_POINTS, pacing.FULL_BATCH, link_id])
        return math.ceil(float(cursor.fetchone()[0]))


def learn(link_id: int, records: int, answer: Answer, *, writes: bool, first: bool) -> None:
    """Learn from an answer to a call for so many records; the `first` of a look is when it was looked at."""
    row = BoardLink.objects.only("batch_limit", "read_points", "write_points").filter(pk=link_id).first()
    if row is None:  # deleted while the call was under way
        return
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


def learn_too_large(link_id: int, records: int) -> None:
    """A call for so many records got no answer in time, or cost more points than one call may.

    One for a single record can't be made smaller: it is Monday that is slow or away, not the document too large.
    """
    if records > 1:
        BoardLink.objects.filter(pk=link_id).update(batch_limit=pacing.size_after_timeout(records))


def learn_dearer(link_id: int, *, writes: bool) -> None:
    """A call had room by our count and was refused for its points: it costs more than was thought, or others spent.

    A refusal doesn't say what the call would have cost (developer.monday.com, changelog 2025-07), so the guess is
    doubled; else the same document would come again each minute, and be refused. Answers correct it bit by bit.
    """
    name, first_guess = ("write_points", WRITE_POINTS) if writes else ("read_points", READ_POINTS)
    known = BoardLink.objects.filter(pk=link_id).values_list(name, flat=True).first()
    BoardLink.objects.filter(pk=link_id).update(**{name: min(DOCUMENT_POINTS, 2 * (known or first_guess))})


def _dearest(known: float | None, cost: float) -> float:
    return cost if known is None else max(cost, known + FORGET * (cost - known))
