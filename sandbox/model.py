"""The account: boards, items, people, webhooks and logs as plain data, and all of them behind one lock.

The objects in memory are the truth. A transaction's changes are written into an SQLite file, or one in memory, at its
end, before the request is answered, so a killed sandbox loses nothing that it has reported.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sandbox import api_errors


class Clock:
    """The sandbox's time: real time plus an offset that tests may set."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def time(self) -> float:
        return time.time() + self.offset_seconds

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)

    def stamp(self) -> str:
        """Return the time as Monday writes it: `2026-01-31T18:00:00Z`."""
        return self.moment().strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class Person:
    """A user, or Monday's automations as if they were one."""

    id: int
    name: str
    email: str
    time_zone_identifier: str = "UTC"


API_USER = Person(67210000, "NPD Sync", "npd-sync@sandbox.example")

PEOPLE = (
    Person(67210011, "Maya Lind", "maya@sandbox.example"),
    Person(67210012, "Tom Okafor", "tom@sandbox.example"),
    Person(67210013, "Noor Haddad", "noor@sandbox.example"),
)

MAYA_ID = PEOPLE[0].id  # acts on the pages, and where a test names no user
GUEST = Person(67210014, "Ines Duarte", "ines@partner.example")
USERS = (API_USER, *PEOPLE, GUEST)

# Monday's own automations act as this user in activity logs and webhooks; `users` doesn't list it.
AUTOMATIONS = Person(-4, "Automations", "")
ACCOUNT_ID = 25910000
GROUP_COLOUR = "#579bfc"  # of every group
NOBODY_ID = 0  # "changed" the items of a bulk load, which look as if they had always been there
PEOPLE_BY_ID = {person.id: person for person in (*USERS, AUTOMATIONS)}


@dataclass
class Column:
    id: str  # unique on its board, also among deleted columns
    title: str
    type: str
    settings: dict[str, Any] = field(default_factory=dict)
    archived: bool = False  # deleted, for which this is Monday's word
    hidden: bool = False  # its values are not shown to the API's user
    reflection: str = ""  # the column of the connected board that shows the same connections; empty: there is none
    # Returns the linked item with this id unless it is deleted; set by `World` and not stored.
    find_item: Callable[[int], Item | None] = field(default=lambda _id: None, compare=False, repr=False)


@dataclass
class Group:
    id: str
    title: str
    deleted: bool = False


@dataclass
class Item:
    id: int
    board_id: int
    group_id: str
    name: str
    rank: int  # orders the board's items, ascending: the item's id, or a newer id since it moved to another board
    updated_at: str  # as `Clock.stamp` writes it
    changed_by: int  # the id of the person who changed it last
    state: str = "active"  # or "archived", "deleted"; `World.state_of` considers the board's state too
    # By the column's id the decoded JSON of Monday's `value`; None when empty, like a missing cell.
    cells: dict[str, Any] = field(default_factory=dict)

    def raw(self, column_id: str) -> Any:
        return self.cells.get(column_id)


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
        """Return the groups that aren't deleted."""
        return [g for g in self.groups if not g.deleted]

    def group(self, group_id: str) -> Group | None:
        return next((g for g in self.active_groups() if g.id == group_id), None)

    def group_of(self, item: Item) -> Group:
        return next(g for g in self.groups if g.id == item.group_id)

    def is_top(self, group: Group) -> bool:
        return group in self.active_groups()[:1]


@dataclass
class Hook:
    """A subscription to the webhooks of one event on a board."""

    id: int
    board_id: int
    url: str
    event: str  # a key of webhooks.EVENTS
    user_id: int  # who subscribed
    deleted: bool = False


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
    return document


def from_document(kind: type[Row], document: dict[str, Any]) -> Row:
    row = kind(**document)
    if isinstance(row, Board):
        row.columns = [Column(**column) for column in document["columns"]]
        row.groups = [Group(**group) for group in document["groups"]]
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


TABLES: dict[type[Any], str] = {Board: "boards", Item: "items", Hook: "hooks", Activity: "activity"}
# Far apart, so that no id passes for one of another kind; an item's is as long as Monday's, which don't fit 32 bits.
FIRST_IDS = {"board": 70001, "item": 8000000001, "hook": 466700001}
STATES = ("active", "archived", "deleted")

