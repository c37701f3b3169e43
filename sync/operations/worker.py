"""The worker: takes each board's lease and reconciles its due jobs, batch by batch.

`work` runs for a limited time. `drain` runs until no job is due, and `remaining_lines` explains the rest.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import models
from structlog.contextvars import bound_contextvars

from sync import registry
from sync.choices import QueueStatus
from sync.clock import SyncNow, sync_now
from sync.kernel import humanize, process
from sync.kernel.db import retry_on_lock_timeout
from sync.kernel.messages import own_fault
from sync.limits import BlockedKind, Grant, LimitFacts, PassGrant, Wait, grant, stops, write_stop
from sync.models import BoardLease, Intent, IntentState, SyncQueue
from sync.outbox import finish, notify
from sync.outbox.claim import Claim, Lease, LeaseLost, acquire, claim, claim_job, has_due_rows
from sync.reconcile import reconcile
from sync.reconcile.pass_plan import Outcome
from sync.reconcile.unanswered_creates import confirm_creates
from sync.records import availability

log = structlog.get_logger(__name__)

# Between two attempts to take a board's lease.
LEASE_WAIT_SECONDS = 0.2

# Between two lines of progress.
PROGRESS_SECONDS = 5.0


@dataclass
class WorkSummary:
    """The counts of the worker's runs, in records."""

    claimed: int = 0
    completed: int = 0
    failed: int = 0

    def add(self, claimed: int, completed: int, failed: int) -> None:
        self.claimed += claimed
        self.completed += completed
        self.failed += failed

    def __str__(self) -> str:
        return f"{self.claimed:,} checked: {self.completed:,} done, {self.failed:,} failed."


def work(entity_type: str | None = None, *, seconds: float | None = None, wait_for_lease: bool = False) -> WorkSummary:
    """Work due jobs, of one type or of all, until none is due or the time is over (half a task's limit).

    A board that another worker has leased is left to it, unless `wait_for_lease`.
    """
    limit = seconds if seconds is not None else settings.CELERY_TASK_TIME_LIMIT / 2
    run = _Run(time.monotonic() + limit, wait_for_lease=wait_for_lease)
    for board_type in _types(entity_type):
        with bound_contextvars(board=board_type):
            run.work_board(board_type)
    return run.summary


def _types(entity_type: str | None) -> list[str]:
    return [spec.entity_type for spec in registry.entities() if entity_type in (None, spec.entity_type)]


def drain(
    entity_type: str | None = None,
    say: Callable[[str], object] | None = None,
    *,
    progress_seconds: float = PROGRESS_SECONDS,
) -> WorkSummary:
    """Work until nothing is due, waiting for other workers' leases; on shutdown, end after the current batch.

    `say` prints a line of progress every `progress_seconds`.
    """
    total = WorkSummary()
    while True:
        summary = work(entity_type, seconds=progress_seconds if say else None, wait_for_lease=True)
        total.add(summary.claimed, summary.completed, summary.failed)
        if process.is_shutting_down():
            return total
        boards = availability.Overview(_types(entity_type))
        due = sum(boards.number_due(board) for board in boards.displayed_boards)
        if not (summary.claimed and due):
            # Due jobs that could not be claimed, and that no other worker has, can't be claimed next time either.
            types = [board for board in _types(entity_type) if availability.of(board).is_available]
            busy = [board for board in types if has_due_rows(board)]
            leases = BoardLease.objects.filter(link__entity_type__in=busy, token__isnull=False)
            if not leases.filter(expires__gt=SyncNow()).exists():
                return total
        if say:
            say(f"{total.claimed:,} checked, {due:,} to go …")


