"""When a board is due for a sweep or a comparison, as far as the API quota allows."""

from collections.abc import Iterator
from datetime import timedelta

from sync import registry
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize, process
from sync.limits import api_quota
from sync.models import BoardLink
from sync.records import availability

# Between two sweeps of a board if the quota is large or unknown.
MIN_INTERVAL_SECONDS = 600

# However small the quota, missed webhooks are found on the same day.
MAX_INTERVAL_SECONDS = 6 * 3_600

# Sweeps take no more than this share of a day's calls: hourly at 1,000 calls and two boards.
QUOTA_SHARE = 0.05

# Boards are compared between these hours, in UTC.
NIGHT_HOUR = 2
NIGHT_END_HOUR = 5

UNFINISHED_TEXT = "It is not finished: it is under way, or was cut short, and the next night makes it again."

# A comparison that is this old is due at any hour: the nights had no quota for it.
OVERDUE_AFTER = timedelta(hours=26)


def sweep_interval() -> timedelta:
    """Return the time between two sweeps of a board."""
    forecast = api_quota.forecast()
    if not forecast.limit:
        return timedelta(seconds=MIN_INTERVAL_SECONDS)
    boards = max(1, BoardLink.objects.exclude(board_id="").count())
    seconds = 86_400 * boards / (forecast.limit * QUOTA_SHARE)
    # The day's calls run out before midnight, and people's changes need those that are left.
    if forecast.ends_at is not None:
        seconds = max(2 * seconds, 3_600.0)
    return timedelta(seconds=min(MAX_INTERVAL_SECONDS, max(MIN_INTERVAL_SECONDS, seconds)))


def boards_to_sweep() -> Iterator[BoardLink]:
    """Claim and yield the boards whose sweep is due.

    The first sweep of a board only sets its time, because set-up and comparison find earlier changes.
    """
    wait = sweep_interval()
    for link in _available_boards():
        if process.is_shutting_down():
            return
        if BoardLink.objects.filter(pk=link.pk, swept_at=None).update(swept_at=SyncNow(), swept_to=SyncNow()):
            continue
        due = BoardLink.objects.filter(pk=link.pk, swept_at__lte=SyncNow() - wait)
        if due.update(swept_at=SyncNow()):
            yield link


def boards_to_compare() -> Iterator[BoardLink]:
    """Claim and yield the boards whose nightly comparison is due."""
    for link in _available_boards():
        now = sync_now()
        if process.is_shutting_down():
            return
        last = link.compared_at
        night = now.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
        is_night = night <= now < night.replace(hour=NIGHT_END_HOUR)
        # A missed night is made up for at any hour, but the first comparison waits for the night.
        is_due = (is_night and (last is None or last < night)) or (last is not None and now - last > OVERDUE_AFTER)
        if not is_due:
            continue
        unclaimed = BoardLink.objects.filter(pk=link.pk, compared_at=last)
        if unclaimed.update(compared_at=SyncNow(), compared=UNFINISHED_TEXT):
            yield link


def _available_boards() -> Iterator[BoardLink]:
    """Yield the boards that can be read: set up, not paused, with quota left. A stop of writes doesn't matter."""
    for spec in registry.entities():
        board = availability.of(spec.entity_type, reads=True)
        if board.link is not None and not board.blocked_reason:
            yield board.link


def last_comparison_text(link: BoardLink) -> str:
    """Return the time and the result of the last comparison as a sentence; empty before the first."""
    if link.compared_at is None:
        return ""
    text = f"{humanize.day_and_time(link.compared_at)}: {link.compared}"
    if sync_now() - link.compared_at <= OVERDUE_AFTER:
        return text
    return f"{text} That is more than a day ago: tell your administrator, for beat or a worker isn't running."
