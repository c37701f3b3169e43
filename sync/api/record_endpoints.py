"""A synced record by API, whatever its model, and the redirect from an id to its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import cached_property, wraps
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, reverse
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from sync import registry
from sync.api import preconditions
from sync.api.bulk_endpoints import BulkMixin, bulk_schema
from sync.api.callers import SyncNowThrottle
from sync.api.lists import ShapedView, columns_of, expand, filters_of, ordering_of
from sync.api.request_rules import (
    MAX_NAMED,
    ApiRouter,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    RecordFilter,
    act,
)
from sync.choices import RULES, RecordSyncStatus, SyncDirection
from sync.kernel.messages import Conflict
from sync.ledger import record_view
from sync.ledger.record_view import FieldReason, FieldView, Part, RecordState, RecordView
from sync.models import SyncedModel
from sync.models.api_clients import VALUE_LENGTH
from sync.operations.record_requests import PushReason, push_record
from sync.reconcile.lookups import canonical_value, match_key, records_saying
from sync.records.authors import log_action
from sync.records.external_ids import (
    Name,
    external_ids_of,
    lock_sources,
    lock_values,
    records_named,
    set_external_ids,
    source_problem,
    value_problem,
)

LOCKING_ACTIONS = ("update", "partial_update", "destroy")


class RecordSyncSerializer(serializers.Serializer[RecordView]):
    """How the record's sync stands, for a person."""

    words = serializers.CharField(help_text="Why it isn't synced, in a sentence; empty when it is.")
    next_try = serializers.DateTimeField(allow_null=True)
    item_url = serializers.CharField(allow_null=True, help_text="The item on its Monday board.")
    state = serializers.ChoiceField(choices=RecordState.choices)
    reason_code = serializers.CharField(help_text=f"Why it is in this state: {', '.join(Part.values)}.")


class FieldBaseSerializer(serializers.Serializer[FieldView]):
    """The two values when both sides were last synced."""

    npd = serializers.CharField(source="base_local")
    monday = serializers.CharField(source="base_remote")


class FieldSyncSerializer(serializers.Serializer[FieldView]):
    """One mapped field on both sides, the values as displayed."""

    field = serializers.CharField(source="key", help_text="The mapped field: name, email, address …")
    label = serializers.CharField()  # type: ignore[assignment]  # a member's name
    names = serializers.ListField(child=serializers.CharField(), help_text="The record's fields that it is made of.")
    npd = serializers.CharField(source="local")
    monday = serializers.CharField(source="remote", help_text="As last known; nobody asks Monday for this answer.")
    monday_read_at = serializers.DateTimeField(
        source="read_at", allow_null=True, help_text="When a pass last knew that; null: never."
    )
    base = FieldBaseSerializer(source="*")
    state = serializers.ChoiceField(choices=RecordState.choices)
    reason_code = serializers.ChoiceField(choices=[code.value for code in FieldReason], help_text="Why it is so.")
    detail = serializers.CharField(help_text="The reason in words, where it is blocked or stored differently.")
    blocked = serializers.SerializerMethodField(help_text="Whether it is not synced until somebody acts.")
    to_monday = serializers.BooleanField(help_text="Whether NPD's changes are sent.")
    to_npd = serializers.BooleanField(help_text="Whether Monday's changes are taken.")
    rule = serializers.ChoiceField(choices=RULES, help_text="What decides where both sides changed it.")

    def get_blocked(self, view: FieldView) -> bool:
        return view.reason_code in (FieldReason.BLOCKED, FieldReason.REJECTED)


class RecordFieldsSerializer(RecordSyncSerializer):
    """How a record's sync stands, and each of its fields on both sides."""

    id = serializers.UUIDField(source="record.pk")
    monday_id = serializers.CharField(source="record.monday_id", allow_null=True)
    monday_last_synced = serializers.DateTimeField(source="record.monday_last_synced", allow_null=True)
    sync_status = serializers.ChoiceField(source="status", choices=RecordSyncStatus.choices)
    sync_enabled = serializers.BooleanField(source="record.sync_enabled")
    sync_direction = serializers.ChoiceField(source="record.sync_direction", choices=SyncDirection.choices)
    attempts = serializers.IntegerField(help_text="Of its pending job.")
    failed_jobs = serializers.ListField(child=serializers.IntegerField(), help_text="Jobs with no attempt left.")
    removed_item = serializers.CharField(help_text="How its item left the board: archived, deleted …; else empty.")
    fields = FieldSyncSerializer(many=True)  # type: ignore[assignment]  # a member's name


