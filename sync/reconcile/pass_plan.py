"""Facts and plan: the frozen values in which the rules of a pass decide about each record, item and field.

A rule is a function of the facts (`PassFacts`) and of the plan of the rules before it (`Plan`), and returns a new plan.
`decide.py` has their list.

These types are in one file, below all rules: every rule reads plans that other rules made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, Self, TypeAlias
from uuid import UUID

from conflicts import reports
from sync import choices, merge
from sync.boards import board_columns
from sync.kernel.messages import TombstoneReason
from sync.kernel.secret_texts import without_secrets
from sync.models import ApprovalRequest, FieldMapping, Intent, SyncedModel, SyncMetadata, Tombstone, WriteLoop
from sync.models.jobs import ROUNDS_KEY
from sync.monday import board_items
from sync.monday.conversion import Converter
from sync.monday.errors import MondayError
from sync.outbox.claim import Claim
from sync.reconcile import field_values
from sync.reconcile.calls import NOTHING_SENT, Answer
from sync.reconcile.facts import (
    AnswerFacts,
    DeletedFacts,
    HistoryLine,
    IdentityFacts,
    ItemFacts,
    RecordFacts,
    RecordHistory,
    RemovalFacts,
    changed_ledger,
    with_values,
)
from sync.records.approvals import ApprovalFacts
from sync.records.unmatched_items import UnmatchedFinding


class Outcome(StrEnum):
    """How a record's jobs end."""

    OPEN = "open"
    SETTLED = "settled"
    FAILED = "failed"
    RELEASED = "given back"
    DEFERRED = "snoozed"


@dataclass(frozen=True)
class Ending:
    """How the jobs of one claim end, and why."""

    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    wait_seconds: float = 0
    at_most: int = 0  # how many records its next pass may have; 0: any number
    processed: bool = False  # its events were read and had nothing new
    rounds: int = 0  # how many passes in a row could not decide it

    @property
    def is_open(self) -> bool:
        return self.outcome is Outcome.OPEN


OPEN = Ending()
SETTLED = Ending(Outcome.SETTLED)

# Passes in a row that look again at once at a record that they can't decide by what they read.
MAX_ROUNDS = 2

# Seconds that the record waits after that.
ROUNDS_WAIT_SECONDS = 60


def one_more_round(claim: Claim, reason: str) -> Ending:
    """Return the ending of a claim that comes back in the next pass; after two such rounds in a row, in a minute."""
    rounds = int(claim.payload.get(ROUNDS_KEY, 0)) + 1
    wait = ROUNDS_WAIT_SECONDS if rounds > MAX_ROUNDS else 0
    return Ending(Outcome.DEFERRED, reason, wait, rounds=rounds)


def ending(outcome: Outcome, detail: str = "", **more: Any) -> Ending:
    """Return how jobs end; why one failed may quote what a library or Monday was sent, and is shown to people."""
    return Ending(outcome, without_secrets(detail) if outcome is Outcome.FAILED else detail, **more)


# What becomes of a record's fields.


# The reason of the decision to send and ask nothing more about a field.
DROPPED = "left out by the filter"


