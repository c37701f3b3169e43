"""Errors of the API as problem details (RFC 9457): what happened, to what, and what to do next; and every code of
theirs.

A problem's `code` names why a request was not done and ends its `type`, the address of its page; a value's code, in
`errors` of a problem, names what is wrong with one value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import OpenApiResponse
from drf_standardized_errors.formatter import ExceptionFormatter
from drf_standardized_errors.handler import ExceptionHandler
from drf_standardized_errors.types import ErrorResponse
from rest_framework import exceptions, serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from structlog.contextvars import get_contextvars

from sync.kernel.db import gave_way
from sync.kernel.humanize import shorten
from sync.kernel.messages import ActionError, Conflict, NotAllowed

# Every code that the API answers: what it means, what to do, with which HTTP code. A code is added here before it is
# answered, and is never renamed: programs branch on it. The pages at /api/problems/ are made of this.


@dataclass(frozen=True)
class ProblemKind:
    code: str
    status: int
    meaning: str
    act: str

    @property
    def phrase(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def _kinds(status: int, *rows: tuple[str, str, str]) -> dict[str, ProblemKind]:
    return {code: ProblemKind(code, status, meaning, act) for code, meaning, act in rows}


KINDS = {
    **_kinds(
        400,
        ("invalid", "A value or a parameter is refused.", "Correct what `errors` names."),
        ("parse_error", "The body can't be read.", "Send JSON in UTF-8, not too deeply nested."),
        ("bad_idempotency_key", "The Idempotency-Key is no key.", "Send 1 to 255 printable ASCII characters."),
        ("not_configured", "Monday isn't connected, or the type has no board.", "Finish the set-up."),
        ("no_scope", "A token needs a scope.", "Name one at least."),
        ("expired", "A new token can't have expired.", "Give a later time."),
        ("long_grace", "The old text can't stay valid that long.", "24 hours at most."),
        ("not_json", "The webhook's body is not JSON.", "Send JSON."),
        ("not_an_event", "The webhook's body is not an event.", "Send one of Monday's."),
        ("address", "Nothing may be sent to the address.", "Correct it."),
    ),
    **_kinds(
        401,
        ("not_authenticated", "Nothing says who asks.", "Send `Authorization: Bearer …` with a token."),
        ("invalid_token", "There is no such token.", "Check the token, or make a new one."),
        ("expired_token", "The token has expired.", "Make a new one."),
        ("revoked_token", "The token was revoked, or replaced by a rotation.", "Make a new one."),
        ("inactive_user", "The token's user is switched off.", "Ask an administrator."),
        ("authentication_failed", "Who asks can't be told.", "Check the credentials."),
        ("wrong_secret", "The scheduler's secret is wrong.", "Send CRON_SECRET."),
        ("metrics_token", "The secret is wrong.", "Send METRICS_TOKEN as Bearer."),
        ("wrong_token", "The address doesn't end with the webhook token.", "Run monday_setup."),
        ("unsigned", "The webhook is not signed.", "Sign it, or use the address with the token."),
        ("bad_signature", "The webhook's signature is wrong, or its time is over.", "Sign it again."),
    ),
    **_kinds(
        403,
        ("permission_denied", "You may not do this.", "Ask an administrator for the permission."),
        ("insufficient_scope", "The token is not for this.", "Use a token with the scope it names."),
        ("second_factor", "The session lacks its second factor.", "Confirm it on a page, or use a token."),
        ("closed", "The address is closed.", "Set its secret."),
        ("beyond_own_scopes", "The token has less scopes than that one.", "Use another token."),
        ("beyond_own_expiry", "The token expires earlier than that one.", "Give an earlier time."),
        ("not_own_token", "The token has not made that one.", "Use that token, or the page."),
    ),
    **_kinds(404, ("not_found", "There is nothing at this address.", "Check the id, or the page's number.")),
    **_kinds(405, ("method_not_allowed", "The address doesn't take this method.", "See the header Allow.")),
    **_kinds(406, ("not_acceptable", "The format asked for isn't there.", "Accept application/json.")),
    **_kinds(
        409,
        ("conflict", "It doesn't fit how things are by now.", "Read it again, then repeat."),
        ("stale", "The values are others by now.", "Choose for those in `current`."),
        ("not_waiting", "It doesn't wait for this any more.", "Read the conflict again."),
        ("ambiguous", "Several records fit.", "Choose one of the ids that `detail` names."),
        ("external_id_taken", "The external id is another record's.", "Take it away there first, or send another."),
        (
            "possible_duplicate",
            "Another record says the same, and `unique` was asked.",
            "Change that, or drop `unique`.",
        ),
        ("named_twice", "A bulk names the record twice.", "Send one operation for each."),
        ("idempotency_in_progress", "The first request under the key isn't done.", "Repeat it after a second."),
        (
            "idempotency_answer_not_kept",
            "It was done; its answer, a secret, isn't kept.",
            "Delete what was made and make it again, or rotate again, under a new key.",
        ),
        ("too_many", "There are as many as there may be.", "Delete one first."),
        ("in_progress", "It is on its way just now.", "Repeat it in a minute."),
    ),
    **_kinds(412, ("precondition_failed", "The record changed since you read it.", "Read it again, then repeat.")),
    **_kinds(413, ("too_large", "The body is too large.", "Send less at once.")),
    **_kinds(
        415,
        ("unsupported_media_type", "The body is of another kind.", "Send JSON, with Content-Type: application/json."),
    ),
    **_kinds(
        422,
        ("idempotency_key_reused", "Another request was sent under the key.", "Take a new key for this one."),
        ("bulk_refused", "A row of an atomic bulk is refused, so none was done.", "Correct what `results` names."),
    ),
    **_kinds(429, ("throttled", "Too many requests.", "Wait as long as Retry-After says.")),
    **_kinds(500, ("error", "We failed.", "Tell an administrator the `request_id`.")),
    **_kinds(503, ("no_database", "The database doesn't answer.", "Try again later.")),
}
"""By their codes, ordered by their HTTP codes."""

VALUE_CODES = {
    "required": "The value is missing.",
    "null": "It can't be null.",
    "blank": "It can't be empty.",
    "empty": "The list is empty.",
    "invalid": "It is not of the right form; `detail` says which.",
    "invalid_choice": "It is none of the values that there are.",
    "unknown": "There is nothing of this name; `detail` says what there is.",
    "unknown_field": "The body has a field that isn't known here.",
    "read_only": "NPD Sync keeps this field, so it can't be written.",
    "bad_parameter": "The query has a parameter that isn't known here, is empty, or is given twice.",
    "contradiction": "The body says something else than the address.",
    "bad_external_id": "It is no external id: its source or its value is of another form.",
    "does_not_exist": "There is no record with this id.",
    "incorrect_type": "It is not of the right type.",
    "max_length": "It is too long.",
    "min_length": "It is too short.",
    "max_value": "It is too large.",
    "min_value": "It is too small.",
    "max_string_length": "The number has too many digits.",
    "not_a_list": "It must be a list.",
    "not_a_dict": "It must be an object.",
    "date": "It must have a time, too.",
    "make_aware": "There is no such time in the time zone.",
    "overflow": "The time is out of range.",
    "null_characters_not_allowed": "It holds a NUL character.",
    "surrogate_characters_not_allowed": "It holds half of a surrogate pair.",
    "address": "Nothing may be sent to this address.",
}
"""What can be wrong with one value."""


def as_markdown() -> str:
    """The two tables of the page /api/problems/."""
    rows = [f"| `{kind.code}` | {kind.status} | {kind.meaning} | {kind.act} |" for kind in KINDS.values()]
    values = [f"| `{code}` | {meaning} |" for code, meaning in VALUE_CODES.items()]
    problems = ["| code | HTTP | means | what to do |", "| --- | --- | --- | --- |", *rows, ""]
    return "\n".join([*problems, "| code of a value | means |", "| --- | --- |", *values, ""])


MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 20
MAX_ATTR_LENGTH, MAX_DETAIL_LENGTH = 100, 500
"""Characters that a refusal quotes, so that an answer is never as long as a request may be."""

CALLER_UNKNOWN = "Send an API token with the request, as in “Authorization: Bearer npd_…”."
CHANGED_AT_ONCE = "Something else changed it at the same moment. Read it again, then repeat your change."


class Refused(exceptions.APIException):
    """A request that is not done, for the reason of a code of KINDS; `wait` becomes Retry-After, in seconds."""

    def __init__(self, code: str, detail: str, *, wait: int | None = None) -> None:
        super().__init__(detail, code)
        self.status_code, self.wait = KINDS[code].status, wait


class ActionProblem(exceptions.APIException):
    """What can't be done, as the error says that says why."""

    def __init__(self, error: ActionError) -> None:
        super().__init__(str(error), error.code)
        if isinstance(error, NotAllowed):
            self.status_code = HTTPStatus.FORBIDDEN
        else:
            self.status_code = HTTPStatus.CONFLICT if isinstance(error, Conflict) else HTTPStatus.BAD_REQUEST


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


