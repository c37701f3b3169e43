"""What is so before a pass decides: frozen values, made by gather, read by the rules. Nothing here asks anybody."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self, TypeAlias, TypeVar
from uuid import UUID

from conflicts.reports import KIND_DELETE, RECORD_KEY, OpenConflict
from sync import choices
from sync.merge import Canonical, FieldSelection
from sync.models import IgnoredItem, Intent, SyncedModel, SyncMetadata, Tombstone, WebhookEvent, WriteLoop
from sync.monday.board import EventKind
from sync.monday.board_items import Item
from sync.monday.conversion import Converter, UnknownValue
from sync.outbox.claim import Claim
from sync.reconcile.field_values import ACTIVE, BoardContext, as_uuid
from sync.records.unmatched_items import AS_NEW, LINK_TO, MAY_CREATE

# Why nothing is done after all: somebody was faster.
CHANGED = "It changed while it was synced."
SETTINGS_CHANGED = "Its settings changed while it was synced."

# What happened before a pass: what Monday told, and what we wrote.


# How long events are checked together, and a late effect of a mutation without an answer is recognized as ours.
EVENT_WINDOW = timedelta(days=1)

# Monday answers plain reads from replicas that may lag behind (its schema's `latest` argument says so).
STALE_READ_WINDOW = timedelta(minutes=2)

# How long a rewrite after our own write counts towards a loop.
LOOP_WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class ChangeEvent:
    """One change of one field on Monday, as a webhook or the activity log told it."""

    key: str
    value: Canonical
    previous: Canonical
    has_previous: bool  # else `previous` says nothing
    user_id: str  # empty where nobody is named
    at: datetime  # Monday's time of the change
    is_new: bool  # no pass has checked it yet


# What events tell of an item's values.
EDIT_KINDS = (EventKind.COLUMN, EventKind.RENAMED)


def event_value(convert: Converter, value: Any, column_type: str) -> Canonical:
    """Return the canonical form of an event's value; raises UnknownValue, also where the converter itself fails on it.

    An event is only a hint to read the item: an error of ours on what it says must not stop its record.
    """
    try:
        return convert.from_event(value, column_type or convert.column_type)
    except UnknownValue:
        raise
    except Exception as error:
        raise UnknownValue("the event's value can't be read") from error


def change_events(board: BoardContext, record: SyncedModel, events: Iterable[WebhookEvent]) -> list[ChangeEvent]:
    """Return the changes of mapped fields among these events, oldest first; what can't be read tells nothing."""
    by_column = {mapping.column_id: mapping for mapping in board.mapped}
    changes = []
    for received in events:
        event = received.event
        mapping = by_column.get(event.column_id or "") if event else None
        if event is None or mapping is None or event.kind not in EDIT_KINDS:
            continue
        convert = board.converter(mapping, record)
        column_type = event.column_type or ""
        with suppress(UnknownValue):
            value = event_value(convert, event.value, column_type)
            previous = None
            has_previous = event.has_previous
            try:
                previous = event_value(convert, event.previous_value, column_type) if has_previous else None
            except UnknownValue:
                has_previous = False
            at = event.changed_at or event.happened_at or received.received_at
            user = event.user_id or ""
            is_new = received.processed_at is None
            changes.append(ChangeEvent(mapping.key, value, previous, has_previous, user, at, is_new))
    return sorted(changes, key=lambda change: change.at)


@dataclass(frozen=True)
class RecordHistory:
    """What happened to a record and its item before the pass; our intents are in order, the oldest first."""

    events: tuple[WebhookEvent, ...] = ()  # of the last day and all new ones; where one is new, or a write is void
    writes: tuple[Intent, ...] = ()  # of the last days, that may have taken effect; where an event is new
    applied: tuple[Intent, ...] = ()  # of the last minutes
    void: tuple[Intent, ...] = ()  # of the last day, known to have had no effect
    ended_creates: tuple[Intent, ...] = ()  # without an item id, given up or known to have created an item
    changes: tuple[Intent, ...] = ()  # all about an item; only if the record lacks a base
    # When its fields were edited, if the rule “newest” needs it: from NPD's history, the newest first; from webhooks.
    npd_edits: Sequence[Any] = ()
    monday_edits: Sequence[ChangeEvent] = ()
    intents: tuple[Intent, ...] = ()  # all; only if an item may be the record's second one
    unlinked_items: frozenset[str] = frozenset()  # items that it was unlinked from; likewise
    users: frozenset[str] = frozenset()  # all Monday users in that item's events
    maker: str = ""  # the Monday user who created the item, or the second one, if known
    is_npd_id_typed: bool = False  # somebody wrote the item's NPD ID later
    token_user: str = ""  # the Monday user as whom we write
    loops: Mapping[str, WriteLoop] = field(default_factory=dict)  # by field
    last_writes: Mapping[str, Intent] = field(default_factory=dict)  # ours within the hour, by field


# The kind of the line about an item that is on its board again; who restored it, its event says.
RETURN = "restored"


