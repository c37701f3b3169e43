"""What an account may spend of Monday's limits and has spent, as pure arithmetic over values.

The limits that Monday publishes for its plans and those in its answers' headers; what is left of them and when there is
room again; how many changes go into one document. Figures and windows are those of
developer.monday.com/api-reference/docs/rate-limits, unless a comment names another source. The reasons are in
docs/decisions/0012-quota-and-stops.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sync.monday.errors import COMPLEXITY_EXHAUSTED, DAILY_LIMIT_REACHED, ErrorKind
from sync.monday.graphql import Answer


class BlockedKind(StrEnum):
    """For what kind of reason a board is not worked; the values are those of a metric's label."""

    NOT_CONFIGURED = "not_configured"
    NO_BOARD = "no_board"
    PAUSED = "paused"
    ACCOUNT = "account"
    BLOCKED = "blocked"
    QUOTA = "allowance"
    BATCHING = "gathering"


@dataclass(frozen=True)
class Wait:
    """Why a board is not worked now, as a sentence; `until` is None where that is when somebody acts."""

    kind: BlockedKind
    reason: str
    until: datetime | None = None


# A plan's published limits for a personal token: calls a day, complexity points a minute.
#
# The 1,000 to 5,000 calls that it may make a minute are not counted: passes of two calls never come near, and a refusal
# says how long to wait.
PLAN_LIMITS: Mapping[str, tuple[int, int]] = {
    "free": (1_000, 1_000_000),
    "trial": (1_000, 1_000_000),
    "ngo": (1_000, 1_000_000),
    "basic": (1_000, 10_000_000),
    "standard": (1_000, 10_000_000),
    "pro": (10_000, 10_000_000),
    "enterprise": (25_000, 10_000_000),
}

UNKNOWN_LIMITS = (None, None)

WINDOW_SECONDS = 60.0

# Monday reports the rest of its window in whole seconds; ours must never end before it.
MARGIN_SECONDS = 1.0

# Seconds after 00:00 UTC at which our day begins, because Monday's clock may be behind ours.
MIDNIGHT_SECONDS = 5.0

MINUTE_RESERVE = 0.02

# Shares of the minute's points and of the day that are reserved for what a person clicked.
DAY_RESERVE = 0.05

# What a written record is taken to cost, as measured (sandbox/graph/__init__.py); Monday's page says 10,000.
WRITE_POINTS = 30_000

# What a pass's read is taken to cost until it is answered.
READ_POINTS = 50_000

# One to read both sides, one to write.
PASS_CALLS = 2

# What a request that was rejected for a limit counts of the day's calls.
REJECTED_CALL_COST = Decimal("0.1")


