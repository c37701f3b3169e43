"""What Monday says of items, as values: an `Item` with a `Reading` for each column that was asked for.

A reading is either known or says why it isn't. Unknown is never the same as empty: a value behind an error, a
column missing from the answer, or a type that we can't read must not look like a value that someone cleared.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.connectors.monday.answers import Answer
from sync.connectors.monday.errors import BoardGone, MondayError, UnreadableAnswer

NAME_COLUMN = "name"
KNOWN_TYPES = frozenset(
    {"name", "text", "long_text", "email", "phone", "link", "status", "dropdown", "date", "numbers"}
    | {"checkbox", "people", "country", "location", "board_relation", "tags"}
)
"""The column types that some converter reads."""
_COMMON_FIELDS = frozenset({"id", "type", "text", "value", "__typename"})

UNSTORABLE = "it holds characters that NPD can't store; type it anew on the board"

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reading:
    """One column's value: `value` is Monday's raw JSON, decoded; `extra` the fields of the column's type.

    Where `known` is false, `reason` says why in words, and nothing may be concluded from the value.
    """

    column_id: str
    type: str
    text: str | None = None
    value: Any = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    known: bool = True
    reason: str = ""


@dataclass(frozen=True)
class Item:
    """An item as it stood when it was read; `state` is active, archived or deleted."""

    id: str
    name: str
    state: str
    name_known: bool = True
    board_id: str | None = None
    updated_at: str | None = None
    values: Mapping[str, Reading] = field(default_factory=dict)

    def reading(self, column_id: str) -> Reading:
        """The value of a column ("name": the item's name); unknown, with a reason, if it wasn't answered."""
        if column_id == NAME_COLUMN and not self.name_known:
            return _unknown(NAME_COLUMN, "name", UNSTORABLE)
        if column_id == NAME_COLUMN:
            return Reading(NAME_COLUMN, "name", text=self.name, value=self.name)
        reason = "the column is missing from Monday's answer, or hidden from the token's user"
        return self.values.get(column_id) or _unknown(column_id, "", reason)


@dataclass(frozen=True)
class Page:
    """Some items and, if there are more, the cursor of the next page (good for 60 minutes)."""

    items: list[Item]
    cursor: str | None


@dataclass(frozen=True)
class LookResult:
    """Both what was asked for by id and what was found; `cursors` names the parts that have further pages."""

    linked: dict[str, Item] = field(default_factory=dict)
    by_npd_id: list[Item] = field(default_factory=list)
    by_match: list[Item] = field(default_factory=list)
    cursors: dict[str, str] = field(default_factory=dict)


def parse_look(answer: Answer, column_ids: Sequence[str]) -> LookResult:
    """Read the answer to `documents.look`.

    Raises the part's own error if a part failed as a whole: a failed look is not one that found nothing; and
    BoardGone where the board is not active, for what became of its items then says nothing about them.
    """
    _active_board(answer)
    linked = _list_of(answer, ("linked",), column_ids)
    by_npd_id = _page_at(answer, ("by_npd_id",), column_ids)
    by_match = _match_page(answer, column_ids)
    pages = {"by_npd_id": by_npd_id, "by_match": by_match}
    return LookResult(
        linked={item.id: item for item in linked},
        by_npd_id=by_npd_id.items,
        by_match=by_match.items,
        cursors={part: page.cursor for part, page in pages.items() if page.cursor},
    )


def _active_board(answer: Answer) -> None:
    boards = _node(answer, ("board",))
    if boards is None:
        return
    state = boards[0].get("state") if boards and isinstance(boards[0], Mapping) else "missing"
    if state != "active":
        raise BoardGone(f"The board is {state}", request_id=answer.request_id, path=("board",))


def parse_items(answer: Answer, column_ids: Sequence[str]) -> list[Item]:
    """Read the answer to `documents.read_items`."""
    return _list_of(answer, ("linked",), column_ids)


def parse_page(answer: Answer, column_ids: Sequence[str]) -> Page:
    """Read the answer to `documents.next_page` or `documents.first_page`."""
    data = answer.data or {}
    if "first" in data:
        return _board_page(answer, "first", column_ids)
    if "page" not in data:
        raise UnreadableAnswer("Monday answered no page of items", request_id=answer.request_id)
    return _page_at(answer, ("page",), column_ids)


def parse_written(
    answer: Answer, aliases: Iterable[str], column_ids: Sequence[str]
) -> dict[str, Item | MondayError]:
    """What became of each alias of `change` or `create`: the item as it is now, or the error.

    An item can come with unreadable columns; these are unknown readings. An alias with neither item nor
    error has an unknown outcome.
    """
    return {alias: _written(answer, alias, column_ids) for alias in aliases}


def items_from(
    node: Any, column_ids: Sequence[str], errors: Sequence[MondayError] = (), path: Path = ()
) -> list[Item]:
    """Items out of a list (or a single one) of an answer; `path` is where the list stands in the answer.

    Raises the error for which an item was left out, or doesn't tell its state: it must not look like one that
    isn't there, or isn't active any more.
    """
    if isinstance(node, Mapping):
        return [_item(node, column_ids, errors, path)]
    entries = node if isinstance(node, list) else []
    for error in errors:
        index = error.path[len(path)] if error.path[: len(path)] == path != error.path else None
        if isinstance(index, int) and index < len(entries) and _left_out(entries[index]):
            raise error
    if any(isinstance(entry, Mapping) and _left_out(entry) for entry in entries):
        raise UnreadableAnswer("Monday didn't say of an item whether it is active", path=path)
    return [
        _item(entry, column_ids, errors, (*path, index))
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping)
    ]


def _left_out(entry: Any) -> bool:
    return entry is None or (isinstance(entry, Mapping) and "state" in entry and entry["state"] is None)


def _written(answer: Answer, alias: str, column_ids: Sequence[str]) -> Item | MondayError:
    node = (answer.data or {}).get(alias)
    if isinstance(node, Mapping):
        return _item(node, column_ids, answer.errors, (alias,))
    errors = answer.errors_of(alias)
    own = next((error for error in errors if len(error.path) == 1), None)
    if own is not None:
        return own
    # An error below the alias comes from reading the item: the write itself was carried out.
    reason = errors[0].message if errors else "Monday answered nothing for this record"
    return UnreadableAnswer(reason, request_id=answer.request_id, path=(alias,))


def _list_of(answer: Answer, path: Path, column_ids: Sequence[str]) -> list[Item]:
    return items_from(_node(answer, path), column_ids, answer.errors, path)


def _match_page(answer: Answer, column_ids: Sequence[str]) -> Page:
    """The part by match is a board with a page for e-mail addresses, and a page for all else."""
    if isinstance((answer.data or {}).get("by_match"), list):
        return _board_page(answer, "by_match", column_ids)
    return _page_at(answer, ("by_match",), column_ids)


def _board_page(answer: Answer, alias: str, column_ids: Sequence[str]) -> Page:
    if not _node(answer, (alias,)):
        message = "Monday answered no board to read from"
        raise UnreadableAnswer(message, request_id=answer.request_id, path=(alias,))
    return _page_at(answer, (alias, 0, "items_page"), column_ids)


def _page_at(answer: Answer, path: Path, column_ids: Sequence[str]) -> Page:
    node = _node(answer, path)
    if not isinstance(node, Mapping):
        return Page([], None)
    cursor, entries = node.get("cursor"), node.get("items")
    items = items_from(entries, column_ids, answer.errors, (*path, "items"))
    if not isinstance(entries, list) or len(items) < len(entries):
        raise UnreadableAnswer("Monday left items out of a page", request_id=answer.request_id, path=path)
    return Page(items, str(cursor) if cursor else None)


def _node(answer: Answer, path: Path) -> Any:
    """The value at a path; None only where the document didn't ask for it, else a null raises its error."""
    if path[0] not in (answer.data or {}):
        return None
    node: Any = answer.data
    for step in path:
        node = _child(node, step)
    if node is not None:
        return node
    for error in answer.errors:
        if error.path[: len(path)] == path or path[: len(error.path)] == error.path:
            raise error
    raise UnreadableAnswer("Monday answered nothing where a list was asked for", request_id=answer.request_id)


def _child(node: Any, step: str | int) -> Any:
    if isinstance(node, Mapping):
        return node.get(str(step))
    return node[step] if isinstance(node, list) and isinstance(step, int) and step < len(node) else None


def _item(
    node: Mapping[str, Any], column_ids: Sequence[str], errors: Sequence[MondayError], path: Path
) -> Item:
    board = node.get("board")
    own_errors = [error for error in errors if error.path[: len(path)] == path != error.path]
    name = str(node.get("name") or "")
    return Item(
        id=str(node["id"]),
        name=storable(name),
        name_known=storable(name) == name,
        state=str(node.get("state") or ""),
        board_id=str(board["id"]) if isinstance(board, Mapping) and board.get("id") else None,
        updated_at=node.get("updated_at"),
        values=_values(node.get("column_values"), column_ids, own_errors, (*path, "column_values")),
    )


def _values(
    nodes: Any, column_ids: Sequence[str], errors: Sequence[MondayError], path: Path
) -> dict[str, Reading]:
    wanted = set(column_ids)
    blind = next((error for error in errors if error.path == path), None)
    if blind is not None:
        return {column_id: _unknown(column_id, "", blind.sentence) for column_id in column_ids}
    readings = {}
    for index, node in enumerate(nodes if isinstance(nodes, list) else []):
        if isinstance(node, Mapping) and node.get("id") in wanted:
            below = (*path, index)
            error = next((error for error in errors if error.path[: len(below)] == below), None)
            readings[str(node["id"])] = _reading(node, error)
    return readings


def _reading(node: Mapping[str, Any], error: MondayError | None) -> Reading:
    column_id, column_type = str(node["id"]), str(node.get("type") or "")
    if error is not None:
        return _unknown(column_id, column_type, error.sentence)
    if column_type not in KNOWN_TYPES:
        reason = f"the column is of the type {column_type!r}, which can't be read yet"
        return _unknown(column_id, column_type, reason)
    try:
        value = decoded(node.get("value"))
    except (ValueError, RecursionError):
        return _unknown(column_id, column_type, "Monday's raw value is not JSON")
    # The raw value once more, decoded: what it escapes shows only there.
    if not (is_storable(node) and is_storable(value)):
        return _unknown(column_id, column_type, UNSTORABLE)
    extra = {key: entry for key, entry in node.items() if key not in _COMMON_FIELDS}
    return Reading(column_id, column_type, text=node.get("text"), value=value, extra=extra)


def is_storable(value: Any) -> bool:
    """Whether a database can hold every text in a JSON value: PostgreSQL knows no NUL, UTF-8 no lone surrogate."""
    if isinstance(value, str):
        return storable(value) == value and "\\u0000" not in value
    if isinstance(value, Mapping):
        return all(is_storable(entry) for entry in value.values())
    return all(is_storable(entry) for entry in value) if isinstance(value, list) else True


def storable(text: str) -> str:
    """The text with a sign for each character that no database can hold."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def decoded(value: Any) -> Any:
    """Monday's scalar JSON is a string that holds JSON, or null; raises ValueError for other strings."""
    if value == "":
        return None
    return json.loads(value) if isinstance(value, str) else value


def _unknown(column_id: str, column_type: str, reason: str) -> Reading:
    return Reading(column_id, column_type, known=False, reason=reason)