def refusal(code: str, detail: str, current: Any) -> Response:
    """A 409 that says how things are by now."""
    body = {**problem_body(HTTPStatus.CONFLICT, code, detail), "current": current}
    return Response(body, status=HTTPStatus.CONFLICT, content_type=MEDIA_TYPE)


def or_conflict(answer: Any, conflict: Any) -> dict[Any, Any]:
    """The answers, for the schema, of what may be refused with the values of now."""
    return {200: answer, (409, MEDIA_TYPE): OpenApiResponse(conflict, description="Conflict")}


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
        if isinstance(exc, exceptions.UnsupportedMediaType):
            taken = " or ".join(one.media_type for one in self.context["view"].parser_classes)
            exc.detail = exceptions.ErrorDetail(f"{exc.detail} What is taken: {taken}. Send that.", exc.default_code)
        if isinstance(exc, RequestDataTooBig):
            return Refused("too_large", "The body is too large. Send less at once.")
        if isinstance(exc, IntegrityError) or gave_way(exc):
            return ActionProblem(Conflict(CHANGED_AT_ONCE))
        if isinstance(exc, ActionError):
            return ActionProblem(exc)
        return super().convert_known_exceptions(exc)

    def format_exception(self, exc: exceptions.APIException) -> dict[str, Any]:
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
