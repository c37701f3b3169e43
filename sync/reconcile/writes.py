"""What is sent and what an answer means: writes made of plans, and plans as Monday's answers leave them. Sends nothing.

Decides of docs/reference/merge.md: of “A field, both ways” that a field is blocked alone where Monday refuses its
value; of “A record and its item” *never linked … none → create the item*, where it is made with its name alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync.choices import BlockedCode, DeletedRecordPolicy
from sync.merge import Action
from sync.models import ApprovalRequest, Intent, SyncedModel
from sync.monday.board_items import NAME_COLUMN, Item
from sync.monday.errors import MondayError, Scope
from sync.reconcile.facts import HistoryLine
from sync.reconcile.field_values import BoardContext
from sync.reconcile.pass_plan import FieldPlan, Outcome, PassFacts, Plan, RecordPlan
from sync.reconcile.sides import cleared_columns


@dataclass(frozen=True)
class FieldWrite:
    """A field's value as its column takes it; `entry` is what the intent says of it."""

    key: str
    column_id: str
    value: Any
    entry: Mapping[str, Any]
    creates_labels: bool = False


@dataclass(frozen=True)
class Expected:
    """What was so when a write was decided, and must be so still when it is announced.

    Of a record its own `settings` and each mapping's version and direction, by key; of a deleted record its tombstone,
    and the policy where no person chose.
    """

    settings: tuple[bool, str, str | None] = (True, "", None)
    mappings: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    tombstone: int | None = None
    policy: DeletedRecordPolicy | None = None


