"""Idempotency, faults, latency, and the log of calls."""

import json

from tests.sandbox.conftest import Simulator

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"


def test_only_json_changes_anything(simulator: Simulator, board: str) -> None:
    form = simulator.session.post(f"{simulator.url}/_control/reset", data="{}", timeout=5)
    assert form.status_code == 415
    form = simulator.session.post(
        f"{simulator.url}/_control/reset", data=json.dumps({}), headers={"Content-Type": "text/plain"}, timeout=5
    )
    assert form.status_code == 415
    assert len(simulator.read("boards")) == 1
