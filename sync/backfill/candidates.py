"""Which records a backfill considers: those that sync may put on the board and that have no item."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from sync.choices import SyncDirection
from sync.engine.subjects import Board
from sync.models import Intent, IntentState, SyncedModel
from sync.models.synced import unsynced

CHUNK = 500


def considered(board: Board) -> QuerySet[SyncedModel]:
    """Return the records, the oldest first; one whose create is in the air is somebody else's."""
    in_the_air = Intent.objects.filter(entity_id=OuterRef("pk"), state=IntentState.OPEN)
    records = board.model._default_manager.filter(monday_id=None).exclude(unsynced())
    records = records.exclude(sync_direction=SyncDirection.MONDAY_TO_NPD).exclude(Exists(in_the_air))
    return records.order_by("created_at", "pk")


def chunks(ids: Iterable[UUID], size: int = CHUNK) -> Iterable[list[UUID]]:
    """Cut ids into lists of at most so many."""
    found = list(ids)
    return [found[start : start + size] for start in range(0, len(found), size)]