@dataclass
class Budget:
    """The account's limits and what is spent of them at `now`; a limit of None is not known, and not enforced."""

    now: datetime
    day_limit: int | None = None
    points_limit: int | None = None
    points: int = 0  # spent of one minute
    points_end: datetime | None = None  # when that minute ends for Monday at the latest
    day: date | None = None  # the UTC day of the calls
    day_calls: Decimal = Decimal(0)  # ours of the UTC day
    others_calls: Decimal = Decimal(0)  # those of the account's other tokens, as last reported
    reported_at: datetime | None = None  # as of when Monday told its own figure
    refused_at: datetime | None = None  # when it called the day used up, where it has told no newer figure
    max_delay: float = 40.0  # so many seconds after it was spent a call may arrive

    @property
    def is_limited(self) -> bool:
        return self.day_limit is not None or self.points_limit is not None

    def end_minute(self) -> None:
        """Begin anew where the minute is over."""
        if self.points_end is None or self.now >= self.points_end:
            self.points = 0
            self.points_end = None

    def begin_day(self, calls: Decimal) -> None:
        """Begin the UTC day of `now`, of which the old one has counted so many calls in its first seconds."""
        self.day = day_of(self.now)
        self.day_calls = calls
        self.others_calls = Decimal(0)
        self.reported_at = None
        self.refused_at = None

    @property
    def used_today(self) -> Decimal:
        return self.day_calls + self.others_calls

    @property
    def day_reserve(self) -> int:
        return reserve(self.day_limit or 0, DAY_RESERVE)

    def day_left(self, *, urgent: bool = False) -> float | None:
        """Calls that are left today, after the reserve unless `urgent`; None where the limit isn't known."""
        if self.day_limit is None:
            return None
        calls_left = Decimal(self.day_limit) - self.used_today - (0 if urgent else self.day_reserve)
        return float(max(Decimal(0), calls_left))

    @property
    def seconds_to_midnight(self) -> float:
        return (midnight_after(self.now) - self.now).total_seconds()

    @property
    def is_tight(self) -> bool:
        """Whether the rest of the day can't bear what an even use of it would take."""
        calls_left = self.day_left()
        if self.day_limit is None or calls_left is None:
            return False
        # By what is left and never by the last hour's rate: a set-up's calls come once, and don't go on all day.
        even = self.day_limit * self.seconds_to_midnight / DAY_SECONDS
        return self.day_limit < ALWAYS_PACED_LIMIT or calls_left < PACING_SHARE * even

    @property
    def full_points(self) -> int | None:
        """The points of a minute of which nothing is spent, but for the reserve."""
        return None if self.points_limit is None else self.points_limit - reserve(self.points_limit, MINUTE_RESERVE)

    def points_left(self, *, urgent: bool) -> int | None:
        """Points that are left of this minute; None where the limit isn't known."""
        limit = self.points_limit if urgent else self.full_points
        return None if limit is None else max(0, limit - self.points)

    def required_wait(self, calls: int, points: int, *, urgent: bool, ignore_day_limit: bool = False) -> Wait | None:
        """Return the limit that leaves no room for these calls and points, None if there is room.

        Its reason names no time: it is stored with jobs, and each reader has their own time zone.
        """
        day = self.day_left(urgent=urgent)
        if not ignore_day_limit and day is not None and day < calls:
            rest = "" if urgent else ", but for those that “Sync now” may still use"
            return Wait(BlockedKind.QUOTA, f"Today's calls to Monday are used up{rest}.", midnight_after(self.now))
        points_left = self.points_left(urgent=urgent)
        # In a minute of which nothing is spent even a larger call goes through: it would never fit otherwise.
        if points_left is not None and points_left < points and self.points:
            return self.wait_for_points()
        return None

    def wait_for_points(self) -> Wait:
        reason = "This minute's complexity points at Monday are used up."
        return Wait(BlockedKind.BATCHING, reason, self.points_end or self.now + timedelta(seconds=1))

    def spend(self, calls: int, points: int) -> None:
        """Take calls and points before they are sent.

        The first call opens the minute, which begins for Monday when it gets the call.
        """
        self.points += points
        if not self.points_end:
            self.points_end = self.now + timedelta(seconds=WINDOW_SECONDS + self.max_delay + MARGIN_SECONDS)
        self.day_calls += calls

    def give_back(self, points: int) -> None:
        """Give back the points of a call that wasn't carried out; a minute without any has not begun."""
        self.points = max(0, self.points - points)
        if not self.points:
            self.points_end = None

    def after_unsent(self, expected: int, day: date | None) -> None:
        """A call taken on that `day` never left."""
        self.give_back(expected)
        self._uncount_call(day)

    def _uncount_call(self, day: date | None) -> None:
        """Take a call of that `day` from the day's; one of yesterday isn't among them."""
        if day == self.day:
            self.day_calls = max(Decimal(0), self.day_calls - 1)

    def after_answer(self, answer: Answer, expected: int) -> None:
        """Correct it by the answer to a call for which `expected` points were taken.

        What Monday has counted includes other tokens' calls and may lack ours in flight; our count has all of ours.
        """
        # Headers know this token's own limits, which may differ from the plan's published ones.
        self.points_limit = answer.points_limit or self.points_limit
        cost = expected
        counted: int | None = None
        remaining = WINDOW_SECONDS
        if answer.complexity is not None:
            cost = answer.complexity.query
            # A minute at most, whatever the answer says.
            remaining = min(WINDOW_SECONDS, max(0.0, answer.complexity.reset_in_seconds))
            if self.points_limit is not None:
                counted = max(0, self.points_limit - answer.complexity.after)
        own = max(0, self.points + cost - expected)
        margin = timedelta(seconds=MARGIN_SECONDS)
        ends = self.now + timedelta(seconds=remaining) + margin
        own_end = self.points_end or ends
        if answer.complexity is not None and ends - timedelta(seconds=answer.seconds) > own_end + margin:
            # Monday has begun another minute: ours was opened for a call that it never received, or much later.
            self.points = max(cost, own if counted is None else counted)
            self.points_end = ends
        else:
            self.points = max(own, counted or 0, cost)
            self.points_end = min(own_end, ends)

    def after_failure(self, expected: int) -> None:
        """A call failed: Monday's minute may have begun with it, as late as now."""
        ends = self.now + timedelta(seconds=WINDOW_SECONDS + MARGIN_SECONDS)
        self.points = max(self.points, expected)
        self.points_end = max(self.points_end or ends, ends)

    def after_rejection(self, kind: ErrorKind, wait: float | None, expected: int, day: date | None) -> None:
        """Monday rejected a call taken on that `day` for a limit: it costs a tenth of one, and the limit is used up."""
        self.points = max(0, self.points - expected)
        self._uncount_call(day)
        self.day_calls += REJECTED_CALL_COST
        # However long Monday asks to wait, which stops the account: a minute's limit is free again after a minute.
        ends = self.now + timedelta(seconds=min(wait or WINDOW_SECONDS, WINDOW_SECONDS) + MARGIN_SECONDS)
        if kind is COMPLEXITY_EXHAUSTED and self.points_limit is not None:
            self.points = self.points_limit
            self.points_end = ends
        elif kind is DAILY_LIMIT_REACHED and self.day_limit is not None and day == self.day:
            self.others_calls = max(self.others_calls, self.day_limit - self.day_calls)
            self.refused_at = self.now

    def after_report(self, used: float, ours_by_then: Decimal, as_of: datetime) -> None:
        """Correct the day by Monday's own figure, which is as old as `as_of` says.

        What it counts beyond our calls of that time belongs to the account's other tokens.
        """
        others = max(Decimal(0), Decimal(str(used)) - ours_by_then)
        if self.refused_at is None or as_of >= self.refused_at:
            self.others_calls = others
            self.reported_at = as_of
            self.refused_at = None
        # The refusal said more, and later. Where a limit that was raised since leaves room beside it, it stands; else
        # it may have been a mistake, and who waits for a newer figure would sync nothing.
        elif self.day_left():
            self.reported_at = self.refused_at
            self.refused_at = None
        else:
            self.others_calls = others
            self.reported_at = as_of


