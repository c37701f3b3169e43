"""The account's API quota: Monday's limits, what is used of them, the forecast, and the size of batches.

First the arithmetic, without the database; `read_quota` and what follows read and store it. Figures are those of
developer.monday.com/api-reference/docs/rate-limits, unless a comment names another source. The reasons are in
docs/decisions/0012-quota-and-stops.md.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from django.conf import settings
from django.db import transaction

from sync.choices import StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.kernel.db import run_sql
from sync.models import ApiQuota, ApiUsage, BoardLink, MondayAccount
from sync.monday.connection import AccountInfo
from sync.monday.errors import COMPLEXITY_EXHAUSTED, DAILY_LIMIT_REACHED, ErrorKind
from sync.monday.graphql import Answer
from sync.monday.items import ITEMS_PER_READ


class BlockedKind(StrEnum):
    """The kind of reason why a board isn't synced; the values are those of a metric's label."""

    NOT_CONFIGURED = "not_configured"
    NO_BOARD = "no_board"
    PAUSED = "paused"
    ACCOUNT = "account"
    BLOCKED = "blocked"
    QUOTA = "quota"
    BATCHING = "batching"


@dataclass(frozen=True)
class Wait:
    """Why a board isn't synced now."""

    kind: BlockedKind
    reason: str  # as a sentence
    until: datetime | None = None  # None if it waits until somebody acts


# A plan's published limits for a personal token: calls a day, complexity points a minute. Its 1,000 to 5,000 calls a
# minute aren't counted, because passes of two calls stay far below.
PLAN_LIMITS: Mapping[str, tuple[int, int]] = {
    "free": (1_000, 1_000_000),
    "trial": (1_000, 1_000_000),
    "ngo": (1_000, 1_000_000),
    "basic": (1_000, 10_000_000),
    "standard": (1_000, 10_000_000),
    "pro": (10_000, 10_000_000),
    "enterprise": (25_000, 10_000_000),
}

MINUTE_SECONDS = 60.0  # Monday's minute begins with its first call

# Monday reports the rest of its window in whole seconds, and ours must not end before it.
MARGIN_SECONDS = 1.0

DAY_SECONDS = 86_400.0

# Our day begins this many seconds after 00:00 UTC, because Monday's clock may be behind ours.
MIDNIGHT_SECONDS = 5.0

# Shares of the minute's points and of the day's calls that are reserved for what people click.
MINUTE_RESERVE_SHARE = 0.02
DAY_RESERVE_SHARE = 0.05

# Estimated points of a written record, as measured (sandbox/graph/__init__.py); Monday's page says 10,000.
WRITE_POINTS = 30_000

READ_POINTS = 50_000  # estimated points of a pass's read until it is answered
PASS_CALLS = 2  # a pass makes one call to read both sides and one to write

# A request that was rejected because of a limit counts as this part of a call.
REJECTED_CALL_COST = Decimal("0.1")

# Records in one document at most: a pass reads their items by one query.
FULL_BATCH = ITEMS_PER_READ

# A document below this share of a full one waits for the next minute, to save a call.
TOO_SMALL_SHARE = 0.1

# A call should take at most this share of the client's timeout: 20 s of 30 s.
SHARE_OF_TIMEOUT = 2 / 3

# Calls a day of sweeps and the hourly check of the quota; at most a tenth of a small quota.
FIXED_CALLS_A_DAY = 100

# Changes are gathered if less of the day is left than this share of what an even use would leave.
PACING_SHARE = 0.85

# With fewer calls a day, changes are gathered from the first on: else single edits would use the day up by noon.
ALWAYS_PACED_LIMIT = 500


