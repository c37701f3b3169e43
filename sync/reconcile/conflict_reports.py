"""What a pass tells the store of conflicts, and why: the edit, the jobs, the calls and the rule behind each
decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.choices import Cause
from sync.connectors.base.board import EventKind, ItemEvent
from sync.kernel.conflict_store import (
    KIND_DELETE,
    KIND_FIELDS,
    KIND_IDENTITY,
    RECORD_KEY,
    ConflictReport,
    FieldConflict,
    OpenConflict,
)
from sync.merge import Action
from sync.models import Decision
from sync.outbox.claim import Claim
from sync.reconcile.facts import RETURN, HistoryLine
from sync.reconcile.field_plan import FieldPlan, is_kept_different
from sync.reconcile.field_values import ACTIVE, field_of
from sync.reconcile.identity import wants_new_item
from sync.reconcile.lost_updates import LostUpdateConflict
from sync.reconcile.pass_plan import Outcome, RecordPlan
from sync.reconcile.resolutions import as_conflict, inverse_of, reopened_conflicts, undo_reports, undo_results
from sync.records.authors import MAX_ACTOR_LENGTH, SYNC_ACTOR, last_edit, monday_editor_name, monday_user_name

PUSH = "push"
_FROM_NPD = {PUSH, "overridden", "conflict"}
_FROM_MONDAY = {"pull"}


@dataclass
class Authors:
    """Who edited what, for the records of one pass; read only where a line of the history asks for it."""

    history: dict[UUID, list[Any]] = field(default_factory=dict)
    users: Mapping[Any, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PassId:
    """Which pass it was: its id, and the id of the request that read Monday, or an empty text."""

    id: UUID
    read_request: str = ""


def moved_records(plans: Iterable[RecordPlan]) -> set[UUID]:
    """Return the records of which a line says that somebody's edit in NPD moved: whose is to be known."""
    lines = [(plan, line) for plan in plans for line in plan.log if line.key]
    return {plan.id for plan, line in lines if line.kind in _FROM_NPD or line.values.get("overridden")}


def history_rows(plans: Sequence[RecordPlan], this: PassId, authors: Authors) -> list[Decision]:
    """Return what is stored of these records' history lines: with the pass, Monday's request and their cause."""
    return [_history_row(line, one, this, authors) for one in plans for line in one.log]


def cause_of_claim(claim: Claim) -> dict[str, Any]:
    """Return what the claimed jobs say of the cause."""
    cause_data: dict[str, Any] = {
        "rows": [row.id for row in claim.rows],
        "causes": [str(cause.name).lower() for cause in Cause if cause in claim.causes],
    }
    if by := claim.payload.get("by"):
        cause_data["by"] = str(by)
    return cause_data


def cause_of_item(claim: Claim, events: Sequence[int], rule: str, read: str) -> dict[str, Any]:
    """Return the cause of a decision on an item that no record had; `read` is the id of the request that read it."""
    cause_data = cause_of_claim(claim) | {"events": list(events), "rule": rule}
    return cause_data | ({"read": read} if read else {})


def _history_row(line: HistoryLine, plan: RecordPlan, this: PassId, authors: Authors) -> Decision:
    field_plan = plan.plans.get(line.key)
    columns = (None, field_plan.mapping.column_id) if field_plan else ()
    events = [(r.pk, r.event) for r in plan.facts.events if r.event and (not columns or r.event.column_id in columns)]
    cause = cause_of_claim(plan.facts.claim) | {"events": [pk for pk, _ in events]}
    if field_plan is not None and field_plan.decision.reason:
        cause |= {"rule": field_plan.decision.reason, "action": str(field_plan.decision.action)}
    if this.read_request:
        cause["read"] = this.read_request
    request_id, actor = this.read_request, line.actor
    if plan.intent is not None and line.kind not in _FROM_MONDAY:
        request_id = plan.intent.request_id
        cause |= {"intent": str(plan.intent.pk), "alias": plan.intent.alias}
    if field_plan is not None:
        editors, actor = _editors(line, plan, field_plan, [event for _, event in events], authors)
        cause |= editors
    if line.kind == RETURN and not actor:
        restored = [event.user_id for _, event in events if event.kind is EventKind.RESTORED and event.user_id]
        actor = monday_editor_name(restored[-1], authors.people) if restored else ""
    return Decision(
        entity_type=plan.record.entity_type(),
        entity_id=plan.id,
        remote_id=line.item_id,
        key=line.key,
        kind=line.kind,
        sentence=line.sentence,
        values=line.values,
        actor=actor,
        batch_id=this.id,
        request_id=request_id,
        cause=cause,
    )


