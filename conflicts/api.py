"""Conflicts by API: the list, one, the numbers, the resolution and its undo."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from conflicts import models, serializers
from conflicts.case import RecordContext
from conflicts.models import SyncConflict
from conflicts.resolution import DecidedTooLate, InvalidResolution, resolve, undo
from sync.api.errors import error_body
from sync.api.record_endpoints import own_text
from sync.api.views import ApiView, MayChange, ModelPermissions
from sync.merge import FieldSelection
from sync.reconcile.lookups import FieldDisplay

DECISION_RESPONSES = {200: serializers.ResolvedSerializer, 409: serializers.OutdatedSerializer}


class ConflictFilter(filters.FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    kind = filters.MultipleChoiceFilter(choices=models.ConflictKind.choices, help_text="May be given several times.")
    resolved = filters.BooleanFilter(
        field_name="resolved_at", lookup_expr="isnull", exclude=True, help_text="false: open ones."
    )
    monday_id = filters.CharFilter(field_name="monday_item_id", help_text="The item.")
    field = filters.CharFilter(method="about_field", help_text="Conflicts on this field: email, phone …")

    class Meta:
        model = SyncConflict
        fields = ["entity_type", "entity_id", "resolution_type"]

    def about_field(self, conflicts: QuerySet[SyncConflict], name: str, value: str) -> QuerySet[SyncConflict]:
        return conflicts.filter(conflict_fields__contains=[value])


class ConflictViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncConflict]):
    """Conflicts: open ones first, of these the oldest first."""

    queryset = SyncConflict.objects.select_related("resolved_by").order_by(*models.OPEN_FIRST)
    serializer_class = serializers.SyncConflictResponseSerializer
    filterset_class = ConflictFilter
    ordering_fields = ["detected_at", "resolved_at"]
    permission_classes = [ModelPermissions]

    @extend_schema(responses=serializers.ConflictStatsSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    def stats(self, request: Request) -> Response:
        """Conflicts in numbers."""
        counted = models.counts()
        return Response(
            {
                "unresolved": counted["open"],
                "resolved": counted["settled"],
                "total": counted["open"] + counted["settled"],
                "applying": counted["applying"],
                "by_kind": models.counts_by_kind(),
            }
        )

    @extend_schema(request=serializers.ResolveSerializer, responses=DECISION_RESPONSES)
    @action(detail=True, methods=["post"], permission_classes=[MayChange])
    def resolve(self, request: Request, pk: str) -> Response:
        """Resolve. The resolution is stored at once and applied by the record's next sync."""
        conflict = self.get_object()
        serializer = serializers.ResolveSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        decision = dict(serializer.validated_data)
        decision["seen"] = _as_shown(conflict, decision["seen"])
        selections = {key: FieldSelection(**choice) for key, choice in decision.pop("selections", {}).items()}
        by = cast("User", request.user)
        return _decision_response(request, partial(resolve, conflict.pk, by=by, selections=selections, **decision))

    @extend_schema(request=None, responses=DECISION_RESPONSES)
    @action(detail=True, methods=["post"], permission_classes=[MayChange])
    def undo(self, request: Request, pk: str) -> Response:
        """Undo the resolution of a conflict. The next sync gives each side its value back, if neither has changed
        since, and the conflict is open again; else what was overwritten becomes a conflict of its own.
        """
        return _decision_response(request, partial(undo, self.get_object().pk, by=cast("User", request.user)))


def _as_shown(conflict: SyncConflict, values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what was seen, with a record's own text, as its API says it, in the form in which conflicts show it."""
    context = RecordContext.of(conflict)
    record = context.record
    if record is None or context.link is None:
        return values
    display = FieldDisplay(context.link, context.mappings, [record])
    shown = dict(values)
    for key, sides in values.items():
        mapping = context.mapped.get(key)
        if mapping and len(mapping.fields) == 1 and sides["npd"] == own_text(record, mapping.fields[0]):
            shown[key] = {**sides, "npd": display.sides(record, mapping, None)[0] or None}
    return shown


def _decision_response(request: Request, decide: Callable[[], SyncConflict]) -> Response:
    try:
        return Response(serializers.ResolvedSerializer(decide(), context={"request": request}).data)
    except InvalidResolution as error:
        raise ValidationError({"selections": error.problems} if error.problems else error.sentence) from error
    except DecidedTooLate as error:
        body = error_body(status.HTTP_409_CONFLICT, error.code, str(error))
        return Response(body | {"current": error.current}, status.HTTP_409_CONFLICT)


router = SimpleRouter()
router.register("conflicts", ConflictViewSet, "sync-conflicts")
urlpatterns = router.urls
