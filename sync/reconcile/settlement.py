"""What a pass did becomes NPD's truth: records, sync state, jobs and status in one transaction under the lease."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pghistory
import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, OperationalError, connection, transaction

from sync.choices import UNCERTAIN_CAUSES, LedgerDirection, QueueDirection, QueueStatus, RecordSyncStatus, SyncStatus
from sync.clock import SyncNow
from sync.connectors.base.board_items import Item
from sync.connectors.base.conversion import AmbiguousSplit, UnknownValue
from sync.kernel.conflict_store import KIND_DELETE, KIND_LOST_UPDATE, KIND_UNDO, current_store
from sync.kernel.db import retry_on_lock_timeout
from sync.merge import Action, FieldDirection
from sync.models import Decision, Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, WebhookEvent
from sync.models.state import fold_alike
from sync.outbox import finish
from sync.reconcile.batch import Batch, Outcome, RecordSync, count_pass, end_jobs
from sync.reconcile.board_filter import leave_after_write
from sync.reconcile.conflict_reports import conflict_reports, fields_in_conflict, history_rows, undecided_fields
from sync.reconcile.facts import HistoryLine
from sync.reconcile.field_plan import AS_SENT, FieldPlan, new_base, way_of, with_kept_different
from sync.reconcile.field_values import ACTIVE, still_holds, update_values
from sync.reconcile.identity import settle_identity
from sync.reconcile.lost_updates import lost_update_conflict, store_lost_updates
from sync.reconcile.removed_items import apply_removed_item, finish_deleted, note_unlinked, store_deletion_approvals
from sync.reconcile.resolutions import reopened_lost_updates, undo_context
from sync.reconcile.restraints import (
    enqueue_paused,
    finish_approvals,
    has_local_writes,
    store_write_loops,
    unpaused_records,
)
from sync.reconcile.sides import enqueue_pointing, settle_claimed, settle_unlink, store_awaited
from sync.records.blocked_fields import KEPT_BY, SIDE_NPD, SIDES, is_blocking
from sync.records.tombstones import enqueue_tombstones, set_late_item


def values_of_pull(field_plan: FieldPlan) -> dict[str, Any]:
    """Return NPD's values before and after it took over Monday's."""
    return {"raw_before": dict(field_plan.local_raw), "raw_after": dict(field_plan.write_raw or {})}


def values_of_push(field_plan: FieldPlan) -> dict[str, Any]:
    """Return what NPD would hold had Monday's value stood, and what it holds; nothing where that can't be told.

    Where Monday showed what was last agreed, NPD's own spelling of that counts; else what Monday showed, which is
    also what a rule that lets NPD win has overridden.
    """
    convert, base, remote_raw = field_plan.convert, field_plan.base, field_plan.remote_raw
    if remote_raw is None:
        return {}
    try:
        if base and not base.get(AS_SENT) and convert.remote(base["remote"]) == convert.remote(remote_raw):
            before = dict(base["local"])
        else:
            before = dict(convert.to_local(remote_raw, field_plan.local_raw))
    except (AmbiguousSplit, UnknownValue, ValueError):
        return {}
    return {"raw_before": before, "raw_after": dict(field_plan.local_raw)}


# The rows of the sync state of a pass: locked, brought up to date, stored in one statement.


_COLUMNS = (
    *("base", "altered", "blocked_fields", "note", "remote_state", "seen", "removed_since", "removed_passes"),
    *("remote_id", "sync_batch_id", "sync_duration_ms", "api_calls_count", "sync_direction"),
    *("conflicts", "asked_items", "left_out", "error_count", "last_error"),
)

_UPDATE = f"""
    UPDATE sync_metadata AS ledger
    SET {", ".join(f"{name} = seen.{name}" for name in _COLUMNS)}, last_sync_attempt = sync_now()
    FROM jsonb_populate_recordset(NULL::sync_metadata, %s::jsonb) AS seen
    WHERE ledger.id = seen.id
