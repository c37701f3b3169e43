"""The worker: takes each board's lease and reconciles its due jobs, batch by batch.

`work` runs for a limited time. `drain` runs until no job is due; `remaining_lines` says why the other jobs wait.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import models
from structlog.contextvars import bound_contextvars

from sync import registry
from sync.boards import availability
from sync.choices import QueueStatus
from sync.clock import SyncNow, sync_now
from sync.kernel import grouped, humanize, process
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import breaker, probes
from sync.limits.api_quota import Wait, WaitKind
from sync.limits.board_limits import BoardAvailability, LimitFacts, probed_availability
from sync.limits.metered_client import urgent_calls
from sync.models import BoardLease, BoardLink, Intent, IntentState, SyncQueue
from sync.models.boards_and_account import ALL_WRITES
from sync.outbox import finish, wakeups
from sync.outbox.claim import Claim, Lease, LeaseLost, acquire, claim, claim_job, has_due_or_claimed_jobs
from sync.reconcile.outcomes import Outcome
from sync.reconcile.run import reconcile
from sync.reconcile.unanswered_creates import confirm_creates
from sync.words.message import Message

log = structlog.get_logger(__name__)

# Between two attempts to take a board's lease.
LEASE_WAIT_SECONDS = 0.2

# Between two lines of progress.
PROGRESS_SECONDS = 5.0

NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class WorkSummary:
    """The counts of the worker's runs, in records."""

    checked: int = 0
    completed: int = 0
    failed: int = 0

    def add(self, *, checked: int, completed: int, failed: int) -> None:
        self.checked += checked
        self.completed += completed
        self.failed += failed

    def __str__(self) -> str:
        return f"{self.checked:,} checked: {self.completed:,} done, {self.failed:,} failed."


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
    """Return the type, or all: first the board whose last pass is longest ago, because a limit may admit only one."""
    if entity_type is not None:
        return [entity_type]
    last_passes = dict(BoardLink.objects.values_list("entity_type", "last_pass_at"))
    types = [spec.entity_type for spec in registry.entities()]
    return sorted(types, key=lambda name: last_passes.get(name) or NEVER)


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
    known = 0  # the largest number of jobs so far, because passes enqueue others
    types = _types(entity_type)
    while True:
        summary = work(entity_type, seconds=progress_seconds if say else None, wait_for_lease=True)
        total.add(checked=summary.checked, completed=summary.completed, failed=summary.failed)
        if process.is_shutting_down():
            return total
        overview = availability.Overview()
        due = sum(overview.number_due(overview.displayed_by_type[name]) for name in types)
        if not (summary.checked and due):
            # Due jobs that could not be claimed, and that no other worker has, can't be claimed next time either.
            with_jobs = [name for name in types if availability.of(name).is_available and has_due_or_claimed_jobs(name)]
            leases = BoardLease.objects.filter(link__entity_type__in=with_jobs, token__isnull=False)
            if not leases.filter(expires__gt=SyncNow()).exists():
                return total
        if say:
            known = max(known, total.checked + due)
            say(f"{total.checked:,} of at least {known:,} checked …")


