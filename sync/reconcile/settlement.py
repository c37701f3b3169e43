"""What a pass did becomes NPD's truth: records, sync state, jobs and status in one transaction under the lease."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import ProtectedError, Q, RestrictedError

from sync import registry
from sync.choices import (
    UNCERTAIN_CAUSES,
    ApprovalKind,
    ApprovalState,
    Cause,
    LedgerDirection,
    Operation,
    Priority,
    QueueDirection,
    QueueStatus,
    RecordSyncStatus,
    SyncStatus,
    TombstoneState,
)
from sync.clock import SyncNow, sync_now
from sync.connectors.base.conversion import UnknownValue
from sync.kernel.conflict_store import KIND_IDENTITY, RECORD_KEY, current_store
from sync.kernel.counters import PASSES, RECORDS_PROCESSED, Increment, Latency, increment, observe_latency
from sync.kernel.triggers import BOOKKEEPING
from sync.models import (
    ApprovalRequest,
    AwaitedRelation,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
    WebhookEvent,
    WriteLoop,
)
from sync.outbox import finish
from sync.outbox.pauses import locked_pauses, pause_sentence
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.board_filter import left_after_write
from sync.reconcile.conflict_reports import conflict_reports
from sync.reconcile.facts import HistoryLine
from sync.reconcile.field_values import ACTIVE
from sync.reconcile.identity import wants_new_item
from sync.reconcile.lost_updates import lost_lines, seen_after
from sync.reconcile.pass_plan import Job, Outcome, PassFacts, Plan, RecordAction, RecordPlan
from sync.reconcile.queries import deletion_obstacles
from sync.reconcile.removed_items import deleted, new_deletion_requests, note_unlinked, recreated
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import ended_requests, has_local_writes, new_clear_requests
from sync.reconcile.settle_rest import PassRun, end_intents, end_jobs, enqueue_paused
from sync.reconcile.settled_fields import (
    LEDGER_STATUS,
    FieldsSettlement,
    awaited_relations,
    settled_fields,
    state_after,
    sync_status,
)
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.records.item_links import exclude_match, ignore_item
from sync.records.tombstones import enqueue_tombstones, set_late_item
from sync.records.unmatched_items import clear_unmatched
from sync.registry import relation_of, target_of

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


def lock_ledgers(entity_type: str, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' sync state rows in the order of their ids, made where they are missing."""
    rows = SyncMetadata.objects.of(entity_type, ids).select_for_update().order_by("entity_id")
    locked = {row.entity_id: row for row in rows}
    # Nearly all are there, and to INSERT all of them took a quarter of a pass over unchanged records.
    if missing := [key for key in map(str, ids) if key not in locked]:
        made = [SyncMetadata(entity_type=entity_type, entity_id=key, system="monday") for key in missing]
        SyncMetadata.objects.bulk_create(made, ignore_conflicts=True)
        locked = {row.entity_id: row for row in rows.all()}
    return locked


def store_ledgers(rows: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Write what the pass found, by record, in one statement: Django's bulk_update takes 3 ms a row."""
    if rows:
        with connection.cursor() as cursor:
            cursor.execute(_UPDATE, [json.dumps(list(rows.values()), cls=DjangoJSONEncoder)])


def _ledger_row(run: PassRun, plan: RecordPlan, before: SyncMetadata, milliseconds: int) -> dict[str, Any]:
    """Return the record's sync state after this pass, with what the pass itself took."""
    ups = any(p.send_raw is not None for p in plan.plans.values())
    downs = any(p.write_raw is not None for p in plan.plans.values())
    one_way = LedgerDirection.LOCAL_TO_REMOTE if ups else LedgerDirection.REMOTE_TO_LOCAL
    return state_after(plan, before) | {
        "id": before.pk,
        "sync_batch_id": run.this.id,
        "sync_duration_ms": milliseconds,
        "api_calls_count": run.calls,
        "sync_direction": LedgerDirection.BIDIRECTIONAL if ups == downs else one_way,
    }


# What sync_status says from now on.


def write_statuses(run: PassRun, plans: Sequence[RecordPlan], ledgers: Mapping[UUID, Mapping[str, Any]]) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    ids = [plan.id for plan in plans]
    open_states = (QueueStatus.PENDING, QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "causes"))
    failed = {entity_id for entity_id, status, _ in jobs if status == QueueStatus.FAILED}
    pending = {entity_id for entity_id, _, causes in jobs if causes & ~UNCERTAIN_CAUSES}
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = pending | failed | set(intents)
    by_status: dict[RecordSyncStatus, list[UUID]] = {}
    for plan in plans:
        status = sync_status(run.board, plan, ledgers[plan.id], has_open_work=plan.id in with_open_work)
        if plan.left_out and plan.id in pending and plan.record.may_sync:
            # Somebody saved it meanwhile: its next pass decides anew.
            status = RecordSyncStatus.PENDING
        by_status.setdefault(status, []).append(plan.id)
    for status, found in by_status.items():
        is_synced = status == RecordSyncStatus.SYNCED
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=found).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        SyncMetadata.objects.of(run.entity_type, found).update(sync_status=LEDGER_STATUS[status], **settled_at)
    if failed:
        SyncMetadata.objects.of(run.entity_type, [i for i in failed if i]).update(sync_status=SyncStatus.FAILED)


