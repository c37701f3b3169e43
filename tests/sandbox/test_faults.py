"""Idempotency, faults, latency, and the log of calls."""

import json
from typing import Any

import requests

from tests.sandbox.conftest import Simulator


def test_only_json_changes_anything(simulator: Simulator, board: str) -> None:
    form = simulator.session.post(f"{simulator.url}/_control/reset", data="{}", timeout=5)
    assert form.status_code == 415
    form = simulator.session.post(
        f"{simulator.url}/_control/reset", data=json.dumps({}), headers={"Content-Type": "text/plain"}, timeout=5
    )
    assert form.status_code == 415
    assert len(simulator.read("boards")) == 1


CHANGE = (
    "mutation ($b: ID!, $i: ID!, $v: JSON!) {"
    " change_multiple_column_values(board_id: $b, item_id: $i, column_values: $v) { id name } }"
)


def values_of(simulator: Simulator, item: str) -> dict[str, str]:
    row = next(each for board in simulator.read("boards") for each in board["items"] if each["id"] == item)
    return row["values"] | {"name": row["name"]}


def test_a_closed_column_or_item_may_be_read_and_not_edited(simulator: Simulator, board: str) -> None:
    ada, bo = simulator.item(board, "Ada", role="Boss"), simulator.item(board, "Bo")
    simulator.control("faults", {"closed": {"columns": ["role"], "items": [bo]}})
    for item, values in ((ada, {"role": "Chair"}), (bo, {"notes": "New"})):
        error = simulator.refusal(CHANGE, b=board, i=item, v=json.dumps(values))
        assert error["extensions"]["code"] == "UserUnauthorizedException"
    simulator.data(CHANGE, b=board, i=ada, v=json.dumps({"notes": "New"}))
    assert (values_of(simulator, ada)["role"], values_of(simulator, ada)["notes"]) == ("Boss", "New")
    assert simulator.data("query ($i: [ID!]) { items(ids: $i) { name } }", i=[bo])["items"] == [{"name": "Bo"}]
    simulator.control("faults", method="DELETE")
    simulator.data(CHANGE, b=board, i=bo, v=json.dumps({"role": "Chair"}))


def test_texts_are_stored_in_another_form_until_that_ends(simulator: Simulator, board: str) -> None:
    simulator.control("faults", {"alters": "folded", "columns": ["role", "notes"]})
    ada = simulator.item(board, "Ada  Lee", role="Head  of sales", notes={"text": "a  b"}, npd_id="x  y")
    stored = values_of(simulator, ada)
    assert [stored[key] for key in ("name", "role", "notes", "npd_id")] == ["Ada  Lee", "Head of sales", "a b", "x  y"]
    simulator.control("faults", method="DELETE")
    simulator.control("faults", {"alters": "tags closed"})
    simulator.data(CHANGE, b=board, i=ada, v=json.dumps({"role": "<b>Head", "name": "<i><b>Ada</b>"}))
    stored = values_of(simulator, ada)
    assert (stored["role"], stored["name"]) == ("<b>Head</b>", "<i><b>Ada</b></i>")


PAGE = "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 2) { cursor items { name } } } }"
NEXT = "query ($c: String!) { next_items_page(cursor: $c, limit: 2) { cursor items { name } } }"


def error(answer: requests.Response) -> dict[str, Any]:
    return answer.json()["errors"][0]


def test_the_next_cursor_is_too_old(simulator: Simulator, board: str) -> None:
    for n in range(5):
        simulator.item(board, f"x{n}")
    simulator.control("faults", {"cursor": "expired"})
    cursor = simulator.data(PAGE, b=[board])["boards"][0]["items_page"]["cursor"]
    refused = simulator.post(NEXT, {"c": cursor})
    assert refused.status_code == 200
    assert error(refused)["extensions"]["code"] == "CursorException"
    assert "CursorExpiredError" in error(refused)["message"]
    assert [row["name"] for row in simulator.data(NEXT, c=cursor)["next_items_page"]["items"]] == ["x2", "x3"]


def test_a_read_lags_behind_the_api_s_own_writes(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, "Ada", role="Buyer")
    values = 'items { name column_values(ids: ["role"]) { text } }'
    page = f"query ($b: [ID!], $l: Boolean) {{ boards(ids: $b, latest: $l) {{ items_page {{ {values} }} }} }}"

    def names_and_roles(latest: bool = False) -> list[tuple[str, str]]:
        rows = simulator.data(page, b=[board], l=latest)["boards"][0]["items_page"]["items"]
        return [(row["name"], row["column_values"][0]["text"]) for row in rows]

    simulator.control("faults", {"stale": 30, "count": 4})
    simulator.change(board, item, {"role": "Seller", "name": "Ada L"})
    simulator.change(board, item, {"role": "Owner"})
    simulator.item(board, "Bo", role="New")
    now = [("Ada L", "Owner"), ("Bo", "New")]
    assert names_and_roles() == [("Ada", "Buyer")]
    by_id = simulator.data("query ($i: [ID!]) { items(ids: $i) { name } }", i=[item])
    assert by_id["items"] == [{"name": "Ada"}]
    assert names_and_roles(latest=True) == now
    simulator.control("clock", {"offset_seconds": 31})
    assert names_and_roles() == now
    assert simulator.read("faults") == []
