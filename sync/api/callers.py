"""Who asks, and how often."""

import re
from math import ceil
from typing import Any, cast

from django.http import HttpRequest
from knox.auth import TokenAuthentication
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from sync.kernel.humanize import time_span

TOKEN_TEXT = re.compile(r"[A-Za-z0-9_]+")


class ApiTokenAuthentication(TokenAuthentication):  # type: ignore[misc]  # knox has no types
    """Knox's tokens, sent as `Authorization: Token …` or `Bearer …`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """Return the user and the token, None without one; raises AuthenticationFailed."""
        scheme, _, text = request.headers.get("Authorization", "").strip().partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        # Knox fails on bytes that are no UTF-8, the database on NUL.
        if not TOKEN_TEXT.fullmatch(text):
            raise exceptions.AuthenticationFailed("This is no token. Send it as “Authorization: Bearer npd_…”.")
        user_and_token: tuple[Any, Any] = self.authenticate_credentials(text.encode())
        return user_and_token


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