# How a pass ends its jobs, its intents, its events and the record's failed job.


def finish_jobs(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """End every record's rows as its outcome says, and what hangs on them."""
    # A record says by itself what became of it.
    said = [replace(p.ending, detail="") if p.is_settled else p.ending for p in plans]
    end_jobs(run, [Job(plan.facts.claim, how) for plan, how in zip(plans, said, strict=True)])
    enqueue_paused(run.entity_type, plans)
    settled = [plan for plan in plans if plan.is_settled]
    for plan in plans:
        if plan.intent and plan.keeps_intent:
            Intent.objects.filter(pk=plan.intent.pk).update(item_id=plan.item_id, deadline=SyncNow())
        if plan.intent and plan.written_item:
            plan.intent.answer = _shown_values(plan)
    end_intents([p for p in plans if not p.keeps_intent], [p for p in settled if p.plans])
    events = [e.pk for p in settled if p.ending.processed or p.item is not None for e in p.facts.events]
    WebhookEvent.objects.filter(pk__in=events, processed_at=None).update(
        processed_at=SyncNow(), outcome=f"processed in pass {run.this.id}"
    )
    finish.end_failed(run.entity_type, {p.id: p.facts.claim.rows[0].id for p in settled if p.plans or p.is_deleted})


def _shown_values(plan: RecordPlan) -> dict[str, Any]:
    """What the answer shows of the values that were sent."""
    found = {}
    for key, field_plan in plan.plans.items():
        item = plan.written(key)
        if field_plan.send_raw is not None and item is not None:
            with suppress(UnknownValue):
                found[key] = field_plan.convert.stored_value(item.reading(field_plan.mapping.column_id))
    return found


# Settle: what a pass did becomes NPD's truth, by compare-and-set, in one transaction under the
# lease.


log = structlog.get_logger(__name__)
# By then Monday has filled in what it computes itself.
RECHECK_SECONDS = 10


def settle(run: PassRun, facts: PassFacts, plan: Plan) -> Plan:
    """Settle every record and end its jobs; raises LeaseLost when another worker has the board."""

    def attempt() -> list[RecordPlan]:
        settled = _settle_all(run, facts, plan) if plan.records else []
        _count_pass(run, plan.with_records(settled))
        return settled

    return plan.with_records(run.in_transaction(attempt, **undo_context(plan.records.values())))


def _settle_all(run: PassRun, facts: PassFacts, plan: Plan) -> list[RecordPlan]:
    planned, ids = list(plan.records.values()), sorted(plan.records)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [",".join(str(i) for i in ids)])
        # A related record that was deleted meanwhile is this record's failure, and not the commit's.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    locked = {r.pk: r for r in run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    ledgers = lock_ledgers(run.entity_type, ids)
    _store_deletion_approvals(run, plan)
    _settle_claimed(run, facts.claimed.known_items, [one for one in planned if one.id in locked])
    planned = _unpaused(run, planned)
    settled = [_settled(run, one, locked.get(one.id)) for one in planned]
    for one in settled:
        # Of a record that was deleted while its item was made, the tombstone learns the item.
        if one.id not in locked and one.written_item is not None:
            set_late_item(run.entity_type, one.id, one.written_item.id)
    present = [one for one in settled if one.id in locked]
    present = _finish_approvals(run, plan.with_records(present), present)
    present = [
        one.logged(*lost_lines(one)).with_state(seen=seen_after(one, facts.settings, run.read_at)) for one in present
    ]
    _store_write_loops(run, present)
    current_store().save_reports([report for one in present for report in conflict_reports(one)])
    existing = [one for one in present if not one.is_deleted]
    _finish_deleted(run.entity_type, [one for one in present if one.is_deleted])
    gone_before = [one for one in existing if ledgers[str(one.id)].remote_state not in ("", ACTIVE)]
    returned = [one.id for one in gone_before if one.ledger.remote_state == ACTIVE]
    # What points at a record that gets no item waits no more.
    left_out = [p.id for p in existing if p.left_out and not p.record.monday_id and not ledgers[str(p.id)].left_out]
    milliseconds = int((time.monotonic() - run.started) * 1000)
    found = {one.id: _ledger_row(run, one, ledgers[str(one.id)], milliseconds) for one in existing}
    store_ledgers(found)
    _store_awaited(run, existing)
    _enqueue_pointing(run, [*returned, *left_out])
    if linked_items := [one.link_to for one in existing if one.link_to]:
        enqueue_tombstones(run.entity_type, linked_items)
    finish_jobs(run, [one for one in settled if one.id not in locked] + present)
    run.store_history(present)
    write_statuses(run, existing, found)
    return [one for one in settled if one.id not in locked] + present


