"""What makes no sense is refused in a sentence and leaves the sandbox as it was."""

import json
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Simulator

HALF = '"\\ud800"'


def post(simulator: Simulator, name: str, body: str) -> requests.Response:
    return simulator.session.post(
        f"{simulator.url}/_control/{name}",
        data=body.encode(),
        headers={"Content-Type": "application/json"},
        timeout=10,
    )


@pytest.mark.parametrize("seconds", ["1e300", "-1e300", "1e999", "NaN", "2e9", "null", "true", '"1"'])
def test_a_time_that_no_clock_shows_is_refused_before_it_is_kept(simulator: Simulator, seconds: str) -> None:
    simulator.control("clock", {"offset_seconds": 5})
    assert post(simulator, "clock", f'{{"offset_seconds":{seconds}}}').status_code == 400
    assert simulator.read("clock")["offset_seconds"] == 5
    assert simulator.board()


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("clock", "null"),
        ("latency", "null"),
        ("latency", "[1]"),
        ("latency", '{"call_ms": null}'),
        ("latency", '{"call_ms": 1e999}'),
        ("latency", '{"call_ms": 1e12}'),
        ("latency", '{"call_ms": -1}'),
        ("faults", "null"),
        ("faults", '{"timeout": "after", "seconds": "x"}'),
        ("faults", '{"timeout": "after", "seconds": 1e999}'),
        ("faults", '{"status": 429, "retry_after": "soon"}'),
        ("faults", '{"status": 429, "on": ["query"]}'),
        ("boards", "[]"),
        ("boards", '{"board_id": 1e999, "items_limit": 5}'),
        ("boards", '{"board_id": BOARD, "items_limit": 1e999}'),
        ("items", "7"),
        ("items", '{"board_id": 1e999, "items": []}'),
        ("items", '{"board_id": BOARD, "items": 5}'),
        ("items", '{"board_id": BOARD, "items": [{"name": 5}]}'),
        ("items", '{"board_id": BOARD, "items": [{}]}'),
        ("items", '{"board_id": BOARD, "items": [{"name": "A", "values": ["x"]}]}'),
        ("items", '{"board_id": BOARD, "items": [{"name": "A", "group_id": 5}]}'),
        ("items", '{"board_id": BOARD, "items": [{"name": "A", "values": {"unknown": "x"}}]}'),
        (
            "items",
            '{"board_id": BOARD, "items": [{"name": "A", "values": {"unknown": "x"}}], "webhooks": true}',
        ),
        ("items", f'{{"board_id": BOARD, "items": [{{"name": {HALF}}}]}}'),
        ("actions", "null"),
        ("actions", '{"action": ["x"]}'),
        ("actions", '{"action": {"x": 1}}'),
        ("actions", '{"action": "edit", "user_id": 1e999}'),
        ("actions", '{"action": "add", "board_id": BOARD, "name": "A", "values": [1]}'),
        ("actions", '{"action": "add", "board_id": BOARD, "name": "A", "group_id": ["x"]}'),
        ("actions", f'{{"action": "edit", "item_id": ITEM, "column_id": "role", "text": {HALF}}}'),
        ("actions", f'{{"action": "edit", "item_id": ITEM, "column_id": "role", "value": {HALF}}}'),
        ("actions", '{"action": "edit", "item_id": ITEM, "column_id": "kinds", "text": "²"}'),
        ("actions", '{"action": "edit", "item_id": ITEM, "column_id": "amount", "text": "1e999"}'),
        ("actions", '{"action": "edit", "item_id": ITEM, "column_id": "site", "text": "http://["}'),
        ("actions", '{"action": "edit", "item_id": ITEM, "column_id": "nowhere", "text": "x"}'),
        ("actions", "[" * 100_000),
        ("actions", "{"),
    ],
)
def test_nonsense_is_a_400_in_words_and_changes_nothing(simulator: Simulator, name: str, body: str) -> None:
    board = simulator.board()
    item = simulator.item(board)
    before = simulator.read("boards")
    if "²" in body:  # the label may be made; only a failure is not allowed
        assert post(simulator, name, body.replace("ITEM", item)).status_code == 200
        return
    answer = post(simulator, name, body.replace("BOARD", board).replace("ITEM", item))
    assert answer.status_code == 400, answer.text
    assert len(answer.json()["error"]) > 10
    assert simulator.read("boards") == before
    assert simulator.read("latency") == {"call_ms": 0.0, "mutation_ms": 0.0}
    assert simulator.read("faults") == []


@pytest.mark.parametrize("text", ["²", "x", "9" * 5000, ""])
def test_a_number_that_is_none_in_an_address_is_as_good_as_none(simulator: Simulator, text: str) -> None:
    board = simulator.board()
    for path in (f"/board/{board}?page={text}", f"/_control/calls?since={text}"):
        assert simulator.session.get(simulator.url + path, timeout=10).status_code == 200
    path = f"/board/{text or 'none'}"
    assert simulator.session.get(simulator.url + path, timeout=10).status_code == 404


@pytest.mark.parametrize("values", [{"role": "\ud800"}, {"role": "x" + "\udfff"}])
def test_half_a_character_is_refused_by_the_api_too(
    simulator: Simulator, board: str, values: dict[str, Any]
) -> None:
    item = simulator.item(board)
    before = simulator.read("boards")
    answer = simulator.change(board, item, values)
    assert answer["errors"]
    assert "failed" not in json.dumps(answer)
    assert simulator.read("boards") == before
