"""From a cell of the file to what `column_values` would hold: the formats of the bulk import's documentation.

developer.monday.com/api-reference/docs/importing-items-in-bulk, "Column type validation". The reference page
names twelve types; a value for a column of any other makes its row invalid here.
"""

import re
from collections.abc import Callable
from typing import Any

import phonenumbers

from sandbox import errors
from sandbox.model import Board, Column
from sandbox.people import USERS
from sandbox.world import World

NULL = "<NULL>"
RELATION_COLUMNS = 5
RELATION_ITEMS = 50
_NAMED = re.compile(r"(?P<name>.*)<(?P<address>[^<>]*)>\Z", re.DOTALL)
_LINK = re.compile(r"\[(?P<text>.*)\]\((?P<url>.*)\)\Z", re.DOTALL)
_MEMBER = re.compile(r"(user|team):(\d+)\Z")
Read = Callable[[World, Column, str], Any]


def _email(world: World, column: Column, text: str) -> Any:
    named = _NAMED.match(text)
    if named is None:
        return {"email": text, "text": text}
    address = named["address"].strip()
    return {"email": address, "text": named["name"].strip() or address}


def _link(world: World, column: Column, text: str) -> Any:
    shown = _LINK.match(text)
    return {"url": shown["url"], "text": shown["text"]} if shown else {"url": text, "text": text}


def _phone(world: World, column: Column, text: str) -> Any:
    """The file names no country: the flag is that of the number, where it says one."""
    try:
        country = phonenumbers.region_code_for_number(phonenumbers.parse(text)) or ""
    except phonenumbers.NumberParseException:
        country = ""
    known = country if country in phonenumbers.SUPPORTED_REGIONS else ""
    return {"phone": text, "countryShortName": known}


def _date(world: World, column: Column, text: str) -> Any:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
        raise errors.bad_value("the date must be YYYY-MM-DD", "date")
    return {"date": text}


def _status(world: World, column: Column, text: str) -> Any:
    """An exact label, also where it is a number: other than in `column_values`, digits are no index here."""
    for index, label in column.settings["labels"].items():
        if label == text:
            return {"index": index}
    raise errors.bad_value(f"there is no label {text!r}", "color")


def _timeline(world: World, column: Column, text: str) -> Any:
    start, slash, end = text.partition("/")
    if not slash:
        raise errors.bad_value("a timeline is START/END", "timerange")
    return {"from": start.strip(), "to": end.strip()}


def _people(world: World, column: Column, text: str) -> Any:
    return {"personsAndTeams": [_member(entry.strip()) for entry in text.split(",") if entry.strip()]}


def _member(entry: str) -> dict[str, Any]:
    if numbered := _MEMBER.match(entry):
        return {"id": numbered[2], "kind": "person" if numbered[1] == "user" else "team"}
    found = next((p for p in USERS if p.email.casefold() == entry.casefold()), None)
    if found is None:
        raise errors.bad_value(f"there is no user {entry!r}", "multiple-person")
    return {"id": str(found.id), "kind": "person"}


def _relation(world: World, column: Column, text: str) -> Any:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if len(entries) > RELATION_ITEMS:
        raise errors.bad_value(f"at most {RELATION_ITEMS} items in a cell", "board-relation")
    return {"item_ids": [_related(world, column, entry) for entry in entries]}


def _related(world: World, column: Column, entry: str) -> str:
    boards = [int(one) for one in column.settings.get("boardIds", [])]
    board, colon, item = entry.partition(":")
    if colon and board.isdecimal() and int(board) in boards:
        boards, entry = [int(board)], item
    there = {item.id: item.name for one in boards for item in world.items_of(one)}
    if entry.isdecimal() and int(entry) in there:
        return entry
    named = [item_id for item_id, name in there.items() if name == entry]
    if len(named) != 1:
        raise errors.bad_value(f"{len(named)} linked items are called {entry!r}", "board-relation")
    return str(named[0])


READS: dict[str, Read] = {
    "text": lambda world, column, text: text,
    "long_text": lambda world, column, text: {"text": text},
    "numbers": lambda world, column, text: text,
    "status": _status,
    "dropdown": lambda world, column, text: {"labels": [t.strip() for t in text.split(",") if t.strip()]},
    "email": _email,
    "link": _link,
    "phone": _phone,
    "date": _date,
    "timeline": _timeline,
    "people": _people,
    "board_relation": _relation,
}


def value_of(world: World, column: Column, text: str) -> Any:
    """What the cell means, as `column_values` would say it; None is empty. ColumnValueException for nonsense."""
    if text in ("", NULL):
        return None
    read = READS.get(column.type)
    if read is None:
        raise errors.bad_value("columns of this type can't be imported", column.type)
    return read(world, column, text)


def header_trouble(board: Board, header: list[str]) -> str:
    """Why the file's first line is not taken; an empty text where it is."""
    if not header or header[0] != "name":
        return 'The first column must be "name".'
    unknown = [column_id for column_id in header[1:] if board.column(column_id) is None]
    if unknown:
        return f"The board has no column {unknown[0]!r}."
    if len(set(header)) < len(header):
        return "A column is named twice."
    relations = [c for c in header[1:] if (found := board.column(c)) and found.type == "board_relation"]
    return f"At most {RELATION_COLUMNS} relation columns." if len(relations) > RELATION_COLUMNS else ""
