"""All 21 events that can be subscribed to: each is sent, with the fields and types of the published captures."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLEnumType, build_schema

from tests.sandbox.conftest import ROOT, Receiver, Simulator
from tests.sandbox.webhook_shapes import SHAPES, wrong

MAYA = 67210011
Step = Callable[["Ground"], Any]


class Ground:
    """A board with two groups, an item and a subitem, and what is done there."""

    def __init__(self, simulator: Simulator, board: str) -> None:
        self.simulator, self.board = simulator, board
        self.group = simulator.data(
            'mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old", relative_to: "topics") { id } }',
            b=board,
        )["create_group"]["id"]
        self.item = simulator.item(board, "Ada", role="Buyer")
        self.other = simulator.item(board, "Bo")
        self.subitem = self.act("add_subitem", item_id=self.item, name="Part")["id"]
        self.subitems_board = next(
            one["id"]
            for one in simulator.read("boards")
            if any(i["id"] == self.subitem for i in one["items"])
        )
        made = simulator.data(
            'mutation ($b: ID!) { create_column(board_id: $b, title: "Kind", id: "kind", column_type: text)'
            " { id } }",
            b=self.subitems_board,
        )
        assert made
        self.update = simulator.data(
            'mutation ($i: ID) { create_update(item_id: $i, body: "<p>first</p>") { id } }', i=self.item
        )["create_update"]["id"]

    def act(self, action: str, **more: Any) -> Any:
        return self.simulator.control("actions", {"action": action, "user_id": MAYA, **more})

    def new_column(self) -> None:
        self.simulator.data(
            'mutation ($b: ID!) { create_column(board_id: $b, title: "More", column_type: numbers) { id } }',
            b=self.board,
        )


STEPS: dict[str, Step] = {
    "create_item": lambda on: on.act("add", board_id=on.board, name="New"),
    "change_column_value": lambda on: on.act("edit", item_id=on.item, column_id="role", text="Head"),
    "change_status_column_value": lambda on: on.act("edit", item_id=on.item, column_id="stage", text="Done"),
    "change_specific_column_value": lambda on: on.act(
        "edit", item_id=on.item, column_id="email", text="a@b.test"
    ),
    "change_name": lambda on: on.act("rename", item_id=on.item, name="Ada L"),
    "item_archived": lambda on: on.act("archive", item_id=on.other),
    "item_deleted": lambda on: on.act("delete", item_id=on.other),
    "item_restored": lambda on: (on.act("archive", item_id=on.other), on.act("restore", item_id=on.other)),
    "item_moved_to_any_group": lambda on: on.act("move", item_id=on.item, group_id=on.group),
    "item_moved_to_specific_group": lambda on: on.act("move", item_id=on.item, group_id=on.group),
    "create_update": lambda on: on.act("create_update", item_id=on.item, body="<p>more</p>"),
    "edit_update": lambda on: on.act("edit_update", update_id=on.update, body="<p>other</p>"),
    "delete_update": lambda on: on.act("delete_update", update_id=on.update),
    "create_column": lambda on: on.new_column(),
    "create_subitem": lambda on: on.act("add_subitem", item_id=on.item, name="Second"),
    "change_subitem_column_value": lambda on: on.act("edit", item_id=on.subitem, column_id="kind", text="x"),
    "change_subitem_name": lambda on: on.act("rename", item_id=on.subitem, name="Piece"),
    "create_subitem_update": lambda on: on.act("create_update", item_id=on.subitem, body="<p>below</p>"),
    "subitem_archived": lambda on: on.act("archive", item_id=on.subitem),
    "subitem_deleted": lambda on: on.act("delete", item_id=on.subitem),
    "move_subitem": lambda on: on.act("move_subitem", item_id=on.subitem, parent_id=on.other),
}
CONFIGS: dict[str, Callable[[Ground], dict[str, Any]]] = {
    "change_specific_column_value": lambda on: {"columnId": "email"},
    "change_status_column_value": lambda on: {"columnId": "stage", "columnValue": {"index": 1}},
    "item_moved_to_specific_group": lambda on: {"groupId": on.group},
}


@pytest.fixture
def ground(simulator: Simulator, board: str) -> Ground:
    return Ground(simulator, board)


@pytest.mark.parametrize("event", SHAPES)
def test_each_event_is_sent_in_its_published_shape(ground: Ground, receiver: Receiver, event: str) -> None:
    config = json.dumps(CONFIGS[event](ground)) if event in CONFIGS else None
    assert ground.simulator.subscribe(ground.board, receiver.url, event, config)
    STEPS[event](ground)
    (sent,) = receiver.wait()
    kind, shape = SHAPES[event]
    assert sent["type"] == kind
    assert wrong(sent, shape) == []
    assert sent["userId"] in (MAYA, 67210000)
    delivery = ground.simulator.read("webhooks")["deliveries"][-1]
    assert (delivery["event"], delivery["type"]) == (event, kind)


def test_the_schema_lets_one_subscribe_to_exactly_these_events() -> None:
    schema = build_schema((ROOT / "sandbox" / "schema.graphql").read_text(encoding="utf-8"))
    kind = schema.type_map["WebhookEventType"]
    assert isinstance(kind, GraphQLEnumType)
    assert set(kind.values) == set(SHAPES) == set(STEPS)


def test_the_shapes_are_those_of_the_captures() -> None:
    """Runs where MONDAY_SCHEMA names Monday's own schema file; the captures stand beside it."""
    if not os.environ.get("MONDAY_SCHEMA"):
        pytest.skip("MONDAY_SCHEMA names no file: the shapes are compared with nothing")
    captures = json.loads((Path(os.environ["MONDAY_SCHEMA"]).parent / "webhook_payloads.json").read_text())
    seen = set()
    for title, capture in captures.items():
        for event in (name for name in title.split(" (")[0].split(" / ") if name in SHAPES):
            seen.add(event)
            kind, shape = SHAPES[event]
            body = capture.get("event") if "event" in capture else captures[capture["same_keys_as"]]["event"]
            # Captures of 2021 are older than isRetry.
            assert wrong({"isRetry": False, **body}, shape) == [], title
            assert (capture.get("type") or body["type"]) == kind
    assert len(seen) == 14


