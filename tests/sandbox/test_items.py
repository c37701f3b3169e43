"""Items: create, rename, change, move, archive, delete; and what each refusal says."""

import json

import pytest

from tests.sandbox.conftest import Simulator

STATES = "query ($i: [ID!], $x: Boolean) { items(ids: $i, limit: 100, exclude_nonactive: $x) { id state } }"
PAGE = "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 500) { items { id } } } }"


def page_ids(simulator: Simulator, board: str) -> list[str]:
    return [item["id"] for item in simulator.data(PAGE, b=[board])["boards"][0]["items_page"]["items"]]


@pytest.mark.parametrize("state", ["archived", "deleted"])
def test_an_item_that_is_gone_shows_by_its_id_with_its_state_and_never_in_a_page(
    simulator: Simulator, board: str, state: str
) -> None:
    item, other = simulator.item(board), simulator.item(board, "Bo")
    mutation = {"archived": "archive_item", "deleted": "delete_item"}[state]
    answer = simulator.data(f"mutation ($i: ID) {{ {mutation}(item_id: $i) {{ id state }} }}", i=item)
    assert answer[mutation] == {"id": item, "state": state}
    assert simulator.data(STATES, i=[item])["items"] == [{"id": item, "state": state}]
    assert simulator.data(STATES, i=[item, other], x=True)["items"] == [{"id": other, "state": "active"}]
    assert page_ids(simulator, board) == [other]


def test_an_item_goes_with_its_board(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    simulator.data("mutation ($b: ID!) { archive_board(board_id: $b) { id state } }", b=board)
    assert simulator.data(STATES, i=[item])["items"] == [{"id": item, "state": "archived"}]
    assert simulator.data("query ($b: [ID!]) { boards(ids: $b) { id } }", b=[board])["boards"] == []
    found = simulator.data("query ($b: [ID!]) { boards(ids: $b, state: all) { id state } }", b=[board])
    assert found["boards"] == [{"id": board, "state": "archived"}]


def test_aliased_mutations_run_in_order_and_what_succeeded_stays(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    answer = simulator.ask(
        "mutation ($b: ID!, $i: ID!, $one: JSON!, $bad: JSON!, $two: JSON!) {"
        " a: change_multiple_column_values(board_id: $b, item_id: $i, column_values: $one) { id }"
        " b: change_multiple_column_values(board_id: $b, item_id: $i, column_values: $bad) { id }"
        " c: change_multiple_column_values(board_id: $b, item_id: $i, column_values: $two) { id }"
        " complexity { query before after reset_in_x_seconds } }",
        b=board, i=item, one=json.dumps({"role": "one"}), bad=json.dumps({"email": "no"}),
        two=json.dumps({"role": "two"}),
    )  # fmt: skip
    assert answer["data"]["a"] == answer["data"]["c"] == {"id": item}
    assert answer["data"]["b"] is None
    assert [error["path"] for error in answer["errors"]] == [["b"]]
    assert simulator.cell(item, "role")["text"] == "two"
    complexity = answer["data"]["complexity"]
    assert complexity["query"] == 30_000
    assert complexity["after"] == complexity["before"] - 30_000
    assert 0 < complexity["reset_in_x_seconds"] <= 60


def test_the_key_name_renames_and_cannot_be_cleared(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    assert simulator.change(board, item, {"name": "Ada L"})["data"]["change_multiple_column_values"]["name"] == "Ada L"
    assert "errors" in simulator.change(board, item, {"name": ""})
    long = simulator.change(board, item, {"name": "x" * 256})["errors"][0]
    assert long["extensions"]["code"] == "ItemNameTooLongException"
    assert "errors" not in simulator.change(board, item, {"name": "x" * 255})


def test_writing_the_same_value_again_moves_nothing(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="Buyer", email="a@b.test")
    simulator.control("clock", {"offset_seconds": 90})
    before = simulator.data("query ($i: [ID!]) { items(ids: $i) { updated_at } }", i=[item])["items"][0]
    again = simulator.change(board, item, {"role": "Buyer", "email": {"email": "a@b.test", "text": "a@b.test"}})
    assert again["data"]["change_multiple_column_values"]["updated_at"] == before["updated_at"]
    changed = simulator.change(board, item, {"role": "Head"})["data"]["change_multiple_column_values"]
    assert changed["updated_at"] > before["updated_at"]


def test_columns_are_titled_anew_deleted_and_their_ids_never_used_again(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="x")
    simulator.data(
        'mutation ($b: ID!) { change_column_title(board_id: $b, column_id: "role", title: "Rôle") { id } }', b=board
    )
    titles = simulator.data('query ($b: [ID!]) { boards(ids: $b) { columns(ids: ["role"]) { title } } }', b=[board])
    assert titles["boards"][0]["columns"] == [{"title": "Rôle"}]
    simulator.data('mutation ($b: ID!) { delete_column(board_id: $b, column_id: "role") { archived } }', b=board)
    assert "errors" in simulator.change(board, item, {"role": "y"})
    again = 'mutation ($b: ID!) { create_column(board_id: $b, title: "R", id: "role", column_type: text) { id } }'
    assert "in use" in simulator.refusal(again, b=board)["message"]


def test_an_item_s_url_is_a_page_of_the_sandbox(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada Lovelace")
    url = simulator.data("query ($i: [ID!]) { items(ids: $i) { url } }", i=[item])["items"][0]["url"]
    assert url == f"{simulator.url}/board/{board}/pulses/{item}"
    assert "Ada Lovelace" in simulator.session.get(url, timeout=10).text
