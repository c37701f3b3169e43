"""Which record an item without one could be: by the NPD ID that it bears, else by the board link's match rule."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Value
from django.db.models.functions import Lower

from sync import registry
from sync.connectors.monday.items import Item
from sync.engine.reading import as_uuid, match_text_of_item, npd_id_of
from sync.engine.subjects import Batch
from sync.engine.values import in_canonical_form, raw_of
from sync.models import SyncedModel, Tombstone


def bearer(batch: Batch, item: Item) -> SyncedModel | None:
    """Return the record whose NPD ID the item bears, if there is such a record."""
    npd_id = as_uuid(npd_id_of(batch.board, item) or "")
    if npd_id is None:
        return None
    return batch.board.model._default_manager.filter(pk=npd_id).first()


def owner_elsewhere(batch: Batch, item: Item) -> SyncedModel | None:
    """Return the record of another type whose item this is: it was moved here from that type's board.

    It stays that record's until a person has said what becomes of it.
    """
    for spec in registry.entities():
        if spec.entity_type != batch.board.link.entity_type:
            owner = spec.model._default_manager.filter(monday_id=item.id).first()
            if owner is not None:
                return owner
    return None


def tombstone_of(batch: Batch, item: Item) -> Tombstone | None:
    """Return the deleted record to which the item belongs, by its NPD ID, else as the item that it had.

    An item that bears the NPD ID of a record that is there belongs to that one.
    """
    stones = Tombstone.objects.filter(entity_type=batch.board.link.entity_type).exclude(state="restored")
    npd_id = as_uuid(npd_id_of(batch.board, item) or "")
    if npd_id is not None:
        if batch.board.model._default_manager.filter(pk=npd_id).exists():
            return None
        if stone := stones.filter(entity_id=npd_id).first():
            return stone
    return stones.filter(monday_id=item.id).first()


def by_match_rule(batch: Batch, item: Item) -> list[SyncedModel]:
    """Return the records with the item's match key; none where it has no key."""
    key = match_text_of_item(batch, item)
    return with_keys(batch, [key]).get(key, []) if key else []


def with_keys(batch: Batch, keys: Iterable[str]) -> dict[str, list[SyncedModel]]:
    """Return the records with these match keys in canonical form, by key; one query."""
    wanted, match = sorted(set(keys)), batch.board.match
    if match is None or not wanted:
        return {}
    convert = batch.board.converter(match)
    records = batch.board.model._default_manager.annotate(match_key=Lower(in_canonical_form(match.fields[0])))
    found: dict[str, list[SyncedModel]] = {}
    for record in records.filter(match_key__in=[Lower(Value(key)) for key in wanted]):
        found.setdefault(str(convert.local(raw_of(record, match))), []).append(record)
    return {key: found[key] for key in wanted if key in found}
