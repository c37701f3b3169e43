"""Deletions by API: what was deleted in NPD, with its restore; deletes and clears over the limit, which wait for a
person, with the person's decision; and ignored items.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import django_filters
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import ShapedView, filtered_by, list_filter
from sync.api.request_rules import (
    KnownFieldsMixin,
    MayChange,
    MayViewOnPost,
    ModelPermissions,
    Moment,
    QuotingMixin,
    act,
    parse_moment,
)
from sync.choices import ApprovalKind, ApprovalState, TokenScope, TombstoneState
from sync.kernel.action_errors import Conflict
from sync.models import ApprovalRequest, IgnoredItem, Tombstone
from sync.operations.event_feed import deleted_records, unknown_deletions_before
from sync.records.approvals import approve, reject
from sync.records.authors import log_action
from sync.records.tombstones import restore_by_person
from sync.records.unmatched_items import consider_again
from sync.registry import visible_types


class TombstoneSerializer(serializers.ModelSerializer[Tombstone]):
    """A deleted record: what it said, and what became of its item."""

    name = serializers.SerializerMethodField()
    values = serializers.SerializerMethodField(help_text="Its own fields when it was deleted.")
    state = serializers.ChoiceField(choices=TombstoneState.choices, help_text="What became of its item.")

    class Meta:
        model = Tombstone
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "name", "values", "deleted_at"),
            *("state", "reason_code", "note", "settled_at"),
        ]
        read_only_fields = fields

    def get_name(self, row: Tombstone) -> str:
        """What it was called."""
        field = registry.name_field(registry.entity(row.entity_type).model)
        return str(row.data.get(field or "name") or row.entity_id)

    def get_values(self, row: Tombstone) -> dict[str, Any]:
        """Its fields, as the record's own answer names them."""
        own = registry.own_fields(registry.entity(row.entity_type).model)
        return {one.name: row.data.get(one.column) for one in own}


@filtered_by(
    Tombstone,
    ("entity_type", "entity_id", "monday_id", "deleted_at", "settled_at", "state"),
    order=("id", "deleted_at", "settled_at"),
)
class TombstoneFilter(FilterSet):  # type: ignore[misc]
    """The filters of deleted records."""

    name = django_filters.CharFilter(field_name="data__name", label="Name", help_text="Exactly this.")


class RestoredSerializer(serializers.Serializer[Any]):
    """The record that is there again."""

    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField()
    monday_id = serializers.CharField(
        allow_null=True, help_text="The item that it is linked with again; null: its next sync makes one."
    )


class TombstoneViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[Tombstone]):
    """Records that were deleted in NPD, the newest first, as long as they are kept; of types that you may see."""

    queryset = Tombstone.objects.order_by("-deleted_at", "-id")
    serializer_class = TombstoneSerializer
    filterset_class = TombstoneFilter
    permission_classes = [MayViewOnPost]
    scope = TokenScope.OPERATE

    def get_queryset(self) -> QuerySet[Any]:
        """Those of the types that the caller may see: a row says all that its record said."""
        return super().get_queryset().filter(entity_type__in=visible_types(self.request.user))

    @act(responses=RestoredSerializer)
    def restore(self, request: Request, pk: int) -> Response:
        """Store the record again under its own id, with the values that it had. An item that is still on the board is
        linked with it again, else its next sync makes one. Needs the permission to add such records.
        """
        row: Tombstone = self.get_object()
        if not registry.may_act(request.user, "add", row.entity_type):
            raise PermissionDenied
        record = restore_by_person(row, request.user.get_username())
        log_action(request.user, row, "Restored by the API.")
        answer = {"entity_type": row.entity_type, "entity_id": record.pk, "monday_id": record.monday_id}
        return Response(RestoredSerializer(answer).data)


# Approvals: deletes and clears over the limit that wait for a person, and the decision.


class ApprovalRequestSerializer(QuotingMixin, serializers.ModelSerializer[ApprovalRequest]):
    """A delete or an emptied field: held until a person decides or its cause is gone, or done."""

    quoting = ("label", "values")

    monday_id = serializers.CharField(source="remote_id", read_only=True, help_text="The item; empty where none was.")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = ApprovalRequest
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "kind", "key", "state", "label", "values"),
            *("at", "decided_at", "decided_by"),
        ]
        read_only_fields = fields


class ApprovalDecisionSerializer(KnownFieldsMixin):
    """Which acts: their ids; or all that wait of a type and kind, with how many you know of."""

    ids = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=10_000)
    entity_type = serializers.CharField(required=False)
    kind = serializers.ChoiceField(choices=ApprovalKind.choices, required=False)
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


class ApprovalDecidedSerializer(serializers.Serializer[Any]):
    """How many acts were decided; each is carried out at its record's next look."""

    decided = serializers.IntegerField()


