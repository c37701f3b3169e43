"""What is so before a pass decides: frozen values, made by gather, read by the rules. Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sync.choices import Cause, QueueDirection
from sync.connectors.base.board_items import Item
from sync.kernel.conflict_store import OpenConflict
from sync.merge import FieldSelection
from sync.models import IgnoredItem, Intent, SyncedModel, SyncMetadata, Tombstone, WebhookEvent
from sync.outbox.claim import Claim
from sync.reconcile.field_values import BoardContext
from sync.records.unmatched_items import AS_NEW, LINK_TO, MAY_CREATE


@dataclass(frozen=True)
class RecordFacts:
    """A claimed record as NPD has it, what is open about it, and its item as it was read.

    `ledger` is its sync state, `intents` are those without an answer, `events` those that no pass has checked;
    `owned_items` are the items in its open questions that a record has by now. Nobody changes any of them.
    """

    claim: Claim
    record: SyncedModel
    ledger: SyncMetadata
    intents: tuple[Intent, ...] = ()
    conflicts: tuple[OpenConflict, ...] = ()
    events: tuple[WebhookEvent, ...] = ()
    has_failed_job: bool = False
    owned_items: frozenset[str] = field(default_factory=frozenset)
    item: Item | None = None

    @property
    def id(self) -> UUID:
        """The record's id."""
        return self.record.pk

    @property
    def by(self) -> str:
        """The person who asked for the pass, or an empty text."""
        return str(self.claim.payload.get("by", ""))

    @property
    def causes(self) -> Cause:
        """Everything that gave a reason for a pass."""
        return self.claim.causes

    @property
    def is_push_by_name(self) -> bool:
        """Whether a person asked for this one push by name."""
        return bool(self.claim.payload.get("by_name"))

    @property
    def is_webhook_only(self) -> bool:
        """Whether nothing but webhooks gave a reason for a pass."""
        return self.causes == Cause.WEBHOOK and all(r.direction == QueueDirection.TO_NPD for r in self.claim.rows)

    def resolved_conflict(self, kind: str, key: str) -> OpenConflict | None:
        """Return the conflict of this kind in which a person decided on a field, or on the record itself."""
        return next((c for c in self.conflicts if c.kind == kind and key in c.resolutions), None)

    def resolution_for(self, kind: str, key: str) -> FieldSelection | None:
        """Return what a person chose for a field, or for the record itself, in a conflict of this kind."""
        conflict = self.resolved_conflict(kind, key)
        return conflict.resolutions[key] if conflict else None

    def open_fields(self, *kinds: str) -> list[str]:
        """Return the fields in the open conflicts of these kinds."""
        return [key for conflict in self.conflicts if conflict.kind in kinds for key in conflict.fields]


# Items that no record has.


@dataclass(frozen=True)
class ItemEvents:
    """What webhooks told of an item: when the first and the last came, and those that no pass has checked."""

    first: datetime | None = None
    last: datetime | None = None
    new: tuple[int, ...] = ()


@dataclass(frozen=True)
class ItemFacts:
    """An item that no record had when its job was claimed, and what is so of it.

    It is `known_since` it was first heard of, and until `unconfirmed_until` a call about it is in the air. `owner` is
    the record that has it by now, of whatever type. `ignored` is what is remembered of it, and `tombstones` those whose
    item it was, or whose NPD ID it bears. Of the board's records `named` has the NPD ID that it bears, `matching` have
    its match key, `chosen` is the one with which a person wants it linked. `first_item` is the named record's own item,
    whose place it may take. A record made from it gets `new_id`, unless it bears the NPD ID of one that is gone.
    """

    claim: Claim
    item: Item | None
    events: ItemEvents = field(default_factory=ItemEvents)
    known_since: datetime | None = None
    unconfirmed_until: datetime | None = None
    owner: SyncedModel | None = None
    ignored: IgnoredItem | None = None
    tombstones: tuple[Tombstone, ...] = ()
    named: SyncedModel | None = None
    matching: tuple[SyncedModel, ...] = ()
    chosen: SyncedModel | None = None
    first_item: Item | None = None
    new_id: UUID | None = None
    is_npd_id_taken: bool = False

    @property
    def item_id(self) -> str:
        """The item's id, also of one that Monday doesn't show."""
        return self.claim.remote_id or ""

    @property
    def as_new(self) -> bool:
        """Whether a person wants it to become a record of its own."""
        return bool(self.claim.payload.get(AS_NEW))

    @property
    def may_create(self) -> bool:
        """Whether a person wants a record of it, whatever the board's setting says."""
        return self.as_new or bool(self.claim.payload.get(MAY_CREATE))

    @property
    def chosen_id(self) -> UUID | None:
        """The id of the record with which a person wants it linked."""
        chosen = self.claim.payload.get(LINK_TO)
        return UUID(str(chosen)) if chosen else None


@dataclass(frozen=True)
class ItemContext:
    """What is so for all items of a pass.

    An item without a match key becomes a record `nameless_wait` after it was first heard of. `pause` says why nothing
    is written to NPD, in words. `deleted_items` are those of which the pass has decided as a deleted record's.
    `related` are the records that an item's relations name, by item and field, or why there is none.
    """

    board: BoardContext
    now: datetime
    nameless_wait: timedelta = timedelta()
    pause: str = ""
    deleted_items: Collection[str] = ()
    related: Mapping[str, Mapping[str, SyncedModel | str]] = field(default_factory=dict)
