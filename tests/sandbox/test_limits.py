"""Monday's published limits: who is refused, with what body, and what it costs."""

import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Simulator, wait_until

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


def names(simulator: Simulator) -> list[str]:
    return [item["name"] for item in simulator.read("boards")[0]["items"]]


def mutations(count: int, board: str) -> str:
    aliases = (f'r{n}: create_item(board_id: "{board}", item_name: "x{n}") {{ id }}' for n in range(count))
    return f"mutation {{ {' '.join(aliases)} {POINTS} }}"


def code(answer: requests.Response) -> str:
    return str(answer.json()["errors"][0]["extensions"]["code"])


def shape(value: Any) -> Any:
    """Names and types of what JSON holds."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return type(value).__name__


def official(name: str) -> dict[str, Any]:
    """Monday's own body of an error, where its collection stands beside the schema that MONDAY_SCHEMA names."""
    named = os.environ.get("MONDAY_SCHEMA")
    if not named:
        pytest.skip("MONDAY_SCHEMA does not name Monday's schema file, beside which errors.json stands")
    found = json.loads((Path(named).parent / "errors.json").read_text(encoding="utf-8"))
    entry: dict[str, Any] = found[name]
    return entry


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


def test_a_query_for_nothing_but_its_complexity_counts_a_tenth(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited()
    simulator.data(f"{{ {POINTS} }}")
    simulator.data("{ complexity { after } __typename }")
    assert simulator.read("plan")["used"]["day"] == pytest.approx(0.2)
    simulator.data(f"{{ {POINTS} me {{ id }} }}")
    assert simulator.read("plan")["used"]["day"] == pytest.approx(1.2)


@pytest.mark.parametrize(
    "document", ["{ nothing_of_this_name }", "{", "mutation { delete_item(item_id: 1) { id } }"]
)
def test_a_request_that_fails_counts_as_one(
    simulator: Simulator, limited: Callable[..., Any], document: str
) -> None:
    limited()
    assert simulator.post(document).json()["errors"]
    assert simulator.read("plan")["used"]["day"] == 1


def test_who_shows_no_valid_token_counts_for_nobody(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited()
    answer = simulator.post(ME, Authorization="of somebody else")
    assert answer.status_code == 401
    assert "RateLimit" not in answer.headers
    assert simulator.read("plan")["used"]["day"] == 0


def test_more_requests_at_once_than_allowed_are_refused(
    simulator: Simulator, limited: Callable[..., Any], background: Callable[..., list[requests.Response]]
) -> None:
    limited(concurrent=2)
    simulator.control("faults", {"slow": 20, "count": 2})
    with requests.Session() as one, requests.Session() as other:
        for session in (one, other):
            answers = background(session, simulator, ME)
        wait_until(lambda: simulator.read("plan")["used"]["concurrent"] == 2, "both are inside")
        refused = simulator.post(ME)
        assert code(refused) == "MAX_CONCURRENCY_EXCEEDED"
        assert refused.headers["Retry-After"] == "15"
        assert '"concurrency";r=0' in refused.headers["RateLimit"]
        simulator.control("faults", method="DELETE", content={})
        wait_until(lambda: len(answers) == 2, "both are let go")
        assert all(answer.ok for answer in answers)
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


def test_one_request_over_5_million_points_is_refused_whatever_the_plan(
    simulator: Simulator, board: str
) -> None:
    answer = simulator.ask(mutations(501, board))
    assert answer["errors"][0]["extensions"]["code"] == "maxComplexityExceeded"
    assert "data" not in answer
    assert names(simulator) == []


def test_an_address_may_send_so_many_within_ten_seconds(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited(address=2)
    assert [simulator.post(ME).status_code for _ in range(3)] == [200, 200, 429]
    refused = simulator.post(ME)
    assert code(refused) == "IP_RATE_LIMIT_EXCEEDED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 10


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


def test_a_replay_counts_as_a_call_and_spends_no_points(
    simulator: Simulator, board: str, limited: Callable[..., Any]
) -> None:
    limited()
    for _ in range(2):
        assert simulator.post(CREATE, {"b": board, "n": "Ada"}, Idempotency_Key="k1").ok
    used = simulator.read("plan")["used"]
    assert (used["day"], used["points"]) == (2, 10_000)


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
        r'"minuteRate";r=4999, "concurrency";r=249, "complexityMinute";r=4990000;t=\d\d',
        first.headers["RateLimit"],
    )
    broken = simulator.post("{ nothing }")
    assert broken.status_code == 400
    assert broken.headers["RateLimit"].startswith('"minuteRate";r=4998, "concurrency";r=249')


def test_the_complexity_field_and_the_headers_say_the_same(
    simulator: Simulator, board: str, limited: Callable[..., Any]
) -> None:
    limited()
    for document in (mutations(2, board), f"{{ {POINTS} boards {{ id items_page {{ items {{ id }} }} }} }}"):
        answer = simulator.post(document)
        told = answer.json()["data"]["complexity"]
        assert told["before"] - told["query"] == told["after"]
        assert told["query"] > 0
        left = re.search(r'"complexityMinute";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
        assert left is not None
        assert int(left[1]) == told["after"]
        assert abs(int(left[2]) - told["reset_in_x_seconds"]) <= 1


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


def test_platform_api_s_figures_are_as_old_as_it_says(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited()
    simulator.control("plan", {"lag": 600})
    simulator.post(ME)
    now = datetime.fromisoformat(simulator.read("clock")["now"])
    told = simulator.data(USED)["platform_api"]["daily_analytics"]
    assert 600 <= (now - datetime.fromisoformat(told["last_updated"])).total_seconds() + 1 < 605
    assert told["by_day"] == []
    pass_time(simulator, 660)
    told = simulator.data(USED)["platform_api"]["daily_analytics"]
    assert [one["usage"] for one in told["by_day"]] == [2]


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


def test_the_command_line_sets_the_plan_and_a_reset_returns_to_it(
    start: Callable[..., Simulator],
) -> None:
    one = start("--plan", "pro")
    assert one.post(ME).headers["RateLimit-Policy"].startswith('"minuteRate";q=2500;w=60')
    assert one.data(USED)["platform_api"]["daily_limit"]["base"] == 10_000
    one.control("plan", {"plan": None})
    assert "RateLimit" not in one.post(ME).headers
    one.control("reset", {})
    shown = one.read("plan")
    assert (shown["plan"], shown["used"]["day"]) == ("pro", 0)


def test_who_asks_sees_the_plan_its_limits_and_what_was_refused(
    simulator: Simulator, limited: Callable[..., Any]
) -> None:
    limited("free", minute=1)
    simulator.post(ME)
    simulator.post(ME)
    shown = simulator.read("plan")
    assert shown["limits"] == {
        "day": 1000,
        "minute": 1,
        "concurrent": 40,
        "points": 1_000_000,
        "address": 5000,
    }
    assert shown["refused"] == {"MINUTE_RATE_LIMIT_EXCEEDED": 1}


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "[]",
        '{"plan": "gold"}',
        '{"plan": 5}',
        '{"plan": "pro", "day": 0}',
        '{"plan": "pro", "day": "many"}',
        '{"plan": null, "day": 5}',
        '{"day": 5}',
        '{"others": -1}',
        '{"others": 1.5}',
        '{"lag": 1e999}',
        '{"lag": true}',
        '{"plans": "pro"}',
    ],
)
def test_what_is_no_plan_is_refused_in_words_and_changes_nothing(simulator: Simulator, given: str) -> None:
    before = simulator.read("plan")
    address = f"{simulator.url}/_control/plan"
    headers = {"Content-Type": "application/json"}
    answer = simulator.session.post(address, data=given, headers=headers, timeout=5)
    assert answer.status_code == 400
    assert len(answer.json()["error"]) > 10
    assert simulator.read("plan") == before


# The bodies, beside Monday's own

REFUSED_BY = {
    "minute_limit": {"minute": 1},
    "daily": {"day": 1},
    "complexity": {"points": 9_999},
}


@pytest.mark.parametrize("name", sorted(REFUSED_BY))
def test_a_limit_s_body_has_the_shape_of_monday_s(
    simulator: Simulator, board: str, limited: Callable[..., Any], name: str
) -> None:
    theirs = official(name)
    limited(**REFUSED_BY[name])
    simulator.post(CREATE, {"b": board, "n": "Ada"})
    ours = simulator.post(CREATE, {"b": board, "n": "Ada"})
    assert ours.status_code == theirs["http"]
    assert shape_of_answer(ours.json()) == shape_of_answer(theirs["current"])
    assert code(ours) == theirs["current"]["errors"][0]["extensions"]["code"]
    assert set(theirs.get("headers", {})) <= set(ours.headers)


def shape_of_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """The shapes of each error and of the rest."""
    found = shape({key: value for key, value in answer.items() if key != "errors"})
    return {**found, "errors": [shape(error) for error in answer["errors"]]}


@pytest.fixture
def background() -> Iterator[Callable[..., list[requests.Response]]]:
    """Send requests that the test does not wait for; their end is waited for after it."""
    threads: list[threading.Thread] = []
    answers: list[requests.Response] = []

    def send(session: requests.Session, simulator: Simulator, document: str) -> list[requests.Response]:
        def post() -> None:
            headers = {"Authorization": TOKEN}
            answers.append(
                session.post(f"{simulator.url}/v2", json={"query": document}, headers=headers, timeout=30)
            )

        threads.append(threading.Thread(target=post))
        threads[-1].start()
        return answers

    yield send
    for thread in threads:
        thread.join()


def test_a_plan_lets_forty_boards_be_made_a_minute(simulator: Simulator) -> None:
    simulator.control("plan", {"plan": "enterprise"})
    fields = " ".join(
        f'b{n}: create_board(board_name: "B", board_kind: public, empty: true) {{ id }}' for n in range(42)
    )
    answer = simulator.ask(f"mutation {{ {fields} }}")
    assert [one is not None for one in answer["data"].values()] == [True] * 40 + [False] * 2
    for error in answer["errors"]:
        assert error["extensions"]["code"] == "FIELD_LIMIT_EXCEEDED"
        assert 1 <= error["extensions"]["retry_in_seconds"] <= 60
    simulator.control("clock", {"offset_seconds": 61})
    assert "errors" not in simulator.ask(f"mutation {{ {fields.split(' b1:')[0]} }}")
