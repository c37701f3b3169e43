"""What programs have besides the records: the feed of events, endpoints that are sent them, and API tokens.

A token manages those alone that it could have made: within its own scopes, and expiring no later than itself. So none
can widen what it may, or for how long. It gets no other's text, and what it made ends when it is revoked, so that none
outlives being stolen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, ClassVar, cast

import django_filters
from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.urls import path, re_path
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import OpenApiResponse, OpenApiWebhook, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, viewsets
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from sync.api.callers import SharedThrottle, quotas_of, require_scope
from sync.api.lists import ShapedView, filtered_by
from sync.api.problems import BadQuery, Refused
from sync.api.request_rules import (
    ApiRouter,
    ApiView,
    KnownFieldsMixin,
    MayChange,
    ModelPermissions,
    TrueOrFalse,
    act,
    allowed,
    validate_entity_type,
)
from sync.choices import TokenScope, TokenState
from sync.clock import sync_now
from sync.kernel.messages import ActionError, Conflict, NotAllowed
from sync.models import ApiToken, EventType, WebhookDelivery, WebhookEndpoint
from sync.models.api_clients import ALL_SCOPES, MAX_GRACE, check_token_name
from sync.models.followers import RARE_TYPES
from sync.operations import outgoing_webhooks
from sync.operations.event_feed import CAUSES, BadCursor, FeedPage, LostCursor, event_bodies, feed_sight, read_feed
from sync.operations.outgoing_webhooks import PING
from sync.records.authors import log_action, log_kind_action

MAX_EVENTS = 500


LOST = {
    "expired": "This cursor is older than the events that are kept.",
    "unknown": "This cursor is of events that this database does not know: a backup was restored.",
}


MayViewRecords = allowed(lambda request, view: feed_sight(request.user).entity_types)
"""For whoever may view the records of a type at least; of the others nothing is shown."""


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
    entity_type = serializers.CharField(required=False, validators=[validate_entity_type])
    entity_id = serializers.UUIDField(required=False)
    limit = serializers.IntegerField(required=False, default=100, min_value=1, max_value=MAX_EVENTS)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "cursor" in attrs and "start" in attrs:
            raise serializers.ValidationError({"start": ["A cursor says where to start. Leave one of them out."]})
        return attrs


_AT = serializers.DateTimeField()


class EventFeedView(ApiView):
    """`GET events/`: everything that happened, in one order, from wherever the reader was."""

    permission_classes = [MayViewRecords]
    problem_codes = (410,)

    def query_parameters(self) -> dict[str, bool]:
        names = FeedQuerySerializer().fields
        return {**{str(name): str(name) == "types" for name in names}, "format": False}

    @extend_schema(parameters=[FeedQuerySerializer], responses=FeedSerializer)
    def get(self, request: Request) -> Response:
        """Events after the cursor, oldest first: each comes once, and none is left out. An answer without has_more is
        the end for now: ask again later with its next_cursor. 410 where the cursor is too old.
        """
        query = FeedQuerySerializer(data=request.query_params)
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
            then = "Read all records again, then follow the feed from a new cursor (start=now)."
            raise Refused(f"cursor_{error.code}", f"{LOST[error.code]} {then}") from error


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
        try:
            outgoing_webhooks.check_endpoint_address(value)
        except ActionError as why:
            raise serializers.ValidationError(str(why), code="address") from why
        return value

    def validate_event_types(self, value: list[str]) -> list[str]:
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


@filtered_by(WebhookEndpointSerializer)
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
        return queryset.filter(Q(event_types__contains=[value]) | Q(event_types=[]))


@extend_schema_view(create=extend_schema(responses={201: NewWebhookEndpointSerializer}))
class WebhookEndpointViewSet(ShapedView, viewsets.ModelViewSet[WebhookEndpoint]):
    """Addresses of other systems to which the events are sent from then on that their owner may read. You become the
    owner of one that you make, give another address, or switch on where its owner may view nothing any more. Switched
    on again, it gets what it missed. The answer that makes one holds its secret, this once.
    """

    queryset = WebhookEndpoint.objects.select_related("created_by", "owner").order_by("created_at", "id")
    serializer_class = WebhookEndpointSerializer
    filterset_class = EndpointFilter
    permission_classes = [ModelPermissions]
    unstored = ("create", "rotate_secret")
    scope = TokenScope.WEBHOOKS
    http_method_names = ["get", "head", "post", "patch", "delete"]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make an endpoint, and show its secret."""
        require_scope(request, TokenScope.READ)  # what it is sent are records
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        endpoint, secret = outgoing_webhooks.make_endpoint(serializer.validated_data, request.user)
        endpoint.refresh_from_db()
        self._log(endpoint, "Made by the API.")
        endpoint.secret = secret
        body = NewWebhookEndpointSerializer(endpoint, context=self.get_serializer_context()).data
        return Response(
            body, HTTPStatus.CREATED, headers={"Location": self.reverse_action("detail", args=[endpoint.pk])}
        )

    def perform_update(self, serializer: Any) -> None:
        require_scope(self.request, TokenScope.READ)
        outgoing_webhooks.change_endpoint(serializer.instance, serializer.validated_data, self.request.user)
        serializer.instance.refresh_from_db()
        fields = ", ".join(sorted(serializer.validated_data))
        self._log(serializer.instance, f"Changed by the API: {fields}.")

    def perform_destroy(self, instance: WebhookEndpoint) -> None:
        # Before it is deleted: Django takes the key off the instance, and the line names it.
        self._log(instance, "Deleted by the API.")
        instance.delete()

    @act(responses=WebhookSecretSerializer, permission_classes=[MayChange])
    def rotate_secret(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make another secret and show it, this once. For a day both sign: a receiver that verifies either misses
        nothing. You become the endpoint's `owner`, as the answer says.
        """
        require_scope(request, TokenScope.READ)
        endpoint = self.get_object()
        secret = outgoing_webhooks.rotate_secret(endpoint, request.user)
        endpoint.refresh_from_db()
        self._log(endpoint, "Its secret was rotated, by the API.")
        said = {"secret": secret, "previous_until": endpoint.previous_until, "owner": request.user.get_username()}
        return Response(WebhookSecretSerializer(said).data)

    @act(responses={202: WebhookDeliverySerializer}, permission_classes=[MayChange])
    def test(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send a `ping`. The delivery says what came of it, a moment later."""
        delivery = outgoing_webhooks.send_test_event(self.get_object())
        return Response(WebhookDeliverySerializer(delivery).data, HTTPStatus.ACCEPTED)

    def _log(self, endpoint: WebhookEndpoint, sentence: str) -> None:
        log_kind_action(self.request.user, WebhookEndpoint, sentence, key=endpoint.pk, name=str(endpoint))


@filtered_by(WebhookDeliverySerializer)
class DeliveryFilter(FilterSet):  # type: ignore[misc]
    """The filters of the log."""

    event = django_filters.UUIDFilter(field_name="event__uid", help_text="The id of an event.")
    event_type = django_filters.MultipleChoiceFilter(
        method="of_types",
        choices=[*EventType.choices, (PING, "Test")],
        label="Event type",
        help_text="May be given several times.",
    )
    is_test = TrueOrFalse(field_name="event", lookup_expr="isnull")

    def of_types(self, queryset: QuerySet[Any], name: str, value: list[str]) -> QuerySet[Any]:
        tests = Q(event=None) if PING in value else Q(pk__in=[])
        return queryset.filter(tests | Q(event__type__in=value))


class WebhookDeliveryViewSet(ShapedView, viewsets.ReadOnlyModelViewSet[WebhookDelivery]):
    """The log of deliveries, the newest first."""

    queryset = WebhookDelivery.objects.select_related("event", "endpoint").order_by("-id")
    serializer_class = WebhookDeliverySerializer
    filterset_class = DeliveryFilter
    permission_classes = [ModelPermissions]
    scope = TokenScope.WEBHOOKS

    @act(responses={202: WebhookDeliverySerializer}, permission_classes=[MayChange])
    def replay(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send it again under its webhook-id, delivered or not."""
        delivery = self.get_object()
        found: QuerySet[WebhookDelivery] = WebhookDelivery.objects.filter(pk=delivery.pk)
        outgoing_webhooks.replay_deliveries(found)
        delivery.refresh_from_db()
        return Response(self.get_serializer(delivery).data, HTTPStatus.ACCEPTED)


class MessageSerializer(serializers.Serializer[Any]):
    """What an endpoint of another system is sent, as Standard Webhooks has it."""

    type = serializers.CharField(help_text="The type of the event; `ping` of a test, whose data is the endpoint's id.")
    timestamp = serializers.DateTimeField()
    data = EventSerializer()  # type: ignore[assignment]  # a member's name


WEBHOOK = OpenApiWebhook(
    "event",
    extend_schema(
        operation_id="on_event",
        summary="An event",
        description="Sent to each endpoint that chose its type, with the headers `webhook-id`, `webhook-timestamp` and "
        "`webhook-signature`; answer 2xx once it is stored, else it is repeated.",
        tags=["webhook-endpoints"],
        request=MessageSerializer,
        responses={200: OpenApiResponse(description="It is stored.")},
    ),
)


# `/api/v1/me`, and one's own API tokens: list, make, rotate, revoke.


MAX_SECONDS = int(MAX_GRACE.total_seconds())


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    """A token, without its text: that is shown once, in the answer that makes it."""

    begins_with = serializers.CharField(source="shown_start", read_only=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=TokenScope.choices), read_only=True)
    state = serializers.SerializerMethodField(help_text="active, or the code with which the token is refused.")

    class Meta:
        model = ApiToken
        fields = [
            *("id", "name", "begins_with", "scopes", "state", "created_at", "rotated_at", "last_used_at"),
            *("expires_at", "revoked_at", "previous_until"),
        ]
        read_only_fields = fields
        extra_kwargs: ClassVar[dict[str, dict[str, str]]] = {
            "previous_until": {"help_text": "After a rotation: until when the text before it opens the API."}
        }

    def get_state(self, token: ApiToken) -> TokenState:
        return token.state_at(self.context["now"])


class NewApiTokenSerializer(ApiTokenSerializer):
    """A token with its text, in the only answer that has it."""

    token = serializers.CharField(read_only=True, help_text="Send it as “Authorization: Bearer …”. Store it now.")

    class Meta(ApiTokenSerializer.Meta):
        fields = [*ApiTokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class ApiTokenRequestSerializer(KnownFieldsMixin):
    """What a new token is for."""

    name = serializers.CharField(max_length=100, validators=[check_token_name], help_text="What uses it.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=TokenScope.choices), min_length=1, max_length=len(ALL_SCOPES)
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Null: never.")


class RotationSerializer(KnownFieldsMixin):
    """How long the text until now goes on."""

    grace_seconds = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=MAX_SECONDS, help_text="0: it ends at once. 86400 at most."
    )


class RateLimitSerializer(serializers.Serializer[Any]):
    """What is left of the requests of a window, as the field RateLimit says it on every answer."""

    limit = serializers.IntegerField(help_text="Requests in a window, of all the user's tokens together.")
    window_seconds = serializers.IntegerField(source="seconds")
    remaining = serializers.IntegerField()
    reset_seconds = serializers.IntegerField(source="reset", help_text="Until the next window.")


class MeSerializer(serializers.Serializer[Any]):
    """Who asks, and with what."""

    username = serializers.CharField()
    full_name = serializers.CharField(help_text="May be empty.")
    email = serializers.CharField(help_text="May be empty.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=TokenScope.choices))
    token = ApiTokenSerializer(allow_null=True, help_text="Null for who signed in on a page.")
    rate_limit = RateLimitSerializer(allow_null=True, help_text="Null where there is no limit.")


class MeView(ApiView):
    """`GET /api/v1/me`."""

    permission_classes = [IsAuthenticated]

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The user and the token of this request, what the token is for, and what is left of the rate."""
        user = cast("User", request.user)
        quota = next((one for one in quotas_of(request) if one.name == SharedThrottle.scope), None)
        answer = {
            "username": user.get_username(),
            "full_name": user.get_full_name(),
            "email": user.email,
            "scopes": request.auth.scopes if isinstance(request.auth, ApiToken) else list(ALL_SCOPES),
            "token": request.auth,
            "rate_limit": quota,
        }
        return Response(MeSerializer(answer, context={"now": sync_now()}).data)


@filtered_by(ApiTokenSerializer)
class TokenFilter(FilterSet):  # type: ignore[misc]
    """The filters of one's tokens."""

    state = django_filters.MultipleChoiceFilter(
        method="in_states", choices=TokenState.choices, label="State", help_text="May be given several times."
    )

    def in_states(self, queryset: QuerySet[ApiToken], name: str, value: list[str]) -> QuerySet[ApiToken]:
        return (
            queryset.alias(state=ApiToken.state_expression(sync_now())).filter(state__in=value) if value else queryset
        )


class ApiTokenViewSet(ApiView, viewsets.ReadOnlyModelViewSet[ApiToken]):
    """One's own API tokens, the newest first; those that ended are listed for another 90 days."""

    queryset = ApiToken.objects.order_by("-created_at", "-id")
    unstored = ("create", "rotate")
    serializer_class = ApiTokenSerializer
    filterset_class = TokenFilter
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[ApiToken]:
        return super().get_queryset().filter(user=cast("User", self.request.user))

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": sync_now()}

    @extend_schema(request=ApiTokenRequestSerializer, responses={201: NewApiTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token for oneself. Its text is in this answer and nowhere else. A token makes none with more scopes
        than its own, and none that expires later; revoked, it takes those that it made with it.
        """
        asked = ApiTokenRequestSerializer.read(request)
        _check_reach(request.auth, asked["scopes"], asked["expires_at"])
        own = request.auth if isinstance(request.auth, ApiToken) else None
        try:
            token, text = ApiToken.objects.issue(cast("User", request.user), made_with=own, **asked)
        except Conflict as revoked:
            raise exceptions.AuthenticationFailed(str(revoked), code=revoked.code) from revoked
        log_action(request.user, token, "Made, by the API.", flag=ADDITION)
        token.refresh_from_db()
        return self._answer(token, text, 201)

    @act(request=RotationSerializer, responses=NewApiTokenSerializer)
    def rotate(self, request: Request, pk: int) -> Response:
        """Give the token a new text; the one until now ends at once, or after `grace_seconds`. Rotating again ends the
        text before at once. 409 for a token that opens nothing. A token rotates itself and those that it made.
        """
        token = self.get_object()
        grace = timedelta(seconds=RotationSerializer.read(request)["grace_seconds"])
        _check_reach(request.auth, token.scopes, token.expires_at)
        _check_is_own(request.auth, token)
        text = token.rotate(grace)
        log_action(request.user, token, "Rotated, by the API.")
        return self._answer(token, text)

    @act(responses=ApiTokenSerializer)
    def revoke(self, request: Request, pk: int) -> Response:
        """End the token at once, and those that were made with it; it may be the one of this request. It can't be
        undone; a second time it changes nothing.
        """
        token = self.get_object()
        _check_reach(request.auth, token.scopes, token.expires_at)
        if token.revoke():
            log_action(request.user, token, "Revoked, by the API.")
        return Response(self.get_serializer(token).data)

    def _answer(self, token: ApiToken, text: str, status: int = 200) -> Response:
        token.token = text  # type: ignore[attr-defined]  # for this answer; no column keeps it
        return Response(NewApiTokenSerializer(token, context=self.get_serializer_context()).data, status=status)


def _check_reach(own: Any, scopes: list[str], expires_at: datetime | None) -> None:
    """Raise NotAllowed where the request's token has less than these scopes, or its text ends before that."""
    if not isinstance(own, ApiToken):
        return
    if beyond := [scope for scope in scopes if scope not in own.scopes]:
        raise NotAllowed(
            f"Your token has not the scope {', '.join(beyond)}, so it can't manage one that has. Use another token, or "
            "the page API tokens.",
            code="beyond_own_scopes",
        )
    if own.ends_at is not None and (expires_at is None or expires_at > own.ends_at):
        raise NotAllowed(
            "Your token expires earlier than this one would. Give an earlier expires_at, or use the page API tokens.",
            code="beyond_own_expiry",
        )


def _check_is_own(own: Any, token: ApiToken) -> None:
    """Raise NotAllowed where the request's token is neither this one nor has made it: it would get another's text."""
    if isinstance(own, ApiToken) and own.pk not in (token.pk, token.made_with_id):
        raise NotAllowed(
            "A token rotates itself and those that it made. Use the token itself, or the page API tokens.",
            code="not_own_token",
        )


router = ApiRouter()
router.register("tokens", ApiTokenViewSet, "tokens")
router.register("webhook-endpoints", WebhookEndpointViewSet, "webhook-endpoints")
router.register("webhook-deliveries", WebhookDeliveryViewSet, "webhook-deliveries")
urlpatterns = [
    re_path("^me/?$", MeView.as_view(), name="me"),
    path("events/", EventFeedView.as_view(), name="events"),
    *router.urls,
]