@dataclass
class Quota:
    """The account's limits, and what is used of them at `now`; a limit of None isn't known and isn't enforced."""

    now: datetime
    day_limit: int | None = None
    points_limit: int | None = None
    points: int = 0  # used in the current minute
    points_end: datetime | None = None  # the latest time at which that minute ends for Monday
    day: date | None = None  # the UTC day of the calls
    day_calls: Decimal = Decimal(0)  # our calls of that day
    others_calls: Decimal = Decimal(0)  # calls of the account's other tokens, as last reported
    reported_at: datetime | None = None  # the time of Monday's own figure
    max_delay: float = 40.0  # seconds within which a call arrives after it was counted

    @property
    def is_limited(self) -> bool:
        return self.day_limit is not None or self.points_limit is not None

    def end_minute(self) -> None:
        """Begin a new minute if the current one is over."""
        if self.points_end is None or self.now >= self.points_end:
            self.points = 0
            self.points_end = None

    def begin_day(self, calls: Decimal) -> None:
        """Begin the UTC day of `now` with the calls of its first seconds, which were counted in the former day."""
        self.day = day_of(self.now)
        self.day_calls = calls
        self.others_calls = Decimal(0)
        self.reported_at = None

    @property
    def used_today(self) -> Decimal:
        """Calls of this installation and of the account's other tokens."""
        return self.day_calls + self.others_calls

    @property
    def day_reserve(self) -> int:
        return reserve(self.day_limit or 0, DAY_RESERVE_SHARE)

    def day_left(self, *, urgent: bool = False) -> float | None:
        """Return the calls left today, without the reserve unless `urgent`; None if the limit isn't known."""
        if self.day_limit is None:
            return None
        calls_left = Decimal(self.day_limit) - self.used_today - (0 if urgent else self.day_reserve)
        return float(max(Decimal(0), calls_left))

    @property
    def seconds_to_midnight(self) -> float:
        return (midnight_after(self.now) - self.now).total_seconds()

    @property
    def is_tight(self) -> bool:
        """Whether too few calls are left for an even use of the rest of the day."""
        calls_left = self.day_left()
        if self.day_limit is None or calls_left is None:
            return False
        # The last hour's rate doesn't count, because calls of a set-up are made only once.
        even = self.day_limit * self.seconds_to_midnight / DAY_SECONDS
        return self.day_limit < ALWAYS_PACED_LIMIT or calls_left < PACING_SHARE * even

    @property
    def full_points(self) -> int | None:
        """The points of a whole minute without the reserve."""
        return (
            None if self.points_limit is None else self.points_limit - reserve(self.points_limit, MINUTE_RESERVE_SHARE)
        )

    def points_left(self, *, urgent: bool) -> int | None:
        """Return the points left in this minute; None if the limit isn't known."""
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
        # An unused minute has room for any call, because a larger one would never fit otherwise.
        if points_left is not None and points_left < points and self.points:
            return self.wait_for_points()
        return None

    def wait_for_points(self) -> Wait:
        reason = "This minute's complexity points at Monday are used up."
        return Wait(BlockedKind.BATCHING, reason, self.points_end or self.now + timedelta(seconds=1))

    def spend(self, calls: int, points: int) -> None:
        """Count calls and points before they are sent; the first call of a minute begins it."""
        self.points += points
        if not self.points_end:
            self.points_end = self.now + timedelta(seconds=MINUTE_SECONDS + self.max_delay + MARGIN_SECONDS)
        self.day_calls += calls

    def give_back(self, points: int) -> None:
        """Uncount the points of a call that wasn't carried out; a minute without points hasn't begun."""
        self.points = max(0, self.points - points)
        if not self.points:
            self.points_end = None

    def after_unsent(self, expected: int, day: date | None) -> None:
        """Uncount a call of that day that was never sent."""
        self.give_back(expected)
        self._uncount_call(day)

    def _uncount_call(self, day: date | None) -> None:
        # A call of yesterday isn't among today's.
        if day == self.day:
            self.day_calls = max(Decimal(0), self.day_calls - 1)

    def after_answer(self, answer: Answer, expected: int) -> None:
        """Correct the usage by the answer to a call for which `expected` points were counted.

        Monday's count includes other tokens' calls but may lack ours in flight; our count has all of ours.
        """
        # The headers have this token's own limits, which may differ from the published ones.
        self.points_limit = answer.points_limit or self.points_limit
        cost = expected
        counted: int | None = None
        remaining = MINUTE_SECONDS
        if answer.complexity is not None:
            cost = answer.complexity.query
            remaining = min(MINUTE_SECONDS, max(0.0, answer.complexity.reset_in_seconds))
            if self.points_limit is not None:
                counted = max(0, self.points_limit - answer.complexity.after)
        own = max(0, self.points + cost - expected)
        margin = timedelta(seconds=MARGIN_SECONDS)
        ends = self.now + timedelta(seconds=remaining) + margin
        own_end = self.points_end or ends
        if answer.complexity is not None and ends - timedelta(seconds=answer.seconds) > own_end + margin:
            # Monday's minute is a later one: it got the call with which ours began late, or never.
            self.points = max(cost, own if counted is None else counted)
            self.points_end = ends
        else:
            self.points = max(own, counted or 0, cost)
            self.points_end = min(own_end, ends)

    def after_failure(self, expected: int) -> None:
        """Let the minute end later after a failed call, because Monday's may have begun with it."""
        ends = self.now + timedelta(seconds=MINUTE_SECONDS + MARGIN_SECONDS)
        self.points = max(self.points, expected)
        self.points_end = max(self.points_end or ends, ends)

    def after_rejection(self, kind: ErrorKind, wait: float | None, expected: int, day: date | None) -> None:
        """Count a limit as used up after Monday rejected a call of that day, which costs only a tenth."""
        self.points = max(0, self.points - expected)
        self._uncount_call(day)
        self.day_calls += REJECTED_CALL_COST
        # A longer wait that Monday asks for stops the account; the minute's limit is free after a minute.
        ends = self.now + timedelta(seconds=min(wait or MINUTE_SECONDS, MINUTE_SECONDS) + MARGIN_SECONDS)
        if kind is COMPLEXITY_EXHAUSTED and self.points_limit is not None:
            self.points = self.points_limit
            self.points_end = ends
        elif kind is DAILY_LIMIT_REACHED and self.day_limit is not None and day == self.day:
            self.others_calls = max(self.others_calls, self.day_limit - self.day_calls)


