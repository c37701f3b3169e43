"""Conflicts by API: the list, one, the numbers, and the resolution."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, cast

import django_filters
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from conflicts import waiting
from conflicts.api.serializers import (
    ConflictProblemSerializer,
    ConflictStatsSerializer,
    ResolvedSerializer,
    ResolveSerializer,
    SyncConflictResponseSerializer,
)
from conflicts.errors import BadResolution, NotWaiting, StaleSeen
from conflicts.models import ConflictKind, ResolutionType, SyncConflict
from conflicts.resolution import resolve
from conflicts.undoing import undo
from sync.api.permissions import MayChange, ModelPermissions
from sync.api.problems import MEDIA_TYPE, problem_body
from sync.api.views import ApiView


class ConflictFilter(FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    resolved = django_filters.BooleanFilter(
        field_name="resolved_at",
        lookup_expr="isnull",
        exclude=True,
        label="Resolved",
        help_text="false: open ones.",
    )
    entity_type = django_filters.CharFilter()
    entity_id = django_filters.UUIDFilter()
    monday_item_id = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=ConflictKind.choices)
    resolution_type = django_filters.ChoiceFilter(choices=ResolutionType.choices)
    field = django_filters.CharFilter(
        method="about_field", label="Field", help_text="Conflicts on this field: email, phone …"
    )

    def about_field(self, queryset: QuerySet[SyncConflict], name: str, value: str) -> QuerySet[SyncConflict]:
        """Conflicts on one field, among others."""
        return queryset.filter(conflict_fields__contains=[value])


@extend_schema_view(
    list=extend_schema(description="Conflicts: open ones first, of these the oldest first."),
    retrieve=extend_schema(description="One conflict."),
)
class ConflictViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncConflict]):
    """Conflicts, read-only but for the resolution and its undo."""

    queryset = SyncConflict.objects.select_related("resolved_by").order_by(*waiting.OPEN_FIRST)
    serializer_class = SyncConflictResponseSerializer
    filterset_class = ConflictFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"resolve": (404,), "undo": (400, 404)}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters are for the list; a conflict is named by its id alone."""
        return super().filter_queryset(queryset) if self.action == "list" else queryset

    def get_permissions(self) -> Any:
        """A resolution and its undo need the permission to change conflicts."""
        return [MayChange()] if self.action in ("resolve", "undo") else super().get_permissions()

    @extend_schema(responses=ConflictStatsSerializer, filters=False, description="Conflicts in numbers.")
    def stats(self, request: Request) -> Response:
        """Conflicts in numbers."""
        counted = waiting.counts()
        return Response(
            {
                "unresolved": counted["open"],
                "resolved": counted["settled"],
                "total": counted["open"] + counted["settled"],
                "applying": counted["applying"],
                "by_kind": waiting.counts_by_kind(),
            }
        )

    @extend_schema(
        request=ResolveSerializer,
        responses={
            200: ResolvedSerializer,
            (409, MEDIA_TYPE): OpenApiResponse(ConflictProblemSerializer, description="Conflict"),
        },
        description="Choose. The choice is stored at once and applied by the record's next look.",
    )
    def resolve(self, request: Request, pk: Any) -> Response:
        """Store a choice for exactly the values seen; 409 with the values of now where these differ."""
        self._must_exist(pk)
        form = ResolveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        try:
            conflict = resolve(pk, by=cast("User", request.user), **form.validated_data)
        except BadResolution as error:
            problems = {"selections": error.problems} if error.problems else error.sentence
            raise ValidationError(problems) from error
        except (StaleSeen, NotWaiting) as error:
            return _not_now(error)
        return Response(ResolvedSerializer(conflict).data)

    @extend_schema(
        request=None,
        responses={
            200: ResolvedSerializer,
            (409, MEDIA_TYPE): OpenApiResponse(ConflictProblemSerializer, description="Conflict"),
        },
        description="Undo how a conflict was settled. The next look gives each side its value back, if neither has "
        "changed since, and the conflict is open again; else what was lost becomes a conflict of its own.",
    )
    def undo(self, request: Request, pk: Any) -> Response:
        """Store that a settled conflict is to be open again; 409 where it is not settled, 400 where it can't be."""
        self._must_exist(pk)
        try:
            conflict = undo(pk, by=cast("User", request.user))
        except BadResolution as error:
            raise ValidationError(error.sentence) from error
        except NotWaiting as error:
            return _not_now(error)
        return Response(ResolvedSerializer(conflict).data)

    def _must_exist(self, pk: Any) -> None:
        if not self.get_queryset().filter(pk=pk).exists():
            raise NotFound(f"There is no conflict {pk}. List them at /api/v1/sync/conflicts/.")


def _not_now(error: StaleSeen | NotWaiting) -> Response:
    code = "stale" if isinstance(error, StaleSeen) else "not_waiting"
    body = {**problem_body(HTTPStatus.CONFLICT, code, str(error)), "current": error.current}
    return Response(body, status=HTTPStatus.CONFLICT, content_type=MEDIA_TYPE)