MAX_SOURCES = 50


class ExternalIdsField(serializers.DictField):
    """What other systems call the record, by source; null takes an id away, and a source that isn't named stays."""

    child = serializers.CharField(max_length=VALUE_LENGTH, allow_null=True, trim_whitespace=False)

    def get_attribute(self, instance: Any) -> Any:
        return instance

    def to_representation(self, value: Any) -> dict[str, str]:
        found: Mapping[UUID, dict[str, str]] = self.context["external_ids"]
        return found.get(value.pk, {})

    def to_internal_value(self, data: Any) -> dict[str, str | None]:
        """The ids by source; raises ValidationError that names the source."""
        if isinstance(data, dict) and len(data) > MAX_SOURCES:
            raise serializers.ValidationError(f"A record has ids of at most {MAX_SOURCES} systems.")
        given: dict[str, str | None] = super().to_internal_value(data)
        problems = {source: source_problem(source) or value_problem(value or "-") for source, value in given.items()}
        if errors := {source: [problem] for source, problem in problems.items() if problem}:
            raise serializers.ValidationError(errors, code="bad_external_id")
        return given


class ETagField(serializers.CharField):
    """The tag of the record's fields, as If-Match takes it."""

    def get_attribute(self, instance: Any) -> Any:
        return instance

    def to_representation(self, value: Any) -> str:
        return preconditions.etag_of(value)


class RecordSerializer(KnownFieldsMixin, serializers.ModelSerializer[Any]):
    """A synced record; an unknown field is refused by name, not ignored."""

    sync = serializers.SerializerMethodField()
    etag = ETagField(read_only=True, help_text="For If-Match: a hash of what people edit.")
    external_ids = ExternalIdsField(
        required=False,
        help_text="What other systems call the record, by source. null takes an id away; a source that isn't named "
        "keeps its id.",
    )

    OWN_FIELDS: ClassVar[tuple[str, ...]] = (
        *("monday_id", "monday_last_synced", "sync_status", "sync_enabled", "sync_direction"),
        *("created_at", "updated_at", "external_ids", "sync", "etag"),
    )

    known_region = ""
    """As the model's, where one serializer checks many records."""

    ANSWERED: ClassVar[tuple[str, ...]] = ("warnings",)
    """What the answer to a write has besides."""

    # Passes and triggers change these, so a body that was read earlier may hold older values.
    MOVING: ClassVar[tuple[str, ...]] = (
        *("monday_id", "monday_last_synced", "sync_status", "updated_at", "sync", "etag"),
    )

    def to_internal_value(self, data: Any) -> Any:
        """The values to write; raises ValidationError that names unknown or read-only fields."""
        if isinstance(data, dict) and not self.partial:
            data = {name: value for name, value in data.items() if name not in self.ANSWERED}
        self.refuse_unknown(data)
        if self.instance is not None and isinstance(data, dict):
            self._refuse_read_only(data)
        return super().to_internal_value(data)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Have the model check and complete what would change; an old value that breaks a rule stops no other edit."""
        model: type[SyncedModel] = self.Meta.model
        record = model() if self.instance is None else copy(self.instance)
        record.known_region = self.known_region
        own = {one.name for one in model._meta.concrete_fields if not one.is_relation}
        for name, value in attrs.items():
            if name != "external_ids":
                setattr(record, name, value)
        changed = {
            name for name in own & set(attrs) if self.instance is None or getattr(self.instance, name) != attrs[name]
        }
        try:
            record.clean_fields(exclude={one.name for one in model._meta.concrete_fields} - changed)
        except ValidationError as error:
            raise serializers.ValidationError(serializers.as_serializer_error(error)) from error
        return attrs | {name: getattr(record, name) for name in changed}

    def _refuse_read_only(self, data: dict[str, Any]) -> None:
        """Refuse a changed value of a read-only field: a body that was read may be sent back whole."""
        # A PUT sends the whole body back, of which these may have moved since it was read.
        ignored = () if self.partial else self.MOVING
        errors = {
            name: ["NPD Sync keeps this field, so it can't be written. Leave it out."]
            for name, field in self.fields.items()
            if field.read_only and name in data and name not in ignored and not self._is_unchanged(field, data[name])
        }
        if errors:
            raise serializers.ValidationError(errors, code="read_only")

    def _is_unchanged(self, field: serializers.Field[Any, Any, Any, Any], value: Any) -> bool:
        if isinstance(field, serializers.SerializerMethodField):
            return False
        stored = field.get_attribute(self.instance)
        return bool(value == (None if stored is None else field.to_representation(stored)))

    def create(self, validated_data: dict[str, Any]) -> Any:
        """Store the record and its external ids, in the caller's transaction; raises Conflict."""
        external_ids = validated_data.pop("external_ids", {})
        record = super().create(validated_data)
        self._set_external_ids(record, external_ids)
        return record

    def update(self, instance: Any, validated_data: dict[str, Any]) -> Any:
        self._set_external_ids(instance, validated_data.pop("external_ids", {}))
        return super().update(instance, validated_data)

    def _set_external_ids(self, record: SyncedModel, given: dict[str, str | None]) -> None:
        names_owner = preconditions.may_name_others(self.context["request"], type(record))
        set_external_ids(record.entity_type(), {record.pk: given}, names_owner=names_owner)

    @extend_schema_field(RecordSyncSerializer)
    def get_sync(self, record: SyncedModel) -> Any:
        states: dict[UUID, RecordView] = self.context["states"]
        return self._sync.to_representation(states[record.pk])

    @cached_property
    def _sync(self) -> RecordSyncSerializer:
        # One for a whole page: making it costs more than what it does.
        return RecordSyncSerializer()


