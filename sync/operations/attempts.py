"""What a worker takes up as a whole, a file to read or a list to write: three attempts, each counted before it begins.

So what kills every worker is given up. An attempt shows signs of life; without one for LEASE_SECONDS it counts as dead.
Rows have `state`, `attempts`, `made_at` and `moved_at`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import Model, Q, QuerySet

from sync.clock import SyncNow, sync_now
from sync.kernel import process

ATTEMPTS = 3
LEASE_SECONDS = 60

Row = TypeVar("Row", bound=Model)


class Interrupted(Exception):
    """This worker is shutting down, or the row is gone, or another attempt's: no fault of the row."""


def silent() -> Q:
    """Return the condition of rows whose last attempt counts as dead."""
    return Q(moved_at__lt=sync_now() - timedelta(seconds=LEASE_SECONDS))


def claim(due: QuerySet[Row], give_up: Callable[[Any], None], **values: Any) -> Row | None:
    """Claim the oldest row for one more attempt and set these values; those with all attempts used are given up.

    `give_up` changes the row so that it isn't due any more.
    """
    with transaction.atomic():
        # One that another worker claims, or its owner discards, at this moment is theirs.
        rows: QuerySet[Any] = due.select_for_update(skip_locked=True, of=("self",)).order_by("made_at")
        while (row := rows.first()) is not None and row.attempts >= ATTEMPTS:
            give_up(row)
        if row is not None:
            row.attempts += 1
            values |= {"attempts": row.attempts, "moved_at": SyncNow()}
            type(row)._default_manager.filter(pk=row.pk).update(**values)
        found: Row | None = row
        return found


class Attempt:
    """One attempt at a claimed row, which is in this state as long as somebody works on it."""

    def __init__(self, row: Any, state: str) -> None:
        self.number: int = row.attempts
        self.row: QuerySet[Any] = type(row)._default_manager.filter(pk=row.pk, state=state, attempts=row.attempts)
        """The row, as long as this is the attempt that counts."""
        self._told_at = time.monotonic()

    def tell(self, **progress: int) -> None:
        """Show a sign of life and the progress, at most once a second; raises Interrupted."""
        if process.is_shutting_down():
            raise Interrupted
        if time.monotonic() >= self._told_at + 1:
            self._told_at = time.monotonic()
            if not self.row.update(moved_at=SyncNow(), **progress):
                raise Interrupted

    def is_current(self) -> bool:
        """Whether this is the attempt that counts, in a transaction that keeps it so."""
        return self.row.select_for_update().first() is not None

    def give_back(self, **values: Any) -> None:
        """Let the attempt not count."""
        self.row.update(attempts=self.number - 1, **values)
