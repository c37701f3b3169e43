"""What Monday really answered, made small: each body with where it was found, and what becomes of it.

Facts of other people's published recordings and posts; nothing here names a person.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import responses

from sync.connectors.base import errors
from sync.connectors.base.conversion import ConverterOptions, UnknownValue
from sync.connectors.base.errors import ConnectorError
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.columns import make_converter

URL = "https://monday.test/v2"
QUERY, MUTATION = "query Look { items { id } }", "mutation Write { r0: x { id } }"

RUBY = "github.com/sanifhimani/monday_ruby, recorded "
TOPIC = "community.monday.com topic "
NOTES = "notes of users on live answers, 2026-07"


class Capture(NamedTuple):
    """An answer, where it was found, and the error that a query and a mutation make of it."""

    source: str
    status: int
    body: Any
    query: type[ConnectorError]
    mutation: type[ConnectorError]


def entry(message: str, path: list[str | int] | None = None, **extensions: Any) -> dict[str, Any]:
    """One of an answer's errors."""
    found: dict[str, Any] = {"message": message}
    return found | ({"path": path} if path else {}) | ({"extensions": extensions} if extensions else {})


def invalid(source: str, message: str, path: list[str | int] | None = None, **extensions: Any) -> Capture:
    """A document that was refused before it ran: for a mutation as certain as for a query."""
    kind = errors.InvalidDocument
    return Capture(source, 200, {"errors": [entry(message, path, **extensions)]}, kind, kind)


def misfit(source: str, message: str, **extensions: Any) -> Capture:
    """A value that doesn't fit: refused before anything ran, and perhaps for one record's sake."""
    kind = errors.DocumentRejected
    return Capture(source, 200, {"errors": [entry(message, **extensions)]}, kind, kind)


CAPTURES = (
    invalid(RUBY + "2025-10", 'Cannot query field "invalid_field" on type "Item".'),
    invalid(TOPIC + "116967", 'Unknown argument "to_date" on field "Board.updates".', code="GRAPHQL_VALIDATION_FAILED"),
    misfit(TOPIC + "101224", "CompareValue cannot represent value: null", code="GRAPHQL_VALIDATION_FAILED"),
    invalid(TOPIC + "18407", "List dimension mismatch on variable $board and argument ids (Int! / [Int])"),
    invalid(
        "graphql-ruby, whose words these are",
        "Nullability mismatch on variable $board and argument board_id (ID / ID!)",
        ["query Look", "boards"],
        code="variableMismatch",
    ),
    invalid(
        "graphql-js, whose words these are since 2025-10",
        'Variable "$board" of type "ID" used in position expecting type "ID!".',
    ),
    misfit(
        "graphql-js, whose words these are since 2025-10",
        'Variable "$from" got invalid value "x"; Expected type "Int". Int cannot represent non-integer value: "x"',
    ),
    invalid(TOPIC + "39721", "Field 'ids' doesn't exist on type 'Team'"),
    invalid(TOPIC + "13299", 'Parse error on ":" (STRING) at [3, 11]'),
    invalid(TOPIC + "43017", "Unexpected end of document"),
    invalid(TOPIC + "6453", "No query string was present"),
    misfit(TOPIC + "37987", "Variable file of type File! was provided invalid value"),
    invalid(TOPIC + "106532", "parsing error: syntax error: expected definition", code="PARSING_ERROR"),
    misfit(TOPIC + "108135", "invalid type for variable: 'type'", code="VALIDATION_INVALID_TYPE_VARIABLE"),
    invalid(
        RUBY + "2024-07",
        "Field 'create_folder' doesn't accept argument 'invalid_field'",
        ["mutation", "create_folder", "invalid_field"],
        code="argumentNotAccepted",
    ),
    invalid(
        RUBY + "2024-07",
        "Argument 'kind' on Field 'create_workspace' has an invalid value (private). Expected type 'WorkspaceKind!'.",
        ["mutation", "create_workspace", "kind"],
        code="argumentLiteralsIncompatible",
    ),
    invalid(
        RUBY + "2024-07",
        "Field 'invalid_field' doesn't exist on type 'Item'",
        ["query", "items", "invalid_field"],
        code="undefinedField",
    ),
    Capture(RUBY + "2024-06", 401, {"errors": ["Not Authenticated"]}, errors.NotAuthenticated, errors.NotAuthenticated),
    Capture(
        RUBY + "2025-10",
        200,
        {
            "data": None,
            "errors": [{"message": "Internal server error", "path": [], "extensions": {"status_code": 500}}],
        },
        errors.ServerFailed,
        errors.ServerFailed,
    ),
    Capture(
        TOPIC + "43638",
        200,
        {"errors": [entry("Query has complexity of 28013010, which exceeds max complexity of 5000000")]},
        errors.TooComplex,
        errors.TooComplex,
    ),
)
"""Answers that failed as a whole."""


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda one: f"{one.source} {str(one.body)[:60]}")
@pytest.mark.parametrize("document", [QUERY, MUTATION], ids=["query", "mutation"])
@responses.activate
def test_an_answer_that_failed_as_a_whole_says_what_failed_and_whether_anything_ran(
    capture: Capture, document: str
) -> None:
    responses.post(URL, json=capture.body, status=capture.status)
    with pytest.raises(ConnectorError) as caught:
        MondayClient(URL, "token").execute(document, {})
    assert type(caught.value) is (capture.query if document == QUERY else capture.mutation)


