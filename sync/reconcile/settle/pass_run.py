"""What settling records, items and deletions shares: the pass, locks, and the end of jobs, intents and events."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.store import reject_resolutions
from sync import choices
from sync.choices import ActivityKind
from sync.clock import SyncNow
from sync.fields.field_values import BoardContext
from sync.kernel.db import run_sql
from sync.models import ActivityLine, Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, WebhookEvent
from sync.models.activity_lines import fold_alike
from sync.models.records_and_items import approval_payload_key
from sync.outbox import enqueue, enqueue_unmatched, finish
from sync.outbox.claim import Lease
from sync.reconcile import pass_plan
from sync.reconcile.settle.activity import PassHistory
from sync.reconcile.settle.record import answered_values
from sync.records.approvals import release_obsolete
from sync.words.message import Message


class PassRun:
    """What all rows of one pass have in common; with `writes_wait_seconds`, unsent writes wait for that time."""

    def __init__(
        self, lease: Lease, board: BoardContext, batch_id: UUID, started: float, *, writes_wait_seconds: float = 0
    ) -> None:
        self.lease = lease
        self.board = board
        self.link = board.link
        self.entity_type = board.link.entity_type
        self.records: models.Manager[SyncedModel] = board.model.objects
        self.batch_id = batch_id
        self.started = started  # monotonic
        self.writes_wait_seconds = writes_wait_seconds
        self.calls = 0  # made to Monday
        self.read_request_id = ""  # of the call that read the items

    def enqueue(self, ids: Iterable[UUID], priority: choices.Priority = choices.Priority.EDIT, **job: Any) -> None:
        """Queue a pass for these records, caused by this one unless `job` has another cause."""
        enqueue(self.entity_type, ids, **{"cause": choices.Cause.DEPENDENCY, "priority": priority, **job})

    def enqueue_items(self, ids: Iterable[str], priority: choices.Priority = choices.Priority.EDIT, **job: Any) -> None:
        """Queue a pass for these items, likewise."""
        enqueue_unmatched(self.entity_type, ids, **{"cause": choices.Cause.DEPENDENCY, "priority": priority, **job})

    def log_line(
        self, entity_id: UUID, item_id: str, kind: ActivityKind, sentence: str, *, cause: dict[str, Any], **columns: str
    ) -> None:
        """Write a line into a record's history that isn't in the log of its plan."""
        entry = ActivityLine(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.batch_id,
            cause=cause,
            **columns,
        )
        ActivityLine.objects.bulk_create(fold_alike([entry]))

    def store_history(self, plans: Sequence[pass_plan.EntityPlan]) -> None:
        history = PassHistory(self.board, plans, self.batch_id, self.read_request_id)
        ActivityLine.objects.bulk_create(fold_alike(history.rows()))


def lock_failed_jobs(run: PassRun, plan: pass_plan.Plan) -> None:
    """Lock the jobs of records with a failed one, in the order of their ids and before the sync states.

    Retries and discards lock in this order too; a different one would make them time out against a pass.
    """
    failed = [record_plan.id for record_plan in plan.records.values() if record_plan.facts.has_failed_job]
    if failed:
        states = (choices.QueueStatus.FAILED, choices.QueueStatus.PENDING)
        jobs = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=failed, status__in=states)
        list(jobs.select_for_update().order_by("pk").values_list("pk"))


def mark_settling(ids: Iterable[UUID]) -> None:
    """Tell the triggers of these records' table that their pass is writing (sync/kernel/triggers.py)."""
    run_sql("SELECT set_config('npd.settling', %s, true)", [",".join(map(str, ids))])


def lock_sync_states(entity_type: str, ids: Sequence[UUID]) -> dict[str, SyncMetadata]:
    """Lock the records' sync states in the order of their ids; missing ones are created."""
    rows = SyncMetadata.objects.of(entity_type, ids).select_for_update().order_by("entity_id")
    locked = {row.entity_id: row for row in rows}
    # Only missing rows are inserted: inserting all took a quarter of a pass over unchanged records.
    if missing := [key for key in map(str, ids) if key not in locked]:
        new_rows = [SyncMetadata(entity_type=entity_type, entity_id=key, system="monday") for key in missing]
        SyncMetadata.objects.bulk_create(new_rows, ignore_conflicts=True)
        locked = {row.entity_id: row for row in rows.all()}
    return locked


# The payload's key for a deletion that a person approved or rejected.
APPROVAL = approval_payload_key("")


def end_jobs(run: PassRun, jobs: Iterable[pass_plan.EndedClaim]) -> None:
    """Complete or fail the claimed jobs, or make them pending again, in the caller's transaction under the lease."""
    token = run.lease.token
    decided = []
    rows_by_ending: dict[pass_plan.Ending, list[SyncQueue]] = {}
    for claim, ending in jobs:
        if ending.outcome is pass_plan.Outcome.FAILED:
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
        if ending.outcome is pass_plan.Outcome.SETTLED:
            finish.complete(rows, token, ending.detail)
        elif ending.outcome is pass_plan.Outcome.DEFERRED:
            finish.defer(rows, token, ending.wait_seconds, ending.detail, ending.waits_for, rounds=ending.rounds)
        elif run.writes_wait_seconds and ending.is_unsent:
            finish.defer_until_writes_work(rows, token, run.writes_wait_seconds, ending.detail)
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
        # Those that took effect, as Monday's value or an event shows.
        confirmed = {intent.pk for field_plan in plan.fields.values() for intent in field_plan.confirmed}
        for intent in plan.facts.open_intents:
            if not plan.doubts.set_aside.keys().isdisjoint(intent.values):
                continue  # whether it took effect isn't known yet
            landed = intent.pk in confirmed or intent.pk in plan.landed_by_event
            state = IntentState.CONFIRMED if landed else IntentState.VOID
            older[state].append(intent.pk)
    for state, ids in older.items():
        Intent.objects.filter(pk__in=ids).update(state=state, settled_at=SyncNow())


def end_events(outcome: str, **events: Any) -> None:
    """Mark these webhook events as checked."""
    WebhookEvent.objects.filter(processed_at=None, **events).update(processed_at=SyncNow(), outcome=outcome[:200])
