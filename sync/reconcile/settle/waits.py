"""What of a pass waits: requests for approval, rewrites that are slowed, relations without their records."""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.db import models

from sync import choices, registry
from sync.clock import SyncNow
from sync.kernel import grouped
from sync.kernel.db import fetch_rows
from sync.models import ApprovalRequest, AwaitedRelation, SyncMetadata, WriteLoop
from sync.outbox.queue_rows import enqueue
from sync.reconcile import field_values, pass_plan, settlement
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.settle.pass_run import PassRun
from sync.records.approvals import OPEN_REQUEST_STATES
from sync.registry import relation_of, target_of


def store_approvals(
    run: PassRun, plan: pass_plan.Plan, ended: Iterable[tuple[ApprovalRequest, choices.ApprovalState]]
) -> None:
    """Count what is deleted or emptied, store what waits, and end the requests that are over."""
    removals = {record_plan.id: record_plan.removal for record_plan in plan.records.values() if record_plan.removal}
    rejected = [pk for pk, removal in removals.items() if removal.was_rejected]
    # A pass found that it wants none of this kind any more.
    reopened = [pk for pk, removal in removals.items() if removal.approval == choices.ApprovalState.RELEASED]
    requests = ApprovalRequest.objects.filter(entity_type=run.entity_type)
    deletions = requests.filter(kind=choices.ApprovalKind.RECORDS)
    _end_requests(
        deletions.filter(entity_id__in=rejected), choices.ApprovalState.KEPT, [choices.ApprovalState.REJECTED]
    )
    _end_requests(deletions.filter(entity_id__in=reopened), choices.ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    outdated = [request.pk for request in plan.outdated_requests]
    _end_requests(requests.filter(pk__in=outdated), choices.ApprovalState.RELEASED, OPEN_REQUEST_STATES)
    for state, of_state in grouped(ended, lambda pair: pair[1]).items():
        # Only those that nobody decided meanwhile: the next pass ends the others.
        undecided = {request.state for request, _ in of_state}
        _end_requests(requests.filter(pk__in=[request.pk for request, _ in of_state]), state, undecided)
    waiting = new_clear_requests(plan, choices.ApprovalState.PENDING)
    ApprovalRequest.objects.bulk_create([*new_deletion_requests(plan), *waiting])


def _end_requests(requests: models.QuerySet[ApprovalRequest], state: str, before: Iterable[str]) -> None:
    requests.filter(state__in=list(before)).update(state=state, at=SyncNow())


def store_write_loops(run: PassRun, facts: pass_plan.PassFacts, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Store what was counted, forget what is over, and come back when a pause ends."""
    loops = [loop for record_plan in plans if record_plan.is_settled for loop in record_plan.loops.values()]
    if over := [models.Q(entity_id=loop.entity_id, key=loop.key) for loop in loops if not loop.times]:
        WriteLoop.objects.filter(reduce(or_, over), entity_type=run.entity_type).delete()
    WriteLoop.objects.bulk_create(
        [loop for loop in loops if loop.times and loop._state.adding],
        update_conflicts=True,
        unique_fields=["entity_type", "entity_id", "key"],
        update_fields=["times", "by", "throttle_count", "throttled_until"],
    )
    throttled = {(loop.throttled_until, loop.entity_id) for loop in loops if loop.throttled_until}
    for until, alike in grouped(sorted(throttled), lambda pair: pair[0]).items():
        wait = max((until - facts.now).total_seconds(), 0) + 1
        later = {"direction": choices.QueueDirection.TO_NPD, "due_in_seconds": wait}
        run.wake([record_id for _, record_id in alike], choices.Priority.SWEEP, cause=choices.Cause.SWEEP, **later)


# Relations: who waits for whom.
#
# Only the relation waits for a record that has no item yet, or for an item or a name that is no
# record yet, never its record: the field is blocked with its reason, and the triggers of the other
# table enqueue the record (sync/kernel/triggers.py).


# What a relation waits for may come while the pass that says so isn't committed: it is looked for once more.
AWAIT_RETRY_SECONDS = 60

_UPSERT_AWAITED = """
    INSERT INTO sync_awaited_relations (id, entity_type, entity_id, key, target_type, target)
    SELECT gen_random_uuid(), %s, entity_id, key, target_type, target
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS told (entity_id, key, target_type, target)
    ORDER BY entity_id, key
    ON CONFLICT (entity_type, entity_id, key) DO UPDATE
    SET target_type = excluded.target_type, target = excluded.target
    WHERE (sync_awaited_relations.target_type, sync_awaited_relations.target)
        IS DISTINCT FROM (excluded.target_type, excluded.target)
    RETURNING entity_id
"""


def store_awaited(run: PassRun, plans: Sequence[pass_plan.RecordPlan]) -> None:
    """Write down which relations wait for a record; the others wait no more."""
    planned = {plan.id: plan.plans for plan in plans if plan.plans}
    if not run.board.relations or not planned:
        return
    waiting = settlement.awaited_relations(run.board, planned)
    current = {(entity_id, key) for entity_id, key, _, _ in waiting}
    stored = AwaitedRelation.objects.filter(entity_type=run.entity_type, entity_id__in=list(planned))
    outdated = [row.pk for row in stored if (row.entity_id, row.key) not in current]
    AwaitedRelation.objects.filter(pk__in=outdated).delete()
    if not waiting:
        return
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    new = sorted({row[0] for row in fetch_rows(_UPSERT_AWAITED, [run.entity_type, *columns])})
    run.wake(new, choices.Priority.SWEEP, direction=choices.QueueDirection.TO_NPD, due_in_seconds=AWAIT_RETRY_SECONDS)


def enqueue_pointing(run: PassRun, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        relations = [relation_of(spec.model, mapping.fields) for mapping in spec.mappings]
        names = [field.name for field in relations if field is not None and target_of(field) is run.board.model]
        if names:
            pointing = reduce(or_, (models.Q(**{f"{name}__in": ids}) for name in names))
            # Only ids, and of one model in one query.
            pks = spec.model._default_manager.filter(pointing).order_by("pk").values_list("pk", flat=True)
            enqueue(spec.entity_type, pks, cause=choices.Cause.DEPENDENCY, priority=choices.Priority.SWEEP)


def no_longer_awaited(existing: Sequence[pass_plan.RecordPlan], ledgers: Mapping[str, SyncMetadata]) -> list[UUID]:
    """Return the records whose items are back, or that get none any more: what points at them waits no more."""
    ids = []
    for record_plan in existing:
        before = ledgers[str(record_plan.id)]
        was_gone = before.remote_state not in ("", field_values.ACTIVE)
        is_left_out = record_plan.left_out and not before.left_out and not record_plan.record.monday_id
        if is_left_out or (was_gone and record_plan.ledger.remote_state == field_values.ACTIVE):
            ids.append(record_plan.id)
    return ids
