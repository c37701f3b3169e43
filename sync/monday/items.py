"""The items of a board: what Monday says of them, and the documents that read, create, change and remove them.

A reading is either known or says why it isn't. Unknown is never the same as empty: a value behind an error, a column
missing from the answer, or a type that we can't read must not look like a value that someone cleared.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sync.monday import board_items
from sync.monday.columns import BY_TYPE
from sync.monday.errors import BOARD_NOT_FOUND, UNREADABLE_ANSWER, MondayError
from sync.monday.graphql import COMPLEXITY, Answer, Document

_COMMON_FIELDS = frozenset({"id", "type", "text", "value", "__typename"})
AnswerPath = tuple[str | int, ...]


def parse_batch(answer: Answer, column_ids: Sequence[str]) -> board_items.BatchItems:
    """Read the answer to `batch_query`.

    Raises a part's own error if the part failed as a whole, because a failed read is not one that found nothing;
    BOARD_NOT_FOUND where the board is not active, because the state of its items says nothing about them then.
    """
    # First, because the state of a removed board's items says nothing about them.
    boards = _node_at(answer, ("board",))
    if boards is not None:
        state = boards[0].get("state") if boards and isinstance(boards[0], Mapping) else "missing"
        if state != "active":
            raise MondayError(BOARD_NOT_FOUND, f"The board is {state}", request_id=answer.request_id, path=("board",))
    linked = _items_at(answer, ("linked",), column_ids)
    by_npd_id, npd_id_cursor = _parse_page_at(answer, ("by_npd_id",), column_ids)
    # The part by match is a board with a page for email addresses, and a page for all else.
    if isinstance((answer.data or {}).get("by_match"), list):
        by_match, match_cursor = _parse_board_page(answer, "by_match", column_ids)
    else:
        by_match, match_cursor = _parse_page_at(answer, ("by_match",), column_ids)
    cursors = {"by_npd_id": npd_id_cursor, "by_match": match_cursor}
    return board_items.BatchItems(
        linked={item.id: item for item in linked},
        by_npd_id=by_npd_id,
        by_match=by_match,
        cursors={part: cursor for part, cursor in cursors.items() if cursor},
        request_id=answer.request_id or "",
    )


def parse_items(answer: Answer, column_ids: Sequence[str]) -> list[board_items.Item]:
    return _items_at(answer, ("linked",), column_ids)


def parse_page(answer: Answer, column_ids: Sequence[str]) -> board_items.ItemPage:
    data = answer.data or {}
    if "first" in data:
        return _parse_board_page(answer, "first", column_ids)
    if "page" not in data:
        raise MondayError(UNREADABLE_ANSWER, "Monday answered no page of items", request_id=answer.request_id)
    return _parse_page_at(answer, ("page",), column_ids)


def parse_written_items(
    answer: Answer, aliases: Iterable[str], column_ids: Sequence[str]
) -> dict[str, board_items.Item | MondayError]:
    """What became of each alias of a mutation: the item as it is now, or the error.

    An item can come with unreadable columns; these are unknown readings. An alias with neither item nor
    error has an unknown outcome.
    """
    return {alias: _parse_written(answer, alias, column_ids) for alias in aliases}


def parse_items_at(
    node: Any, column_ids: Sequence[str], errors: Sequence[MondayError] = (), path: AnswerPath = ()
) -> list[board_items.Item]:
    """Items out of a list (or a single one) in an answer; `path` is where the list is.

    Raises the error for which an item, or its state, was left out: it must not look like an item that doesn't
    exist or isn't active any more.
    """
    if isinstance(node, Mapping):
        return [_parse_item(node, column_ids, errors, path)]
    entries = node if isinstance(node, list) else []
    # An item that was left out must not look like one that doesn't exist.
    for error in errors:
        index = error.path[len(path)] if error.path[: len(path)] == path != error.path else None
        if isinstance(index, int) and index < len(entries) and _is_left_out(entries[index]):
            raise error
    # Nor may one without its state: it must not look like one that isn't active any more.
    if any(isinstance(entry, Mapping) and _is_left_out(entry) for entry in entries):
        raise MondayError(UNREADABLE_ANSWER, "Monday didn't say of an item whether it is active", path=path)
    return [
        _parse_item(entry, column_ids, errors, (*path, index))
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping)
    ]


def _is_left_out(entry: Any) -> bool:
    return entry is None or (isinstance(entry, Mapping) and "state" in entry and entry["state"] is None)


def _parse_written(answer: Answer, alias: str, column_ids: Sequence[str]) -> board_items.Item | MondayError:
    node = (answer.data or {}).get(alias)
    if isinstance(node, Mapping):
        return _parse_item(node, column_ids, answer.errors, (alias,))
    errors = answer.errors_of(alias)
    # An error of the alias itself means that the write failed.
    own = next((error for error in errors if len(error.path) == 1), None)
    if own is not None:
        return own
    # An error below the alias comes from reading the item back: the write itself was carried out.
    reason = errors[0].message if errors else "Monday answered nothing for this record"
    return MondayError(UNREADABLE_ANSWER, reason, request_id=answer.request_id, path=(alias,))


def _items_at(answer: Answer, path: AnswerPath, column_ids: Sequence[str]) -> list[board_items.Item]:
    return parse_items_at(_node_at(answer, path), column_ids, answer.errors, path)


def _parse_board_page(answer: Answer, alias: str, column_ids: Sequence[str]) -> board_items.ItemPage:
    # Without the board its items are unknown, not absent.
    if not _node_at(answer, (alias,)):
        message = "Monday answered no board to read from"
        raise MondayError(UNREADABLE_ANSWER, message, request_id=answer.request_id, path=(alias,))
    return _parse_page_at(answer, (alias, 0, "items_page"), column_ids)


def _parse_page_at(answer: Answer, path: AnswerPath, column_ids: Sequence[str]) -> board_items.ItemPage:
    node = _node_at(answer, path)
    if not isinstance(node, Mapping):
        return [], None
    cursor = node.get("cursor")
    entries = node.get("items")
    items = parse_items_at(entries, column_ids, answer.errors, (*path, "items"))
    # A page with an item missing would make that item look removed.
    if not isinstance(entries, list) or len(items) < len(entries):
        raise MondayError(UNREADABLE_ANSWER, "Monday left items out of a page", request_id=answer.request_id, path=path)
    return items, str(cursor) if cursor else None


def _node_at(answer: Answer, path: AnswerPath) -> Any:
    """The value at a path; None where the document didn't ask for it. A null raises its error."""
    if path[0] not in (answer.data or {}):
        return None
    node: Any = answer.data
    for step in path:
        if isinstance(node, Mapping):
            node = node.get(str(step))
        else:
            node = node[step] if isinstance(node, list) and isinstance(step, int) and step < len(node) else None
    if node is not None:
        return node
    # A null without an error of its own is explained by one above or below it.
    for error in answer.errors:
        if error.path[: len(path)] == path or path[: len(error.path)] == error.path:
            raise error
    raise MondayError(
        UNREADABLE_ANSWER, "Monday answered nothing where a list was asked for", request_id=answer.request_id
    )


