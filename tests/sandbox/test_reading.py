"""Filters, pages, cursors, activity logs, and the envelope around every answer."""

from typing import Any

import pytest

from tests.sandbox.conftest import TOKEN, Simulator

RULES = """query ($b: [ID!], $q: ItemsQuery) {
  boards(ids: $b) { items_page(limit: 500, query_params: $q) { cursor items { name } } } }"""
BY_VALUES = """query ($b: ID!, $c: [ItemsPageByColumnValuesQuery!]) {
  items_page_by_column_values(board_id: $b, limit: 100, columns: $c) { items { name } } }"""


@pytest.fixture
def filled(simulator: Simulator, board: str) -> str:
    simulator.item(board, "Ada", email={"email": "ada@b.test", "text": "Work"}, role="Buyer", amount="5",
                   phone="+12025550169 US", stage="Done")  # fmt: skip
    simulator.item(board, "Bo", email="bo@b.test", role="Head buyer", amount="12")
    simulator.item(board, "Cy")
    return board


def names(simulator: Simulator, board: str, column: str, operator: str, value: Any) -> list[str]:
    query = {"rules": [{"column_id": column, "operator": operator, "compare_value": value}]}
    page = simulator.data(RULES, b=[board], q=query)["boards"][0]["items_page"]
    return [item["name"] for item in page["items"]]


@pytest.mark.parametrize(
    ("column", "operator", "value", "found"),
    [
        ("email", "any_of", ["ada@b.test"], []),
        ("email", "any_of", ["Work"], ["Ada"]),
        ("email", "contains_text", ["ada@b.test"], ["Ada"]),
        ("email", "any_of", ["bo@b.test"], ["Bo"]),
        ("role", "contains_text", "buyer", ["Ada", "Bo"]),
        ("name", "contains_text", ["a"], ["Ada"]),
    ],
)
def test_rules_find_what_monday_finds(
    simulator: Simulator, filled: str, *, column: str, operator: str, value: Any, found: list[str]
) -> None:
    assert names(simulator, filled, column, operator, value) == found


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"role": ["BUYER"]}, ["Ada"]),
        ({"role": ["Buyer", "head buyer"]}, ["Ada", "Bo"]),
        ({"role": ["Buyer"], "name": ["Bo"]}, []),
        ({"email": ["ada@b.test"]}, []),
        ({"email": ["work"]}, ["Ada"]),
        ({"phone": ["2025550"]}, ["Ada"]),
        ({"role": [""]}, ["Cy"]),
        ({"name": ["cy"]}, ["Cy"]),
    ],
)
def test_columns_are_anded_and_their_values_ored(
    simulator: Simulator, filled: str, columns: dict[str, list[str]], found: list[str]
) -> None:
    asked = [{"column_id": key, "column_values": values} for key, values in columns.items()]
    page = simulator.data(BY_VALUES, b=filled, c=asked)["items_page_by_column_values"]
    assert [item["name"] for item in page["items"]] == found


def test_pages_follow_a_cursor_that_dies_an_hour_after_the_first(simulator: Simulator, board: str) -> None:
    rows = [{"name": f"Item {number}"} for number in range(7)]
    simulator.control("items", {"board_id": board, "items": rows, "webhooks": False})
    first = "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 3) { cursor items { name } } } }"
    later = "query ($c: String!) { next_items_page(cursor: $c, limit: 3) { cursor items { name } } }"
    page = simulator.data(first, b=[board])["boards"][0]["items_page"]
    seen = [item["name"] for item in page["items"]]
    simulator.control("clock", {"offset_seconds": 3000})
    page = simulator.data(later, c=page["cursor"])["next_items_page"]
    seen += [item["name"] for item in page["items"]]
    last = simulator.data(later, c=page["cursor"])["next_items_page"]
    assert last["cursor"] is None
    assert seen + [item["name"] for item in last["items"]] == [row["name"] for row in rows]
    simulator.control("clock", {"offset_seconds": 3700})
    error = simulator.refusal(later, c=page["cursor"])
    assert error["extensions"]["code"] == "CursorException"
    assert error["message"].startswith("CursorExpiredError")


def test_items_gives_25_unless_told_and_takes_100_ids_at_most(simulator: Simulator, board: str) -> None:
    rows = [{"name": f"Item {number}"} for number in range(101)]
    ids = simulator.control("items", {"board_id": board, "items": rows, "webhooks": False})
    document = "query ($i: [ID!], $l: Int) { items(ids: $i, limit: $l) { id } }"
    assert len(simulator.data("query ($i: [ID!]) { items(ids: $i) { id } }", i=ids[:60])["items"]) == 25
    assert [item["id"] for item in simulator.data(document, i=ids[:100], l=100)["items"]] == ids[:100]
    assert "100" in simulator.refusal(document, i=ids, l=100)["message"]
    assert "500" in simulator.refusal(
        "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 501) { cursor } } }", b=[board]
    )["message"]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"not json", "INVALID_GRAPHQL_REQUEST"),
        (b'{"variables": {}}', "INVALID_GRAPHQL_REQUEST"),
        (b'{"query": "{ me { id } }", "variables": "{}"}', "INVALID_GRAPHQL_REQUEST"),
        (b'{"query": "{ me { id }"}', "PARSING_ERROR"),
    ],
)
def test_a_document_that_cannot_run_is_refused_whole_with_400(simulator: Simulator, body: bytes, code: str) -> None:
    headers = {"Authorization": TOKEN, "Content-Type": "application/json"}
    answer = simulator.session.post(f"{simulator.url}/v2", data=body, headers=headers, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == code
    assert "data" not in answer.json()