@dataclass(frozen=True)
class HistoryLine:
    """A line of a record's history: what happened to a field (`key`), or to the record, as a sentence.

    `actor` is who did it, empty where that is whoever asked for the pass; `item_id` the item that it was about.
    """

    kind: str
    sentence: str
    key: str = ""
    actor: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    item_id: str = ""


def new_ledger(entity_type: str, entity_id: UUID) -> SyncMetadata:
    """Return a sync state that is not stored yet, with plain values where it would hold database defaults."""
    empty: dict[str, Any] = {name: {} for name in ("base", "blocked_fields", "altered", "conflicts", "seen")}
    texts: dict[str, Any] = dict.fromkeys(("note", "remote_state", "last_error", "left_out"), "")
    return SyncMetadata(
        entity_type=entity_type, entity_id=str(entity_id), error_count=0, removed_passes=0, **empty, **texts
    )


Frozen = TypeVar("Frozen")


def with_values(frozen: Frozen, **values: Any) -> Frozen:
    """Return a frozen value that says this, as `replace` does; which costs four times as much, for each record."""
    before = vars(frozen)
    after = before | values
    if len(after) > len(before):
        raise TypeError(f"{type(frozen).__name__} has no {', '.join(values.keys() - before.keys())}.")
    changed = object.__new__(type(frozen))
    vars(changed).update(after)
    return changed


def changed_ledger(ledger: SyncMetadata, **values: Any) -> SyncMetadata:
    """Return a sync state that says this; the same one where it does already."""
    if all(getattr(ledger, name) == value for name, value in values.items()):
        return ledger
    # By hand: the copy module takes ten times as long.
    changed = object.__new__(SyncMetadata)
    changed.__dict__.update(vars(ledger))
    changed.__dict__.update(values)
    return changed


# Records, deleted ones, and those whose items are gone.


@dataclass(frozen=True)
class RecordFacts:
    """A claimed record as NPD has it, its open intents, conflicts and events, and its item as it was read."""

    claim: Claim
    record: SyncedModel
    ledger: SyncMetadata  # its sync state
    intents: tuple[Intent, ...] = ()  # without an answer
    conflicts: tuple[OpenConflict, ...] = ()
    events: tuple[WebhookEvent, ...] = ()  # not checked by a pass yet
    has_failed_job: bool = False
    owned_items: frozenset[str] = field(default_factory=frozenset)  # items of its questions that have a record now
    item: Item | None = None
    history: RecordHistory = field(default_factory=RecordHistory)

    @property
    def id(self) -> UUID:
        return self.record.id

    @property
    def by(self) -> str:
        """The person who asked for the pass, or an empty text."""
        return str(self.claim.payload.get("by", ""))

    @property
    def causes(self) -> choices.Cause:
        return self.claim.causes

    @property
    def is_push_by_name(self) -> bool:
        return bool(self.claim.payload.get("by_name"))

    def resolved_conflict(self, kind: str, key: str) -> OpenConflict | None:
        """Return the conflict of this kind in which a person decided on a field, or on the record itself."""
        return next((c for c in self.conflicts if c.kind == kind and key in c.resolutions), None)

    def resolution_for(self, kind: str, key: str) -> FieldSelection | None:
        """Return what a person chose for a field, or for the record itself, in a conflict of this kind."""
        conflict = self.resolved_conflict(kind, key)
        return conflict.resolutions[key] if conflict else None

    def intents_about(self, item_id: str) -> list[Intent]:
        """Return the open intents that may be about this item; that of a create has no item yet."""
        return [intent for intent in self.intents if intent.item_id in ("", item_id)]

    def open_fields(self, *kinds: str) -> list[str]:
        return [key for conflict in self.conflicts if conflict.kind in kinds for key in conflict.fields]


# A record with its item, or with one that may be its.
Pair: TypeAlias = tuple[RecordFacts, Item]


def is_create(intent: Intent) -> bool:
    """Return whether it announced a new item: it sends a name and has read nothing before."""
    entries = intent.values.values()
    return all(entry.get("read") is None for entry in entries) and any(entry["column"] == "name" for entry in entries)


@dataclass(frozen=True)
class DeletedFacts(RecordFacts):
    """A record that was deleted in NPD, as it was, with its item as it was read."""

    tombstone: Tombstone = field(kw_only=True)
    owner: SyncedModel | None = None  # the record that has its item now
    bearer: SyncedModel | None = None  # the record whose NPD ID the item bears
    editor_events: tuple[WebhookEvent, ...] = ()  # all about its item, in case edits leave with it

    @property
    def resolution(self) -> FieldSelection | None:
        """What a person chose about this deletion, if anything waits to be carried out.

        A choice made while the record was there is not about its deletion.
        """
        if self.tombstone.state != choices.TombstoneState.ASKED:
            return None
        return self.resolution_for(KIND_DELETE, RECORD_KEY)


