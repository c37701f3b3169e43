"""Tombstones of deleted records: restoring and pruning."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, OperationalError, models, transaction

from sync import registry
from sync.choices import ActivityKind, Cause, QueueDirection, TombstoneReason, TombstoneState
from sync.clock import SyncNow
from sync.fields import lookups
from sync.fields.field_values import tombstone_name
from sync.kernel import grouped, process
from sync.kernel.acts import RestoreError
from sync.models import ActivityLine, IgnoredItem, SyncedModel, SyncMetadata, Tombstone, history_of
from sync.models.activity_lines import fold_alike
from sync.outbox import enqueue
from sync.records.approvals import release_item_removal
from sync.records.authors import deletion_authors, person_line
from sync.records.item_links import RECORD_RESTORED_KEY
from sync.words.message import Message

# States after which the deleted record has no item of its own on the board.
REMOVED_TOMBSTONE_STATES = (TombstoneState.ARCHIVED, TombstoneState.DELETED, TombstoneState.NOTHING_LEFT)

# States in which a pass or a person still has to act.
OPEN_TOMBSTONE_STATES = (TombstoneState.WAITING, TombstoneState.ASKED, TombstoneState.PENDING_APPROVAL)

# Passed as `item_id` to restore a record without its item, so that it gets a new one.
WITHOUT_ITEM = ""

# A script empties the relations to a record within this time before deleting it.
SCRIPT_SPAN = timedelta(minutes=1)

# A small batch, because restoring one of its records waits for its end.
PRUNE_BATCH = 1000


def rebuild_record(model: type[SyncedModel], tombstone: Tombstone) -> SyncedModel:
    """Return the deleted record as an unsaved instance; a relation to a record deleted since is empty."""
    return rebuild_records(model, [tombstone])[tombstone.entity_id]


def rebuild_records(model: type[SyncedModel], tombstones: Sequence[Tombstone]) -> dict[UUID, SyncedModel]:
    """Return deleted records as unsaved instances, by id, with their related records; a query a relation."""
    records = {tombstone.entity_id: model(id=tombstone.entity_id) for tombstone in tombstones}
    for field in model._meta.concrete_fields:
        # By column, because the trigger stored the row's columns; a column added since has its default.
        values = {
            tombstone.entity_id: field.to_python(tombstone.data[field.column])
            for tombstone in tombstones
            if field.column in tombstone.data and field.name != "id"
        }
        if isinstance(target := field.related_model, type):
            wanted = {value for value in values.values() if value is not None}
            related = target._default_manager.in_bulk(list(wanted)) if wanted else {}
            # A foreign key to a record deleted since would make the insert fail.
            values = {entity_id: related.get(value) for entity_id, value in values.items()}
        for entity_id, value in values.items():
            setattr(records[entity_id], field.name, value)
    return records


def set_late_item(entity_type: str, entity_id: UUID, item_id: str) -> None:
    """Store the item that a deleted record got meanwhile, and enqueue the record."""
    tombstones = Tombstone.objects.filter(entity_type=entity_type, entity_id=entity_id, monday_id=None)
    # Only a tombstone without an item is changed, so a repeated call enqueues nothing.
    if tombstones.update(monday_id=item_id, state=TombstoneState.WAITING, settled_at=None):
        enqueue(entity_type, [entity_id], cause=Cause.DEPENDENCY)


def enqueue_tombstones(entity_type: str, item_ids: Iterable[str]) -> None:
    """Enqueue open tombstones of items that were removed or linked with a record."""
    tombstones = Tombstone.objects.filter(
        entity_type=entity_type, monday_id__in=list(item_ids), state__in=OPEN_TOMBSTONE_STATES
    )
    ids = tombstones.values_list("entity_id", flat=True)
    enqueue(entity_type, ids, cause=Cause.WEBHOOK, direction=QueueDirection.TO_NPD)


def restore_record(
    tombstone: Tombstone, *, by: str = "", item_id: str | None = None, sentence: str = ""
) -> SyncedModel:
    """Restore the deleted record under its own id, in the caller's transaction; raises RestoreError.

    It is linked with `item_id`, by default with its own item unless the tombstone says that it left the board; Monday
    isn't asked. If another record has the item, or there is none, its next pass creates a new one.
    """
    model = registry.entity(tombstone.entity_type).model
    if tombstone.reason_code == TombstoneReason.ERASED:
        raise RestoreError("This person was erased, so nothing is left to restore. Add a new contact instead.")
    # Somebody restored it already.
    if model.objects.filter(pk=tombstone.entity_id).exists():
        raise RestoreError(f"“{tombstone_name(tombstone)}” was restored already. Look for it in the list.")
    record = rebuild_record(model, tombstone)
    record.monday_id = item_id or None
    if item_id is None and tombstone.state not in REMOVED_TOMBSTONE_STATES:
        record.monday_id = tombstone.monday_id
    if record.monday_id and model.objects.filter(monday_id=record.monday_id).exists():
        record.monday_id = None
    record.monday_last_synced = None
    # A savepoint keeps the caller's transaction usable after a failed insert.
    try:
        with transaction.atomic():
            record.save(force_insert=True)
    # A lock timeout or a lost connection isn't the record's fault.
    except OperationalError:
        raise
    except DatabaseError as error:
        message = str(error).strip().splitlines()[0]
        raise RestoreError(Message("not_restored", record=str(record), quote=message)) from error
    _give_back(record, tombstone)
    Tombstone.objects.filter(pk=tombstone.pk).update(
        state=TombstoneState.RESTORED,
        settled_at=SyncNow(),
        note=sentence or Message("restored_by", by=by),
        reason_code="",
    )
    if record.monday_id:
        IgnoredItem.objects.filter(entity_type=tombstone.entity_type, item_id=record.monday_id).delete()
    return record


def _give_back(record: SyncedModel, tombstone: Tombstone) -> None:
    """Refill relations that deletions emptied between this record and others, unless they have a value again."""
    for field in registry.relations_to(type(record)):
        _refill(field, tombstone)
    # Also the record's own relations to records that were deleted before it and restored.
    history = history_of(type(record))
    for field in registry.own_relations(type(record)) if history else ():
        pointing = history.objects.filter(pgh_obj=record.pk).exclude(**{field.attname: None})
        last = pointing.order_by("-pgh_id").values(field.attname)[:1]
        target = registry.target_of(field).entity_type()
        restored = Tombstone.objects.filter(entity_type=target, entity_id__in=last, state=TombstoneState.RESTORED)
        for restored_target in restored:
            _refill(field, restored_target)


def _refill(field: Any, tombstone: Tombstone) -> None:
    """Point this relation at the restored record again on records for which its deletion emptied it."""
    restored = Tombstone.objects.filter(entity_type=field.model.entity_type(), state=TombstoneState.RESTORED)
    # Django empties relations in the transaction of the deletion, so both have its context. A record that was restored
    # earlier was inserted without the relation.
    by_deletion = models.Q(pgh_context=tombstone.context_id)
    if tombstone.context_id is None:  # deleted by a script, whose changes have no context
        moment = tombstone.deleted_at
        by_deletion &= models.Q(pgh_created_at__range=(moment - SCRIPT_SPAN, moment))
    by_restore = models.Q(pgh_label="insert", pgh_obj__in=restored.values("entity_id"))
    history = history_of(field.model)
    if history is None:
        return
    of_record = history.objects.filter(pgh_obj=models.OuterRef("pgh_obj"))
    before = of_record.filter(pgh_id__lt=models.OuterRef("pgh_id")).order_by("-pgh_id").values(field.attname)[:1]
    later = of_record.filter(pgh_id__gt=models.OuterRef("pgh_id")).exclude(**{field.attname: None})
    for emptied_by in (by_deletion, by_restore):
        emptied = history.objects.filter(emptied_by, ~models.Exists(later), **{field.attname: None})
        lost = emptied.alias(before=models.Subquery(before)).filter(before=tombstone.entity_id).values("pgh_obj")
        empty = field.model.objects.filter(**{field.attname: None}, pk__in=lost)
        empty.update(**{field.attname: tombstone.entity_id})


def restore_by_person(tombstone: Tombstone, by: str, act_id: UUID | None = None) -> SyncedModel:
    """Restore a record on a person's request, and log it; raises RestoreError.

    What has one `act_id` was restored at once: one line of activity, into which the others are folded, also what the
    next passes say of the records' items.
    """
    act_id = act_id or uuid.uuid4()
    with transaction.atomic():
        # Locked, so that two people who restore the same record don't both insert it.
        locked = Tombstone.objects.select_for_update().get(pk=tombstone.pk)
        # Before the record's job, because a decision locks them in this order.
        release_item_removal(tombstone.entity_type, tombstone.entity_id)
        record = restore_record(locked, by=by)
        line = person_line(record, ActivityKind.RESTORED, Message("record_restored"), by)
        line.fold_id = act_id
        line.folded = ActivityLine.objects.filter(fold_id=act_id).exists()
        ActivityLine.objects.bulk_create([*fold_alike(_unlogged_deletion(locked, record)), line])
        # A call of ours without an answer may be removing its item just now.
        payload = {RECORD_RESTORED_KEY: str(act_id), "by": by}
        enqueue(tombstone.entity_type, [record.pk], cause=Cause.PERSON, payload=payload)
    return record


def _unlogged_deletion(tombstone: Tombstone, record: SyncedModel) -> list[ActivityLine]:
    """Return a line about the record's deletion by a person if no pass has logged it yet."""
    deletion = deletion_authors([(tombstone.entity_type, tombstone.entity_id)]).get(tombstone.entity_id)
    lines = ActivityLine.objects.filter(entity_id=tombstone.entity_id, at__gte=tombstone.deleted_at)
    if deletion is None or any(line.is_of_deletion for line in lines):
        return []
    line = person_line(record, ActivityKind.DELETE, Message("record_deleted"), deletion.by)
    line.cause["act"] = deletion.request
    line.at = tombstone.deleted_at
    return [line]


