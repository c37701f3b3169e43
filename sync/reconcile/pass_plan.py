"""What a pass decides: one plain plan for each record, which the rules fill in.

A rule takes the facts (`PassFacts`), which no rule changes, and the `Plan`, which it changes; run.py lists the rules.
All types of plans are in this file because every rule reads what other rules decided.

A `Plan` has a `RecordPlan` for each claimed record, with a `FieldPlan` for each of its fields, a `DeletedPlan` for each
deleted record and an `ItemPlan` for each unmatched item, each with the `Ending` of its jobs. What a record has in
common with a deleted one is in `EntityPlan`. What comes of a plan is in outcomes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, TypeAlias
from uuid import UUID

from conflicts import reports
from conflicts.reports import ConflictKind
from sync import choices, merge
from sync.fields import field_bases, field_values
from sync.kernel import acts
from sync.models import (
    ActivityLine,
    ApprovalRequest,
    FieldMapping,
    Intent,
    SyncedModel,
    SyncMetadata,
    Tombstone,
    WebhookEvent,
    WriteLoop,
)
from sync.monday import board_items
from sync.monday.conversion import Converter
from sync.outbox.claim import Claim
from sync.reconcile.cell_history import CellHistory
from sync.reconcile.facts import DeletedFacts, ItemFacts, PassFacts, RecordFacts, RecordHistory
from sync.reconcile.outcomes import DONE, NOT_SENT, NOTHING_NEW, OPEN, Ending, Outcome, Write
from sync.records.item_links import UnmatchedFinding
from sync.words.message import Message

# Shared by all fields that a pass leaves as they are, which are nearly all.
NOTHING = merge.FieldDecision(merge.Action.NOTHING)


@dataclass(eq=False)
class FieldPlan:
    """What a pass does with one field: the decision, with the raw values behind it."""

    mapping: FieldMapping
    converter: Converter
    direction: choices.SyncDirection  # that both the record's and the mapping's allow
    decision: merge.FieldDecision
    local_raw: dict[str, Any]  # NPD's value
    remote_raw: Any = None  # Monday's value
    send_raw: dict[str, Any] | None = None  # what is sent to Monday
    pull_raw: dict[str, Any] | None = None  # what is written in NPD
    base: dict[str, Any] | None = None  # what both sides agreed on last
    blocked_code: choices.BlockedCode | None = None  # why nothing is done with it
    blocked_reason: str = ""  # the same in words
    awaited: field_values.AwaitedRecord | None = None  # the record that has to come first
    conflict: reports.FieldConflict | None = None  # a person has to decide
    # What the newest call without an answer sent, if Monday now shows it: the field's entry in its intent.
    confirmed_entry: dict[str, Any] | None = None
    loop: WriteLoop | None = None  # after the pass, if it was counted or throttles the field; over without `times`
    sends_in_vain: int = 0  # how often Monday answered its value without storing it
    resolved_conflict: reports.OpenConflict | None = None  # with the choice that this pass applies
    # People's choices by the conflict's kind: the value after an applied one, or why one was rejected.
    applied: dict[str, str | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    undo: reports.UndoRequest | None = None  # that this pass carries out
    undo_rejection: str = ""  # why it carries out none
    is_undone: bool = False

    @property
    def key(self) -> str:
        return self.mapping.key

    @property
    def resolution(self) -> reports.FieldSelection:
        assert self.resolved_conflict is not None
        return self.resolved_conflict.resolutions[self.key]

    @property
    def resolved_kind(self) -> str:
        return self.resolved_conflict.kind if self.resolved_conflict else ""

    @property
    def choice(self) -> str:
        """The person's choice: npd, monday, base, undo or custom; restoring an overwritten edit counts as custom."""
        if self.undo is not None:
            return "undo"
        if self.resolved_kind == ConflictKind.OVERWRITTEN:
            return "custom"
        return self.resolution.choose if self.resolved_conflict else ""

    @property
    def undo_problem(self) -> str:
        """Why an undo request can't be carried out; empty if it can, or there is none."""
        return self.blocked_reason if self.undo and self.blocked_code else self.undo_rejection

    def display_local(self, local_raw: dict[str, Any] | None) -> str:
        return field_values.display_local(self.converter, local_raw)

    @property
    def is_resting(self) -> bool:
        """Whether both sides have the base's raw values, so that there is nothing to decide."""
        return self.decision is NOTHING

    @property
    def is_relation_skipped(self) -> bool:
        """Whether it names a record that will have no item, which doesn't keep its own record from being in sync."""
        return self.blocked_code is choices.BlockedCode.RELATION_SKIPPED

    def decide(self, action: merge.Action, reason: str) -> None:
        self.decision = merge.FieldDecision(action, reason)

    def block(self, code: choices.BlockedCode, reason: str) -> None:
        """Do nothing with the field, for this reason."""
        self.blocked_code = code
        self.blocked_reason = reason
        self.send_raw = None
        self.pull_raw = None

    def block_undecided(self, code: choices.BlockedCode, reason: str) -> None:
        """Do nothing with the field, because it can't be decided, for this reason."""
        self.decide(merge.Action.UNDECIDED, reason)
        self.block(code, reason)


