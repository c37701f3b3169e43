"""Turns: a look's right to its read and its write, reserved together; and what one call costs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sync.budget import boards, store
from sync.budget.gate import Offer, offer
from sync.models import BoardLink


@dataclass(frozen=True)
class Cost:
    """What the next call is: on which board, for how many records, a read or a write."""

    link_id: int | None = None
    entity_type: str = ""
    records: int = 0
    writes: bool = False
    asks_for_limits: bool = False

    @property
    def kind(self) -> str:
        """A read or a write of a board, or a call of the account that no board is named for."""
        if self.link_id is None:
            return "account"
        return "write" if self.writes else "read"


@dataclass
class Turn:
    """What a look may do: so many records, and calls that are spent already; `calls` and `points` are unsent.

    Without a reservation (no limit is known, or nothing was due) each call is metered by itself.
    """

    link: BoardLink
    size: int
    urgent: bool = False
    only_urgent: bool = False
    read_points: float = 0.0
    write_points: float = 0.0
    reservation: uuid.UUID | None = None
    calls: int = 0
    points: int = 0
    sent: int = 0

    def __enter__(self) -> Turn:
        self._token = _turn.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        _turn.reset(self._token)
        if self.reservation is not None:
            with store.opened() as books:
                books.release(self.reservation)
            self.reservation = None


_turn: ContextVar[Turn | None] = ContextVar("turn", default=None)
_cost: ContextVar[Cost | None] = ContextVar("cost", default=None)


def current_turn() -> Turn | None:
    """The look's turn in which this code runs, if any."""
    return _turn.get()


def current_cost() -> Cost:
    """What was said of the next call; a call of the account where nothing was."""
    return _cost.get() or Cost()


@contextmanager
def sending(link: BoardLink, records: int, *, writes: bool = False) -> Iterator[None]:
    """Say what the calls inside are: how many records of which board they read or write."""
    token = _cost.set(Cost(link.pk, link.entity_type, records, writes))
    try:
        yield
    finally:
        _cost.reset(token)


@contextmanager
def asking_for_limits() -> Iterator[None]:
    """Say that a person has the account's limits asked for: the day's, as far as they are known, don't hold that.

    They may have been raised since, and a day that is used up to the last call would never tell.
    """
    token = _cost.set(Cost(asks_for_limits=True))
    try:
        yield
    finally:
        _cost.reset(token)


def take_turn(link: BoardLink) -> Turn | None:
    """Reserve a read and a write of the board's next batch; None where there is no room for them."""
    known = boards.learned(link.pk)
    if store.read_limited() is None:
        return _turn_of(link, known, known.size)
    demand = boards.demand_of(link.entity_type, known.size)
    if not demand.rows:
        return _turn_of(link, known, known.size)
    with store.opened() as books:
        store.forget_the_dead()
        found = offer(books, known, demand)
        if not isinstance(found, Offer):
            return None
        reservation = books.reserve(link.entity_type, found.calls, found.points)
    turn = _turn_of(link, known, found.size)
    turn.urgent, turn.only_urgent = found.urgent, found.only_urgent
    turn.reservation, turn.calls, turn.points = reservation, found.calls, found.points
    return turn


def _turn_of(link: BoardLink, known: boards.Learned, size: int) -> Turn:
    return Turn(link, size, read_points=known.read_points, write_points=known.write_points)
