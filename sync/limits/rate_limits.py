"""What an account may spend and has spent of Monday's limits, as pure arithmetic.

The limits that Monday publishes for its plans and those in its answers' headers
(developer.monday.com/api-reference/docs/rate-limits); what is left of them and when there is room again; how
many changes go into one document.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sync.monday.graphql import Answer
from sync.monday.usage import Limits


@dataclass(frozen=True)
class Quota:
    """What an account may spend; None means not known, and such a limit is not enforced."""

    day: int | None = None
    minute: int | None = None
    points: int | None = None
    concurrency: int | None = None

    @property
    def is_known(self) -> bool:
        return any(value is not None for value in (self.day, self.minute, self.points, self.concurrency))

    def with_limits(self, limits: Limits | None) -> Quota:
        """These limits, replaced by those that an answer's headers name."""
        if limits is None:
            return self
        # Headers know this token's own limits, which may differ from the plan's published ones.
        return replace(
            self,
            minute=limits.minute_limit or self.minute,
            points=limits.points_limit or self.points,
            concurrency=limits.concurrency_limit or self.concurrency,
        )


_SMALL_PLAN = Quota(day=1_000, minute=1_000, points=10_000_000, concurrency=40)

PLAN_QUOTAS: Mapping[str, Quota] = {
    "free": replace(_SMALL_PLAN, points=1_000_000),
    "trial": replace(_SMALL_PLAN, points=1_000_000),
    "ngo": replace(_SMALL_PLAN, points=1_000_000),
    "basic": _SMALL_PLAN,
    "standard": _SMALL_PLAN,
    "pro": Quota(day=10_000, minute=2_500, points=10_000_000, concurrency=100),
    "enterprise": Quota(day=25_000, minute=5_000, points=10_000_000, concurrency=250),
}


def plan_quota(tier: str) -> Quota:
    """A plan's published limits for a personal token; of an unknown plan none is known."""
    return PLAN_QUOTAS.get(tier.strip().lower(), Quota())


# The quota: what of Monday's limits is spent, what is left, and when there is room again.
#
# Values in, values out; the clock and the table are elsewhere. Figures and windows are those of
# developer.monday.com/api-reference/docs/rate-limits, unless a comment names another source.


WINDOW_SECONDS = 60.0

MARGIN_SECONDS = 1.0
"""Monday reports the rest of its window in whole seconds; ours must never end before it."""

MIDNIGHT_SECONDS = 5.0
"""Seconds after 00:00 UTC at which our day begins, because Monday's clock may be behind ours."""

MINUTE_RESERVE = 0.02

DAY_RESERVE = 0.05
"""Shares of the minute (calls, points) and of the day that are reserved for what a person clicked."""

DOCUMENT_POINTS = 5_000_000
"""The points that one document may cost at most."""

WRITE_POINTS = 30_000
"""First guess for a written record's points, as measured (sandbox/graph/__init__.py); Monday's page says 10,000."""

READ_POINTS = 50_000
"""First guess for the points of a pass's read; the first answer corrects it."""

# One to read both sides, one to write.
PASS_CALLS = 2

REJECTED_CALL_COST = Decimal("0.1")
"""What a request that was rejected for a limit counts of the day's calls."""

CONCURRENCY_RETRY_SECONDS = 5.0
"""Seconds until asking again while as many calls are in flight as may be."""


class LimitKind(StrEnum):
    """Which limit leaves no room."""

    DAY = "day"
    MINUTE = "minute"
    POINTS = "points"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True)
class LimitWait:
    kind: LimitKind
    until: datetime


@dataclass(frozen=True)
class InFlight:
    """What live reservations hold: their number, and the calls and points that are not answered yet."""

    number: int = 0
    calls: int = 0
    points: int = 0


