"""What happened on a board: one delivery of a webhook, and all that happened since a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sync.connectors.base.board_shape import Board


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


@dataclass(frozen=True)
class EventPaths:
    """Where stored deliveries hold what queries ask of many of them: the keys, from outside in.

    The item's name is under the first of `item_names` that is there; the text of a new item's column under
    `column_values`, the column's id, and `column_text`.
    """

    user_id: tuple[str, ...]
    happened_at: tuple[str, ...]
    item_names: tuple[tuple[str, ...], ...]
    column_values: tuple[str, ...]
    column_text: str


class InvalidEvent(ValueError):
    """The body is not a webhook event; the message says why."""


class InvalidSignature(Exception):
    """Nothing proves that the delivery is Monday's; the message never shows the token or the secret."""


class ForgedSignature(InvalidSignature):
    """Not a token, not HS256, or not signed with our secret."""


class WrongAudience(InvalidSignature):
    """Signed for another address."""


class ExpiredSignature(InvalidSignature):
    """Expired, or not valid yet."""


@dataclass(frozen=True)
class ItemEvent:
    """One delivery. Ids are texts here, numbers on the wire; `column_type` is GraphQL's name of the type.

    For a renamed item `column_id` is "name" and `value` holds the key "name". `happened_at` is when the
    trigger fired (triggerTime), `changed_at` when the column was changed (changedAt, seconds), shortly
    before; `has_previous` whether the body has a previous value at all, even an empty one.
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


@dataclass(frozen=True)
class UpdatedItem:
    """An item and when it was last updated, by Monday's clock; None where Monday doesn't say."""

    item_id: str
    at: datetime | None


@dataclass(frozen=True)
class UpdatedItemsPage:
    """Items, the last updated first; `cursor` of the next page, None at the end."""

    items: list[UpdatedItem]
    cursor: str | None


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

    `log` is the newest page, and a full one may have more behind it; None where the log has another shape,
    and `log_problem` then says what is wrong. `hooks` is None where they can't be read. `user_id` is the
    token's user.
    """

    board: Board
    log: list[ActivityEntry] | None
    recently_updated: UpdatedItemsPage
    hooks: Mapping[str, str] | None
    log_problem: str = ""
    user_id: str = ""
