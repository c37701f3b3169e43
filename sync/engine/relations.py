"""Relations in a look: what their two sides name, and who waits for whom.

Only the relation waits for a record that has no item yet, or for an item or a name that is no record yet, never
its record: the field is held with its reason, and the triggers of the other table wake the record (sync/triggers.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from sync import registry
from sync.choices import Cause, Priority, QueueDirection
from sync.connectors.monday.converters import CannotSplit, UnknownValue
from sync.connectors.monday.items import Item, LookResult
from sync.engine.subjects import Batch, Subject
from sync.engine.values import ModelField, raw_of, relation_of, target_of
from sync.enqueue import enqueue_many
from sync.models import AwaitedRelation, FieldMapping, SyncedModel

LOOK_AGAIN_SECONDS = 60
"""What a relation waits for may come while the look that says so isn't committed: it is looked for once more."""

# Lower case by the database's rules, by which the triggers compare.
_AWAIT = """
    INSERT INTO sync_awaited_relations (id, entity_type, entity_id, key, target_type, target)
    SELECT gen_random_uuid(), %s, entity_id, key, target_type, lower(target)
    FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS told (entity_id, key, target_type, target)
    ORDER BY entity_id, key
    ON CONFLICT (entity_type, entity_id, key) DO UPDATE
    SET target_type = excluded.target_type, target = excluded.target
    WHERE (sync_awaited_relations.target_type, sync_awaited_relations.target)
        IS DISTINCT FROM (excluded.target_type, excluded.target)
    RETURNING entity_id
"""


def find_related(batch: Batch, found: LookResult) -> None:
    """Find the records that the batch's relations name on Monday, in one query a relation."""
    for mapping, field in batch.board.relations:
        told = [
            reference
            for record, item in _looked_at(batch, found)
            if (reference := _told(batch, mapping, record, item)) is not None
        ]
        batch.related.ask(target_of(field), told)
        for subject in batch.open:
            _learn_names(batch, subject, mapping)
        _learn_names_of_found(batch, field, told)


def _looked_at(batch: Batch, found: LookResult) -> Iterator[tuple[SyncedModel, Item]]:
    for subject in batch.open:
        if subject.item is not None:
            yield subject.record, subject.item
    for claimed in batch.candidates:
        if item := found.linked.get(claimed.remote_id or ""):
            yield batch.board.model(), item


def _told(batch: Batch, mapping: FieldMapping, record: SyncedModel, item: Item) -> dict[str, Any] | None:
    """What the item's column names, where it is another record than NPD's."""
    convert = batch.board.converter(mapping, record)
    local = raw_of(record, mapping)
    try:
        value = convert.to_local(convert.raw_of(item.reading(mapping.column_id)), local)
    except (UnknownValue, CannotSplit):
        return None
    reference = value.get(mapping.fields[0])
    return reference if isinstance(reference, dict) and reference != local[mapping.fields[0]] else None


def _learn_names(batch: Batch, subject: Subject, mapping: FieldMapping) -> None:
    """Items are shown by their records' names: of NPD's value, and of the one last agreed."""
    base = subject.ledger.base.get(mapping.key)
    for raw in (raw_of(subject.record, mapping), base["local"] if base else {}):
        reference = raw.get(mapping.fields[0])
        if isinstance(reference, dict) and reference.get("item"):
            batch.board.directory.items.setdefault(str(reference["item"]), str(reference["name"]))


def _learn_names_of_found(batch: Batch, field: ModelField, told: Sequence[dict[str, Any]]) -> None:
    items = {str(reference["item"]) for reference in told if reference.get("item")}
    batch.board.directory.items.update(batch.related.names(target_of(field), items))


def keep_awaited(batch: Batch, subjects: Sequence[Subject]) -> None:
    """Write down which relations wait for a record, in the settle transaction; the others wait no more."""
    fields = {mapping.key: field for mapping, field in batch.board.relations}
    planned = [subject for subject in subjects if subject.planned]
    if not fields or not planned:
        return
    waiting = [
        (subject.id, key, target_of(fields[key]).entity_type(), field.awaits)
        for subject in planned
        for key, field in subject.planned.items()
        if field.awaits and key in fields
    ]
    entity_type = batch.board.link.entity_type
    kept = {(entity_id, key) for entity_id, key, _, _ in waiting}
    known = AwaitedRelation.objects.filter(entity_type=entity_type, entity_id__in=[s.id for s in planned])
    over = [row.pk for row in known if (row.entity_id, row.key) not in kept]
    AwaitedRelation.objects.filter(pk__in=over).delete()
    if waiting:
        enqueue_many(
            entity_type,
            _await(entity_type, waiting),
            cause=Cause.DEPENDENCY,
            priority=Priority.SWEEP,
            direction=QueueDirection.TO_NPD,
            due_in_seconds=LOOK_AGAIN_SECONDS,
        )


def wake_pointing(batch: Batch, ids: Sequence[UUID]) -> None:
    """Wake the records whose relations point at these ones, whose items are back."""
    for spec in registry.entities() if ids else ():
        for mapping in spec.mappings:
            field = relation_of(spec.model, mapping.fields)
            if field is not None and target_of(field) is batch.board.model:
                pointing = spec.model._default_manager.filter(**{f"{field.name}__in": ids})
                enqueue_many(
                    spec.entity_type,
                    sorted(pointing.values_list("pk", flat=True)),
                    cause=Cause.DEPENDENCY,
                    priority=Priority.SWEEP,
                )


def _await(entity_type: str, waiting: Sequence[tuple[UUID, str, str, str]]) -> list[UUID]:
    """Store what is waited for; return the records for which that is new."""
    columns: list[Any] = [list(column) for column in zip(*waiting, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_AWAIT, [entity_type, *columns])
        return sorted({row[0] for row in cursor.fetchall()})
