"""Settle, the one writer: what a pass did becomes NPD's truth, in transactions under the lease.

A pass is settled once, by compare-and-set, all of it in one transaction. What a plan rests on may have changed since it
was gathered: it is checked again where it is written, and where it is no longer so the job goes back, for its next pass
to decide anew.

Nothing of a pass writes rows but this package, what act announces, and unanswered_creates.py before it. Here stand the
transaction and the records that are there; beside it the items, answers and deleted records, and what waits.
"""

import json
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import pghistory
import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError, OperationalError, models, transaction

from conflicts.store import save_reports
from sync import choices
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.kernel.db import retry_on_lock_timeout, run_sql
from sync.models import (
    ApprovalRequest,
    AwaitedRelation,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    Tombstone,
)
from sync.outbox import finish, notify
from sync.outbox.pauses import locked_pause
from sync.reconcile import identity, pass_plan, settlement
from sync.reconcile.changes import RecordChanges, record_changes
from sync.reconcile.facts import HistoryLine
from sync.reconcile.gather.owners import deletion_obstacles
from sync.reconcile.lookups import load_board
from sync.reconcile.lost_updates import lost_lines, seen_after
from sync.reconcile.resolutions import undo_context
from sync.reconcile.restraints import ended_requests, has_local_writes
from sync.reconcile.settle import beside_records, pass_run, waits
from sync.records import unmatched_items
from sync.records.inbox import UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import exclude_match, ignore_item
from sync.records.tombstones import enqueue_tombstones, set_late_item

log = structlog.get_logger(__name__)


