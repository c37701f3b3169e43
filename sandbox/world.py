"""The account: all boards, items, webhooks and logs, behind one lock, written through to one SQLite file, so that a
killed sandbox forgets nothing. Without a file the same code runs on a database in memory.

How they are found by id and by the words of a cell, and how a refused transaction takes back what it had changed.
"""

import bisect
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sandbox import api_errors, model
from sandbox.clock import Clock, ordered_id

NAMES: dict[type[Any], str] = {
    model.Board: "boards",
    model.Item: "items",
    model.Hook: "hooks",
    model.Activity: "activity",
}
DOCUMENTS = {name: "TEXT" if kind is model.Activity else "INTEGER" for kind, name in NAMES.items()}
COUNTERS = "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
TABLES = "\n".join(
    f"CREATE TABLE IF NOT EXISTS {table} (id {kind} PRIMARY KEY, document TEXT NOT NULL);"
    for table, kind in DOCUMENTS.items()
)

Rows = dict[str, dict[Any, Any]]  # by table: rows by id
Kept = dict[str, list[tuple[Any, str]]]  # by table: ids and documents
Before = dict[str, dict[Any, str | None]]  # the same as documents, None where there was no row
_STAMP = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?=Z)")
_TICKS = re.compile(r'(?<="created_at":)\d{17,}')
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Disk:
    """The store below `World`; callers hold the world's lock.

    What is put within a transaction is written at its end, or with the next that is: statements and commits of single
    rows were a third of what a change costs.
    """

    def __init__(self, path: str | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A killed process loses nothing in this mode; only a power cut could, and this is a sandbox.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(TABLES + COUNTERS)
        self._fresh: Rows = {}  # of the transaction that is open
        self._waiting: Rows = {}  # of those that ended
        self._is_open = False

    def begin(self) -> None:
        self._is_open = True

    def commit(self, *, later: bool = False) -> None:
        """Keep what was put since `begin`; with `later` it waits for `flush`, or for somebody else's commit."""
        for table, rows in self._fresh.items():
            self._waiting.setdefault(table, {}).update(rows)
        self._fresh = {}
        self._is_open = False
        if not later:
            self.flush()

    def rollback(self) -> Before:
        """Forget what was put since `begin`; what stood there before, None for what is new."""
        before = {
            table: {row_id: self._document(table, row_id) for row_id in rows}
            for table, rows in self._fresh.items()
            if table in DOCUMENTS
        }
        # No id is ever given twice, one of a transaction that failed neither.
        self._waiting.setdefault("counters", {}).update(self._fresh.get("counters", {}))
        self._fresh = {}
        self._is_open = False
        return before

    def _document(self, table: str, row_id: Any) -> str | None:
        if row_id in self._waiting.get(table, ()):
            waiting: str = self._waiting[table][row_id]
            return waiting
        row = self._db.execute(f"SELECT document FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
        return None if row is None else str(row[0])

    def flush(self) -> None:
        if not self._waiting:
            return
        with self._db:
            self._db.execute("BEGIN")
            for table, rows in self._waiting.items():
                self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows.items())  # noqa: S608
        self._waiting = {}

    def put(self, kind: type[Any], rows: Sequence[Any]) -> None:
        self._put(NAMES[kind], [(row.id, _ENCODER.encode(model.to_document(row))) for row in rows])

    def put_counter(self, name: str, value: int) -> None:
        self._put("counters", [(name, value)])

    def rows(self, kind: type[model.Row]) -> list[model.Row]:
        cursor = self._db.execute(f"SELECT document FROM {NAMES[kind]} ORDER BY id")  # noqa: S608 -- our own table names
        return [model.from_document(kind, json.loads(text)) for (text,) in cursor]

    def counters(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT name, value FROM counters"))

    def clear(self) -> None:
        """Forget everything but the counters, so that no id is ever given twice."""
        for rows in (self._waiting, self._fresh):
            for table in DOCUMENTS:
                rows.pop(table, None)
        for table in DOCUMENTS:
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 -- our own table names

    def kept(self) -> Kept:
        return {
            table: self._db.execute(f"SELECT * FROM {table} ORDER BY id").fetchall()  # noqa: S608
            for table in DOCUMENTS
        }

    def fill(self, kept: Kept, seconds: float) -> None:
        """Write these into the empty tables, with times that are so much later."""
        with self._db:
            self._db.execute("BEGIN")
            for table, rows in kept.items():
                moved = [(row_id, _later(document, seconds)) for row_id, document in rows]
                self._db.executemany(f"INSERT INTO {table} VALUES (?, ?)", moved)  # noqa: S608

    def close(self) -> None:
        self._db.close()

    def _put(self, table: str, rows: list[tuple[Any, Any]]) -> None:
        self._fresh.setdefault(table, {}).update(rows)
        if not self._is_open:
            self.commit()


def _later(document: str, seconds: float) -> str:
    by = timedelta(seconds=int(seconds))
    ticks = int(seconds) * 10**7
    moved = _STAMP.sub(lambda match: (datetime.fromisoformat(match[0]) + by).isoformat(), document)
    return _TICKS.sub(lambda match: str(int(match[0]) + ticks), moved)


# How items are found by the words of a cell.


INDEXED_TYPES = ("name", "text", "email")
Reader = Callable[[model.Item], str]


def fold_case(words: str) -> str:
    """Words as they are compared: without case and outer spaces."""
    return words.strip().casefold()


@dataclass
class Index:
    """One column of one board: item ids by folded words."""

    read: Reader
    ids: dict[str, set[int]] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)

    def put(self, item: model.Item) -> None:
        words = self.read(item)
        previous = self.words.get(item.id)
        if previous == words:
            return
        self.drop(item.id)
        self.words[item.id] = words
        self.ids.setdefault(words, set()).add(item.id)

    def drop(self, item_id: int) -> None:
        words = self.words.pop(item_id, None)
        if words is None:
            return
        self.ids[words].discard(item_id)
        if not self.ids[words]:
            del self.ids[words]


class Lookups:
    """The indexes of all boards. `items_of` gives a board's items in whatever state."""

    def __init__(self, items_of: Callable[[int], Iterable[model.Item]]) -> None:
        self._items_of = items_of
        self._indexes: dict[int, dict[str, Index]] = {}

    def find(self, board: model.Board, column_id: str, words: str) -> set[int] | None:
        """Ids of the items, in whatever state, whose cell says this; None for a type that is not indexed."""
        column = board.column(column_id)
        if column is None or column.type not in INDEXED_TYPES:
            return None
        indexes = self._indexes.setdefault(board.id, {})
        index = indexes.get(column_id)
        if index is None:
            index = indexes[column_id] = Index(_reader(column_id, column.type))
            for item in self._items_of(board.id):
                index.put(item)
        return index.ids.get(fold_case(words), set())

    def put(self, item: model.Item) -> None:
        for index in self._indexes.get(item.board_id, {}).values():
            index.put(item)

    def drop(self, board_id: int, item_id: int) -> None:
        for index in self._indexes.get(board_id, {}).values():
            index.drop(item_id)

    def forget(self, board_id: int) -> None:
        """A board that never was."""
        self._indexes.pop(board_id, None)

    def clear(self) -> None:
        self._indexes.clear()


def _reader(column_id: str, column_type: str) -> Reader:
    if column_type == "name":
        return lambda item: fold_case(item.name)
    if column_type == "email":
        # Monday's filters compare with the label, not with the address.
        return lambda item: fold_case((item.raw(column_id) or {}).get("text", ""))
    return lambda item: fold_case(item.raw(column_id) or "")


FIRST_IDS = {"board": 70001, "item": 8000000001, "hook": 466700001}

STATES = ("active", "archived", "deleted")
Listener = Callable[[list[model.WorldEvent]], None]


class World:
    """What an account holds. Change it inside `transaction()`; what happened is told after the commit."""

    def __init__(self, clock: Clock, path: str | None = None) -> None:
        self.clock = clock
        self.site_url = ""
        self.page_url = ""
        self.boards: dict[int, model.Board] = {}
        self.items: dict[int, model.Item] = {}
        self.hooks: dict[int, model.Hook] = {}
        self.activity: dict[int, list[model.Activity]] = {}
        self._tables: dict[type[Any], dict[Any, Any]] = {
            model.Board: self.boards,
            model.Item: self.items,
            model.Hook: self.hooks,
        }
        self.log_delay_seconds = 0.0
        self.lookups = Lookups(lambda board_id: self.items_of(board_id, STATES))
        self._active: dict[int, set[int]] = {}
        self._order: dict[int, list[tuple[float, int]]] = {}
        self._listeners: list[Listener] = []
        self._events: list[model.WorldEvent] = []
        self._mine = threading.local()  # what a `batched` thread reports at its end
        self._lock = threading.RLock()
        self._depth = 0
        self._disk = Disk(path)
        self._counters = FIRST_IDS | self._disk.counters()
        self._load()

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after each commit, outside the lock, with what happened."""
        self._listeners.append(listener)

    @contextmanager
    def read_lock(self) -> Iterator[None]:
        with self._lock:
            yield

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Changes that stand or fall together: of a refusal nothing stays, in memory or on disk, but used ids."""
        with self._lock:
            outermost = self._depth == 0
            if outermost:
                self._disk.begin()
            self._depth += 1
            try:
                yield
            # Whatever ends it, an interrupt too: half a change must not stay.
            except BaseException:
                self._leave(outermost, kept=False)
                raise
            happened = self._leave(outermost, kept=True)
        if self._unsent is None:
            self._notify_listeners(happened)
        else:
            self._unsent.extend(happened)

    @contextmanager
    def batched(self) -> Iterator[None]:
        """This thread's transactions reach the disk together at the end, so before the request is answered.

        What happened is told after that: a webhook must not tell of an item that a killed sandbox forgets.
        """
        happened: list[model.WorldEvent] = []
        self._mine.untold = happened
        try:
            yield
        finally:
            self._mine.untold = None
            with self._lock:
                self._disk.flush()
            self._notify_listeners(happened)

    @property
    def _unsent(self) -> list[model.WorldEvent] | None:
        events: list[model.WorldEvent] | None = getattr(self._mine, "untold", None)
        return events

    def _notify_listeners(self, happened: list[model.WorldEvent]) -> None:
        for listener in self._listeners if happened else []:
            listener(happened)

    def _leave(self, outermost: bool, kept: bool) -> list[model.WorldEvent]:
        self._depth -= 1
        if not outermost:
            return []
        happened = self._events
        self._events = []
        if not kept:
            # Operations change objects in place and put them; of what was put the disk still knows how it was. New
            # ones leave.
            before = self._disk.rollback()
            new_logs = before.get("activity", {})  # rows of a log are never changed
            for board_id, rows in self.activity.items() if new_logs else ():
                self.activity[board_id] = [row for row in rows if row.id not in new_logs]
            # Items before boards: an item is taken out of its board's order, which goes with a board that never was.
            for kind in (model.Item, model.Board, model.Hook):
                for row_id, document in before.get(NAMES[kind], {}).items():
                    self._put_back(self._tables[kind], row_id, document)
            return []
        self._disk.commit(later=self._unsent is not None)
        return happened

    def emit(self, happening: model.WorldEvent) -> None:
        self._events.append(happening)

    # What is there

    def board(self, board_id: int) -> model.Board:
        """The board in whatever state; InvalidBoardIdException when there never was one."""
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
        """The item in whatever state; InvalidItemIdException when there never was one."""
        row = self.items.get(item_id) if item_id is not None else None
        if row is None:
            raise api_errors.item_not_found(item_id)
        return row

    def state_of(self, item: model.Item) -> str:
        """An item is as inactive as its board."""
        return item.state if item.state != "active" else self.boards[item.board_id].state

    def items_of(self, board_id: int, states: tuple[str, ...] = ("active",)) -> list[model.Item]:
        """A board's items in board order."""
        items = (self.items[item_id] for _, item_id in self._order.get(board_id, []))
        return [item for item in items if item.state in states]

    def active_count(self, board_id: int) -> int:
        """How many items of the board are neither archived nor deleted."""
        return len(self._active.get(board_id, ()))

    def candidates(self, board: model.Board, column_id: str, words: list[str]) -> list[model.Item] | None:
        """The items of a board, in its order, that may say one of these words; None when all may."""
        ids: set[int] = set()
        for text in words:
            some = self.lookups.find(board, column_id, text)
            if some is None:
                return None
            ids |= some
        return sorted((self.items[i] for i in ids), key=lambda item: (item.rank, item.id))

    # Changes

    def next_id(self, kind: str) -> int:
        return self.next_ids(kind, 1)[0]

    def next_ids(self, kind: str, count: int) -> range:
        """`count` ids at once, for bulk loads."""
        first = self._counters[kind]
        self._counters[kind] = first + count
        self._disk.put_counter(kind, first + count)
        return range(first, first + count)

    def put_board(self, board: model.Board) -> None:
        self.boards[board.id] = board
        self._order.setdefault(board.id, [])
        self._name_columns(board)
        self._disk.put(model.Board, [board])

    def put_items(self, items: list[model.Item]) -> None:
        for item in items:
            if item.id not in self.items:
                self.enlist(item)
            else:
                self._count(item)
                self.lookups.put(item)
        self._disk.put(model.Item, items)

    def enlist(self, item: model.Item) -> None:
        self.items[item.id] = item
        bisect.insort(self._order[item.board_id], (item.rank, item.id))
        self._count(item)
        self.lookups.put(item)

    def unlist(self, item: model.Item) -> None:
        order = self._order[item.board_id]
        del order[bisect.bisect_left(order, (item.rank, item.id))]
        self._active.get(item.board_id, set()).discard(item.id)
        self.lookups.drop(item.board_id, item.id)

    def move_to_board(self, item: model.Item, board_id: int, rank: float) -> None:
        """Put an item onto another board; its own fields follow here, its cells are the caller's."""
        # First, for its place is found by the board and the rank that it still has.
        self.unlist(item)
        item.board_id = board_id
        item.rank = rank
        self.enlist(item)
        self.put_items([item])

    def _count(self, item: model.Item) -> None:
        active = self._active.setdefault(item.board_id, set())
        if item.state == "active":
            active.add(item.id)
        else:
            active.discard(item.id)

    def find_item(self, item_id: int) -> model.Item | None:
        """The item, unless it is deleted or never was."""
        item = self.items.get(item_id)
        return None if item is None or self.state_of(item) == "deleted" else item

    def put(self, row: model.Hook) -> None:
        """Keep what nothing but its own id finds."""
        self._tables[type(row)][row.id] = row
        self._disk.put(type(row), [row])

    def log(self, board_id: int, event: str, data: dict[str, object], user_id: int, item_id: int | None) -> None:
        """Add a row to the board's activity log."""
        now = self.clock.time()
        row = model.Activity(
            id=ordered_id(now),
            board_id=board_id,
            event=event,
            entity="board" if item_id is None else "pulse",
            data=data,
            user_id=user_id,
            created_at=int(now * 1e7),
            item_id=item_id,
        )
        self.activity.setdefault(board_id, []).append(row)
        self._disk.put(model.Activity, [row])

    def reset(self) -> None:
        """Forget all boards; ids go on from where they were, so that none is given twice."""
        with self.transaction():
            for table in (*self._tables.values(), self.activity, self._order, self._active):
                table.clear()
            self.lookups.clear()
            self.log_delay_seconds = 0.0
            self._disk.clear()

    def snapshot(self) -> Kept:
        """All that is here now, for `restore`."""
        with self._lock:
            return self._disk.kept()

    def restore(self, kept: Kept, seconds: float) -> None:
        """What a snapshot of so long ago holds, and nothing else; its times are as far from now as they were then."""
        with self._lock:
            self.reset()
            self._disk.fill(kept, seconds)
            self._load()

    def close(self) -> None:
        with self._lock:
            self._disk.close()

    def _load(self) -> None:
        for kind, table in self._tables.items():
            table.update((row.id, row) for row in self._disk.rows(kind))
        self._order = {board_id: [] for board_id in self.boards}
        for board in self.boards.values():
            self._name_columns(board)
        for item in self.items.values():
            self._order[item.board_id].append((item.rank, item.id))
            self._count(item)
        for order in self._order.values():
            order.sort()
        for row in sorted(self._disk.rows(model.Activity), key=lambda row: row.created_at):
            self.activity.setdefault(row.board_id, []).append(row)

    def _put_back(self, table: dict[Any, Any], row_id: Any, document: str | None) -> None:
        row = table[row_id]
        if isinstance(row, model.Item):
            self.unlist(row)
        if document is None:
            del table[row_id]
            if isinstance(row, model.Board):
                self._order.pop(row.id, None)
                self.lookups.forget(row.id)
            return
        # Into the same object: whoever holds it goes on with it.
        vars(row).update(vars(model.from_document(type(row), json.loads(document))))
        if isinstance(row, model.Item):
            self.enlist(row)
        elif isinstance(row, model.Board):
            self._name_columns(row)

    def _name_columns(self, board: model.Board) -> None:
        for column in board.columns:
            column.find_item = self.find_item
