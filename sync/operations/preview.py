"""A pass that only plans: its facts, and what reconcile's rules decide by them. Nothing is written on either side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from uuid import UUID

from django.db import models

from conflicts.reports import KIND_FIELDS, KIND_OVERWRITTEN
from sync import choices
from sync.clock import sync_now
from sync.kernel.humanize import quote
from sync.limits import MeteredClient, client, client_override, urgent_calls
from sync.models import BoardLink, SyncedModel, SyncQueue
from sync.monday.conversion import UnknownValue
from sync.monday.errors import Scope
from sync.outbox.claim import Claim
from sync.reconcile import pass_plan
from sync.reconcile.decide import unread
from sync.reconcile.deleted_records import new_removal_requests
from sync.reconcile.facts import RecordFacts
from sync.reconcile.field_values import BoardContext
from sync.reconcile.gather import Gatherer
from sync.reconcile.gather.record_facts import claimed
from sync.reconcile.identity import ANSWERED, LINKED, facts_after
from sync.reconcile.lookups import load_board
from sync.reconcile.removed_items import new_deletion_requests
from sync.reconcile.restraints import new_clear_requests
from sync.reconcile.settlement import conflict_reports
from sync.reconcile.writes import changed_records_of, created_records_of
from sync.records import availability
from sync.registry import link_of


class ReadOnlyClient(MeteredClient):
    """Counts its calls, and refuses to write."""

    def __init__(self, metered: MeteredClient) -> None:
        super().__init__(metered.inner, urgent=metered.urgent)
        self.calls = 0

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Send a query; raises RuntimeError for a mutation, MondayError as the metered client does."""
        if document.lstrip().startswith("mutation"):
            raise RuntimeError("A dry run came to a call that writes. It was not sent. Please report it.")
        self.calls += 1
        return super().execute(document, variables)


@contextmanager
def read_only_client() -> Iterator[ReadOnlyClient]:
    """Let everything inside read from Monday and write nothing there."""
    reading = ReadOnlyClient(client())
    with client_override(reading):
        yield reading


@dataclass(frozen=True)
class PlannedRun:
    """What a pass would find and decide."""

    facts: pass_plan.PassFacts
    plan: pass_plan.Plan
    calls: int = 0
    unread: str = ""  # why Monday could not be read
    rejected: bool = False  # Monday rejected the document as a whole, and may accept parts of it


def plan_pass(board: BoardContext, claims: Sequence[Claim], gatherer: Gatherer) -> list[PlannedRun]:
    """Plan one pass over these records and items, and behind it the one that follows from it at once, if any does.

    What these would count, or ask to be approved, the gatherer foresees in the passes that it is used for later.
    """
    planned = decide_pass(board, claims, gatherer)
    runs = [planned]
    records = _records_after(planned)
    if claimed_next := [sweep_claim(board.link.entity_type, pk, []) for pk in sorted(records)]:
        runs.append(decide_pass(planned.facts.board, claimed_next, gatherer, records, planned.plan))
    for run in reversed(runs):
        clears = new_clear_requests(run.plan, choices.ApprovalState.DONE, choices.ApprovalState.PENDING)
        removals = new_removal_requests(run.plan.deleted.values())
        gatherer.foreseen = [*gatherer.foreseen, *removals, *new_deletion_requests(run.plan), *clears]
    return runs


def _records_after(planned: PlannedRun) -> dict[UUID, SyncedModel]:
    """Return the records whose passes follow at once, as this one would leave them: linked, created or answered."""
    plan = planned.plan
    facts = planned.facts.answers
    named = facts.records.keys()
    for answer in plan.answers:
        facts = facts_after(facts, answer)
    made = {p.record.pk: p.record for p in plan.items if p.act in pass_plan.ASSIGNING and p.record}
    records = {key: record for key, record in made.items() if key not in plan.records}
    answered = {key: p.record for key, p in plan.records.items() if p.ending.detail == ANSWERED}
    linking = {key: p for key, p in plan.records.items() if p.ending.detail == LINKED}
    records |= {key: p.linked_record for key, p in linking.items()}
    # One that is united with another is gone.
    records |= {key: record for key, record in answered.items() if key not in named}
    linked = {answer.record_id for answer in plan.answers if answer.result and answer.record_id}
    return records | {key: facts.records[key] for key in answered.keys() | linked if key in facts.records}