def settle_pass(run: pass_run.PassRun, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    """Write what a pass did, by the plan as the answers left it, in one transaction; return how all of it ended.

    Its changes are marked as the sync's. Raises LeaseLost when another worker has the board.
    """
    context = undo_context(plan.records.values())

    def attempt() -> pass_plan.Plan:
        with pghistory.context(cause="sync", batch=str(run.batch_id), **context), run.lease.transaction():
            _lock_records(run, plan)
            if plan.answers:
                beside_records.settle_answers(run, plan)
            settled = _end_open(beside_records.settle_duplicates(run, beside_records.settle_items(run, plan)))
            if settled.deleted or settled.other_jobs:
                settled = settled.with_deleted(beside_records.settle_deleted(run, settled))
            return _settle_records(run, facts, settled) if settled.records else settled

    return retry_on_lock_timeout(attempt)


def _lock_records(run: pass_run.PassRun, plan: pass_plan.Plan) -> None:
    """Lock all records of which the pass may write, in the order of their ids, before any other row."""
    if not (plan.answers or plan.items or plan.deleted):
        return  # the claimed ones alone: they are locked where they are read
    named, _, _ = identity.named_in(plan.answers)
    ids = {*plan.records, *named}.union(*(item.names for item in plan.items))
    list(run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk").values_list("pk"))
    pass_run.lock_failed_jobs(run, plan)


def _end_open(plan: pass_plan.Plan) -> pass_plan.Plan:
    """End what the pass went through to the end; of a new item that has its name alone the other fields follow."""
    ended = []
    for record_plan in plan.records.values():
        if record_plan.answer.is_bare and record_plan.answer.item is not None:
            detail = "Its item was created; the other fields follow."
            ended.append(record_plan.end(pass_plan.Outcome.RELEASED, detail))
        elif record_plan.is_open:
            ended.append(record_plan.end(pass_plan.Outcome.SETTLED))
    return plan.with_records(ended)


# The records that are there: by compare-and-set.


def _settle_records(run: pass_run.PassRun, facts: pass_plan.PassFacts, plan: pass_plan.Plan) -> pass_plan.Plan:
    ids = sorted(plan.records)
    pass_run.mark_settling(ids)
    # A related record that was deleted meanwhile is this record's failure, and not the commit's.
    run_sql("SET CONSTRAINTS ALL IMMEDIATE")
    locked = {r.pk: r for r in run.records.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")}
    pass_run.lock_failed_jobs(run, plan)
    ledgers = pass_run.lock_ledgers(run.entity_type, ids)
    if facts.linked_items:
        # Its webhook may have come while it was being linked.
        unmatched_items.clear_unmatched(run.entity_type, facts.linked_items)
    _end_tombstones(run, [record_plan for record_plan in plan.records.values() if record_plan.id in locked])
    # `pause` waits for our end.
    paused = locked_pause(run.entity_type) if any(map(has_local_writes, plan.records.values())) else ""
    rests_on_settings = any(
        has_local_writes(record_plan) or record_plan.removal for record_plan in plan.records.values()
    )
    now = load_board(run.link, settings_now=run.board.settings) if rests_on_settings else None
    changes = []
    for key, record_plan in plan.records.items():
        planned = record_changes(run.board, record_plan, locked.get(key), facts.now, paused, now)
        changes.append(_write_record(record_plan, planned))
    present = {change.plan.id: change.plan for change in changes if change.is_there}
    shown = [change.plan.id for change in changes if change.plan.answer.item is not None]
    over = ended_requests(plan.with_records(present.values()), shown)
    ended = [(request, state) for request, state, record_plan in over if record_plan.id in present]
    for request, state in ended:
        if state is choices.ApprovalState.RELEASED:
            line = HistoryLine("approval", f"Nothing waits for approval any more: {request.label}.", request.key)
            present[request.entity_id] = present[request.entity_id].logged(line)
    for key, record_plan in present.items():
        seen_values = seen_after(record_plan, run.board.settings, facts.now)
        present[key] = record_plan.logged(*lost_lines(record_plan)).with_state(seen=seen_values)
    changes = [replace(change, plan=present.get(change.plan.id, change.plan)) for change in changes]
    _write_changes(run, facts, plan, changes, ledgers, ended)
    return plan.with_records(change.plan for change in changes)


def _write_record(planned: pass_plan.RecordPlan, changes: RecordChanges) -> RecordChanges:
    """Write one record; return what is so then.

    Each has a savepoint of its own: what NPD refuses is that record's failure alone, and only its database can tell.
    """
    record = changes.plan.record
    if changes.deletes:
        needed, loss = deletion_obstacles(record)
        changes = changes.before_deletion(loss)
        return changes.after_deletion(needed or _delete(record)) if changes.deletes else changes
    if not changes.values:
        return changes
    try:
        with transaction.atomic():
            type(record)._default_manager.filter(pk=record.pk).update(**changes.values)
    except OperationalError:
        raise
    except DatabaseError as error:
        log.warning("record not written", record=str(record.pk), error=type(error).__name__)
        refusal = str(error).strip().splitlines()[0]
        detail = f"NPD's database rejected what came from Monday: {refusal}"
        return RecordChanges(planned.drop(pass_plan.Outcome.FAILED, detail))
    return changes


def _delete(record: SyncedModel) -> str:
    """Delete the record in NPD; return why it can't be deleted, in words."""
    try:
        with transaction.atomic():
            copy(record).delete()
    except OperationalError:
        raise
    except (models.ProtectedError, models.RestrictedError, DatabaseError) as error:
        return f"NPD's database rejected it: {str(error).splitlines()[0]}"
    return ""


# What the settle transaction writes for all records together.


def _write_changes(
    run: pass_run.PassRun,
    facts: pass_plan.PassFacts,
    plan: pass_plan.Plan,
    changes: Sequence[RecordChanges],
    ledgers: Mapping[str, SyncMetadata],
    ended: Sequence[tuple[ApprovalRequest, choices.ApprovalState]],
) -> None:
    """Write what hangs on the records: `ledgers` are the locked rows, `ended` the requests for approval that end."""
    present = [change.plan for change in changes if change.is_there]
    existing = [record_plan for record_plan in present if not record_plan.is_deleted]
    for change in changes:
        item = change.plan.answer.item
        if not change.is_there and item is not None:
            # Of a record that was deleted while its item was made, the tombstone learns the item.
            set_late_item(run.entity_type, change.plan.id, item.id)
        for job in change.wakes:
            run.wake([change.plan.id], **job)
        for item_id, reason in change.ignored.items():
            ignore_item(run.entity_type, item_id, change.plan.id, reason)
        for item_id, reason in change.excluded.items():
            exclude_match(run.entity_type, item_id, change.plan.id, reason)
    waits.store_approvals(run, plan, ended)
    waits.store_write_loops(run, facts, present)
    save_reports([report for record_plan in present for report in settlement.conflict_reports(record_plan)])
    _finish_deleted(run.entity_type, [record_plan for record_plan in present if record_plan.is_deleted])
    rows = _store_ledgers(run, facts, existing, ledgers)
    waits.store_awaited(run, existing)
    waits.enqueue_pointing(run, waits.no_longer_awaited(existing, ledgers))
    if linked_items := [record_plan.link_to for record_plan in existing if record_plan.link_to]:
        enqueue_tombstones(run.entity_type, linked_items)
    # Items among which a record's question lets choose are asked about there, and not listed as unmatched beside it.
    questions = [record_plan.identity.question for record_plan in existing if record_plan.identity.question]
    candidates = [candidate["id"] for question in questions for candidate in question["candidates"]]
    unmatched_items.clear_unmatched(run.entity_type, candidates)
    _finish_jobs(run, changes)
    run.store_history(present)
    _write_statuses(run, existing, rows)


def _end_tombstones(run: pass_run.PassRun, present: Sequence[pass_plan.RecordPlan]) -> None:
    """Let the tombstone of a record that was made again under the id of a deleted one send nothing any more."""
    created = [
        record_plan.id
        for record_plan in present
        if any(row.operation != choices.Operation.UPDATE for row in record_plan.facts.claim.rows)
    ]
    if created:
        tombstones = Tombstone.objects.filter(entity_type=run.entity_type, entity_id__in=created)
        tombstones.exclude(state=choices.TombstoneState.RESTORED).update(
            state=choices.TombstoneState.RESTORED,
            settled_at=SyncNow(),
            note="The record is there again.",
            reason_code="",
        )


# The rows of the sync state of a pass, stored in one statement.


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


def _store_ledgers(
    run: pass_run.PassRun,
    facts: pass_plan.PassFacts,
    existing: Sequence[pass_plan.RecordPlan],
    ledgers: Mapping[str, SyncMetadata],
) -> dict[UUID, dict[str, Any]]:
    """Store what the records' sync state says; return the rows, by record."""
    of_pass = {
        "sync_batch_id": run.batch_id,
        "sync_duration_ms": int((time.monotonic() - run.started) * 1000),
        "api_calls_count": run.calls,
    }
    rows = {
        record_plan.id: settlement.ledger_row(record_plan, ledgers[str(record_plan.id)], facts.now) | of_pass
        for record_plan in existing
    }
    if rows:
        # In one statement: Django's bulk_update takes 3 ms a row.
        run_sql(_UPDATE, [json.dumps(list(rows.values()), cls=DjangoJSONEncoder)])
    return rows


def _finish_jobs(run: pass_run.PassRun, changes: Sequence[RecordChanges]) -> None:
    """End every record's rows as its outcome says, and what hangs on them."""
    plans = [change.plan for change in changes]
    settled = [record_plan for record_plan in plans if record_plan.is_settled]
    # A settled record says by itself what became of it.
    pass_run.end_jobs(
        run, [(plan.facts.claim, pass_plan.SETTLED if plan.is_settled else plan.ending) for plan in plans]
    )
    for change in changes:
        if change.keeps_intent and (intent := change.plan.answer.intent):
            Intent.objects.filter(pk=intent.pk).update(item_id=change.plan.item_id, deadline=SyncNow())
    answered = [change.plan for change in changes if not change.keeps_intent]
    pass_run.end_intents(answered, [record_plan for record_plan in settled if record_plan.plans])
    checked = [record_plan for record_plan in settled if record_plan.ending.processed or record_plan.item is not None]
    events = [event.pk for record_plan in checked for event in record_plan.facts.events]
    pass_run.end_events(f"processed in pass {run.batch_id}", pk__in=events)
    carried_out = [record_plan for record_plan in settled if record_plan.plans or record_plan.is_deleted]
    finish.end_failed(
        run.entity_type, {record_plan.id: record_plan.facts.claim.rows[0].id for record_plan in carried_out}
    )


def _write_statuses(
    run: pass_run.PassRun, existing: Sequence[pass_plan.RecordPlan], ledgers: Mapping[UUID, Mapping[str, Any]]
) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    ids = [record_plan.id for record_plan in existing]
    open_states = (choices.QueueStatus.PENDING, choices.QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "direction"))
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = {entity_id for entity_id, _, _ in jobs} | set(intents)
    # What was told of an item before its record had it is a job of the item.
    owners = {record_plan.item_id: record_plan.id for record_plan in existing if record_plan.item_id}
    deliveries = SyncQueue.objects.filter(
        entity_type=run.entity_type, entity_id=None, status=choices.QueueStatus.PENDING
    )
    item_ids = list(deliveries.filter(remote_id__in=owners).values_list("remote_id", flat=True))
    with_open_work |= {owners[str(item_id)] for item_id in item_ids}
    if item_ids:
        # They say pending until then.
        wake = partial(notify.notify_board, run.entity_type, UNMATCHED_ITEM_WAIT_SECONDS)
        transaction.on_commit(wake, robust=True)
    to_monday = (choices.QueueStatus.PENDING, choices.QueueDirection.TO_MONDAY)
    saved = {entity_id for entity_id, *job in jobs if tuple(job) == to_monday}
    statuses: dict[UUID, choices.RecordSyncStatus] = {}
    for record_plan in existing:
        key = record_plan.id
        has_open_work = key in with_open_work
        statuses[key] = settlement.sync_status(run.board, record_plan, ledgers[key], has_open_work=has_open_work)
        if record_plan.left_out and key in saved and record_plan.record.may_sync:
            # Somebody saved it meanwhile: its next pass decides anew.
            statuses[key] = choices.RecordSyncStatus.PENDING
    for status, of_status in grouped(statuses, lambda key: statuses[key]).items():
        is_synced = status == choices.RecordSyncStatus.SYNCED
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=of_status).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        stored = SyncMetadata.objects.of(run.entity_type, of_status)
        stored.update(sync_status=settlement.LEDGER_STATUS[status], **settled_at)
    if failed := [entity_id for entity_id, status, _ in jobs if entity_id and status == choices.QueueStatus.FAILED]:
        SyncMetadata.objects.of(run.entity_type, failed).update(sync_status=choices.SyncStatus.FAILED)


def _finish_deleted(entity_type: str, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Their tombstones send nothing to items that are gone already, and nothing waits for these records any more."""
    ids = [plan.id for plan in plans]
    for plan in plans:
        assert plan.removal is not None
        is_reported = plan.removal.state in pass_plan.REPORTED_STATES
        state = choices.TombstoneState(plan.removal.state) if is_reported else choices.TombstoneState.NOTHING_LEFT
        Tombstone.objects.filter(entity_type=entity_type, entity_id=plan.id).update(
            state=state, note=plan.removal.result, reason_code="", settled_at=SyncNow()
        )
    AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=ids).delete()
    open_intents = [intent.pk for plan in plans for intent in plan.facts.intents]
    Intent.objects.filter(pk__in=open_intents).update(state=IntentState.VOID, settled_at=SyncNow())