@filtered_by(
    ApprovalRequest,
    ("kind", "entity_type", "entity_id", "at", "decided_at"),
    order=("id", "at", "decided_at"),
    field="key",
    monday_id="remote_id",
)
class ApprovalFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    state = django_filters.MultipleChoiceFilter(
        choices=ApprovalState.choices, help_text="May be given several times; without it, what waits for approval."
    )
    decided_by = django_filters.CharFilter(field_name="decided_by__username", label="Decided by")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Pending approvals, unless other states are asked for."""
        found: QuerySet[Any] = super().filter_queryset(queryset)
        # Without a state the list shows what a person has to decide.
        return found if self.form.cleaned_data.get("state") else found.filter(state=ApprovalState.PENDING)


_decision = partial(
    act,
    detail=False,
    request=ApprovalDecisionSerializer,
    responses=ApprovalDecidedSerializer,
    permission_classes=[MayChange],
)


class ApprovalViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[ApprovalRequest]):
    """Deletes and emptied fields that wait for approval, the newest first; by `state` also those that were decided."""

    queryset = ApprovalRequest.objects.select_related("decided_by").order_by("-id")
    serializer_class = ApprovalRequestSerializer
    filterset_class = ApprovalFilter
    permission_classes = [ModelPermissions]
    scope = TokenScope.OPERATE

    @_decision()
    def approve(self, request: Request) -> Response:
        """Approve what waits; 409 where another number waits now."""
        return self._decide(request, approve)

    @_decision()
    def reject(self, request: Request) -> Response:
        """Keep what would be deleted or emptied; 409 where another number waits now."""
        return self._decide(request, reject)

    def _decide(self, request: Request, decide: Any) -> Response:
        selection = ApprovalDecisionSerializer.read(request)
        waiting = ApprovalRequest.objects.filter(state=ApprovalState.PENDING)
        if "ids" in selection:
            acts, expected = waiting.filter(pk__in=selection["ids"]), len(set(selection["ids"]))
        else:
            acts = waiting.filter(entity_type=selection["entity_type"], kind=selection["kind"])
            expected = selection["count"]
        by: AbstractBaseUser = request.user  # type: ignore[assignment]  # permissions let nobody anonymous in
        with transaction.atomic():
            # The ids are fixed here: a request that comes later is not among them. Locked: of two who decide at once
            # the second counts anew what is left, or would be told of a success that was the first one's.
            ids = list(acts.order_by("pk").select_for_update().values_list("pk", flat=True))
            if len(ids) != expected:
                raise Conflict(f"{len(ids)} of them wait for approval now, not {expected}. Check the list again.")
            decided = decide(waiting.filter(pk__in=ids), by)
        return Response(ApprovalDecidedSerializer({"decided": decided}).data)


# Ignored items: those that are not to become records.


class IgnoredItemSerializer(QuotingMixin, serializers.ModelSerializer[IgnoredItem]):
    """An item that is left alone, with the reason."""

    quoting = ("reason",)

    monday_id = serializers.CharField(source="item_id", read_only=True, help_text="The item.")
    unlinked = serializers.BooleanField(
        read_only=True, help_text="Whether nothing is to be made of it; else it is no match alone."
    )
    entity_id = serializers.UUIDField(
        read_only=True, allow_null=True, help_text="The record that it was unlinked from, or is not the same as."
    )
    reason = serializers.CharField(
        read_only=True, help_text="Why it is left alone, as far as the caller may see such records."
    )

    class Meta:
        model = IgnoredItem
        fields = ["id", "entity_type", "monday_id", "reason", "unlinked", "entity_id", "at"]
        read_only_fields = fields


class IgnoredItemViewSet(ShapedView, mixins.DestroyModelMixin, viewsets.ReadOnlyModelViewSet[IgnoredItem]):
    """Items of boards that are not to become records, the newest first. One that is deleted here is checked at once,
    like a new one.
    """

    # Of one whose person was erased nobody is told, and it can't be considered again.
    queryset = IgnoredItem.objects.filter(erased=False).order_by("-id")
    serializer_class = IgnoredItemSerializer
    filterset_class = list_filter(
        IgnoredItem, ("entity_type", "entity_id", "unlinked", "at"), order=("id", "at"), monday_id="item_id"
    )
    permission_classes = [ModelPermissions]
    scope = TokenScope.OPERATE

    def perform_destroy(self, instance: IgnoredItem) -> None:
        """Consider it again, and log who asked for it."""
        with transaction.atomic():
            log_action(self.request.user, instance, "To be considered again, by the API.", flag=DELETION)
            consider_again(IgnoredItem.objects.filter(pk=instance.pk))


# Which records of one model were deleted: `GET …/deleted/`.


class DeletedRecordSerializer(serializers.Serializer[Any]):
    """That a record was deleted; nothing of what it said."""

    id = serializers.UUIDField(source="entity_id")
    deleted_at = serializers.DateTimeField(source="at")


class DeletedFilter(FilterSet):  # type: ignore[misc]
    """The filter of deleted records."""

    since = Moment(field_name="at", lookup_expr="gte", help_text="Deleted since then, this moment included.")


class DeletionsGone(APIException):
    """Deletions since then are not all known any more."""

    status_code = status.HTTP_410_GONE
    default_detail = (
        "This is longer ago than deletions are kept. Read all records again; those that you have and that are not "
        "there were deleted."
    )
    default_code = "since_expired"


class DeletionsMixin(viewsets.GenericViewSet[Any]):
    """Which records of a view set's model were deleted, as long as events are kept."""

    @extend_schema(responses=DeletedRecordSerializer(many=True))
    @action(detail=False, filterset_class=DeletedFilter, problem_codes=(410,))
    def deleted(self, request: Request) -> Response:
        """The records that were deleted, in the order of their deletion: ids and times alone. One that was restored is
        not among them. 410 where `since` is older than what is kept.
        """
        since, known_from = parse_moment(request.query_params.get("since")), unknown_deletions_before()
        if since is not None and known_from is not None and since < known_from:
            raise DeletionsGone
        found = self.filter_queryset(deleted_records(self.get_queryset().model.entity_type()))
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response(DeletedRecordSerializer(page, many=True).data)
