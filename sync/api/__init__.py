"""The HTTP API: records, activity, queue and figures, and the endpoints for machines.

Here are the tokens and the rate of pushes; the rate of all other requests is `DEFAULT_THROTTLE_CLASSES` in
config/settings.py.

Nothing here may import DRF's views, which import this for their authentication.
"""

import re
from math import ceil
from typing import Any, cast

from django.http import HttpRequest
from drf_spectacular.contrib.knox_auth_token import KnoxTokenScheme
from knox.auth import TokenAuthentication
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from sync.kernel.humanize import time_span

TOKEN_TEXT = re.compile(r"[A-Za-z0-9_]+")


class ApiTokenAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's tokens, sent as `Authorization: Token …` or `Bearer …`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the token, or None without a token; raises AuthenticationFailed."""
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        # Knox fails on bytes that aren't UTF-8, the database on NUL.
        if not TOKEN_TEXT.fullmatch(text):
            raise exceptions.AuthenticationFailed("This isn't a token. Send it as “Authorization: Bearer npd_…”.")
        user_and_token: tuple[Any, Any] = self.authenticate_credentials(text.encode())
        return user_and_token


class ApiTokenScheme(KnoxTokenScheme):  # type: ignore[no-untyped-call]
    """The authentication by token, for the schema."""

    target_class = "sync.api.ApiTokenAuthentication"
    name = "apiToken"


class SyncNowThrottle(UserRateThrottle):
    """For pushes of single records, each of which may cost calls of Monday's quota."""

    scope = "sync-to-monday"


def monday_throttle_reason(request: HttpRequest) -> str:
    """Count a call to Monday for a person's page; return the reason if there were too many, otherwise an empty text.

    Such a call goes before all others, so it has the rate of pushes.
    """
    throttle = SyncNowThrottle()
    if throttle.allow_request(cast("Any", request), cast("Any", None)):
        return ""
    return f"You have asked Monday very often just now. Try again in {time_span(ceil(throttle.wait() or 60))}."
