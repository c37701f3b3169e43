"""Pauses by API: what is paused, pause, resume."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.permissions import MaySteer
from sync.api.problems import Conflict
from sync.api.views import ApiView
from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.models import QueuePause
from sync.pausing import in_words
from sync.queue import QueueError, SyncQueueService
from sync.queue_permissions import Steering
from sync.steering_log import note


class PauseSerializer(serializers.ModelSerializer[QueuePause]):
    """What is paused; an empty entity_type means every board, an empty direction both."""

    class Meta:
        model = QueuePause
        fields = ["id", "entity_type", "direction", "paused_by", "why", "paused_at"]
        read_only_fields = fields


class WhatSerializer(serializers.Serializer[Any]):
    """What is to be resumed: everything, where neither is given."""

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


class PauseRequestSerializer(WhatSerializer):
    """What is to be paused, and why."""

    why = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=500,
        help_text="Shown wherever it keeps something.",
    )


@extend_schema_view(list=extend_schema(description="The pauses in force, the widest first.", filters=False))
class PauseViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[QueuePause]):
    """What is paused."""

    queryset = QueuePause.objects.order_by("entity_type", "direction")
    serializer_class = PauseSerializer
    filter_backends = ()
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"pause": (409,), "resume": (409,)}

    def get_permissions(self) -> Any:
        """Who may see the queue sees its pauses."""
        return [MaySteer(Steering.VIEW if self.action == "list" else Steering.PAUSE)]

    @extend_schema(
        request=PauseRequestSerializer,
        responses=PauseSerializer,
        description="Pause everything, one board, one direction, or one direction of one board, until it is resumed. "
        "Nothing is lost; what is paused already stays as it is.",
    )
    def pause(self, request: Request) -> Response:
        """Pause; 409 with a sentence where there is no such board."""
        asked = PauseRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        now = sync_now()
        try:
            with transaction.atomic():
                found = SyncQueueService().pause(request.user.get_username(), **asked.validated_data)
                if found.paused_at >= now:  # else somebody else's stands
                    note(request.user, f"Paused {in_words(found.entity_type, found.direction)} by the API.")
        except QueueError as error:
            raise Conflict(str(error)) from error
        return Response(self.get_serializer(found).data)

    @extend_schema(
        request=WhatSerializer,
        responses=PauseSerializer(many=True),
        description="End that pause; answers those that are still in force.",
    )
    def resume(self, request: Request) -> Response:
        """Resume; 409 with a sentence where just that isn't paused."""
        asked = WhatSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        what = in_words(asked.validated_data["entity_type"], asked.validated_data["direction"])
        try:
            # In no transaction of ours: it moves what waited a thousand rows at a time, which saves would wait for.
            ended = SyncQueueService().resume(request.user.get_username(), **asked.validated_data)
        except QueueError as error:
            raise Conflict(str(error)) from error
        if not ended:
            raise Conflict(f"Nobody paused {what}, so there is nothing to resume. See GET sync/pauses/.")
        note(request.user, f"Resumed {what} by the API.")
        return Response(self.get_serializer(self.get_queryset(), many=True).data)
