"""Subitems, updates, copies, and moves between boards."""

from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Simulator

MAKE = """mutation ($p: ID!, $n: String!) { create_subitem(parent_item_id: $p, item_name: $n) {
  id board { id name type } parent_item { id } } }"""
BELOW = "query ($i: [ID!]) { items(ids: $i) { state subitems { id name state } updates { id text_body } } }"
LOGS = "query ($b: [ID!]) { boards(ids: $b) { activity_logs(limit: 100) { event data } } }"


def subitem(simulator: Simulator, parent: str, name: str = "part") -> dict[str, Any]:
    made: dict[str, Any] = simulator.data(MAKE, p=parent, n=name)["create_subitem"]
    return made


def below(simulator: Simulator, item: str) -> Any:
    return simulator.data(BELOW, i=[item])["items"][0]


def test_the_first_subitem_makes_a_board_of_its_own_and_a_column(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada")
    first, second = subitem(simulator, item), subitem(simulator, item, "other")
    assert first["board"] == second["board"]
    assert (first["board"]["type"], first["parent_item"]) == ("sub_items_board", {"id": item})
    found = simulator.data(
        "query ($b: [ID!]) { boards(ids: $b) { items_count columns(types: [subtasks]) { settings_str } } }",
        b=[board],
    )["boards"][0]
    assert found["items_count"] == 1
    assert first["board"]["id"] in found["columns"][0]["settings_str"]
    assert [one["name"] for one in below(simulator, item)["subitems"]] == ["part", "other"]
    value = simulator.data(
        "query ($i: [ID!]) { items(ids: $i) { column_values(types: [subtasks]) { text value"
        " ... on SubtasksValue { subitems_ids display_value } } } }",
        i=[item],
    )["items"][0]["column_values"][0]
    assert value["subitems_ids"] == [first["id"], second["id"]]
    assert (value["display_value"], value["value"]) == ("part, other", None)


def test_a_subitem_goes_and_comes_back_with_its_item(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    child = subitem(simulator, item)
    for action, state in (("archive", "archived"), ("restore", "active")):
        simulator.control("actions", {"action": action, "item_id": item})
        assert below(simulator, child["id"])["state"] == state
    error = simulator.refusal(MAKE, p=child["id"], n="grandchild")
    assert error["extensions"]["code"] == "InvalidArgumentException"


def test_webhooks_of_the_parent_s_board_hear_of_subitems(
    simulator: Simulator, board: str, receiver: Receiver
) -> None:
    events = ("create_subitem", "change_subitem_name", "change_subitem_column_value", "subitem_archived")
    for event in (*events, "create_item", "change_column_value", "item_archived", "move_subitem"):
        simulator.subscribe(board, receiver.url, event)
    item, other = simulator.item(board, "Ada"), simulator.item(board, "Bo")
    child = subitem(simulator, item)
    below_board = child["board"]["id"]
    refused = simulator.refusal(
        "mutation ($b: ID!, $u: String!) { create_webhook(board_id: $b, url: $u, event: create_item) { id } }",
        b=below_board,
        u=receiver.url,
    )
    assert refused["message"] == "Creating webhook on subitems board isn't allowed"
    simulator.change(below_board, child["id"], {"name": "whole", "status": {"label": "Done"}})
    simulator.control("actions", {"action": "move_subitem", "item_id": child["id"], "parent_id": other})
    simulator.data("mutation ($i: ID) { archive_item(item_id: $i) { id } }", i=child["id"])
    # Two items, and of the subitem: made, a cell, its name, moved, archived.
    got = [event["type"] for event in receiver.wait(7)]
    assert sorted(got) == sorted(
        ["create_pulse"] * 3 + ["update_column_value", "update_name", "move_subitem", "archive_pulse"]
    )
    assert [one["id"] for one in below(simulator, item)["subitems"]] == []
    rows = simulator.data(LOGS, b=[below_board])["boards"][0]["activity_logs"]
    assert "archive_pulse" in [row["event"] for row in rows]
    assert f'"parent_item_id": {other}' in rows[0]["data"]


def test_updates_are_written_answered_edited_and_taken_away(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    write = """mutation ($i: ID, $p: ID, $t: String!) { create_update(item_id: $i, parent_id: $p, body: $t) {
      id text_body creator { name } } }"""
    made = simulator.data(write, i=item, t="<p>Call &amp; ask</p>")["create_update"]
    assert (made["text_body"], made["creator"]["name"]) == ("Call & ask", "NPD Sync")
    simulator.data(write, p=made["id"], t="done")
    replies = simulator.data("query ($i: [ID!]) { updates(ids: $i) { replies { text_body } item { id } } }",
                             i=[made["id"]])  # fmt: skip
    assert replies["updates"] == [{"replies": [{"text_body": "done"}], "item": {"id": item}}]
    simulator.data('mutation ($u: ID!) { edit_update(id: $u, body: "Called") { id } }', u=made["id"])
    assert below(simulator, item)["updates"] == [{"id": made["id"], "text_body": "Called"}]
    simulator.data("mutation ($u: ID!) { delete_update(id: $u) { id } }", u=made["id"])
    assert below(simulator, item)["updates"] == []
    again = simulator.refusal("mutation ($u: ID!) { delete_update(id: $u) { id } }", u=made["id"])
    assert again["extensions"]["code"] == "ResourceNotFoundException"


def test_updates_reach_webhooks_with_their_text(simulator: Simulator, board: str, receiver: Receiver) -> None:
    for event in ("create_update", "edit_update", "delete_update", "create_subitem_update"):
        simulator.subscribe(board, receiver.url, event)
    item = simulator.item(board)
    child = subitem(simulator, item)["id"]
    for one in (item, child):
        simulator.control("actions", {"action": "create_update", "item_id": one, "body": "<b>Hi</b>"})
    first, second = sorted(receiver.wait(2), key=lambda event: event["pulseId"])
    assert (first["pulseId"], first["textBody"], first["replyId"]) == (int(item), "Hi", None)
    assert (second["pulseId"], second["parentItemId"]) == (int(child), item)


def test_a_copy_holds_every_cell_of_the_item_its_npd_id_too(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada", npd_id="an-id", email="a@b.test", stage={"label": "Done"})
    last = simulator.item(board, "Bo")
    subitem(simulator, item)
    made = simulator.data(
        "mutation ($b: ID!, $i: ID) { duplicate_item(board_id: $b, item_id: $i) { id name } }",
        b=board,
        i=item,
    )["duplicate_item"]
    assert made["name"] == "Ada (copy)"
    for column in ("npd_id", "email", "stage"):
        assert simulator.cell(made["id"], column)["value"] == simulator.cell(item, column)["value"]
    assert [one["name"] for one in below(simulator, made["id"])["subitems"]] == ["part"]
    page = simulator.data("query ($b: [ID!]) { boards(ids: $b) { items_page { items { id } } } }", b=[board])
    ids = [one["id"] for one in page["boards"][0]["items_page"]["items"]]
    assert ids == [item, made["id"], last]


def test_an_item_keeps_its_id_on_another_board_and_its_labels_by_their_words(
    simulator: Simulator, board: str
) -> None:
    other = simulator.board({"role": "text", "phase": "status"})
    item = simulator.item(board, "Ada", role="Buyer", stage={"label": "Brand new"}, amount="7")
    document = """mutation ($b: ID!, $i: ID!, $m: [ColumnMappingInput!]) { move_item_to_board(board_id: $b, item_id: $i,
      group_id: "topics", columns_mapping: $m) { id board { id } } }"""
    bad = [{"source": "stage", "target": "role"}]
    assert "different types" in simulator.refusal(document, b=other, i=item, m=bad)["message"]
    mapping = [{"source": "role", "target": "role"}, {"source": "stage", "target": "phase"},
               {"source": "amount", "target": None}]  # fmt: skip
    moved = simulator.data(document, b=other, i=item, m=mapping)["move_item_to_board"]
    assert moved == {"id": item, "board": {"id": other}}
    assert simulator.cell(item, "role")["text"] == "Buyer"
    assert simulator.cell(item, "phase")["label"] == "Brand new"
    (error,) = simulator.change(board, item, {"role": "x"})["errors"]
    assert error["message"] == "Item not found in board"
    counts = simulator.data("query ($b: [ID!]) { boards(ids: $b) { items_count } }", b=[board, other])
    assert [one["items_count"] for one in counts["boards"]] == [1, 0]  # newest board first


def test_without_a_mapping_columns_of_one_type_and_title_go_together(
    simulator: Simulator, board: str
) -> None:
    other = simulator.board({"amount": "numbers", "site": "text"})
    item = simulator.item(board, amount="7", site="https://b.test")
    simulator.control(
        "actions", {"action": "move_to_board", "item_id": item, "board_id": other, "group_id": "topics"}
    )
    assert (simulator.cell(item, "amount")["text"], simulator.cell(item, "site")["text"]) == ("7", "")


@pytest.mark.parametrize("document", [
    "mutation ($i: ID) { create_update(item_id: $i, body: \"x\") { id } }",
    "mutation ($b: ID!, $i: ID) { duplicate_item(board_id: $b, item_id: $i) { id } }",
    "mutation ($b: ID!, $i: ID!) { move_item_to_board(board_id: $b, item_id: $i, group_id: \"topics\") { id } }",
    "mutation ($i: ID!) { create_subitem(parent_item_id: $i, item_name: \"x\") { id } }",
])  # fmt: skip
def test_nothing_is_done_to_an_item_that_is_gone(simulator: Simulator, board: str, document: str) -> None:
    item = simulator.item(board)
    simulator.data("mutation ($i: ID) { delete_item(item_id: $i) { id } }", i=item)
    variables = {"i": item} | ({"b": board} if "$b" in document else {})
    assert (
        simulator.refusal(document, **variables)["message"] == "Cannot change column value for inactive items"
    )
