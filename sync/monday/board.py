"""Boards: their columns and groups, and how set-up finds or makes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.monday import errors
from sync.monday.graphql import int_or_none, json_object

RELATION = "board_relation"


def target_boards(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the boards to whose items a relation with these settings can lead.

    developer.monday.com/api-reference/reference/connect
    """
    boards = settings.get("boardIds")
    return frozenset(str(board) for board in boards) if isinstance(boards, list) else frozenset()


@dataclass(frozen=True)
class BoardColumn:
    """A column that exists and is not archived."""

    id: str
    title: str
    type: str
    # As Monday gives them: labels, boardIds …
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target_boards(self) -> frozenset[str]:
        """The boards to whose items the column can lead, if it is a relation."""
        return target_boards(self.settings)


@dataclass(frozen=True)
class Board:
    """A board as Monday answers it."""

    id: str
    name: str
    state: str  # active, archived or deleted
    groups: Mapping[str, str]  # by id, the titles of the groups that can take items, the topmost first
    columns: tuple[BoardColumn, ...]
    items_count: int | None = None  # None where Monday doesn't say, like the limit
    items_limit: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether items can be read and written."""
        return self.state == "active"

    @property
    def group_id(self) -> str | None:
        """The topmost group that can take items."""
        return next(iter(self.groups), None)

    def column(self, column_id: str) -> BoardColumn | None:
        return next((column for column in self.columns if column.id == column_id), None)


@dataclass(frozen=True)
class BoardSummary:
    """A board in a list of boards."""

    id: str
    name: str
    items: int | None = None  # their number, None where Monday doesn't say


@dataclass(frozen=True)
class ColumnSpec:
    """A column that set-up needs."""

    key: str  # the caller's own name
    title: str
    type: str  # for a new column
    preferred_id: str | None = None  # 1 to 20 of a-z and "_"
    target_board: str | None = None  # to which a board_relation must lead
    labels: tuple[str, ...] = ()  # of a new status or dropdown column

    def accepts(self, column: BoardColumn) -> bool:
        return column.type == self.type and (column.type != RELATION or self.target_board in column.target_boards)


@dataclass(frozen=True)
class BoardSetup:
    """The result of a set-up."""

    board: Board  # before it
    columns: dict[str, BoardColumn]  # by the keys of the specs
    created: list[str]  # ends of sentences
    adopted: list[str]


# 25 boards a page unless asked otherwise, and only active ones; `settings` since 2025-10
# (developer.monday.com/api-reference/reference/boards).
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


def parse_column(node: Mapping[str, Any]) -> BoardColumn:
    """Parse a column in the answer to a query or create_column."""
    return BoardColumn(
        str(node["id"]), str(node.get("title") or ""), str(node.get("type")), json_object(node.get("settings"))
    )


def parse_board(node: Mapping[str, Any]) -> Board:
    """Parse a board with BOARD_FIELDS; raises MondayError (UNREADABLE_ANSWER) where its parts are missing."""
    groups = [group for group in _parts_of(node, "groups") if not group.get("archived") and not group.get("deleted")]
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
    """Return the groups or columns of a board; raises MondayError (UNREADABLE_ANSWER) where they are missing."""
    parts = node.get(name)
    if isinstance(parts, list) and all(isinstance(part, Mapping) for part in parts):
        return parts
    raise errors.MondayError(
        errors.UNREADABLE_ANSWER, f"Monday left out the {name} of board {node.get('id')}", path=("boards", name)
    )


LIST_BOARDS = """query BoardList($page: Int!, $limit: Int!) {
  boards(limit: $limit, page: $page, state: active) { id name type items_count }
}"""

# Types of other objects in Monday's lists of boards (developer.monday.com/api-reference/reference/boards).
NOT_BOARDS = ("sub_items_board", "document")


def adoptable_column(spec: ColumnSpec, available: Sequence[BoardColumn]) -> BoardColumn | None:
    """Return the fitting column with the preferred id, else one with the same title."""
    acceptable = list(filter(spec.accepts, available))
    title = spec.title.strip().casefold()
    by_id = next((column for column in acceptable if column.id == spec.preferred_id), None)
    return by_id or next((column for column in acceptable if column.title.strip().casefold() == title), None)
