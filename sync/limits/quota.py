"""The account's API quota: what was spent when, what Monday says of it, how long it lasts; and what a pass costs."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.db.models.functions import Greatest

from sync.choices import Priority, StopCode
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.kernel.db import fetch_rows, run_sql
from sync.limits import rate_limits
from sync.limits.rate_limits import (
    DOCUMENT_POINTS,
    MINUTE_RESERVE,
    PASS_CALLS,
    READ_POINTS,
    WRITE_POINTS,
    DayUsage,
    InFlight,
    LimitKind,
    LimitWait,
    LimitWindow,
    Quota,
    QuotaBudget,
    day_of,
    midnight_after,
    plan_quota,
    reserve,
)
from sync.models import ApiBudget, ApiReservation, ApiUsage, BoardLink, MondayAccount
from sync.monday.graphql import Answer
from sync.monday.usage import AccountInfo
from sync.outbox.pauses import IS_PAUSED

USAGE_RETENTION = timedelta(days=8)

_ADD_USAGE = """
    INSERT INTO sync_api_usage (slot, entity_type, calls, passes, points, rejections)
    VALUES (date_trunc('minute', sync_now()), %(type)s, %(calls)s, %(passes)s, %(points)s, %(rejections)s)
    ON CONFLICT (slot, entity_type) DO UPDATE SET
        calls = sync_api_usage.calls + excluded.calls, passes = sync_api_usage.passes + excluded.passes,
        points = sync_api_usage.points + excluded.points,
        rejections = sync_api_usage.rejections + excluded.rejections
"""


def record_usage(entity_type: str, calls: Decimal, *, passes: int = 0, points: int = 0, rejections: int = 0) -> None:
    """Add one call, which counts as `calls`, to this minute's row, under the budget's lock."""
    # The row of a minute is shared by all workers; the caller's lock on the budget keeps them from waiting here.
    run_sql(
        _ADD_USAGE, {"type": entity_type, "calls": calls, "passes": passes, "points": points, "rejections": rejections}
    )


def calls_of_last_hour() -> float:
    usage = ApiUsage.objects.filter(slot__gt=SyncNow() - timedelta(hours=1))
    return float(usage.aggregate(calls=Sum("calls", default=0))["calls"])


def active_boards() -> int:
    # A day, for on a small quota a board may wait for more than an hour, and would count as none.
    usage = ApiUsage.objects.filter(slot__gt=SyncNow() - timedelta(days=1), passes__gt=0)
    return usage.exclude(entity_type="").values("entity_type").distinct().count()


def calls_between(start: datetime, end: datetime) -> Decimal:
    """Our calls of the minutes that began from `start` to `end`."""
    rows = ApiUsage.objects.filter(slot__gte=start, slot__lte=end).values_list("calls", flat=True)
    return sum(rows, Decimal(0))


def delete_old_usage() -> None:
    """Delete what no page and no forecast reads any more."""
    ApiUsage.objects.filter(slot__lt=SyncNow() - USAGE_RETENTION).delete()


# The budget's rows: read, or locked for one short change.


MAX_SEND_DELAY_SECONDS = 10.0
"""Seconds from its reservation in which a call is sent at most.

Monday gets it before the timeout, or never.
"""

_END_RESERVATION = "DELETE FROM sync_api_reservations WHERE id = %s RETURNING calls, points, expires"

_IN_FLIGHT = """
    SELECT sync_now(), count(*), coalesce(sum(calls), 0), coalesce(sum(points), 0)
    FROM sync_api_reservations WHERE expires > sync_now()
"""


@dataclass
class BudgetState:
    """The budget at `now`, with the calls in flight."""

    budget: QuotaBudget
    now: datetime
    in_flight: InFlight

    @property
    def day_usage(self) -> DayUsage | None:
        """What is left of the day and for how long; None where its limit isn't known."""
        limit, left = self.budget.quota.day, self.budget.day_left()
        if limit is None or left is None:
            return None
        return DayUsage(limit, left, (midnight_after(self.now) - self.now).total_seconds())

    def reserve(self, entity_type: str, calls: int, points: int) -> uuid.UUID:
        """Spend calls and points, and keep them reserved until they are answered."""
        # Spent when reserved, not when answered: other workers must not spend the same calls meanwhile.
        self.budget = self.budget.spend(calls, points, self.now)
        row = ApiReservation.objects.create(
            entity_type=entity_type, calls=calls, points=points, expires=SyncNow() + _reservation_lifetime()
        )
        return row.pk

    def extend(self, reservation: uuid.UUID, calls: int, points: int) -> None:
        self.budget = self.budget.spend(calls, points, self.now)
        _change_reservation(reservation, calls, points)

    def finish_call(self, reservation: uuid.UUID, points: int) -> None:
        """One call of a reservation is over; the reservation holds the rest."""
        if _change_reservation(reservation, -1, -points):
            in_flight = self.in_flight
            self.in_flight = InFlight(in_flight.number, max(0, in_flight.calls - 1), max(0, in_flight.points - points))

    def release(self, reservation: uuid.UUID) -> None:
        """End a reservation; what it still holds is given back."""
        for calls, points, expires in fetch_rows(_END_RESERVATION, [reservation]):
            # An expired reservation's calls may have been sent by a worker that died, so they stay spent.
            if expires > self.now:
                self.budget = self.budget.spend(-calls, -points, self.now)


