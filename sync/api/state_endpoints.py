"""How sync stands: `sync/states/`, the sync state of everything in the ledger, and `sync/stats`, all in figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import Count, Max, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import ShapedView, filtered_by
from sync.api.problems import BadQuery
from sync.api.queue_endpoints import QueueStatsSerializer
from sync.api.request_rules import ApiView, ModelPermissions, QuotingMixin, TrueOrFalse
from sync.choices import ApprovalState, LedgerDirection, RecordSyncStatus, SyncStatus
from sync.clock import sync_now
from sync.limits import breaker, metered_client, pass_budget, quota
from sync.models import ApprovalRequest, SyncMetadata, SyncQueue
from sync.models.state import SyncMetadataQuerySet
from sync.operations import attention
from sync.operations.detect.comparison import latest_verification
from sync.queue import SyncQueueService
from sync.records import availability
from sync.records.ledger_statistics import MAX_HOURS, LedgerStatistics, Selection, statistics, with_served_status
from sync.registry import known_text, visible_types


class SyncStateSerializer(QuotingMixin, serializers.ModelSerializer[SyncMetadata]):
    """The sync state of one thing; `monday_id` and `jira_id` are the remote id where the system is Monday, or Jira."""

    quoting = ("last_error", "note", "conflicts")

    monday_id = serializers.SerializerMethodField(help_text="The item, where the system is Monday.")
    jira_id = serializers.CharField(read_only=True, allow_null=True)
    sync_status = serializers.ChoiceField(source="served_status", choices=SyncStatus.choices, read_only=True)

    class Meta:
        model = SyncMetadata
        fields = [
            *("id", "system", "entity_type", "entity_id", "remote_id", "monday_id", "jira_id"),
            *("sync_status", "sync_direction"),
            *("last_sync_attempt", "last_successful_sync", "error_count", "last_error", "note", "sync_batch_id"),
            *("content_hash", "conflicts", "conflict_opened_at", "conflict_resolved_at", "resolution_strategy"),
            *("sync_duration_ms", "api_calls_count", "local_modified", "remote_modified"),
        ]
        read_only_fields = fields

    def get_monday_id(self, row: SyncMetadata) -> str | None:
        """The remote id of a row of Monday's."""
        return row.remote_id if row.system == "monday" else None


STALE = "Only those whose last success is longer ago, or never was; skipped ones are never stale."


@extend_schema_field({"type": "number", "minimum": 0, "maximum": MAX_HOURS, "description": STALE})
class HoursFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """A number of hours; the schema says so, whatever column it is compared with."""


_FILTERED = (
    *("last_sync_attempt", "last_successful_sync", "error_count", "sync_batch_id", "content_hash"),
    *("conflict_opened_at", "conflict_resolved_at", "resolution_strategy", "sync_duration_ms", "api_calls_count"),
    *("local_modified", "remote_modified"),
)


