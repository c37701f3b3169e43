"""Answers that Monday really gave, shortened: each body with its source, and what becomes of it.

They are from other people's published recordings and posts; nothing here names a person.
"""

from typing import Any, NamedTuple

import pytest
import responses

from sync.monday import errors
from sync.monday.client import MondayClient
from sync.monday.columns import BY_TYPE, make_converter
from sync.monday.conversion import ConverterOptions, UnknownValue
from sync.monday.errors import ErrorKind, MondayError
from sync.monday.item_documents import parse_items_at

URL = "https://monday.test/v2"
QUERY, MUTATION = "query ReadItems { items { id } }", "mutation Write { r0: x { id } }"

RUBY = "github.com/sanifhimani/monday_ruby, recorded "
TOPIC = "community.monday.com topic "
NOTES = "notes of users on live answers, 2026-07"
GRAPHQL_JS = "graphql-js, whose words these are since 2025-10"


class Capture(NamedTuple):
    """An answer, its source, and the error that it becomes for a query and a mutation alike."""

    source: str
    status: int
    body: Any
    kind: ErrorKind


def entry(message: str, path: list[str | int] | None = None, **extensions: Any) -> dict[str, Any]:
    error: dict[str, Any] = {"message": message}
    return error | ({"path": path} if path else {}) | ({"extensions": extensions} if extensions else {})


def invalid(source: str, message: str, **extensions: Any) -> Capture:
    """A document that was refused before it ran, which is as certain for a mutation as for a query."""
    return Capture(source, 200, {"errors": [entry(message, **extensions)]}, errors.INVALID_DOCUMENT)


def misfit(source: str, message: str, **extensions: Any) -> Capture:
    """A value that doesn't fit: refused before anything ran, perhaps because of one record."""
    return Capture(source, 200, {"errors": [entry(message, **extensions)]}, errors.DOCUMENT_REJECTED)


# Answers that failed as a whole.
CAPTURES = (
    invalid(RUBY + "2025-10", 'Cannot query field "invalid_field" on type "Item".'),
    invalid(TOPIC + "116967", 'Unknown argument "to_date" on field "Board.updates".', code="GRAPHQL_VALIDATION_FAILED"),
    misfit(TOPIC + "101224", "CompareValue cannot represent value: null", code="GRAPHQL_VALIDATION_FAILED"),
    invalid(GRAPHQL_JS, 'Variable "$board" of type "ID" used in position expecting type "ID!".'),
    misfit(
        GRAPHQL_JS,
        'Variable "$from" got invalid value "x"; Expected type "Int". Int cannot represent non-integer value: "x"',
    ),
    invalid(GRAPHQL_JS, 'Syntax Error: Expected Name, found "}".'),
    invalid(
        GRAPHQL_JS, 'Field "items" of type "[Item]" must have a selection of subfields. Did you mean "items { ... }"?'
    ),
    misfit(GRAPHQL_JS, 'Variable "$item" of required type "ID!" was not provided.'),
    invalid(TOPIC + "106532", "parsing error: syntax error: expected definition", code="PARSING_ERROR"),
    misfit(TOPIC + "108135", "invalid type for variable: 'type'", code="VALIDATION_INVALID_TYPE_VARIABLE"),
    Capture(RUBY + "2024-06", 401, {"errors": ["Not Authenticated"]}, errors.NOT_AUTHENTICATED),
    Capture(
        RUBY + "2025-10",
        200,
        {
            "data": None,
            "errors": [{"message": "Internal server error", "path": [], "extensions": {"status_code": 500}}],
        },
        errors.SERVER_FAILED,
    ),
    Capture(
        "apollographql.com/docs/graphos/routing/errors, of the gateway whose codes Monday shows",
        200,
        {"data": None, "errors": [entry("HTTP fetch failed from 'monolith'", code="SUBREQUEST_HTTP_ERROR")]},
        errors.SERVER_FAILED,
    ),
    Capture("no answer that says anything", 200, {"errors": [None]}, errors.UNREADABLE_ANSWER),
)


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda capture: f"{capture.source} {str(capture.body)[:60]}")
@pytest.mark.parametrize("document", [QUERY, MUTATION], ids=["query", "mutation"])
@responses.activate
def test_a_failed_answer_says_what_failed_and_if_anything_ran(capture: Capture, document: str) -> None:
    responses.post(URL, json=capture.body, status=capture.status)
    with pytest.raises(MondayError) as caught:
        MondayClient(URL, "token", version="2026-10").execute(document, {})
    assert caught.value.kind is capture.kind


