"""Idempotency, faults, latency, and the log of calls."""

import json

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Simulator, names
from tests.support.waiting import wait_for

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"


def test_the_same_key_gives_the_first_answer_again_and_creates_once(simulator: Simulator, board: str) -> None:
    first = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    again = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert again.content == first.content
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    other = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k1")
    assert other.content == first.content
    assert names(simulator) == ["Ada"]
    calls = simulator.read("calls")[-3:]
    assert [call["replayed"] for call in calls] == [False, True, True]
    assert [call["different_body"] for call in calls] == [False, False, True]


def test_a_key_is_forgotten_after_30_minutes(simulator: Simulator, board: str) -> None:
    simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    simulator.control("clock", {"offset_seconds": 1801})
    simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert names(simulator) == ["Ada", "Ada"]


@pytest.mark.parametrize(("when", "kept"), [("before", []), ("after", ["Ada"])])
def test_a_timeout_cuts_the_connection_before_or_after_the_mutation(
    simulator: Simulator, board: str, when: str, kept: list[str]
) -> None:
    simulator.control("faults", {"timeout": when, "count": 1})
    simulator.data("{ me { id } }")
    with pytest.raises(requests.ConnectionError):
        simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert names(simulator) == kept
    assert simulator.read("calls")[-1]["fault"] == f"timeout {when}"
    assert simulator.read("faults") == []
    retried = simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1")
    assert retried.headers.get("Idempotency-Replayed") == ("true" if when == "after" else None)
    assert names(simulator) == ["Ada"]


def test_a_timeout_can_hold_the_connection(live: Simulator) -> None:
    board = live.board({})
    live.control("faults", {"timeout": "after", "seconds": 30})
    body = {"query": CREATE, "variables": {"b": board, "n": "Ada"}}
    with requests.Session() as session, pytest.raises(requests.Timeout):
        session.post(f"{live.url}/v2", json=body, headers={"Authorization": TOKEN}, timeout=0.5)
    wait_for("it was carried out", lambda: names(live) == ["Ada"])
    wait_for("the sandbox saw that we left", lambda: live.read("calls")[-1]["fault"] == "timeout after")


def test_the_log_of_calls_tells_what_was_asked(simulator: Simulator, board: str) -> None:
    last = simulator.read("calls")[-1]["id"]
    answer = simulator.post(f"mutation Two {{ a: {_create(board)} b: {_create(board)} }}")
    (call,) = simulator.read(f"calls?since={last}")
    assert (call["kind"], call["operation"], call["status"]) == ("mutation", "Two", 200)
    assert (call["aliases"], call["fields"]) == (["a", "b"], ["create_item", "create_item"])
    assert call["complexity"] == 60_000
    assert call["request_id"] == answer.json()["extensions"]["request_id"]


def _create(board: str) -> str:
    return f'create_item(board_id: "{board}", item_name: "x") {{ id }}'


def test_only_json_changes_anything(simulator: Simulator, board: str) -> None:
    form = simulator.session.post(f"{simulator.url}/_control/reset", data="{}", timeout=5)
    assert form.status_code == 415
    form = simulator.session.post(
        f"{simulator.url}/_control/reset", data=json.dumps({}), headers={"Content-Type": "text/plain"}, timeout=5
    )
    assert form.status_code == 415
    assert len(simulator.read("boards")) == 1


def test_an_answer_is_packed_for_who_takes_it_and_when_it_is_worth_it(simulator: Simulator, board: str) -> None:
    for n in range(20):
        simulator.item(board, f"Person of a longer name {n}")
    document = "{ boards { items_page { items { id name } } } }"
    packed = simulator.post(document, Accept_Encoding="gzip")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert int(packed.headers["Content-Length"]) < len(packed.content)
    plain = simulator.post(document, Accept_Encoding="identity")
    assert "Content-Encoding" not in plain.headers
    assert plain.json()["data"] == packed.json()["data"]
    refused = simulator.post(document, Accept_Encoding="br, gzip;q=0")
    assert "Content-Encoding" not in refused.headers
    assert "Content-Encoding" not in simulator.post("{ me { id } }", Accept_Encoding="gzip").headers


def test_a_create_may_drop_the_values_of_one_type_of_column(simulator: Simulator) -> None:
    board = simulator.board({"role": "text", "notes": "long_text"})
    simulator.control("faults", {"drops": "long_text"})
    create = """mutation ($b: ID!, $v: JSON) { create_item(board_id: $b, item_name: "Ada", column_values: $v) {
        column_values { id text }
    } }"""
    values = json.dumps({"role": "Owner", "notes": "Gone"})
    for expected in ("", "Gone"):
        made = simulator.data(create, b=board, v=values)["create_item"]
        assert {one["id"]: one["text"] for one in made["column_values"]} == {"role": "Owner", "notes": expected}


def test_a_create_can_only_drop_a_type_of_column_that_there_is(simulator: Simulator) -> None:
    answer = simulator.session.post(f"{simulator.url}/_control/faults", json={"drops": "poem"}, timeout=5)
    assert answer.status_code == 400