def prune_tombstones() -> int:
    """Remove settled tombstones older than TOMBSTONE_DAYS; return how many.

    Items that stayed on the board become ignored items, so that their next edit creates no record. Each batch has its
    own transaction, and a shutdown stops between two.
    """
    before = SyncNow() - timedelta(days=settings.TOMBSTONE_DAYS)
    old = Tombstone.objects.filter(deleted_at__lt=before).exclude(state__in=OPEN_TOMBSTONE_STATES).order_by("id")
    pruned = 0
    while not process.is_shutting_down() and (rows := list(old[:PRUNE_BATCH])):
        ignored_items = [
            IgnoredItem(
                entity_type=row.entity_type,
                item_id=row.monday_id,
                reason=Message(
                    "item_stayed", record=tombstone_name(row) or Message("a_record"), day=f"{row.deleted_at:%d %B %Y}"
                ),
            )
            for row in rows
            if row.state == TombstoneState.KEPT and row.monday_id
        ]
        with transaction.atomic():
            IgnoredItem.objects.bulk_create(ignored_items, ignore_conflicts=True)
            for row in rows:
                # The sync state of a record that exists again is in use.
                if not registry.entity(row.entity_type).model.objects.filter(pk=row.entity_id).exists():
                    SyncMetadata.objects.filter(entity_type=row.entity_type, entity_id=str(row.entity_id)).delete()
            Tombstone.objects.filter(pk__in=[row.pk for row in rows]).delete()
        pruned += len(rows)
    return pruned