def refused(
    source: str, message: str, code: str, kind: ErrorKind, column: str | None = None,
    path: list[str | int] | None = None, **more: Any,
) -> tuple[str, dict[str, Any], ErrorKind, str | None]:  # fmt: skip
    """The refusal of one alias in an answered mutation."""
    return source, entry(message, path or ["r0"], **({"code": code} if code else {}), **more), kind, column


# Refusals of one alias: source, answer, what becomes of it, and the column that it names.
OF_ONE_ALIAS = (
    refused(
        TOPIC + "116170",
        "data_validation_error",
        "DATA_VALIDATIONS_ERROR",
        errors.RULES_BROKEN,
        "numbers__1",
        status_code=422,
        error_data=[{"itemId": None, "columnIds": ["numbers__1"], "message": "Numbers should not be empty"}],
    ),
    refused(
        NOTES,
        "The dropdown label 'X' does not exist, possible labels are: {1: Design, 2: QA}",
        "ColumnValueException",
        errors.LABEL_UNKNOWN,
        "dropdown_1",
        error_data={"column_type": "dropdown", "column_id": "dropdown_1"},
    ),
    refused(
        TOPIC + "67850",
        "There are items that are not in the connected boards",
        "ColumnValueException",
        errors.ITEM_NOT_CONNECTED,
    ),
    refused(
        TOPIC + "46018", "Item link max locks exceeded", "ColumnValueException", errors.ITEM_LOCKED, status_code=200
    ),
    refused(
        TOPIC + "41658",
        "invalid column id xxx",
        "InvalidColumnIdException",
        errors.COLUMN_NOT_FOUND,
        "xxx",
        error_data={"column_id": {"column_value": "", "column_id": "xxx"}},
    ),
    refused(
        TOPIC + "107921",
        "Cannot return null for non-nullable field DropdownValueOption.label",
        "",
        errors.SERVER_FAILED,
        path=["r0", "column_values", 1],
    ),
    refused(NOTES, "User unauthorized to perform action", "USER_UNAUTHORIZED", errors.BOARD_FORBIDDEN, status_code=403),
)


@pytest.mark.parametrize(("source", "failure", "expected", "column"), OF_ONE_ALIAS, ids=lambda value: str(value)[:60])
@responses.activate
def test_a_refusal_of_one_alias_says_whose_fault_it_is(
    source: str, failure: dict[str, Any], expected: ErrorKind, column: str | None
) -> None:
    responses.post(URL, json={"data": {"r0": None}, "errors": [failure]})
    [error] = MondayClient(URL, "token", version="2026-10").execute(MUTATION, {}).errors
    assert (error.kind, error.path_alias, error.column_id) == (expected, "r0", column), source


@responses.activate
def test_broken_rules_are_told_of_each_column_in_mondays_words() -> None:
    rules = [
        {"itemId": None, "columnIds": ["status"], "message": "Status 1 should not be empty"},
        {"itemId": None, "columnIds": ["numbers"], "message": "Numbers should not be empty"},
        {"itemId": None, "columnIds": ["numbers"], "message": "Numbers should be at least 5"},
    ]
    failure = entry("data_validation_error", ["r0"], code="DATA_VALIDATIONS_ERROR", error_data=rules)
    responses.post(URL, json={"data": {"r0": None}, "errors": [failure]})
    [error] = MondayClient(URL, "token", version="2026-10").execute(MUTATION, {}).errors
    assert error.kind is errors.RULES_BROKEN
    assert "Status 1 should not be empty; Numbers should not be empty; Numbers should be at least 5" in error.sentence
    assert error.column_id is None
    assert error.columns == {
        "status": "Status 1 should not be empty",
        "numbers": "Numbers should not be empty; Numbers should be at least 5",
    }
    expected = ("Status 1 should not be empty", "status")
    assert (error.of_column("status").message, error.of_column("status").column_id) == expected


@pytest.mark.parametrize("value", [{"text": None, "name": False}, {"text": "", "value": 0}, {"text": "a", "name": "b"}])
def test_a_text_beside_something_else_than_itself_is_unknown(value: Any) -> None:
    with pytest.raises(UnknownValue):
        make_converter("text").from_event(value, "text")
    assert make_converter("text").from_event({"text": None, "value": "a", "name": "a"}, "text") == "a"


PHONE = make_converter("phone", ConverterOptions(region="GB"))


def test_a_webhooks_phone_number_without_a_country_is_no_value() -> None:
    # Deliveries of 2024-10 and 2025-06 (community 100330 and a published log) had no country, but the cell did.
    with pytest.raises(UnknownValue):
        PHONE.from_event({"phone": "18175841626"}, "phone")
    assert PHONE.from_event({"phone": "+18175841626"}, "phone") == "+18175841626"
    assert PHONE.from_event({"phone": "18175841626", "countryShortName": "US"}, "phone") == "+18175841626"
    assert PHONE.from_event({}, "phone") is None


