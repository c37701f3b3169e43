"""What one board's pass may spend now: the costs learned from its calls, whether there is room for a read and
a write, and the grant that reserves both.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection

from sync.choices import Priority
from sync.clock import SyncNow
from sync.connectors.base.connector import CallReport
from sync.kernel import humanize
from sync.limits import quota, rate_limits
from sync.limits.quota import BudgetState
from sync.limits.rate_limits import (
    DOCUMENT_POINTS,
    MINUTE_RESERVE,
    PASS_CALLS,
    READ_POINTS,
    WRITE_POINTS,
    LimitKind,
    LimitWait,
    midnight_after,
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

_POINTS_BEFORE_BOARD = """
    SELECT coalesce(sum(coalesce(link.read_points, %s)
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
    WHERE mine.id = %s AND due.rows > 0
""".format(paused=PAUSED_DIRECTIONS.format(entity_type="link.entity_type"))  # noqa: S608

_POINTS_BEFORE_ALL = _POINTS_BEFORE_BOARD.replace("SELECT ", "SELECT mine.id, ", 1).replace(
    "mine.id = %s AND due.rows > 0", "due.rows > 0 GROUP BY mine.id"
)


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
    """`points_before` of every link, by id; links with 0 are left out. One query."""
    with connection.cursor() as cursor:
        cursor.execute(_POINTS_BEFORE_ALL, [READ_POINTS, WRITE_POINTS, rate_limits.FULL_BATCH])
        return {int(link_id): math.ceil(float(points)) for link_id, points in cursor.fetchall()}


def points_before(link_id: int) -> int:
    """The points of one pass for each board that has due rows and whose last pass was before this one's."""
    with connection.cursor() as cursor:
        cursor.execute(_POINTS_BEFORE_BOARD, [READ_POINTS, WRITE_POINTS, rate_limits.FULL_BATCH, link_id])
        return math.ceil(float(cursor.fetchone()[0]))


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


# Whether a board may have a pass now: room for a read and a write, and the window in which changes are
# gathered.


@dataclass(frozen=True)
class Offer:
    """A pass that there is room for; `only_urgent`: only in the part reserved for what a person clicked."""

    size: int
    points: int
    urgent: bool = False
    only_urgent: bool = False
    calls: int = PASS_CALLS


@dataclass(frozen=True)
class Throttled:
    """Why a board has no pass now, as a sentence, and until when.

    `is_temporary` where nothing is wrong: the board gathers changes to save calls of the day, or the minute's
    quota is used up.
    """

    reason: str
    until: datetime
    is_temporary: bool = True


def board_throttle(
    state: BudgetState, costs: BoardCosts, demand: Demand, facts: BudgetFacts | None = None
) -> Throttled | None:
    """Why a board is ignored for the quota or to gather changes; None where a pass may begin."""
    facts = facts or BudgetFacts()
    found = next_offer(state, costs, demand, facts)
    # A used up day is no temporary wait; a minute's limits are.
    if isinstance(found, LimitWait):
        reason = wait_reason(found, urgent=demand.priority == Priority.PERSON)
        return Throttled(reason, found.until, found.kind is not LimitKind.DAY)
    return None if found.urgent else _batching_throttle(state, costs, demand, facts)


def quota_available_since(state: BudgetState, costs: BoardCosts, facts: BudgetFacts | None = None) -> datetime:
    """Since when the quota has let this board be worked, at the earliest.

    A board that was just worked is gone on with, in the portions that a minute allows.
    """
    today = midnight_after(state.now) - timedelta(days=1)
    if costs.last_pass is None:
        return today
    # While a board gathers changes it is not available, so its rows are not late.
    delay = (facts or BudgetFacts()).delay(state)
    return max(today, costs.last_pass + timedelta(seconds=delay))


def batching_delay(
    state: BudgetState | None = None, last_hour: Callable[[], quota.LastHour] = quota.last_hour
) -> float:
    """The seconds for which every board gathers changes before its next pass; 0: none."""
    state = state or quota.read_budget()
    left = state.budget.day_left()
    if left is None:
        return 0.0
    hour = last_hour()
    rest = (midnight_after(state.now) - state.now).total_seconds()
    limit = state.budget.quota.day or 0
    return rate_limits.window_seconds(rate_limits.DayUsage(limit, left, hour.calls, hour.boards, rest))


@dataclass(frozen=True)
class BudgetFacts:
    """Facts that are read only where a decision depends on them.

    A caller with many boards caches the answers.
    """

    points_before_board: Callable[[int], int] = points_before
    delay: Callable[[BudgetState], float] = batching_delay


def next_offer(
    state: BudgetState, costs: BoardCosts, demand: Demand, facts: BudgetFacts | None = None
) -> Offer | LimitWait:
    """The next pass of a board, as large as there is room for, or the limit that leaves no room."""
    facts = facts or BudgetFacts()
    # Without the reserve first, so that a person's click uses the reserve only when nothing else is left.
    found = _offer_within(state, costs, demand.rows, facts, urgent=False)
    if demand.priority != Priority.PERSON:
        return found
    if isinstance(found, Offer):
        return Offer(found.size, found.points, urgent=True)
    urgent_offer = _offer_within(state, costs, demand.rows, facts, urgent=True)
    return (
        urgent_offer
        if isinstance(urgent_offer, LimitWait)
        else Offer(urgent_offer.size, urgent_offer.points, urgent=True, only_urgent=True)
    )


def _offer_within(
    state: BudgetState, costs: BoardCosts, rows: int, facts: BudgetFacts, *, urgent: bool
) -> Offer | LimitWait:
    budget = state.budget
    wanted = min(costs.size, max(1, rows))
    room = budget.points_left(urgent=urgent)
    # Boards that have waited longer are left half a minute's points at most; a person's click goes before them.
    half, reserved = (_full_minute_points(state) or 0) // 2, 0
    own = costs.read_points + wanted * costs.write_points
    # Where half a minute is left after this pass, nobody has to be asked how much they need.
    if not urgent and room is not None and room - own < half:
        reserved = min(half, facts.points_before_board(costs.link_id))
    fits = rate_limits.fitting_batch_size(
        None if room is None else room - reserved, costs.read_points, costs.write_points
    )
    # Nothing is spent yet of this minute: a later one would have no more room, so the pass takes it now.
    if not fits and reserved and not budget.points.spent:
        fits = rate_limits.fitting_batch_size(room, costs.read_points, costs.write_points)
    full = min(wanted, _full_minute_size(state, costs))
    size = min(wanted, fits)
    # A document far below a full one waits for the next minute, because it costs the day the same call.
    if size < full and (size == 0 or (not urgent and rate_limits.is_too_small(size, full))):
        return LimitWait(LimitKind.POINTS, budget.points.ends or state.now + timedelta(seconds=1))
    size = max(1, size)
    points = math.ceil(costs.read_points + size * costs.write_points)
    found = budget.required_wait(PASS_CALLS, points, state.now, state.in_flight, urgent=urgent)
    return found or Offer(size, points)


def _full_minute_size(state: BudgetState, costs: BoardCosts) -> int:
    """How many records would fit into a minute of which nothing is spent."""
    return rate_limits.fitting_batch_size(_full_minute_points(state), costs.read_points, costs.write_points)


def _full_minute_points(state: BudgetState) -> int | None:
    """The points of a minute of which nothing is spent."""
    limit = state.budget.quota.points
    return None if limit is None else limit - reserve(limit, MINUTE_RESERVE)


def _batching_throttle(state: BudgetState, costs: BoardCosts, demand: Demand, facts: BudgetFacts) -> Throttled | None:
    # A full batch never waits: gathering more changes would save no call.
    if costs.last_pass is None or not demand.rows or demand.rows >= min(costs.size, _full_minute_size(state, costs)):
        return None
    delay = timedelta(seconds=facts.delay(state))
    if not delay:
        return None
    until = costs.last_pass + delay
    # Nor does a change wait longer than one window, even if the board had a pass meanwhile.
    if demand.oldest is not None:
        until = min(until, demand.oldest + delay)
    # At midnight UTC the day's calls are new.
    until = min(until, midnight_after(state.now))
    if until <= state.now:
        return None
    every, at = interval_text(delay.total_seconds()), humanize.time_of_day(until, seconds=True)
    reason = f"The day's API quota is tight: changes of this board go out every {every}; the next at {at}."
    return Throttled(reason, until)


def interval_text(seconds: float) -> str:
    """A length of time as after "every": seconds below two minutes, else minutes or hours."""
    if seconds < 1.5:
        return "second"
    if seconds < 120:
        return humanize.count_with_noun(round(seconds), "second")
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 120:
        return humanize.count_with_noun(minutes, "minute")
    return humanize.count_with_noun(hours, "hour")


def wait_reason(wait: LimitWait, *, urgent: bool) -> str:
    """The reason of a wait, as a sentence; an `urgent` call may use the reserve too."""
    day = "Today's calls to Monday are used up."
    reasons = {
        LimitKind.DAY: day
        if urgent
        else "Today's calls to Monday are used up, but for those kept for what a person asks for.",
        LimitKind.MINUTE: "This minute's calls to Monday are used up.",
        LimitKind.POINTS: "This minute's complexity points at Monday are used up.",
        LimitKind.CONCURRENCY: "As many calls to Monday are under way as may be.",
    }
    again = f"It goes on by itself at {humanize.time_of_day(wait.until, seconds=True)}."
    return f"{reasons[wait.kind]} {again}"


# Grants: a pass's right to its read and its write, reserved together; and what one call costs.


@dataclass(frozen=True)
class CallCost:
    """What the next call is: for which board, for how many records, a read or a write."""

    link_id: int | None = None
    entity_type: str = ""
    records: int = 0
    writes: bool = False
    reads_limits: bool = False

    @property
    def kind(self) -> str:
        """Read or write of a board, or a call of the account, which belongs to no board."""
        if self.link_id is None:
            return "account"
        return "write" if self.writes else "read"


@dataclass
class CallGrant:
    """What a pass may do: so many records, and calls that are spent already; `calls` and `points` are unsent.

    Without a reservation (no limit is known, or nothing was due) each call is metered by itself.
    """

    link: BoardLink
    size: int
    urgent: bool = False
    only_urgent: bool = False
    read_points: float = 0.0
    write_points: float = 0.0
    reservation: uuid.UUID | None = None
    calls: int = 0
    points: int = 0
    sent: int = 0

    def __enter__(self) -> CallGrant:
        self._token = _grant.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        # What the pass reserved and didn't send is given back at once, also after a failure.
        _grant.reset(self._token)
        if self.reservation is not None:
            with quota.lock_budget() as state:
                state.release(self.reservation)
            self.reservation = None


_grant: ContextVar[CallGrant | None] = ContextVar("turn", default=None)
_cost: ContextVar[CallCost | None] = ContextVar("cost", default=None)


def current_grant() -> CallGrant | None:
    """The grant of the pass in which this code runs, if any."""
    return _grant.get()


def current_cost() -> CallCost:
    """What `call_cost` said of the next call; a call of the account where nothing was said."""
    return _cost.get() or CallCost()


@contextmanager
def call_cost(link: BoardLink, records: int, *, writes: bool = False) -> Iterator[None]:
    """Declare the calls inside: how many records of which board they read or write."""
    token = _cost.set(CallCost(link.pk, link.entity_type, records, writes))
    try:
        yield
    finally:
        _cost.reset(token)


@contextmanager
def limits_request() -> Iterator[None]:
    """A person asks for the account's limits: the known limit of the day doesn't stop that call.

    The limit may have been raised since, and while the day counts as used up nothing else would find out.
    """
    token = _cost.set(CallCost(reads_limits=True))
    try:
        yield
    finally:
        _cost.reset(token)


def grant_calls(link: BoardLink) -> CallGrant | None:
    """Reserve a read and a write of the board's next batch; None where there is no room for them."""
    costs = board_costs(link.pk)
    if quota.read_limited_budget() is None:
        return _new_grant(link, costs, costs.size)
    demand = demands_of({link.entity_type: costs.size})[link.entity_type]
    if not demand.rows:
        return _new_grant(link, costs, costs.size)
    with quota.lock_budget() as state:
        quota.delete_expired_reservations()
        found = next_offer(state, costs, demand)
        if not isinstance(found, Offer):
            return None
        reservation = state.reserve(link.entity_type, found.calls, found.points)
    grant = _new_grant(link, costs, found.size)
    grant.urgent, grant.only_urgent = found.urgent, found.only_urgent
    grant.reservation, grant.calls, grant.points = reservation, found.calls, found.points
    return grant


def _new_grant(link: BoardLink, costs: BoardCosts, size: int) -> CallGrant:
    return CallGrant(link, size, read_points=costs.read_points, write_points=costs.write_points)
