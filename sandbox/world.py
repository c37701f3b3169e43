"""The account: all boards, items, webhooks and logs, behind one lock, written through to disk."""

import bisect
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sandbox import errors
from sandbox.clock import Clock
from sandbox.disk import Disk
from sandbox.events import Happening
from sandbox.model import Activity, Board, Hook, Item

FIRST_IDS = {"board": 70001, "item": 8000000001, "hook": 466700001}
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
        self._order: dict[int, list[tuple[float, int]]] = {}
        self._listeners: list[Listener] = []
        self._happened: list[Happening] = []
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
        """Changes that stand or fall together on disk. Callers validate before they change anything."""
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
        for listener in self._listeners if happened else []:
            listener(happened)

    def _leave(self, outermost: bool, kept: bool) -> list[Happening]:
        self._depth -= 1
        if not outermost:
            return []
        happened, self._happened = self._happened, []
        if not kept:
            self._disk.rollback()
            return []
        self._disk.commit()
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
        """An item on an archived or deleted board is as inactive as its board."""
        board = self.boards[item.board_id]
        return item.state if item.state != "active" else board.state

    def items_of(self, board_id: int, states: tuple[str, ...] = ("active",)) -> list[Item]:
        """A board's items in board order."""
        items = (self.items[item_id] for _, item_id in self._order.get(board_id, []))
        return [item for item in items if item.state in states]

    def active_count(self, board_id: int) -> int:
        return sum(1 for _, i in self._order.get(board_id, []) if self.items[i].state == "active")

    def rank_beside(self, item: Item, after: bool) -> float:
        """A rank just before or after `item`."""
        order = self._order[item.board_id]
        place = bisect.bisect_left(order, (item.rank, item.id))
        neighbour = place + 1 if after else place - 1
        if neighbour < 0 or neighbour >= len(order):
            return item.rank + (1.0 if after else -1.0)
        return (item.rank + order[neighbour][0]) / 2

    # Changes

    def next_id(self, kind: str) -> int:
        given = self._counters[kind]
        self._counters[kind] = given + 1
        self._disk.put_counter(kind, given + 1)
        return given

    def next_ids(self, kind: str, count: int) -> range:
        """`count` ids at once, for bulk loads."""
        first = self._counters[kind]
        self._counters[kind] = first + count
        self._disk.put_counter(kind, first + count)
        return range(first, first + count)

    def put_board(self, board: Board) -> None:
        self.boards[board.id] = board
        self._order.setdefault(board.id, [])
        self._disk.put_board(board)

    def put_items(self, items: list[Item]) -> None:
        for item in items:
            if item.id not in self.items:
                bisect.insort(self._order[item.board_id], (item.rank, item.id))
            self.items[item.id] = item
        self._disk.put_items(items)

    def put_hook(self, hook: Hook) -> None:
        self.hooks[hook.id] = hook
        self._disk.put_hook(hook)

    def log(
        self, board_id: int, event: str, data: dict[str, object], user_id: int, item_id: int | None
    ) -> None:
        """Add a row to the board's activity log."""
        row = Activity(
            id=str(uuid.uuid4()),
            board_id=board_id,
            event=event,
            entity="board" if item_id is None else "pulse",
            data=data,
            user_id=user_id,
            created_at=int(self.clock.time() * 1e7),
            item_id=item_id,
        )
        self.activity.setdefault(board_id, []).append(row)
        self._disk.put_activity(row)

    def reset(self) -> None:
        """Forget all boards; ids go on from where they were, so that none is given twice."""
        with self.transaction():
            for table in (self.boards, self.items, self.hooks, self.activity, self._order):
                table.clear()
            self._disk.clear()

    def close(self) -> None:
        with self._lock:
            self._disk.close()

    def _load(self) -> None:
        self.boards = {board.id: board for board in self._disk.boards()}
        self.items = {item.id: item for item in self._disk.items()}
        self.hooks = {hook.id: hook for hook in self._disk.hooks()}
        self._order = {board_id: [] for board_id in self.boards}
        for item in self.items.values():
            self._order[item.board_id].append((item.rank, item.id))
        for order in self._order.values():
            order.sort()
        for row in sorted(self._disk.activity(), key=lambda row: row.created_at):
            self.activity.setdefault(row.board_id, []).append(row)