# The times in stored documents: those of items, and the 100-ns ticks of activity logs.
_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=Z)")
_TICKS = re.compile(r'(?<="created_at":)\d{17,}')
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

Documents = list[tuple[Any, str]]  # ids, and rows as JSON
Snapshot = dict[str, Documents]  # by table


class Store:
    """JSON documents by table and id, in one SQLite file."""

    def __init__(self, path: str | None) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A killed process loses nothing in this mode; a power cut may lose something, which a sandbox can bear.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS documents (kind TEXT, id, document TEXT, PRIMARY KEY (kind, id)) WITHOUT ROWID"
        )

    def save(self, rows: Mapping[tuple[str, Any], Any]) -> None:
        """Write these rows by table and id, all or none."""
        if not rows:
            return
        documents = [(*key, _ENCODER.encode(row)) for key, row in rows.items()]
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", documents)
            self._db.execute("COMMIT")

    def load(self, table: str) -> Documents:
        """Return the ids and documents of a table, in the order of the ids."""
        with self._lock:
            rows = self._db.execute("SELECT id, document FROM documents WHERE kind = ? ORDER BY id", (table,))
            return rows.fetchall()

    def replace(self, table: str, documents: Documents) -> None:
        """Replace all documents of a table."""
        with self._lock:
            self._db.execute("BEGIN")
            self._db.execute("DELETE FROM documents WHERE kind = ?", (table,))
            rows = [(table, *document) for document in documents]
            self._db.executemany("INSERT INTO documents VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")


