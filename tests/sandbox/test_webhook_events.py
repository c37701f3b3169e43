"""The events that NPD subscribes to: each is sent, with the fields and types of the published captures."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sync.monday.board_events import WEBHOOK_EVENTS
from tests.sandbox.conftest import Receiver, Simulator
from tests.sandbox.webhook_shapes import SHAPES, wrong

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


@pytest.mark.parametrize("event", WEBHOOK_EVENTS)
def test_each_event_has_its_published_shape(simulator: Simulator, board: str, receiver: Receiver, event: str) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    created = simulator.data('mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old") { id } }', b=board)
    assert simulator.subscribe(board, receiver.url, event)
    for act in ACTS[event]:
        where = {"board_id": board} if act["action"] == "add" else {"item_id": item}
        group = {"group_id": created["create_group"]["id"]} if act["action"] == "move" else {}
        simulator.control("actions", {"user_id": MAYA, **act, **where, **group})
    (sent,) = receiver.wait()
    kind, shape = SHAPES[event]
    assert (sent["type"], sent["userId"]) == (kind, MAYA)
    assert wrong(sent, shape) == []
    assert VALUES_OF.get(event, {}).items() <= sent.items()
    delivery = simulator.read("webhooks")["deliveries"][-1]
    assert (delivery["event"], delivery["type"]) == (event, kind)


def test_the_shapes_are_those_of_the_captures() -> None:
    """Runs where MONDAY_SCHEMA names Monday's own schema file; the captures stand beside it."""
    if not os.environ.get("MONDAY_SCHEMA"):
        pytest.skip("MONDAY_SCHEMA names no file: the shapes are compared with nothing")
    captures = json.loads((Path(os.environ["MONDAY_SCHEMA"]).parent / "webhook_payloads.json").read_text())
    compared = set()
    for title, capture in captures.items():
        for event in (name for name in title.split(" (")[0].split(" / ") if name in SHAPES):
            compared.add(event)
            kind, shape = SHAPES[event]
            body = capture.get("event") if "event" in capture else captures[capture["same_keys_as"]]["event"]
            # Captures of 2021 are older than isRetry.
            assert wrong({"isRetry": False, **body}, shape) == [], title
            assert (capture.get("type") or body["type"]) == kind
    assert compared
