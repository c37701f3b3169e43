"""Conflicts by API: how they look, the list, one, the numbers, and the resolution."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, cast

import django_filters
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError as InvalidValue
from django.db.models import QuerySet
from django.urls import path
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from conflicts import conflict_queries
from conflicts.models import CHOICES, CUSTOM, MONDAY, NPD, ConflictKind, ResolutionType, SyncConflict
from conflicts.presenter import STATE_LABELS, conflict_progress, state_of
from conflicts.resolution import MANUAL_TYPES, resolve
from conflicts.resolution_undo import undo
from conflicts.validation import InvalidResolution, OutdatedResolution
from sync import registry
from sync.api.problems import MEDIA_TYPE, ProblemSerializer, problem_body
from sync.api.request_rules import (
    ApiView,
    EntityType,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    TrueOrFalse,
    slash_paths,
)
from sync.merge import Resolution
from sync.models import FieldMapping

# How conflicts and resolutions look.


class OptionSerializer(serializers.Serializer[Any]):
    """One way out of a conflict about the record itself."""

    choose = serializers.ChoiceField(choices=(NPD, MONDAY, CUSTOM))
    value = serializers.CharField(help_text="Names a custom option; else empty.")
    label = serializers.CharField(help_text="What the button says.")  # type: ignore[assignment] # DRF's own attribute
    effect = serializers.CharField(help_text="What will happen, as a sentence.")


class CandidateSerializer(serializers.Serializer[Any]):
    """One item or record among those that could be the same."""

    id = serializers.CharField(help_text="The item's id, or the record's.")
    label = serializers.CharField(required=False)  # type: ignore[assignment] # DRF's own attribute
    linked_to = serializers.CharField(required=False, allow_null=True, help_text="What it is linked with already.")
    values = serializers.DictField(child=serializers.CharField(), required=False, help_text="By field, of an item.")


class AboutSerializer(serializers.Serializer[Any]):
    """What happened to a record or its item, and what can be done."""

    what = serializers.CharField(required=False, help_text="What happened, as a sentence.")
    options = OptionSerializer(many=True, required=False)
    candidates = CandidateSerializer(many=True, required=False, help_text="Of an identity.")
    item = CandidateSerializer(required=False, help_text="Of an identity that is about an item: that item.")


class SyncConflictResponseSerializer(serializers.ModelSerializer[SyncConflict]):
    """A conflict. `npd_data`, `monday_data` and `base_data` are keyed by field; null is empty.

    Of the kind overwritten `npd_data` is what stands on both sides, `monday_data` the value that was lost. Of the kinds
    delete and identity `about` says what happened and which options there are; choose one under the key `record`.
    """

    state = serializers.SerializerMethodField(help_text="open, applying, handed_back, partly, settled or undoing.")
    left_open = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Fields that nothing is chosen for; `record` where the choice is about the record itself.",
    )
    about = AboutSerializer(read_only=True, help_text="Of delete and identity; empty for the other kinds.")
    resolved_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = SyncConflict
        fields = [
            *("id", "entity_type", "entity_id", "monday_item_id", "kind", "state", "conflict_fields"),
            *("npd_data", "monday_data", "base_data", "about", "notes", "detected_at", "choice", "choice_problem"),
            *("left_open", "resolved_at", "resolution_type", "resolved_by", "merge_selections", "resolved_data"),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=list(STATE_LABELS)))
    def get_state(self, conflict: SyncConflict) -> str:
        """Where it stands."""
        return state_of(conflict)


class ResolvedSerializer(SyncConflictResponseSerializer):
    """A conflict with the sentence that says how far it is."""

    message = serializers.SerializerMethodField()

    class Meta(SyncConflictResponseSerializer.Meta):
        ref_name = "SyncConflictResolved"
        fields = [*SyncConflictResponseSerializer.Meta.fields, "message"]
        read_only_fields = fields

    def get_message(self, conflict: SyncConflict) -> str:
        """What happens next."""
        return conflict_progress(conflict).sentence


class SelectionSerializer(KnownFieldsMixin):
    """One field's choice; under `record` one of the options."""

    choose = serializers.ChoiceField(choices=CHOICES)
    value = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        trim_whitespace=False,
        help_text="For custom: the text, or the option's value.",
    )


class SeenSerializer(KnownFieldsMixin):
    """The values of one field that the choice was made for."""

    npd = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)
    monday = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)


class ResolveSerializer(KnownFieldsMixin):
    """A resolution: one side for all fields, or a choice by field, for exactly the values seen."""

    resolution_type = serializers.ChoiceField(choices=[(kind.value, kind.label) for kind in MANUAL_TYPES])
    selections = serializers.DictField(child=SelectionSerializer(), required=False, help_text="Of a merge.")
    seen = serializers.DictField(child=SeenSerializer(), help_text="By field, as the conflict showed them.")


class ConflictProblemSerializer(ProblemSerializer):
    """The values are no longer those that were seen, or nothing waits for a choice."""

    current = serializers.DictField(child=SeenSerializer(), help_text="The values of now, by field.")


