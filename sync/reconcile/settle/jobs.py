"""The end of a pass's jobs, intents and events, and the statuses of records, which depend on the jobs that are open."""

import json
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction

from conflicts.store import reject_resolutions
from sync.choices import QueueDirection, QueueStatus, RecordSyncStatus, SyncStatus
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.kernel.db import run_sql
from sync.models import Intent, IntentState, SyncMetadata, SyncQueue, WebhookEvent
from sync.models.records_and_items import approval_payload_key
from sync.outbox import finish, mark_pending_with_jobs, wakeups
from sync.reconcile import outcomes, pass_plan
from sync.reconcile.settle.pass_run import PassRun
from sync.reconcile.settle.record import SYNC_STATE_STATUS, answered_values, sync_status
from sync.records.approvals import release_obsolete
from sync.records.item_links import UNLINK_KEY
from sync.words.message import Message

# The payload's key for a deletion that a person approved or rejected.
APPROVAL = approval_payload_key("")


def end_jobs(run: PassRun, jobs: Iterable[pass_plan.EndedClaim]) -> None:
    """Complete or fail the claimed jobs, or make them pending again, in the caller's transaction under the lease."""
    token = run.lease.token
    decided = []
    rows_by_ending: dict[outcomes.Ending, list[SyncQueue]] = {}
    for claim, ending in jobs:
        if ending.outcome is outcomes.Outcome.FAILED:
            is_final = finish.fail(list(claim.jobs), token, ending.detail, at_most=ending.at_most)
            if is_final:
                reason = Message("resolution_not_saved", why=ending.detail)
                records = [claim.entity_id] if claim.entity_id else []
                reject_resolutions(run.entity_type, records, reason, item_ids=filter(None, [claim.remote_id]))
        else:
            rows_by_ending.setdefault(ending, []).extend(claim.jobs)
        if claim.entity_id and APPROVAL in claim.payload:
            decided.append(claim.entity_id)
    for ending, rows in rows_by_ending.items():
        if ending.outcome is outcomes.Outcome.DONE:
            finish.complete(rows, token, ending.detail)
        elif ending.outcome is outcomes.Outcome.DEFERRED:
            for_writes = ending.waits_for_writes
            wait = ending.wait_seconds
            finish.defer(rows, token, wait, ending.detail, waits_for_writes=for_writes, rounds=ending.rounds)
        elif run.writes_wait_seconds and ending.is_unsent:
            finish.defer(rows, token, run.writes_wait_seconds, ending.detail, waits_for_writes=True)
        else:
            finish.release(rows, token, ending.detail, at_most=ending.at_most)
    # Requests that a person decided are shown as carried out at once.
    if decided:
        release_obsolete(decided)


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = answered.item_id, request_id = answered.request_id, answer = answered.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS answered (id, item_id, request_id, answer)
    WHERE intent.id = answered.id