@dataclass(frozen=True)
class FieldPlan:
    """What a pass does with one field: the decision with the raw values that it rests on."""

    mapping: FieldMapping
    convert: Converter
    decision: merge.FieldDecision
    local_raw: dict[str, Any]
    remote_raw: Any = None
    send_raw: dict[str, Any] | None = None
    write_raw: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    blocked_reason: str = ""  # why nothing is done with it, in words; logic asks `blocked_code`
    blocked_code: choices.BlockedCode | None = None
    awaits: field_values.AwaitedRecord | None = None  # the record that has to come first
    conflict: reports.FieldConflict | None = None  # a person has to decide
    confirmed: tuple[Intent, ...] = ()  # intents without an answer whose value Monday now shows
    # The conflict whose decision this pass carries out; for an undo, the conflict that was resolved.
    resolves: reports.OpenConflict | None = None
    # The results of people's decisions, by the conflict's kind: the value after it, or why the decision is returned.
    carried_out: Mapping[str, str | None] = field(default_factory=dict)
    handed_back: Mapping[str, str] = field(default_factory=dict)

    @property
    def resolution(self) -> merge.FieldSelection:
        assert self.resolves is not None
        return self.resolves.resolutions[self.mapping.key]

    @property
    def resolved_kind(self) -> str:
        return self.resolves.kind if self.resolves else ""

    @property
    def choose(self) -> str:
        """The person's choice: npd, monday, base, undo or custom; taking an overwritten edit back counts as custom."""
        if self.resolved_kind in (reports.KIND_UNDO, reports.KIND_OVERWRITTEN):
            return "undo" if self.resolved_kind == reports.KIND_UNDO else "custom"
        return self.resolution.choose if self.resolves else ""

    def display_local(self, raw_local: dict[str, Any] | None) -> str:
        return field_values.shown_of(self.convert, raw_local)

    @property
    def is_agreed(self) -> bool:
        agreeing = (merge.Action.NOTHING, merge.Action.AGREED, merge.Action.PUSH, merge.Action.PULL)
        return not self.blocked_reason and not self.conflict and self.decision.action in agreeing

    @property
    def stands(self) -> str | None:
        """NPD's value after this pass, for people."""
        return (
            self.display_local(self.write_raw if self.decision.action is merge.Action.PULL else self.local_raw) or None
        )

    @property
    def confirmed_entry(self) -> dict[str, Any] | None:
        """The field's entry in the newest intent whose value Monday now shows."""
        return self.confirmed[-1].values[self.mapping.key] if self.confirmed else None

    @property
    def is_dropped(self) -> bool:
        """Whether nothing more is sent or asked because the pair leaves the filter."""
        return self.decision.reason == DROPPED

    @property
    def is_left_out(self) -> bool:
        """Whether it is blocked in a way that doesn't keep its record from being in sync."""
        return self.blocked_code is choices.BlockedCode.LEFT_OUT

    def block(self, code: choices.BlockedCode, reason: str) -> FieldPlan:
        """Do nothing with the field, for this reason; a value that Monday refused is tried again after a change."""
        return with_values(self, blocked_reason=reason, blocked_code=code, send_raw=None, write_raw=None)


# The parts of a record's plan.


MISSING = "missing"
MOVED = "moved"

# The states of an item that is not on its board any more.
OFF_BOARD_STATES = (board_items.ARCHIVED, board_items.DELETED, MISSING, MOVED)

# The states that the item itself reports; a missing or moved item may still exist.
REPORTED_STATES = (board_items.ARCHIVED, board_items.DELETED)


class RecordAction(StrEnum):
    """What happens to a record with a removed item: nothing yet, or the decision of a policy or a person."""

    NOTHING = ""
    CREATE = "create"
    DELETE = "delete"
    UNLINK = "unlink"


@dataclass(frozen=True)
class RemovedItem:
    """A removed item: its state, the edits since both sides agreed, and what is asked or done about it."""

    state: str
    sentence: str = ""  # what happened
    fields: tuple[reports.FieldConflict, ...] = ()
    options: tuple[reports.Option, ...] = ()  # of which a person is to choose one
    act: RecordAction = RecordAction.NOTHING
    decided_by: str = ""  # who decided on the act, as a phrase
    is_chosen: bool = False  # a person decided, in the record's conflict or on its page
    result: str = ""  # what was done, as a sentence
    problem: str = ""  # why a choice can't be carried out, as a sentence
    dropped_edits: tuple[HistoryLine, ...] = ()  # edits on the removed item that nobody was shown
    # The state to store for the approval of the record's deletion: done, waiting, or released.
    approval: choices.ApprovalState | None = None
    is_rejection_new: bool = False  # this pass is the first that follows a person's rejection

    @property
    def needs_answer(self) -> bool:
        return bool(self.options) and not self.result


@dataclass(frozen=True)
class IdentityPlan:
    """Which item belongs to a record without one, and whether another record may be the same."""

    item: board_items.Item | None = None  # the item to link; the next pass compares the two
    creates: bool = False  # the record gets a new item
    question: dict[str, Any] | None = None  # which of several items it is
    duplicate: dict[str, Any] | None = None  # whether it is the same as another record
    excluded_items: tuple[str, ...] = ()  # items that a person rejected, to be stored once its own is created
    reason: str = ""  # why its pass ends
    is_left_out: bool = False  # the filter leaves it out
    is_held: bool = False  # the board creates no items for now
    wait_seconds: float = 0