@dataclass
class LostUpdate:
    """A value that somebody wrote on Monday and that our write overwrote before it was read."""

    key: str
    value: merge.Canonical
    user_id: str
    at: datetime
    writes: tuple[str, ...]  # the intents that overwrote it
    is_outcome_open: bool = False  # they had no answer: they overwrote it only if the item shows `sent`
    sent: merge.Canonical = None
    payload: Any = None  # as its event has it, if that can't be read; then `value` is only shown
    is_known: bool = True
    # Once a pass has read both sides and neither has the value:
    line: ActivityLine | None = None  # for the history and the conflict
    is_asked: bool = False  # a person is asked about it


@dataclass
class Doubts:
    """What a pass doesn't believe of an item that it has read (read_lag.py, emptied_cells.py)."""

    set_aside: dict[str, str] = field(default_factory=dict)  # fields whose cell counts as unknown, and why
    # Fields whose cell nobody emptied, so that NPD's value is sent again; and those whose connected items are shown as
    # none without a word.
    dropped_cells: frozenset[str] = frozenset()
    unexplained_cells: frozenset[str] = frozenset()
    is_item_stale: bool = False  # reads don't show yet what happened to the item, so the record waits
    look_in_seconds: float | None = None  # when the item is read again; None: not by itself
    kept_events: frozenset[int] = frozenset()  # events that stay unchecked until then

    @property
    def unreported_cells(self) -> frozenset[str]:
        """The fields whose cell is empty though nobody is known to have emptied it."""
        return self.dropped_cells | self.unexplained_cells


