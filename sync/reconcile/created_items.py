"""Look for items of creates that may be sent again: by NPD ID, and, as searches may be late, by what Monday told."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import NamedTuple

import structlog

from sync.fields import field_values
from sync.fields.field_values import BoardContext
from sync.limits.metered_client import meter_board_calls
from sync.models import BoardLink, WebhookEvent
from sync.monday import board_events, lag
from sync.monday.board_items import ColumnSearch, Item
from sync.monday.connector import MondayConnector
from sync.monday.errors import MondayError
from sync.monday.item_documents import ITEMS_PER_READ

log = structlog.get_logger(__name__)


def items_with_npd_ids(monday: MondayConnector, board: BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items with these NPD IDs, by NPD ID; None if an NPD ID can't be read. Raises MondayError."""
    items: dict[str, Item] = {}
    # Failed batches are not split: a search for a hundred items would become a hundred calls.
    for start in range(0, len(ids), ITEMS_PER_READ):
        batch = ids[start : start + ITEMS_PER_READ]
        with meter_board_calls(board.link, len(batch)):
            search = ColumnSearch(board.link.npd_id_column, "text", batch)
            result = monday.read_batch(board.link.board_id, [], {"by_npd_id": search}, board.columns, board.types)
        for item in result.by_npd_id:
            npd_id = field_values.npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in batch:
                items.setdefault(npd_id, item)
    return items


class CreatedItems(NamedTuple):
    """The items without a record that our user has created, as the board's log, webhooks and reads by id say."""

    by_npd_id: Mapping[str, Item]
    has_unknown: bool  # one isn't shown, or not with its NPD ID: it may be as it was before its values were written


def read_created_items(monday: MondayConnector, board: BoardContext, since: datetime) -> CreatedItems | None:
    """Return what our user has created since then, or a little earlier; None if that can't be read."""
    link = board.link
    begin = since - lag.ECHO_WINDOW
    try:
        changes = monday.read_activity(link.board_id, begin)
        if changes.log is None:
            return None
        rows = chain(changes.log, *monday.read_log(link.board_id, begin, after=changes))
        user_id = changes.user_id or board.settings.token_user
        # The log's rows may be minutes late, and so may a webhook.
        created = board_events.created_items(rows, user_id) + _created_by_webhooks(link, user_id, begin)
        owned = board.model.objects.filter(monday_id__in=created).values_list("monday_id", flat=True)
        unowned = sorted(set(created).difference(map(str, owned)))
        items: list[Item] = []
        for start in range(0, len(unowned), ITEMS_PER_READ):
            batch = unowned[start : start + ITEMS_PER_READ]
            with meter_board_calls(link, len(batch)):
                items += monday.read_items(batch, board.columns, board.types)
    except MondayError as error:
        log.warning("created items not asked for", board=link.entity_type, reason=error.sentence)
        return None
    by_npd_id = {field_values.npd_id_of(board, item): item for item in items}
    has_unknown = len(items) < len(unowned) or None in by_npd_id or "" in by_npd_id
    active = {key: item for key, item in by_npd_id.items() if key and field_values.is_active_on(board, item)}
    return CreatedItems(active, has_unknown)


def _created_by_webhooks(link: BoardLink, user_id: str, since: datetime) -> list[str]:
    """Return the items whose creation by this user webhooks have told since then; by anybody if nobody is known."""
    kind = board_events.EventKind.CREATED.value
    rows = WebhookEvent.objects.filter(board_id=link.board_id, type=kind, received_at__gt=since)
    return [str(row.item_id) for row in rows if row.event and user_id in ("", row.event.user_id)]