def decide_pass(
    board: BoardContext,
    claims: Sequence[Claim],
    gatherer: Gatherer,
    records: Mapping[UUID, SyncedModel] = MappingProxyType({}),
    answered: pass_plan.Plan | None = None,
) -> PlannedRun:
    """Decide a pass; `records` stand in for those that are stored, and of those `answered` before no answer is left."""
    facts = claimed(board, claims, records)
    if answered is not None:
        facts = replace(facts, records=tuple(_unanswered(record, answered) for record in facts.records))
    calls_before = gatherer.calls
    facts, plan = gatherer.gather(facts)
    calls = gatherer.calls - calls_before
    cause = facts.error
    if cause is None:
        return PlannedRun(facts, plan, calls)
    if facts.columns is not None:
        # As a real next pass would, this one does without the column that is missing.
        again = decide_pass(facts.board, claims, gatherer, records, answered)
        return replace(again, calls=calls + again.calls)
    released = pass_plan.ending(pass_plan.Outcome.RELEASED, cause.sentence)
    rejected = cause.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD)
    plan = unread(facts, plan, released, released)
    return PlannedRun(facts, plan, calls, cause.sentence, rejected and len(claims) > 1)


def _unanswered(record: RecordFacts, answered: pass_plan.Plan) -> RecordFacts:
    before = answered.records.get(record.id)
    return replace(record, conflicts=before.facts.conflicts, ledger=before.ledger) if before else record


def sweep_claim(entity_type: str, entity_id: UUID, rows: Sequence[SyncQueue]) -> Claim:
    """Return a record as a sweep would claim it: with its pending jobs, or the one that it would write."""
    jobs = list(rows) or [_sweep_job(entity_type, entity_id, None)]
    for row in jobs:
        row.causes = row.causes | int(choices.Cause.SWEEP)
    return Claim(entity_id, None, jobs)


def item_claim(entity_type: str, item_id: str) -> Claim:
    return Claim(None, item_id, [_sweep_job(entity_type, None, item_id)])


def _sweep_job(entity_type: str, entity_id: UUID | None, item_id: str | None) -> SyncQueue:
    is_new_item = entity_id is None
    return SyncQueue(
        id=0, entity_type=entity_type, entity_id=entity_id, remote_id=item_id, payload={}, attempts=0,
        direction=choices.QueueDirection.TO_NPD if is_new_item else choices.QueueDirection.TO_MONDAY,
        operation=choices.Operation.CREATE if is_new_item else choices.Operation.UPDATE,
        status=choices.QueueStatus.PENDING, priority=choices.Priority.SWEEP, causes=int(choices.Cause.SWEEP),
        reason="", error_message="", created_at=sync_now(),
    )  # fmt: skip


def run_cost(planned: PlannedRun) -> int:
    """Return how many calls carrying it out takes, where Monday takes all documents."""
    if planned.unread:
        return planned.calls
    plan = planned.plan
    writes = bool(changed_records_of(planned.facts.board, plan)) + bool(created_records_of(plan))
    removals = {deleted.item_removal for deleted in plan.deleted.values()} - {None}
    return planned.calls + writes + len(removals)


# What passes would change, line by line: read off their plans, of a whole board or of one record.


class ChangeKind(models.TextChoices):
    """What would happen, in the order in which it is listed; the label is for counts."""

    PUSH = "push", "to send to Monday"
    PULL = "pull", "to update from Monday"
    CREATE = "create", "items to make on the board"
    LINK = "link", "to link with an item"
    NEW_RECORD = "new record", "records to make in NPD"
    CONFLICT = "conflict", "fields in conflict"
    ASK = "ask", "questions to you"
    ARCHIVE = "archive item", "items to archive"
    DELETE_ITEM = "delete item", "items to delete"
    DELETE_RECORD = "delete record", "records to delete in NPD"
    UNLINK = "unlink", "to unlink"
    BLOCKED = "blocked", "blocked"
    LEFT = "left as it is", "left as they are"
    FAILED = "failed", "that could not be synced"


_ITEM_REMOVALS = {
    choices.DeletedRecordPolicy.ARCHIVE: ChangeKind.ARCHIVE,
    choices.DeletedRecordPolicy.DELETE: ChangeKind.DELETE_ITEM,
    choices.DeletedRecordPolicy.UNLINK: ChangeKind.UNLINK,
}

_REMOVED_ITEM_KINDS = {
    pass_plan.RecordAction.CREATE: ChangeKind.CREATE,
    pass_plan.RecordAction.DELETE: ChangeKind.DELETE_RECORD,
    pass_plan.RecordAction.UNLINK: ChangeKind.UNLINK,
}
_NEW_ITEM_KINDS = {
    pass_plan.ItemAct.CREATE: ChangeKind.NEW_RECORD,
    pass_plan.ItemAct.LINK: ChangeKind.LINK,
    pass_plan.ItemAct.REPLACE: ChangeKind.LINK,
}


@dataclass(frozen=True)
class PlannedChange:
    """One thing that would happen to one record, item or field; values as displayed."""

    kind: ChangeKind
    entity_type: str
    name: str
    entity_id: UUID | None = None
    item_id: str = ""
    field: str = ""
    before: str = ""
    after: str = ""
    reason: str = ""


