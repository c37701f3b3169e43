"""The fields of each webhook event and their JSON types, as published captures show them.

`MONDAY_SCHEMA` names Monday's schema; `webhook_payloads.json` beside it holds the captures themselves.
"""

from typing import Any

COMMON = {
    "app": "str", "type": "str", "triggerTime": "str", "subscriptionId": "int", "isRetry": "bool", "userId": "int",
    "triggerUuid": "str",
}  # fmt: skip
TRACED = {"originalTriggerUuid": "null", "boardId": "int"}
PULSE = {"groupId": "str", "pulseId": "int", "pulseName": "str"}
ITEM = {"itemId": "int", "itemName": "str"}
CREATED = PULSE | {"groupName": "str", "groupColor": "str", "isTopGroup": "bool", "columnValues": "object"}
CHANGED = PULSE | {
    "columnId": "str", "columnType": "str", "columnTitle": "str", "value": "null object",
    "previousValue": "null object", "changedAt": "float", "isTopGroup": "bool",
}  # fmt: skip
RENAMED = {"groupId": "str", "pulseId": "int", "value": "object", "previousValue": "object"}
MOVED = {"pulseId": "int", "sourceGroupId": "str", "destGroupId": "str", "destGroup": "object"}

RESTORED = {"boardId": "int", "value": "object", "previousValue": "object"}
# By what is subscribed to: the `type` that is sent, and its fields.
SHAPES: dict[str, tuple[str, dict[str, str]]] = {
    "create_item": ("create_pulse", COMMON | TRACED | CREATED),
    "change_column_value": ("update_column_value", COMMON | TRACED | CHANGED),
    "change_name": ("update_name", COMMON | TRACED | RENAMED),
    "item_archived": ("archive_pulse", COMMON | TRACED | ITEM),
    "item_deleted": ("delete_pulse", COMMON | TRACED | ITEM),
    "item_moved_to_any_group": ("move_pulse_into_group", COMMON | TRACED | MOVED),
    "item_restored": (
        "restore_pulse",
        COMMON | ITEM | {"boardId": "int", "value": "object", "previousValue": "object"},
    ),
}
TYPES = {str: "str", bool: "bool", int: "int", float: "float", dict: "object", list: "array", type(None): "null"}


def wrong(event: dict[str, Any], shape: dict[str, str]) -> list[str]:
    missing = [f"{key} is missing" for key in shape if key not in event]
    unknown = [f"{key} is not known" for key in event if key not in shape]
    typed = [
        f"{key} is {TYPES[type(event[key])]}, not {types}"
        for key, types in shape.items()
        if key in event and TYPES[type(event[key])] not in types.split()
    ]
    return missing + unknown + typed
