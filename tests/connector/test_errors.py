"""The tree of errors and the edge where Monday's bodies become errors of ours."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.errors import ConnectorError, Scope
from sync.monday.graphql import CODES, PUBLISHED, KnownCode, translate_error
from tests.connector.bodies import failed

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "sandbox"


def _tree(base: type[ConnectorError]) -> Iterator[type[ConnectorError]]:
    for child in base.__subclasses__():
        yield child
        yield from _tree(child)


@pytest.mark.parametrize("error", sorted(set(_tree(ConnectorError)), key=str))
def test_the_outcome_is_unknown_exactly_where_the_scope_is_transport(error: type[ConnectorError]) -> None:
    assert error.outcome_unknown is (error.scope is Scope.TRANSPORT)
    assert error.retryable or not error.outcome_unknown


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("Item not found in board", "ResourceNotFoundException", status_code=404), errors.ItemNotFound),
        (
            failed("Column not found", "ResourceNotFoundException", error_data={"resource_type": "column"}),
            errors.ColumnNotFound,
        ),
        (failed("Board not found", "InvalidArgumentException"), errors.BoardNotFound),
        (failed("group_id is wrong", "InvalidArgumentException"), errors.RecordRejected),
        (failed("email is not valid", "ColumnValueException"), errors.FieldRejected),
        (
            failed(
                "Cannot change column value for inactive items",
                "ColumnValueException",
                error_data={"inactive_pulse_ids": ["2"]},
            ),
            errors.ItemInactive,
        ),
        (failed("This column type is not supported yet in the api", "ColumnValueException"), errors.ColumnUnsupported),
        (failed("something new", "BrandNewException"), errors.RecordRejected),
    ],
)
def test_an_error_inside_an_answer_becomes_the_class_that_says_what_it_concerns(
    body: Any, expected: type[ConnectorError]
) -> None:
    assert type(translate_error(body, http_status=200)) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.WrongAddress),
        (400, errors.DocumentRejected),
        (401, errors.NotAuthenticated),
        (403, errors.PermissionMissing),
        (404, errors.WrongAddress),
        (409, errors.StillRunning),
        (413, errors.TooComplex),
        (423, errors.BoardLocked),
        (429, errors.LimitReached),
        (500, errors.ServerFailed),
        (504, errors.ServerFailed),
    ],
)
def test_a_status_without_a_readable_body_still_says_what_it_concerns(
    status: int, expected: type[ConnectorError]
) -> None:
    error = translate_error(None, http_status=status)
    assert type(error) is expected
    assert str(status) in error.full_sentence


def test_the_body_s_wait_goes_before_the_header_s() -> None:
    body = failed("Complexity budget exhausted", "COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=22)
    assert translate_error(body, http_status=429, retry_after=60).wait_seconds == 22
    assert translate_error(None, http_status=429, retry_after=60).wait_seconds == 60


def test_a_name_that_is_too_long_is_held_as_the_name_s_own_field() -> None:
    error = translate_error(failed("Item names must be below 256 characters.", "ItemNameTooLongException"))
    assert (error.scope, error.column_id) == (Scope.FIELD, "name")


def test_every_code_stands_in_the_table_once_and_names_its_source() -> None:
    codes = [known.code for known in PUBLISHED]
    assert len(codes) == len(set(codes))
    assert all(re.search(r"developer\.monday|mondaycom/mcp|topic \d+|published", k.source) for k in PUBLISHED)


@pytest.mark.parametrize("known", PUBLISHED, ids=lambda known: known.code)
def test_a_code_becomes_the_class_of_the_table_in_the_present_and_in_the_older_form(known: KnownCode) -> None:
    older = {"error_code": known.code, "error_message": "No.", "status_code": 200, "error_data": {}}
    for body in (failed("No.", known.code, ["r0"]), older):
        error = translate_error(body, http_status=200)
        assert isinstance(error, known.error)
        assert error.code == known.code


def test_every_code_that_the_sandbox_can_answer_has_a_class() -> None:
    sources = [path.read_text() for path in SANDBOX.rglob("*.py")]
    pattern = r'"((?:[A-Z][a-zA-Z]+Exception)|(?:[A-Z]+(?:_[A-Z]+)*_(?:EXCEEDED|EXHAUSTED|CONFLICT|FAILED|REQUEST)))"'
    codes = {code for source in sources for code in re.findall(pattern, source)}
    assert len(codes) > 10
    reasons_of_jobs = {"AUTHORIZATION_FAILED", "BOARD_CAPACITY_EXCEEDED", "ACCOUNT_CAPACITY_EXCEEDED"}
    assert codes - set(CODES) - reasons_of_jobs == set()


def _codes_in(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("code", "error_code") and isinstance(value, str):
                yield value
            yield from _codes_in(value)


def _beside_the_schema(name: str) -> Path:
    schema = os.environ.get("MONDAY_SCHEMA")
    found = Path(schema).parent.joinpath(name) if schema else None
    if found is None or not found.is_file():
        pytest.skip(f"MONDAY_SCHEMA names no folder with Monday's error bodies ({name})")
    return found


def test_every_published_error_code_has_a_class() -> None:
    codes = set(_codes_in(json.loads(_beside_the_schema("errors.json").read_text())))
    assert codes
    assert codes - set(CODES) == set()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("Slow down", "rateLimitsAgain", retry_in_seconds=7), errors.LimitReached),
        (failed("Slow down", "rateLimitsAgain", ["r0"], retry_in_seconds=7), errors.FieldLimitReached),
        (failed("Slow down", "rateLimitsAgain", ["r0"], status_code=429), errors.FieldLimitReached),
        (failed("Oops", "NewFault", ["r0"], status_code=500), errors.ServerFailed),
        ({"error_message": "Internal server error", "status_code": 500}, errors.ServerFailed),
        (failed("No", "NewRefusal", ["r0"], status_code=403), errors.BoardForbidden),
        (failed("Later", "NewLock", ["r0"], status_code=423), errors.BoardLocked),
        (failed("Group not found", "ResourceNotFoundException"), errors.GroupNotFound),
        (failed("No", "UserUnauthorizedException", ["me"], status_code=403), errors.PermissionMissing),
        ({"message": "Your ip is restricted"}, errors.AddressForbidden),
    ],
)
def test_what_a_code_does_not_tell_is_read_from_the_rest_of_the_error(
    body: Any, expected: type[ConnectorError]
) -> None:
    assert type(translate_error(body, http_status=200)) is expected


def test_a_refusal_that_no_wait_helps_asks_for_none() -> None:
    gone = translate_error(failed("Item not found", "InvalidItemIdException"), http_status=200, retry_after=38)
    assert gone.wait_seconds is None
    assert "wait" not in gone.sentence
