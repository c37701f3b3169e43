"""The account's API quota as it is stored: what is used, Monday's figures, the forecast, and the size of batches."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction

from sync.choices import StopCode
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize
from sync.kernel.db import run_sql
from sync.limits import rate_limits
from sync.models import ApiQuota, ApiUsage, BoardLink, MondayAccount
from sync.monday.connection import AccountInfo

# Seconds between taking a call from the quota and sending it, at most.
MAX_SEND_DELAY_SECONDS = 10.0

# The row's columns have the names of the quota's attributes.
_STORED = [field.name for field in ApiQuota._meta.concrete_fields if field.name != "id"]


def read_quota() -> rate_limits.Quota:
    """Return the current quota."""
    row = ApiQuota.objects.filter(id=1).annotate(now=SyncNow()).first()
    return _load(row, row.now) if row else rate_limits.Quota(sync_now())


@contextmanager
def lock_quota() -> Iterator[rate_limits.Quota]:
    """Lock the quota for one short transaction, and store it at the end."""
    with transaction.atomic():
        row, _ = ApiQuota.objects.select_for_update().get_or_create(id=1)
        # The time is read under the lock, because a minute may have ended during the wait for it.
        quota = _load(row, sync_now())
        yield quota
        ApiQuota.objects.filter(id=1).update(**{name: getattr(quota, name) for name in _STORED})


def _load(row: ApiQuota, now: datetime) -> rate_limits.Quota:
    """Return a stored quota as of `now`, with a new minute or day if the stored one is over."""
    max_delay = settings.MONDAY_TIMEOUT_SECONDS + MAX_SEND_DELAY_SECONDS
    quota = rate_limits.Quota(now, max_delay=max_delay, **{name: getattr(row, name) for name in _STORED})
    quota.end_minute()
    today = rate_limits.day_of(now)
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
    return rate_limits.DAY_SECONDS * calls / calls_a_day


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
        today = rate_limits.day_of(quota.now)
        # A figure that Monday last updated on another day isn't today's.
        if info.usage_by_day and as_of.date() == today:
            used = float(info.usage_by_day.get(today.isoformat(), 0))
            # Includes the whole last minute, so that none of our calls counts as another token's.
            own = calls_between(as_of.replace(hour=0, minute=0, second=0, microsecond=0), as_of)
            quota.after_report(used, own, as_of)
        elif quota.day_left(urgent=True) == 0:
            # After a refusal the rest of the day was booked as others' calls (`Quota.after_rejection`). Monday has just
            # answered, so it wasn't used up.
            quota.others_calls = Decimal(0)


def _published_limits(tier: str) -> tuple[int | None, int | None]:
    """Return a plan's limits of calls a day and points a minute; None for an unknown plan."""
    return rate_limits.PLAN_LIMITS.get(tier.strip().lower(), (None, None))


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
    # When Monday rejected a call because the day was used up, though it answers again: the usage isn't known.
    refused_at: datetime | None = None

    @property
    def used_text(self) -> str:
        """The used calls and the limit, as text; empty if one of them isn't known."""
        return f"{round(self.used):,} of today's {self.limit:,} calls" if self.limit and not self.refused_at else ""


def forecast(quota: rate_limits.Quota | None = None, account: MondayAccount | None = None) -> Forecast:
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
    until = f"until {humanize.time_of_day(rate_limits.midnight_after(quota.now))}."
    ends_at = _end_of_calls(quota, usual_left)
    outlook = f"The rest lasts {until}"
    if usual_left < 1:
        outlook = f"The rest is for “Sync now” and whatever else people start; all other changes wait {until}"
    elif ends_at is not None:
        outlook = f"At this rate they are used up at {humanize.time_of_day(ends_at)}; changes then wait {until}"
    words = f"{round(used):,} of today's {limit:,} calls to Monday are used. {outlook}"
    # If calls are left although one was refused, Monday has answered since (`apply_account_info`).
    refused_at = quota.refused_at if calls_left else None
    if refused_at is not None:
        words = (
            f"Monday rejected calls at {humanize.time_of_day(refused_at)} because today's {limit:,} were used up, and "
            "answers again. How many are left isn't known yet."
        )
    as_of = quota.reported_at
    if as_of is not None and (quota.others_calls or refused_at):
        age = humanize.time_span((quota.now - as_of).total_seconds())
        if refused_at:
            words += f" Monday's last figure was {round(used):,}, {age} ago."
        else:
            words += f" Monday's own figure is {age} old."
    return Forecast(used, limit, calls_left, ends_at, words, refused_at)


def _end_of_calls(quota: rate_limits.Quota, calls_left: float) -> datetime | None:
    """Return when these calls are used up at the last hour's rate; None if they last, or the day isn't tight."""
    if calls_left < 1:
        return quota.now
    if not quota.is_tight:
        return None
    calls_an_hour = float(calls_between(quota.now - timedelta(hours=1), quota.now))
    if not calls_an_hour:
        return None
    end = quota.now + timedelta(hours=calls_left / calls_an_hour)
    return end if end < rate_limits.midnight_after(quota.now) else None


def cost_sentence(records_by_link: Mapping[int, int]) -> str:
    """Return a sentence about the calls for these numbers of records by their board's link.

    It is empty if it isn't known how many calls are left.
    """
    calls = 0
    for link_id, number in records_by_link.items():
        calls += rate_limits.PASS_CALLS * math.ceil(number / batch_size(link_id))
    today = forecast()
    if today.calls_left is None or today.refused_at or not calls:
        return ""
    return f"Takes about {calls:,} of the {math.floor(today.calls_left):,} API calls left today."


def batch_size(link_id: int) -> int:
    """Return how many records one request about the board may have, read from the database."""
    account = MondayAccount.objects.filter(id=1).first() or MondayAccount(stop_code="")
    return batch_size_of(BoardLink.objects.get(pk=link_id), account)


def batch_size_of(link: BoardLink, account: MondayAccount) -> int:
    """Return how many records one request about the board may have.

    The account's limit after failed writes doesn't hold while writes are stopped, because only reads go on then.
    """
    account_limit = None if account.are_only_writes_stopped else account.batch_limit
    return min(link.batch_limit or rate_limits.FULL_BATCH, account_limit or rate_limits.FULL_BATCH)


def learn_size(link_id: int, records: int, seconds: float) -> None:
    """Adapt the board's batch size after a call for `records` that was answered after `seconds`."""
    row = BoardLink.objects.only("batch_limit").filter(pk=link_id).first()
    if row is None:  # deleted while the call was in flight
        return
    size = row.batch_limit or rate_limits.FULL_BATCH
    learned = rate_limits.next_batch_size(size, records, seconds, settings.MONDAY_TIMEOUT_SECONDS)
    if learned != size:
        row.batch_limit = None if learned >= rate_limits.FULL_BATCH else learned
        row.save(update_fields=["batch_limit"])


def learn_too_large(link_id: int, records: int, parts: int) -> None:
    """Set the batch size to a part of the call that failed: one for `records`, timed out or with too many points."""
    # A call for a single record can't be made smaller; Monday is slow then.
    if records > 1:
        BoardLink.objects.filter(pk=link_id).update(batch_limit=max(1, records // parts))