def _unpaused(run: PassRun, plans: Sequence[RecordPlan]) -> list[RecordPlan]:
    """Release what would write to NPD where that was paused since the pass began: `pause` waits for our end."""
    writing = {plan.id for plan in plans if has_local_writes(plan)}
    found_pause = locked_pauses(run.entity_type).get(QueueDirection.TO_NPD) if writing else None
    if found_pause is None:
        return list(plans)
    why = pause_sentence(found_pause, QueueDirection.TO_NPD)
    return [plan.drop(Outcome.RELEASED, why) if plan.id in writing else plan for plan in plans]


def _settled(run: PassRun, planned: RecordPlan, record: SyncedModel | None) -> RecordPlan:
    """Write one record, in a savepoint of its own: what NPD refuses here is this record's failure alone."""
    before = planned.record
    if record is None:
        return planned
    if (record.sync_enabled, record.sync_direction) != (before.sync_enabled, before.sync_direction):
        return planned.drop(Outcome.RELEASED, "Its settings changed while it was synced.")
    try:
        return left_after_write(run.board, _write_record(planned, record, run.read_at))
    except OperationalError:
        raise
    except DatabaseError as error:
        log.warning("record not written", record=str(planned.id), error=type(error).__name__)
        why = str(error).strip().splitlines()[0]
        return planned.drop(Outcome.FAILED, f"NPD's database rejected what came from Monday: {why}")


def _write_record(plan: RecordPlan, record: SyncedModel, read_at: datetime) -> RecordPlan:
    found = settled_fields(plan, record, read_at)
    plan = _with_settled_fields(plan, found)
    values = dict(found.values)
    if plan.unlink and plan.is_settled and plan.record.monday_id:
        values |= {"monday_id": None, "sync_enabled": False}
        plan = _unlinked(plan, plan.record.monday_id)
    plan, more = _with_removed_item(plan, record)
    values |= more
    plan = note_unlinked(plan)
    _remember_excluded(plan)
    if plan.link_to and record.monday_id != plan.link_to:
        values["monday_id"] = plan.link_to
    if values:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**values)
        for name, value in values.items():
            setattr(record, name, value)
    return plan.with_facts(record=record)


def _with_settled_fields(plan: RecordPlan, found: FieldsSettlement) -> RecordPlan:
    """Take over what becomes of the fields."""
    plan = replace(plan.with_state(base=found.base, altered=found.altered).logged(*found.lines), settled=found)
    if found.overtaken:
        _enqueue(plan)
    if found.recheck and plan.is_settled:
        return plan.end(Outcome.DEFERRED, found.recheck, wait_seconds=RECHECK_SECONDS)
    return plan


def _enqueue(plan: RecordPlan, cause: Cause = Cause.DEPENDENCY, priority: Priority = Priority.EDIT) -> None:
    """Let a pass of its own follow."""
    enqueue_many(plan.record.entity_type(), [plan.id], cause=cause, priority=priority)