# The plan of a record whose item is known.
IDENTIFIED = IdentityPlan()


@dataclass(frozen=True)
class LostUpdate:
    """A value that somebody wrote on Monday and that our write overwrote before it was read."""

    key: str
    value: merge.Canonical
    user_id: str
    at: datetime
    writes: tuple[str, ...]  # the intents that overwrote it
    is_unconfirmed: bool = False  # their outcome is unknown, unless the item shows the value `sent`
    sent: merge.Canonical = None
    # The line for the history and the conflict, once a pass has read both sides and neither has the value.
    line: HistoryLine | None = None


@dataclass(frozen=True)
class RecordPlan:
    """What a pass does with a record."""

    facts: RecordFacts  # as the next rule sees them: with the item, the history, the sync state after the pass
    ending: Ending = OPEN
    reason: str = ""  # why it is not in sync
    log: tuple[HistoryLine, ...] = ()
    identity: IdentityPlan = IDENTIFIED
    left_out: str = ""  # why the board's filter leaves it out
    leaving: str = ""  # why the filter leaves it out after this pass, which only takes over Monday's edits until now
    removal: RemovedItem | None = None
    unlink: str = ""  # why it is unlinked from its item, as a clause without a full stop
    plans: Mapping[str, FieldPlan] = field(default_factory=dict)  # by field
    write_npd_id: bool = False  # the item lacks the record's NPD ID
    lost: tuple[LostUpdate, ...] = ()  # people's values on Monday that our writes overwrote
    # By field, the intent without an answer whose value somebody has replaced: the sent value counts as the base.
    landed: Mapping[str, str] = field(default_factory=dict)
    event_faults: tuple[Exception, ...] = ()  # errors of ours that kept a field's events from being checked
    loops: Mapping[str, WriteLoop] = field(default_factory=dict)  # after the pass; one without `times` is over
    answer: Answer = NOTHING_SENT  # Monday's answer to the sent values

    @property
    def id(self) -> UUID:
        return self.facts.record.id

    @property
    def record(self) -> SyncedModel:
        """The record as it was read, and after settle as it was written."""
        return self.facts.record

    @property
    def ledger(self) -> SyncMetadata:
        return self.facts.ledger

    @property
    def item(self) -> board_items.Item | None:
        return self.facts.item

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def is_open(self) -> bool:
        return self.ending.is_open

    @property
    def is_settled(self) -> bool:
        return self.ending.outcome is Outcome.SETTLED

    @property
    def creates(self) -> bool:
        return self.identity.creates

    @property
    def link_to(self) -> str | None:
        """The id of the item that this pass links."""
        return self.identity.item.id if self.identity.item else None

    @property
    def linked_record(self) -> SyncedModel:
        """The record as it will be once linked with that item."""
        record = copy(self.record)
        record.monday_id = self.link_to
        return record

    @property
    def may_sync(self) -> bool:
        """Whether it is synced: its own settings let it, and the filter doesn't leave it out."""
        return self.record.may_sync and not self.left_out

    @property
    def off_reason(self) -> str:
        return self.left_out if self.record.may_sync else "Sync was turned off for this record."

    @property
    def item_id(self) -> str:
        """The id of the item that was read or created, or an empty text."""
        return self.item.id if self.item else ""

    @property
    def landed_intents(self) -> set[UUID]:
        """The intents without an answer that are known to have taken effect: from Monday's value, or from an event."""
        shown = {intent.pk for field_plan in self.plans.values() for intent in field_plan.confirmed}
        return shown | set(map(UUID, self.landed.values()))

    @property
    def lost_reports(self) -> list[HistoryLine]:
        """The lines about the lost values that neither side has, the newest first."""
        return [lost_update.line for lost_update in self.lost if lost_update.line]

    @property
    def is_deleted(self) -> bool:
        return self.removal is not None and self.removal.act is RecordAction.DELETE and bool(self.removal.result)

    def carried_out_of(self, kind: str) -> dict[str, str | None]:
        """Return the fields whose decision by a person was carried out, with the value after it."""
        return {key: p.carried_out[kind] for key, p in self.plans.items() if kind in p.carried_out}

    def rejected_of(self, kind: str) -> dict[str, str]:
        """Return the fields whose decision by a person is returned, or can't be written, with the reason."""
        handed_back = {key: p.handed_back[kind] for key, p in self.plans.items() if kind in p.handed_back}
        plans = self.plans.items()
        return handed_back | {k: p.blocked_reason for k, p in plans if p.resolved_kind == kind and p.blocked_reason}

    def conflict_report(self, kind: str, item_id: str | None = None, **values: Any) -> reports.ConflictReport:
        """Return a report for the store of conflicts; give `item_id` if it isn't the record's own item."""
        item_id = (self.record.monday_id or "") if item_id is None else item_id
        return reports.ConflictReport(self.record.entity_type(), self.id, item_id, kind, **values)

    # What rules do with a plan: each returns a new one.

    def end(self, outcome: Outcome, detail: str = "", *, reason: str | None = None, **more: Any) -> Self:
        ended = ending(outcome, detail, **more)
        return with_values(self, ending=ended, reason=self.reason if reason is None else reason)

    def end_settled(self, reason: str) -> Self:
        """End it as settled; `reason` is why the record is still not in sync, empty if it may be."""
        return self.end(Outcome.SETTLED, reason=reason)

    def once_more(self, reason: str) -> Self:
        """End it, to come back in the next pass; after two such rounds and a minute it goes on as it is."""
        ended = one_more_round(self.facts.claim, reason)
        return self if ended.rounds > MAX_ROUNDS + 1 else with_values(self, ending=ended, reason=reason)

    def drop(self, outcome: Outcome, detail: str) -> Self:
        """End it and apply nothing that was planned; the next pass finds out what became of sent values."""
        identity = replace(self.identity, item=None) if self.identity.item else self.identity
        dropped = replace(self.without_fields(), identity=identity, answer=replace(self.answer, intent=None))
        return dropped.end(outcome, detail)

    def without_fields(self) -> Self:
        """Return it without plans for its fields."""
        return replace(self, plans={}, write_npd_id=False)

    def with_facts(self, **values: Any) -> Self:
        return with_values(self, facts=with_values(self.facts, **values))

    def with_state(self, **values: Any) -> Self:
        ledger = changed_ledger(self.ledger, **values)
        return self if ledger is self.ledger else self.with_facts(ledger=ledger)

    def logged(self, *lines: HistoryLine) -> Self:
        """Add lines to its history; the actor of a line without one is whoever asked for the pass."""
        if not lines:
            return self
        item_id = (self.item.id if self.item else self.record.monday_id) or ""
        named = [replace(line, actor=line.actor or self.facts.by, item_id=item_id) for line in lines]
        return with_values(self, log=(*self.log, *named))

    def unlinked(self, why: str) -> Self:
        """Unlink it in this pass: nothing else is sent or taken over, nor done because its item is gone.

        `why` is a clause without a full stop, such as “its item was deleted on Monday”; the record's history and the
        ignored item show it.
        """
        identity = replace(self.identity, item=None, creates=False)
        removal = self.removal
        if removal is not None and removal.act is not RecordAction.UNLINK:
            removal = replace(removal, act=RecordAction.NOTHING, approval=None)
        plan = replace(self.without_fields(), unlink=why, identity=identity, removal=removal)
        return plan.end_settled("") if plan.outcome in (Outcome.SETTLED, Outcome.DEFERRED) else plan


