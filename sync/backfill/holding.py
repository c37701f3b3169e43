"""The board's lease for the steps of a backfill that write: taken when it is free, given back between steps.

While Monday works on a job the board belongs to the ordinary worker, so that an edit is not held up by an import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta

from django.db.models import Q

from sync import lease
from sync.clock import SyncNow
from sync.lease import Lease
from sync.models import Backfill, BackfillState, BoardLink

Hold = Callable[[], AbstractContextManager[Lease]]
Wait = Callable[[float, str], None]
"""Waits so many seconds, and is told why in words."""

TRY_SECONDS = 0.5
SIGN_OF_LIFE = timedelta(seconds=30)


@contextmanager
def holding(link: BoardLink, backfill: Backfill, wait: Wait) -> Iterator[Lease]:
    """Hold the board, waiting until whoever has it gives it back."""
    while (held := lease.take(link)) is None:
        wait(TRY_SECONDS, "Another worker has the board.")
        touch(backfill)
    try:
        yield held
    finally:
        held.release()


def touch(backfill: Backfill) -> None:
    """Give a sign of life: a backfill without one for some minutes is taken up by the ordinary worker."""
    Backfill.objects.filter(pk=backfill.pk).update(seen_at=SyncNow())


def asks_for_board(entity_type: str) -> bool:
    """Whether a living backfill needs the board, to send its file or to link: a worker with a long queue makes room.

    One that is put off needs it only then.
    """
    needs = Q(state=BackfillState.STARTED, put_at=None) | Q(state=BackfillState.LISTED)
    now = Q(look_at=None) | Q(look_at__lte=SyncNow())
    waiting = Backfill.objects.filter(needs, now, entity_type=entity_type)
    return waiting.filter(seen_at__gt=SyncNow() - SIGN_OF_LIFE).exists()
