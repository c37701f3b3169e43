"""Facts about records, items and their history: gather reads them in two steps, and nothing else changes them.

The rules decide by them; what they decide stands in the plan (pass_plan.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from conflicts.reports import RECORD_KEY, ConflictKind, FieldSelection, OpenConflict, UndoRequest
from sync import choices
from sync.fields.field_values import ACTIVE, BoardContext, PassSettings, RelatedRecords
from sync.kernel import acts, as_uuid
from sync.models import IgnoredItem, Intent, IntentState, SyncedModel, SyncMetadata, Tombstone, WebhookEvent, WriteLoop
from sync.monday.board_items import NAME_COLUMN, BatchItems, Item
from sync.monday.lag import LONGEST_LAG
from sync.outbox.claim import Claim
from sync.reconcile.change_events import EDIT_KINDS, ChangeEvent
from sync.records import item_links
from sync.records.approvals import ApprovalFacts
from sync.words.message import Message

# Why a pass ends without writing: somebody changed the record first.
CHANGED = Message("changed_meanwhile")
SETTINGS_CHANGED = Message("settings_changed_meanwhile")

# How far back events are checked, and how long the late effect of an unanswered mutation is recognized as ours.
EVENT_WINDOW = timedelta(days=1)

# How long a rewrite after our own write counts towards a loop.
LOOP_WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class RecordHistory:
    """What happened to a record and its item before the pass."""

    now: datetime  # when the pass began to read
    # Ours, the oldest first. All if an event is new or a base is missing; else the recent.
    intents: tuple[Intent, ...] = ()
    # Read if an event is new or of the last minutes, or a write seems void: the last day's events, and all new ones.
    events: tuple[WebhookEvent, ...] = ()
    token_user: str = ""  # the Monday user as whom we write
    journal_days: int = PassSettings.journal_days
    loops: Mapping[str, WriteLoop] = field(default_factory=dict)  # by field

    def may_be_ours(self, event: ChangeEvent) -> bool:
        """Whether the event names nobody else than the user as whom we write."""
        return not self.token_user or event.user_id in ("", self.token_user)

    @cached_property
    def unchecked_events(self) -> list[WebhookEvent]:
        """The events that no pass has checked yet, in the order of their arrival."""
        return sorted((event for event in self.events if event.processed_at is None), key=lambda event: event.pk)

    def _made_within(self, window: timedelta, *states: IntentState) -> list[Intent]:
        since = self.now - window
        return [intent for intent in self.intents if intent.created_at > since and intent.state in states]

    @cached_property
    def writes(self) -> list[Intent]:
        """The intents of the last days, but for those that Monday refused."""
        not_refused = [state for state in IntentState if state != IntentState.REJECTED]
        return self._made_within(timedelta(days=self.journal_days), *not_refused)

    @cached_property
    def last_writes(self) -> dict[str, Intent]:
        """The last write within the hour that took effect, by field."""
        effective = self._made_within(LOOP_WINDOW, IntentState.APPLIED, IntentState.CONFIRMED)
        return {key: write for write in effective for key in write.values}

    @cached_property
    def ineffective_writes(self) -> list[Intent]:
        """The last day's writes to the item that seemed to have had no effect.

        Either a pass found one void after an unknown outcome, or its answer shows a value that was read before, which
        the rules compare with what was sent. An intent known to have failed ended before its deadline.
        """
        since = self.now - EVENT_WINDOW
        return [
            intent
            for intent in self.intents
            if intent.item_id and intent.settled_at and intent.settled_at > since
            if (intent.state == IntentState.VOID and intent.settled_at >= intent.deadline)
            or (intent.state == IntentState.APPLIED and may_be_swallowed(intent))
        ]

    @property
    def ended_creates(self) -> list[Intent]:
        """The last day's creates without an item id, given up or known to have created an item."""
        ended = self._made_within(EVENT_WINDOW, IntentState.CONFIRMED, IntentState.VOID)
        creates = [intent for intent in ended if not intent.item_id]
        return [create for create in creates if create.was_searched or create.state == IntentState.CONFIRMED]

    @property
    def create_refused_at(self) -> datetime | None:
        """When Monday first refused to create the item, within the time by which searches may be late."""
        refused = self._made_within(LONGEST_LAG, IntentState.REJECTED)
        return next((intent.created_at for intent in refused if not intent.item_id), None)


