"""The account's API quota: Monday's limits, what is used of them, and the size of batches.

First the arithmetic, without the database; `read_quota` and what follows read and store it. Figures are those of
developer.monday.com/api-reference/docs/rate-limits, unless a comment names another source. The reasons are in
docs/decisions/0012-quota-and-stops.md.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction

from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.models import ApiQuota, BoardLink
from sync.monday import errors
from sync.monday.account import AccountInfo
from sync.monday.graphql import Answer
from sync.monday.item_documents import ITEMS_PER_READ
from sync.words.message import Message


class WaitKind(StrEnum):
    """The kind of reason why a board isn't synced now; the values are those of a metric's label."""

    NOT_CONFIGURED = "not_configured"
    NO_BOARD = "no_board"
    PAUSED = "paused"
    ACCOUNT = "account"  # a stop of every board
    BOARD = "blocked"  # a stop of this board
    QUOTA = "quota"  # the day's calls are used up
    BATCHING = "batching"  # changes are batched, or the minute's points are used up


@dataclass(frozen=True)
class Wait:
    """A limit that leaves no room now for a call or a pass; it ends by itself."""

    kind: WaitKind
    reason: str  # as a sentence
    until: datetime


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
MINUTE = timedelta(seconds=MINUTE_SECONDS)

# Monday reports the rest of its window in whole seconds, and ours must not end before it.
MARGIN = timedelta(seconds=1)

DAY_SECONDS = 86_400.0

# Our day begins this many seconds after 00:00 UTC, because Monday's clock may be behind ours.
MIDNIGHT_SECONDS = 5.0

# Shares of the minute's points and of the day's calls that are reserved for what people click. All else stops before
# them: passes by `LimitFacts.grant_pass`, other calls by `MeteredClient`.
MINUTE_RESERVE_SHARE = 0.02
DAY_RESERVE_SHARE = 0.05

# Estimated points of a written record, as users measured on Monday (sandbox/graph/documents.py); its page says 10,000.
WRITE_POINTS = 30_000

READ_POINTS = 50_000  # estimated points of a pass's read until it is answered
PASS_CALLS = 2  # a pass makes one call to read both sides and one to write

# A document below this share of a full one waits for the next minute, to save a call.
TOO_SMALL_SHARE = 0.1

# A call should take at most this share of the client's timeout: 20 s of 30 s.
SHARE_OF_TIMEOUT = 2 / 3

# Calls a day of sweeps and the hourly check of the quota; at most a tenth of a small quota.
FIXED_CALLS_A_DAY = 100

# Changes are batched if less of the day is left than this share of what an even use would leave.
PACING_SHARE = 0.85

# People are told how many calls are left from this share of the day's calls on.
WARN_AT_USED_SHARE = 0.7

# With fewer calls a day, changes are batched from the first on: else single edits would use the day up by noon.
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
    day_calls: int = 0  # our calls of that day
    others_calls: int = 0  # calls of the account's other tokens, as last reported
    monday_ahead: float | None = None  # seconds by which Monday's clock is ahead of ours; None if it isn't known

    @property
    def is_limited(self) -> bool:
        return self.day_limit is not None or self.points_limit is not None

    def end_past_spans(self) -> None:
        """Begin a new minute or day if the current one is over."""
        if self.points_end is None or self.now >= self.points_end:
            self.points = 0
            self.points_end = None
        if self.day != day_of(self.now):
            self.day = day_of(self.now)
            self.day_calls = 0
            self.others_calls = 0

    @property
    def used_today(self) -> int:
        """Calls of this installation and of the account's other tokens."""
        return self.day_calls + self.others_calls

    @property
    def used_text(self) -> str:
        """The used calls and the limit, as text; empty without a limit."""
        return f"{self.used_today:,} of today's {self.day_limit:,} calls" if self.day_limit else ""

    def day_left(self, *, urgent: bool = False) -> int | None:
        """Return the calls left today, without the reserve unless `urgent`; None if the limit isn't known."""
        if self.day_limit is None:
            return None
        reserved = 0 if urgent else reserve(self.day_limit, DAY_RESERVE_SHARE)
        return max(0, self.day_limit - self.used_today - reserved)

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
    def is_low(self) -> bool:
        """Whether people are told how much is left."""
        return self.day_limit is not None and (self.is_tight or self.used_today >= WARN_AT_USED_SHARE * self.day_limit)

    @property
    def minute_points(self) -> int | None:
        """The points of a whole minute, without the reserve."""
        limit = self.points_limit
        return None if limit is None else limit - reserve(limit, MINUTE_RESERVE_SHARE)

    def points_left(self, *, urgent: bool) -> int | None:
        """Return the points left in this minute; None if the limit isn't known."""
        limit = self.points_limit if urgent else self.minute_points
        return None if limit is None else max(0, limit - self.points)

    def required_wait(self, calls: int, points: int, *, urgent: bool, ignore_day_limit: bool = False) -> Wait | None:
        """Return the limit that leaves no room for these calls and points, None if there is room.

        `ignore_day_limit` is for the call that reads what the limit is now.
        Its reason names no time: it is stored with jobs, and each reader has their own time zone.
        """
        day = self.day_left(urgent=urgent)
        if not ignore_day_limit and day is not None and day < calls:
            reason = Message("calls_used_up" if urgent else "calls_used_up_but_reserve")
            return Wait(WaitKind.QUOTA, reason, midnight_after(self.now))
        points_left = self.points_left(urgent=urgent)
        # An unused minute has room for any call, because a larger one would never fit otherwise.
        if points_left is not None and points_left < points and self.points:
            return self.wait_for_points()
        return None

    def wait_for_points(self) -> Wait:
        reason = Message("points_used_up")
        return Wait(WaitKind.BATCHING, reason, self.points_end or self.now + timedelta(seconds=1))

    def spend(self, points: int) -> None:
        """Count a call and its estimated points before it is sent; the first call of a minute begins it."""
        self.day_calls += 1
        self.points += points
        # The call may reach Monday late; its answer tells when Monday's minute ends.
        self.points_end = self.points_end or self.now + 2 * MINUTE

    def after_answer(self, answer: Answer, estimate: int) -> None:
        """Correct the usage by the answer to a call for which `estimate` points were counted.

        Monday's count includes other tokens' calls but may lack ours in flight; our count has all of ours.
        """
        # The headers have this token's own limits, which may differ from the published ones.
        self.points_limit = answer.points_limit or self.points_limit
        ends = self.now + MINUTE + MARGIN
        if answer.complexity is not None:
            seconds_left = max(0.0, answer.complexity.reset_in_seconds)
            ends = min(ends, self.now + timedelta(seconds=seconds_left) + MARGIN)
            counted = 0 if self.points_limit is None else self.points_limit - answer.complexity.after
            self.points = max(0, self.points + answer.complexity.query - estimate, counted)
        own_end = self.points_end or ends
        # Monday's minute may be a later one: it got the call with which ours began late, or never.
        is_later = ends - timedelta(seconds=answer.seconds) > own_end + MARGIN
        self.points_end = ends if is_later else min(own_end, ends)
        if answer.dated is not None:
            # Monday dated it while the call ran; what the call's length may explain is no difference.
            ahead_of_end = (answer.dated - self.now).total_seconds()
            self.monday_ahead = min(max(ahead_of_end, 0.0), ahead_of_end + answer.seconds)

    def after_error(self, error: errors.MondayError, estimate: int) -> None:
        """Correct the usage after a failed call for which `estimate` points were counted."""
        if error.kind is errors.UNREACHABLE:  # it was certainly not sent
            self._give_back(estimate)
            self.day_calls = max(0, self.day_calls - 1)
            return
        # Monday's minute may have begun with it, so ours ends later.
        ends = self.now + MINUTE + MARGIN
        self.points = max(self.points, estimate)
        self.points_end = max(self.points_end or ends, ends)
        if error.scope is errors.Scope.LIMIT:
            self.points = max(0, self.points - estimate)
            if error.kind is errors.COMPLEXITY_EXHAUSTED and self.points_limit is not None:
                self.points = self.points_limit
                # A longer wait that Monday asks for stops the account; the minute's limit is free after a minute.
                wait = timedelta(seconds=error.wait_seconds or MINUTE_SECONDS)
                self.points_end = self.now + min(wait, MINUTE) + MARGIN
        # It was rejected before it ran, which costs a call but no points: while a document is halved until one record
        # is alone, the halves need room in the same minute.
        elif not error.outcome_unknown:
            self._give_back(estimate)

    def _give_back(self, points: int) -> None:
        """Uncount the points of a call that wasn't carried out; a minute without points hasn't begun."""
        self.points = max(0, self.points - points)
        if not self.points:
            self.points_end = None