def read_budget(row: ApiBudget | None = None) -> BudgetState:
    """The budget now; `row` where it is already read."""
    return _load_state(row or budget_row())


def share_of_day(calls: int) -> float | None:
    """Return so many calls as a share of the day's; None where the day's limit isn't known."""
    limit = ApiBudget.objects.filter(id=1).values_list("day_limit", flat=True).first()
    return calls / limit if limit else None


def read_limited_budget() -> BudgetState | None:
    """The budget now; None, after one query, where no limit is known and so none is enforced."""
    row = budget_row()
    return _load_state(row) if is_limited(row) else None


def is_limited(row: ApiBudget) -> bool:
    return _quota(row).is_known


def budget_row() -> ApiBudget:
    return ApiBudget.objects.filter(id=1).first() or ApiBudget(id=1, **_EMPTY_BUDGET)


@contextmanager
def lock_budget() -> Iterator[BudgetState]:
    """Lock the budget for one short transaction; `budget` as it is at the end is stored."""
    with transaction.atomic():
        row = ApiBudget.objects.select_for_update().filter(id=1).first()
        # The row is created once for each installation; two workers may try it together, hence get_or_create.
        if row is None:
            ApiBudget.objects.get_or_create(id=1, defaults=_EMPTY_BUDGET)
            row = ApiBudget.objects.select_for_update().get(id=1)
        state = _load_state(row)
        yield state
        budget = state.budget
        ApiBudget.objects.filter(id=1).update(
            day_limit=budget.quota.day,
            minute_limit=budget.quota.minute,
            points_limit=budget.quota.points,
            concurrency_limit=budget.quota.concurrency,
            minute_calls=budget.minute.spent,
            minute_ends=budget.minute.ends,
            points=budget.points.spent,
            points_end=budget.points.ends,
            day=budget.day,
            day_calls=budget.day_calls,
            others_calls=budget.others_calls,
            reported_at=budget.reported_at,
            refused_at=budget.refused_at,
        )


def delete_expired_reservations() -> None:
    """Reservations of workers that died end by themselves; what they spent stays spent."""
    ApiReservation.objects.filter(expires__lte=SyncNow()).delete()


_EMPTY_BUDGET = {"minute_calls": 0, "points": 0, "day_calls": 0, "others_calls": 0}


def _load_state(row: ApiBudget) -> BudgetState:
    """Return a stored budget with the calls that are on their way; one query."""
    [(now, number, calls, points)] = fetch_rows(_IN_FLIGHT)
    in_flight = InFlight(int(number), int(calls), int(points))
    uncounted, today = Decimal(0), day_of(now)
    if row.day != today:
        # Our first calls of a new UTC day may be counted to the old one; the minutes' rows know them.
        uncounted = calls_between(datetime.combine(today, datetime.min.time(), UTC), now)
    stored = QuotaBudget(
        _quota(row),
        LimitWindow(row.minute_calls, row.minute_ends),
        LimitWindow(row.points, row.points_end),
        row.day,
        row.day_calls,
        row.others_calls,
        row.reported_at,
        row.refused_at,
        settings.MONDAY_TIMEOUT_SECONDS + MAX_SEND_DELAY_SECONDS,
    )
    return BudgetState(stored.at_time(now, in_flight, uncounted), now, in_flight)


def _quota(row: ApiBudget) -> Quota:
    return Quota(row.day_limit, row.minute_limit, row.points_limit, row.concurrency_limit)


def _change_reservation(reservation: uuid.UUID, calls: int, points: int) -> bool:
    """Change what a live reservation holds and prolong it; False where it has ended."""
    changed = ApiReservation.objects.filter(pk=reservation, expires__gt=SyncNow()).update(
        calls=Greatest(F("calls") + calls, 0),
        points=Greatest(F("points") + points, 0),
        expires=SyncNow() + _reservation_lifetime(),
    )
    return bool(changed)


