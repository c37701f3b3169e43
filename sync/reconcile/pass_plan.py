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
    """How what was claimed together ends, and why."""

    outcome: Outcome = Outcome.OPEN
    detail: str = ""
    wait_seconds: float = 0
    at_most: int = 0  # with how many records at most what is released comes next time; 0 is any
    processed: bool = False  # its events told nothing new
    rounds: int = 0  # so many passes in a row could not decide it

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
    """Return the end of what comes back in the next pass; where two such rounds in a row didn't help, in a minute."""
    rounds = int(claim.payload.get(ROUNDS_KEY, 0)) + 1
    wait = ROUNDS_WAIT_SECONDS if rounds > MAX_ROUNDS else 0
    return Ending(Outcome.DEFERRED, reason, wait, rounds=rounds)


def ending(outcome: Outcome, detail: str = "", **more: Any) -> Ending:
    """Return how jobs end; why one failed may quote what a library or Monday was sent, and is shown to people."""
    return Ending(outcome, without_secrets(detail) if outcome is Outcome.FAILED else detail, **more)


# What becomes of a record's fields.


# The reason of a decision by which nothing more is sent and asked of a field.
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
    awaits: str = ""  # the item or name for which a record has to come first, as AwaitedRelation names it
    conflict: reports.FieldConflict | None = None  # a person has to decide
    confirmed: tuple[Intent, ...] = ()  # those without an answer whose value Monday now shows
    # A person has decided, and this pass carries that out: in this conflict, or, of an undo, the one resolved before.
    resolves: reports.OpenConflict | None = None
    # What became of people's decisions, by the conflict's kind: the value that stands now, or why one is handed back.
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
        """What a person chose: npd, monday, base, undo, or custom, as which also counts what is taken back."""
        if self.resolved_kind in (reports.KIND_UNDO, reports.KIND_LOST_UPDATE):
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
        """What the intent says of the field whose value Monday now shows."""
        return self.confirmed[-1].values[self.mapping.key] if self.confirmed else None

    @property
    def is_dropped(self) -> bool:
        """Whether nothing more is sent and asked, for the pair leaves the filter."""
        return self.decision.reason == DROPPED

    @property
    def is_left_out(self) -> bool:
        """Whether it is blocked in a way that doesn't keep its record from being in sync."""
        return self.blocked_code is choices.BlockedCode.LEFT_OUT

    def block(self, code: choices.BlockedCode, reason: str) -> FieldPlan:
        """Do nothing with the field, and say why; what Monday refused is not tried again until something changes."""
        return with_values(self, blocked_reason=reason, blocked_code=code, send_raw=None, write_raw=None)


# The parts of a record's plan.


MISSING = "missing"
MOVED = "moved"

# What a pass found out about a record whose item is not on its board any more.
OFF_BOARD_STATES = (board_items.ARCHIVED, board_items.DELETED, MISSING, MOVED)

# What the item itself told; one that Monday doesn't show, or that is elsewhere, is not surely gone.
REPORTED_STATES = (board_items.ARCHIVED, board_items.DELETED)


class RecordAction(StrEnum):
    """What becomes of the record: nothing yet, or what a policy or a person decided."""

    NOTHING = ""
    CREATE = "create"
    DELETE = "delete"
    UNLINK = "unlink"


@dataclass(frozen=True)
class RemovedItem:
    """The item's state, what was edited since both sides agreed, and what is asked or done about it."""

    state: str
    what: str = ""  # what happened, as a sentence
    fields: tuple[reports.FieldConflict, ...] = ()
    options: tuple[reports.Option, ...] = ()  # of which a person is to choose one
    act: RecordAction = RecordAction.NOTHING
    by: str = ""  # who decided on that, as a phrase
    chosen: bool = False  # it was a person, by the record's conflict or on its page
    result: str = ""  # what was done, as a sentence
    problem: str = ""  # why a choice can't be carried out, as a sentence
    lost: tuple[HistoryLine, ...] = ()  # edits that nobody was shown, and with which the item is gone
    approval: choices.ApprovalState | None = (
        None  # to store of its deletion in NPD: done, waiting, or a request released
    )
    was_rejected: bool = False  # this pass is the first that follows a person's rejection

    @property
    def needs_answer(self) -> bool:
        return bool(self.options) and not self.result


