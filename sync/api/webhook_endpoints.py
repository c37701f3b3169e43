"""Outgoing webhooks by API: the endpoints of other systems, and the log of what they were sent."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

import django_filters
from django.db.models import Q, QuerySet
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.lists import ShapedView, filtered_by, ordered_by
from sync.api.request_rules import KnownFieldsMixin, MayChange, ModelPermissions, TrueOrFalse
from sync.api.token_auth import require_scope
from sync.choices import TokenScope
from sync.kernel.action_errors import ActionError
from sync.models import DeliveryState, EventType, WebhookDelivery, WebhookEndpoint
from sync.operations import outgoing_webhooks
from sync.records.authors import log_kind_action


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
    event_type = serializers.CharField(source="event.type", default="ping", read_only=True)

    class Meta:
        model = WebhookDelivery
        fields = [
            *("id", "endpoint", "event", "event_type", "message_id", "state", "attempts", "created_at"),
            *("last_attempt", "next_attempt", "finished_at", "status_code", "duration_ms", "problem", "excerpt"),
        ]
        read_only_fields = fields


_ENDPOINT_FILTERS = ("address", "description", "enabled", "disabled_code", "disabled_at", "created_at")


@ordered_by(WebhookEndpoint, ("address", "enabled", "created_at", "disabled_at"))
@filtered_by(WebhookEndpoint, _ENDPOINT_FILTERS)
class EndpointFilter(FilterSet):  # type: ignore[misc]
    """The filters of endpoints."""

    event_type = django_filters.ChoiceFilter(
        method="told_of", choices=EventType.choices, label="Event type", help_text="Those that get such events."
    )
    created_by = django_filters.CharFilter(field_name="created_by__username", label="Created by")
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
        ("create", "partial_update", "destroy", "rotate_secret", "test"), "operate"
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


_DELIVERY_FILTERS = ("attempts", "status_code", "duration_ms", "created_at", "last_attempt", "finished_at")


@ordered_by(WebhookDelivery, ("id", *_DELIVERY_FILTERS))
@filtered_by(WebhookDelivery, ("message_id", *_DELIVERY_FILTERS))
class DeliveryFilter(FilterSet):  # type: ignore[misc]
    """The filters of the log."""

    endpoint = django_filters.UUIDFilter(field_name="endpoint_id")
    state = django_filters.MultipleChoiceFilter(choices=DeliveryState.choices, help_text="May be given several times.")
    event = django_filters.UUIDFilter(field_name="event__uid", help_text="The id of an event.")
    is_test = TrueOrFalse(field_name="event", lookup_expr="isnull")


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
    scopes: ClassVar[dict[str, str]] = {"replay": "operate"}
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
