"""What waits for a person, by API: the inbox; what was deleted in NPD, with its restore; deletes and clears over the
limit, with a person's decision; items that no record has, and those that are ignored.

What is done with an entry of the inbox is done by its kind's own operation, which knows it by `id`; it is assigned on
its page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, cast

import django_filters
from django.contrib.admin.models import DELETION
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api.lists import CountedRows, NumberedPages, ShapedView, filtered_by, list_filter
from sync.api.problems import Refused
from sync.api.request_rules import (
    ApiView,
    KnownFieldsMixin,
    MayChange,
    MayViewOnPost,
    ModelPermissions,
    Moment,
    QuotingMixin,
    TrueOrFalse,
    act,
    allowed,
    asked_for,
    parse_moment,
)
from sync.choices import ApprovalKind, ApprovalState, TokenScope, TombstoneState
from sync.kernel.action_errors import Conflict
from sync.kernel.messages import UNMATCHED_LABELS
from sync.models import ApprovalRequest, Assignment, IgnoredItem, Tombstone, UnmatchedItem
from sync.operations import attention
from sync.operations.attention import AttentionEntry, AttentionKind, Wording
from sync.operations.event_feed import deleted_records, unknown_deletions_before
from sync.records.approvals import approve, reject
from sync.records.authors import log_action
from sync.records.tombstones import restore_by_person, tombstone_name
from sync.records.unmatched_items import (
    consider_again,
    ignore_unmatched,
    planned_otherwise,
    request_creation,
    request_link,
    request_wait_text,
    undo_ignore,
)
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
        return tombstone_name(row) or str(row.entity_id)

    def get_values(self, row: Tombstone) -> dict[str, Any]:
        own = registry.own_fields(registry.entity(row.entity_type).model)
        return {one.name: row.data.get(one.column) for one in own}


@filtered_by(TombstoneSerializer)
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
    """A delete or an emptied field: pending until a person decides or its cause is gone, or done."""

    quoting = ("label", "values")

    monday_id = serializers.CharField(source="remote_id", read_only=True, help_text="The item; empty where none was.")
    field = serializers.CharField(source="key", read_only=True, help_text="The field, of a clear.")
    decided_by = serializers.CharField(source="decided_by.username", default=None, allow_null=True, read_only=True)

    class Meta:
        model = ApprovalRequest
        fields = [
            *("id", "entity_type", "entity_id", "monday_id", "kind", "field", "state", "label", "values"),
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
        group = {"entity_type", "kind", "count"}
        given = set(attrs)
        # The count is required, so that nobody decides on more requests than they saw.
        if given not in ({"ids"}, group):
            raise serializers.ValidationError("Give either ids, or entity_type, kind and count.")
        return attrs


class ApprovalDecidedSerializer(serializers.Serializer[Any]):
    """How many acts were decided; each is carried out at its record's next look."""

    decided = serializers.IntegerField()


@filtered_by(ApprovalRequestSerializer)
class ApprovalFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    state = django_filters.MultipleChoiceFilter(
        choices=ApprovalState.choices, help_text="May be given several times; without it, what waits for approval."
    )
    decided_by = django_filters.CharFilter(field_name="decided_by__username", label="Decided by")

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
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
    filterset_class = list_filter(IgnoredItemSerializer)
    permission_classes = [ModelPermissions]
    scope = TokenScope.OPERATE

    def perform_destroy(self, instance: IgnoredItem) -> None:
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
            raise Refused(
                "since_expired",
                "This is longer ago than deletions are kept. Read all records again; those that you have and that are "
                "not there were deleted.",
            )
        found = self.filter_queryset(deleted_records(self.get_queryset().model.entity_type()))
        page = self.paginate_queryset(found) or []
        return self.get_paginated_response(DeletedRecordSerializer(page, many=True).data)


# Unmatched items: the list with its reasons, and what a person wants: create, link, ignore, list again.


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
        return row.reason_to(registry.visible_types(self.context["request"].user))


class UnmatchedLinkSerializer(KnownFieldsMixin):
    """The record that an item is to be linked with."""

    record = serializers.UUIDField(help_text="The id of a record of the item's type, without an item.")


class UnmatchedRequestSerializer(serializers.Serializer[Any]):
    """What was asked for; the item's next sync does it: `GET sync/queue/?unmatched_items=true` says what came of it."""

    message = serializers.CharField()
    monday_id = serializers.CharField()


@filtered_by(UnmatchedItemSerializer)
class UnmatchedItemFilter(FilterSet):  # type: ignore[misc]
    """The filters of the list."""

    reason_code = django_filters.MultipleChoiceFilter(choices=REASONS, help_text="May be given several times.")
    ignored = TrueOrFalse(
        field_name="ignored_at", lookup_expr="isnull", exclude=True, label="Ignored", help_text="false if not given."
    )

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
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
        return self._moved(ignore_unmatched, "Ignored", "is ignored already")

    @act(responses=UnmatchedItemSerializer, permission_classes=[MayChange])
    def restore(self, request: Request, pk: int) -> Response:
        """List an ignored item again."""
        return self._moved(undo_ignore, "Listed again", "isn't ignored")

    def _moved(self, move: Callable[[QuerySet[Any], str], int], done: str, refusal: str) -> Response:
        row = self.get_object()
        with transaction.atomic():
            if not move(UnmatchedItem.objects.filter(pk=row.pk), self.request.user.get_username()):
                raise Conflict(f"“{row}” {refusal}.")
            log_action(self.request.user, row, f"{done}, by the API.")
        row.refresh_from_db()
        return Response(self.get_serializer(row).data)

    def _row_for(self, request: Request, act: str) -> UnmatchedItem:
        row: UnmatchedItem = self.get_object()
        if not registry.may_act(request.user, act, row.entity_type):
            raise PermissionDenied
        return row

    def _answer(self, row: UnmatchedItem, message: str) -> Response:
        wait = request_wait_text(row.entity_type)
        said = f"{message} It waits: {wait}" if wait else message
        return Response(UnmatchedRequestSerializer({"message": said, "monday_id": row.item_id}).data)


