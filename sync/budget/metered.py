"""The client that spends before it sends, and corrects the account from what is answered."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import structlog

from sync import stopping
from sync.budget import boards, store, usage
from sync.budget.gate import no_room
from sync.budget.turns import Cost, Turn, current_cost, current_turn
from sync.connectors.monday.answers import Answer
from sync.connectors.monday.budget import LIMITED_CALL, READ_POINTS, WRITE_POINTS, Kind
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.errors import (
    BudgetExhausted,
    CallerEnds,
    ComplexityExhausted,
    DailyLimitReached,
    LimitReached,
    MinuteLimitReached,
    MondayError,
    TimedOut,
    TooComplex,
    Unreachable,
)

log = structlog.get_logger(__name__)

SINGLE_POINTS = 1_000
"""What a call of the account itself is taken to cost until it is answered: who asks, a page, a webhook."""
ENDS = "The worker was told to end before this call. Another one makes it."
_KINDS: Mapping[type[MondayError], Kind] = {
    ComplexityExhausted: Kind.POINTS,
    MinuteLimitReached: Kind.MINUTE,
    DailyLimitReached: Kind.DAY,
}


@dataclass
class _Ticket:
    """A call that may be sent: what was spent for it, and where that is reserved."""

    cost: Cost
    points: int
    turn: Turn | None
    reservation: uuid.UUID | None


class Metered:
    """MondayClient's `execute`, metered; `urgent` calls may use what is kept for what a person clicked."""

    def __init__(self, inner: MondayClient, *, urgent: bool = False) -> None:
        self.inner = inner
        self.urgent = urgent

    def __repr__(self) -> str:
        return f"<metered {self.inner!r}>"

    def execute(
        self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Send one document where the allowance has room for it.

        Raises MondayError; BudgetExhausted, before anything is sent, where there is no room, and CallerEnds where
        this process was told to end.
        """
        if stopping.asked():
            raise CallerEnds(ENDS)
        ticket = _depart(self.urgent)
        try:
            answer = self.inner.execute(document, variables, idempotency_key=idempotency_key)
        except MondayError as error:
            _failed(ticket, error)
            raise
        except BaseException:
            _land(ticket)
            raise
        _arrived(ticket, answer)
        return answer


def _depart(urgent: bool) -> _Ticket:
    turn, cost = current_turn(), current_cost()
    points = _guess(turn, cost)
    if turn is not None and turn.calls > 0 and points <= turn.points:
        turn.calls -= 1
        turn.points -= points
        return _Ticket(cost, points, turn, turn.reservation)
    if store.read_limited() is None:
        return _Ticket(cost, points, turn, None)
    return _reserve(turn, cost, points, urgent or (turn is not None and turn.urgent))


def _guess(turn: Turn | None, cost: Cost) -> int:
    """The points of the next call: as learned from the board's last ones."""
    if cost.link_id is None:
        return SINGLE_POINTS
    if turn is None:
        return cost.records * WRITE_POINTS if cost.writes else READ_POINTS
    return int(cost.records * turn.write_points if cost.writes else turn.read_points)


def _reserve(turn: Turn | None, cost: Cost, points: int, urgent: bool) -> _Ticket:
    """Spend for a call that no turn has spent for: a further page, half of a document, a call of the account."""
    calls = 0 if turn is not None and turn.calls > 0 else 1
    more = max(0, points - turn.points) if turn is not None else points
    with store.opened() as books:
        air = books.in_air
        if turn is not None and turn.reservation is not None:
            air = type(air)(max(0, air.number - 1), air.calls, air.points)
        budget = books.budget.without_day() if cost.asks_for_limits else books.budget
        wait = budget.wait(calls, more, books.now, air, urgent=urgent)
        if wait is None and turn is not None and turn.reservation is not None:
            books.extend(turn.reservation, calls, more)
            reservation = turn.reservation
        elif wait is None:
            reservation = books.reserve(cost.entity_type, calls, more)
        now = books.now
    if wait is not None:
        seconds = max(0.0, (wait.until - now).total_seconds())
        raise BudgetExhausted(no_room(wait, urgent=urgent), wait_seconds=seconds)
    if turn is not None and turn.reservation is None:
        turn.reservation = reservation
    if turn is not None:
        turn.calls, turn.points = max(0, turn.calls + calls - 1), max(0, turn.points + more - points)
    return _Ticket(cost, points, turn, reservation)


def _arrived(ticket: _Ticket, answer: Answer) -> None:
    """Correct the account, and learn from the answer."""
    cost, first = ticket.cost, _is_first(ticket)
    with store.opened() as books:
        _take_off(books, ticket)
        books.budget = books.budget.answered(answer, ticket.points, books.now, books.in_air)
        spent = answer.complexity.query if answer.complexity else ticket.points
        usage.add(cost.entity_type, Decimal(1), kind=cost.kind, looks=int(first), points=spent)
        if cost.link_id is not None:
            boards.learn(cost.link_id, cost.records, answer, writes=cost.writes, first=first)
    # Calls of no board are made by commands, too, whose words a person reads.
    tell = log.debug if cost.link_id is None else log.info
    tell(
        "monday answered",
        call=cost.kind,
        records=cost.records,
        seconds=round(answer.seconds, 3),
        points=spent,
        monday_request=answer.request_id,
    )


def _failed(ticket: _Ticket, error: MondayError) -> None:
    """What was certainly not sent goes back; a refusal for a limit costs a tenth; what is unknown stays spent.

    A refused request is a call, but its points go back: nothing of it ran, and of a document that is halved until
    one record stands alone, the halves must still find room in the same minute.
    """
    log.warning(
        "monday call failed",
        call=ticket.cost.kind,
        records=ticket.cost.records,
        scope=str(error.scope),
        code=error.code,
        monday_request=error.request_id,
    )
    with store.opened() as books:
        _take_off(books, ticket)
        if isinstance(error, Unreachable):
            books.budget = books.budget.spend(-1, -ticket.points, books.now)
            return
        limited, ran = isinstance(error, LimitReached), error.outcome_unknown
        if not limited and not ran:
            books.budget = books.budget.spend(0, -ticket.points, books.now)
        if limited:
            kind = _KINDS.get(type(error))
            books.budget = books.budget.refused(
                kind, error.wait_seconds, ticket.points, books.now, books.in_air
            )
            log.warning("refused for a limit", reason=error.sentence)
        usage.add(
            ticket.cost.entity_type,
            LIMITED_CALL if limited else Decimal(1),
            kind=ticket.cost.kind,
            looks=int(_is_first(ticket)),
            points=ticket.points if ran else 0,
            rejections=int(limited),
        )
        cost = ticket.cost
        if cost.link_id is None or not cost.records:
            return
        if isinstance(error, TimedOut | TooComplex):
            boards.learn_too_large(cost.link_id, cost.records)
        elif isinstance(error, ComplexityExhausted):
            boards.learn_dearer(cost.link_id, writes=cost.writes)


def _land(ticket: _Ticket) -> None:
    """Our own code failed; whether the call was sent is not known, so it stays spent."""
    with store.opened() as books:
        _take_off(books, ticket)


def _take_off(books: store.Books, ticket: _Ticket) -> None:
    """The call is over: its reservation holds it no longer; one that had none is spent now."""
    if ticket.reservation is None:
        books.budget = books.budget.spend(1, ticket.points, books.now)
        return
    books.landed(ticket.reservation, ticket.points)
    if ticket.turn is None:
        books.release(ticket.reservation)


def _is_first(ticket: _Ticket) -> bool:
    """Whether this is the first call of a look."""
    if ticket.turn is None:
        return False
    ticket.turn.sent += 1
    return ticket.turn.sent == 1
