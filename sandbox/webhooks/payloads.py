"""What happened, in the words of Monday's webhooks.

The `type` inside a delivery is not the name that was subscribed to, archive, delete and restore name the item
`itemId`, and columns go by their old type names (developer.monday.com/api-reference/reference/webhooks and
published captures).
"""

import secrets
from datetime import UTC, datetime
from typing import Any

from sandbox.clock import milliseconds
from sandbox.events import Happening
from sandbox.model import Hook
from sandbox.people import ACCOUNT_ID

TYPES = {
    "create_item": "create_pulse",
    "change_column_value": "update_column_value",
    "change_name": "update_name",
    "item_archived": "archive_pulse",
    "item_deleted": "delete_pulse",
    "item_restored": "restore_pulse",
    "item_moved_to_any_group": "move_pulse_into_group",
    "create_column": "create_column",
}
STATES = {"active": 1, "archived": 2, "deleted": 3}


def wants(hook: Hook, happening: Happening) -> bool:
    """Whether this subscription hears of it."""
    if hook.deleted or hook.board_id != happening.board_id or happening.kind not in TYPES:
        return False
    if hook.event == happening.kind:
        return True
    config = hook.config or {}
    column = happening.column
    if happening.kind == "change_column_value" and column is not None:
        if hook.event == "change_specific_column_value":
            return bool(config.get("columnId") == column.id)
        return hook.event == "change_status_column_value" and _wants_status(config, happening)
    if happening.kind == "item_moved_to_any_group" and hook.event == "item_moved_to_specific_group":
        return happening.group is not None and config.get("groupId") == happening.group.id
    return False


def _wants_status(config: dict[str, Any], happening: Happening) -> bool:
    if happening.column is None or happening.column.type != "status":
        return False
    if config.get("columnId") not in (None, happening.column.id):
        return False
    asked = config.get("columnValue") or {"$any$": True}
    if asked.get("$any$"):
        return True
    return happening.value is not None and happening.value["label"]["index"] == asked.get("index")


def body(hook: Hook, happening: Happening) -> dict[str, Any]:
    """The delivery's JSON."""
    moment = datetime.fromtimestamp(happening.seconds, UTC)
    event = {
        "app": "monday",
        "type": TYPES[happening.kind],
        "triggerTime": milliseconds(moment),
        "subscriptionId": hook.id,
        "isRetry": False,
        "userId": happening.user_id,
        "originalTriggerUuid": None,
        "boardId": happening.board_id,
        **DETAILS[happening.kind](happening),
        "triggerUuid": secrets.token_hex(16),
    }
    if happening.kind in ("item_restored", "create_column"):
        del event["originalTriggerUuid"]
    return {"event": event}


def _pulse(happening: Happening, named: bool = True) -> dict[str, Any]:
    item, group = happening.item, happening.group
    assert item is not None
    assert group is not None
    about: dict[str, Any] = {"groupId": group.id, "pulseId": item.id}
    return about | {"pulseName": happening.item_name} if named else about


def _item(happening: Happening) -> dict[str, Any]:
    assert happening.item is not None
    return {"itemId": happening.item.id, "itemName": happening.item_name}


def _created(happening: Happening) -> dict[str, Any]:
    assert happening.group is not None
    return {
        **_pulse(happening),
        "groupName": happening.group.title,
        "groupColor": happening.group.color,
        "isTopGroup": happening.is_top_group,
        "columnValues": happening.column_values,
    }


def _column_changed(happening: Happening) -> dict[str, Any]:
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


def _renamed(happening: Happening) -> dict[str, Any]:
    return {
        **_pulse(happening, named=False),
        "isTopGroup": happening.is_top_group,
        "value": happening.value,
        "previousValue": happening.previous,
    }


def _restored(happening: Happening) -> dict[str, Any]:
    return {
        **_item(happening),
        "value": {"state": STATES["active"], "is_undo": True},
        "previousValue": {"state": STATES[happening.previous]},
    }


def _moved(happening: Happening) -> dict[str, Any]:
    group, item = happening.group, happening.item
    assert item is not None
    assert group is not None
    dest = {
        "id": group.id,
        "title": group.title,
        "color": group.color,
        "is_top_group": happening.is_top_group,
    }
    return {
        "pulseId": item.id,
        "sourceGroupId": happening.source_group_id,
        "destGroupId": group.id,
        "destGroup": dest,
    }


def _column_created(happening: Happening) -> dict[str, Any]:
    assert happening.column is not None
    return {
        "accountId": ACCOUNT_ID,
        "entity": "board",
        "columnId": happening.column.id,
        "columnTitle": happening.column.title,
        "columnType": happening.column_type,
        "createdAt": happening.seconds,
        "retryCount": 0,
    }


DETAILS = {
    "create_item": _created,
    "change_column_value": _column_changed,
    "change_name": _renamed,
    "item_archived": _item,
    "item_deleted": _item,
    "item_restored": _restored,
    "item_moved_to_any_group": _moved,
    "create_column": _column_created,
}