class ConflictStatsSerializer(serializers.Serializer[Any]):
    """Conflicts in numbers."""

    unresolved = serializers.IntegerField()
    resolved = serializers.IntegerField()
    total = serializers.IntegerField()
    applying = serializers.IntegerField(help_text="Of the unresolved: chosen, and being applied.")
    by_kind = serializers.DictField(
        child=serializers.IntegerField(), help_text="The unresolved by kind: fields, overwritten, delete, identity."
    )


DECISION_RESPONSES = {
    200: ResolvedSerializer,
    (409, MEDIA_TYPE): OpenApiResponse(ConflictProblemSerializer, description="Conflict"),
}

# The addresses, below /api/v1/sync/, and what answers there.


def validate_field(value: str) -> None:
    """Raise for what is no field of any type of records, nor of any board."""
    keys = {mapping.key for spec in registry.entities() for mapping in spec.mappings}
    if value not in keys and not FieldMapping.objects.filter(key=value).exists():
        known = ", ".join(sorted(keys))
        raise InvalidValue(f"There is no such field. Known: {known}.", code="unknown")


class ConflictFilter(FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    resolved = TrueOrFalse(
        field_name="resolved_at", lookup_expr="isnull", exclude=True, label="Resolved", help_text="false: open ones."
    )
    entity_type = EntityType()
    entity_id = django_filters.UUIDFilter()
    monday_item_id = django_filters.CharFilter()
    kind = django_filters.ChoiceFilter(choices=ConflictKind.choices)
    resolution_type = django_filters.ChoiceFilter(choices=ResolutionType.choices)
    field = django_filters.CharFilter(
        method="about_field",
        label="Field",
        help_text="Conflicts on this field: email, phone …",
        validators=[validate_field],
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

    queryset = SyncConflict.objects.select_related("resolved_by").order_by(*conflict_queries.OPEN_FIRST)
    serializer_class = SyncConflictResponseSerializer
    filterset_class = ConflictFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"resolve": (404,), "undo": (400, 404)}

    def get_permissions(self) -> Any:
        """A resolution and its undo need the permission to change conflicts."""
        return [MayChange()] if self.action in ("resolve", "undo") else super().get_permissions()

    @extend_schema(responses=ConflictStatsSerializer, filters=False, description="Conflicts in numbers.")
    def stats(self, request: Request) -> Response:
        """Conflicts in numbers."""
        counted = conflict_queries.conflict_counts()
        return Response(
            {
                "unresolved": counted["open"],
                "resolved": counted["settled"],
                "total": counted["open"] + counted["settled"],
                "applying": counted["applying"],
                "by_kind": conflict_queries.counts_by_kind(),
            }
        )

    @extend_schema(
        request=ResolveSerializer,
        responses=DECISION_RESPONSES,
        description="Resolve. The resolution is stored at once and applied by the record's next sync.",
    )
    def resolve(self, request: Request, pk: Any) -> Response:
        """Store a resolution for exactly the values seen; 409 with the present values where these differ."""
        self._must_exist(pk)
        form = ResolveSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        wanted = dict(form.validated_data)
        chosen = {key: Resolution(**one) for key, one in wanted.pop("selections", {}).items()}
        return _decision_response(partial(resolve, pk, by=cast("User", request.user), selections=chosen, **wanted))

    @extend_schema(
        request=None,
        responses=DECISION_RESPONSES,
        description="Undo the resolution of a conflict. The next sync gives each side its value back, if neither "
        "has changed since, and the conflict is open again; else what was overwritten becomes a "
        "conflict of its own.",
    )
    def undo(self, request: Request, pk: Any) -> Response:
        """Store an undo request; 409 where the conflict is not resolved, 400 where it can't be undone."""
        self._must_exist(pk)
        return _decision_response(partial(undo, pk, by=cast("User", request.user)))

    def _must_exist(self, pk: Any) -> None:
        if not self.get_queryset().filter(pk=pk).exists():
            raise NotFound(f"There is no conflict {pk}. List them at /api/v1/sync/conflicts/.")


def _decision_response(decide: Callable[[], SyncConflict]) -> Response:
    try:
        return Response(ResolvedSerializer(decide()).data)
    except InvalidResolution as error:
        raise ValidationError({"selections": error.problems} if error.problems else error.sentence) from error
    except OutdatedResolution as error:
        body = {**problem_body(HTTPStatus.CONFLICT, error.code, str(error)), "current": error.current}
        return Response(body, status=HTTPStatus.CONFLICT, content_type=MEDIA_TYPE)


urlpatterns = [
    path("conflicts/", ConflictViewSet.as_view({"get": "list"}), name="sync-conflicts"),
    *slash_paths("conflicts/stats", ConflictViewSet.as_view({"get": "stats"}), "sync-conflicts-stats"),
    path("conflicts/<uuid:pk>/", ConflictViewSet.as_view({"get": "retrieve"}), name="sync-conflict"),
    *slash_paths("conflicts/<uuid:pk>/resolve", ConflictViewSet.as_view({"post": "resolve"}), "sync-conflict-resolve"),
    *slash_paths("conflicts/<uuid:pk>/undo", ConflictViewSet.as_view({"post": "undo"}), "sync-conflict-undo"),
]
