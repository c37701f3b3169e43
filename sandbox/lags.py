"""Reads that lag behind, as those of Monday's replicas do (community topics 7992 and 44718).

While a fault makes reads lag, each change of an item is recorded. A read shows of each cell, name and state what the
newest change made that it can see; so a person's edit may be seen before an older write of ours.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sandbox.model import API_USER, NOBODY_ID, Activity, Item, World

# What may lag by itself: parts of items wherever they are read, and whole ways of reading.
LAG_KINDS = ("cells", "names", "states", "new", "listings", "searches")
TICKS_PER_SECOND = 10**7

Part = tuple[str, str]  # a kind of lag, and the column of a cell


class Lag(NamedTuple):
    kinds: Sequence[str]  # of LAG_KINDS
    edits: float  # seconds until a person's change is shown
    writes: float  # seconds until a change by the API is shown


class Change(NamedTuple):
    moment: float  # in the sandbox's time
    by_api: bool
    before: Any  # what the part was


class ItemHistory:
    """The changes of items since reads began to lag. Callers hold the world's lock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.since: float | None = None  # None: nothing is recorded
        self._parts: dict[int, dict[Part, Any]] = {}  # of items as they are, by the item's id
        self._changes: dict[int, dict[Part, list[Change]]] = {}
        world.on_items = self.record

    def begin(self) -> None:
        if self.since is None:
            self.since = self._world.clock.time()
            self._parts = {item.id: _parts_of(item) for item in self._world.items.values()}

    def end(self) -> None:
        self.since = None
        self._parts.clear()
        self._changes.clear()

    def forget(self) -> None:
        """Show everything as it is now."""
        if self.since is not None:
            self.end()
            self.begin()

    def record(self, items: Sequence[Item]) -> None:
        """Record what changed of these items; the world calls this when it stores them."""
        if self.since is None:
            return
        for item in items:
            parts = _parts_of(item)
            before = self._parts.get(item.id, {("new", ""): False} | parts)
            self._parts[item.id] = parts
            # Items of a bulk load look as if they had always been there.
            if item.changed_by == NOBODY_ID:
                continue
            changes = self._changes.setdefault(item.id, {})
            for part in before.keys() | parts.keys():
                if before.get(part) != parts.get(part):
                    change = Change(self._world.clock.time(), item.changed_by == API_USER.id, before.get(part))
                    changes.setdefault(part, []).append(change)

    def changes_of(self, item: Item) -> dict[Part, list[Change]]:
        return self._changes.get(item.id, {})


def _parts_of(item: Item) -> dict[Part, Any]:
    """Return what may lag of an item; cells are never changed in place."""
    cells = {("cells", column_id): cell for column_id, cell in item.cells.items()}
    place = (item.board_id, item.group_id, item.state, item.updated_at)
    return {("names", ""): item.name, ("states", ""): place, **cells}


class View:
    """Items and rows of the log as one request sees them. Callers hold the world's lock."""

    def __init__(self, world: World, history: ItemHistory, lags: Sequence[Lag], late_rows: Sequence[float]) -> None:
        self._world = world
        self._history = history
        self._lags = lags
        self._late_rows = late_rows  # seconds until a row of the activity log is shown, in turn

    def show_latest(self) -> None:
        """Show everything as it is, to a document that asks for boards(latest: true)."""
        self._lags = ()

    def item(self, item: Item, where: str = "") -> Item | None:
        """Return the item as it is shown in a listing, in a search or by its id, or None if it isn't there yet."""
        changes = self._history.changes_of(item) if self._lags else {}
        if not changes:
            return item
        shown = replace(item, cells=dict(item.cells))
        for (kind, column_id), steps in changes.items():
            unseen = self._first_unseen(kind, where, steps)
            if unseen is None:
                continue
            match kind:
                case "new":
                    return None
                case "names":
                    shown.name = unseen.before
                case "states":
                    shown.board_id, shown.group_id, shown.state, shown.updated_at = unseen.before
                case _:
                    shown.cells.pop(column_id, None)
                    if unseen.before is not None:
                        shown.cells[column_id] = unseen.before
        return shown

    def items_of(self, board_id: int, where: str) -> list[Item]:
        """Return the active items that the board shows there, in board order."""
        if not self._lags:
            return self._world.items_of(board_id)
        items = sorted(self._world.items.values(), key=lambda item: item.rank)
        views = [self.item(item, where) for item in items]
        return [item for item in views if item and item.board_id == board_id and item.state == "active"]

    def rows(self, rows: Sequence[Activity]) -> list[Activity]:
        """Return the rows of a board's activity log that are shown by now."""
        since = self._history.since
        if since is None or not self._late_rows:
            return list(rows)
        now = self._world.clock.time()
        shown = []
        for number, row in enumerate(rows):
            made_at = row.created_at / TICKS_PER_SECOND
            if made_at < since or made_at + self._late_rows[number % len(self._late_rows)] <= now:
                shown.append(row)
        return shown

    def _first_unseen(self, kind: str, where: str, changes: Sequence[Change]) -> Change | None:
        """Return the change after the newest one that can be seen, or None if that is the last."""
        unseen = None
        for change in reversed(changes):
            if change.moment + self._seconds(kind, where, change.by_api) <= self._world.clock.time():
                break
            unseen = change
        return unseen

    def _seconds(self, kind: str, where: str, by_api: bool) -> float:
        lags = [lag for lag in self._lags if kind in lag.kinds or where in lag.kinds]
        return max((lag.writes if by_api else lag.edits for lag in lags), default=0.0)
