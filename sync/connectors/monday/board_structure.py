"""How a board is built, which boards an account has, and the documents that create boards and their parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sync.connectors.base.board_shape import Board, BoardColumn, ListedBoard
from sync.connectors.base.errors import UnreadableAnswer
from sync.connectors.monday.graphql import Api, Document, int_or_none, query_root

# 25 boards a page unless asked otherwise, and only active ones (reference/boards); `settings` since 2025-10.
BOARD_FIELDS = """id name state items_count items_limit
    groups { id title archived deleted }
    columns { id title type archived settings }"""

READ_BOARDS = f"""query Boards($ids: [ID!]!) {{
  boards(ids: $ids, state: all, limit: 100) {{
    {BOARD_FIELDS}
  }}
}}"""

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


def read_boards(api: Api, board_ids: Sequence[str]) -> dict[str, Board]:
    """Boards by id; those that don't exist or are hidden from the token's user are absent.

    Raises ConnectorError, also where a part of a board was left out: set-up would create that part again.
    """
    if not board_ids:
        return {}
    nodes = query_root(api, Document(READ_BOARDS, {"ids": list(board_ids)}), "boards")
    boards = [parse_board(node) for node in nodes if isinstance(node, Mapping)]
    return {board.id: board for board in boards}


def parse_column(node: Mapping[str, Any]) -> BoardColumn:
    """A column as a query or create_column answers it."""
    return BoardColumn(
        str(node["id"]), str(node.get("title") or ""), str(node.get("type")), _parse_settings(node.get("settings"))
    )


def parse_board(node: Mapping[str, Any]) -> Board:
    """A board as a query with BOARD_FIELDS answers it.

    Raises UnreadableAnswer where its parts are missing.
    """
    groups = [
        # A group that is archived or deleted takes no items.
        group
        for group in _parts_of(node, "groups")
        if not group.get("archived") and not group.get("deleted")
    ]
    # An archived column is no longer on the board.
    columns = [column for column in _parts_of(node, "columns") if not column.get("archived")]
    return Board(
        id=str(node["id"]),
        name=str(node.get("name") or ""),
        state=str(node.get("state") or ""),
        groups={str(group["id"]): str(group.get("title") or "") for group in groups},
        columns=tuple(parse_column(column) for column in columns),
        items_count=int_or_none(node.get("items_count")),
        items_limit=int_or_none(node.get("items_limit")),
    )


def _parts_of(node: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The groups or columns of a board, possibly none; raises UnreadableAnswer where they are missing."""
    found = node.get(name)
    if isinstance(found, list) and all(isinstance(part, Mapping) for part in found):
        return found
    raise UnreadableAnswer(f"Monday didn't tell the {name} of board {node.get('id')}", path=("boards", name))


def _parse_settings(value: Any) -> Mapping[str, Any]:
    """The settings; Monday's JSON scalar may arrive as an object or as its text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


# The boards of an account, for a person to choose from.


BOARDS_PER_PAGE = 100

MAX_LISTED_BOARDS = 1_000
"""Boards that are listed; a person finds any other by its id."""

LIST_BOARDS = """query BoardList($page: Int!, $limit: Int!) {
  boards(limit: $limit, page: $page, state: active) { id name type items_count }
}"""

_NOT_BOARDS = ("sub_items_board", "document")
"""What Monday lists besides boards (developer.monday.com/api-reference/reference/boards)."""


def list_boards(api: Api) -> tuple[list[ListedBoard], bool]:
    """The active boards that the token's user sees, and whether these are all; raises ConnectorError."""
    found: list[ListedBoard] = []
    for page in range(1, MAX_LISTED_BOARDS // BOARDS_PER_PAGE + 1):
        nodes = query_root(api, Document(LIST_BOARDS, {"page": page, "limit": BOARDS_PER_PAGE}), "boards")
        found += [
            ListedBoard(str(node["id"]), str(node.get("name") or ""), int_or_none(node.get("items_count")))
            for node in nodes
            if isinstance(node, Mapping) and node.get("id") and node.get("type") not in _NOT_BOARDS
        ]
        # A page that isn't full is the last one.
        if len(nodes) < BOARDS_PER_PAGE:
            return _sorted_by_name(found), True
    return _sorted_by_name(found), False


def _sorted_by_name(boards: list[ListedBoard]) -> list[ListedBoard]:
    return sorted(boards, key=lambda board: (board.name.casefold(), board.id))
