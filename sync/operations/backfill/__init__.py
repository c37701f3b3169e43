"""Creating many records on a board by Monday's bulk imports: start, run to the end, recover after a crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import IntegrityError

from sync.choices import Cause, Priority
from sync.clock import SyncNow
from sync.models import Backfill, BackfillState
from sync.operations.backfill.deferral import DeferredJobs, Delay, WaitCallback, lease_board, record_heartbeat
from sync.operations.backfill.estimate import ROWS_PER_JOB, BackfillError, BackfillEstimate
from sync.operations.backfill.file_rows import commit_rows, id_chunks
from sync.operations.backfill.import_steps import advance, backfill_board, fail_backfill, finish_backfill
from sync.outbox import notify
from sync.outbox.lease import Lease, LeaseLost
from sync.outbox.queue_rows import enqueue_many

ABANDONED_AFTER = timedelta(minutes=3)
"""After so long without a sign of life, the process that ran a backfill counts as dead."""

# Below HEARTBEAT_TIMEOUT: a process that only waits has to show that it lives.
WAIT_STEP_SECONDS = 20.0
FINISHED_STATES = (BackfillState.DONE, BackfillState.FAILED)
log = structlog.get_logger(__name__)
BackfillCallback = Callable[[Backfill], None]


def open_backfill(entity_type: str) -> Backfill | None:
    """Return the type's backfill that is not over, or None."""
    return Backfill.objects.filter(entity_type=entity_type).exclude(state__in=FINISHED_STATES).first()


def is_abandoned(entity_type: str) -> bool:
    """Whether a backfill of this type is open and has had no sign of life for some minutes."""
    found = Backfill.objects.filter(entity_type=entity_type, seen_at__lte=SyncNow() - ABANDONED_AFTER)
    return found.exclude(state__in=FINISHED_STATES).exists()


def run_backfill(
    estimate: BackfillEstimate, *, by: str, wait: WaitCallback, on_progress: BackfillCallback = lambda backfill: None
) -> list[Backfill]:
    """Carry out an estimate: one import after another, the rest by passes. Raises BackfillError, ConnectorError.

    `wait` is called with seconds and the reason, `on_progress` whenever a backfill has got further.
    """
    entity_type = estimate.spec.entity_type
    rest = [*estimate.one_by_one.ids, *estimate.link.ids, *estimate.ambiguous.ids, *estimate.invalid.ids]
    enqueue_many(entity_type, rest, cause=Cause.SWEEP, priority=Priority.BACKFILL)
    backfills: list[Backfill] = []
    with DeferredJobs(entity_type, [*estimate.create.ids, *estimate.recheck_ids]) as deferred_jobs:
        for ids in id_chunks(estimate.create.ids, ROWS_PER_JOB):
            deferred_jobs.release(ids)
            extended_wait = deferred_jobs.wait_and_extend(wait)
            backfill, delay = _start_backfill(estimate, ids, by, extended_wait)
            on_progress(backfill)
            _wait_out(backfill, delay, extended_wait)
            backfills.append(run_remaining_steps(backfill, wait=extended_wait, on_progress=on_progress))
            if backfill.state == BackfillState.FAILED:
                break
    notify.notify_now(entity_type)
    return backfills


def _start_backfill(
    estimate: BackfillEstimate, ids: Sequence[UUID], by: str, wait: WaitCallback
) -> tuple[Backfill, Delay | None]:
    """Commit the rows' intents and start the import under one lease."""
    entity_type = estimate.spec.entity_type
    try:
        backfill = Backfill.objects.create(
            entity_type=entity_type, board_id="", group_id=estimate.room.top_group, started_by=by
        )
    except IntegrityError:
        raise BackfillError(
            f"A backfill of {entity_type} records is open already. If nobody runs it any more, "
            "take it up with `manage.py sync_backfill --resume`."
        ) from None
    link = backfill_board(backfill).link
    Backfill.objects.filter(pk=backfill.pk).update(
        board_id=link.board_id, group_id=link.group_id or estimate.room.top_group
    )
    try:
        with lease_board(link, backfill, wait) as lease:
            if not commit_rows(lease, backfill, ids):
                finish_backfill(backfill, BackfillState.DONE, "None of its records is without an item any more.")
                return backfill, None
            delay = advance(backfill, lambda: nullcontext(lease))
    except LeaseLost as lost:
        raise BackfillError(str(lost)) from lost
    backfill.refresh_from_db()
    return backfill, delay


def run_remaining_steps(
    backfill: Backfill, *, wait: WaitCallback, on_progress: BackfillCallback = lambda backfill: None
) -> Backfill:
    """Do the steps that are left; raises ConnectorError for what no wait fixes: the backfill can be resumed."""
    link = backfill_board(backfill).link
    while backfill.open:
        delay = advance(backfill, lambda: lease_board(link, backfill, wait))
        backfill.refresh_from_db()
        on_progress(backfill)
        _wait_out(backfill, delay, wait)
    return backfill


def _wait_out(backfill: Backfill, delay: Delay | None, wait: WaitCallback) -> None:
    """Wait in pieces, with a sign of life after each."""
    remaining = delay.seconds if delay else 0
    while delay and remaining > 0:
        wait(min(remaining, WAIT_STEP_SECONDS), delay.reason)
        remaining -= WAIT_STEP_SECONDS
        record_heartbeat(backfill)


def recover_abandoned(lease: Lease) -> None:
    """Continue a backfill whose process died, as far as it goes without waiting; raises LeaseLost.

    Called by the board's worker. Each call is a sign of life, so Monday is asked once every few minutes.
    """
    if not is_abandoned(lease.link.entity_type):
        return
    backfill = open_backfill(lease.link.entity_type)
    if backfill is None:
        return
    log.warning("abandoned backfill", board=lease.link.entity_type, state=backfill.state)
    if backfill.state == BackfillState.STARTED and backfill.put_at is None:
        # No file was sent, and the file's address is stored nowhere, so none can be sent any more.
        fail_backfill(backfill, "Its process ended before the import began. Its records are created one by one.")
        return
    delay: Delay | None = None
    try:
        while backfill.open and delay is None:
            delay = advance(backfill, lambda: nullcontext(lease))
            backfill.refresh_from_db()
    except BackfillError as error:
        fail_backfill(backfill, str(error))
