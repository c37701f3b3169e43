"""Second items that bear the NPD ID of a record that has its item: the link stays, the copy loses the NPD ID.

A person's “Duplicate item” copies the NPD ID with the rest; a create whose answer was lost may have run twice. What our
own call made, and nobody touched, is archived; of any other a person is asked whether it is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sync.account import account, client
from sync.budget import sending
from sync.choices import GuardKind
from sync.claims import Claimed
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.documents import ITEMS_PER_READ, read_items
from sync.connectors.monday.items import Item, parse_items
from sync.connectors.monday.webhooks import BadEvent, parse_event
from sync.engine.guarding import Act, let_through
from sync.engine.matching import owner_elsewhere
from sync.engine.questions import LEAVE, NEW_RECORD
from sync.engine.subjects import Batch, Outcome, Subject
from sync.guard.limits import too_many
from sync.hooks import KIND_IDENTITY, RECORD, Choice, OpenConflict, Option
from sync.models import Decision, FieldMapping, Intent, IntentState, SyncedModel, WebhookEvent

ARCHIVE = "archive"
"""Answer: the item is a copy, and is to leave the board."""
ACTIVE = "active"


@dataclass
class Copy:
    """A second item of a linked record under a look.

    It came as a candidate (`claimed`), or by a person's answer to the question about it (`subject`, `choice`). `ours`
    says that our own create made it twice, `owner` whose item it is by now. `outcome` and `words` say how it ended;
    `archived` what became of the item.
    """

    item: Item
    record: SyncedModel
    claimed: Claimed | None = None
    subject: Subject | None = None
    choice: Choice | None = None
    ours: bool = False
    cleared: bool = False
    archived: bool = False
    owner: str = ""
    outcome: Outcome = Outcome.OPEN
    words: str = ""
    intent: Intent | None = None

    @property
    def wants_archive(self) -> bool:
        """Whether it is to leave the board: ours by itself, another's because a person said so."""
        return (self.choice is not None or self.ours) and not self.archived and not self.owner

    @property
    def what(self) -> str:
        """What happened, as the question about it says; the same at every look."""
        return (
            f"The item “{self.item.name}” bore the NPD ID of “{self.record}”, which has another item already. "
            "The link stays, and the NPD ID was taken off this one. Is it the same?"
        )


def options(copy: Copy) -> list[Option]:
    """Return the answers to the question whether a copy is the same as its record."""
    item, record = copy.item.name, str(copy.record)
    return [
        Option(
            "custom",
            "It is a copy: archive it",
            f"The item “{item}” is archived on Monday; “{record}” keeps the item that it has. What was written into "
            "the copy alone stays in Monday's archive.",
            ARCHIVE,
        ),
        Option(
            "custom",
            "It is somebody else: make a new record",
            f"A new record is made of the item “{item}” and linked with it; “{record}” stays as it is.",
            NEW_RECORD,
        ),
        Option(
            "custom",
            "Leave the item alone",
            f"The item “{item}” stays on the board; it is not matched and makes no record.",
            LEAVE,
        ),
    ]


def add_copy(batch: Batch, claimed: Claimed, item: Item, record: SyncedModel) -> None:
    """Note that a candidate bears the NPD ID of a record with another item; settle_copies() ends its row."""
    batch.copies.append(Copy(item, record, claimed=claimed))


def find_answered(batch: Batch) -> None:
    """Add the copies of which a person answered what becomes of them; raises MondayError."""
    found = [(subject, conflict) for subject in batch.open if subject.item for conflict in answered(subject)]
    if not found:
        return
    items = _read(batch, [conflict.monday_item_id for _, conflict in found])
    for subject, conflict in found:
        item = items.get(conflict.monday_item_id)
        there = item is not None and item.state == ACTIVE
        item = item or Item(conflict.monday_item_id, conflict.monday_item_id, "missing")
        copy = Copy(item, subject.record, subject=subject, choice=conflict.choices[RECORD], cleared=True)
        copy.archived = not there
        copy.owner = _owner(batch, item) if there else ""
        batch.copies.append(copy)


def _owner(batch: Batch, item: Item) -> str:
    """The record that the item belongs to by now; an answer about a copy is not one about that record's item."""
    owner = batch.board.model._default_manager.filter(monday_id=item.id).first()
    return str(owner or owner_elsewhere(batch, item) or "")


