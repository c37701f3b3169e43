"""Which items a query means: rules, the days that they name, and whole values.

Days as rules name them: `2026-03-01`, or words such as TODAY and ONE_WEEK_AGO (developer.monday.com/api-
reference/reference/date and …/timeline). Weeks start on Monday here.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.model import Board, Column, Item
from sandbox.world import World, fold_case

Span = tuple[date, date]
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
UNITS = {"DAYS": 1, "WEEKS": 7, "MONTHS": 30}
MOST_UNITS = 1_000


def span(words: str) -> Span | None:
    """The first and the last day that a text names; None when it names none."""
    found = [_date_in(one) for one in DAY.findall(words)]
    days = [day for day in found if day is not None]
    return (days[0], days[-1]) if days else None


def moment(words: str) -> datetime | None:
    """The moment that a text names to the second, as `2026-03-01T18:00:00Z`; None for a day or a word."""
    if "T" not in words or DAY.match(words) is None:
        return None
    try:
        found = datetime.fromisoformat(words)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def compared_spans(values: list[str], today: date) -> list[Span]:
    """The spans that compare values name; values that name none are left out."""
    spans: list[Span] = []
    for value in values:
        if DAY.fullmatch(value) and (exact := _date_in(value)) is not None:
            spans.append((exact, exact))
        elif (named := WORDS.get(value.upper())) is not None:
            spans.append(named(today))
    return spans


def day_of(values: list[Any], today: date, ahead: bool) -> Span:
    """The span of `within_the_next` and `within_the_last`: a number, and its unit (days unless it is named)."""
    amount = next((int(value) for value in values if str(value).isdecimal()), None)
    unit = next((UNITS[str(value).upper()] for value in values if str(value).upper() in UNITS), 1)
    if amount is None or amount > MOST_UNITS:
        raise api_errors.invalid_argument("compare_value needs a number and DAYS, WEEKS or MONTHS")
    distance = timedelta(days=amount * unit)
    return (today, today + distance) if ahead else (today - distance, today)


def _days_away(days: int) -> Callable[[date], Span]:
    return lambda today: (today + timedelta(days=days), today + timedelta(days=days))


def _week(away: int) -> Callable[[date], Span]:
    def span_of(today: date) -> Span:
        monday = today + timedelta(weeks=away, days=-today.weekday())
        return monday, monday + timedelta(days=6)

    return span_of


def _past(today: date) -> Span:
    return date.min, today - timedelta(days=1)


def _future(today: date) -> Span:
    return today + timedelta(days=1), date.max


def _month(today: date, away: int) -> Span:
    # From the middle of a month 30 days lead into the next one, however long the two are.
    first = (today.replace(day=15) + timedelta(days=30 * away)).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return first, following - timedelta(days=1)


WORDS: dict[str, Callable[[date], Span]] = {
    "TODAY": _days_away(0),
    "CURRENT": _days_away(0),
    "TOMORROW": _days_away(1),
    "YESTERDAY": _days_away(-1),
    "THIS_WEEK": _week(0),
    "ONE_WEEK_AGO": _week(-1),
    "ONE_WEEK_FROM_NOW": _week(1),
    "THIS_MONTH": lambda today: _month(today, 0),
    "ONE_MONTH_AGO": lambda today: _month(today, -1),
    "ONE_MONTH_FROM_NOW": lambda today: _month(today, 1),
    "PAST_DATETIME": _past,
    "PAST_TIMELINE": _past,
    "PAST_WEEKS": _past,
    "FUTURE_DATETIME": _future,
    "FUTURE_TIMELINE": _future,
    "NEXT_WEEKS": _future,
    "UPCOMING": _future,
}


def _date_in(words: str) -> date | None:
    try:
        return date.fromisoformat(words)
    except ValueError:
        return None


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

DAY_COLUMNS = ("__last_updated__", "__creation_log__")
DAY_TYPES = ("date", "timeline", "week")
BLANKS = ("", "$$$blank$$$")
ME = "assigned_to_me"
Test = Callable[[Item], bool]


@dataclass(frozen=True)
class RuleOperands:
    """What of an item a rule on one column sees. `days` gives the first and the last day of a cell."""

    words: Callable[[Item], str]
    choices: Callable[[Item], set[str]]
    blanks: tuple[str, ...] = BLANKS
    days: Callable[[Item], tuple[date, date] | None] | None = None


@dataclass(frozen=True)
class FilterContext:
    """What a rule depends on beside the item."""

    board: Board
    user_id: int
    today: date


def query_test(world: World, board: Board, user_id: int, query: dict[str, Any] | None) -> Test:
    """The test that an `ItemsQuery` amounts to. ResourceNotFoundException for a column that is not there."""
    return _group(FilterContext(board, user_id, world.clock.now().date()), query or {})


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
        days = (lambda item: span(words(item))) if column_id in DAY_COLUMNS else None
        return RuleOperands(words, lambda item: {words(item)}, days=days)
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
        (lambda item: span(kind.text(column, item.raw(column_id)))) if column.type in DAY_TYPES else None,
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
    moments = [found for found in (moment(str(value)) for value in values) if found is not None]
    if rule["column_id"] in DAY_COLUMNS and moments:
        # To the second, as Monday's own SDK asks for what changed since (compare_attribute UPDATED_AT).
        if operator not in ORDER_TESTS or len(moments) < (2 if operator == "between" else 1):
            raise api_errors.invalid_argument(f"{operator} needs other values in compare_value")
        ordered = ORDER_TESTS[operator]
        return lambda item: ordered(moment(sides.words(item)), moments)
    if sides.days is not None:
        return _day_rule(around, sides.days, operator, values, str(rule.get("compare_attribute") or ""))
    return _order_rule(sides, operator, values)


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _chosen(around: FilterContext, sides: RuleOperands, values: list[Any]) -> Test:
    """Whether one of the values is the item's; a day can be named by a word, such as TODAY."""
    wanted = {fold_case(str(value)) for value in values if value not in ("EXACT", None)}
    if ME in wanted:
        wanted.add(f"person-{around.user_id}")
    blank = None in values or not wanted.isdisjoint(sides.blanks) or "" in wanted
    meant = [] if sides.days is None else compared_spans([str(value) for value in values], around.today)

    def test(item: Item) -> bool:
        choices = {fold_case(choice) for choice in sides.choices(item)}
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
    around: FilterContext,
    days: Callable[[Item], tuple[date, date] | None],
    operator: str,
    values: list[Any],
    attribute: str,
) -> Test:
    """Days against days: `compare_attribute` says whether a range is taken by its start or its end."""
    if operator in ("within_the_next", "within_the_last"):
        meant = [day_of(values, around.today, operator == "within_the_next")]
    else:
        meant = compared_spans([str(value) for value in values], around.today)
    if operator not in DAY_TESTS or len(meant) < (2 if operator == "between" else 1):
        raise api_errors.invalid_argument(f"{operator} needs other values in compare_value")
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


def _order_rule(sides: RuleOperands, operator: str, values: list[Any]) -> Test:
    bounds = [sort_key(str(value)) for value in values if value != "EXACT"]
    needed = 2 if operator == "between" else 1
    if operator not in ORDER_TESTS:
        raise api_errors.invalid_argument(f"{operator} does not apply to this column")
    if len(bounds) < needed:
        raise api_errors.invalid_argument(f"{operator} needs {needed} values in compare_value")
    compare = ORDER_TESTS[operator]

    def test(item: Item) -> bool:
        words = sides.words(item)
        return words != "" and compare(sort_key(words), bounds)

    return test


ORDER_TESTS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "greater_than": lambda one, bounds: one > bounds[0],
    "greater_than_or_equals": lambda one, bounds: one >= bounds[0],
    "lower_than": lambda one, bounds: one < bounds[0],
    "lower_than_or_equal": lambda one, bounds: one <= bounds[0],
    "between": lambda one, bounds: bounds[0] <= one <= bounds[1],
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
    "rating",
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
