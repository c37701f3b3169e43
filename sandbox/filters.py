"""Which items a query means: the rules of `items_page`.

What Monday compares with what, by column type: developer.monday.com/api-reference/reference/items-page and the
page of each type. Choices are compared by id (status by index, people as "person-1"), an e-mail by its label.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox import errors
from sandbox.columns import kind_of
from sandbox.days import day_of, days_meant, moment, span
from sandbox.lookup import folded
from sandbox.model import Board, Item
from sandbox.world import World

PSEUDO_COLUMNS: dict[str, Callable[[Item], str]] = {
    "name": lambda item: item.name,
    "group": lambda item: item.group_id,
    "__last_updated__": lambda item: item.updated_at,
    "__creation_log__": lambda item: item.created_at,
}
DAY_COLUMNS = ("__last_updated__", "__creation_log__")
DAY_TYPES = ("date", "timeline", "week")
BLANKS = ("", "$$$blank$$$")
ME = "assigned_to_me"
Test = Callable[[Item], bool]


@dataclass(frozen=True)
class Sides:
    """What of an item a rule on one column sees. `days` gives the first and the last day of a cell."""

    words: Callable[[Item], str]
    choices: Callable[[Item], set[str]]
    blanks: tuple[str, ...] = BLANKS
    days: Callable[[Item], tuple[date, date] | None] | None = None


@dataclass(frozen=True)
class Around:
    """What a rule depends on beside the item."""

    board: Board
    user_id: int
    today: date


def matching(world: World, board: Board, user_id: int, query: dict[str, Any] | None) -> Test:
    """The test that an `ItemsQuery` amounts to. ResourceNotFoundException for a column that is not there."""
    return _group(Around(board, user_id, world.clock.now().date()), query or {})


def _group(around: Around, query: dict[str, Any]) -> Test:
    tests = [_rule(around, rule) for rule in query.get("rules") or []]
    tests += [_group(around, group) for group in query.get("groups") or []]
    combine = any if query.get("operator") == "or" and tests else all
    ids = query.get("ids")
    wanted = None if ids is None else {int(one) for one in ids if str(one).isdecimal()}

    def test(item: Item) -> bool:
        return (wanted is None or item.id in wanted) and combine(one(item) for one in tests)

    return test


def in_board(world: World, board: Board, query: dict[str, Any] | None) -> Iterable[Item]:
    """The active items among which a query's are, in board order: not all where an id or a word tells."""
    if board.state != "active":
        return []
    known = _few(world, board, query or {})
    found = world.items_of(board.id) if known is None else known
    return [item for item in found if item.state == "active" and world.state_of(item) == "active"]


def _few(world: World, board: Board, query: dict[str, Any]) -> list[Item] | None:
    if query.get("ids") is not None:
        ids = {int(one) for one in query["ids"] if str(one).isdecimal()}
        found = [world.items[one] for one in ids if one in world.items]
        return sorted((one for one in found if one.board_id == board.id), key=lambda one: (one.rank, one.id))
    if query.get("operator") == "or" and len(query.get("rules") or []) + len(query.get("groups") or []) > 1:
        return None
    for rule in query.get("rules") or []:
        values = _list(rule["compare_value"])
        if (rule.get("operator") or "any_of") != "any_of" or any(str(value) in BLANKS for value in values):
            continue
        found_by_words = world.found(board, rule["column_id"], [str(value) for value in values])
        if found_by_words is not None:
            return found_by_words
    return None


def ordered(board: Board, items: list[Item], order_by: list[dict[str, Any]] | None) -> list[Item]:
    """`items` sorted by the columns named, the first one first."""
    for order in reversed(order_by or []):
        sides = _sides(board, order["column_id"])
        items = sorted(
            items,
            key=lambda item, s=sides: sortable(s.words(item)),  # type: ignore[misc]
            reverse=order.get("direction") == "desc",
        )
    return items


def _sides(board: Board, column_id: str) -> Sides:
    if column_id in PSEUDO_COLUMNS:
        words = PSEUDO_COLUMNS[column_id]
        days = (lambda item: span(words(item))) if column_id in DAY_COLUMNS else None
        return Sides(words, lambda item: {words(item)}, days=days)
    column = board.column(column_id)
    if column is None:
        raise errors.filter_column_not_found(column_id, board.id)
    kind = kind_of(column.type)
    if not kind.filterable:
        raise errors.invalid_argument("Items cannot be filtered by this column", column_id=column_id)
    return Sides(
        lambda item: kind.text(column, item.raw(column_id)),
        lambda item: kind.choices(column, item.raw(column_id)),
        kind.blank_choices,
        (lambda item: span(kind.text(column, item.raw(column_id)))) if column.type in DAY_TYPES else None,
    )