"""  # noqa: S608 - made of the names above


def lock_ledgers(batch: Batch, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' sync state rows in the order of their ids, made where they are missing."""
    rows = SyncMetadata.objects.of(batch.entity_type, ids).select_for_update().order_by("entity_id")
    locked = {row.entity_id: row for row in rows}
    # Nearly all are there, and to INSERT all of them took a quarter of a pass over unchanged records.
    if missing := [key for key in map(str, ids) if key not in locked]:
        made = [SyncMetadata(entity_type=batch.entity_type, entity_id=key, system="monday") for key in missing]
        SyncMetadata.objects.bulk_create(made, ignore_conflicts=True)
        locked = {row.entity_id: row for row in rows.all()}
    return locked


def store_ledgers(rows: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Write what the pass found, by record, in one statement: Django's bulk_update takes 3 ms a row."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, [json.dumps(list(rows.values()), cls=DjangoJSONEncoder)])


def ledger_values(batch: Batch, record_sync: RecordSync, before: SyncMetadata, milliseconds: int) -> dict[str, Any]:
    """Return the record's sync state after this pass, where `before` is what is stored."""
    found, plans, outcome = record_sync.ledger, record_sync.field_plans, record_sync.outcome
    conflicts, asked_items = _ledger_conflicts(record_sync, found.conflicts), found.asked_items
    if record_sync.identity_conflict:
        asked_items = [candidate["id"] for candidate in record_sync.identity_conflict["candidates"]]
    ups = any(p.send_raw is not None for p in plans.values())
    downs = any(p.write_raw is not None for p in plans.values())
    one_way = LedgerDirection.LOCAL_TO_REMOTE if ups else LedgerDirection.REMOTE_TO_LOCAL
    blocked = before.blocked_fields
    # A pass that planned nothing leaves what is blocked, and what a person said of it meanwhile.
    if plans:
        blocked = with_kept_different(record_sync, blocked_fields(record_sync), blocked)
    error_count, last_error = before.error_count, before.last_error
    if outcome is Outcome.FAILED:
        error_count, last_error = error_count + 1, record_sync.detail
    elif outcome is Outcome.SETTLED:
        error_count, last_error = 0, ""
    return {
        "id": before.pk,
        "base": found.base,
        "altered": found.altered,
        "blocked_fields": blocked,
        "note": record_sync.reason,
        "remote_state": found.remote_state,
        "seen": found.seen,
        "removed_since": found.removed_since,
        "removed_passes": found.removed_passes,
        "remote_id": record_sync.record.monday_id,
        "sync_batch_id": batch.id,
        "sync_duration_ms": milliseconds,
        "api_calls_count": batch.calls,
        "sync_direction": LedgerDirection.BIDIRECTIONAL if ups == downs else one_way,
        "conflicts": conflicts,
        "asked_items": asked_items if "identity" in conflicts else [],
        "left_out": found.left_out,
        "error_count": error_count,
        "last_error": last_error,
    }


def blocked_fields(record_sync: RecordSync) -> dict[str, Any]:
    """What this pass has found blocked, and on which side each value is stuck.

    “left out” is a relation that doesn't keep its record from being in sync.
    """
    found = {}
    for key, p in record_sync.field_plans.items():
        if p.blocked_code is not None:
            found[key] = {
                "reason": p.blocked_reason,
                "code": p.blocked_code,
                "side": SIDES.get(p.blocked_code, SIDE_NPD),
                "local": p.local_raw,
                "column": p.mapping.column_id,
                "version": p.mapping.version,
            }
    return found


def _ledger_conflicts(record_sync: RecordSync, before: dict[str, Any]) -> dict[str, Any]:
    if not record_sync.may_sync:
        return {}
    lost_fields = [
        *lost_update_conflict(record_sync).open_fields,
        *(field.key for field in reopened_lost_updates(record_sync)),
    ]
    kinds = {kind: named for kind, named in before.items() if kind != KIND_LOST_UPDATE}
    if record_sync.removed_item is not None:
        # What is open about its values stays as it was; whether it is asked what becomes of the record is known anew.
        kinds.pop(KIND_DELETE, None)
        if record_sync.removed_item.needs_answer:
            kinds[KIND_DELETE] = [record_sync.removed_item.what]
    else:
        if record_sync.field_plans or record_sync.identity_conflict is not None:
            kinds = {}
        fields = [*(conflict.key for conflict in fields_in_conflict(record_sync)), *undecided_fields(record_sync)]
        if fields:
            kinds["fields"] = fields
        if record_sync.identity_conflict:
            kinds["identity"] = [record_sync.identity_conflict["what"]]
    return kinds | ({KIND_LOST_UPDATE: list(dict.fromkeys(lost_fields))} if lost_fields else {})


# What sync_status may say: the first that fits of disabled, conflict, synced, pending.


def write_statuses(batch: Batch, record_syncs: Sequence[RecordSync], ledgers: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    ids = [record_sync.id for record_sync in record_syncs]
    open_states = (QueueStatus.PENDING, QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "causes"))
    failed = {entity_id for entity_id, status, _ in jobs if status == QueueStatus.FAILED}
    pending = {entity_id for entity_id, _, causes in jobs if causes & ~UNCERTAIN_CAUSES}
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = pending | failed | set(intents)
    by_status: dict[RecordSyncStatus, list[UUID]] = {}
    for record_sync in record_syncs:
        # Monday made something else of a value; a field that isn't synced any more has nothing to put right.
        is_altered = any(
            mapping.key in ledgers[record_sync.id]["altered"]
            and way_of(record_sync, mapping) is not FieldDirection.NONE
            for mapping in batch.board.mappings
        )
        status = sync_status(record_sync, ledgers[record_sync.id], record_sync.id in with_open_work or is_altered)
        if record_sync.left_out and record_sync.id in pending and record_sync.record.may_sync:
            # Somebody saved it meanwhile: its next pass decides anew.
            status = RecordSyncStatus.PENDING
        by_status.setdefault(status, []).append(record_sync.id)
    for status, found in by_status.items():
        is_synced = status == RecordSyncStatus.SYNCED
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        batch.records.filter(pk__in=found).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        SyncMetadata.objects.of(batch.entity_type, found).update(sync_status=_LEDGER_STATUS[status], **settled_at)
    if failed:
        SyncMetadata.objects.of(batch.entity_type, [i for i in failed if i]).update(sync_status=SyncStatus.FAILED)


def sync_status(record_sync: RecordSync, ledger: Mapping[str, Any], has_open_work: bool) -> RecordSyncStatus:
    """Return the first that fits; `ledger` is the record's sync state after the pass."""
    if not record_sync.may_sync:
        return RecordSyncStatus.DISABLED
    if ledger["conflicts"]:
        return RecordSyncStatus.CONFLICT
    if has_open_work or any(map(is_blocking, ledger["blocked_fields"].values())) or record_sync.reason:
        return RecordSyncStatus.PENDING
    if record_sync.outcome is not Outcome.SETTLED or not record_sync.record.monday_id:
        return RecordSyncStatus.PENDING
    # A side may be known to have left its half of the base, as by a pull that gave way to a save. A relation that is
    # left out, or a value that a person left in NPD, may differ.
    has_diverged = record_sync.item is not None and any(
        p.decision.action is not Action.NOTHING and key not in ledger["base"]
        for key, p in record_sync.field_plans.items()
        if p.mapping.column_id and not p.is_left_out and KEPT_BY not in ledger["blocked_fields"].get(key, {})
    )
    return RecordSyncStatus.PENDING if has_diverged else RecordSyncStatus.SYNCED


_LEDGER_STATUS = {
    RecordSyncStatus.SYNCED: SyncStatus.COMPLETED,
    RecordSyncStatus.DISABLED: SyncStatus.SKIPPED,
    RecordSyncStatus.CONFLICT: SyncStatus.COMPLETED,
    RecordSyncStatus.PENDING: SyncStatus.PENDING,
}


# How a pass ends its jobs, its intents, its events and the record's failed job.


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def finish_jobs(batch: Batch) -> None:
    """End every record's rows as its outcome says, and what hangs on them."""
    end_jobs(batch, batch.record_syncs)
    enqueue_paused(batch.entity_type, batch.record_syncs)
    settled = [s for s in batch.record_syncs if s.outcome is Outcome.SETTLED]
    for record_sync in batch.record_syncs:
        if record_sync.intent and record_sync.unconfirmed:
            Intent.objects.filter(pk=record_sync.intent.pk).update(item_id=record_sync.item_id, deadline=SyncNow())
        if record_sync.intent and record_sync.written_item:
            found = {}
            for key, field_plan in record_sync.field_plans.items():
                item = record_sync.answers.get(key) or record_sync.written_item
                if field_plan.send_raw is not None and item is not None:
                    with suppress(UnknownValue):
                        found[key] = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
            record_sync.intent.answer = found
    end_intents([s for s in batch.record_syncs if not s.unconfirmed], [s for s in settled if s.field_plans])
    events = [event.pk for s in settled if s.processed or s.item is not None for event in s.events]
    WebhookEvent.objects.filter(pk__in=events, processed_at=None).update(
        processed_at=SyncNow(), outcome=f"processed in pass {batch.id}"
    )
    finish.end_failed(batch.entity_type, {s.id: s.claim.rows[0].id for s in settled if s.field_plans or s.is_deleted})


def end_intents(answered: Sequence[RecordSync], settled: Sequence[RecordSync]) -> None:
    """Store that intents were answered, with the item that each was about; older ones were found out about."""
    done = [(s.intent, s.item_id) for s in answered if s.intent and s.written_item]
    if done:
        columns: list[Any] = [
            [i.pk for i, _ in done],
            [item for _, item in done],
            [i.request_id for i, _ in done],
            [None if i.answer is None else json.dumps(i.answer) for i, _ in done],
        ]
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE_APPLIED, columns)
    for state, is_confirmed in ((IntentState.CONFIRMED, True), (IntentState.VOID, False)):
        older = [i.pk for s in settled for i in s.intents if (i.pk in s.confirmed_intents) is is_confirmed]
        Intent.objects.filter(pk__in=older).update(state=state, settled_at=SyncNow())


