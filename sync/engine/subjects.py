"""What a look is about: a record with everything that is known of it, and what becomes of it step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sync.choices import Cause, QueueDirection
from sync.claims import Claimed
from sync.connectors.monday.items import Item
from sync.engine.board import Board
from sync.engine.gone import Act, Gone
from sync.engine.planned import Planned, column_value
from sync.engine.related import Related
from sync.engine.told import Lost
from sync.engine.values import raw_of
from sync.hooks import OpenConflict
from sync.lease import Lease
from sync.models import Decision as DecisionRow
from sync.models import (
    FieldLoop,
    GuardedAct,
    Intent,
    QueuePause,
    SyncedModel,
    SyncMetadata,
    WebhookEvent,
)

if TYPE_CHECKING:
    from sync.engine.copies import Copy
    from sync.engine.graves import Grave
    from sync.engine.overwritten import Told

__all__ = ["Batch", "Board", "Outcome", "Planned", "Subject", "column_value", "raw_of"]


class Outcome(StrEnum):
    """How a subject's queue rows end."""

    OPEN = "open"
    SETTLED = "settled"
    FAILED = "failed"
    GIVEN_BACK = "given back"
    SNOOZED = "snoozed"
    PAUSED = "paused"
    """Its rows wait in the directions of `waits`, which somebody paused."""


@dataclass
class Subject:
    """A record under a look; `outcome` says how its rows end, `note` why it is not in sync.

    `waits` are the paused directions in which something of it is left to be done.
    """

    claimed: Claimed
    record: SyncedModel
    ledger: SyncMetadata
    intents: list[Intent] = field(default_factory=list)
    conflicts: list[OpenConflict] = field(default_factory=list)
    events: list[WebhookEvent] = field(default_factory=list)
    weighed: bool = False
    has_dead_letter: bool = False
    owned_items: set[str] = field(default_factory=set)
    item: Item | None = None
    gone: Gone | None = None
    planned: dict[str, Planned] = field(default_factory=dict)
    write_npd_id: bool = False
    creates: bool = False
    bare: bool = False
    unsure: bool = False
    link_to: str | None = None
    unlinks: str = ""
    unlinks_for: str = ""
    as_new: bool = False
    apart: list[str] = field(default_factory=list)
    twin: dict[str, Any] | None = None
    answered_identity: dict[str, str] = field(default_factory=dict)
    intent: Intent | None = None
    written: Item | None = None
    outcome: Outcome = Outcome.OPEN
    note: str = ""
    words: str = ""
    wait_seconds: float = 0
    alone: bool = False
    applied: dict[str, str | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    inverse: dict[str, dict[str, Any]] = field(default_factory=dict)
    undone: dict[str, str] = field(default_factory=dict)
    identity: dict[str, Any] | None = None
    log: list[DecisionRow] = field(default_factory=list)
    intents_found: dict[UUID, str] = field(default_factory=dict)
    late: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    lost_words: list[Told] = field(default_factory=list)
    lost_applied: dict[str, str | None] = field(default_factory=dict)
    lost_rejected: dict[str, str] = field(default_factory=dict)
    loops: dict[str, FieldLoop] = field(default_factory=dict)
    lost_shown: dict[str, str | None] = field(default_factory=dict)
    waits: set[str] = field(default_factory=set)

    @property
    def id(self) -> UUID:
        """The record's id."""
        return self.record.pk

    @property
    def item_id(self) -> str:
        """The id of the item that was read or written, or an empty text."""
        item = self.written or self.item
        return item.id if item else ""

    @property
    def deleted(self) -> bool:
        """Whether this look deleted the record in NPD."""
        return self.gone is not None and self.gone.act is Act.DELETE and bool(self.gone.result)

    @property
    def causes(self) -> Cause:
        """Everything that gave a reason to look."""
        return self.claimed.causes

    @property
    def by_name(self) -> bool:
        """Whether a person asked for this one push by name."""
        return bool(self.claimed.payload.get("by_name"))

    @property
    def only_webhooks(self) -> bool:
        """Whether nothing but webhooks gave a reason to look."""
        return self.causes == Cause.WEBHOOK and all(
            r.direction == QueueDirection.TO_NPD for r in self.claimed.rows
        )

    def end(self, outcome: Outcome, words: str = "", *, note: str | None = None) -> None:
        """Decide how the subject's rows end."""
        self.outcome = outcome
        self.words = words
        if note is not None:
            self.note = note

    def drop(self, outcome: Outcome, words: str) -> None:
        """End without applying anything that was planned; what was sent is found out by the next look."""
        self.planned = {}
        self.intent = None
        self.link_to = None
        self.end(outcome, words)

    def snapshot(self) -> dict[str, Any]:
        """Return what settling changes, so that it can be repeated from the start."""
        return {
            "log": list(self.log),
            "applied": dict(self.applied),
            "inverse": dict(self.inverse),
            "undone": dict(self.undone),
            "lost_applied": dict(self.lost_applied),
            "base": dict(self.ledger.base),
            "altered": dict(self.ledger.altered),
            "kept": {name: getattr(self, name) for name in _KEPT},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name, value in state["kept"].items():
            setattr(self, name, value)
        self.log, self.applied = list(state["log"]), dict(state["applied"])
        self.inverse, self.undone = dict(state["inverse"]), dict(state["undone"])
        self.lost_applied = dict(state["lost_applied"])
        self.ledger.base, self.ledger.altered = dict(state["base"]), dict(state["altered"])

    @property
    def open(self) -> bool:
        """Whether the look goes on for this subject."""
        return self.outcome is Outcome.OPEN

    def say(self, kind: str, sentence: str, key: str = "", *, actor: str = "", **values: Any) -> None:
        """Add a line to the record's decision log; without an actor it is whoever asked for the look."""
        self.log.append(
            DecisionRow(
                entity_type=self.record.entity_type(),
                entity_id=self.id,
                remote_id=(self.item.id if self.item else self.record.monday_id) or "",
                key=key,
                kind=kind,
                sentence=sentence,
                values=values,
                actor=actor or str(self.claimed.payload.get("by", "")),
            )
        )


_KEPT = (
    "unsure",
    "wait_seconds",
    "record",
    "ledger",
    "planned",
    "outcome",
    "words",
    "note",
    "intent",
    "link_to",
    "gone",
)


@dataclass
class Batch:
    """All subjects of one look at one board, under one lease; `only_plans`: a dry run, in which nothing is sent.

    `paused` are the directions that were paused when the look began, each with its pause (engine/paused.py).
    """

    lease: Lease
    board: Board
    id: UUID
    only_plans: bool = False
    subjects: list[Subject] = field(default_factory=list)
    gone: list[Claimed] = field(default_factory=list)
    graves: list[Grave] = field(default_factory=list)
    candidates: list[Claimed] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    calls: int = 0
    snoozed: set[int] = field(default_factory=set)
    stopped: str = ""
    announced: float = 0.0
    read_at: datetime | None = None
    read_request: str = ""
    guarded: dict[tuple[UUID, str, str], GuardedAct] = field(default_factory=dict)
    related: Related = field(default_factory=Related)
    paused: dict[str, QueuePause] = field(default_factory=dict)

    @property
    def open(self) -> list[Subject]:
        """The subjects for which the look goes on."""
        return [subject for subject in self.subjects if subject.open]
