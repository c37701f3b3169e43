"""The API of conflicts: list, details, numbers, resolution and undo."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, cast

from django.contrib.auth.models import User
from django.db import models
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from conflicts.models import BEING_APPLIED, CUSTOM, OPEN_FIRST, SELECTABLE, ResolutionType, SyncConflict
from conflicts.pages import case, resolution
from conflicts.reports import ConflictKind, FieldSelection
from sync.api.api_base import ApiView, MayChange, ModelPermissions
from sync.api.errors import ErrorSerializer, error_body
from sync.clock import sync_now
from sync.kernel.acts import answers_to


class SyncConflictResponseSerializer(serializers.ModelSerializer[SyncConflict]):
    """A conflict. `npd_data`, `monday_data` and `base_data` are keyed by field; null is empty, in `base_data` unknown.

    Of the kind overwritten `npd_data` is what stands on both sides, `monday_data` the value that was lost. Of the kinds
    delete and identity `about` says what happened and which options there are; choose one under the key `record`.
    """

    monday_id = serializers.CharField(
        source="monday_item_id", read_only=True, help_text="The item, like monday_item_id."
    )
    state = serializers.SerializerMethodField(help_text="open, applying, handed_back, partly, settled or undoing.")
    left_open = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Fields that nothing is chosen for; `record` where the choice is about the record itself.",
    )
    about = serializers.JSONField(
        read_only=True,
        help_text="Of delete and identity: {what, options: [{choose, value, label, effect}], candidates, item}; "
        "of fields: {editors: {field: {who, at}}}, who wrote the value on Monday.",
    )
    resolution = serializers.JSONField(
        read_only=True, help_text="A choice or an undo that the next pass applies, or that a pass has handed back."
    )
    resolved_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = SyncConflict
        fields = [
            *("id", "entity_type", "entity_id", "monday_item_id", "monday_id", "kind", "state", "conflict_fields"),
            *("npd_data", "monday_data", "base_data", "about", "notes", "detected_at", "resolution"),
            "resolution_problem",
            *("left_open", "resolved_at", "resolution_type", "resolved_by", "merge_selections", "resolved_data"),
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=case.STATES))
    def get_state(self, conflict: SyncConflict) -> str:
        return case.state_of(conflict)


class ResolvedSerializer(SyncConflictResponseSerializer):
    """A conflict with the sentence that says how far it is."""

    message = serializers.SerializerMethodField()

    class Meta(SyncConflictResponseSerializer.Meta):
        ref_name = "SyncConflictResolved"
        fields = [*SyncConflictResponseSerializer.Meta.fields, "message"]
        read_only_fields = fields

    def get_message(self, conflict: SyncConflict) -> str:
        return case.conflict_progress(conflict).sentence


class SelectionSerializer(serializers.Serializer[Any]):
    """One field's choice, npd, base, monday or custom; under `record` one of the options."""

    choose = serializers.ChoiceField(
        choices=[*SELECTABLE, *answers_to(ConflictKind.DELETE), *answers_to(ConflictKind.IDENTITY)]
    )
    value = serializers.CharField(
        required=False,
        allow_null=True,
        allow_blank=True,
        trim_whitespace=False,
        help_text="For custom: the text; of an option that has a value: that.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["choose"] == CUSTOM and attrs.get("value") is None:
            raise ValidationError({"value": "Say which value is chosen. An empty text clears a field."})
        return attrs


class SeenSerializer(serializers.Serializer[Any]):
    """The values of one field that the choice was made for."""

    npd = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)
    monday = serializers.CharField(allow_null=True, allow_blank=True, trim_whitespace=False)


MANUAL_CHOICES = [choice for choice in ResolutionType.choices if choice[0] != ResolutionType.AUTO]


class ResolveSerializer(serializers.Serializer[Any]):
    """A resolution: one side for all fields, or a choice by field, for exactly the values seen."""

    resolution_type = serializers.ChoiceField(choices=MANUAL_CHOICES)
    selections = serializers.DictField(child=SelectionSerializer(), required=False, help_text="Of a merge.")
    seen = serializers.DictField(child=SeenSerializer(), help_text="By field, as the conflict showed them.")


class OutdatedSerializer(ErrorSerializer):
    """The values are no longer those that were seen, or nothing waits for a choice."""

    current = serializers.DictField(child=SeenSerializer(), required=False, help_text="The values of now, by field.")


