"""What one board's pass costs, as learned from its calls, and how large a one there is room for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from sync.choices import Priority
from sync.clock import SyncNow
from sync.connectors.base.connector import CallReport
from sync.limits import rate_limits
from sync.limits.quota import BudgetState
from sync.limits.rate_limits import (
    DOCUMENT_POINTS,
    MINUTE_RESERVE,
    PASS_CALLS,
    READ_POINTS,
    WRITE_POINTS,
    LimitKind,
    LimitWait,
    reserve,
)
from sync.models import BoardLink, MondayAccount
from sync.outbox.pauses import PAUSED_DIRECTIONS

SMOOTHING = 0.1
"""A higher cost is believed at once, a lower one bit by bit, with this weight."""

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

_POINTS_BEFORE = """
    SELECT mine.id, coalesce(sum(coalesce(link.read_points, %s)
        + least(due.rows, coalesce(link.batch_limit, due.rows)) * coalesce(link.write_points, %s)), 0)
    FROM sync_board_links AS mine
    JOIN sync_board_links AS link ON link.id <> mine.id AND link.board_id <> ''
        AND coalesce(link.last_pass_at < mine.last_pass_at, link.last_pass_at IS NULL AND mine.last_pass_at IS NOT NULL)
        AND coalesce(link.blocked_until <= sync_now(), true)
    CROSS JOIN LATERAL (SELECT count(*) AS rows FROM (
        SELECT 1 FROM sync_queue
        WHERE status = 'pending' AND entity_type = link.entity_type AND next_retry <= sync_now()
          AND direction <> ALL ({paused})
        LIMIT %s
    ) AS few) AS due
    WHERE due.rows > 0 GROUP BY mine.id
""".format(paused=PAUSED_DIRECTIONS.format(entity_type="link.entity_type"))  # noqa: S608


@dataclass(frozen=True)
class BoardCosts:
    """A board's records per document, points per read and written record, and the time of its last pass."""

    link_id: int
    size: int
    read_points: float
    write_points: float
    last_pass: datetime | None


@dataclass(frozen=True)
class Demand:
    """A board's due rows, counted up to a maximum.

    The priority of the most urgent, the time of the oldest.
    """

    rows: int
    priority: int | None
    oldest: datetime | None


def board_costs(link_id: int) -> BoardCosts:
    """What is known of a board; after failures of the account its limit bounds the size as well."""
    row = (
        BoardLink.objects.only("batch_limit", "read_points", "write_points", "last_pass_at")
        .annotate(account_limit=MondayAccount.objects.filter(id=1).values("batch_limit"))
        .get(pk=link_id)
    )
    return board_costs_from(row, row.account_limit)


def board_costs_from(row: BoardLink, account_limit: int | None) -> BoardCosts:
    """The same for a link that is already read, with the account's limit."""
    size = min(row.batch_limit or rate_limits.FULL_BATCH, account_limit or rate_limits.FULL_BATCH)
    return BoardCosts(row.pk, size, row.read_points or READ_POINTS, row.write_points or WRITE_POINTS, row.last_pass_at)


def demands_of(max_rows: Mapping[str, int]) -> dict[str, Demand]:
    """The due rows of each of these boards, counted up to its maximum; one query."""
    columns: list[Any] = [list(max_rows), list(max_rows.values())]
    with connection.cursor() as cursor:
        cursor.execute(_DEMANDS, columns)
        found = cursor.fetchall()
    return {entity_type: Demand(int(rows), priority, oldest) for entity_type, rows, priority, oldest in found}


def points_before_all() -> dict[int, int]:
    """The points of one pass for each board that has due rows and whose last pass was before a link's, by its id.

    Links with 0 are left out; one query.
    """
    with connection.cursor() as cursor:
        cursor.execute(_POINTS_BEFORE, [READ_POINTS, WRITE_POINTS, rate_limits.FULL_BATCH])
        return {int(link_id): math.ceil(float(points)) for link_id, points in cursor.fetchall()}


def learn_costs(link_id: int, records: int, answer: CallReport, *, writes: bool, first: bool) -> None:
    """Learn from the answer to a call for so many records; the `first` call of a pass marks its time."""
    row = BoardLink.objects.only("batch_limit", "read_points", "write_points").filter(pk=link_id).first()
    if row is None:  # deleted while the call was in flight
        return
    size = row.batch_limit or rate_limits.FULL_BATCH
    found = rate_limits.next_batch_size(size, records, answer.seconds, settings.MONDAY_TIMEOUT_SECONDS)
    changed: dict[str, object] = {"last_pass_at": SyncNow()} if first else {}
    if found != size:
        changed["batch_limit"] = None if found >= rate_limits.FULL_BATCH else found
    if answer.complexity and records:
        name = "write_points" if writes else "read_points"
        # A write's cost grows with its records; a read's is taken as a whole.
        cost = answer.complexity.query / records if writes else float(answer.complexity.query)
        known = getattr(row, name)
        points = cost if known is None else max(cost, known + SMOOTHING * (cost - known))
        if points != known:
            changed[name] = points
    if changed:
        BoardLink.objects.filter(pk=link_id).update(**changed)


