"""The Monday account for all workers: configured, paused, with room to call; and the probe that ends a pause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Case, DateTimeField, F, Func, Q, Value, When
from django.db.models.functions import Coalesce, Greatest

from sync import budget, pausing
from sync.clock import SyncNow, sync_now
from sync.connectors.monday import platform
from sync.connectors.monday.answers import Api
from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.documents import probe
from sync.connectors.monday.errors import BudgetExhausted, DailyLimitReached, MondayError, Scope
from sync.connectors.monday.pacing import FULL_BATCH
from sync.connectors.monday.platform import Greeting
from sync.models import BoardLink, MondayAccount

log = structlog.get_logger(__name__)

PROBE_WAITS = (5, 10, 20, 40, 60, 60, 60, 60, 60)
"""Seconds before the first, second … probe after a failure; later ones come every five minutes."""
LATER_PROBE_WAIT = 300
_instead: ContextVar[budget.Metered | None] = ContextVar("instead", default=None)


def is_configured() -> bool:
    """Whether there is a token to call Monday with."""
    return bool(settings.MONDAY_API_KEY)


def client(*, urgent: bool = False) -> budget.Metered:
    """Return the process's client for the configured token, metered by the allowance that all workers share.

    Its `execute` raises BudgetExhausted, before anything is sent, where there is no room; `urgent` calls may
    use what is kept for what a person clicked.
    """
    return _instead.get() or _metered(
        settings.MONDAY_API_URL,
        settings.MONDAY_API_KEY,
        settings.MONDAY_API_VERSION,
        settings.MONDAY_TIMEOUT_SECONDS,
        urgent,
    )


@contextmanager
def calling(instead: budget.Metered) -> Iterator[None]:
    """Have everything inside call Monday by this client, as a dry run does with one that only reads."""
    token = _instead.set(instead)
    try:
        yield
    finally:
        _instead.reset(token)


@lru_cache(maxsize=8)
def _metered(url: str, token: str, version: str, timeout: float, urgent: bool) -> budget.Metered:
    return budget.Metered(_client(url, token, version, timeout), urgent=urgent)


@lru_cache(maxsize=4)
def _client(url: str, token: str, version: str, timeout: float) -> MondayClient:
    return MondayClient(url, token, version=version, timeout=timeout)


def account() -> MondayAccount:
    """Return the account's one row, made where it is missing."""
    return MondayAccount.objects.get_or_create(id=1)[0]


def hold(link: BoardLink, error: MondayError) -> None:
    """Hold the board where an error concerns it, else every board."""
    if error.scope in (Scope.BOARD, Scope.COLUMN):
        block(link, error)
    else:
        pause(error)


def pause(error: MondayError) -> None:
    """Hold every board after a failure that concerns the account, and say why; a longer wait is never shortened.

    Calls that were in the air together fail together: that is one failure. An allowance without room is no
    pause: it says by itself when there is room again, and for whom.
    """
    if isinstance(error, BudgetExhausted):
        return
    row = account()
    limit = error.scope is Scope.LIMIT
    until = (
        _midnight() if isinstance(error, DailyLimitReached) and not error.wait_seconds else _later(error, row)
    )
    MondayAccount.objects.filter(id=1).update(
        paused_until=Greatest(Coalesce("paused_until", until), until),
        pause_reason=error.sentence,
        needs_probe=row.needs_probe or not limit,
        failures=Case(When(paused_until__gt=SyncNow(), then=F("failures")), default=F("failures") + 1),
    )
    log.warning("account paused", scope=str(error.scope), reason=error.sentence)


def _later(error: MondayError, row: MondayAccount) -> Any:
    return SyncNow() + timedelta(seconds=error.wait_seconds or _wait(row.failures))


def _midnight() -> Any:
    """Monday's day of calls begins at 00:00 UTC (developer.monday.com/api-reference/docs/rate-limits)."""
    tomorrow = Func(
        Value("day"), SyncNow(), Value("UTC"), function="date_trunc", output_field=DateTimeField()
    )
    return tomorrow + timedelta(days=1)


def _wait(failures: int) -> int:
    return PROBE_WAITS[failures] if failures < len(PROBE_WAITS) else LATER_PROBE_WAIT