"""


def end_intents(answered: Iterable[pass_plan.EntityPlan], settled: Sequence[pass_plan.EntityPlan]) -> None:
    """Store the answers of intents with their items, and end the older intents of settled records."""
    applied = [(plan.write.open_intent, plan) for plan in answered if plan.write.open_intent and plan.write.item]
    if applied:
        columns: list[Any] = [
            [intent.pk for intent, _ in applied],
            [plan.item_id for _, plan in applied],
            [intent.request_id for intent, _ in applied],
            [json.dumps(answered_values(plan)) if plan.fields else None for _, plan in applied],
        ]
        run_sql(_UPDATE_APPLIED, columns)
    older: dict[IntentState, list[UUID]] = {IntentState.CONFIRMED: [], IntentState.VOID: []}
    for plan in settled:
        for intent in plan.facts.open_intents:
            if not plan.doubts.set_aside.keys().isdisjoint(intent.values):
                continue  # whether it took effect isn't known yet
            state = IntentState.CONFIRMED if intent.pk in plan.landed else IntentState.VOID
            older[state].append(intent.pk)
    for state, ids in older.items():
        Intent.objects.filter(pk__in=ids).update(state=state, settled_at=SyncNow())


def end_events(outcome: str, **events: Any) -> None:
    """Mark these webhook events as checked."""
    WebhookEvent.objects.filter(processed_at=None, **events).update(processed_at=SyncNow(), outcome=outcome[:200])


def finish_record_jobs(run: PassRun, plans: Collection[pass_plan.RecordPlan], unshown: Collection[UUID]) -> None:
    """End the records' jobs by their outcomes, and their intents and events.

    The intents of `unshown` records, whose answer didn't show what was written, stay open.
    """
    settled = [plan for plan in plans if plan.is_done]
    # Settled jobs end alike, without their sentence, so that one statement ends them all.
    endings = [(plan.facts.claim, outcomes.DONE if plan.is_done else plan.ending) for plan in plans]
    end_jobs(run, endings)
    for plan in plans:
        if plan.id in unshown and (intent := plan.write.open_intent):
            Intent.objects.filter(pk=intent.pk).update(item_id=plan.item_id, deadline=SyncNow())
    end_intents([plan for plan in plans if plan.id not in unshown], [plan for plan in settled if plan.fields])
    checked = [plan for plan in plans if plan.has_checked_events]
    events = {event.pk for plan in checked for event in plan.history.unchecked_events}
    kept = {key for plan in checked for key in plan.doubts.kept_events}
    end_events(f"processed in pass {run.batch_id}", pk__in=events - kept)
    for plan in settled:
        if plan.doubts.look_in_seconds:
            run.enqueue([plan.id], direction=QueueDirection.TO_NPD, due_in_seconds=plan.doubts.look_in_seconds)
    # Older failed jobs of these records are completed, superseded by the job of this pass.
    current_jobs = {
        plan.id: plan.facts.claim.jobs[0].id for plan in settled if plan.fields or plan.is_deleted or plan.unlink_reason
    }
    # An unlinking that failed waits for its retry as long as there is something to unlink.
    failed = [plan for plan in settled if plan.facts.has_failed_job]
    linked = [plan.id for plan in failed if plan.record.monday_id and not plan.is_deleted]
    unlinkings = SyncQueue.objects.filter(entity_id__in=linked, status=QueueStatus.FAILED, payload__has_key=UNLINK_KEY)
    open_unlinkings = list(unlinkings.values_list("pk", flat=True)) if linked else []
    finish.supersede_failed(run.entity_type, current_jobs, open_unlinkings)


def write_statuses(run: PassRun, record_plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Write the statuses of the pass's records, which depend on the jobs that are still open."""
    ids = [record_plan.id for record_plan in record_plans]
    open_states = (QueueStatus.PENDING, QueueStatus.FAILED)
    rows = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=ids, status__in=open_states)
    jobs = list(rows.values_list("entity_id", "status", "direction"))
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN).values_list("entity_id", flat=True)
    with_open_work = {entity_id for entity_id, _, _ in jobs} | set(intents) | _with_deliveries(run, record_plans)
    to_monday = (QueueStatus.PENDING, QueueDirection.TO_MONDAY)
    saved = {entity_id for entity_id, status, direction in jobs if (status, direction) == to_monday}
    statuses: dict[UUID, RecordSyncStatus] = {}
    for record_plan in record_plans:
        key = record_plan.id
        statuses[key] = sync_status(run.board, record_plan, has_open_work=key in with_open_work)
        if record_plan.filter_reason and key in saved and record_plan.record.may_sync:
            # It was saved meanwhile, so the next pass decides again.
            statuses[key] = RecordSyncStatus.PENDING
    for status, record_ids in grouped(statuses, lambda key: statuses[key]).items():
        is_synced = status == RecordSyncStatus.SYNCED
        if is_synced:
            # A webhook's job that comes before the commit finds the record locked, and leaves its status to this.
            transaction.on_commit(partial(mark_pending_with_jobs, run.entity_type, record_ids), robust=True)
        synced_at = {"monday_last_synced": SyncNow()} if is_synced else {}
        run.records.filter(pk__in=record_ids).update(sync_status=status, **synced_at)
        settled_at = {"last_successful_sync": SyncNow()} if is_synced else {}
        stored = SyncMetadata.objects.of(run.entity_type, record_ids)
        stored.update(sync_status=SYNC_STATE_STATUS[status], last_sync_attempt=SyncNow(), **settled_at)
    if failed := [entity_id for entity_id, status, _ in jobs if entity_id and status == QueueStatus.FAILED]:
        SyncMetadata.objects.of(run.entity_type, failed).update(sync_status=SyncStatus.FAILED)


def _with_deliveries(run: PassRun, record_plans: Sequence[pass_plan.RecordPlan]) -> set[UUID]:
    """Return the records that stay pending because webhooks came before their item was linked, as our own create's do.

    Their jobs are the item's, and wait for a person who fills in a new item, so these are due now.
    """
    owners = {record_plan.item_id: record_plan.id for record_plan in record_plans if record_plan.item_id}
    deliveries = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id=None, status=QueueStatus.PENDING)
    item_ids = list(deliveries.filter(remote_id__in=owners).values_list("remote_id", flat=True))
    if item_ids:
        # One that this pass has deferred with its record waits.
        ended = [job.pk for record_plan in record_plans for job in record_plan.facts.claim.jobs]
        new_jobs = deliveries.filter(remote_id__in=item_ids, next_retry__gt=SyncNow()).exclude(pk__in=ended)
        new_jobs.update(next_retry=SyncNow())
        wakeups.wake_on_commit(run.entity_type)
    return {owners[str(item_id)] for item_id in item_ids}
