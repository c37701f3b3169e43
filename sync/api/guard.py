"""What waits for approval, by API; and a person's word on it."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.permissions import MayChange, ModelPermissions
from sync.api.problems import Conflict
from sync.api.views import ApiView
from sync.choices import GuardKind, GuardState
from sync.guard.deciding import approve, reject
from sync.models import GuardedAct


class GuardedActSerializer(serializers.ModelSerializer[GuardedAct]):
    """A delete or an emptied field: held until a person decides or its cause is gone, or done."""

    decided_by = serializers.CharField(
        source="decided_by.username", default=None, allow_null=True, read_only=True
    )

    class Meta:
        model = GuardedAct
        fields = [
            *("id", "entity_type", "entity_id", "remote_id", "kind", "key", "state", "label", "values"),
            *("at", "decided_at", "decided_by"),
        ]
        read_only_fields = fields


class GuardDecisionSerializer(serializers.Serializer[Any]):
    """Which acts: their ids; or all that wait of a type and kind, with how many you know of."""

    ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=10_000)
    entity_type = serializers.CharField(required=False)
    kind = serializers.ChoiceField(choices=GuardKind.choices, required=False)
    count = serializers.IntegerField(
        required=False, help_text="How many wait, as you saw it; 409 where it is another number now."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """One way or the other."""
        group = {"entity_type", "kind", "count"}
        given = set(attrs)
        if given not in ({"ids"}, group):
            raise serializers.ValidationError("Give either ids, or entity_type, kind and count.")
        return attrs


class GuardDecidedSerializer(serializers.Serializer[Any]):
    """How many acts were decided; each is carried out at its record's next look."""

    decided = serializers.IntegerField()


class GuardFilter(FilterSet):  # type: ignore[misc]
    """What the list can be narrowed by."""

    state = django_filters.MultipleChoiceFilter(
        choices=GuardState.choices,
        help_text="May be given several times; without it, what waits for approval.",
    )
    kind = django_filters.ChoiceFilter(choices=GuardKind.choices)
    entity_type = django_filters.CharFilter()
    entity_id = django_filters.UUIDFilter()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What waits, unless other states are asked for."""
        found: QuerySet[Any] = super().filter_queryset(queryset)
        return found if self.form.cleaned_data.get("state") else found.filter(state=GuardState.HELD)


@extend_schema_view(
    list=extend_schema(description="Deletes and emptied fields that wait for approval, newest first.")
)
class GuardViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[GuardedAct]):
    """What the guard holds."""

    queryset = GuardedAct.objects.select_related("decided_by").order_by("-id")
    serializer_class = GuardedActSerializer
    filterset_class = GuardFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"approve": (409,), "reject": (409,)}

    def get_permissions(self) -> Any:
        """A decision needs the permission to change rows."""
        return [MayChange()] if self.action in ("approve", "reject") else super().get_permissions()

    @extend_schema(
        request=GuardDecisionSerializer,
        responses=GuardDecidedSerializer,
        filters=False,
        description="Let what is held go; 409 where another number waits now.",
    )
    def approve(self, request: Request) -> Response:
        """Let what is held go."""
        return self._decide(request, approve)

    @extend_schema(
        request=GuardDecisionSerializer,
        responses=GuardDecidedSerializer,
        filters=False,
        description="Keep what would be deleted or emptied; 409 where another number waits now.",
    )
    def reject(self, request: Request) -> Response:
        """Keep what would be deleted or emptied."""
        return self._decide(request, reject)

    def _decide(self, request: Request, how: Any) -> Response:
        asked = GuardDecisionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        acts = _named(asked.validated_data)
        by: AbstractBaseUser = request.user  # type: ignore[assignment]  # permissions let nobody anonymous in
        return Response(GuardDecidedSerializer({"decided": how(acts, by)}).data)


def _named(asked: dict[str, Any]) -> QuerySet[GuardedAct]:
    """Return the held acts that were named; raises Conflict where another number waits than was seen."""
    held = GuardedAct.objects.filter(state=GuardState.HELD)
    if "ids" in asked:
        acts, expected = held.filter(pk__in=asked["ids"]), len(set(asked["ids"]))
    else:
        acts = held.filter(entity_type=asked["entity_type"], kind=asked["kind"])
        expected = asked["count"]
    ids = list(acts.values_list("pk", flat=True))
    if len(ids) != expected:
        raise Conflict(f"{len(ids)} of them wait for approval now, not {expected}. Look at the list again.")
    return held.filter(pk__in=ids)
