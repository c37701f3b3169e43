"""Whoever follows what happens, by API: the feed of events, with who may read what of it, and the endpoints of other
systems that are sent them.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

import django_filters
from django.db.models import Q, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, viewsets
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, filtered_by, ordered_by
from sync.api.problems import BadQuery
from sync.api.request_rules import (
    ApiView,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    TrueOrFalse,
    validate_entity_type,
)
from sync.api.token_auth import require_scope
from sync.choices import TokenScope
from sync.kernel.action_errors import ActionError
from sync.models import DeliveryState, EventType, WebhookDelivery, WebhookEndpoint
from sync.models.followers import RARE_TYPES
from sync.operations import outgoing_webhooks
from sync.operations.event_feed import CAUSES, BadCursor, FeedPage, LostCursor, event_bodies, feed_sight, read_feed
from sync.operations.webhook_sender import PING
from sync.records.authors import log_kind_action

MAX_EVENTS = 500


class CursorGone(exceptions.APIException):
    """What follows the cursor isn't known any more."""

    status_code = HTTPStatus.GONE
    SENTENCES: ClassVar[dict[str, str]] = {
        "expired": "This cursor is older than the events that are kept.",
        "unknown": "This cursor is of events that this database does not know: a backup was restored.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(
            f"{self.SENTENCES[code]} Read all records again, then follow the feed from a new cursor (start=now).",
            f"cursor_{code}",
        )


class MayViewRecords(BasePermission):
    """For whoever may view the records of a type at least; of the others nothing is shown."""

    def has_permission(self, request: Any, view: Any) -> bool:
        """Whether the caller may see anything of the feed."""
        return bool(request.user.is_authenticated) and bool(feed_sight(request.user).entity_types)


class ValueChangeSerializer(serializers.Serializer[Any]):
    """A field's value before and after; null where there was no record."""

    old = serializers.JSONField()
    new = serializers.JSONField()


class EventConflictSerializer(serializers.Serializer[Any]):
    """The conflict that was opened or resolved."""

    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="fields, overwritten, delete or identity.")
    conflict_fields = serializers.ListField(child=serializers.CharField())
    resolution_type = serializers.CharField(allow_null=True, help_text="How it was resolved.")


class EventSerializer(serializers.Serializer[Any]):
    """One thing that happened."""

    id = serializers.UUIDField()
    type = serializers.ChoiceField(choices=EventType.choices)
    at = serializers.DateTimeField()
    entity_type = serializers.CharField()
    entity_id = serializers.UUIDField()
    cause = serializers.ChoiceField(choices=[(cause, cause) for cause in CAUSES], help_text="By which way.")
    actor = serializers.CharField(help_text="Who, as a name; empty where nobody is known.")
    changes = serializers.DictField(
        child=ValueChangeSerializer(), help_text="By field; of a sync state the one field sync_state."
    )
    conflict = EventConflictSerializer(allow_null=True)


class FeedSerializer(serializers.Serializer[Any]):
    """Some events, oldest first, and where to go on."""

    results = EventSerializer(many=True)
    has_more = serializers.BooleanField(help_text="Whether to ask again at once.")
    next_cursor = serializers.CharField(help_text="Store it, and ask with it the next time.")


class FeedQuerySerializer(serializers.Serializer[Any]):
    """What is asked of the feed."""

    cursor = serializers.CharField(required=False, max_length=200, help_text="next_cursor of the answer before.")
    start = serializers.ChoiceField(
        choices=["oldest", "now"],
        required=False,
        help_text="Without a cursor: from the oldest event that is kept (the default), or from now on.",
    )
    types = serializers.MultipleChoiceField(
        choices=EventType.choices, required=False, help_text="May be given several times."
    )
    entity_type = serializers.CharField(required=False)
    entity_id = serializers.UUIDField(required=False)
    limit = serializers.IntegerField(required=False, default=100, min_value=1, max_value=MAX_EVENTS)

    def validate_entity_type(self, value: str) -> str:
        """A known type."""
        validate_entity_type(value)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """A cursor says itself where to start."""
        if "cursor" in attrs and "start" in attrs:
            raise serializers.ValidationError({"start": ["A cursor says where to start. Leave one of them out."]})
        return attrs


_EXAMPLE = OpenApiExample(
    "A changed phone number",
    {
        "results": [
            {
                "id": "9f1c2f0e-8f5a-4c1b-9a60-0d2b6f3d1a11",
                "type": "record.changed",
                "at": "2026-11-22T10:04:05.678901Z",
                "entity_type": "contact",
                "entity_id": "3b0b1a5e-5a2c-4f5e-8f43-1f2e3d4c5b6a",
                "cause": "api",
                "actor": "Ada Lovelace",
                "changes": {"phone": {"old": "", "new": "+12025550123"}},
                "conflict": None,
            }
        ],
        "has_more": False,
        "next_cursor": "NDI6OWYxYzJmMGU4ZjVh",
    },
    response_only=True,
)


