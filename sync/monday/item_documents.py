"""The documents that read, create, change and remove items, and how their answers are parsed."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sync.monday import board_items
from sync.monday.columns import BY_TYPE
from sync.monday.errors import BOARD_NOT_FOUND, UNREADABLE_ANSWER, MondayError
from sync.monday.graphql import COMPLEXITY, Answer, Document

_COMMON_FIELDS = frozenset({"id", "type", "text", "value", "__typename"})
AnswerPath = tuple[str | int, ...]


def parse_batch(answer: Answer, column_ids: Sequence[str]) -> board_items.BatchItems:
    """Parse the answer to `batch_query`.

    Raises a part's own error if the part failed as a whole, because a failed read must not look like an empty one;
    BOARD_NOT_FOUND where the board is not active, because its items' states mean nothing then.
    """
    boards = _node_at(answer, ("board",))
    if boards is not None:
        state = boards[0].get("state") if boards and isinstance(boards[0], Mapping) else "missing"
        if state != "active":
            raise MondayError(BOARD_NOT_FOUND, f"The board is {state}", request_id=answer.request_id, path=("board",))
    linked = parse_items(answer, column_ids)
    by_npd_id, npd_id_cursor = parse_page(answer, "by_npd_id", column_ids)
    by_match, match_cursor = parse_page(answer, "by_match", column_ids)
    cursors = {"by_npd_id": npd_id_cursor, "by_match": match_cursor}
    return board_items.BatchItems(
        by_id={item.id: item for item in linked},
        by_npd_id=by_npd_id,
        by_match=by_match,
        cursors={part: cursor for part, cursor in cursors.items() if cursor},
        request_id=answer.request_id or "",
    )


def parse_items(answer: Answer, column_ids: Sequence[str]) -> list[board_items.Item]:
    """Parse the answer to `items_query`."""
    path = ("linked",)
    return parse_items_at(_node_at(answer, path), column_ids, answer.errors, path)


def parse_page(answer: Answer, alias: str, column_ids: Sequence[str]) -> board_items.ItemPage:
    """Parse the page of items under an alias; an empty one where the document didn't ask for it."""
    path, entries, cursor = _page_entries(answer, alias)
    return parse_items_at(entries, column_ids, answer.errors, path), cursor


def parse_item_ids(answer: Answer) -> tuple[list[str], str | None]:
    """Parse the answer to `item_ids_query`: the ids and the next page's cursor; raises MondayError."""
    _, entries, cursor = _page_entries(answer, "page")
    return [str(entry["id"]) for entry in entries], cursor


def _page_entries(answer: Answer, alias: str) -> tuple[AnswerPath, list[Mapping[str, Any]], str | None]:
    """Return where a page's items are, these items, and the next page's cursor; raises MondayError."""
    path: AnswerPath = (alias,)
    # The first page of a listing, or of a search for email addresses, is one of its board.
    boards = answer.data.get(alias)
    if isinstance(boards, list):
        # Without the board its items are unknown, not missing.
        if not boards:
            message = "Monday answered no board to read from"
            raise MondayError(UNREADABLE_ANSWER, message, request_id=answer.request_id, path=path)
        path = (alias, 0, "items_page")
    node = _node_at(answer, path)
    items_path = (*path, "items")
    if not isinstance(node, Mapping):
        return items_path, [], None
    entries = node.get("items")
    if isinstance(entries, list):
        _raise_for_left_out(entries, answer.errors, items_path)
    # A page with an item missing would make that item look removed.
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) and entry.get("id") for entry in entries):
        raise MondayError(UNREADABLE_ANSWER, "Monday left items out of a page", request_id=answer.request_id, path=path)
    cursor = node.get("cursor")
    return items_path, entries, str(cursor) if cursor else None


