"""Records that were deleted in NPD, as a look sees them: the tombstone, the record as it was, its item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sync.choices import RecordGone, TombstoneState
from sync.claims import Claimed
from sync.connectors.monday.items import Item
from sync.engine.subjects import Batch, Outcome, Subject
from sync.graveyard import as_it_was
from sync.hooks import KIND_DELETE, RECORD, Choice, FieldConflict, Finding, OpenConflict, desk
from sync.models import Intent, IntentState, SyncMetadata, Tombstone


@dataclass
class Grave:
    """A deleted record under a look; `subject` is the record as it was, and `subject.outcome` ends its rows.

    `becomes` is the tombstone's new state (None leaves it), `note` says in words what became of the item. `question`
    is what a person is asked; `brings_back` the item with which the record is to come back; `applied` and `rejected`
    are what became of a stored choice. `would` is what a look that only plans would do with the item.
    """

    stone: Tombstone
    subject: Subject
    becomes: TombstoneState | None = None
    note: str = ""
    question: Finding | None = None
    brings_back: bool = False
    applied: str = ""
    rejected: str = ""
    would: RecordGone | None = None
    edited: tuple[FieldConflict, ...] = field(default_factory=tuple)

    @property
    def item(self) -> Item | None:
        """The item as it was read or written last."""
        return self.subject.written or self.subject.item

    @property
    def name(self) -> str:
        """What the record was called."""
        return str(self.subject.record)

    @property
    def choice(self) -> Choice | None:
        """What a person chose about this deletion, if anything waits to be carried out.

        A choice made while the record was there is not about its deletion.
        """
        if self.stone.state != TombstoneState.ASKED:
            return None
        found = [
            c.choices[RECORD] for c in self.subject.conflicts if c.kind == KIND_DELETE and RECORD in c.choices
        ]
        return found[0] if found else None

    def rest(self, becomes: TombstoneState | None, note: str, *, kind: str = "delete") -> None:
        """End the grave's look: nothing is left to do for now, and `note` says how the item stands."""
        said = note != self.stone.note or becomes not in (None, self.stone.state)
        self.becomes, self.note = becomes, note
        if said:
            self.subject.say(kind, note)
        self.subject.end(Outcome.SETTLED)


def dig(batch: Batch) -> None:
    """Read what is known of the deleted records of this look; rows of what never was a record end."""
    if not batch.gone:
        return
    entity_type = batch.board.link.entity_type
    claims = {claimed.entity_id: claimed for claimed in batch.gone if claimed.entity_id}
    stones = Tombstone.objects.filter(entity_type=entity_type, entity_id__in=claims)
    known = {stone.entity_id: stone for stone in stones}
    ledgers = _ledgers(entity_type, known)
    conflicts = desk().open_of(entity_type, known)
    intents = _open_intents(known)
    for entity_id, stone in known.items():
        subject = Subject(
            claims[entity_id],
            as_it_was(batch.board.model, stone),
            ledgers.get(str(entity_id)) or _blank(entity_type, entity_id),
            intents=intents.get(entity_id, []),
            conflicts=list(conflicts.get(entity_id, [])),
        )
        batch.graves.append(Grave(stone, subject))


def open_graves(batch: Batch) -> list[Grave]:
    """Return those graves for which the look goes on."""
    return [grave for grave in batch.graves if grave.subject.open]


def without_stone(batch: Batch) -> list[Claimed]:
    """Return the rows of what is neither a record nor remembered as one."""
    known = {grave.stone.entity_id for grave in batch.graves}
    return [claimed for claimed in batch.gone if claimed.entity_id not in known]


def question_of(grave: Grave) -> OpenConflict | None:
    """Return the open question about this deletion, if there is one."""
    return next((c for c in grave.subject.conflicts if c.kind == KIND_DELETE), None)


def _ledgers(entity_type: str, ids: Iterable[UUID]) -> dict[str, SyncMetadata]:
    rows = SyncMetadata.objects.filter(
        entity_type=entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    return {row.entity_id: row for row in rows}


def _blank(entity_type: str, entity_id: UUID) -> SyncMetadata:
    blank: dict[str, Any] = {"base": {}, "held": {}, "altered": {}, "conflicts": {}, "seen": {}}
    return SyncMetadata(entity_type=entity_type, entity_id=str(entity_id), note="", remote_state="", **blank)


def _open_intents(ids: Iterable[UUID]) -> dict[UUID, list[Intent]]:
    found: dict[UUID, list[Intent]] = {}
    rows = Intent.objects.filter(entity_id__in=list(ids), state=IntentState.OPEN).exclude(item_id="")
    for intent in rows.order_by("created_at"):
        found.setdefault(intent.entity_id, []).append(intent)
    return found
