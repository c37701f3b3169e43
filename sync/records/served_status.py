"""How sync states are served: their stored status, and what the queue says of own records."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, UUIDField, Value, When
from django.db.models.functions import Cast

from sync import registry
from sync.choices import QueueStatus, SyncStatus
from sync.models import SyncQueue


def with_served_status(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Add `served_status` to sync states: as stored, but for what the queue says of this application's own records."""

    def in_queue(status: QueueStatus) -> Q:
        # By the queue's own columns, which its index has.
        jobs = SyncQueue.objects.filter(status=status, entity_id=OuterRef("own_id"))
        jobs = jobs.filter(entity_type=OuterRef("entity_type"))
        return Q(Exists(jobs), system="monday", entity_type__in=own)

    own = [spec.entity_type for spec in registry.entities()]
    # Only an own record's id is a UUID for sure.
    is_own = When(system="monday", entity_type__in=own, then=Cast("entity_id", UUIDField()))
    found: QuerySet[Any] = rows.alias(own_id=Case(is_own, output_field=UUIDField())).annotate(
        served_status=Case(
            When(sync_status=SyncStatus.SKIPPED, then=F("sync_status")),
            When(in_queue(QueueStatus.IN_PROGRESS), then=Value(SyncStatus.IN_PROGRESS.value)),
            When(in_queue(QueueStatus.PENDING), then=Value(SyncStatus.PENDING.value)),
            default=F("sync_status"),
            output_field=CharField(choices=SyncStatus.choices),
        )
    )
    return found