# The inbox: all that needs attention in one list, with whose it is and what is noted about it.


class InboxValueSerializer(serializers.Serializer[Any]):
    """A field with what each side has."""

    field = serializers.CharField(source="key")
    label = serializers.CharField()  # type: ignore[assignment]  # DRF's own attribute
    npd = serializers.CharField(allow_null=True)
    monday = serializers.CharField(allow_null=True)


class InboxEntrySerializer(serializers.Serializer[AttentionEntry]):
    """One thing that needs attention."""

    key = serializers.CharField(help_text="Names it in the inbox, as long as the same thing is wrong.")
    kind = serializers.ChoiceField(choices=AttentionKind.choices)
    id = serializers.CharField(
        source="row_id",
        help_text="What its own operations know it by: the id of the job, approval, conflict or unmatched item; of a "
        "rejected or blocked field its type, record and field, of a column that can't be used its type and field.",
    )
    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField(
        allow_null=True, help_text="null: an item that no record has, or a column that can't be used."
    )
    records = serializers.IntegerField(help_text="How many records it is about: of a column all that it blocks.")
    monday_id = serializers.CharField(source="item_id", help_text="The item; empty where there is none.")
    name = serializers.CharField(help_text="What it is called; its type alone where you may not see such records.")
    board = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    cause = serializers.CharField(help_text="Names the cause that it shares with others.")
    reason_code = serializers.CharField(source="cause_code")
    reason = serializers.CharField(source="cause_text", help_text="The cause in a few words.")
    detail = serializers.CharField(help_text="This one's own reason.")
    field = serializers.CharField(help_text="The field, where it is about one.")
    values = InboxValueSerializer(
        many=True, help_text="Of conflicts and rejected values of records that you may see: each side."
    )
    assignee = serializers.CharField(source="assignee_name", help_text="The username of whose it is; empty: nobody's.")
    note = serializers.CharField()


class InboxFilter(FilterSet):  # type: ignore[misc]
    """The filters of the inbox."""

    kind = django_filters.MultipleChoiceFilter(choices=AttentionKind.choices, help_text="May be given several times.")
    cause = django_filters.CharFilter(label="Cause", help_text="As an entry names it.")
    assignee = django_filters.CharFilter(label="Assignee", help_text="The username of whose they are.")
    mine = TrueOrFalse(label="Mine", help_text="true: what is yours.")


class InboxViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """All that needs attention, as far as the caller may see it."""

    queryset = Assignment.objects.all()
    serializer_class = InboxEntrySerializer
    filterset_class = InboxFilter
    pagination_class = NumberedPages
    permission_classes = [allowed(lambda request, view: attention.scope_of(request.user).kinds)]

    def list(self, request: Request) -> Response:
        """Failures, approvals, removed items, conflicts, duplicates, rejected values, blocked fields, unmatched items.

        The gravest kind and the oldest first, as far as you may see them.
        """
        asked, scope = asked_for(self), attention.scope_of(request.user)
        if asked["mine"] and asked["assignee"]:
            raise serializers.ValidationError({"assignee": ["Give either mine or assignee."]})
        owner = request.user if asked["mine"] else _person(asked["assignee"])
        if asked["assignee"] and owner is None:
            scope = replace(scope, kinds=frozenset())
        elif owner is not None:
            scope = replace(scope, assigned_to=owner.pk)
        kinds = [AttentionKind(one) for one in dict.fromkeys(asked["kind"])] or None
        chosen: dict[str, Any] = {"kinds": kinds, "of_causes": [asked["cause"]] if asked["cause"] else []}
        wording = Wording.of_boards()

        def number() -> int:
            if asked["cause"]:
                return sum(one.number for one in attention.causes(scope, **chosen))
            counted = attention.counts(scope)
            return sum(counted[one] for one in kinds or counted)

        def some(limit: int, offset: int) -> Sequence[AttentionEntry]:
            return attention.entries(scope, **chosen, limit=limit, offset=offset, wording=wording)

        page = self.paginate_queryset(cast("Any", CountedRows(number, some))) or []
        told, types = attention.with_values(page, wording), scope.named_types
        shown = [one if types is None or one.entity_type in types else replace(one, values=()) for one in told]
        return self.get_paginated_response(InboxEntrySerializer(cast("Any", shown), many=True).data)


def _person(username: str) -> Any | None:
    """The one with this username; None without one."""
    return attention.assignable_people().filter(username=username).first() if username else None
