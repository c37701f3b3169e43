"""How a board is built, and which of its columns set-up adopts or creates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sync.monday import board, errors
from sync.monday.columns.labels import label_settings
from sync.monday.graphql import int_or_none, json_object

# 25 boards a page unless asked otherwise, and only active ones (reference/boards); `settings` since 2025-10.
BOARD_FIELDS = """id name state items_count items_limit
    groups { id title archived deleted }
    columns { id title type archived settings }"""

CREATE_BOARD = """mutation CreateBoard($title: String!) {
  create_board(board_name: $title, board_kind: public, empty: true) { id }
}"""

CREATE_GROUP = """mutation CreateGroup($board: ID!, $title: String!) {
  create_group(board_id: $board, group_name: $title) { id title }
}"""

CREATE_COLUMN = """mutation CreateColumn(
  $board: ID!, $title: String!, $type: ColumnType!, $id: String, $defaults: JSON
) {
  create_column(board_id: $board, title: $title, column_type: $type, id: $id, defaults: $defaults) {
    id title type settings
  }
}"""


READ_BOARDS = f"""query Boards($ids: [ID!]!) {{
  boards(ids: $ids, state: all, limit: 100) {{
    {BOARD_FIELDS}
  }}
}}"""


def parse_column(node: Mapping[str, Any]) -> board.BoardColumn:
    """A column as a query or create_column answers it."""
    return board.BoardColumn(
        str(node["id"]), str(node.get("title") or ""), str(node.get("type")), json_object(node.get("settings"))
    )


def parse_board(node: Mapping[str, Any]) -> board.Board:
    """A board as a query with BOARD_FIELDS answers it.

    Raises UNREADABLE_ANSWER where its parts are missing.
    """
    groups = [
        # A group that is archived or deleted takes no items.
        group
        for group in _parts_of(node, "groups")
        if not group.get("archived") and not group.get("deleted")
    ]
    # An archived column is no longer on the board.
    columns = [column for column in _parts_of(node, "columns") if not column.get("archived")]
    return board.Board(
        id=str(node["id"]),
        name=str(node.get("name") or ""),
        state=str(node.get("state") or ""),
        groups={str(group["id"]): str(group.get("title") or "") for group in groups},
        columns=tuple(parse_column(column) for column in columns),
        items_count=int_or_none(node.get("items_count")),
        items_limit=int_or_none(node.get("items_limit")),
    )


def _parts_of(node: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The groups or columns of a board, possibly none; raises UNREADABLE_ANSWER where they are missing."""
    parts = node.get(name)
    if isinstance(parts, list) and all(isinstance(part, Mapping) for part in parts):
        return parts
    raise errors.MondayError(
        errors.UNREADABLE_ANSWER, f"Monday didn't tell the {name} of board {node.get('id')}", path=("boards", name)
    )


LIST_BOARDS = """query BoardList($page: Int!, $limit: Int!) {
  boards(limit: $limit, page: $page, state: active) { id name type items_count }
}"""

# What Monday lists besides boards (developer.monday.com/api-reference/reference/boards).
NOT_BOARDS = ("sub_items_board", "document")


# Set-up of a board: the columns that it has are adopted, those that are missing are created.


def adoptable_column(wanted: board.ColumnSpec, available: Sequence[board.BoardColumn]) -> board.BoardColumn | None:
    """The column with the preferred id, else the best one with the same title, each only if it fits."""
    acceptable = sorted(filter(wanted.accepts, available), key=wanted.rank)
    by_id = next((column for column in acceptable if column.id == wanted.preferred_id), None)
    return by_id or next((column for column in acceptable if _has_same_title(wanted, column)), None)


def unfit_reasons(wanted: board.ColumnSpec, available: Sequence[board.BoardColumn]) -> Iterator[str]:
    """Why the column with the id or the title is not used, as sentences."""
    for column in available:
        if column.id != wanted.preferred_id and not _has_same_title(wanted, column):
            continue
        if column.type == board.RELATION and board.RELATION in (wanted.types or (wanted.type,)):
            yield f"column “{column.title}” ({column.id}) leads to another board than {wanted.target_board or 'ours'}"
        else:
            types = ", ".join(wanted.types or (wanted.type,))
            yield f"column “{column.title}” ({column.id}) is of type {column.type}, not {types}"


def _has_same_title(wanted: board.ColumnSpec, column: board.BoardColumn) -> bool:
    return column.title.strip().casefold() == wanted.title.strip().casefold()


def column_variables(board_id: str, column: board.ColumnSpec) -> dict[str, Any]:
    """The variables of CREATE_COLUMN."""
    variables = {"board": board_id, "title": column.title, "type": column.type}
    # Monday sets a relation's target as the column is created. NPD's relation holds one record, so it takes one item.
    if column.type == board.RELATION and column.target_board is not None:
        settings = {"boardIds": [int(column.target_board)], "allowMultipleItems": False}
        variables["defaults"] = json.dumps(settings)
    elif labels := label_settings(column.type, column.labels):
        variables["defaults"] = json.dumps(labels)
    return variables


# A column id can't be used again even after its column was deleted. Monday then rejects the id, and we let it
# choose one. An error about the account, the board or the network is no rejection of the id.
ID_REJECTION_SCOPES = frozenset({errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.DOCUMENT})
