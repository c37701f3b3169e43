"""What sync_status may say: the first that fits of disabled, conflict, synced, pending."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sync.choices import Cause, QueueStatus, RecordSyncStatus, SyncStatus
from sync.clock import SyncNow
from sync.engine.ledgers import keeps_from_sync
from sync.engine.planning import way_of
from sync.engine.subjects import Batch, Outcome, Planned, Subject
from sync.merge import Action, Way
from sync.models import Intent, IntentState, SyncMetadata, SyncQueue
from sync.refused import LEFT_BY

WEIGHTLESS = int(Cause.WEBHOOK | Cause.SWEEP)
"""A waiting row that only webhooks or sweeps wrote counts once it is weighed and found to be more."""


def decide(batch: Batch, subjects: Sequence[Subject]) -> None:
    """Write every looked-at record's status, in the settle transaction after all else is known."""
    open_ids = _records_with_something_open(batch, [s.id for s in subjects])
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        something_open = subject.id in open_ids or _is_altered(batch, subject)
        groups.setdefault(_status_of(subject, something_open), []).append(subject)
    for status, found in groups.items():
        _write(batch, status, found)


def _records_with_something_open(batch: Batch, ids: Sequence[UUID]) -> set[UUID]:
    rows = SyncQueue.objects.filter(entity_type=batch.board.link.entity_type, entity_id__in=ids)
    waiting = {
        entity_id
        for entity_id, causes in rows.filter(status=QueueStatus.PENDING).values_list("entity_id", "causes")
        if causes & ~WEIGHTLESS and entity_id
    }
    dead = set(rows.filter(status=QueueStatus.FAILED).values_list("entity_id", flat=True))
    intents = Intent.objects.filter(entity_id__in=ids, state=IntentState.OPEN)
    return waiting | {i for i in dead if i} | set(intents.values_list("entity_id", flat=True))


def _is_altered(batch: Batch, subject: Subject) -> bool:
    """Whether Monday made something else of a value; a field that isn't synced any more has nothing to put right."""
    return any(
        mapping.key in subject.ledger.altered and way_of(subject, mapping) is not Way.NONE
        for mapping in batch.board.mappings
    )


def _status_of(subject: Subject, something_open: bool) -> str:
    if not subject.record.may_sync:
        return RecordSyncStatus.DISABLED
    if subject.ledger.conflicts:
        return RecordSyncStatus.CONFLICT
    clean = not (something_open or keeps_from_sync(subject.ledger.held) or subject.note)
    settled = subject.outcome is Outcome.SETTLED and bool(subject.record.monday_id)
    return (
        RecordSyncStatus.SYNCED
        if clean and settled and not _moved_apart(subject)
        else RecordSyncStatus.PENDING
    )


def _moved_apart(subject: Subject) -> bool:
    """Whether a side is known to have left its half of the base, as a pull that gave way to a save."""
    return any(
        p.decision.action is not Action.NOTHING and p.mapping.key not in subject.ledger.base
        for p in subject.planned.values()
        if p.mapping.column_id and subject.item is not None and not _is_left(subject, p)
    )


def _is_left(subject: Subject, planned: Planned) -> bool:
    """Whether the field may differ: a relation that is left out, or a value that a person left in NPD."""
    return planned.left_out or LEFT_BY in subject.ledger.held.get(planned.mapping.key, {})


_LEDGER = {
    RecordSyncStatus.SYNCED: SyncStatus.COMPLETED,
    RecordSyncStatus.DISABLED: SyncStatus.SKIPPED,
    RecordSyncStatus.CONFLICT: SyncStatus.COMPLETED,
    RecordSyncStatus.PENDING: SyncStatus.PENDING,
}


def _write(batch: Batch, status: str, subjects: Sequence[Subject]) -> None:
    ids = [subject.id for subject in subjects]
    values = {"sync_status": status}
    ledger: dict[str, object] = {"sync_status": _LEDGER[RecordSyncStatus(status)]}
    if status == RecordSyncStatus.SYNCED:
        values |= {"monday_last_synced": SyncNow()}  # type: ignore[dict-item]
        ledger |= {"last_successful_sync": SyncNow()}
    batch.board.model._default_manager.filter(pk__in=ids).update(**values)
    entries = SyncMetadata.objects.filter(
        entity_type=batch.board.link.entity_type, system="monday", entity_id__in=[str(i) for i in ids]
    )
    entries.update(**ledger)
    _mark_dead(batch, ids)


def _mark_dead(batch: Batch, ids: Sequence[UUID]) -> None:
    """A dead letter reads `failed` in the ledger."""
    dead = SyncQueue.objects.filter(
        entity_type=batch.board.link.entity_type, entity_id__in=ids, status=QueueStatus.FAILED
    ).values_list("entity_id", flat=True)
    failed = [str(i) for i in dead]
    if failed:
        SyncMetadata.objects.filter(
            entity_type=batch.board.link.entity_type, system="monday", entity_id__in=failed
        ).update(sync_status=SyncStatus.FAILED)