@dataclass(frozen=True)
class LimitWindow:
    """What was spent of one minute's quota, and when that minute ends for Monday at the latest."""

    spent: int = 0
    ends: datetime | None = None

    def at_time(self, now: datetime, in_flight: int, max_delay: float) -> LimitWindow:
        """The window at `now`; once it is over, calls in flight count in the next one."""
        if self.ends is not None and now < self.ends:
            return self
        # A call in flight may reach Monday in its next minute, so it counts there too.
        return LimitWindow(in_flight, _window_end(now, max_delay) if in_flight else None)

    def spend(self, amount: int, now: datetime, max_delay: float) -> LimitWindow:
        """Take `amount`, or give it back where negative.

        Monday's minute begins when it receives the call, at most `max_delay` seconds later. A window to which
        everything was given back has not begun, because nothing was sent.
        """
        spent = max(0, self.spent + amount)
        if amount < 0 and not spent:
            return LimitWindow()
        return LimitWindow(spent, self.ends or _window_end(now, max_delay))

    def after_failure(self, now: datetime) -> LimitWindow:
        """After a call that failed: Monday's minute may have begun with it, as late as `now`.

        Ours may have been opened earlier, by a call that Monday never received.
        """
        return self if self.ends is None else replace(self, ends=max(self.ends, _window_end(now, 0)))

    def corrected_by(
        self, now: datetime, observed: WindowUsage, own: int, in_flight: int, seconds: float = 0.0
    ) -> LimitWindow:
        """Corrected by an answer: when Monday's minute ends, and what Monday has counted of it.

        `own` is the cost of this call, `seconds` how long it took. Monday's count includes other tokens'
        calls and may lack ours in flight; our count includes all of ours.
        """
        # A minute at most, whatever the header says.
        remaining = WINDOW_SECONDS if observed.reset is None else min(WINDOW_SECONDS, max(0.0, observed.reset))
        ends = now + timedelta(seconds=remaining + MARGIN_SECONDS)
        own_end = self.ends or ends
        if observed.reset is not None and ends - timedelta(seconds=seconds) > own_end + timedelta(
            seconds=MARGIN_SECONDS
        ):
            # Monday has begun another minute: ours was opened for a call that it never received, or received
            # much later.
            counted = self.spent - in_flight if observed.spent is None else observed.spent
            return LimitWindow(max(counted, own) + in_flight, ends)
        spent = self.spent
        # Monday counts more than we do: another token calls too. Our calls in flight may be missing from its count.
        if observed.spent is not None and observed.spent > spent:
            spent = observed.spent + in_flight
        return LimitWindow(spent, min(own_end, ends))


@dataclass(frozen=True)
class WindowUsage:
    """What an answer says of a window: how much is spent of it, and in how many seconds it ends."""

    spent: int | None = None
    reset: float | None = None


def _window_end(now: datetime, max_delay: float) -> datetime:
    return now + timedelta(seconds=WINDOW_SECONDS + max_delay + MARGIN_SECONDS)


