"""A board: how it is built and should be, what set-up adopts or creates, what a check says, what happened on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

RELATION = "board_relation"


def target_boards(settings: Mapping[str, Any]) -> frozenset[str]:
    """The boards whose items a relation with these settings may name (reference/connect)."""
    boards = settings.get("boardIds")
    return frozenset(str(board) for board in boards) if isinstance(boards, list) else frozenset()


@dataclass(frozen=True)
class BoardColumn:
    """A column that exists and is not archived; `settings` as Monday gives them: labels, boardIds …"""

    id: str
    title: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target_boards(self) -> frozenset[str]:
        """The boards whose items the column may name, if it is a relation."""
        return target_boards(self.settings)


@dataclass(frozen=True)
class Board:
    """A board as Monday answers it; `state` is active, archived or deleted.

    `groups` gives the title of each group that can take items, the topmost first; `items_limit` is how many
    items the board takes, None where Monday doesn't say.
    """

    id: str
    name: str
    state: str
    groups: Mapping[str, str]
    columns: tuple[BoardColumn, ...]
    items_count: int | None = None
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
class ListedBoard:
    """A board by its name; `items` is how many it holds, None where Monday doesn't say."""

    id: str
    name: str
    items: int | None = None


@dataclass(frozen=True)
class ColumnSpec:
    """A column that is needed; `key` is the caller's own name, `preferred_id` 1 to 20 of a-z and "_".

    `types` are the types that fit, the best first; empty means only `type`, which is the type that is
    created. An optional column is adopted where the board has one and never created. A board_relation must
    lead to `target_board`. `labels` are those that a created status or dropdown column begins with.
    """

    key: str
    title: str
    type: str
    preferred_id: str | None = None
    types: tuple[str, ...] = ()
    optional: bool = False
    target_board: str | None = None
    labels: tuple[str, ...] = ()

    def accepts(self, column: BoardColumn) -> bool:
        targets_board = self.target_board is not None and self.target_board in column.target_boards
        return column.type in (self.types or (self.type,)) and (column.type != RELATION or targets_board)

    def rank(self, column: BoardColumn) -> int:
        """How well a fitting column fits: 0 is best."""
        return (self.types or (self.type,)).index(column.type)


@dataclass(frozen=True)
class BoardSetup:
    """What set-up did: the board as it was read, and by key the column that each spec has now.

    `created` and `adopted` are sentences' ends; `unfit` says, by key, why a column that one would expect to be used
    is not.
    """

    board: Board
    columns: dict[str, BoardColumn]
    created: list[str]
    adopted: list[str]
    unfit: Mapping[str, str]


def url_fingerprint(url: str) -> str:
    """A short hash of an address: the address may hold a secret, the fingerprint doesn't."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class CheckResult:
    """One checked thing: whether it is well, what it is, and how to fix it (empty if well).

    `is_warning`: it is well for now, and `fix` says what to do before it isn't. `subject` names the part: connection,
    token, version, plan, allowance, board, columns, webhooks, settings, pause, queue. `for_administrator` goes on
    from `fix` with what is done on the server.
    """

    ok: bool
    message: str
    fix: str = ""
    subject: str = ""
    is_warning: bool = False
    for_administrator: str = ""

    @property
    def full_fix(self) -> str:
        """How to fix it, with the administrator's part."""
        return " ".join(filter(None, (self.fix, self.for_administrator)))

    @property
    def level(self) -> str:
        return "problem" if not self.ok else "warning" if self.is_warning else "ok"


@dataclass(frozen=True)
class ColumnCheck:
    """What a mapped column should be: of one of these types, and for a relation with this `target_board`.

    `labels` are those that a status or dropdown column had when the mapping was set up.
    """

    title: str
    types: tuple[str, ...]
    target_board: str | None = None
    labels: frozenset[str] | None = None


@dataclass(frozen=True)
class BoardCheck:
    """What a board should have, by column id; `group_id` is the group for new items.

    `hook_ids` are our webhooks with the present address, `former_hook_ids` ours with another one.
    """

    title: str
    board_id: str | None
    columns: Mapping[str, ColumnCheck] = field(default_factory=dict)
    hook_ids: Sequence[str] = ()
    former_hook_ids: Sequence[str] = ()
    group_id: str = ""


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


LOG_PREFIX = "log:"
"""Prefix of the trigger id of a delivery that was made of a row of the activity log; a webhook has one of its own."""


class InvalidEvent(ValueError):
    """The body is not a webhook event; the message says why."""


class InvalidSignature(Exception):
    """Nothing proves that the delivery is Monday's; the message never shows the token or the secret."""


@dataclass(frozen=True)
class ItemEvent:
    """One delivery. Ids are texts here, numbers on the wire; `column_type` is GraphQL's name of the type.

    For a renamed item `column_id` is "name" and `value` holds the key "name". `happened_at` is when the trigger fired
    (triggerTime), `changed_at` when the column was changed (changedAt, seconds), shortly before; `has_previous` whether
    the body has a previous value at all, even an empty one. `column_title` is what the column is called on the board.
    """

    kind: EventKind
    type: str
    trigger_id: str | None
    board_id: str
    item_id: str | None
    column_id: str | None = None
    column_type: str | None = None
    value: Any = None
    previous_value: Any = None
    user_id: str | None = None
    item_name: str | None = None
    column_values: Mapping[str, Any] | None = None
    happened_at: datetime | None = None
    changed_at: datetime | None = None
    has_previous: bool = False
    column_title: str | None = None


@dataclass(frozen=True)
class UpdatedItem:
    """An item and when it was last updated, by Monday's clock; None where Monday doesn't say."""

    item_id: str
    at: datetime | None


UpdatedItemsPage = tuple[list[UpdatedItem], str | None]
"""Items, the last updated first, and the cursor of the next page, None at the end."""


@dataclass(frozen=True)
class ActivityEntry:
    """A row of the log. Ids are texts; `data` is the event's own.

    `at` is when it happened, by Monday's clock; `item_ids` are one, several of a batch action, or none; sub-items are
    not counted.
    """

    id: str
    event: str
    user_id: str
    at: datetime
    item_ids: Sequence[str] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BoardActivity:
    """The answer to `board_activity_query`.

    `log` is the newest page, and a full one may have more behind it, as one with a `log_cursor` has; None where the log
    has another shape, and `log_problem` then says what is wrong. `hooks` is None where they can't be read. `user_id` is
    the token's user.
    """

    board: Board
    log: list[ActivityEntry] | None
    recently_updated: UpdatedItemsPage
    hooks: Mapping[str, str] | None
    log_problem: str = ""
    user_id: str = ""
    log_cursor: str | None = None