def answered(subject: Subject) -> Iterable[OpenConflict]:
    """Yield the questions about copies that a person answered with “it is a copy”."""
    for conflict in subject.conflicts:
        choice = conflict.choices.get(RECORD)
        if conflict.kind == KIND_IDENTITY and choice and choice.value == ARCHIVE:
            yield conflict


def _read(batch: Batch, ids: Sequence[str]) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for start in range(0, len(ids), ITEMS_PER_READ):
        asked = ids[start : start + ITEMS_PER_READ]
        batch.calls += 1
        document = read_items(asked, batch.board.columns, batch.board.types)
        with sending(batch.board.link, len(asked)):
            items = parse_items(client().execute(*document), batch.board.columns)
        found |= {item.id: item for item in items}
    return found


def tell_ours(batch: Batch) -> None:
    """Find out which of the look's copies our own creates made; more at once than the guard's limit are asked about."""
    for copy in batch.copies:
        copy.ours = copy.choice is None and _is_ours(batch, copy)
    ours = {copy.record.pk for copy in batch.copies if copy.ours}
    if ours and too_many(batch.board.link, GuardKind.ITEMS, ours):
        for copy in batch.copies:
            copy.ours = False
    let_through(batch, GuardKind.ITEMS, [_act(copy) for copy in batch.copies if copy.ours])


def _act(copy: Copy) -> Act:
    label = f"The second item of “{copy.record}”, made by a call of ours whose answer was lost"
    return Act(copy.record.pk, copy.item.id, "copy", label, {"record": str(copy.record)})


def _is_ours(batch: Batch, copy: Copy) -> bool:
    """Whether a create of ours says just what the item says, and nobody else is known to have made it."""
    sent = list(Intent.objects.filter(entity_id=copy.record.pk))
    if _was_its_own(copy, sent):
        return False
    creates = [intent for intent in sent if _is_create(intent)]
    same = [intent for intent in creates if _says(batch, copy, intent)]
    maker, us = _maker(copy.item.id), account().user_id
    if maker and us:
        return bool(same) and maker == us
    return any(intent.state == IntentState.VOID and (intent.looks or intent.backfill_id) for intent in same)


def _was_its_own(copy: Copy, sent: Sequence[Intent]) -> bool:
    """Whether the record was linked with it once: then somebody brought it back, and it is no second run's."""
    parted = Decision.objects.filter(entity_id=copy.record.pk, kind="unlinked", remote_id=copy.item.id)
    return any(intent.values and intent.item_id == copy.item.id for intent in sent) or parted.exists()


def _is_create(intent: Intent) -> bool:
    """A create sends a name and has read nothing before."""
    entries = intent.values.values()
    return (
        bool(entries)
        and all(entry.get("read") is None for entry in entries)
        and "name" in {entry["column"] for entry in entries}
    )


def _says(batch: Batch, copy: Copy, intent: Intent) -> bool:
    mapped = [mapping for mapping in batch.board.mappings if mapping.column_id]
    return all(_same(batch, copy, mapping, intent.values.get(mapping.key)) for mapping in mapped)


def _same(batch: Batch, copy: Copy, mapping: FieldMapping, sent: dict[str, Any] | None) -> bool:
    convert = batch.board.converter(mapping, copy.record)
    try:
        stands = convert.remote(convert.raw_of(copy.item.reading(mapping.column_id)))
        if sent is None:
            return stands is None
        placed = (sent["column"], sent["version"]) == (mapping.column_id, mapping.version)
        return placed and bool(stands == convert.local(sent["local"]))
    except UnknownValue:
        return False


def _maker(item_id: str) -> str:
    """The Monday user who made an item, as its webhook told; empty where none has come."""
    row = WebhookEvent.objects.filter(item_id=item_id, type="create_pulse").order_by("id").first()
    if row is None:
        return ""
    try:
        return str(parse_event(row.body).user_id or "")
    except BadEvent:
        return ""


__all__ = [
    "ARCHIVE",
    "Copy",
    "add_copy",
    "answered",
    "find_answered",
    "options",
    "tell_ours",
]
