"""What a backfill waits for and what waits for it: the import, pauses, quotas, the lease, later files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from uuid import UUID

from django.db import connection
from django.db.models import F, Q, Sum

from sync import connectors
from sync.choices import Priority, QueueDirection, QueueStatus
from sync.clock import SyncNow, sync_now
from sync.connectors.base.errors import ConnectorError, JobLimitReached, Scope
from sync.limits import breaker
from sync.models import Backfill, BackfillState, BoardLink, SyncQueue
from sync.outbox import lease, pauses
from sync.outbox.lease import Lease

LeaseFactory = Callable[[], AbstractContextManager[Lease]]

WaitCallback = Callable[[float, str], None]
"""Waits this many seconds; the second argument is the reason as a sentence."""

LEASE_RETRY_SECONDS = 0.5
ITEMS_PER_HOUR = connectors.get().imports_per_hour
# Workers release the board for a backfill that lives; for one whose process died they don't wait longer.
HEARTBEAT_TIMEOUT = timedelta(seconds=30)


@contextmanager
def lease_board(link: BoardLink, backfill: Backfill, wait: WaitCallback) -> Iterator[Lease]:
    """Lease the board, waiting until whoever has it releases it."""
    while (board_lease := lease.acquire(link)) is None:
        wait(LEASE_RETRY_SECONDS, "Another worker has the board.")
        record_heartbeat(backfill)
    try:
        yield board_lease
    finally:
        board_lease.release()


def record_heartbeat(backfill: Backfill) -> None:
    """Record a sign of life: after some minutes without one, the board's worker takes the backfill over."""
    Backfill.objects.filter(pk=backfill.pk).update(seen_at=SyncNow())


def needs_board(entity_type: str) -> bool:
    """Whether a live backfill needs the lease, to send or to link: a worker with a long queue releases it.

    A backfill that is put off needs it only when its time has come.
    """
    needs = Q(state=BackfillState.STARTED, put_at=None) | Q(state=BackfillState.LISTED)
    is_due = Q(look_at=None) | Q(look_at__lte=SyncNow())
    waiting = Backfill.objects.filter(needs, is_due, entity_type=entity_type)
    return waiting.filter(seen_at__gt=SyncNow() - HEARTBEAT_TIMEOUT).exists()


# Jobs of records that wait for an import although they are due: workers would create them one by one.
#
# They are records of later files, and records whose key another record of the file has too: a pass finds that
# one's item only once it exists. The wait expires soon after this process has died; a save of such a record
# ends it at once.


DEFER_MINUTES = 10
_DEFER_REASON = "It waits for the bulk import that is at work."

# Jobs that a save has locked are skipped, and so are those put off for a reason of their own.
_DEFER_JOBS = """
    UPDATE sync_queue SET next_retry = until, deferred_until = until, reason = %s
    FROM (SELECT sync_now() + make_interval(mins => %s) AS until) AS moment
    WHERE id IN (
        SELECT id FROM sync_queue
        WHERE status = 'pending' AND entity_type = %s AND entity_id = ANY (%s) AND priority > %s
          AND (next_retry <= sync_now() OR next_retry = deferred_until)
        FOR UPDATE SKIP LOCKED)
"""


class DeferredJobs:
    """Defers the jobs of these records until the `with` block ends."""

    def __init__(self, entity_type: str, ids: Iterable[UUID]) -> None:
        self.entity_type = entity_type
        self._ids = list(ids)
        self._deferred_ids = set(self._ids)
        self._deferred_until: datetime | None = None

    def __enter__(self) -> DeferredJobs:
        self._defer()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Make the jobs due, whatever became of the import; those that another import defers stay."""
        rows = SyncQueue.objects.filter(
            entity_type=self.entity_type,
            entity_id__in=self._ids,
            status=QueueStatus.PENDING,
            deferred_until=F("next_retry"),
        )
        rows.update(next_retry=SyncNow(), reason="")

    def release(self, ids: Iterable[UUID]) -> None:
        """Stop deferring the jobs of these records."""
        self._deferred_ids -= set(ids)
        self._defer()

    def wait_and_extend(self, wait: WaitCallback) -> WaitCallback:
        """Return `wait` with the deferral renewed while it lasts."""

        def extended_wait(seconds: float, reason: str) -> None:
            wait(seconds, reason)
            if self._deferred_until is not None and sync_now() > self._deferred_until - timedelta(
                minutes=DEFER_MINUTES / 2
            ):
                self._defer()

        return extended_wait

    def _defer(self) -> None:
        if not self._deferred_ids:
            return
        self._deferred_until = sync_now() + timedelta(minutes=DEFER_MINUTES)
        with connection.cursor() as cursor:
            cursor.execute(
                _DEFER_JOBS,
                [_DEFER_REASON, DEFER_MINUTES, self.entity_type, list(self._deferred_ids), int(Priority.PERSON)],
            )


# What a backfill waits for: its job, the breaker and pauses, the hour's quota of imported items.


POLL_INTERVALS = (10, 20, 40, 60)
"""Seconds before the first, second … poll of a job; later polls come once a minute."""

SLOW_POLL_SECONDS = 600
"""Seconds between polls of a job that takes over an hour: a day of them is some 200 calls."""

PAUSE_POLL_SECONDS = 60
"""Seconds between checks whether a pause has ended."""

SLOW_JOB_AGE = timedelta(hours=1)
HOUR = timedelta(hours=1)
RETRYABLE_SCOPES = (Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE)


@dataclass(frozen=True)
class Delay:
    """Nothing can be done for this many seconds; `reason` says why."""

    seconds: float
    reason: str


def seconds_from_now(seconds: float) -> datetime:
    """Return the moment this many seconds from now."""
    return sync_now() + timedelta(seconds=seconds)


def is_job_older(backfill: Backfill, age: timedelta) -> bool:
    """Whether the backfill's job was started longer ago than `age`."""
    return backfill.job_at is not None and backfill.job_at + age < sync_now()


