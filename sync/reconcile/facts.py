"""What is so before a pass decides: frozen values, made by gather, read by the rules. Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.choices import Cause, QueueDirection, TombstoneState
from sync.connectors.base.board_items import Item
from sync.kernel.conflict_store import KIND_DELETE, RECORD_KEY, OpenConflict
from sync.merge import FieldSelection
from sync.models import Intent, SyncedModel, SyncMetadata, Tombstone, WebhookEvent
from sync.outbox.claim import Claim


@dataclass(frozen=True)
class Settings:
    """The installation's settings that rules read (config/settings.py says what each is)."""

    gone_quiet_seconds: float = 600
    tombstone_days: int = 30
    loop_times: int = 5
    journal_days: int = 7
    new_item_wait_seconds: float = 300


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
class DeletedFacts(RecordFacts):
    """A record that was deleted in NPD, as it was, with what the tombstone says of it.

    `events` are all that came about its item, and `users` Monday's users by id: both are read only where somebody's
    edit has to be told. `owner` is the record that has its item now, `bearer` the one whose NPD ID the item bears.
    """

    tombstone: Tombstone = field(kw_only=True)
    owner: SyncedModel | None = None
    bearer: SyncedModel | None = None
    users: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resolution(self) -> FieldSelection | None:
        """What a person chose about this deletion, if anything waits to be carried out.

        A choice made while the record was there is not about its deletion.
        """
        if self.tombstone.state != TombstoneState.ASKED:
            return None
        return self.resolution_for(KIND_DELETE, RECORD_KEY)


@dataclass(frozen=True)
class RemovalFacts:
    """A record that is there while its item isn't: `state` is archived, deleted, missing or moved.

    `actor` is who took the item away and `editor` the same for the history, as far as webhooks told. `rejected` is the
    state of the approval that a person refused since. `needed_by` and `loss` say what keeps the record from being
    deleted, and what others would lose by that; both are read only where the answer is wanted.
    """

    record: RecordFacts
    state: str
    actor: str = ""
    editor: str = ""
    rejected: str = ""
    is_removed_too_often: bool = False
    needed_by: str = ""
    loss: str = ""

    @property
    def is_asked(self) -> bool:
        """Whether a person is asked already what becomes of the record."""
        return any(conflict.kind == KIND_DELETE for conflict in self.record.conflicts)