def _rule(around: Around, rule: dict[str, Any]) -> Test:
    sides = _sides(around.board, rule["column_id"])
    operator, values = rule.get("operator") or "any_of", _list(rule["compare_value"])
    if operator in ("any_of", "not_any_of"):
        chosen = _chosen(around, sides, values)
        return lambda item: chosen(item) == (operator == "any_of")
    if operator in ("is_empty", "is_not_empty"):
        return lambda item: (sides.words(item) == "") == (operator == "is_empty")
    if operator in WORD_TESTS:
        compare = WORD_TESTS[operator]
        terms = [str(value).casefold() for value in values]
        return lambda item: compare(sides.words(item).casefold(), terms)
    moments = [found for found in (moment(str(value)) for value in values) if found is not None]
    if rule["column_id"] in DAY_COLUMNS and moments:
        return _moment_rule(sides, operator, moments)
    if sides.days is not None:
        return _day_rule(around, sides.days, operator, values, str(rule.get("compare_attribute") or ""))
    return _order_rule(sides, operator, values)


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _chosen(around: Around, sides: Sides, values: list[Any]) -> Test:
    """Whether one of the values is the item's; a day can be named by a word, such as TODAY."""
    wanted = {folded(str(value)) for value in values if value not in ("EXACT", None)}
    if ME in wanted:
        wanted.add(f"person-{around.user_id}")
    blank = None in values or not wanted.isdisjoint(sides.blanks) or "" in wanted
    meant = [] if sides.days is None else days_meant([str(value) for value in values], around.today)

    def test(item: Item) -> bool:
        choices = {folded(choice) for choice in sides.choices(item)}
        if not choices:
            return blank
        days = sides.days(item) if sides.days and meant else None
        if days is not None and any(days[0] <= last and first <= days[1] for first, last in meant):
            return True
        return not choices.isdisjoint(wanted)

    return test


WORD_TESTS: dict[str, Callable[[str, list[str]], bool]] = {
    "contains_text": lambda words, terms: any(term in words for term in terms),
    "not_contains_text": lambda words, terms: not any(term in words for term in terms),
    "contains_terms": lambda words, terms: all(term in words for value in terms for term in value.split()),
    "starts_with": lambda words, terms: any(words.startswith(term) for term in terms),
    "ends_with": lambda words, terms: any(words.endswith(term) for term in terms),
}


def _day_rule(
    around: Around,
    days: Callable[[Item], tuple[date, date] | None],
    operator: str,
    values: list[Any],
    attribute: str,
) -> Test:
    """Days against days: `compare_attribute` says whether a range is taken by its start or its end."""
    if operator in ("within_the_next", "within_the_last"):
        meant = [day_of(values, around.today, operator == "within_the_next")]
    else:
        meant = days_meant([str(value) for value in values], around.today)
    if operator not in DAY_TESTS or len(meant) < (2 if operator == "between" else 1):
        raise errors.invalid_argument(f"{operator} needs other values in compare_value")
    compare = DAY_TESTS[operator]
    end = 1 if attribute == "END_DATE" else 0

    def test(item: Item) -> bool:
        found = days(item)
        return found is not None and compare(found[end], meant)

    return test


DAY_TESTS: dict[str, Callable[[date, list[tuple[date, date]]], bool]] = {
    "greater_than": lambda day, meant: day > meant[0][1],
    "greater_than_or_equals": lambda day, meant: day >= meant[0][0],
    "lower_than": lambda day, meant: day < meant[0][0],
    "lower_than_or_equal": lambda day, meant: day <= meant[0][1],
    "between": lambda day, meant: meant[0][0] <= day <= meant[1][1],
    "within_the_next": lambda day, meant: meant[0][0] <= day <= meant[0][1],
    "within_the_last": lambda day, meant: meant[0][0] <= day <= meant[0][1],
}


def _moment_rule(sides: Sides, operator: str, bounds: list[datetime]) -> Test:
    """To the second, as Monday's own SDK asks for what changed since (compare_attribute UPDATED_AT)."""
    if operator not in ORDER_TESTS or len(bounds) < (2 if operator == "between" else 1):
        raise errors.invalid_argument(f"{operator} needs other values in compare_value")
    compare = ORDER_TESTS[operator]
    return lambda item: compare(moment(sides.words(item)), bounds)


def _order_rule(sides: Sides, operator: str, values: list[Any]) -> Test:
    bounds = [sortable(str(value)) for value in values if value != "EXACT"]
    needed = 2 if operator == "between" else 1
    if operator not in ORDER_TESTS:
        raise errors.invalid_argument(f"{operator} does not apply to this column")
    if len(bounds) < needed:
        raise errors.invalid_argument(f"{operator} needs {needed} values in compare_value")
    compare = ORDER_TESTS[operator]

    def test(item: Item) -> bool:
        words = sides.words(item)
        return words != "" and compare(sortable(words), bounds)

    return test


ORDER_TESTS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "greater_than": lambda one, bounds: one > bounds[0],
    "greater_than_or_equals": lambda one, bounds: one >= bounds[0],
    "lower_than": lambda one, bounds: one < bounds[0],
    "lower_than_or_equal": lambda one, bounds: one <= bounds[0],
    "between": lambda one, bounds: bounds[0] <= one <= bounds[1],
}


def sortable(words: str) -> tuple[int, Decimal, str]:
    """Numbers before words, each in their own order."""
    try:
        number = Decimal(words)
    except InvalidOperation:
        return 1, Decimal(0), words.casefold()
    return (0, number, "") if number.is_finite() else (1, Decimal(0), words.casefold())