def learn_too_large(link_id: int, records: int) -> None:
    """A call for so many records timed out, or cost more points than one call may."""
    # A call for a single record can't be made smaller: then Monday is slow, and not the document too large.
    if records > 1:
        BoardLink.objects.filter(pk=link_id).update(batch_limit=rate_limits.batch_size_after_timeout(records))


def learn_higher_cost(link_id: int, *, writes: bool) -> None:
    """A call that had room by our count was rejected for its points.

    Its cost was underestimated, or others spent.
    """
    name, first_guess = ("write_points", WRITE_POINTS) if writes else ("read_points", READ_POINTS)
    known = BoardLink.objects.filter(pk=link_id).values_list(name, flat=True).first()
    # Doubled, because a rejection doesn't say what the call would have cost (developer.monday.com, changelog
    # 2025-07), and the same document would be rejected again each minute. Answers correct it bit by bit.
    BoardLink.objects.filter(pk=link_id).update(**{name: min(DOCUMENT_POINTS, 2 * (known or first_guess))})


# How large a pass there is room for.


@dataclass(frozen=True)
class Offer:
    """A pass that there is room for; `only_urgent`: only in the part reserved for what a person clicked."""

    size: int
    points: int
    urgent: bool = False
    only_urgent: bool = False


def next_offer(
    state: BudgetState,
    costs: BoardCosts,
    demand: Demand,
    points_before: Callable[[], Mapping[int, int]] = points_before_all,
) -> Offer | LimitWait:
    """The next pass of a board, as large as there is room for, or the limit that leaves no room.

    `points_before` is called where the decision depends on it; a caller with many boards caches its answer.
    """
    # Without the reserve first, so that a person's click uses the reserve only when nothing else is left.
    found = _offer_within(state, costs, demand.rows, points_before, urgent=False)
    if demand.priority != Priority.PERSON:
        return found
    if isinstance(found, Offer):
        return Offer(found.size, found.points, urgent=True)
    urgent_offer = _offer_within(state, costs, demand.rows, points_before, urgent=True)
    return (
        urgent_offer
        if isinstance(urgent_offer, LimitWait)
        else Offer(urgent_offer.size, urgent_offer.points, urgent=True, only_urgent=True)
    )


def _offer_within(
    state: BudgetState, costs: BoardCosts, rows: int, points_before: Callable[[], Mapping[int, int]], *, urgent: bool
) -> Offer | LimitWait:
    budget = state.budget
    wanted = min(costs.size, max(1, rows))
    room = budget.points_left(urgent=urgent)
    # Boards that have waited longer are left half a minute's points at most; a person's click goes before them.
    half, reserved = (_full_minute_points(state) or 0) // 2, 0
    own = costs.read_points + wanted * costs.write_points
    # Where half a minute is left after this pass, nobody has to be asked how much they need.
    if not urgent and room is not None and room - own < half:
        reserved = min(half, points_before().get(costs.link_id, 0))
    fits = rate_limits.fitting_batch_size(
        None if room is None else room - reserved, costs.read_points, costs.write_points
    )
    # Nothing is spent yet of this minute: a later one would have no more room, so the pass takes it now.
    if not fits and reserved and not budget.points.spent:
        fits = rate_limits.fitting_batch_size(room, costs.read_points, costs.write_points)
    full = min(wanted, full_minute_size(state, costs))
    size = min(wanted, fits)
    # A document far below a full one waits for the next minute, because it costs the day the same call.
    if size < full and (size == 0 or (not urgent and rate_limits.is_too_small(size, full))):
        return LimitWait(LimitKind.POINTS, budget.points.ends or state.now + timedelta(seconds=1))
    size = max(1, size)
    points = math.ceil(costs.read_points + size * costs.write_points)
    found = budget.required_wait(PASS_CALLS, points, state.now, state.in_flight, urgent=urgent)
    return found or Offer(size, points)


def full_minute_size(state: BudgetState, costs: BoardCosts) -> int:
    """How many records would fit into a minute of which nothing is spent."""
    return rate_limits.fitting_batch_size(_full_minute_points(state), costs.read_points, costs.write_points)


def _full_minute_points(state: BudgetState) -> int | None:
    """The points of a minute of which nothing is spent."""
    limit = state.budget.quota.points
    return None if limit is None else limit - reserve(limit, MINUTE_RESERVE)


def wait_reason(wait: LimitWait, *, urgent: bool) -> str:
    """The reason of a wait, as a sentence; an `urgent` call may use the reserve too.

    It is stored with jobs, so until when is said where it is read: in the reader's time zone.
    """
    day = "Today's calls to Monday are used up."
    return {
        LimitKind.DAY: day
        if urgent
        else "Today's calls to Monday are used up, but for those kept for what a person asks for.",
        LimitKind.MINUTE: "This minute's calls to Monday are used up.",
        LimitKind.POINTS: "This minute's complexity points at Monday are used up.",
        LimitKind.CONCURRENCY: "As many calls to Monday are under way as may be.",
    }[wait.kind]