class _Run:
    """One call of `work`."""

    def __init__(self, until: float, *, wait_for_lease: bool) -> None:
        self.summary = WorkSummary()
        self.until = until
        self.wait_for_lease = wait_for_lease

    def work_board(self, entity_type: str) -> None:
        """Work the board's due jobs if the board is available."""
        if process.is_shutting_down():
            _wake_others(entity_type)
            return
        if not has_due_or_claimed_jobs(entity_type):
            return
        while True:
            board = probed_availability(entity_type)
            # A running set-up needs the board's lease, and enqueues what it changes.
            if not board.is_available or board.link is None or board.link.is_being_set_up:
                self._wake_after_wait(board)
                return
            board_lease = acquire(board.link)
            if board_lease is not None:
                break
            if not self.wait_for_lease or time.monotonic() >= self.until:
                return
            if process.wait_or_shutdown(LEASE_WAIT_SECONDS):
                return
        may_have_more = True
        try:
            with board_lease:
                may_have_more = self._work_batches(board_lease, board)
        except LeaseLost as lost:
            log.warning("board lost", board=entity_type, reason=str(lost))
        # After the release, because a worker that is woken while the board is leased ends at once. A shutdown may
        # also have begun during the last pass.
        if may_have_more or process.is_shutting_down():
            _wake_others(entity_type)

    def _wake_after_wait(self, board: BoardAvailability) -> None:
        """Wake a worker for the board after a short wait, for the next minute's quota or to batch changes.

        A run that has checked no record leaves this to the sweep: else each save while the board waits sends another.
        """
        if self.summary.checked and board.reason_code is WaitKind.BATCHING and board.until:
            wakeups.wake_board(board.entity_type, max(0.0, (board.until - sync_now()).total_seconds()))

    def _work_batches(self, board_lease: Lease, board: BoardAvailability) -> bool:
        """Reconcile batch after batch; return whether another run may have something to do.

        `board` was read for the first batch; it is read again for each further one.
        """
        entity_type = board_lease.link.entity_type
        # While writes are stopped, jobs of saves are left to be probes, except after a probe that needed no write.
        claims_saves = False
        while not process.is_shutting_down() and time.monotonic() <= self.until:
            # While writes are stopped, `_claim_probe` does this.
            if not board.are_writes_stopped and confirm_creates(board_lease):
                # No more calls may be made.
                self._wake_after_wait(probed_availability(entity_type))
                return False
            # After `confirm_creates`, because its calls have used quota and may have changed the batch size.
            limit_facts = LimitFacts()
            pass_grant = limit_facts.grant_pass(entity_type)
            if isinstance(pass_grant, Wait):
                self._wake_after_wait(limit_facts.availability(entity_type))
                return False
            with urgent_calls() if pass_grant.urgent else nullcontext():
                only_urgent = pass_grant.only_urgent
                is_stopped = board.are_writes_stopped
                may_probe = is_stopped and not claims_saves
                probe = _claim_probe(board_lease, only_urgent=only_urgent) if may_probe else []
                claimed = probe or claim(
                    board_lease, pass_grant.size, only_urgent=only_urgent, skip_waiting=is_stopped, skip_saves=may_probe
                )
                if claimed:
                    self._run_pass(board_lease, claimed, 0 if probe else board.writes_wait_seconds)
            # If the probe's record needed no write, others may not either: one pass reads them all.
            claims_saves = bool(probe) and probes.release_probe(ALL_WRITES)
            # A claim of fewer records has usually left nothing. Asking costs a tenth of another round.
            if len(claimed) < pass_grant.size and not (claimed and has_due_or_claimed_jobs(entity_type)):
                # Jobs may have arrived during the pass, and their workers ended at once. If nothing was claimed, the
                # sweep takes the rest.
                return bool(claimed)
            board = probed_availability(entity_type)
            if not board.is_available or (board.link and board.link.is_being_set_up):
                self._wake_after_wait(board)
                return False
        return True

    def _run_pass(self, board_lease: Lease, claimed: list[Claim], writes_wait_seconds: float) -> None:
        """Reconcile the claimed records.

        An error of our own costs a batch no attempt. Its records are claimed one by one next, and then they count.
        """

        @retry_on_lock_timeout
        def store_fault(reason: str) -> None:
            jobs = [job for record_claim in claimed for job in record_claim.jobs]
            with board_lease.transaction():
                if len(claimed) > 1:
                    finish.release(jobs, board_lease.token, reason, at_most=1)
                else:
                    finish.fail_unsettled(jobs, board_lease.token, reason)

        batch_id = uuid4()  # stored as sync_batch_id, and in every log line
        with bound_contextvars(board=board_lease.link.entity_type, batch=str(batch_id)):
            try:
                outcomes = reconcile(board_lease, claimed, batch_id, writes_wait_seconds)
                settled = outcomes[Outcome.DONE]
                self.summary.add(checked=len(claimed), completed=settled, failed=outcomes[Outcome.FAILED])
            except LeaseLost:  # another worker may have the board, so nothing of this pass may be stored
                raise
            except Exception as error:
                log.exception("pass failed", records=len(claimed))
                store_fault(finish.own_fault(error))
                if len(claimed) == 1:
                    self.summary.add(checked=1, completed=0, failed=1)


def _wake_others(entity_type: str) -> None:
    """Wake another worker if the board still has due jobs."""
    if has_due_or_claimed_jobs(entity_type):
        wakeups.wake_board(entity_type)


def _claim_probe(board_lease: Lease, *, only_urgent: bool) -> list[Claim]:
    """While writes are stopped, claim the job whose write is the next probe, if it is due and on this board."""
    if not probes.is_write_probe_due():
        return []
    # First look for the items of unanswered creates, because one of these may be the probe.
    stop_reason = confirm_creates(board_lease, breaker.WRITES_STOPPED)
    if stop_reason:
        return []
    job = probes.next_write_probe(only_urgent=only_urgent)
    if job is None:
        return []
    if job.entity_type != board_lease.link.entity_type:
        # The other board's worker sends the probe, so make its job due.
        SyncQueue.objects.filter(pk=job.pk, next_retry__gt=SyncNow()).update(next_retry=SyncNow())
        wakeups.wake_board(job.entity_type)
        return []
    if not probes.claim_probe(ALL_WRITES):
        return []
    board_lease.was_isolated = job.claim_at_most > 0  # `claim_job` doesn't set it, unlike `claim`
    return claim_job(board_lease, job)


def remaining_lines() -> list[str]:
    """Return lines about the remaining jobs, by type and state: pending with the reason, in progress, failed."""
    lines = []
    overview = availability.Overview()
    for board in overview.boards:
        by_status = grouped(overview.jobs[board.entity_type], lambda count: count.status)
        numbers = {status: sum(count.number for count in job_counts) for status, job_counts in by_status.items()}
        counts = {status: registry.count_of_type(number, board.entity_type) for status, number in numbers.items()}
        if pending := by_status.get(QueueStatus.PENDING):
            soonest = min(count.first for count in pending if count.first)
            due_time = humanize.due_time(soonest, overview.now)
            reason = Message("jobs_due") if soonest <= overview.now else Message("next_job_due_at", at=due_time)
            # Records with an unanswered call wait for its deadline.
            calls = Intent.objects.filter(entity_type=board.entity_type, state=IntentState.OPEN)
            if until := calls.filter(deadline__gt=SyncNow()).aggregate(models.Max("deadline"))["deadline__max"]:
                reason = Message("outcome_searched_at", at=humanize.due_time(until, overview.now))
            lines.append(f"{counts[QueueStatus.PENDING]} pending. {board.detail or reason}")
        if QueueStatus.IN_PROGRESS in by_status:
            lines.append(f"{counts[QueueStatus.IN_PROGRESS]} in progress in another worker.")
        if QueueStatus.FAILED in by_status:
            lines.append(Message("jobs_failed", jobs=counts[QueueStatus.FAILED]))
    return lines
