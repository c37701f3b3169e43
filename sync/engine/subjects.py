"""What a look is about: a record with everything that is known of it, and what becomes of it step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from sync import registry
from sync.boards import columns_of, mappings_of
from sync.choices import Cause, QueueDirection, QueueStatus
from sync.claims import Claimed
from sync.connectors.monday.converters import Converter, converter
from sync.connectors.monday.items import Item
from sync.hooks import KIND_IDENTITY, FieldConflict, OpenConflict, desk
from sync.lease import Lease
from sync.merge import Decision
from sync.models import (
    BoardLink,
    FieldMapping,
    Intent,
    IntentState,
    SyncedModel,
    SyncMetadata,
    SyncQueue,
    WebhookEvent,
)
from sync.models import Decision as DecisionRow

Raw = Mapping[str, Any]


class Outcome(StrEnum):
    """How a subject's queue rows end."""

    OPEN = "open"
    SETTLED = "settled"
    FAILED = "failed"
    GIVEN_BACK = "given back"
    SNOOZED = "snoozed"


@dataclass(frozen=True)
class Board:
    """A board link with its mappings, as a look uses them."""

    link: BoardLink
    mappings: Sequence[FieldMapping]
    model: type[SyncedModel]

    @classmethod
    def of(cls, link: BoardLink) -> Board:
        """Read the link's mappings."""
        return cls(link, mappings_of(link), registry.entity(link.entity_type).model)

    @property
    def columns(self) -> list[str]:
        """The column ids that a look reads."""
        return columns_of(self.link, self.mappings)

    @property
    def match(self) -> FieldMapping | None:
        """The mapping by which records and items are matched."""
        return next((m for m in self.mappings if m.key == self.link.match_key and m.column_id), None)


def converter_of(mapping: FieldMapping) -> Converter:
    """Return the mapping's converter."""
    return converter(mapping.converter)


def raw_of(record: SyncedModel, mapping: FieldMapping) -> dict[str, Any]:
    """Return NPD's raw values of a mapping, as a base keeps them."""
    return {name: getattr(record, name) for name in mapping.fields}


@dataclass
class Planned:
    """What a look does with one field: the decision with the raw values that it rests on.

    `conflict` is there when a person has to decide; `asked` when one has, and `choice` says what.
    """

    mapping: FieldMapping
    decision: Decision
    local_raw: dict[str, Any]
    remote_raw: Any = None
    send_raw: dict[str, Any] | None = None
    write_raw: dict[str, Any] | None = None
    base: dict[str, Any] | None = None
    hold: str = ""
    choice: str = ""
    conflict: FieldConflict | None = None
    asked: FieldConflict | None = None
    answered: Item | None = None


def column_value(planned: Planned) -> Any:
    """Return what is sent to the field's column."""
    return converter_of(planned.mapping).write(planned.send_raw or {}, planned.remote_raw)


@dataclass
class Subject:
    """A record under a look; `outcome` says how its rows end, `note` why it is not in sync."""

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
    planned: dict[str, Planned] = field(default_factory=dict)
    write_npd_id: bool = False
    creates: bool = False
    bare: bool = False
    unsure: bool = False
    link_to: str | None = None
    intent: Intent | None = None
    written: Item | None = None
    outcome: Outcome = Outcome.OPEN
    note: str = ""
    words: str = ""
    wait_seconds: float = 0
    alone: bool = False
    applied: dict[str, str | None] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    identity: dict[str, Any] | None = None
    log: list[DecisionRow] = field(default_factory=list)
    intents_found: dict[UUID, str] = field(default_factory=dict)

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
            "base": dict(self.ledger.base),
            "altered": dict(self.ledger.altered),
            "kept": {name: getattr(self, name) for name in _KEPT},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a snapshot."""
        for name, value in state["kept"].items():
            setattr(self, name, value)
        self.log, self.applied = list(state["log"]), dict(state["applied"])
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
)


@dataclass
class Batch:
    """All subjects of one look at one board, under one lease."""

    lease: Lease
    board: Board
    id: UUID
    subjects: list[Subject] = field(default_factory=list)
    gone: list[Claimed] = field(default_factory=list)
    candidates: list[Claimed] = field(default_factory=list)
    calls: int = 0
    snoozed: set[int] = field(default_factory=set)
    stopped: str = ""
    announced: float = 0.0

    @property
    def open(self) -> list[Subject]:
        """The subjects for which the look goes on."""
        return [subject for subject in self.subjects if subject.open]


def load(batch: Batch, claimed: Sequence[Claimed]) -> None:
    """Read what NPD knows of the claimed records, in a handful of queries whatever their number."""
    model, entity_type = batch.board.model, batch.board.link.entity_type
    items = [c.remote_id for c in claimed if c.entity_id is None]
    owners = {
        r.monday_id: r.pk for r in model._default_manager.filter(monday_id__in=items).only("id", "monday_id")
    }
    rows: dict[UUID, list[Any]] = {}
    for claim in claimed:
        owner = claim.entity_id or owners.get(claim.remote_id)
        if owner is None:
            batch.candidates.append(claim)
        else:
            rows.setdefault(owner, []).extend(claim.rows)
    records = model._default_manager.in_bulk(list(rows))
    ledgers = _ledgers(entity_type, list(records))
    for entity_id, found in rows.items():
        claim = Claimed(entity_id, None, found)
        if entity_id not in records:
            batch.gone.append(claim)
            continue
        ledger = ledgers.get(str(entity_id)) or SyncMetadata(
            entity_type=entity_type, entity_id=str(entity_id)
        )
        batch.subjects.append(Subject(claim, records[entity_id], _plain(ledger)))
    _attach(batch)


def _ledgers(entity_type: str, ids: list[UUID]) -> dict[str, SyncMetadata]:
    found = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    return {ledger.entity_id: ledger for ledger in found}


def _plain(ledger: SyncMetadata) -> SyncMetadata:
    """A ledger row that is not stored yet holds database defaults; give it plain values."""
    if ledger.pk is None:
        for name in ("base", "held", "altered", "conflicts"):
            setattr(ledger, name, {})
        ledger.note = ledger.remote_state = ledger.last_error = ""
        ledger.error_count = 0
    return ledger


def _attach(batch: Batch) -> None:
    by_id = {subject.id: subject for subject in batch.subjects}
    for intent in Intent.objects.filter(entity_id__in=by_id, state=IntentState.OPEN).order_by("created_at"):
        by_id[intent.entity_id].intents.append(intent)
    for entity_id, conflicts in desk().open_of(batch.board.link.entity_type, by_id).items():
        by_id[entity_id].conflicts = list(conflicts)
    model, entity_type = batch.board.model, batch.board.link.entity_type
    dead = SyncQueue.objects.filter(entity_type=entity_type, entity_id__in=by_id, status=QueueStatus.FAILED)
    for dead_id in dead.values_list("entity_id", flat=True):
        if dead_id is not None:
            by_id[dead_id].has_dead_letter = True
    asked = {c.monday_item_id for s in batch.subjects for c in s.conflicts if c.kind == KIND_IDENTITY}
    if asked:
        owned = set(model._default_manager.filter(monday_id__in=asked).values_list("monday_id", flat=True))
        for subject in batch.subjects:
            subject.owned_items = {str(item) for item in owned}
    by_item = {subject.record.monday_id: subject for subject in batch.subjects if subject.record.monday_id}
    events = WebhookEvent.objects.filter(
        weighed_at=None, item_id__in=by_item, board_id=batch.board.link.board_id
    )
    for event in events.order_by("id"):
        if event.item_id in by_item:
            by_item[event.item_id].events.append(event)
