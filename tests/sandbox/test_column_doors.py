"""What a person does to columns: delete, undo that, hide, change the type."""

from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

VALUES = "query ($i: [ID!]) { items(ids: $i) { column_values { id type text } } }"
COLUMNS = "query ($b: [ID!]) { boards(ids: $b) { columns { id type } } }"


def values(simulator: Simulator, item: str) -> dict[str, tuple[str, str]]:
    (found,) = simulator.data(VALUES, i=[item])["items"]
    return {one["id"]: (one["type"], one["text"]) for one in found["column_values"]}


def columns(simulator: Simulator, board: str) -> set[str]:
    return {one["id"] for one in simulator.data(COLUMNS, b=[board])["boards"][0]["columns"]}


def change(simulator: Simulator, board: str, column_id: str, action: str, **more: Any) -> None:
    simulator.control("columns", {"board_id": board, "column_id": column_id, "action": action} | more)


def test_a_deleted_column_comes_back_with_its_values(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="Buyer")
    change(simulator, board, "role", "delete")
    assert "role" not in values(simulator, item)
    assert "role" not in columns(simulator, board)
    change(simulator, board, "role", "restore")
    assert values(simulator, item)["role"] == ("text", "Buyer")


def test_a_column_of_another_type_is_empty_until_it_is_changed_back(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="Buyer")
    change(simulator, board, "role", "retype", type="numbers")
    assert values(simulator, item)["role"] == ("numbers", "")
    change(simulator, board, "role", "retype", type="text")
    assert values(simulator, item)["role"] == ("text", "Buyer")


@pytest.mark.parametrize(
    ("wrong", "words"), [({"action": "paint"}, "action is one of"), ({"column_id": "none"}, "no such column")]
)
def test_what_makes_no_sense_is_refused(simulator: Simulator, board: str, wrong: dict[str, str], words: str) -> None:
    asked = {"board_id": board, "column_id": "role", "action": "hide"} | wrong
    response = simulator.session.post(f"{simulator.url}/_control/columns", json=asked, timeout=10)
    assert (response.status_code, words in response.text) == (400, True)
