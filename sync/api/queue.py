"""The queue by API: what waits, what failed, and the retry."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.permissions import MayChange, ModelPermissions
from sync.api.problems import Conflict
from sync.api.views import ApiView
from sync.choices import QueueDirection, QueueStatus
from sync.models import SyncQueue
from sync.newcomers import of_new_items
from sync.queue import QueueError, SyncQueueService


class QueueRowSerializer(serializers.ModelSerializer[SyncQueue]):
    """A reason to look at a record; a candidate (no entity_id) is an item that no record has yet."""

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "remote_id", "direction", "operation", "payload", "status"),
            *("priority", "attempts", "max_attempts", "last_attempt", "next_retry", "error_message"),
            *("reason", "created_at", "finished_at"),
        ]
        read_only_fields = fields


class QueueBoardStatsSerializer(serializers.Serializer[Any]):
    """The rows of one record type."""

    pending = serializers.IntegerField(default=0)
    in_progress = serializers.IntegerField(default=0)
    completed = serializers.IntegerField(default=0)
    failed = serializers.IntegerField(default=0)


class QueueStatsSerializer(QueueBoardStatsSerializer):
    """How many rows are in which state; `due` ones would be worked now, by a board that can be worked."""

    due = serializers.IntegerField()
    oldest_due_seconds = serializers.FloatField()
    by_type = serializers.DictField(child=QueueBoardStatsSerializer())


class QueueFilter(FilterSet):  # type: ignore[misc]
    """What the queue can be narrowed by."""

    status = django_filters.MultipleChoiceFilter(
        choices=QueueStatus.choices, help_text="May be given several times."
    )
    entity_type = django_filters.CharFilter()
    direction = django_filters.ChoiceFilter(choices=QueueDirection.choices)
    entity_id = django_filters.UUIDFilter()
    candidates = django_filters.BooleanFilter(
        method="of_new_items",
        label="Candidates",
        help_text="true: only items that no record has yet.",
    )

    def of_new_items(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows about new items, or the others."""
        return queryset.filter(of_new_items()) if value else queryset.exclude(of_new_items())


@extend_schema_view(
    list=extend_schema(description="Rows of the queue, newest first."),
    retrieve=extend_schema(description="One row."),
)
class QueueViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """The queue, read-only but for the retry."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class = QueueFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"retry": (409,)}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters are for the list; a row is named by its id alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_permissions(self) -> Any:
        """A retry needs the permission to change rows."""
        return [MayChange()] if self.action == "retry" else super().get_permissions()

    @extend_schema(responses=QueueStatsSerializer, filters=False, description="The queue in numbers.")
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @extend_schema(request=None, description="Try a row again now, with its attempts counted anew.")
    def retry(self, request: Request, pk: int) -> Response:
        """Try a row again now; 409 with a sentence where it can't be."""
        row = self.get_object()
        try:
            row = SyncQueueService().manual_retry(row.pk, by=request.user.get_username())
        except QueueError as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(row).data)
