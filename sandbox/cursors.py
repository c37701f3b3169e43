"""Pages of items. A cursor lives 60 minutes from the first request of its listing, not from the last."""

import base64
import secrets
import threading
from dataclasses import dataclass, replace

from sandbox import errors
from sandbox.clock import Clock
from sandbox.model import Item
from sandbox.world import World

LIFETIME_SECONDS = 3600
PAGE_LIMIT = 500


@dataclass(frozen=True)
class Rest:
    """What of a board's listing was not read yet: from `start` on."""

    board_id: int
    item_ids: tuple[int, ...]
    expires_at: float
    start: int = 0


@dataclass(frozen=True)
class Page:
    cursor: str | None
    items: list[Item]


class Cursors:
    """Open listings by cursor, fixed at their first page; items that went, or their board, are left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Rest] = {}
        self._lock = threading.Lock()

    def first(self, world: World, items: list[Item], limit: int) -> Page:
        """The first page of a listing."""
        expires_at = self._clock.time() + LIFETIME_SECONDS
        board_id = items[0].board_id if items else 0
        return self._page(world, Rest(board_id, tuple(item.id for item in items), expires_at), limit)

    def next(self, world: World, cursor: str, limit: int) -> Page:
        """The page after `cursor`; the cursor may be used again. CursorException when it expired."""
        with self._lock:
            rest = self._open.get(cursor)
        if rest is None or rest.expires_at <= self._clock.time():
            raise errors.cursor_expired()
        return self._page(world, rest, limit)

    def clear(self) -> None:
        """Forget all listings."""
        with self._lock:
            self._open.clear()

    def _page(self, world: World, rest: Rest, limit: int) -> Page:
        if not 1 <= limit <= PAGE_LIMIT:
            raise errors.invalid_argument(f"limit must be between 1 and {PAGE_LIMIT}")
        end = rest.start + limit
        there = (world.items.get(one) for one in rest.item_ids[rest.start : end])
        items = [
            item
            for item in there
            if item is not None and item.board_id == rest.board_id and world.state_of(item) == "active"
        ]
        return Page(self._keep(replace(rest, start=end)) if end < len(rest.item_ids) else None, items)

    def _keep(self, rest: Rest) -> str:
        cursor = base64.b64encode(f"MSw{secrets.token_urlsafe(24)}".encode()).decode()
        with self._lock:
            now = self._clock.time()
            self._open = {key: one for key, one in self._open.items() if one.expires_at > now}
            self._open[cursor] = rest
        return cursor
