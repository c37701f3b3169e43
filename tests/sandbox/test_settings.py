"""Column settings, and what may be changed of columns, groups and boards."""

import json
from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

COLUMN = "query ($b: [ID!], $c: [String]) { boards(ids: $b) { columns(ids: $c) { %s } } }"
CREATE = """mutation ($b: ID!, $i: String, $t: ColumnType!, $d: JSON) {
  create_column(board_id: $b, title: "Stage", id: $i, column_type: $t, defaults: $d) { id settings settings_str } }"""


def column(simulator: Simulator, board: str, column_id: str, fields: str) -> Any:
    document = COLUMN % fields
    return simulator.data(document, b=[board], c=[column_id])["boards"][0]["columns"][0]


def test_labels_stand_in_the_settings_by_id_and_by_place(simulator: Simulator, board: str) -> None:
    made = simulator.data(CREATE, b=board, i="phase", t="status", d={"labels": {"7": "New", "2": "Old"}})
    labels = made["create_column"]["settings"]["labels"]
    assert [(one["id"], one["label"], one["index"]) for one in labels] == [(7, "New", 0), (2, "Old", 1)]
    assert json.loads(made["create_column"]["settings_str"])["labels"] == {"7": "New", "2": "Old"}
    item = simulator.item(board, phase={"index": 7})
    assert simulator.cell(item, "phase")["label"] == "New"


@pytest.mark.parametrize(
    "defaults",
    [
        {"labels": ["a", "b"]},
        {"settings": {"labels": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}},
        json.dumps({"labels": {"1": "a", "2": "b"}}),
    ],
)
def test_labels_of_a_dropdown_are_given_in_any_of_monday_s_forms(
    simulator: Simulator, board: str, defaults: Any
) -> None:
    made = simulator.data(CREATE, b=board, i="sorts", t="dropdown", d=defaults)["create_column"]
    assert [(one["id"], one["label"]) for one in made["settings"]["labels"]] == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    "labels", [{str(one): f"label {one}" for one in range(41)}, {"1": "x" * 31}, [{"label": 5, "index": 1}]]
)
def test_a_status_takes_40_labels_of_30_characters(simulator: Simulator, board: str, labels: Any) -> None:
    error = simulator.refusal(CREATE, b=board, i="phase", t="status", d={"labels": labels})
    assert error["extensions"]["code"] == "InvalidArgumentException"


def test_a_dropdown_may_take_one_label_at_most(simulator: Simulator, board: str) -> None:
    limits = {"labels": ["a", "b"], "limit_select": True, "label_limit_count": 1}
    simulator.data(CREATE, b=board, i="sorts", t="dropdown", d=limits)
    item = simulator.item(board, sorts={"labels": ["a", "a"]})
    assert simulator.cell(item, "sorts")["text"] == "a"
    (error,) = simulator.change(board, item, {"sorts": "a, b"})["errors"]
    assert "at most 1 of its labels" in error["message"]


@pytest.mark.parametrize("column_id", ["With-Dash", "digits1", "x" * 21, "role", "name"])
def test_a_column_id_is_short_plain_and_new(simulator: Simulator, board: str, column_id: str) -> None:
    error = simulator.refusal(CREATE, b=board, i=column_id, t="text", d=None)
    assert error["extensions"]["code"] == "InvalidArgumentException"


def test_a_number_shows_as_many_digits_as_its_column_says(simulator: Simulator, board: str) -> None:
    simulator.data(CREATE, b=board, i="price", t="numbers", d={"precision": 2})
    item = simulator.item(board, price="4.5")
    cell = simulator.cell(item, "price")
    assert (cell["text"], cell["value"], cell["number"]) == ("4.50", '"4.5"', 4.5)


def test_a_column_changes_only_from_the_revision_that_was_read(simulator: Simulator, board: str) -> None:
    document = """mutation ($b: ID!, $r: String!, $s: JSON) { update_column(board_id: $b, id: "stage", title: "Phase",
      column_type: status, revision: $r, settings: $s) { title revision } }"""
    before = column(simulator, board, "stage", "revision")["revision"]
    settings = {"labels": {"1": "Won", "5": ""}}
    done = simulator.data(document, b=board, r=before, s=settings)["update_column"]
    assert (done["title"], done["revision"] != before) == ("Phase", True)
    assert simulator.cell(simulator.item(board, stage={"index": 1}), "stage")["label"] == "Won"
    late = simulator.refusal(document, b=board, r=before, s=settings)
    assert late["extensions"]["code"] == "InvalidArgumentException"