class SyncAnswerSerializer(serializers.Serializer[Any]):
    """The result of a push of one record."""

    sync_triggered = serializers.BooleanField()
    message = serializers.CharField()
    reason_code = serializers.CharField(
        help_text=f"Why nothing is sent, or not now: {', '.join(filter(None, PushReason))}; empty where it is sent now."
    )
    monday_id = serializers.CharField(allow_null=True, help_text="The item's id before this push.")


class MayUpsert(ModelPermissions):
    """For what creates or changes."""

    perms_map = {
        **ModelPermissions.perms_map,
        "PUT": [*ModelPermissions.perms_map["POST"], *ModelPermissions.perms_map["PUT"]],
    }


WRITES = ("create", "update", "partial_update", "upsert_by_key", "upsert_by_external_id")
TAGGED = (*WRITES[1:], "destroy")
"""Actions that compare a tag with the record's."""

_SERIALIZERS: dict[type[SyncedModel], type[RecordSerializer]] = {}
"""The serializer of each model whose records have an API, for those that name them."""


class RecordViewSet(ShapedView, BulkMixin, viewsets.ModelViewSet[Any]):
    """Records with their sync state."""

    shaped: ClassVar[tuple[str, ...]] = ("list", "retrieve", "retrieve_by_external_id")
    permission_classes = [ModelPermissions]

    def get_queryset(self) -> QuerySet[Any]:
        """The records; for a write, with the row locked until it is done."""
        queryset = super().get_queryset()
        # Locked before If-Match is compared.
        return queryset.select_for_update() if self.action in LOCKING_ACTIONS else queryset

    def expanded_serializers(self) -> Mapping[str, Any]:
        fields = {name: self.get_queryset().model._meta.get_field(name) for name in self.expandable}
        return {name: _SERIALIZERS[registry.target_of(field)] for name, field in fields.items()}

    def query_parameters(self) -> dict[str, bool]:
        return super().query_parameters() | ({"unique": False} if self.action in (*WRITES, "bulk") else {})

    def shape_parameters(self) -> list[OpenApiParameter]:
        """The same for the schema, with the headers that name tags."""
        key = registry.match_field(self.get_queryset().model) if self.action in (*WRITES, "bulk") else None
        has_tag = self.action in (*WRITES, "retrieve", "retrieve_by_external_id")
        is_upsert = self.action in ("upsert_by_key", "upsert_by_external_id")
        return [
            *super().shape_parameters(),
            *preconditions.unique_parameter(key),
            *([preconditions.ETAG_OUT] if has_tag else []),
            *([preconditions.IF_MATCH] if self.action in TAGGED else []),
            *([preconditions.IF_NONE_MATCH] if is_upsert else []),
        ]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page, with the sync state of all its records read at once."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        records = page if page is not None else []
        return self.get_paginated_response(self._serialize(records, many=True))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One record with its ETag."""
        return self._respond(self.get_object())

    @action(detail=False, url_path="by-external-id/(?P<source>[^/]+)/(?P<value>.+)", permission_classes=[MayUpsert])
    def retrieve_by_external_id(self, request: Request, source: str, value: str) -> Response:
        """The record that another system calls so."""
        named = self._named(source, value)
        found = records_named(self.get_queryset().model.entity_type(), [named]).get(named)
        record = self.get_queryset().filter(pk=found).first()
        if record is None:
            raise NotFound(f"No record has the external id {':'.join(named)}; it may have been deleted.")
        return self._respond(record)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a record."""
        with self._writing(request.data):
            return self._create(request, request.data)

    @cached_property
    def _same(self) -> preconditions.SameValue:
        return preconditions.SameValue(self.request, self.get_queryset().model)

    @contextmanager
    def _writing(self, data: Any, source: str = "") -> Iterator[None]:
        """A transaction with the locks of an external id's source, and of what is to be unique; raises BadQuery."""
        same = self._same
        with transaction.atomic():
            if source:
                lock_sources(same.model.entity_type(), [source])
            same.lock([data])
            yield

    def _create(self, request: Request, data: Any) -> Response:
        serializer = self.get_serializer(data=data)
        serializer.is_valid(raise_exception=True)
        warnings = self._same.check(serializer.validated_data, None)
        record = serializer.save()
        # Triggers have set columns of the new row.
        record.refresh_from_db()
        log_action(request.user, record, "Made by the API.", flag=ADDITION)
        answer = self._respond(record, status.HTTP_201_CREATED, warnings=warnings)
        answer["Location"] = self.reverse_action("detail", args=[record.pk])
        return answer

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write what differs from the record."""
        with self._writing(request.data):
            record = self.get_object()
            preconditions.check_tag(request.headers.get("If-Match"), record)
            return self._change(request, record, request.data, partial=kwargs.get("partial", False))

    def _change(self, request: Request, record: SyncedModel, data: Any, *, partial: bool) -> Response:
        serializer = self.get_serializer(record, data=data, partial=partial)
        serializer.is_valid(raise_exception=True)
        warnings = self._same.check(serializer.validated_data, record.pk)
        serializer.save()
        fields = ", ".join(sorted(serializer.validated_data))
        log_action(request.user, record, f"Changed by the API: {fields}.")
        # Triggers have changed the row.
        record.refresh_from_db()
        return self._respond(record, warnings=warnings)

    def _named(self, source: str, value: str) -> Name:
        """What an address names; raises ValidationError."""
        # With a slash at its end and without it is one address.
        value = value.removesuffix("/")
        problems = {"source": source_problem(source), "value": value_problem(value)}
        if errors := {name: [problem] for name, problem in problems.items() if problem}:
            raise serializers.ValidationError(errors, code="bad_external_id")
        return source, value

    @retrieve_by_external_id.mapping.put
    def upsert_by_external_id(self, request: Request, source: str, value: str) -> Response:
        """Write the fields sent to the record that another system calls so: 200; or make one: 201. Two callers at once
        make one record.
        """
        model = self.get_queryset().model
        source, value = self._named(source, value)
        given = _object(request.data)
        external_ids = given.get("external_ids", {})
        if isinstance(external_ids, dict):
            if external_ids.get(source, value) != value:
                message = f"The address names {source}:{value}. Leave {source} out here, or send the same."
                raise serializers.ValidationError({"external_ids": {source: [message]}}, code="contradiction")
            given |= {"external_ids": {**external_ids, source: value}}
        with self._writing(given, source):
            found = list(records_named(model.entity_type(), [(source, value)]).values())
            return self._upsert(request, found, given, given)

    def _upsert(
        self, request: Request, found: Sequence[UUID], changes: dict[str, Any], values: dict[str, Any]
    ) -> Response:
        """Write `changes` to the one record that was found, or make one of `values`; under the look-up's lock."""
        one = self.get_queryset().select_for_update().filter(pk__in=found).first() if len(found) == 1 else None
        preconditions.check_upsert_precondition(request, one, len(found))
        if len(found) > 1:
            ids = ", ".join(map(str, found[:MAX_NAMED]))
            raise Conflict(f"{len(found)} records fit: {ids}. Choose one, and change it by its id.", code="ambiguous")
        return self._create(request, values) if one is None else self._change(request, one, changes, partial=True)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a record."""
        with transaction.atomic():
            record = self.get_object()
            preconditions.check_tag(request.headers.get("If-Match"), record)
            # Before the deletion: the log needs the record's id and name.
            log_action(request.user, record, "Deleted by the API.", flag=DELETION)
            record.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=RecordFieldsSerializer)
    @action(detail=True, url_path="sync")
    def read_sync(self, request: Request, pk: str) -> Response:
        """Each mapped field with NPD's value, Monday's as last known and when that was read, the values when both were
        last synced, the rule and direction, and a reason code. Monday isn't asked.
        """
        record = self.get_object()
        return Response(RecordFieldsSerializer(record_view.describe([record])[record.pk]).data)

    # Each push may cost calls of Monday's quota, so it has a rate of its own besides the API's.
    @act(path="sync-to-monday", permission_classes=[MayChange], throttle_classes=[SyncNowThrottle])
    def push(self, request: Request, pk: str) -> Response:
        """Push the record now, this once even where its sync is off."""
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

    def _respond(
        self, record: SyncedModel, code: int = status.HTTP_200_OK, warnings: Sequence[Any] | None = None
    ) -> Response:
        data = self._serialize([record], many=False)
        # Of what the next read answers, which has no warnings.
        headers = {"ETag": preconditions.etag_of_answer(record, data)}
        return Response(data if warnings is None else {**data, "warnings": warnings}, code, headers=headers)

    def _serialize(self, records: Sequence[SyncedModel], *, many: bool) -> Any:
        context = {**self.get_serializer_context()}
        serializer = self.get_serializer(records if many else records[0], many=many, context=context)
        shown = getattr(serializer, "child", serializer).fields
        relations = self.named_in("expand", [name for name in self.expandable if name in shown])
        # Read for a whole page at once, and only for who asks for it.
        context["states"] = record_view.describe(records) if "sync" in shown else {}
        ids = [record.pk for record in records] if "external_ids" in shown else []
        context["external_ids"] = external_ids_of(self.get_queryset().model.entity_type(), ids)
        found: Any = serializer.data
        rows = found if many else [found]
        expand(rows, records, relations, _SERIALIZERS, self.request.user)
        return found


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise serializers.ValidationError("The body must be an object with the record's fields.")
    return dict(data)


def record_paths(
    model: type[SyncedModel],
    serializer: type[RecordSerializer] | None = None,
    filters: type[RecordFilter] | None = None,
) -> list[URLPattern | URLResolver]:
    """The addresses of a model's records, named after its plural.

    What isn't given is made from the model and its registration.
    """
    name, plural = model.__name__, str(model._meta.verbose_name_plural).replace(" ", "-")
    answer_fields = {
        "__doc__": f"What a push of one of the {plural} did.",
        f"{model.entity_type()}_id": serializers.UUIDField(),
    }
    answer = type(f"{name}SyncResponseSerializer", (SyncAnswerSerializer,), answer_fields)
    # The first is the one that stands in the API's document under this name.
    serializer = _SERIALIZERS.setdefault(model, serializer or _serializer_of(model))
    key, written = registry.match_field(model), _written_serializer_of(name, serializer)
    of_fields = _fields_serializer_of(name, serializer)
    upsert = extend_schema(request=of_fields, responses=dict.fromkeys((200, 201), written))
    own = {
        "__doc__": RecordViewSet.__doc__,
        "queryset": model._default_manager.order_by(*registry.default_ordering(model)),
        "serializer_class": serializer,
        "filterset_class": _filter_of(model, serializer, filters or RecordFilter),
        "expandable": tuple(field.name for field in registry.own_relations(model)),
        "upsert_by_external_id": upsert(_copied(RecordViewSet.upsert_by_external_id)),
        **({"upsert_by_key": upsert(_upsert_by(key))} if key else {}),
    }
    described = extend_schema_view(
        create=extend_schema(responses={201: written}),
        update=extend_schema(responses=written),
        partial_update=extend_schema(responses=written),
        push=extend_schema(responses=answer),
        bulk=bulk_schema(name, of_fields),
    )
    router = ApiRouter()
    router.register(plural, described(type(f"{name}ViewSet", (RecordViewSet,), own)))
    return router.urls


def _copied(method: Any) -> Any:
    """A view's method for one subclass alone: what the schema says of it is kept on the function."""

    @wraps(method)
    def copy(*args: Any, **kwargs: Any) -> Any:
        return method(*args, **kwargs)

    return copy


