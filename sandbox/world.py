"""The account: all boards, items, webhooks and logs behind one lock, stored in an SQLite file or in memory.

The objects in memory are the truth. A transaction's changes are written at its end, before the request is answered, so
a killed sandbox loses nothing that it has reported.
"""

import json
import re
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from sandbox import api_errors, model

TABLES: dict[type[Any], str] = {
    model.Board: "boards",
    model.Item: "items",
    model.Hook: "hooks",
    model.Activity: "activity",
}
# Apart from each other, and an item's as long as Monday's, which don't fit 32 bits.
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
        """Write these rows by table and id, all or none; a row that is None is deleted."""
        if not rows:
            return
        deleted = [key for key, row in rows.items() if row is None]
        changes = [(*key, _ENCODER.encode(row)) for key, row in rows.items() if row is not None]
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany("DELETE FROM documents WHERE kind = ? AND id = ?", deleted)
            self._db.executemany("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", changes)
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

    def __init__(self, clock: model.Clock, store: Store) -> None:
        self.clock = clock
        self.on_events: Callable[[list[model.WorldEvent]], None] = lambda events: None  # after each transaction
        self.boards: dict[int, model.Board] = {}
        self.items: dict[int, model.Item] = {}
        self.hooks: dict[int, model.Hook] = {}
        self.activity: dict[int, list[model.Activity]] = {}
        self._on_board: dict[int, dict[int, model.Item]] = {}  # by board and id, in board order
        self._events: list[model.WorldEvent] = []
        self._changed: dict[tuple[str, Any], Any] = {}  # rows to write, by table and id
        self._lock = threading.RLock()
        self._depth = 0
        self._store = store
        self._next_ids = FIRST_IDS | {name: json.loads(number) for name, number in store.load("counters")}
        self._load()

    @contextmanager
    def read_lock(self) -> Iterator[None]:
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock while the account changes.

        The outermost transaction writes the changes at its end and then calls `on_events` outside the lock, so that no
        webhook reports an item that a killed sandbox has lost. Nothing is rolled back: refuse a change before its first
        part.
        """
        with self._lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            # An inner transaction leaves writing and reporting to the outermost one.
            if self._depth:
                return
            self._store.save(
                {key: row if isinstance(row, int) else model.to_document(row) for key, row in self._changed.items()}
            )
            self._changed = {}
            events = self._events
            self._events = []
        if events:
            self.on_events(events)

    def emit(self, event: model.WorldEvent) -> None:
        self._events.append(event)

    def board(self, board_id: int) -> model.Board:
        """Return the board in any state; raises FieldError."""
        row = self.boards.get(board_id)
        if row is None:
            raise api_errors.board_not_found(board_id)
        return row

    def active_board(self, board_id: int) -> model.Board:
        board = self.board(board_id)
        if board.state != "active":
            raise api_errors.board_not_found(board_id)
        return board

    def item(self, item_id: int | None) -> model.Item:
        """Return the item in any state; raises FieldError."""
        row = self.items.get(item_id) if item_id is not None else None
        if row is None:
            raise api_errors.item_not_found(item_id)
        return row

    def find_item(self, item_id: int) -> model.Item | None:
        """Return the item unless it is deleted."""
        item = self.items.get(item_id)
        return None if item is None or self.state_of(item) == "deleted" else item

    def state_of(self, item: model.Item) -> str:
        """Return the item's state, or its board's for an active item."""
        return item.state if item.state != "active" else self.boards[item.board_id].state

    def items_of(self, board_id: int, states: tuple[str, ...] = ("active",)) -> list[model.Item]:
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

    def put_board(self, board: model.Board) -> None:
        """Store a new or changed board."""
        self.boards[board.id] = board
        self._on_board.setdefault(board.id, {})
        self._name_columns(board)
        self._changed["boards", board.id] = board

    def put_items(self, items: list[model.Item]) -> None:
        """Store new or changed items."""
        for item in items:
            self.items[item.id] = item
            self._on_board[item.board_id][item.id] = item
            self._changed["items", item.id] = item

    def move_to_board(self, item: model.Item, board_id: int) -> None:
        """Move an item to the end of another board; the caller has changed its group and cells."""
        # The order of a board is that of this dictionary, so the item comes last on the other one.
        del self._on_board[item.board_id][item.id]
        item.board_id = board_id
        item.rank = self.next_id("item")
        self.put_items([item])

    def put_hook(self, hook: model.Hook) -> None:
        self.hooks[hook.id] = hook
        self._changed["hooks", hook.id] = hook

    def log(self, board_id: int, event: str, data: dict[str, object], user_id: int, item_id: int | None) -> None:
        """Add a row to the board's activity log."""
        now = self.clock.time()
        row = model.Activity(
            id=str(uuid.uuid4()),
            board_id=board_id,
            event=event,
            entity="board" if item_id is None else "pulse",
            data=data,
            user_id=user_id,
            created_at=int(now * 1e7),
            item_id=item_id,
        )
        self.activity.setdefault(board_id, []).append(row)
        self._changed["activity", row.id] = row

    def reset(self) -> None:
        """Delete all boards; ids go on, so that none is used twice."""
        self.restore({}, 0)

    def snapshot(self) -> Snapshot:
        """Return the present content, for `restore`."""
        with self._lock:
            return {table: self._store.load(table) for table in TABLES.values()}

    def restore(self, snapshot: Snapshot, seconds: float) -> None:
        """Replace the content by a snapshot that is this many seconds old, and move its times by as much."""
        with self._lock:
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
        for board in self._rows(model.Board):
            self.boards[board.id] = board
            self._on_board[board.id] = {}
            self._name_columns(board)
        for hook in self._rows(model.Hook):
            self.hooks[hook.id] = hook
        for item in sorted(self._rows(model.Item), key=lambda item: item.rank):
            self.items[item.id] = item
            self._on_board[item.board_id][item.id] = item
        for row in sorted(self._rows(model.Activity), key=lambda row: row.created_at):
            self.activity.setdefault(row.board_id, []).append(row)

    def _rows(self, kind: type[model.Row]) -> Iterator[model.Row]:
        for _, document in self._store.load(TABLES[kind]):
            yield model.from_document(kind, json.loads(document))

    def _name_columns(self, board: model.Board) -> None:
        for column in board.columns:
            column.find_item = self.find_item