def test_title_and_description_of_a_column_change_by_their_names(simulator: Simulator, board: str) -> None:
    document = """mutation ($b: ID!, $p: ColumnProperty, $v: String) {
      change_column_metadata(board_id: $b, column_id: "role", column_property: $p, value: $v) { id } }"""
    for name, value in (("title", "Rôle"), ("description", "What they do")):
        simulator.data(document, b=board, p=name, v=value)
    found = column(simulator, board, "role", "title description")
    assert found == {"title": "Rôle", "description": "What they do"}


def test_a_deleted_column_takes_its_values_with_it(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="Buyer", amount="1")
    simulator.data(
        'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "role") { archived } }', b=board
    )
    found = simulator.data("query ($i: [ID!]) { items(ids: $i) { column_values { id } } }", i=[item])
    assert "role" not in {value["id"] for value in found["items"][0]["column_values"]}
    types = simulator.data(
        "query ($b: [ID!]) { boards(ids: $b) { columns(types: [text]) { id } } }", b=[board]
    )
    assert [one["id"] for one in types["boards"][0]["columns"]] == ["npd_id"]


def test_a_board_is_renamed_archived_and_brought_back_by_a_person(simulator: Simulator, board: str) -> None:
    renamed = simulator.data(
        'mutation ($b: ID!) { update_board(board_id: $b, board_attribute: name, new_value: "People") }',
        b=board,
    )
    assert json.loads(renamed["update_board"])["success"] is True
    simulator.data("mutation ($b: ID!) { archive_board(board_id: $b) { id } }", b=board)
    refused = simulator.refusal(
        'mutation ($b: ID!) { create_item(board_id: $b, item_name: "x") { id } }', b=board
    )
    assert refused["extensions"]["code"] == "InvalidBoardIdException"
    simulator.control("boards", {"board_id": board, "state": "active"})
    found = simulator.data("query ($b: [ID!]) { boards(ids: $b) { name state } }", b=[board])
    assert found["boards"] == [{"name": "People", "state": "active"}]


def test_groups_are_renamed_recoloured_and_put_in_order(simulator: Simulator, board: str) -> None:
    make = "mutation ($b: ID!, $n: String!) { create_group(board_id: $b, group_name: $n) { id } }"
    ids = [simulator.data(make, b=board, n=name)["create_group"]["id"] for name in ("One", "Two")]
    change = """mutation ($b: ID!, $g: String!, $a: GroupAttributes!, $v: String!) {
      update_group(board_id: $b, group_id: $g, group_attribute: $a, new_value: $v) { title color } }"""
    done = simulator.data(change, b=board, g=ids[0], a="title", v="First")["update_group"]
    assert done["title"] == "First"
    simulator.data(change, b=board, g=ids[0], a="color", v="#037f4c")
    simulator.data(change, b=board, g=ids[0], a="relative_position_before", v=ids[1])
    found = simulator.data("query ($b: [ID!]) { boards(ids: $b) { groups { id title color } } }", b=[board])
    groups = found["boards"][0]["groups"]
    assert [one["title"] for one in groups] == ["First", "Two", "Group Title"]
    assert groups[0]["color"] == "#037f4c"


@pytest.mark.parametrize(("mutation", "state"), [("archive_group", "archived"), ("delete_group", "deleted")])
def test_a_group_goes_with_its_items_and_the_last_one_stays(
    simulator: Simulator, board: str, mutation: str, state: str
) -> None:
    kept = simulator.item(board, "kept")
    group = simulator.data(
        'mutation ($b: ID!) { create_group(board_id: $b, group_name: "Old") { id } }', b=board
    )["create_group"]["id"]
    gone = simulator.data(
        'mutation ($b: ID!, $g: String) { create_item(board_id: $b, group_id: $g, item_name: "gone") { id } }',
        b=board,
        g=group,
    )["create_item"]["id"]
    document = f"mutation ($b: ID!, $g: String!) {{ {mutation}(board_id: $b, group_id: $g) {{ id }} }}"
    simulator.data(document, b=board, g=group)
    states = "query ($i: [ID!]) { items(ids: $i) { id state } }"
    found = {one["id"]: one["state"] for one in simulator.data(states, i=[kept, gone])["items"]}
    assert found == {kept: "active", gone: state}
    error = simulator.refusal(document, b=board, g="topics")
    assert error["extensions"]["code"] == "DeleteLastGroupException"
    assert error["extensions"]["status_code"] == 409
