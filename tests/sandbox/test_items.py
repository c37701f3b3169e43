"""Items: create, rename, change, move, archive, delete; and what each refusal says."""

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


def test_the_key_name_renames_and_cannot_be_cleared(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    assert simulator.change(board, item, {"name": "Ada L"})["data"]["change_multiple_column_values"]["name"] == "Ada L"
    assert "errors" in simulator.change(board, item, {"name": ""})
    long = simulator.change(board, item, {"name": "x" * 256})["errors"][0]
    assert long["extensions"]["code"] == "ItemNameTooLongException"
    assert "errors" not in simulator.change(board, item, {"name": "x" * 255})
