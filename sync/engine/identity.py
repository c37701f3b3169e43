"""Which item belongs to which record: linked, found by NPD ID, found by the match rule, or none."""

from __future__ import annotations

from collections.abc import Iterable

from sync.connectors.monday.items import Item, LookResult
from sync.engine.reading import match_text, match_text_of_item, npd_id_of
from sync.engine.subjects import Batch, Outcome, Subject

ACTIVE = "active"


def identify(batch: Batch, found: LookResult) -> None:
    """Give every open subject its item, mark it as one to be created, or end it with the reason."""
    taken = _owners(batch, [*found.by_npd_id, *found.by_match])
    for subject in batch.open:
        if subject.record.monday_id:
            _linked(batch, subject, found.linked.get(subject.record.monday_id))
        else:
            _unlinked(batch, subject, found, taken)


def _owners(batch: Batch, items: Iterable[Item]) -> dict[str, str]:
    """Which of these items a record is linked to already: item id → record id."""
    ids = {item.id for item in items}
    rows = batch.board.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", "pk")
    return {str(item): str(pk) for item, pk in rows}


def _linked(batch: Batch, subject: Subject, item: Item | None) -> None:
    if item is None:
        subject.ledger.remote_state = "missing"
        return subject.end(
            Outcome.SETTLED,
            note="Monday doesn't show this item any more: it may be deleted for good, or hidden from the token's user. "
            "Nothing was changed in NPD. Look for it on the board.",
        )
    subject.item = item
    subject.ledger.remote_state = item.state
    if item.state != ACTIVE:
        return subject.end(
            Outcome.SETTLED,
            note=f"The item was {item.state} on Monday. Nothing was changed in NPD, and nothing is sent. "
            "Restore the item on Monday, or turn sync off for this record.",
        )
    if item.board_id and item.board_id != batch.board.link.board_id:
        subject.ledger.remote_state = "moved"
        return subject.end(
            Outcome.SETTLED,
            note=f"The item is on another board now ({item.board_id}). Nothing was changed in NPD, nothing is sent. "
            "Move it back, or turn sync off for this record.",
        )
    return None


def _unlinked(batch: Batch, subject: Subject, found: LookResult, taken: dict[str, str]) -> None:
    hits = [item for item in found.by_npd_id if npd_id_of(batch, item) == str(subject.id)]
    if not hits and (key := match_text(batch, subject)):
        hits = [
            item for item in found.by_match if item.state == ACTIVE and match_text_of_item(batch, item) == key
        ]
    if not hits:
        subject.creates = True
    elif len(hits) == 1 and hits[0].id not in taken:
        taken[hits[0].id] = str(subject.id)
        subject.item, subject.link_to = hits[0], hits[0].id
        subject.ledger.remote_state = hits[0].state
    else:
        _who_is_this(batch, subject, hits, taken)


def _who_is_this(batch: Batch, subject: Subject, hits: list[Item], taken: dict[str, str]) -> None:
    what = (
        f"{len(hits)} items on the board could be this {batch.board.link.entity_type}"
        if len(hits) > 1
        else "The item with the same key belongs to another record already"
    )
    subject.item = None
    subject.identity = {
        "what": f"{what}. Nothing was created.",
        "candidates": [{"id": item.id, "label": item.name, "linked_to": taken.get(item.id)} for item in hits],
    }
    subject.end(
        Outcome.SETTLED,
        note=f"Who is this? {what}. Make the e-mail or name unique, or fill in the item's NPD ID.",
    )