@pytest.mark.parametrize("name", ["phone", "email", "status", "date", "relation", "dropdown", "checkbox"])
@pytest.mark.parametrize("value", [{"column_settings": {"a": 1}}, {"changed_at": "x"}])
def test_a_value_without_anything_of_the_value_is_an_empty_cell(name: str, value: Any) -> None:
    converter = make_converter(name, ConverterOptions())
    assert converter.from_event(value, converter.column_type) is None


# --- cells, as items_page showed them ---------------------------------------------------------------------------------


# Read as a reason, and never as an empty cell.
UNKNOWN = "unknown"

# Source, the column's type, what the cell showed, and its canonical value.
CELLS: tuple[tuple[str, str, dict[str, Any], Any], ...] = (
    ("a team's probe, 2026-07", "checkbox", {"text": "v", "value": '{"checked":true,"changed_at":"x"}'}, "yes"),
    ("published answers, 2024-11", "checkbox", {"text": None, "value": '{"checked":false}'}, None),
    (TOPIC + "34535", "board_relation", {"value": '{"linkedPulseIds":[{"linkedPulseId":12}]}'}, UNKNOWN),
    (TOPIC + "5444", "status", {"value": '{"index":9,"post_id":null}'}, UNKNOWN),
    ("a Make scenario, 2025-10", "status", {"value": '{"index":0}', "text": "Discovery"}, "Discovery"),
    (TOPIC + "43820", "text", {"value": '"2"'}, "2"),
    ("published answers, 2024-11", "text", {"text": None, "value": '""'}, None),
    ("notes of live round trips, 2026-04", "numbers", {"value": '"0.87"', "text": "0.87"}, "0.87"),
    (TOPIC + "65480", "long_text", {"text": "x\n", "value": '{"text":"x\\n","changed_at":"x"}'}, "x"),
    ("a copied answer, 2025-05", "date", {"text": "2025-05-30", "value": '{"date":"2025-05-30"}'}, "2025-05-30"),
    (
        TOPIC + "27092",
        "link",
        {"text": None, "value": '{"url":"https://a.test/x","text":"https://a.test/x"}'},
        "https://a.test/x",
    ),
    (
        TOPIC + "4499",
        "email",
        {"text": "a@x.test", "value": '{"email":"a@x.test","text":"a@x.test","changed_at":"x"}'},
        "a@x.test",
    ),
    ("a team's probe, 2026-07, of a team", "people", {"text": "Sales", "value": None}, UNKNOWN),
    (
        "developer.monday.com/api-reference/reference/phone",
        "phone",
        {"text": "1 817", "value": '{"phone":"18175841626","countryShortName":"US"}'},
        "+18175841626",
    ),
    (TOPIC + "32099", "email", {"text": "", "value": '{"column_settings":{"ccPulse":true}}'}, None),
    ("published answers, 2024-11", "status", {"text": None, "value": '{"changed_at":"x"}', "index": None}, None),
    *(
        ("emptied as that status was", kind, {"text": "", "value": '{"changed_at":"x"}'}, None)
        for kind in ("email", "phone", "date", "link", "long_text", "text")
    ),
    ("emptied as that status was", "checkbox", {"text": "", "value": '{"changed_at":"x"}', "checked": False}, None),
    ("emptied, though a text is shown", "email", {"text": "a@x.test", "value": '{"changed_at":"x"}'}, UNKNOWN),
    ("a team's probe, 2026-07", "rating", {"text": "4", "value": '{"rating":4}'}, UNKNOWN),
)


@pytest.mark.parametrize(("source", "kind", "shown", "expected"), CELLS, ids=lambda value: str(value)[:50])
def test_a_cell_reads_as_its_value_or_as_a_reason(source: str, kind: str, shown: dict[str, Any], expected: Any) -> None:
    node = {"id": "1", "name": "n", "state": "active", "column_values": [{"id": "c", "type": kind} | shown]}
    (item,) = parse_items_at([node], ["c"])
    reading = item.reading("c")
    if kind not in BY_TYPE:
        assert (reading.is_known, expected) == (False, UNKNOWN), source
        return
    converter = BY_TYPE[kind](ConverterOptions(region="GB"))
    try:
        value: Any = converter.canonical_remote(converter.cell_value(reading))
    except UnknownValue:
        value = UNKNOWN
    assert value == expected, source
