"""Creating many records on a board by Monday's bulk imports: start, run to the end, recover after a crash."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import IntegrityError, connection
from django.db.models import Q

from sync import connectors
from sync.boards.board_listing import item_pages
from sync.choices import Cause, Priority
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import BatchItems, ImportJobState, ImportStatus, Item
from sync.connectors.base.conversion import UnknownValue
from sync.connectors.base.errors import ConnectorError, Scope, UnreadableAnswer, UploadRejected
from sync.kernel.db import retry_on_lock_timeout
from sync.limits import metered_client
from sync.models import Backfill, BackfillState, Intent, IntentState
from sync.operations.backfill.deferral import (
    POLL_INTERVALS,
    RETRYABLE_SCOPES,
    DeferredJobs,
    Delay,
    LeaseFactory,
    WaitCallback,
    delay_after_error,
    hourly_limit_delay,
    is_job_older,
    lease_board,
    next_poll_seconds,
    pause_delay,
    record_heartbeat,
    remaining_delay,
    seconds_from_now,
    shared_delay,
)
from sync.operations.backfill.estimate import ROWS_PER_JOB, BackfillError, BackfillEstimate
from sync.operations.backfill.file_rows import build_file, commit_rows, id_chunks, open_intents, void_rows
from sync.outbox import notify
from sync.outbox.claim import claim_records
from sync.outbox.lease import Lease, LeaseLost
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile import settlement
from sync.reconcile.batch import Batch, Outcome, RecordSync, end_jobs
from sync.reconcile.field_plan import new_base, plan
from sync.reconcile.field_values import BoardContext
from sync.reconcile.mutations import INTENT_SECONDS
from sync.reconcile.settlement import settle
from sync.reconcile.sides import as_uuid, load, load_related, npd_id_of
from sync.reconcile.unconfirmed_writes import link_created
from sync.registry import link_of

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


# The steps of one bulk import up to each item's link with its record, each safe to repeat after a crash.


# As many as a pass has: a save of one of them waits for the transaction's end.
RECORDS_PER_SETTLE = 100

_SET_ITEM_IDS = """
    UPDATE sync_intents AS intent SET item_id = told.item_id
    FROM unnest(%s::uuid[], %s::text[]) AS told (id, item_id)
    WHERE intent.id = told.id AND intent.item_id = '' AND intent.state <> 'open'