def parse_written_items(
    answer: Answer, aliases: Iterable[str], column_ids: Sequence[str]
) -> dict[str, board_items.Item | MondayError]:
    """Parse the answer to a write: for each alias its item as it is now, or the error.

    Unreadable columns of an item are unknown readings. An alias with neither item nor error has an unknown outcome.
    """
    results: dict[str, board_items.Item | MondayError] = {}
    for alias in aliases:
        node = answer.data.get(alias)
        if isinstance(node, Mapping):
            results[alias] = _parse_item(node, column_ids, answer.errors, (alias,))
            continue
        errors = answer.errors_of(alias)
        # An error of the alias itself means that the write failed.
        write_error = next((error for error in errors if len(error.path) == 1), None)
        # An error below the alias comes from reading the item back: the write itself was carried out.
        message = errors[0].message if errors else "Monday answered nothing for this record"
        results[alias] = write_error or MondayError(
            UNREADABLE_ANSWER, message, request_id=answer.request_id, path=(alias,)
        )
    return results


def parse_items_at(
    node: Any, column_ids: Sequence[str], errors: Sequence[MondayError] = (), path: AnswerPath = ()
) -> list[board_items.Item]:
    """Parse the items in a list of an answer; `path` is where the list is.

    Raises the error because of which an item, or its state, is missing: it must not look like an item that doesn't
    exist or isn't active any more.
    """
    entries = node if isinstance(node, list) else []
    _raise_for_left_out(entries, errors, path)
    if any(isinstance(entry, Mapping) and _is_left_out(entry) for entry in entries):
        raise MondayError(UNREADABLE_ANSWER, "Monday didn't say whether an item is active", path=path)
    return [
        _parse_item(entry, column_ids, errors, (*path, index))
        for index, entry in enumerate(entries)
        if isinstance(entry, Mapping)
    ]


def _raise_for_left_out(entries: Sequence[Any], errors: Sequence[MondayError], path: AnswerPath) -> None:
    for error in errors:
        index = error.path[len(path)] if _is_below(path, error) else None
        if isinstance(index, int) and index < len(entries) and _is_left_out(entries[index]):
            raise error


def _is_below(path: AnswerPath, error: MondayError) -> bool:
    return len(error.path) > len(path) and error.path[: len(path)] == path


def _is_left_out(entry: Any) -> bool:
    return entry is None or (isinstance(entry, Mapping) and "state" in entry and entry["state"] is None)


def _node_at(answer: Answer, path: AnswerPath) -> Any:
    """Return the value at a path, None where the document didn't ask for it; raises the error of a null."""
    if path[0] not in answer.data:
        return None
    node: Any = answer.data
    for step in path:
        if isinstance(node, Mapping):
            node = node.get(str(step))
        else:
            node = node[step] if isinstance(node, list) and isinstance(step, int) and step < len(node) else None
    if node is not None:
        return node
    # The error may be above or below the null.
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
    # The other errors belong to other items.
    own_errors = [error for error in errors if _is_below(path, error)]
    name = str(node.get("name") or "")
    group = node.get("group")
    return board_items.Item(
        id=str(node["id"]),
        name=to_storable(name),
        is_name_known=to_storable(name) == node.get("name"),
        state=str(node.get("state") or ""),
        board_id=str(board["id"]) if isinstance(board, Mapping) and board.get("id") else None,
        updated_at=node.get("updated_at"),
        group_id=str(group["id"]) if isinstance(group, Mapping) and group.get("id") else None,
        values=_parse_values(node.get("column_values"), column_ids, own_errors, (*path, "column_values")),
    )


def _parse_values(
    nodes: Any, column_ids: Sequence[str], errors: Sequence[MondayError], path: AnswerPath
) -> dict[str, board_items.Reading]:
    for error in errors:
        # An error for all values: none of them is known.
        if error.path == path:
            reason = _reason_of(error)
            return {column_id: board_items.Reading.unknown(column_id, "", reason) for column_id in column_ids}
    requested = set(column_ids)
    readings = {}
    for index, node in enumerate(nodes if isinstance(nodes, list) else []):
        if isinstance(node, Mapping) and node.get("id") in requested:
            value_path = (*path, index)
            value_error = next((error for error in errors if error.path[: len(value_path)] == value_path), None)
            readings[str(node["id"])] = _parse_reading(node, value_error)
    return readings


