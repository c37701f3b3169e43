"""The events that NPD subscribes to: each is sent with the fields and types of the published captures."""

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


NUMBERS = {"subscriptionId", "userId", "boardId", "pulseId", "itemId"}
COMMON = {"app", "type", "triggerTime", "triggerUuid", "subscriptionId", "userId", "isRetry", "boardId"}
TRACED = COMMON | {"originalTriggerUuid"}
PULSE = TRACED | {"groupId", "pulseId", "pulseName"}
VALUES = {"value", "previousValue"}
# The `type` and the fields that are sent, by what is subscribed to.
SHAPES = {
    "create_item": ("create_pulse", PULSE | {"groupName", "groupColor", "isTopGroup", "columnValues"}),
    "change_column_value": (
        "update_column_value",
        PULSE | VALUES | {"columnId", "columnType", "columnTitle", "changedAt", "isTopGroup"},
    ),
    "change_name": ("update_name", TRACED | VALUES | {"groupId", "pulseId"}),
    "item_archived": ("archive_pulse", TRACED | {"itemId", "itemName"}),
    "item_deleted": ("delete_pulse", TRACED | {"itemId", "itemName"}),
    "item_moved_to_any_group": (
        "move_pulse_into_group",
        TRACED | {"pulseId", "sourceGroupId", "destGroupId", "destGroup"},
    ),
    "item_restored": ("restore_pulse", COMMON | VALUES | {"itemId", "itemName"}),
}


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
    assert set(sent) == shape
    assert all(type(sent[name]) is int for name in NUMBERS & shape)
    assert VALUES_OF.get(event, {}).items() <= sent.items()
    delivery = simulator.webhooks()["deliveries"][-1]
    assert (delivery["event"], delivery["type"]) == (event, kind)