def _upsert_by(field: str) -> Any:
    """The action that finds the record by its match field, in whose address the field's name stands."""

    @action(detail=False, methods=["put"], url_path=f"by-{field}/(?P<value>.+)", permission_classes=[MayUpsert])
    def upsert_by_key(self: RecordViewSet, request: Request, value: str) -> Response:
        """Write the fields sent to the record with this value, compared as the sync compares it: 200; or make one: 201.
        409 with the ids where several have it. Two callers at once make one record.
        """
        model, value = self.get_queryset().model, value.removesuffix("/")
        entity_type = model.entity_type()
        key, given = str(canonical_value(entity_type, field, value)), _object(request.data)
        if not key or "\0" in key:
            raise serializers.ValidationError({field: ["The address names none."]}, code="blank")
        sent = given.get(field, value)
        if not isinstance(sent, str) or str(canonical_value(entity_type, field, sent)).lower() != key.lower():
            message = f"The address names “{value}”. Leave it out here, or send the same; to change it, use the id."
            raise serializers.ValidationError({field: [message]}, code="contradiction")
        with self._writing({}):
            lock_values(entity_type, field, [match_key(entity_type, field, value)])
            found = [record.pk for record in records_saying(model, field, value)]
            return self._upsert(request, found, given, {field: value, **given})

    return upsert_by_key


