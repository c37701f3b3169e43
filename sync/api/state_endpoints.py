"""`/api/v1/sync/states/`: the sync state of everything in the ledger; and its figures within `/api/v1/sync/stats`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets

from sync.api.problems import BadQuery
from sync.api.request_rules import ApiView, ModelPermissions, TrueOrFalse
from sync.choices import LedgerDirection, SyncStatus
from sync.clock import SyncNow
from sync.models import SyncMetadata
from sync.records.ledger_statistics import MAX_HOURS, LedgerStatistics, Selection, statistics, with_served_status


class SyncStateSerializer(serializers.ModelSerializer[SyncMetadata]):
    """The sync state of one thing; `jira_id` is the remote id where the system is Jira."""

    jira_id = serializers.CharField(read_only=True, allow_null=True)
    sync_status = serializers.ChoiceField(source="served_status", choices=SyncStatus.choices, read_only=True)

    class Meta:
        model = SyncMetadata
        fields = [
            *("id", "system", "entity_type", "entity_id", "remote_id", "jira_id", "sync_status", "sync_direction"),
            *("last_sync_attempt", "last_successful_sync", "error_count", "last_error", "note", "sync_batch_id"),
            *("content_hash", "conflicts", "conflict_opened_at", "conflict_resolved_at", "resolution_strategy"),
            *("sync_duration_ms", "api_calls_count", "local_modified", "remote_modified"),
        ]
        read_only_fields = fields


STALE = "Only those whose last success is longer ago, or never was; skipped ones are never stale."


@extend_schema_field({"type": "number", "minimum": 0, "maximum": MAX_HOURS, "description": STALE})
class HoursFilter(django_filters.NumberFilter):  # type: ignore[misc]
    """A number of hours; the schema says so, whatever column it is compared with."""


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

    def in_conflict(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows with an open conflict, or the others."""
        return queryset.exclude(conflicts={}) if value else queryset.filter(conflicts={})

    def last_synced_before(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """As SyncStateService.stale says it."""
        long_ago = SyncNow() - timedelta(hours=float(value))
        stale = Q(last_successful_sync=None) | Q(last_successful_sync__lt=long_ago)
        return queryset.filter(stale).exclude(sync_status=SyncStatus.SKIPPED)


@extend_schema_view(
    list=extend_schema(description="Sync states, newest first: of records, and of what other code keeps in sync.")
)
class SyncStateViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[SyncMetadata]):
    """The ledger, read-only: the engine writes the states of records, SyncStateService those of other things."""

    queryset = SyncMetadata.objects.order_by("-id")  # whose permission page and report ask for
    serializer_class = SyncStateSerializer
    filterset_class = SyncStateFilter
    permission_classes = [ModelPermissions]

    def get_queryset(self) -> QuerySet[SyncMetadata]:
        """With the status as the queue has it."""
        return with_served_status(super().get_queryset())


# The figures, as `/api/v1/sync/stats` answers them.


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