# The other parts of a pass's plan.


# One delete or clear that a pass wants to carry out: its record and, for a clear, the field, else an empty text.
Act: TypeAlias = tuple[UUID, str]


@dataclass(frozen=True)
class DeletedPlan(RecordPlan):
    """What a pass does with a deleted record and its item; its `reason` describes the item's state."""

    facts: DeletedFacts
    new_state: choices.TombstoneState | None = None  # the tombstone's; None: unchanged
    reason_code: str = ""  # likewise
    item_removal: choices.DeletedRecordPolicy | None = None  # what is to be done with the item
    approval: choices.ApprovalState | None = None  # the state to store about that: counted as done, or waiting
    question: reports.ConflictReport | None = None  # what a person is asked about the item and the edits on it
    edits: tuple[reports.FieldConflict, ...] = ()

    @property
    def restores(self) -> bool:
        """Whether the record is to come back, as a person chose."""
        return self.new_state is choices.TombstoneState.RESTORED

    @property
    def frees_item(self) -> bool:
        """Whether its item is treated like any item without a record."""
        return self.reason_code == TombstoneReason.OTHER_NPD_ID

    @property
    def is_carried_out(self) -> bool:
        """Whether a person's choice was carried out."""
        by_call = (TombstoneReason.ARCHIVED, TombstoneReason.DELETED, TombstoneReason.UNLINKED)
        return self.facts.resolution is not None and (self.restores or self.reason_code in by_call)

    @property
    def item_id(self) -> str:
        """The id of its item, or an empty text."""
        return self.facts.tombstone.monday_id or ""

    @property
    def item_to_keep(self) -> str:
        """The id of the item to link with the restored record: its own, if that is still on the board."""
        item = self.facts.item
        return item.id if item is not None and item.state == field_values.ACTIVE else ""