def plan_changes(planned: PlannedRun) -> Iterator[PlannedChange]:
    plan = planned.plan
    for answer in plan.answers:
        yield from _answer_changes(planned, answer)
    for record_plan in plan.records.values():
        yield from _record_changes(record_plan)
    for deleted in plan.deleted.values():
        yield from _deletion_changes(deleted)
    yield from _new_item_changes(planned)


def _answer_changes(planned: PlannedRun, answer: pass_plan.IdentityAnswer) -> Iterator[PlannedChange]:
    """Yield what a person's answer to “who is this?” does by itself."""
    kinds = {
        pass_plan.AnswerKind.LINK: ChangeKind.LINK,
        pass_plan.AnswerKind.MERGE: ChangeKind.DELETE_RECORD,
        pass_plan.AnswerKind.NEW_RECORD: ChangeKind.NEW_RECORD,
    }
    entity_type = planned.facts.board.link.entity_type
    kind = kinds.get(answer.kind, ChangeKind.LEFT) if answer.result else ChangeKind.ASK
    entity_id = answer.merged_id or answer.record_id or answer.asked_of
    name = str(planned.facts.answers.records.get(entity_id) or planned.plan.records[answer.asked_of].record)
    if reason := answer.result or answer.outdated:
        yield PlannedChange(kind, entity_type, name, entity_id, answer.item_id, reason=reason)


def _record_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    """Yield what the pass would do with one record; nothing where both sides equal their base."""
    if plan.ending.detail == ANSWERED:
        return
    changes = [*_lifecycle_changes(plan), *_conflict_changes(plan)]
    if plan.is_open:
        changes += _field_changes(plan)
    changes += [
        _record_change(plan, ChangeKind.BLOCKED, field_plan, reason=field_plan.blocked_reason)
        for field_plan in plan.plans.values()
        if field_plan.blocked_reason and not field_plan.is_left_out and not field_plan.conflict
    ]
    yield from changes
    if plan.outcome in (pass_plan.Outcome.FAILED, pass_plan.Outcome.RELEASED) and plan.ending.detail != LINKED:
        yield _record_change(plan, ChangeKind.FAILED, reason=plan.ending.detail)
    elif not changes and plan.reason:
        yield _record_change(plan, ChangeKind.LEFT, reason=plan.reason)


def _record_change(
    plan: pass_plan.RecordPlan, kind: ChangeKind, field_plan: pass_plan.FieldPlan | None = None, **values: str
) -> PlannedChange:
    return PlannedChange(
        kind,
        plan.record.entity_type(),
        str(plan.record),
        plan.id,
        plan.record.monday_id or plan.item_id,
        field_plan.mapping.label if field_plan else "",
        **values,
    )


def _lifecycle_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    if plan.removal is not None and plan.removal.act:
        reason = f"{plan.removal.sentence} {plan.removal.decided_by}".strip()
        yield _record_change(plan, _REMOVED_ITEM_KINDS[plan.removal.act], reason=reason)
    elif plan.unlink:
        yield _record_change(plan, ChangeKind.UNLINK, reason="It is to be unlinked.")
    elif plan.is_open and plan.creates:
        yield _record_change(plan, ChangeKind.CREATE, reason="It has no item on the board.")
    elif plan.link_to:
        name = plan.item.name if plan.item else plan.link_to
        yield _record_change(plan, ChangeKind.LINK, after=name, reason="Its item was found on the board.")


def _field_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    # A created item's fields are part of its creation, and no changes of their own.
    for field_plan in plan.plans.values():
        reason = field_plan.decision.reason
        if field_plan.send_raw is not None and not plan.creates:
            before = _remote_text(field_plan)
            after = field_plan.display_local(field_plan.send_raw)
            yield _record_change(plan, ChangeKind.PUSH, field_plan, before=before, after=after, reason=reason)
        if field_plan.write_raw is not None:
            before = field_plan.display_local(field_plan.local_raw)
            after = field_plan.display_local(field_plan.write_raw)
            yield _record_change(plan, ChangeKind.PULL, field_plan, before=before, after=after, reason=reason)


def _remote_text(field_plan: pass_plan.FieldPlan) -> str:
    if field_plan.remote_raw is None:
        return ""
    try:
        return field_plan.convert.display(field_plan.convert.remote(field_plan.remote_raw))
    except UnknownValue:
        return "(not known)"


def _conflict_changes(plan: pass_plan.RecordPlan) -> Iterator[PlannedChange]:
    for report in conflict_reports(plan):
        if report.kind in (KIND_FIELDS, KIND_OVERWRITTEN):
            for values in report.fields:
                field_plan = plan.plans.get(values.key)
                if field_plan is None or not field_plan.choose:
                    change = _record_change(
                        plan, ChangeKind.CONFLICT, field_plan, before=values.npd or "", after=values.monday or "",
                        reason=values.reason,
                    )  # fmt: skip
                    yield replace(change, field=change.field or values.key)
        elif report.data:
            yield _record_change(plan, ChangeKind.ASK, reason=str(report.data.get("what", "")))


