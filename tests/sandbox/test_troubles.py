"""Faults inside a request: limits, parts of a batch that fail, cursors, listings, slow answers."""

import threading
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Simulator, names, wait_until

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"
PAGE = "query ($b: [ID!]) { boards(ids: $b) { items_page(limit: 2) { cursor items { name } } } }"
NEXT = "query ($c: String!) { next_items_page(cursor: $c, limit: 2) { cursor items { name } } }"


def batch(board: str, count: int) -> str:
    aliases = (f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ name }}' for n in range(count))
    return f"mutation {{ {' '.join(aliases)} complexity {{ query }} }}"


def error(answer: requests.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()["errors"][0]
    return found


@pytest.mark.parametrize(
    ("limit", "code"),
    [
        ("complexity", "COMPLEXITY_BUDGET_EXHAUSTED"),
        ("minute", "MINUTE_RATE_LIMIT_EXCEEDED"),
        ("daily", "DAILY_LIMIT_EXCEEDED"),
        ("concurrency", "MAX_CONCURRENCY_EXCEEDED"),
        ("ip", "IP_RATE_LIMIT_EXCEEDED"),
    ],
)
def test_a_limit_is_met_when_asked_for(simulator: Simulator, board: str, limit: str, code: str) -> None:
    simulator.control("faults", [{"limit": limit, "retry_in": 9}, {"limit": limit, "retry_in": 9, "header": False}])
    simulator.control("faults", {"limit": limit})
    for header in ("9", None):
        refused = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
        assert refused.status_code == 429
        assert error(refused)["extensions"] == {"code": code, "retry_in_seconds": 9}
        assert refused.headers.get("Retry-After") == header
        assert "data" not in refused.json()
    assert int(simulator.post(CREATE, {"b": board, "n": "Ada"}).headers["Retry-After"]) >= 1  # its own
    carried_out = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert "Idempotency-Replayed" not in carried_out.headers
    assert names(simulator) == ["Ada"]


def test_the_changes_of_one_item_fail_until_there_are_no_more_faults(simulator: Simulator, board: str) -> None:
    ada, bob = (str(simulator.item(board, name)) for name in ("Ada", "Bob"))
    refused = {"every": 1, "code": "RecordInvalidException", "message": "It could not be saved"}
    simulator.control("faults", {"partial": refused, "naming": ada, "count": 1_000})
    rename = (
        "mutation ($b: ID!, $x: ID!, $y: ID!) {"
        ' x: change_simple_column_value(board_id: $b, item_id: $x, column_id: "name", value: "A") { name }'
        ' y: change_simple_column_value(board_id: $b, item_id: $y, column_id: "name", value: "B") { name } }'
    )
    for _ in range(2):
        answer = simulator.post(rename, {"b": board, "x": ada, "y": bob})
        assert (error(answer)["path"], error(answer)["message"]) == (["x"], "It could not be saved")
    assert names(simulator) == ["Ada", "B"]
    simulator.session.delete(f"{simulator.url}/_control/faults", timeout=5)
    assert "errors" not in simulator.post(rename, {"b": board, "x": ada, "y": bob}).json()
    assert names(simulator) == ["A", "B"]


def test_a_limit_can_hit_one_field_of_an_answer(simulator: Simulator, board: str) -> None:
    simulator.item(board)
    simulator.control("faults", {"limit": "field", "on": "column_values", "retry_in": 4})
    document = "{ boards { name items_page { items { name group { id } ... on Item { column_values { id } } } } } }"
    assert simulator.data("{ me { id } }")
    hit = simulator.post(document)
    assert hit.status_code == 200
    assert error(hit)["path"][-1] == "column_values"
    assert error(hit)["extensions"] == {
        "code": "FIELD_LIMIT_EXCEEDED",
        "status_code": 429,
        "retry_in_seconds": 4,
        "error_data": {"entity": "column_values"},
    }
    simulator.control("faults", {"limit": "subgraph", "on": "columns"})
    hit = simulator.post("{ boards { name columns { id } } }")
    assert hit.json()["data"] == {"boards": [{"name": "Contacts", "columns": None}]}
    assert error(hit)["extensions"] == {"code": "tooManyRequests", "status_code": 400, "service": "data-structure"}


@pytest.mark.parametrize("applied", [False, True])
def test_parts_of_a_batch_fail_and_the_others_stay(simulator: Simulator, board: str, applied: bool) -> None:
    wanted = {"aliases": ["r1", "r3"], "code": "InvalidItemIdException", "applied": applied}
    simulator.control("faults", {"partial": wanted})
    answer = simulator.ask(batch(board, 4))
    assert answer["data"] == {
        "r0": {"name": "x0"},
        "r1": None,
        "r2": {"name": "x2"},
        "r3": None,
        "complexity": {"query": 40_000},
    }
    assert [one["path"] for one in answer["errors"]] == [["r1"], ["r3"]]
    assert {one["extensions"]["code"] for one in answer["errors"]} == {"InvalidItemIdException"}
    assert names(simulator) == (["x0", "x1", "x2", "x3"] if applied else ["x0", "x2"])
    assert simulator.read("faults") == []
    assert simulator.read("calls")[-1]["fault"] == "partial failure"


def test_a_partial_failure_is_the_answer_that_its_key_repeats(simulator: Simulator, board: str) -> None:
    simulator.control("faults", {"partial": {"aliases": ["r0"]}})
    first = simulator.post(batch(board, 2), Idempotency_Key="k1")
    again = simulator.post(batch(board, 2), Idempotency_Key="k1")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.content == first.content
    assert names(simulator) == ["x1"]


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


@pytest.mark.parametrize(("listing", "shown"), [("empty", []), (0, []), (1, ["x0"])])
def test_a_listing_is_shorter_than_the_board(
    simulator: Simulator, board: str, listing: object, shown: list[str]
) -> None:
    for n in range(5):
        simulator.item(board, f"x{n}")
    simulator.control("faults", {"listing": listing})
    simulator.data("{ me { id } }")
    page = simulator.data(PAGE, b=[board])["boards"][0]["items_page"]
    assert ([one["name"] for one in page["items"]], page["cursor"]) == (shown, None)
    page = simulator.data(PAGE, b=[board])["boards"][0]["items_page"]
    assert len(page["items"]) == 2
    assert page["cursor"]


def test_a_slow_request_is_carried_out_after_its_client_left(live: Simulator) -> None:
    simulator, board = live, live.board({})
    simulator.control("faults", {"slow": 300})
    body = {"query": CREATE, "variables": {"b": board, "n": "Ada"}}
    headers = {"Authorization": TOKEN, "Idempotency-Key": "k1"}
    with requests.Session() as session, pytest.raises(requests.Timeout):
        session.post(f"{simulator.url}/v2", json=body, headers=headers, timeout=0.3)
    wait_until(lambda: simulator.read("plan")["used"]["concurrent"] == 1, "the request is inside")
    assert names(simulator) == []
    duplicate = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert duplicate.status_code == 409
    simulator.control("faults", method="DELETE", content={})
    wait_until(lambda: names(simulator) == ["Ada"], "the request goes on")


def test_so_many_requests_pass_before_a_fault(simulator: Simulator, board: str) -> None:
    simulator.control("faults", {"status": 500, "skip": 2, "on": "mutation"})
    simulator.data("{ me { id } }")
    answers = [simulator.post(CREATE, {"b": board, "n": f"x{n}"}) for n in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_stands_before_the_api_answers_with_a_page(simulator: Simulator, status: int) -> None:
    simulator.control("faults", {"status": status})
    answer = simulator.post("{ me { id } }")
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "text/html"
    assert answer.text.startswith("<html>")


def test_a_reset_lets_go_whoever_waits(simulator: Simulator) -> None:
    simulator.control("faults", {"slow": 60})
    answers: list[requests.Response] = []
    headers = {"Authorization": TOKEN}

    def ask() -> None:
        body = {"query": "{ me { id } }"}
        answers.append(simulator.session.post(f"{simulator.url}/v2", json=body, headers=headers))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: simulator.read("plan")["used"]["concurrent"] == 1, "the request waits")
    simulator.control("reset", {})
    thread.join()
    assert answers[0].ok


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
