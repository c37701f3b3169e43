"""Boards on disk: one SQLite file, written through, so that a killed sandbox forgets nothing.

Without a file the same code runs on a database in memory.
"""

import json
import sqlite3
from collections.abc import Iterable
from typing import Any

from sandbox.model import Activity, Board, Hook, Item, board_from, item_from, item_to, plain

TABLES = """
CREATE TABLE IF NOT EXISTS boards (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS hooks (id INTEGER PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS activity (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""


class Disk:
    """The store below `World`; callers hold the world's lock."""

    def __init__(self, path: str | None) -> None:
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        # A killed process loses nothing in this mode; only a power cut could, and this is a sandbox.
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.executescript(TABLES)

    def begin(self) -> None:
        self._db.execute("BEGIN")

    def commit(self) -> None:
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        self._db.execute("ROLLBACK")

    def put_board(self, board: Board) -> None:
        self._put("boards", [(board.id, _dump(plain(board)))])

    def put_items(self, items: Iterable[Item]) -> None:
        self._put("items", [(item.id, _dump(item_to(item))) for item in items])

    def put_hook(self, hook: Hook) -> None:
        self._put("hooks", [(hook.id, _dump(plain(hook)))])

    def put_activity(self, row: Activity) -> None:
        self._put("activity", [(row.id, _dump(plain(row)))])

    def put_counter(self, name: str, value: int) -> None:
        self._put("counters", [(name, value)])

    def boards(self) -> list[Board]:
        return [board_from(document) for document in self._documents("boards")]

    def items(self) -> list[Item]:
        return [item_from(document) for document in self._documents("items")]

    def hooks(self) -> list[Hook]:
        return [Hook(**document) for document in self._documents("hooks")]

    def activity(self) -> list[Activity]:
        return [Activity(**document) for document in self._documents("activity")]

    def counters(self) -> dict[str, int]:
        return dict(self._db.execute("SELECT name, value FROM counters"))

    def clear(self) -> None:
        """Forget everything but the counters, so that no id is ever given twice."""
        for table in ("boards", "items", "hooks", "activity"):
            self._db.execute(f"DELETE FROM {table}")  # noqa: S608 -- our own table names

    def close(self) -> None:
        self._db.close()

    def _put(self, table: str, rows: list[tuple[Any, Any]]) -> None:
        self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", rows)  # noqa: S608

    def _documents(self, table: str) -> list[dict[str, Any]]:
        rows = self._db.execute(f"SELECT document FROM {table} ORDER BY id")  # noqa: S608
        return [json.loads(text) for (text,) in rows]


def _dump(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
