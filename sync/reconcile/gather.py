"""Gather: the queries and the calls by which a pass learns what is so. It decides nothing and writes nothing."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import Max, Min, Q, Value
from django.db.models.functions import Lower

from sync import registry
from sync.choices import QueueDirection
from sync.clock import SyncNow, sync_now
from sync.connectors.base.board_items import BatchItems
from sync.connectors.base.conversion import AmbiguousSplit, UnknownValue
from sync.models import IgnoredItem, Intent, IntentState, SyncedModel, SyncQueue, Tombstone, WebhookEvent
from sync.outbox.pauses import pause_sentence
from sync.reconcile.batch import Batch
from sync.reconcile.facts import ItemContext, ItemEvents, ItemFacts
from sync.reconcile.field_values import ACTIVE, BoardContext, RelatedNotFound, canonical_expression, stored_values
from sync.reconcile.new_items import key_of_record, wanted_first_item, wants_records
from sync.reconcile.sides import as_uuid, match_text_of_item, npd_id_of, read_by_id
from sync.registry import target_of

# Records.

# Their history: recent events, writes of ours, loops.

# Relations and edit times.

# Identity: who could be whose.

# Removed items and deleted records.

# Items without a record.


def item_context(batch: Batch) -> ItemContext:
    """Read what is so for all unmatched items of a pass."""
    pause = batch.pauses.get(QueueDirection.TO_NPD)
    return ItemContext(
        batch.board,
        sync_now() if batch.unmatched_claims else datetime.min.replace(tzinfo=UTC),
        timedelta(seconds=settings.NEW_ITEM_WAIT_SECONDS),
        pause_sentence(pause, QueueDirection.TO_NPD) if pause else "",
    )


def gather_items(batch: Batch, context: ItemContext, found: BatchItems) -> tuple[ItemFacts, ...]:
    """Read what NPD knows of the claimed items that no record has; a handful of queries whatever their number.

    Costs a call where an item may take the place of one that wasn't read; raises ConnectorError.
    """
    claims = [unit.claim for unit in batch.unmatched_claims]
    if not claims:
        return ()
    ids = [claim.remote_id for claim in claims if claim.remote_id]
    events = _item_events(context, ids)
    # A call about the item was announced whose outcome nobody knows.
    calls = Intent.objects.filter(state=IntentState.OPEN, item_id__in=ids, deadline__gt=SyncNow())
    unconfirmed = dict(calls.order_by("deadline").values_list("item_id", "deadline"))
    items = [
        ItemFacts(
            claim,
            found.linked.get(claim.remote_id or ""),
            events.get(claim.remote_id or "", ItemEvents()),
            unconfirmed_until=unconfirmed.get(claim.remote_id or ""),
        )
        for claim in claims
    ]
    if context.pause:
        return tuple(items)
    items = _with_records(context, _with_other_types(context, items))
    firsts = {item.id: item for item in found.linked.values()}
    firsts |= read_by_id(batch, sorted({first for item in items if (first := wanted_first_item(item))} - set(firsts)))
    return tuple(replace(item, first_item=firsts.get(wanted_first_item(item))) for item in items)


def _item_events(context: ItemContext, ids: Sequence[str]) -> dict[str, ItemEvents]:
    """What webhooks told of these items; how long they are quiet is told by those of the board."""
    here = Q(board_id=context.board.link.board_id)
    told = WebhookEvent.objects.filter(item_id__in=ids).order_by().values("item_id")
    rows = told.annotate(
        first=Min("received_at", filter=here),
        last=Max("received_at", filter=here),
        new=ArrayAgg("pk", filter=Q(processed_at=None), order_by="pk", default=Value([])),
    )
    return {str(row["item_id"]): ItemEvents(row["first"], row["last"], tuple(row["new"])) for row in rows}


def _npd_id(context: ItemContext, facts: ItemFacts) -> UUID | None:
    return as_uuid(npd_id_of(context.board, facts.item) or "") if facts.item else None


def _with_other_types(context: ItemContext, items: Sequence[ItemFacts]) -> list[ItemFacts]:
    """Add the records of other types that have the items, or the NPD IDs that they bear; a query for each type."""
    ids, npd_ids = [item.item_id for item in items], {one for item in items if (one := _npd_id(context, item))}
    owners, taken = dict[str, SyncedModel](), set[UUID]()
    for spec in registry.entities():
        if spec.entity_type != context.board.link.entity_type:
            for record in spec.model._default_manager.filter(Q(monday_id__in=ids) | Q(pk__in=npd_ids)):
                owners.setdefault(str(record.monday_id), record)
                taken.add(record.pk)
    return [
        replace(item, owner=owners.get(item.item_id), is_npd_id_taken=_npd_id(context, item) in taken) for item in items
    ]


def _with_records(context: ItemContext, items: Sequence[ItemFacts]) -> list[ItemFacts]:
    """Add the records and deleted records that the items could be, and what is remembered of the items."""
    board, entity_type = context.board, context.board.link.entity_type
    wanting = {item.item_id: item for item in items if wants_records(context, item)}
    unchosen = {item_id: item for item_id, item in wanting.items() if item.chosen_id is None}
    npd_ids = {i.item_id: one for i in items if i.item and i.item.state == ACTIVE and (one := _npd_id(context, i))}
    keys = {k: match_text_of_item(board, i.item) or "" for k, i in unchosen.items() if i.item and not i.as_new}
    remembered = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=list(unchosen))
    ignored = {row.item_id: row for row in remembered}
    # Claims don't read when a row was written: it is asked for only where no event tells.
    jobs = [i.claim.rows[0].pk for k, i in unchosen.items() if not keys.get(k) and i.events.first is None]
    written = dict(SyncQueue.objects.filter(pk__in=jobs).values_list("pk", "created_at")) if jobs else {}
    deleted = Q(monday_id__in=[item.item_id for item in items]) | Q(entity_id__in=list(npd_ids.values()))
    types = [spec.entity_type for spec in registry.entities()]
    tombstones = list(Tombstone.objects.filter(deleted, entity_type__in=types).order_by("pk"))
    chosen = [one for item in wanting.values() if (one := item.chosen_id)]
    records = _records(board, [*npd_ids.values(), *chosen], list(wanting), keys.values())
    by_id, by_item = {record.pk: record for record in records}, {record.monday_id: record for record in records}
    by_key: dict[str, list[SyncedModel]] = {}
    for record in records:
        by_key.setdefault(key_of_record(board, record), []).append(record)
    found = []
    for item in items:
        npd_id, key = _npd_id(context, item), keys.get(item.item_id)
        found.append(
            replace(
                item,
                owner=item.owner or by_item.get(item.item_id),
                known_since=item.events.first or written.get(item.claim.rows[0].pk),
                ignored=ignored.get(item.item_id),
                tombstones=tuple(t for t in tombstones if t.monday_id == item.item_id or t.entity_id == npd_id),
                named=by_id.get(npd_id) if npd_id else None,
                matching=tuple(by_key.get(key, ())) if key else (),
                chosen=by_id.get(item.chosen_id) if item.chosen_id else None,
                new_id=uuid.uuid4() if item.item_id in unchosen else None,
            )
        )
    return found


def _records(
    board: BoardContext, ids: Collection[UUID], items: Collection[str], keys: Iterable[str]
) -> list[SyncedModel]:
    """Return the board's records with one of these ids, items or match keys, and with their relations."""
    match, wanted = board.match_mapping, sorted(set(filter(None, keys)))
    if not ids and not items:
        return []
    records, condition = board.model._default_manager.all(), Q(pk__in=list(ids)) | Q(monday_id__in=list(items))
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    if match is not None and wanted:
        records = records.annotate(match_key=Lower(canonical_expression(match.fields[0])))
        condition |= Q(match_key__in=[Lower(Value(key)) for key in wanted])
    return list(records.filter(condition))


def related_of_items(batch: Batch, context: ItemContext) -> dict[str, dict[str, SyncedModel | str]]:
    """Return the records that the relations of the unmatched items name, by item and field, or why there is none.

    They have been looked up for all items of the pass by now (load_related in sides.py).
    """
    board, found = context.board, dict[str, dict[str, SyncedModel | str]]()
    for facts in batch.item_facts:
        for mapping, field in board.relations if facts.item and wants_records(context, facts) else ():
            assert facts.item is not None
            convert, empty = board.converter(mapping), stored_values(board.model(), mapping)
            with suppress(UnknownValue, AmbiguousSplit):
                reading = convert.stored_value(facts.item.reading(mapping.column_id))
                reference = convert.to_local(reading, empty).get(field.name)
                if isinstance(reference, Mapping):
                    of_item = found.setdefault(facts.item_id, {})
                    try:
                        of_item[field.name] = batch.related.find(target_of(field), reference)
                    except RelatedNotFound as missing:
                        of_item[field.name] = str(missing)
    return found