def _editors(
    line: HistoryLine, plan: RecordPlan, field_plan: FieldPlan, events: Sequence[ItemEvent], authors: Authors
) -> tuple[dict[str, Any], str]:
    """Who edited on either side, as far as it is known, and the actor: of a value taken over its editor."""
    attnames, actor = [field_of(plan.record, name).attname for name in field_plan.mapping.fields], line.actor
    needs_history = line.kind in _FROM_NPD or bool(line.values.get("overridden"))
    history, found = authors.history.get(plan.id, []) if needs_history else [], dict[str, Any]()
    if (edit := last_edit(history, attnames, authors.users)) is not None:
        found["npd"] = {"who": edit.who, "way": edit.way, "at": edit.at.isoformat()}
        if line.kind == PUSH and not actor and edit.who != SYNC_ACTOR:
            actor = edit.who[:MAX_ACTOR_LENGTH]
    last = next((event for event in reversed(events) if event.user_id), None)
    if last is not None and last.user_id and field_plan.decision.action is not Action.NOTHING:
        found["monday"] = {"who": monday_user_name(last.user_id, authors.people), "user": last.user_id}
        if last.happened_at is not None:
            found["monday"]["at"] = last.happened_at.isoformat()
        if line.kind in _FROM_MONDAY:
            actor = monday_editor_name(last.user_id, authors.people)
    return found, actor


# What a pass tells the store of conflicts about a record whose item is gone, or is back.


def removed_item_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """Yield what becomes of the question what is to be done, and of open questions that can't be settled meanwhile."""
    removed_item = plan.removal
    if removed_item is not None and removed_item.needs_answer and not plan.unlink:
        rejected = {RECORD_KEY: removed_item.problem} if removed_item.problem else {}
        data = removed_item.conflict_data
        yield plan.conflict_report(KIND_DELETE, fields=removed_item.fields, rejected=rejected, data=data)
        # Choices of fields can't be carried out without an item: they are handed back, their conflict stays.
        detail = "The item left the board, so nothing could be written. First decide what happens to the record."
        for conflict in plan.facts.conflicts:
            if conflict.kind == KIND_FIELDS and conflict.resolutions:
                rejected = dict.fromkeys(conflict.resolutions, detail)
                yield plan.conflict_report(
                    KIND_FIELDS, conflict.monday_item_id, undecided=conflict.fields, rejected=rejected
                )
        return
    conflict_of = {conflict.kind: conflict for conflict in reversed(plan.facts.conflicts)}
    if KIND_DELETE in conflict_of and (detail := _answered_reason(plan)):
        is_chosen = removed_item is not None and removed_item.result and removed_item.chosen
        yield plan.conflict_report(
            KIND_DELETE,
            conflict_of[KIND_DELETE].monday_item_id,
            applied={RECORD_KEY: detail} if is_chosen else {},
            closing_reason=detail,
        )


def _answered_reason(plan: RecordPlan) -> str:
    """Why nobody is asked any more what becomes of the record; empty where that isn't known."""
    if plan.removal is not None and plan.removal.result:
        return plan.removal.result
    if plan.unlink:
        return "The record was unlinked from its item."
    if not plan.may_sync:
        return plan.off_reason
    is_read = plan.item is not None and plan.ledger.remote_state == ACTIVE
    return "The item is on the board again." if is_read and plan.removal is None else ""


# What a pass tells the store of conflicts.


