"""A pass as it is stored, and what each part of its transaction needs: locks, and the ends of jobs, intents, events."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.store import reject_resolutions
from sync import choices
from sync.clock import SyncNow
from sync.kernel.db import run_sql
from sync.limits import write_stop
from sync.models import BoardLink, Decision, Intent, IntentState, SyncedModel, SyncMetadata, SyncQueue, WebhookEvent
from sync.models.state import approval_payload_key, fold_alike
from sync.outbox import finish
from sync.outbox.claim import Lease
from sync.outbox.queue_rows import enqueue
from sync.reconcile import field_values, pass_plan
from sync.reconcile.changes import answered_values
from sync.reconcile.pass_history import PassHistory
from sync.records.approvals import release_obsolete


@dataclass(frozen=True)
class PassRun:
    """A pass as it is stored: under which lease, of which board, and what its rows say of it."""

    lease: Lease
    board: field_values.BoardContext
    batch_id: UUID
    started: float  # monotonic
    read_request: str = ""  # the id of the request that read Monday
    calls: int = 0  # that went to Monday
    hold_seconds: float = 0  # writes are stopped for so long: what could not be sent waits

    @property
    def link(self) -> BoardLink:
        return self.board.link

    @property
    def entity_type(self) -> str:
        return self.board.link.entity_type

    @property
    def records(self) -> models.QuerySet[SyncedModel]:
        return self.board.model._default_manager.all()

    def wake(self, ids: Iterable[UUID] = (), priority: choices.Priority = choices.Priority.EDIT, **job: Any) -> None:
        """Let these records, or items, have another pass; it follows from this one where `job` has no other cause."""
        enqueue(self.entity_type, ids, **{"cause": choices.Cause.DEPENDENCY, "priority": priority, **job})

    def log_decision(
        self, entity_id: UUID, item_id: str, kind: str, sentence: str, *, cause: dict[str, Any], **columns: str
    ) -> None:
        """Write a line into the history of a record that is not in the pass itself."""
        Decision.objects.create(
            entity_type=self.entity_type,
            entity_id=entity_id,
            remote_id=item_id,
            kind=kind,
            sentence=sentence,
            batch_id=self.batch_id,
            cause=cause,
            **columns,
        )

    def store_history(self, plans: Sequence[pass_plan.RecordPlan]) -> None:
        history = PassHistory(self.board, plans, self.batch_id, self.read_request)
        Decision.objects.bulk_create(fold_alike(history.rows()))


def lock_failed_jobs(run: PassRun, plan: pass_plan.Plan) -> None:
    """Lock the jobs of records of which one has failed, in the order of their ids, and before the sync state.

    A retry locks a failed job, then the one that takes its place, and a discard the sync state after it: as both give
    way after a moment, one that met a pass in the middle would be told that somebody holds on to its rows.
    """
    failed = [record_plan.id for record_plan in plan.records.values() if record_plan.facts.has_failed_job]
    if failed:
        states = (choices.QueueStatus.FAILED, choices.QueueStatus.PENDING)
        jobs = SyncQueue.objects.filter(entity_type=run.entity_type, entity_id__in=failed, status__in=states)
        list(jobs.select_for_update().order_by("pk").values_list("pk"))


def mark_settling(ids: Iterable[UUID]) -> None:
    """Tell the triggers of these records' table that their pass is writing (sync/kernel/triggers.py)."""
    run_sql("SELECT set_config('npd.settling', %s, true)", [",".join(map(str, ids))])


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


APPROVAL = approval_payload_key("")
"""In the payload of a job whose delete a person approved or rejected."""


def end_jobs(run: PassRun, jobs: Iterable[pass_plan.Job]) -> None:
    """End what was claimed, in the caller's transaction under the lease."""
    token = run.lease.token
    decided = []
    together: dict[pass_plan.Ending, list[SyncQueue]] = {}
    for claim, ended in jobs:
        if ended.outcome is pass_plan.Outcome.FAILED:
            wait = ended.wait_seconds
            is_final = finish.fail(list(claim.rows), token, ended.detail, at_most=ended.at_most, wait_seconds=wait)
            if is_final and claim.entity_id is not None:
                reason = f"Your resolution could not be applied: {ended.detail}"
                reject_resolutions(run.entity_type, [claim.entity_id], reason)
        elif not ended.is_open:  # a second item's job ends with what became of its calls
            together.setdefault(ended, []).extend(claim.rows)
        if claim.entity_id and APPROVAL in claim.payload:
            decided.append(claim.entity_id)
    for ended, rows in together.items():
        if ended.outcome is pass_plan.Outcome.SETTLED:
            finish.complete(rows, token, ended.detail)
        elif ended.outcome is pass_plan.Outcome.DEFERRED:
            times = {"rounds": ended.rounds, "at_most": ended.at_most}
            finish.defer(rows, token, ended.wait_seconds, ended.detail, **times)
        elif run.hold_seconds and ended.detail == write_stop.HELD:
            finish.defer(rows, token, run.hold_seconds, ended.detail, at_most=None)
        else:
            finish.release(rows, token, ended.detail, at_most=ended.at_most)
    # What a person approved or rejected says at once that it was carried out.
    if decided:
        release_obsolete(decided)


_UPDATE_APPLIED = """
    UPDATE sync_intents AS intent SET state = 'applied', settled_at = sync_now(),
        item_id = told.item_id, request_id = told.request_id, answer = told.answer
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::jsonb[]) AS told (id, item_id, request_id, answer)
    WHERE intent.id = told.id
"""


def end_intents(answered: Iterable[pass_plan.RecordPlan], settled: Sequence[pass_plan.RecordPlan]) -> None:
    """Store that intents were answered, with the item that each was about; older ones were found out about."""
    applied = [(plan.answer.intent, plan) for plan in answered if plan.answer.intent and plan.answer.item]
    if applied:
        columns: list[Any] = [
            [intent.pk for intent, _ in applied],
            [plan.item_id for _, plan in applied],
            [intent.request_id for intent, _ in applied],
            [json.dumps(answered_values(plan)) if plan.plans else None for _, plan in applied],
        ]
        run_sql(_UPDATE_APPLIED, columns)
    older: dict[IntentState, list[UUID]] = {IntentState.CONFIRMED: [], IntentState.VOID: []}
    for plan in settled:
        for intent in plan.facts.intents:
            state = IntentState.CONFIRMED if intent.pk in plan.landed_intents else IntentState.VOID
            older[state].append(intent.pk)
    for state, ids in older.items():
        Intent.objects.filter(pk__in=ids).update(state=state, settled_at=SyncNow())


def end_events(outcome: str, **events: Any) -> None:
    WebhookEvent.objects.filter(processed_at=None, **events).update(processed_at=SyncNow(), outcome=outcome[:200])
