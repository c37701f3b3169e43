"""One's own API tokens, by API: list, make, rotate, revoke; and who asks.

A token manages those alone that it could have made: within its own scopes, and expiring no later than itself. So none
can widen what it may, or for how long. It gets no other's text, and what it made ends when it is revoked, so that none
outlives being stolen.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, cast

from django.contrib.admin.models import ADDITION
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from sync.api.views import ApiView
from sync.choices import TokenScope, TokenState
from sync.clock import sync_now
from sync.kernel.messages import Conflict, NotAllowed
from sync.models import ApiToken
from sync.models.api_clients import ALL_SCOPES, MAX_GRACE, check_token_name
from sync.records.authors import log_action

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


class ApiTokenRequestSerializer(serializers.Serializer[Any]):
    """What a new token is for."""

    name = serializers.CharField(max_length=100, validators=[check_token_name], help_text="What uses it.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=TokenScope.choices), min_length=1, max_length=len(ALL_SCOPES)
    )
    expires_at = serializers.DateTimeField(required=False, allow_null=True, default=None, help_text="Null: never.")


class RotationSerializer(serializers.Serializer[Any]):
    """How long the text until now goes on."""

    grace_seconds = serializers.IntegerField(
        required=False, default=0, min_value=0, max_value=MAX_SECONDS, help_text="0: it ends at once. 86400 at most."
    )


class MeSerializer(serializers.Serializer[Any]):
    """Who asks, and with what."""

    username = serializers.CharField()
    full_name = serializers.CharField(help_text="May be empty.")
    email = serializers.CharField(help_text="May be empty.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=TokenScope.choices))
    token = ApiTokenSerializer(allow_null=True, help_text="Null for who signed in on a page.")


class MeView(ApiView):
    """`GET /api/v1/me`."""

    permission_classes = [IsAuthenticated]

    @extend_schema(responses=MeSerializer, operation_id="me")
    def get(self, request: Request) -> Response:
        """The user and the token of this request, and what the token is for."""
        user = cast("User", request.user)
        answer = {
            "username": user.get_username(),
            "full_name": user.get_full_name(),
            "email": user.email,
            "scopes": request.auth.scopes if isinstance(request.auth, ApiToken) else list(ALL_SCOPES),
            "token": request.auth,
        }
        return Response(MeSerializer(answer, context={"now": sync_now()}).data)


class ApiTokenViewSet(ApiView, viewsets.ReadOnlyModelViewSet[ApiToken]):
    """One's own API tokens, the newest first; those that ended are listed for another 90 days."""

    queryset = ApiToken.objects.order_by("-created_at", "-id")
    serializer_class = ApiTokenSerializer
    ordering_fields = ["name", "created_at", "last_used_at", "expires_at"]
    permission_classes = [IsAuthenticated]

    def get_queryset(self) -> QuerySet[ApiToken]:
        if not self.request.user.is_authenticated:  # for the schema
            return ApiToken.objects.none()
        return super().get_queryset().filter(user=self.request.user)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "now": sync_now()}

    @extend_schema(request=ApiTokenRequestSerializer, responses={201: NewApiTokenSerializer})
    def create(self, request: Request) -> Response:
        """Make a token for oneself. Its text is in this answer and nowhere else. A token makes none with more scopes
        than its own, and none that expires later; revoked, it takes those that it made with it.
        """
        serializer = ApiTokenRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        _check_reach(request.auth, wanted["scopes"], wanted["expires_at"])
        own = request.auth if isinstance(request.auth, ApiToken) else None
        try:
            token, text = ApiToken.objects.issue(cast("User", request.user), made_with=own, **wanted)
        except Conflict as revoked:
            raise exceptions.AuthenticationFailed(str(revoked), code=revoked.code) from revoked
        log_action(request.user, token, "Made, by the API.", flag=ADDITION)
        token.refresh_from_db()
        return self._answer(token, text, 201)

    @extend_schema(request=RotationSerializer, responses=NewApiTokenSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Give the token a new text; the one until now ends at once, or after `grace_seconds`. Rotating again ends the
        text before at once. 409 for a token that opens nothing. A token rotates itself and those that it made.
        """
        token = self.get_object()
        serializer = RotationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        _check_reach(request.auth, token.scopes, token.expires_at)
        _check_is_own(request.auth, token)
        text = token.rotate(timedelta(seconds=serializer.validated_data["grace_seconds"]))
        log_action(request.user, token, "Rotated, by the API.")
        return self._answer(token, text)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
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


router = SimpleRouter()
router.register("tokens", ApiTokenViewSet, "tokens")
urlpatterns = [path("me/", MeView.as_view(), name="me"), *router.urls]
