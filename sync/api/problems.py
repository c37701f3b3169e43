"""Errors of the API as problem details (RFC 9457): what happened, to what, and what to do next."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError
from django.http import JsonResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import exceptions, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

MEDIA_TYPE = "application/problem+json"


class PreconditionFailed(exceptions.APIException):
    """If-Match names a state that the record has left."""

    status_code = HTTPStatus.PRECONDITION_FAILED
    default_detail = "The record changed since you read it. Read it again, then repeat your change."
    default_code = "precondition_failed"


class Conflict(exceptions.APIException):
    """The request can't be done in the state that the thing is in."""

    status_code = HTTPStatus.CONFLICT
    default_detail = "Something else changed it at the same moment. Read it again, then repeat your change."
    default_code = "conflict"


class TooLarge(exceptions.APIException):
    """The body is larger than this API reads."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large. Send less at once."
    default_code = "too_large"


class NotConfiguredProblem(exceptions.APIException):
    """What the request asks for needs a set-up that has not been made."""

    status_code = HTTPStatus.BAD_REQUEST
    default_code = "not_configured"


class ProblemErrorSerializer(serializers.Serializer[Any]):
    """One refused value."""

    pointer = serializers.CharField(help_text="Where in the body, as a JSON pointer: /email")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """Why a request was not done (RFC 9457)."""

    type = serializers.CharField(help_text="urn:npd:… names the kind of problem; about:blank is our failure.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="What happened and what to do next.")
    errors = ProblemErrorSerializer(many=True, required=False)  # type: ignore[assignment]  # a member's name


def problem_body(status: int, code: str, detail: str) -> dict[str, Any]:
    """The members that every problem has; `code` is left out of our own failures, which nobody can act on."""
    kind = "about:blank" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else f"urn:npd:{code}"
    return {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def problem(status: int, code: str, detail: str) -> JsonResponse:
    """A problem as the answer of a plain Django view."""
    return JsonResponse(problem_body(status, code, detail), status=status, content_type=MEDIA_TYPE)


class ProblemRenderer(JSONRenderer):
    """JSON under the media type of problems."""

    media_type = MEDIA_TYPE
    format = "problem"


class ProblemFormatter(ExceptionFormatter):
    """Turns an exception into the members of a problem."""

    def format_error_response(self, error_response: ErrorResponse) -> dict[str, Any]:
        """Name every refused field, in `detail` for people and in `errors` for programs."""
        errors = error_response.errors
        sentences = [f"{error.attr}: {error.detail}" if error.attr else error.detail for error in errors]
        # A refusal of fields is one kind of problem; the single codes stand in `errors`.
        invalid = isinstance(self.exc, exceptions.ValidationError)
        code = "invalid" if invalid or not errors else errors[0].code
        body = problem_body(self.exc.status_code, code, " ".join(sentences))
        if invalid:
            body["errors"] = [
                {"pointer": _pointer(error.attr), "code": error.code, "detail": error.detail}
                for error in errors
            ]
        return body


def _pointer(attr: str | None) -> str:
    return "" if attr in (None, "non_field_errors") else "/" + str(attr).replace(".", "/")


class ProblemHandler(ExceptionHandler):
    """DRF's exception handler of this project (DRF_STANDARDIZED_ERRORS in the settings)."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        """Name what is no failure of ours; a constraint broken after validation is somebody else's write."""
        if isinstance(exc, RequestDataTooBig):
            return TooLarge()
        if isinstance(exc, IntegrityError):
            return Conflict()
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