_AT = serializers.DateTimeField()


class EventFeedView(ApiView):
    """`GET events/`: everything that happened, in one order, from wherever the reader was."""

    permission_classes = [MayViewRecords]
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"get": (400, 410)}

    def query_parameters(self) -> dict[str, bool]:
        """Those of the feed."""
        names = FeedQuerySerializer().fields
        return {**{str(name): str(name) == "types" for name in names}, "format": False}

    @extend_schema(
        operation_id="list_events",
        summary="Follow what happens",
        tags=["events"],
        parameters=[FeedQuerySerializer],
        responses=FeedSerializer,
        examples=[_EXAMPLE],
        description="Events after the cursor, oldest first: each comes once, and none is left out. An answer "
        "without has_more is the end for now: ask again later with its next_cursor. 410 where the cursor is too old.",
    )
    def get(self, request: Request) -> Response:
        """One page of the feed."""
        params: dict[str, Any] = {
            name: request.query_params.get(name) for name in request.query_params if name != "types"
        }
        if types := request.query_params.getlist("types"):
            params["types"] = types
        query = FeedQuerySerializer(data=params)
        if not query.is_valid():
            raise BadQuery(query.errors)
        page = self._read(request, query.validated_data)
        bodies = event_bodies(page.events)
        # A body is what EventSerializer says, but for its time; the serializer would cost a quarter more.
        results = [bodies[event.pk] | {"at": _AT.to_representation(event.at)} for event in page.events]
        return Response({"results": results, "has_more": page.has_more, "next_cursor": page.next_cursor})

    def _read(self, request: Request, query: dict[str, Any]) -> FeedPage:
        condition = feed_sight(request.user).condition
        if types := query.get("types"):
            condition &= Q(type__in=types)
        condition &= Q(**{name: query[name] for name in ("entity_type", "entity_id") if name in query})
        try:
            return read_feed(
                condition,
                cursor=query.get("cursor", ""),
                from_now=query.get("start") == "now",
                limit=query["limit"],
                is_indexed="entity_id" in query or bool(types and set(types) <= set(RARE_TYPES)),
            )
        except BadCursor as error:
            raise BadQuery({"cursor": ["This is no cursor of this feed."]}, code="invalid") from error
        except LostCursor as error:
            raise CursorGone(error.code) from error


# Outgoing webhooks: the endpoints of other systems, and the log of what they were sent.


class WebhookEndpointSerializer(KnownFieldsMixin, serializers.ModelSerializer[WebhookEndpoint]):
    """An address of another system that is told of events."""

    event_types = serializers.ListField(
        child=serializers.ChoiceField(choices=EventType.choices),
        required=False,
        max_length=len(EventType),
        help_text="The events that it gets, of those that its owner may read; none: all.",
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True, read_only=True)
    owner = serializers.CharField(
        source="owner.username",
        default=None,
        allow_null=True,
        read_only=True,
        help_text="It gets the events that this user may read: who made it, or took it over.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = [
            *("id", "address", "description", "event_types", "enabled"),
            *("disabled_code", "disabled_at", "failing_since", "next_attempt", "created_at", "created_by", "owner"),
        ]
        read_only_fields = fields[5:]

    def validate_address(self, value: str) -> str:
        """An address to which something may be sent."""
        try:
            outgoing_webhooks.check_endpoint_address(value)
        except ActionError as why:
            raise serializers.ValidationError(str(why), code="address") from why
        return value

    def validate_event_types(self, value: list[str]) -> list[str]:
        """Each once."""
        return sorted(set(value))


class NewWebhookEndpointSerializer(WebhookEndpointSerializer):
    """An endpoint that was just made, with its secret, which is shown this once."""

    secret = serializers.CharField(read_only=True, help_text="whsec_ and the key in Base64; store it now.")

    class Meta(WebhookEndpointSerializer.Meta):
        fields = [*WebhookEndpointSerializer.Meta.fields, "secret"]
        read_only_fields = [*WebhookEndpointSerializer.Meta.read_only_fields, "secret"]


class WebhookSecretSerializer(serializers.Serializer[Any]):
    """A new secret, shown this once."""

    secret = serializers.CharField(read_only=True)
    previous_until = serializers.DateTimeField(help_text="Until then the secret before it signs, too.")
    owner = serializers.CharField(help_text="Whose the endpoint is now: yours.")


class WebhookDeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One event for one endpoint: whether it arrived, and what the last attempt came to."""

    event = serializers.UUIDField(source="event.uid", default=None, allow_null=True, read_only=True)
    event_type = serializers.CharField(source="event.type", default=PING, read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            *("id", "endpoint", "event", "event_type", "message_id", "state", "attempts", "created_at"),
            *("last_attempt", "next_attempt", "finished_at", "status_code", "duration_ms", "problem", "excerpt"),
        ]
        read_only_fields = fields


_ENDPOINT_FILTERS = (
    *("address", "description", "enabled", "disabled_code", "disabled_at", "failing_since", "next_attempt"),
    "created_at",
)


@ordered_by(WebhookEndpoint, ("address", "enabled", "created_at", "disabled_at", "failing_since", "next_attempt"))
@filtered_by(WebhookEndpoint, _ENDPOINT_FILTERS)
class EndpointFilter(FilterSet):  # type: ignore[misc]
    """The filters of endpoints."""

    event_type = django_filters.ChoiceFilter(
        method="told_of", choices=EventType.choices, label="Event type", help_text="Those that get such events."
    )
    created_by = django_filters.CharFilter(field_name="created_by__username", label="Created by")
    owner = django_filters.CharFilter(field_name="owner__username", label="Owner")
    failing = TrueOrFalse(
        field_name="failing_since", lookup_expr="isnull", exclude=True, label="Failing", help_text="Nothing arrives."
    )

    def told_of(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Those that chose this type, or all types."""
        return queryset.filter(Q(event_types__contains=[value]) | Q(event_types=[]))


_ENDPOINT_EXAMPLE = OpenApiExample(
    "A newsletter tool",
    {
        "address": "https://newsletter.example/hooks/npd",
        "description": "Newsletter",
        "event_types": ["record.created", "record.changed", "record.deleted"],
    },
    request_only=True,
)


