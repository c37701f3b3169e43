"""Boards, items, people, webhooks and events as plain data, without I/O."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar


class Clock:
    """The sandbox's time: real time plus an offset that tests may set."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def time(self) -> float:
        return time.time() + self.offset_seconds

    def stamp(self) -> str:
        """Return the time as Monday writes it: `2026-01-31T18:00:00Z`."""
        return datetime.fromtimestamp(self.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Person:
    """A user, or Monday's automations as if they were one."""

    id: int
    name: str
    email: str
    title: str
    kind: str  # "admin", "member", "guest" or "automation"
    time_zone_identifier: str = "UTC"


API_USER = Person(67210000, "NPD Sync", "npd-sync@sandbox.example", "Integration", "admin")

PEOPLE = (
    Person(67210011, "Maya Lind", "maya@sandbox.example", "Buyer", "member"),
    Person(67210012, "Tom Okafor", "tom@sandbox.example", "Account manager", "member"),
    Person(67210013, "Noor Haddad", "noor@sandbox.example", "Assistant", "member"),
)

MAYA_ID = PEOPLE[0].id  # acts on the pages, and where a test names no user
GUEST = Person(67210014, "Ines Duarte", "ines@partner.example", "Partner", "guest")
USERS = (API_USER, *PEOPLE, GUEST)

# Monday's own automations act as this user in activity logs and webhooks; `users` doesn't list it.
AUTOMATIONS = Person(-4, "Automations", "", "", "automation")
ACCOUNT_ID = 25910000
SUBSCRIPTION_OFFSET = 50_000  # so that no webhook's id is mistaken for its subscription's
NOBODY_ID = 0  # "changed" the items of a bulk load, which look as if they had always been there
_BY_ID = {person.id: person for person in (*USERS, AUTOMATIONS)}


def person(person_id: int) -> Person:
    return _BY_ID[person_id]


def is_person(person_id: int) -> bool:
    """Return whether somebody has this id."""
    return person_id in _BY_ID


@dataclass
class Column:
    id: str  # unique on its board, also among deleted columns
    title: str
    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    archived: bool = False  # deleted, for which this is Monday's word
    hidden: bool = False  # its values are not shown to the API's user
    # Returns the linked item with this id unless it is deleted; set by `World` and not stored.
    find_item: Callable[[int], Item | None] = field(default=lambda _id: None, compare=False, repr=False)


@dataclass
class Group:
    id: str
    title: str
    color: str
    position: str
    archived: bool = False
    deleted: bool = False


@dataclass
class Cell:
    """One column value."""

    raw: Any  # the decoded JSON of Monday's `value`; None when empty
    updated_at: str | None = None


@dataclass
class Item:
    id: int
    board_id: int
    group_id: str
    name: str
    rank: int  # orders the board's items, ascending: the item's id, or a newer id since it moved to another board
    created_at: str  # as `Clock.stamp` writes it, like `updated_at`
    updated_at: str
    changed_by: int  # the id of the person who changed it last
    state: str = "active"  # or "archived", "deleted"; `World.state_of` considers the board's state too
    cells: dict[str, Cell] = field(default_factory=dict)  # by the column's id; an empty cell may be missing

    def raw(self, column_id: str) -> Any:
        cell = self.cells.get(column_id)
        return None if cell is None else cell.raw


@dataclass
class Board:
    id: int
    name: str
    state: str = "active"
    items_limit: int = 10_000  # of active items
    columns: list[Column] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def column(self, column_id: str) -> Column | None:
        """Return a column that isn't deleted."""
        return next((c for c in self.active_columns() if c.id == column_id), None)

    def active_columns(self) -> list[Column]:
        """Return the columns that aren't deleted."""
        return [c for c in self.columns if not c.archived]

    def active_groups(self) -> list[Group]:
        """Return the groups that are neither archived nor deleted."""
        return [g for g in self.groups if not g.deleted and not g.archived]

    def group(self, group_id: str) -> Group | None:
        return next((g for g in self.active_groups() if g.id == group_id), None)


@dataclass
class Hook:
    """A subscription to the webhooks of one event on a board."""

    id: int
    board_id: int
    url: str
    event: str  # a key of webhooks.EVENTS
    user_id: int  # who subscribed
    deleted: bool = False

    @property
    def subscription_id(self) -> int:
        """The number in its deliveries, which no query returns (published captures, 2025-02)."""
        return SUBSCRIPTION_OFFSET + self.id


@dataclass
class Activity:
    """One row of a board's activity log; `created_at` counts 100-ns ticks since the epoch."""

    id: str
    board_id: int
    event: str  # in the log's own words: create_pulse, update_column_value …
    entity: str  # "pulse" (an item) or "board"
    data: dict[str, Any]
    user_id: int
    created_at: int
    item_id: int | None = None


Row = TypeVar("Row", Board, Item, Hook, Activity)


def to_document(row: Row) -> dict[str, Any]:
    """Return a row as the JSON that the sandbox's store keeps."""
    document = dict(vars(row))
    if isinstance(row, Board):
        document["columns"] = [{k: v for k, v in vars(column).items() if k != "find_item"} for column in row.columns]
        document["groups"] = [vars(group) for group in row.groups]
    elif isinstance(row, Item):
        document["cells"] = {key: [cell.raw, cell.updated_at] for key, cell in row.cells.items()}
    return document


def from_document(kind: type[Row], document: dict[str, Any]) -> Row:
    row = kind(**document)
    if isinstance(row, Board):
        row.columns = [Column(**column) for column in document["columns"]]
        row.groups = [Group(**group) for group in document["groups"]]
    elif isinstance(row, Item):
        row.cells = {key: Cell(raw, moment) for key, (raw, moment) in document["cells"].items()}
    return row


@dataclass(frozen=True)
class WorldEvent:
    """One event on a board, with the details of its webhook."""

    kind: str  # the webhook event that reports it, such as create_item: a key of webhooks.EVENTS
    board_id: int
    user_id: int
    seconds: float  # the sandbox's time
    item: Item
    item_name: str  # at the time of the event
    group: Group
    is_top_group: bool
    source_group_id: str = ""
    column: Column | None = None
    column_type: str = ""  # Monday's internal name of the column's type
    value: Any = None  # as webhooks show it, like `previous`
    previous: Any = None
    column_values: dict[str, Any] = field(default_factory=dict)