def may_be_swallowed(intent: Intent) -> bool:
    """Whether its answer shows a value that was read before, or none though one was sent."""
    answer = intent.answer or {}
    return any(
        key in answer and (answer[key] == entry["read"] or (not answer[key] and any(entry["local"].values())))
        for key, entry in intent.values.items()
    )


@dataclass(frozen=True)
class RemovedItemFacts:
    """What is known about the removal of a record's item, and about the record's deletion that may follow."""

    state: str  # how the item is gone: archived, deleted, moved or missing
    actor: str = ""  # who removed the item, such as “Tom on Monday”, if a webhook named them
    removed_at: datetime | None = None  # Monday's time, if a webhook came
    is_deletion_rejected: bool = False  # a person rejected the record's deletion since
    is_rejection_new: bool = False  # no pass has followed that rejection yet
    is_removed_too_often: bool = False
    needed_by: str = ""  # what keeps the record from being deleted
    loss: str = ""  # what other records would lose by its deletion


@dataclass(eq=False)
class RecordFacts:
    """A claimed record in NPD with its history and open conflicts."""

    claim: Claim
    record: SyncedModel
    sync_state: SyncMetadata
    history: RecordHistory
    conflicts: tuple[OpenConflict, ...] = ()
    undo_requests: tuple[UndoRequest, ...] = ()  # people's, about fields
    has_failed_job: bool = False
    owned_items: frozenset[str] = field(default_factory=frozenset)  # items of open questions that have a record
    # Filled in once its item is read:
    former_item: IgnoredItem | None = None  # from which it was unlinked; read only if it has no item
    removal: RemovedItemFacts | None = None  # of its item
    npd_edits: Sequence[Any] = ()  # NPD's history of it, the newest first, if a field with the rule “newest” differs
    is_possible_duplicate: bool = False  # made from an item, unedited, and another record has that item's match key

    @property
    def id(self) -> UUID:
        return self.record.id

    @property
    def open_intents(self) -> list[Intent]:
        """Our intents without an answer."""
        return [intent for intent in self.history.intents if intent.state == IntentState.OPEN]

    @property
    def is_unresolved(self) -> bool:
        """Whether a conflict, an undo request or a call without an answer is open, which each pass decides anew."""
        return bool(self.conflicts or self.undo_requests or self.open_intents)

    @property
    def causes(self) -> choices.Cause:
        return self.claim.causes

    @property
    def is_sync_pressed(self) -> bool:
        """Whether a person pushes this one record (“Sync now”), which sends NPD's changes even if its sync is off."""
        return bool(self.claim.payload.get("sync_pressed"))

    @property
    def wants_new_item(self) -> bool:
        """Whether a person said that none of the items that were found is the record's."""
        return bool(self.claim.payload.get(item_links.NEW_ITEM_KEY))

    @property
    def unlink_requested_by(self) -> str:
        """The person who asked to unlink it from its item; an empty text if nobody did."""
        return str(self.claim.payload.get(item_links.UNLINK_KEY) or "")

    @property
    def wants_recreation(self) -> bool:
        """Whether a person asked for a new item for its removed one."""
        return bool(self.claim.payload.get(item_links.RECREATE_KEY))

    @property
    def is_restored(self) -> bool:
        """Whether a person restored it, so that it needs an item."""
        return bool(self.claim.payload.get(item_links.RECORD_RESTORED_KEY))

    @property
    def is_asked_about_removal(self) -> bool:
        """Whether a person is asked what happens to the record, because its item was removed."""
        return any(conflict.kind == ConflictKind.DELETE for conflict in self.conflicts)

    def resolved_conflict(self, kind: str, key: str) -> OpenConflict | None:
        """Return the conflict of this kind in which a person decided about a field, or about the record itself."""
        matching = (conflict for conflict in self.conflicts if conflict.kind == kind and key in conflict.resolutions)
        return next(matching, None)

    def resolution_for(self, kind: str, key: str) -> FieldSelection | None:
        """Return what a person chose for a field, or for the record itself, in a conflict of this kind."""
        conflict = self.resolved_conflict(kind, key)
        return conflict.resolutions[key] if conflict else None

    @property
    def decided_by(self) -> str:
        """The person who decided about the record or its item after one of them was deleted; empty for nobody."""
        conflict = self.resolved_conflict(ConflictKind.DELETE, RECORD_KEY)
        return conflict.by if conflict else ""

    def open_fields(self, *kinds: str) -> list[str]:
        """Return the keys of the fields in its open conflicts of these kinds."""
        return [key for conflict in self.conflicts if conflict.kind in kinds for key in conflict.fields]


