"""Which items a query means: rules that compare words and choices, and whole values."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.model import Board, Column, Item
from sandbox.world import World, fold_case

# Which items a query means: the rules of `items_page`.
#
# What Monday compares with what, by column type: developer.monday.com/api-
# reference/reference/items-page and the page of each type. Choices are compared by id (status by
# index, people as "person-1"), an email by its label.

PSEUDO_COLUMNS: dict[str, Callable[[Item], str]] = {
    "name": lambda item: item.name,
    "group": lambda item: item.group_id,
    "__last_updated__": lambda item: item.updated_at,
    "__creation_log__": lambda item: item.created_at,
}

BLANKS = ("", "$$$blank$$$")
ME = "assigned_to_me"
Test = Callable[[Item], bool]


@dataclass(frozen=True)
class RuleOperands:
    """What of an item a rule on one column sees."""

    words: Callable[[Item], str]
    choices: Callable[[Item], set[str]]
    blanks: tuple[str, ...] = BLANKS


@dataclass(frozen=True)
class FilterContext:
    """What a rule depends on beside the item."""

    board: Board
    user_id: int


def query_test(world: World, board: Board, user_id: int, query: dict[str, Any] | None) -> Test:
    """The test that an `ItemsQuery` amounts to. ResourceNotFoundException for a column that is not there."""
    return _group(FilterContext(board, user_id), query or {})


def _group(around: FilterContext, query: dict[str, Any]) -> Test:
    tests = [_rule(around, rule) for rule in query.get("rules") or []]
    tests += [_group(around, group) for group in query.get("groups") or []]
    combine = any if query.get("operator") == "or" and tests else all
    ids = query.get("ids")
    wanted = None if ids is None else {int(one) for one in ids if str(one).isdecimal()}

    def test(item: Item) -> bool:
        return (wanted is None or item.id in wanted) and combine(one(item) for one in tests)

    return test


def candidate_items(world: World, board: Board, query: dict[str, Any] | None) -> Iterable[Item]:
    """The active items among which a query's are, in board order: all where no id or word narrows them."""
    if board.state != "active":
        return []
    known = _candidates_by_rules(world, board, query or {})
    found = world.items_of(board.id) if known is None else known
    return [item for item in found if item.state == "active" and world.state_of(item) == "active"]


def _candidates_by_rules(world: World, board: Board, query: dict[str, Any]) -> list[Item] | None:
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
        found_by_words = world.candidates(board, rule["column_id"], [str(value) for value in values])
        if found_by_words is not None:
            return found_by_words
    return None


def sort_items(board: Board, items: list[Item], order_by: list[dict[str, Any]] | None) -> list[Item]:
    """`items` sorted by the columns named, the first one first."""
    # The last column first: sorting is stable, so what the first one leaves equal stays in the order of the others.
    for order in reversed(order_by or []):
        sides = _sides(board, order["column_id"])
        items = sorted(
            items,
            key=lambda item, s=sides: sort_key(s.words(item)),  # type: ignore[misc]
            reverse=order.get("direction") == "desc",
        )
    return items


def _sides(board: Board, column_id: str) -> RuleOperands:
    if column_id in PSEUDO_COLUMNS:
        words = PSEUDO_COLUMNS[column_id]
        return RuleOperands(words, lambda item: {words(item)})
    column = board.column(column_id)
    if column is None:
        raise api_errors.filter_column_not_found(column_id, board.id)
    kind = kind_of(column.type)
    if not kind.filterable:
        raise api_errors.invalid_argument("Items cannot be filtered by this column", column_id=column_id)
    return RuleOperands(
        lambda item: kind.text(column, item.raw(column_id)),
        lambda item: kind.choices(column, item.raw(column_id)),
        kind.blank_choices,
    )


def _rule(around: FilterContext, rule: dict[str, Any]) -> Test:
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
    raise api_errors.invalid_argument(f"The sandbox doesn't compare by {operator}")


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _chosen(around: FilterContext, sides: RuleOperands, values: list[Any]) -> Test:
    """Whether one of the values is the item's."""
    wanted = {fold_case(str(value)) for value in values if value not in ("EXACT", None)}
    if ME in wanted:
        wanted.add(f"person-{around.user_id}")
    blank = None in values or not wanted.isdisjoint(sides.blanks) or "" in wanted

    def test(item: Item) -> bool:
        choices = {fold_case(choice) for choice in sides.choices(item)}
        return not choices.isdisjoint(wanted) if choices else blank

    return test


