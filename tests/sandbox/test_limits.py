"""Monday's published limits: who is refused, with what body, and what it costs."""

import re
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from sandbox.api_limits import PLANS
from tests.sandbox.conftest import Simulator, names, wait_until

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"
ME = "{ me { id } }"
USED = """{ account { tier plan { tier } } platform_api {
  daily_limit { base total addon { is_active quantity } }
  daily_analytics { last_updated by_day { day usage } by_app { app { id } usage } by_user { user { id } usage } }
} }"""
POINTS = "complexity { before query after reset_in_x_seconds }"


@pytest.fixture
def limited(simulator: Simulator) -> Callable[..., Any]:
    """Set a plan, with limits of the test's own in place of the plan's; the figures are told at once.

    It is noon, so that no test meets the end of the day by chance.
    """
    now = datetime.fromisoformat(simulator.read("clock")["now"])
    noon = now.replace(hour=12, minute=0, second=0)
    simulator.control("clock", {"offset_seconds": (noon - now).total_seconds()})

    def limit(plan: str | None = "pro", **limits: int) -> Any:
        return simulator.control("plan", {"plan": plan, "used": 0, "lag": 0, **limits})

    return limit


def pass_time(simulator: Simulator, seconds: float) -> None:
    before = simulator.read("clock")["offset_seconds"]
    simulator.control("clock", {"offset_seconds": before + seconds})


def mutations(count: int, board: str) -> str:
    aliases = (f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ id }}' for n in range(count))
    return f"mutation {{ {' '.join(aliases)} {POINTS} }}"