@dataclass(eq=False)
class EntityPlan:
    """What a pass does with a record or a deleted record. It starts with what is stored; `facts` stay as they are."""

    facts: RecordFacts
    # Its item as it was read, without the cells that are set aside; once made, as Monday's answer has it.
    item: board_items.Item | None = None
    ending: Ending = OPEN
    reason: str = ""  # why it is not in sync, as its page says; `ending.detail` is about its job
    log: list[ActivityLine] = field(default_factory=list)  # of its history; settling fills in what all have
    write: Write = field(default=NOT_SENT, repr=False)  # what was sent, and what came of it
    question: reports.ConflictReport | None = None  # to a person, about the record or its item as a whole
    approval: ApprovalRequest | None = None  # to store for deleting the record, or removing its item; done or pending
    fields: dict[str, FieldPlan] = field(default_factory=dict)  # what it does with each; none of a deleted record
    doubts: Doubts = field(default_factory=Doubts)
    lost_updates: list[LostUpdate] = field(default_factory=list)  # people's values that our writes overwrote
    # The intents without an answer that took effect: Monday shows their value, or an event that somebody replaced it.
    landed: frozenset[UUID] = frozenset()
    record: SyncedModel = field(init=False)  # as it was read; after settling, as it was written
    sync_state: SyncMetadata = field(init=False)  # after the pass; its own copy, so that a change is seen

    def __post_init__(self) -> None:
        self.record = self.facts.record
        self.sync_state = copy(self.facts.sync_state)

    @property
    def id(self) -> UUID:
        return self.facts.record.id

    @property
    def history(self) -> RecordHistory:
        return self.facts.history

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def is_open(self) -> bool:
        return self.ending.outcome is Outcome.OPEN

    @property
    def is_done(self) -> bool:
        return self.ending.outcome is Outcome.DONE

    @property
    def has_checked_events(self) -> bool:
        """Whether the pass has compared the item's new events with the item, or with the base."""
        return self.is_done and (self.ending == NOTHING_NEW or self.item is not None)

    @property
    def item_id(self) -> str:
        """The id of the item that was read or created, or an empty text."""
        return self.item.id if self.item else ""

    @property
    def makes_item(self) -> bool:
        """Whether the record gets a new item, by this pass or by the next one."""
        return False

    @property
    def intents_about_item(self) -> list[Intent]:
        """The open intents that may be about its item; the intent of a create has no item yet."""
        return [intent for intent in self.facts.open_intents if intent.item_id in ("", self.item_id)]

    @property
    def lost_update_lines(self) -> list[ActivityLine]:
        """The lines about the lost updates, the newest first; none unless it is done."""
        return [lost_update.line for lost_update in self.lost_updates if lost_update.line and self.is_done]

    def direction_of(self, mapping: FieldMapping) -> choices.SyncDirection:
        """Return the direction that both the record's and the mapping's allow."""
        return choices.common_direction(self.record.sync_direction, mapping.direction)

    def compared(self, board: field_values.BoardContext, mapping: FieldMapping) -> field_bases.ComparedField:
        """Return a field with both sides' values and the base, as this pass knows them by now."""
        item_id = self.item.id if self.item else self.record.monday_id or ""
        base = field_bases.base_of(self.sync_state, mapping, item_id)
        return field_bases.ComparedField(board, mapping, self.record, self.item, base)

    def cell(
        self, board: field_values.BoardContext, mapping: FieldMapping, events: Iterable[WebhookEvent] | None = None
    ) -> CellHistory:
        """Return the past of a field's cell, by these events or else those of the record's history."""
        history = self.history if events is None else replace(self.history, events=tuple(events))
        seen = field_bases.seen_values(self.sync_state, mapping.key)
        return CellHistory(mapping, board.converter(mapping, self.record), history, seen)

    def conflict_report(self, kind: str, item_id: str | None = None, **values: Any) -> reports.ConflictReport:
        """Return a report for the store of conflicts; pass `item_id` if it isn't the record's own item."""
        item_id = (self.record.monday_id or "") if item_id is None else item_id
        return reports.ConflictReport(self.record.entity_type(), self.id, item_id, kind, **values)

    def approval_request(
        self, kind: choices.ApprovalKind, label: Message, values: Mapping[str, Any], key: str = ""
    ) -> ApprovalRequest:
        """Return a request to delete it or its item, or to empty the field `key`."""
        return ApprovalRequest(
            entity_type=self.record.entity_type(),
            entity_id=self.id,
            remote_id=self.item_id or self.record.monday_id or "",
            kind=kind,
            key=key,
            label=label,
            values=dict(values),
            state=choices.ApprovalState.PENDING,
        )

    def may_remove(
        self, verdicts: Mapping[tuple[UUID, str], tuple[bool, choices.ApprovalState | None]], request: ApprovalRequest
    ) -> bool:
        """Return whether the verdict lets the removal go now; keep the request if it wasn't counted yet."""
        may_go, state = verdicts[self.id, ""]
        if state is not None:
            request.state = state
            self.approval = request
        return may_go

    def copied(self) -> Self:
        """Return a plan with the same content, to go on with; this one stays as it is."""
        other = copy(self)
        other.sync_state = copy(self.sync_state)
        other.log = [*self.log]
        other.question = copy(self.question)
        other.doubts = copy(self.doubts)
        other.fields = {key: copy(field_plan) for key, field_plan in self.fields.items()}
        for field_plan in other.fields.values():
            field_plan.applied = dict(field_plan.applied)
        return other

    def compared_with(self, item: board_items.Item | None) -> Self:
        """Return it as if it had this item, to compare the two; nothing is decided in it."""
        other = copy(self)
        other.item = item
        return other

    def end(self, reason: str) -> None:
        """End it as done; `reason` says why it is not in sync, if it isn't."""
        self.ending = Ending(Outcome.DONE, reason)
        self.reason = reason

    def wait(self, reason: str, seconds: float) -> None:
        """End it until its job is due again after so many seconds; it is not in sync until then, for this reason."""
        self.ending = Ending(Outcome.DEFERRED, reason, seconds)
        self.reason = reason

    def start_anew(self, ending: Ending) -> None:
        """Forget all that was decided, and end it so; the next pass finds out which sent values took effect.

        What our writes overwrote holds however it ends.
        """
        write = copy(self.write)
        write.open_intent = None
        anew = type(self)(self.facts, self.item, ending, write=write)
        anew.lost_updates = self.lost_updates
        vars(self).update(vars(anew))

    def add_line(
        self,
        kind: choices.ActivityKind,
        sentence: str,
        key: str = "",
        *,
        actor: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a line to its history, about a field or about itself."""
        self.add_lines(ActivityLine(kind=kind, sentence=sentence, key=key, actor=actor, values=values or {}))

    def add_lines(self, *lines: ActivityLine) -> None:
        """Add lines to its history; settling names an actor that they lack."""
        for line in lines:
            line.remote_id = self.item_id or self.record.monday_id or ""
            self.log.append(line)


@dataclass
class Removal:
    """What becomes of a record whose item was archived, deleted or moved, or isn't shown any more."""

    sentence: str  # what happened to the item, and what was edited
    edits: tuple[reports.FieldConflict, ...] = ()  # those since both sides agreed
    # The code of an act (sync/kernel/acts.py). Empty while it waits (the plan is deferred), a person is asked (the plan
    # has a question), or the deletion needs an approval (the plan's reason says so).
    act: str = ""
    is_chosen: bool = False  # by a person, in the record's conflict or on its page; else by the board's policy
    keeps_record: bool = False  # it was decided otherwise, so that an open request to delete the record ends
    result: str = ""  # what was done, as a sentence


@dataclass(eq=False)
class RecordPlan(EntityPlan):
    """What a pass does with an existing record."""

    removal: Removal | None = None  # of its item
    link_to: str | None = None  # the id of the item that this pass links or creates
    creates: bool = False  # the record gets a new item
    answers: list[IdentityAnswer] = field(default_factory=list)  # people's, when asked who it is
    filter_reason: str = ""  # why the filter leaves it out
    unlink_reason: str = ""  # why it is unlinked from its item, as a clause without a full stop

    @property
    def act(self) -> str:
        """The code of the act about its removed item."""
        return self.removal.act if self.removal else ""

    @property
    def whole_act(self) -> str:
        """The code of the act about the record and its item as a whole; empty if only their fields are compared."""
        if self.act:
            return self.act
        if self.unlink_reason:
            return acts.UNLINK
        if self.is_open and self.creates:
            return acts.NEW_ITEM
        return acts.LINK if self.link_to else ""

    @property
    def deletes(self) -> bool:
        """Whether settling deletes the record, because its item was removed."""
        return self.is_done and self.act == acts.DELETE_RECORD

    @property
    def is_deleted(self) -> bool:
        """Whether this pass has deleted the record, because its item was removed."""
        return self.removal is not None and self.removal.act == acts.DELETE_RECORD and bool(self.removal.result)

    @property
    def makes_item(self) -> bool:
        return self.creates or self.act == acts.CREATE_ITEM

    @property
    def unlinked_item_id(self) -> str:
        """The id of the item from which settling unlinks the record, or an empty text."""
        return self.facts.record.monday_id or "" if self.unlink_reason and self.is_done else ""

    @property
    def pulls(self) -> bool:
        """Whether a value is to be written in NPD."""
        return any(field_plan.pull_raw is not None for field_plan in self.fields.values())

    @property
    def changes_npd(self) -> bool:
        """Whether settling would write more than the record's bookkeeping."""
        return self.is_done and (self.pulls or self.deletes or bool(self.unlink_reason))

    @property
    def linked_record(self) -> SyncedModel:
        """The record as it will be when it is linked with that item."""
        return field_values.with_item(self.record, self.link_to)

    @property
    def takes_part(self) -> bool:
        """Whether its own settings and the filter let it be synced; `record.may_sync` says only the former."""
        return self.record.may_sync and not self.filter_reason

    @property
    def off_reason(self) -> str:
        """Why it isn't synced."""
        return self.filter_reason if self.record.may_sync else Message("sync_turned_off")

    @property
    def open_conflicts(self) -> list[reports.OpenConflict]:
        """Its open conflicts, without those that an answer of this pass closes."""
        answered = {answer.conflict.conflict_id for answer in self.answers if answer.result}
        return [conflict for conflict in self.facts.conflicts if conflict.conflict_id not in answered]

    @property
    def asks_which_item(self) -> bool:
        """Whether a person is asked which item is its own."""
        return self.question is not None and self.facts.record.monday_id is None

    @property
    def asks_about_removal(self) -> bool:
        """Whether a person is asked what becomes of the record, because its item was removed."""
        is_removed = self.removal is not None and self.question is not None
        return is_removed and not (self.act or self.unlink_reason)

    def copied(self) -> Self:
        other = super().copied()
        other.removal = copy(self.removal)
        return other

    def is_resting(self, board: field_values.BoardContext) -> bool:
        """Whether both sides of each field have the values that they last agreed on, and nothing else is open."""
        if self.facts.is_unresolved or self.sync_state.blocked_fields:
            return False
        if self.history.ineffective_writes:
            return False
        return all(self.compared(board, mapping).rests() for mapping in board.mapped)

    def forget_removed_state(self) -> None:
        """Keep nothing of what passes noted of its removed item."""
        self.sync_state.remote_state = ""
        self.sync_state.removed_since = None
        self.sync_state.removed_passes = 0

    def wait_for_look(self, seconds: float | None, events: Iterable[int], reason: str) -> None:
        """Have both sides read again after so many seconds, if any; these events stay unchecked until then."""
        doubts = self.doubts
        doubts.look_in_seconds = min(filter(None, (seconds, doubts.look_in_seconds)), default=None)
        doubts.kept_events = doubts.kept_events.union(events)
        self.reason = reason

    def unlink(self, why: str) -> None:
        """Unlink it in this pass, and do nothing else with it, nor about its removed item.

        `why` is a clause without a full stop, such as “its item was deleted on Monday”; the record's history and the
        ignored item show it.
        """
        self.link_to = None
        self.creates = False
        self.fields = {}
        self.unlink_reason = why
        if self.act != acts.UNLINK:
            self.removal = None
            self.approval = None
        if self.outcome in (Outcome.DONE, Outcome.DEFERRED):
            self.end("")


@dataclass(eq=False)
class DeletedPlan(EntityPlan):
    """What a pass does with a deleted record and its item; its `reason` describes the item's state."""

    facts: DeletedFacts
    new_state: choices.TombstoneState | None = None  # of the tombstone; None if it stays
    reason_code: str = ""  # of the tombstone; empty if it stays
    act: str = ""  # the code of the act about the item, by the board's policy or as a person chose
    edits: tuple[reports.FieldConflict, ...] = ()  # on Monday, since both sides agreed

    @property
    def restores(self) -> bool:
        """Whether the record is to come back, as a person chose."""
        return self.new_state is choices.TombstoneState.RESTORED

    def restore(self) -> None:
        """Have settling restore the record."""
        self.new_state = choices.TombstoneState.RESTORED
        self.ending = DONE

    @property
    def item_id(self) -> str:
        """The id of its item, or an empty text."""
        return self.facts.tombstone.monday_id or ""

    @property
    def item_to_keep(self) -> str:
        """The id of the item to link with the restored record: its own, if that is still on the board."""
        return self.item.id if self.item is not None and self.item.state == field_values.ACTIVE else ""


@dataclass
class IdentityAnswer:
    """A person's choice in a conflict about identity, and its result.

    Linking gives the item to `record_id`; merging deletes `merged_id`, which was made from an item, for `record_id`.
    """

    act: str  # the code of its act
    asked_id: UUID  # the record that is asked about
    conflict: reports.OpenConflict
    item_id: str
    record_id: UUID | None = None
    merged_id: UUID | None = None
    result: str = ""  # what was done, as a sentence
    rejection_reason: str = ""  # why it is rejected instead
    moves_item: bool = False  # two records are merged, and the remaining record gets the item

    @property
    def record_ids(self) -> set[UUID]:
        return {key for key in (self.record_id, self.merged_id) if key is not None}


# What a pass does with an item that no record has, beside `acts.LINK`, `acts.CREATE_RECORD` and `acts.ARCHIVE_COPY`: it
# bears the NPD ID of a linked record, and loses it.
CLEAR_NPD_ID = "clear_npd_id"


@dataclass(eq=False)
class ItemPlan:
    """What a pass does with an item that no record has."""

    facts: ItemFacts
    ending: Ending = DONE  # how its job ends
    act: str = ""  # one that `assigns` it to a record, or one about a duplicate; empty if it stays as it is
    record: SyncedModel | None = None  # as it will be: the record that gets or has it, or that it is a duplicate of
    candidates: tuple[SyncedModel, ...] = ()  # the records of which a person is newly asked whether it is theirs
    question: reports.ConflictReport | None = None  # about it; of a duplicate, once the call is made
    tombstone: Tombstone | None = None  # its deleted record's, as it will be
    to_enqueue: tuple[UUID, ...] = ()  # records, also deleted ones, that get a pass
    finding: UnmatchedFinding | None = None  # what pages show about it; None clears the stored one
    keeps_finding: bool = False  # keep the stored finding, although `finding` is None
    closing_reason: str = ""  # why a question about it is closed
    sentence: str = ""  # for the record's history
    # Likewise, about edits on the removed item whose place it takes, by the field's label.
    lines: Mapping[str, ActivityLine] = field(default_factory=dict)
    # Only for duplicates:
    kind: choices.ActivityKind | None = None  # of its line in the record's history after its calls; None: no line
    write: Write = NOT_SENT  # what was sent about it, and what came of it

    @property
    def outcome(self) -> Outcome:
        return self.ending.outcome

    @property
    def assigns(self) -> bool:
        """Whether a record gets it."""
        return self.act in (acts.LINK, acts.CREATE_RECORD)

    @property
    def is_duplicate(self) -> bool:
        """Whether it is a linked record's second item, about which calls are made."""
        return self.act in (CLEAR_NPD_ID, acts.ARCHIVE_COPY)

    @property
    def is_left_out(self) -> bool:
        """Whether the filter leaves it out."""
        return self.finding is not None and self.finding.reason is choices.UnmatchedReason.LEFT_OUT

    @property
    def item(self) -> board_items.Item:
        """The item; only for an item that Monday shows."""
        item = self.write.item or self.facts.item
        assert item is not None
        return item

    @property
    def original_record(self) -> SyncedModel:
        """The linked record that it is a duplicate of."""
        assert self.record is not None
        return self.record

    @property
    def record_ids(self) -> set[UUID]:
        return {record.pk for record in (self.record, *self.candidates) if record is not None}


# A claim, and how its jobs end.
EndedClaim: TypeAlias = tuple[Claim, Ending]


@dataclass(eq=False)
class Plan:
    """What a pass over one board does."""

    records: dict[UUID, RecordPlan] = field(default_factory=dict)
    deleted: dict[UUID, DeletedPlan] = field(default_factory=dict)
    items: list[ItemPlan] = field(default_factory=list)  # unmatched items, in the order of their claims
    # Requests to approve emptying a field.
    new_requests: list[ApprovalRequest] = field(default_factory=list)  # to store, as done or pending
    open_requests: list[ApprovalRequest] = field(default_factory=list)  # stored, and still about the present value
    outdated_requests: list[ApprovalRequest] = field(default_factory=list)  # stored, about another value: they end
    other_jobs: list[EndedClaim] = field(default_factory=list)  # about neither a record nor an item, or not read
    # Errors of ours that kept a record's events from being checked, with the record.
    event_faults: list[tuple[UUID, Exception]] = field(default_factory=list)

    @property
    def identity_answers(self) -> list[IdentityAnswer]:
        """People's answers to “who is this?”, in the order in which they are carried out."""
        return [answer for key in sorted(self.records) for answer in self.records[key].answers]

    @property
    def applied_answers(self) -> list[IdentityAnswer]:
        """Those that can still be carried out."""
        return [answer for answer in self.identity_answers if answer.result]

    @property
    def open_records(self) -> list[RecordPlan]:
        return [plan for plan in self.records.values() if plan.is_open]

    @property
    def open_deleted(self) -> list[DeletedPlan]:
        return [deleted for deleted in self.deleted.values() if deleted.is_open]

    def copied(self) -> Plan:
        """Return a plan with the same content, to go on with; this one stays as it is."""
        other = copy(self)
        other.records = {key: record_plan.copied() for key, record_plan in self.records.items()}
        other.deleted = {key: deleted_plan.copied() for key, deleted_plan in self.deleted.items()}
        return other


PlanRule = Callable[[PassFacts, Plan], None]
RecordRule = Callable[[PassFacts, RecordPlan], None]
