"""Deliveries that wait, kept beside the boards, so that a restart forgets none."""

import json
import sqlite3
import threading

from sandbox.webhooks.delivery import UNFINISHED, Delivery

TABLE = "CREATE TABLE IF NOT EXISTS deliveries (id INTEGER PRIMARY KEY, document TEXT NOT NULL)"
BUSY_SECONDS = 30  # how long to wait for the boards' own writes into the same file


class Store:
    """The table of unfinished deliveries. Without a file it keeps nothing."""

    def __init__(self, path: str | None) -> None:
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        if path is not None:
            self._db = sqlite3.connect(
                path, check_same_thread=False, isolation_level=None, timeout=BUSY_SECONDS
            )
            self._db.execute("PRAGMA synchronous = OFF")
            self._db.execute(TABLE)

    def keep(self, *deliveries: Delivery) -> None:
        """Write these as they stand; finished ones are forgotten."""
        if self._db is None:
            return
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            for delivery in deliveries:
                self._put(self._db, delivery)
            self._db.execute("COMMIT")

    def _put(self, db: sqlite3.Connection, delivery: Delivery) -> None:
        if delivery.state in UNFINISHED:
            text = json.dumps(delivery.stored(), ensure_ascii=False, separators=(",", ":"))
            db.execute("INSERT OR REPLACE INTO deliveries VALUES (?, ?)", (delivery.id, text))
        else:
            db.execute("DELETE FROM deliveries WHERE id = ?", (delivery.id,))

    def load(self) -> list[Delivery]:
        """What waited when the sandbox ended, oldest first."""
        if self._db is None:
            return []
        rows = self._db.execute("SELECT document FROM deliveries ORDER BY id")
        return [Delivery(**json.loads(text)) for (text,) in rows]

    def clear(self) -> None:
        if self._db is not None:
            with self._lock:
                self._db.execute("DELETE FROM deliveries")