# Settle: what a pass did becomes NPD's truth, by compare-and-set, in one transaction under the
# lease.


log = structlog.get_logger(__name__)
# By then Monday has filled in what it computes itself.
RECHECK_SECONDS = 10
_NOT_SHOWN = object()


def settle(batch: Batch, started: float) -> None:
    """Settle every record and end its jobs; raises LeaseLost when another worker has the board.

    Each attempt begins with the records as they were decided, and changes copies of them.
    """
    context = {"cause": "sync", "batch": str(batch.id)} | undo_context(batch.record_syncs)

    def attempt() -> list[RecordSync]:
        with pghistory.context(**context), batch.lease.transaction():
            settled = _settle_all(batch, started) if batch.record_syncs else []
            count_pass(replace(batch, record_syncs=settled))
            return settled

    batch.record_syncs = retry_on_lock_timeout(attempt)


def _settle_all(batch: Batch, started: float) -> list[RecordSync]:
    ids, planned = sorted(record_sync.id for record_sync in batch.record_syncs), batch.record_syncs
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [",".join(str(i) for i in ids)])
        # A related record that was deleted meanwhile is this record's failure, and not the commit's.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    locked = {r.pk: r for r in batch.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    ledgers = lock_ledgers(batch, ids)
    store_deletion_approvals(batch)
    settle_claimed(batch, locked)
    copies = [record_sync.copy() for record_sync in planned]
    unpaused_records(batch, [s for s in copies if has_local_writes(s)], QueueDirection.TO_NPD)
    settled = [_settled(batch, s, locked.get(s.id), before) for s, before in zip(copies, planned, strict=True)]
    batch = replace(batch, record_syncs=settled)
    for record_sync in settled:
        # Of a record that was deleted while its item was made, the tombstone learns the item.
        if record_sync.id not in locked and record_sync.written_item is not None:
            set_late_item(batch.entity_type, record_sync.id, record_sync.written_item.id)
    present = [s for s in settled if s.id in locked]
    finish_approvals(batch, present)
    store_lost_updates(batch, present)
    store_write_loops(batch, present)
    current_store().save_reports([report for record_sync in present for report in conflict_reports(record_sync)])
    existing = [s for s in present if not s.is_deleted]
    finish_deleted(batch, [s for s in present if s.is_deleted])
    gone_before = [s for s in existing if ledgers[str(s.id)].remote_state not in ("", ACTIVE)]
    returned = [s.id for s in gone_before if s.ledger.remote_state == ACTIVE]
    # What points at a record that gets no item waits no more.
    left_out = [s.id for s in existing if s.left_out and not s.record.monday_id and not ledgers[str(s.id)].left_out]
    milliseconds = int((time.monotonic() - started) * 1000)
    found = {s.id: ledger_values(batch, s, ledgers[str(s.id)], milliseconds) for s in existing}
    store_ledgers(found)
    store_awaited(batch, existing)
    enqueue_pointing(batch, [*returned, *left_out])
    if linked_items := [s.link_to for s in existing if s.link_to]:
        enqueue_tombstones(batch.entity_type, linked_items)
    finish_jobs(batch)
    Decision.objects.bulk_create(fold_alike(history_rows(batch, present)))
    write_statuses(batch, existing, found)
    return settled


