"""The site's error pages, and its middleware, such as the Content-Security-Policy."""

import sys
from dataclasses import dataclass
from http import HTTPStatus
from traceback import extract_tb
from typing import Any
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.messages.storage.base import BaseStorage
from django.core.exceptions import BadRequest, FieldDoesNotExist, ValidationError
from django.core.paginator import InvalidPage
from django.db import DatabaseError, DataError, ProgrammingError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import Resolver404, resolve, reverse
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin
from django.views.decorators.csrf import csrf_exempt
from structlog.contextvars import get_contextvars

from sync.admin.admin_base import path_on_site
from sync.api.errors import CHANGED_AT_ONCE, error_response
from sync.kernel.db import LONGEST_SEARCH, is_lock_conflict

log = structlog.get_logger(__name__)

# The addresses that programs call begin with these.
FOR_PROGRAMS = ("/api/", "/webhooks/", "/cron/")

# The pages for signing in.
SIGN_IN = "/accounts/"

# Pages here don't have the admin's frame: the security policy of these addresses stops its scripts.
WITHOUT_FRAME = (*FOR_PROGRAMS, SIGN_IN)


@dataclass(frozen=True)
class ErrorPage:
    """An error page: in the admin's frame for signed-in users, otherwise on its own."""

    status: int
    heading: str
    sentence: str


UNREADABLE = ErrorPage(
    400,
    "This address can't be read",
    "Nothing was done. A value in the address or the form is not possible. Open the page again from the menu and "
    "choose again.",
)
REFUSED = ErrorPage(
    403,
    "You don't have access",
    "Nothing was done. Your account has no permission for this page; an administrator can give you one, under Users or "
    "Groups.",
)
EXPIRED = ErrorPage(
    403,
    "This form has expired",
    "Nothing was done. The page was open for too long, or you have signed in again since. Open the page again and send "
    "the form once more. Your browser must accept cookies from this site.",
)
MISSING = ErrorPage(
    404,
    "There is no such page",
    "The address leads nowhere: a record may have been deleted since, or the address was cut off.",
)
NO_PAGE = ErrorPage(
    405,
    "Nothing was done",
    "This address belongs to a button and has no page of its own. Go back to the page with the button, and press it "
    "there.",
)
FAILED = ErrorPage(
    500,
    "Something went wrong here",
    "The error is on the server and is in its log. Your last action may not have been done: open the page again and "
    "check before you repeat it.",
)
BUSY = ErrorPage(
    503,
    "This could not be done now",
    "Somebody else, or the sync, is changing the same thing and takes long. Go back and send it again in a few "
    "seconds: what you typed is still there.",
)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 400 for an address or a form that can't be read, with the reason in a BadRequest."""
    reason = str(exception) if isinstance(exception, BadRequest) else ""
    if request.path_info.startswith(FOR_PROGRAMS):
        reason = reason or "It can't be read: it names another host, or has too many parameters."
        return error_response(400, "invalid", reason)
    return _answer(request, UNREADABLE, f"Nothing was done. {reason}" if reason else "")


