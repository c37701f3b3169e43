"""What a webhook may subscribe to on a board, and what happened in the words of its deliveries.

The `type` inside a delivery is not the name that was subscribed to, archive, delete and restore name the item `itemId`,
and columns go by their old type names (developer.monday.com/api-reference/reference/webhooks and published captures).
"""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from sandbox import api_errors, model
from sandbox.world import World

STATES = {"active": 1, "archived": 2, "deleted": 3}
WITHOUT_TRIGGER = ("item_restored", "create_column")  # captured without originalTriggerUuid
Details = dict[str, Any]


def body(subscription_id: int, happening: model.WorldEvent) -> dict[str, Any]:
    kind, details = EVENTS[happening.kind]
    moment = datetime.fromtimestamp(happening.seconds, UTC).replace(tzinfo=None)
    event = {
        "app": "monday",
        "type": kind,
        "triggerTime": moment.isoformat(timespec="milliseconds") + "Z",
        "subscriptionId": subscription_id,
        "isRetry": False,
        "userId": happening.user_id,
        "originalTriggerUuid": None,
        "boardId": happening.board_id,
        **details(happening),
        "triggerUuid": secrets.token_hex(16),
    }
    if happening.kind in WITHOUT_TRIGGER:
        del event["originalTriggerUuid"]
    return {"event": event}


def _item_of(happening: model.WorldEvent) -> model.Item:
    assert happening.item is not None, happening.kind
    return happening.item


def _pulse(happening: model.WorldEvent) -> Details:
    assert happening.group is not None
    about = {"groupId": happening.group.id, "pulseId": _item_of(happening).id}
    return about | {"pulseName": happening.item_name}


def _item(happening: model.WorldEvent) -> Details:
    return {"itemId": _item_of(happening).id, "itemName": happening.item_name}


def _created_details(happening: model.WorldEvent) -> Details:
    assert happening.group is not None
    return {
        **_pulse(happening),
        "groupName": happening.group.title,
        "groupColor": happening.group.color,
        "isTopGroup": happening.is_top_group,
        "columnValues": happening.column_values,
    }


def _column_changed_details(happening: model.WorldEvent) -> Details:
    assert happening.column is not None
    return {
        **_pulse(happening),
        "columnId": happening.column.id,
        "columnType": happening.column_type,
        "columnTitle": happening.column.title,
        "value": happening.value,
        "previousValue": happening.previous,
        "changedAt": happening.seconds,
        "isTopGroup": happening.is_top_group,
    }


def _renamed_details(happening: model.WorldEvent) -> Details:
    assert happening.group is not None
    return {
        "groupId": happening.group.id,
        "pulseId": _item_of(happening).id,
        "value": happening.value,
        "previousValue": happening.previous,
    }


def _restored_details(happening: model.WorldEvent) -> Details:
    return {
        **_item(happening),
        "value": {"state": STATES["active"], "is_undo": True},
        "previousValue": {"state": STATES[happening.previous]},
    }


def _moved_details(happening: model.WorldEvent) -> Details:
    group = happening.group
    assert group is not None
    dest = {"id": group.id, "title": group.title, "color": group.color, "is_top_group": happening.is_top_group}
    return {
        "pulseId": _item_of(happening).id,
        "sourceGroupId": happening.source_group_id,
        "destGroupId": group.id,
        "destGroup": dest,
    }


def _column_created(happening: model.WorldEvent) -> Details:
    assert happening.column is not None
    return {
        "accountId": model.ACCOUNT_ID,
        "entity": "board",
        "columnId": happening.column.id,
        "columnTitle": happening.column.title,
        "columnType": happening.column_type,
        "createdAt": happening.seconds,
        "retryCount": 0,
    }


# What happened: the `type` in the delivery, and its details.
EVENTS: dict[str, tuple[str, Callable[[model.WorldEvent], Details]]] = {
    "create_item": ("create_pulse", _created_details),
    "change_column_value": ("update_column_value", _column_changed_details),
    "change_name": ("update_name", _renamed_details),
    "item_archived": ("archive_pulse", _item),
    "item_deleted": ("delete_pulse", _item),
    "item_restored": ("restore_pulse", _restored_details),
    "item_moved_to_any_group": ("move_pulse_into_group", _moved_details),
    "create_column": ("create_column", _column_created),
}


# developer.monday.com/api-reference/reference/webhooks
URL_LIMIT = 255


def check_subscription(world: World, board_id: int, url: str, event: str, config: Any) -> None:
    """Refuse what Monday refuses before it tries the address."""
    board = world.boards.get(board_id)
    if board is None or board.state != "active":
        raise api_errors.invalid_argument("Board not found", board_id=board_id)
    if event not in NAMES:
        raise api_errors.invalid_argument(f"The sandbox sends no {event}")
    if len(url) > URL_LIMIT or not _is_address(url):
        raise api_errors.invalid_argument(f"url must be an http address of at most {URL_LIMIT} characters")
    if config is not None and not isinstance(config, dict):
        raise api_errors.webhook_config_invalid()
    if event == "change_specific_column_value":
        column_id = (config or {}).get("columnId")
        if not isinstance(column_id, str) or board.column(column_id) is None:
            raise api_errors.webhook_config_invalid()


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # half an IPv6 address
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def subscribe(
    world: World, user_id: int, board_id: int, *, url: str, event: str, config: dict[str, Any] | None
) -> model.Hook:
    """Keep a subscription whose address answered the challenge."""
    with world.transaction():
        hook = model.Hook(world.next_id("hook"), board_id, url, event, config, user_id)
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


# Which subscription gets an event, by its event type and its config.


# Subscribes to the changes of one column.
SPECIFIC = "change_specific_column_value"

NAMES = (*EVENTS, SPECIFIC)


def wants(hook: model.Hook, happening: model.WorldEvent) -> bool:
    if hook.deleted or happening.kind not in EVENTS or hook.board_id != happening.board_id:
        return False
    if hook.event == happening.kind:
        return True
    if hook.event != SPECIFIC or happening.kind != "change_column_value" or happening.column is None:
        return False
    return (hook.config or {}).get("columnId") == happening.column.id