def _settled(batch: Batch, record_sync: RecordSync, record: SyncedModel | None, as_planned: RecordSync) -> RecordSync:
    """Write one record, in a savepoint of its own: what NPD refuses here is this record's failure alone."""
    before = record_sync.record
    if record is None:
        return record_sync
    if (record.sync_enabled, record.sync_direction) != (before.sync_enabled, before.sync_direction):
        record_sync.drop(Outcome.RELEASED, "Its settings changed while it was synced.")
        return record_sync
    try:
        _write_record(record_sync, record, batch.read_at)
        leave_after_write(batch, record_sync, record)
    except OperationalError:
        raise
    except DatabaseError as error:
        log.warning("record not written", record=str(record_sync.id), error=type(error).__name__)
        record_sync = as_planned.copy()
        why = str(error).strip().splitlines()[0]
        record_sync.drop(Outcome.FAILED, f"NPD's database rejected what came from Monday: {why}")
    return record_sync


def _write_record(record_sync: RecordSync, record: SyncedModel, read_at: datetime | None) -> None:
    found = settled_fields(record_sync, record, read_at)
    values = _apply_fields(record_sync, found)
    values |= settle_unlink(record_sync) | apply_removed_item(record_sync, record)
    note_unlinked(record_sync)
    settle_identity(record_sync)
    if record_sync.link_to and record.monday_id != record_sync.link_to:
        values["monday_id"] = record_sync.link_to
    if values:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**values)
        for name, value in values.items():
            setattr(record, name, value)
    record_sync.record = record