def _unlinked(plan: RecordPlan, item_id: str) -> RecordPlan:
    """Remember the item of a record that lets go of it."""
    assert plan.unlink is not None
    why = plan.unlink.why
    ignore_item(plan.record.entity_type(), item_id, plan.id, f"Unlinked from “{plan.record}”: {why}.")
    sentence = (
        f"Unlinked from its item: {why}. Its sync is off; both sides keep what they have. "
        "“Link again” on the record's page undoes it."
    )
    return plan.logged(HistoryLine("unlinked", sentence, actor=plan.unlink.actor)).with_state(remote_state="")


def _with_removed_item(plan: RecordPlan, record: SyncedModel) -> tuple[RecordPlan, dict[str, Any]]:
    """Do what was decided about a record whose item is gone, under the record's lock, with what is to be written."""
    removal = plan.removal
    if removal is None or not removal.act or not plan.is_settled:
        return plan, {}
    # Anything of it, mapped or not, may differ from what the pass read.
    names = [f.attname for f in record._meta.concrete_fields if f.attname not in BOOKKEEPING]
    is_edited = any(getattr(record, name) != getattr(plan.record, name) for name in names)
    is_linked_anew = record.monday_id != plan.record.monday_id
    if is_linked_anew or (removal.act is RecordAction.DELETE and is_edited):
        return replace(plan, removal=None).drop(Outcome.RELEASED, "It changed while it was synced."), {}
    if removal.act is RecordAction.CREATE:
        _enqueue(plan, *((Cause.PERSON, Priority.PERSON) if removal.chosen else ()))
        return recreated(plan, removal), {"monday_id": None}
    if removal.act is RecordAction.DELETE:
        return deleted(plan, removal, _delete(record)), {}
    return plan, {}


def _delete(record: SyncedModel) -> str:
    """Delete the record in NPD; return why it can't be deleted, in words."""
    if needed := deletion_obstacles(record)[0]:
        return needed
    try:
        with transaction.atomic():
            copy(record).delete()
    except OperationalError:
        raise
    except (ProtectedError, RestrictedError, DatabaseError) as error:
        return f"NPD's database rejected it: {str(error).splitlines()[0]}"
    return ""


def _remember_excluded(plan: RecordPlan) -> None:
    """Remember which items a person said are not the record's, once its own item is made."""
    if plan.identity.needs_pass:
        _enqueue(plan)
    if not wants_new_item(plan.facts):
        return
    own = plan.link_to or plan.record.monday_id
    # Where a pass after the answer found the item that a lost call had made, only the question names the others.
    answered = [c for c in plan.facts.conflicts if c.kind == KIND_IDENTITY and RECORD_KEY in c.resolutions]
    for item_id in plan.identity.excluded_items or [c.monday_item_id for c in answered]:
        if own and item_id and item_id != own:
            why = f"A person said that it is not the item of “{plan.record}”."
            exclude_match(plan.record.entity_type(), item_id, plan.id, why)


# What the settle transaction writes for all records together.


def _settle_claimed(run: PassRun, known_items: Sequence[str], present: Sequence[RecordPlan]) -> None:
    """No item of theirs is unmatched, and none of them is deleted."""
    if known_items:
        # Its webhook may have come while it was being linked.
        clear_unmatched(run.entity_type, known_items)
    # A record that was made again under the id of a deleted one: its tombstone sends nothing any more.
    created = [p.id for p in present if any(row.operation != Operation.UPDATE for row in p.facts.claim.rows)]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=run.entity_type, entity_id__in=created)
        tombstones.exclude(state=TombstoneState.RESTORED).update(
            state=TombstoneState.RESTORED, settled_at=SyncNow(), note="The record is there again.", reason_code=""
        )


def _store_deletion_approvals(run: PassRun, plan: Plan) -> None:
    """Count the deletions before they are carried out, and end the requests that are over."""
    ApprovalRequest.objects.bulk_create(new_deletion_requests(run.link, plan))
    removed = [(one.id, one.removal) for one in plan.records.values() if one.removal]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type, kind=ApprovalKind.RECORDS)
    if rejected := [entity_id for entity_id, one in removed if one.was_rejected]:
        kept = requests.filter(state=ApprovalState.REJECTED, entity_id__in=rejected)
        kept.update(state=ApprovalState.KEPT, at=SyncNow())
    if asked := [entity_id for entity_id, one in removed if one.approval == ApprovalState.RELEASED]:
        # A pass found that it wants none of this kind any more.
        ended = requests.filter(entity_id__in=asked, state__in=OPEN_REQUEST_STATES)
        ended.update(state=ApprovalState.RELEASED, at=SyncNow())