def _parse_item(
    node: Mapping[str, Any], column_ids: Sequence[str], errors: Sequence[MondayError], path: AnswerPath
) -> board_items.Item:
    board = node.get("board")
    # Only errors inside this item; the others belong to other aliases.
    own_errors = [error for error in errors if error.path[: len(path)] == path != error.path]
    name = str(node.get("name") or "")
    group = node.get("group")
    return board_items.Item(
        id=str(node["id"]),
        name=to_storable(name),
        name_known=to_storable(name) == name,
        state=str(node.get("state") or ""),
        board_id=str(board["id"]) if isinstance(board, Mapping) and board.get("id") else None,
        updated_at=node.get("updated_at"),
        group_id=str(group["id"]) if isinstance(group, Mapping) and group.get("id") else None,
        values=_parse_values(node.get("column_values"), column_ids, own_errors, (*path, "column_values")),
    )


def _parse_values(
    nodes: Any, column_ids: Sequence[str], errors: Sequence[MondayError], path: AnswerPath
) -> dict[str, board_items.Reading]:
    wanted = set(column_ids)
    # One error for all values: none of them is known.
    values_error = next((error for error in errors if error.path == path), None)
    if values_error is not None:
        return {
            column_id: board_items.Reading.unknown(column_id, "", values_error.sentence) for column_id in column_ids
        }
    readings = {}
    for index, node in enumerate(nodes if isinstance(nodes, list) else []):
        if isinstance(node, Mapping) and node.get("id") in wanted:
            value_path = (*path, index)
            error = next((error for error in errors if error.path[: len(value_path)] == value_path), None)
            readings[str(node["id"])] = _parse_reading(node, error)
    return readings