"""


def link_items(backfill: Backfill, board: BoardContext, take_lease: LeaseFactory) -> int:
    """Page through the board, link the new items, return how many rows have one. Raises ConnectorError."""
    for items in item_pages(board.link, board.columns, board.types):
        named: dict[UUID, Item] = {}
        for item in items:
            if npd_id := as_uuid(npd_id_of(board, item) or ""):
                named.setdefault(npd_id, item)
        unsettled = Intent.objects.filter(backfill=backfill, state=IntentState.OPEN, item_id="", entity_id__in=named)
        for ids in id_chunks(unsettled.values_list("entity_id", flat=True), RECORDS_PER_SETTLE):
            with take_lease() as lease:
                _link_chunk(lease, backfill, BoardContext.load(lease.link), {one: named[one] for one in ids})
        record_heartbeat(backfill)
    return Intent.objects.filter(backfill=backfill).filter(~Q(item_id="") | Q(state=IntentState.CONFIRMED)).count()


def _link_chunk(lease: Lease, backfill: Backfill, board: BoardContext, items: Mapping[UUID, Item]) -> None:
    lease.renew()
    started = time.monotonic()
    rows = Intent.objects.filter(backfill=backfill, state=IntentState.OPEN, item_id="", entity_id__in=list(items))
    intents = {intent.entity_id: intent for intent in rows}
    batch = Batch(lease, board, uuid.uuid4())
    load(batch, claim_records(lease, list(intents)))
    for record_sync in batch.record_syncs:
        record_sync.item = items[record_sync.id]
    load_related(batch, BatchItems())
    # As a pass would over the record and its new item; what needs a call is left to a real pass.
    for record_sync in batch.record_syncs:
        item = items[record_sync.id]
        record_sync.link_to = item.id
        record_sync.ledger.remote_state = item.state
        plan(batch, record_sync, item)
        record_sync.log_decision("create", f"Made the item “{item.name}” on the board, in bulk.")
    unchanged = [s for s in batch.record_syncs if s.claim.rows and _is_unchanged(s, items[s.id])]
    changed = [s for s in batch.record_syncs if s not in unchanged]
    missing_ids = [entity_id for entity_id in intents if entity_id not in {s.id for s in batch.record_syncs}]
    if changed or missing_ids:
        # Every item with a row's NPD ID was made from that row: none existed, or could exist, before.
        is_ours = "submitted" in backfill.counts and not backfill.counts.get("skipped")
        retry_on_lock_timeout(lambda: _link_and_requeue(batch, changed, missing_ids, intents, items, is_ours=is_ours))
    batch.record_syncs = unchanged
    for record_sync in unchanged:
        record_sync.end(Outcome.SETTLED, "Put on the board in bulk.", reason="")
    settle(batch, started)
    with connection.cursor() as cursor:
        ids, item_ids = [intent.pk for intent in intents.values()], [items[entity_id].id for entity_id in intents]
        cursor.execute(_SET_ITEM_IDS, [ids, item_ids])


def _is_unchanged(record_sync: RecordSync, item: Item) -> bool:
    """Whether both sides equal what was sent, so that no pass is needed."""
    field_plans = record_sync.field_plans.values()
    has_changes = any(p.send_raw is not None or p.write_raw is not None or p.conflict for p in field_plans)
    is_linkable = record_sync.record.may_sync and record_sync.record.monday_id in (None, item.id)
    return is_linkable and not (has_changes or record_sync.write_npd_id or record_sync.conflicts or record_sync.events)


def _link_and_requeue(
    batch: Batch,
    changed: Sequence[RecordSync],
    missing_ids: Sequence[UUID],
    intents: Mapping[UUID, Intent],
    items: Mapping[UUID, Item],
    *,
    is_ours: bool,
) -> None:
    """Link the records that differ and enqueue their passes; tombstones of deleted records get their item."""
    lease, board = batch.lease, batch.board
    item_ids = [items[one].id for one in [*missing_ids, *(s.id for s in changed)]]
    owners = dict(board.model._default_manager.filter(monday_id__in=item_ids).values_list("monday_id", "pk"))
    with lease.transaction():
        for record_sync in changed:
            link_created(board, intents[record_sync.id], items[record_sync.id], owners.get(items[record_sync.id].id))
            if is_ours:
                _store_base(batch, record_sync, intents[record_sync.id], items[record_sync.id])
            record_sync.end(Outcome.RELEASED, "Linked in bulk; its values differ.")
        end_jobs(batch, changed)
        for entity_id in missing_ids:
            link_created(board, intents[entity_id], items[entity_id], owners.get(items[entity_id].id))
        enqueue_many(
            board.link.entity_type,
            [record_sync.id for record_sync in changed],
            cause=Cause.DEPENDENCY,
            priority=Priority.BACKFILL,
        )


def _store_base(batch: Batch, record_sync: RecordSync, intent: Intent, item: Item) -> None:
    # The row as sent is the base of the next pass, whatever the item shows by now. A field that is empty on
    # the item gets none: a cell that the import left out is no edit of a person's, and is sent again.
    base = {}
    for mapping in batch.board.mappings:
        entry = intent.values.get(mapping.key)
        if entry and mapping.is_current(entry):
            convert = batch.board.converter(mapping, record_sync.record)
            sent = convert.sent_as_stored(entry["sent"])
            try:
                same = convert.remote(sent) == convert.local(entry["local"])
                empty = convert.remote(convert.stored_value(item.reading(mapping.column_id))) is None
            except UnknownValue:
                continue
            if same and not empty:
                base[mapping.key] = new_base(mapping, item.id, entry["local"], sent)
    row = settlement.lock_ledgers(batch, [record_sync.id])[str(record_sync.id)]
    row.base = row.base | base
    row.save(update_fields=["base"])


# The steps of one bulk import, each safe to repeat after a crash at any point.
#
# started ── job and file sent ──▶ uploaded ── Monday is done ──▶ listed ── items linked ──▶ done
#
# What isn't known after a crash is found out and never guessed: the start call is repeated under its own
# idempotency key (Monday replays its answer for 30 minutes), and while a file may have arrived no other job
# is started. A job that got no file within the ten minutes of its address can never get one.


MAX_UPLOADS = 3
JOB_FORGOTTEN_AFTER = timedelta(hours=1)
JOB_TIMEOUT = timedelta(hours=24)


def advance(backfill: Backfill, take_lease: LeaseFactory) -> Delay | None:
    """Do the next step; None when the one after it can follow. Raises ConnectorError for what no wait fixes."""
    record_heartbeat(backfill)
    backfill.refresh_from_db()
    steps = {BackfillState.STARTED: _start_import, BackfillState.UPLOADED: _poll_job, BackfillState.LISTED: _link_step}
    try:
        if delay := remaining_delay(backfill) or shared_delay(backfill_board(backfill).link):
            return delay
        return steps[BackfillState(backfill.state)](backfill, take_lease)
    except ConnectorError as error:
        if error.scope not in RETRYABLE_SCOPES:
            raise
        log.warning("backfill waits", board=backfill.entity_type, reason=error.sentence)
        return _defer(backfill, delay_after_error(error))
    except LeaseLost as lost:
        return Delay(1, str(lost))


def _defer(backfill: Backfill, delay: Delay) -> Delay:
    """Store the delay: whoever resumes waits too, and until then no worker releases the lease for it."""
    Backfill.objects.filter(pk=backfill.pk).update(look_at=seconds_from_now(delay.seconds))
    return delay


def _start_import(backfill: Backfill, take_lease: LeaseFactory) -> Delay | None:
    if backfill.put_at is not None:
        return _poll_job(backfill, take_lease)  # whether the file arrived isn't known
    if delay := hourly_limit_delay(backfill):
        return _defer(backfill, delay)
    with take_lease() as lease:
        backfill.refresh_from_db()
        if backfill.state != BackfillState.STARTED or backfill.put_at is not None:
            return None
        content, rows = build_file(backfill, BoardContext.load(lease.link))
        if not rows:
            finish_backfill(backfill, BackfillState.DONE, "There was nothing left to send.")
            return None
        return _upload_file(lease, backfill, content, rows)


def _upload_file(lease: Lease, backfill: Backfill, content: bytes, rows: int) -> Delay | None:
    # The start and the file are each stored as announced before they are sent.
    try:
        url = _start_job(lease, backfill, rows)
    except ConnectorError as error:
        # No file can have arrived: after a final error the records are created by passes.
        if error.scope is Scope.LIMIT:
            _update(backfill, key="")  # or Monday would replay the error
        if error.scope in RETRYABLE_SCOPES:
            raise
        log.warning("import rejected", board=backfill.entity_type, reason=error.sentence)
        fail_backfill(backfill, f"Monday started no import. {error.sentence}")
        return None
    with lease.transaction():
        if delay := pause_delay(lease.link):
            return delay
        _update(backfill, put_at=SyncNow())
    lease.renew(connectors.get().upload_timeout + settings.MONDAY_SETTLE_SECONDS)
    committed_at = time.monotonic()
    try:
        if time.monotonic() - committed_at > INTENT_SECONDS:
            raise LeaseLost("This process was suspended before it sent the file; nothing was sent.")
        connectors.get().upload_import(url, content)
    except UploadRejected as error:
        if backfill.tries + 1 >= MAX_UPLOADS:
            fail_backfill(backfill, f"Monday's file store took no file. {error.sentence}")
            return None
        _update(backfill, put_at=None, key="", tries=backfill.tries + 1)
        return _defer(backfill, Delay(POLL_INTERVALS[0], error.sentence))
    except ConnectorError as error:  # of the file store: no reason to stop other workers
        if not error.outcome_unknown:
            _update(backfill, put_at=None)
        return _defer(backfill, Delay(POLL_INTERVALS[0], error.sentence))
    _update(backfill, state=BackfillState.UPLOADED, polls=0, look_at=seconds_from_now(POLL_INTERVALS[0]), tries=0)
    return None


def _start_job(lease: Lease, backfill: Backfill, rows: int) -> str:
    """Start the job, or have Monday replay its answer; return the file's address, which is stored nowhere."""
    now = sync_now()
    age = (now - backfill.job_at).total_seconds() if backfill.job_at else connectors.get().import_address_seconds
    # An address that could expire while the file is on its way is not used.
    if not backfill.key or age > connectors.get().import_address_seconds - 2 * connectors.get().upload_timeout:
        backfill.key, backfill.job_at = uuid.uuid4().hex, now
    with lease.transaction():
        _update(backfill, key=backfill.key, job_at=backfill.job_at, job_id="", rows=rows)
    lease.renew(settings.MONDAY_TIMEOUT_SECONDS + settings.MONDAY_SETTLE_SECONDS)
    connector = metered_client.connector(lease.link.system)
    job = connector.start_import(lease.link.board_id, backfill.group_id, lease.link.npd_id_column, backfill.key)
    _update(backfill, job_id=job.job_id)
    log.info("import started", board=backfill.entity_type, job=job.job_id, rows=rows)
    return job.upload_url


