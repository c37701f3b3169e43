"""Pages of items. A cursor lives 60 minutes from the first request of its listing, not from the last."""

import base64
import secrets
import threading
from dataclasses import dataclass

from sandbox import errors
from sandbox.clock import Clock
from sandbox.model import Item
from sandbox.world import World

LIFETIME_SECONDS = 3600
PAGE_LIMIT = 500


@dataclass(frozen=True)
class Rest:
    """What of a listing was not read yet."""

    item_ids: tuple[int, ...]
    expires_at: float


@dataclass(frozen=True)
class Page:
    cursor: str | None
    items: list[Item]


class Cursors:
    """Open listings by cursor, fixed at their first page; items that went meanwhile are left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, Rest] = {}
        self._lock = threading.Lock()

    def first(self, world: World, items: list[Item], limit: int) -> Page:
        """The first page of a listing."""
        expires_at = self._clock.time() + LIFETIME_SECONDS
        return self._page(world, Rest(tuple(item.id for item in items), expires_at), limit)

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
        now, later = rest.item_ids[:limit], rest.item_ids[limit:]
        items = [world.items[i] for i in now if i in world.items and world.items[i].state == "active"]
        return Page(self._keep(Rest(later, rest.expires_at)) if later else None, items)

    def _keep(self, rest: Rest) -> str:
        cursor = base64.b64encode(f"MSw{secrets.token_urlsafe(24)}".encode()).decode()
        with self._lock:
            now = self._clock.time()
            self._open = {key: one for key, one in self._open.items() if one.expires_at > now}
            self._open[cursor] = rest
        return cursor
