"""Paused directions in a look at deleted records and at items without a record: they wait as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sync import finish
from sync.choices import QueueDirection, QueueStatus, RecordGone
from sync.claims import Claimed
from sync.engine.graves import Grave
from sync.engine.paused import not_stopped, waits_for
from sync.engine.subjects import Batch
from sync.models import SyncQueue
from sync.pausing import paused_for_writers, words


def hold_graves(
    batch: Batch, wanted: Mapping[RecordGone, Sequence[Grave]]
) -> Mapping[RecordGone, Sequence[Grave]]:
    """Return what may be done with the items of deleted records; the tombstones of the others wait."""
    for grave in batch.graves:
        if grave.brings_back and waits_for(batch, grave.subject, QueueDirection.TO_NPD):
            grave.brings_back, grave.note = False, grave.subject.note
    if QueueDirection.TO_MONDAY not in batch.paused:
        return wanted
    for grave in [grave for graves in wanted.values() for grave in graves]:
        waits_for(batch, grave.subject, QueueDirection.TO_MONDAY)
        grave.note = grave.subject.note
    return {}


def stopped_calls(batch: Batch, graves: Sequence[Grave]) -> list[Grave]:
    """Return those graves whose items may still be taken off the board, right before that is announced."""
    going = not_stopped(batch, [grave.subject for grave in graves], QueueDirection.TO_MONDAY)
    ids = {subject.id for subject in going}
    return [grave for grave in graves if grave.stone.entity_id in ids]


def item_waits(batch: Batch, claimed: Claimed, direction: QueueDirection) -> bool:
    """Let the row of an item without a record wait in a direction that is paused now; return whether it does.

    In a transaction under the lease. Its direction says which pause holds it: the claim goes by that.
    """
    found = paused_for_writers(batch.board.link.entity_type).get(direction)
    if found is None:
        return False
    batch.snoozed.add(claimed.rows[0].id)
    finish.give_back(claimed.rows, batch.lease.token, words(found, direction))
    rows = SyncQueue.objects.filter(
        entity_type=batch.board.link.entity_type, entity_id=None, remote_id=claimed.remote_id
    )
    rows.filter(status=QueueStatus.PENDING).update(direction=direction)
    return True
