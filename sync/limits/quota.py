"""The account's API quota: its rows, what was spent when, what Monday says of it, how long it lasts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import Greatest

from sync.choices import StopCode
from sync.clock import SyncNow
from sync.connectors.base.connector import AccountInfo
from sync.kernel import counters, humanize
from sync.kernel.counters import API_CALLS, API_POINTS, API_REJECTIONS, PRESENT_HOUR
from sync.limits.rate_limits import InFlight, LimitWindow, Quota, QuotaBudget, day_of, midnight_after, plan_quota
from sync.models import ApiBudget, ApiReservation, ApiUsage, MondayAccount

USAGE_RETENTION = timedelta(days=8)

QUOTA_CALLS = "quota_calls"
"""What an hour's calls are stored as, for the charts: as the quota counts them, all boards together."""

_ADD_USAGE = f"""
    WITH hours AS (
        INSERT INTO sync_hour_counts (hour, name, entity_type, value)
        SELECT {PRESENT_HOUR}, '{QUOTA_CALLS}', '', %(calls)s::float8 WHERE %(calls)s > 0
        ON CONFLICT (hour, name, entity_type) DO UPDATE SET value = sync_hour_counts.value + excluded.value)
    INSERT INTO sync_api_usage (slot, entity_type, calls, passes, points, rejections)
    VALUES (date_trunc('minute', sync_now()), %(type)s, %(calls)s, %(passes)s, %(points)s, %(rejections)s)
    ON CONFLICT (slot, entity_type) DO UPDATE SET
        calls = sync_api_usage.calls + excluded.calls, passes = sync_api_usage.passes + excluded.passes,
        points = sync_api_usage.points + excluded.points,
        rejections = sync_api_usage.rejections + excluded.rejections
"""  # noqa: S608 - made of literals of our own


@dataclass(frozen=True)
class LastHour:
    """Calls of the last hour, and how many boards had passes."""

    calls: float
    boards: int


def record_usage(
    entity_type: str, calls: Decimal, *, kind: str, passes: int = 0, points: int = 0, rejections: int = 0
) -> None:
    """Add one call to this minute's row, under the budget's lock.

    `calls` is what it counts, `kind` what it was.
    """
    # The row of a minute is shared by all workers; the caller's lock on the budget keeps them from waiting
    # here.
    with connection.cursor() as cursor:
        cursor.execute(
            _ADD_USAGE,
            {"type": entity_type, "calls": calls, "passes": passes, "points": points, "rejections": rejections},
        )
    counters.increment(
        [
            counters.Increment(API_CALLS, entity_type, kind),
            counters.Increment(API_POINTS, entity_type, value=points),
            counters.Increment(API_REJECTIONS, entity_type, value=rejections),
        ]
    )


def last_hour() -> LastHour:
    """What the last hour used."""
    with_passes = Count("entity_type", filter=Q(passes__gt=0) & ~Q(entity_type=""), distinct=True)
    usage = ApiUsage.objects.filter(slot__gt=SyncNow() - timedelta(hours=1))
    spent = usage.aggregate(calls=Sum("calls", default=0), boards=with_passes)
    return LastHour(float(spent["calls"]), spent["boards"])


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

    def reserve(self, entity_type: str, calls: int, points: int) -> uuid.UUID:
        """Spend calls and points, and keep them reserved until they are answered."""
        # Spent when reserved, not when answered: other workers must not spend the same calls meanwhile.
        self.budget = self.budget.spend(calls, points, self.now)
        row = ApiReservation.objects.create(
            entity_type=entity_type, calls=calls, points=points, expires=SyncNow() + _reservation_lifetime()
        )
        return row.pk

    def extend(self, reservation: uuid.UUID, calls: int, points: int) -> None:
        """Spend more under an existing reservation."""
        self.budget = self.budget.spend(calls, points, self.now)
        _change_reservation(reservation, calls, points)

    def finish_call(self, reservation: uuid.UUID, points: int) -> None:
        """One call of a reservation is over; the reservation holds the rest."""
        if _change_reservation(reservation, -1, -points):
            in_flight = self.in_flight
            self.in_flight = InFlight(in_flight.number, max(0, in_flight.calls - 1), max(0, in_flight.points - points))

    def release(self, reservation: uuid.UUID) -> None:
        """End a reservation; what it still holds is given back."""
        with connection.cursor() as cursor:
            cursor.execute(_END_RESERVATION, [reservation])
            remaining = cursor.fetchone()
        # An expired reservation's calls may have been sent by a worker that died, so they stay spent.
        if remaining is not None and remaining[2] > self.now:
            self.budget = self.budget.spend(-remaining[0], -remaining[1], self.now)


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
    """Whether any limit of it is known."""
    return _quota(row).is_known


