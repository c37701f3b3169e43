"""What every resolver may use: who asks, the API version, pages of items, and how arguments are read.

Which version serves a request: developer.monday.com/api-reference/docs/api-versioning.
"""

import base64
import re
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sandbox import api_errors
from sandbox.api_errors import RequestError
from sandbox.api_limits import Limits, PointsSpent
from sandbox.clock import Clock
from sandbox.model import Item, Person
from sandbox.world import World

# Current until 15 January 2027, each for a quarter (developer.monday.com/api-reference/docs/api-versioning).
CURRENT = "2026-10"
MAINTENANCE = "2026-07"

QUARTER = re.compile(r"20(23|24|25|26)-(01|04|07|10)")  # there were versions of these months, the oldest are gone


@dataclass(frozen=True)
class Version:
    value: str
    kind: str
    display_name: str

    @property
    def era(self) -> str:
        """Under which name a file tells what this version has otherwise than the current one, if it has."""
        return "2027-01" if self.value > CURRENT else ""


VERSIONS = (
    Version("2025-01", "deprecated", "Deprecated"),
    Version("2025-04", "deprecated", "Deprecated"),
    Version("2026-01", "deprecated", "Deprecated"),
    Version("2026-04", "previous_maintenance", "Previous maintenance"),
    Version(MAINTENANCE, "maintenance", "Maintenance"),
    Version(CURRENT, "current", "Current"),
    Version("2027-01", "release_candidate", "Release candidate"),
    Version("dev", "dev", "Development"),
)


def served_version(asked: str | None) -> Version:
    """The version that answers: deprecated ones are served by maintenance, unknown ones by the current."""
    known = {version.value: version for version in VERSIONS}
    if not asked:
        return known[CURRENT]
    if asked != "dev" and not re.fullmatch(r"\d{4}-\d{2}", asked):
        raise RequestError(400, f"Invalid API version {asked!r}", "InvalidVersionException")
    was_once = bool(QUARTER.fullmatch(asked)) and asked < MAINTENANCE
    found = known.get(asked) or known[MAINTENANCE if was_once else CURRENT]
    return known[MAINTENANCE] if found.kind == "deprecated" else found


# Pages of items.


# A cursor ends an hour after the first page, not after the last one (reference/items-page of Monday's API).
CURSOR_SECONDS = 3600
# The most items of a page (reference/items-page).
PAGE_LIMIT = 500


@dataclass(frozen=True)
class CursorState:
    """What of a board's listing was not read yet: from `start` on."""

    board_id: int
    item_ids: tuple[int, ...]
    expires_at: float
    start: int = 0


@dataclass(frozen=True)
class Page:
    cursor: str | None
    items: list[Item]


class OpenCursors:
    """Open listings by cursor, fixed at their first page; items that went, or their board, are left out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: dict[str, CursorState] = {}
        self._lock = threading.Lock()

    def first(self, world: World, items: list[Item], limit: int) -> Page:
        expires_at = self._clock.time() + CURSOR_SECONDS
        board_id = items[0].board_id if items else 0
        return self._page(world, CursorState(board_id, tuple(item.id for item in items), expires_at), limit)

    def next(self, world: World, cursor: str, limit: int) -> Page:
        """The page after `cursor`; the cursor may be used again. CursorException when it expired."""
        with self._lock:
            rest = self._open.get(cursor)
        if rest is None or rest.expires_at <= self._clock.time():
            raise api_errors.cursor_expired()
        return self._page(world, rest, limit)

    def clear(self) -> None:
        with self._lock:
            self._open.clear()

    def _page(self, world: World, rest: CursorState, limit: int) -> Page:
        if not 1 <= limit <= PAGE_LIMIT:
            raise api_errors.invalid_argument(f"limit must be between 1 and {PAGE_LIMIT}")
        end = rest.start + limit
        there = (world.items.get(one) for one in rest.item_ids[rest.start : end])
        items = [
            item
            for item in there
            if item is not None and item.board_id == rest.board_id and world.state_of(item) == "active"
        ]
        if end >= len(rest.item_ids):
            return Page(None, items)
        cursor = base64.b64encode(f"MSw{secrets.token_urlsafe(24)}".encode()).decode()
        with self._lock:
            now = self._clock.time()
            self._open = {key: one for key, one in self._open.items() if one.expires_at > now}
            self._open[cursor] = replace(rest, start=end)
        return Page(cursor, items)


@dataclass(frozen=True)
class Context:
    world: World
    cursors: OpenCursors
    limits: Limits
    user: Person
    version: Version
    spent: PointsSpent
    handshake: Callable[[str], bool]
    slow_mutation: Callable[[], None]


ID = re.compile(r"[0-9]{1,18}")
NO_USER = -1
Resolver = Callable[..., Any]
Row = TypeVar("Row")


def number(given: Any) -> int:
    """An id as Monday numbers its things; ids that are no number belong to nothing."""
    words = str(given)
    return int(words) if ID.fullmatch(words) else NO_USER


def context_of(info: Any) -> Context:
    context: Context = info.context
    return context


def part(rows: list[Row], wanted: dict[str, Any]) -> list[Row]:
    """The rows of `page` with `limit` rows a page, 25 unless told."""
    start, end = span(wanted)
    return rows[start:end]


def span(wanted: dict[str, Any]) -> tuple[int, int]:
    """The first row of `page` and the one after its last. InvalidArgumentException for numbers below 1."""
    limit, page = wanted.get("limit"), wanted.get("page")
    limit, page = 25 if limit is None else limit, 1 if page is None else page
    if limit < 1 or page < 1:
        raise api_errors.invalid_argument("limit and page must be 1 or more")
    return (page - 1) * limit, page * limit