@dataclass(frozen=True)
class RemovalFacts(RecordFacts):
    """An existing record whose item was removed."""

    state: str = field(kw_only=True)  # archived, deleted, missing or moved
    actor: str = ""  # who removed the item, if a webhook named them
    history_actor: str = ""  # the same for the history
    removed_at: datetime | None = None  # Monday's time, if a webhook came
    is_deletion_rejected: bool = False  # a person rejected the record's deletion since
    is_rejection_new: bool = False  # no pass has followed that rejection yet
    is_removed_too_often: bool = False
    needed_by: str = ""  # what keeps the record from being deleted, read only if needed
    loss: str = ""  # what others would lose by its deletion, likewise

    @property
    def is_asked(self) -> bool:
        return any(conflict.kind == KIND_DELETE for conflict in self.conflicts)

    @property
    def choice(self) -> FieldSelection | None:
        """A person's choice about it, if any."""
        return self.resolution_for(KIND_DELETE, RECORD_KEY)

    def with_record(self, facts: RecordFacts) -> Self:
        """Return it with the record's facts as earlier rules left them."""
        return replace(self, **vars(facts))


# Which item is which record.


@dataclass(frozen=True)
class IdentityFacts:
    """Who owns the items that a pass read for records without one, and what is stored about both."""

    owners: Mapping[str, UUID] = field(default_factory=dict)  # the linked records by their items, of any type
    existing: frozenset[UUID] = frozenset()  # existing records among those whose NPD IDs the items have
    ignored: Mapping[str, IgnoredItem] = field(default_factory=dict)  # items not to be matched, by id
    unlinked: Mapping[UUID, IgnoredItem] = field(default_factory=dict)  # what was unlinked from a record
    unedited: Mapping[UUID, SyncedModel] = field(default_factory=dict)  # owners made from an item, untouched in NPD
    same_key: Mapping[str, Sequence[SyncedModel]] = field(default_factory=dict)  # by match key of such an item
    untouched: frozenset[UUID] = frozenset()  # records of `same_key` that nobody changed in NPD

    def may_match(self, item_id: str, record_id: UUID) -> bool:
        """Return whether this item may be this record's: nobody has ignored or unlinked it."""
        row = self.ignored.get(item_id)
        return row is None or not (row.unlinked or row.entity_id == record_id)


@dataclass(frozen=True)
class AnswerFacts:
    """The records and items that answers to questions of identity name, as NPD has them now."""

    records: Mapping[UUID, SyncedModel] = field(default_factory=dict)
    owners: Mapping[str, SyncedModel] = field(default_factory=dict)  # the records that have these items
    unedited: frozenset[UUID] = frozenset()  # records to be merged that nobody changed in NPD
    needed: Mapping[UUID, str] = field(default_factory=dict)  # why one of these can't be deleted


# Items that no record has.


@dataclass(frozen=True)
class ItemFacts:
    """An item that no record had when its job was claimed, and the facts about it."""

    claim: Claim
    item: Item | None
    last_event: datetime | None = None  # when the board's last webhook about it came
    new_events: tuple[int, ...] = ()  # not checked by a pass yet
    has_new_edit: bool = False  # one of these is an edit
    known_since: datetime | None = None  # when NPD first heard of it
    unconfirmed_until: datetime | None = None  # until then a call about it has no known outcome
    owner: SyncedModel | None = None  # the record that has it by now, of whatever type
    ignored: IgnoredItem | None = None
    tombstones: tuple[Tombstone, ...] = ()  # of records whose item it was, or whose NPD ID it has
    named: SyncedModel | None = None  # the board's record whose NPD ID it bears
    matching: tuple[SyncedModel, ...] = ()  # the board's records with its match key
    chosen: SyncedModel | None = None  # the record with which a person wants it linked
    first: RecordFacts | None = None  # the named record if it has its own item, with all its intents
    new_id: UUID | None = None  # the id of a record made from it

    @property
    def item_id(self) -> str:
        """The item's id, also of one that Monday doesn't show."""
        return self.claim.remote_id or ""

    @property
    def first_item(self) -> Item | None:
        return self.first.item if self.first and self.first_item_id else None

    @property
    def first_item_id(self) -> str:
        """The id of the linked item of the record whose NPD ID this one has; empty if there is none.

        An item of a deleted record is about somebody else, whatever NPD ID was typed into it: a person is asked.
        """
        was_deleted = any(tombstone.monday_id == self.item_id for tombstone in self.tombstones)
        if self.item is None or self.item.state != ACTIVE or was_deleted or self.named is None:
            return ""
        return self.named.monday_id or ""

    @property
    def as_new(self) -> bool:
        return bool(self.claim.payload.get(AS_NEW))

    @property
    def may_create(self) -> bool:
        """Whether a person wants a record of it, whatever the board's setting says."""
        return self.as_new or bool(self.claim.payload.get(MAY_CREATE))

    @property
    def chosen_id(self) -> UUID | None:
        """The id of the record with which a person wants it linked."""
        chosen = self.claim.payload.get(LINK_TO)
        return as_uuid(str(chosen)) if chosen else None