@filtered_by(SyncMetadata, _FILTERED, order=("id", *_FILTERED))
class SyncStateFilter(FilterSet):  # type: ignore[misc]
    """The filters of sync states."""

    system = django_filters.CharFilter()
    entity_type = django_filters.CharFilter()
    entity_id = django_filters.CharFilter()
    remote_id = django_filters.CharFilter()
    jira_id = django_filters.CharFilter(help_text="The remote id of a row of Jira’s.")
    sync_status = django_filters.MultipleChoiceFilter(
        field_name="served_status", choices=SyncStatus.choices, help_text="May be given several times."
    )
    sync_direction = django_filters.ChoiceFilter(choices=LedgerDirection.choices)
    conflicts = TrueOrFalse(method="in_conflict", label="Conflicts", help_text="true: only those with an open one.")
    stale_hours = HoursFilter(
        method="last_synced_before", min_value=0, max_value=MAX_HOURS, label="Stale", help_text=STALE
    )

    monday_id = django_filters.CharFilter(method="of_item", label="Monday item", help_text="The item's id.")

    def of_item(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """The rows of an item of Monday's."""
        return queryset.filter(system="monday", remote_id=value)

    def in_conflict(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows with an open conflict, or the others."""
        return queryset.exclude(conflicts={}) if value else queryset.filter(conflicts={})

    def last_synced_before(self, queryset: SyncMetadataQuerySet, name: str, value: Any) -> QuerySet[Any]:
        """As SyncStateService.stale says it."""
        return queryset.stale(timedelta(hours=float(value)))


class SyncStateViewSet(ShapedView, mixins.ListModelMixin, viewsets.GenericViewSet[SyncMetadata]):
    """Sync states, the newest first: of records, and of what other code keeps in sync."""

    queryset = SyncMetadata.objects.order_by("-id")  # whose permission page and report ask for
    serializer_class = SyncStateSerializer
    filterset_class = SyncStateFilter
    permission_classes = [ModelPermissions]

    def get_queryset(self) -> QuerySet[SyncMetadata]:
        """With the status as the queue has it."""
        return with_served_status(super().get_queryset())


# The figures of sync states, a part of `sync/stats`.


class LedgerStatsParams(serializers.Serializer[Any]):
    """Which part of the ledger the figures are of."""

    system = serializers.CharField(required=False, help_text="Of the sync states: one system, as monday, jira.")
    entity_type = serializers.CharField(required=False, help_text="Of the sync states: one type.")
    status = serializers.ChoiceField(SyncStatus.choices, required=False, help_text="Of the sync states.")
    direction = serializers.ChoiceField(LedgerDirection.choices, required=False, help_text="Of the sync states.")
    hours = serializers.IntegerField(
        required=False, min_value=1, max_value=MAX_HOURS, help_text="The window of the sync states; 24 unless said."
    )


def selected_statistics(query: Any) -> LedgerStatistics:
    """The figures that the query’s parameters choose; raises BadQuery."""
    params = LedgerStatsParams(data=query)
    if not params.is_valid():
        raise BadQuery(params.errors, code="invalid")
    chosen = dict(params.validated_data)
    return statistics(Selection(window=timedelta(hours=chosen.pop("hours", 24)), **chosen))


class LedgerGroupSerializer(serializers.Serializer[Any]):
    """How many rows there are of one kind."""

    system = serializers.CharField()
    entity_type = serializers.CharField()
    status = serializers.CharField()
    direction = serializers.CharField()
    number = serializers.IntegerField()


class LedgerDurationSerializer(serializers.Serializer[Any]):
    """Milliseconds of the pass or batch that carried a thing."""

    median = serializers.IntegerField(allow_null=True)
    p95 = serializers.IntegerField(allow_null=True)
    p99 = serializers.IntegerField(allow_null=True)


class LedgerConflictsSerializer(serializers.Serializer[Any]):
    """Conflicts of the system and type: open now, opened and resolved within the window."""

    open = serializers.IntegerField()
    opened = serializers.IntegerField()
    resolved = serializers.IntegerField()
    median_wait_seconds = serializers.FloatField(allow_null=True)


class LedgerErrorSerializer(serializers.Serializer[Any]):
    """Errors that differ in numbers and ids alone, the newest as example."""

    number = serializers.IntegerField()
    example = serializers.CharField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    newest = serializers.DateTimeField()


class LedgerUnsyncedSerializer(serializers.Serializer[Any]):
    """The thing that waits longest since it was in sync."""

    system = serializers.CharField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    status = serializers.CharField()
    last_successful_sync = serializers.DateTimeField()


class LedgerBarSerializer(serializers.Serializer[Any]):
    """A part of the window."""

    since = serializers.DateTimeField()
    tried = serializers.IntegerField()
    failed = serializers.IntegerField()


class LedgerStatsSerializer(serializers.Serializer[Any]):
    """The ledger in figures; a window counts each thing once, by when it was last tried."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    total = serializers.IntegerField(help_text="Rows, whenever they were tried.")
    by_status = serializers.DictField(child=serializers.IntegerField())
    groups = LedgerGroupSerializer(many=True)
    tried = serializers.IntegerField(help_text="Rows last tried within the window.")
    success_rate = serializers.FloatField(
        allow_null=True, help_text="Of those that ended, the share not failed; 0 to 1."
    )
    per_hour = serializers.FloatField()
    duration_ms = LedgerDurationSerializer()
    api_calls = serializers.IntegerField()
    api_calls_per_thing = serializers.FloatField(allow_null=True)
    api_calls_per_batch = serializers.FloatField(allow_null=True)
    batches = serializers.IntegerField()
    conflicts = LedgerConflictsSerializer()
    errors = LedgerErrorSerializer(many=True)  # type: ignore[assignment]  # the name of a property of serializers
    oldest_unsynced = LedgerUnsyncedSerializer(allow_null=True)
    never_synced = serializers.IntegerField()
    hours = LedgerBarSerializer(many=True)


# `sync/stats`: how sync stands as a whole.


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
    """Records that said `synced`, as the last nightly comparison of each board found them."""

    at = serializers.DateTimeField(allow_null=True, help_text="The newest comparison; null: there was none yet.")
    compared = serializers.IntegerField(help_text="Records that were compared.")
    differed = serializers.IntegerField(help_text="Of these, records that differed: there should be none.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """How sync stands as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    open_conflicts = serializers.IntegerField(help_text="Records that wait for a person.")
    waiting_for_approval = serializers.IntegerField(help_text="Bulk deletions that wait for approval.")
    needs_attention = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many things of each kind wait for a person, as far as you may view them: the inbox’s tabs.",
    )
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
        types = visible_types(request.user)
        for error in ledger["errors"]:
            error["example"] = known_text(types, error["entity_type"], error["example"])
        attention_counts = attention.counts(attention.scope_of(request.user))
        return Response(
            SyncStatsSerializer(sync_stats() | {"ledger": ledger, "needs_attention": attention_counts}).data
        )


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
    paused = account.stopped_until is not None and account.stopped_until > sync_now()
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "open_conflicts": sum(one[RecordSyncStatus.CONFLICT] for one in records.values()),
        "waiting_for_approval": ApprovalRequest.objects.filter(state=ApprovalState.PENDING).count(),
        "verified": latest_verification(),
        "budget": quota.forecast(),
        "monday_configured": metered_client.is_configured(),
        "paused": account.stop_reason if paused else "",
        "paused_until": account.stopped_until if paused else None,
        "last_synced": max(latest, default=None),
    }