def _apply_fields(record_sync: RecordSync, found: FieldsSettlement) -> dict[str, Any]:
    """Take what becomes of the fields over, and return the columns to write."""
    record_sync.ledger.base, record_sync.ledger.altered = found.base, found.altered
    for line in found.lines:
        record_sync.log_decision(line.kind, line.sentence, line.key, **line.values)
    record_sync.carried_out |= found.results
    if found.overtaken:
        record_sync.overtaken = True
        record_sync.enqueue()
    record_sync.unconfirmed = record_sync.unconfirmed or found.keeps_intent
    if found.recheck and record_sync.outcome is Outcome.SETTLED:
        record_sync.wait_seconds = RECHECK_SECONDS
        record_sync.end(Outcome.DEFERRED, found.recheck)
    return dict(found.values)


@dataclass(frozen=True)
class FieldSettlement:
    """What becomes of one field: computed first, from its plan and the record as it is locked, and then written.

    `values` are written to the record. `base` is the new pair (None leaves it, an empty one takes it away); `altered`
    why Monday keeps another value than was sent (None leaves what was said, an empty text ends it). `moved` is its line
    in the history: kind, how, before, after. `result` is the value that a person's decision led to. `overtaken`: the
    record was saved meanwhile, so a job of its own goes on. `recheck` is why both sides are soon read again;
    `keeps_intent`: the intent stays open until then.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    base: Mapping[str, Any] | None = None
    altered: str | None = None
    moved: tuple[str, str, str, str] | None = None
    resolved: bool = False
    result: str = ""
    overtaken: bool = False
    recheck: str = ""
    keeps_intent: bool = False


_NOT_TOLD = FieldSettlement(recheck="Monday's answer didn't show what was written.", keeps_intent=True)
"""Base and intent stay, and the next pass finds out what stands there."""

_OVERTAKEN = FieldSettlement(overtaken=True)


def settled_field(  # noqa: PLR0911 - a table
    field_plan: FieldPlan, record: SyncedModel, read: Item | None, written: Item | None, *, creates: bool = False
) -> FieldSettlement:
    """Return what becomes of a field: `record` is what NPD holds now, `written` the item as the answer showed it.

    `read` is the item before; `creates` says that the call made it.
    """
    item = written or read
    if item is None or field_plan.blocked_reason or field_plan.conflict or not field_plan.mapping.column_id:
        # A blocked field or one in conflict keeps its base, as the intents left it.
        return FieldSettlement(base=field_plan.base if read is not None else None)
    action = field_plan.decision.action
    sent = field_plan.send_raw is not None and written is not None
    if field_plan.resolves is not None and field_plan.resolved_kind == KIND_UNDO:
        inverse = field_plan.resolves.inverse[field_plan.mapping.key]
        return _settle_undo(field_plan, inverse["before"]["base"], record, item, sent=sent)
    if action is Action.PUSH and sent:
        return _settle_push(field_plan, item, creates=creates)
    if action is Action.PULL or (action is Action.BOTH and sent):
        return _settle_pull(field_plan, record, item, sent=sent)
    if action is Action.AGREED:
        return _settle_agreed(field_plan, item, creates=creates)
    if action is Action.NOTHING and field_plan.base is not None:
        confirmed = field_plan.confirmed_entry is not None
        result = field_plan.display_local(field_plan.local_raw) if confirmed else ""
        return FieldSettlement(base=field_plan.base, resolved=confirmed, result=result)
    return FieldSettlement()


def _settle_undo(
    field_plan: FieldPlan, base: Mapping[str, Any] | None, record: SyncedModel, item: Item, *, sent: bool
) -> FieldSettlement:
    """Undo how the field was settled, only where both sides still are as they were when that was planned.

    The base is the one of before the resolution, against which both sides have moved apart.
    """
    if field_plan.send_raw is not None and not sent:
        return FieldSettlement()
    if field_plan.send_raw is not None and _answered_value(field_plan, item) is _NOT_SHOWN:
        return _NOT_TOLD
    if field_plan.write_raw is not None and not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    values = update_values(type(record), field_plan.write_raw) if field_plan.write_raw is not None else {}
    return FieldSettlement(values, base=base or {}, altered="", resolved=True)


def _settle_push(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    convert, answered = field_plan.convert, _answered_value(field_plan, item)
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    sent, stored = convert.local(field_plan.send_raw or {}), convert.remote(answered)
    # Users saw creates drop relations without an error: it is sent once more, as a change of its own.
    if creates and convert.names_items and sent and not stored:
        return FieldSettlement(recheck="Monday made the item without its connected items.")
    before = convert.display(convert.remote(field_plan.remote_raw)) if field_plan.remote_raw is not None else ""
    shown, altered = convert.display(sent), ""
    if sent != stored:
        altered = f"Monday made “{convert.display(stored)}” of “{shown}”. Change it on either side."
    base = new_base(field_plan.mapping, item.id, field_plan.send_raw, answered)
    moved = ("push", "sent to Monday", before, shown)
    return FieldSettlement(base=base, altered=altered, moved=moved, resolved=True, result=shown)


def _settle_pull(field_plan: FieldPlan, record: SyncedModel, item: Item, *, sent: bool) -> FieldSettlement:
    """Write a value only where the record still holds the one that the merge saw; else a row waits."""
    if field_plan.write_raw is None:
        return FieldSettlement()
    if not still_holds(record, field_plan.local_raw):
        return _OVERTAKEN
    answered = _answered_value(field_plan, item) if sent else field_plan.remote_raw
    if answered is _NOT_SHOWN:
        return _NOT_TOLD
    before, after = field_plan.display_local(field_plan.local_raw), field_plan.display_local(field_plan.write_raw)
    values = update_values(type(record), field_plan.write_raw)
    base = new_base(field_plan.mapping, item.id, field_plan.write_raw, answered)
    moved = ("pull", "written on both sides" if sent else "updated from Monday", before, after)
    return FieldSettlement(values, base=base, altered="", moved=moved, resolved=True, result=after)


def _settle_agreed(field_plan: FieldPlan, item: Item, *, creates: bool) -> FieldSettlement:
    """Both sides stay as they are; of a new item's empty fields the answer tells whether Monday left them so."""
    remote_raw = field_plan.remote_raw
    if creates:
        remote_raw = _answered_value(field_plan, item)
        if remote_raw is _NOT_SHOWN:
            return _NOT_TOLD
        if field_plan.convert.remote(remote_raw) != field_plan.convert.local(field_plan.local_raw):
            return FieldSettlement(recheck="Monday filled in a value of its own.")
    return FieldSettlement(base=new_base(field_plan.mapping, item.id, field_plan.local_raw, remote_raw), altered="")


