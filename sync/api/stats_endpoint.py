"""`/api/v1/sync/stats`: how sync stands as a whole."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Max
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.queue_endpoints import QueueStatsSerializer
from sync.api.request_rules import ApiView, ModelPermissions
from sync.api.state_endpoints import LedgerStatsParams, LedgerStatsSerializer, selected_statistics
from sync.choices import GuardState, RecordSyncStatus
from sync.clock import sync_now
from sync.limits import breaker, metered_client, pass_budget, quota
from sync.models import GuardedAct, SyncQueue
from sync.operations.detect.verification import latest_verification
from sync.queue import SyncQueueService
from sync.records import availability


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
        help_text="For how long changes are gathered before the next sync; 0: each goes out at once."
    )


class AllowanceSerializer(serializers.Serializer[Any]):
    """Calls to Monday of the UTC day; null where the plan's limit isn't known."""

    used = serializers.FloatField(help_text="By everyone who uses the account; a refused call counts a tenth.")
    limit = serializers.IntegerField(allow_null=True)
    left = serializers.FloatField(allow_null=True)
    reserve = serializers.IntegerField(help_text="What is kept of it for what a person clicked.")
    forecast_ends_at = serializers.DateTimeField(
        source="ends_at", allow_null=True, help_text="At the rate of the last hour, if before midnight UTC."
    )
    words = serializers.CharField()
    as_of = serializers.DateTimeField(allow_null=True, help_text="When Monday last reported its own figure.")


class VerifiedSerializer(serializers.Serializer[Any]):
    """Records that said `synced`, read again on both sides: the samples of the day before the newest."""

    at = serializers.DateTimeField(allow_null=True, help_text="The newest verification; null: there was none yet.")
    sampled = serializers.IntegerField(help_text="Records that were compared.")
    drifted = serializers.IntegerField(help_text="Of these, records that differed: there should be none.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """How sync stands as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    open_conflicts = serializers.IntegerField(help_text="Records that wait for a person.")
    waiting_for_approval = serializers.IntegerField(help_text="Bulk deletions that wait for approval.")
    verified = VerifiedSerializer()
    budget = AllowanceSerializer()
    monday_configured = serializers.BooleanField()
    paused = serializers.CharField(help_text="Why Monday isn't called now; empty when it is.")
    paused_until = serializers.DateTimeField(allow_null=True)
    last_synced = serializers.DateTimeField(allow_null=True)
    ledger = LedgerStatsSerializer(help_text="Sync states, other systems’ too, as far as the parameters choose.")


class SyncStatsView(ApiView):
    """How sync stands as a whole."""

    queryset = SyncQueue.objects.none()  # its permission to view is the one needed here
    permission_classes = [ModelPermissions]

    def query_parameters(self) -> dict[str, bool]:
        """Which part of the ledger is meant."""
        return super().query_parameters() | dict.fromkeys(LedgerStatsParams().fields, False)

    @extend_schema(parameters=[LedgerStatsParams], responses=SyncStatsSerializer)
    def get(self, request: Request) -> Response:
        """Records by status, the queue, open conflicts, whether Monday is called, and the ledger in figures."""
        ledger = selected_statistics(request.query_params).to_json()
        if not request.user.has_perm("sync.view_syncmetadata"):
            ledger |= {"errors": [], "oldest_unsynced": None}  # these name single records, and say what went wrong
        return Response(SyncStatsSerializer(sync_stats() | {"ledger": ledger}).data)


def sync_stats() -> dict[str, Any]:
    """The figures that SyncStatsSerializer shows."""
    records: dict[str, dict[str, Any]] = {}
    for spec in registry.entities():
        by_status = spec.model._default_manager.order_by().values_list("sync_status")
        rows = list(by_status.annotate(Count("id"), Max("monday_last_synced")))
        counts = dict.fromkeys(RecordSyncStatus.values, 0) | {state: number for state, number, _last in rows}
        records[spec.entity_type] = {
            **counts,
            "total": sum(counts.values()),
            "last_synced": max((last for _state, _number, last in rows if last), default=None),
            "board": availability.of(spec.entity_type).waiting_reason,
            "window_seconds": pass_budget.batching_delay(),
        }
    latest = [one["last_synced"] for one in records.values() if one["last_synced"]]
    account = breaker.monday_account()
    paused = account.paused_until is not None and account.paused_until > sync_now()
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "open_conflicts": sum(one[RecordSyncStatus.CONFLICT] for one in records.values()),
        "waiting_for_approval": GuardedAct.objects.filter(state=GuardState.PENDING).count(),
        "verified": latest_verification(),
        "budget": quota.forecast(),
        "monday_configured": metered_client.is_configured(),
        "paused": account.pause_reason if paused else "",
        "paused_until": account.paused_until if paused else None,
        "last_synced": max(latest, default=None),
    }
