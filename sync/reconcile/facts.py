"""What is so before a pass decides: frozen values, made by gather, read by the rules. Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from sync.choices import Cause, QueueDirection
from sync.connectors.base.board_items import Item
from sync.kernel.conflict_store import OpenConflict
from sync.merge import FieldSelection
from sync.models import IgnoredItem, Intent, SyncedModel, SyncMetadata, WebhookEvent
from sync.outbox.claim import Claim


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


@dataclass(frozen=True)
class ClaimedFacts:
    """What was claimed: records that are there, records that are not, and items that no record has.

    `known_items` are claimed items that a record has by now: they are that record's wake-ups.
    """

    records: tuple[RecordFacts, ...] = ()
    deleted: tuple[Claim, ...] = ()
    unmatched: tuple[Claim, ...] = ()
    known_items: tuple[str, ...] = ()


# Which item is which record.


@dataclass(frozen=True)
class MatchExclusions:
    """What is remembered of items that are not to be matched: by item, and what was unlinked from a record."""

    by_item: Mapping[str, IgnoredItem] = field(default_factory=dict)
    unlinked: Mapping[UUID, IgnoredItem] = field(default_factory=dict)

    def may_match(self, item_id: str, record_id: UUID) -> bool:
        """Whether nothing is known that keeps this item from being this record's."""
        row = self.by_item.get(item_id)
        return row is None or not (row.unlinked or row.entity_id == record_id)


@dataclass(frozen=True)
class IdentityFacts:
    """Whose the items are that a pass found for records without one, and what is remembered of both.

    `owners` are the linked records by their items, of any type, for items move. `existing` are those records that are
    there, among the ones whose NPD IDs the items bear. `unedited` are records made from an item, and untouched in NPD,
    among those that a question names.
    """

    owners: Mapping[str, UUID] = field(default_factory=dict)
    existing: frozenset[UUID] = frozenset()
    exclusions: MatchExclusions = field(default_factory=MatchExclusions)
    unedited: Mapping[UUID, SyncedModel] = field(default_factory=dict)


@dataclass(frozen=True)
class LostCreates:
    """Records whose create was given up, for no item of theirs was found, and items that may be theirs all the same.

    `items` are those that webhooks named since then, as made with one of the NPD IDs, or as taken away under one of the
    names; `unlinked` are pairs of a record and an item from which it was parted already.
    """

    records: frozenset[UUID] = frozenset()
    items: tuple[str, ...] = ()
    unlinked: frozenset[tuple[UUID, str]] = frozenset()


@dataclass(frozen=True)
class AnswerFacts:
    """What answers to questions of identity rest on: the records and items that they name, as NPD has them now.

    `owners` are the records that have these items; of records to be merged, `unedited` are those that nobody touched in
    NPD, and `is_paused` says that writing to NPD is.
    """

    records: Mapping[UUID, SyncedModel] = field(default_factory=dict)
    owners: Mapping[str, SyncedModel] = field(default_factory=dict)
    unedited: frozenset[UUID] = frozenset()
    is_paused: bool = False
