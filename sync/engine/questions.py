"""Questions of identity: whose item is this, which item is this record's, are these two the same person?

Each is a finding of the kind identity with the ways out that a person may choose; answering.py carries them out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q

from sync.choices import Cause, Priority
from sync.connectors.monday.items import Item
from sync.enqueue import enqueue_many
from sync.hooks import KIND_IDENTITY, Finding, Option, desk
from sync.models import RefusedItem, SyncedModel, SyncMetadata

NEW_ITEM = "new"
"""Answer: none of the items is the record's; it gets one of its own."""
NEW_RECORD = "record"
"""Answer: the item is none of the records'; it becomes one of its own."""
LEAVE = "leave alone"
"""Answer: the item stays on the board and has nothing to do with NPD."""
SAME = "same:"
"""Answer, followed by a record's id: that record and the one made from the item are the same."""
TAKES = "takes:"
"""Answer, followed by a record's id: that one, made from the item, is the same and hands its item over."""
DIFFERENT = "different"
"""Answer: they are two, and nobody is to ask again."""


def ask_whose_item(entity_type: str, hits: Sequence[SyncedModel], item: Item, told: Mapping[str, Any]) -> str:
    """Ask which of these records the item is, in the caller's transaction; return what is asked.

    `told` is what the screen shows of the item (items_shown.py).
    """
    what = f"The item “{item.name}” could be {_names(hits)}"
    known = [record for record in hits if record.monday_id]
    if known:
        what += f", which {'has' if len(known) == 1 else 'have'} an item already"
    what += ". Nothing was created."
    data = {
        "what": what,
        "item": dict(told),
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in hits],
        "options": [option.to_json() for option in _ways_for_an_item(hits, item)],
    }
    desk().record([Finding(entity_type, hits[0].pk, item.id, KIND_IDENTITY, data=data)])
    for record in hits:
        if record.monday_id is None and record.may_sync:
            _mark_conflict(record, what)
    return what


def close_questions_about(entity_type: str, item: Item) -> None:
    """End the questions about an item that has left the board, and wake the records that waited for the answer."""
    note = f"The item “{item.name}” was {item.state} on Monday, so there is nothing to ask any more."
    closed = desk().close_about(entity_type, item.id, note)
    if not closed:
        return
    waiting = Q()
    for _, what in closed:
        waiting |= Q(conflicts__identity__contains=[what])
    others = SyncMetadata.objects.filter(waiting, entity_type=entity_type).values_list("entity_id", flat=True)
    ids = {entity_id for entity_id, _ in closed} | {UUID(entity_id) for entity_id in others}
    enqueue_many(entity_type, ids, cause=Cause.DEPENDENCY, priority=Priority.EDIT)


def _ways_for_an_item(hits: Sequence[SyncedModel], item: Item) -> list[Option]:
    free = [record for record in hits if record.monday_id is None and record.may_sync]
    return [
        *(
            Option(
                "custom",
                f"It is “{record}”",
                f"“{record}” is linked with the item “{item.name}”; what differs is settled field by field.",
                str(record.pk),
            )
            for record in free
        ),
        Option(
            "custom",
            "It is somebody else: make a new record",
            f"A new record is made of “{item.name}” and linked with it.",
            NEW_RECORD,
        ),
        Option(
            "custom",
            "Leave the item alone",
            "The item stays on the board; it is not matched and makes no record.",
            LEAVE,
        ),
    ]


