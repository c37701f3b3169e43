"""Idempotency, faults, latency, and the log of calls."""

import json

import pytest
import requests

from tests.sandbox.conftest import Simulator, names

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"


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


def test_only_json_changes_anything(simulator: Simulator, board: str) -> None:
    form = simulator.session.post(f"{simulator.url}/_control/reset", data="{}", timeout=5)
    assert form.status_code == 415
    form = simulator.session.post(
        f"{simulator.url}/_control/reset", data=json.dumps({}), headers={"Content-Type": "text/plain"}, timeout=5
    )
    assert form.status_code == 415
    assert len(simulator.read("boards")) == 1


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
