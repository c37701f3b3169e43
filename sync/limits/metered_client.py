"""The one way to call Monday: takes calls from the quota before it sends them, and corrects that by the answers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings

from sync.kernel import process
from sync.limits import credentials, quota
from sync.limits.quota import wait_reason
from sync.limits.rate_limits import READ_POINTS, REJECTED_CALL_COST, WRITE_POINTS, LimitKind
from sync.models import BoardLink
from sync.monday import errors
from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Answer

log = structlog.get_logger(__name__)

ACCOUNT_CALL_POINTS = 1_000
"""Points that a call of the account itself is taken to cost until it is answered: a page, a webhook."""

SHUTDOWN_MESSAGE = "The worker had to end before this call. Another one makes it."

_LIMIT_KINDS: Mapping[errors.ErrorKind, LimitKind] = {
    errors.COMPLEXITY_EXHAUSTED: LimitKind.POINTS,
    errors.MINUTE_LIMIT_REACHED: LimitKind.MINUTE,
    errors.DAILY_LIMIT_REACHED: LimitKind.DAY,
}


@dataclass(frozen=True)
class CallCost:
    """What the next call is: for which board, for how many records, a read or a write."""

    link_id: int | None = None
    entity_type: str = ""
    records: int = 0
    writes: bool = False
    reads_limits: bool = False

    @property
    def kind(self) -> str:
        """Read or write of a board, or a call of the account, which belongs to no board."""
        if self.link_id is None:
            return "account"
        return "write" if self.writes else "read"


@dataclass
class Reservation:
    """A pass over so many records (0: a call outside of any), and the calls that were spent for it: those sent inside.

    `only_urgent`: of the records that a person clicked, for they came out of the reserve. `calls` and `points` are
    unsent. Without an `id` (no limit is known, or nothing was due) each call is metered by itself.
    """

    size: int
    read_points: float
    write_points: float
    urgent: bool = False
    only_urgent: bool = False
    id: uuid.UUID | None = None
    calls: int = 0
    points: int = 0
    sent: int = 0

    def __enter__(self) -> Reservation:
        self._token = _reservation.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        # What was reserved and not sent is given back at once, also after a failure.
        _reservation.reset(self._token)
        if self.id is not None:
            with quota.lock_budget() as state:
                state.release(self.id)
            self.id = None


_reservation: ContextVar[Reservation | None] = ContextVar("reservation", default=None)
_cost: ContextVar[CallCost | None] = ContextVar("cost", default=None)


def call_cost(link: BoardLink, records: int, *, writes: bool = False) -> AbstractContextManager[None]:
    """Declare the calls inside: how many records of which board they read or write."""
    return _declare(CallCost(link.pk, link.entity_type, records, writes))


def limits_request() -> AbstractContextManager[None]:
    """A person asks for the account's limits: the known limit of the day doesn't stop that call.

    The limit may have been raised since, and while the day counts as used up nothing else would find out.
    """
    return _declare(CallCost(reads_limits=True))


@contextmanager
def _declare(cost: CallCost) -> Iterator[None]:
    token = _cost.set(cost)
    try:
        yield
    finally:
        _cost.reset(token)


@dataclass
class _MeteredCall:
    """A call that may be sent: what was spent for it, and the reservation that holds it."""

    cost: CallCost
    points: int
    reserved: Reservation


class MeteredClient:
    """MondayClient's `execute`, metered.

    `urgent` calls may use what is reserved for what a person clicked; `before_call` is called before each.
    """

    def __init__(self, inner: MondayClient, *, urgent: bool = False) -> None:
        self.inner = inner
        self.urgent = urgent
        self.before_call: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<metered {self.inner!r}>"

    @property
    def version(self) -> str:
        return self.inner.version

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Send one document, if the quota has room for it.

        Raises MondayError. Before anything is sent: BUDGET_EXHAUSTED where there is no room, SHUTTING_DOWN
        where this process is to end.
        """
        self.before_call()
        # Before anything is reserved: another worker makes the call.
        if process.is_shutting_down():
            raise errors.MondayError(errors.SHUTTING_DOWN, SHUTDOWN_MESSAGE)
        call = _begin_call(self.urgent)
        try:
            answer = self.inner.execute(document, variables, idempotency_key=idempotency_key)
        except errors.MondayError as error:
            if error.kind is errors.NOT_AUTHENTICATED and settings.MONDAY_API_KEY:
                error.advice = errors.ADVICE_ON_SERVER
            _record_failure(call, error)
            raise
        except BaseException:
            # Our own code failed; whether the call was sent is not known, so it stays spent.
            with quota.lock_budget() as state:
                _release_call(state, call)
            raise
        _record_answer(call, answer)
        return answer