def asked_items(record: SyncedModel, conflicts: Iterable[OpenConflict]) -> set[str]:
    """Return the items that a record's open questions “who is this?” are about, without its own."""
    questions = [conflict for conflict in conflicts if conflict.kind == ConflictKind.IDENTITY]
    items = {question.monday_item_id for question in questions}
    if record.monday_id is None:
        items = items.union(*(question.candidate_ids for question in questions if question.seeks_item))
    return items - {"", record.monday_id or ""}


def is_create(intent: Intent) -> bool:
    """Whether the intent announced a new item: it sends a name and has read nothing before."""
    entries = intent.values.values()
    sends_name = any(entry["column"] == NAME_COLUMN for entry in entries)
    return sends_name and all(entry.get("read") is None for entry in entries)


@dataclass(eq=False)
class DeletedFacts(RecordFacts):
    """A record that was deleted in NPD, as it was then."""

    tombstone: Tombstone = field(kw_only=True)
    owner: SyncedModel | None = None  # the record that has its item now
    npd_id_record: SyncedModel | None = None  # that its item's NPD ID names; filled in once the item is read

    @property
    def open_intents(self) -> list[Intent]:
        # An unanswered create was confirmed earlier.
        return [intent for intent in super().open_intents if intent.item_id]

    @property
    def choice(self) -> FieldSelection | None:
        """A person's choice about this deletion that is not applied yet.

        A choice made before the deletion is about something else.
        """
        if self.tombstone.state != choices.TombstoneState.ASKED:
            return None
        return self.resolution_for(ConflictKind.DELETE, RECORD_KEY)


@dataclass(frozen=True)
class ItemFacts:
    """An item that no record had when its job was claimed, and the facts about it."""

    claim: Claim
    item: Item | None
    events: tuple[WebhookEvent, ...] = ()  # all stored ones about it, the oldest first
    queued_at: datetime | None = None  # when its job was made; read only if it has no event
    unconfirmed_until: datetime | None = None  # a call about it has no known outcome until then
    owner: SyncedModel | None = None  # the record of any type that has it by now
    ignored: IgnoredItem | None = None
    tombstones: tuple[Tombstone, ...] = ()  # of records that had this item, or that have its NPD ID
    npd_id_record: SyncedModel | None = None  # the board's record with the NPD ID that it bears
    is_of_unlinked: bool = False  # `npd_id_record` was unlinked from an item
    matching: tuple[SyncedModel, ...] = ()  # the board's records with its match key
    namesakes: tuple[SyncedModel, ...] = ()  # the board's records with its name
    chosen_record: SyncedModel | None = None  # the record that a person wants it linked with
    question: OpenConflict | None = None  # open, whose item it is
    asked_record: SyncedModel | None = None  # the record of that question; None if it was deleted
    asking_records: frozenset[UUID] = frozenset()  # those without an item that are asked whether this is theirs
    # The facts about `copied_record`, else `npd_id_record`, if that has an item; and that item.
    duplicate_of: RecordFacts | None = None
    original_item: Item | None = None
    new_record_id: UUID | None = None  # the id of a record made from it
    is_unplanned: bool = False  # the set-up's plan had no new record for it

    @property
    def item_id(self) -> str:
        """The item's id, even if Monday doesn't show the item."""
        return self.claim.remote_id or ""

    @property
    def last_event(self) -> datetime | None:
        """When the board's last webhook about it arrived."""
        return self.events[-1].received_at if self.events else None

    @property
    def known_since(self) -> datetime | None:
        """When NPD first heard of it."""
        return self.events[0].received_at if self.events else self.queued_at

    @property
    def new_events(self) -> list[int]:
        """The ids of the events that no pass has checked yet."""
        return [event.pk for event in self.events if event.processed_at is None]

    @property
    def has_new_edit(self) -> bool:
        """Whether one of these is an edit."""
        return any(row.processed_at is None and row.event and row.event.kind in EDIT_KINDS for row in self.events)

    @property
    def answer(self) -> str:
        """The code of a person's answer to the question about it, unless somebody asked for something else since."""
        is_overruled = any(key in self.claim.payload for key in item_links.REQUEST_KEYS)
        return self.question.answer if self.question and not is_overruled else ""

    @property
    def copied_record(self) -> SyncedModel | None:
        """The record of which a person answered that it is a copy."""
        return self.asked_record if self.answer == acts.ARCHIVE_COPY else None

    @property
    def is_answered_as_new(self) -> bool:
        """Whether a person answered that it is a record of its own."""
        return self.answer == acts.NEW_RECORD

    @property
    def original_item_id(self) -> str:
        """The id of the item that this item may be a duplicate of; empty if there is none.

        The item of a deleted record is about somebody else, whatever NPD ID was typed into it: a person is asked.
        """
        if self.item is None or self.item.state != ACTIVE:
            return ""
        if self.copied_record is not None:
            return self.copied_record.monday_id or ""
        was_deleted = any(tombstone.monday_id == self.item_id for tombstone in self.tombstones)
        if was_deleted or self.npd_id_record is None:
            return ""
        return self.npd_id_record.monday_id or ""

    @property
    def wants_new_record(self) -> bool:
        """Whether a person said that it is a record of its own, whichever records have its match key."""
        return self.is_answered_as_new or bool(self.claim.payload.get(item_links.AS_NEW_KEY))

    @property
    def is_creation_requested(self) -> bool:
        """Whether a person asked for a record of it, whatever the board's setting says."""
        return self.wants_new_record or bool(self.claim.payload.get(item_links.MAY_CREATE_KEY))

    @property
    def chosen_id(self) -> UUID | None:
        """The id of the record that a person wants it linked with."""
        chosen = self.claim.payload.get(item_links.LINK_TO_KEY)
        return as_uuid(str(chosen)) if chosen else None


