"""What is so before a pass decides: frozen values, made by gather, read by the rules. Nothing here asks anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.choices import Cause, QueueDirection
from sync.connectors.base.board_items import Item
from sync.kernel.conflict_store import OpenConflict
from sync.merge import FieldSelection
from sync.models import Intent, SyncedModel, SyncMetadata, WebhookEvent
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
class HistoryLine:
    """A line for the record's history; without an actor it is whoever asked for the pass."""

    kind: str
    sentence: str
    key: str = ""
    actor: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
