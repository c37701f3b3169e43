"""The only way to call Monday: each call is taken from the quota, sent, corrected by its answer, and logged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings

from sync.kernel import process
from sync.limits import api_quota, credentials
from sync.models import BoardLink
from sync.monday import errors
from sync.monday.client import MondayClient, causes_of
from sync.monday.connector import MondayConnector
from sync.monday.graphql import Answer
from sync.words.message import Message

log = structlog.get_logger(__name__)

# Estimated points of a call that belongs to no board, such as one for a page, or to register webhooks.
ACCOUNT_CALL_POINTS = 1_000

# Callers with the same settings share a client, and with it its connections.
_shared_client = lru_cache(maxsize=4)(MondayClient)

SHUTDOWN_MESSAGE = Message("shutting_down")


@dataclass(frozen=True)
class CallInfo:
    """The board and the number of records that a call is about."""

    link_id: int | None = None  # None for a call that belongs to no board
    records: int = 0
    writes: bool = False
    # The call reads the account's limits. It is made although the day's limit is reached: the limit may have been
    # raised since, which nothing else would find out.
    reads_limits: bool = False

    @property
    def kind(self) -> str:
        if self.link_id is None:
            return "account"
        return "write" if self.writes else "read"

    @property
    def points(self) -> int:
        """The estimate until it is answered."""
        if self.link_id is None:
            return ACCOUNT_CALL_POINTS
        return self.records * api_quota.WRITE_POINTS if self.writes else api_quota.READ_POINTS


# Context variables, because sync.monday, which makes the calls, knows nothing of boards of ours.
_current_call: ContextVar[CallInfo | None] = ContextVar("current_call", default=None)
_override: ContextVar[MeteredClient | None] = ContextVar("client_override", default=None)


class MeteredClient:
    """MondayClient's `execute`, metered and counted; `urgent` calls may use the reserve for what people click."""

    def __init__(self, inner: MondayClient, *, urgent: bool = False) -> None:
        self.inner = inner
        self.urgent = urgent
        self.calls = 0  # sent to Monday

    @property
    def version(self) -> str:
        return self.inner.version

    def execute(self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Send one document, if the quota has room for it.

        Raises MondayError. Nothing was sent if its kind is QUOTA_EXHAUSTED, because there is no room, or
        SHUTTING_DOWN, because this process is about to end.
        """
        if process.is_shutting_down():
            raise errors.MondayError(errors.SHUTTING_DOWN, SHUTDOWN_MESSAGE)
        call = _current_call.get() or CallInfo()
        _spend(call, urgent=self.urgent)
        self.calls += 1
        try:
            answer = self.inner.execute(document, variables, idempotency_key=idempotency_key)
        except errors.MondayError as error:
            if error.kind is errors.NOT_AUTHENTICATED and settings.MONDAY_API_KEY:
                error.advice = errors.ADVICE_ON_SERVER
            _record_failure(call, error)
            raise
        # Correct the quota by the answer, and the size of the board's documents by the time it took.
        with api_quota.lock_quota() as quota:
            quota.after_answer(answer, call.points)
            if call.link_id is not None:
                api_quota.adapt_batch_size(call.link_id, call.records, answer.seconds)
        # Commands make calls that belong to no board, and people read their output.
        write_log = log.debug if call.link_id is None else log.info
        write_log(
            "monday answered",
            call=call.kind,
            records=call.records,
            seconds=round(answer.seconds, 3),
            points=answer.complexity.query if answer.complexity else call.points,
            monday_request=answer.request_id,
        )
        return answer


def client(*, urgent: bool = False, timeout: float | None = None) -> MeteredClient:
    """Return a client for the configured token; inside `client_override`, that client with its own settings.

    `urgent` is that of MeteredClient; `timeout` shortens the usual seconds of a call.
    """
    if (override := _override.get()) is not None:
        return override
    return MeteredClient(_client_of(credentials.api_token(), timeout), urgent=urgent)


def connector(*, urgent: bool = False, timeout: float | None = None) -> MondayConnector:
    """Return the connector whose calls are sent by `client`."""
    return MondayConnector(client(urgent=urgent, timeout=timeout))


@contextmanager
def client_override(override: MeteredClient) -> Iterator[None]:
    """Make everything inside call Monday by this client, such as a preview's read-only one."""
    token = _override.set(override)
    try:
        yield
    finally:
        _override.reset(token)


@contextmanager
def urgent_calls(token: str = "") -> Iterator[None]:
    """Let all calls inside use the reserve, because a person waits; `token` may be one that isn't stored yet."""
    sender = MeteredClient(_client_of(token), urgent=True) if token else client(urgent=True)
    with client_override(sender):
        yield


def meter_board_calls(link: BoardLink, records: int, *, writes: bool = False) -> AbstractContextManager[None]:
    """Have the calls inside counted as reads or writes of this many records of a board."""
    return meter_calls(CallInfo(link.pk, records, writes))


@contextmanager
def meter_calls(call: CallInfo) -> Iterator[None]:
    """Have the calls inside counted as this says."""
    token = _current_call.set(call)
    try:
        yield
    finally:
        _current_call.reset(token)


def _client_of(token: str, timeout: float | None = None) -> MondayClient:
    longest = settings.MONDAY_TIMEOUT_SECONDS
    seconds = min(timeout or longest, longest)
    return _shared_client(settings.MONDAY_API_URL, token, version=settings.MONDAY_API_VERSION, timeout=seconds)


def _spend(call: CallInfo, *, urgent: bool) -> None:
    """Take the call from the quota before it is sent; raises MondayError."""
    with api_quota.lock_quota() as quota:
        wait = quota.required_wait(1, call.points, urgent=urgent, ignore_day_limit=call.reads_limits)
        if wait is None:
            quota.spend(call.points)
        now = quota.now
    if wait is not None:
        # The minute's points are used up, because the read before it cost more than estimated; a smaller pass has room
        # for both.
        if call.link_id is not None and call.writes and wait.kind is api_quota.WaitKind.BATCHING:
            api_quota.shrink_batch_size(call.link_id, call.records, parts=2)
        seconds = max(0.0, (wait.until - now).total_seconds())
        raise errors.MondayError(errors.QUOTA_EXHAUSTED, wait.reason, wait_seconds=seconds)


def _record_failure(call: CallInfo, error: errors.MondayError) -> None:
    log.warning(
        "monday call failed",
        call=call.kind,
        records=call.records,
        scope=str(error.scope),
        code=error.code,
        cause=type(list(causes_of(error))[-1]).__name__,  # its text could show addresses
        monday_request=error.request_id,
    )
    with api_quota.lock_quota() as quota:
        quota.after_error(error, call.points)
        if call.link_id is None:
            return
        # Quarter the batch if it was too much for Monday, halve it if points ran out. Another failure says nothing of
        # sizes: what failed comes again in parts (sync/reconcile/failed_reads.py, failed_writes.py).
        if error.kind in (errors.TIMED_OUT, errors.TOO_COMPLEX):
            api_quota.shrink_batch_size(call.link_id, call.records, parts=4)
        elif error.kind is errors.COMPLEXITY_EXHAUSTED:
            api_quota.shrink_batch_size(call.link_id, call.records, parts=2)