def test_a_subitems_event_names_its_parent_and_goes_to_who_subscribed_to_the_parents_board(
    ground: Ground, receiver: Receiver
) -> None:
    for event in ("change_column_value", "change_subitem_column_value", "create_item"):
        assert ground.simulator.subscribe(ground.board, receiver.url, event)
    ground.act("edit", item_id=ground.subitem, column_id="kind", text="screw")
    ground.act("edit", item_id=ground.item, column_id="role", text="Head")
    sent = {event["pulseId"]: event for event in receiver.wait(2)}
    below = sent[int(ground.subitem)]
    assert (below["parentItemId"], below["parentItemBoardId"]) == (ground.item, ground.board)
    assert below["boardId"] == int(ground.subitems_board)
    assert "parentItemId" not in sent[int(ground.item)]
    assert len(receiver.got) == 2


def test_only_the_label_and_the_group_that_were_asked_for_are_told(
    ground: Ground, receiver: Receiver
) -> None:
    for event in ("change_status_column_value", "item_moved_to_specific_group"):
        assert ground.simulator.subscribe(
            ground.board, receiver.url, event, json.dumps(CONFIGS[event](ground))
        )
    for label in ("Stuck", "Done"):
        ground.act("edit", item_id=ground.item, column_id="stage", text=label)
    ground.act("move", item_id=ground.item, group_id=ground.group)
    ground.act("move", item_id=ground.item, group_id="topics")
    sent = receiver.wait(2)
    assert sorted(event["type"] for event in sent) == ["move_pulse_into_group", "update_column_value"]
    assert next(e for e in sent if "value" in e)["value"]["label"]["text"] == "Done"
    assert len(ground.simulator.read("webhooks")["deliveries"]) == 2


@pytest.mark.parametrize(
    ("event", "config"),
    [
        ("change_specific_column_value", None),
        ("change_specific_column_value", '{"columnId": "none"}'),
        ("item_moved_to_specific_group", '{"groupId": "none"}'),
    ],
)
def test_a_subscription_that_could_never_hear_anything_is_refused(
    simulator: Simulator, board: str, receiver: Receiver, event: str, config: str | None
) -> None:
    error = simulator.refusal(
        "mutation ($b: ID!, $u: String!, $e: WebhookEventType!, $c: JSON) {"
        " create_webhook(board_id: $b, url: $u, event: $e, config: $c) { id } }",
        b=board, u=receiver.url, e=event, c=config,
    )  # fmt: skip
    assert error["extensions"]["code"] == "InvalidArgumentException"
