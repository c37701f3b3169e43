"""The tree of errors and the edge where Monday's bodies become errors of ours."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.connectors.monday import errors, hooks
from sync.connectors.monday.codes import CODES, error_from, is_known
from sync.connectors.monday.errors import MondayError, Scope
from tests.connector.bodies import failed


def _tree(base: type[MondayError]) -> Iterator[type[MondayError]]:
    for child in base.__subclasses__():
        yield child
        yield from _tree(child)


@pytest.mark.parametrize("error", sorted(set(_tree(MondayError)), key=str))
def test_every_error_is_drawn_in_the_tree(error: type[MondayError]) -> None:
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", sorted(set(_tree(MondayError)), key=str))
def test_the_outcome_is_unknown_exactly_where_the_scope_is_transport(error: type[MondayError]) -> None:
    assert error.outcome_unknown is (error.scope is Scope.TRANSPORT)
    assert error.retryable or not error.outcome_unknown


def test_every_scope_has_an_error() -> None:
    assert {error.scope for error in _tree(MondayError)} == set(Scope)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("Item not found", "InvalidItemIdException"), errors.ItemNotFound),
        (
            failed("Item not found in board", "ResourceNotFoundException", status_code=404),
            errors.ItemNotFound,
        ),
        (
            failed("Column not found", "ResourceNotFoundException", error_data={"resource_type": "column"}),
            errors.ColumnGone,
        ),
        (failed("Board not found", "InvalidArgumentException"), errors.BoardGone),
        (failed("group_id is wrong", "InvalidArgumentException"), errors.RecordRefused),
        (failed("email is not valid", "ColumnValueException"), errors.FieldRefused),
        (
            failed(
                "Cannot change column value for inactive items",
                "ColumnValueException",
                error_data={"inactive_pulse_ids": ["2"]},
            ),
            errors.ItemInactive,
        ),
        (
            failed("This column type is not supported yet in the api", "ColumnValueException"),
            errors.ColumnUnsupported,
        ),
        (failed("User unauthorized", "UserUnauthorizedException", status_code=403), errors.BoardForbidden),
        (failed("Rate limit already blocked", "tooManyRequests", status_code=400), errors.FieldLimitReached),
        ({"message": 'Parse error on ":" (STRING) at [1, 166]'}, errors.DocumentRefused),
        ("Not Authenticated", errors.NotAuthenticated),
        (failed("something new", "BrandNewException"), errors.RecordRefused),
    ],
)
def test_an_error_inside_an_answer_becomes_the_class_that_says_what_it_concerns(
    body: Any, expected: type[MondayError]
) -> None:
    assert type(error_from(body, http_status=200)) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.WrongAddress),
        (400, errors.DocumentRefused),
        (401, errors.NotAuthenticated),
        (403, errors.PermissionMissing),
        (404, errors.WrongAddress),
        (409, errors.StillRunning),
        (413, errors.DocumentRefused),
        (423, errors.BoardLocked),
        (429, errors.LimitReached),
        (500, errors.ServerFailed),
        (504, errors.ServerFailed),
    ],
)
def test_a_status_without_a_readable_body_still_says_what_it_concerns(
    status: int, expected: type[MondayError]
) -> None:
    error = error_from(None, http_status=status)
    assert type(error) is expected
    assert str(status) in error.sentence


def test_the_body_s_wait_goes_before_the_header_s() -> None:
    body = failed("Complexity budget exhausted", "COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=22)
    assert error_from(body, http_status=429, retry_after=60).wait_seconds == 22
    assert error_from(failed("x", "RATE_LIMIT_EXCEEDED", retryAfterMs=1500)).wait_seconds == 1.5
    assert error_from(None, http_status=429, retry_after=60).wait_seconds == 60


def test_an_error_names_its_alias_and_its_column() -> None:
    body = failed(
        "label does not exist",
        "ColumnValueException",
        ["u3", "column_values"],
        error_data={"column_id": "status1", "column_type": "color"},
    )
    error = error_from(body, request_id="req-1")
    assert (error.path_alias, error.column_id, error.column_type) == ("u3", "status1", "color")
    assert error.sentence == (
        "Label does not exist (column status1). Correct the value in NPD, or change the column on the board."
        " [Monday request req-1]"
    )


def test_a_pointer_to_the_api_s_documentation_is_left_out_for_people() -> None:
    message = (
        "invalid value. Please check our API documentation for the correct data structure. https://x.test"
    )
    error = error_from(failed(message, "ColumnValueException"))
    assert error.sentence == "Invalid value. Correct the value in NPD, or change the column on the board."


def test_a_name_that_is_too_long_is_held_as_the_name_s_own_field() -> None:
    error = error_from(failed("Item names must be below 256 characters.", "ItemNameTooLongException"))
    assert (error.scope, error.column_id) == (Scope.FIELD, "name")


def test_the_format_before_2025_is_understood() -> None:
    body = {
        "error_code": "ComplexityException",
        "status_code": 429,
        "error_message": "Complexity budget exhausted, reset in 3 seconds",
        "error_data": {},
    }
    assert type(error_from(body, http_status=200)) is errors.ComplexityExhausted


def test_an_unknown_code_is_told_apart_for_the_log() -> None:
    assert is_known("InvalidItemIdException")
    assert not is_known("BrandNewException")


def test_a_half_made_set_of_webhooks_keeps_what_stands() -> None:
    cause = errors.ServerFailed("Internal Server Error", request_id="req-9")
    error = hooks.WebhooksIncomplete(cause, [hooks.Hook("1", "create_item", "f")])
    assert [hook.id for hook in error.hooks] == ["1"]
    assert "Internal Server Error" in error.sentence
    assert "req-9" in error.sentence


def _published_codes(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("code", "error_code") and isinstance(value, str):
                yield value
            yield from _published_codes(value)


def test_every_published_error_code_has_a_class() -> None:
    schema = os.environ.get("MONDAY_SCHEMA")
    published = Path(schema).with_name("errors.json") if schema else None
    if published is None or not published.is_file():
        pytest.skip("MONDAY_SCHEMA names no folder with Monday's error bodies (errors.json)")
    codes = set(_published_codes(json.loads(published.read_text())))
    assert codes
    assert codes - set(CODES) == set()
