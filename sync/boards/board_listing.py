"""A board's whole list of items: how its pages are asked for, what happens where it breaks, and which nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sync import limits
from sync.choices import Cause, Priority
from sync.connectors.base.board_items import Item
from sync.connectors.base.errors import CursorExpired
from sync.models import BoardLink, IgnoredItem
from sync.outbox.queue_rows import enqueue_item_many
from sync.registry import EntitySpec

MAX_LISTINGS = 3
"""A listing begins again when its cursor expires, at most this often."""


def item_pages(
    link: BoardLink, columns: Sequence[str] | None = None, types: Sequence[str] = (), *, expected: int | None = None
) -> Iterator[list[Item]]:
    """Yield the board's active items, 500 a call, from the start again where the cursor expires.

    Without `columns` only the NPD ID is read. A listing of fewer than `expected` items may have been cut
    short and is read twice, so an item may come twice. Raises ConnectorError.
    """
    connector = limits.connector(link.system)
    columns = [link.npd_id_column] if columns is None else columns
    shortest: int | None = None
    for listing in range(MAX_LISTINGS):
        count = 0
        try:
            for items in connector.list_items(link.board_id, columns, types):
                count += len(items)
                yield items
        except CursorExpired:
            if listing + 1 == MAX_LISTINGS:
                raise
            continue
        if expected is None or count >= expected or shortest == count:
            return
        shortest = count


def unmatched_items(spec: EntitySpec, item_ids: Iterable[str]) -> list[str]:
    """Return those of these items that no record has and that nobody ignores."""
    ids = list(dict.fromkeys(item_ids))
    known = set(spec.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", flat=True))
    ignored = IgnoredItem.objects.filter(entity_type=spec.entity_type, item_id__in=ids)
    known |= set(ignored.values_list("item_id", flat=True))
    return [item_id for item_id in ids if item_id not in known]


def enqueue_unmatched(spec: EntitySpec, item_ids: Iterable[str]) -> None:
    """Enqueue a pass for unmatched items, all or none."""
    enqueue_item_many(spec.entity_type, item_ids, cause=Cause.SWEEP, priority=Priority.SWEEP)