def _parse_reading(node: Mapping[str, Any], error: MondayError | None) -> board_items.Reading:
    column_id = str(node["id"])
    column_type = str(node.get("type") or "")
    if error is not None:
        return board_items.Reading.unknown(column_id, column_type, error.sentence)
    # A type without a converter: its value must not look empty.
    if column_type not in BY_TYPE:
        reason = f"the column is of the type {column_type!r}, which can't be read yet"
        return board_items.Reading.unknown(column_id, column_type, reason)
    try:
        value = decode_json(raw := node.get("value"))
    except (ValueError, RecursionError):
        return board_items.Reading.unknown(column_id, column_type, "Monday's raw value is not JSON")
    # Characters that JSON escapes show only in the decoded value.
    is_escaped = isinstance(raw, str) and "\\u" in raw
    if not is_storable(node) or (is_escaped and not is_storable(value)):
        return board_items.Reading.unknown(column_id, column_type, board_items.UNSTORABLE_REASON)
    extra = {key: entry for key, entry in node.items() if key not in _COMMON_FIELDS}
    return board_items.Reading(column_id, column_type, text=node.get("text"), value=value, extra=extra)


def is_storable(value: Any) -> bool:
    """Whether PostgreSQL can store every text in a JSON value: it takes neither NUL nor lone surrogates."""
    if isinstance(value, str):
        # Nearly every text of a listing is plain, which is known without encoding it.
        is_plain = value.isascii() and "\x00" not in value
        return (is_plain or to_storable(value) == value) and "\\u0000" not in value
    # Every value of a listing comes by here: `map` costs half of what a generator does.
    if isinstance(value, dict):
        return all(map(is_storable, value.values()))
    return all(map(is_storable, value)) if isinstance(value, list) else True


def to_storable(text: str) -> str:
    """The text with a replacement for each character that no database can store."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def decode_json(value: Any) -> Any:
    """Monday's scalar JSON is a string that holds JSON, or null; raises ValueError for other strings."""
    if value == "":
        return None
    return json.loads(value) if isinstance(value, str) else value


# What documents ask of an item: a GraphQL fragment that depends on the column types.


# What `value` and `text` lack: the label behind an index, labels that hold a comma, connected items (their
# `value` is null since 2025-04). Each type of column declares its own.
# Those of an email and a phone column are part of every document, so that there are few texts.
_OF_TYPE = {kind: column.fragment for kind, column in BY_TYPE.items() if column.fragment}
_ALWAYS = [_OF_TYPE.pop(kind) for kind in ("email", "phone")]


@cache
def _item_fragment(types: frozenset[str]) -> str:
    typed = "\n    ".join([*_ALWAYS, *(_OF_TYPE[name] for name in sorted(types - {board_items.GROUP}))])
    group = "\n  group { id }" if board_items.GROUP in types else ""
    return f"""
fragment ItemFields on Item {{
  id name state updated_at
  board {{ id }}{group}
  column_values(ids: $columns) {{
    id type text value
    {typed}
  }}
}}
"""


def item_fragment(types: Iterable[str] = ()) -> str:
    """The fragment `ItemFields`, with what columns of these types need besides the fields of all columns.

    Types that need nothing more change nothing, so that there are few texts and the usual ones stay small.
    """
    return _item_fragment(frozenset(types).intersection({*_OF_TYPE, board_items.GROUP}))


# The documents that read and write records: reads of a batch, and writes of many records as aliased mutations.
#
# Values travel in variables only, and a text depends on nothing but its shape and its aliases, so that Monday and the
# tests can cache it. `types` are the types of the columns that are read; some need further fields.


ITEMS_PER_READ = 100  # ids in one `items` query (developer.monday.com/api-reference/reference/items)
ITEMS_PER_PAGE = 500  # items in one page (developer.monday.com/api-reference/reference/items-page)
_BOARD = "board: boards(ids: [$board], limit: 1, state: all) { id state }"
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


@dataclass(frozen=True)
class _QueryPart:
    """One root field of a query, with the variables that it needs."""

    declarations: str
    text: str
    variables: Mapping[str, Any]


def items_query(item_ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()) -> Document:
    """Up to 100 items by id, archived and deleted ones too; the answer leaves out unknown ids."""
    return _build_query([_linked_part(item_ids)], column_ids, types)