def _finish_approvals(run: PassRun, plan: Plan, present: Sequence[RecordPlan]) -> list[RecordPlan]:
    """Store what waits; acts that were carried out, or whose cause is gone, are over."""
    clears, by_id = plan.clears, {one.id: one for one in present}
    if clears is None:
        return list(present)
    if clears.released:
        outdated = ApprovalRequest.objects.filter(pk__in=[act.pk for act in clears.released])
        outdated.filter(state__in=OPEN_REQUEST_STATES).update(state=ApprovalState.RELEASED, at=SyncNow())
    ApprovalRequest.objects.bulk_create(new_clear_requests(run.link, plan, ApprovalState.PENDING))
    finished: dict[ApprovalState, list[ApprovalRequest]] = {}
    for act, state, one in ended_requests(plan):
        if one.id not in by_id:
            continue
        finished.setdefault(state, []).append(act)
        if state is ApprovalState.RELEASED:
            line = HistoryLine("approval", f"Nothing waits for approval any more: {act.label}.", act.key)
            by_id[one.id] = by_id[one.id].logged(line)
    for state, acts in finished.items():
        # Only those that nobody decided meanwhile: the next pass ends the others.
        remaining = ApprovalRequest.objects.filter(
            pk__in=[act.pk for act in acts], state__in={act.state for act in acts}
        )
        remaining.update(state=state, at=SyncNow())
    return list(by_id.values())


def _store_write_loops(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Store what was counted, forget what is over, and come back when a pause ends."""
    loops = [(plan.id, loop) for plan in plans if plan.is_settled for loop in plan.loops.values()]
    over = [Q(entity_id=entity_id, key=loop.key) for entity_id, loop in loops if loop.has_ended]
    if over:
        WriteLoop.objects.filter(reduce(or_, over), entity_type=run.entity_type).delete()
    rows = [
        WriteLoop(
            entity_type=run.entity_type,
            entity_id=entity_id,
            key=loop.key,
            times=list(loop.times),
            by=loop.by,
            throttle_count=loop.throttle_count,
            throttled_until=loop.throttled_until,
        )
        for entity_id, loop in loops
        if not loop.has_ended
    ]
    WriteLoop.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttle_count", "throttled_until"],
    )
    waits: dict[float, list[UUID]] = {}
    for row in rows:
        if row.throttled_until is not None:
            wait = max((row.throttled_until - run.read_at).total_seconds(), 0) + 1
            waits.setdefault(wait, []).append(row.entity_id)
    for wait, ids in waits.items():
        enqueue_many(
            run.entity_type,
            list(dict.fromkeys(ids)),
            cause=Cause.SWEEP,
            priority=Priority.SWEEP,
            direction=QueueDirection.TO_NPD,
            due_in_seconds=wait,
        )


def _finish_deleted(entity_type: str, plans: Sequence[RecordPlan]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    ids = [plan.id for plan in plans]
    for plan in plans:
        assert plan.removal is not None
        Tombstone.objects.filter(entity_type=entity_type, entity_id=plan.id).update(
            state=TombstoneState.NOTHING_LEFT, note=plan.removal.result, reason_code="", settled_at=SyncNow()
        )
    AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for plan in plans for intent in plan.facts.intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())


# Relations: who waits for whom.
#
# Only the relation waits for a record that has no item yet, or for an item or a name that is no
# record yet, never its record: the field is blocked with its reason, and the triggers of the other
# table enqueue the record (sync/kernel/triggers.py).


AWAIT_RETRY_SECONDS = 60
"""What a relation waits for may come while the pass that says so isn't committed: it is looked for once more."""

# Lower case by the database's rules, by which the triggers compare.
_UPSERT_AWAITED = """
    INSERT INTO sync_awaited_relations (id, entity_type, entity_id, key, target_type, target)
    SELECT gen_random_uuid(), %s, entity_id, key, target_type, lower(target)
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS told (entity_id, key, target_type, target)
    ORDER BY entity_id, key
    ON CONFLICT (entity_type, entity_id, key) DO UPDATE
    SET target_type = excluded.target_type, target = excluded.target
    WHERE (sync_awaited_relations.target_type, sync_awaited_relations.target)
        IS DISTINCT FROM (excluded.target_type, excluded.target)
    RETURNING entity_id
"""


def _store_awaited(run: PassRun, plans: Sequence[RecordPlan]) -> None:
    """Write down which relations wait for a record; the others wait no more."""
    planned = {plan.id: plan.plans for plan in plans if plan.plans}
    if not run.board.relations or not planned:
        return
    waiting = awaited_relations(run.board, planned)
    current = {(entity_id, key) for entity_id, key, _, _ in waiting}
    known = AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=list(planned))
    outdated = [row.pk for row in known if (row.entity_id, row.key) not in current]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    if not waiting:
        return
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_UPSERT_AWAITED, [run.entity_type, *columns])
        new = sorted({row[0] for row in cursor.fetchall()})
    enqueue_many(
        run.entity_type,
        new,
        cause=Cause.DEPENDENCY,
        priority=Priority.SWEEP,
        direction=QueueDirection.TO_NPD,
        due_in_seconds=AWAIT_RETRY_SECONDS,
    )