@dataclass(frozen=True)
class IdentityPlan:
    """Which item is the record's, of one that had none; and whether another record may be the same."""

    item: board_items.Item | None = None  # with which it is linked; the next pass compares the two
    creates: bool = False  # it gets a new one
    question: dict[str, Any] | None = None  # which of several it is
    duplicate: dict[str, Any] | None = None  # the question whether it is the same as another record
    excluded_items: tuple[str, ...] = ()  # that a person said are not its, to be remembered once its own is made
    reason: str = ""  # why its pass ends
    is_left_out: bool = False  # by the filter
    wait_seconds: float = 0


# The plan of a record whose item is known.
IDENTIFIED = IdentityPlan()


@dataclass(frozen=True)
class LostUpdate:
    """A value that somebody wrote on Monday and that our write went over, unread."""

    key: str
    value: merge.Canonical
    user_id: str
    at: datetime
    writes: tuple[str, ...]  # the intents that went over it
    is_unconfirmed: bool = False  # their outcome is not known: only an item that shows what was `sent` tells it
    sent: merge.Canonical = None
    # What the history says of it, and the conflict, once a pass has read both sides and found the value on neither.
    line: HistoryLine | None = None


@dataclass(frozen=True)
class RecordPlan:
    """What becomes of a record."""

    facts: RecordFacts  # as the next rule is to see them: with its item, its history, its sync state after the pass
    ending: Ending = OPEN
    reason: str = ""  # why it is not in sync
    log: tuple[HistoryLine, ...] = ()
    identity: IdentityPlan = IDENTIFIED
    left_out: str = ""  # why the board's filter leaves it out
    leaving: str = ""  # why it does from this pass on, which only takes over what was changed on Monday until now
    removal: RemovedItem | None = None
    unlink: str = ""  # why it is unlinked from its item, as a clause without a full stop
    plans: Mapping[str, FieldPlan] = field(default_factory=dict)  # by field
    write_npd_id: bool = False  # the item lacks the record's NPD ID
    lost: tuple[LostUpdate, ...] = ()  # values of somebody's on Monday that writes of ours went over
    # By field, the intent without an answer whose value somebody has replaced: what it sent counts as the base.
    landed: Mapping[str, str] = field(default_factory=dict)
    event_faults: tuple[Exception, ...] = ()  # errors of ours that kept a field's events from being checked
    loops: Mapping[str, WriteLoop] = field(default_factory=dict)  # as the pass leaves them; over without `times`
    answer: Answer = NOTHING_SENT  # what Monday made of what was sent

    @property
    def id(self) -> UUID:
        return self.facts.record.id

    @property
    def record(self) -> SyncedModel:
        """The record, as it was read; once it is settled, as it was written."""
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
        """The item that it is linked with by this pass."""
        return self.identity.item.id if self.identity.item else None

    @property
    def linked_record(self) -> SyncedModel:
        """The record as it will be with that item."""
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
        """The id of the item that was read or made, or an empty text."""
        return self.item.id if self.item else ""

    @property
    def landed_intents(self) -> set[UUID]:
        """Those without an answer that are known to have taken effect: Monday shows it, or an event tells."""
        shown = {intent.pk for field_plan in self.plans.values() for intent in field_plan.confirmed}
        return shown | set(map(UUID, self.landed.values()))

    @property
    def lost_reports(self) -> list[HistoryLine]:
        """What is said of the lost values that stand on neither side, the newest first."""
        return [lost_update.line for lost_update in self.lost if lost_update.line]

    @property
    def is_deleted(self) -> bool:
        return self.removal is not None and self.removal.act is RecordAction.DELETE and bool(self.removal.result)

    def carried_out_of(self, kind: str) -> dict[str, str | None]:
        """Return the fields of which a person's decision was carried out, with the value that stands now."""
        return {key: p.carried_out[kind] for key, p in self.plans.items() if kind in p.carried_out}

    def rejected_of(self, kind: str) -> dict[str, str]:
        """Return the fields of which a person's decision is handed back, or can't be written, with the reason."""
        handed_back = {key: p.handed_back[kind] for key, p in self.plans.items() if kind in p.handed_back}
        plans = self.plans.items()
        return handed_back | {k: p.blocked_reason for k, p in plans if p.resolved_kind == kind and p.blocked_reason}

    def conflict_report(self, kind: str, item_id: str | None = None, **values: Any) -> reports.ConflictReport:
        """Return what this pass tells the store of conflicts about it; `item_id` where it isn't the record's own."""
        item_id = (self.record.monday_id or "") if item_id is None else item_id
        return reports.ConflictReport(self.record.entity_type(), self.id, item_id, kind, **values)

    # What rules make of it.

    def end(self, outcome: Outcome, detail: str = "", *, reason: str | None = None, **more: Any) -> Self:
        ended = ending(outcome, detail, **more)
        return with_values(self, ending=ended, reason=self.reason if reason is None else reason)

    def end_settled(self, reason: str) -> Self:
        """Return it with its pass done; `reason` is why it is not in sync all the same, empty where it may be."""
        return self.end(Outcome.SETTLED, reason=reason)

    def once_more(self, reason: str) -> Self:
        """Return it ended, to come back in the next pass; after two such rounds and a minute it goes on as it is."""
        ended = one_more_round(self.facts.claim, reason)
        return self if ended.rounds > MAX_ROUNDS + 1 else with_values(self, ending=ended, reason=reason)

    def drop(self, outcome: Outcome, detail: str) -> Self:
        """Return it ended with nothing applied that was planned; what was sent is found out by the next pass."""
        identity = replace(self.identity, item=None) if self.identity.item else self.identity
        dropped = replace(self.without_fields(), identity=identity, answer=replace(self.answer, intent=None))
        return dropped.end(outcome, detail)

    def without_fields(self) -> Self:
        """Return it with nothing planned of its fields."""
        return replace(self, plans={}, write_npd_id=False)

    def with_facts(self, **values: Any) -> Self:
        return with_values(self, facts=with_values(self.facts, **values))

    def with_state(self, **values: Any) -> Self:
        ledger = changed_ledger(self.ledger, **values)
        return self if ledger is self.ledger else self.with_facts(ledger=ledger)

    def logged(self, *lines: HistoryLine) -> Self:
        """Return it with more lines of history; without an actor it is whoever asked for the pass."""
        if not lines:
            return self
        item_id = (self.item.id if self.item else self.record.monday_id) or ""
        named = [replace(line, actor=line.actor or self.facts.by, item_id=item_id) for line in lines]
        return with_values(self, log=(*self.log, *named))

    def unlinked(self, why: str) -> Self:
        """Return it unlinked in this pass: nothing else of it is sent or taken over, nor done because its item is gone.

        `why` is a clause without a full stop, as “its item was deleted on Monday”; it stands in the record's history
        and beside the item.
        """
        identity = replace(self.identity, item=None, creates=False)
        removal = self.removal
        if removal is not None and removal.act is not RecordAction.UNLINK:
            removal = replace(removal, act=RecordAction.NOTHING, approval=None)
        plan = replace(self.without_fields(), unlink=why, identity=identity, removal=removal)
        return plan.end_settled("") if plan.outcome in (Outcome.SETTLED, Outcome.DEFERRED) else plan


