"""Who could be whose: the records that have items, bear match keys, or are named by a person's answer."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models.fields.json import KeyTextTransform
from pghistory.core import event_models

from sync import registry
from sync.kernel import grouped
from sync.models import IgnoredItem, SyncedModel, SyncMetadata, UnmatchedItem
from sync.monday.board_items import Item
from sync.monday.texts import key_spellings
from sync.reconcile import field_values, lookups, pass_plan
from sync.reconcile.facts import AnswerFacts, IdentityFacts, Pair, RecordFacts
from sync.reconcile.gather.removals import deletion_obstacles
from sync.records.item_links import unlinked_items


def _identity_facts(
    board: field_values.BoardContext, items: Collection[str], records: Collection[UUID], matching: Sequence[Item]
) -> IdentityFacts:
    """Read whose these items are, and what is remembered of them and of these records without an item.

    Of those found by their match key also which of the records are there whose NPD IDs they bear.
    """
    entity_type = board.link.entity_type
    npd_ids = [field_values.as_uuid(field_values.npd_id_of(board, item) or "") for item in matching]
    named = board.model._default_manager.filter(pk__in=list(filter(None, npd_ids)))
    existing = set(named.values_list("pk", flat=True))
    rows = IgnoredItem.objects.filter(entity_type=entity_type, item_id__in=[item.id for item in matching])
    owners = {item_id: owner.pk for item_id, owner in owners_of(entity_type, items).items()}
    # Of records made from an item those that nobody touched in NPD.
    linked = SyncMetadata.objects.of(entity_type, {*owners.values(), *existing} - set(records))
    made = linked.filter(made_from_item=True).values_list("entity_id", flat=True)
    unedited = unedited_records(board.model, [UUID(key) for key in made])
    return IdentityFacts(
        owners,
        frozenset(existing),
        ignored={row.item_id: row for row in rows},
        unlinked=unlinked_items(entity_type, list(records)),
        unedited=board.model._default_manager.in_bulk(unedited),
    )


def items_with_keys(board: field_values.BoardContext, keys: Collection[str]) -> list[str]:
    """Return the items without a record that were last seen with one of these match keys."""
    match = board.match_mapping
    if match is None or not keys:
        return []
    keyed = UnmatchedItem.objects.annotate(match_key=lookups.match_key_of(KeyTextTransform(match.key, "values")))
    of_board = keyed.filter(entity_type=board.link.entity_type, board_id=board.link.board_id)
    return list(of_board.filter(match_key__in=key_spellings(keys)).values_list("item_id", flat=True))


def records_by_match_key(board: field_values.BoardContext, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys, by key; one query."""
    records = records_like(board, models.Q(pk__in=[]), keys)
    return grouped(records, lambda record: field_values.match_text_of_record(board, record))


def unedited_records(model: type[SyncedModel], ids: Collection[UUID]) -> frozenset[UUID]:
    """Return those of these records that nobody changed in NPD, and at which nothing in NPD points.

    One query for each history and each relation to them.
    """
    unedited = set(ids)
    for events in event_models(tracks_model=model) if unedited else ():
        edits = events._default_manager.filter(pgh_obj_id__in=unedited).exclude(pgh_context__metadata__cause="sync")
        unedited -= set(edits.values_list("pgh_obj_id", flat=True))
    histories = set(event_models())
    for relation in [r for r in model._meta.related_objects if r.related_model not in histories] if unedited else ():
        name = relation.field.name
        pointing: Any = relation.related_model._default_manager.filter(**{f"{name}__in": unedited})
        unedited -= set(pointing.values_list(name, flat=True))
    return frozenset(unedited)


def owners_of(entity_type: str, item_ids: Collection[str]) -> dict[str, SyncedModel]:
    """Return the records whose items these are: of this type, else of another one, from whose board they came."""
    owners: dict[str, SyncedModel] = {}
    for spec in sorted(registry.entities(), key=lambda spec: spec.entity_type != entity_type):
        if ownerless := [item_id for item_id in item_ids if item_id not in owners]:
            records = spec.model._default_manager.filter(monday_id__in=ownerless)
            owners |= {str(record.monday_id): record for record in records}
    return owners


def answer_facts(
    board: field_values.BoardContext, records: Collection[UUID], items: Collection[str], merged: frozenset[UUID]
) -> AnswerFacts:
    """Read what answers rest on, which name these records and items."""
    linked = board.model._default_manager.filter(monday_id__in=items)
    owners = {str(record.monday_id): record for record in linked} if items else {}
    named = board.model._default_manager.in_bulk(list(records))
    needed = {key: why for key in merged & named.keys() if (why := deletion_obstacles(named[key])[0])}
    return AnswerFacts(named, owners, unedited_records(board.model, merged), needed)


def records_like(board: field_values.BoardContext, condition: models.Q, keys: Iterable[str]) -> list[SyncedModel]:
    """Read the board's records to which this applies, and those with these match keys."""
    match = board.match_mapping
    wanted = sorted(set(filter(None, keys)))
    records = board.model._default_manager.all()
    if board.joined_relations:
        records = records.select_related(*board.joined_relations)
    if match is not None and wanted:
        records = records.annotate(match_key=lookups.match_key_of(match.fields[0]))
        condition |= models.Q(match_key__in=key_spellings(wanted))
    return list(records.filter(condition))


def whose_items(facts: pass_plan.PassFacts, records: Sequence[RecordFacts], pairs: Sequence[Pair]) -> IdentityFacts:
    """Return whose the items are that were found for records without one, and who has the key of one made of an
    item.
    """
    board = facts.board
    items = facts.items
    unlinked = [record.id for record in records if not record.record.monday_id]
    of_hits = IdentityFacts()
    if unlinked:
        hits = [item.id for item in (*items.by_npd_id, *items.by_match)]
        of_hits = _identity_facts(board, hits, unlinked, items.by_match)
    keys = {
        record.id: key
        for record, item in pairs
        if record.ledger.made_from_item and (key := field_values.match_text_of_item(board, item))
    }
    if not keys:
        return of_hits
    same_key = records_by_match_key(board, keys.values())
    doubted = [pk for pk, key in keys.items() if any(record.pk != pk for record in same_key.get(key, ()))]
    return replace(of_hits, same_key=same_key, untouched=unedited_records(board.model, doubted))
