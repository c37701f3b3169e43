"""The API of a synced record, whatever the model: CRUD with ETags, and the push by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from sync.acts_log import ADDITION, DELETION, note
from sync.api.etag import check_precondition, etag_of
from sync.api.history import DecisionSerializer, told
from sync.api.permissions import MayChange, ModelPermissions
from sync.api.problems import Conflict, NotConfiguredProblem
from sync.api.throttles import SyncNowThrottle
from sync.api.views import ApiView
from sync.ledger import RecordState, SyncStateService
from sync.letting_go import CannotUnlink, ask_to_unlink, link_again
from sync.models import Decision, SyncedModel
from sync.push import NotConfigured, push_by_name

LOCKING = ("update", "partial_update", "destroy")

ETAG_OUT = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="A hash of what people edit."
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags as read, or *; when the record has another now, nothing is done: 412.",
)


class RecordSyncSerializer(serializers.Serializer[RecordState]):
    """How the record's sync stands, for a person."""

    words = serializers.CharField(help_text="Why it isn't in sync, in a sentence; empty when it is.")
    next_try = serializers.DateTimeField(allow_null=True)
    item_url = serializers.CharField(allow_null=True, help_text="The item on its Monday board.")


class RecordSerializer(serializers.ModelSerializer[Any]):
    """A synced record; a field that it doesn't know is refused by name, not passed over."""

    sync = serializers.SerializerMethodField()

    OWN_FIELDS: ClassVar[tuple[str, ...]] = (
        *("monday_id", "monday_last_synced", "sync_status", "sync_enabled", "sync_direction"),
        *("created_at", "updated_at", "sync"),
    )

    # What looks and triggers move by themselves, so that it may be older in a body that was read before.
    MOVING: ClassVar[tuple[str, ...]] = (
        "monday_id",
        "monday_last_synced",
        "sync_status",
        "updated_at",
        "sync",
    )

    def to_internal_value(self, data: Any) -> Any:
        """The values to write; raises ValidationError that names every unknown field."""
        unknown = sorted(set(data) - set(self.fields)) if isinstance(data, dict) else []
        if unknown:
            known = ", ".join(name for name, field in self.fields.items() if not field.read_only)
            message = f"There is no such field. Known: {known}."
            raise serializers.ValidationError({name: [message] for name in unknown}, code="unknown_field")
        if self.instance is not None and isinstance(data, dict):
            self._refuse_read_only(data)
        return super().to_internal_value(data)

    def _refuse_read_only(self, data: dict[str, Any]) -> None:
        """A body that was read may come back whole; what it says differently of a kept field is no wish."""
        passed = () if self.partial else self.MOVING
        refused = {
            name: ["This is kept by the sync and can't be written. Leave it out."]
            for name, field in self.fields.items()
            if field.read_only and name in data and name not in passed and not self._stands(field, data[name])
        }
        if refused:
            raise serializers.ValidationError(refused, code="read_only")

    def _stands(self, field: serializers.Field[Any, Any, Any, Any], value: Any) -> bool:
        if isinstance(field, serializers.SerializerMethodField):
            return False
        stored = field.get_attribute(self.instance)
        return bool(value == (None if stored is None else field.to_representation(stored)))

    @extend_schema_field(RecordSyncSerializer)
    def get_sync(self, record: SyncedModel) -> Any:
        """The state as the view read it, for a whole page at once."""
        states: dict[UUID, RecordState] = self.context["states"]
        return RecordSyncSerializer(states[record.pk]).data


class SyncAnswerSerializer(serializers.Serializer[Any]):
    """What a push by name did."""

    sync_triggered = serializers.BooleanField()
    message = serializers.CharField()
    monday_id = serializers.CharField(allow_null=True, help_text="The item's id before this push.")


