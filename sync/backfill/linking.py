"""After a job: find its items by NPD ID, and link each record to its own.

What stands on the item as it was sent is the record's base at once, without a call of its own. Whatever differs, on
either side, is left to an ordinary look, for which the row that was sent is the base.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q

from sync import finish
from sync.backfill.board import pages
from sync.backfill.holding import Hold, touch
from sync.choices import Cause, Priority
from sync.claims import claim_records
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.items import Item, LookResult
from sync.engine import ledgers
from sync.engine.loading import load
from sync.engine.lost_creates import link_one
from sync.engine.planning import new_base, plan
from sync.engine.reading import as_uuid, npd_id_of
from sync.engine.relations import find_related
from sync.engine.settling import settle
from sync.engine.subjects import Batch, Board, Outcome, Subject
from sync.enqueue import enqueue_many
from sync.lease import Lease, giving_way
from sync.models import Backfill, Intent, IntentState

RECORDS_A_SETTLE = 100

_NAME_ITEMS = """
    UPDATE sync_intents AS intent SET item_id = told.item_id
    FROM unnest(%s::uuid[], %s::text[]) AS told (id, item_id)
    WHERE intent.id = told.id AND intent.item_id = '' AND intent.state <> 'open'
"""


def link_all(backfill: Backfill, board: Board, hold: Hold) -> int:
    """Page through the board and link what is there; return how many rows have an item. Raises MondayError."""
    for items in pages(board, board.columns):
        found = _own(backfill, board, items)
        for start in range(0, len(found), RECORDS_A_SETTLE):
            part = dict(list(found.items())[start : start + RECORDS_A_SETTLE])
            with hold() as lease:
                _link(lease, backfill, Board.of(lease.link), part)
        touch(backfill)
    return (
        Intent.objects.filter(backfill=backfill).filter(~Q(item_id="") | Q(state=IntentState.LANDED)).count()
    )


def _own(backfill: Backfill, board: Board, items: Sequence[Item]) -> dict[UUID, Item]:
    """The items that are rows of this backfill not settled yet, by record."""
    named: dict[UUID, Item] = {}
    for item in items:
        npd_id = as_uuid(npd_id_of(board, item) or "")
        if npd_id is not None:
            named.setdefault(npd_id, item)
    rows = Intent.objects.filter(backfill=backfill, state=IntentState.OPEN, item_id="", entity_id__in=named)
    return {entity_id: named[entity_id] for entity_id in rows.values_list("entity_id", flat=True)}


def _link(lease: Lease, backfill: Backfill, board: Board, found: Mapping[UUID, Item]) -> None:
    lease.renew()
    started = time.monotonic()
    rows = Intent.objects.filter(
        backfill=backfill, state=IntentState.OPEN, item_id="", entity_id__in=list(found)
    )
    intents = {intent.entity_id: intent for intent in rows}
    batch = Batch(lease, board, uuid.uuid4())
    load(batch, claim_records(lease, list(intents)))
    for subject in batch.subjects:
        subject.item = found[subject.id]
    find_related(batch, LookResult())
    for subject in batch.subjects:
        _plan(batch, subject, found[subject.id])
    same = [s for s in batch.subjects if s.claimed.rows and _stands(s, found[s.id])]
    others = [s for s in batch.subjects if s not in same]
    gone = [entity_id for entity_id in intents if entity_id not in {s.id for s in batch.subjects}]
    if others or gone:
        ours = is_certainly_ours(backfill)
        giving_way(lambda: _hand_over(batch, others, gone, intents, found, ours=ours))
    batch.subjects = same
    for subject in same:
        subject.end(Outcome.SETTLED, "Put on the board in bulk.", note="")
    settle(batch, started)
    _name_items(intents, found)


def _plan(batch: Batch, subject: Subject, item: Item) -> None:
    """What a look would do with the record and its new item; nothing of it is done here that needs a call."""
    subject.link_to = item.id
    subject.ledger.remote_state = item.state
    plan(batch, subject, item)
    subject.say("create", f"Made the item “{item.name}” on the board, in bulk.")


def _stands(subject: Subject, item: Item) -> bool:
    """Whether both sides are what was sent, so that there is nothing to look at."""
    planned = subject.planned.values()
    moves = any(p.send_raw is not None or p.write_raw is not None or p.conflict for p in planned)
    plain = subject.record.may_sync and subject.record.monday_id in (None, item.id)
    return plain and not (moves or subject.write_npd_id or subject.conflicts or subject.events)


def _hand_over(
    batch: Batch,
    others: Sequence[Subject],
    gone: Sequence[UUID],
    intents: Mapping[UUID, Intent],
    found: Mapping[UUID, Item],
    *,
    ours: bool,
) -> None:
    """Link the records that differ and leave the rest to a look; of those that are gone the tombstone learns it."""
    lease, board = batch.lease, batch.board
    items = [found[one].id for one in [*gone, *(s.id for s in others)]]
    owners = dict(board.model._default_manager.filter(monday_id__in=items).values_list("monday_id", "pk"))
    with lease.held():
        for subject in others:
            link_one(board, intents[subject.id], found[subject.id], owners.get(found[subject.id].id))
            if ours:
                _keep_base(batch, subject, intents[subject.id], found[subject.id])
            finish.give_back(subject.claimed.rows, lease.token, "Linked in bulk; its values differ.")
        for entity_id in gone:
            link_one(board, intents[entity_id], found[entity_id], owners.get(found[entity_id].id))
        enqueue_many(
            board.link.entity_type,
            [subject.id for subject in others],
            cause=Cause.DEPENDENCY,
            priority=Priority.BACKFILL,
        )


def _keep_base(batch: Batch, subject: Subject, intent: Intent, item: Item) -> None:
    """The row that was sent is the base of the look to come, whatever stands on the item by now.

    Not of a field that is empty there, as before the import: a cell that Monday left out is no edit of a person's.
    """
    base = {}
    for mapping in batch.board.mappings:
        entry = intent.values.get(mapping.key)
        if entry and (entry["column"], entry["version"]) == (mapping.column_id, mapping.version):
            convert = batch.board.converter(mapping, subject.record)
            sent = as_read(convert.column_type, entry["sent"])
            try:
                same = convert.remote(sent) == convert.local(entry["local"])
                empty = convert.remote(convert.raw_of(item.reading(mapping.column_id))) is None
            except UnknownValue:
                continue
            if same and not empty:
                base[mapping.key] = new_base(mapping, item.id, entry["local"], sent)
    row = ledgers.locked(batch, [subject.id])[str(subject.id)]
    row.base = row.base | base
    row.save(update_fields=["base"])


def is_certainly_ours(backfill: Backfill) -> bool:
    """Whether every item with a row's NPD ID was made from that row: none was there, or may have been, before it."""
    return "submitted" in backfill.counts and not backfill.counts.get("skipped")


def as_read(column_type: str, sent: Any) -> Any:
    """A value as it was sent, in the form in which it is read: of a dropdown's labels that is another one."""
    if column_type == "dropdown" and isinstance(sent, Mapping) and "labels" in sent:
        return {"values": [{"id": "", "label": label} for label in sent["labels"]]}
    return sent


def _name_items(intents: Mapping[UUID, Intent], found: Mapping[UUID, Item]) -> None:
    columns: list[list[Any]] = [
        [intent.pk for intent in intents.values()],
        [found[entity_id].id for entity_id in intents],
    ]
    with connection.cursor() as cursor:
        cursor.execute(_NAME_ITEMS, columns)