def _answered_value(field_plan: FieldPlan, item: Item) -> Any:
    """The raw value that Monday's answer shows, or _NOT_SHOWN where it doesn't."""
    try:
        raw = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
        field_plan.convert.remote(raw)
    except UnknownValue:
        return _NOT_SHOWN
    return raw


@dataclass(frozen=True)
class FieldsSettlement:
    """What becomes of all fields of a record: the columns to write, both halves of the sync state, the history.

    `results` are the values to which a person's decisions led, by the conflict's kind and the field; the rest is as
    FieldSettlement has it.
    """

    values: Mapping[str, Any]
    base: dict[str, Any]
    altered: dict[str, Any]
    lines: tuple[HistoryLine, ...]
    results: Mapping[tuple[str, str], str | None]
    overtaken: bool
    recheck: str
    keeps_intent: bool


def settled_fields(record_sync: RecordSync, record: SyncedModel, read_at: datetime | None) -> FieldsSettlement:
    """Return what becomes of the record's fields, of which `record` is what NPD holds now."""
    plans, ledger = record_sync.field_plans, record_sync.ledger
    base, altered, found = dict(ledger.base), dict(ledger.altered), dict[str, FieldSettlement]()
    for key, plan in plans.items():
        written = record_sync.answers.get(key) or record_sync.written_item
        one = found[key] = settled_field(plan, record, record_sync.item, written, creates=record_sync.creates)
        if one.base and one.base != base.get(key):
            # By its time a page tells whether what a pass read is older than what it then wrote.
            base[key] = {**one.base, **({"at": read_at.isoformat()} if read_at else {})}
        elif one.base is not None and not one.base:
            base.pop(key, None)
        if one.altered is not None:
            altered.pop(key, None)
            altered |= {key: {"reason": one.altered}} if one.altered else {}
    return FieldsSettlement(
        values={name: value for one in found.values() for name, value in one.values.items()},
        base=base,
        altered=altered,
        # What a person chose stands in the history of its conflict already.
        lines=tuple(_moved_line(plans[k], one) for k, one in found.items() if one.moved and not plans[k].resolves),
        results={
            (plans[k].resolved_kind, k): one.result or None
            for k, one in found.items()
            if one.resolved and plans[k].resolves
        },
        overtaken=any(one.overtaken for one in found.values()),
        recheck=next((one.recheck for one in found.values() if one.recheck), ""),
        keeps_intent=any(one.keeps_intent for one in found.values()),
    )


def _moved_line(plan: FieldPlan, found: FieldSettlement) -> HistoryLine:
    assert found.moved is not None
    kind, how, before, after = found.moved
    was = f" (was “{before}”)" if before else ""
    sentence = f"{plan.mapping.label} “{after}”{was} {how}: {plan.decision.reason}."
    values = {"before": before, "after": after, "overridden": plan.decision.overrides}
    raws = values_of_pull(plan) if kind == "pull" else values_of_push(plan)
    return HistoryLine(kind, sentence, plan.mapping.key, values=values | raws)