# The other parts of a pass's plan.


# One delete or clear that a pass wants to carry out: its record and, of a clear, the field, else an empty text.
Act: TypeAlias = tuple[UUID, str]


@dataclass(frozen=True)
class DeletedPlan(RecordPlan):
    """What becomes of a deleted record and its item; its `reason` says how the item stands."""

    facts: DeletedFacts
    new_state: choices.TombstoneState | None = None  # the tombstone's; None leaves it
    reason_code: str = ""  # likewise
    item_removal: choices.DeletedRecordPolicy | None = None  # what is to be done with the item
    approval: choices.ApprovalState | None = None  # what is to be stored about that: counted as done, or waiting
    question: reports.ConflictReport | None = None  # what a person is asked about the item and the edits on it
    edits: tuple[reports.FieldConflict, ...] = ()

    @property
    def restores(self) -> bool:
        """Whether the record is to come back, as a person chose."""
        return self.new_state is choices.TombstoneState.RESTORED

    @property
    def frees_item(self) -> bool:
        """Whether its item is treated as any that no record has."""
        return self.reason_code == TombstoneReason.OTHER_NPD_ID

    @property
    def is_carried_out(self) -> bool:
        """Whether what became of it is what a person chose."""
        by_call = (TombstoneReason.ARCHIVED, TombstoneReason.DELETED, TombstoneReason.UNLINKED)
        return self.facts.resolution is not None and (self.restores or self.reason_code in by_call)

    @property
    def item_id(self) -> str:
        """The id of its item, an empty text where it had none."""
        return self.facts.tombstone.monday_id or ""

    @property
    def item_to_keep(self) -> str:
        """The id of the item that a restored record is linked with: its own, while that is on the board."""
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