def batch_query(
    board_id: str,
    item_ids: Sequence[str],
    column_ids: Sequence[str],
    npd_id_column: str,
    npd_ids: Sequence[str],
    match: board_items.MatchColumn | None = None,
    match_values: Sequence[str] = (),
    types: Collection[str] = (),
) -> Document:
    """Everything that a batch needs to know, in one request; a part without a question is left out.

    `linked` are the items by id, `by_npd_id` those with one of our ids, `by_match` those that could be the counterpart
    of a record; `board` asks whether the board still exists. Email addresses are found as parts of a text, so hits have
    to be compared exactly. Raises ValueError when there is nothing to ask, or more than 100 ids.
    """
    parts = []
    if item_ids:
        parts.append(_linked_part(item_ids))
    if npd_ids:
        parts.append(_by_column_part("by_npd_id", npd_id_column, npd_ids))
    if match is not None and match_values:
        parts.append(_by_match_part(match, match_values))
    if not parts:
        raise ValueError("A read needs at least one item, NPD ID or match value to ask for.")
    return _build_query([_QueryPart("$board: ID!", _BOARD, {"board": board_id}), *parts], column_ids, types)


def first_page_query(
    board_id: str, column_ids: Sequence[str], limit: int = ITEMS_PER_PAGE, types: Collection[str] = ()
) -> Document:
    """The first page of a board's active items; `parse_page` reads it."""
    page = "items_page(limit: $limit) { cursor items { ...ItemFields } }"
    text = f"first: boards(ids: [$board], limit: 1) {{ {page} }}"
    variables = {"board": board_id, "limit": limit}
    return _build_query([_QueryPart("$board: ID!, $limit: Int!", text, variables)], column_ids, types)


def next_page_query(
    cursor: str, column_ids: Sequence[str], types: Collection[str] = (), limit: int = ITEMS_PER_PAGE
) -> Document:
    """The page behind a cursor, which is valid for 60 minutes from the first page."""
    text = "page: next_items_page(cursor: $cursor, limit: $limit) { cursor items { ...ItemFields } }"
    variables = {"cursor": cursor, "limit": limit}
    return _build_query([_QueryPart("$cursor: String!, $limit: Int!", text, variables)], column_ids, types)


class _Writing:
    """A mutation of many items, each under its own alias and variables, so that one error concerns one record."""

    def __init__(self, column_ids: Sequence[str], board_id: str | None = None, *, create_labels: bool = False) -> None:
        self._declarations: list[str] = []
        self._variables: dict[str, Any] = {}
        self._fields: dict[str, str] = {}
        self._first: dict[str, str] = {}
        if board_id is not None:
            self.always("board_id", "board", "ID!", board_id)
        self._declare("columns", "[String!]", list(column_ids))
        # With it Monday makes missing labels; nothing is said where none can be missing.
        self._last = {"create_labels_if_missing": self._declare("labels", "Boolean", True)} if create_labels else {}

    def _declare(self, name: str, kind: str, value: Any) -> str:
        self._declarations.append(f"${name}: {kind}")
        self._variables[name] = value
        return f"${name}"

    def always(self, argument: str, name: str, kind: str, value: Any) -> None:
        """An argument that every field has alike."""
        self._first[argument] = self._declare(name, kind, value)

    def add(self, alias: str, field: str, **arguments: tuple[str, str, Any]) -> None:
        """A field for one item; each argument has the name of its variable, the type and the value."""
        check_alias(alias)
        own = {
            name: self._declare(f"{variable}_{alias}", kind, value)
            for name, (variable, kind, value) in arguments.items()
        }
        passed = ", ".join(f"{name}: {value}" for name, value in (self._first | own | self._last).items())
        self._fields[alias] = f"{alias}: {field}({passed}) {{ ...ItemFields }}"

    def request(self, types: Collection[str]) -> board_items.WriteRequest:
        """Raises ValueError where there is nothing to write."""
        if not self._fields:
            raise ValueError("A write needs at least one record.")
        body = "\n  ".join([COMPLEXITY, *self._fields.values()])
        text = f"mutation Write({', '.join(self._declarations)}) {{\n  {body}\n}}{item_fragment(types)}"
        variables = self._variables
        return board_items.WriteRequest(
            {"text": text, "variables": variables}, list(self._fields), variables["columns"]
        )


