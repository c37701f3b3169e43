"""Who asks, what for and how often: API tokens, their scopes and rates.

A token is sent as `Authorization: Token …` or `Bearer …`.
"""

from __future__ import annotations

from math import ceil
from typing import Any, cast

from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from sync.choices import TokenScope, TokenState
from sync.kernel.humanize import time_span
from sync.models import ApiToken

SCHEMES = ("token", "bearer")


class ApiTokenAuthentication(BaseAuthentication):
    """Finds the user of a token, whose row becomes `request.auth`; each way of being refused has a code of its own."""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        """Return the user and the token, None without one; raises AuthenticationFailed."""
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() not in SCHEMES:
            return None
        found = ApiToken.objects.find(text.strip()) if text.strip() else None
        if found is None:
            raise exceptions.AuthenticationFailed(
                "There is no such token. Check what is sent as “Authorization: Bearer …”.", code="invalid_token"
            )
        if found.refused != TokenState.ACTIVE:
            raise exceptions.AuthenticationFailed(refusal_sentence(found.refused), code=found.refused)
        if not found.token.user.is_active:
            sentence = "This token's user is switched off. Ask an administrator."
            raise exceptions.AuthenticationFailed(sentence, code="inactive_user")
        return found.token.user, found.token

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


_NEW_ONE = "Make a new one under Settings, API tokens, or by “manage.py drf_create_token USER”."


def refusal_sentence(state: TokenState) -> str:
    """Return why a token in this state opens nothing, and what to do."""
    if state == TokenState.EXPIRED:
        return f"This token has expired. {_NEW_ONE}"
    return f"This token was revoked, or replaced by a new one. {_NEW_ONE}"


class InsufficientScope(exceptions.PermissionDenied):
    """The token is not for this."""

    default_code = "insufficient_scope"

    def __init__(self, needed: str, granted: list[str]) -> None:
        super().__init__(
            f"This needs a token with the scope “{needed}”; yours has: {', '.join(granted)}. Use another token."
        )
        # As RFC 6750 says; the exception handler puts it on the answer.
        self.auth_header = f'Bearer error="insufficient_scope", scope="{needed}"'


def check_scope(request: Request, view: Any) -> None:
    """Raise InsufficientScope where the request's token is not for this; who signed in on a page has all scopes."""
    needed = TokenScope.READ if request.method in SAFE_METHODS else TokenScope(view.scope)
    if isinstance(token := request.auth, ApiToken) and needed not in token.scopes:
        raise InsufficientScope(needed, token.scopes)


# How often a caller may ask.


class SyncNowThrottle(UserRateThrottle):
    """Pushes of single records: each may cost calls of Monday's quota."""

    scope = "sync-to-monday"


# How often a person may make us call Monday from a page: such a call goes before all others, so it has the
# rate of pushes.


def monday_throttle_reason(request: HttpRequest) -> str:
    """The reason why Monday isn't called for this person now.

    Where it may be, count the call and return "".
    """
    throttle = SyncNowThrottle()
    if throttle.allow_request(cast("Any", request), cast("Any", None)):
        return ""
    return f"You have asked Monday very often just now. Try again in {time_span(ceil(throttle.wait() or 60))}."
