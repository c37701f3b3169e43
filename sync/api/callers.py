"""Who asks, and how often: API tokens, addresses, rates; and who may send a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil
from typing import Any, cast

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse, parse_cookie
from knox.auth import TokenAuthentication
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.throttling import UserRateThrottle

from sync.kernel.db import fetch_rows
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


_COUNT = """
    INSERT INTO sync_request_counts AS old (key, requests, ends_at)
    VALUES (%(key)s, 1, sync_now() + make_interval(secs => %(seconds)s))
    ON CONFLICT (key) DO UPDATE SET
        requests = CASE WHEN old.ends_at <= excluded.ends_at - make_interval(secs => %(seconds)s)
            THEN 1 ELSE old.requests + 1 END,
        ends_at = CASE WHEN old.ends_at <= excluded.ends_at - make_interval(secs => %(seconds)s)
            THEN excluded.ends_at ELSE old.ends_at END
    RETURNING requests, extract(epoch FROM ends_at - sync_now())
"""


@dataclass(frozen=True)
class Quota:
    """What a caller has left of one limit."""

    remaining: int
    reset: int  # seconds until the next window
    is_used_up: bool


def count_request(name: str, caller: str, limit: int, seconds: int) -> Quota:
    """Count one request of a caller, and return what is left."""
    [(requests, left)] = fetch_rows(_COUNT, {"key": f"{name}:{caller}", "seconds": seconds})
    return Quota(max(0, limit - requests), max(1, ceil(left)), requests > limit)


class SyncNowThrottle(UserRateThrottle):
    """Pushes of single records: each may cost calls of Monday's quota."""

    scope = "sync-to-monday"


def address_of_caller(request: Request | HttpRequest) -> str:
    """Return where a request comes from; empty where nothing says it.

    waitress puts a trusted proxy's word into REMOTE_ADDR; no header is asked here.
    """
    return network_of(request.META.get("REMOTE_ADDR", ""))


def network_of(text: str) -> str:
    """Return an address, of IPv6 the household's; empty of what is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False).network_address)


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
