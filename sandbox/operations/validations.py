"""What a board's own validation asks of its items: columns that must not be empty, and rules about their values.

Without a condition (`if`) a column has one rule with one constraint
(developer.monday.com/api-reference/docs/validation-rules-guide, as of 2026-09); rules with one are kept and told, and
nothing is refused by them.
"""

import operator
import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.model import Board, Column
from sandbox.operations.events import column_of
from sandbox.world import World

REQUIRABLE = frozenset(
    ("status", "dropdown", "numbers", "date", "timeline", "people", "text", "long_text", "email", "phone", "link")
) | {"country", "location"}

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "EQUALS": operator.eq,
    "NOT_EQUALS": operator.ne,
    "GREATER_THAN": operator.gt,
    "GREATER_THAN_OR_EQUALS": operator.ge,
    "LOWER_THAN": operator.lt,
    "LOWER_THAN_OR_EQUAL": operator.le,
}

TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "CONTAINS_TEXT": lambda text, part: part.casefold() in text.casefold(),
    "NOT_CONTAINS_TEXT": lambda text, part: part.casefold() not in text.casefold(),
    "STARTS_WITH_TEXT": lambda text, part: text.casefold().startswith(part.casefold()),
}


def set_required(world: World, board_id: int, column_id: str, *, required: bool) -> list[str]:
    """Have a column required, or not; all that are."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if required and column.type not in REQUIRABLE:
            raise api_errors.invalid_argument("Column ids are unsupported due to their types", column_id=column_id)
        others = [one for one in board.required if one != column_id]
        board.required = [*others, column_id] if required else others
        world.put_board(board)
        return board.required


def add_rule(world: World, board_id: int, rule: dict[str, Any]) -> dict[str, Any]:
    """A new rule, with its id."""
    with world.transaction():
        board = world.active_board(board_id)
        for part in ("if", "then"):
            for group in (rule.get(part) or {}).get("groups") or ():
                column_of(board, group["column_id"])
        own = {group["column_id"] for group in rule["then"]["groups"]}
        known = [one["then"]["groups"][0]["column_id"] for one in board.rules.values() if "if" not in one]
        if not rule.get("if") and (len(rule["then"]["groups"]) != 1 or own & set(known)):
            raise api_errors.invalid_argument("A column can have only one non-conditional rule")
        rule_id = f"{secrets.token_hex(4)}-{secrets.token_hex(8)}"
        board.rules[rule_id] = {part: rule[part] for part in ("if", "then") if rule.get(part)}
        world.put_board(board)
        return {"id": rule_id, "if": rule.get("if"), "then": rule["then"]}


def delete_rule(world: World, board_id: int, rule_id: str) -> dict[str, Any]:
    """End a rule; what it was."""
    with world.transaction():
        board = world.active_board(board_id)
        if rule_id not in board.rules:
            raise api_errors.invalid_argument("The validation rule was not found", rule_id=rule_id)
        rule = board.rules.pop(rule_id)
        world.put_board(board)
        return {"id": rule_id, "if": rule.get("if"), "then": rule["then"]}


def check_values(board: Board, parsed: Mapping[str, Any], *, creates: bool) -> None:
    """Refuse raw values that break the board's rules, of a new item also those that are missing."""
    found = []
    for column_id in board.required:
        column = board.column(column_id)
        if column is not None and parsed.get(column_id) is None and (creates or column_id in parsed):
            found.append(_broken(column, "must not be empty"))
    for rule in board.rules.values():
        constraint = rule["then"]["groups"][0]
        column, raw = board.column(constraint["column_id"]), parsed.get(constraint["column_id"])
        if "if" not in rule and column is not None and raw is not None and not _holds(column, raw, constraint):
            words = constraint["operator"].replace("_", " ").lower()
            found.append(_broken(column, f"must be {words} {constraint.get('compare_value')}"))
    if found:
        refusal = api_errors.FieldError("data_validation_error", "DATA_VALIDATIONS_ERROR", 422)
        refusal.extensions["error_data"] = found
        raise refusal


def _broken(column: Column, words: str) -> dict[str, Any]:
    return {"itemId": None, "columnIds": [column.id], "message": f"'{column.title}' {words}"}


def _holds(column: Column, raw: Any, constraint: Mapping[str, Any]) -> bool:
    kind, name = kind_of(column.type), constraint["operator"]
    given = [str(one) for one in constraint.get("compare_value") or () if one != "EXACT"]
    if name in ("ANY_OF", "NOT_ANY_OF"):
        return bool(kind.choices(column, raw) & set(given)) is (name == "ANY_OF")
    text = kind.text(column, raw)
    if name in TEXTS:
        return TEXTS[name](text, given[0])
    if column.type == "date":
        day = str(raw["date"])
        return given[0] <= day <= given[1] if name == "BETWEEN" else COMPARISONS[name](day, given[0])
    return COMPARISONS[name](Decimal(str(raw)), Decimal(given[0]))