def _parse_reading(node: Mapping[str, Any], error: MondayError | None) -> board_items.Reading:
    column_id = str(node["id"])
    column_type = str(node.get("type") or "")
    if error is not None:
        return board_items.Reading.unknown(column_id, column_type, _reason_of(error))
    # A type without a converter: its value must not look empty.
    if column_type not in BY_TYPE:
        return board_items.Reading.unknown(column_id, column_type, board_items.Reason("type_unread", type=column_type))
    raw = node.get("value")
    try:
        value = decode_json(raw)
    except (ValueError, RecursionError):
        return board_items.Reading.unknown(column_id, column_type, board_items.Reason("not_json"))
    # JSON can hide a character behind an escape.
    is_escaped = isinstance(raw, str) and "\\u" in raw
    if not is_storable(node) or (is_escaped and not is_storable(value)):
        return board_items.Reading.unknown(column_id, column_type, board_items.UNSTORABLE)
    extra = {key: entry for key, entry in node.items() if key not in _COMMON_FIELDS}
    return board_items.Reading(column_id, column_type, text=node.get("text"), value=value, extra=extra)


def _reason_of(error: MondayError) -> board_items.Reason:
    advice = board_items.Reason(f"advice_{error.kind}")
    return board_items.Reason(
        board_items.FAILED, quote=error.message.rstrip(" ."), advice=advice, request=error.request_id
    )


def is_storable(value: Any) -> bool:
    """Return whether PostgreSQL can store every text in a JSON value: it takes neither NUL nor lone surrogates."""
    if isinstance(value, str):
        # Nearly all texts are ASCII and need no encoding.
        is_plain = value.isascii() and "\x00" not in value
        return is_plain or to_storable(value) == value
    # Called for every value of a listing: `map` costs half as much as a generator.
    if isinstance(value, dict):
        return all(map(is_storable, value.values()))
    return all(map(is_storable, value)) if isinstance(value, list) else True


def to_storable(text: str) -> str:
    """Replace each character that PostgreSQL can't store."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def decode_json(value: Any) -> Any:
    """Decode Monday's scalar JSON: a string with JSON, or null; raises ValueError for other strings."""
    if value == "":
        return None
    return json.loads(value) if isinstance(value, str) else value


# The fields that `value` and `text` lack: the label behind an index, labels with a comma, connected items (their
# `value` is null since 2025-04). Those of email and phone columns are part of every document, so that there are few
# different documents.
_TYPE_FIELDS = {kind: column.fragment for kind, column in BY_TYPE.items() if column.fragment}
_USUAL_TYPES = ("email", "phone")


def item_fragment(types: Collection[str] = ()) -> str:
    """Return the fragment `ItemFields` with the fields that columns of these types need."""
    other_types = sorted((_TYPE_FIELDS.keys() & types).difference(_USUAL_TYPES))
    typed = "\n    ".join(_TYPE_FIELDS[name] for name in (*_USUAL_TYPES, *other_types))
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


# Documents hold values only in variables, so their text depends on nothing but their shape and aliases, and Monday and
# the tests can cache it. `types` are the types of the columns that are read; some need further fields.

ITEMS_PER_READ = 100  # ids in one `items` query (developer.monday.com/api-reference/reference/items)
ITEMS_PER_PAGE = 500  # items in one page (developer.monday.com/api-reference/reference/items-page)
_BOARD = "board: boards(ids: [$board], limit: 1, state: all) { id state }"
# The items that are asked for by id; mostly those that are linked with a record.
_LINKED = f"linked: items(ids: $ids, limit: {ITEMS_PER_READ}, exclude_nonactive: false) {{ ...ItemFields }}"


class _Variable(NamedTuple):
    """A variable of a document."""

    name: str
    kind: str
    value: Any


def items_query(item_ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()) -> Document:
    """Return the query for up to 100 items by id, archived and deleted ones too; the answer leaves out unknown ids."""
    return _items_document("query ReadItems", [_LINKED], [_ids_variable(item_ids)], column_ids, types)


