"""Paused directions in a pass: what would be written that way waits, the rest goes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sync.choices import Cause, Priority, QueueDirection, QueueStatus, RecordGone
from sync.kernel.conflict_store import KIND_DELETE
from sync.models import SyncQueue
from sync.outbox.pauses import locked_pauses, pause_sentence
from sync.outbox.queue_rows import enqueue_many
from sync.reconcile.batch import Batch, DeletedRecord, Outcome, RecordAction, RecordSync, WorkUnit, end_jobs

S = TypeVar("S", bound=WorkUnit)
BOTH_DIRECTIONS = (QueueDirection.TO_MONDAY, QueueDirection.TO_NPD)
_NEEDED_DIRECTIONS = {
    RecordAction.CREATE: (QueueDirection.TO_MONDAY,),
    RecordAction.DELETE: (QueueDirection.TO_NPD,),
    RecordAction.UNLINK: BOTH_DIRECTIONS,
}
_UNCERTAIN_CAUSES = Cause.WEBHOOK | Cause.SWEEP | Cause.FAILURE


def defer_paused(batch: Batch) -> None:
    """Block what the plans would write in a paused direction."""
    if not batch.pauses:
        return
    for record_sync in batch.open_records:
        if record_sync.unlink_reason and end_if_paused(batch, record_sync, *BOTH_DIRECTIONS):
            record_sync.unlink_reason = record_sync.unlink_actor = ""
        elif record_sync.creates:
            end_if_paused(batch, record_sync, QueueDirection.TO_MONDAY)
        else:
            for key, field_plan in record_sync.field_plans.items():
                written = {QueueDirection.TO_MONDAY: field_plan.send_raw, QueueDirection.TO_NPD: field_plan.write_raw}
                for direction in BOTH_DIRECTIONS:
                    if direction in batch.pauses and written[direction] is not None:
                        # Neither applied nor handed back: what a person chose for it is planned again by a later pass.
                        held = field_plan.block(pause_sentence(batch.pauses[direction], direction))
                        record_sync.field_plans[key] = replace(held, resolution=None)
                        record_sync.paused_directions.add(direction)
            if record_sync.write_npd_id and QueueDirection.TO_MONDAY in batch.pauses:
                record_sync.write_npd_id = False
                record_sync.paused_directions.add(QueueDirection.TO_MONDAY)


def defer_removed_items(batch: Batch, record_syncs: Iterable[RecordSync]) -> None:
    """Leave undone what becomes of records whose items are gone; a choice that led to it stays with its conflict."""
    for record_sync in record_syncs:
        removed = record_sync.removed_item
        if removed and removed.act and end_if_paused(batch, record_sync, *_NEEDED_DIRECTIONS[removed.act]):
            is_asked = any(conflict.kind == KIND_DELETE for conflict in record_sync.conflicts)
            options = removed.options if is_asked else ()
            record_sync.removed_item = replace(removed, act=RecordAction.NOTHING, options=options)
            record_sync.unlink_reason = record_sync.unlink_actor = ""


def end_if_paused(batch: Batch, record_sync: RecordSync, *directions: QueueDirection) -> bool:
    """Leave the record as it is where one of these directions is paused; return whether it is."""
    paused = [direction for direction in directions if direction in batch.pauses]
    if not paused:
        return False
    record_sync.paused_directions |= set(paused)
    why = pause_sentence(batch.pauses[paused[0]], paused[0])
    record_sync.end(Outcome.PAUSED, why, reason=why)
    return True


def enqueue_paused(entity_type: str, record_syncs: Sequence[RecordSync]) -> None:
    """In settle: put a row into each direction in which something was left to be done, with what its own rows said.

    As urgent as the pass was, and never of webhooks or sweeps alone: it is known that something is to be done.
    """
    for record_sync in record_syncs:
        for direction in sorted(record_sync.paused_directions):
            enqueue_many(
                entity_type,
                [record_sync.id],
                direction=QueueDirection(direction),
                cause=(record_sync.causes & ~_UNCERTAIN_CAUSES) | Cause.DEPENDENCY,
                priority=Priority(min((row.priority for row in record_sync.claim.rows), default=Priority.SWEEP)),
                payload=record_sync.claim.payload,
            )


def unpaused_records(batch: Batch, units: Sequence[S], direction: QueueDirection) -> list[S]:
    """Return the units where this direction wasn't paused since the pass began; else release them all.

    In a transaction under the lease, right before something is written that way: `pause` waits for its end.
    """
    if not units:
        return []
    found_pause = locked_pauses(batch.entity_type).get(direction)
    if found_pause is None:
        return list(units)
    for unit in units:
        unit.drop(Outcome.RELEASED, pause_sentence(found_pause, direction))
    return []


def has_local_writes(record_sync: RecordSync) -> bool:
    """Whether settling would write more of the record than its bookkeeping."""
    pulls = any(field_plan.write_raw is not None for field_plan in record_sync.field_plans.values())
    act = record_sync.removed_item.act if record_sync.removed_item else RecordAction.NOTHING
    acts = act in (RecordAction.DELETE, RecordAction.UNLINK) or bool(record_sync.unlink_reason)
    return record_sync.outcome is Outcome.SETTLED and (pulls or acts)


# Paused directions in a pass over deleted records and at items without a record: they wait as they
# are.


def defer_deleted_records(
    batch: Batch, wanted: Mapping[RecordGone, Sequence[DeletedRecord]]
) -> Mapping[RecordGone, Sequence[DeletedRecord]]:
    """Return what may be done with the items of deleted records; the tombstones of the others wait."""
    for deleted in batch.deleted_records:
        if deleted.restores and end_if_paused(batch, deleted, QueueDirection.TO_NPD):
            deleted.restores = False
    if QueueDirection.TO_MONDAY not in batch.pauses:
        return wanted
    for deleted in [deleted for deleted_records in wanted.values() for deleted in deleted_records]:
        end_if_paused(batch, deleted, QueueDirection.TO_MONDAY)
    return {}


def defer_item_if_paused(batch: Batch, item: WorkUnit, direction: QueueDirection) -> bool:
    """Let the row of an item without a record wait in a direction that is paused now; return whether it does.

    In a transaction under the lease. Its direction says which pause holds it: the claim goes by that.
    """
    found_pause = locked_pauses(batch.entity_type).get(direction)
    if found_pause is None:
        return False
    item.end(Outcome.RELEASED, pause_sentence(found_pause, direction))
    end_jobs(batch, [item])
    rows = SyncQueue.objects.filter(entity_type=batch.entity_type, entity_id=None, remote_id=item.claim.remote_id)
    rows.filter(status=QueueStatus.PENDING).update(direction=direction)
    return True
