"""What every request passes and every answer gets, and the pages about what can't be shown.

An address that is no text is refused. A missing last slash is no error on addresses that programs call:
Django would redirect the call to the other address, and a redirected POST loses its body.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.messages.storage.base import BaseStorage
from django.core.exceptions import BadRequest, FieldDoesNotExist, FieldError, ValidationError
from django.db import DatabaseError, DataError, ProgrammingError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from structlog.contextvars import get_contextvars

from sync.admin.admin_base import own_address
from sync.api.errors import CHANGED_AT_ONCE, error_response
from sync.kernel.db import LONGEST_SEARCH, gave_way

log = structlog.get_logger(__name__)

FOR_PROGRAMS = ("/api/", "/webhooks/", "/cron/")
STANDING_ALONE = ("/accounts/",)
Respond = Callable[[HttpRequest], HttpResponseBase]


class UnknownAddressView(APIView):
    """Answers that nothing is at this address."""

    schema = None
    permission_classes = ()

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Answer in JSON whatever the caller would rather have."""
        return super().perform_content_negotiation(request, force=True)

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        # The path stays out of the answer: a webhook's may hold a secret.
        raise NotFound("There is nothing at this address. Check it in /api/v1/docs/ and correct it.")

    options = http_method_not_allowed


unknown_address = UnknownAddressView.as_view()


class ReadableMiddleware(MiddlewareMixin):
    """Refuse NUL, which no text column takes, and endless searches; the API itself names the parameter of one."""

    def process_request(self, request: HttpRequest) -> None:
        query = "".join(text for name, values in request.GET.lists() for text in (name, *values))
        if request.path_info.startswith(FOR_PROGRAMS):
            return
        if "\0" in request.path_info + query:
            raise BadRequest("The address holds a NUL character. Take %00 out of it.")
        if any("\0" in value for value in request.COOKIES.values()):
            raise BadRequest("A cookie holds a NUL character. Delete the cookies of this site.")
        if len(request.GET.get(SEARCH_VAR, "")) > LONGEST_SEARCH:
            raise BadRequest(f"A search has at most {LONGEST_SEARCH} characters. Shorten it.")


class LastSlashMiddleware(MiddlewareMixin):
    """Answer a program's call without the last slash as the call with it."""

    def process_request(self, request: HttpRequest) -> None:
        path = request.path_info
        bare = path.startswith(FOR_PROGRAMS) and not path.endswith("/")
        if bare and not _is_routed(path) and _is_routed(f"{path}/"):
            request.path_info = f"{path}/"
            request.path = f"{request.path}/"


