"""One writer per board: a lease row with a fresh token, renewed by steps and never by a timer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Greatest
from psycopg.errors import DeadlockDetected, LockNotAvailable

from sync.clock import SyncNow
from sync.models import BoardLease, BoardLink

STEP_SECONDS = 60
LOCK_TIMEOUT_MS = 500
"""Below PostgreSQL's deadlock_timeout (1 s): the engine gives way to a save and tries again, never the save."""
TRIES = 20

T = TypeVar("T")


class LeaseLost(RuntimeError):
    """Another worker has the board now; nothing may be written in its name."""


@dataclass(frozen=True)
class Lease:
    """The right to write to one board until another takes it."""

    link: BoardLink
    token: uuid.UUID = field(default_factory=uuid.uuid4)

    def renew(self, seconds: float = STEP_SECONDS) -> None:
        """Hold the board for at least so many seconds from now; raises LeaseLost."""
        until = Greatest("expires", SyncNow() + timedelta(seconds=seconds))
        if not self._mine().update(expires=until):
            raise LeaseLost(f"The lease of the {self.link.entity_type} board was taken by another worker.")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Open a transaction that holds the lease row, so that no stale owner can finish; raises LeaseLost.

        Its lock_timeout makes it give way to a save; see `giving_way`.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MS}ms"])
            if not self._mine().select_for_update().exists():
                raise LeaseLost(
                    f"The lease of the {self.link.entity_type} board was taken by another worker."
                )
            yield

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