def batch_query(
    board_id: str,
    item_ids: Sequence[str],
    searches: Mapping[str, board_items.ColumnSearch],
    column_ids: Sequence[str],
    types: Collection[str] = (),
) -> Document:
    """Return the query for items by id, for those that searches find, by alias, and for the state of the board.

    The aliases are "by_npd_id", for items with one of our ids, and "by_match", for possible counterparts of records.
    Email addresses are found as parts of a text, so hits have to be compared exactly. Raises ValueError when there is
    nothing to ask for, or more than 100 ids.
    """
    fields = [_BOARD]
    variables = [_Variable("board", "ID!", board_id)]
    if item_ids:
        fields.append(_LINKED)
        variables.append(_ids_variable(item_ids))
    for alias, search in searches.items():
        if search.values:
            field, variable = _search(alias, search)
            fields.append(field)
            variables.append(variable)
    if len(fields) == 1:
        raise ValueError("A read needs at least one item, NPD ID or match value to ask for.")
    return _items_document("query ReadItems", fields, variables, column_ids, types)


def page_query(board_id: str, cursor: str | None, column_ids: Sequence[str], types: Collection[str] = ()) -> Document:
    """Return the query for a page of a board's active items: the first one, or the one at a cursor.

    A cursor is valid for 60 minutes from the first page.
    """
    field, variables = _page(board_id, cursor, "...ItemFields")
    return _items_document("query ReadItems", [field], variables, column_ids, types)


def item_ids_query(board_id: str, cursor: str | None) -> Document:
    """Return the query for the ids of a page's items; pages as in `page_query`."""
    field, variables = _page(board_id, cursor, "id")
    return _build_document("query ListIds", [field], variables)


def _page(board_id: str, cursor: str | None, fields: str) -> tuple[str, list[_Variable]]:
    limit = _Variable("limit", "Int!", ITEMS_PER_PAGE)
    page = f"cursor items {{ {fields} }}"
    if cursor is None:
        field = f"page: boards(ids: [$board], limit: 1) {{ items_page(limit: $limit) {{ {page} }} }}"
        return field, [_Variable("board", "ID!", board_id), limit]
    field = f"page: next_items_page(cursor: $cursor, limit: $limit) {{ {page} }}"
    return field, [_Variable("cursor", "String!", cursor), limit]