def _enqueue_pointing(run: PassRun, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        for mapping in spec.mappings:
            field = relation_of(spec.model, mapping.fields)
            if field is not None and target_of(field) is run.board.model:
                pointing = spec.model._default_manager.filter(**{f"{field.name}__in": ids})
                pks = sorted(pointing.values_list("pk", flat=True))
                enqueue_many(spec.entity_type, pks, cause=Cause.DEPENDENCY, priority=Priority.SWEEP)


# What a pass did, in numbers: for whoever ran it, and for the counts behind `/metrics`.


WAITING_OUTCOMES = (Outcome.RELEASED, Outcome.DEFERRED, Outcome.PAUSED)


@dataclass(frozen=True)
class PassResult:
    """How many records a pass settled, how many failed, how many wait again."""

    completed: int = 0
    failed: int = 0
    waiting: int = 0


def pass_result(plan: Plan) -> PassResult:
    """Count the records and items of a pass by how their jobs end."""
    outcomes = [one.outcome for one in plan.records.values()] + [item.outcome for item in plan.items]
    outcomes += [one.ending.outcome for one in plan.deleted.values()]
    outcomes += [job.ending.outcome for job in plan.other_jobs]
    return PassResult(
        completed=outcomes.count(Outcome.SETTLED),
        failed=outcomes.count(Outcome.FAILED),
        waiting=sum(outcome in WAITING_OUTCOMES for outcome in outcomes),
    )


def _count_pass(run: PassRun, plan: Plan) -> None:
    """Add the pass to the installation's counts; part of the transaction that settles it."""
    board, result = run.entity_type, pass_result(plan)
    counts = {"completed": result.completed, "failed": result.failed, "waiting": result.waiting}
    increment([Increment(PASSES, board), *(Increment(RECORDS_PROCESSED, board, how, n) for how, n in counts.items())])
    deliveries = list(_deliveries(plan.records.values()))
    now = sync_now() if deliveries else None
    latencies = [Latency(direction, (now - since).total_seconds()) for direction, since in deliveries if now]
    observe_latency(board, latencies)


def _deliveries(plans: Iterable[RecordPlan]) -> Iterator[tuple[QueueDirection, datetime]]:
    """What this pass carried over which way, and since when each change had been on its way.

    A save that was written into a row that waited already counts from that row's first save: for so long the other
    side has lacked something. What a sweep found, or a person asked for, has no such beginning and isn't counted.
    """
    saves = {
        plan.id: [
            row.id
            for row in plan.facts.claim.rows
            if row.direction == QueueDirection.TO_MONDAY and row.causes & Cause.SAVE
        ]
        for plan in plans
        if plan.written_item is not None
    }
    # In one query: claims don't read it, and asked for row by row it would be one each.
    ids = [row_id for of_record in saves.values() for row_id in of_record]
    created = dict(SyncQueue.objects.filter(id__in=ids).values_list("id", "created_at")) if ids else {}
    for plan in plans:
        if plan.outcome not in (Outcome.SETTLED, Outcome.PAUSED):
            continue
        if saved := [created[row_id] for row_id in saves.get(plan.id, ()) if row_id in created]:
            yield QueueDirection.TO_MONDAY, min(saved)
        if plan.facts.events and any(line.kind == "pull" for line in plan.log):
            yield QueueDirection.TO_NPD, min(event.received_at for event in plan.facts.events)