def _fields_serializer_of(name: str, serializer: type[RecordSerializer]) -> type[RecordSerializer]:
    optional = {field: {"required": False} for field in serializer.Meta.fields}
    meta = type("Meta", (serializer.Meta,), {"extra_kwargs": optional})
    return type(f"{name}FieldsSerializer", (serializer,), {"Meta": meta, "__doc__": f"Fields of {name}."})


def _written_serializer_of(name: str, serializer: type[RecordSerializer]) -> type[RecordSerializer]:
    meta = type("Meta", (serializer.Meta,), {"fields": [*serializer.Meta.fields, *RecordSerializer.ANSWERED]})
    own = {
        "warnings": preconditions.WarningSerializer(many=True, read_only=True),
        "Meta": meta,
        "__doc__": f"{name}, as written.",
    }
    return type(f"Written{name}Serializer", (serializer,), own)


def _serializer_of(model: type[SyncedModel]) -> type[RecordSerializer]:
    own, kept = [field.name for field in registry.own_fields(model)], RecordSerializer.OWN_FIELDS
    if taken := {*own} & {*kept, *RecordSerializer.ANSWERED}:
        raise ImproperlyConfigured(
            f"{model.__name__} has a field “{min(taken)}”, which is a member of every record in the API. Rename it."
        )
    names = ["id", *own, *kept]
    meta = type("Meta", (), {"model": model, "fields": names})
    return type(f"{model.__name__}Serializer", (RecordSerializer,), {"Meta": meta, "__doc__": model.__doc__})