def reserve(limit: int, share: float) -> int:
    return math.ceil(round(limit * share, 6))


def day_of(now: datetime) -> date:
    """Return the UTC day to which a call made now counts."""
    return (now.astimezone(UTC) - timedelta(seconds=MIDNIGHT_SECONDS)).date()


def midnight_after(now: datetime) -> datetime:
    start = datetime.combine(day_of(now), datetime.min.time(), UTC)
    return start + timedelta(days=1, seconds=MIDNIGHT_SECONDS)


def seconds_between_passes(quota: Quota, boards: int) -> float:
    """Return the seconds between two passes of a board that make the day's quota last; 0 if it isn't tight."""
    calls_left = quota.day_left()
    if quota.day_limit is None or calls_left is None or not quota.is_tight:
        return 0.0
    seconds = quota.seconds_to_midnight
    fixed = min(FIXED_CALLS_A_DAY, quota.day_limit / 10) * seconds / DAY_SECONDS
    if calls_left <= fixed:
        return DAY_SECONDS  # not before midnight, when the quota is new
    return min(DAY_SECONDS, PASS_CALLS * max(1, boards) * seconds / (calls_left - fixed))


def next_batch_size(size: int, records: int, seconds: float, timeout: float) -> int:
    """Return the new size of a board's documents, after a call for `records` that was answered after `seconds`."""
    target = timeout * SHARE_OF_TIMEOUT
    if seconds > target:
        return max(1, min(size, math.floor(records * target / seconds)))
    if records < size:
        return size  # a larger document might not be as quick
    return min(FULL_BATCH, size + max(1, size // 10))


def pass_points(records: int) -> int:
    """Return the estimated points of a pass that reads and writes this many records."""
    return READ_POINTS + records * WRITE_POINTS


def fitting_batch_size(points_left: int | None) -> int:
    """Return how many records a pass may have: their writes fit, after the read, into these points."""
    if points_left is None:
        return FULL_BATCH
    return max(0, min(FULL_BATCH, (points_left - READ_POINTS) // WRITE_POINTS))


# Seconds between taking a call from the quota and sending it, at most.
MAX_SEND_DELAY_SECONDS = 10.0

# The row's columns have the names of the quota's attributes.
_STORED = [field.name for field in ApiQuota._meta.concrete_fields if field.name != "id"]


def read_quota() -> Quota:
    """Return the current quota."""
    row = ApiQuota.objects.filter(id=1).annotate(now=SyncNow()).first()
    return _load(row, row.now) if row else Quota(sync_now())


@contextmanager
def lock_quota() -> Iterator[Quota]:
    """Lock the quota for one short transaction, and store it at the end."""
    with transaction.atomic():
        row, _ = ApiQuota.objects.select_for_update().get_or_create(id=1)
        # The time is read under the lock, because a minute may have ended during the wait for it.
        quota = _load(row, sync_now())
        yield quota
        ApiQuota.objects.filter(id=1).update(**{name: getattr(quota, name) for name in _STORED})


def _load(row: ApiQuota, now: datetime) -> Quota:
    """Return a stored quota as of `now`, with a new minute or day if the stored one is over."""
    max_delay = settings.MONDAY_TIMEOUT_SECONDS + MAX_SEND_DELAY_SECONDS
    quota = Quota(now, max_delay=max_delay, **{name: getattr(row, name) for name in _STORED})
    quota.end_minute()
    today = day_of(now)
    if quota.day != today:
        # The day begins 5 s after midnight (`MIDNIGHT_SECONDS`); sync_api_usage has our calls of those seconds.
        quota.begin_day(calls_between(datetime.combine(today, datetime.min.time(), UTC), now))
    return quota


# Pages and forecasts read no older usage.
USAGE_RETENTION = timedelta(days=8)

_ADD_USAGE = """
    INSERT INTO sync_api_usage (slot, calls) VALUES (date_trunc('minute', sync_now()), %s)
    ON CONFLICT (slot) DO UPDATE SET calls = sync_api_usage.calls + excluded.calls
"""


def record_usage(cost: Decimal) -> None:
    """Add a call's cost, which is a part of a call if it was rejected, to this minute's row.

    The caller holds the quota's lock.
    """
    run_sql(_ADD_USAGE, [cost])


def calls_between(start: datetime, end: datetime) -> Decimal:
    """Return our calls in the minutes that began from `start` to `end`."""
    rows = ApiUsage.objects.filter(slot__gte=start, slot__lte=end).values_list("calls", flat=True)
    return sum(rows, Decimal(0))


def delete_old_usage() -> None:
    ApiUsage.objects.filter(slot__lt=SyncNow() - USAGE_RETENTION).delete()


def share_of_day(calls: int) -> float | None:
    """Return these calls as a share of the day's limit; None if the limit isn't known."""
    limit = ApiQuota.objects.filter(id=1).values_list("day_limit", flat=True).first()
    return calls / limit if limit else None


PROBE_CALLS = 3  # calls of one probe of writes: a search for earlier creates, a read and a write
FIRST_CALLS = 15  # calls used by an outage until its probes are hourly


def seconds_between_probes(calls: int = PROBE_CALLS, *, first_calls: int = FIRST_CALLS) -> float:
    """Return the shortest interval at which probes of `calls` calls each use a tenth of the day's limit.

    That tenth includes the `first_calls` of the quicker probes before. Without a limit the interval is 0.
    """
    limit = read_quota().day_limit
    if not limit:
        return 0.0
    calls_a_day = max(calls, limit / 10 - first_calls)
    return DAY_SECONDS * calls / calls_a_day


def apply_account_info(info: AccountInfo, tier_before: str) -> None:
    """Store the plan's limits and the day's usage; `tier_before` is the plan known until now.

    The points a minute that an answer's headers named stay, because they are this token's own (`Quota.after_answer`).
    If Monday says that the day is unlimited, the plan's points don't hold either; the next answer's headers name them.
    """
    day_limit, points_limit = _published_limits(info.tier or tier_before)
    former_day_limit, former_points_limit = _published_limits(tier_before)
    with lock_quota() as quota:
        if info.unlimited:
            quota.day_limit = None
            quota.points_limit = None
        else:
            quota.day_limit = info.day_limit or _updated_limit(quota.day_limit, former_day_limit, day_limit)
            quota.points_limit = _updated_limit(quota.points_limit, former_points_limit, points_limit)
        as_of = min(info.usage_as_of or quota.now, quota.now).astimezone(UTC)
        today = day_of(quota.now)
        # A figure that Monday last updated on another day isn't today's.
        if info.usage_by_day and as_of.date() == today:
            used = float(info.usage_by_day.get(today.isoformat(), 0))
            # Includes the whole last minute, so that none of our calls counts as another token's.
            own = calls_between(as_of.replace(hour=0, minute=0, second=0, microsecond=0), as_of)
            # Monday's calls beyond ours until then are those of the account's other tokens.
            quota.others_calls = max(Decimal(0), Decimal(str(used)) - own)
            quota.reported_at = as_of
        elif quota.day_left(urgent=True) == 0:
            # After a refusal the rest of the day was booked as others' calls (`Quota.after_rejection`). Monday has just
            # answered, so it wasn't used up.
            quota.others_calls = Decimal(0)


def _published_limits(tier: str) -> tuple[int | None, int | None]:
    """Return a plan's limits of calls a day and points a minute; None for an unknown plan."""
    return PLAN_LIMITS.get(tier.strip().lower(), (None, None))


def _updated_limit(stored: int | None, published_before: int | None, published: int | None) -> int | None:
    """Return the new plan's limit; a stored limit that isn't the former plan's came from Monday, so it stays."""
    is_from_plan = stored is None or stored == published_before
    return published if is_from_plan and published is not None else stored


WARN_AT_USED_SHARE = 0.7  # of the day's calls


@dataclass(frozen=True)
class Forecast:
    """The usage of the UTC day's calls, and how long the rest will last."""

    used: float  # by all tokens
    limit: int | None
    calls_left: float | None
    ends_at: datetime | None  # when the rest is used up at the last hour's rate; None if it lasts until midnight
    words: str

    @property
    def used_text(self) -> str:
        """The used calls and the limit, as text; empty if one of them isn't known."""
        return f"{round(self.used):,} of today's {self.limit:,} calls" if self.limit else ""


def forecast(quota: Quota | None = None, account: MondayAccount | None = None) -> Forecast:
    """Return the forecast of the day's quota; pass `quota` and `account` if they were already read."""
    quota = quota or read_quota()
    used = float(quota.used_today)
    limit = quota.day_limit
    calls_left = quota.day_left(urgent=True)
    usual_left = quota.day_left()
    if limit is None or calls_left is None or usual_left is None:  # without a limit, all three are None
        account = account or MondayAccount.objects.filter(id=1).first()
        outlook = ""
        is_stopped = account and account.stop_code == StopCode.DAY_LIMIT and account.waits_at(quota.now)
        if account and is_stopped and account.stopped_since:
            outlook = f" Monday's daily limit was reached at {humanize.time_of_day(account.stopped_since)}."
        return Forecast(
            used=used,
            limit=None,
            calls_left=None,
            ends_at=None,
            words=f"{humanize.count_with_noun(round(used), 'call')} to Monday today.{outlook}",
        )
    until = f"until {humanize.time_of_day(midnight_after(quota.now))}."
    ends_at = _end_of_calls(quota, usual_left)
    outlook = f"The rest lasts {until}"
    if usual_left < 1:
        outlook = f"The rest is for “Sync now” and whatever else people start; all other changes wait {until}"
    elif ends_at is not None:
        outlook = f"At this rate they are used up at {humanize.time_of_day(ends_at)}; changes then wait {until}"
    words = f"{round(used):,} of today's {limit:,} calls to Monday are used. {outlook}"
    as_of = quota.reported_at
    if as_of is not None and quota.others_calls:
        words += f" Monday's own figure is {humanize.time_span((quota.now - as_of).total_seconds())} old."
    return Forecast(used, limit, calls_left, ends_at, words)


def _end_of_calls(quota: Quota, calls_left: float) -> datetime | None:
    """Return when these calls are used up at the last hour's rate; None if they last, or the day isn't tight."""
    if calls_left < 1:
        return quota.now
    if not quota.is_tight:
        return None
    calls_an_hour = float(calls_between(quota.now - timedelta(hours=1), quota.now))
    if not calls_an_hour:
        return None
    end = quota.now + timedelta(hours=calls_left / calls_an_hour)
    return end if end < midnight_after(quota.now) else None


def cost_sentence(records_by_link: Mapping[int, int]) -> str:
    """Return a sentence about the calls for these numbers of records by their board's link.

    It is empty if it isn't known how many calls are left.
    """
    calls = 0
    for link_id, number in records_by_link.items():
        calls += PASS_CALLS * math.ceil(number / batch_size(link_id))
    today = forecast()
    if today.calls_left is None or not calls:
        return ""
    return f"Takes about {calls:,} of the {math.floor(today.calls_left):,} API calls left today."


def batch_size(link_id: int) -> int:
    """Return how many records one request about the board may have, read from the database."""
    return BoardLink.objects.get(pk=link_id).batch_limit or FULL_BATCH


def learn_size(link_id: int, records: int, seconds: float) -> None:
    """Adapt the board's batch size after a call for `records` that was answered after `seconds`."""
    row = BoardLink.objects.only("batch_limit").filter(pk=link_id).first()
    if row is None:  # deleted while the call was in flight
        return
    size = row.batch_limit or FULL_BATCH
    learned = next_batch_size(size, records, seconds, settings.MONDAY_TIMEOUT_SECONDS)
    if learned != size:
        row.batch_limit = None if learned >= FULL_BATCH else learned
        row.save(update_fields=["batch_limit"])


def learn_too_large(link_id: int, records: int, parts: int) -> None:
    """Set the batch size to a part of the call for `records` that failed."""
    # A call for a single record can't be made smaller; Monday is slow then.
    if records > 1:
        BoardLink.objects.filter(pk=link_id).update(batch_limit=max(1, records // parts))