# Answers that the record's own pass carries out, for Monday has a part in them.
OF_ITS_PASS = (AnswerKind.NEW_ITEM, AnswerKind.COPY)


@dataclass(frozen=True)
class IdentityAnswer:
    """What a person chose in a conflict about who is who, and what becomes of that.

    To link is to give `record_id` the item; to merge is to delete `made_id`, made from an item, for `record_id`.
    """

    kind: AnswerKind
    asked_of: UUID  # the record at which the conflict stands
    conflict: reports.OpenConflict
    item_id: str
    record_id: UUID | None = None
    made_id: UUID | None = None
    done: str = ""  # what becomes of it, as a sentence; empty where the record's own pass does it
    outdated: str = ""  # why it is handed back
    hands_over: bool = False  # of two records that become one, the item goes to the one that stays


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


# What gives the item to a record.
GIVING = (ItemAct.LINK, ItemAct.REPLACE, ItemAct.CREATE)


@dataclass(frozen=True)
class ItemPlan:
    """What becomes of an item that no record has."""

    facts: ItemFacts
    ending: Ending = SETTLED  # how its job ends
    act: ItemAct = ItemAct.NOTHING
    record: SyncedModel | None = None  # that gets or has it, as it will be; the one of which it is a second item
    asked: tuple[SyncedModel, ...] = ()  # the records among which a person is to choose
    question: Mapping[str, Any] = field(default_factory=dict)
    tombstone: Tombstone | None = None  # that of its deleted record, as it will be
    woken: tuple[UUID, ...] = ()  # deleted records that get a pass
    finding: UnmatchedFinding | None = None  # what people are shown of it; without one what was noted is cleared
    keeps_finding: bool = False  # but not then
    problems: str = ""  # why it can't become a record, to be remembered
    closes: str = ""  # why there is nothing to ask about it any more
    sentence: str = ""  # for the record's history
    # Only for a second item:
    is_ours: bool = False  # our own create made it, and it may go without being asked
    kind: str = ""  # its line's in the history of the record, once its calls are answered; empty without one
    intents: tuple[Intent, ...] = ()  # those of calls that were carried out

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def item(self) -> board_items.Item:
        """The item, of one that is known to be shown."""
        assert self.facts.item is not None
        return self.facts.item

    @property
    def second_of(self) -> SyncedModel:
        """The linked record of which it is a second item."""
        assert self.record is not None
        return self.record

    @property
    def names(self) -> set[UUID]:
        return {record.pk for record in (self.record, *self.asked) if record is not None}