@responses.activate
def test_a_refused_document_is_named_with_the_version_that_answered() -> None:
    body = {"errors": [entry('Cannot query field "invalid_field" on type "Item".')]}
    responses.post(URL, json=body, headers={"API-Version": "2027-01"})
    with pytest.raises(errors.DocumentRejected) as caught:
        MondayClient(URL, "token").execute(QUERY, {})
    assert "document Look" in caught.value.sentence
    assert "2027-01" in caught.value.sentence


OF_ONE_ALIAS = (
    (
        TOPIC + "116170",
        entry(
            "data_validation_error",
            ["r0"],
            code="DATA_VALIDATIONS_ERROR",
            status_code=422,
            error_data=[{"itemId": None, "columnIds": ["numbers__1"], "message": "Numbers should not be empty"}],
        ),
        errors.RulesBroken,
        "numbers__1",
    ),
    (
        NOTES,
        entry("unable to assign team with id: 1348990", ["r0"], code="ColumnValueException", status_code=200),
        errors.PersonRejected,
        None,
    ),
    (
        NOTES,
        entry(
            "The dropdown label 'X' does not exist, possible labels are: {1: Design, 2: QA}",
            ["r0"],
            code="ColumnValueException",
            error_data={"column_type": "dropdown", "column_id": "dropdown_1"},
        ),
        errors.LabelUnknown,
        "dropdown_1",
    ),
    (
        TOPIC + "19867",
        entry(
            "Validation failed: user cant subscribe to a pulse without being exposed to it",
            ["r0"],
            code="RecordInvalidException",
            status_code=422,
        ),
        errors.PersonRejected,
        None,
    ),
    (
        TOPIC + "67850",
        entry("There are items that are not in the connected boards", ["r0"], code="ColumnValueException"),
        errors.ItemNotConnected,
        None,
    ),
    (
        TOPIC + "111320",
        entry(
            "CellLimitExceededException: Validation of column values failed: Exceeded cell limit.",
            ["r0"],
            code="CellLimitExceededException",
            status_code=422,
            error_data={"limit": 500, "limit_type": "count", "column_type": "subtasks"},
        ),
        errors.FieldRejected,
        None,
    ),
    (
        TOPIC + "46018",
        entry("Item link max locks exceeded", ["r0"], code="ColumnValueException", status_code=200),
        errors.ItemLocked,
        None,
    ),
    (
        NOTES,
        entry("User unauthorized to perform action", ["r0"], code="USER_UNAUTHORIZED", status_code=403),
        errors.BoardForbidden,
        None,
    ),
    (
        RUBY + "2025-10",
        entry("Item not found", ["r0"], code="InvalidItemIdException", error_data={"item_id": 123}),
        errors.ItemNotFound,
        None,
    ),
)
"""Refusals of one alias: where found, as answered, what becomes of it, and the column that it names."""


@pytest.mark.parametrize(("source", "told", "expected", "column"), OF_ONE_ALIAS, ids=lambda one: str(one)[:60])
@responses.activate
def test_a_refusal_of_one_alias_says_whose_fault_it_is(
    source: str, told: dict[str, Any], expected: type[ConnectorError], column: str | None
) -> None:
    responses.post(URL, json={"data": {"r0": None}, "errors": [told]})
    [error] = MondayClient(URL, "token").execute(MUTATION, {}).errors
    assert (type(error), error.path_alias, error.column_id) == (expected, "r0", column), source


@responses.activate
def test_broken_rules_are_told_of_each_column_in_mondays_words() -> None:
    rules = [
        {"itemId": None, "columnIds": ["status"], "message": "Status 1 should not be empty"},
        {"itemId": None, "columnIds": ["numbers"], "message": "Numbers should not be empty"},
        {"itemId": None, "columnIds": ["numbers"], "message": "Numbers should be at least 5"},
    ]
    told = entry("data_validation_error", ["r0"], code="DATA_VALIDATIONS_ERROR", error_data=rules)
    responses.post(URL, json={"data": {"r0": None}, "errors": [told]})
    [error] = MondayClient(URL, "token").execute(MUTATION, {}).errors
    assert isinstance(error, errors.RulesBroken)
    assert "Status 1 should not be empty; Numbers should not be empty; Numbers should be at least 5" in error.sentence
    assert error.column_id is None
    assert error.columns == {
        "status": "Status 1 should not be empty",
        "numbers": "Numbers should not be empty; Numbers should be at least 5",
    }
    assert (error.of_column("status").message, error.of_column("status").column_id) == (
        "Status 1 should not be empty",
        "status",
    )


PHONE = make_converter("phone", ConverterOptions(region="GB"))


def test_a_webhooks_phone_number_without_a_country_is_no_value() -> None:
    # Deliveries of 2024-10 and 2025-06 (community 100330 and a published log) told no country; the cell did.
    with pytest.raises(UnknownValue):
        PHONE.from_event({"phone": "18175841626"}, "phone")
    assert PHONE.from_event({"phone": "+18175841626"}, "phone") == "+18175841626"
    assert PHONE.from_event({"phone": "18175841626", "countryShortName": "US"}, "phone") == "+18175841626"
    assert PHONE.from_event({}, "phone") is None


@pytest.mark.parametrize("name", ["phone", "email", "status", "date"])
def test_a_value_of_column_settings_alone_is_an_empty_cell(name: str) -> None:
    convert = make_converter(name, ConverterOptions())
    assert convert.from_event({"column_settings": {"a": 1}}, convert.column_type) is None