def reserve(limit: int, share: float) -> int:
    """Return the part of a limit that is kept for what people click."""
    return math.ceil(limit * share)


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
    return min(ITEMS_PER_READ, size + max(1, size // 10))


def pass_points(records: int) -> int:
    """Return the estimated points of a pass that reads and writes this many records."""
    return READ_POINTS + records * WRITE_POINTS


def fitting_batch_size(points_left: int | None) -> int:
    """Return how many records a pass may have: their writes fit, after the read, into these points."""
    if points_left is None:
        return ITEMS_PER_READ
    return max(0, min(ITEMS_PER_READ, (points_left - READ_POINTS) // WRITE_POINTS))


# Seconds between taking a call from the quota and sending it, at most; by them breaker.py knows the day of a call.
MAX_SEND_DELAY_SECONDS = 10.0

# The row's columns have the names of the quota's attributes.
_STORED = [field.name for field in ApiQuota._meta.concrete_fields if field.name != "id"]


def read_quota() -> Quota:
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
    quota = Quota(now, **{name: getattr(row, name) for name in _STORED})
    quota.end_past_spans()
    return quota


def share_text(calls: int) -> str:
    """Return these calls as a share of the day's limit, in brackets; empty if the limit isn't known."""
    limit = read_quota().day_limit
    return f" ({calls / limit:.1%} of the day's API quota)" if limit else ""


def apply_account_info(info: AccountInfo, tier_before: str) -> None:
    """Store the plan's limits and the day's usage; `tier_before` is the plan known until now.

    The points a minute that an answer's headers named stay, because they are this token's own (`Quota.after_answer`).
    If Monday says that the day is unlimited, the plan's points don't hold either; the next answer's headers name them.
    """
    day_limit, points_limit = _published_limits(info.tier or tier_before)
    former_day_limit, former_points_limit = _published_limits(tier_before)
    with lock_quota() as quota:
        if info.is_unlimited:
            quota.day_limit = None
            quota.points_limit = None
        else:
            quota.day_limit = info.day_limit or _updated_limit(quota.day_limit, former_day_limit, day_limit)
            quota.points_limit = _updated_limit(quota.points_limit, former_points_limit, points_limit)
        # Monday's figure may be old, and then lacks calls of ours. The others' never become fewer during a day.
        used = info.usage_by_day.get(day_of(quota.now).isoformat(), 0)
        quota.others_calls = max(quota.others_calls, used - quota.day_calls)


def _published_limits(tier: str) -> tuple[int | None, int | None]:
    """Return a plan's limits of calls a day and points a minute; None for an unknown plan."""
    return PLAN_LIMITS.get(tier.strip().lower(), (None, None))


def _updated_limit(stored: int | None, published_before: int | None, published: int | None) -> int | None:
    """Return the new plan's limit; a stored limit that isn't the former plan's came from Monday, so it stays."""
    is_from_plan = stored is None or stored == published_before
    return published if is_from_plan and published is not None else stored


def usage_sentence(quota: Quota) -> Message:
    """Return how many of the day's calls are used, and how long the rest will last."""
    if quota.day_limit is None:
        calls = humanize.count_with_noun(quota.used_today, "call")
        return Message("calls_without_limit", calls=calls)
    outlook = "calls_slowed" if quota.is_tight else "calls_last"
    until = humanize.time_of_day(midnight_after(quota.now))
    return Message(outlook if quota.day_left() else "calls_reserved", used=quota.used_text, until=until)


def cost_sentence(records_by_link: Mapping[int, int]) -> str:
    """Return a sentence about the calls for these numbers of records by their board's link.

    It is empty if it isn't known how many calls are left.
    """
    calls = 0
    for link_id, number in records_by_link.items():
        calls += PASS_CALLS * math.ceil(number / batch_size(link_id))
    calls_left = read_quota().day_left(urgent=True)
    if calls_left is None or not calls:
        return ""
    return Message("calls_needed", calls=calls, left=calls_left)


def batch_size(link_id: int) -> int:
    """Return how many records one request about the board may have, read from the database."""
    return BoardLink.objects.get(pk=link_id).batch_limit


def adapt_batch_size(link_id: int, records: int, seconds: float) -> None:
    """Adapt the board's batch size after a call for `records` that was answered after `seconds`."""
    row = BoardLink.objects.only("batch_limit").filter(pk=link_id).first()
    if row is None:  # deleted while the call was in flight
        return
    learned = next_batch_size(row.batch_limit, records, seconds, settings.MONDAY_TIMEOUT_SECONDS)
    if learned != row.batch_limit:
        row.batch_limit = learned
        row.save(update_fields=["batch_limit"])


def shrink_batch_size(link_id: int, records: int, parts: int) -> None:
    """Set the batch size to a part of the call for `records` that failed."""
    # A call for a single record can't be made smaller; Monday is slow then.
    if records > 1:
        BoardLink.objects.filter(pk=link_id).update(batch_limit=max(1, records // parts))
