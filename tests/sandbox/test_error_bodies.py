"""Every error that the sandbox gives, its code held here and its body against Monday's own collection.

The collection (errors.json) is no part of this repository: where MONDAY_SCHEMA names Monday's schema file, it stands in
the same folder, and the shapes are compared; without it the codes and statuses of the table below still are.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
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


@dataclass(frozen=True)
class Body:
    """An error: its code, the HTTP status, how to meet it, and what it is called in Monday's collection.

    `form` is the key of the entry; `words` whether the message holds nothing that differs from case to case.
    """

    code: str
    http: int
    meet: Callable[[Ground], requests.Response]
    entry: str
    form: str = "current"
    words: bool = True


BODIES = [
    Body("NOT_AUTHENTICATED", 401, lambda g: g.simulator.post("{me{id}}", Authorization="x"), "not_authenticated"),
    Body("InvalidItemIdException", 200, lambda g: g.change({"role": "x"}, item="5"), "item_not_found"),
    Body("ResourceNotFoundException", 200, on_another_board, "item_not_on_board", "old"),
    Body("InvalidColumnIdException", 200, lambda g: g.change({"nowhere": "x"}), "column_not_found", "old_a"),
    Body("ResourceNotFoundException", 200, by_an_unknown_column, "column_not_found", "old_b"),
    Body("ColumnValueException", 200, lambda g: g.change({"stage": [5]}), "column_value", words=False),
    Body("ColumnValueException", 200, to_an_item_that_is_gone, "inactive_item_write"),
    Body("InvalidBoardIdException", 200, lambda g: g.simulator.post(CREATE, {"b": "5", "n": "x"}), "invalid_board"),
    Body("InvalidArgumentException", 200, a_webhook_for_no_board, "create_webhook_board_not_found"),
    Body("ItemNameTooLongException", 200, lambda g: g.change({"name": "x" * 256}), "name_too_long", "old"),
    Body("ItemsLimitationException", 200, on_a_full_board, "items_limit"),
    Body("CursorException", 200, lambda g: g.simulator.post(NO_CURSOR), "cursor_expired", "old"),
    Body("MINUTE_RATE_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "minute"}), "minute_limit"),
    Body("MAX_CONCURRENCY_EXCEEDED", 429, too_many_at_once, "concurrency"),
    Body("COMPLEXITY_BUDGET_EXHAUSTED", 429, lambda g: g.faulty({"limit": "complexity"}), "complexity"),
    Body("DAILY_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "daily"}), "daily"),
    Body("FIELD_LIMIT_EXCEEDED", 200, lambda g: g.faulty(FIELD_LIMIT), "field_concurrency_partial"),
    Body("UserUnauthorizedException", 200, lambda g: g.faulty(UNAUTHORIZED, DELETE), "user_unauthorized"),
    Body("TooManyConcurrentRequestsException", 200, lambda g: g.faulty(LOCKED, ARCHIVE), "item_lock", "old"),
    Body("RESOURCE_LOCKED", 423, lambda g: g.faulty({"status": 423}), "board_locked"),
    Body("IDEMPOTENCY_CONFLICT", 409, with_a_used_key, "idempotency_conflict"),
    Body("INVALID_GRAPHQL_REQUEST", 400, lambda g: g.body(b"{"), "bad_request_body"),
    Body("INVALID_GRAPHQL_REQUEST", 400, lambda g: g.body(b'{"query": 5}'), "bad_request_body"),
    Body(
        "JsonParseException",
        200,
        lambda g: g.simulator.post(CHANGE, {"b": g.board, "i": g.item, "v": "{"}),
        "json_parse",
        "old",
    ),
]


@pytest.fixture
def ground(simulator: Simulator) -> Iterator[Ground]:
    board = simulator.board({"role": "text", "stage": "status"})
    prepared = Ground(simulator, board, simulator.item(board))
    yield prepared
    prepared.let_go()


def official(entry: str) -> dict[str, Any] | None:
    """Monday's own, None without the collection."""
    named = os.environ.get("MONDAY_SCHEMA")
    if not named:
        return None
    collection = json.loads((Path(named).parent / "errors.json").read_text(encoding="utf-8"))
    return collection[entry]


def unified(theirs: dict[str, Any]) -> dict[str, Any]:
    """One error in the form since 2025-01, whichever form the collection has it in."""
    if "errors" in theirs and isinstance(theirs["errors"][0], dict):
        return theirs["errors"][0]
    if "error_code" not in theirs:
        return theirs
    extensions = {"code": theirs["error_code"], "status_code": theirs["status_code"]}
    return {"message": theirs["error_message"], "extensions": extensions | {"error_data": theirs.get("error_data", {})}}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: f"{body.entry}-{body.code}")
def test_an_error_is_as_monday_gives_it(ground: Ground, body: Body) -> None:
    answer = body.meet(ground)
    ours = answer.json()
    assert answer.status_code == body.http
    assert body.code == "NOT_AUTHENTICATED" or ours["extensions"]["request_id"]
    error = ours["errors"][0]
    assert error["extensions"]["code"] == body.code
    if body.http != 200:
        assert "data" not in ours
    elif "path" in error:
        assert error["locations"]
        assert ours["data"] is None or error["path"][0] in ours["data"]
    theirs = official(body.entry)
    if theirs is not None:
        compare(answer, error, theirs, body)


def compare(answer: requests.Response, error: dict[str, Any], theirs: dict[str, Any], body: Body) -> None:
    """What Monday's entry says of the status, the headers, the words, and the names in the extensions."""
    if theirs["http"] != "not stated" and body.entry != "json_parse":  # of a whole body, not of one value
        assert answer.status_code == theirs["http"]
    assert set(theirs.get("headers", {})) <= set(answer.headers)
    if body.form not in theirs:
        assert error["extensions"]["code"] == theirs.get("code", error["extensions"]["code"])
        assert error["message"] == theirs.get("message", error["message"])
        return
    expected = unified(theirs[body.form])
    assert error["extensions"]["code"] == expected["extensions"]["code"]
    if body.words:
        assert error["message"] == expected["message"]
    same = set(expected["extensions"]) - {"service"}
    assert same - set(error["extensions"]) == set()
    wanted = expected["extensions"].get("error_data", {})
    assert set(wanted) <= set(error["extensions"].get("error_data", {}))
    if "status_code" in same and body.entry != "json_parse":
        assert error["extensions"]["status_code"] == expected["extensions"]["status_code"]
