"""Approvals by API: deletes and clears over the limit that wait for a person, and the person's decision."""

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

from sync.api.request_rules import ApiView, EntityType, KnownFieldsMixin, MayChange, ModelPermissions
from sync.choices import GuardKind, GuardState
from sync.kernel.action_errors import Conflict
from sync.models import GuardedAct
from sync.records.approvals import approve, reject


class GuardedActSerializer(serializers.ModelSerializer[GuardedAct]):
    """A delete or an emptied field: held until a person decides or its cause is gone, or done."""

    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = GuardedAct
        fields = [
            *("id", "entity_type", "entity_id", "remote_id", "kind", "key", "state", "label", "values"),
            *("at", "decided_at", "decided_by"),
        ]
        read_only_fields = fields


class GuardDecisionSerializer(KnownFieldsMixin):
    """Which acts: their ids; or all that wait of a type and kind, with how many you know of."""

    ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=10_000)
    entity_type = serializers.CharField(required=False)
    kind = serializers.ChoiceField(choices=GuardKind.choices, required=False)
    count = serializers.IntegerField(
        required=False, help_text="How many wait, as you saw it; 409 where it is another number now."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Either ids, or a type and kind with their number."""
        group = {"entity_type", "kind", "count"}
        given = set(attrs)
        # The count is required, so that nobody decides on more requests than they saw.
        if given not in ({"ids"}, group):
            raise serializers.ValidationError("Give either ids, or entity_type, kind and count.")
        return attrs


class GuardDecidedSerializer(serializers.Serializer[Any]):
    """How many acts were decided; each is carried out at its record's next look."""

    decided = serializers.IntegerField()


class ApprovalFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    state = django_filters.MultipleChoiceFilter(
        choices=GuardState.choices, help_text="May be given several times; without it, what waits for approval."
    )
    kind = django_filters.ChoiceFilter(choices=GuardKind.choices)
    entity_type = EntityType()
    entity_id = django_filters.UUIDFilter()

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Pending approvals, unless other states are asked for."""
        found: QuerySet[Any] = super().filter_queryset(queryset)
        # Without a state the list shows what a person has to decide.
        return found if self.form.cleaned_data.get("state") else found.filter(state=GuardState.PENDING)


@extend_schema_view(list=extend_schema(description="Deletes and emptied fields that wait for approval, newest first."))
class ApprovalViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[GuardedAct]):
    """The approval requests."""

    queryset = GuardedAct.objects.select_related("decided_by").order_by("-id")
    serializer_class = GuardedActSerializer
    filterset_class = ApprovalFilter
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"approve": (409,), "reject": (409,)}

    def get_permissions(self) -> Any:
        """A decision needs the permission to change them."""
        return [MayChange()] if self.action in ("approve", "reject") else super().get_permissions()

    @extend_schema(
        request=GuardDecisionSerializer,
        responses=GuardDecidedSerializer,
        filters=False,
        description="Approve what waits; 409 where another number waits now.",
    )
    def approve(self, request: Request) -> Response:
        """Approve the selected requests."""
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

    def _decide(self, request: Request, decide: Any) -> Response:
        serializer = GuardDecisionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        selection = serializer.validated_data
        waiting = GuardedAct.objects.filter(state=GuardState.PENDING)
        if "ids" in selection:
            acts, expected = waiting.filter(pk__in=selection["ids"]), len(set(selection["ids"]))
        else:
            acts = waiting.filter(entity_type=selection["entity_type"], kind=selection["kind"])
            expected = selection["count"]
        # The ids are fixed here: a request that comes later is not among them.
        ids = list(acts.values_list("pk", flat=True))
        if len(ids) != expected:
            raise Conflict(f"{len(ids)} of them wait for approval now, not {expected}. Check the list again.")
        by: AbstractBaseUser = request.user  # type: ignore[assignment]  # permissions let nobody anonymous in
        return Response(GuardDecidedSerializer({"decided": decide(waiting.filter(pk__in=ids), by)}).data)