class RecordViewSet(ApiView, viewsets.ModelViewSet[Any]):
    """Create, read, change and delete records of one model."""

    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {
        "create": (409,),
        "update": (409, 412),
        "partial_update": (409, 412),
        "destroy": (412,),
    }

    def get_queryset(self) -> QuerySet[Any]:
        """The records; for a write, the row locked until it is done."""
        queryset = super().get_queryset()
        return queryset.select_for_update() if self.action in LOCKING else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page, with the sync state of all its records read at once."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        records = page if page is not None else []
        return self.get_paginated_response(self._shown(records, many=True))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One record with its ETag; never 304, for the body holds bookkeeping that the ETag leaves out."""
        return self._answer(self.get_object())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make a record."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        record = serializer.save()
        record.refresh_from_db()
        note(request.user, record, "Made by the API.", flag=ADDITION)
        answer = self._answer(record, status.HTTP_201_CREATED)
        answer["Location"] = self.reverse_action("detail", args=[record.pk])
        return answer

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change a record; a field that has the value already is not written."""
        with transaction.atomic():
            record = self.get_object()
            check_precondition(request, record)
            serializer = self.get_serializer(record, data=request.data, partial=kwargs.get("partial", False))
            serializer.is_valid(raise_exception=True)
            serializer.save()
            fields = ", ".join(sorted(serializer.validated_data))
            note(request.user, record, f"Changed by the API: {fields}.")
            record.refresh_from_db()
        return self._answer(record)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a record."""
        with transaction.atomic():
            record = self.get_object()
            check_precondition(request, record)
            note(request.user, record, "Deleted by the API.", flag=DELETION)
            record.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        responses=DecisionSerializer(many=True),
        filters=False,
        description="Every decision on the record with what led to it, newest first; of a deleted one too.",
    )
    @action(detail=True, url_path="history")
    def history(self, request: Request, pk: str) -> Response:
        """One page of what was decided about the record."""
        model = self.get_queryset().model
        rows = Decision.objects.filter(entity_type=model.entity_type(), entity_id=_as_id(pk))
        if not rows.exists():
            self.get_object()
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(DecisionSerializer(told(page), many=True).data)

    def _answer(self, record: SyncedModel, code: int = status.HTTP_200_OK) -> Response:
        return Response(self._shown([record], many=False), code, headers={"ETag": etag_of(record)})

    def _shown(self, records: Sequence[SyncedModel], *, many: bool) -> Any:
        states = SyncStateService().describe_many(records)
        context = {**self.get_serializer_context(), "states": states}
        return self.get_serializer_class()(records if many else records[0], many=many, context=context).data


def _as_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as wrong:
        raise NotFound(f"“{text}” is no record's id.") from wrong


class LinkingAnswerSerializer(serializers.Serializer[Any]):
    """What an unlinking or a linking did."""

    message = serializers.CharField()
    monday_id = serializers.CharField(
        allow_null=True, help_text="The item: the one that is let go, or that it is linked with again."
    )


class LinkingViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """`POST …/{id}/unlink` and `…/{id}/link-again`: let a record's item go, and take it back."""

    permission_classes = [MayChange]
    serializer_class = LinkingAnswerSerializer
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"unlink": (409,), "link_again": (409,)}

    @extend_schema(
        request=None,
        description="Let the item go: its NPD ID is cleared by the next look, then the record's sync is off. Both "
        "sides keep what they have.",
    )
    def unlink(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask for it, and answer at once; 409 for a record without an item."""
        record: SyncedModel = self.get_object()
        try:
            ask_to_unlink(record, request.user.get_username())
        except CannotUnlink as refused:
            raise Conflict(str(refused)) from refused
        note(request.user, record, "Unlink from Monday was asked for, by the API.")
        said = f"“{record}” is unlinked by its next look."
        return Response(self.get_serializer({"message": said, "monday_id": record.monday_id}).data)

    @extend_schema(
        request=None,
        description="Link the record with the item that was let go of it, and turn its sync on. What changed on one "
        "side since flows, what both changed differently is asked about.",
    )
    def link_again(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Link it; 409 where there is no such item, or it has another record by now."""
        record: SyncedModel = self.get_object()
        try:
            item_id = link_again(record, request.user.get_username())
        except CannotUnlink as refused:
            raise Conflict(str(refused)) from refused
        note(request.user, record, f"Linked with item {item_id} again, by the API.")
        said = f"“{record}” is linked with its item again."
        return Response(self.get_serializer({"message": said, "monday_id": item_id}).data)


class PushViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """`POST …/{id}/sync-to-monday`: push one record now, because a person asked for it."""

    permission_classes = [MayChange]
    throttle_classes = [SyncNowThrottle, *ApiView.throttle_classes]

    @extend_schema(request=None, description="Push the record now, this once even where its sync is off.")
    def push(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask for the push and answer at once; also a record whose sync is disabled is pushed, this once."""
        record: SyncedModel = self.get_object()
        before = record.monday_id
        try:
            answer = push_by_name(record, by=request.user.get_username())
        except NotConfigured as error:
            raise NotConfiguredProblem(str(error)) from error
        note(request.user, record, f"Sync now, by the API: {answer.message}")
        said = {"sync_triggered": answer.triggered, "message": answer.message, "monday_id": before}
        return Response(self.get_serializer({f"{record.entity_type()}_id": record.pk, **said}).data)
