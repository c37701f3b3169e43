"""The API of things that wait for a person, of bulk deletions to approve, and of the activity, with its undo."""

from collections.abc import Callable, Iterable
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync import attention
from sync.api import views
from sync.api.errors import ErrorSerializer
from sync.attention import Kind
from sync.choices import ApprovalState
from sync.kernel.messages import NotPossible
from sync.models import ApprovalRequest, Attention, Decision
from sync.operations.decision_undo import may_undo_decisions, undo_decisions
from sync.records import approvals


class AttentionListSerializer(serializers.ListSerializer[Any]):
    """Reads the names of a page's records together."""

    def to_representation(self, data: Iterable[Attention]) -> list[Any]:  # type: ignore[override]
        return super().to_representation(attention.as_entries(list(data)))


class ActSerializer(serializers.Serializer[Any]):
    """An act on something that waits; Home, or the page at its `url`, does it."""

    code = serializers.CharField(read_only=True)
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field's own label is an attribute
    effect = serializers.CharField(read_only=True)


class AttentionSerializer(serializers.Serializer[Any]):
    """A thing that waits for a person. It concerns a record, an unmatched item, a board or the account."""

    id = serializers.IntegerField(read_only=True)
    key = serializers.CharField(read_only=True, help_text="Stays the same as long as the same thing waits.")
    kind = serializers.ChoiceField(choices=Kind.choices, read_only=True)
    code = serializers.CharField(read_only=True, source="cause_code", help_text="Why, within its kind.")
    cause = serializers.CharField(read_only=True, help_text="Equal for things that are listed together.")
    title = serializers.CharField(read_only=True, source="cause_text", help_text="The cause in words.")
    detail = serializers.CharField(read_only=True, help_text="Its own reason.")
    entity_type = serializers.CharField(read_only=True, help_text="Empty if it concerns every board.")
    entity_id = serializers.UUIDField(read_only=True, allow_null=True)
    monday_id = serializers.CharField(read_only=True, source="item_id", help_text="The item.")
    field = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True, help_text="The name of the record, item or board.")
    since = serializers.DateTimeField(read_only=True)
    url = serializers.CharField(read_only=True, help_text="The admin's page for it.")
    acts = serializers.SerializerMethodField(help_text="What you may do about it.")

    class Meta:
        list_serializer_class = AttentionListSerializer

    @extend_schema_field(ActSerializer(many=True))
    def get_acts(self, entry: attention.Entry) -> Any:
        return ActSerializer(attention.offered_acts(self.context["request"].user, entry), many=True).data


class AttentionFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of things that wait."""

    kind = filters.MultipleChoiceFilter(choices=Kind.choices, help_text="May be given several times.")
    monday_id = filters.CharFilter(field_name="item_id", help_text="The item.")
    since = filters.IsoDateTimeFilter(lookup_expr="gte", help_text="From this moment on.")

    class Meta:
        model = Attention
        fields = ["code", "cause", "entity_type", "entity_id"]


class AttentionViewSet(views.ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[Attention]):
    """Things that wait for a person, as far as you may view them: the gravest first, then the oldest."""

    queryset = Attention.objects.none()
    serializer_class = AttentionSerializer
    filterset_class = AttentionFilter
    ordering_fields = ["id", "since"]
    permission_classes = [views.HasAnyPermission]

    def get_queryset(self) -> QuerySet[Attention]:
        return attention.seen_by(self.request.user).order_by(attention.ORDER, "since", "id")


class ApprovalSerializer(serializers.ModelSerializer[ApprovalRequest]):
    """A deletion or an emptied field, with a person's decision or without one yet."""

    decided_by = serializers.StringRelatedField[Any](allow_null=True)

    class Meta:
        model = ApprovalRequest
        fields = ["id", "entity_type", "entity_id", "kind", "key", "state", "label", "at", "decided_at", "decided_by"]
        read_only_fields = fields


class ApprovalViewSet(views.ApiView, viewsets.ReadOnlyModelViewSet[ApprovalRequest]):
    """Bulk deletions, the newest first."""

    queryset = ApprovalRequest.objects.select_related("decided_by").order_by("-id")
    serializer_class = ApprovalSerializer
    filterset_fields = ["entity_type", "entity_id", "kind", "state"]
    ordering_fields = ["id", "at", "decided_at"]
    permission_classes = [views.ModelPermissions]

    @extend_schema(request=None, responses={200: ApprovalSerializer, 409: ErrorSerializer})
    @action(detail=True, methods=["post"], permission_classes=[views.MayChange])
    def approve(self, request: Request, pk: str) -> Response:
        """Have it deleted or emptied by the record's next pass."""
        return self._decide(request, approvals.approve)

    @extend_schema(request=None, responses={200: ApprovalSerializer, 409: ErrorSerializer})
    @action(detail=True, methods=["post"], permission_classes=[views.MayChange])
    def reject(self, request: Request, pk: str) -> Response:
        """Keep the record, the item or the value."""
        return self._decide(request, approvals.reject)

    def _decide(self, request: Request, decide: Callable[[QuerySet[ApprovalRequest], User], int]) -> Response:
        approval = self.get_object()
        if not decide(ApprovalRequest.objects.filter(pk=approval.pk), cast("User", request.user)):
            state = ApprovalState(approval.state).label.lower()
            raise NotPossible(f"It doesn't wait any more: it is {state}, or its cause has ended.")
        return Response(self.get_serializer(self.get_object()).data)


class ActivitySerializer(serializers.ModelSerializer[Decision]):
    """An act of the sync or of a person on a record; `key` is the field, `values` has the old and the new value."""

    monday_id = serializers.CharField(source="remote_id", read_only=True, help_text="The item.")

    class Meta:
        model = Decision
        fields = [
            *("id", "at", "entity_type", "entity_id", "monday_id", "kind", "key"),
            *("sentence", "values", "actor", "cause", "batch_id", "undoes"),
        ]
        read_only_fields = fields


class ActivityFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of the activity."""

    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte", help_text="From this moment on.")

    class Meta:
        model = Decision
        fields = ["entity_type", "entity_id", "kind", "batch_id"]


class MayUndo(views.ModelPermissions):
    """For an undo, which needs the right to change the record; the view checks it once it knows the record."""

    perms_map = {**views.ModelPermissions.perms_map, "POST": ["%(app_label)s.view_%(model_name)s"]}


class ActivityViewSet(views.ApiView, viewsets.ReadOnlyModelViewSet[Decision]):
    """The activity, the newest first."""

    queryset = Decision.objects.order_by("-at", "-id")
    serializer_class = ActivitySerializer
    filterset_class = ActivityFilter
    ordering_fields = ["id", "at"]
    permission_classes = [MayUndo]

    @extend_schema(request=None, responses={200: ActivitySerializer, 409: ErrorSerializer})
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Restore the old value, if NPD still has the new one; the next sync does the rest. Answers with the entry of
        the undo, by which it can be undone.
        """
        entry = self.get_object()
        if not may_undo_decisions(request.user, [entry]):
            raise PermissionDenied
        result = undo_decisions([entry], by=cast("User", request.user))
        if not result.undone:
            reason = " ".join(step.refusal for step in result.left_alone) or "There is no value to restore."
            raise NotPossible(reason)
        return Response(self.get_serializer(result.lines[0]).data)


router = SimpleRouter()
router.register("attention", AttentionViewSet, "sync-attention")
router.register("approvals", ApprovalViewSet, "sync-approvals")
router.register("activity", ActivityViewSet, "sync-activity")
urlpatterns = router.urls
