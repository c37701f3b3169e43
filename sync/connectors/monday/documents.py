"""The GraphQL documents that move records: reads of a batch, and writes of many records as aliased mutations.

Values travel in variables only, and a text depends on nothing but its shape and its aliases, so that Monday's
side and the tests can cache it. The answers are read in items.py. `types` are the types of the columns that
are read, by which fragments.py adds what some of them need.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sync.connectors.monday.fragments import COMPLEXITY, item_fields
from sync.connectors.monday.items import (
    Item,
    LookResult,
    Page,
    Reading,
    items_from,
    parse_items,
    parse_look,
    parse_page,
    parse_written,
)

__all__ = [
    "ITEMS_PER_PAGE",
    "ITEMS_PER_READ",
    "Change",
    "Create",
    "Document",
    "Item",
    "LookResult",
    "MatchColumn",
    "Page",
    "Reading",
    "change",
    "checked_alias",
    "create",
    "first_page",
    "items_from",
    "look",
    "mutation",
    "next_page",
    "parse_items",
    "parse_look",
    "parse_page",
    "parse_written",
    "probe",
    "read_items",
]

ITEMS_PER_READ = 100  # ids in one `items` query (developer.monday.com/api-reference/reference/items)
ITEMS_PER_PAGE = 500  # items in one page (developer.monday.com/api-reference/reference/items-page)

_BOARD = "board: boards(ids: [$board], limit: 1, state: all) { id state }"
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")


class Document(NamedTuple):
    """A document and its variables: `client.execute(*document)`."""

    text: str
    variables: Mapping[str, Any]


@dataclass(frozen=True)
class MatchColumn:
    """The column by which an item without a link is recognised; `type` is "email", "name", "text" …"""

    column_id: str
    type: str


@dataclass(frozen=True)
class Change:
    """New values of one item, by column id; the key "name" renames it, None clears a column."""

    alias: str
    item_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Create:
    """A new item; values that are None are left out, for a new item's columns are empty."""

    alias: str
    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class _Part:
    """One root field of a query, with the variables that it brings."""

    declarations: str
    text: str
    variables: Mapping[str, Any]


def read_items(ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()) -> Document:
    """Up to 100 items by id, archived and deleted ones too; unknown ids are simply absent from the answer."""
    return _query([_linked(ids)], column_ids, types)


def look(
    board_id: str,
    linked_ids: Sequence[str],
    column_ids: Sequence[str],
    npd_id_column: str,
    npd_ids: Sequence[str],
    match: MatchColumn | None = None,
    match_values: Sequence[str] = (),
    types: Collection[str] = (),
) -> Document:
    """Everything that a batch needs to know in one request; each part is there only if it asks something.

    `linked` are the items by id, `by_npd_id` those that bear one of our ids, `by_match` those that could be
    the counterpart of a record; `board` says whether the board is still there. E-mail addresses are found as
    parts of a text, so hits have to be compared exactly. Raises ValueError when there is nothing to ask, or
    more than 100 ids.
    """
    parts = []
    if linked_ids:
        parts.append(_linked(linked_ids))
    if npd_ids:
        parts.append(_by_column("by_npd_id", npd_id_column, npd_ids))
    if match is not None and match_values:
        parts.append(_by_match(match, match_values))
    if not parts:
        raise ValueError("A look needs at least one item, NPD ID or match value to ask for.")
    return _query([_Part("$board: ID!", _BOARD, {"board": board_id}), *parts], column_ids, types)


def first_page(
    board_id: str, column_ids: Sequence[str], limit: int = ITEMS_PER_PAGE, types: Collection[str] = ()
) -> Document:
    """The first page of a board's active items; `items.parse_page` reads it."""
    page = "items_page(limit: $limit) { cursor items { ...ItemFields } }"
    text = f"first: boards(ids: [$board], limit: 1) {{ {page} }}"
    variables = {"board": board_id, "limit": limit}
    return _query([_Part("$board: ID!, $limit: Int!", text, variables)], column_ids, types)


def next_page(
    cursor: str, column_ids: Sequence[str], limit: int = ITEMS_PER_PAGE, types: Collection[str] = ()
) -> Document:
    """The page behind a cursor, which lives 60 minutes from the first page."""
    text = "page: next_items_page(cursor: $cursor, limit: $limit) { cursor items { ...ItemFields } }"
    variables = {"cursor": cursor, "limit": limit}
    return _query([_Part("$cursor: String!, $limit: Int!", text, variables)], column_ids, types)