class _Run:
    """One call of `work`."""

    def __init__(self, until: float, *, wait_for_lease: bool) -> None:
        self.summary = WorkSummary()
        self.until = until
        self.wait_for_lease = wait_for_lease

    def work_board(self, entity_type: str) -> None:
        """Work the board's due jobs if the board is available."""
        if process.is_shutting_down():
            _notify_others(entity_type)
            return
        if not has_due_rows(entity_type):
            return
        while True:
            granted = grant(entity_type)
            if isinstance(granted, Wait):
                self._notify_after(granted, entity_type)
                return
            if (board_lease := acquire(granted.link)) is not None:
                break
            if (
                not self.wait_for_lease
                or time.monotonic() >= self.until
                or process.wait_or_shutdown(LEASE_WAIT_SECONDS)
            ):
                return
        may_have_more = True
        try:
            with board_lease:
                may_have_more = self._work_batches(board_lease, granted)
        except LeaseLost as lost:
            log.warning("board lost", board=entity_type, reason=str(lost))
        # After the release, because a worker that is notified while the board is leased ends at once.
        if may_have_more or process.is_shutting_down():
            _notify_others(entity_type)

    def _notify_after(self, wait: Wait, entity_type: str) -> None:
        """If the minute's quota ended the work, have it continue when the next minute begins."""
        if self.summary.claimed and wait.kind is BlockedKind.BATCHING and wait.until:
            notify.notify_board(entity_type, max(0.0, (wait.until - sync_now()).total_seconds()))

    def _work_batches(self, board_lease: Lease, granted: Grant | Wait) -> bool:
        """Reconcile batch after batch; return whether another run may have something to do.

        `granted` is the grant for the first batch; each further batch gets its own.
        """
        entity_type = board_lease.link.entity_type
        # Whether the next pass also reads the records that wait for writes, without writing; it does so once.
        reads_all = False
        has_read_all = False
        while isinstance(granted, Grant):
            if process.is_shutting_down() or time.monotonic() > self.until:
                return True
            pass_grant = _grant_pass(board_lease, granted)
            if isinstance(pass_grant, Wait):
                granted = pass_grant
                break
            with pass_grant:
                claimed, is_probe = _claim_batch(board_lease, granted, pass_grant, reads_all=reads_all)
                if claimed:
                    self._run_pass(board_lease, claimed, 0 if is_probe else granted.hold_seconds)
            # The probed record needed no write. Others may not either: one pass reads all of them and ends those in
            # sync. Then the next probe is due at once.
            probe_is_due = reads_all
            reads_all = is_probe and not has_read_all and write_stop.release_unused_probe()
            has_read_all = has_read_all or reads_all
            # A short claim has usually left nothing. Asking costs a tenth of another round.
            may_have_more = len(claimed) >= pass_grant.size or (claimed and has_due_rows(entity_type))
            if not (reads_all or probe_is_due or may_have_more):
                # A job may come before the release. Due ones that can't be claimed are left to the sweep.
                return bool(claimed)
            granted = grant(entity_type)
        self._notify_after(granted, entity_type)
        return False

    def _run_pass(self, board_lease: Lease, claimed: list[Claim], hold_seconds: float) -> None:
        """Reconcile the claimed records.

        An error of our own costs a batch no attempt. Its records are claimed one by one next, and then it counts.
        """

        @retry_on_lock_timeout
        def store_fault(reason: str) -> None:
            rows = [row for job in claimed for row in job.rows]
            with board_lease.transaction():
                if len(claimed) > 1:
                    finish.release(rows, board_lease.token, reason, at_most=1)
                else:
                    finish.fail_unsettled(rows, board_lease.token, reason)

        batch_id = uuid4()  # the sync state has it as sync_batch_id, and log lines too, also those of libraries
        with bound_contextvars(board=board_lease.link.entity_type, batch=str(batch_id)):
            try:
                outcomes = reconcile(board_lease, claimed, batch_id, hold_seconds)
                self.summary.add(len(claimed), outcomes[Outcome.SETTLED], outcomes[Outcome.FAILED])
            except LeaseLost:  # another worker may have the board, so nothing of this pass may be stored
                raise
            except Exception as error:
                log.exception("pass failed", records=len(claimed))
                store_fault(own_fault(error))
                if len(claimed) == 1:
                    self.summary.failed += 1


def _notify_others(entity_type: str) -> None:
    """Notify another worker if the board still has due jobs."""
    if has_due_rows(entity_type):
        notify.notify_board(entity_type)


def _grant_pass(board_lease: Lease, granted: Grant) -> PassGrant | Wait:
    """Look for the items of unanswered creates, then return the permission for the next pass, or why it waits."""
    entity_type = board_lease.link.entity_type
    stop_reason = "" if granted.hold_seconds else confirm_creates(board_lease)
    if not stop_reason:
        # Read after the search, because its calls have used quota and may have changed the batch size.
        return LimitFacts().next_pass(entity_type)
    current = grant(entity_type)
    return current if isinstance(current, Wait) else Wait(BlockedKind.BLOCKED, stop_reason)