@dataclass(eq=False)
class PassFacts:
    """The facts of a pass: the claimed records in NPD, their items on Monday, and the records that the items name."""

    board: BoardContext
    now: datetime  # when the pass began to read
    # Read from NPD, about the claims:
    records: Sequence[RecordFacts] = ()  # existing ones
    deleted: tuple[DeletedFacts, ...] = ()  # deleted ones, from their tombstones
    unknown: tuple[Claim, ...] = ()  # about neither a record nor a tombstone
    item_claims: tuple[Claim, ...] = ()  # of items that no record has
    # The records that people's answers to “who is this?” name, or whose items they name; and why a record can't be
    # deleted for another, by the conflict that was answered so.
    answer_records: Mapping[UUID, SyncedModel] = field(default_factory=dict)
    merge_obstacles: Mapping[UUID, str] = field(default_factory=dict)
    # Read from Monday:
    items: BatchItems = field(default_factory=BatchItems)
    # Read from NPD again, about the items and the records that they name:
    # All stored events about an item, the oldest first, where a rule may need more of them than the last day's.
    events: Mapping[str, Sequence[WebhookEvent]] = field(default_factory=dict)
    # About the items that were found for records without one:
    owners: Mapping[str, UUID] = field(default_factory=dict)  # linked records of any type, by item
    known_npd_ids: frozenset[UUID] = frozenset()  # the NPD IDs of these items that belong to existing records
    ignored: Mapping[str, IgnoredItem] = field(default_factory=dict)  # items not to be matched, by id
    unedited: Mapping[UUID, SyncedModel] = field(default_factory=dict)  # owners made from an item, not edited in NPD
    # The records with the match key of an item that a record was made from, by key.
    same_key: Mapping[str, Sequence[SyncedModel]] = field(default_factory=dict)
    unmatched: Sequence[ItemFacts] = ()
    approvals: ApprovalFacts = field(default_factory=ApprovalFacts)
    unreported_records: frozenset[UUID] = (
        frozenset()
    )  # of the last hour, with a cell that nobody emptied, as far as known
    related: RelatedRecords = field(default_factory=dict)
    related_boards: frozenset[str] = frozenset()  # the types with a board, of related records without an item
    removed_related_items: Collection[str] = ()  # removed items that bases name

    def may_match(self, item_id: str, record_id: UUID) -> bool:
        """Whether this item may be this record's: nobody has ignored or unlinked it."""
        row = self.ignored.get(item_id)
        return row is None or not (row.left_alone or row.entity_id == record_id)