def _begin_call(urgent: bool) -> _MeteredCall:
    cost = _cost.get() or CallCost()
    # A call outside of a pass is reserved by itself.
    reserved = _reservation.get() or Reservation(0, READ_POINTS, WRITE_POINTS)
    points = int(cost.records * reserved.write_points if cost.writes else reserved.read_points)
    if cost.link_id is None:
        points = ACCOUNT_CALL_POINTS
    # Reserved with the pass, so the budget's row need not be locked.
    if reserved.calls > 0 and points <= reserved.points:
        reserved.calls -= 1
        reserved.points -= points
    # Without a known limit there is nothing to enforce.
    elif quota.read_limited_budget() is not None:
        _reserve_more(reserved, cost, points, urgent or reserved.urgent)
    return _MeteredCall(cost, points, reserved)


def _reserve_more(reserved: Reservation, cost: CallCost, points: int, urgent: bool) -> None:
    """Spend for a call that is not reserved yet: a further page, half of a document, a call of the account."""
    calls, more = int(not reserved.calls), max(0, points - reserved.points)
    with quota.lock_budget() as state:
        in_flight = state.in_flight
        if reserved.id is not None:
            # The pass's own reservation must not count against the account's concurrent calls.
            in_flight = replace(in_flight, number=max(0, in_flight.number - 1))
        # A call that asks for the limits goes out although the day is used up: the limit may have been raised.
        budget = state.budget.without_day_limit() if cost.reads_limits else state.budget
        wait = budget.required_wait(calls, more, state.now, in_flight, urgent=urgent)
        if wait is None and reserved.id is not None:
            state.extend(reserved.id, calls, more)
        elif wait is None:
            reserved.id = state.reserve(cost.entity_type, calls, more)
        now = state.now
    if wait is not None:
        seconds = max(0.0, (wait.until - now).total_seconds())
        raise errors.MondayError(errors.BUDGET_EXHAUSTED, wait_reason(wait, urgent=urgent), wait_seconds=seconds)
    reserved.calls, reserved.points = max(0, reserved.calls + calls - 1), max(0, reserved.points + more - points)


def _record_answer(call: _MeteredCall, answer: Answer) -> None:
    """Correct the quota by the answer, and learn from it."""
    cost, first = call.cost, _mark_sent(call)
    with quota.lock_budget() as state:
        _release_call(state, call)
        state.budget = state.budget.after_answer(answer, call.points, state.now, state.in_flight)
        spent = answer.complexity.query if answer.complexity else call.points
        quota.record_usage(cost.entity_type, Decimal(1), passes=int(first), points=spent)
        if cost.link_id is not None:
            quota.learn_costs(cost.link_id, cost.records, answer, writes=cost.writes, first=first)
    # Commands make calls of no board too, and a person reads their output.
    write_log = log.debug if cost.link_id is None else log.info
    write_log(
        "monday answered",
        call=cost.kind,
        records=cost.records,
        seconds=round(answer.seconds, 3),
        points=spent,
        monday_request=answer.request_id,
    )


