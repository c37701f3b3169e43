"""The events that NPD subscribes to: each is sent, with the fields and types of the published captures."""

from typing import Any

import pytest

from sync.monday.board_events import WEBHOOK_EVENTS
from tests.sandbox.conftest import Receiver, Simulator

MAYA = 67210011
# What is done to an item, one act after the other; the last one sends the event.
ACTS: dict[str, list[dict[str, Any]]] = {
    "create_item": [{"action": "add", "name": "New"}],
    "change_column_value": [{"action": "edit", "column_id": "role", "text": "Head"}],
    "change_name": [{"action": "rename", "name": "Ada L"}],
    "item_archived": [{"action": "archive"}],
    "item_deleted": [{"action": "delete"}],
    "item_restored": [{"action": "archive"}, {"action": "restore"}],
    "item_moved_to_any_group": [{"action": "move"}],
}
VALUES_OF: dict[str, dict[str, Any]] = {
    "change_name": {"value": {"name": "Ada L"}, "previousValue": {"name": "Ada"}},
    "item_restored": {"value": {"state": 1, "is_undo": True}, "previousValue": {"state": 2}},
}


COMMON = {
    **dict.fromkeys(("app", "type", "triggerTime", "triggerUuid"), "str"),
    **dict.fromkeys(("subscriptionId", "userId"), "int"),
    "isRetry": "bool",
}
TRACED = {"originalTriggerUuid": "null", "boardId": "int"}
PULSE = {"groupId": "str", "pulseId": "int", "pulseName": "str"}
ITEM = {"itemId": "int", "itemName": "str"}
CREATED = PULSE | {"groupName": "str", "groupColor": "str", "isTopGroup": "bool", "columnValues": "object"}
CHANGED = {
    **PULSE,
    **dict.fromkeys(("columnId", "columnType", "columnTitle"), "str"),
    **dict.fromkeys(("value", "previousValue"), "null object"),
    "changedAt": "float",
    "isTopGroup": "bool",
}
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
    "item_restored": ("restore_pulse", COMMON | ITEM | RESTORED),
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


@pytest.mark.parametrize("event", WEBHOOK_EVENTS)
def test_each_event_has_its_published_shape(simulator: Simulator, board: str, receiver: Receiver, event: str) -> None:
    item = simulator.new_item(board, "Ada", role="Buyer")
    created = simulator.data('mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old") { id } }', b=board)
    assert simulator.subscribe(board, receiver.url, event)
    for act in ACTS[event]:
        where = {"board_id": board} if act["action"] == "add" else {"item_id": item}
        group = {"group_id": created["create_group"]["id"]} if act["action"] == "move" else {}
        simulator.control("actions", user_id=MAYA, **act, **where, **group)
    (sent,) = receiver.wait()
    kind, shape = SHAPES[event]
    assert (sent["type"], sent["userId"]) == (kind, MAYA)
    assert wrong(sent, shape) == []
    assert VALUES_OF.get(event, {}).items() <= sent.items()
    delivery = simulator.webhooks()["deliveries"][-1]
    assert (delivery["event"], delivery["type"]) == (event, kind)