def whose_items(
    kind: str,
    record: SyncedModel,
    hits: Sequence[Item],
    taken: Mapping[str, str],
    twins: Sequence[SyncedModel] = (),
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the question which of these items is the record's.

    `values` has what each item says, by field.
    `taken` maps an item to the record that has it; `twins` are those of these records that were made from their item
    and that nobody touched in NPD.
    """
    what = (
        f"{len(hits)} items on the board could be this {kind}"
        if len(hits) > 1
        else "The item with the same key belongs to another record already"
    )
    free = [item for item in hits if taken.get(item.id, str(record.pk)) == str(record.pk)]
    return {
        "what": f"{what}. Nothing was created.",
        "candidates": [
            {
                "id": item.id,
                "label": item.name,
                "linked_to": taken.get(item.id),
                "values": dict((values or {}).get(item.id, {})),
            }
            for item in hits
        ],
        "options": [
            option.to_json()
            for option in [
                *(_it_is(record, item) for item in free),
                *(_takes_over(record, twin) for twin in twins),
                _own_item(record),
            ]
        ],
    }


def whose_let_go(record: SyncedModel, row: RefusedItem) -> dict[str, Any]:
    """Return the question whether a record that syncs again takes back the item that was let go of it."""
    again = Option(
        "custom",
        "Link it with that item again",
        f"“{record}” and the item {row.item_id} sync as before; what changed since flows or is asked about.",
        row.item_id,
    )
    why = f"“{record}” was unlinked from an item. {row.reason}"
    if row.entity_id not in (None, record.pk):
        why = f"The set-up left “{record}” out, for its name is like an item's that another record's is like, too."
    return {
        "what": f"{why} Nothing was created.",
        "candidates": [{"id": row.item_id, "label": f"Item {row.item_id}", "linked_to": None}],
        "options": [again.to_json(), _own_item(record).to_json()],
    }


def same_person(made: SyncedModel, others: Sequence[SyncedModel], key: str) -> dict[str, Any]:
    """Return the question whether a record that was made from an item is one of these others."""
    return {
        "what": f"“{made}”, which was made from an item on the board, has the same {key} as {_names(others)}.",
        "candidates": [{"id": str(r.pk), "label": str(r), "linked_to": r.monday_id} for r in others],
        "options": [
            *(_is_the_same(made, other).to_json() for other in others),
            Option(
                "custom", "They are two", "Both records stay, and nobody asks again.", DIFFERENT
            ).to_json(),
        ],
    }


def _is_the_same(made: SyncedModel, other: SyncedModel) -> Option:
    gone = f"The record “{made}” is deleted in NPD"
    effect = (
        f"{gone}; its item goes as the items of deleted records do, for “{other}” has one."
        if other.monday_id
        else f"{gone}, and its item is linked with “{other}”."
    )
    return Option("custom", f"The same as “{other}”", effect, f"{SAME}{other.pk}")


def _it_is(record: SyncedModel, item: Item) -> Option:
    return Option(
        "custom",
        f"It is “{item.name}” ({item.id})",
        f"“{record}” is linked with this item; what differs is settled field by field.",
        item.id,
    )


def _takes_over(record: SyncedModel, twin: SyncedModel) -> Option:
    return Option(
        "custom",
        f"The same as “{twin}”, which was made from the item",
        f"The record “{twin}” is deleted in NPD, and its item is linked with “{record}”.",
        f"{TAKES}{twin.pk}",
    )


def _own_item(record: SyncedModel) -> Option:
    return Option(
        "custom",
        "None of them: make a new item",
        f"A new item is made for “{record}”; those that were found stay as they are.",
        NEW_ITEM,
    )


def _mark_conflict(record: SyncedModel, what: str) -> None:
    """The record waits for the answer; its other conflicts stay."""
    ledger, _ = SyncMetadata.objects.get_or_create(
        entity_type=record.entity_type(), entity_id=str(record.pk), system="monday", defaults={"base": {}}
    )
    ledger.refresh_from_db(fields=["conflicts"])
    ledger.conflicts = {**ledger.conflicts, "identity": [what]}
    ledger.save(update_fields=["conflicts"])
    type(record)._default_manager.filter(pk=record.pk).update(sync_status="conflict")


def _names(records: Sequence[SyncedModel]) -> str:
    return " or ".join(f"“{record}”" for record in records[:3])
