"""Writes to Monday as values: made from a record's plan, and the plan after Monday's answer. act.py sends them.

Implements, of docs/reference/merge.md: in “A field, both ways”, that only the field is blocked whose value Monday
refuses; in “A record and its item”, *never linked … none → create the item*, if it is created with only its name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from sync.choices import BlockedCode
from sync.merge import Action
from sync.models import ApprovalRequest, SyncedModel
from sync.monday.board_items import NAME_COLUMN
from sync.monday.errors import MondayError, Scope
from sync.reconcile import pass_plan
from sync.reconcile.facts import HistoryLine, PassFacts
from sync.reconcile.field_values import BoardContext
from sync.reconcile.removed_items import cleared_columns


@dataclass(frozen=True)
class FieldWrite:
    """A field's value as its column takes it."""

    key: str
    column_id: str
    value: Any
    entry: Mapping[str, Any]  # the intent's entry for it
    creates_labels: bool = False


@dataclass(frozen=True)
class Write:
    """A write about one unit: a record, a deleted record, or a record's duplicate."""

    unit: str
    record_id: UUID
    item_id: str = ""
    fields: tuple[FieldWrite, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)  # other columns, by id
    # The record's settings at the time of the plan; if they change before the call, it isn't sent. None if the record
    # was deleted, or the item is its duplicate.
    settings: tuple[bool, str, str | None] | None = None
    removes: str = ""  # the policy by which a deleted record's item leaves the board, stored with the intent
    is_divided: bool = False  # it is alone in its document, and each of its values has an alias of its own
    # Counts the write, once however it is divided; stored with the intent, so that it counts even after a crash.
    approval: ApprovalRequest | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {value.column_id: value.value for value in self.fields} | dict(self.columns)


def is_refused(error: MondayError) -> bool:
    """Whether Monday refused a document because of its content before running it, so that it may be divided."""
    return error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)


def settings_of(record: SyncedModel) -> tuple[bool, str, str | None]:
    """Return the settings that must not change between a record's plan and its call."""
    return record.sync_enabled, record.sync_direction, record.monday_id


def item_changes(board: BoardContext, plan: pass_plan.Plan) -> list[pass_plan.RecordPlan]:
    """Return the plans of the records whose items are changed on Monday."""

    def sends(record_plan: pass_plan.RecordPlan) -> bool:
        if record_plan.unlink:
            return bool(cleared_columns(board, record_plan))
        is_sent = any(field_plan.send_raw is not None for field_plan in record_plan.plans.values())
        return record_plan.write_npd_id or is_sent

    return [record_plan for record_plan in plan.open_records if not record_plan.creates and sends(record_plan)]


def item_creates(plan: pass_plan.Plan) -> list[pass_plan.RecordPlan]:
    return [record_plan for record_plan in plan.open_records if record_plan.creates]


def write_of(board: BoardContext, plan: pass_plan.RecordPlan) -> Write:
    """Return the write of a record: the planned values and its NPD ID."""
    has_npd_id = plan.write_npd_id or plan.creates
    columns = {board.link.npd_id_column: str(plan.id)} if has_npd_id else {}
    fields = []
    for field_plan in plan.plans.values():
        if field_plan.send_raw is None:
            continue
        mapping = field_plan.mapping
        entry = {
            "local": field_plan.send_raw,
            "read": field_plan.remote_raw,
            "base": field_plan.base,
            "column": mapping.column_id,
            "version": mapping.version,
            # The record has a united list only after the answer; until then its own list isn't a later edit.
            "united": field_plan.decision.action is Action.BOTH and not field_plan.choice,
        }
        convert = field_plan.convert
        value = convert.to_remote(field_plan.send_raw, field_plan.remote_raw)
        fields.append(FieldWrite(mapping.key, mapping.column_id, value, entry, convert.has_labels))
    return Write(
        str(plan.id),
        plan.id,
        plan.item_id,
        tuple(fields),
        cleared_columns(board, plan) if plan.unlink else columns,
        settings=settings_of(plan.record),
    )


def end_uncreatable(facts: PassFacts, plan: pass_plan.RecordPlan) -> pass_plan.RecordPlan:
    """Settle a record that can't have an item because its name is missing or blocked. A rule."""
    name = next((entry for entry in plan.plans.values() if entry.mapping.column_id == NAME_COLUMN), None)
    problem = "no name is mapped" if name is None else name.blocked_reason.rstrip(".")
    return plan.end_settled(f"It can't be put on the board: {problem}.") if plan.creates and problem else plan


def after_answer(plan: pass_plan.RecordPlan, answer: pass_plan.WriteAnswer) -> pass_plan.RecordPlan:
    """Return a record's plan with Monday's answer: refused values are blocked, unsent ones are no longer planned.

    An item can't be created without its name; if another value is refused, it is created with its name alone.
    """
    plans = dict(plan.plans)
    lines = []
    for key, error in answer.rejected.items():
        field_plan = plans[key]
        value = field_plan.display_local(field_plan.send_raw or field_plan.local_raw)
        advice = "Choose another value." if field_plan.choice else error.advice
        problem = error.message.rstrip(" .")
        reason = f"Monday rejected “{value}”: {problem}. {advice}"
        plans[key] = field_plan.block(BlockedCode.REJECTED, reason)
        sentence = f"{field_plan.mapping.label} rejected: {problem}."
        lines.append(HistoryLine("blocked", sentence, key, values={"request": error.request_id}))
    for key, field_plan in plans.items():
        if key in answer.unsent or (answer.is_name_only and field_plan.mapping.column_id != NAME_COLUMN):
            plans[key] = replace(field_plan, send_raw=None)
    plan = replace(plan, plans=plans, answer=answer).logged(*lines)
    if answer.item is not None and plan.creates:
        plan = replace(plan, identity=replace(plan.identity, item=answer.item)).with_facts(item=answer.item)
        plan = plan.with_state(remote_state=answer.item.state)
        plan = plan.logged(HistoryLine("create", f"Created the item “{answer.item.name}” on the board."))
    if plan.creates and any(plans[key].mapping.column_id == NAME_COLUMN for key in answer.rejected):
        # No item is made without a name, and the answer stays the same until that changes.
        return plan.end_settled(f"It can't be put on the board: {answer.detail}")
    if answer.verdict is pass_plan.Verdict.GONE:
        # It left the board after it was read; the next pass reads its state.
        plan = plan.with_state(remote_state="inactive")
    if answer.verdict is pass_plan.Verdict.WITHDRAWN:
        return plan.end_unapplied(pass_plan.Outcome.RELEASED, answer.detail)
    return plan if answer.verdict is pass_plan.Verdict.DONE else replace(plan, ending=answer.ending)