class AnswerKind(StrEnum):
    LINK = "link"
    MERGE = "merge"
    TWO_RECORDS = "two records"
    NEW_RECORD = "new record"
    NEW_ITEM = "new item"
    LEAVE_ALONE = "leave alone"
    COPY = "copy"


# Answers that the record's own pass carries out, because they need a call to Monday.
OF_ITS_PASS = (AnswerKind.NEW_ITEM, AnswerKind.COPY)


@dataclass(frozen=True)
class IdentityAnswer:
    """A person's choice in a conflict about identity, and its result.

    To link is to give `record_id` the item; to merge is to delete `made_id`, made from an item, for `record_id`.
    """

    kind: AnswerKind
    asked_of: UUID  # the record of the conflict
    conflict: reports.OpenConflict
    item_id: str
    record_id: UUID | None = None
    made_id: UUID | None = None
    result: str = ""  # what was done, as a sentence; empty if the record's own pass carries it out
    outdated: str = ""  # why the choice is returned
    hands_over: bool = False  # two records become one, and the item goes to the one that stays

    @property
    def names(self) -> set[UUID]:
        return {key for key in (self.record_id, self.made_id) if key is not None}


class ItemAct(StrEnum):
    """What becomes of an item: nothing yet; a record has it by now, gets it, or gets it instead of its removed one; it
    becomes a record; a person is asked whose it is; or it is a second item of a linked record, found as one by its NPD
    ID, or called a copy by a person.
    """

    NOTHING = ""
    OWNED = "owned"
    LINK = "link"
    REPLACE = "replace"
    CREATE = "create"
    ASK = "ask"
    DUPLICATE = "duplicate"
    COPY = "copy"


# The acts that give the item to a record.
GIVING = (ItemAct.LINK, ItemAct.REPLACE, ItemAct.CREATE)


@dataclass(frozen=True)
class ItemPlan:
    """What a pass does with an item that no record has."""

    facts: ItemFacts
    ending: Ending = SETTLED  # how its job ends
    act: ItemAct = ItemAct.NOTHING
    record: SyncedModel | None = None  # the record, as it will be, that gets or has it, or whose second item it is
    candidates: tuple[SyncedModel, ...] = ()  # the records among which a person is to choose
    question: Mapping[str, Any] = field(default_factory=dict)
    tombstone: Tombstone | None = None  # its deleted record's, as it will be
    woken: tuple[UUID, ...] = ()  # deleted records that get a pass
    finding: UnmatchedFinding | None = None  # what people are shown about it; None clears the stored one
    keeps_finding: bool = False  # the stored finding stays, although `finding` is None
    problems: str = ""  # why it can't become a record, to be remembered
    closes: str = ""  # why there is nothing to ask about it any more
    sentence: str = ""  # for the record's history
    # Only for a second item:
    is_ours: bool = False  # our own create made it, and it may go without being asked
    kind: str = ""  # the kind of its line in the record's history, once its calls are answered; empty: no line
    intents: tuple[Intent, ...] = ()  # of the calls that were carried out

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def item(self) -> board_items.Item:
        """The item; only for an item that Monday shows."""
        assert self.facts.item is not None
        return self.facts.item

    @property
    def second_of(self) -> SyncedModel:
        """The linked record of which it is a second item."""
        assert self.record is not None
        return self.record

    @property
    def names(self) -> set[UUID]:
        return {record.pk for record in (self.record, *self.candidates) if record is not None}