def _poll_job(backfill: Backfill, take_lease: LeaseFactory) -> Delay | None:
    """Ask how far the job is."""
    try:
        status = metered_client.connector().import_status(backfill.job_id)
    except ConnectorError as error:
        return _handle_poll_error(backfill, error)
    if status.state.is_finished:
        return _finish_job(backfill, status)
    if status.state is ImportJobState.UPLOAD_PENDING and backfill.state == BackfillState.STARTED:
        # While its address lives the file may be on its way; after that the job can never get one.
        life = timedelta(seconds=connectors.get().import_address_seconds + settings.MONDAY_SETTLE_SECONDS)
        if is_job_older(backfill, life):
            _update(backfill, put_at=None, key="", job_id="", look_at=None)
            return None
        assert backfill.job_at is not None
        _update(backfill, look_at=min(backfill.job_at + life, sync_now() + timedelta(seconds=POLL_INTERVALS[-1])))
        return None
    if is_job_older(backfill, JOB_TIMEOUT):
        _mark_listed(backfill, problem="Monday didn't finish the import within a day.")
        return None
    seconds = next_poll_seconds(backfill)
    counts = {**backfill.counts, "progress": status.progress}
    _update(
        backfill,
        state=BackfillState.UPLOADED,
        polls=backfill.polls + 1,
        look_at=seconds_from_now(seconds),
        counts=counts,
    )
    return None


