"""A synced record by API, whatever its model: CRUD with ETags, link and unlink, a push of one record; and the
redirect from a record's id to its page.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.admin.models import ADDITION, DELETION
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import URLPattern, URLResolver, include, path, reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_safe
from django_filters import UUIDFilter
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync import registry
from sync.api.history_endpoints import DecisionSerializer, decision_data
from sync.api.problems import PreconditionFailed
from sync.api.request_rules import (
    ORDERED_BY,
    ApiView,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    RecordFilter,
    StableOrdering,
    SyncNowThrottle,
    slash_paths,
)
from sync.kernel.triggers import BOOKKEEPING
from sync.ledger import SyncStateService
from sync.ledger.record_view import RecordView
from sync.models import Decision, SyncedModel
from sync.records.authors import log_action
from sync.records.item_links import relink, request_unlink
from sync.records.record_health import Part, RecordState
from sync.records.record_requests import push_record

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def etag_of(record: SyncedModel) -> str:
    """The quoted tag of the record's fields, sync_enabled and sync_direction."""
    names = [
        field.attname
        for field in record._meta.concrete_fields
        if not field.primary_key and field.attname not in BOOKKEEPING
    ]
    # Without bookkeeping: a pass must not make a person's ETag stale.
    values = {name: getattr(record, name) for name in names}
    text = json.dumps(values, sort_keys=True, default=str, ensure_ascii=False)
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def matches_etag(if_match: str, etag: str) -> bool:
    """Whether an If-Match header names this tag: a list of tags or `*`; `W/` is ignored."""
    return if_match.strip() == "*" or etag in _TAG.findall(if_match)


def check_precondition(request: Request, record: SyncedModel) -> None:
    """Compare If-Match with the record, whose row must be locked; raises PreconditionFailed (412)."""
    if_match = request.headers.get("If-Match")
    # Compared under the row's lock, so that nobody can change the record in between.
    if if_match is not None and not matches_etag(if_match, etag_of(record)):
        raise PreconditionFailed(
            f"“{record}” ({record.entity_type()} {record.pk}) changed since you read it; nothing was done. "
            "GET it again, make your change on what it says now, and send that with the new ETag in If-Match."
        )


# CRUD with ETags, whatever the model.


LOCKING_ACTIONS = ("update", "partial_update", "destroy")

ETAG_OUT = OpenApiParameter(
    "ETag", str, OpenApiParameter.HEADER, response=[200, 201], description="A hash of what people edit."
)

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETags as read, or *; when the record has another now, nothing is done: 412.",
)


class RecordSyncSerializer(serializers.Serializer[RecordView]):
    """How the record's sync stands, for a person."""

    words = serializers.CharField(help_text="Why it isn't in sync, in a sentence; empty when it is.")
    next_try = serializers.DateTimeField(allow_null=True)
    item_url = serializers.CharField(allow_null=True, help_text="The item on its Monday board.")
    state = serializers.ChoiceField(choices=RecordState.choices)
    reason_code = serializers.CharField(help_text=f"Why it is in this state: {', '.join(Part.values)}.")


class RecordSerializer(KnownFieldsMixin, serializers.ModelSerializer[Any]):
    """A synced record; an unknown field is refused by name, not ignored."""

    sync = serializers.SerializerMethodField()

    OWN_FIELDS: ClassVar[tuple[str, ...]] = (
        *("monday_id", "monday_last_synced", "sync_status", "sync_enabled", "sync_direction"),
        *("created_at", "updated_at", "sync"),
    )

    # Passes and triggers change these, so a body that was read earlier may hold older values.
    MOVING: ClassVar[tuple[str, ...]] = ("monday_id", "monday_last_synced", "sync_status", "updated_at", "sync")

    def to_internal_value(self, data: Any) -> Any:
        """The values to write; raises ValidationError that names unknown or read-only fields."""
        self.refuse_unknown(data)
        if self.instance is not None and isinstance(data, dict):
            self._refuse_read_only(data)
        return super().to_internal_value(data)

    def _refuse_read_only(self, data: dict[str, Any]) -> None:
        """A body that was read may be sent back whole.

        Only a changed value of a read-only field is refused.
        """
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

    @extend_schema_field(RecordSyncSerializer)
    def get_sync(self, record: SyncedModel) -> Any:
        """The state as the view read it, for a whole page at once."""
        states: dict[UUID, RecordView] = self.context["states"]
        return RecordSyncSerializer(states[record.pk]).data


class SyncAnswerSerializer(serializers.Serializer[Any]):
    """The result of a push of one record."""

    sync_triggered = serializers.BooleanField()
    message = serializers.CharField()
    monday_id = serializers.CharField(allow_null=True, help_text="The item's id before this push.")


