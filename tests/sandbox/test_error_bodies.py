"""The sandbox's errors: code and status are Monday's, and nothing is done."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.sandbox.conftest import TOKEN, Simulator

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
    simulator: Simulator
    board: str
    item: str

    def change(self, values: object, item: str | None = None, board: str | None = None) -> requests.Response:
        variables = {"b": board or self.board, "i": item or self.item, "v": json.dumps(values)}
        return self.simulator.post(CHANGE, variables)

    def faulty(self, fault: dict[str, Any], document: str = "{ boards { id columns { id } } }") -> requests.Response:
        self.simulator.faults(fault)
        return self.simulator.post(document)

    def body(self, content: bytes) -> requests.Response:
        headers = {"Authorization": TOKEN, "Content-Type": "application/json"}
        return self.simulator.session.post(f"{self.simulator.url}/v2", data=content, headers=headers, timeout=10)


def on_another_board(ground: Ground) -> requests.Response:
    return ground.change({"role": "x"}, board=ground.simulator.board({"role": "text"}))


def a_webhook_for_no_board(ground: Ground) -> requests.Response:
    return ground.simulator.post(
        'mutation { create_webhook(board_id: 5, url: "http://127.0.0.1:9/", event: create_item) { id } }'
    )


def on_a_full_board(ground: Ground) -> requests.Response:
    ground.simulator.control("boards", board_id=ground.board, items_limit=1)
    return ground.simulator.post(CREATE, {"b": ground.board, "n": "Ada"})


BODIES: dict[str, tuple[str, int, Callable[[Ground], requests.Response]]] = {
    "no such token": ("NOT_AUTHENTICATED", 401, lambda g: g.simulator.post("{me{id}}", Authorization="x")),
    "no such item": ("InvalidItemIdException", 200, lambda g: g.change({"role": "x"}, item="5")),
    "an item of another board": ("ResourceNotFoundException", 200, on_another_board),
    "a change of an unknown column": ("InvalidColumnIdException", 200, lambda g: g.change({"nowhere": "x"})),
    "a value in another form": ("ColumnValueException", 200, lambda g: g.change({"stage": [5]})),
    "no such board": ("InvalidBoardIdException", 200, lambda g: g.simulator.post(CREATE, {"b": "5", "n": "x"})),
    "a webhook of no board": ("InvalidArgumentException", 200, a_webhook_for_no_board),
    "a long name": ("ItemNameTooLongException", 200, lambda g: g.change({"name": "x" * 256})),
    "a full board": ("ItemsLimitationException", 200, on_a_full_board),
    "an unknown cursor": ("CursorException", 200, lambda g: g.simulator.post(NO_CURSOR)),
    "a minute's calls": ("MINUTE_RATE_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "minute"})),
    "a minute's complexity": ("COMPLEXITY_BUDGET_EXHAUSTED", 429, lambda g: g.faulty({"limit": "complexity"})),
    "a day's calls": ("DAILY_LIMIT_EXCEEDED", 429, lambda g: g.faulty({"limit": "daily"})),
    "too many calls of one field": ("FIELD_LIMIT_EXCEEDED", 200, lambda g: g.faulty(FIELD_LIMIT)),
    "a deletion without the right": ("UserUnauthorizedException", 200, lambda g: g.faulty(UNAUTHORIZED, DELETE)),
    "a locked item": ("TooManyConcurrentRequestsException", 200, lambda g: g.faulty(LOCKED, ARCHIVE)),
    "a locked board": ("RESOURCE_LOCKED", 423, lambda g: g.faulty({"status": 423})),
    "a body that is no JSON": ("INVALID_GRAPHQL_REQUEST", 400, lambda g: g.body(b"{")),
}


@pytest.fixture
def ground(simulator: Simulator) -> Ground:
    board = simulator.board()
    return Ground(simulator, board, simulator.new_item(board, role="before"))


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


REFUSED: list[tuple[str, Any, str]] = [
    ("email", "not an address", "email is not valid"),
    ("email", {"email": "a@localhost", "text": "x"}, "email is not valid"),
    ("phone", {"phone": "12", "countryShortName": "US"}, "not valid for its country"),
    ("notes", {"text": "x" * 2001}, "limit is 2000 characters"),
    ("amount", "twelve", "not a number"),
    ("stage", {"label": "Unheard of"}, "doesn't exist"),
    ("kinds", {"labels": ["Unheard of"]}, "does not exist"),
    ("day", "31.01.2026", "YYYY-MM-DD"),
    ("site", {"url": "b.test", "text": "x"}, "scheme"),
    ("ticked", "true", "simple strings are not supported"),
    ("npd_id", "x" * 65_530, "64 KB"),
]


@pytest.mark.parametrize(("column", "written", "words"), REFUSED)
def test_a_bad_value_refuses_the_whole_mutation(ground: Ground, column: str, written: Any, words: str) -> None:
    body = ground.change({"role": "after", column: written}).json()
    assert body["data"] == {"change_multiple_column_values": None}
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "ColumnValueException"
    assert words in error["message"]
    assert ground.simulator.item(ground.item)["values"]["role"] == "before"


def test_a_relation_takes_only_items_of_its_boards_and_one_where_it_says_so(ground: Ground) -> None:
    monday = ground.simulator
    firms = monday.board({})
    settings = {"boardIds": [int(firms)], "allowMultipleItems": False}
    monday.add_column(ground.board, "firm", "Firm", "board_relation", **settings)
    two = [monday.new_item(firms), monday.new_item(firms)]
    for ids, words in (([ground.item], "not in the connected boards"), (["12"], "no item"), (two, "one item")):
        (error,) = ground.change({"firm": {"item_ids": ids}}).json()["errors"]
        assert words in error["message"]