def _handle_poll_error(backfill: Backfill, error: ConnectorError) -> Delay | None:
    # A job that Monday no longer knows is over, and the board's listing tells the rest.
    is_about_job = error.scope in (Scope.RECORD, Scope.FIELD, Scope.DOCUMENT) or isinstance(error, UnreadableAnswer)
    is_transient = error.scope in RETRYABLE_SCOPES or not is_job_older(backfill, JOB_TIMEOUT)
    if is_transient and not is_about_job:
        raise error
    if not is_job_older(backfill, JOB_FORGOTTEN_AFTER):
        _update(backfill, look_at=seconds_from_now(POLL_INTERVALS[-1]))
        return None
    _mark_listed(backfill, problem=error.sentence)
    return None


def _finish_job(backfill: Backfill, status: ImportStatus) -> Delay | None:
    """Store Monday's report of the finished job, and the reason for each row that it didn't take."""
    counts: dict[str, Any] = dict(status.counts)
    problem = status.reason
    if status.state is ImportJobState.REJECTED:
        _update(backfill, counts=counts)
        fail_backfill(backfill, f"Monday rejected the import: {problem or 'no reason was given'}.")
        return None
    if status.report_url:
        link = backfill_board(backfill).link
        reasons = connectors.get(link.system).import_report(status.report_url, link.npd_id_column)
        rejected = [intent for intent in open_intents(backfill) if str(intent.entity_id) in reasons]
        for intent in rejected:
            intent.answer = {"reason": reasons[str(intent.entity_id)][:500]}
        Intent.objects.bulk_update(rejected, ["answer"], batch_size=500)
    _mark_listed(backfill, counts=counts, problem=problem)
    return None


def _mark_listed(backfill: Backfill, **values: Any) -> None:
    _update(backfill, state=BackfillState.LISTED, polls=0, look_at=None, **values)


def _link_step(backfill: Backfill, take_lease: LeaseFactory) -> Delay | None:
    linked = link_items(backfill, backfill_board(backfill), take_lease)
    # Listings may be stale: where the job says that it made more items than they show, they are read again.
    counts = backfill.counts
    expected = counts.get("created", 0) + counts.get("skipped", 0) if "submitted" in counts else backfill.rows
    if not backfill.polls and linked < expected and open_intents(backfill):
        _update(backfill, polls=1, look_at=seconds_from_now(settings.MONDAY_SETTLE_SECONDS))
        return None
    with take_lease() as lease, lease.transaction():
        void_rows([intent.pk for intent in open_intents(backfill)])
        counts = {key: n for key, n in counts.items() if key != "progress"} | {"linked": linked}
        finish_backfill(backfill, BackfillState.DONE, backfill.problem, counts)
    return None


def fail_backfill(backfill: Backfill, problem: str) -> None:
    """Mark that no job will carry these rows out: their records are created by passes."""
    void_rows([intent.pk for intent in open_intents(backfill)])
    finish_backfill(backfill, BackfillState.FAILED, problem)


def finish_backfill(
    backfill: Backfill, state: BackfillState, problem: str, counts: dict[str, Any] | None = None
) -> None:
    """End the backfill in this state."""
    _update(backfill, state=state, problem=problem, finished_at=SyncNow(), counts=counts or backfill.counts)
    log.info("backfill over", board=backfill.entity_type, state=state, problem=problem)


def backfill_board(backfill: Backfill) -> BoardContext:
    """Return the board of the backfill's type; raises BackfillError where it isn't the one it began for."""
    link = link_of(backfill.entity_type)
    if link is None or backfill.board_id not in ("", link.board_id):
        raise BackfillError(
            f"The backfill was begun for the board {backfill.board_id}, which {backfill.entity_type} records are no "
            "longer synced with. Set that board again, then resume."
        )
    return BoardContext.load(link)


def _update(backfill: Backfill, **values: Any) -> None:
    # Only while the backfill is as it was read: another process may have taken it up.
    updated = Backfill.objects.filter(pk=backfill.pk, state=backfill.state).update(**values, seen_at=SyncNow())
    if not updated:
        raise LeaseLost("Another process has taken this backfill up.")
    backfill.refresh_from_db()
