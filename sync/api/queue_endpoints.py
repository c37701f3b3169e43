"""The API of the queue, the sync states and the figures of the sync as a whole."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import models, transaction
from django.urls import path
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync import attention, choices, registry
from sync.api.views import ApiView, ModelPermissions
from sync.models import SyncMetadata, SyncQueue
from sync.models.jobs import is_allowed
from sync.outbox.operate import operate_one
from sync.queue import SyncQueueService
from sync.records import availability
from sync.records.authors import log_action


class QueueRowSerializer(serializers.ModelSerializer[SyncQueue]):
    """A reason to sync a record; without entity_id, an unmatched item."""

    monday_id = serializers.CharField(
        source="remote_id", read_only=True, allow_null=True, help_text="The item, for a job about an unmatched item."
    )

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "direction", "operation", "payload", "status"),
            *("priority", "attempts", "max_attempts", "last_attempt", "next_retry", "error_message"),
            *("reason", "created_at", "finished_at"),
        ]
        read_only_fields = fields


class QueueFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of the queue."""

    status = filters.MultipleChoiceFilter(choices=choices.QueueStatus.choices, help_text="May be given several times.")
    monday_id = filters.CharFilter(field_name="remote_id", help_text="The item.")

    class Meta:
        model = SyncQueue
        fields = ["entity_type", "entity_id", "direction", "operation"]


class QueueBoardStatsSerializer(serializers.Serializer[Any]):
    """Jobs of one record type."""

    pending = serializers.IntegerField(default=0)
    in_progress = serializers.IntegerField(default=0)
    completed = serializers.IntegerField(default=0)
    failed = serializers.IntegerField(default=0)


class QueueStatsSerializer(QueueBoardStatsSerializer):
    """Jobs by state; `due` counts the pending ones that can be synced now."""

    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    by_type = serializers.DictField(child=QueueBoardStatsSerializer())


class JobPermissions(ModelPermissions):
    """Each action on a job has a permission of its own."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method in SAFE_METHODS:
            return super().has_permission(request, view)
        if view.action is None:  # a method that isn't supported: 405 follows
            return request.user.is_authenticated
        return is_allowed(request.user, view.action)


class QueueViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """Jobs, the newest first."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class = QueueFilter
    ordering_fields = ["id", "priority", "attempts", "next_retry", "created_at", "finished_at"]
    permission_classes = [JobPermissions]

    @extend_schema(responses=QueueStatsSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """Retry a job now, with all its attempts."""
        return self._operate(request, SyncQueueService().manual_retry, "Retried")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Close a pending job without a sync."""
        return self._operate(request, partial(operate_one, action="cancel"), "Cancelled")

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Close a failed job."""
        return self._operate(request, partial(operate_one, action="discard"), "Discarded")

    @transaction.atomic
    def _operate(self, request: Request, act: Callable[[int, str], SyncQueue], verb: str) -> Response:
        job = self.get_object()
        updated = act(job.pk, request.user.get_username())
        log_action(request.user, job, f"{verb} by the API.")
        return Response(self.get_serializer(updated).data)


class SyncStateSerializer(serializers.ModelSerializer[SyncMetadata]):
    """A sync state; `remote_id` is the item's if the system is Monday, and also `jira_id` if it is Jira."""

    jira_id = serializers.CharField(read_only=True, allow_null=True)

    class Meta:
        model = SyncMetadata
        fields = [
            *("id", "system", "entity_type", "entity_id", "remote_id", "jira_id"),
            *("sync_status", "sync_direction"),
            *("last_sync_attempt", "last_successful_sync", "error_count", "last_error", "note", "sync_batch_id"),
            *("content_hash", "conflicts", "conflict_opened_at", "conflict_resolved_at", "resolution_strategy"),
            *("sync_duration_ms", "api_calls_count", "local_modified", "remote_modified"),
        ]
        read_only_fields = fields


class SyncStateFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of sync states."""

    sync_status = filters.MultipleChoiceFilter(
        choices=choices.SyncStatus.choices, help_text="May be given several times."
    )

    class Meta:
        model = SyncMetadata
        fields = ["system", "entity_type", "entity_id", "remote_id", "sync_direction"]


class SyncStateViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[SyncMetadata]):
    """Sync states of records and of other code's rows, the newest first."""

    queryset = SyncMetadata.objects.order_by("-id")
    serializer_class = SyncStateSerializer
    filterset_class = SyncStateFilter
    ordering_fields = ["id", "last_sync_attempt", "last_successful_sync", "error_count"]
    permission_classes = [ModelPermissions]


class RecordCountsSerializer(serializers.Serializer[Any]):
    """Records of one type by their sync status."""

    synced = serializers.IntegerField()
    pending = serializers.IntegerField()
    conflict = serializers.IntegerField()
    disabled = serializers.IntegerField()
    total = serializers.IntegerField()
    last_synced = serializers.DateTimeField(allow_null=True)
    board = serializers.CharField(help_text="Why the board can't be synced now; empty if it can.")


class SyncStatsSerializer(serializers.Serializer[Any]):
    """The figures of the sync as a whole."""

    records = serializers.DictField(child=RecordCountsSerializer(), help_text="By record type.")
    queue = QueueStatsSerializer()
    needs_attention = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="How many things of each kind wait for a person, as on Home, as far as you may view them.",
    )
    stop_reason = serializers.CharField(
        help_text="What stops every board now, other than a pause; empty if nothing does."
    )
    stopped_until = serializers.DateTimeField(allow_null=True)


class SyncStatsView(ApiView):
    """The figures of the sync as a whole."""

    queryset = SyncQueue.objects.none()  # for its permission to view
    permission_classes = [ModelPermissions]

    @extend_schema(responses=SyncStatsSerializer, operation_id="sync_stats")
    def get(self, request: Request) -> Response:
        """Records by status, the queue, what waits for a person, and whether Monday is called."""
        stats = sync_stats() | {"needs_attention": attention.counts(attention.kinds_shown_to(request.user))}
        return Response(SyncStatsSerializer(stats).data)


def sync_stats() -> dict[str, Any]:
    """Return the figures for SyncStatsSerializer."""
    boards = availability.overview()
    records = dict[str, dict[str, Any]]()
    for spec in registry.entities():
        by_status = spec.model._default_manager.order_by().values_list("sync_status")
        rows = list(by_status.annotate(models.Count("pk"), models.Max("monday_last_synced")))
        records[spec.entity_type] = {
            **dict.fromkeys(choices.RecordSyncStatus.values, 0),
            **{status: number for status, number, _ in rows},
            "total": sum(number for _, number, _ in rows),
            "last_synced": max((last for *_, last in rows if last), default=None),
            "board": boards.by_type[spec.entity_type].detail,
        }
    account = boards.account
    until = account.stopped_until if account.waits_at(boards.now) else None
    return {
        "records": records,
        "queue": SyncQueueService().get_queue_stats(),
        "stop_reason": account.stop_reason if until or account.needs_probe else "",
        "stopped_until": until,
    }


router = SimpleRouter()
router.register("queue", QueueViewSet, "sync-queue")
router.register("states", SyncStateViewSet, "sync-states")
urlpatterns = [*router.urls, path("stats/", SyncStatsView.as_view(), name="sync-stats")]
