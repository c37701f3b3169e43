"""Errors of the API, in drf-standardized-errors' form: `{"type": …, "errors": [{"code", "detail", "attr"}]}`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import DataError, IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import CLIENT_ERROR, SERVER_ERROR, VALIDATION_ERROR
from rest_framework import exceptions, serializers

from sync.kernel.db import gave_way
from sync.kernel.messages import ActionError, Conflict, NotAllowed

CHANGED_AT_ONCE = "Something else changed it at the same moment. Read it again, then repeat your change."
TOO_LARGE = "The body is too large. Send less at once."


class PreconditionFailed(exceptions.APIException):
    """The record isn't what the caller's If-Match says."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_code = "precondition_failed"
    default_detail = (
        "It changed since you read it, so nothing was done. Read it, then send your change with its new ETag."
    )


class Refused(exceptions.APIException):
    """Answers with an ActionError's sentence and code: 403, 409 or 400."""

    def __init__(self, error: ActionError) -> None:
        super().__init__(str(error), error.code)
        if isinstance(error, NotAllowed):
            self.status_code = HTTPStatus.FORBIDDEN
        elif isinstance(error, Conflict):
            self.status_code = HTTPStatus.CONFLICT
        else:
            self.status_code = HTTPStatus.BAD_REQUEST


class TooLarge(exceptions.APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"
    default_detail = TOO_LARGE


class ApiExceptionHandler(ExceptionHandler):
    """Knows which exceptions of ours and of the database are no failure."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            return TooLarge()
        if isinstance(exc, DataError):
            return exceptions.ParseError("A value is out of the range that can be stored.", code="out_of_range")
        # A constraint that is broken after validation is somebody else's write at the same moment; so is a deadlock.
        if isinstance(exc, IntegrityError) or gave_way(exc):
            return Refused(Conflict(CHANGED_AT_ONCE))
        if isinstance(exc, ActionError):
            return Refused(exc)
        return super().convert_known_exceptions(exc)


class ErrorItemSerializer(serializers.Serializer[Any]):
    """One thing that is wrong."""

    code = serializers.CharField(help_text="Names the kind for programs.")
    detail = serializers.CharField(help_text="What happened, for people.")
    attr = serializers.CharField(allow_null=True, help_text="The field or parameter; null where it is about the whole.")


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a request was not done."""

    type = serializers.ChoiceField(choices=[VALIDATION_ERROR, CLIENT_ERROR, SERVER_ERROR])
    errors = ErrorItemSerializer(many=True)  # type: ignore[assignment]  # a member's name


def error_body(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return the same body for what fails outside of REST framework."""
    kind = SERVER_ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else CLIENT_ERROR
    return {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}


def error_response(status: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse(error_body(status, code, detail), status=status)


def post_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Wrap a plain view for programs that takes POST alone."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            return view(request, *args, **kwargs)
        answer = error_response(405, "method_not_allowed", "This address takes POST alone.")
        answer.headers["Allow"] = "POST"
        return answer

    return wrapper
