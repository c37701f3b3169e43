"""The API of synced records of all models, and the redirect from a record's id to its page."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from copy import copy
from http import HTTPStatus
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync import permissions, registry
from sync.api import SyncNowThrottle, api_base
from sync.api.errors import CHANGED_SINCE, ErrorSerializer, Refused
from sync.choices import RecordSyncStatus
from sync.fields import searches
from sync.kernel.acts import ACTS
from sync.kernel.triggers import BOOKKEEPING
from sync.models import SyncedModel
from sync.queue import PUSH_REASONS, push_record
from sync.records.authors import log_action
from sync.state import record_view

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The record's ETag as you read it, or *. If the record has another one now, nothing is done: 412.",
)

# Also weak tags, because a proxy that compresses an answer weakens its tag.
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag_of(record: SyncedModel) -> str:
    """Return the quoted tag of the columns that people edit; a pass that changes none of these keeps it valid."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches(if_match: str, etag: str) -> bool:
    """Whether an If-Match header, `*` or a list of tags, names this one."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


class RecordSyncSerializer(serializers.Serializer[record_view.RecordView]):
    """The record's sync state, for people."""

    words = serializers.CharField(source="reason", help_text="Why it isn't synced, in a sentence; empty if it is.")
    next_try = serializers.DateTimeField(allow_null=True)
    item_url = serializers.CharField(allow_null=True, help_text="The item on its Monday board.")
    state = serializers.ChoiceField(choices=record_view.RecordState.choices)


class FieldBaseSerializer(serializers.Serializer[record_view.FieldView]):
    """The values when both sides were last synced."""

    npd = serializers.CharField(source="base_local")
    monday = serializers.CharField(source="base_remote")


class FieldSyncSerializer(serializers.Serializer[record_view.FieldView]):
    """A mapped field on both sides, with the values as displayed."""

    field = serializers.CharField(source="key", help_text="The mapped field: name, email, address …")
    npd = serializers.CharField(source="local")
    monday = serializers.CharField(source="remote", help_text="As last read; Monday isn't asked now.")
    monday_read_at = serializers.DateTimeField(
        source="read_at", allow_null=True, help_text="When a pass last read it; null: never."
    )
    base = FieldBaseSerializer(source="*")
    reason_code = serializers.ChoiceField(
        choices=[code.value for code in record_view.FieldReason], help_text="Why it is in this state."
    )
    detail = serializers.CharField(help_text="The reason in words, if it is blocked or stored differently.")


class RecordFieldsSerializer(RecordSyncSerializer):
    """A record's sync state, with each of its fields on both sides."""

    fields = FieldSyncSerializer(many=True)  # type: ignore[assignment]  # a member's name


class PushSerializer(serializers.Serializer[Any]):
    """The result of a push of one record."""

    sync_triggered = serializers.BooleanField()
    message = serializers.CharField()
    reason_code = serializers.CharField(
        help_text=f"Why nothing is sent, or not now: {', '.join(PUSH_REASONS)}; empty if it is sent now."
    )
    monday_id = serializers.CharField(allow_null=True, help_text="The item's id before this push.")


class RecordListSerializer(serializers.ListSerializer[Any]):
    """Reads the sync states of a whole page at once."""

    def to_representation(self, data: Any) -> Any:
        records: Sequence[SyncedModel] = list(data)
        serializer: Any = self.child
        serializer.views_of_page = record_view.views_of(records)
        return super().to_representation(records)