def change(
    board_id: str,
    changes: Sequence[Change],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> Document:
    """One mutation for many items, each under its alias; Monday runs them one after another.

    With `create_labels` a status or dropdown label that the column lacks is made, which needs permission to
    change the board's structure.
    """
    declarations: list[str] = []
    fields: list[str] = []
    variables: dict[str, Any] = {"board": board_id, "columns": list(column_ids)}
    labels = _labels(create_labels, declarations, variables)
    for entry in changes:
        alias = checked_alias(entry.alias)
        declarations.append(f"$item_{alias}: ID!, $values_{alias}: JSON!")
        fields.append(
            f"{alias}: change_multiple_column_values(board_id: $board, item_id: $item_{alias},"
            f" column_values: $values_{alias}{labels}) {{ ...ItemFields }}"
        )
        variables |= {f"item_{alias}": entry.item_id, f"values_{alias}": _json(entry.values)}
    return mutation("$board: ID!, $columns: [String!]", declarations, fields, variables, types)


def create(
    board_id: str,
    group_id: str | None,
    creates: Sequence[Create],
    column_ids: Sequence[str],
    types: Collection[str] = (),
    *,
    create_labels: bool = False,
) -> Document:
    """One mutation that makes many items; without a group they go to the board's topmost one.

    `create_labels` as in `change`.
    """
    declarations: list[str] = []
    fields: list[str] = []
    variables: dict[str, Any] = {"board": board_id, "columns": list(column_ids)}
    labels = _labels(create_labels, declarations, variables)
    in_group = "group_id: $group, " if group_id else ""
    if group_id:
        declarations.append("$group: String!")
        variables["group"] = group_id
    for entry in creates:
        alias = checked_alias(entry.alias)
        filled = {column: value for column, value in entry.values.items() if value is not None}
        declarations.append(f"$name_{alias}: String!, $values_{alias}: JSON!")
        fields.append(
            f"{alias}: create_item(board_id: $board, {in_group}item_name: $name_{alias},"
            f" column_values: $values_{alias}{labels}) {{ ...ItemFields }}"
        )
        variables |= {f"name_{alias}": entry.name, f"values_{alias}": _json(filled)}
    return mutation("$board: ID!, $columns: [String!]", declarations, fields, variables, types)


def probe() -> Document:
    """The cheapest call that says whether token, account and API are well."""
    return Document(f"query Probe {{ me {{ id }} {COMPLEXITY} }}", {})


def _linked(ids: Sequence[str]) -> _Part:
    if not 1 <= len(ids) <= ITEMS_PER_READ:
        raise ValueError(f"Monday reads 1 to {ITEMS_PER_READ} items by id in one call, not {len(ids)}.")
    text = f"linked: items(ids: $ids, limit: {ITEMS_PER_READ}, exclude_nonactive: false) {{ ...ItemFields }}"
    return _Part("$ids: [ID!]!", text, {"ids": list(ids)})


def _by_column(part: str, column_id: str, values: Sequence[str]) -> _Part:
    text = (
        f"{part}: items_page_by_column_values(board_id: $board, limit: {ITEMS_PER_PAGE}, columns: ${part})"
        " { cursor items { ...ItemFields } }"
    )
    asked = [{"column_id": column_id, "column_values": list(values)}]
    return _Part(f"${part}: [ItemsPageByColumnValuesQuery!]", text, {part: asked})


def _by_match(match: MatchColumn, values: Sequence[str]) -> _Part:
    if match.type != "email":
        return _by_column("by_match", match.column_id, values)
    # Equality on an e-mail column compares the label and not the address
    # (developer.monday.com/api-reference/reference/email), hence the search for a part of the text.
    rules = [
        {"column_id": match.column_id, "compare_value": [value], "operator": "contains_text"}
        for value in values
    ]
    page = (
        f"items_page(limit: {ITEMS_PER_PAGE}, query_params: $by_match) {{ cursor items {{ ...ItemFields }} }}"
    )
    text = f"by_match: boards(ids: [$board], limit: 1) {{ {page} }}"
    return _Part("$by_match: ItemsQuery", text, {"by_match": {"rules": rules, "operator": "or"}})


def _query(parts: Sequence[_Part], column_ids: Sequence[str], types: Collection[str]) -> Document:
    declarations = ", ".join([part.declarations for part in parts] + ["$columns: [String!]"])
    fields = "\n  ".join(part.text for part in parts if part.text)
    variables: dict[str, Any] = {"columns": list(column_ids)}
    for part in parts:
        variables |= part.variables
    text = f"query Look({declarations}) {{\n  {COMPLEXITY}\n  {fields}\n}}{item_fields(types)}"
    return Document(text, variables)


def _labels(create: bool, declarations: list[str], variables: dict[str, Any]) -> str:
    """The argument that lets Monday make missing labels; nothing where none can be missing."""
    if not create:
        return ""
    declarations.append("$labels: Boolean")
    variables["labels"] = True
    return ", create_labels_if_missing: $labels"


def mutation(
    common: str,
    declarations: Sequence[str],
    fields: Sequence[str],
    variables: Mapping[str, Any],
    types: Collection[str],
) -> Document:
    """A mutation of these aliased fields; raises ValueError where there is none."""
    if not fields:
        raise ValueError("A write needs at least one record.")
    declared = ", ".join([common, *declarations])
    body = "\n  ".join([COMPLEXITY, *fields])
    return Document(f"mutation Write({declared}) {{\n  {body}\n}}{item_fields(types)}", variables)


def checked_alias(alias: str) -> str:
    """The alias, if a document can hold it; raises ValueError."""
    if not _ALIAS.match(alias):
        raise ValueError(f"{alias!r} can't be an alias in a GraphQL document.")
    return alias


def _json(values: Mapping[str, Any]) -> str:
    """Monday's scalar JSON travels as a string (developer.monday.com/api-reference/reference/items)."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":"))