class World:
    """The content of an account. Change it inside `transaction()`, after which `on_events` is called."""

    def __init__(self, clock: Clock, store: Store) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.on_events: Callable[[list[WorldEvent]], None] = lambda events: None  # after each transaction
        self.on_items: Callable[[list[Item]], None] = lambda items: None  # with new or changed items
        self.boards: dict[int, Board] = {}
        self.items: dict[int, Item] = {}
        self.hooks: dict[int, Hook] = {}
        self.activity: dict[int, list[Activity]] = {}
        self._on_board: dict[int, dict[int, Item]] = {}  # by board and id, in board order
        self._events: list[WorldEvent] = []
        self._changed: dict[tuple[str, Any], Any] = {}  # rows, and counters of ids, to write: by table and id
        self._depth = 0
        self._store = store
        self._next_ids = FIRST_IDS | {name: json.loads(number) for name, number in store.load("counters")}
        self._load()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock while the account changes.

        The outermost transaction writes the changes at its end and then calls `on_events` outside the lock, so that no
        webhook reports an item that a killed sandbox has lost. Nothing is rolled back: refuse a change before its first
        part.
        """
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            # An inner transaction leaves writing and reporting to the outermost one.
            if self._depth:
                return
            self._store.save(
                {key: row if isinstance(row, int) else to_document(row) for key, row in self._changed.items()}
            )
            self._changed = {}
            events = self._events
            self._events = []
        if events:
            self.on_events(events)

    def board(self, board_id: int) -> Board:
        """Return the board in any state; raises FieldError."""
        row = self.boards.get(board_id)
        if row is None:
            raise api_errors.board_not_found(board_id)
        return row

    def active_board(self, board_id: int) -> Board:
        board = self.board(board_id)
        if board.state != "active":
            raise api_errors.board_not_found(board_id)
        return board

    def item(self, item_id: int | None) -> Item:
        """Return the item in any state; raises FieldError."""
        row = self.items.get(item_id) if item_id is not None else None
        if row is None:
            raise api_errors.item_not_found(item_id)
        return row

    def find_item(self, item_id: int) -> Item | None:
        """Return the item unless it is deleted."""
        item = self.items.get(item_id)
        return None if item is None or self.state_of(item) == "deleted" else item

    def state_of(self, item: Item) -> str:
        """Return the item's state, or its board's for an active item."""
        return item.state if item.state != "active" else self.boards[item.board_id].state

    def items_of(self, board_id: int, states: tuple[str, ...] = ("active",)) -> list[Item]:
        """Return a board's items in board order."""
        return [item for item in self._on_board.get(board_id, {}).values() if item.state in states]

    def active_count(self, board_id: int) -> int:
        return len(self.items_of(board_id))

    def next_id(self, kind: str) -> int:
        return self.next_ids(kind, 1)[0]

    def next_ids(self, kind: str, count: int) -> range:
        """Return `count` new ids of boards, items or hooks."""
        first = self._next_ids[kind]
        self._next_ids[kind] = first + count
        self._changed["counters", kind] = first + count
        return range(first, first + count)

    def put_board(self, board: Board) -> None:
        """Store a new or changed board."""
        self.boards[board.id] = board
        self._on_board.setdefault(board.id, {})
        for column in board.columns:
            column.find_item = self.find_item
        self._changed["boards", board.id] = board

    def put_items(self, items: list[Item]) -> None:
        """Store new or changed items."""
        for item in items:
            self.items[item.id] = item
            self._on_board[item.board_id][item.id] = item
            self._changed["items", item.id] = item
        self.on_items(items)

    def move_to_board(self, item: Item, board_id: int) -> None:
        """Move an item to the end of another board; the caller has changed its group and cells."""
        # The order of a board is that of this dictionary, so the item comes last on the other one.
        del self._on_board[item.board_id][item.id]
        item.board_id = board_id
        item.rank = self.next_id("item")
        self.put_items([item])

    def put_hook(self, hook: Hook) -> None:
        self.hooks[hook.id] = hook
        self._changed["hooks", hook.id] = hook

    def emit(self, kind: str, item: Item, user_id: int, **details: Any) -> None:
        """Report an event about an item in its present state, at the end of the transaction."""
        board = self.boards[item.board_id]
        group = board.group_of(item)
        self._events.append(
            WorldEvent(
                kind=kind,
                board_id=board.id,
                user_id=user_id,
                seconds=self.clock.time(),
                item=item,
                item_name=item.name,
                group=group,
                is_top_group=board.is_top(group),
                **details,
            )
        )

    def log(self, event: str, item: Item, user_id: int, **data: Any) -> None:
        """Add a row about an item to its board's activity log."""
        board = self.boards[item.board_id]
        details = {
            "group_id": item.group_id,
            "is_top_group": board.is_top(board.group_of(item)),
            "pulse_id": item.id,
            "pulse_name": item.name,
        }
        self._log(event, board.id, user_id, details | data, item.id)

    def save_board(self, event: str, board: Board, user_id: int, **data: Any) -> None:
        """Store a new or changed board, and add a row about it to its activity log."""
        self.put_board(board)
        self._log(event, board.id, user_id, data)

    def _log(self, event: str, board_id: int, user_id: int, data: dict[str, Any], item_id: int | None = None) -> None:
        row = Activity(
            id=str(uuid.uuid4()),
            board_id=board_id,
            event=event,
            entity="board" if item_id is None else "pulse",
            data={"board_id": board_id} | data,
            user_id=user_id,
            created_at=int(self.clock.time() * 1e7),
            item_id=item_id,
        )
        self.activity.setdefault(board_id, []).append(row)
        self._changed["activity", row.id] = row

    def snapshot(self) -> Snapshot:
        """Return the present content, for `restore`."""
        with self.lock:
            return {table: self._store.load(table) for table in TABLES.values()}

    def restore(self, snapshot: Snapshot, seconds: float) -> None:
        """Replace the content by a snapshot that is this many seconds old, and move its times by as much.

        So what was recent still is. Ids go on, so that none is used twice.
        """
        with self.lock:
            delta = timedelta(seconds=int(seconds))
            ticks = int(seconds) * 10**7
            for table in TABLES.values():
                documents = []
                for row_id, document in snapshot.get(table, ()):
                    shifted = _STAMP.sub(lambda match: (datetime.fromisoformat(match[0]) + delta).isoformat(), document)
                    documents.append((row_id, _TICKS.sub(lambda match: str(int(match[0]) + ticks), shifted)))
                self._store.replace(table, documents)
            self._load()

    def _load(self) -> None:
        """Load the store's content into memory."""
        for table in (self.boards, self.items, self.hooks, self.activity, self._on_board):
            table.clear()
        for board in self._rows(Board):
            self.put_board(board)
        for hook in self._rows(Hook):
            self.put_hook(hook)
        self.put_items(sorted(self._rows(Item), key=lambda item: item.rank))
        for row in sorted(self._rows(Activity), key=lambda row: row.created_at):
            self.activity.setdefault(row.board_id, []).append(row)
        self._changed.clear()

    def _rows(self, kind: type[Row]) -> Iterator[Row]:
        for _, document in self._store.load(TABLES[kind]):
            yield from_document(kind, json.loads(document))
