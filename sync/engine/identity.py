"""Which item belongs to which record: linked, found by NPD ID, found by the match rule, or none."""

from __future__ import annotations

from collections.abc import Iterable

from sync.connectors.monday.items import Item, LookResult
from sync.engine.reading import as_uuid, match_text, match_text_of_item, npd_id_of
from sync.engine.subjects import Batch, Outcome, Subject

ACTIVE = "active"


def identify(batch: Batch, found: LookResult) -> None:
    """Give every open subject its item, mark it as one to be created, or end it with the reason."""
    taken = _owners(batch, [*found.by_npd_id, *found.by_match]) | _named(batch, found.by_match)
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


def _named(batch: Batch, items: Iterable[Item]) -> dict[str, str]:
    """Items that bear the NPD ID of a record that is there: they are that record's, whatever their key says."""
    names = {item.id: npd_id for item in items if (npd_id := as_uuid(npd_id_of(batch.board, item) or ""))}
    records = batch.board.model._default_manager.filter(pk__in=names.values())
    there = set(records.values_list("pk", flat=True))
    return {item_id: str(npd_id) for item_id, npd_id in names.items() if npd_id in there}


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
    hits = [item for item in found.by_npd_id if npd_id_of(batch.board, item) == str(subject.id)]
    if not hits and (key := match_text(batch, subject)):
        free = [i for i in found.by_match if i.state == ACTIVE]
        hits = [item for item in free if match_text_of_item(batch, item) == key]
        illegible = [i for i in free if i.id not in taken and match_text_of_item(batch, i) is None]
        if illegible and not hits:
            return _illegible(batch, subject, illegible[0])
    unread = [item for item in [*found.by_npd_id, *hits] if npd_id_of(batch.board, item) is None]
    if unread:
        subject.end(
            Outcome.SETTLED,
            note=f"The NPD ID of the item “{unread[0].name}” on the board can't be read, so it isn't known whether it "
            "is this record's. Nothing was created. Check that it is a text column that the token's user may see.",
        )
    elif not hits:
        subject.creates = True
    elif len(hits) == 1 and taken.get(hits[0].id, str(subject.id)) == str(subject.id):
        taken[hits[0].id] = str(subject.id)
        subject.item, subject.link_to = hits[0], hits[0].id
        subject.ledger.remote_state = hits[0].state
        subject.say("link", f"Linked with the item “{hits[0].name}” on the board.")
    else:
        _who_is_this(batch, subject, hits, taken)
    return None


def _illegible(batch: Batch, subject: Subject, item: Item) -> None:
    """What was found by the match key, but doesn't show it, may be this record's item: none is made beside it."""
    label = batch.board.match.label if batch.board.match else "key"
    subject.end(
        Outcome.SETTLED,
        note=f"{label} of the item “{item.name}” on the board can't be read, so it isn't known whether it is this "
        "record's. Nothing was created. Check the column's type and that the token's user may see it, then run "
        "`manage.py monday_setup`.",
    )


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
