"""What waits for a person, by API: the same rows and words as in the admin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import mixins, serializers, viewsets
from rest_framework.routers import SimpleRouter

from sync import attention
from sync.api.views import ApiView, HasAnyPermission
from sync.attention import Kind
from sync.models import Attention


class AttentionListSerializer(serializers.ListSerializer[Any]):
    """Reads the names of a page's records together."""

    def to_representation(self, data: Iterable[Attention]) -> list[Any]:  # type: ignore[override]
        return super().to_representation(attention.as_entries(list(data)))


class AttentionSerializer(serializers.Serializer[Any]):
    """One thing that waits for a person: of a record, of an item that no record has, or of a board or the account."""

    id = serializers.IntegerField(read_only=True)
    key = serializers.CharField(read_only=True, help_text="Stays the same as long as the same thing waits.")
    kind = serializers.ChoiceField(choices=Kind.choices, read_only=True)
    code = serializers.CharField(read_only=True, source="cause_code", help_text="Why, within its kind.")
    cause = serializers.CharField(read_only=True, help_text="Equal for things that are listed together.")
    title = serializers.CharField(read_only=True, source="cause_text", help_text="The cause in words.")
    detail = serializers.CharField(read_only=True, help_text="Its own reason.")
    entity_type = serializers.CharField(read_only=True, help_text="Empty of what concerns every board.")
    entity_id = serializers.UUIDField(read_only=True, allow_null=True)
    monday_id = serializers.CharField(read_only=True, source="item_id", help_text="The item.")
    field = serializers.CharField(read_only=True)
    name = serializers.CharField(read_only=True, help_text="What the record, item or board is called.")
    since = serializers.DateTimeField(read_only=True)
    url = serializers.CharField(read_only=True, help_text="The page of the admin on which it is dealt with.")

    class Meta:
        list_serializer_class = AttentionListSerializer


class AttentionFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters of what waits."""

    kind = filters.MultipleChoiceFilter(choices=Kind.choices, help_text="May be given several times.")
    monday_id = filters.CharFilter(field_name="item_id", help_text="The item.")
    since = filters.IsoDateTimeFilter(lookup_expr="gte", help_text="From this moment on.")

    class Meta:
        model = Attention
        fields = ["code", "cause", "entity_type", "entity_id"]


class AttentionViewSet(ApiView, mixins.ListModelMixin, viewsets.GenericViewSet[Attention]):
    """What waits for a person, as far as you may view it: the gravest first, then the oldest."""

    queryset = Attention.objects.none()
    serializer_class = AttentionSerializer
    filterset_class = AttentionFilter
    ordering_fields = ["id", "since"]
    permission_classes = [HasAnyPermission]

    def get_queryset(self) -> QuerySet[Attention]:
        return attention.seen_by(self.request.user).order_by(attention.ORDER, "since", "id")


router = SimpleRouter()
router.register("attention", AttentionViewSet, "sync-attention")
urlpatterns = router.urls
