"""A board as Monday has it: columns, groups and items, what set-up finds or makes, and values to write.

A reading is either known or says why it isn't. Unknown is never the same as empty: a value behind an error, a
column missing from the answer, or a type that we can't read must not look like a value that someone cleared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from sync.monday.errors import UNREADABLE_ANSWER, MondayError
from sync.monday.graphql import int_or_none, json_object

NAME_COLUMN = "name"

# No column: among the types of the columns to read it asks for each item's group too, in a filter it is the group.
GROUP = "group"


class Reason(str):
    """A code of the table of words (sync/words/table.py) with its values: why a value isn't known, or a step of set-up.

    It is the only argument of an error that people read. Where the table is known, `worded` makes it a message.
    """

    code: str
    params: Mapping[str, Any]

    def __new__(cls, code: str, /, **params: Any) -> Self:
        reason = super().__new__(cls, f"{code} {params}")
        reason.code = code
        reason.params = params
        return reason


UNSTORABLE = Reason("unstorable")
LEFT_OUT = "column_not_shown"  # the code of a cell that the answer lacks
FAILED = "monday_error"  # the code of a cell that the answer has an error for
MAY_BE_READABLE_SOON = (LEFT_OUT, FAILED)


@dataclass(frozen=True)
class Reading:
    """One column's value."""

    column_id: str
    type: str
    text: str | None = None
    value: Any = None  # Monday's JSON, decoded
    extra: Mapping[str, Any] = field(default_factory=dict)  # the fields of the column's type
    is_known: bool = True  # if not, the value means nothing
    reason: str = ""  # why it isn't known: a Reason, or a message of the caller's

    @classmethod
    def unknown(cls, column_id: str, column_type: str, reason: str) -> Reading:
        return cls(column_id, column_type, is_known=False, reason=reason)


@dataclass(frozen=True)
class Item:
    """An item as it was when it was read."""

    id: str
    name: str
    state: str  # active, archived or deleted
    is_name_known: bool = True
    board_id: str | None = None
    updated_at: str | None = None
    group_id: str | None = None  # None where it isn't known
    values: Mapping[str, Reading] = field(default_factory=dict)

    def reading(self, column_id: str) -> Reading:
        """Return the value of a column ("name": the item's name); unknown, with a reason, if the answer lacks it."""
        if reading := self.values.get(column_id):
            return reading
        if column_id == NAME_COLUMN and self.is_name_known:
            return Reading(NAME_COLUMN, "name", text=self.name, value=self.name)
        is_unstorable = column_id == NAME_COLUMN and self.name
        return Reading.unknown(column_id, "", UNSTORABLE if is_unstorable else Reason(LEFT_OUT))

    def without(self, columns: Mapping[str, str]) -> Item:
        """Return the item with these columns unknown, each with its reason."""
        unknown = {column_id: Reading.unknown(column_id, "", reason) for column_id, reason in columns.items()}
        return replace(self, values={**self.values, **unknown})

    def without_group(self) -> Item:
        """Return the item with its group unknown."""
        return replace(self, group_id=None)


# Some items and, if there are more, the cursor of the next page (valid for 60 minutes).
ItemPage = tuple[list[Item], str | None]


@dataclass(frozen=True)
class BatchItems:
    """The items in the answer to a batch's read."""

    by_id: dict[str, Item] = field(default_factory=dict)  # those asked for by id, also items that no record has
    by_npd_id: list[Item] = field(default_factory=list)
    by_match: list[Item] = field(default_factory=list)
    by_name: list[Item] = field(default_factory=list)  # those with the name of a record that has no item
    cursors: dict[str, str] = field(default_factory=dict)  # of the parts that have further pages
    request_id: str = ""


class ColumnSearch(NamedTuple):
    """A search for items with one of these values in a column."""

    column_id: str
    column_type: str  # "email", "name", "text" …
    values: Sequence[str]


@dataclass(frozen=True)
class ItemWrite:
    """New values of one item, by column id: the key "name" is its name, None clears a column."""

    alias: str
    values: Mapping[str, Any]
    item_id: str = ""  # empty for a new item


# States of an item in the answers to its removal; Monday's recycle bin keeps a deleted item for 30 days.
ARCHIVED = "archived"
DELETED = "deleted"


@dataclass(frozen=True)
class WriteRequest:
    """A write, ready to be sent."""

    body: Mapping[str, Any]  # JSON, which can be stored and sent again under its key
    aliases: Sequence[str]  # one for each item
    column_ids: Sequence[str]  # that are read back


@dataclass(frozen=True)
class WriteResult:
    """For each alias of a write its item as it is now, or the error."""

    by_alias: Mapping[str, Item | MondayError]
    request_id: str = ""
    replayed: bool = False  # Monday repeated the answer to an earlier sending under the same key


RELATION = "board_relation"


@dataclass(frozen=True)
class BoardColumn:
    """A column that exists and is not archived."""

    id: str
    title: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # as Monday gives them: labels, boardIds …

    @property
    def target_boards(self) -> frozenset[str]:
        """Of a relation, the boards of its possible items (developer.monday.com/api-reference/reference/connect)."""
        boards = self.settings.get("boardIds")
        return frozenset(str(board) for board in boards) if isinstance(boards, list) else frozenset()


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

    board: Board  # without the columns that were created
    columns: dict[str, BoardColumn]  # by the keys of the specs
    created: list[Reason]  # steps, as codes
    adopted: list[Reason]


# `settings` since 2025-10 (developer.monday.com/api-reference/reference/boards).
BOARD_FIELDS = """id name state items_count items_limit
    groups { id title archived deleted }
    columns { id title type archived settings }"""

# Unless asked otherwise, Monday answers 25 boards, and only active ones (the same page).
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
    raise MondayError(UNREADABLE_ANSWER, f"Monday left out the {name} of board {node.get('id')}", path=("boards", name))


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