def reserve(limit: int, share: float) -> int:
    return math.ceil(round(limit * share, 6))


def day_of(now: datetime) -> date:
    """Return the UTC day to which a call made now counts."""
    return (now.astimezone(UTC) - timedelta(seconds=MIDNIGHT_SECONDS)).date()


def midnight_after(now: datetime) -> datetime:
    start = datetime.combine(day_of(now), datetime.min.time(), UTC)
    return start + timedelta(days=1, seconds=MIDNIGHT_SECONDS)


# Pacing: how long changes are gathered before a pass, and how many go into a document.


# Records in one document at most: the ids that one `items` query takes (reference/items).
FULL_BATCH = 100

# A call should take no more than this share of the client's timeout: 20 s of 30 s.
SHARE_OF_TIMEOUT = 2 / 3

# Calls that sweeps and the hourly look at the quota need in a day; at most a tenth of a small quota.
FIXED_CALLS_A_DAY = 100

# Pacing begins when less of the day is left than this share of what would be, had it been used evenly.
PACING_SHARE = 0.85

# A day of fewer calls is paced from its first: what single edits spend before noon, a day's edits lack at night.
ALWAYS_PACED_LIMIT = 500

# A document below this share of a full one isn't worth a call of the day while the minute ends soon.
TOO_SMALL_SHARE = 0.1

DAY_SECONDS = 86_400.0


def window_seconds(budget: Budget, boards: int) -> float:
    """Seconds from a board's last pass to its next: 0 while the day's quota suffices, then so that it lasts."""
    calls_left = budget.day_left()
    if budget.day_limit is None or calls_left is None or not budget.is_tight:
        return 0.0
    seconds = budget.seconds_to_midnight
    fixed = min(FIXED_CALLS_A_DAY, budget.day_limit / 10) * seconds / DAY_SECONDS
    if calls_left <= fixed:
        return DAY_SECONDS  # not before midnight, when the quota is new
    return min(DAY_SECONDS, PASS_CALLS * max(1, boards) * seconds / (calls_left - fixed))


def next_batch_size(size: int, records: int, seconds: float, timeout: float) -> int:
    """Return the new size of a board's documents, after a call for `records` that was answered after `seconds`."""
    # Seconds that a call should take at most, to stay clear of the client's timeout.
    target = timeout * SHARE_OF_TIMEOUT
    if seconds > target:
        return max(1, min(size, math.floor(records * target / seconds)))
    if records < size:
        return size  # a small document that was quick says nothing about a larger one
    return min(FULL_BATCH, size + max(1, size // 10))


def pass_points(records: int) -> int:
    """Return what a pass that reads and writes so many records is taken to cost."""
    return READ_POINTS + records * WRITE_POINTS


def fitting_batch_size(points_left: int | None) -> int:
    """Return how many records a pass may carry: their writes fit, after the read, into what is left of the minute."""
    if points_left is None:
        return FULL_BATCH
    return max(0, min(FULL_BATCH, (points_left - READ_POINTS) // WRITE_POINTS))
