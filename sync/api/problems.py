"""Errors of the API as problem details (RFC 9457): what happened, to what, and what to do next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import exceptions, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from structlog.contextvars import get_contextvars

from sync.kernel.action_errors import ActionError, Conflict, NotAllowed
from sync.kernel.db import gave_way
from sync.kernel.humanize import shorten

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_ATTR_LENGTH, MAX_DETAIL_LENGTH = 100, 500
"""Characters that a refusal quotes, so that an answer is never as long as a request may be."""

CALLER_UNKNOWN = "Send an API token with the request, as in “Authorization: Bearer npd_…”."
CHANGED_AT_ONCE = "Something else changed it at the same moment. Read it again, then repeat your change."


class PreconditionFailed(exceptions.APIException):
    """If-Match names an earlier state of the record."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "The record changed since you read it. Read it again, then repeat your change."
    default_code = "precondition_failed"


class ActionProblem(exceptions.APIException):
    """What can't be done, as the error says that says why."""

    def __init__(self, error: ActionError) -> None:
        super().__init__(str(error), error.code)
        if isinstance(error, NotAllowed):
            self.status_code = HTTPStatus.FORBIDDEN
        else:
            self.status_code = HTTPStatus.CONFLICT if isinstance(error, Conflict) else HTTPStatus.BAD_REQUEST


class TooLarge(exceptions.APIException):
    """The body is larger than this API reads."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large. Send less at once."
    default_code = "too_large"


class BadQuery(exceptions.ValidationError):
    """A query parameter that doesn't exist, is empty or means nothing; the detail is keyed by parameter."""


class ProblemErrorSerializer(serializers.Serializer[Any]):
    """One refused value."""

    pointer = serializers.CharField(help_text="Where in the body, as a JSON pointer: /email")
    parameter = serializers.CharField(required=False, help_text="Of the query: the parameter's name.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was not done (RFC 9457)."""

    type = serializers.CharField(help_text="The address of a page about this kind; about:blank is our failure.")
    code = serializers.CharField(help_text="Names the kind for programs.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened and what to do next.")
    request_id = serializers.CharField(required=False, help_text="As in X-Request-ID, and in our log.")
    errors = ProblemErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # a member's name


def problem_body(status: int, code: str, detail: str) -> dict[str, Any]:
    """The members that every problem has; of our own failures no page would say more."""
    kind = "about:blank" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else problem_type(code)
    body = {"type": kind, "code": code, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    request_id = get_contextvars().get("request_id")
    return body | ({"request_id": request_id} if request_id else {})


def problem_type(code: str) -> str:
    """The address of the page about a kind of problem."""
    return f"{settings.SITE_URL}/api/problems/{code}"


def problem(status: int, code: str, detail: str) -> JsonResponse:
    """A problem as the answer of a plain Django view."""
    return JsonResponse(problem_body(status, code, detail), status=status, content_type=MEDIA_TYPE)


def post_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A plain view that accepts POST only; other methods get a problem."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            return view(request, *args, **kwargs)
        answer = problem(405, "method_not_allowed", "This address takes POST alone.")
        answer.headers["Allow"] = "POST"
        return answer

    return wrapper


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problems."""

    media_type = MEDIA_TYPE
    format = "problem"


class ProblemFormatter(ExceptionFormatter):
    """Turns an exception into the members of a problem."""

    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        """Name the refused fields, in `detail` for people and in `errors` for programs.

        Of many the first twenty.
        """
        # A request may hold thousands of errors; the answer stays small.
        errors = [
            replace(
                error,
                attr=None if error.attr is None else shorten(str(error.attr), MAX_ATTR_LENGTH),
                detail=shorten(str(error.detail), MAX_DETAIL_LENGTH),
            )
            for error in error_response.errors[:MAX_ERRORS]
        ]
        sentences = [f"{error.attr}: {error.detail}" if error.attr else error.detail for error in errors]
        if left := len(error_response.errors) - len(errors):
            sentences.append(f"So are {left:,} more.")
        # Refused fields are one kind of problem; their single codes are in `errors`.
        invalid = isinstance(self.exc, exceptions.ValidationError)
        code = "invalid" if invalid or not errors else errors[0].code
        body = problem_body(self.exc.status_code, code, " ".join(sentences))
        # Only values have places in the request that a program can point at.
        if invalid:
            body["errors"] = []
            for error in errors:
                pointer = "" if error.attr in (None, "non_field_errors") else f"/{error.attr.replace('.', '/')}"
                parameter = {"parameter": str(error.attr)} if isinstance(self.exc, BadQuery) else {}
                body["errors"].append({"pointer": pointer, "code": error.code, "detail": error.detail} | parameter)
        return body


def problem_of(exc: exceptions.APIException) -> dict[str, Any]:
    """The members of the problem that an error is, for one row of an answer about many."""
    body: dict[str, Any] = ProblemFormatter(exc, {}, exc).run()  # type: ignore[typeddict-item]  # it reads none of it
    body.pop("request_id", None)  # of the request as a whole
    return body


class ProblemHandler(ExceptionHandler):
    """DRF's exception handler of this project (DRF_STANDARDIZED_ERRORS in the settings)."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Map what is no failure of ours.

        A constraint broken after validation is somebody else's concurrent write, and so is a deadlock.
        """
        if isinstance(exc, exceptions.NotAuthenticated):
            # In place: the exception carries what WWW-Authenticate says.
            exc.detail = exceptions.ErrorDetail(CALLER_UNKNOWN, exc.default_code)
        if isinstance(exc, RequestDataTooBig):
            return TooLarge()
        if isinstance(exc, IntegrityError) or gave_way(exc):
            return ActionProblem(Conflict(CHANGED_AT_ONCE))
        if isinstance(exc, ActionError):
            return ActionProblem(exc)
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: exceptions.APIException) -> dict[str, Any]:
        """The problem's members."""
        body: dict[str, Any] = ProblemFormatter(exc, self.context, self.exc).run()
        return body

    def run(self) -> Response | None:
        """The response, rendered as a problem whatever the request accepts."""
        response: Response | None = super().run()
        request = self.context["request"]
        if response is not None and request is not None:
            request.accepted_renderer = ProblemRenderer()
            request.accepted_media_type = MEDIA_TYPE
            response.content_type = MEDIA_TYPE
        return response