# The plan of a pass, and what it rests on.


# What was claimed together, and how it ends.
Job: TypeAlias = tuple[Claim, Ending]


@dataclass(frozen=True)
class Plan:
    """What a pass over one board does."""

    records: Mapping[UUID, RecordPlan] = field(default_factory=dict)
    deleted: Mapping[UUID, DeletedPlan] = field(default_factory=dict)
    items: tuple[ItemPlan, ...] = ()  # the unmatched ones, in the order of their claims
    answers: tuple[IdentityAnswer, ...] = ()  # people's, to “who is this?”
    duplicates: tuple[ItemPlan, ...] = ()  # second items of linked records
    # About fields that the pass would empty: requests that count or wait from now on, yet to be stored; those that stay
    # open; and those of another value than the one that stands now, which end.
    new_requests: tuple[ApprovalRequest, ...] = ()
    open_requests: tuple[ApprovalRequest, ...] = ()
    outdated_requests: tuple[ApprovalRequest, ...] = ()
    other_jobs: tuple[Job, ...] = ()  # of what is neither record nor item, or could not be read

    @cached_property
    def open_records(self) -> Sequence[RecordPlan]:
        return [plan for plan in self.records.values() if plan.ending.outcome is Outcome.OPEN]

    @property
    def open_deleted(self) -> list[DeletedPlan]:
        return [deleted for deleted in self.deleted.values() if deleted.is_open]

    def with_records(self, plans: Iterable[RecordPlan]) -> Plan:
        """Return it with these records' plans in the place of what was planned for them."""
        changed = {plan.id: plan for plan in plans}
        if not changed:
            return self
        plan = with_values(self, records={**self.records, **changed})
        vars(plan).pop("open_records", None)  # was cached
        return plan

    def with_deleted(self, deleted: Iterable[DeletedPlan]) -> Plan:
        """Return it with these deleted records in the place of what was planned for them."""
        changed = {deleted_plan.id: deleted_plan for deleted_plan in deleted}
        return replace(self, deleted={**self.deleted, **changed}) if changed else self


@dataclass(frozen=True)
class PassFacts:
    """What is so: what NPD knows of what was claimed, what Monday says, and what its items point at."""

    board: field_values.BoardContext
    now: datetime  # when the pass began to read
    # What NPD knows of what was claimed.
    records: tuple[RecordFacts, ...] = ()  # that are there
    deleted: tuple[DeletedFacts, ...] = ()  # and that were deleted
    unknown: tuple[Claim, ...] = ()  # neither records nor remembered as such
    item_claims: tuple[Claim, ...] = ()  # of items that no record has
    linked_items: tuple[str, ...] = ()  # claimed items that a record has by now: they are that record's wake-ups
    answers: AnswerFacts = field(default_factory=AnswerFacts)
    # What Monday says.
    items: board_items.BatchItems = field(default_factory=board_items.BatchItems)
    columns: board_columns.InspectedColumns | None = None  # what was found out about the board's columns
    error: MondayError | None = None  # why Monday could not be read
    # What the items point at.
    identity: IdentityFacts = field(default_factory=IdentityFacts)
    removals: Mapping[UUID, RemovalFacts] = field(default_factory=dict)  # of linked records whose items are gone
    unmatched: tuple[ItemFacts, ...] = ()
    approvals: ApprovalFacts = field(default_factory=ApprovalFacts)
    related: field_values.RelatedFacts = field(default_factory=field_values.RelatedFacts)
    # For records about which more was read: when their fields were edited, and who created their items.
    histories: Mapping[UUID, RecordHistory] = field(default_factory=dict)


PlanRule = Callable[[PassFacts, Plan], Plan]
RecordRule = Callable[[PassFacts, RecordPlan], RecordPlan]
