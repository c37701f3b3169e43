"""Unlinking a record from its item, and linking the two again: what a person asks for, and what is remembered.

An item that was let go is neither matched nor made into a record until a person says so: it stands in
`sync_refused_items`. The item itself is written by the record's next look (engine/unlinking.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from sync import wake
from sync.choices import Cause, Priority, SyncDirection
from sync.enqueue import enqueue_many
from sync.marks import mark_many_pending
from sync.models import Decision, RefusedItem, SyncedModel

UNLINK = "unlink"
"""The key of a queue row's payload under which it says why its record is to be unlinked."""
LEFT_OUT = "excluded"
"""The kind of decision by which the set-up left a record out, whose name is like that of the item it names."""


class CannotUnlink(RuntimeError):
    """The record can't be unlinked, or linked again; the message says why and what to do."""


def remember(entity_type: str, item_id: str, entity_id: UUID | None, reason: str) -> None:
    """Remember an item as let go, of a record or by a person's word alone; in the caller's transaction."""
    RefusedItem.objects.update_or_create(
        entity_type=entity_type,
        item_id=item_id,
        defaults={"reason": reason, "let_go": True, "entity_id": entity_id},
    )


def tell_apart(entity_type: str, item_id: str, entity_id: UUID, reason: str) -> None:
    """Remember that an item is not this record's, unless more is known of it already."""
    RefusedItem.objects.get_or_create(
        entity_type=entity_type, item_id=item_id, defaults={"reason": reason, "entity_id": entity_id}
    )


def ask_to_unlink(record: SyncedModel, by: str) -> None:
    """Let the record's next look unlink it; raises CannotUnlink for one without an item."""
    if not record.monday_id:
        raise CannotUnlink(f"“{record}” has no item on Monday, so there is nothing to unlink.")
    ask_to_unlink_many(record.entity_type(), [record.pk], by)


def ask_to_unlink_many(entity_type: str, ids: Sequence[UUID], by: str) -> None:
    """Let the next looks of these records, which have an item each, unlink them; a few statements for all."""
    with transaction.atomic():
        enqueue_many(
            entity_type,
            ids,
            cause=Cause.PERSON,
            priority=Priority.PERSON,
            payload={UNLINK: f"{by} unlinked it", "by": by},
        )
        mark_many_pending(entity_type, ids)
    wake.send(entity_type)


def let_go_of(record: SyncedModel) -> RefusedItem | None:
    """Return the item that was last let go of this record, if any is remembered."""
    return let_go_of_many(record.entity_type(), [record.pk]).get(record.pk)


def let_go_of_many(entity_type: str, ids: Sequence[UUID]) -> dict[UUID, RefusedItem]:
    """Return the item that was last let go of each of these records, where one is remembered.

    An item is remembered for one record. Where the set-up left out several that are like it, the others are told by
    their own decisions.
    """
    rows = RefusedItem.objects.filter(entity_type=entity_type, let_go=True)
    own = {row.entity_id: row for row in rows.filter(entity_id__in=ids).order_by("at", "id") if row.entity_id}
    others = [one for one in ids if one not in own]
    if not others:
        return own
    told = Decision.objects.filter(entity_id__in=others, kind=LEFT_OUT).exclude(remote_id="")
    items = dict(told.order_by("at", "id").values_list("entity_id", "remote_id"))
    shared = {row.item_id: row for row in rows.filter(item_id__in=items.values())} if items else {}
    return own | {record: shared[item] for record, item in items.items() if record and item in shared}


def link_again(record: SyncedModel, by: str) -> str:
    """Link the record with the item that was let go of it, turn its sync on, and return the item's id.

    What both sides agreed on last is still known, so that what changed since flows, and only what both changed
    differently is asked about. Raises CannotUnlink.
    """
    model = type(record)
    with transaction.atomic():
        now = model._default_manager.select_for_update(no_key=True, of=("self",)).get(pk=record.pk)
        item_id = _free_item(now)
        model._default_manager.filter(pk=now.pk).update(monday_id=item_id, sync_enabled=True)
        RefusedItem.objects.filter(entity_type=now.entity_type(), item_id=item_id).delete()
        Decision.objects.create(
            entity_type=now.entity_type(),
            entity_id=now.pk,
            remote_id=item_id,
            kind="link",
            sentence=f"{by} linked it again with its item; its sync is on.",
            actor=by,
            cause={"by": by, "causes": ["person"]},
        )
        # The trigger's row says that a save was; this one that a person waits.
        enqueue_many(
            now.entity_type(), [now.pk], cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": by}
        )
    wake.board(record.entity_type())  # not `send`: a selection of thousands comes here one by one
    return item_id


def _free_item(record: SyncedModel) -> str:
    row = let_go_of(record)
    if row is None:
        raise CannotUnlink(
            f"“{record}” was not unlinked from an item, so there is none to link it with again."
        )
    if record.monday_id:
        raise CannotUnlink(f"“{record}” has another item by now ({record.monday_id}). Unlink that one first.")
    if record.sync_direction == SyncDirection.NONE:
        raise CannotUnlink(
            f"The direction of “{record}” is “no sync”. Choose another direction, then link it again."
        )
    owner = type(record)._default_manager.filter(monday_id=row.item_id).first()
    if owner is not None:
        raise CannotUnlink(f"The item of “{record}” belongs to “{owner}” by now. Unlink that record first.")
    return row.item_id
