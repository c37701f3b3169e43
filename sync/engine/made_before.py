"""Items that a create without an answer may have made, and that no listing shows any more.

Monday lists active items only. One that a person archived or deleted before it was linked is not found by its NPD ID;
but webhooks have named it, and asked for by its id it still shows the NPD ID that our create gave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from sync.account import client
from sync.budget import sending
from sync.choices import Cause, Priority
from sync.connectors.monday.documents import ITEMS_PER_READ, read_items
from sync.connectors.monday.items import Item, parse_items
from sync.engine.reading import npd_id_of
from sync.engine.subjects import Batch, Outcome, Subject
from sync.enqueue import enqueue_many
from sync.models import Decision, Intent, IntentState, WebhookEvent

ACTIVE = "active"
EVENTS_ASKED = 500
"""So many items at most are asked for; a name that more of them bear in so short a time says nothing."""


def find_made_before(batch: Batch) -> None:
    """Link records that are about to get a second item with the first, whatever its state; raises MondayError."""
    creating = {subject.id: subject for subject in batch.open if subject.creates}
    lost = _lost_creates(creating)
    if not lost:
        return
    ids = _told_items(batch, creating, lost)
    if not ids:
        return
    wanted = {str(entity_id): creating[entity_id] for entity_id in lost}
    known = _parted_before(lost)
    for item in _read(batch, ids):
        subject = wanted.get(npd_id_of(batch.board, item) or "")
        if subject is not None and subject.creates and (subject.id, item.id) not in known:
            _link(batch, subject, item)


def _lost_creates(creating: Iterable[UUID]) -> dict[UUID, datetime]:
    """Records of which a create had no answer: when it was first announced."""
    void = Intent.objects.filter(entity_id__in=list(creating), item_id="", state=IntentState.VOID)
    lost = void.filter(Q(looks__gt=0) | Q(backfill__isnull=False)).order_by("-created_at")
    return dict(lost.values_list("entity_id", "created_at"))


def _told_items(batch: Batch, creating: dict[UUID, Subject], lost: dict[UUID, datetime]) -> list[str]:
    """Items that webhooks named since then as made with one of the NPD IDs, or as taken away under one of the names."""
    column = batch.board.link.npd_id_column
    ids = {str(entity_id) for entity_id in lost}
    names = {str(name) for name in _names(creating, lost)}
    made = Q(type="create_pulse", npd_id__in=list(ids))
    named = Q(type="create_pulse", body__event__pulseName__in=list(names))
    taken = Q(type__in=("archive_pulse", "delete_pulse"), body__event__itemName__in=list(names))
    values = KeyTransform("columnValues", KeyTransform("event", "body"))
    told_id = KeyTextTransform("value", KeyTransform(column, values))
    events = WebhookEvent.objects.annotate(npd_id=told_id).filter(
        made | named | taken, board_id=batch.board.link.board_id, received_at__gte=min(lost.values())
    )
    told = events.order_by("-id").values_list("item_id", flat=True)[:EVENTS_ASKED]
    found = [str(item_id) for item_id in dict.fromkeys(told) if item_id]
    owned = batch.board.model._default_manager.filter(monday_id__in=found).values_list("monday_id", flat=True)
    return [item_id for item_id in found if item_id not in set(owned)]


def _names(creating: dict[UUID, Subject], lost: dict[UUID, datetime]) -> Iterable[str]:
    """The names that the lost creates gave their items."""
    intents = Intent.objects.filter(entity_id__in=list(lost), item_id="", state=IntentState.VOID)
    for intent in intents:
        for entry in intent.values.values():
            if entry["column"] == "name":
                yield from (str(value) for value in entry["local"].values())


def _parted_before(records: Iterable[UUID]) -> set[tuple[UUID, str]]:
    """Items from which these records were parted already: they are not to come back by themselves."""
    rows = Decision.objects.filter(entity_id__in=list(records), kind="unlinked").exclude(remote_id="")
    return {
        (entity_id, item_id) for entity_id, item_id in rows.values_list("entity_id", "remote_id") if entity_id
    }


def _read(batch: Batch, ids: Sequence[str]) -> Iterable[Item]:
    for start in range(0, len(ids), ITEMS_PER_READ):
        asked = ids[start : start + ITEMS_PER_READ]
        batch.calls += 1
        document = read_items(asked, batch.board.columns, batch.board.types)
        with sending(batch.board.link, len(asked)):
            answer = client().execute(*document)
        yield from parse_items(answer, batch.board.columns)


def _link(batch: Batch, subject: Subject, item: Item) -> None:
    """Link it; where it has left the board, the record's next look decides what becomes of the two."""
    subject.creates, subject.item, subject.link_to = False, item, item.id
    subject.ledger.remote_state = item.state
    subject.say(
        "link", f"Linked with the item “{item.name}”, which a call of ours without an answer had made."
    )
    if item.state != ACTIVE or item.board_id not in (None, batch.board.link.board_id):
        subject.ledger.remote_state = ""
        enqueue_many(
            subject.record.entity_type(), [subject.id], cause=Cause.DEPENDENCY, priority=Priority.EDIT
        )
        subject.end(Outcome.SETTLED, note=f"Its item “{item.name}” was {item.state} before it was linked.")
