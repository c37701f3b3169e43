"""The one operation behind every cause: read both sides, merge, announce, write, settle."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

import structlog

from sync.connectors.base.errors import ConnectorError, Scope, TooComplex
from sync.limits import board_costs, breaker
from sync.outbox.claim import Claim
from sync.outbox.lease import Lease
from sync.outbox.pauses import pauses_by_direction
from sync.reconcile.act import create_missing_tags, end_failed_call, send
from sync.reconcile.batch import Batch, Outcome, PassResult, end_jobs, pass_result
from sync.reconcile.board_filter import exclude_items, exclude_records, keep_only_pulls
from sync.reconcile.deleted_records import plan_deleted, prepare_deleted, send_removals, settle_deleted
from sync.reconcile.duplicates import find_duplicates, find_possible_duplicates, split_duplicates
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import gather_items, item_context, related_of_items
from sync.reconcile.identity import apply_identity_choices, identify_records
from sync.reconcile.lost_updates import note_lost_reports, note_lost_updates
from sync.reconcile.new_items import plan_items, settle_items, wants_records
from sync.reconcile.reads import read
from sync.reconcile.restraints import count_clears, defer_paused, request_approvals, throttle_write_loops
from sync.reconcile.settlement import settle
from sync.reconcile.sides import (
    apply_unlinks,
    check_read_columns,
    end_unmatchable,
    is_missing_column_error,
    load,
    load_related,
    plan_fields,
    reread_stale,
    skip_unchanged,
)
from sync.reconcile.unconfirmed_writes import note_create_bases, note_late_writes

log = structlog.get_logger(__name__)


def reconcile(lease: Lease, claims: Sequence[Claim], batch_id: uuid.UUID) -> PassResult:
    """Make both sides of the claimed records equal, or say of each why not; raises LeaseLost.

    `batch_id` names this pass in the sync state, the history and the log.
    """
    started = time.monotonic()
    batch = Batch(lease, BoardContext.load(lease.link), batch_id)
    if load_batch(batch, claims) and read_and_plan(batch):
        send_removals(batch)
        duplicates = find_duplicates(batch)
        count_clears(batch)
        create_missing_tags(batch)
        send(batch)
        split_duplicates(batch, duplicates)
        if all(record_sync.outcome is not Outcome.RELEASED for record_sync in batch.record_syncs):
            breaker.grow_batches()
    for record_sync in batch.record_syncs:
        if record_sync.create_only and record_sync.written_item is not None:
            record_sync.end(Outcome.RELEASED, "Its item was created; the other fields follow.")
        elif record_sync.is_open:
            record_sync.end(Outcome.SETTLED)
    settle_deleted(batch)
    settle(batch, started)
    tally = pass_result(batch)
    log.info(
        "pass done",
        seconds=round(time.monotonic() - started, 3),
        records=len(claims),
        calls=batch.calls,
        completed=tally.completed,
        failed=tally.failed,
        waiting=tally.waiting,
    )
    return tally


def load_batch(batch: Batch, claims: Sequence[Claim]) -> bool:
    """Load what NPD knows of the claimed records, and end those that need no call; return whether any is left."""
    load(batch, claims)
    batch.pauses = pauses_by_direction(batch.entity_type)
    apply_identity_choices(batch)
    prepare_deleted(batch)
    exclude_records(batch)
    note_lost_updates(batch)
    skip_unchanged(batch.board, batch.record_syncs)
    return bool(batch.open_records or batch.unmatched_claims or batch.open_deleted)


def read_and_plan(batch: Batch) -> bool:
    """Read both sides and decide everything; return False where Monday could not be read.

    Whoever only plans (a dry run) takes back what it writes.
    """
    end_unmatchable(batch)
    context = item_context(batch)
    try:
        found = read(batch)
        check_read_columns(batch, found)
        identify_records(batch, found)
        apply_unlinks(batch)
        reread_stale(batch)
        exclude_items(batch)
        batch.item_facts = gather_items(batch, context, found, wants_records)
    except ConnectorError as error:
        _end_unread(batch, error)
        return False
    breaker.reset_board(batch.link)
    note_late_writes(batch)
    note_create_bases(batch)
    load_related(batch, found)
    plan_deleted(batch, found)
    plan_items(batch, replace(context, related=related_of_items(batch, context, wants_records)))
    if not batch.is_preview:
        settle_items(batch)
    find_possible_duplicates(batch)
    planned = [record_sync for record_sync in batch.open_records if not record_sync.unlink_reason]
    plan_fields(batch, planned)
    for record_sync in planned:
        keep_only_pulls(batch, record_sync)
    defer_paused(batch)
    note_lost_reports(batch)
    throttle_write_loops(batch)
    request_approvals(batch)
    return True


def _end_unread(batch: Batch, error: ConnectorError) -> None:
    """Nothing was written: jobs go back with their attempt, one by one where the document was refused.

    Where a column is gone the next pass leaves out what asked for it. A document that was only too complex is no
    record's fault: its jobs go back together where the board's next one is smaller for it (limits/metered_client.py).
    """
    units = [*batch.open_records, *batch.open_deleted, *batch.unmatched_claims]
    explained = is_missing_column_error(batch, error)
    is_rejected = not explained and error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD)
    releases = not is_rejected or len(units) > 1
    shrinks = isinstance(error, TooComplex) and board_costs(batch.link.pk).size < len(units)
    if not explained:
        log.warning("read failed", board=batch.entity_type, scope=str(error.scope), reason=error.sentence)
        if not is_rejected:
            end_failed_call(batch, [*batch.open_records, *batch.open_deleted], error)
            if not batch.stop_reason:
                breaker.trip(batch.link, error)
    for unit in [unit for unit in units if unit.is_open]:
        unit.isolate = is_rejected and releases and not shrinks
        unit.end(Outcome.RELEASED if releases else Outcome.FAILED, error.sentence)

    batch.in_transaction(lambda: end_jobs(batch, batch.unmatched_claims))
