"""What a cell's picker offers, and the value that the chosen ones make."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.columns import kind_of
from sandbox.columns.links import allows_multiple, board_ids
from sandbox.columns.places import countries
from sandbox.model import Board, Column
from sandbox.people import TEAMS, USERS
from sandbox.web import BadRequestError
from sandbox.world import World

MOST_ITEMS = 30  # of a connected board, at once
MULTIPLE = ("dropdown", "people", "tags", "board_relation")
MAKES_NEW = ("status", "dropdown", "tags")
COLOURS = 10


@dataclass(frozen=True)
class Choice:
    """`colour` is a place among the page's colours, None for none."""

    key: str
    name: str
    more: str = ""
    colour: int | None = None


def offered(world: World, column: Column, words: str) -> dict[str, Any]:
    """What may be chosen for a cell of this column, among it what `words` find; callers hold the lock."""
    find = OFFERS.get(column.type)
    if find is None:
        raise BadRequestError(f"Nothing is picked for a column of type {column.type}")
    found = list(find(world, column, words.casefold()))
    return {
        "choices": [vars(choice) for choice in found],
        "multiple": column.type in MULTIPLE and (column.type != "board_relation" or allows_multiple(column)),
        "makes_new": column.type in MAKES_NEW,
        # The rest is too much to send at once: the page asks again for each search.
        "partial": column.type == "board_relation",
    }


def _statuses(world: World, column: Column, words: str) -> Iterator[Choice]:
    for index, label in column.settings.get("labels", {}).items():
        if label:
            yield Choice(index, label, colour=int(index) % COLOURS)


def _labels(world: World, column: Column, words: str) -> Iterator[Choice]:
    for label in column.settings.get("labels", []):
        yield Choice(str(label["id"]), label["name"])


def _people(world: World, column: Column, words: str) -> Iterator[Choice]:
    for one in USERS:
        yield Choice(f"person-{one.id}", one.name, one.email)
    for team in TEAMS:
        yield Choice(f"team-{team.id}", team.name, "team")


def _tags(world: World, column: Column, words: str) -> Iterator[Choice]:
    for tag in world.tags.values():
        yield Choice(str(tag.id), tag.name)


def _countries(world: World, column: Column, words: str) -> Iterator[Choice]:
    for code, name in sorted(countries().items(), key=lambda pair: pair[1]):
        yield Choice(code, name, code)


def _items(world: World, column: Column, words: str) -> Iterator[Choice]:
    """Items of the connected boards whose names hold the words, not all of them at once."""
    left = MOST_ITEMS
    for board in (world.boards.get(one) for one in board_ids(column)):
        for item in world.items_of(board.id) if board is not None else ():
            if left and words in item.name.casefold():
                left -= 1
                yield Choice(str(item.id), item.name, board.name if board is not None else "")


OFFERS: dict[str, Callable[[World, Column, str], Iterator[Choice]]] = {
    "status": _statuses,
    "dropdown": _labels,
    "people": _people,
    "tags": _tags,
    "country": _countries,
    "phone": _countries,
    "board_relation": _items,
}


def chosen_keys(column: Column, raw: Any) -> list[str]:
    """The keys of what a cell holds."""
    if raw is None or column.type not in OFFERS:
        return []
    if column.type == "status":
        return [str(raw["index"])]
    if column.type == "phone":
        return [raw["countryShortName"]] if raw["countryShortName"] else []
    return sorted(_keys_of(column, raw))


def _keys_of(column: Column, raw: Any) -> set[str]:
    if column.type == "dropdown":
        return {str(one) for one in raw["ids"]}
    return kind_of(column.type).choices(column, raw)


def value_of(world: World, board_id: int, column_id: str, chosen: Any, made: Any) -> Any:
    """What `column_values` holds when these keys were chosen and these names newly made; null for nothing."""
    if not _is_words(chosen) or not _is_words(made):
        raise BadRequestError("chosen and made are lists of strings")
    column = _column(world.boards[board_id], column_id)
    make = VALUES.get(column.type)
    if made and column.type not in MAKES_NEW:
        raise BadRequestError(f"Nothing new is made for a column of type {column.type}")
    if make is None:
        raise BadRequestError(f"Nothing is picked for a column of type {column.type}")
    with world.transaction():
        return make(world, column, chosen, [name.strip() for name in made]) if chosen or made else None


def _column(board: Board, column_id: str) -> Column:
    column = board.column(column_id)
    if column is None:
        raise BadRequestError(f"There is no column {column_id} on this board")
    return column


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)


def _status_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    return {"label": made[-1]} if made else {"index": chosen[-1]}


def _dropdown_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    if not made:
        return {"ids": chosen}
    names = {str(one["id"]): one["name"] for one in column.settings["labels"]}
    return {"labels": [names[key] for key in chosen if key in names] + made}


def _people_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    pairs = (key.partition("-") for key in chosen)
    return {"personsAndTeams": [{"kind": kind, "id": one} for kind, _, one in pairs]}


def _tags_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    return {"tag_ids": [*chosen, *(column.names.tag_called(name) for name in made)]}


def _country_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    return {"countryCode": chosen[-1], "countryName": countries().get(chosen[-1], "")}


def _items_value(world: World, column: Column, chosen: list[str], made: list[str]) -> Any:
    return {"item_ids": chosen}


VALUES: dict[str, Callable[[World, Column, list[str], list[str]], Any]] = {
    "status": _status_value,
    "dropdown": _dropdown_value,
    "people": _people_value,
    "tags": _tags_value,
    "country": _country_value,
    "board_relation": _items_value,
}
