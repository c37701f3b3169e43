"""Column values: what is taken, what is read back, and what clears them."""

import json
from typing import Any

import pytest

from tests.sandbox.conftest import Simulator

WRITES: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("role", "Buyer", "Buyer", {"__typename": "TextValue", "value": '"Buyer"'}),
    ("notes", {"text": "two\nlines"}, "two\nlines", {"__typename": "LongTextValue"}),
    ("email", {"email": "a@b.test", "text": "a@b.test"}, "a@b.test", {"email": "a@b.test", "label": "a@b.test"}),
    ("email", {"email": "a@b.test", "text": "Ada"}, "Ada - a@b.test", {"email": "a@b.test", "label": "Ada"}),
    ("email", "a@b.test Ada L", "Ada L - a@b.test", {"email": "a@b.test", "label": "Ada L"}),
    (
        "phone",
        {"phone": "+12025550169", "countryShortName": "US"},
        "+12025550169",
        {"phone": "+12025550169", "country_short_name": "US"},
    ),
    ("phone", "2025550169 US", "2025550169", {"phone": "2025550169", "country_short_name": "US"}),
    ("phone", "12025550172", "12025550172", {"country_short_name": None}),
    ("amount", "42.50", "42.50", {"number": 42.5, "value": '"42.50"'}),
    ("amount", "", "0", {"number": 0.0}),
    ("stage", {"label": "Done"}, "Done", {"index": 1, "label": "Done", "is_done": True}),
    ("stage", {"index": "2"}, "Stuck", {"index": 2}),
    ("stage", "0", "Working on it", {"index": 0}),
    ("day", {"date": "2026-01-31", "time": "18:00:00"}, "2026-01-31 18:00", {"date": "2026-01-31", "time": "18:00"}),
    ("day", "2026-01-31", "2026-01-31", {"date": "2026-01-31", "time": ""}),
    ("site", {"url": "https://b.test", "text": "B"}, "B - https://b.test", {"url": "https://b.test", "url_text": "B"}),
    ("ticked", {"checked": "true"}, "v", {"checked": True}),
]
CLEARS: list[tuple[str, Any]] = [
    (column, clearing)
    for columns, clearings in (
        (("notes", "email", "stage", "day", "site"), (None, "", {})),
        (("role", "phone"), (None, "")),
        (("kinds",), (None, {"labels": []})),
        (("amount", "ticked"), (None,)),
    )
    for column in columns
    for clearing in clearings
]
FULL = {
    "role": "x", "notes": "x", "email": "a@b.test x", "phone": "+12025550169 US", "amount": "7",
    "stage": "Done",
    "kinds": {"labels": ["x"]}, "day": "2026-01-31",
    "site": "https://b.test", "ticked": {"checked": "true"},
}  # fmt: skip
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


@pytest.mark.parametrize(("column", "written", "text", "fields"), WRITES)
def test_a_written_value_reads_back_in_monday_s_form(
    simulator: Simulator, board: str, *, column: str, written: Any, text: str, fields: dict[str, Any]
) -> None:
    item = simulator.item(board)
    assert "errors" not in simulator.change(board, item, {column: written})
    cell = simulator.cell(item, column)
    assert cell["text"] == text
    assert fields.items() <= cell.items()
    assert isinstance(cell["value"], str)
    json.loads(cell["value"])


@pytest.mark.parametrize(("column", "clearing"), CLEARS)
def test_each_type_is_cleared_by_what_monday_s_page_of_it_says(
    simulator: Simulator, board: str, column: str, clearing: Any
) -> None:
    item = simulator.item(board, **FULL)
    assert simulator.cell(item, column)["text"] != ""
    assert "errors" not in simulator.change(board, item, {column: clearing})
    cell = simulator.cell(item, column)
    assert (cell["text"], cell["value"]) == (None if column in ("stage", "kinds") else "", None)


@pytest.mark.parametrize(("column", "written", "words"), REFUSED)
def test_a_bad_value_is_refused_and_nothing_of_the_mutation_is_kept(
    simulator: Simulator, board: str, column: str, written: Any, words: str
) -> None:
    item = simulator.item(board, role="before")
    answer = simulator.change(board, item, {"role": "after", column: written})
    assert answer["data"] == {"change_multiple_column_values": None}
    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "ColumnValueException"
    assert words in error["message"]
    assert error["path"] == ["change_multiple_column_values"]
    assert simulator.cell(item, "role")["text"] == "before"


def test_missing_labels_are_made_only_when_asked_for(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, stage={"label": "Pending"}, kinds={"labels": ["a", "b"]})
    assert simulator.cell(item, "stage")["label"] == "Pending"
    assert simulator.cell(item, "stage")["index"] not in (0, 1, 2, 5)
    assert simulator.cell(item, "kinds")["text"] == "a, b"


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


@pytest.mark.parametrize("written", ["2026", {"label": "2026"}])
def test_a_number_in_a_status_is_an_index_and_not_a_label(simulator: Simulator, board: str, written: Any) -> None:
    item = simulator.item(board)
    answer = simulator.ask(
        "mutation ($b: ID!, $i: ID!, $v: JSON!) { change_multiple_column_values(board_id: $b, item_id: $i,"
        " column_values: $v, create_labels_if_missing: true) { id } }",
        b=board,
        i=item,
        v=json.dumps({"stage": written}),
    )
    assert "doesn't exist" in answer["errors"][0]["message"]


def test_an_item_holds_64_kilobytes_of_values_and_no_more(simulator: Simulator, board: str) -> None:
    item = simulator.item(board, role="x" * 60_000)
    (error,) = simulator.change(board, item, {"npd_id": "x" * 6_000})["errors"]
    assert (error["extensions"]["code"], "64 KB" in error["message"]) == ("ColumnValueException", True)
    assert "errors" not in simulator.change(board, item, {"role": "x", "npd_id": "x" * 6_000})
