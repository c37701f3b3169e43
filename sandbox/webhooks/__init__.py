"""Webhook subscriptions: their events, the bodies of deliveries, and which subscription gets which event.

The `type` in a delivery differs from the name that was subscribed to; archive, delete and restore name the item
`itemId`; and columns have their old type names (developer.monday.com/api-reference/reference/webhooks and published
captures).
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sandbox import api_errors, model
from sandbox.world import World

STATES = {"active": 1, "archived": 2, "deleted": 3}
WITHOUT_TRIGGER = ("item_restored",)  # captured without originalTriggerUuid
Details = dict[str, Any]


def delivery_body(subscription_id: int, event: model.WorldEvent) -> dict[str, Any]:
    kind, details = EVENTS[event.kind]
    moment = datetime.fromtimestamp(event.seconds, UTC).replace(tzinfo=None)
    original_trigger = {} if event.kind in WITHOUT_TRIGGER else {"originalTriggerUuid": None}
    content = {
        "app": "monday",
        "type": kind,
        "triggerTime": moment.isoformat(timespec="milliseconds") + "Z",
        "subscriptionId": subscription_id,
        "isRetry": False,
        "userId": event.user_id,
        **original_trigger,
        "boardId": event.board_id,
        **details(event),
        "triggerUuid": secrets.token_hex(16),
    }
    return {"event": content}


def _item_of(event: model.WorldEvent) -> model.Item:
    assert event.item is not None, event.kind
    return event.item


def _pulse_details(event: model.WorldEvent) -> Details:
    assert event.group is not None
    return {"groupId": event.group.id, "pulseId": _item_of(event).id, "pulseName": event.item_name}


def _item_details(event: model.WorldEvent) -> Details:
    return {"itemId": _item_of(event).id, "itemName": event.item_name}


def _item_created_details(event: model.WorldEvent) -> Details:
    assert event.group is not None
    return {
        **_pulse_details(event),
        "groupName": event.group.title,
        "groupColor": event.group.color,
        "isTopGroup": event.is_top_group,
        "columnValues": event.column_values,
    }


def _column_changed_details(event: model.WorldEvent) -> Details:
    assert event.column is not None
    return {
        **_pulse_details(event),
        "columnId": event.column.id,
        "columnType": event.column_type,
        "columnTitle": event.column.title,
        "value": event.value,
        "previousValue": event.previous,
        "changedAt": event.seconds,
        "isTopGroup": event.is_top_group,
    }


def _renamed_details(event: model.WorldEvent) -> Details:
    assert event.group is not None
    item_id = _item_of(event).id
    return {"groupId": event.group.id, "pulseId": item_id, "value": event.value, "previousValue": event.previous}


def _restored_details(event: model.WorldEvent) -> Details:
    return {
        **_item_details(event),
        "value": {"state": STATES["active"], "is_undo": True},
        "previousValue": {"state": STATES[event.previous]},
    }


def _moved_details(event: model.WorldEvent) -> Details:
    group = event.group
    assert group is not None
    dest = {"id": group.id, "title": group.title, "color": group.color, "is_top_group": event.is_top_group}
    return {
        "pulseId": _item_of(event).id,
        "sourceGroupId": event.source_group_id,
        "destGroupId": group.id,
        "destGroup": dest,
    }


# By event that a webhook may subscribe to: the delivery's `type`, and the function that returns its details.
EVENTS: dict[str, tuple[str, Callable[[model.WorldEvent], Details]]] = {
    "create_item": ("create_pulse", _item_created_details),
    "change_column_value": ("update_column_value", _column_changed_details),
    "change_name": ("update_name", _renamed_details),
    "item_archived": ("archive_pulse", _item_details),
    "item_deleted": ("delete_pulse", _item_details),
    "item_restored": ("restore_pulse", _restored_details),
    "item_moved_to_any_group": ("move_pulse_into_group", _moved_details),
}

# developer.monday.com/api-reference/reference/webhooks
URL_LIMIT = 255


def check_subscription(world: World, hook: model.Hook) -> None:
    """Refuse what Monday refuses before it calls the address."""
    board = world.boards.get(hook.board_id)
    if board is None or board.state != "active":
        raise api_errors.invalid_argument("Board not found", board_id=hook.board_id)
    if hook.event not in EVENTS:
        raise api_errors.invalid_argument(f"The sandbox sends no {hook.event}")
    if len(hook.url) > URL_LIMIT or not _is_address(hook.url):
        raise api_errors.invalid_argument(f"url must be an http address of at most {URL_LIMIT} characters")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def subscribe(world: World, hook: model.Hook) -> model.Hook:
    """Store a new subscription under an id of its own; the caller has verified its address."""
    with world.transaction():
        hook.id = world.next_id("hook")
        world.put_hook(hook)
        return hook


def unsubscribe(world: World, hook_id: int) -> model.Hook:
    with world.transaction():
        hook = world.hooks.get(hook_id)
        if hook is None or hook.deleted:
            raise api_errors.FieldError("Webhook not found", "ResourceNotFoundException", 404, webhook_id=hook_id)
        hook.deleted = True
        world.put_hook(hook)
        return hook


def wants(hook: model.Hook, event: model.WorldEvent) -> bool:
    """Return whether the subscription gets the event."""
    return not hook.deleted and hook.board_id == event.board_id and hook.event == event.kind
