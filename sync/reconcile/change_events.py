"""What the events about an item say about its fields: changes with their values before and after."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sync.fields.field_values import BoardContext
from sync.merge import Canonical, Side
from sync.models import FieldMapping, SyncedModel, WebhookEvent
from sync.monday.board_events import LOG_PREFIX, EventKind
from sync.monday.conversion import EVENT_UNREADABLE, Converter, UnknownValue


@dataclass(frozen=True)
class ChangeEvent:
    """A change of a field on Monday, from a webhook or the activity log."""

    key: str
    value: Canonical
    previous: Canonical
    has_previous: bool  # without it, `previous` means nothing
    user_id: str  # empty if the event names no user
    at: datetime  # Monday's time of the change
    is_new: bool  # no pass has checked it yet
    arrived: datetime  # a row of the log arrives as late as it is read, so it counts from its own time
    payload: Any = field(default=None, compare=False)  # the value as the event has it
    previous_payload: Any = field(default=None, compare=False)  # and the value before, if it tells that
    is_known: bool = True  # without it, `value` means nothing

    def matches(self, value: Side, raw: Any) -> bool:
        """Whether a cell with this value, compared and as it was read, shows the event's value."""
        return value == self.value if self.is_known else may_be_same(self.payload, raw)

    def previous_matches(self, value: Side, raw: Any) -> bool:
        """Whether such a cell shows what was there before the event."""
        return value == self.previous if self.has_previous else may_be_same(self.previous_payload, raw)


# The events that report a changed value.
EDIT_KINDS = (EventKind.COLUMN, EventKind.RENAMED)


def event_value(converter: Converter, value: Any, column_type: str) -> Canonical:
    """Return an event's value in canonical form; raise UnknownValue for any error of the converter.

    An event is only a hint to read the item: an error on its value must not stop its record.
    """
    try:
        return converter.from_event(value, column_type or converter.column_type)
    except UnknownValue:
        raise
    except Exception as error:
        raise UnknownValue(EVENT_UNREADABLE) from error


def texts_in(value: Any) -> list[str]:
    """Return the texts and numbers in a JSON value, without the time of its change."""
    if isinstance(value, Mapping):
        return [text for key, part in value.items() if key != "changed_at" for text in texts_in(part)]
    if isinstance(value, list):
        return [text for part in value for text in texts_in(part)]
    return [str(value)] if isinstance(value, str | int) else []


def may_be_same(payload: Any, raw: Any) -> bool:
    """Whether an event's value, which can't be read, may be a cell's: all its texts are in the cell.

    Webhooks send phones without plus and country, and some values as a bare text.
    """
    texts = _plain_texts(payload)
    return bool(texts) and texts <= _plain_texts(raw)


def _plain_texts(value: Any) -> set[str]:
    """Return the texts and numbers in a JSON value, without all but letters and digits."""
    return {"".join(filter(str.isalnum, text)).casefold() for text in texts_in(value)} - {""}


def changes_of(mapping: FieldMapping, converter: Converter, events: Iterable[WebhookEvent]) -> list[ChangeEvent]:
    """Return the changes of a field in these events, oldest first, and those of one moment as they arrived."""
    changes = []
    for received in sorted(events, key=lambda received: received.pk):
        event = received.event
        if event is None or event.column_id != mapping.column_id or event.kind not in EDIT_KINDS:
            continue
        column_type = event.column_type or ""
        value = None
        is_known = True
        try:
            value = event_value(converter, event.value, column_type)
        except UnknownValue:
            is_known = False
        previous = None
        has_previous = event.has_previous
        try:
            previous = event_value(converter, event.previous_value, column_type) if has_previous else None
        except UnknownValue:
            has_previous = False
        at = event.changed_at or event.happened_at or received.received_at
        arrived = at if received.trigger_id.startswith(LOG_PREFIX) else received.received_at
        change = ChangeEvent(
            mapping.key,
            value=value,
            previous=previous,
            has_previous=has_previous,
            user_id=event.user_id or "",
            at=at,
            is_new=received.processed_at is None,
            arrived=arrived,
            payload=event.value,
            previous_payload=event.previous_value,
            is_known=is_known,
        )
        changes.append(change)
    return sorted(changes, key=lambda change: change.at)


def reported_changes(board: BoardContext, record: SyncedModel, events: Collection[WebhookEvent]) -> list[ChangeEvent]:
    """Return the changes of all mapped fields in these events, each field's in the order of `changes_of`."""
    return [
        change for mapping in board.mapped for change in changes_of(mapping, board.converter(mapping, record), events)
    ]


def creator_of(events: Iterable[WebhookEvent]) -> str:
    """Return the user who created the item, from its events, oldest first; an empty text if no event names them."""
    return next((event.user_id for event in events if event.type == EventKind.CREATED), "")
