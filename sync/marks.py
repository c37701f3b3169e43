"""What a record says of itself after a look that could not settle it: nothing green that isn't equal."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.db.models import F

from sync import registry
from sync.choices import RecordSyncStatus, SyncStatus
from sync.hooks import desk
from sync.models import SyncMetadata


def mark_failed(entity_type: str, entity_id: UUID | None, error: str, *, dead: bool) -> None:
    """Make a synced record pending after a failure, and tell its ledger; a dead letter reads `failed` there."""
    if entity_id is None:
        return
    mark_pending(entity_type, entity_id)
    if dead:
        desk().hand_back(entity_type, [entity_id], f"Your choice could not be carried out: {error}")
    SyncMetadata.objects.filter(entity_type=entity_type, system="monday", entity_id=str(entity_id)).update(
        sync_status=SyncStatus.FAILED if dead else SyncStatus.PENDING,
        last_error=error,
        error_count=F("error_count") + 1,
    )


def mark_pending(entity_type: str, entity_id: UUID) -> None:
    """A row of a person or of a failure waits: the record is not known to be in sync."""
    mark_many_pending(entity_type, [entity_id])


def mark_many_pending(entity_type: str, entity_ids: Sequence[UUID]) -> None:
    """Make those of these records pending that are synced, in one statement."""
    records = registry.entity(entity_type).model._default_manager
    records.filter(pk__in=entity_ids, sync_status=RecordSyncStatus.SYNCED).update(
        sync_status=RecordSyncStatus.PENDING
    )
