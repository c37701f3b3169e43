"""Boards on disk: one SQLite file, written through, so that a killed sandbox forgets nothing.

Without a file the same code runs on a database in memory.
"""

import json
import re
import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sandbox.model import Activity, Board, Hook, Item, Row, Tag, from_document, to_document

NAMES: dict[type[Any], str] = {Board: "boards", Item: "items", Hook: "hooks", Activity: "activity", Tag: "tags"}
DOCUMENTS = {name: "TEXT" if kind is Activity else "INTEGER" for kind, name in NAMES.items()}
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
        self._fresh, self._is_open = {}, False
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
        self._fresh, self._is_open = {}, False
        return before

    def _document(self, table: str, row_id: Any) -> str | None:
        if row_id in self._waiting.get(table, ()):
            waiting: str = self._waiting[table][row_id]
            return waiting
        found = self._db.execute(f"SELECT document FROM {table} WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
        return None if found is None else str(found[0])

    def flush(self) -> None:
        if not self._waiting:
            return
        with self._db:
            self._db.execute("BEGIN")
            for table, rows in self._waiting.items():
                self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows.items())  # noqa: S608
        self._waiting = {}

    def put(self, kind: type[Any], rows: Sequence[Any]) -> None:
        self._put(NAMES[kind], [(row.id, _ENCODER.encode(to_document(row))) for row in rows])

    def put_counter(self, name: str, value: int) -> None:
        self._put("counters", [(name, value)])

    def rows(self, kind: type[Row]) -> list[Row]:
        found = self._db.execute(f"SELECT document FROM {NAMES[kind]} ORDER BY id")  # noqa: S608 -- our own table names
        return [from_document(kind, json.loads(text)) for (text,) in found]

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
    by, ticks = timedelta(seconds=int(seconds)), int(seconds) * 10**7
    moved = _STAMP.sub(lambda found: (datetime.fromisoformat(found[0]) + by).isoformat(), document)
    return _TICKS.sub(lambda found: str(int(found[0]) + ticks), moved)
