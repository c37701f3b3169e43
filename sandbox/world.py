"""The account: all boards, items, webhooks and logs, behind one lock, written through to disk."""

import bisect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sandbox import errors
from sandbox.below import Below
from sandbox.clock import Clock, ordered_id
from sandbox.directory import Directory
from sandbox.disk import Disk
from sandbox.events import Happening
from sandbox.lookup import Lookups
from sandbox.model import Activity, Board, Hook, Item, Job, Tag, Update
from sandbox.rollback import take_back

FIRST_IDS = {
    "board": 70001,
    "item": 8000000001,
    "hook": 466700001,
    "tag": 20001,
    "update": 3836300001,
}
STATES = ("active", "archived", "deleted")
Listener = Callable[[list[Happening]], None]


class World:
    """What an account holds. Change it inside `transaction()`; what happened is told after the commit."""

    def __init__(self, clock: Clock, path: str | None = None) -> None:
        self.clock = clock
        self.site_url = ""
        self.boards: dict[int, Board] = {}
        self.items: dict[int, Item] = {}
        self.hooks: dict[int, Hook] = {}
        self.activity: dict[int, list[Activity]] = {}
        self.tags: dict[int, Tag] = {}
        self.updates: dict[int, Update] = {}
        self.jobs: dict[str, Job] = {}
        self.log_delay_seconds = 0.0
        self.names = Directory(self)
        self.below = Below(self.items, self.updates)
        self.lookups = Lookups(lambda board_id: self.items_of(board_id, STATES))
        self._active: dict[int, set[int]] = {}
        self._order: dict[int, list[tuple[float, int]]] = {}
        self._listeners: list[Listener] = []
        self._happened: list[Happening] = []
        self._mine = threading.local()  # what a thread that works `together` tells at its end
        self._lock = threading.RLock()
        self._depth = 0
        self._disk = Disk(path)
        self._counters = FIRST_IDS | self._disk.counters()
        self._load()

    def listen(self, listener: Listener) -> None:
        """Have `listener` called after each commit, outside the lock, with what happened."""
        self._listeners.append(listener)

    @contextmanager
    def reading(self) -> Iterator[None]:
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
            except BaseException:
                self._leave(outermost, kept=False)
                raise
            happened = self._leave(outermost, kept=True)
        if self._untold is None:
            self._tell_all(happened)
        else:
            self._untold.extend(happened)

    @contextmanager
    def together(self) -> Iterator[None]:
        """This thread's transactions reach the disk together at the end, so before the request is answered.

        What happened is told after that: a webhook must not tell of an item that a killed sandbox forgets.
        """
        happened: list[Happening] = []
        self._mine.untold = happened
        try:
            yield
        finally:
            self._mine.untold = None
            with self._lock:
                self._disk.flush()
            self._tell_all(happened)

    @property
    def _untold(self) -> list[Happening] | None:
        found: list[Happening] | None = getattr(self._mine, "untold", None)
        return found

    def _tell_all(self, happened: list[Happening]) -> None:
        for listener in self._listeners if happened else []:
            listener(happened)

    def _leave(self, outermost: bool, kept: bool) -> list[Happening]:
        self._depth -= 1
        if not outermost:
            return []
        happened, self._happened = self._happened, []
        if not kept:
            take_back(self, self._disk.rollback())
            return []
        self._disk.commit(later=self._untold is not None)
        return happened

    def tell(self, happening: Happening) -> None:
        self._happened.append(happening)

    # What is there

    def board(self, board_id: int) -> Board:
        """The board in whatever state; InvalidBoardIdException when there never was one."""
        found = self.boards.get(board_id)
        if found is None:
            raise errors.board_not_found(board_id)
        return found

    def active_board(self, board_id: int) -> Board:
        board = self.board(board_id)
        if board.state != "active":
            raise errors.board_not_found(board_id)
        return board

    def item(self, item_id: int | None) -> Item:
        """The item in whatever state; InvalidItemIdException when there never was one."""
        found = self.items.get(item_id) if item_id is not None else None
        if found is None:
            raise errors.item_not_found(item_id)
        return found

    def state_of(self, item: Item) -> str:
        """A subitem is as inactive as its item, an item as its board."""
        if item.state != "active":
            return item.state
        if item.parent_id is not None:
            return self.state_of(self.items[item.parent_id])
        return self.boards[item.board_id].state

    def items_of(self, board_id: int, states: tuple[str, ...] = ("active",)) -> list[Item]:
        """A board's items in board order."""
        items = (self.items[item_id] for _, item_id in self._order.get(board_id, []))
        return [item for item in items if item.state in states]

    def active_count(self, board_id: int) -> int:
        """How many items of the board are neither archived nor deleted."""
        return len(self._active.get(board_id, ()))

    def found(self, board: Board, column_id: str, words: list[str]) -> list[Item] | None:
        """The items of a board, in its order, that may say one of these words; None when all may."""
        ids: set[int] = set()
        for one in words:
            some = self.lookups.find(board, column_id, one)
            if some is None:
                return None
            ids |= some
        return sorted((self.items[i] for i in ids), key=lambda item: (item.rank, item.id))

    def order_of(self, board_id: int) -> list[tuple[float, int]]:
        """Rank and id of a board's items in whatever state, in board order."""
        return self._order[board_id]

    # Changes

    def next_id(self, kind: str) -> int:
        return self.next_ids(kind, 1)[0]

    def next_ids(self, kind: str, count: int) -> range:
        """`count` ids at once, for bulk loads."""
        first = self._counters[kind]
        self._counters[kind] = first + count
        self._disk.put_counter(kind, first + count)
        return range(first, first + count)

    def put_board(self, board: Board) -> None:
        self.boards[board.id] = board
        self._order.setdefault(board.id, [])
        for column in board.columns:
            column.names = self.names
        self._disk.put_board(board)

    def put_items(self, items: list[Item]) -> None:
        for item in items:
            if item.id not in self.items:
                self.enlist(item)
            else:
                self._count(item)
                self.lookups.put(item)
        self._disk.put_items(items)

    def enlist(self, item: Item) -> None:
        """Take an item into the tables beside that of the items."""
        self.items[item.id] = item
        bisect.insort(self._order[item.board_id], (item.rank, item.id))
        self.below.add_item(item)
        self._count(item)
        self.lookups.put(item)

    def unlist(self, item: Item) -> None:
        """Take it out of them, as it stands there now."""
        order = self._order[item.board_id]
        del order[bisect.bisect_left(order, (item.rank, item.id))]
        self._active.get(item.board_id, set()).discard(item.id)
        self.lookups.drop(item.board_id, item.id)
        self.below.drop_item(item)

    def forget_board(self, board_id: int) -> None:
        """A board that never was, and that holds nothing."""
        del self.boards[board_id]
        self._order.pop(board_id, None)
        self.lookups.forget(board_id)

    def reorder(self, board_id: int, items: list[Item]) -> None:
        """Keep all items of a board, whose ranks are others now; `items` is in the new order."""
        self._order[board_id] = [(item.rank, item.id) for item in items]
        self._disk.put_items(items)

    def rehome(self, item: Item, board_id: int, rank: float) -> None:
        """Put an item onto another board; its own fields follow here, its cells are the caller's."""
        self.unlist(item)
        item.board_id, item.rank = board_id, rank
        self.enlist(item)
        self.put_items([item])

    def _count(self, item: Item) -> None:
        active = self._active.setdefault(item.board_id, set())
        if item.state == "active":
            active.add(item.id)
        else:
            active.discard(item.id)

    def put_hook(self, hook: Hook) -> None:
        self.hooks[hook.id] = hook
        self._disk.put_hook(hook)

    def put_tag(self, tag: Tag) -> None:
        self.tags[tag.id] = tag
        self._disk.put_tag(tag)

    def put_update(self, update: Update) -> None:
        if update.id not in self.updates:
            self.below.add_update(update)
        self.updates[update.id] = update
        self._disk.put_update(update)

    def put_job(self, job: Job) -> None:
        self.jobs[job.id] = job
        self._disk.put_job(job)

    def log(
        self, board_id: int, event: str, data: dict[str, object], user_id: int, item_id: int | None
    ) -> None:
        """Add a row to the board's activity log."""
        now = self.clock.time()
        row = Activity(
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
        self._disk.put_activity(row)

    def reset(self) -> None:
        """Forget all boards; ids go on from where they were, so that none is given twice."""
        with self.transaction():
            tables: tuple[dict[Any, Any], ...] = (
                self.boards, self.items, self.hooks, self.activity, self.tags, self.updates, self.jobs,
                self._order, self._active,
            )  # fmt: skip
            for table in tables:
                table.clear()
            self.below.clear()
            self.lookups.clear()
            self.log_delay_seconds = 0.0
            self._disk.clear()

    def close(self) -> None:
        with self._lock:
            self._disk.close()

    def _load(self) -> None:
        self.boards = {board.id: board for board in self._disk.boards()}
        self.items.update((item.id, item) for item in self._disk.items())
        self.hooks = {hook.id: hook for hook in self._disk.hooks()}
        self.tags = {tag.id: tag for tag in self._disk.tags()}
        self.updates.update((update.id, update) for update in self._disk.updates())
        self.jobs = {job.id: job for job in self._disk.jobs()}
        for update in self.updates.values():
            self.below.add_update(update)
        self._order = {board_id: [] for board_id in self.boards}
        for column in (column for board in self.boards.values() for column in board.columns):
            column.names = self.names
        for item in self.items.values():
            self._order[item.board_id].append((item.rank, item.id))
            self.below.add_item(item)
            self._count(item)
        for order in self._order.values():
            order.sort()
        for row in sorted(self._disk.activity(), key=lambda row: row.created_at):
            self.activity.setdefault(row.board_id, []).append(row)