def budget_row() -> ApiBudget:
    """The stored budget, or an empty one."""
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
        )


def delete_expired_reservations() -> None:
    """Reservations of workers that died end by themselves; what they spent stays spent."""
    ApiReservation.objects.filter(expires__lte=SyncNow()).delete()


_EMPTY_BUDGET = {"minute_calls": 0, "points": 0, "day_calls": 0, "others_calls": 0}


def _load_state(row: ApiBudget) -> BudgetState:
    """Return a stored budget with the calls that are on their way; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_IN_FLIGHT)
        now, number, calls, points = cursor.fetchone()
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

    Where Monday says that the day has no limit, none is enforced: if there is one, the next answer's headers
    name it.
    """
    # If there is a limit all the same, the headers of the next answer name it.
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


@dataclass(frozen=True)
class Forecast:
    """Calls of the UTC day: used (everyone's), the limit, left of it, and the reserve for what people click.

    `ends_at` is when all but the reserve is used up at the rate of the last hour; None where that is not
    before midnight UTC, or the limit isn't known; `as_of` is when Monday last updated its own figure.
    """

    used: float
    limit: int | None
    left: float | None
    reserve: int
    ends_at: datetime | None
    words: str
    as_of: datetime | None


def forecast(
    state: BudgetState | None = None,
    last_hour: Callable[[], LastHour] = last_hour,
    account: MondayAccount | None = None,
) -> Forecast:
    """How the day's quota stands, and when it ends at this rate; `state` and `account` where they are already read."""
    state = state or read_budget()
    budget, used = state.budget, float(state.budget.used_today)
    limit, left, spare = budget.quota.day, budget.day_left(urgent=True), budget.day_left()
    if limit is None or left is None or spare is None:
        calls = humanize.count_with_noun(round(used), "call")
        account = account or MondayAccount.objects.filter(id=1).first()
        until = account.stopped_until if account is not None and account.stop_code == StopCode.DAY_LIMIT else None
        is_refused = until is not None and until > state.now
        outlook = "Monday says that the day's calls are used up." if is_refused else "Monday reports no daily limit."
        words = f"{calls} to Monday today. {outlook}"
        return Forecast(used, None, None, 0, None, words, budget.reported_at)
    midnight = midnight_after(state.now)
    calls_an_hour = last_hour().calls
    ends = state.now if spare < 1 else None
    if spare >= 1 and calls_an_hour:
        ends = state.now + timedelta(hours=spare / calls_an_hour)
    # At midnight UTC the day is new, so a later end is no end.
    if ends is not None and ends >= midnight:
        ends = None
    outlook = f"At this rate it lasts until {humanize.time_of_day(midnight)}."
    if spare < 1:
        at = humanize.time_of_day(midnight)
        outlook = f"What is left is kept for what people ask for; everything else goes on at {at}."
    elif ends is not None:
        outlook = f"At this rate the API quota ends at {humanize.time_of_day(ends)}."
    words = f"{round(used):,} of today's {limit:,} calls to Monday are used. {outlook}"
    return Forecast(used, limit, left, budget.day_reserve, ends, words, budget.reported_at)