# The plan of a pass, and its facts.


# A claim, and how its jobs end.
Job: TypeAlias = tuple[Claim, Ending]


@dataclass(frozen=True)
class Plan:
    """What a pass over one board does."""

    records: Mapping[UUID, RecordPlan] = field(default_factory=dict)
    deleted: Mapping[UUID, DeletedPlan] = field(default_factory=dict)
    items: tuple[ItemPlan, ...] = ()  # the unmatched ones, in the order of their claims
    answers: tuple[IdentityAnswer, ...] = ()  # people's, to “who is this?”
    duplicates: tuple[ItemPlan, ...] = ()  # second items of linked records
    # Requests about fields that the pass would empty: new ones to store, which count or wait from now on; open ones,
    # which stay; and those about another value than the present one, which end.
    new_requests: tuple[ApprovalRequest, ...] = ()
    open_requests: tuple[ApprovalRequest, ...] = ()
    outdated_requests: tuple[ApprovalRequest, ...] = ()
    other_jobs: tuple[Job, ...] = ()  # about neither a record nor an item, or that could not be read

    @cached_property
    def open_records(self) -> Sequence[RecordPlan]:
        return [plan for plan in self.records.values() if plan.ending.outcome is Outcome.OPEN]

    @property
    def open_deleted(self) -> list[DeletedPlan]:
        return [deleted for deleted in self.deleted.values() if deleted.is_open]

    def with_records(self, plans: Iterable[RecordPlan]) -> Plan:
        """Replace the plans of these records."""
        changed = {plan.id: plan for plan in plans}
        if not changed:
            return self
        plan = with_values(self, records={**self.records, **changed})
        vars(plan).pop("open_records", None)  # was cached
        return plan

    def with_deleted(self, deleted: Iterable[DeletedPlan]) -> Plan:
        """Replace the plans of these deleted records."""
        changed = {deleted_plan.id: deleted_plan for deleted_plan in deleted}
        return replace(self, deleted={**self.deleted, **changed}) if changed else self


@dataclass(frozen=True)
class PassFacts:
    """What a pass has read: the claimed records in NPD, their items on Monday, and the records that the items name."""

    board: field_values.BoardContext
    now: datetime  # when the pass began to read
    # From NPD, about the claims.
    records: tuple[RecordFacts, ...] = ()  # existing ones
    deleted: tuple[DeletedFacts, ...] = ()  # deleted ones, from their tombstones
    unknown: tuple[Claim, ...] = ()  # neither a record nor a tombstone
    item_claims: tuple[Claim, ...] = ()  # of items that no record has
    linked_items: tuple[str, ...] = ()  # claimed items that a record has by now: their jobs are that record's
    answers: AnswerFacts = field(default_factory=AnswerFacts)
    # From Monday.
    items: board_items.BatchItems = field(default_factory=board_items.BatchItems)
    columns: board_columns.InspectedColumns | None = None  # if the board's columns were inspected
    error: MondayError | None = None  # why Monday could not be read
    # From NPD again, about the items and the records that they name.
    identity: IdentityFacts = field(default_factory=IdentityFacts)
    removals: Mapping[UUID, RemovalFacts] = field(default_factory=dict)  # of linked records whose items are gone
    unmatched: tuple[ItemFacts, ...] = ()
    approvals: ApprovalFacts = field(default_factory=ApprovalFacts)
    related: field_values.RelatedRecords = field(default_factory=dict)
    related_boards: frozenset[str] = frozenset()  # of related records without an item, the types that have a board
    removed_items: frozenset[str] = frozenset()  # items that bases name, and that are not on their boards any more
    # For records about which more was read: when their fields were edited, and who created their items.
    histories: Mapping[UUID, RecordHistory] = field(default_factory=dict)


PlanRule = Callable[[PassFacts, Plan], Plan]
RecordRule = Callable[[PassFacts, RecordPlan], RecordPlan]