def code(answer: requests.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


# Without a plan


def test_without_a_plan_nothing_is_refused_and_no_limit_is_told(simulator: Simulator, board: str) -> None:
    answers = [simulator.post(ME) for _ in range(3)]
    assert all(answer.ok and "RateLimit" not in answer.headers for answer in answers)
    told = simulator.data(USED)
    assert told["platform_api"]["daily_limit"] == {"base": None, "total": None, "addon": None}
    simulator.data(mutations(400, board))
    simulator.data(mutations(400, board))
    simulator.data(mutations(400, board))


# What each limit refuses


def test_calls_of_a_minute_are_counted_from_the_windows_first(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited(minute=3)
    assert [simulator.post(ME).status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = simulator.post(ME)
    assert code(refused) == "MINUTE_RATE_LIMIT_EXCEEDED"
    wait = int(refused.headers["Retry-After"])
    assert refused.json()["errors"][0]["extensions"]["retry_in_seconds"] == wait
    assert 50 < wait <= 60
    assert f'"minuteRate";r=0;t={wait}' in refused.headers["RateLimit"]
    pass_time(simulator, wait)
    assert simulator.post(ME).ok


def test_the_days_calls_end_at_midnight_utc_and_a_refused_one_counts_a_tenth(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited(day=3)
    assert [simulator.post(ME).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
    assert simulator.read("plan")["used"]["day"] == pytest.approx(3.2)
    refused = simulator.post(ME)
    assert code(refused) == "DAILY_LIMIT_EXCEEDED"
    wait = int(refused.headers["Retry-After"])
    now = datetime.fromisoformat(simulator.read("clock")["now"])
    seconds = now.hour * 3600 + now.minute * 60 + now.second
    assert abs(86_400 - seconds - wait) <= 2
    pass_time(simulator, wait)
    assert simulator.post(ME).ok
    assert simulator.read("plan")["used"]["day"] == 1


def test_more_requests_at_once_than_allowed_are_refused(simulator: Simulator, limited: Callable[..., Any]) -> None:
    limited(concurrent=2)
    simulator.control("faults", {"slow": 300, "count": 2})
    answers: list[requests.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(simulator.post(ME))) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: simulator.read("plan")["used"]["concurrent"] == 2, "both are inside")
    refused = simulator.post(ME)
    simulator.control("faults", method="DELETE", content={})
    for thread in threads:
        thread.join()
    assert code(refused) == "MAX_CONCURRENCY_EXCEEDED"
    assert refused.headers["Retry-After"] == "15"
    assert '"concurrency";r=0' in refused.headers["RateLimit"]
    assert [answer.ok for answer in answers] == [True, True]
    simulator.control("plan", {"concurrent": 4})
    assert simulator.post(ME).ok


def test_complexity_is_spent_before_anything_runs_and_refused_without_running(
    simulator: Simulator, board: str, limited: Callable[..., Any]
) -> None:
    limited(points=45_000)
    told = simulator.data(mutations(3, board))["complexity"]
    assert (told["before"], told["query"], told["after"]) == (45_000, 30_000, 15_000)
    refused = simulator.post(mutations(2, board))
    assert code(refused) == "COMPLEXITY_BUDGET_EXHAUSTED"
    assert "data" not in refused.json()
    assert len(names(simulator)) == 3
    wait = int(refused.headers["Retry-After"])
    assert told["reset_in_x_seconds"] >= wait > 50
    fits = simulator.post(mutations(1, board))
    assert fits.json()["data"]["complexity"]["after"] == 5_000
    assert re.search(r'"complexityMinute";r=5000;t=\d+$', fits.headers["RateLimit"])
    pass_time(simulator, wait)
    assert simulator.post(mutations(2, board)).ok


@pytest.mark.parametrize("limit", [{"minute": 1}, {"day": 1}, {"points": 10_000}])
def test_a_refused_mutation_did_nothing_and_its_key_is_free(
    simulator: Simulator, board: str, limited: Callable[..., Any], limit: dict[str, int]
) -> None:
    limited(**limit)
    assert simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1").ok
    refused = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert refused.status_code == 429
    assert names(simulator) == ["Ada"]
    limited(None)
    carried_out = simulator.post(CREATE, {"b": board, "n": "Bo"}, Idempotency_Key="k2")
    assert "Idempotency-Replayed" not in carried_out.headers
    assert names(simulator) == ["Ada", "Bo"]


# What the account is told


def test_every_answer_shows_the_allowance_as_monday_s_page_has_it(
    simulator: Simulator, board: str, limited: Callable[..., Any]
) -> None:
    limited("enterprise", points=5_000_000)
    first = simulator.post(CREATE, {"b": board, "n": "Ada"})
    assert first.headers["RateLimit-Policy"] == (
        '"minuteRate";q=5000;w=60, "concurrency";q=250;qu="concurrent-requests", '
        '"complexityMinute";q=5000000;w=60;qu="content-bytes"'
    )
    assert re.fullmatch(
        r'"minuteRate";r=4999, "concurrency";r=249, "complexityMinute";r=4990000;t=\d\d', first.headers["RateLimit"]
    )
    broken = simulator.post("{ nothing }")
    assert broken.status_code == 400
    assert broken.headers["RateLimit"].startswith('"minuteRate";r=4998, "concurrency";r=249')


def test_platform_api_tells_the_day_with_the_calls_of_other_tokens(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited("standard", others=120)
    for _ in range(4):
        simulator.post(ME)
    told = simulator.data(USED)
    assert told["account"] == {"tier": "standard", "plan": {"tier": "standard"}}
    used = told["platform_api"]
    assert used["daily_limit"] == {"base": 1000, "total": 1000, "addon": {"is_active": False, "quantity": 0}}
    today = simulator.read("clock")["now"][:10]
    assert used["daily_analytics"]["by_day"] == [{"day": today, "usage": 125}]
    assert sorted(one["usage"] for one in used["daily_analytics"]["by_user"]) == [5, 120]


@pytest.mark.parametrize(
    ("plan", "day", "minute", "concurrent", "points"),
    [
        ("free", 1_000, 1_000, 40, 1_000_000),
        ("standard", 1_000, 1_000, 40, 10_000_000),
        ("pro", 10_000, 2_500, 100, 10_000_000),
        ("enterprise", 25_000, 5_000, 250, 10_000_000),
    ],
)
def test_the_plans_are_those_that_monday_publishes(
    simulator: Simulator, plan: str, day: int, minute: int, concurrent: int, points: int
) -> None:
    limits = simulator.control("plan", {"plan": plan})["limits"]
    told = {"day": day, "minute": minute, "concurrent": concurrent, "points": points, "address": 5_000}
    assert limits == told


def test_other_tokens_use_up_the_same_day(simulator: Simulator, limited: Callable[..., Any]) -> None:
    limited(day=100, others=99)
    assert simulator.post(ME).ok
    assert code(simulator.post(ME)) == "DAILY_LIMIT_EXCEEDED"


def test_a_plan_from_the_start_comes_back_with_a_reset() -> None:
    one = Simulator(plan=PLANS["pro"])
    assert one.post(ME).headers["RateLimit-Policy"].startswith('"minuteRate";q=2500;w=60')
    assert one.data(USED)["platform_api"]["daily_limit"]["base"] == 10_000
    one.control("plan", {"plan": None})
    assert "RateLimit" not in one.post(ME).headers
    one.control("reset", {})
    shown = one.read("plan")
    assert (shown["plan"], shown["used"]["day"]) == ("pro", 0)
