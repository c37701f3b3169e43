"""Changes that no webhook reported: read from Monday's activity log and stored in the inbox like deliveries."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from sync import registry
from sync.boards.sync_filter import SyncFilter
from sync.boards.webhooks import ITEM_UPDATED
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import sync_now
from sync.kernel.db import fetch_rows, storable_json
from sync.models import BoardLink, IgnoredItem, WebhookEvent
from sync.monday import board_events
from sync.monday.board_events import LOG_PREFIX, ActivityEntry, EventKind, InvalidEvent, ItemEvent
from sync.outbox.queue_rows import enqueue, enqueue_unmatched
from sync.records.inbox import MAX_ID_CHARACTERS, UNMATCHED_ITEM_WAIT_SECONDS
from sync.records.item_links import item_names
from sync.records.unmatched_items import UnmatchedFinding, note_unmatched

# The times of a log entry and of its webhook differ by at most this much.
SAME_MOMENT = timedelta(seconds=30)

# Our clock and Monday's differ by at most this much.
CLOCKS_DIFFER = timedelta(minutes=10)

# An event's item, column and type.
EventKey = tuple[str | None, str | None, str]

FOUND_BY_SWEEP = "found by a check for missed changes: its items were read"

_STORE_EVENTS = """
    INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, column_id, type, body, outcome, processed_at)
    SELECT event.trigger_id, event.board_id, event.item_id, event.column_id, event.type, event.body, event.outcome,
        CASE WHEN event.outcome = '' THEN NULL ELSE sync_now() END
    FROM jsonb_to_recordset(%s::jsonb) AS event (trigger_id text, board_id text, item_id text, column_id text,
        type text, body jsonb, outcome text)
    WHERE NOT EXISTS (SELECT FROM sync_ignored_items AS item WHERE item.item_id = event.item_id AND item.erased)
    ON CONFLICT (trigger_id, item_id, column_id, type) DO NOTHING
    RETURNING item_id, outcome
"""


def replay_entries(link: BoardLink, entries: Sequence[ActivityEntry]) -> int:
    """Store the entries that no webhook reported, oldest first, and enqueue their items; return how many were new."""
    # Older entries can't be checked for lost updates, because our writes of that time are pruned.
    oldest = sync_now() - timedelta(days=settings.JOURNAL_DAYS - 1)
    recent = [entry for entry in entries if entry.at >= oldest]
    bodies = [body for entry in reversed(recent) for body in board_events.webhook_bodies(entry, link.board_id)]
    events = [(body, event) for body in bodies if (event := _parse_event(body)) is not None]
    if not SyncFilter.parse(link.sync_filter).asks_group:
        # Without a group filter, a move between groups changes nothing.
        events = [(body, event) for body, event in events if event.kind is not EventKind.MOVED]
    delivered = _delivered_events(link, [event for _, event in events])
    rows = [
        {
            "trigger_id": event.trigger_id,
            "board_id": link.board_id,
            "item_id": event.item_id,
            "column_id": event.column_id,
            "type": event.type,
            "body": body,
            "outcome": "",
        }
        for body, event in events
        if not any(_is_same_event(event, other) for other in delivered.get(_event_key(event), []))
    ]
    for entry in entries:
        has_no_values = board_events.changes_without_values(entry)
        if has_no_values or (entry.at < oldest and board_events.concerns_items(entry)):
            # The row of an old entry has no values either, so its type must be one without values.
            kind = entry.event if has_no_values else ITEM_UPDATED
            rows += [valueless_event_row(link, f"{LOG_PREFIX}{entry.id}", item_id, kind) for item_id in entry.item_ids]
    return store_events(link, rows)


def valueless_event_row(link: BoardLink, trigger_id: str, item_id: str, kind: str) -> dict[str, Any]:
    """Return an inbox row without a value, which only causes a pass of its item."""
    return {
        "trigger_id": trigger_id,
        "board_id": link.board_id,
        "item_id": item_id,
        "column_id": None,
        "type": kind,
        "body": board_events.change_body(kind, link.board_id, item_id),
        "outcome": FOUND_BY_SWEEP,
    }


def store_events(link: BoardLink, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store events in the inbox and enqueue their items, in one transaction; return how many were new."""
    if not rows:
        return 0
    with transaction.atomic():
        stored = fetch_rows(_STORE_EVENTS, [json.dumps(storable_json(rows))])
        enqueue_items(link, [str(item) for item, outcome in stored if not outcome], cause=Cause.WEBHOOK)
        # An event without a value can't be compared with the base, so its pass has to read the item.
        enqueue_items(link, [str(item) for item, outcome in stored if outcome], cause=Cause.SWEEP)
    return len(stored)


