"""The pages about what can't be shown: inside the site's frame for who is signed in, else a page that needs nothing."""

from __future__ import annotations

import sys
from typing import Any

import structlog
from django.contrib import admin
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from structlog.contextvars import get_contextvars

log = structlog.get_logger(__name__)


NAMES = {
    400: "Not readable", 403: "No access", 404: "Not found", 405: "Nothing done", 500: "Out of order", 503: "Try again",
}  # fmt: skip
"""What stands in the frame's header."""


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: an address or a form that can't be read."""
    return _answer(request, "400.html", 400)


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: a page that this person has no permission for."""
    return _answer(request, "403.html", 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: what isn't there, in the words of who looked for it where there are some."""
    said = exception.args[0] if exception and exception.args else ""
    # Django's own is a dictionary of the addresses that it tried.
    return _answer(request, "404.html", 404, {"said": said if isinstance(said, str) and said.endswith(".") else ""})


def form_missing(request: HttpRequest, allowed: str) -> HttpResponse:
    """405: the address of an act, opened as if it were a page."""
    answer = _answer(request, "405.html", 405)
    answer.headers["Allow"] = allowed
    return answer


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: a form without the mark of the page that it came from."""
    return _answer(request, "403_csrf.html", 403)


def failed(request: HttpRequest) -> HttpResponse:
    """500: a fault of ours; its number finds it in the log."""
    context = {"number": get_contextvars().get("request_id", "")}
    # Without the frame, which would ask the same database.
    if isinstance(sys.exc_info()[1], DatabaseError):
        return render(request, "500.html", context | {"base": "plain_page.html"}, status=500)
    return _answer(request, "500.html", 500, context)


def gave_way(request: HttpRequest) -> HttpResponse:
    """503: what somebody did was undone, as another act held what it needs."""
    answer = _answer(request, "503.html", 503)
    answer.headers["Retry-After"] = "10"
    return answer


def _answer(request: HttpRequest, template: str, status: int, context: dict[str, Any] | None = None) -> HttpResponse:
    plain = (context or {}) | {"base": "plain_page.html"}
    user = getattr(request, "user", None)
    try:
        if user is not None and user.is_active and user.is_staff:
            framed = {"base": "framed_page.html", "page_name": NAMES[status], **(context or {})}
            return render(request, template, admin.site.each_context(request) | framed, status=status)
    except Exception:  # whatever the frame needs and hasn't: the page about the error comes in any case
        log.exception("an error page could not be framed", template=template)
    return render(request, template, plain, status=status)