def next_poll_seconds(backfill: Backfill) -> float:
    """Return the seconds until Monday is next asked about the job."""
    if is_job_older(backfill, SLOW_JOB_AGE):
        return SLOW_POLL_SECONDS
    return POLL_INTERVALS[min(backfill.polls + 1, len(POLL_INTERVALS) - 1)]


def remaining_delay(backfill: Backfill) -> Delay | None:
    """Return the rest of the time for which it was put off, by whatever process."""
    if backfill.look_at is None or (seconds := (backfill.look_at - sync_now()).total_seconds()) <= 0:
        return None
    return Delay(seconds, _progress_text(backfill))


def _progress_text(backfill: Backfill) -> str:
    if backfill.state == BackfillState.UPLOADED:
        return f"Monday is importing {backfill.rows:,} rows: {backfill.counts.get('progress', 0)} %."
    if backfill.state == BackfillState.LISTED:
        return "Monday is done; its items are looked for again then."
    if backfill.put_at is None:
        return "The import is begun then."
    return "It isn't known whether Monday has the file; it is asked until that is sure."


def shared_delay(link: BoardLink) -> Delay | None:
    """Return the delay while the breaker is tripped or a person has paused the board, else None.

    A due probe of the account is made here.
    """
    if reason := pauses.direction_pause_reason(link.entity_type, QueueDirection.TO_MONDAY):
        return Delay(PAUSE_POLL_SECONDS, reason)
    link.refresh_from_db(fields=["blocked_until", "blocked_reason"])
    now = sync_now()
    if link.blocked_until is not None and link.blocked_until > now:
        return Delay((link.blocked_until - now).total_seconds(), link.blocked_reason)
    if breaker.probe_if_due():
        return None
    row = breaker.monday_account()
    seconds = (row.paused_until - sync_now()).total_seconds() if row.paused_until else 0
    return Delay(max(1.0, seconds), row.pause_reason)


def pause_delay(link: BoardLink) -> Delay | None:
    """Return the delay of a person's pause before a file is sent; a new pause waits for this transaction."""
    found = pauses.locked_pauses(link.entity_type).get(QueueDirection.TO_MONDAY)
    return Delay(PAUSE_POLL_SECONDS, pauses.pause_sentence(found, QueueDirection.TO_MONDAY)) if found else None


def delay_after_error(error: ConnectorError) -> Delay:
    """Trip the breaker on a limit or an outage, as a worker does; a limit of bulk jobs stops nobody else."""
    if not isinstance(error, JobLimitReached):
        breaker.trip_account(error)
    return Delay(error.wait_seconds or POLL_INTERVALS[0], error.sentence)


def hourly_limit_delay(backfill: Backfill) -> Delay | None:
    """Return the delay for the hour's quota of imported items; None where this backfill's rows still fit."""
    recent = Backfill.objects.filter(job_at__gt=SyncNow() - HOUR).exclude(pk=backfill.pk)
    spent = recent.aggregate(rows=Sum("rows"))["rows"] or 0
    oldest = recent.order_by("job_at").values_list("job_at", flat=True).first()
    if oldest is None or spent + backfill.rows <= ITEMS_PER_HOUR:
        return None
    seconds = (oldest + HOUR - sync_now()).total_seconds() + 1
    return Delay(max(1.0, seconds), f"Monday takes {ITEMS_PER_HOUR:,} imported items an hour.")


def hours_to_wait(jobs: Iterable[int]) -> int:
    """Return how many hours jobs of these sizes each wait for the hourly quota, one after another."""
    hours, spent = 0, 0
    for rows in jobs:
        if spent and spent + rows > ITEMS_PER_HOUR:
            hours, spent = hours + 1, 0
        spent += rows
    return hours
