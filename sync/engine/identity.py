"""Which item belongs to which record: linked, found by NPD ID, found by the match rule, or none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sync import registry
from sync.connectors.monday.items import Item, LookResult
from sync.engine.apart import Apart
from sync.engine.gone import Gone
from sync.engine.item_gone import decide_gone, is_back, state_of
from sync.engine.items_shown import values_of_item
from sync.engine.made_before import find_made_before
from sync.engine.questions import whose_items, whose_let_go
from sync.engine.reading import as_uuid, match_text, match_text_of_item, npd_id_of
from sync.engine.same_person import made_and_untouched
from sync.engine.subjects import Batch, Outcome, Subject

ACTIVE = "active"


def identify(batch: Batch, found: LookResult) -> None:
    """Give every open subject its item, mark it as one to be created, or end it with the reason."""
    taken = _owners([*found.by_npd_id, *found.by_match]) | _named(batch, found.by_match)
    without = [subject.id for subject in batch.open if not subject.record.monday_id]
    apart = Apart.of(batch, [item.id for item in found.by_match], without) if without else Apart()
    for subject in batch.open:
        if subject.record.monday_id:
            _linked(batch, subject, found.linked.get(subject.record.monday_id))
        else:
            _unlinked(batch, subject, found, taken, apart)
    decide_gone(batch)
    find_made_before(batch)


def _owners(items: Iterable[Item]) -> dict[str, str]:
    """Which of these items a record is linked to already, of any type, for items move: item id → record id."""
    ids = {item.id for item in items}
    owners: dict[str, str] = {}
    for spec in registry.entities():
        rows = spec.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", "pk")
        owners |= {str(item): str(pk) for item, pk in rows}
    return owners


def _named(batch: Batch, items: Iterable[Item]) -> dict[str, str]:
    """Items that bear the NPD ID of a record that is there: they are that record's, whatever their key says."""
    names = {item.id: npd_id for item in items if (npd_id := as_uuid(npd_id_of(batch.board, item) or ""))}
    records = batch.board.model._default_manager.filter(pk__in=names.values())
    there = set(records.values_list("pk", flat=True))
    return {item_id: str(npd_id) for item_id, npd_id in names.items() if npd_id in there}


def _linked(batch: Batch, subject: Subject, item: Item | None) -> None:
    state = state_of(batch, subject, item)
    subject.item = item
    if state:
        subject.gone = Gone(state)
    else:
        is_back(subject)


def _unlinked(batch: Batch, subject: Subject, found: LookResult, taken: dict[str, str], apart: Apart) -> None:
    hits = [item for item in found.by_npd_id if npd_id_of(batch.board, item) == str(subject.id)]
    if not hits and (key := match_text(batch, subject)):
        free = [i for i in found.by_match if i.state == ACTIVE and apart.may_match(i.id, subject.id)]
        hits = [item for item in free if match_text_of_item(batch, item) == key]
        illegible = [i for i in free if i.id not in taken and match_text_of_item(batch, i) is None]
        if illegible and not hits:
            return _illegible(batch, subject, illegible[0])
    if subject.as_new and _bears_none(batch, subject, hits):
        subject.apart, hits = [item.id for item in hits if item.id not in taken], []
    unread = [item for item in [*found.by_npd_id, *hits] if npd_id_of(batch.board, item) is None]
    if unread:
        subject.end(
            Outcome.SETTLED,
            note=f"The NPD ID of the item “{unread[0].name}” on the board can't be read, so it isn't known whether it "
            "is this record's. Nothing was created. Check that it is a text column that the token's user may see.",
        )
    elif not hits and not subject.as_new and subject.id in apart.let_go_of:
        _ask_about(subject, whose_let_go(subject.record, apart.let_go_of[subject.id]))
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
    twins = made_and_untouched(batch, [taken[item.id] for item in hits if item.id in taken])
    values = {item.id: values_of_item(batch.board, item) for item in hits}
    _ask_about(subject, whose_items(batch.board.link.entity_type, subject.record, hits, taken, twins, values))


def _ask_about(subject: Subject, question: dict[str, Any]) -> None:
    subject.item, subject.identity = None, question
    subject.end(
        Outcome.SETTLED,
        note=f"Who is this? {question['what']} Answer it among the conflicts; or make the e-mail or name unique, "
        "or fill in the item's NPD ID.",
    )


def _bears_none(batch: Batch, subject: Subject, hits: list[Item]) -> bool:
    """Whether none of these items bears this record's NPD ID: then they were found by their key alone."""
    return all(npd_id_of(batch.board, item) != str(subject.id) for item in hits)
