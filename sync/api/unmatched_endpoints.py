"""Unmatched items by API: the list with its reasons, and what a person wants: create, link, ignore, list again."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from rest_framework import serializers, viewsets
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import ShapedView, filtered_by
from sync.api.request_rules import KnownFieldsMixin, MayChange, MayViewOnPost, TrueOrFalse, act
from sync.choices import TokenScope
from sync.kernel.action_errors import Conflict
from sync.kernel.messages import UNMATCHED_LABELS
from sync.models import UnmatchedItem
from sync.records.authors import log_action
from sync.records.unmatched_items import (
    ignore_unmatched,
    planned_otherwise,
    request_creation,
    request_link,
    request_wait_text,
    undo_ignore,
)

REASONS = [(str(code), label) for code, label in UNMATCHED_LABELS.items()]


class UnmatchedItemSerializer(serializers.ModelSerializer[UnmatchedItem]):
    """An item that no record has; `reason` says `reason_code` as a sentence, `values` what the item says, by field."""

    monday_id = serializers.CharField(source="item_id", read_only=True, help_text="The item.")
    reason = serializers.SerializerMethodField()
    reason_code = serializers.ChoiceField(choices=REASONS, read_only=True)

    class Meta:
        model = UnmatchedItem
        fields = [
            *("id", "entity_type", "board_id", "monday_id", "name", "reason_code", "reason", "values"),
            *("first_seen", "last_seen", "ignored_at", "ignored_by"),
        ]
        read_only_fields = fields

    def get_reason(self, row: UnmatchedItem) -> str:
        """Why no record has it."""
        return row.reason_to(registry.visible_types(self.context["request"].user))


class UnmatchedLinkSerializer(KnownFieldsMixin):
    """The record that an item is to be linked with."""

    record = serializers.UUIDField(help_text="The id of a record of the item's type, without an item.")


class UnmatchedRequestSerializer(serializers.Serializer[Any]):
    """What was asked for; the item's next sync does it: `GET sync/queue/?unmatched_items=true` says what came of it."""

    message = serializers.CharField()
    monday_id = serializers.CharField()


_FILTERED = ("entity_type", "board_id", "name", "first_seen", "last_seen", "ignored_at", "ignored_by")


@filtered_by(UnmatchedItem, _FILTERED, order=("id", "reason_code", *_FILTERED), monday_id="item_id")
class UnmatchedItemFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    reason_code = django_filters.MultipleChoiceFilter(choices=REASONS, help_text="May be given several times.")
    ignored = TrueOrFalse(
        field_name="ignored_at", lookup_expr="isnull", exclude=True, label="Ignored", help_text="false if not given."
    )

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """What is not ignored, unless that is asked for."""
        found: QuerySet[Any] = super().filter_queryset(queryset)
        return found.filter(ignored_at=None) if self.form.cleaned_data.get("ignored") is None else found


class UnmatchedItemViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[UnmatchedItem]):
    """Items of the boards that no record has, the newest first; 404 once a record has it, or it has left the board."""

    queryset = UnmatchedItem.objects.order_by("-first_seen", "-id")
    serializer_class = UnmatchedItemSerializer
    filterset_class = UnmatchedItemFilter
    # Creating and linking ask for the permission on the records, of the item's type.
    permission_classes = [MayViewOnPost]
    scope = TokenScope.OPERATE

    @act(responses=UnmatchedRequestSerializer, path="create")
    def create_record(self, request: Request, pk: int) -> Response:
        """Create a record of the item by its next sync. One that a single free record fits is linked with it; one that
        fits several becomes a record of its own. Needs the permission to add such records.
        """
        row = self._row_for(request, "add")
        with transaction.atomic():
            if not request_creation([row], request.user.get_username()):
                raise Conflict(f"“{row}” is ignored. Undo that first." if row.ignored_at else planned_otherwise(row))
            log_action(request.user, row, "Asked to create a record from it, by the API.")
        return self._answer(row, f"“{row}” becomes a record by its next sync.")

    @act(request=UnmatchedLinkSerializer, responses=UnmatchedRequestSerializer)
    def link(self, request: Request, pk: int) -> Response:
        """Link the item with a record that has none, by the item's next sync. Needs the permission to change such
        records.
        """
        row = self._row_for(request, "change")
        wanted = UnmatchedLinkSerializer.read(request)["record"]
        record = registry.entity(row.entity_type).model._default_manager.filter(pk=wanted).first()
        if record is None:
            raise serializers.ValidationError({"record": ["There is no such record."]})
        with transaction.atomic():
            request_link(row, record, request.user.get_username())
            log_action(request.user, row, f"Asked to link it with “{record}”, by the API.")
        return self._answer(row, f"“{row}” is linked with “{record}” by its next sync.")

    @act(responses=UnmatchedItemSerializer, permission_classes=[MayChange])
    def ignore(self, request: Request, pk: int) -> Response:
        """Leave the item alone: it is neither matched nor made into a record."""
        row = self.get_object()
        with transaction.atomic():
            if not ignore_unmatched(UnmatchedItem.objects.filter(pk=row.pk), request.user.get_username()):
                raise Conflict(f"“{row}” is ignored already.")
            log_action(request.user, row, "Ignored, by the API.")
        return self._row_answer(row)

    @act(responses=UnmatchedItemSerializer, permission_classes=[MayChange])
    def restore(self, request: Request, pk: int) -> Response:
        """List an ignored item again."""
        row = self.get_object()
        with transaction.atomic():
            if not undo_ignore(UnmatchedItem.objects.filter(pk=row.pk), request.user.get_username()):
                raise Conflict(f"“{row}” isn't ignored.")
            log_action(request.user, row, "Listed again, by the API.")
        return self._row_answer(row)

    def _row_for(self, request: Request, act: str) -> UnmatchedItem:
        row: UnmatchedItem = self.get_object()
        if not registry.may_act(request.user, act, row.entity_type):
            raise PermissionDenied
        return row

    def _answer(self, row: UnmatchedItem, message: str) -> Response:
        wait = request_wait_text(row.entity_type)
        said = f"{message} It waits: {wait}" if wait else message
        return Response(UnmatchedRequestSerializer({"message": said, "monday_id": row.item_id}).data)

    def _row_answer(self, row: UnmatchedItem) -> Response:
        row.refresh_from_db()
        return Response(self.get_serializer(row).data)