class RecordSerializer(serializers.ModelSerializer[Any]):
    """A synced record."""

    sync = serializers.SerializerMethodField()
    etag = serializers.SerializerMethodField(help_text="For If-Match: a hash of what people edit.")

    SYNC_FIELDS: ClassVar[tuple[str, ...]] = (
        *("monday_id", "monday_last_synced", "sync_status", "sync_enabled", "sync_direction"),
        *("created_at", "updated_at", "sync", "etag"),
    )

    views_of_page: Mapping[UUID, record_view.RecordView] | None = None  # set by RecordListSerializer

    # The model tidies addresses before it validates them; for the schema they are plain texts, which may be empty.
    serializer_field_mapping: ClassVar[dict[Any, Any]] = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.EmailField: serializers.CharField,
        models.URLField: serializers.CharField,
    }

    class Meta:
        list_serializer_class = RecordListSerializer

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate and complete the changed fields by the model; an invalid old value doesn't stop other edits."""
        model: type[SyncedModel] = self.Meta.model
        record = model() if self.instance is None else copy(self.instance)
        for name, value in attrs.items():
            setattr(record, name, value)
        # DRF has validated the relations.
        names = {field.name for field in model._meta.concrete_fields if not field.is_relation} & set(attrs)
        changed = {name for name in names if self.instance is None or getattr(self.instance, name) != attrs[name]}
        try:
            record.clean_fields(exclude={field.name for field in model._meta.concrete_fields} - changed)
        except ValidationError as error:
            raise serializers.ValidationError(serializers.as_serializer_error(error)) from error
        return attrs | {name: getattr(record, name) for name in changed}

    @extend_schema_field(RecordSyncSerializer)
    def get_sync(self, record: SyncedModel) -> Any:
        record_views = record_view.views_of([record]) if self.views_of_page is None else self.views_of_page
        return RecordSyncSerializer(record_views[record.pk]).data

    def get_etag(self, record: SyncedModel) -> str:
        return etag_of(record)


class RecordFilter(filters.FilterSet):  # type: ignore[misc]
    """The filters that every synced record has, beside those by its own fields."""

    sync_status = filters.MultipleChoiceFilter(
        choices=RecordSyncStatus.choices, help_text="May be given several times."
    )
    updated_since = filters.IsoDateTimeFilter(
        method="changed_since",
        help_text="Changed, or linked with another item, by people or the sync at or after this moment; without "
        "deleted records. Send the `mark` of the last read.",
    )

    def changed_since(self, records: models.QuerySet[Any], name: str, moment: Any) -> models.QuerySet[Any]:
        return records.filter(models.Q(updated_at__gte=moment) | models.Q(item_since__gte=moment))


WRITES = ("update", "partial_update", "destroy")  # of an existing record


@extend_schema_view(
    update=extend_schema(parameters=[IF_MATCH]),
    partial_update=extend_schema(parameters=[IF_MATCH]),
    destroy=extend_schema(parameters=[IF_MATCH]),
)
class RecordViewSet(api_base.ApiView, viewsets.ModelViewSet[Any]):
    """Records with their sync state."""

    permission_classes = [api_base.ModelPermissions]
    filter_backends = [api_base.ListFilters, api_base.RecordSearch, api_base.RecordOrdering]

    def get_queryset(self) -> models.QuerySet[Any]:
        """Return the records; lock the row for a write, so that it doesn't change after If-Match was compared."""
        queryset = super().get_queryset()
        if self.action == "list":
            return record_view.with_states(queryset)
        return queryset.select_for_update() if self.action in WRITES else queryset

    def get_object(self) -> SyncedModel:
        """Return the record; before a write raise 412 if it has changed since the caller read it."""
        record: SyncedModel = super().get_object()
        if_match = self.request.headers.get("If-Match")
        if self.action in WRITES and if_match is not None and not matches(if_match, etag_of(record)):
            raise Refused(HTTPStatus.PRECONDITION_FAILED, CHANGED_SINCE, "precondition_failed")
        return record

    @transaction.atomic
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change the fields that differ."""
        return super().update(request, *args, **kwargs)

    @transaction.atomic
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a record."""
        return super().destroy(request, *args, **kwargs)

    # A transaction of its own, because a worker begins at the commit, and the answer takes as long to make.
    @transaction.atomic
    def perform_create(self, serializer: serializers.BaseSerializer[Any]) -> None:
        record = serializer.save()
        log_action(self.request.user, record, "Made by the API.", flag=ADDITION)
        record.refresh_from_db()  # triggers have set columns

    def perform_update(self, serializer: serializers.BaseSerializer[Any]) -> None:
        record = serializer.save()
        fields = ", ".join(sorted(serializer.validated_data))
        log_action(self.request.user, record, f"Changed by the API: {fields}.")
        record.refresh_from_db()  # triggers have set columns

    def perform_destroy(self, instance: SyncedModel) -> None:
        # Before the deletion: the log needs the record's id and name.
        log_action(self.request.user, instance, "Deleted by the API.", flag=DELETION)
        instance.delete()

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": self.reverse_action("detail", args=[data["id"]])}

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Put a record's ETag into the header, too."""
        if isinstance(response.data, dict) and "etag" in response.data:
            response["ETag"] = response.data["etag"]
        return super().finalize_response(request, response, *args, **kwargs)

    @extend_schema(responses=RecordFieldsSerializer)
    @action(detail=True, url_path="sync")
    def read_sync(self, request: Request, pk: str) -> Response:
        """Each mapped field with NPD's value, Monday's last known value and when it was read, the last synced values,
        and a reason code. Monday isn't asked.
        """
        record = self.get_object()
        return Response(RecordFieldsSerializer(record_view.view_of(record)).data)

    @action(
        detail=True,
        methods=["post"],
        url_path="sync-to-monday",
        permission_classes=[api_base.MayChange],
        throttle_classes=[*api_base.ApiView.throttle_classes, SyncNowThrottle],
    )
    def push(self, request: Request, pk: str) -> Response:
        record: SyncedModel = self.get_object()
        before = record.monday_id
        answer = push_record(record, by=request.user.get_username())
        log_action(request.user, record, f"Sync now, by the API: {answer.message}")
        return Response(
            {
                f"{record.entity_type()}_id": record.pk,
                "sync_triggered": answer.triggered,
                "message": answer.message,
                "reason_code": answer.reason_code,
                "monday_id": before,
            }
        )


