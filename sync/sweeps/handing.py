"""The late postman: rows of the activity log go into the inbox as the webhooks that should have told the same.

There they are weighed like any delivery, so that an edit which was overwritten is noticed although its webhook never
came; and what the base already says ends without a call. A row is stored once, by its id in the log; one whose
webhook has come is not stored at all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from sync import registry, wake
from sync.choices import Cause, Priority, QueueDirection
from sync.clock import sync_now
from sync.connectors.monday.log_rows import Entry, event_bodies, tells_of_items, touches_items
from sync.connectors.monday.webhooks import BadEvent, Event, Kind, parse_event
from sync.delivering import CANDIDATE_WAIT_SECONDS
from sync.enqueue import enqueue_item, enqueue_many
from sync.inbox import MAX_ID_CHARACTERS, storable
from sync.models import BoardLink, RefusedItem, WebhookEvent

FROM_LOG = "log:"
"""How the trigger id of a row of the log begins, where a webhook's is its own."""
TOUCHED = "touched"
"""The type of a row that says no more than that an item changed."""
SAME_MOMENT = timedelta(seconds=30)
"""So far apart a row's time and its webhook's may be."""
FOUND = "found by a sweep: its items were looked at"

_STORE = """
    INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, column_id, type, body, outcome, weighed_at)
    SELECT told.trigger_id, told.board_id, told.item_id, told.column_id, told.type, told.body, told.outcome,
        CASE WHEN told.outcome = '' THEN NULL ELSE sync_now() END
    FROM jsonb_to_recordset(%s::jsonb) AS told (trigger_id text, board_id text, item_id text, column_id text,
        type text, body jsonb, outcome text)
    ON CONFLICT (trigger_id, item_id, column_id, type) DO NOTHING
    RETURNING item_id, outcome
"""


def hand_in(link: BoardLink, entries: Sequence[Entry]) -> int:
    """Store what no webhook told, oldest first, and wake what it is about; return how many rows were new."""
    judged, old = _by_age(entries)
    bodies = [body for entry in reversed(judged) for body in event_bodies(entry, link.board_id)]
    events = [(body, event) for body in bodies if (event := _event_of(body)) is not None]
    told = _told(link, [event for _, event in events])
    rows = [_row(link, body, event) for body, event in events if not _has_come(event, told)]
    rows += [row for entry in judged if touches_items(entry) for row in _touching(link, entry)]
    rows += [row for entry in old if tells_of_items(entry) for row in _touching(link, entry)]
    return store(link, rows)


