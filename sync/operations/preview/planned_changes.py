"""What passes would change, line by line: read off their plans, of a whole board or of one record."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import models

from conflicts.reports import KIND_FIELDS, KIND_LOST_UPDATE
from sync.choices import DeletedRecordPolicy, QueueStatus, TombstoneState
from sync.kernel.humanize import quote
from sync.limits import urgent_calls
from sync.models import BoardLink, SyncedModel, SyncQueue
from sync.monday.conversion import UnknownValue
from sync.operations import preview
from sync.operations.preview import PlannedRun
from sync.reconcile import pass_plan
from sync.reconcile.gather import Gatherer
from sync.reconcile.identity import ANSWERED, LINKED
from sync.reconcile.lookups import load_board
from sync.reconcile.settlement import conflict_reports
from sync.records import availability
from sync.registry import link_of


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
    DeletedRecordPolicy.ARCHIVE: ChangeKind.ARCHIVE,
    DeletedRecordPolicy.DELETE: ChangeKind.DELETE_ITEM,
    DeletedRecordPolicy.UNLINK: ChangeKind.UNLINK,
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
    kind = kinds.get(answer.kind, ChangeKind.LEFT) if answer.done else ChangeKind.ASK
    entity_id = answer.made_id or answer.record_id or answer.asked_of
    name = str(planned.facts.answers.records.get(entity_id) or planned.plan.records[answer.asked_of].record)
    if reason := answer.done or answer.outdated:
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
        reason = f"{plan.removal.what} {plan.removal.by}".strip()
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
        if report.kind in (KIND_FIELDS, KIND_LOST_UPDATE):
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
    elif plan.new_state is TombstoneState.PENDING_APPROVAL:
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
    rows = SyncQueue.objects.filter(entity_type=link.entity_type, entity_id=entity_id, status=QueueStatus.PENDING)
    record_claim = preview.sweep_claim(link.entity_type, entity_id, list(rows.order_by("priority", "id")))
    runs = preview.plan_pass(load_board(link), [record_claim], Gatherer())
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
    with urgent_calls(), preview.read_only_client():
        record_claim = preview.sweep_claim(link.entity_type, record.pk, [])
        planned = preview.decide_pass(load_board(link), [record_claim], Gatherer(), {record.pk: linked})
    [plan] = planned.plan.records.values()
    if plan.item is None:
        return [], planned.unread or plan.ending.detail or "Monday doesn't show the item any more."
    return [change for change in plan_changes(planned) if change.kind is not ChangeKind.LEFT], ""
