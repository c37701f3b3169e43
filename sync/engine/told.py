"""What others told of a record's fields: webhooks and rows of the activity log, in the merge's own form.

The payload's values are compared here and nothing else is done with them; whatever is written was read from the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sync.connectors.monday.converters import Converter, UnknownValue
from sync.connectors.monday.webhooks import BadEvent, Event, Kind, parse_event
from sync.engine.board import Board
from sync.merge import Canonical
from sync.models import FieldMapping, SyncedModel, WebhookEvent


@dataclass(frozen=True)
class ToldEvent:
    """One change of one field on Monday, as it was told, by a webhook or by the activity log.

    `previous` counts only where `knows_previous`. `at` is Monday's time of the change; `fresh` says that no look has
    weighed it yet; `user_id` is empty where nobody is named.
    """

    key: str
    value: Canonical
    previous: Canonical
    knows_previous: bool
    user_id: str
    at: datetime
    fresh: bool


@dataclass(frozen=True)
class Lost:
    """A value that somebody wrote on Monday and that our write went over, unread.

    `writes` are the intents that went over it; `open_write` says that their outcome is not known yet.
    """

    key: str
    value: Canonical
    user_id: str
    at: datetime
    writes: tuple[str, ...]
    open_write: bool = False


def told_of(board: Board, record: SyncedModel, events: Iterable[WebhookEvent]) -> list[ToldEvent]:
    """Return the changes of mapped fields among these events, oldest first; what can't be read tells nothing."""
    by_column = {mapping.column_id: mapping for mapping in board.mappings if mapping.column_id}
    found = [told for stored in events if (told := _told(board, record, by_column, stored))]
    return sorted(found, key=lambda told: told.at)


def _told(
    board: Board, record: SyncedModel, by_column: Mapping[str, FieldMapping], stored: WebhookEvent
) -> ToldEvent | None:
    try:
        event = parse_event(stored.body)
    except BadEvent:
        return None
    mapping = by_column.get(event.column_id or "")
    if mapping is None or event.kind not in (Kind.COLUMN, Kind.RENAMED):
        return None
    convert = board.converter(mapping, record)
    try:
        value = convert.event(event.value, event.column_type or convert.column_type)
    except UnknownValue:
        return None
    knows, previous = _previous(convert, event)
    at = event.changed_at or event.happened_at or stored.received_at
    return ToldEvent(mapping.key, value, previous, knows, event.user_id or "", at, stored.weighed_at is None)


def _previous(convert: Converter, event: Event) -> tuple[bool, Canonical]:
    if not event.tells_previous:
        return False, None
    try:
        return True, convert.event(event.previous_value, event.column_type or convert.column_type)
    except UnknownValue:
        return False, None