def _reservation_lifetime() -> timedelta:
    # Longer than any one call and what comes before the next of the same pass.
    return timedelta(seconds=2 * settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)


# What Monday itself says of the account's quota: its plan, the day's limit, and what is used of it.


def apply_account_info(info: AccountInfo, tier_before: str) -> None:
    """Store the plan's limits and the day's usage; `tier_before` is the plan known until now.

    Limits from the headers of answers stay, because they are this token's own.
    """
    with lock_budget() as state:
        budget = replace(state.budget, quota=_reported_quota(state.budget.quota, info, tier_before))
        as_of = min(info.usage_as_of or state.now, state.now).astimezone(UTC)
        today = state.now.astimezone(UTC).date()
        # A figure that Monday last updated before today says nothing of today.
        if info.usage_by_day and as_of.date() == today:
            used = float(info.usage_by_day.get(today.isoformat(), 0))
            # The whole last minute counts as ours: a call of ours must not be taken for another token's.
            own = calls_between(as_of.replace(hour=0, minute=0, second=0, microsecond=0), as_of)
            budget = budget.with_reported_usage(used, own, as_of)
        elif budget.day_left(urgent=True) == 0:
            # What was put down to other tokens was told by a refusal only, and today Monday has answered since.
            budget = replace(budget, others_calls=Decimal(0))
        state.budget = budget


def _reported_quota(known: Quota, info: AccountInfo, tier_before: str) -> Quota:
    """The limits now. An account that doesn't say has those of its plan.

    Where Monday says that the day has no limit, none is enforced: if there is one, the next answer's headers name it.
    """
    if info.unlimited:
        return Quota()
    plan, before = plan_quota(info.tier or tier_before), plan_quota(tier_before)
    return Quota(
        day=info.day_limit or _updated_limit(known.day, before.day, plan.day),
        minute=_updated_limit(known.minute, before.minute, plan.minute),
        points=_updated_limit(known.points, before.points, plan.points),
        concurrency=_updated_limit(known.concurrency, before.concurrency, plan.concurrency),
    )


def _updated_limit(known: int | None, published_before: int | None, published: int | None) -> int | None:
    """A limit equal to the former plan's published one, and so not from an answer, follows the plan."""
    return published or known if known in (None, published_before) else known


# The forecast: how long today's calls will last.


LOW_SHARE = 0.7
"""Of the day's calls so many are used where people are warned."""


@dataclass(frozen=True)
class Forecast:
    """Calls of the UTC day: used (everyone's), the limit, left of it, and the reserve for what people click.

    `ends_at` is, where the quota is tight, when all but the reserve is used up at the rate of the last hour; None
    where that is not before midnight UTC, or the limit isn't known. `as_of` is when Monday last updated its own figure,
    `age` says so where that is part of what is used. `refused_at`: later it refused because the day was used up, and
    answers again; how much is used isn't known then.
    """

    used: float
    limit: int | None
    left: float | None
    reserve: int
    ends_at: datetime | None
    words: str
    as_of: datetime | None
    refused_at: datetime | None = None
    age: str = ""

    @property
    def used_text(self) -> str:
        """How many calls of how many; empty where one of them isn't known."""
        return f"{round(self.used):,} of today's {self.limit:,} calls" if self.limit and not self.refused_at else ""

    @property
    def is_low(self) -> bool:
        """Whether so much is used, or may be, that it is worth a look."""
        return bool(self.limit and (self.refused_at or self.ends_at or self.used >= LOW_SHARE * self.limit))