@dataclass(frozen=True)
class QuotaBudget:
    """The account's quota and what is spent of it; `max_delay` is how late a call may arrive, in seconds.

    `day_calls` are our calls of the UTC day, `others_calls` those of the account's other tokens as last
    reported. `refused_at`: when Monday called the day used up, where it has told no newer figure.
    """

    quota: Quota = field(default_factory=Quota)
    minute: LimitWindow = LimitWindow()
    points: LimitWindow = LimitWindow()
    day: date | None = None
    day_calls: Decimal = Decimal(0)
    others_calls: Decimal = Decimal(0)
    reported_at: datetime | None = None
    refused_at: datetime | None = None
    max_delay: float = 40.0

    def at_time(self, now: datetime, in_flight: InFlight, since_midnight: Decimal = Decimal(0)) -> QuotaBudget:
        """The budget at `now`: windows and days that are over begin anew, with the calls in flight.

        `since_midnight` are our calls in the first seconds of the new UTC day, which the old day has counted.
        """
        today = day_of(now)
        rolled = replace(
            self,
            minute=self.minute.at_time(now, in_flight.calls, self.max_delay),
            points=self.points.at_time(now, in_flight.points, self.max_delay),
        )
        if self.day == today:
            return rolled
        calls = in_flight.calls + since_midnight
        return replace(rolled, day=today, day_calls=calls, others_calls=Decimal(0), reported_at=None, refused_at=None)

    @property
    def used_today(self) -> Decimal:
        return self.day_calls + self.others_calls

    @property
    def day_reserve(self) -> int:
        return reserve(self.quota.day or 0, DAY_RESERVE)

    def day_left(self, *, urgent: bool = False) -> float | None:
        """Calls that are left today, after the reserve unless `urgent`; None where the limit isn't known."""
        if self.quota.day is None:
            return None
        left = Decimal(self.quota.day) - self.used_today - (0 if urgent else self.day_reserve)
        return float(max(Decimal(0), left))

    def without_day_limit(self) -> QuotaBudget:
        return replace(self, quota=replace(self.quota, day=None))

    def points_left(self, *, urgent: bool) -> int | None:
        """Points that are left of this minute; None where the limit isn't known."""
        return _left_in_window(self.quota.points, self.points, urgent)

    def required_wait(
        self, calls: int, points: int, now: datetime, in_flight: InFlight, *, urgent: bool
    ) -> LimitWait | None:
        """The limit that leaves no room for so many calls and points; None where there is room.

        A call of more points than a whole minute has is let through in a minute of which nothing is spent.
        """
        day = self.day_left(urgent=urgent)
        if day is not None and day < calls:
            return LimitWait(LimitKind.DAY, midnight_after(now))
        minute = _left_in_window(self.quota.minute, self.minute, urgent)
        if minute is not None and minute < calls:
            return LimitWait(LimitKind.MINUTE, self._end_of(self.minute, now))
        points_left = self.points_left(urgent=urgent)
        # In a minute of which nothing is spent even a larger call goes through: it would never fit otherwise.
        if points_left is not None and points_left < points and self.points.spent:
            return LimitWait(LimitKind.POINTS, self._end_of(self.points, now))
        max_concurrent = self.quota.concurrency
        if max_concurrent is not None and in_flight.number >= max_concurrent:
            return LimitWait(LimitKind.CONCURRENCY, now + timedelta(seconds=CONCURRENCY_RETRY_SECONDS))
        return None

    def _end_of(self, window: LimitWindow, now: datetime) -> datetime:
        return window.ends or now + timedelta(seconds=WINDOW_SECONDS)

    def spend(self, calls: int, points: int, now: datetime) -> QuotaBudget:
        """Take calls and points before they are sent; negative ones are given back."""
        return replace(
            self,
            minute=self.minute.spend(calls, now, self.max_delay),
            points=self.points.spend(points, now, self.max_delay),
            day_calls=max(Decimal(0), self.day_calls + calls),
        )

    def after_answer(self, answer: Answer, expected: int, now: datetime, in_flight: InFlight) -> QuotaBudget:
        """Correct the budget by the answer to a call for which `expected` points were taken."""
        quota = self.quota.with_limits(answer.limits)
        cost = answer.complexity.query if answer.complexity else expected
        minute, points = _minute_usage(answer.limits), _points_usage(answer, quota)
        spent = replace(self.points, spent=max(0, self.points.spent + cost - expected))
        return replace(
            self,
            quota=quota,
            minute=self.minute.corrected_by(now, minute, 1, in_flight.calls, answer.seconds),
            points=spent.corrected_by(now, points, cost, in_flight.points, answer.seconds),
        )

    def after_failure(self, now: datetime) -> QuotaBudget:
        """The same budget after a failed call: what is spent counts until Monday's minute is over for sure."""
        return replace(self, minute=self.minute.after_failure(now), points=self.points.after_failure(now))

    def after_rejection(
        self, kind: LimitKind | None, wait: float | None, expected: int, now: datetime, in_flight: InFlight
    ) -> QuotaBudget:
        """Correct the budget by a rejection for a limit: a tenth of a call, and that limit is used up."""
        budget = replace(
            self,
            points=replace(self.points, spent=max(0, self.points.spent - expected)),
            day_calls=max(Decimal(0), self.day_calls - 1 + REJECTED_CALL_COST),
        )
        ends = now + timedelta(seconds=(wait or WINDOW_SECONDS) + MARGIN_SECONDS)
        # Calls in flight may be given back unsent, which must make no room in a window that Monday closed.
        if kind is LimitKind.POINTS and self.quota.points is not None:
            return replace(budget, points=LimitWindow(self.quota.points + in_flight.points, ends))
        if kind is LimitKind.MINUTE and self.quota.minute is not None:
            return replace(budget, minute=LimitWindow(self.quota.minute + in_flight.calls, ends))
        if kind is LimitKind.DAY and self.quota.day is not None:
            others = self.quota.day - budget.day_calls + in_flight.calls
            return replace(budget, others_calls=max(self.others_calls, others), refused_at=now)
        return budget

    def with_reported_usage(self, used: float, ours_by_then: Decimal, as_of: datetime) -> QuotaBudget:
        """Correct the day by Monday's own figure, which is as old as `as_of` says.

        What it counts beyond our calls of that time belongs to the account's other tokens.
        """
        others, refused_at = max(Decimal(0), Decimal(str(used)) - ours_by_then), self.refused_at
        if refused_at is None or as_of >= refused_at:
            return replace(self, others_calls=others, reported_at=as_of, refused_at=None)
        # The refusal said more, and later. Where a limit that was raised since leaves room beside it, it stands; else
        # it may have been a mistake, and who waits for a newer figure would sync nothing.
        if self.day_left():
            return replace(self, reported_at=refused_at, refused_at=None)
        return replace(self, others_calls=others, reported_at=as_of)


def _left_in_window(limit: int | None, window: LimitWindow, urgent: bool) -> int | None:
    if limit is None:
        return None
    return max(0, limit - (0 if urgent else reserve(limit, MINUTE_RESERVE)) - window.spent)


