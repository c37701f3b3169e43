"""`items_page_by_column_values`: columns ANDed, values ORed, whole values without regard to case.

What each type compares with, and the types that refuse:
developer.monday.com/api-reference/reference/items-page-by-column-values.
"""

from collections.abc import Callable
from typing import Any

from sandbox import errors
from sandbox.columns import kind_of
from sandbox.lookup import folded
from sandbox.model import Board, Column, Item
from sandbox.world import World

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
Test = Callable[[Item], bool]


def with_values(world: World, board: Board, columns: list[dict[str, Any]]) -> list[Item]:
    """The active items of a board, in its order, that have these values."""
    tests = [_one_of(board, one["column_id"], one["column_values"]) for one in columns]
    found = next((few for few in (_few(world, board, one) for one in columns) if few is not None), None)
    if found is None:
        found = world.items_of(board.id)
    return [
        item
        for item in found
        if item.state == "active" and world.state_of(item) == "active" and all(test(item) for test in tests)
    ]


def _few(world: World, board: Board, asked: dict[str, Any]) -> list[Item] | None:
    """The items that an index of the column finds; empty values are in it too."""
    return world.found(board, asked["column_id"], [value or "" for value in asked["column_values"]])


def _one_of(board: Board, column_id: str, values: list[str | None]) -> Test:
    wanted = {folded(value or "") for value in values}
    if column_id == "name":
        return lambda item: folded(item.name) in wanted
    column = board.column(column_id)
    if column is None:
        raise errors.filter_column_not_found(column_id, board.id)
    if column.type in REFUSED:
        raise errors.invalid_argument("This column type is not supported here", column_type=column.type)
    if column.type in ONE_VALUE and len(values) > 1:
        raise errors.invalid_argument("This column type takes one value", column_type=column.type)
    said = READERS.get(column.type, _label)
    if column.type == "phone":
        return lambda item: _phone(item.raw(column_id), wanted)
    return lambda item: not wanted.isdisjoint(said(column, item.raw(column_id)) or {""})


def _label(column: Column, raw: Any) -> set[str]:
    return {folded(kind_of(column.type).label(column, raw))}


def _choices(column: Column, raw: Any) -> set[str]:
    return {folded(choice) for choice in kind_of(column.type).choices(column, raw)}


def _named(column: Column, raw: Any) -> set[str]:
    """Each of several names, and all of them as the cell shows them."""
    words = kind_of(column.type).text(column, raw)
    return ({folded(part) for part in words.split(",")} | {folded(words)}) if words else set()


def _link(column: Column, raw: Any) -> set[str]:
    return {folded(raw["url"]), folded(raw["text"])} if raw else set()


def _day(column: Column, raw: Any) -> set[str]:
    return {raw["date"]} if raw else set()


def _phone(raw: Any, wanted: set[str]) -> bool:
    """A country's code, or a part of the number."""
    if raw is None:
        return "" in wanted
    number, country = folded(raw["phone"]), folded(raw["countryShortName"])
    return any(one and (one in number or one == country) for one in wanted)


READERS: dict[str, Callable[[Column, Any], set[str]]] = {
    "country": _choices,
    "date": _day,
    "dropdown": _named,
    "link": _link,
    "people": _named,
}
