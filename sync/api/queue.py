"""The queue by API: what waits and what failed; retry, cancel and discard, of one row or of all that match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.permissions import MaySteer, ModelPermissions
from sync.api.problems import Conflict
from sync.api.queue_shapes import (
    ExpectedSerializer,
    QueueFilter,
    QueueRowSerializer,
    QueueStatsSerializer,
    SteeredSerializer,
)
from sync.api.views import ApiView
from sync.models import SyncQueue
from sync.queue import QueueError, Steered, SyncQueueService
from sync.queue_errors import GaveWay
from sync.queue_permissions import Steering
from sync.steering import exactly
from sync.steering_log import note

__all__ = ["QueueStatsSerializer", "QueueViewSet"]

ONE = ("retry", "cancel", "discard")
MANY = ("retry_all", "cancel_all", "discard_all")
_DID = {"retry": "Retried", "cancel": "Cancelled", "discard": "Discarded"}

One = Callable[[int, str], SyncQueue]
Many = Callable[[QuerySet[SyncQueue], str], Steered]
Act = TypeVar("Act", bound=Callable[..., Response])


def _of_many(name: str, what: str) -> Callable[[Act], Act]:
    """The schema of an act on all rows that match."""
    schema: Callable[[Act], Act] = extend_schema(
        operation_id=name,
        request=ExpectedSerializer,
        responses=SteeredSerializer,
        description=f"{what} Rows are narrowed by the same filters as the list; 409 where another number matches now.",
    )
    return schema


@extend_schema_view(
    list=extend_schema(description="Rows of the queue, newest first."),
    retrieve=extend_schema(description="One row."),
)
class QueueViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncQueue]):
    """The queue, read-only but for steering it."""

    queryset = SyncQueue.objects.order_by("-id")
    serializer_class = QueueRowSerializer
    filterset_class = QueueFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = dict.fromkeys((*ONE, *MANY), (409,))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters are for the list and for what is done with all of it; a row is named by its id alone."""
        return super().filter_queryset(queryset) if self.action in ("list", *MANY) else queryset

    def get_permissions(self) -> Any:
        """Each act has a permission of its own."""
        steers = self.action in (*ONE, *MANY)
        return [MaySteer(Steering(_act(self.action)))] if steers else super().get_permissions()

    @extend_schema(responses=QueueStatsSerializer, filters=False, description="The queue in numbers.")
    def stats(self, request: Request) -> Response:
        """The queue in numbers."""
        return Response(QueueStatsSerializer(SyncQueueService().get_queue_stats()).data)

    @extend_schema(request=None, description="Try a row again now, with its attempts counted anew.")
    def retry(self, request: Request, pk: int) -> Response:
        """Try a row again now; 409 with a sentence where it can't be."""
        return self._one(request, SyncQueueService().manual_retry)

    @extend_schema(request=None, description="End a waiting row without a look.")
    def cancel(self, request: Request, pk: int) -> Response:
        """End a waiting row; 409 with a sentence where it can't be."""
        return self._one(request, SyncQueueService().cancel)

    @extend_schema(request=None, description="Throw a dead letter (status failed) away.")
    def discard(self, request: Request, pk: int) -> Response:
        """Throw a dead letter away; 409 with a sentence where it can't be."""
        return self._one(request, SyncQueueService().discard)

    @_of_many("sync_queue_retry_all", "Try all dead letters and waiting rows that match again now.")
    def retry_all(self, request: Request) -> Response:
        """Try all that match again now."""
        return self._many(request, SyncQueueService().retry_all)

    @_of_many("sync_queue_cancel_all", "End all waiting rows that match without a look.")
    def cancel_all(self, request: Request) -> Response:
        """End all waiting rows that match."""
        return self._many(request, SyncQueueService().cancel_all)

    @_of_many("sync_queue_discard_all", "Throw all dead letters that match away.")
    def discard_all(self, request: Request) -> Response:
        """Throw all dead letters that match away."""
        return self._many(request, SyncQueueService().discard_all)

    def _one(self, request: Request, act: One) -> Response:
        row: SyncQueue = self.get_object()
        try:
            with transaction.atomic():
                now = act(row.pk, request.user.get_username())
                note(request.user, f"{_DID[self.action]} by the API.", row)
        except QueueError as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(now).data)

    def _many(self, request: Request, act: Many) -> Response:
        asked = ExpectedSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        rows, expected = self.filter_queryset(self.get_queryset()), asked.validated_data["expect"]
        did, narrowed = _DID[_act(self.action)], _narrowed(request)
        try:
            found = act(exactly(rows, expected), request.user.get_username())
        except GaveWay as error:
            note(
                request.user,
                f"{did} {error.done:,} of {expected:,} rows by the API{narrowed}; a save held the rest.",
            )
            raise Conflict(str(error)) from error
        except QueueError as error:
            raise Conflict(str(error)) from error
        note(request.user, f"{did} {found.done:,} rows by the API{narrowed}.")
        left = expected - found.done - found.in_flight  # what is finished, too
        return Response(SteeredSerializer(replace(found, left=left)).data)


def _act(action: str) -> str:
    """What an action does to one row or to many."""
    return action.removesuffix("_all")


def _narrowed(request: Request) -> str:
    """The filters as the caller gave them."""
    given = request.META.get("QUERY_STRING", "")
    return f", narrowed by {given}" if given else ""
