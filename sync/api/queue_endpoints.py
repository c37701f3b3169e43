"""The queue by API: jobs and counts; retry, cancel and discard of one job or of all that match; pauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, filtered_by, list_filter
from sync.api.request_rules import KnownFieldsMixin, ModelPermissions, QuotingMixin, TrueOrFalse, act
from sync.choices import QueueDirection, TokenScope
from sync.kernel.action_errors import Conflict, PartiallyDone
from sync.models import QueuePause, SyncQueue
from sync.models.jobs import QueueAction, is_allowed
from sync.outbox.operate import BulkResult, expected_rows
from sync.outbox.pauses import pause_target
from sync.queue import SyncQueueService
from sync.records.authors import log_queue_action
from sync.records.item_links import unmatched_condition


class QueueRowSerializer(QuotingMixin, serializers.ModelSerializer[SyncQueue]):
    """A reason to sync a record; one without entity_id is about an unmatched item."""

    quoting = ("error_message", "reason", "payload")

    monday_id = serializers.CharField(
        source="remote_id", read_only=True, allow_null=True, help_text="The item, of a job about an unmatched item."
    )

    class Meta:
        model = SyncQueue
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "direction", "operation", "payload", "status"),
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


class ExpectedSerializer(KnownFieldsMixin):
    """How many rows are meant."""

    expect = serializers.IntegerField(
        min_value=0,
        help_text="The `count` of the list with the same filters, as you saw it; 409 where it is another now.",
    )


class SteeredSerializer(serializers.Serializer[Any]):
    """What became of the rows."""

    done = serializers.IntegerField(help_text="Jobs that were retried, cancelled or discarded.")
    in_flight = serializers.IntegerField(help_text="Jobs in progress; they were left alone.")
    left = serializers.IntegerField(help_text="Other jobs, which it doesn't fit.")


_FILTERED = ("operation", "priority", "attempts", "last_attempt", "next_retry", "created_at", "finished_at")


@filtered_by(SyncQueue, ("status", "entity_type", "direction", "entity_id", *_FILTERED), monday_id="remote_id")
class QueueFilter(FilterSet):  # type: ignore[misc]
    """The filters of the queue."""

    unmatched_items = TrueOrFalse(
        method="of_new_items", label="Unmatched items", help_text="true: only items that no record has yet."
    )

    def of_new_items(self, queryset: QuerySet[Any], name: str, value: bool) -> QuerySet[Any]:
        """Rows about unmatched items, or the others."""
        return queryset.filter(unmatched_condition()) if value else queryset.exclude(unmatched_condition())


@filtered_by(SyncQueue, (), order=("id", "status", *_FILTERED))
class QueueListFilter(QueueFilter):
    """The same with an order, which means nothing to an action on all that match."""


# The queue: pending and failed jobs; retry, cancel and discard of one job or of all that match.


_DONE_VERBS = {"retry": "Retried", "cancel": "Cancelled", "discard": "Discarded"}
JobAction = Callable[[int, str], SyncQueue]
BulkAction = Callable[[QuerySet[SyncQueue], str], BulkResult]


class MaySteer(BasePermission):
    """For an action on one job or on many, by its own permission."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller is known and may do it."""
        return bool(request.user.is_authenticated) and is_allowed(request.user, QueueAction(_action_name(view.action)))


_one = partial(act, responses=QueueRowSerializer, permission_classes=[MaySteer])
_all = partial(
    act,
    detail=False,
    request=ExpectedSerializer,
    responses=SteeredSerializer,
    permission_classes=[MaySteer],
    filterset_class=QueueFilter,
)


class QueueViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """Jobs, the newest first. What acts on all that match is narrowed by the filters of the list."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class: type[FilterSet] = QueueListFilter
    permission_classes = [ModelPermissions]
    narrowed: ClassVar[tuple[str, ...]] = ("list", "retry_all", "cancel_all", "discard_all")
    scope = TokenScope.OPERATE

    @extend_schema(responses=QueueStatsSerializer, filters=False)
    @action(detail=False)
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @_one()
    def retry(self, request: Request, pk: int) -> Response:
        """Retry a job now, with all its attempts."""
        return self._run_one(request, SyncQueueService().manual_retry)

    @_one()
    def cancel(self, request: Request, pk: int) -> Response:
        """Close a pending job without a sync."""
        return self._run_one(request, SyncQueueService().cancel)

    @_one()
    def discard(self, request: Request, pk: int) -> Response:
        """Close a failed job."""
        return self._run_one(request, SyncQueueService().discard)

    @_all(path="retry")
    def retry_all(self, request: Request) -> Response:
        """Retry all failed and pending jobs that match; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().retry_all)

    @_all(path="cancel")
    def cancel_all(self, request: Request) -> Response:
        """Close all pending jobs that match without a sync; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().cancel_all)

    @_all(path="discard")
    def discard_all(self, request: Request) -> Response:
        """Close all failed jobs that match; 409 where another number matches now."""
        return self._run_bulk(request, SyncQueueService().discard_all)

    def _run_one(self, request: Request, job_action: JobAction) -> Response:
        row: SyncQueue = self.get_object()
        with transaction.atomic():
            updated = job_action(row.pk, request.user.get_username())
            log_queue_action(request.user, f"{_DONE_VERBS[self.action]} by the API.", row)
        return Response(self.get_serializer(updated).data)

    def _run_bulk(self, request: Request, bulk_action: BulkAction) -> Response:
        # The list's own filters, so that a program acts on exactly what it listed.
        expected, rows = ExpectedSerializer.read(request)["expect"], self.filter_queryset(self.get_queryset())
        verb, given = _DONE_VERBS[_action_name(self.action)], request.META.get("QUERY_STRING", "")
        filters_text = f", narrowed by {given}" if given else ""
        try:
            found = bulk_action(expected_rows(rows, expected), request.user.get_username())
        # Part of it is done and stays so, and is logged as such.
        except PartiallyDone as error:
            log_queue_action(
                request.user,
                f"{verb} {error.done:,} of {expected:,} jobs by the API{filters_text}; a save had the rest locked.",
            )
            raise
        log_queue_action(request.user, f"{verb} {found.done:,} jobs by the API{filters_text}.")
        left = expected - found.done - found.in_flight  # finished rows included
        return Response(SteeredSerializer(replace(found, left=left)).data)


def _action_name(action: str) -> str:
    """The action's name for one row or many."""
    return action.removesuffix("_all")


# Pauses by API: what is paused, pause, resume.


PAUSED_DIRECTIONS = [("", "Both directions"), *QueueDirection.choices]


class PauseSerializer(serializers.ModelSerializer[QueuePause]):
    """What is paused; an empty entity_type means every board, an empty direction both."""

    direction = serializers.ChoiceField(choices=PAUSED_DIRECTIONS, read_only=True)

    class Meta:
        model = QueuePause
        fields = ["id", "entity_type", "direction", "paused_by", "why", "paused_at"]
        read_only_fields = fields


class PauseRequestSerializer(KnownFieldsMixin):
    """What is to be paused (everything, where neither is given), and why."""

    entity_type = serializers.CharField(
        required=False, allow_blank=True, default="", help_text="One board; empty: every one."
    )
    direction = serializers.ChoiceField(
        choices=QueueDirection.choices,
        required=False,
        allow_blank=True,
        default="",
        help_text="One direction; empty: both.",
    )
    why = serializers.CharField(
        required=False, allow_blank=True, default="", max_length=500, help_text="Shown wherever it keeps something."
    )


class MayPause(BasePermission):
    """For whoever may see the queue, or pause it."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller is known and may."""
        needed = QueueAction.VIEW if request.method in SAFE_METHODS else QueueAction.PAUSE
        return bool(request.user.is_authenticated) and is_allowed(request.user, needed)


class PauseViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[QueuePause]):
    """The pauses in force, the widest first."""

    queryset = QueuePause.objects.order_by("entity_type", "direction")
    serializer_class = PauseSerializer
    # One of every board, or of both directions, is not among those of one.
    filterset_class = list_filter(
        QueuePause,
        ("entity_type", "direction", "paused_by", "paused_at"),
        order=("id", "entity_type", "direction", "paused_at"),
    )
    permission_classes = [MayPause]
    scope = TokenScope.OPERATE

    @extend_schema(request=PauseRequestSerializer, responses=dict.fromkeys((200, 201), PauseSerializer))
    def create(self, request: Request) -> Response:
        """Pause everything, one board, one direction, or one direction of one board, until the pause is deleted.
        Nothing is lost. 201 with `Location`; 200 with the pause that is there already, which stays so.
        """
        asked = PauseRequestSerializer.read(request)
        with transaction.atomic():
            found, is_new = SyncQueueService().pause(request.user.get_username(), **asked)
            if is_new:
                target = pause_target(found.entity_type, found.direction)
                log_queue_action(request.user, f"Paused {target} by the API.")
        headers = {"Location": self.reverse_action("detail", args=[found.pk])}
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(self.get_serializer(found).data, code, headers=headers)

    def destroy(self, request: Request, pk: int) -> Response:
        """End the pause; what waited is worked from now on."""
        found = self.get_object()
        what, target = (found.entity_type, found.direction), pause_target(found.entity_type, found.direction)
        # In no transaction of ours: it moves what waited a thousand rows at a time, which saves would wait for.
        if not SyncQueueService().resume(request.user.get_username(), entity_type=what[0], direction=what[1]):
            raise Conflict(f"Nobody paused {target}, so there is nothing to resume. See GET sync/pauses/.")
        log_queue_action(request.user, f"Resumed {target} by the API.")
        return Response(status=status.HTTP_204_NO_CONTENT)
