"""What open pages are sent while they are open: server-sent events, and why NPD lets an item wait."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from sandbox.http import NpdAddress

HEARTBEAT_SECONDS = 5.0
LIFETIME_SECONDS = 300.0
PAGES_LIMIT = 16


# Compared by identity: two pages that show the same board are two viewers.
@dataclass(eq=False)
class Viewer:
    """One open page; `board_id` None sees all boards."""

    board_id: int | None
    inbox: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)


class Live:
    """Who watches, and how to tell them.

    Each watcher takes a thread of the server, so the oldest gives way to the 17th.
    """

    def __init__(self) -> None:
        self._viewers: list[Viewer] = []
        self._lock = threading.Lock()
        self.watched = threading.Event()

    def publish(self, event: str, content: Any, board_id: int | None = None) -> None:
        """Send to this board's open pages, or to all; a function's content is made only where a page is open."""
        with self._lock:
            viewers = [v for v in self._viewers if board_id is None or v.board_id in (None, board_id)]
        if viewers:
            message = _message(event, content() if callable(content) else content)
            for viewer in viewers:
                viewer.inbox.put(message)

    def close(self) -> None:
        """End all streams, so that none holds up the end of the server."""
        with self._lock:
            for viewer in self._viewers:
                viewer.inbox.put(None)

    def stream(self, board_id: int | None, first: list[tuple[str, Any]]) -> Iterator[bytes]:
        """The event stream of one page, begun with `first`; when it ends, the browser comes back."""
        viewer = Viewer(board_id)
        with self._lock:
            self._viewers.append(viewer)
            if len(self._viewers) > PAGES_LIMIT:
                self._viewers.pop(0).inbox.put(None)
            self.watched.set()
        try:
            yield b"retry: 1000\n\n"
            for event, content in first:
                yield _message(event, content)
            end = time.monotonic() + LIFETIME_SECONDS
            while time.monotonic() < end:
                try:
                    message = viewer.inbox.get(timeout=HEARTBEAT_SECONDS)
                except queue.Empty:
                    message = b": still here\n\n"
                if message is None:
                    return
                yield message
        finally:
            with self._lock:
                if viewer in self._viewers:
                    self._viewers.remove(viewer)
                if not self._viewers:
                    self.watched.clear()


def _message(event: str, content: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


# Where NPD is, and why an item waits: asked of its API while a board is open in a browser.


POLL_SECONDS = 3.0
PATH = "/api/v1/sync/queue/?unmatched_items=true&status=pending&page_size=100"
State = dict[str, Any]


class Watcher:
    """Polls NPD's queue of unmatched items; `told` gets each new state.

    A state is `{"reachable": bool, "waiting": {item id: {"reason", "until"}}}`.
    """

    def __init__(self, npd: NpdAddress, token: str, watched: threading.Event, told: Callable[[State], None]) -> None:
        self._address, headers = npd.reach(npd.public + PATH)
        self._headers = {"Authorization": f"Token {token}", "Accept": "application/json", **headers}
        self._watched = watched
        self._told = told
        self._session = requests.Session()
        self._session.trust_env = False
        self.state: State = {"reachable": True, "waiting": {}}

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name="npd").start()

    def _watch(self) -> None:
        while True:
            self._watched.wait()
            state = self._ask()
            if state != self.state:
                self.state = state
                self._told(state)
            time.sleep(POLL_SECONDS)

    def _ask(self) -> State:
        try:
            answer = self._session.get(self._address, headers=self._headers, timeout=3, allow_redirects=False)
            answer.raise_for_status()
            rows = answer.json()["results"]
            waiting = {
                str(row["monday_id"]): {"reason": row.get("reason") or "waiting", "until": row.get("next_retry")}
                for row in rows
                if row.get("monday_id")
            }
        # What answers there may be no NPD at all, with JSON of any shape.
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError):
            return {"reachable": False, "waiting": {}}
        return {"reachable": True, "waiting": waiting}
