"""Put records on a board in bulk, through Monday's imports: preview, run, and take up again after a death."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from uuid import UUID

import structlog
from django.db import IntegrityError

from sync import wake
from sync.backfill.announcing import announce
from sync.backfill.candidates import chunks
from sync.backfill.holding import Wait, asks_for_board, holding, touch
from sync.backfill.later import Later
from sync.backfill.preview import Group, Impossible, Preview, preview
from sync.backfill.steps import advance, backfill_board, end, give_up
from sync.backfill.waits import Pause
from sync.choices import Cause, Priority
from sync.clock import SyncNow
from sync.connectors.monday.ingest import ROWS_PER_JOB
from sync.enqueue import enqueue_many
from sync.lease import Lease, LeaseLost
from sync.models import Backfill, BackfillState

__all__ = [
    "Group",
    "Impossible",
    "Preview",
    "asks_for_board",
    "drive",
    "is_left_behind",
    "open_backfill",
    "preview",
    "run",
    "settle_abandoned",
]

ABANDONED = timedelta(minutes=3)
"""Without a sign of life for so long, the process that ran a backfill is taken for dead."""
WAIT_SECONDS = 20.0
OVER = (BackfillState.DONE, BackfillState.FAILED)

log = structlog.get_logger(__name__)
Tell = Callable[[Backfill], None]


def open_backfill(entity_type: str) -> Backfill | None:
    """Return the type's backfill that is not over, or None."""
    return Backfill.objects.filter(entity_type=entity_type).exclude(state__in=OVER).first()


def is_left_behind(entity_type: str) -> bool:
    """Whether a backfill of this type is open of which nobody has given a sign of life for some minutes."""
    found = Backfill.objects.filter(entity_type=entity_type, seen_at__lte=SyncNow() - ABANDONED)
    return found.exclude(state__in=OVER).exists()


def run(seen: Preview, *, by: str, wait: Wait, tell: Tell = lambda backfill: None) -> list[Backfill]:
    """Carry a preview out: one import after another, the rest by ordinary looks. Raises Impossible, MondayError.

    `wait` is called with seconds and the reason, `tell` whenever a backfill has got further.
    """
    entity_type = seen.spec.entity_type
    rest = [*seen.ordinary.ids, *seen.link.ids, *seen.ambiguous.ids, *seen.invalid.ids]
    enqueue_many(entity_type, rest, cause=Cause.SWEEP, priority=Priority.BACKFILL)
    done: list[Backfill] = []
    with Later(entity_type, [*seen.create.ids, *seen.second]) as later:
        for ids in chunks(seen.create.ids, ROWS_PER_JOB):
            later.begin(ids)
            done.append(_import(seen, ids, by, later.during(wait), tell))
            if done[-1].state == BackfillState.FAILED:
                break
    wake.send(entity_type)
    return done


def _import(seen: Preview, ids: Sequence[UUID], by: str, wait: Wait, tell: Tell) -> Backfill:
    backfill, pause = _begin(seen, ids, by, wait)
    tell(backfill)
    _pause(backfill, pause, wait)
    return drive(backfill, wait=wait, tell=tell)


def _begin(seen: Preview, ids: Sequence[UUID], by: str, wait: Wait) -> tuple[Backfill, Pause | None]:
    """Announce the rows and start the import, without giving the board away in between."""
    entity_type = seen.spec.entity_type
    try:
        backfill = Backfill.objects.create(
            entity_type=entity_type, board_id="", group_id=seen.room.top_group, started_by=by
        )
    except IntegrityError:
        raise Impossible(
            f"A backfill of {entity_type} records is open already. If nobody runs it any more, "
            "take it up with `manage.py sync_backfill --resume`."
        ) from None
    link = backfill_board(backfill).link
    Backfill.objects.filter(pk=backfill.pk).update(
        board_id=link.board_id, group_id=link.group_id or seen.room.top_group
    )
    try:
        with holding(link, backfill, wait) as lease:
            if not announce(lease, backfill, ids):
                end(backfill, BackfillState.DONE, "None of its records is without an item any more.")
                return backfill, None
            pause = advance(backfill, lambda: nullcontext(lease))
    except LeaseLost as lost:
        raise Impossible(str(lost)) from lost
    backfill.refresh_from_db()
    return backfill, pause


def drive(backfill: Backfill, *, wait: Wait, tell: Tell = lambda backfill: None) -> Backfill:
    """Do all the steps that are left; raises MondayError for what no wait mends, to be taken up again later."""
    link = backfill_board(backfill).link
    while backfill.open:
        pause = advance(backfill, lambda: holding(link, backfill, wait))
        backfill.refresh_from_db()
        tell(backfill)
        _pause(backfill, pause, wait)
    return backfill


def _pause(backfill: Backfill, pause: Pause | None, wait: Wait) -> None:
    """Wait in pieces, with a sign of life after each."""
    left = pause.seconds if pause else 0
    while pause and left > 0:
        wait(min(left, WAIT_SECONDS), pause.words)
        left -= WAIT_SECONDS
        touch(backfill)


def settle_abandoned(held: Lease) -> None:
    """Find out what became of a backfill whose process died, as far as it goes without waiting; raises LeaseLost.

    Called by the board's worker. Each look is a sign of life, so Monday is asked once in some minutes.
    """
    if not is_left_behind(held.link.entity_type):
        return
    backfill = open_backfill(held.link.entity_type)
    if backfill is None:
        return
    log.warning("abandoned backfill", board=held.link.entity_type, state=backfill.state)
    if backfill.state == BackfillState.STARTED and backfill.put_at is None:
        # No file was sent, and nobody has the address to send one to.
        give_up(backfill, "Its process ended before the import began. Its records are created one by one.")
        return
    pause: Pause | None = None
    try:
        while backfill.open and pause is None:
            pause = advance(backfill, lambda: nullcontext(held))
            backfill.refresh_from_db()
    except Impossible as error:
        give_up(backfill, str(error))
