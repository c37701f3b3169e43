"""Errors of the API, in drf-standardized-errors' form: `{"type": …, "errors": [{"code", "detail", "attr"}]}`."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django import db
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiResponse
from drf_standardized_errors import types
from drf_standardized_errors.handler import ExceptionHandler
from rest_framework import exceptions, serializers

from sync.kernel import acts
from sync.kernel.db import is_lock_conflict

CHANGED_AT_ONCE = "Something else changed it at the same moment. Read it again, then repeat your change."
CHANGED_SINCE = "It changed since you read it, so nothing was done. Read it, then send your change with its new ETag."
TOO_LARGE = "The body is too large. Send less at once."


class Refused(exceptions.APIException):
    """An error with this status, sentence and code."""

    def __init__(self, status: HTTPStatus, sentence: str, code: str) -> None:
        super().__init__(sentence, code)
        self.status_code = status


def refused_act(error: acts.ActionError) -> Refused:
    """Return the API's error for an act that can't be done."""
    if isinstance(error, acts.NotAllowed):
        return Refused(HTTPStatus.FORBIDDEN, str(error), error.code)
    status = HTTPStatus.CONFLICT if isinstance(error, acts.NotPossible) else HTTPStatus.BAD_REQUEST
    return Refused(status, str(error), error.code)


class ApiExceptionHandler(ExceptionHandler):
    """Converts exceptions of ours and of the database that are the caller's errors."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, RequestDataTooBig):
            return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_LARGE, "too_large")
        if isinstance(exc, db.DataError):
            return exceptions.ParseError("A value is out of the range that can be stored.", code="out_of_range")
        # Raised by the parser, or by Django's queries, which recurse into a value.
        if isinstance(exc, RecursionError):
            return exceptions.ParseError("The JSON is nested too deeply to be read.")
        # A constraint that breaks after validation means a write at the same moment; so does a deadlock.
        if isinstance(exc, db.IntegrityError) or is_lock_conflict(exc):
            return refused_act(acts.NotPossible(CHANGED_AT_ONCE))
        if isinstance(exc, acts.ActionError):
            return refused_act(exc)
        return super().convert_known_exceptions(exc)


class ErrorItemSerializer(serializers.Serializer[Any]):
    """A single error."""

    code = serializers.CharField(help_text="The kind, for programs.")
    detail = serializers.CharField(help_text="What happened, for people.")
    attr = serializers.CharField(allow_null=True, help_text="The field or parameter; null for the whole request.")


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a request was refused."""

    type = serializers.ChoiceField(choices=[types.VALIDATION_ERROR, types.CLIENT_ERROR, types.SERVER_ERROR])
    errors = ErrorItemSerializer(many=True)  # type: ignore[assignment]  # a member's name


def error_body(status: int, code: str, detail: str) -> dict[str, Any]:
    """Return the body of an error outside of REST framework, in the same form."""
    kind = types.SERVER_ERROR if status >= HTTPStatus.INTERNAL_SERVER_ERROR else types.CLIENT_ERROR
    return {"type": kind, "errors": [{"code": code, "detail": detail, "attr": None}]}


def error_response(status: int, code: str, detail: str) -> JsonResponse:
    return JsonResponse(error_body(status, code, detail), status=status)


def post_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Restrict a plain view for programs to POST."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST":
            return view(request, *args, **kwargs)
        response = error_response(405, "method_not_allowed", "This address takes POST alone.")
        response.headers["Allow"] = "POST"
        return response

    return wrapper


class ApiSchema(AutoSchema):
    """AutoSchema with our form of errors at every operation."""

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        errors = OpenApiResponse(ErrorSerializer, description="Why it was refused.")
        described = self._get_response_for_code(errors, "default", ["application/json"], direction)  # type: ignore[no-untyped-call]
        return {**bodies, "default": described}
