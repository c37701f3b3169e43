"""Every error that the sandbox gives: its code and its status, as Monday gives them."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Simulator
from tests.support.waiting import wait_for

CREATE = "mutation ($b: ID!, $n: String!) { create_item(board_id: $b, item_name: $n) { id } }"
CHANGE = """mutation ($b: ID!, $i: ID!, $v: JSON!) {
  change_multiple_column_values(board_id: $b, item_id: $i, column_values: $v) { id } }"""


ARCHIVE = "mutation { a: archive_item(item_id: 5) { id } }"
DELETE = "mutation { delete_item(item_id: 5) { id } }"
NO_CURSOR = '{ next_items_page(cursor: "x") { cursor } }'
FIELD_LIMIT = {"limit": "field", "on": "columns"}
UNAUTHORIZED = {"partial": {"every": 1, "code": "UserUnauthorizedException"}}
LOCKED = {"partial": {"aliases": ["a"], "code": "TooManyConcurrentRequestsException"}}


@dataclass(frozen=True)
class Ground:
    """A sandbox with one board and one item."""

    simulator: Simulator
    board: str
    item: str
    threads: list[threading.Thread] = field(default_factory=list)

    def hold(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        """Send a request that is kept waiting, and come back when it is inside."""
        self.simulator.control("faults", {"slow": 60})

        def post() -> None:
            self.simulator.session.post(
                f"{self.simulator.url}/v2", json=body, headers={"Authorization": TOKEN} | headers
            )

        self.threads.append(threading.Thread(target=post))
        self.threads[-1].start()
        wait_for("the request is inside", lambda: self.simulator.read("plan")["used"]["concurrent"] == 1)
        wait_for("it has met its fault", lambda: not self.simulator.read("faults"))

    def let_go(self) -> None:
        """End all waiting."""
        self.simulator.control("faults", method="DELETE", content={})
        for thread in self.threads:
            thread.join()

    def change(self, values: object, item: str | None = None, board: str | None = None) -> requests.Response:
        variables = {"b": board or self.board, "i": item or self.item, "v": json.dumps(values)}
        return self.simulator.post(CHANGE, variables)

    def faulty(self, fault: dict[str, Any], document: str = "{ boards { id columns { id } } }") -> requests.Response:
        self.simulator.control("faults", fault)
        return self.simulator.post(document)

    def body(self, content: bytes) -> requests.Response:
        headers = {"Authorization": TOKEN, "Content-Type": "application/json"}
        return self.simulator.session.post(f"{self.simulator.url}/v2", data=content, headers=headers, timeout=10)


def to_an_item_that_is_gone(ground: Ground) -> requests.Response:
    ground.simulator.data("mutation ($i: ID) { delete_item(item_id: $i) { id } }", i=ground.item)
    return ground.change({"role": "x"})


def on_another_board(ground: Ground) -> requests.Response:
    return ground.change({"role": "x"}, board=ground.simulator.board({"role": "text"}))


def by_an_unknown_column(ground: Ground) -> requests.Response:
    rule = '{ rules: [{ column_id: "nowhere", compare_value: ["x"] }] }'
    document = f"query ($b: [ID!]) {{ boards(ids: $b) {{ items_page(query_params: {rule}) {{ cursor }} }} }}"
    return ground.simulator.post(document, {"b": [ground.board]})


def a_webhook_for_no_board(ground: Ground) -> requests.Response:
    return ground.simulator.post(
        'mutation { create_webhook(board_id: 5, url: "http://127.0.0.1:9/", event: create_item) { id } }'
    )


def on_a_full_board(ground: Ground) -> requests.Response:
    ground.simulator.control("boards", {"board_id": ground.board, "items_limit": 1})
    return ground.simulator.post(CREATE, {"b": ground.board, "n": "Ada"})


def with_a_used_key(ground: Ground) -> requests.Response:
    """A duplicate while the first still runs: the first is held, and gone on with afterwards."""
    variables = {"b": ground.board, "n": "Ada"}
    ground.hold({"query": CREATE, "variables": variables}, {"Idempotency-Key": "k1"})
    return ground.simulator.post(CREATE, variables, Idempotency_Key="k1")


def too_many_at_once(ground: Ground) -> requests.Response:
    ground.simulator.control("plan", {"plan": "pro", "concurrent": 1})
    ground.hold({"query": "{ me { id } }"}, {})
    return ground.simulator.post("{ me { id } }")


def with_values_that_are_no_json(ground: Ground) -> requests.Response:
    return ground.simulator.post(CHANGE, {"b": ground.board, "i": ground.item, "v": "{"})


BODIES: dict[str, tuple[str, int, Callable[[Ground], requests.Response]]] = {
    "no such token": ("NOT_AUTHENTICATED", 401, lambda g: g.simulator.post("{me{id}}", Authorization="x")),
    "no such item": ("InvalidItemIdException", 200, lambda g: g.change({"role": "x"}, item="5")),
    "an item of another board": ("ResourceNotFoundException", 200, on_another_board),
    "a change of an unknown column": ("InvalidColumnIdException", 200, lambda g: g.change({"nowhere": "x"})),
    "a search by an unknown column": ("ResourceNotFoundException", 200, by_an_unknown_column),
    "a value in another form": ("ColumnValueException", 200, lambda g: g.change({"stage": [5]})),
    "a deleted item": ("ColumnValueException", 200, to_an_item_that_is_gone),
    "no such board": ("InvalidBoardIdException", 200, lambda g: g.simulator.post(CREATE, {"b": "5", "n": "x"})),
    "a webhook of no board": ("InvalidArgumentException", 200, a_webhook_for_no_board),
    "a long name": ("ItemNameTooLongException", 200, lambda g: g.change({"name": "x" * 256})),
    "a full board": ("ItemsLimitationException", 200, on_a_full_board),
    "an unknown cursor": ("CursorException", 200, lambda g: g.simulator.post(NO_CURSOR)),
    "a minute's calls": ("MINUTE_RATE_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "minute"})),
    "too many calls at once": ("MAX_CONCURRENCY_EXCEEDED", 429, too_many_at_once),
    "a minute's complexity": ("COMPLEXITY_BUDGET_EXHAUSTED", 429, lambda g: g.faulty({"limit": "complexity"})),
    "a day's calls": ("DAILY_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "daily"})),
    "too many calls of one field": ("FIELD_LIMIT_EXCEEDED", 200, lambda g: g.faulty(FIELD_LIMIT)),
    "a deletion without the right": ("UserUnauthorizedException", 200, lambda g: g.faulty(UNAUTHORIZED, DELETE)),
    "a locked item": ("TooManyConcurrentRequestsException", 200, lambda g: g.faulty(LOCKED, ARCHIVE)),
    "a locked board": ("RESOURCE_LOCKED", 423, lambda g: g.faulty({"status": 423})),
    "a key that is in use": ("IDEMPOTENCY_CONFLICT", 409, with_a_used_key),
    "a body that is no JSON": ("INVALID_GRAPHQL_REQUEST", 400, lambda g: g.body(b"{")),
    "a query that is no text": ("INVALID_GRAPHQL_REQUEST", 400, lambda g: g.body(b'{"query": 5}')),
    "values that are no JSON": ("JsonParseException", 200, with_values_that_are_no_json),
}


@pytest.fixture
def ground(simulator: Simulator) -> Iterator[Ground]:
    board = simulator.board({"role": "text", "stage": "status"})
    prepared = Ground(simulator, board, simulator.item(board))
    yield prepared
    prepared.let_go()


@pytest.mark.parametrize("met", BODIES)
def test_an_error_is_as_monday_gives_it(ground: Ground, met: str) -> None:
    code, status, meet = BODIES[met]
    answer = meet(ground)
    body = answer.json()
    assert answer.status_code == status
    assert code == "NOT_AUTHENTICATED" or body["extensions"]["request_id"]
    error = body["errors"][0]
    assert error["extensions"]["code"] == code
    if status != 200:
        assert "data" not in body
    elif "path" in error:
        assert error["locations"]
        assert body["data"] is None or error["path"][0] in body["data"]