def conflict_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """Yield one report for every kind of conflict that this pass opened, keeps or ends."""
    yield from removed_item_reports(plan)
    if plan.is_deleted:
        why = "The record was deleted in NPD."
        for conflict in plan.facts.conflicts:
            if conflict.kind != KIND_DELETE:
                yield plan.conflict_report(conflict.kind, conflict.monday_item_id, closing_reason=why)
        return
    plans, may_sync = plan.plans, plan.may_sync
    found = () if plan.left_out else fields_in_conflict(plan)
    applied, undone = plan.carried_out_of(KIND_FIELDS), undo_results(plan, KIND_FIELDS)
    was_open = plan.facts.open_fields(KIND_FIELDS)
    if found or undone or (was_open and (plans or not may_sync)):
        moved = [p for key in was_open if (p := plans.get(key)) and p.decision.action in (Action.PUSH, Action.PULL)]
        settled = "; ".join(dict.fromkeys(p.decision.reason for p in moved))
        why = f"It was resolved: {settled}." if moved else "Both sides say the same now."
        yield plan.conflict_report(
            KIND_FIELDS,
            fields=found,
            undecided=() if plan.left_out else undecided_fields(plan),
            applied=applied,
            rejected={key: why for key, why in plan.rejected_of(KIND_FIELDS).items() if key in plans},
            closing_reason=why if may_sync else plan.off_reason,
            inverse={key: inverse_of(plan, plans[key]) for key in applied},
            undone=undone,
        )
    yield from undo_reports(plan)
    if (lost := LostUpdateConflict(plan).report) is not None:
        yield lost
    yield from _identity_reports(plan)


def fields_in_conflict(plan: RecordPlan) -> tuple[FieldConflict, ...]:
    """Return the fields in conflict now; one whose choice could not be carried out yet is still among them."""
    found = []
    for key, field_plan in plan.plans.items():
        if field_plan.conflict:
            found.append(field_plan.conflict)
        elif field_plan.resolved_kind == KIND_FIELDS and (KIND_FIELDS, key) not in plan.carried_out:
            found.append(as_conflict(field_plan))
    return (*found, *reopened_conflicts(plan, KIND_FIELDS))


def undecided_fields(plan: RecordPlan) -> tuple[str, ...]:
    """Return the fields in conflict that this pass could not decide: they stay as they are, with their choices."""
    decided = {conflict.key for conflict in fields_in_conflict(plan)}
    return tuple(
        key
        for key in plan.facts.open_fields(KIND_FIELDS)
        if key not in decided and (field_plan := plan.plans.get(key))
        if field_plan.blocked_reason or key in plan.fields.dropped
        if not is_kept_different(plan, field_plan)
    )


def _identity_reports(plan: RecordPlan) -> Iterator[ConflictReport]:
    """What is asked: which item is the record's, or whether another record is the same person; and what is answered."""
    asked: dict[str, dict[str, Any]] = {}
    if question := plan.identity.question:
        asked[str(question["candidates"][0]["id"]) if question["candidates"] else ""] = question
    if plan.duplicate:
        asked[plan.record.monday_id or ""] = plan.duplicate
    for item_id, question in asked.items():
        yield plan.conflict_report(KIND_IDENTITY, item_id, data=question)
    is_read = plan.item is not None and plan.outcome is Outcome.SETTLED and plan.record.monday_id
    for conflict in plan.facts.conflicts:
        is_answered = RECORD_KEY in conflict.resolutions
        answer_waits = plan.outcome is Outcome.PAUSED and is_answered
        if conflict.kind != KIND_IDENTITY or conflict.monday_item_id in asked or answer_waits:
            continue
        if wants_new_item(plan.facts) and is_answered and not plan.left_out:
            # The answer “none of them” is carried out once the record has an item of its own, by whatever pass.
            if plan.link_to is not None or is_read:
                yield identity_report(plan, conflict, "None of them: a new item was created.")
        elif _is_identity_known(plan, conflict):
            why = plan.left_out or "It is now known which item it is."
            yield plan.conflict_report(KIND_IDENTITY, conflict.monday_item_id, closing_reason=why)


def identity_report(plan: RecordPlan, conflict: OpenConflict, done: str) -> ConflictReport:
    """Return what tells the store of conflicts that an answer to “who is this?” was carried out."""
    applied = {RECORD_KEY: done}
    return plan.conflict_report(KIND_IDENTITY, conflict.monday_item_id, applied=applied, closing_reason=done)


def _is_identity_known(plan: RecordPlan, conflict: OpenConflict) -> bool:
    """Whether it is known whose the item in question is, or that this record asks for none any more."""
    if not plan.may_sync or conflict.monday_item_id in plan.facts.owned_items:
        return True
    linked_now = plan.link_to is not None or plan.creates or plan.identity.question is not None
    is_read = plan.item is not None and plan.outcome is Outcome.SETTLED
    mine = conflict.monday_item_id == plan.record.monday_id
    return linked_now or (is_read and bool(plan.record.monday_id) and (mine or conflict.seeks_item))
