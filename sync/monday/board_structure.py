"""How a board is built, which boards an account has, and how set-up creates a board and what one lacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sync.monday import errors
from sync.monday.board import RELATION, Board, BoardColumn, BoardSetup, ColumnSpec, ListedBoard
from sync.monday.columns.labels import label_settings
from sync.monday.graphql import Api, Document, int_or_none, json_object, mutate_root, query_root

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


def read_boards(api: Api, board_ids: Sequence[str]) -> dict[str, Board]:
    """Boards by id; those that don't exist or are hidden from the token's user are absent.

    Raises MondayError, also where a part of a board was left out: set-up would create that part again.
    """
    if not board_ids:
        return {}
    nodes = query_root(api, Document(READ_BOARDS, {"ids": list(board_ids)}), "boards")
    boards = [parse_board(node) for node in nodes if isinstance(node, Mapping)]
    return {board.id: board for board in boards}


def parse_column(node: Mapping[str, Any]) -> BoardColumn:
    """A column as a query or create_column answers it."""
    return BoardColumn(
        str(node["id"]), str(node.get("title") or ""), str(node.get("type")), json_object(node.get("settings"))
    )


def parse_board(node: Mapping[str, Any]) -> Board:
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
    """The groups or columns of a board, possibly none; raises UNREADABLE_ANSWER where they are missing."""
    found = node.get(name)
    if isinstance(found, list) and all(isinstance(part, Mapping) for part in found):
        return found
    raise errors.MondayError(
        errors.UNREADABLE_ANSWER, f"Monday didn't tell the {name} of board {node.get('id')}", path=("boards", name)
    )


BOARDS_PER_PAGE = 100

MAX_LISTED_BOARDS = 1_000
"""Boards that are listed; a person finds any other by its id."""

LIST_BOARDS = """query BoardList($page: Int!, $limit: Int!) {
  boards(limit: $limit, page: $page, state: active) { id name type items_count }
}"""

_NOT_BOARDS = ("sub_items_board", "document")
"""What Monday lists besides boards (developer.monday.com/api-reference/reference/boards)."""


def list_boards(api: Api) -> tuple[list[ListedBoard], bool]:
    """The active boards that the token's user sees, and whether these are all; raises MondayError."""
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


# Set-up of a board: the columns that it has are adopted, those that are missing are created.
#
# Idempotent: a second run finds what the first one made and changes nothing.


# A column id can't be used again even after its column was deleted. Monday then rejects the id, and we let it
# choose one. An error about the account, the board or the network is no rejection of the id.
_ID_REJECTION_SCOPES = frozenset({errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.DOCUMENT})


def create_board(api: Api, title: str, on_created: Callable[[str], None]) -> Board:
    """Create a board and read it; raises MondayError."""
    board_id = str(mutate_root(api, Document(CREATE_BOARD, {"title": title}), "create_board")["id"])
    # Stored before the next call can fail, so that a repeated run creates no second board.
    on_created(board_id)
    board = read_boards(api, [board_id]).get(board_id)
    if board is None:
        raise errors.MondayError(
            errors.UNREADABLE_ANSWER,
            f"Board {board_id} was made but can't be read yet; run the set-up again in a minute",
        )
    return board


def ensure_columns(api: Api, board_id: str, title: str, wanted: Sequence[ColumnSpec]) -> BoardSetup:
    """Create what is missing and return the board with its columns; raises MondayError."""
    board = read_boards(api, [board_id]).get(board_id)
    # Never replaced by another board here: somebody may have named just this one.
    if board is None or not board.is_active:
        raise errors.MondayError(
            errors.BOARD_NOT_FOUND, f"Board {board_id} is {board.state if board else 'not to be found'}"
        )
    created = []
    # New items need a group that takes items.
    if not board.groups:
        group = mutate_root(api, Document(CREATE_GROUP, {"board": board.id, "title": title}), "create_group")
        board = replace(board, groups={str(group["id"]): title})
        created.append(f"group “{title}”, for the board had none that takes items")
    available = list(board.columns)
    columns: dict[str, BoardColumn] = {}
    unfit: dict[str, str] = {}
    # Required columns choose before optional ones.
    specs = sorted(wanted, key=lambda spec: spec.optional)
    for spec in specs:
        if found := _adoptable_column(spec, available):
            columns[spec.key] = found
            # A column serves one field only.
            available.remove(found)
        elif reason := next(_unfit_reasons(spec, available), None):
            unfit[spec.key] = reason
    adopted = [f"column “{column.title}” ({column.id})" for column in columns.values()]
    for spec in specs:
        if spec.key not in columns and not spec.optional:
            columns[spec.key] = column = _create_column(api, board.id, spec)
            created.append(f"column “{spec.title}” ({column.id})")
    return BoardSetup(board, columns, created, adopted, unfit)


def _adoptable_column(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> BoardColumn | None:
    """The column with the preferred id, else the best one with the same title, each only if it fits."""
    acceptable = sorted(filter(wanted.accepts, available), key=wanted.rank)
    by_id = next((column for column in acceptable if column.id == wanted.preferred_id), None)
    return by_id or next((column for column in acceptable if _has_same_title(wanted, column)), None)


def _unfit_reasons(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> Iterator[str]:
    """Why the column with the id or the title is not used, as sentences."""
    for column in available:
        if column.id != wanted.preferred_id and not _has_same_title(wanted, column):
            continue
        if column.type == RELATION and RELATION in (wanted.types or (wanted.type,)):
            yield f"column “{column.title}” ({column.id}) leads to another board than {wanted.target_board or 'ours'}"
        else:
            types = ", ".join(wanted.types or (wanted.type,))
            yield f"column “{column.title}” ({column.id}) is of type {column.type}, not {types}"


def _has_same_title(wanted: ColumnSpec, column: BoardColumn) -> bool:
    return column.title.strip().casefold() == wanted.title.strip().casefold()


def _create_column(api: Api, board_id: str, column: ColumnSpec) -> BoardColumn:
    variables = {"board": board_id, "title": column.title, "type": column.type}
    # Monday sets a relation's target as the column is created. NPD's relation holds one record, so it takes one item.
    if column.type == RELATION and column.target_board is not None:
        settings = {"boardIds": [int(column.target_board)], "allowMultipleItems": False}
        variables["defaults"] = json.dumps(settings)
    elif labels := label_settings(column.type, column.labels):
        variables["defaults"] = json.dumps(labels)
    if column.preferred_id:
        try:
            with_id = Document(CREATE_COLUMN, variables | {"id": column.preferred_id})
            return parse_column(mutate_root(api, with_id, "create_column"))
        except errors.MondayError as error:
            cause = error.errors[0] if len(error.errors) == 1 else error
            if cause.scope not in _ID_REJECTION_SCOPES:
                raise
    return parse_column(mutate_root(api, Document(CREATE_COLUMN, variables), "create_column"))
