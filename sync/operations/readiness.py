"""Whether the installation works: boards that make no progress, the schedule, the disk and the clocks."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.conf import settings
from django.db import Error, models, transaction
from django_celery_beat.models import PeriodicTask

from sync.boards.availability import Overview
from sync.choices import QueueStatus
from sync.clock import SyncNow
from sync.kernel import humanize
from sync.kernel.db import fetch_rows, run_sql
from sync.models import BoardLease, CacheEntry, SyncQueue
from sync.words.message import Message

# Why a board is overdue.
NO_WORKER = Message("no_worker")
WORKER_BUSY = Message("worker_busy")

_DONE = QueueStatus.COMPLETED
_NOT_DONE = [status for status in QueueStatus if status is not _DONE]


@dataclass(frozen=True)
class Overdue:
    """A board whose due jobs make no progress."""

    entity_type: str
    seconds: float  # since the oldest became due
    reason: str


def overdue_boards(max_seconds: float, overview: Overview | None = None) -> list[Overdue]:
    """Return the boards whose due jobs made no progress for `max_seconds`, and why; about six queries.

    A load that takes hours makes progress, however old its oldest job is. A job in progress counts as due once the
    lease of its dead worker has ended.
    """
    overview = overview or Overview()
    now = overview.now
    overdue = []
    for board in overview.boards:
        if board.link is None:
            continue
        lease: BoardLease | None = getattr(board.link, "lease", None)
        # A dead worker has the lease until it ends or another takes it.
        is_leased = lease is not None and lease.token is not None and lease.expires > now
        claimed_since = overview.claimed_since(board)
        abandoned_since = None
        if claimed_since is not None and not is_leased and board.is_available:
            abandoned_since = board.not_before(max(claimed_since, lease.expires) if lease else claimed_since)
        since = min(filter(None, (overview.due_since(board), abandoned_since)), default=None)
        if since is None or (now - since).total_seconds() <= max_seconds:
            continue
        reason = WORKER_BUSY if is_leased else NO_WORKER
        overdue.append(Overdue(board.entity_type, (now - since).total_seconds(), reason))
    if not overdue:
        return []
    start = now - timedelta(seconds=max_seconds)
    progress = models.Q(status__in=_NOT_DONE, last_attempt__gt=start) | models.Q(status=_DONE, finished_at__gt=start)
    moving_types = set(SyncQueue.objects.filter(progress).order_by().values_list("entity_type", flat=True).distinct())
    return [board for board in overdue if board.entity_type not in moving_types]


# Clocks may differ by this much.
CLOCK_SECONDS = 60

# Sign-ins are counted for five minutes, and a silent identity provider isn't asked for half a minute (npd/sign_in.py).
LONGEST_COUNT = timedelta(minutes=10)


def schedule_problem() -> str:
    """Return that no row of the schedule starts due jobs as often as they have to move; empty if one does."""
    has_begun = models.Q(start_time=None) | models.Q(start_time__lte=SyncNow())
    rows = PeriodicTask.objects.filter(has_begun, enabled=True, task="sync.sweep").select_related("interval", "crontab")
    longest = timedelta(seconds=settings.READY_MAX_DUE_SECONDS)
    is_started = any(row.schedule.remaining_estimate(row.schedule.now()) <= longest for row in rows)
    return "" if is_started else Message("not_scheduled")


def write_problem() -> str:
    """Return PostgreSQL's own words if it can't store a row, as when its disk is full; empty if it can."""
    return _write_problem(int(time.monotonic() / WRITE_EVERY_SECONDS))


# Anybody may ask, so this process writes no more often.
WRITE_EVERY_SECONDS = 5


@lru_cache(maxsize=1)
def _write_problem(number: int) -> str:
    try:
        with transaction.atomic():
            # More than fits into a page's free space; and rows that PostgreSQL keeps in a file of their own meanwhile.
            CacheEntry.objects.create(cache_key="readyz", value=secrets.token_hex(8_192), expires=datetime.now(UTC))
            run_sql("SELECT set_config('work_mem', '64kB', true)")
            fetch_rows("SELECT count(*) FROM generate_series(1, 20000)")
            transaction.set_rollback(True)
    except Error as error:
        return Message("database_stores_nothing", quote=humanize.one_line(str(error)))
    return ""


def monday_clock_problem(monday_ahead: float | None) -> Message | None:
    """Return that PostgreSQL's clock is so far from Monday's that edits may be lost."""
    if monday_ahead is None or abs(monday_ahead) <= CLOCK_SECONDS:
        return None
    code = "behind_monday" if monday_ahead > 0 else "ahead_of_monday"
    return Message(code, span=humanize.time_span(abs(monday_ahead)))


def clock_problems() -> list[Message]:
    """Return which clocks are wrong, or ran ahead and left times that are still to come."""
    [[now, counted_until, latest_job, monday_ahead]] = fetch_rows(
        "SELECT sync_now(), (SELECT max(expires) FROM sync_cache "
        "WHERE cache_key LIKE '%:rl:%' OR cache_key LIKE '%provider-is-silent'), "
        "(SELECT max(created_at) FROM sync_queue WHERE status = 'pending'), "
        "(SELECT monday_ahead FROM sync_api_quota)"
    )
    problems = []
    ahead = time.time() - now.timestamp()
    if abs(ahead) > CLOCK_SECONDS:
        code = "clock_ahead" if ahead > 0 else "clock_behind"
        problems.append(Message(code, span=humanize.time_span(abs(ahead))))
    if beside_monday := monday_clock_problem(monday_ahead):
        problems.append(beside_monday)
    if counted_until and counted_until > now + LONGEST_COUNT:
        problems.append(Message("clock_ran_ahead", until=f"{counted_until:%Y-%m-%d %H:%M}"))
    if latest_job and latest_job > now + timedelta(seconds=CLOCK_SECONDS):
        problems.append(Message("database_clock_ran_ahead", until=f"{latest_job:%Y-%m-%d %H:%M}"))
    return problems