def _deletion_changes(plan: pass_plan.DeletedPlan) -> Iterator[PlannedChange]:
    tombstone = plan.facts.tombstone
    if plan.ending.detail == ANSWERED:
        return
    if plan.item_removal is not None:
        kind = _ITEM_REMOVALS[plan.item_removal]
        reason = "Its record was deleted in NPD."
    elif plan.question is not None:
        kind = ChangeKind.ASK
        reason = str(plan.question.data.get("what", ""))
    elif plan.restores:
        kind = ChangeKind.NEW_RECORD
        reason = "A person chose to restore it."
    elif plan.new_state is choices.TombstoneState.PENDING_APPROVAL:
        kind = ChangeKind.BLOCKED
        reason = plan.reason
    elif plan.ending.outcome in (pass_plan.Outcome.FAILED, pass_plan.Outcome.RELEASED):
        kind = ChangeKind.FAILED
        reason = plan.ending.detail
    else:
        return
    item_id = tombstone.monday_id or ""
    yield PlannedChange(
        kind, tombstone.entity_type, str(plan.facts.record), tombstone.entity_id, item_id, reason=reason
    )


def _new_item_changes(planned: PlannedRun) -> Iterator[PlannedChange]:
    """What becomes of items without a record; where Monday could not be read, why that is."""
    entity_type = planned.facts.board.link.entity_type
    plan = planned.plan
    for claim, ended in plan.other_jobs:
        if item := claim.remote_id:
            yield PlannedChange(ChangeKind.LEFT, entity_type, f"item {item}", None, item, reason=ended.detail)
    for item_plan in plan.items:
        item = item_plan.facts.item_id
        if item_plan.act in _NEW_ITEM_KINDS:
            record = item_plan.record
            kind = _NEW_ITEM_KINDS[item_plan.act]
            entity_id = record.pk if record else None
            yield PlannedChange(kind, entity_type, str(record), entity_id, item, reason=item_plan.sentence)
        else:
            kind = ChangeKind.ASK if item_plan.act is pass_plan.ItemAct.ASK else ChangeKind.LEFT
            yield PlannedChange(kind, entity_type, f"item {item}", None, item, reason=item_plan.ending.detail)


# How a change reads.


VALUE_LENGTH = 60


def change_line(change: PlannedChange) -> str:
    """Return a change as a person reads it: the record, the field, from what to what, and why."""
    name = f"{change.name} · {change.field}" if change.field else change.name
    reason = f" ({change.reason.rstrip('.')})" if change.reason else ""
    before = quote(change.before, VALUE_LENGTH)
    after = quote(change.after, VALUE_LENGTH)
    if change.kind is ChangeKind.CONFLICT:
        return f"{name}: NPD {before}, Monday {after}{reason}"
    if change.kind in (ChangeKind.PUSH, ChangeKind.PULL):
        return f"{name}: {before} → {after}{reason}"
    if change.after:
        return f"{name}: {after}{reason}"
    return f"{name}: {change.reason}" if change.reason else name


# What the next passes of one record would change.


def plan_record(link: BoardLink, entity_id: UUID) -> tuple[PlannedRun, list[PlannedChange]]:
    """Return what passes over one record (or a deleted one's tombstone) would find last, and all that they would do."""
    rows = SyncQueue.objects.filter(
        entity_type=link.entity_type, entity_id=entity_id, status=choices.QueueStatus.PENDING
    )
    record_claim = sweep_claim(link.entity_type, entity_id, list(rows.order_by("priority", "id")))
    runs = plan_pass(load_board(link), [record_claim], Gatherer())
    return runs[-1], [change for run in runs for change in plan_changes(run)]


def plan_link(record: SyncedModel, item_id: str) -> tuple[list[PlannedChange], str]:
    """Return what the first pass after linking them would do, by one read of the item; or why that can't be told."""
    link = link_of(record.entity_type())
    reason = availability.of(record.entity_type(), urgent=True).blocked_reason
    if link is None or reason:
        return [], reason
    linked = copy(record)
    linked.monday_id = item_id
    linked.sync_enabled = True
    # A person's click may use the urgent reserve of calls.
    with urgent_calls(), read_only_client():
        record_claim = sweep_claim(link.entity_type, record.pk, [])
        planned = decide_pass(load_board(link), [record_claim], Gatherer(), {record.pk: linked})
    [plan] = planned.plan.records.values()
    if plan.item is None:
        return [], planned.unread or plan.ending.detail or "Monday doesn't show the item any more."
    return [change for change in plan_changes(planned) if change.kind is not ChangeKind.LEFT], ""
