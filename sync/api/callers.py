"""Who asks, and how often; and who may send a file."""

from __future__ import annotations

import re
from math import ceil
from typing import Any, cast

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, parse_cookie
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


# How large a body may be: the server asks before it reads one, when nobody can look up a session.


FILE_COOKIE = "npd_file"
"""Signed, and given with the form that takes a file: what any cookie may say counts for nothing."""


def let_send_file(answer: HttpResponse) -> HttpResponse:
    """Return this answer; who gets it may send a file."""
    answer.set_cookie(
        FILE_COOKIE, signing.dumps("", salt=FILE_COOKIE), max_age=settings.SESSION_COOKIE_AGE, path="/admin/",
        secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax",
    )  # fmt: skip
    return answer


def may_send_file(cookies: str) -> bool:
    """Whether a request's header Cookie says that it comes from such a form."""
    try:
        signing.loads(parse_cookie(cookies).get(FILE_COOKIE, ""), salt=FILE_COOKIE, max_age=settings.SESSION_COOKIE_AGE)
    except signing.BadSignature:
        return False
    return True