def prepare_changes(
    board_id: str,
    changes: Sequence[board_items.ItemWrite],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> board_items.WriteRequest:
    """One mutation for many items, each under its alias; Monday runs them one after another.

    With `create_labels` Monday creates a missing status or dropdown label, which needs permission to change
    the board's structure.
    """
    writing = _Writing(column_ids, board_id, create_labels=create_labels)
    for entry in changes:
        writing.add(
            entry.alias,
            "change_multiple_column_values",
            item_id=("item", "ID!", entry.item_id),
            column_values=("values", "JSON!", _encode_json(entry.values)),
        )
    return writing.request(types)


def prepare_creates(
    board_id: str,
    group_id: str | None,
    creates: Sequence[board_items.ItemWrite],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> board_items.WriteRequest:
    """One mutation that creates many items; without a group they go to the board's topmost one.

    `create_labels` as in `prepare_changes`.
    """
    writing = _Writing(column_ids, board_id, create_labels=create_labels)
    if group_id:
        writing.always("group_id", "group", "String!", group_id)
    for entry in creates:
        # A new item's columns are empty, so there is nothing to clear.
        filled = {column: value for column, value in entry.values.items() if value is not None}
        name = filled.pop(board_items.NAME_COLUMN)
        writing.add(
            entry.alias,
            "create_item",
            item_name=("name", "String!", name),
            column_values=("values", "JSON!", _encode_json(filled)),
        )
    return writing.request(types)


def prepare_archive(
    removals: Mapping[str, str], column_ids: Sequence[str], types: Collection[str] = ()
) -> board_items.WriteRequest:
    """Items, by alias, leave their board, and a person can restore them there. Raises ValueError for none."""
    return _prepare_removal("archive_item", removals, column_ids, types)


def prepare_delete(
    removals: Mapping[str, str], column_ids: Sequence[str], types: Collection[str] = ()
) -> board_items.WriteRequest:
    """Items, by alias, are deleted; a person can restore them for 30 days. Raises ValueError where there is none."""
    return _prepare_removal("delete_item", removals, column_ids, types)


def _prepare_removal(
    field: str, removals: Mapping[str, str], column_ids: Sequence[str], types: Collection[str]
) -> board_items.WriteRequest:
    # Either answers the item with its new `state`, which `parse_written_items` reads
    # (developer.monday.com/api-reference/reference/items).
    writing = _Writing(column_ids)
    for alias, item_id in removals.items():
        writing.add(alias, field, item_id=("item", "ID!", item_id))
    return writing.request(types)


def _linked_part(ids: Sequence[str]) -> _QueryPart:
    if not 1 <= len(ids) <= ITEMS_PER_READ:
        raise ValueError(f"Monday reads 1 to {ITEMS_PER_READ} items by id in one call, not {len(ids)}.")
    text = f"linked: items(ids: $ids, limit: {ITEMS_PER_READ}, exclude_nonactive: false) {{ ...ItemFields }}"
    return _QueryPart("$ids: [ID!]!", text, {"ids": list(ids)})


def _by_column_part(part: str, column_id: str, values: Sequence[str]) -> _QueryPart:
    text = (
        f"{part}: items_page_by_column_values(board_id: $board, limit: {ITEMS_PER_PAGE}, columns: ${part})"
        " { cursor items { ...ItemFields } }"
    )
    queries = [{"column_id": column_id, "column_values": list(values)}]
    return _QueryPart(f"${part}: [ItemsPageByColumnValuesQuery!]", text, {part: queries})


def _by_match_part(match: board_items.MatchColumn, values: Sequence[str]) -> _QueryPart:
    column_id, column_type = match
    if column_type != "email":
        return _by_column_part("by_match", column_id, values)
    # Equality on an email column compares the label and not the address
    # (developer.monday.com/api-reference/reference/email), hence the search for a part of the text.
    rules = [{"column_id": column_id, "compare_value": [value], "operator": "contains_text"} for value in values]
    page = f"items_page(limit: {ITEMS_PER_PAGE}, query_params: $by_match) {{ cursor items {{ ...ItemFields }} }}"
    text = f"by_match: boards(ids: [$board], limit: 1) {{ {page} }}"
    return _QueryPart("$by_match: ItemsQuery", text, {"by_match": {"rules": rules, "operator": "or"}})


def _build_query(parts: Sequence[_QueryPart], column_ids: Sequence[str], types: Collection[str]) -> Document:
    declarations = ", ".join([part.declarations for part in parts] + ["$columns: [String!]"])
    fields = "\n  ".join(part.text for part in parts if part.text)
    variables: dict[str, Any] = {"columns": list(column_ids)}
    for part in parts:
        variables |= part.variables
    text = f"query Look({declarations}) {{\n  {COMPLEXITY}\n  {fields}\n}}{item_fragment(types)}"
    return Document(text, variables)


def check_alias(alias: str) -> str:
    """The alias, if a document can hold it; raises ValueError."""
    # Aliases are written into the document itself, unlike values.
    if not _ALIAS.match(alias):
        raise ValueError(f"{alias!r} can't be an alias in a GraphQL document.")
    return alias


def _encode_json(values: Mapping[str, Any]) -> str:
    """Monday's scalar JSON travels as a string (developer.monday.com/api-reference/reference/items)."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"))
