"""Which items a query means: the rules of `items_page` and `items_page_by_column_values`.

What Monday compares with what: developer.monday.com/api-reference/reference/items-page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox import errors
from sandbox.columns import kind_of
from sandbox.model import Board, Item

PSEUDO_COLUMNS = ("name", "group", "__last_updated__", "__creation_log__")
BLANKS = ("", "$$$blank$$$", None)
Test = Callable[[Item], bool]


@dataclass(frozen=True)
class Sides:
    """What of an item a rule on one column sees."""

    words: Callable[[Item], str]
    label: Callable[[Item], str]
    choices: Callable[[Item], set[str]]


def matching(board: Board, query: dict[str, Any] | None) -> Test:
    """The test that an `ItemsQuery` amounts to."""
    query = query or {}
    tests = [_rule(board, rule) for rule in query.get("rules") or []]
    tests += [matching(board, group) for group in query.get("groups") or []]
    combine = any if query.get("operator") == "or" and tests else all
    ids = query.get("ids")
    wanted = None if ids is None else {int(one) for one in ids}

    def test(item: Item) -> bool:
        return (wanted is None or item.id in wanted) and combine(one(item) for one in tests)

    return test


def having_values(board: Board, columns: list[dict[str, Any]]) -> Test:
    """The test of `items_page_by_column_values`: columns ANDed, values ORed, whole values without case."""
    tests = [_one_of(board, one["column_id"], one["column_values"]) for one in columns]
    return lambda item: all(test(item) for test in tests)


def ordered(board: Board, items: list[Item], order_by: list[dict[str, Any]] | None) -> list[Item]:
    """`items` sorted by the columns named, the first one first."""
    for order in reversed(order_by or []):
        sides = _sides(board, order["column_id"])
        items = sorted(
            items,
            key=lambda item, s=sides: _sortable(s.words(item)),  # type: ignore[misc]
            reverse=order.get("direction") == "desc",
        )
    return items


def _sides(board: Board, column_id: str) -> Sides:
    pseudo: dict[str, Callable[[Item], str]] = {
        "name": lambda item: item.name,
        "group": lambda item: item.group_id,
        "__last_updated__": lambda item: item.updated_at,
        "__creation_log__": lambda item: item.created_at,
    }
    if column_id in pseudo:
        words = pseudo[column_id]
        return Sides(words, words, lambda item: {words(item)})
    column = board.column(column_id)
    if column is None:
        raise errors.filter_column_not_found(column_id, board.id)
    kind = kind_of(column.type)

    def choices(item: Item) -> set[str]:
        raw = item.raw(column.id)
        if column.type == "status":
            return {str(raw["index"])} if raw else set()
        if column.type == "dropdown":
            return {str(one) for one in raw["ids"]} if raw else set()
        return {kind.label(column, raw)} - {""}

    return Sides(
        lambda item: kind.text(column, item.raw(column.id)),
        lambda item: kind.label(column, item.raw(column.id)),
        choices,
    )


def _rule(board: Board, rule: dict[str, Any]) -> Test:
    sides = _sides(board, rule["column_id"])
    operator = rule.get("operator", "any_of")
    given = rule["compare_value"]
    values = given if isinstance(given, list) else [given]
    if operator in ("any_of", "not_any_of"):
        wanted = [value for value in values if value != "EXACT"]
        return lambda item: _chosen(sides, item, wanted) == (operator == "any_of")
    if operator in ("is_empty", "is_not_empty"):
        return lambda item: (sides.words(item) == "") == (operator == "is_empty")
    if operator in WORD_TESTS:
        compare = WORD_TESTS[operator]
        terms = [str(value).casefold() for value in values]
        return lambda item: compare(sides.words(item).casefold(), terms)
    return _order_rule(sides, operator, [value for value in values if value != "EXACT"])


def _chosen(sides: Sides, item: Item, values: list[Any]) -> bool:
    choices = {choice.casefold() for choice in sides.choices(item)}
    if not choices:
        return any(value in BLANKS for value in values)
    return any(str(value).casefold() in choices for value in values)


WORD_TESTS: dict[str, Callable[[str, list[str]], bool]] = {
    "contains_text": lambda words, terms: any(term in words for term in terms),
    "not_contains_text": lambda words, terms: not any(term in words for term in terms),
    "contains_terms": lambda words, terms: all(term in words for value in terms for term in value.split()),
    "starts_with": lambda words, terms: any(words.startswith(term) for term in terms),
    "ends_with": lambda words, terms: any(words.endswith(term) for term in terms),
}


def _order_rule(sides: Sides, operator: str, values: list[Any]) -> Test:
    bounds = [_sortable(str(value)) for value in values]
    needed = 2 if operator == "between" else 1
    if operator not in ORDER_TESTS:
        raise errors.invalid_argument(f"The sandbox does not play the operator {operator} yet")
    if len(bounds) < needed:
        raise errors.invalid_argument(f"{operator} needs {needed} values in compare_value")
    compare = ORDER_TESTS[operator]

    def test(item: Item) -> bool:
        words = sides.words(item)
        return words != "" and compare(_sortable(words), bounds)

    return test


ORDER_TESTS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "greater_than": lambda one, bounds: one > bounds[0],
    "greater_than_or_equals": lambda one, bounds: one >= bounds[0],
    "lower_than": lambda one, bounds: one < bounds[0],
    "lower_than_or_equal": lambda one, bounds: one <= bounds[0],
    "between": lambda one, bounds: bounds[0] <= one <= bounds[1],
}


def _sortable(words: str) -> tuple[int, Decimal, str]:
    """Numbers before words, each in their own order."""
    try:
        number = Decimal(words)
    except InvalidOperation:
        return 1, Decimal(0), words.casefold()
    return (0, number, "") if number.is_finite() else (1, Decimal(0), words.casefold())


def _one_of(board: Board, column_id: str, values: list[str | None]) -> Test:
    sides = _sides(board, column_id)
    column = board.column(column_id)
    wanted = {(value or "").strip().casefold() for value in values}
    if column is None or column.type != "phone":
        return lambda item: sides.label(item).strip().casefold() in wanted

    def phone(item: Item) -> bool:
        raw = item.raw(column_id)
        if raw is None:
            return "" in wanted
        return any(
            one and (one in raw["phone"].casefold() or one == raw["countryShortName"].casefold())
            for one in wanted
        )

    return phone
