"""Filters, pages, and the version that answers, without what tests/setup/test_probe_command.py asks."""

import pytest

from tests.sandbox.conftest import Simulator

BY_VALUES = """query ($b: ID!, $c: [ItemsPageByColumnValuesQuery!]) {
  items_page_by_column_values(board_id: $b, limit: 100, columns: $c) { items { name } } }"""


@pytest.fixture
def filled(simulator: Simulator, board: str) -> str:
    simulator.new_item(board, "Ada", email={"email": "ada@b.test", "text": "Work"}, role="Buyer", amount="5",
                   phone="+12025550169 US", stage="Done")  # fmt: skip
    simulator.new_item(board, "Bo", email="bo@b.test", role="Head buyer", amount="12")
    simulator.new_item(board, "Cy")
    return board


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"role": ["BUYER"]}, ["Ada"]),
        ({"role": ["Buyer", "head buyer"]}, ["Ada", "Bo"]),
        ({"role": ["Buyer"], "name": ["Bo"]}, []),
        ({"email": ["ada@b.test"]}, []),
        ({"email": ["work"]}, ["Ada"]),
    ],
)
def test_columns_are_anded_and_their_values_ored(
    simulator: Simulator, filled: str, columns: dict[str, list[str]], expected: list[str]
) -> None:
    conditions = [{"column_id": key, "column_values": values} for key, values in columns.items()]
    page = simulator.data(BY_VALUES, b=filled, c=conditions)["items_page_by_column_values"]
    assert [item["name"] for item in page["items"]] == expected


def test_items_gives_25_unless_told_and_takes_100_ids_at_most(simulator: Simulator, board: str) -> None:
    rows = [{"name": f"Item {number}"} for number in range(101)]
    ids = simulator.control("items", board_id=board, items=rows)
    document = "query ($i: [ID!], $l: Int) { items(ids: $i, limit: $l) { id } }"
    assert len(simulator.data("query ($i: [ID!]) { items(ids: $i) { id } }", i=ids[:60])["items"]) == 25
    assert [item["id"] for item in simulator.data(document, i=ids[:100], l=100)["items"]] == ids[:100]
    (too_many,) = simulator.query(document, i=ids, l=100)["errors"]
    assert "100" in too_many["message"]