def _minute_usage(limits: Limits | None) -> WindowUsage:
    if limits is None:
        return WindowUsage()
    return WindowUsage(_spent_of(limits.minute_limit, limits.minute_left), limits.minute_reset)


def _points_usage(answer: Answer, quota: Quota) -> WindowUsage:
    """By the answer's own `complexity` where it was asked for, because it is current; else by the headers."""
    if answer.complexity:
        found = answer.complexity
        return WindowUsage(_spent_of(quota.points, found.after), found.reset_in_seconds)
    if answer.limits:
        return WindowUsage(_spent_of(answer.limits.points_limit, answer.limits.points_left), answer.limits.points_reset)
    return WindowUsage()


def _spent_of(limit: int | None, left: int | None) -> int | None:
    return None if limit is None or left is None else max(0, limit - left)


def reserve(limit: int, share: float) -> int:
    return math.ceil(round(limit * share, 6))


def day_of(now: datetime) -> date:
    """The UTC day to which a call made now counts."""
    return (now.astimezone(UTC) - timedelta(seconds=MIDNIGHT_SECONDS)).date()


def midnight_after(now: datetime) -> datetime:
    start = datetime.combine(day_of(now), datetime.min.time(), UTC)
    return start + timedelta(days=1, seconds=MIDNIGHT_SECONDS)


# Pacing: how long changes are gathered before a pass, and how many go into a document. Pure; the reasons are
# in docs/decisions/0012-quota-and-stops.md.


FULL_BATCH = 100
"""Records in one document at most: the ids that one `items` query takes (reference/items)."""

SHARE_OF_TIMEOUT = 2 / 3
"""A call should take no more than this share of the client's timeout: 20 s of 30 s."""

FIXED_CALLS_A_DAY = 100
"""Calls that sweeps and the hourly look at the quota need in a day; at most a tenth of a small quota."""

PACING_SHARE = 0.85
"""Pacing begins when less of the day is left than this share of what would be, had it been used evenly."""

ALWAYS_PACED_LIMIT = 500
"""A day of fewer calls is paced from its first: what single edits spend before noon, a day's edits lack at night."""

TOO_SMALL_SHARE = 0.1
"""A document below this share of a full one isn't worth a call of the day while the minute ends soon."""

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class DayUsage:
    """The day: its limit, calls left after the reserve, seconds to midnight."""

    limit: int
    left: float
    seconds: float

    @property
    def is_tight(self) -> bool:
        """Whether the rest of the day can't bear what an even use of it would take."""
        # By what is left and never by the last hour's rate: a set-up's calls come once, and don't go on all day.
        even = self.limit * self.seconds / DAY_SECONDS
        return self.limit < ALWAYS_PACED_LIMIT or self.left < PACING_SHARE * even


def window_seconds(day: DayUsage, boards: int) -> float:
    """Seconds from a board's last pass to its next: 0 while the day's quota suffices, then so that it lasts."""
    if not day.is_tight:
        return 0.0
    fixed = min(FIXED_CALLS_A_DAY, day.limit / 10) * day.seconds / DAY_SECONDS
    spare = day.left - fixed
    if spare <= 0:
        return DAY_SECONDS  # not before midnight, when the quota is new
    return min(DAY_SECONDS, PASS_CALLS * max(1, boards) * day.seconds / spare)


def target_seconds(timeout: float) -> float:
    """How long a call should take at most, to stay clear of the client's timeout."""
    return timeout * SHARE_OF_TIMEOUT


def next_batch_size(size: int, records: int, seconds: float, timeout: float) -> int:
    """The size of a board's documents after a call for `records` that was answered after `seconds`."""
    target = target_seconds(timeout)
    if seconds > target:
        return max(1, min(size, math.floor(records * target / seconds)))
    if records < size:
        return size  # a small document that was quick says nothing about a larger one
    return min(FULL_BATCH, size + max(1, size // 10))


def batch_size_after_timeout(records: int) -> int:
    """The size of a board's documents after a call for `records` that timed out or was too complex."""
    return max(1, records // 4)


def fitting_batch_size(points_left: int | None, read_points: float, write_points: float) -> int:
    """How many records a pass may carry.

    Their writes fit into one document and, after the read, into the minute's `points_left`.
    """
    each = max(1.0, write_points)
    fits = DOCUMENT_POINTS / each
    if points_left is not None:
        fits = min(fits, (points_left - read_points) / each)
    return max(0, min(FULL_BATCH, math.floor(fits)))


def is_too_small(size: int, full: int) -> bool:
    """Whether a document of this size should wait for a new minute, into which `full` records would fit."""
    return size < max(1, math.floor(full * TOO_SMALL_SHARE)) and size < full
