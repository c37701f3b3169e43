"""What a cell's picker offers, and the value that the chosen ones make."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sandbox.checks import BadRequestError
from sandbox.columns import kind_of
from sandbox.columns.reference_kinds import allows_multiple, board_ids
from sandbox.columns.text_kinds import countries
from sandbox.model import TEAMS, USERS, Column
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


def offered_choices(world: World, column: Column, words: str) -> dict[str, Any]:
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


def _people(world: World, column: Column, words: str) -> Iterable[Choice]:
    for one in USERS:
        yield Choice(f"person-{one.id}", one.name, one.email)
    for team in TEAMS:
        yield Choice(f"team-{team.id}", team.name, "team")


def _countries(world: World, column: Column, words: str) -> Iterable[Choice]:
    for code, name in sorted(countries().items(), key=lambda pair: pair[1]):
        yield Choice(code, name, code)


def _items(world: World, column: Column, words: str) -> Iterable[Choice]:
    """Items of the connected boards whose names hold the words, not all of them at once."""
    boards = (world.boards[one] for one in board_ids(column) if one in world.boards)
    named = ((item, board) for board in boards for item in world.items_of(board.id) if words in item.name.casefold())
    return (Choice(str(item.id), item.name, board.name) for item, board in islice(named, MOST_ITEMS))


OFFERS: dict[str, Callable[[World, Column, str], Iterable[Choice]]] = {
    "status": lambda world, column, words: (
        Choice(index, label, colour=int(index) % COLOURS)
        for index, label in column.settings.get("labels", {}).items()
        if label
    ),
    "dropdown": lambda world, column, words: (
        Choice(str(label["id"]), label["name"]) for label in column.settings.get("labels", [])
    ),
    "people": _people,
    "tags": lambda world, column, words: (Choice(str(tag.id), tag.name) for tag in world.tags.values()),
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
    if column.type == "dropdown":
        return sorted({str(one) for one in raw["ids"]})
    return sorted(kind_of(column.type).choices(column, raw))


def value_of(world: World, board_id: int, column_id: str, chosen: Any, made: Any) -> Any:
    """What `column_values` holds when these keys were chosen and these names newly made; null for nothing."""
    if not _is_words(chosen) or not _is_words(made):
        raise BadRequestError("chosen and made are lists of strings")
    column = world.boards[board_id].column(column_id)
    if column is None:
        raise BadRequestError(f"There is no column {column_id} on this board")
    make = VALUES.get(column.type)
    if made and column.type not in MAKES_NEW:
        raise BadRequestError(f"Nothing new is made for a column of type {column.type}")
    if make is None:
        raise BadRequestError(f"Nothing is picked for a column of type {column.type}")
    with world.transaction():
        return make(column, chosen, [name.strip() for name in made]) if chosen or made else None


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)


def _dropdown_value(column: Column, chosen: list[str], made: list[str]) -> Any:
    if not made:
        return {"ids": chosen}
    names = {str(one["id"]): one["name"] for one in column.settings["labels"]}
    return {"labels": [names[key] for key in chosen if key in names] + made}


VALUES: dict[str, Callable[[Column, list[str], list[str]], Any]] = {
    "status": lambda column, chosen, made: {"label": made[-1]} if made else {"index": chosen[-1]},
    "dropdown": _dropdown_value,
    "people": lambda column, chosen, made: {
        "personsAndTeams": [{"kind": kind, "id": one} for kind, _, one in (key.partition("-") for key in chosen)]
    },
    "tags": lambda column, chosen, made: {"tag_ids": [*chosen, *(column.names.tag_called(name) for name in made)]},
    "country": lambda column, chosen, made: {"countryCode": chosen[-1], "countryName": countries().get(chosen[-1], "")},
    "board_relation": lambda column, chosen, made: {"item_ids": chosen},
}
