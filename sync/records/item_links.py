"""The link between a record and its item: unlink, link again, and the jobs and names of unmatched items."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Coalesce

from sync import registry
from sync.choices import Cause, Priority, SyncDirection
from sync.clock import SyncNow
from sync.kernel.messages import NotPossible
from sync.models import IgnoredItem, SyncedModel, UnmatchedItem, WebhookEvent
from sync.models.journal import event_item_name
from sync.outbox.queue_rows import enqueue
from sync.records.authors import person_line

# Payload keys of a record's job.
UNLINK_KEY = "unlink"  # the reason to unlink it
RECREATE_KEY = "recreate"  # a person requested a new item for its removed one
RECORD_RESTORED_KEY = "restored"  # a person restored it, so it needs an item


def ignore_item(entity_type: str, item_id: str, entity_id: UUID | None, reason: str) -> None:
    """Store an item as ignored, after an unlink or a person's choice, in the caller's transaction."""
    # Lock order: the unmatched row, then the ignored one (see unmatched_items).
    unmatched = UnmatchedItem.objects.filter(entity_type=entity_type, item_id=item_id)
    unmatched.update(ignored_at=Coalesce("ignored_at", SyncNow()))
    # Overwrites, because the latest reason counts.
    IgnoredItem.objects.update_or_create(
        entity_type=entity_type, item_id=item_id, defaults={"reason": reason, "unlinked": True, "entity_id": entity_id}
    )


def exclude_match(entity_type: str, item_id: str, entity_id: UUID, reason: str) -> None:
    """Store that an item doesn't belong to this record, unless it is ignored already."""
    # Doesn't overwrite: an ignored item must not become a mere exclusion.
    IgnoredItem.objects.get_or_create(
        entity_type=entity_type, item_id=item_id, defaults={"reason": reason, "entity_id": entity_id}
    )


def left_by_deleted_record(entity_type: str, item_id: str, name: str) -> IgnoredItem:
    """Return the unsaved row of a second item, such as a copy, whose question ended with its record's deletion.

    It doesn't bring the record back by itself; it is listed, and a person may create a record from it.
    """
    reason = f"It was not known yet whether it is “{name}” when that record was deleted in NPD."
    return IgnoredItem(entity_type=entity_type, item_id=item_id, reason=reason, unlinked=False)


def request_unlink_many(entity_type: str, ids: Sequence[UUID], by: str) -> None:
    """Request that the next passes of these records unlink them."""
    payload = {UNLINK_KEY: f"{by} unlinked it", "by": by}
    with transaction.atomic():
        enqueue(entity_type, ids, cause=Cause.PERSON, priority=Priority.PERSON, payload=payload)


def request_recreation_many(entity_type: str, ids: Sequence[UUID], by: str) -> list[str]:
    """Request new items for records with removed ones; return a sentence for each record that can't have one.

    The next pass creates none if the item is back by then.
    """
    with transaction.atomic():
        suitable = []
        problems = []
        for record in registry.entity(entity_type).model._default_manager.filter(pk__in=ids).order_by("pk"):
            if not record.monday_id or not record.may_sync:
                problems.append(f"“{record}” is not linked with an item, so none is created again.")
            elif record.sync_direction == SyncDirection.MONDAY_TO_NPD:
                way = "is synced from Monday to NPD only, so no item is created"
                problems.append(f"“{record}” {way}. Change its direction first.")
            else:
                suitable.append(record.pk)
        payload = {RECREATE_KEY: True, "by": by}
        enqueue(entity_type, suitable, cause=Cause.PERSON, priority=Priority.PERSON, payload=payload)
    return problems


def unlinked_item(record: SyncedModel) -> IgnoredItem | None:
    """Return the item from which this record was last unlinked, or None."""
    return unlinked_items(record.entity_type(), [record.pk]).get(record.pk)


def unlinked_items(entity_type: str, ids: Sequence[UUID]) -> dict[UUID, IgnoredItem]:
    """Return the items from which these records were last unlinked, by record."""
    rows = IgnoredItem.objects.filter(entity_type=entity_type, unlinked=True, entity_id__in=ids)
    return {row.entity_id: row for row in rows.order_by("at", "id") if row.entity_id}


def relink(record: SyncedModel, by: str) -> str:
    """Link the record with its former item, turn its sync on, and return the item's id; raises NotPossible.

    The bases are kept, so later changes are synced, and only fields changed on both sides become conflicts.
    """
    model = type(record)
    with transaction.atomic():
        # NO KEY, so that rows pointing at this record can still be saved.
        current = model._default_manager.select_for_update(no_key=True, of=("self",)).get(pk=record.pk)
        row = unlinked_item(current)
        if row is None:
            raise NotPossible(f"“{current}” was not unlinked from an item, so there is none to link it with again.")
        if current.monday_id:
            raise NotPossible(f"“{current}” now has another item ({current.monday_id}). Unlink that one first.")
        if current.sync_direction == SyncDirection.NONE:
            raise NotPossible(
                f"The direction of “{current}” is “Sync off”. Choose another direction, then link it again."
            )
        owner = type(current)._default_manager.filter(monday_id=row.item_id).first()
        if owner is not None:
            raise NotPossible(f"The item of “{current}” now belongs to “{owner}”. Unlink that record first.")
        item_id = row.item_id
        current.monday_id = item_id
        model._default_manager.filter(pk=current.pk).update(monday_id=item_id, sync_enabled=True)
        # The item has a record again, so it is no longer ignored.
        IgnoredItem.objects.filter(entity_type=current.entity_type(), item_id=item_id).delete()
        person_line(current, "link", f"{by} linked it again with its item; its sync is on.", by).save()
        # The trigger's job only has the cause and priority of a save.
        enqueue(current.entity_type(), [current.pk], cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by})
    return item_id


def item_names(item_ids: Iterable[str | None]) -> dict[str, str]:
    """Return the last known names of items, by id; two queries."""
    ids = {item_id for item_id in item_ids if item_id}
    if not ids:
        return {}
    events = WebhookEvent.objects.filter(item_id__in=ids).annotate(called=event_item_name())
    latest = events.exclude(called=None).order_by("item_id", "-received_at", "-id").distinct("item_id")
    reported = {str(item_id): str(name) for item_id, name in latest.values_list("item_id", "called") if name}
    listed = UnmatchedItem.objects.filter(item_id__in=ids).exclude(name="")
    return dict(listed.values_list("item_id", "name")) | reported
