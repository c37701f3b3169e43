"""A board's listing, and the items in it that no record has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db import transaction

from sync.choices import Cause, Priority
from sync.connectors.monday.answers import Api
from sync.connectors.monday.documents import Item, first_page, next_page, parse_page
from sync.connectors.monday.errors import CursorExpired
from sync.models import BoardLink, RefusedItem
from sync.queue import SyncQueueService
from sync.registry import EntitySpec

LISTINGS = 3  # a board's listing is begun anew when its cursor expires, at most this often


def look_at_unknown(spec: EntitySpec, item_ids: Iterable[str]) -> None:
    """Enqueue a look at items that no record has, all or none."""
    queue = SyncQueueService()
    with transaction.atomic():
        for item_id in sorted(item_ids):
            queue.enqueue_item(
                spec.entity_type, item_id, cause=Cause.SWEEP, priority=Priority.SWEEP, due_in_seconds=0.0
            )


def board_items(
    client: Api,
    link: BoardLink,
    columns: Sequence[str] | None = None,
    types: Sequence[str] = (),
    *,
    expected: int | None = None,
) -> Iterator[Item]:
    """Yield the board's active items, 500 a call, anew where the cursor expires. Raises MondayError.

    Of their columns the NPD ID alone where none are named. A listing of fewer than `expected` items is made twice,
    so an item may come twice: it may have been cut short.
    """
    columns = [link.npd_id_column] if columns is None else columns
    shortest: int | None = None
    for listing in range(LISTINGS):
        count = 0
        try:
            for item in _pages(client, link, columns, types):
                count += 1
                yield item
        except CursorExpired:
            if listing + 1 == LISTINGS:
                raise
            continue
        if expected is None or count >= expected or shortest == count:
            return
        shortest = count


def _pages(client: Api, link: BoardLink, columns: Sequence[str], types: Sequence[str]) -> Iterator[Item]:
    page = parse_page(client.execute(*first_page(link.board_id, columns, types=types)), columns)
    yield from page.items
    while page.cursor:
        page = parse_page(client.execute(*next_page(page.cursor, columns, types=types)), columns)
        yield from page.items


def unknown_items(spec: EntitySpec, item_ids: Iterable[str]) -> list[str]:
    """Return those items that no record has and that were not refused before."""
    ids = list(dict.fromkeys(item_ids))
    known = set(spec.model._default_manager.filter(monday_id__in=ids).values_list("monday_id", flat=True))
    refused = RefusedItem.objects.filter(entity_type=spec.entity_type, item_id__in=ids)
    known |= set(refused.values_list("item_id", flat=True))
    return [item_id for item_id in ids if item_id not in known]
