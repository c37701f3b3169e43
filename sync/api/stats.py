"""`/api/v1/sync/stats`: how sync stands as a whole."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Count, Max
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sync import account, budget, registry
from sync.api.permissions import ModelPermissions
from sync.api.queue import QueueStatsSerializer
from sync.api.views import ApiView
from sync.audit.figures import verified
from sync.choices import GuardState, RecordSyncStatus
from sync.clock import sync_now
from sync.models import GuardedAct, SyncQueue
from sync.queue import SyncQueueService
from sync.registry import EntitySpec
from sync.standstill import why_waits


class RecordCountsSerializer(serializers.Serializer[Any]):
    """Records of one type by their sync status."""

    synced = serializers.IntegerField()
    pending = serializers.IntegerField()
    conflict = serializers.IntegerField()
    disabled = serializers.IntegerField()
    total = serializers.IntegerField()
    last_synced = serializers.DateTimeField(allow_null=True)
    board = serializers.CharField(help_text="Why the board can't be worked now; empty when it can.")
    window_seconds = serializers.FloatField(
        help_text="For how long changes are gathered before the next look; 0: each goes out at once."
    )


class AllowanceSerializer(serializers.Serializer[Any]):
    """Calls to Monday of the UTC day; null where the plan's limit isn't known."""

    used = serializers.FloatField(
        help_text="By everyone who uses the account; a refused call counts a tenth."
    )
    limit = serializers.IntegerField(allow_null=True)
    left = serializers.FloatField(allow_null=True)
    reserve = serializers.IntegerField(help_text="What is kept of it for what a person clicked.")
    forecast_ends_at = serializers.DateTimeField(
        source="ends_at", allow_null=True, help_text="At the rate of the last hour, if before midnight UTC."
    )
    words = serializers.CharField()
    as_of = serializers.DateTimeField(allow_null=True, help_text="When Monday last told its own figure.")


class VerifiedSerializer(serializers.Serializer[Any]):
    """Records that said `synced`, read again on both sides: the samples of the day before the newest."""

    at = serializers.DateTimeField(allow_null=True, help_text="The newest sample; null: none was read yet.")
    sampled = serializers.IntegerField(help_text="Records that were compared.")
    drifted = serializers.IntegerField(help_text="Of these, records that differed: there should be none.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """How sync stands as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    open_conflicts = serializers.IntegerField(help_text="Records that wait for a person.")
    waiting_for_approval = serializers.IntegerField(
        help_text="Deletes and emptied fields that the guard holds."
    )
    verified = VerifiedSerializer()
    budget = AllowanceSerializer()
    monday_configured = serializers.BooleanField()
    paused = serializers.CharField(help_text="Why Monday isn't called now; empty when it is.")
    paused_until = serializers.DateTimeField(allow_null=True)
    last_synced = serializers.DateTimeField(allow_null=True)


class SyncStats(ApiView):
    """How sync stands as a whole."""

    queryset = SyncQueue.objects.none()  # whose permission to view this needs
    permission_classes = [ModelPermissions]

    @extend_schema(responses=SyncStatsSerializer)
    def get(self, request: Request) -> Response:
        """Records by status, the queue, open conflicts, and whether Monday is called."""
        return Response(SyncStatsSerializer(sync_stats()).data)


def sync_stats() -> dict[str, Any]:
    """The figures that SyncStatsSerializer shows."""
    records = {spec.entity_type: _counts(spec) for spec in registry.entities()}
    latest = [counts["last_synced"] for counts in records.values() if counts["last_synced"]]
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "open_conflicts": sum(counts[RecordSyncStatus.CONFLICT] for counts in records.values()),
        "waiting_for_approval": GuardedAct.objects.filter(state=GuardState.HELD).count(),
        "verified": verified(),
        "budget": budget.forecast(),
        "monday_configured": account.is_configured(),
        **_pause(),
        "last_synced": max(latest, default=None),
    }


def _counts(spec: EntitySpec) -> dict[str, Any]:
    by_status = spec.model._default_manager.order_by().values_list("sync_status")
    rows = by_status.annotate(Count("id"), Max("monday_last_synced"))
    counts: dict[str, int] = dict.fromkeys(RecordSyncStatus.values, 0)
    latest: list[datetime] = []
    for state, number, last in rows:
        counts[state] = number
        latest += [last] if last else []
    return {
        **counts,
        "total": sum(counts.values()),
        "last_synced": max(latest, default=None),
        "board": why_waits(spec.entity_type),
        "window_seconds": budget.window_of(),
    }


def _pause() -> dict[str, Any]:
    row, now = account.account(), sync_now()
    paused = row.paused_until is not None and row.paused_until > now
    return {
        "paused": row.pause_reason if paused else "",
        "paused_until": row.paused_until if paused else None,
    }
