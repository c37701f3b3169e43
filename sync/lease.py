"""One writer per board: a lease row with a fresh token, renewed by steps and never by a timer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Greatest
from psycopg.errors import DeadlockDetected, LockNotAvailable

from sync.clock import SyncNow
from sync.course import Course
from sync.models import BoardLease, BoardLink

STEP_SECONDS = 60
LOCK_TIMEOUT_MS = 500
"""Below PostgreSQL's deadlock_timeout (1 s): the engine gives way to a save and tries again, never the save."""
TRIES = 20
SLACK_SECONDS = 5
"""So much less may be left after a renewal on the way. Each renewal writes the row, and all claims and finishes read it
past the versions that lie about while an old transaction is open."""

# Locks the row. The scalar query runs before the row is looked for, so that waiting for it is bounded too.
HOLD = """
    SELECT extract(epoch FROM expires - sync_now())::float FROM sync_board_leases
    WHERE link_id = (SELECT %(link)s::bigint FROM set_config('lock_timeout', %(lock_timeout)s, true))
        AND token = %(token)s AND expires > sync_now() + make_interval(secs => %(seconds)s)
    FOR UPDATE
"""

T = TypeVar("T")


class LeaseLost(RuntimeError):
    """Another worker has the board now; nothing may be written in its name."""


@dataclass(frozen=True)
class Lease:
    """The right to write to one board until another takes it."""

    link: BoardLink
    token: uuid.UUID = field(default_factory=uuid.uuid4)
    course: Course = field(default_factory=Course, compare=False, repr=False)

    def renew(self, seconds: float = STEP_SECONDS) -> None:
        """Hold the board for at least so many seconds from now; raises LeaseLost."""
        until = Greatest("expires", SyncNow() + timedelta(seconds=seconds))
        if not self._mine().update(expires=until):
            raise self._lost()

    @contextmanager
    def held(self, *, step: bool = False) -> Iterator[None]:
        """Open a transaction that holds the lease row, so that no stale owner can finish; raises LeaseLost.

        Its lock_timeout makes it give way to a save; see `giving_way`. With `step` the lease is renewed by a step on
        the way, where less than that (but for `SLACK_SECONDS`) is left of it.
        """
        with transaction.atomic():
            left = self._seconds_left()
            if left is None:
                raise self._lost()
            if step and left < STEP_SECONDS - SLACK_SECONDS:
                self.renew()
            yield

    def holding(self, seconds: float = 0) -> dict[str, Any]:
        """Return what `HOLD` must be given to find this lease where it lasts so many seconds more."""
        timeout = f"{LOCK_TIMEOUT_MS}ms"
        return {"link": self.link.pk, "token": self.token, "lock_timeout": timeout, "seconds": seconds}

    def _seconds_left(self) -> float | None:
        """Lock the lease row for this transaction; None where it is another's, or over."""
        with connection.cursor() as cursor:
            cursor.execute(HOLD, self.holding())
            found = cursor.fetchone()
        return None if found is None else float(found[0])

    def _lost(self) -> LeaseLost:
        return LeaseLost(f"The lease of the {self.link.entity_type} board was taken by another worker.")

    def release(self) -> None:
        """Give the board back; nothing happens where another has it already."""
        BoardLease.objects.filter(link=self.link, token=self.token).update(token=None, expires=SyncNow())

    def _mine(self) -> QuerySet[BoardLease]:
        return BoardLease.objects.filter(link=self.link, token=self.token, expires__gt=SyncNow())


def giving_way(work: Callable[[], T]) -> T:
    """Run a transaction of the engine, again when it had to give way to a save."""
    for _ in range(TRIES - 1):
        try:
            return work()
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable | DeadlockDetected):
                raise
    return work()


def take(link: BoardLink, seconds: float = STEP_SECONDS) -> Lease | None:
    """Take the board's lease if nobody has it; None when somebody does."""
    BoardLease.objects.get_or_create(link=link)
    lease = Lease(link)
    free = BoardLease.objects.filter(link=link).filter(Q(token=None) | Q(expires__lte=SyncNow()))
    took = free.update(token=lease.token, expires=SyncNow() + timedelta(seconds=seconds))
    return lease if took else None