def _claim_batch(
    board_lease: Lease, granted: Grant, pass_grant: PassGrant, *, reads_all: bool
) -> tuple[list[Claim], bool]:
    """Claim the records of the next pass; return also whether they are the probe of stopped writes.

    While writes are stopped, only records that may have something for NPD are claimed, with `reads_all` all.
    """
    only_pulls = bool(granted.hold_seconds) and not reads_all
    if only_pulls and (probe := _claim_probe(board_lease, only_urgent=pass_grant.only_urgent)):
        return probe, True
    return claim(board_lease, pass_grant.size, only_urgent=pass_grant.only_urgent, only_pulls=only_pulls), False


def _claim_probe(board_lease: Lease, *, only_urgent: bool) -> list[Claim]:
    """While writes are stopped, claim the job whose write is the next probe, if it is due and on this board."""
    # First look for the items of unanswered creates, because one of these may be the probe.
    if not write_stop.is_probe_due() or confirm_creates(board_lease, stops.WRITES_STOPPED):
        return []
    job = write_stop.next_probe(only_urgent=only_urgent)
    if job is None:
        return []
    if job.entity_type != board_lease.link.entity_type:
        # The other board's worker sends the probe, so make its job due.
        SyncQueue.objects.filter(pk=job.pk, next_retry__gt=SyncNow()).update(next_retry=SyncNow())
        notify.notify_board(job.entity_type)
        return []
    if not write_stop.begin_probe():
        return []
    # So that the next claim tries other records first.
    board_lease.was_isolated = True
    return claim_job(board_lease, job)


def remaining_lines() -> list[str]:
    """Return lines about the remaining jobs, by type and state: pending with the reason, in progress, failed."""
    lines = []
    for spec in registry.entities():
        jobs = SyncQueue.objects.filter(entity_type=spec.entity_type).aggregate(
            pending=models.Count("id", filter=models.Q(status=QueueStatus.PENDING)),
            working=models.Count("id", filter=models.Q(status=QueueStatus.IN_PROGRESS)),
            failed=models.Count("id", filter=models.Q(status=QueueStatus.FAILED)),
            soonest=models.Min("next_retry", filter=models.Q(status=QueueStatus.PENDING)),
        )
        counts = {state: registry.count_of_type(jobs[state], spec.entity_type) for state in jobs if state != "soonest"}
        if jobs["pending"]:
            lines.append(f"{counts['pending']} pending. {_waiting_reason(spec.entity_type, jobs['soonest'])}")
        if jobs["working"]:
            lines.append(f"{counts['working']} in progress in another worker.")
        if jobs["failed"]:
            lines.append(f"{counts['failed']} failed: retry in the admin's queue.")
    return lines


def _waiting_reason(entity_type: str, soonest: datetime) -> str:
    """Return why jobs of this type still wait."""
    if reason := availability.of(entity_type).detail:
        return reason
    # Records with an unanswered call wait for its deadline.
    calls = Intent.objects.filter(entity_type=entity_type, state=IntentState.OPEN, deadline__gt=SyncNow())
    if until := calls.aggregate(models.Max("deadline"))["deadline__max"]:
        at = humanize.due_time(until, sync_now())
        return f"The outcome of a call to Monday is not known; it is looked for at {at}."
    if soonest <= (now := sync_now()):
        return "They are due now."
    return f"The next one is due at {humanize.due_time(soonest, now)}."


class PoolWatch:
    """Notices a pool that takes no task though jobs are due.

    That happens after a kill of a pool process that held the pool's queue lock.
    """

    def __init__(self) -> None:
        self.begun_before = 0  # the tasks that had begun by the last check
        self.idle_since = 0.0

    def is_stuck(self, begun: int, running: int, waiting: int, now: float) -> bool:
        """Whether, for two minutes, no task ran or began though some were waiting and a board's jobs are overdue.

        `begun` counts the tasks that the pool has begun so far, `running` those that haven't ended, `waiting` those
        that the worker has received. If none is waiting, as when beat is down, the pool is merely idle.
        """
        if begun != self.begun_before or running or not waiting or not self.idle_since:
            self.begun_before = begun
            self.idle_since = now
            return False
        seconds = settings.READY_MAX_DUE_SECONDS
        return now - self.idle_since >= seconds and bool(availability.overdue_boards(seconds))
