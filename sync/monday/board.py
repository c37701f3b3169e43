"""A board: how it is built and should be, what set-up adopts or creates, what a check says, what happened on it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sync.monday import errors
from sync.monday.columns.labels import label_settings
from sync.monday.graphql import int_or_none, json_object

RELATION = "board_relation"


def target_boards(settings: Mapping[str, Any]) -> frozenset[str]:
    """The boards whose items a relation with these settings may name (reference/connect)."""
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
        """The boards whose items the column may name, if it is a relation."""
        return target_boards(self.settings)


@dataclass(frozen=True)
class Board:
    """A board as Monday answers it."""

    id: str
    name: str
    state: str  # active, archived or deleted
    groups: Mapping[str, str]  # the title of each group that can take items by its id, the topmost first
    columns: tuple[BoardColumn, ...]
    items_count: int | None = None
    items_limit: int | None = None  # how many items it takes, None where Monday doesn't say

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
class ListedBoard:
    """A board by its name."""

    id: str
    name: str
    items: int | None = None  # how many it holds, None where Monday doesn't say


@dataclass(frozen=True)
class ColumnSpec:
    """A column that is needed."""

    key: str  # the caller's own name
    title: str
    type: str  # that is created
    preferred_id: str | None = None  # 1 to 20 of a-z and "_"
    types: tuple[str, ...] = ()  # that fit, the best first; empty means only `type`
    optional: bool = False  # adopted where the board has one, and never created
    target_board: str | None = None  # to which a board_relation must lead
    labels: tuple[str, ...] = ()  # that a created status or dropdown column begins with

    def accepts(self, column: BoardColumn) -> bool:
        targets_board = self.target_board is not None and self.target_board in column.target_boards
        return column.type in (self.types or (self.type,)) and (column.type != RELATION or targets_board)

    def rank(self, column: BoardColumn) -> int:
        """How well a fitting column fits: 0 is best."""
        return (self.types or (self.type,)).index(column.type)


@dataclass(frozen=True)
class BoardSetup:
    """What set-up did."""

    board: Board  # as it was read
    columns: dict[str, BoardColumn]  # that each spec has now, by its key
    created: list[str]  # ends of sentences
    adopted: list[str]
    unfit: Mapping[str, str]  # by key, why a column that one would expect to be used is not


def url_fingerprint(url: str) -> str:
    """A short hash of an address: the address may hold a secret, the fingerprint doesn't."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CheckResult:
    """One checked thing: whether it is well, what it is, and how to fix it."""

    ok: bool
    message: str
    fix: str = ""  # empty if it is well
    subject: str = ""  # token, version, plan, board, columns, webhooks, settings, pause, queue …
    is_warning: bool = False  # it is well for now, and `fix` says what to do before it isn't
    for_administrator: str = ""  # goes on from `fix` with what is done on the server

    @property
    def full_fix(self) -> str:
        """How to fix it, with the administrator's part."""
        return " ".join(filter(None, (self.fix, self.for_administrator)))

    @property
    def level(self) -> str:
        return "problem" if not self.ok else "warning" if self.is_warning else "ok"


@dataclass(frozen=True)
class ColumnCheck:
    """What a mapped column should be."""

    title: str
    types: tuple[str, ...]  # one of these
    target_board: str | None = None  # to which a relation leads
    labels: frozenset[str] | None = None  # that a status or dropdown column had when the mapping was set up


@dataclass(frozen=True)
class BoardCheck:
    """What a board should have."""

    title: str
    board_id: str | None
    columns: Mapping[str, ColumnCheck] = field(default_factory=dict)  # by column id
    hook_ids: Sequence[str] = ()  # our webhooks with the present address
    former_hook_ids: Sequence[str] = ()  # ours with another one
    group_id: str = ""  # the group for new items


# What happened on a board: one delivery of a webhook, and all that happened since a moment.


