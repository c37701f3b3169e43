"""Monday's published limits: who is refused, with what body, and what it costs."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import Simulator

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"
ME = "{ me { id } }"


@pytest.fixture
def limited(simulator: Simulator) -> Callable[..., Any]:
    """Set a plan, with limits of the test's own in place of the plan's; the figures are told at once.

    It is noon, so that no test meets the end of the day by chance.
    """
    now = datetime.fromisoformat(simulator.control("clock", "GET")["now"])
    noon = now.replace(hour=12, minute=0, second=0)
    simulator.control("clock", offset_seconds=(noon - now).total_seconds())

    def limit(plan: str | None = "pro", **limits: int) -> Any:
        return simulator.control("plan", plan=plan, used=0, lag=0, **limits)

    return limit


def pass_time(simulator: Simulator, seconds: float) -> None:
    before = simulator.control("clock", "GET")["offset_seconds"]
    simulator.control("clock", offset_seconds=before + seconds)


def code(answer: requests.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


def test_a_refused_call_counts_a_tenth_of_the_day(simulator: Simulator, limited: Callable[..., Any]) -> None:
    limited(day=3)
    assert [simulator.post(ME).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert simulator.control("plan", "GET")["used"]["day"] == pytest.approx(3.2)
    refused = simulator.post(ME)
    assert code(refused) == "DAILY_LIMIT_EXCEEDED"
    wait = int(refused.headers["Retry-After"])
    now = datetime.fromisoformat(simulator.control("clock", "GET")["now"])
    seconds = now.hour * 3600 + now.minute * 60 + now.second
    assert abs(86_400 - seconds - wait) <= 2
    pass_time(simulator, wait)
    assert simulator.post(ME).ok
    assert simulator.control("plan", "GET")["used"]["day"] == 1


@pytest.mark.parametrize("limit", [{"minute": 1}, {"day": 1}, {"points": 30_000}])
def test_a_refused_mutation_did_nothing_and_its_key_is_free(
    simulator: Simulator, board: str, limited: Callable[..., Any], limit: dict[str, int]
) -> None:
    limited(**limit)
    assert simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1").ok
    refused = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert refused.status_code == 429
    assert [item["name"] for item in simulator.items()] == ["Ada"]
    limited(None)
    carried_out = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert "Idempotency-Replayed" not in carried_out.headers
    assert [item["name"] for item in simulator.items()] == ["Ada", "Bo"]
