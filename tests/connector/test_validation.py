"""What a board's validation rules ask of values, and which value they will certainly refuse."""

from collections.abc import Mapping
from typing import Any

import pytest

from sync.connectors.base.conversion import ConverterOptions
from sync.connectors.base.errors import PermissionMissing
from sync.connectors.monday.board_structure import parse_rules, read_boards
from sync.connectors.monday.columns import make_converter
from sync.connectors.monday.graphql import Answer
from tests.connector.fake_account import FakeAccount

LABELS = {"labels": {"1": "New", "2": "Won", "3": "Lost"}}


def constraint(column: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"operator": "AND", "groups": [{"operator": operator, "column_id": column, "compare_value": list(values)}]}


def test_rules_are_read_as_the_guide_shows_them() -> None:
    told = {
        "required_column_ids": ["email", "numbers0"],
        "rules": {
            "80d2": {"then": constraint("numbers0", "GREATER_THAN_OR_EQUALS", 5)},
            "3193": {"if": constraint("status", "ANY_OF", 1), "then": constraint("text0", "IS_NOT_EMPTY")},
        },
    }
    rules = parse_rules(told)
    assert rules is not None
    assert rules.conditional == 1
    assert rules.columns == {
        "email": {"required": True},
        "numbers0": {"required": True, "operator": "GREATER_THAN_OR_EQUALS", "values": [5]},
    }


@pytest.mark.parametrize("told", [None, "x", []])
def test_rules_that_are_not_told_are_not_rules_that_ended(told: Any) -> None:
    assert parse_rules(told) is None


@pytest.mark.parametrize("rules", [None, "x", {"a": None}, {"a": {"then": {"groups": []}}}, {"a": {"then": None}}])
def test_rules_in_another_form_ask_nothing(rules: Any) -> None:
    found = parse_rules({"required_column_ids": None, "rules": rules})
    assert found is not None
    assert (found.columns, found.conditional) == ({}, 0)


def reason(name: str, value: Any, operator: str, *values: Any, required: bool = False) -> str | None:
    validation = {"required": required, "operator": operator, "values": list(values)}
    return make_converter(name, ConverterOptions(settings=LABELS | {"validation": validation})).rejection_reason(
        {"stage": value}
    )


@pytest.mark.parametrize(
    ("name", "operator", "values", "taken", "refused", "words"),
    [
        ("numbers", "GREATER_THAN_OR_EQUALS", [5], ["5", "5.0", "12"], ["4.9", "-6"], "at least 5"),
        ("numbers", "LOWER_THAN", [5], ["4"], ["5", "10"], "less than 5"),
        ("numbers", "NOT_EQUALS", [5], ["6"], ["5.00"], "other than 5"),
        ("date", "BETWEEN", ["2026-01-01", "2026-12-31"], ["2026-01-01"], ["2027-01-01"], "2026-12-31"),
        ("date", "GREATER_THAN", ["EXACT", "2026-01-01"], ["2026-01-02"], ["2026-01-01"], "later than 2026-01-01"),
        ("status", "ANY_OF", [1, 2], ["New", "Won"], ["Lost", "Other"], "New, Won"),
        ("status", "NOT_ANY_OF", [3], ["New"], ["Lost"], "none of Lost"),
        ("dropdown", "ANY_OF", [1], [["New", "Won"]], [["Won"]], "one of New"),
        ("dropdown", "NOT_ANY_OF", [1, 2], [["New", "Lost"]], [["New", "Won"]], "none of New, Won"),
        ("text", "CONTAINS_TEXT", ["REQ-"], ["a req-1", "REQ-1"], ["RQ-1"], "contain “REQ-”"),
        ("text", "STARTS_WITH_TEXT", ["REQ-"], ["req-1"], ["a REQ-1"], "begin with “REQ-”"),
        ("long_text", "NOT_CONTAINS_TEXT", ["old"], ["new", "OLD"], ["an old one"], "not contain “old”"),
    ],
)
def test_only_what_is_certainly_refused_is_said_before_it_is_sent(
    name: str, operator: str, values: list[Any], taken: list[Any], refused: list[Any], words: str
) -> None:
    assert [reason(name, value, operator, *values) for value in taken] == [None] * len(taken)
    for value in refused:
        told = reason(name, value, operator, *values) or ""
        assert told.startswith("stage: ")
        assert words in told


@pytest.mark.parametrize("name", ["phone", "email", "link", "country"])
def test_of_what_monday_shows_as_another_text_nothing_is_certain(name: str) -> None:
    value = "GB" if name == "country" else "https://a.test" if name == "link" else "+442079460018"
    assert reason(name, value, "CONTAINS_TEXT", "never") is None


@pytest.mark.parametrize("name", ["text", "numbers", "status", "phone", "email"])
def test_a_required_value_can_not_be_cleared(name: str) -> None:
    assert "requires a value" in (reason(name, None, "", required=True) or "")
    assert reason(name, None, "GREATER_THAN", 5) is None


@pytest.mark.parametrize("rule", [("UNKNOWN", [5]), ("GREATER_THAN", ["x"]), ("GREATER_THAN", []), ("BETWEEN", [1])])
def test_a_rule_that_is_not_understood_refuses_nothing(rule: tuple[str, list[Any]]) -> None:
    operator, values = rule
    assert reason("numbers", "4", operator, *values) is None
    assert reason("date", "2026-01-01", operator, *values) is None or operator == "GREATER_THAN"


class Refusing(FakeAccount):
    """An account whose token may not ask for rules: the whole query is refused."""

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        if "validations" in document:
            raise PermissionMissing("Unauthorized field or type", code="UNAUTHORIZED_FIELD_OR_TYPE")
        return super().execute(document, variables, idempotency_key=idempotency_key)


def test_a_board_whose_rules_may_not_be_asked_for_is_read_without_them() -> None:
    account = Refusing()
    account.add_board("7")
    assert read_boards(account, ["7"])["7"].rules is None


def test_boards_are_read_with_their_own_rules() -> None:
    account = FakeAccount()
    account.add_board("7")
    account.add_board("8")
    account.rules["8"] = {"required_column_ids": ["email"], "rules": None}
    found = read_boards(account, ["8", "7", "9"])
    assert {board_id: board.rules and dict(board.rules.columns) for board_id, board in found.items()} == {
        "8": {"email": {"required": True}},
        "7": None,
    }
