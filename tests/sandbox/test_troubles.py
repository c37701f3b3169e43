"""Faults inside a request: limits, parts of a batch that fail, cursors, listings, slow answers."""

from typing import Any

import requests

from tests.sandbox.conftest import Simulator

PAGE = "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 2) { cursor items { name } } } }"
NEXT = "query ($c: String!) { next_items_page(cursor: $c, limit: 2) { cursor items { name } } }"


def batch(board: str, count: int) -> str:
    aliases = (f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ name }}' for n in range(count))
    return f"mutation {{ {' '.join(aliases)} complexity {{ query }} }}"


def error(answer: requests.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["errors"][0]
    return found


def test_the_next_cursor_is_too_old(simulator: Simulator, board: str) -> None:
    for n in range(5):
        simulator.item(board, f"x{n}")
    simulator.control("faults", {"cursor": "expired"})
    cursor = simulator.data(PAGE, b=[board])["boards"][0]["items_page"]["cursor"]
    refused = simulator.post(NEXT, {"c": cursor})
    assert refused.status_code == 200
    assert error(refused)["extensions"]["code"] == "CursorException"
    assert "CursorExpiredError" in error(refused)["message"]
    assert [one["name"] for one in simulator.data(NEXT, c=cursor)["next_items_page"]["items"]] == ["x2", "x3"]


def test_a_read_lags_behind_the_api_s_own_writes(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    values = 'items { name column_values(ids: ["role"]) { text } }'
    page = f"query ($b: [ID!], $l: Boolean) {{ boards(ids: $b, latest: $l) {{ items_page {{ {values} }} }} }}"

    def shown(latest: bool = False) -> list[tuple[str, str]]:
        found = simulator.data(page, b=[board], l=latest)["boards"][0]["items_page"]["items"]
        return [(one["name"], one["column_values"][0]["text"]) for one in found]

    simulator.control("faults", {"stale": 30, "count": 4})
    simulator.change(board, item, {"role": "Seller", "name": "Ada L"})
    simulator.change(board, item, {"role": "Owner"})
    simulator.item(board, "Bo", role="New")
    now = [("Ada L", "Owner"), ("Bo", "New")]
    assert shown() == [("Ada", "Buyer")]
    by_id = simulator.data("query ($i: [ID!]) { items(ids: $i) { name } }", i=[item])
    assert by_id["items"] == [{"name": "Ada"}]
    assert shown(latest=True) == now
    simulator.control("clock", {"offset_seconds": 31})
    assert shown() == now
    assert simulator.read("faults") == []