def not_allowed(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 403, with a button to sign out for users who may not open any page."""
    user = getattr(request, "user", None)
    signs_out = user is not None and user.is_authenticated and not user.is_staff
    return _answer(request, REFUSED, signs_out=signs_out)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Answer 404, with the sentence of our own Http404."""
    reason = exception.args[0] if exception and exception.args else ""
    # Django's Http404 has a dictionary of the addresses that it tried, or words without a full stop.
    is_own = isinstance(reason, str) and reason.endswith(".")
    return _answer(request, MISSING, reason if is_own else "")


def form_expired(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 for a form without a valid CSRF token."""
    return _answer(request, EXPIRED)


def failed(request: HttpRequest) -> HttpResponse:
    """Answer 500, with the request's id, by which an administrator finds the error in the log."""
    if request.path_info.startswith(FOR_PROGRAMS):
        return error_response(500, "error", "Server Error (500)")
    number = get_contextvars().get("request_id", "")
    hint = f" An administrator finds it in the log under the number {number}." if number else ""
    # The frame would ask the same database.
    is_framed = not isinstance(sys.exc_info()[1], DatabaseError)
    return _answer(request, FAILED, f"{FAILED.sentence}{hint}", is_framed=is_framed)


def _answer(
    request: HttpRequest, page: ErrorPage, sentence: str = "", *, signs_out: bool = False, is_framed: bool = True
) -> HttpResponse:
    context = {"heading": page.heading, "sentence": sentence or page.sentence, "signs_out": signs_out}
    user = getattr(request, "user", None)
    try:
        is_framed = is_framed and not request.path_info.startswith(WITHOUT_FRAME)
        if is_framed and user is not None and user.is_active and user.is_staff:
            framed = admin.site.each_context(request) | {"page_name": page.heading} | context
            return render(request, "framed_page.html", framed, status=page.status)
    except Exception:  # an error page must appear whatever the frame lacks
        log.exception("an error page could not be framed", heading=page.heading)
    return render(request, "plain_page.html", context, status=page.status)


@csrf_exempt
def unknown_address(request: HttpRequest) -> HttpResponse:
    """Answer programs at unknown addresses, in DEBUG too."""
    # Without the path, because a webhook's may contain a secret.
    return error_response(404, "not_found", "There is nothing at this address. Correct it by /api/v1/docs/.")


class ProbeMiddleware(MiddlewareMixin):
    """Answers probes, which come by an address such as 10.1.2.3 or web_1. Other requests must name one of our hosts."""

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:
        if request.method not in ("GET", "HEAD") or request.path_info not in settings.PROBES:
            return None
        answer: HttpResponseBase = resolve(request.path_info).func(request)
        return answer


class UnreadableTextMiddleware(MiddlewareMixin):
    """Refuses NUL, which PostgreSQL's text can't hold, and long searches. The API checks its parameters itself."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(FOR_PROGRAMS):
            return
        query = "".join(text for name, values in request.GET.lists() for text in (name, *values))
        if "\0" in request.path_info + query:
            raise BadRequest("The address holds a NUL character. Take %00 out of it.")
        if any("\0" in value for value in request.COOKIES.values()):
            raise BadRequest("A cookie holds a NUL character. Delete the cookies of this site.")
        if len(request.GET.get(SEARCH_VAR, "")) > LONGEST_SEARCH:
            raise BadRequest(f"A search has at most {LONGEST_SEARCH} characters. Shorten it.")


class LastSlashMiddleware(MiddlewareMixin):
    """Adds a missing last slash to calls by programs. Django would redirect them, and a redirected POST has no body."""

    def process_request(self, request: HttpRequest) -> None:
        path = request.path_info
        lacks_slash = path.startswith(FOR_PROGRAMS) and not path.endswith("/")
        if lacks_slash and not _is_routed(path) and _is_routed(f"{path}/"):
            request.path_info = f"{path}/"
            request.path = f"{request.path}/"


def _is_routed(path: str) -> bool:
    try:
        return resolve(path).func is not unknown_address
    except Resolver404:
        return False


class LockTimeoutMiddleware(MiddlewareMixin):
    """Answers people with 503 and programs with 409 if their change was rolled back after waiting for a lock.

    The API's own views answer by sync/api/errors.py.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not is_lock_conflict(exception):
            return None
        if request.path_info.startswith(FOR_PROGRAMS):
            # Without the path, because a webhook's may contain a secret.
            log.warning("a program's request waited too long for a lock")
            return error_response(409, "conflict", CHANGED_AT_ONCE)
        log.warning("an act waited too long for a lock", path=request.path_info)
        answer = _answer(request, BUSY)
        answer.headers["Retry-After"] = "10"
        return answer


# Raised if a request has an id, a number or a text that no row can have.
IMPOSSIBLE_VALUE = (ValidationError, DataError, OverflowError)

# Raised, beside these, by a list's query, such as a range with one value, or by a selection of unknown rows.
IMPOSSIBLE_QUERY = (
    *IMPOSSIBLE_VALUE,
    FieldDoesNotExist,
    InvalidPage,
    IncorrectLookupParameters,
    ProgrammingError,
    ValueError,
    IndexError,
)

# An unknown column or table, or a syntax error: SQL of ours, or a database without its migrations; never a value.
WRONG_SQL = ("42703", "42P01", "42601")

# Raised by allauth if a passkey's answer wasn't written by a browser.
MALFORMED_PASSKEY = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class ImpossibleValueMiddleware(MiddlewareMixin):
    """Answers 400 instead of 500 if a value that came with the request can't be read by Python or the database.

    All other errors are ours. The log names the line that raised it, without the message, which quotes the value.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        sqlstate = getattr(exception.__cause__, "sqlstate", None)  # None if it didn't get as far as PostgreSQL
        if not isinstance(exception, self.possible_errors(request)) or sqlstate in WRONG_SQL:
            return None
        lines = [f"{frame.filename}:{frame.lineno}" for frame in extract_tb(exception.__traceback__)]
        log.warning("a value is not possible", error=type(exception).__name__, raised_at=lines[-1:])
        return bad_request(request)

    def possible_errors(self, request: HttpRequest) -> tuple[type[Exception], ...]:
        """Return the errors that the values of this request may have caused."""
        if request.path_info.startswith(SIGN_IN):
            return MALFORMED_PASSKEY if "credential" in request.POST else ()
        if not request.path_info.startswith("/admin/"):
            return ()
        if request.POST.getlist(ACTION_CHECKBOX_NAME) if request.method == "POST" else request.GET:
            return IMPOSSIBLE_QUERY
        has_id = request.resolver_match is not None and request.resolver_match.kwargs
        return IMPOSSIBLE_VALUE if request.POST or has_id else ()


class LostActMiddleware(MiddlewareMixin):
    """Answers people whose act was lost: they opened a button's address, or sent a form after their session had ended.

    After signing in, they are back on the form's page. A part of an open page that htmx reads stays as it is, because
    the sign-in page doesn't belong there. The API has answers of its own.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        if not request.path_info.startswith("/admin/"):
            return response
        if response.status_code == 405:
            answer = _answer(request, NO_PAGE)
            answer.headers["Allow"] = response.headers["Allow"]
            return answer
        login = reverse("admin:login")
        if "HX-Request" in request.headers and response.headers.get("Location", "").startswith(f"{login}?"):
            return HttpResponse(status=HTTPStatus.UNAUTHORIZED)
        if request.method == "POST" and response.headers.get("Location", "").startswith(f"{login}?"):
            pages = (request.POST.get("next"), request.POST.get("back"), request.headers.get("Referer"))
            page = path_on_site(request, *pages) or reverse("admin:index")
            return redirect(f"{reverse('account_login')}?{urlencode({'next': page, 'lost': 1})}")
        return response


class LiveFetchMiddleware(MiddlewareMixin):
    """Keeps messages for the next page that a person opens: nobody would see them in a page's refresh by live.js."""

    def process_request(self, request: HttpRequest) -> None:
        if "X-NPD-Live" in request.headers:
            request._messages = _NoMessages(request)  # type: ignore[attr-defined]


class _NoMessages(BaseStorage):
    def _get(self, *args: Any, **kwargs: Any) -> tuple[list[Any], bool]:
        return [], True

    def _store(self, messages: Any, response: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return []


class HeadersMiddleware(MiddlewareMixin):
    """Adds the security policies to every answer, and forbids caches to keep the API's answers.

    The admin's frame has a wider policy, because unfold's Alpine evaluates text.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        user = getattr(request, "user", None)
        is_html = response.headers.get("Content-Type", "").startswith("text/html")
        # Asked last, because it may read the session from the database.
        is_in_frame = (
            is_html and not request.path_info.startswith(WITHOUT_FRAME) and user is not None and user.is_authenticated
        )
        policy = settings.FRAME_SECURITY_POLICY if is_in_frame else settings.CONTENT_SECURITY_POLICY
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", settings.PERMISSIONS_POLICY)
        if request.path_info.startswith("/api/"):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ("Authorization", "Cookie"))
        return response