class RecordViewSet(ApiView, viewsets.ModelViewSet[Any]):
    """Create, read, change and delete records of one model."""

    paged: ClassVar[tuple[str, ...]] = ("list", "history")
    permission_classes = [ModelPermissions]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {
        "create": (409,),
        "update": (409, 412),
        "partial_update": (409, 412),
        "destroy": (412,),
    }

    def get_queryset(self) -> QuerySet[Any]:
        """The records; for a write, with the row locked until it is done."""
        queryset = super().get_queryset()
        # Locked before If-Match is compared.
        return queryset.select_for_update() if self.action in LOCKING_ACTIONS else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One page, with the sync state of all its records read at once."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        records = page if page is not None else []
        return self.get_paginated_response(self._serialize(records, many=True))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """One record with its ETag.

        Never 304, because the body holds bookkeeping that the ETag leaves out.
        """
        return self._respond(self.get_object())

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create a record."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        record = serializer.save()
        # Triggers have set columns of the new row.
        record.refresh_from_db()
        log_action(request.user, record, "Made by the API.", flag=ADDITION)
        answer = self._respond(record, status.HTTP_201_CREATED)
        answer["Location"] = self.reverse_action("detail", args=[record.pk])
        return answer

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Change a record; a field that already has the value is not written."""
        with transaction.atomic():
            record = self.get_object()
            check_precondition(request, record)
            serializer = self.get_serializer(record, data=request.data, partial=kwargs.get("partial", False))
            serializer.is_valid(raise_exception=True)
            serializer.save()
            fields = ", ".join(sorted(serializer.validated_data))
            log_action(request.user, record, f"Changed by the API: {fields}.")
            # Triggers have changed the row.
            record.refresh_from_db()
        return self._respond(record)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a record."""
        with transaction.atomic():
            record = self.get_object()
            check_precondition(request, record)
            # Before the deletion: the log needs the record's id and name.
            log_action(request.user, record, "Deleted by the API.", flag=DELETION)
            record.delete()
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        responses=DecisionSerializer(many=True),
        filters=False,
        description="The record's activity with every trigger, newest first; of a deleted one too.",
    )
    @action(detail=True, url_path="history")
    def history(self, request: Request, pk: str) -> Response:
        """One page of the record's decisions."""
        model = self.get_queryset().model
        try:
            rows = Decision.objects.filter(entity_type=model.entity_type(), entity_id=UUID(pk))
        except ValueError as wrong:
            raise NotFound(f"“{pk}” is no record's id.") from wrong
        # A deleted record still has its history; an unknown id is a 404.
        if not rows.exists():
            self.get_object()
        page = self.paginate_queryset(rows) or []
        return self.get_paginated_response(DecisionSerializer(decision_data(page), many=True).data)

    def _respond(self, record: SyncedModel, code: int = status.HTTP_200_OK) -> Response:
        return Response(self._serialize([record], many=False), code, headers={"ETag": etag_of(record)})

    def _serialize(self, records: Sequence[SyncedModel], *, many: bool) -> Any:
        states = SyncStateService().describe_many(records)
        context = {**self.get_serializer_context(), "states": states}
        return self.get_serializer_class()(records if many else records[0], many=many, context=context).data


class LinkingAnswerSerializer(serializers.Serializer[Any]):
    """What an unlinking or a linking did."""

    message = serializers.CharField()
    monday_id = serializers.CharField(
        allow_null=True, help_text="The item: the one that it is unlinked from, or linked with again."
    )


class LinkingViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """`POST …/{id}/unlink` and `…/{id}/link-again`: unlink a record from its item, and link it again."""

    permission_classes = [MayChange]
    serializer_class = LinkingAnswerSerializer
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"unlink": (409,), "link_again": (409,)}

    @extend_schema(
        request=None,
        description="Unlink the item: its NPD ID is cleared by the next sync, then the record's sync is off. Both "
        "sides keep what they have.",
    )
    def unlink(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Request the unlinking and answer at once; 409 for a record without an item."""
        record: SyncedModel = self.get_object()
        request_unlink(record, request.user.get_username())
        log_action(request.user, record, "Unlink from Monday was asked for, by the API.")
        message = f"“{record}” is unlinked by its next sync."
        return Response(self.get_serializer({"message": message, "monday_id": record.monday_id}).data)

    @extend_schema(
        request=None,
        description="Link the record again with the item that it was unlinked from, and turn its sync on. What "
        "changed on one side since is synced, what both changed differently becomes a conflict.",
    )
    def link_again(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Link it; 409 where there is no former item, or another record has it by now."""
        record: SyncedModel = self.get_object()
        item_id = relink(record, request.user.get_username())
        log_action(request.user, record, f"Linked with item {item_id} again, by the API.")
        message = f"“{record}” is linked with its item again."
        return Response(self.get_serializer({"message": message, "monday_id": item_id}).data)


class PushViewSet(ApiView, viewsets.GenericViewSet[Any]):
    """`POST …/{id}/sync-to-monday`: push one record now, because a person asked for it."""

    permission_classes = [MayChange]
    # Each push may cost calls of Monday's quota, so it has a rate of its own besides the API's.
    throttle_classes = [SyncNowThrottle, *ApiView.throttle_classes]

    @extend_schema(request=None, description="Push the record now, this once even where its sync is off.")
    def push(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Request the push and answer at once; a record whose sync is off is pushed too, this once."""
        record: SyncedModel = self.get_object()
        before = record.monday_id
        answer = push_record(record, by=request.user.get_username())
        log_action(request.user, record, f"Sync now, by the API: {answer.message}")
        fields = {"sync_triggered": answer.triggered, "message": answer.message, "monday_id": before}
        return Response(self.get_serializer({f"{record.entity_type()}_id": record.pk, **fields}).data)


# The addresses of one model's records, made from the model and its registration.


_documented = extend_schema_view(
    list=extend_schema(description="One page of records with their sync state."),
    retrieve=extend_schema(parameters=[ETAG_OUT], description="One record; its ETag is for If-Match."),
    create=extend_schema(parameters=[ETAG_OUT], description="Make a record; it goes to its board by itself."),
    update=extend_schema(parameters=[ETAG_OUT, IF_MATCH], description="Write what differs from the record."),
    partial_update=extend_schema(parameters=[ETAG_OUT, IF_MATCH], description="Write the fields sent."),
    destroy=extend_schema(parameters=[IF_MATCH], description="Delete the record."),
)


def record_paths(
    model: type[SyncedModel],
    serializer: type[RecordSerializer] | None = None,
    filters: type[RecordFilter] | None = None,
) -> list[URLPattern | URLResolver]:
    """The addresses of a model: its records, and of each its history, its push and its link.

    They are named after the plural of the model. What isn't given is made from the model and its registration.
    """
    name, plural = model.__name__, str(model._meta.verbose_name_plural).replace(" ", "-")
    singular = str(model._meta.verbose_name)
    article = "an" if singular[0] in "aeiou" else "a"
    answer_fields = {
        "__doc__": f"What a push of {article} {singular} did.",
        f"{model.entity_type()}_id": serializers.UUIDField(),
    }
    answer = type(f"{name}SyncResponseSerializer", (SyncAnswerSerializer,), answer_fields)
    own = {"queryset": model._default_manager.order_by(*registry.default_ordering(model))}
    views = own | {
        "serializer_class": serializer or _serializer_of(model),
        "filterset_class": filters or _filter_of(model),
    }
    records = _documented(type(f"{name}ViewSet", (RecordViewSet,), views))
    push: Any = type(f"{name}Push", (PushViewSet,), own | {"serializer_class": answer})
    linking: Any = type(f"{name}Linking", (LinkingViewSet,), own)
    router, one = SimpleRouter(), f"{plural}/<str:pk>"
    router.register(plural, records)
    return [
        *slash_paths(f"{one}/sync-to-monday", push.as_view({"post": "push"}), f"{plural}-sync-to-monday"),
        *slash_paths(f"{one}/unlink", linking.as_view({"post": "unlink"}), f"{plural}-unlink"),
        *slash_paths(f"{one}/link-again", linking.as_view({"post": "link_again"}), f"{plural}-link-again"),
        path("", include(router.urls)),
    ]


def _serializer_of(model: type[SyncedModel]) -> type[RecordSerializer]:
    names = ["id", *(field.name for field in registry.own_fields(model)), *RecordSerializer.OWN_FIELDS]
    meta = type("Meta", (), {"model": model, "fields": names})
    return type(f"{model.__name__}Serializer", (RecordSerializer,), {"Meta": meta, "__doc__": model.__doc__})


def _filter_of(model: type[SyncedModel]) -> type[RecordFilter]:
    filters = {
        field.name: UUIDFilter(field_name=field.get_attname(), label=capfirst(str(field.verbose_name)))
        for field in registry.own_relations(model)
    }
    # Lists are ordered by `name` in every API, whatever the model calls it.
    by_name = {"name": registry.name_field(model) or "pk"}
    ordering = StableOrdering(fields=[(by_name.get(name, name), name) for name in ORDERED_BY])
    own = {"searched": registry.searched_fields(model), "ordering": ordering}
    return type(f"{model.__name__}Filter", (RecordFilter,), filters | own)


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


# `/go/{id}`: from a record's id, as its item holds it, to the record's page.


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
        permissions = (f"{options.app_label}.{act}_{options.model_name}" for act in ("view", "change"))
        may = any(request.user.has_perm(permission) for permission in permissions)
        # A record that the user may not see answers like one that doesn't exist.
        if may and spec.model._default_manager.filter(pk=record_id).exists():
            return redirect(f"admin:{options.app_label}_{options.model_name}_change", record_id)
    raise Http404(f"No record has the id {record_id}; it may have been deleted.")