class ConflictStatsSerializer(serializers.Serializer[Any]):
    """Conflicts in numbers."""

    unresolved = serializers.IntegerField()
    resolved = serializers.IntegerField(help_text="In the last 30 days.")
    total = serializers.IntegerField(help_text="The sum of both.")
    applying = serializers.IntegerField(help_text="Of the unresolved: chosen, and being saved.")
    by_kind = serializers.DictField(
        child=serializers.IntegerField(), help_text="The unresolved by kind: fields, overwritten, delete, identity."
    )


RESPONSES = {200: ResolvedSerializer, 409: OutdatedSerializer}


class ConflictFilter(filters.FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    kind = filters.MultipleChoiceFilter(choices=ConflictKind.choices, help_text="May be given several times.")
    resolved = filters.BooleanFilter(
        field_name="resolved_at", lookup_expr="isnull", exclude=True, help_text="false: open ones."
    )
    monday_id = filters.CharFilter(field_name="monday_item_id", help_text="The item.")
    field = filters.CharFilter(method="about_field", help_text="Conflicts on this field: email, phone …")

    class Meta:
        model = SyncConflict
        fields = ["entity_type", "entity_id", "resolution_type"]

    def about_field(
        self, conflicts: models.QuerySet[SyncConflict], name: str, value: str
    ) -> models.QuerySet[SyncConflict]:
        return conflicts.filter(conflict_fields__contains=[value])


class ConflictViewSet(ApiView, viewsets.ReadOnlyModelViewSet[SyncConflict]):
    """Conflicts: open ones first, of these the oldest first."""

    queryset = SyncConflict.objects.select_related("resolved_by").order_by(*OPEN_FIRST)
    serializer_class = SyncConflictResponseSerializer
    filterset_class = ConflictFilter
    ordering_fields = ["detected_at", "resolved_at"]
    permission_classes = [ModelPermissions]

    @extend_schema(responses=ConflictStatsSerializer)
    @action(detail=False, pagination_class=None, filter_backends=[])
    def stats(self, request: Request) -> Response:
        """Conflicts in numbers."""
        open_conflicts = SyncConflict.objects.filter(resolved_at=None).order_by()
        by_kind = dict.fromkeys(ConflictKind.values, 0)
        by_kind |= dict(open_conflicts.values_list("kind").annotate(models.Count("pk")))
        # Only the last 30 days, because counting years of conflicts would take too long.
        resolved = SyncConflict.objects.filter(resolved_at__gte=sync_now() - timedelta(days=30)).count()
        unresolved = sum(by_kind.values())
        return Response(
            {
                "unresolved": unresolved,
                "resolved": resolved,
                "total": unresolved + resolved,
                "applying": open_conflicts.filter(BEING_APPLIED).count(),
                "by_kind": by_kind,
            }
        )

    @extend_schema(request=ResolveSerializer, responses=RESPONSES)
    @action(detail=True, methods=["post"], permission_classes=[MayChange])
    def resolve(self, request: Request, pk: str) -> Response:
        """Resolve. The resolution is stored at once and applied by the record's next sync."""
        conflict = self.get_object()
        serializer = ResolveSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        posted = dict(serializer.validated_data)
        selections = {key: FieldSelection(**choice) for key, choice in posted.pop("selections", {}).items()}
        by = cast("User", request.user)
        return _response_of(request, partial(resolution.resolve, conflict.pk, by=by, selections=selections, **posted))

    @extend_schema(request=None, responses=RESPONSES)
    @action(detail=True, methods=["post"], permission_classes=[MayChange])
    def undo(self, request: Request, pk: str) -> Response:
        """Undo the resolution of a conflict. The next sync gives each side its value back, if neither has changed
        since, and the conflict is open again; else what was overwritten becomes a conflict of its own.
        """
        return _response_of(request, partial(resolution.undo, self.get_object().pk, by=cast("User", request.user)))


def _response_of(request: Request, act: Callable[[], SyncConflict]) -> Response:
    try:
        return Response(ResolvedSerializer(act(), context={"request": request}).data)
    except resolution.InvalidResolution as error:
        raise ValidationError({"selections": error.problems} if error.problems else error.sentence) from error
    except resolution.DecidedTooLate as error:
        body = error_body(status.HTTP_409_CONFLICT, error.code, str(error))
        return Response(body | {"current": error.current}, status.HTTP_409_CONFLICT)


router = SimpleRouter()
router.register("conflicts", ConflictViewSet, "sync-conflicts")
urlpatterns = router.urls