def enqueue_items(
    link: BoardLink, item_ids: Iterable[str], *, cause: Cause, names: Mapping[str, str] | None = None
) -> None:
    """Write a pending job for each item: for its record, or for the item itself if it is unmatched.

    With the cause WEBHOOK, a pass makes no call if the base equals the inbox's values; with SWEEP it reads the item.
    Ignored items get no job. `names` are names of items that may not be stored yet.
    """
    ids = sorted(set(item_ids))
    if not ids:
        return
    model = registry.entity(link.entity_type).model
    owners = dict(model._default_manager.filter(monday_id__in=ids).order_by().values_list("monday_id", "pk"))
    records = sorted(owners.values())
    enqueue(link.entity_type, records, cause=cause, priority=Priority.SWEEP, direction=QueueDirection.TO_NPD)
    ignored = IgnoredItem.objects.filter(entity_type=link.entity_type, item_id__in=ids)
    without_record = set(ids) - owners.keys() - set(ignored.values_list("item_id", flat=True))
    new_ids = sorted(without_record)
    wait = UNMATCHED_ITEM_WAIT_SECONDS
    enqueue_unmatched(link.entity_type, new_ids, cause=cause, priority=Priority.SWEEP, due_in_seconds=wait)
    all_names = item_names(new_ids) | dict(names or {})
    note_unmatched(link, [UnmatchedFinding(item_id, all_names.get(item_id, "")) for item_id in new_ids])


def _parse_event(body: Mapping[str, Any]) -> ItemEvent | None:
    """Return the entry as an event; None if it is no event or an id is too long to store."""
    try:
        event = board_events.parse_event(body)
    except InvalidEvent:
        return None
    texts = (event.item_id, event.column_id, event.type, event.trigger_id)
    return None if any(len(text or "") > MAX_ID_CHARACTERS for text in texts) else event


def _event_key(event: ItemEvent) -> EventKey:
    return event.item_id, event.column_id, event.type


def _delivered_events(link: BoardLink, events: Sequence[ItemEvent]) -> dict[EventKey, list[ItemEvent]]:
    """Return the events about these items that webhooks delivered, by key."""
    moments = [event.happened_at for event in events if event.happened_at]
    if not moments:
        return {}
    stored = WebhookEvent.objects.filter(
        board_id=link.board_id,
        item_id__in={event.item_id for event in events},
        received_at__gte=min(moments) - CLOCKS_DIFFER,
    ).exclude(trigger_id__startswith=LOG_PREFIX)
    delivered: dict[EventKey, list[ItemEvent]] = {}
    for row in stored.only("body"):
        if (event := _parse_event(row.body)) is not None:
            delivered.setdefault(_event_key(event), []).append(event)
    return delivered


def _is_same_event(event: ItemEvent, other: ItemEvent) -> bool:
    """Whether both report the same change: the same person, values and moment."""
    at = event.happened_at
    other_at = other.happened_at
    if at is None or other_at is None or abs(at - other_at) > SAME_MOMENT or event.user_id != other.user_id:
        return False
    if event.kind not in (EventKind.COLUMN, EventKind.RENAMED):
        return True
    pairs = ((event.value, other.value), (event.previous_value, other.previous_value))
    return all(_without_time(value) == _without_time(other_value) for value, other_value in pairs)


def _without_time(value: Any) -> Any:
    """Return a value without the time at which it was set; an empty object becomes None."""
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if key != "changed_at"} or None
    return value