def _filter_of(
    model: type[SyncedModel], serializer: type[RecordSerializer], base: type[RecordFilter]
) -> type[RecordFilter]:
    """The filters of every column that the list shows, besides those that `base` declares."""
    columns = columns_of(serializer)
    filters = filters_of(model, columns, matched=registry.match_field(model))
    # Lists are ordered by `name` in every API, whatever the model calls it.
    ordering = ordering_of(model, {"name": registry.name_field(model) or "id", **columns})
    declared = {name: one for name, one in filters.items() if name not in base.declared_filters}
    searched = registry.searched_fields(model) if base is RecordFilter else base.searched
    own = {"searched": searched, "ordering": ordering}
    return type(f"{model.__name__}Filter", (base,), declared | own)


def generated_paths(own: Sequence[URLPattern | URLResolver]) -> Iterator[URLPattern | URLResolver]:
    """The addresses of the registered models for whose records `own`, the applications' patterns, have no view."""
    served = set(_served_models(own))
    for spec in registry.entities():
        if spec.model not in served:
            yield from record_paths(spec.model)


def _served_models(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[type[Model]]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _served_models(pattern.url_patterns)
        else:
            view: Any = getattr(pattern.callback, "cls", object)
            if issubclass(view, RecordViewSet):
                yield view.queryset.model


def view_on_site_disabled(request: HttpRequest, **kwargs: str) -> HttpResponse:
    """Replaces Django's “view on site” redirect: no row of ours has such a page, and it fails on UUIDs."""
    raise Http404


@require_safe
def redirect_to_record(request: HttpRequest, record_id: UUID) -> HttpResponse | HttpResponseRedirect:
    """Redirect to the record's page in the admin, whatever its type.

    404 also without the permission to view it.
    """
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("admin:login"))
    for spec in registry.entities():
        options = spec.model._meta
        # A record that the user may not see answers like one that doesn't exist.
        may = registry.may_view(request.user, options.label_lower)
        if may and spec.model._default_manager.filter(pk=record_id).exists():
            return redirect(f"admin:{options.app_label}_{options.model_name}_change", record_id)
    raise Http404(f"No record has the id {record_id}; it may have been deleted.")