def forecast(state: BudgetState | None = None, account: MondayAccount | None = None) -> Forecast:
    """How the day's quota stands, and when it ends at this rate; `state` and `account` where they are already read."""
    state = state or read_budget()
    budget, used = state.budget, float(state.budget.used_today)
    limit, left, day = budget.quota.day, budget.day_left(urgent=True), state.day_usage
    if limit is None or left is None or day is None:
        calls = humanize.count_with_noun(round(used), "call")
        account = account or MondayAccount.objects.filter(id=1).first()
        until = account.stopped_until if account is not None and account.stop_code == StopCode.DAY_LIMIT else None
        is_refused = until is not None and until > state.now
        since = account.stopped_since if is_refused and account is not None else None
        reached = f"Monday's daily limit was reached at {humanize.time_of_day(since)}." if since else ""
        outlook = reached or "Monday doesn't tell how many a day it allows."
        words = f"{calls} to Monday today. {outlook}"
        return Forecast(used, None, None, 0, None, words, budget.reported_at)
    midnight = midnight_after(state.now)
    ends = state.now if day.left < 1 else None
    if ends is None and day.is_tight and (calls_an_hour := calls_of_last_hour()):
        ends = state.now + timedelta(hours=day.left / calls_an_hour)
    # At midnight UTC the day is new, so a later end is no end.
    if ends is not None and ends >= midnight:
        ends = None
    outlook = f"It lasts until {humanize.time_of_day(midnight)}."
    if day.left < 1:
        at = humanize.time_of_day(midnight)
        outlook = f"The rest is for “Sync now” and whatever else people start; all other changes wait until {at}."
    elif ends is not None:
        used_up, at = humanize.time_of_day(ends), humanize.time_of_day(midnight)
        outlook = f"At this rate they are used up at {used_up}; changes then wait until {at}."
    words = f"{round(used):,} of today's {limit:,} calls to Monday are used. {outlook}"
    as_of, refused_at = budget.reported_at, budget.refused_at if left else None
    if refused_at is not None:
        words = (
            f"Monday rejected calls at {humanize.time_of_day(refused_at)} because today's {limit:,} were used up, and "
            "answers again. How many are left isn't known yet."
        )
    age = ""
    if as_of is not None and (budget.others_calls or refused_at):
        figure = f"last figure, {round(used):,}," if refused_at else "own figure"
        age = f"Monday's {figure} is {humanize.time_span((state.now - as_of).total_seconds())} old."
    return Forecast(used, limit, left, budget.day_reserve, ends, f"{words} {age}".strip(), as_of, refused_at, age)


def cost_sentence(records: Mapping[int, int], more: int = 0) -> str:
    """Return about how much of today's calls it takes to sync so many records, by their board's link, and `more`
    calls; empty where it isn't known how many are left.
    """
    calls = more + sum(PASS_CALLS * math.ceil(number / board_costs(link).size) for link, number in records.items())
    now = forecast()
    if now.left is None or now.refused_at or not calls:
        return ""
    return f"Takes about {calls:,} of today's {math.floor(now.left):,} API calls left."


# What one board's pass costs, as learned from its calls, and how large a one there is room for.


SMOOTHING = 0.1
"""A higher cost is believed at once, a lower one bit by bit, with this weight."""

_DEMANDS = """
    SELECT asked.entity_type, due.rows, due.priority, due.oldest
    FROM unnest(%s::text[], %s::int[]) AS asked (entity_type, most)
    CROSS JOIN LATERAL (SELECT count(*) AS rows, min(priority) AS priority, min(next_retry) AS oldest FROM (
        SELECT priority, next_retry FROM sync_queue
        WHERE status = 'pending' AND entity_type = asked.entity_type AND next_retry <= sync_now()
          AND NOT {paused}
        ORDER BY priority, next_retry LIMIT asked.most
    ) AS few) AS due
""".format(paused=IS_PAUSED.format(entity_type="asked.entity_type"))  # noqa: S608

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
          AND NOT {paused}
        LIMIT %s
    ) AS few) AS due
    WHERE due.rows > 0 GROUP BY mine.id
""".format(paused=IS_PAUSED.format(entity_type="link.entity_type"))  # noqa: S608


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
    size = min(row.batch_limit or rate_limits.FULL_BATCH, account_limit or rate_limits.FULL_BATCH)
    return BoardCosts(row.pk, size, row.read_points or READ_POINTS, row.write_points or WRITE_POINTS, row.last_pass_at)


def demands_of(max_rows: Mapping[str, int]) -> dict[str, Demand]:
    """The due rows of each of these boards, counted up to its maximum; one query."""
    columns: list[Any] = [list(max_rows), list(max_rows.values())]
    found = fetch_rows(_DEMANDS, columns)
    return {entity_type: Demand(int(rows), priority, oldest) for entity_type, rows, priority, oldest in found}


def points_before_all() -> dict[int, int]:
    """The points of one pass for each board that has due rows and whose last pass was before a link's, by its id.

    Links with 0 are left out; one query.
    """
    found = fetch_rows(_POINTS_BEFORE, [READ_POINTS, WRITE_POINTS, rate_limits.FULL_BATCH])
    return {int(link_id): math.ceil(float(points)) for link_id, points in found}


def learn_costs(link_id: int, records: int, answer: Answer, *, writes: bool, first: bool) -> None:
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
        return replace(found, urgent=True)
    found = _offer_within(state, costs, demand.rows, points_before, urgent=True)
    return found if isinstance(found, LimitWait) else replace(found, urgent=True, only_urgent=True)


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
        else "Today's calls to Monday are used up, but for those that “Sync now” may still use.",
        LimitKind.MINUTE: "This minute's calls to Monday are used up.",
        LimitKind.POINTS: "This minute's complexity points at Monday are used up.",
        LimitKind.CONCURRENCY: "As many calls to Monday are under way as may be.",
    }[wait.kind]