def deleted_names(entity_type: str, ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of deleted records, marked as deleted, by id."""
    tombstones = tombstones_of((entity_type, entity_id) for entity_id in ids).values()
    names = {tombstone.entity_id: tombstone_name(tombstone) for tombstone in tombstones}
    return {entity_id: f"{name} (deleted)" for entity_id, name in names.items() if name}


def tombstones_of(keys: Iterable[lookups.RecordKey]) -> dict[lookups.RecordKey, Tombstone]:
    """Return the tombstones of deleted records; for a pruned one an unsaved one with the name in its history."""
    tombstones: dict[lookups.RecordKey, Tombstone] = {}
    for entity_type, group in grouped(set(keys), lambda key: key[0]).items():
        ids = {entity_id for _type, entity_id in group}
        for tombstone in Tombstone.objects.filter(entity_type=entity_type, entity_id__in=ids):
            tombstones[entity_type, tombstone.entity_id] = tombstone
            ids.remove(tombstone.entity_id)
        spec = registry.entity(entity_type) if registry.is_registered(entity_type) else None
        history = history_of(spec.model) if spec else None
        # As far as the history goes (sync/operations/retention.py).
        if ids and spec and spec.name_field and history is not None:
            newest = history.objects.filter(pgh_obj_id__in=ids).order_by("pgh_obj_id", "-pgh_id")
            for entity_id, name in newest.distinct("pgh_obj_id").values_list("pgh_obj_id", spec.name_field):
                data = {spec.name_field: name}
                tombstones[entity_type, entity_id] = Tombstone(entity_type=entity_type, entity_id=entity_id, data=data)
    return tombstones
