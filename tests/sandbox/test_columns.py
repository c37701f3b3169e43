"""Column values: what is taken, what is read back, and what clears them."""

import json
from typing import Any

import pytest

from tests.sandbox.conftest import COLUMNS, Simulator

REFUSED: list[tuple[str, Any, str]] = [
    ("email", "not an address", "email is not valid"),
    ("email", {"email": '"quoted local"@b.test', "text": "x"}, "email is not valid"),
    ("email", {"email": "a..b@b.test", "text": "x"}, "email is not valid"),
    ("email", {"email": "a@localhost", "text": "x"}, "email is not valid"),
    ("phone", {"phone": "12", "countryShortName": "US"}, "not valid for its country"),
    ("phone", {"phone": "+12025550169", "countryShortName": "XX"}, "country code"),
    ("notes", {"text": "x" * 2001}, "limit is 2000 characters"),
    ("amount", "twelve", "not a number"),
    ("stage", {"label": "Unheard of"}, "doesn't exist"),
    ("kinds", {"labels": ["Unheard of"]}, "does not exist"),
    ("day", "31.01.2026", "YYYY-MM-DD"),
    ("site", {"url": "b.test", "text": "x"}, "scheme"),
    ("role", {"text": "x"}, "a string is expected"),
    ("phone", {}, "is missing"),
    ("ticked", "true", "simple strings are not supported"),
    ("ticked", "", "simple strings are not supported"),
    ("ticked", {}, "is expected"),
]


@pytest.mark.parametrize(("column", "written", "words"), REFUSED)
def test_a_bad_value_refuses_the_whole_mutation(simulator: Simulator, column: str, written: Any, words: str) -> None:
    board = simulator.board(COLUMNS)
    item = simulator.item(board, role="before")
    answer = simulator.change(board, item, {"role": "after", column: written})
    assert answer["data"] == {"change_multiple_column_values": None}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "ColumnValueException"
    assert words in error["message"]
    assert error["path"] == ["change_multiple_column_values"]
    assert simulator.cell(item, "role")["text"] == "before"


def test_a_refused_mutation_leaves_no_new_label_behind(simulator: Simulator, board: str) -> None:
    item = simulator.item(board)
    document = (
        "mutation ($b: ID!, $i: ID!, $v: JSON!) { change_multiple_column_values(board_id: $b, item_id: $i,"
        " column_values: $v, create_labels_if_missing: true) { id } }"
    )
    values = json.dumps({"stage": {"label": "Brand new"}, "email": "not an address"})
    assert simulator.refusal(document, b=board, i=item, v=values)["message"] == "email is not valid"
    refused = simulator.change(board, item, {"stage": {"label": "Brand new"}})["errors"][0]
    assert "Working on it" in refused["message"]
    assert "Brand new" not in refused["message"]


def test_an_item_holds_64_kilobytes_of_values_and_no_more(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="x" * 60_000)
    (error,) = simulator.change(board, item, {"npd_id": "x" * 6_000})["errors"]
    assert (error["extensions"]["code"], "64 KB" in error["message"]) == ("ColumnValueException", True)
    assert "errors" not in simulator.change(board, item, {"role": "x", "npd_id": "x" * 6_000})


CREATE = """mutation ($b: ID!, $i: String, $t: ColumnType!, $d: JSON) {
  create_column(board_id: $b, title: "Stage", id: $i, column_type: $t, defaults: $d) { id settings } }"""


@pytest.mark.parametrize(
    "labels", [{str(number): f"label {number}" for number in range(41)}, {"1": "x" * 31}, [{"label": 5, "index": 1}]]
)
def test_a_status_takes_40_labels_of_30_characters(simulator: Simulator, board: str, labels: Any) -> None:
    error = simulator.refusal(CREATE, b=board, i="phase", t="status", d={"labels": labels})
    assert error["extensions"]["code"] == "InvalidArgumentException"


@pytest.mark.parametrize("column_id", ["With-Dash", "digits1", "x" * 21, "role", "name"])
def test_a_column_id_is_short_plain_and_new(simulator: Simulator, board: str, column_id: str) -> None:
    error = simulator.refusal(CREATE, b=board, i=column_id, t="text", d=None)
    assert error["extensions"]["code"] == "InvalidArgumentException"
