"""The one way to call Monday: takes calls from the quota before it sends them, and corrects that by the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings

from sync.clock import SyncNow
from sync.kernel import process
from sync.limits import credentials, quota, rate_limits
from sync.models import BoardLink
from sync.monday import errors
from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Answer

log = structlog.get_logger(__name__)

# Points that a call of the account itself is taken to cost until it is answered: a page, a webhook.
ACCOUNT_CALL_POINTS = 1_000

SHUTDOWN_MESSAGE = "The worker had to end before this call. Another one makes it."


@dataclass(frozen=True)
class CallCost:
    """What the next call is: for which board, for how many records, a read or a write."""

    link_id: int | None = None
    records: int = 0
    writes: bool = False
    # A person asks for the account's limits: that of the day doesn't stop the call. It may have been raised since, and
    # while the day counts as used up nothing else would find out.
    reads_limits: bool = False

    @property
    def kind(self) -> str:
        """Read or write of a board, or a call of the account, which belongs to no board."""
        if self.link_id is None:
            return "account"
        return "write" if self.writes else "read"

    @property
    def points(self) -> int:
        """The points that it is taken to cost until it is answered."""
        if self.link_id is None:
            return ACCOUNT_CALL_POINTS
        return self.records * rate_limits.WRITE_POINTS if self.writes else rate_limits.READ_POINTS


class Pass:
    """A pass over so many records, in whose `with` its calls are made.

    `urgent`: a person clicked one of them, so its calls may use the reserve; `only_urgent`: there is room for no other.
    """

    def __init__(self, size: int, *, urgent: bool = False, only_urgent: bool = False) -> None:
        self.size = size
        self.urgent = urgent
        self.only_urgent = only_urgent
        self.is_begun = False

    def __enter__(self) -> Pass:
        self._token = _pass.set(self)
        return self

    def __exit__(self, *failure: object) -> None:
        _pass.reset(self._token)


_pass: ContextVar[Pass | None] = ContextVar("pass", default=None)
_cost: ContextVar[CallCost | None] = ContextVar("cost", default=None)


def call_cost(link: BoardLink, records: int, *, writes: bool = False) -> AbstractContextManager[None]:
    """Declare the calls inside: how many records of which board they read or write."""
    return declared(CallCost(link.pk, records, writes))


@contextmanager
def declared(cost: CallCost) -> Iterator[None]:
    """Declare what the calls inside are."""
    token = _cost.set(cost)
    try:
        yield
    finally:
        _cost.reset(token)


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
        # Before anything is spent: another worker makes the call.
        if process.is_shutting_down():
            raise errors.MondayError(errors.SHUTTING_DOWN, SHUTDOWN_MESSAGE)
        cost = _cost.get() or CallCost()
        present = _pass.get()
        day = _spend(cost, urgent=self.urgent or (present is not None and present.urgent))
        try:
            answer = self.inner.execute(document, variables, idempotency_key=idempotency_key)
        except errors.MondayError as error:
            if error.kind is errors.NOT_AUTHENTICATED and settings.MONDAY_API_KEY:
                error.advice = errors.ADVICE_ON_SERVER
            _record_failure(cost, error, day)
            raise
        _record_answer(cost, answer)
        return answer


def _spend(cost: CallCost, *, urgent: bool) -> date | None:
    """Spend the call before it is sent, so that no other worker spends it meanwhile; return the day that it is of.

    Raises BUDGET_EXHAUSTED.
    """
    with quota.lock_budget() as budget:
        day_limit = budget.day_limit
        if cost.reads_limits:
            budget.day_limit = None
        wait = budget.required_wait(1, cost.points, urgent=urgent)
        budget.day_limit = day_limit
        if wait is None:
            budget.spend(1, cost.points)
        now = budget.now
        day = budget.day
    if wait is not None:
        # The read before it may have cost more than it was taken to: a smaller pass has room for both.
        if cost.link_id is not None and cost.writes and wait.kind is rate_limits.BlockedKind.BATCHING:
            quota.learn_too_large(cost.link_id, cost.records, 2)
        seconds = max(0.0, (wait.until - now).total_seconds()) if wait.until else 0.0
        raise errors.MondayError(errors.BUDGET_EXHAUSTED, wait.reason, wait_seconds=seconds)
    return day


def _record_answer(cost: CallCost, answer: Answer) -> None:
    """Correct the quota by the answer, and learn from it."""
    points = answer.complexity.query if answer.complexity else cost.points
    with quota.lock_budget() as budget:
        budget.after_answer(answer, cost.points)
        quota.record_usage(Decimal(1))
        _mark_pass(cost)
        if cost.link_id is not None:
            quota.learn_size(cost.link_id, cost.records, answer.seconds)
    # Commands make calls of no board too, and a person reads their output.
    write_log = log.debug if cost.link_id is None else log.info
    write_log(
        "monday answered",
        call=cost.kind,
        records=cost.records,
        seconds=round(answer.seconds, 3),
        points=points,
        monday_request=answer.request_id,
    )


def _record_failure(cost: CallCost, error: errors.MondayError, day: date | None) -> None:
    log.warning(
        "monday call failed",
        call=cost.kind,
        records=cost.records,
        scope=str(error.scope),
        code=error.code,
        monday_request=error.request_id,
    )
    is_limited = error.scope is errors.Scope.LIMIT
    with quota.lock_budget() as budget:
        # Certainly not sent: calls and points are given back.
        if error.kind is errors.UNREACHABLE:
            budget.after_unsent(cost.points, day)
            return
        budget.after_failure(cost.points)
        if is_limited:
            budget.after_rejection(error.kind, error.wait_seconds, cost.points, day)
            log.warning("refused for a limit", reason=error.sentence)
        # Rejected before it ran: a call of the day, but no points. While a document is halved until one record stands
        # alone, the halves must still find room in the same minute.
        elif not error.outcome_unknown:
            budget.give_back(cost.points)
        quota.record_usage(rate_limits.REJECTED_CALL_COST if is_limited else Decimal(1))
        _mark_pass(cost)
        # A single failure teaches: a quarter of the records after a timeout, half of them where the points didn't do.
        if cost.link_id is None:
            return
        if error.kind in (errors.TIMED_OUT, errors.TOO_COMPLEX):
            quota.learn_too_large(cost.link_id, cost.records, 4)
        elif error.kind is errors.COMPLEXITY_EXHAUSTED:
            quota.learn_too_large(cost.link_id, cost.records, 2)


def _mark_pass(cost: CallCost) -> None:
    """Note when a pass began: with its first call."""
    present = _pass.get()
    if present is not None and not present.is_begun and cost.link_id is not None:
        present.is_begun = True
        BoardLink.objects.filter(pk=cost.link_id).update(last_pass_at=SyncNow())


_override: ContextVar[MeteredClient | None] = ContextVar("instead", default=None)


def client(*, urgent: bool = False, timeout: float | None = None) -> MeteredClient:
    """Return a client for the configured token, metered by the quota that all workers share.

    Its `execute` raises BUDGET_EXHAUSTED, before anything is sent, where there is no room; `urgent` calls may
    use what is reserved for what a person clicked. `timeout`: the seconds of one call, where less than usual.
    """
    if (override := _override.get()) is not None:
        return override
    return MeteredClient(_client_of(credentials.api_token(), timeout), urgent=urgent)


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
    with client_override(MeteredClient(_client_of(token), urgent=True) if token else client(urgent=True)):
        yield


def _client_of(token: str, timeout: float | None = None) -> MondayClient:
    longest = settings.MONDAY_TIMEOUT_SECONDS
    seconds = min(timeout or longest, longest)
    return _shared_client(settings.MONDAY_API_URL, token, settings.MONDAY_API_VERSION, seconds)


@lru_cache(maxsize=4)
def _shared_client(url: str, token: str, version: str, timeout: float) -> MondayClient:
    return MondayClient(url, token, version=version, timeout=timeout)