def record_paths() -> list[URLPattern | URLResolver]:
    """Return the URLs of all registered models' records, each under its model's plural."""
    router = SimpleRouter()
    for spec in registry.entities():
        router.register(str(spec.model._meta.verbose_name_plural).replace(" ", "-"), _view_of(spec.model))
    return router.urls


def _view_of(model: type[SyncedModel]) -> type[RecordViewSet]:
    """Return the view of a model's records, built from the model and its registration."""
    name = model.__name__
    fields = ["id", *(field.name for field in registry.own_fields(model)), *RecordSerializer.SYNC_FIELDS]
    meta = type("Meta", (RecordSerializer.Meta,), {"model": model, "fields": fields})
    serializer_attributes = {"Meta": meta, "__doc__": model.__doc__}
    serializer = type(f"{name}Serializer", (RecordSerializer,), serializer_attributes)
    push_fields = {f"{model.entity_type()}_id": serializers.UUIDField()}
    push = type(f"{name}SyncResponseSerializer", (PushSerializer,), push_fields)
    lists = (ArrayField, models.JSONField)
    own = [field.name for field in registry.own_fields(model) if not isinstance(field, lists)]
    filter_meta = type("Meta", (), {"model": model, "fields": [*own, "monday_id", "sync_enabled", "sync_direction"]})
    filters_of_model: dict[str, Any] = {"Meta": filter_meta}
    if key := registry.match_field(model):
        filters_of_model[key] = filters.CharFilter(lookup_expr="iexact", help_text="Ignores case.")
    columns = {
        field.name for field in model._meta.concrete_fields if not field.is_relation and not isinstance(field, lists)
    }
    attributes = {
        "__doc__": RecordViewSet.__doc__,
        "queryset": model.objects.all(),
        "serializer_class": serializer,
        "filterset_class": type(f"{name}Filter", (RecordFilter,), filters_of_model),
        "search_fields": searches.searched_fields(model),
        "ordering_fields": [name for name in fields if name in columns],
        "ordering": searches.default_ordering(model),
    }
    answers = {HTTPStatus.OK: push, HTTPStatus.BAD_REQUEST: ErrorSerializer, HTTPStatus.NOT_FOUND: ErrorSerializer}
    push_schema = extend_schema(request=None, responses=answers, description=ACTS["sync_now"].effect)
    described = extend_schema_view(push=push_schema)
    return described(type(f"{name}ViewSet", (RecordViewSet,), attributes))


def redirect_to_record(request: HttpRequest, record_id: UUID) -> HttpResponse:
    """Redirect to the admin's page of a record of any type; 404 also without the permission to view it."""
    for spec in registry.entities():
        options = spec.model._meta
        may_view = permissions.may_view(request.user, options.label_lower)
        if may_view and spec.model.objects.filter(pk=record_id).exists():
            return redirect(f"admin:{options.app_label}_{options.model_name}_change", record_id)
    raise Http404(f"No record has the id {record_id}; it may have been deleted.")
