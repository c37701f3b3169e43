"""Tombstones: bringing a deleted record back, and forgetting old deletions.

A record is brought back with its own id and the values that it had, in a transaction of its own; its next look links
it, takes over what was edited on Monday since, or makes a new item where the old one is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, OperationalError, models, transaction
from django.db.models import QuerySet

from sync import registry, stopping, wake
from sync.choices import Cause, Operation, Priority, QueueDirection, TombstoneState
from sync.clock import SyncNow
from sync.enqueue import enqueue_many
from sync.models import Decision, RefusedItem, SyncedModel, SyncMetadata, Tombstone

REMOVED = (TombstoneState.ARCHIVED, TombstoneState.DELETED, TombstoneState.GONE)
"""States in which the item has left the board."""
OPEN = (TombstoneState.WAITING, TombstoneState.ASKED, TombstoneState.HELD)
"""States in which something is still to be done."""
NEW_ITEM = ""
"""Given as the item with which a record comes back: with none, so that it gets a new one."""
PRUNED_AT_ONCE = 1000


class CannotBringBack(RuntimeError):
    """The record can't come back; the message says why and what to do."""


def as_it_was(model: type[SyncedModel], stone: Tombstone) -> SyncedModel:
    """Return the deleted record as an instance that is not stored; a relation to what is gone since is empty."""
    record = model(id=stone.entity_id)
    for field in model._meta.concrete_fields:
        if field.column in stone.data and field.name != "id":
            setattr(record, field.attname, _value(field, stone.data[field.column]))
    return record


def _value(field: models.Field[Any, Any], told: Any) -> Any:
    value = field.to_python(told)
    target = field.related_model
    if value is None or not field.is_relation or not isinstance(target, type):
        return value
    return value if target._default_manager.filter(pk=value).exists() else None


def learned_item(entity_type: str, entity_id: UUID, item_id: str) -> None:
    """A deleted record turns out to have an item, made while it was deleted: its look decides what becomes of that."""
    stones = Tombstone.objects.filter(entity_type=entity_type, entity_id=entity_id, monday_id=None)
    if stones.update(monday_id=item_id, state=TombstoneState.WAITING, settled_at=None):
        enqueue_many(
            entity_type,
            [entity_id],
            cause=Cause.DEPENDENCY,
            priority=Priority.EDIT,
            operation=Operation.DELETE,
        )


def wake_graves(entity_type: str, item_ids: Iterable[str]) -> None:
    """Deletions that wait for one of these items (held, asked) learn that it has left the board, or has a record."""
    stones = Tombstone.objects.filter(entity_type=entity_type, monday_id__in=list(item_ids), state__in=OPEN)
    if ids := list(stones.values_list("entity_id", flat=True)):
        enqueue_many(
            entity_type,
            ids,
            cause=Cause.WEBHOOK,
            priority=Priority.EDIT,
            direction=QueueDirection.TO_NPD,
        )


def bring_back(
    stone: Tombstone, *, by: str = "", item_id: str | None = None, sentence: str = ""
) -> SyncedModel:
    """Store the deleted record again under its own id, in the caller's transaction; raises CannotBringBack.

    With `item_id`, or where its item has not left the board, it is linked with that item again, unless another
    record has that by now; else its next look makes a new one.
    """
    model = registry.entity(stone.entity_type).model
    if model._default_manager.filter(pk=stone.entity_id).exists():
        raise CannotBringBack(f"“{stone.data.get('name')}” is there again already. Look for it in the list.")
    record = as_it_was(model, stone)
    record.monday_id = _item_for(model, stone, item_id)
    record.monday_last_synced = None
    try:
        with transaction.atomic():
            record.save(force_insert=True)
    except OperationalError:
        raise
    except DatabaseError as refused:
        words = str(refused).strip().splitlines()[0]
        raise CannotBringBack(f"NPD's database can't take “{record}” back: {words}") from refused
    Tombstone.objects.filter(pk=stone.pk).update(
        state=TombstoneState.RESTORED, settled_at=SyncNow(), note=sentence or f"Brought back by {by}."
    )
    if record.monday_id:
        refused_items = RefusedItem.objects.filter(entity_type=stone.entity_type, item_id=record.monday_id)
        refused_items.delete()
    return record


def bring_back_by_hand(stone: Tombstone, by: str) -> SyncedModel:
    """Bring a record back because a person asked for it, and say so in its log; raises CannotBringBack."""
    with transaction.atomic():
        locked = Tombstone.objects.select_for_update().get(pk=stone.pk)
        record = bring_back(locked, by=by)
        Decision.objects.create(
            entity_type=stone.entity_type,
            entity_id=record.pk,
            remote_id=record.monday_id or "",
            kind="restored",
            sentence=f"{by} brought it back as it was when it was deleted.",
            actor=by,
            cause={"by": by, "causes": ["person"]},
        )
        enqueue_many(
            stone.entity_type, [record.pk], cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by}
        )
    wake.board(stone.entity_type)  # not `send`: a selection of thousands comes here one by one
    return record


def _item_for(model: type[SyncedModel], stone: Tombstone, item_id: str | None) -> str | None:
    if item_id == NEW_ITEM:
        return None
    wanted = item_id or (stone.monday_id if stone.state not in REMOVED else None)
    taken = wanted and model._default_manager.filter(monday_id=wanted).exists()
    return None if taken else wanted


def prune_tombstones() -> int:
    """Forget deletions older than TOMBSTONE_DAYS with which nothing is left to do; return how many.

    An item that stayed on the board is remembered as refused, so that a late edit of it makes no new record. Works
    in transactions of a thousand, and may be stopped between any two.
    """
    pruned = 0
    while not stopping.asked() and (rows := list(prunable_tombstones()[:PRUNED_AT_ONCE])):
        with transaction.atomic():
            _forget(rows)
        pruned += len(rows)
    return pruned


def prunable_tombstones() -> QuerySet[Tombstone]:
    """Return the deletions that are old enough to be forgotten, and with which nothing is left to do."""
    before = SyncNow() - timedelta(days=settings.TOMBSTONE_DAYS)
    return Tombstone.objects.filter(deleted_at__lt=before).exclude(state__in=OPEN).order_by("id")


def _forget(rows: list[Tombstone]) -> None:
    kept = [(row, row.monday_id) for row in rows if row.state == TombstoneState.KEPT and row.monday_id]
    RefusedItem.objects.bulk_create(
        [
            RefusedItem(
                entity_type=row.entity_type,
                item_id=item_id,
                reason=f"It belonged to “{row.data.get('name', 'a record')}”, which was deleted in NPD on "
                f"{row.deleted_at:%d %B %Y}; its item stayed.",
            )
            for row, item_id in kept
        ],
        ignore_conflicts=True,
    )
    for row in rows:
        if not registry.entity(row.entity_type).model._default_manager.filter(pk=row.entity_id).exists():
            SyncMetadata.objects.filter(entity_type=row.entity_type, entity_id=str(row.entity_id)).delete()
    Tombstone.objects.filter(pk__in=[row.pk for row in rows]).delete()
