"""A record out of an item that has none: filled from the cells, linked from the start."""

from __future__ import annotations

import uuid

from django.core.exceptions import ValidationError
from django.db import connection, transaction

from sync.choices import SyncDirection
from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.items import Item
from sync.engine.related import NotFound
from sync.engine.subjects import Batch
from sync.engine.values import cleaned, raw_of, to_store
from sync.models import SyncedModel, SyncMetadata


def fill(batch: Batch, record: SyncedModel, item: Item) -> list[str]:
    """Give a new record the item's values; return why it can't be made, in sentences.

    A value that NPD can't take stays on the board and is held there, but for those that NPD requires.
    """
    problems: list[str] = []
    for mapping in batch.board.mappings:
        one_way = mapping.direction in (SyncDirection.NPD_TO_MONDAY, SyncDirection.NONE)
        if not mapping.column_id or (one_way and not mapping.required):
            continue
        convert = batch.board.converter(mapping, record)
        try:
            told = convert.to_local(convert.raw_of(item.reading(mapping.column_id)), raw_of(record, mapping))
            values = cleaned(record, batch.related.completed(batch.board.model, told))
            for name, value in to_store(batch.board.model, values).items():
                setattr(record, name, value)
        except (UnknownValue, CannotSplit, ValidationError, NotFound) as refused:
            if mapping.required:
                problems.append(f"{mapping.label}: {refused}")
    return problems


def store(record: SyncedModel, *, by_itself: bool = True) -> None:
    """Store a record made from an item, and remember that it was made `by_itself`; raises DatabaseError.

    One that a person wanted to be a record of its own is not asked about once more.

    Its own look, which merges the two sides and writes the NPD ID, is written by the caller.
    """
    with transaction.atomic():
        _set_settling(record.pk)
        record.save(force_insert=True)
        SyncMetadata.objects.update_or_create(
            entity_type=record.entity_type(),
            entity_id=str(record.pk),
            system="monday",
            defaults={"made_from_item": by_itself},
        )


def _set_settling(entity_id: uuid.UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('npd.settling', %s, true)", [str(entity_id)])