WORD_TESTS: dict[str, Callable[[str, list[str]], bool]] = {
    "contains_text": lambda words, terms: any(term in words for term in terms),
    "not_contains_text": lambda words, terms: not any(term in words for term in terms),
    "contains_terms": lambda words, terms: all(term in words for value in terms for term in value.split()),
    "starts_with": lambda words, terms: any(words.startswith(term) for term in terms),
    "ends_with": lambda words, terms: any(words.endswith(term) for term in terms),
}


def sort_key(words: str) -> tuple[int, Decimal, str]:
    """Numbers before words, each in their own order."""
    try:
        number = Decimal(words)
    except InvalidOperation:
        return 1, Decimal(0), words.casefold()
    # Decimal reads “NaN” and “Infinity” as well, and NaN compares with nothing.
    return (0, number, "") if number.is_finite() else (1, Decimal(0), words.casefold())


# `items_page_by_column_values`: columns ANDed, values ORed, whole values without regard to case.
#
# What each type compares with, and the types that refuse: developer.monday.com/api-
# reference/reference/items-page-by-column-values.


REFUSED = (
    "auto_number",
    "board_relation",
    "creation_log",
    "file",
    "formula",
    "item_id",
    "last_updated",
    "location",
    "mirror",
    "subtasks",
    "tags",
    "time_tracking",
    "vote",
)

ONE_VALUE = ("dropdown", "date", "timeline")


def column_value_test(world: World, board: Board, columns: list[dict[str, Any]]) -> list[Item]:
    """The active items of a board, in its order, that have these values."""
    tests = [_one_of(board, one["column_id"], one["column_values"]) for one in columns]
    # What an index of a column finds; empty values are in it too.
    narrowed = (world.candidates(board, one["column_id"], [v or "" for v in one["column_values"]]) for one in columns)
    found = next((few for few in narrowed if few is not None), None)
    if found is None:
        found = world.items_of(board.id)
    return [
        item
        for item in found
        if item.state == "active" and world.state_of(item) == "active" and all(test(item) for test in tests)
    ]


def _one_of(board: Board, column_id: str, values: list[str | None]) -> Test:
    wanted = {fold_case(value or "") for value in values}
    if column_id == "name":
        return lambda item: fold_case(item.name) in wanted
    column = board.column(column_id)
    if column is None:
        raise api_errors.filter_column_not_found(column_id, board.id)
    if column.type in REFUSED:
        raise api_errors.invalid_argument("This column type is not supported here", column_type=column.type)
    if column.type in ONE_VALUE and len(values) > 1:
        raise api_errors.invalid_argument("This column type takes one value", column_type=column.type)
    if column.type == "phone":
        return lambda item: _phone(item.raw(column_id), wanted)
    said = READERS.get(column.type)
    if said is None:
        label = kind_of(column.type).label
        return lambda item: fold_case(label(column, item.raw(column_id))) in wanted
    return lambda item: not wanted.isdisjoint(said(column, item.raw(column_id)) or {""})


def _named(column: Column, raw: Any) -> set[str]:
    """Each of several names, and all of them as the cell shows them."""
    words = kind_of(column.type).text(column, raw)
    return ({fold_case(part) for part in words.split(",")} | {fold_case(words)}) if words else set()


def _phone(raw: Any, wanted: set[str]) -> bool:
    """A country's code, or a part of the number."""
    if raw is None:
        return "" in wanted
    number, country = fold_case(raw["phone"]), fold_case(raw["countryShortName"])
    return any(one and (one in number or one == country) for one in wanted)


READERS: dict[str, Callable[[Column, Any], set[str]]] = {
    "country": lambda column, raw: {fold_case(choice) for choice in kind_of(column.type).choices(column, raw)},
    "date": lambda column, raw: {raw["date"]} if raw else set(),
    "dropdown": _named,
    "link": lambda column, raw: {fold_case(raw["url"]), fold_case(raw["text"])} if raw else set(),
    "people": _named,
}
