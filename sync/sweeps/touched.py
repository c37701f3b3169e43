"""Items by last update: what changed without a webhook and without a row in the log.

Mostly nothing: each item's last change is explained by an event in the inbox. One that isn't is woken, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from sync.connectors.monday.activity import Touched, TouchedPage, parse_touched_page, touched_page
from sync.connectors.monday.answers import Api
from sync.connectors.monday.errors import ListingTruncated, UnreadableAnswer
from sync.connectors.monday.webhooks import BadEvent, parse_event
from sync.models import BoardLink, SyncMetadata, WebhookEvent
from sync.sweeps.handing import TOUCHED, noted, store

AT_ONCE = timedelta(seconds=5)
"""An item's time of last update and its event's may be so far apart."""


def touched_since(
    api: Api, first: TouchedPage, begin: datetime, items_count: int | None
) -> Iterator[list[Touched]]:
    """Yield the items touched since `begin`, page by page, the newest first.

    Raises ListingTruncated where the board has more items than it listed and none was older than `begin`,
    UnreadableAnswer where they don't come in the order of their last update, MondayError.
    """
    page, listed, last = first, 0, None
    while True:
        times = [item.at for item in page.items if item.at is not None]
        _check_order(times, last)
        listed, last = listed + len(page.items), times[-1] if times else last
        yield [item for item in page.items if item.at is not None and item.at >= begin]
        if times and times[-1] < begin:
            return
        if page.cursor is None:
            break
        page = parse_touched_page(api.execute(*touched_page(page.cursor)))
    if items_count is not None and listed < items_count:
        raise ListingTruncated(f"Monday listed {listed:,} of the board's {items_count:,} items")


def _check_order(times: list[datetime], before: datetime | None) -> None:
    ordered = [*([before] if before else []), *times]
    if any(later > earlier for earlier, later in pairwise(ordered)):
        raise UnreadableAnswer("Monday doesn't list the items in the order of their last update")


def wake_unexplained(link: BoardLink, items: Iterable[Touched]) -> int:
    """Wake items whose last update no event tells and no look has seen; return how many."""
    at = {item.item_id: item.at for item in items if item.at is not None}
    if not at:
        return 0
    told, looked = _told(link, at), _looked_at(link, at)
    news = [
        item_id
        for item_id, moment in at.items()
        if not _is_after(told.get(item_id), moment - AT_ONCE) and not _is_after(looked.get(item_id), moment)
    ]
    return store(link, [noted(link, f"{TOUCHED}:{at[one]:%Y%m%dT%H%M%SZ}", one, TOUCHED) for one in news])


def _is_after(found: datetime | None, moment: datetime) -> bool:
    return found is not None and found >= moment


def _told(link: BoardLink, at: dict[str, datetime]) -> dict[str, datetime]:
    """When the newest event of each item happened."""
    since = min(at.values()) - timedelta(minutes=10)
    rows = WebhookEvent.objects.filter(board_id=link.board_id, item_id__in=at, received_at__gte=since)
    found: dict[str, datetime] = {}
    for row in rows.exclude(type=TOUCHED).only("item_id", "body"):
        try:
            happened = parse_event(row.body).happened_at
        except BadEvent:
            continue
        item_id = str(row.item_id)
        if happened is not None:
            found[item_id] = max(happened, found.get(item_id, happened))
    return found


def _looked_at(link: BoardLink, at: dict[str, datetime]) -> dict[str, datetime]:
    """When each item's record was last looked at."""
    rows = SyncMetadata.objects.filter(
        entity_type=link.entity_type, system="monday", remote_id__in=at, last_sync_attempt__isnull=False
    )
    return {
        str(item): moment for item, moment in rows.values_list("remote_id", "last_sync_attempt") if moment
    }