def _record_failure(call: _MeteredCall, error: errors.MondayError) -> None:
    log.warning(
        "monday call failed",
        call=call.cost.kind,
        records=call.cost.records,
        scope=str(error.scope),
        code=error.code,
        monday_request=error.request_id,
    )
    with quota.lock_budget() as state:
        _release_call(state, call)
        # Certainly not sent: calls and points are given back.
        if error.kind is errors.UNREACHABLE:
            state.budget = state.budget.spend(-1, -call.points, state.now)
            return
        limited, may_have_run = error.scope is errors.Scope.LIMIT, error.outcome_unknown
        state.budget = state.budget.after_failure(state.now)
        # Rejected before it ran: a call of the day, but no points. While a document is halved until one
        # record stands alone, the halves must still find room in the same minute.
        if not limited and not may_have_run:
            state.budget = state.budget.spend(0, -call.points, state.now)
        if limited:
            kind = _LIMIT_KINDS.get(error.kind)
            state.budget = state.budget.after_rejection(
                kind, error.wait_seconds, call.points, state.now, state.in_flight
            )
            log.warning("refused for a limit", reason=error.sentence)
        quota.record_usage(
            call.cost.entity_type,
            REJECTED_CALL_COST if limited else Decimal(1),
            passes=int(_mark_sent(call)),
            # Counted as spent where Monday may have run it.
            points=call.points if may_have_run else 0,
            rejections=int(limited),
        )
        cost = call.cost
        if cost.link_id is None or not cost.records:
            return
        # A single failure teaches: smaller documents after a timeout, a higher estimate after used up points.
        if error.kind in (errors.TIMED_OUT, errors.TOO_COMPLEX):
            quota.learn_too_large(cost.link_id, cost.records)
        elif error.kind is errors.COMPLEXITY_EXHAUSTED:
            quota.learn_higher_cost(cost.link_id, writes=cost.writes)


def _release_call(state: quota.BudgetState, call: _MeteredCall) -> None:
    """The call is over: its reservation no longer holds it; a call without a reservation is spent now."""
    if call.reserved.id is None:
        state.budget = state.budget.spend(1, call.points, state.now)
        return
    state.finish_call(call.reserved.id, call.points)
    if not call.reserved.size:
        state.release(call.reserved.id)


def _mark_sent(call: _MeteredCall) -> bool:
    """Whether this is the first call of a pass."""
    call.reserved.sent += 1
    return call.reserved.size > 0 and call.reserved.sent == 1


_override: ContextVar[MeteredClient | None] = ContextVar("instead", default=None)


def client(*, urgent: bool = False, timeout: float | None = None) -> MeteredClient:
    """Return a client for the configured token, metered by the quota that all workers share.

    Its `execute` raises BUDGET_EXHAUSTED, before anything is sent, where there is no room; `urgent` calls may
    use what is reserved for what a person clicked. `timeout`: the seconds of one call, where less than usual.
    """
    if (override := _override.get()) is not None:
        return override
    url, version, most = settings.MONDAY_API_URL, settings.MONDAY_API_VERSION, settings.MONDAY_TIMEOUT_SECONDS
    inner = _shared_client(url, credentials.api_token(), version, min(timeout or most, most))
    return MeteredClient(inner, urgent=urgent)


def connector(
    *, urgent: bool = False, timeout: float | None = None, before_call: Callable[[], None] | None = None
) -> MondayConnector:
    """Return the connector whose calls are sent by `client`; `before_call` is called before each of them."""
    sender = client(urgent=urgent, timeout=timeout)
    if before_call is not None:
        # An override is others' too, whose calls have nothing to do with this one's.
        sender = copy(sender)
        sender.before_call = before_call
    return MondayConnector(sender)


@contextmanager
def client_override(override: MeteredClient) -> Iterator[None]:
    """Have everything inside call Monday by this client, as a preview does with one that only reads."""
    token = _override.set(override)
    try:
        yield
    finally:
        _override.reset(token)


@contextmanager
def urgent_calls(token: str = "") -> Iterator[None]:
    """Have everything inside call Monday for a person: out of the reserve, too; by a token not in use yet, if given."""
    url, version, timeout = settings.MONDAY_API_URL, settings.MONDAY_API_VERSION, settings.MONDAY_TIMEOUT_SECONDS
    new = MeteredClient(MondayClient(url, token, version=version, timeout=timeout), urgent=True) if token else None
    with client_override(new or client(urgent=True)):
        yield


@lru_cache(maxsize=4)
def _shared_client(url: str, token: str, version: str, timeout: float) -> MondayClient:
    return MondayClient(url, token, version=version, timeout=timeout)