def prepare_changes(
    board_id: str,
    changes: Sequence[board_items.ItemWrite],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> board_items.WriteRequest:
    """Return the write that changes many items, each under its alias; Monday runs them one after another.

    With `create_labels` Monday creates missing labels of status and dropdown columns, which needs permission to change
    the board's structure.
    """
    by_alias = {
        entry.alias: {
            "item_id": _Variable("item", "ID!", entry.item_id),
            "column_values": _Variable("values", "JSON!", _encode_json(entry.values)),
        }
        for entry in changes
    }
    shared = _board_arguments(board_id, create_labels=create_labels)
    return _write_request("change_multiple_column_values", by_alias, shared, column_ids, types)


def prepare_creates(  # noqa: PLR0913 - the parts of a mutation
    board_id: str,
    group_id: str | None,
    creates: Sequence[board_items.ItemWrite],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> board_items.WriteRequest:
    """Return the write that creates many items; without a group they go to the board's topmost one.

    `create_labels` as in `prepare_changes`.
    """
    shared = _board_arguments(board_id, create_labels=create_labels)
    if group_id:
        shared["group_id"] = _Variable("group", "String!", group_id)
    by_alias = {}
    for entry in creates:
        # A new item's columns are empty, so there is nothing to clear.
        filled = {column: value for column, value in entry.values.items() if value is not None}
        by_alias[entry.alias] = {
            "item_name": _Variable("name", "String!", filled.pop(board_items.NAME_COLUMN)),
            "column_values": _Variable("values", "JSON!", _encode_json(filled)),
        }
    return _write_request("create_item", by_alias, shared, column_ids, types)


def prepare_removal(
    verb: str, item_ids: Mapping[str, str], column_ids: Sequence[str] = (), types: Collection[str] = ()
) -> board_items.WriteRequest:
    """Return the write that archives or deletes items, given by alias; its answer has each item's new `state`.

    A person can restore deleted items on Monday for 30 days.
    """
    by_alias = {alias: {"item_id": _Variable("item", "ID!", item_id)} for alias, item_id in item_ids.items()}
    return _write_request(f"{verb}_item", by_alias, {}, column_ids, types)


def _board_arguments(board_id: str, *, create_labels: bool) -> dict[str, _Variable]:
    arguments = {"board_id": _Variable("board", "ID!", board_id)}
    if create_labels:
        arguments["create_labels_if_missing"] = _Variable("labels", "Boolean", True)
    return arguments


def _write_request(
    field: str,
    by_alias: Mapping[str, Mapping[str, _Variable]],
    shared: Mapping[str, _Variable],
    column_ids: Sequence[str],
    types: Collection[str],
) -> board_items.WriteRequest:
    """Return a mutation of many items, each with its own alias and variables, so that an error concerns one record.

    `by_alias` are the arguments of each alias, `shared` those of all.
    """
    variables = list(shared.values())
    fields = []
    for alias, arguments in by_alias.items():
        named = {name: entry._replace(name=f"{entry.name}_{alias}") for name, entry in arguments.items()}
        variables += named.values()
        arguments_text = ", ".join(f"{name}: ${entry.name}" for name, entry in {**shared, **named}.items())
        fields.append(f"{alias}: {field}({arguments_text}) {{ ...ItemFields }}")
    document = _items_document("mutation Write", fields, variables, column_ids, types)
    return board_items.WriteRequest(document._asdict(), list(by_alias), list(column_ids))


def _ids_variable(ids: Sequence[str]) -> _Variable:
    if not 1 <= len(ids) <= ITEMS_PER_READ:
        raise ValueError(f"Monday reads 1 to {ITEMS_PER_READ} items by id in one call, not {len(ids)}.")
    return _Variable("ids", "[ID!]!", list(ids))


def _search(alias: str, search: board_items.ColumnSearch) -> tuple[str, _Variable]:
    """Return the field of a search and its variable."""
    if search.column_type != "email":
        text = (
            f"{alias}: items_page_by_column_values(board_id: $board, limit: {ITEMS_PER_PAGE}, columns: ${alias})"
            " { cursor items { ...ItemFields } }"
        )
        queries = [{"column_id": search.column_id, "column_values": list(search.values)}]
        return text, _Variable(alias, "[ItemsPageByColumnValuesQuery!]", queries)
    # Equality on an email column compares the label and not the address
    # (developer.monday.com/api-reference/reference/email), so this searches for a part of the text.
    rules = [
        {"column_id": search.column_id, "compare_value": [value], "operator": "contains_text"}
        for value in search.values
    ]
    page = f"items_page(limit: {ITEMS_PER_PAGE}, query_params: ${alias}) {{ cursor items {{ ...ItemFields }} }}"
    text = f"{alias}: boards(ids: [$board], limit: 1) {{ {page} }}"
    return text, _Variable(alias, "ItemsQuery", {"rules": rules, "operator": "or"})


def _items_document(
    head: str, fields: Sequence[str], variables: Sequence[_Variable], column_ids: Sequence[str], types: Collection[str]
) -> Document:
    columns = _Variable("columns", "[String!]", list(column_ids))
    return _build_document(head, fields, [*variables, columns], item_fragment(types))


def _build_document(head: str, fields: Sequence[str], variables: Sequence[_Variable], fragment: str = "") -> Document:
    declarations = ", ".join(f"${variable.name}: {variable.kind}" for variable in variables)
    body = "\n  ".join([COMPLEXITY, *fields])
    text = f"{head}({declarations}) {{\n  {body}\n}}{fragment}"
    return Document(text, {variable.name: variable.value for variable in variables})


def _encode_json(values: Mapping[str, Any]) -> str:
    """Encode Monday's scalar JSON, a string (developer.monday.com/api-reference/reference/items)."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"))
