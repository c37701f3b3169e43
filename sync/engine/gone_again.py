"""Items that are taken away each time they are made again: an automation on the board, mostly, and not a mistake."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count

from sync.clock import SyncNow
from sync.engine.subjects import Subject
from sync.models import Decision

DAY = timedelta(days=1)
TOO_OFTEN = (
    "It was made again and again within a day, and taken away each time: look for an automation on the board that "
    "archives or deletes it."
)


def made_too_often(subjects: Sequence[Subject]) -> set[UUID]:
    """Return the records whose item was made again by the board's setting LOOP_TIMES times within a day; 0 is never."""
    if settings.LOOP_TIMES <= 0:
        return set()
    made = Decision.objects.filter(
        entity_id__in=[s.id for s in subjects], kind="unlinked", values__again=True, at__gt=SyncNow() - DAY
    )
    often = (
        made.order_by().values("entity_id").annotate(times=Count("id")).filter(times__gte=settings.LOOP_TIMES)
    )
    return {row["entity_id"] for row in often if row["entity_id"]}