def block(link: BoardLink, error: MondayError) -> None:
    """Hold one board; it is tried again after the wait that Monday asks for, else after a minute."""
    BoardLink.objects.filter(pk=link.pk).update(
        blocked_until=SyncNow() + timedelta(seconds=error.wait_seconds or 60), blocked_reason=error.sentence
    )


def unblock(link: BoardLink) -> None:
    """Forget a board's trouble after a call that went well."""
    if link.blocked_reason:
        BoardLink.objects.filter(pk=link.pk).update(blocked_until=None, blocked_reason="")
        link.blocked_reason = ""


def ready() -> bool:
    """Return whether calls may be made; after a failure, the one worker that gets the turn probes first."""
    row = account()
    if not row.needs_probe:
        return row.paused_until is None or row.paused_until <= sync_now()
    turn = MondayAccount.objects.filter(id=1, needs_probe=True).filter(
        Q(paused_until=None) | Q(paused_until__lte=SyncNow())
    )
    until = sync_now() + timedelta(seconds=settings.MONDAY_TIMEOUT_SECONDS + 5)
    return bool(turn.update(paused_until=until)) and _probe(until)


def _probe(turn_ends: datetime) -> bool:
    try:
        answer = client(urgent=True).execute(*probe())
    except MondayError as error:
        # The turn is over; only a wait that was set meanwhile stands.
        MondayAccount.objects.filter(id=1, paused_until=turn_ends).update(paused_until=SyncNow())
        pause(error)
        return False
    me = (answer.data or {}).get("me") or {}
    MondayAccount.objects.filter(id=1).update(
        paused_until=None,
        pause_reason="",
        needs_probe=False,
        failures=0,
        user_id=str(me.get("id") or ""),
        version_answered=answer.api_version or "",
    )
    log.info("account answers again")
    return True


def greet(*, urgent: bool = False) -> Greeting:
    """Ask who the token's user is, for plan, version and limits, and what is used of today; keep all of it.

    Corrects the allowance by Monday's own figures. `urgent`: a person asks, who may have bought a larger plan; a day
    that is used up doesn't hold that, and a limit that was raised ends a pause until midnight. Raises MondayError.
    """
    with budget.asking_for_limits() if urgent else nullcontext():
        return _greet(client(urgent=urgent))


def _greet(api: Api) -> Greeting:
    found = platform.greet(api)
    row, limit = account(), budget.forecast().limit
    told = {
        "user_id": found.user_id,
        "version_answered": found.version_value,
        "version_kind": found.version_kind,
        "tier": found.tier,
    }
    MondayAccount.objects.filter(id=1).update(**{name: value for name, value in told.items() if value})
    budget.correct(found, row.tier)
    raised = budget.forecast().limit
    if limit is not None and (raised is None or raised > limit):
        _end_wait_for_midnight()
    return found


def _end_wait_for_midnight() -> None:
    """Only the day's limit asks for a wait of hours; one of an outage ends by its probe."""
    MondayAccount.objects.filter(
        id=1, needs_probe=False, paused_until__gt=SyncNow() + timedelta(hours=1)
    ).update(paused_until=None, pause_reason="")


def refresh() -> None:
    """Compare the allowance with Monday's own figures, once an hour; a failure pauses the account as any does.

    While everything is paused, Monday isn't called for this either.
    """
    budget.forget_old_usage()
    if not is_configured() or pausing.is_paused("") or not ready():
        return
    try:
        _greet(client(urgent=True))  # out of the reserve, too: a limit that was raised is learned here
    except MondayError as error:
        log.warning("allowance not refreshed", reason=error.sentence)
        if error.scope in (Scope.ACCOUNT, Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE):
            pause(error)


def batch_size() -> int:
    """How many records a document may carry after failures of the account."""
    return account().batch_limit or FULL_BATCH


def shrink_batches(size: int) -> None:
    """After a whole document failed: the next ones carry a quarter, down to one record."""
    MondayAccount.objects.filter(id=1).update(batch_limit=max(1, size // 4))


def grow_batches() -> None:
    """After a document went well: no failures to remember, and twice as many records, until full batches again."""
    row = account()
    if row.failures and not row.needs_probe:
        MondayAccount.objects.filter(id=1, needs_probe=False).update(failures=0, pause_reason="")
    limit = row.batch_limit
    if limit is not None:
        doubled = limit * 2
        MondayAccount.objects.filter(id=1).update(batch_limit=None if doubled >= FULL_BATCH else doubled)