def _by_age(entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those that can be weighed, and those too old for it: what we wrote at the time is forgotten by then."""
    oldest = sync_now() - timedelta(days=settings.JOURNAL_DAYS - 1)
    return [one for one in entries if one.at >= oldest], [one for one in entries if one.at < oldest]


def store(link: BoardLink, rows: Sequence[Mapping[str, Any]]) -> int:
    """Store rows of the inbox and wake their items, in one transaction; return how many were new."""
    if not rows:
        return 0
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_STORE, [json.dumps(storable(rows))])
            stored = [(str(item), str(outcome)) for item, outcome in cursor.fetchall()]
        wake_items(link, [item for item, outcome in stored if not outcome], cause=Cause.WEBHOOK)
        wake_items(link, [item for item, outcome in stored if outcome], cause=Cause.SWEEP)
    return len(stored)


def wake_items(link: BoardLink, item_ids: Iterable[str], *, cause: Cause) -> int:
    """Write a waiting row for each item's record, or for the item itself where no record has it; return how many.

    Of the cause WEBHOOK a look ends without a call where the base says what the inbox tells; of SWEEP it reads.
    Items that were refused before are left alone.
    """
    ids = sorted(set(item_ids))
    if not ids:
        return 0
    model = registry.entity(link.entity_type).model
    owners = dict(model._default_manager.filter(monday_id__in=ids).order_by().values_list("monday_id", "pk"))
    enqueue_many(
        link.entity_type,
        sorted(owners.values()),
        cause=cause,
        priority=Priority.SWEEP,
        direction=QueueDirection.TO_NPD,
    )
    unknown = [item_id for item_id in ids if item_id not in owners]
    refused = RefusedItem.objects.filter(entity_type=link.entity_type, item_id__in=unknown)
    known = set(refused.values_list("item_id", flat=True))
    for item_id in unknown:
        if item_id not in known:
            enqueue_item(
                link.entity_type,
                item_id,
                cause=cause,
                priority=Priority.SWEEP,
                due_in_seconds=CANDIDATE_WAIT_SECONDS,
            )
    transaction.on_commit(lambda: wake.board(link.entity_type), robust=True)
    return len(ids) - len(known)


def _event_of(body: Mapping[str, Any]) -> Event | None:
    """The row as an event; None where it names what no inbox has room for."""
    try:
        event = parse_event(body)
    except BadEvent:
        return None
    texts = (event.item_id, event.column_id, event.type, event.trigger_id)
    return None if any(len(text or "") > MAX_ID_CHARACTERS for text in texts) else event


def _row(link: BoardLink, body: Mapping[str, Any], event: Event) -> dict[str, Any]:
    return {
        "trigger_id": event.trigger_id,
        "board_id": link.board_id,
        "item_id": event.item_id,
        "column_id": event.column_id,
        "type": event.type,
        "body": body,
        "outcome": "",
    }


def _touching(link: BoardLink, entry: Entry) -> Iterable[dict[str, Any]]:
    for item_id in entry.item_ids:
        # Never under a name by which values are told: this row tells none.
        kind = entry.event if touches_items(entry) else TOUCHED
        yield noted(link, f"{FROM_LOG}{entry.id}", item_id, kind)


def noted(link: BoardLink, trigger_id: str, item_id: str, kind: str) -> dict[str, Any]:
    """A row that tells no value: it is there so that its item is woken once for it."""
    return {
        "trigger_id": trigger_id,
        "board_id": link.board_id,
        "item_id": item_id,
        "column_id": None,
        "type": kind,
        "body": {"event": {"type": kind, "boardId": link.board_id, "pulseId": item_id}},
        "outcome": FOUND,
    }


Key = tuple[str | None, str | None, str]


def _told(link: BoardLink, events: Sequence[Event]) -> dict[Key, list[Event]]:
    """What webhooks told of these items, by item, column and type."""
    moments = [event.happened_at for event in events if event.happened_at]
    if not moments:
        return {}
    stored = WebhookEvent.objects.filter(
        board_id=link.board_id,
        item_id__in={event.item_id for event in events},
        received_at__gte=min(moments) - timedelta(minutes=10),
    ).exclude(trigger_id__startswith=FROM_LOG)
    found: dict[Key, list[Event]] = {}
    for row in stored.only("body"):
        event = parse_event(row.body)
        found.setdefault((event.item_id, event.column_id, event.type), []).append(event)
    return found


def _has_come(event: Event, told: Mapping[Key, list[Event]]) -> bool:
    candidates = told.get((event.item_id, event.column_id, event.type), [])
    return any(_is_same(event, other) for other in candidates)


def _is_same(event: Event, other: Event) -> bool:
    """Whether a webhook told this row: the same values of the same person at the same moment."""
    if not _close(event.happened_at, other.happened_at) or event.user_id != other.user_id:
        return False
    if event.kind not in (Kind.COLUMN, Kind.RENAMED):
        return True
    values, others = (event.value, event.previous_value), (other.value, other.previous_value)
    return [_plain(one) for one in values] == [_plain(one) for one in others]


def _close(one: datetime | None, other: datetime | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= SAME_MOMENT


def _plain(value: Any) -> Any:
    """A value without the time at which it was set; nothing and an empty object are the same."""
    if isinstance(value, Mapping):
        return {key: entry for key, entry in value.items() if key != "changed_at"} or None
    return value