class EventKind(StrEnum):
    """What happened to an item; OTHER is everything that concerns no record (updates, subitems, columns)."""

    CREATED = "created"
    COLUMN = "column"
    RENAMED = "renamed"
    ARCHIVED = "archived"
    DELETED = "deleted"
    RESTORED = "restored"
    MOVED = "moved"
    OTHER = "other"


# Prefix of the trigger id of a delivery that was made of a row of the activity log; a webhook has one of its own.
LOG_PREFIX = "log:"


class InvalidEvent(ValueError):
    """The body is not a webhook event; the message says why."""


class InvalidSignature(Exception):
    """Nothing proves that the delivery is Monday's; the message never shows the token or the secret."""


@dataclass(frozen=True)
class ItemEvent:
    """One delivery. Ids are texts here, numbers on the wire."""

    kind: EventKind
    type: str
    trigger_id: str | None
    board_id: str
    item_id: str | None
    column_id: str | None = None  # of a renamed item "name", and `value` holds that key
    column_type: str | None = None  # GraphQL's name of the type
    value: Any = None
    previous_value: Any = None
    user_id: str | None = None
    item_name: str | None = None
    column_values: Mapping[str, Any] | None = None
    happened_at: datetime | None = None  # when the trigger fired (triggerTime)
    changed_at: datetime | None = None  # when the column was changed (changedAt, seconds), shortly before
    has_previous: bool = False  # whether the body has a previous value at all, even an empty one
    column_title: str | None = None  # what the column is called on the board


@dataclass(frozen=True)
class UpdatedItem:
    """An item and when it was last updated, by Monday's clock; None where Monday doesn't say."""

    item_id: str
    at: datetime | None


# Items, the last updated first, and the cursor of the next page, None at the end.
UpdatedItemsPage = tuple[list[UpdatedItem], str | None]


@dataclass(frozen=True)
class ActivityEntry:
    """A row of the log. Ids are texts."""

    id: str
    event: str
    user_id: str
    at: datetime  # when it happened, by Monday's clock
    item_ids: Sequence[str] = ()  # one, several of a batch action, or none; sub-items are not counted
    data: Mapping[str, Any] = field(default_factory=dict)  # the event's own


@dataclass(frozen=True)
class BoardActivity:
    """The answer to `board_activity_query`."""

    board: Board
    log: list[ActivityEntry] | None  # the newest page: a full one may have more behind it; None in another shape
    recently_updated: UpdatedItemsPage
    hooks: Mapping[str, str] | None  # None where they can't be read
    log_problem: str = ""  # what is wrong where there is no log
    user_id: str = ""  # the token's user
    log_cursor: str | None = None  # where it has one, more is behind the page


# How a board is built, and which of its columns set-up adopts or creates.


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


def adoptable_column(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> BoardColumn | None:
    """The column with the preferred id, else the best one with the same title, each only if it fits."""
    acceptable = sorted(filter(wanted.accepts, available), key=wanted.rank)
    by_id = next((column for column in acceptable if column.id == wanted.preferred_id), None)
    return by_id or next((column for column in acceptable if _has_same_title(wanted, column)), None)


def unfit_reasons(wanted: ColumnSpec, available: Sequence[BoardColumn]) -> Iterator[str]:
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


def column_variables(board_id: str, column: ColumnSpec) -> dict[str, Any]:
    """The variables of CREATE_COLUMN."""
    variables = {"board": board_id, "title": column.title, "type": column.type}
    # Monday sets a relation's target as the column is created. NPD's relation holds one record, so it takes one item.
    if column.type == RELATION and column.target_board is not None:
        settings = {"boardIds": [int(column.target_board)], "allowMultipleItems": False}
        variables["defaults"] = json.dumps(settings)
    elif labels := label_settings(column.type, column.labels):
        variables["defaults"] = json.dumps(labels)
    return variables


# A column id can't be used again even after its column was deleted. Monday then rejects the id, and we let it
# choose one. An error about the account, the board or the network is no rejection of the id.
ID_REJECTION_SCOPES = frozenset({errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.DOCUMENT})