def _is_routed(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_address
    except Resolver404:
        return False


class GaveWayMiddleware(MiddlewareMixin):
    """Answer 503, and no error of ours, where what a person did waited too long for somebody's lock, and was undone.

    A program is told so with 409, as for every change made at the same moment; the API says it itself
    (sync/api/errors.py).
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """The page, of an act that may be sent again."""
        if not gave_way(exception):
            return None
        if request.path_info.startswith(FOR_PROGRAMS):
            # The path stays out of the log: a webhook's may hold a secret.
            log.warning("a program's request waited too long for a lock")
            return error_response(409, "conflict", CHANGED_AT_ONCE)
        log.warning("an act waited too long for a lock", path=request.path_info)
        return try_again_page(request)


# What Django's admin fails with where an address or a form asks for what no row can have: an id, a filter's value.
IMPOSSIBLE = (ValidationError, FieldDoesNotExist, FieldError, DataError, ProgrammingError, OverflowError)


# What allauth fails with where a passkey's answer was written by no browser.
NO_PASSKEY = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class ImpossibleValueMiddleware(MiddlewareMixin):
    """Answer 400, and no error of ours, where a page is asked for what Python or the database can't read."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if request.path_info.startswith(STANDING_ALONE):
            is_passkey = "credential" in request.POST and isinstance(exception, NO_PASSKEY)
            return bad_request(request) if is_passkey else None
        if not request.path_info.startswith("/admin/"):
            return None
        # A year of no calendar, a range of one value, a row that no list has; else it would be a fault of ours.
        asks = request.GET if request.method == "GET" else request.POST.getlist(ACTION_CHECKBOX_NAME)
        is_asked = isinstance(exception, ValueError | IndexError) and bool(asks)
        if not is_asked and not isinstance(exception, IMPOSSIBLE):
            return None
        log.warning("a value is not possible", error=type(exception).__name__)
        return bad_request(request)


def page_of(request: HttpRequest) -> str:
    """Return the page that a person is on: of what a form sends, the one that the form stands on or leads back to."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    candidates = (request.POST.get("next"), request.POST.get("back"), request.headers.get("Referer"))
    return own_address(request, *candidates) or reverse("admin:index")


class LostActMiddleware(MiddlewareMixin):
    """An act's address takes a form and is no page: who signs in after one is led to a page.

    Who opens one as a page is told so.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        """Say it of the admin's addresses; the API's say it in their own way."""
        if not request.path_info.startswith("/admin/"):
            return response
        if response.status_code == 405:
            return form_missing(request, response.headers["Allow"])
        login = reverse("admin:login")
        if request.method == "POST" and response.headers.get("Location", "").startswith(f"{login}?"):
            return redirect(f"{reverse('account_login')}?{urlencode({'next': page_of(request), 'lost': 1})}")
        return response


# Headers of every answer: what a page may load and do, and that nobody caches the API's answers.


class LiveFetchMiddleware(MiddlewareMixin):
    """Keep messages for the next page that a person opens: a page that fetches itself says them to nobody."""

    def process_request(self, request: HttpRequest) -> None:
        if "X-NPD-Live" in request.headers:
            request._messages = _NoMessages(request)  # type: ignore[attr-defined]


class _NoMessages(BaseStorage):
    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
        return [], True

    def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return []


class HeadersMiddleware(MiddlewareMixin):
    """Put the policies of settings on every answer; unfold's Alpine evaluates text, in the admin's frame alone.

    Answers below /api/ are for one caller: no cache may keep them, nor give them to another.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        policy = settings.FRAME_SECURITY_POLICY if _is_in_frame(request, response) else settings.CONTENT_SECURITY_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        if request.path_info.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ("Authorization", "Cookie"))
        return response


def _is_in_frame(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether it may be a page of the admin's frame: HTML for who is signed in, but for those that stand alone."""
    user = getattr(request, "user", None)
    if user is None or not response.headers.get("Content-Type", "").startswith("text/html"):
        return False
    return bool(user.is_authenticated and not request.path_info.startswith((*FOR_PROGRAMS, *STANDING_ALONE)))


# The pages about what can't be shown: inside the site's frame for who is signed in, else a page that needs nothing.


@dataclass(frozen=True)
class ErrorPage:
    """A page about what can't be shown: its status, what stands in the frame's header, its heading and its sentence."""

    status: int
    name: str
    heading: str
    sentence: str


UNREADABLE = ErrorPage(
    400,
    "Not readable",
    "This address can't be read",
    "A value in the address or the form is not possible. Open the page again from the menu and choose again.",
)
REFUSED = ErrorPage(
    403,
    "No access",
    "You don't have access",
    "Nothing was done. Your account has no permission for this page; an administrator can give you one, under Users or "
    "Groups.",
)
EXPIRED = ErrorPage(
    403,
    "No access",
    "This form has expired",
    "Nothing was done. The page was open for too long, or you have signed in again since. Open the page again and send "
    "the form once more. Your browser must accept cookies from this site.",
)
MISSING = ErrorPage(
    404,
    "Not found",
    "There is no such page",
    "The address leads nowhere: a record may have been deleted since, or the address was cut off.",
)
NO_PAGE = ErrorPage(
    405,
    "Nothing done",
    "Nothing was done",
    "This address belongs to a button and has no page of its own. Go back to the page with the button, and press it "
    "there.",
)
FAILED = ErrorPage(
    500,
    "Out of order",
    "Something went wrong here",
    "The error is on the server and is in its log. Your last action may not have been done: open the page again and "
    "check before you repeat it.",
)
BUSY = ErrorPage(
    503, "Try again", "This could not be done now",
    "Somebody else, or the sync, is changing the same thing and takes long. Go back and send it again in a few "
    "seconds: what you typed is still there.",
)  # fmt: skip


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """400: an address or a form that can't be read, in the words of who refused it where there are some."""
    words = str(exception) if isinstance(exception, BadRequest) else ""
    if request.path_info.startswith(FOR_PROGRAMS):
        words = words or "It can't be read: it names another host, or has too many parameters."
        return error_response(400, "invalid", words)
    return _answer(request, UNREADABLE, f"Nothing was done. {words or UNREADABLE.sentence}")


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """403: who may open no page at all may sign out there."""
    user = getattr(request, "user", None)
    signs_out = user is not None and user.is_authenticated and not user.is_staff
    return _answer(request, REFUSED, signs_out=signs_out)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """404: what isn't there, in the words of who looked for it where there are some."""
    words = exception.args[0] if exception and exception.args else ""
    # Django's own is a dictionary of the addresses that it tried.
    return _answer(request, MISSING, words if isinstance(words, str) and words.endswith(".") else "")


def form_missing(request: HttpRequest, allowed: str) -> HttpResponse:
    """405: the address of an act, opened as if it were a page."""
    answer = _answer(request, NO_PAGE)
    answer.headers["Allow"] = allowed
    return answer


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: a form without the mark of the page that it came from."""
    return _answer(request, EXPIRED)


def failed(request: HttpRequest) -> HttpResponse:
    """500: a fault of ours; its number finds it in the log."""
    if request.path_info.startswith(FOR_PROGRAMS):
        return error_response(500, "error", "Server Error (500)")
    number = get_contextvars().get("request_id", "")
    found_by = f" An administrator finds it in the log under the number {number}." if number else ""
    # Without the frame, which would ask the same database.
    is_framed = not isinstance(sys.exc_info()[1], DatabaseError)
    return _answer(request, FAILED, f"{FAILED.sentence}{found_by}", is_framed=is_framed)


def try_again_page(request: HttpRequest) -> HttpResponse:
    """503: what somebody did was undone, as another act held what it needs."""
    answer = _answer(request, BUSY)
    answer.headers["Retry-After"] = "10"
    return answer


def _answer(
    request: HttpRequest, page: ErrorPage, words: str = "", *, signs_out: bool = False, is_framed: bool = True
) -> HttpResponse:
    context = {"heading": page.heading, "sentence": words or page.sentence, "signs_out": signs_out}
    user = getattr(request, "user", None)
    try:
        if is_framed and user is not None and user.is_active and user.is_staff:
            framed = admin.site.each_context(request) | {"page_name": page.name} | context
            return render(request, "framed_page.html", framed, status=page.status)
    except Exception:  # whatever the frame needs and hasn't: the page about the error comes in any case
        log.exception("an error page could not be framed", heading=page.heading)
    return render(request, "plain_page.html", context, status=page.status)