@dataclass(frozen=True)
class Write:
    """What is sent about one unit: the values of its fields, other columns by id, and a new item's name.

    `approval` counts it, stored where it is announced, so that a crash leaves it counted; once, however it is divided.
    """

    unit: str
    record_id: UUID
    item_id: str = ""
    fields: tuple[FieldWrite, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    expected: Expected = field(default_factory=Expected)
    approval: ApprovalRequest | None = None

    @property
    def values(self) -> dict[str, Any]:
        return {one.column_id: one.value for one in self.fields} | dict(self.columns)


class Kind(StrEnum):
    CHANGE = "change"
    CREATE = "create"
    ARCHIVE = "archive"
    DELETE = "delete"


class Verdict(StrEnum):
    DONE = "done"
    GONE = "the item left the board"
    REFUSED = "refused for the unit's own sake"
    FAILED = "the call failed for the unit's own sake"
    STOPPED = "stopped by account or board"
    HELD = "the call failed, perhaps for the unit's own sake: it waits alone"
    WITHDRAWN = "not wanted any more"
    """Nothing of what was planned holds: paused or changed meanwhile."""
    NAME_ONLY = "refused for a value"
    """A new item, of which the name alone is sent next."""


@dataclass(frozen=True)
class Answer:
    """What became of one write; `detail` says why it was not done.

    `item` is the item as the last answer shows it, `alone` by field where a value was sent alone. `rejected` are the
    values that Monday refused, `unsent` those that were not sent after all; `is_bare`: the item was made, or was to be
    made, with its name alone, and was refused for lack of what was `demanded`, by column. `intent` is the announcement,
    where it stands open. `at_most` is in how large a document a stopped unit is sent next, `wait_seconds` how long a
    held one waits.
    """

    verdict: Verdict
    detail: str = ""
    item: Item | None = None
    intent: Intent | None = None
    alone: Mapping[str, Item] = field(default_factory=dict)
    rejected: Mapping[str, MondayError] = field(default_factory=dict)
    unsent: frozenset[str] = frozenset()
    is_bare: bool = False
    demanded: frozenset[str] = frozenset()
    at_most: int = 0
    wait_seconds: float = 0

    def item_of(self, key: str) -> Item | None:
        """Return the item as the answer to this field's own call showed it, else as the call's answer did."""
        return self.alone.get(key) or self.item

    def dropped(self) -> Answer:
        """Return the answer of what is found out by the next pass: its announcement is left to that."""
        return replace(self, intent=None) if self.intent else self


NOTHING_SENT = Answer(Verdict.DONE)


@dataclass(frozen=True)
class Answers:
    """What Monday made of all that a pass sent, of records and deleted records by their ids.

    `duplicates` are the answers about each second item with which the pass went on, by its unit. `editor_events` tell
    who edited the items that left the board, and `people` are Monday's users.
    """

    records: Mapping[UUID, Answer] = field(default_factory=dict)
    deleted: Mapping[UUID, Answer] = field(default_factory=dict)
    duplicates: Mapping[str, tuple[Answer, ...]] = field(default_factory=dict)
    editor_events: Mapping[UUID, Any] = field(default_factory=dict)
    people: Mapping[str, Any] = field(default_factory=dict)

    def of(self, record_id: UUID) -> Answer:
        return self.records.get(record_id, NOTHING_SENT)


def is_refused(error: MondayError) -> bool:
    """Whether a document was refused for what it says, before anything of it ran: it may be divided, or made anew."""
    return error.scope in (Scope.DOCUMENT, Scope.RECORD, Scope.FIELD, Scope.COLUMN)


# What is sent of a record, from its plan.


def settings_of(record: SyncedModel) -> tuple[bool, str, str | None]:
    """Return what of a record must not change between its plan and its call."""
    return record.sync_enabled, record.sync_direction, record.monday_id


def write_of_record(board: BoardContext, plan: RecordPlan) -> Write:
    """Return what is sent of a record: the planned values, and bookkeeping."""
    record, item, plans = plan.record, plan.item, plan.plans
    has_npd_id = plan.fields.write_npd_id or plan.creates
    columns = {board.link.npd_id_column: str(plan.id)} if has_npd_id else {}
    name = _name_plan(plans.values()) if plan.creates else None
    return Write(
        str(plan.id),
        plan.id,
        item.id if item else "",
        tuple(_field_write(key, p) for key, p in plans.items() if p.send_raw is not None),
        cleared_columns(board, plan) if plan.unlink else columns,
        str(name.convert.to_remote(name.local_raw, None)) if name else "",
        Expected(
            settings_of(record), {p.mapping.key: (p.mapping.version, p.mapping.direction) for p in plans.values()}
        ),
    )


def _field_write(key: str, plan: FieldPlan) -> FieldWrite:
    mapping = plan.mapping
    entry = {
        "local": plan.send_raw,
        "read": plan.remote_raw,
        "base": plan.base,
        "column": mapping.column_id,
        "version": mapping.version,
        # The record takes a united list only with the answer: until then its own is no later edit of it.
        "united": plan.decision.action is Action.BOTH and not plan.choose,
    }
    value = plan.convert.to_remote(plan.send_raw or {}, plan.remote_raw)
    return FieldWrite(key, mapping.column_id, value, entry, plan.convert.has_labels)


def create_problem(plans: Mapping[str, FieldPlan]) -> str:
    """Return why no item can be made of a planned record; empty where one can."""
    name = _name_plan(plans.values())
    # Without another value that is blocked an item can be made.
    return "no name is mapped" if name is None else name.blocked_reason


def _name_plan(plans: Iterable[FieldPlan]) -> FieldPlan | None:
    return next((p for p in plans if p.mapping.column_id == NAME_COLUMN), None)


# What an answer means for a record.

OUTCOMES = {
    Verdict.DONE: Outcome.OPEN,
    Verdict.GONE: Outcome.FAILED,
    Verdict.REFUSED: Outcome.FAILED,
    Verdict.FAILED: Outcome.FAILED,
    Verdict.STOPPED: Outcome.RELEASED,
    Verdict.HELD: Outcome.DEFERRED,
    Verdict.WITHDRAWN: Outcome.RELEASED,
}
"""How the jobs of a unit end by its answer: a failure counts as an attempt, what is released costs none."""


def rejected_value(field_plan: FieldPlan, error: MondayError) -> FieldPlan:
    value = field_plan.display_local(field_plan.send_raw or field_plan.local_raw)
    advice = "Choose another value." if field_plan.choose else error.advice
    why = error.message.rstrip(" .")
    hold = f"Monday rejected “{value}”: {why}. {advice} The record's other fields are synced."
    return field_plan.block(BlockedCode.REJECTED, hold)


# A pass's writes, and what becomes of its records by the answers.


def changed_records_of(board: BoardContext, plan: Plan) -> list[RecordPlan]:
    """Return the records of which something is sent to an item that is there."""

    def sends(one: RecordPlan) -> bool:
        if one.unlink:
            return bool(cleared_columns(board, one))
        return one.fields.write_npd_id or any(p.send_raw is not None for p in one.plans.values())

    return [one for one in plan.open_records if not one.creates and sends(one)]


def created_records_of(plan: Plan) -> list[RecordPlan]:
    return [one for one in plan.open_records if one.creates]


def end_uncreatable(facts: PassFacts, plan: Plan) -> Plan:
    problems = [(one, create_problem(one.plans).rstrip(".")) for one in created_records_of(plan)]
    return plan.with_records(
        one.end_settled(f"It can't be put on the board: {reason}.") for one, reason in problems if reason
    )


def after_answers(plan: Plan, answers: Answers) -> Plan:
    return plan.with_records(after_answer(plan.records[key], answer) for key, answer in answers.records.items())


def after_answer(plan: RecordPlan, answer: Answer) -> RecordPlan:
    """Return a record's plan as the answer leaves it: a refused value is blocked, the rest was sent or not as it says.

    Without its name an item can't be made; without another value it is made with the name alone, and the rest follows.
    """
    plans, lines = dict(plan.plans), []
    for key, error in answer.rejected.items():
        plans[key] = rejected_value(plans[key], error)
        sentence = f"{plans[key].mapping.label}: {plans[key].blocked_reason}"
        lines.append(HistoryLine("blocked", sentence, key, values={"request": error.request_id}))
    for key, p in plans.items():
        if key in answer.unsent or (answer.is_bare and p.mapping.column_id != NAME_COLUMN):
            plans[key] = replace(p, send_raw=None)
    plan = replace(plan, fields=replace(plan.fields, plans=plans)).logged(*lines)
    if answer.item is not None and plan.creates:
        made = replace(plan, identity=replace(plan.identity, item=answer.item)).with_facts(item=answer.item)
        made = made.with_state(remote_state=answer.item.state)
        plan = made.logged(HistoryLine("create", f"Created the item “{answer.item.name}” on the board."))
    if why := _why_not_made(plan, answer):
        # Nothing but another value, or another rule on the board, changes the answer.
        return plan.end_settled(f"It can't be put on the board: {why}")
    if answer.verdict is Verdict.GONE:
        # It left the board after it was read: the next pass, a minute later, reads its state and decides by that.
        plan = plan.with_state(remote_state="inactive")
    if answer.verdict is Verdict.WITHDRAWN:
        return plan.drop(OUTCOMES[answer.verdict], answer.detail)
    outcome = OUTCOMES[answer.verdict]
    if outcome is Outcome.OPEN:
        return plan
    return plan.end(outcome, answer.detail, at_most=answer.at_most, wait_seconds=answer.wait_seconds)


def _why_not_made(plan: RecordPlan, answer: Answer) -> str:
    """Why Monday makes no item of a record: its name was refused, or what the board demands."""
    refused = {plan.plans[key].mapping.column_id: error for key, error in answer.rejected.items()}
    if not plan.creates:
        return ""
    if NAME_COLUMN in refused:
        return answer.detail
    is_demanded = bool(answer.demanded) and answer.demanded <= refused.keys()
    return refused[min(answer.demanded)].sentence if is_demanded else ""


def end_open(plan: Plan, answers: Answers) -> Plan:
    """End what the pass went through to the end; of a new item that has its name alone the other fields follow."""
    follows = "Its item was created; the other fields follow."
    bare = [key for key, answer in answers.records.items() if answer.is_bare and answer.item is not None]
    plan = plan.with_records(plan.records[key].end(Outcome.RELEASED, follows) for key in bare)
    return plan.with_records(one.end(Outcome.SETTLED) for one in plan.open_records)
