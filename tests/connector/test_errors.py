"""The kinds of errors, and how Monday's bodies become errors of ours."""

import re
from pathlib import Path
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.errors import CODES, PUBLISHED, ErrorKind, KnownCode, Scope, translate_error
from tests.connector.bodies import failed

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = ROOT / "sandbox"


@pytest.mark.parametrize("kind", errors.KINDS.values(), ids=str)
def test_what_may_have_been_applied_keeps_mondays_wait_and_everybody_is_told_what_to_do(kind: ErrorKind) -> None:
    assert kind.outcome_unknown is (kind.scope is Scope.TRANSPORT)
    assert kind.keeps_wait or not kind.outcome_unknown
    assert kind.advice.endswith(".")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (failed("Item not found in board", "ResourceNotFoundException", status_code=404), errors.ITEM_NOT_FOUND),
        (
            failed("Column not found", "ResourceNotFoundException", error_data={"resource_type": "column"}),
            errors.COLUMN_NOT_FOUND,
        ),
        (failed("Board not found", "InvalidArgumentException"), errors.BOARD_NOT_FOUND),
        (failed("group_id is wrong", "InvalidArgumentException"), errors.RECORD_REJECTED),
        (failed("email is not valid", "ColumnValueException"), errors.FIELD_REJECTED),
        (
            failed("Inactive items", "ColumnValueException", error_data={"inactive_pulse_ids": ["2"]}),
            errors.ITEM_INACTIVE,
        ),
        (failed("This column type is not supported yet in the api", "ColumnValueException"), errors.COLUMN_UNSUPPORTED),
        (failed("something new", "BrandNewException"), errors.RECORD_REJECTED),
        (failed("Slow down", "rateLimitsAgain", retry_in_seconds=7), errors.LIMIT_REACHED),
        (failed("Slow down", "rateLimitsAgain", ["r0"], status_code=429), errors.LIMIT_REACHED),
        (failed("Oops", "NewFault", ["r0"], status_code=500), errors.SERVER_FAILED),
        (failed("No", "NewRefusal", ["r0"], status_code=403), errors.BOARD_FORBIDDEN),
        (failed("Later", "NewLock", ["r0"], status_code=423), errors.BOARD_LOCKED),
        (failed("Group not found", "ResourceNotFoundException"), errors.GROUP_NOT_FOUND),
        (failed("No", "UserUnauthorizedException", ["me"], status_code=403), errors.PERMISSION_MISSING),
        ({"message": "Your ip is restricted"}, errors.ADDRESS_FORBIDDEN),
    ],
)
def test_an_error_becomes_the_kind_that_its_code_and_the_rest_of_it_tell(body: Any, expected: ErrorKind) -> None:
    assert translate_error(body, http_status=200).kind is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.DOCUMENT_REJECTED),
        (401, errors.NOT_AUTHENTICATED),
        (403, errors.PERMISSION_MISSING),
        (404, errors.WRONG_ADDRESS),
        (409, errors.STILL_RUNNING),
        (413, errors.TOO_COMPLEX),
        (429, errors.LIMIT_REACHED),
        (504, errors.SERVER_FAILED),
    ],
)
def test_a_status_without_a_readable_body_still_says_what_it_concerns(status: int, expected: ErrorKind) -> None:
    error = translate_error(None, http_status=status)
    assert error.kind is expected
    assert error.http_status == status


def test_the_body_s_wait_goes_before_the_header_s() -> None:
    body = failed("Complexity budget exhausted", "COMPLEXITY_BUDGET_EXHAUSTED", retry_in_seconds=22)
    assert translate_error(body, http_status=429, retry_after=60).wait_seconds == 22
    assert translate_error(None, http_status=429, retry_after=60).wait_seconds == 60


def test_a_name_that_is_too_long_is_held_as_the_name_s_own_field() -> None:
    error = translate_error(failed("Item names must be below 256 characters.", "ItemNameTooLongException"))
    assert (error.scope, error.column_id) == (Scope.FIELD, "name")


def test_every_code_stands_in_the_table_once_and_names_its_source() -> None:
    codes = [row.code for row in PUBLISHED]
    assert len(codes) == len(set(codes))
    assert all(re.search(r"developer\.monday|mondaycom/mcp|topic \d+|published", k.source) for k in PUBLISHED)


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row.code)
def test_a_code_becomes_the_kind_of_the_table(row: KnownCode) -> None:
    error = translate_error(failed("No.", row.code, ["r0"]), http_status=200)
    assert (error.kind, error.code) == (row.kind, row.code)


def test_every_code_that_the_sandbox_can_answer_has_a_kind() -> None:
    sources = [path.read_text() for path in SANDBOX.rglob("*.py")]
    pattern = r'"((?:[A-Z][a-zA-Z]+Exception)|(?:[A-Z]+(?:_[A-Z]+)*_(?:EXCEEDED|EXHAUSTED|CONFLICT|FAILED|REQUEST)))"'
    codes = {code for source in sources for code in re.findall(pattern, source)}
    assert len(codes) > 10
    assert codes - set(CODES) == set()


def test_a_refusal_that_no_wait_helps_asks_for_none() -> None:
    gone = translate_error(failed("Item not found", "InvalidItemIdException"), http_status=200, retry_after=38)
    assert gone.wait_seconds is None
