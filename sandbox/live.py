"""Live updates for open pages: server-sent events."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

HEARTBEAT_SECONDS = 5.0
LIFETIME_SECONDS = 300.0
PAGES_LIMIT = 16


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
        """Tell the pages of this board, or all pages; a function's content is made only where somebody looks."""
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
        self._enter(viewer)
        try:
            yield b"retry: 1000\n\n"
            for event, content in first:
                yield _message(event, content)
            yield from self._messages(viewer)
        finally:
            self._leave(viewer)

    def _messages(self, viewer: Viewer) -> Iterator[bytes]:
        end = time.monotonic() + LIFETIME_SECONDS
        while time.monotonic() < end:
            try:
                message = viewer.inbox.get(timeout=HEARTBEAT_SECONDS)
            except queue.Empty:
                message = b": still here\n\n"
            if message is None:
                return
            yield message

    def _enter(self, viewer: Viewer) -> None:
        with self._lock:
            self._viewers.append(viewer)
            if len(self._viewers) > PAGES_LIMIT:
                self._viewers.pop(0).inbox.put(None)
            self.watched.set()

    def _leave(self, viewer: Viewer) -> None:
        with self._lock:
            if viewer in self._viewers:
                self._viewers.remove(viewer)
            if not self._viewers:
                self.watched.clear()


def _message(event: str, content: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n".encode()