@extend_schema(tags=["webhook-endpoints"])
@extend_schema_view(
    list=extend_schema(operation_id="list_webhook_endpoints", summary="List webhook endpoints"),
    retrieve=extend_schema(operation_id="get_webhook_endpoint", summary="Read a webhook endpoint"),
    create=extend_schema(
        operation_id="create_webhook_endpoint",
        summary="Make a webhook endpoint",
        responses={201: NewWebhookEndpointSerializer},
        examples=[_ENDPOINT_EXAMPLE],
        description="It gets the events from now on that you may read. The answer holds its secret, this once.",
    ),
    partial_update=extend_schema(
        operation_id="update_webhook_endpoint",
        summary="Change a webhook endpoint",
        description="Switched on again, it gets the events that it missed. You become its `owner`, as the answer says, "
        "where you give it another address, or switch one on whose owner may view nothing any more.",
    ),
    destroy=extend_schema(
        operation_id="delete_webhook_endpoint",
        summary="Delete a webhook endpoint",
        description="Delete it with its deliveries; nothing more is sent.",
    ),
)
class WebhookEndpointViewSet(ShapedView, viewsets.ModelViewSet[WebhookEndpoint]):
    """The endpoints."""

    queryset = WebhookEndpoint.objects.select_related("created_by", "owner").order_by("created_at", "id")
    serializer_class = WebhookEndpointSerializer
    filterset_class = EndpointFilter
    permission_classes = [ModelPermissions]
    unstored = ("create", "rotate_secret")
    scopes: ClassVar[dict[str, str]] = dict.fromkeys(
        ("create", "partial_update", "destroy", "rotate_secret", "test"), "webhooks"
    )
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"create": (409,), "test": (409,)}

    def get_permissions(self) -> Any:
        """What is done with an endpoint needs the permission to change it."""
        return [MayChange()] if self.action in ("rotate_secret", "test") else super().get_permissions()

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make an endpoint, and show its secret."""
        require_scope(request, TokenScope.READ)  # what it is sent are records
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        endpoint, secret = outgoing_webhooks.make_endpoint(serializer.validated_data, request.user)
        endpoint.refresh_from_db()
        log_kind_action(request.user, WebhookEndpoint, "Made by the API.", key=endpoint.pk, name=str(endpoint))
        endpoint.secret = secret
        body = NewWebhookEndpointSerializer(endpoint, context=self.get_serializer_context()).data
        return Response(body, HTTPStatus.CREATED, headers={"Location": self.reverse_to(endpoint)})

    def perform_update(self, serializer: Any) -> None:
        """Change it."""
        require_scope(self.request, TokenScope.READ)
        outgoing_webhooks.change_endpoint(serializer.instance, serializer.validated_data, self.request.user)
        serializer.instance.refresh_from_db()
        fields = ", ".join(sorted(serializer.validated_data))
        self._log(serializer.instance, f"Changed by the API: {fields}.")

    def perform_destroy(self, instance: WebhookEndpoint) -> None:
        """Delete it."""
        # Before it is deleted: Django takes the key off the instance, and the line names it.
        self._log(instance, "Deleted by the API.")
        instance.delete()

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Rotate an endpoint's secret",
        request=None,
        responses=WebhookSecretSerializer,
        description="Make another secret and show it, this once. For a day both sign: a receiver that verifies either "
        "misses nothing. You become the endpoint's `owner`, as the answer says.",
    )
    def rotate_secret(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Rotate the secret."""
        require_scope(request, TokenScope.READ)
        endpoint = self.get_object()
        secret = outgoing_webhooks.rotate_secret(endpoint, request.user)
        endpoint.refresh_from_db()
        self._log(endpoint, "Its secret was rotated, by the API.")
        said = {"secret": secret, "previous_until": endpoint.previous_until, "owner": request.user.get_username()}
        return Response(WebhookSecretSerializer(said).data)

    @extend_schema(
        operation_id="test_webhook_endpoint",
        summary="Send a test",
        request=None,
        responses={202: WebhookDeliverySerializer},
        description="Send a `ping`. The delivery says what came of it, a moment later.",
    )
    def test(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send a ping."""
        delivery = outgoing_webhooks.send_test_event(self.get_object())
        return Response(WebhookDeliverySerializer(delivery).data, HTTPStatus.ACCEPTED)

    def reverse_to(self, endpoint: WebhookEndpoint) -> str:
        """The endpoint's own address in this API."""
        return self.request.build_absolute_uri(f"{self.request.path}{endpoint.pk}/")

    def _log(self, endpoint: WebhookEndpoint, sentence: str) -> None:
        log_kind_action(self.request.user, WebhookEndpoint, sentence, key=endpoint.pk, name=str(endpoint))


_DELIVERY_FILTERS = (
    *("attempts", "status_code", "duration_ms", "created_at", "last_attempt", "next_attempt", "finished_at"),
)


@ordered_by(WebhookDelivery, ("id", *_DELIVERY_FILTERS))
@filtered_by(WebhookDelivery, ("message_id", *_DELIVERY_FILTERS))
class DeliveryFilter(FilterSet):  # type: ignore[misc]
    """The filters of the log."""

    endpoint = django_filters.UUIDFilter(field_name="endpoint_id")
    state = django_filters.MultipleChoiceFilter(choices=DeliveryState.choices, help_text="May be given several times.")
    event = django_filters.UUIDFilter(field_name="event__uid", help_text="The id of an event.")
    event_type = django_filters.MultipleChoiceFilter(
        method="of_types",
        choices=[*EventType.choices, (PING, "Test")],
        label="Event type",
        help_text="May be given several times.",
    )
    is_test = TrueOrFalse(field_name="event", lookup_expr="isnull")

    def of_types(self, queryset: QuerySet[Any], name: str, value: list[str]) -> QuerySet[Any]:
        """Those of these types; a test is of no event."""
        tests = Q(event=None) if PING in value else Q(pk__in=[])
        return queryset.filter(tests | Q(event__type__in=value))


@extend_schema(tags=["webhook-deliveries"])
@extend_schema_view(
    list=extend_schema(
        operation_id="list_webhook_deliveries", summary="List deliveries", description="The log, newest first."
    ),
    retrieve=extend_schema(operation_id="get_webhook_delivery", summary="Read a delivery"),
)
class WebhookDeliveryViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[WebhookDelivery]):
    """The log of deliveries."""

    queryset = WebhookDelivery.objects.select_related("event", "endpoint").order_by("-id")
    serializer_class = WebhookDeliverySerializer
    filterset_class = DeliveryFilter
    permission_classes = [ModelPermissions]
    scopes: ClassVar[dict[str, str]] = {"replay": "webhooks"}
    problem_codes: ClassVar[dict[str, tuple[int, ...]]] = {"replay": (409,)}

    def get_permissions(self) -> Any:
        """To send one again needs the permission to change it."""
        return [MayChange()] if self.action == "replay" else super().get_permissions()

    @extend_schema(
        operation_id="replay_webhook_delivery",
        summary="Send a delivery again",
        request=None,
        responses={202: WebhookDeliverySerializer},
        description="Send it again under its webhook-id, delivered or not.",
    )
    def replay(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send it again."""
        delivery = self.get_object()
        found: QuerySet[WebhookDelivery] = WebhookDelivery.objects.filter(pk=delivery.pk)
        outgoing_webhooks.replay_deliveries(found)
        delivery.refresh_from_db()
        return Response(self.get_serializer(delivery).data, HTTPStatus.ACCEPTED)
