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

# Every code that the API answers: what it means, what to do, with which HTTP code.
# A code is added here before it is answered, and is never renamed: programs branch on it. The pages at
# /api/problems/ are made of this.


@dataclass(frozen=True)
class ProblemKind:
    """A kind of problem."""

    code: str
    status: int
    meaning: str
    act: str

    @property
    def phrase(self) -> str:
        """The HTTP code with its name."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


KINDS = {
    kind.code: kind
    for kind in (
        # 400: the request itself.
        ProblemKind("invalid", 400, "A value or a parameter is refused.", "Correct what `errors` names."),
        ProblemKind("parse_error", 400, "The body can't be read.", "Send JSON in UTF-8, not too deeply nested."),
        ProblemKind("not_text", 400, "The address or a form is not text in UTF-8.", "Correct its encoding."),
        ProblemKind(
            "bad_idempotency_key", 400, "The Idempotency-Key is no key.", "Send 1 to 255 printable ASCII characters."
        ),
        ProblemKind("not_configured", 400, "Monday isn't connected, or the type has no board.", "Finish the set-up."),
        ProblemKind("no_scope", 400, "A token needs a scope.", "Name one at least."),
        ProblemKind("expired", 400, "A new token can't have expired.", "Give a later time."),
        ProblemKind("long_grace", 400, "The old text can't stay valid that long.", "24 hours at most."),
        ProblemKind("not_json", 400, "The webhook's body is not JSON.", "Send JSON."),
        ProblemKind("not_an_event", 400, "The webhook's body is not an event.", "Send one of Monday's."),
        ProblemKind("address", 400, "Nothing may be sent to the address.", "Correct it."),
        # 401: who asks.
        ProblemKind("not_authenticated", 401, "Nothing says who asks.", "Send `Authorization: Bearer …` with a token."),
        ProblemKind("invalid_token", 401, "There is no such token.", "Check the token, or make a new one."),
        ProblemKind("expired_token", 401, "The token has expired.", "Make a new one."),
        ProblemKind("revoked_token", 401, "The token was revoked, or replaced by a rotation.", "Make a new one."),
        ProblemKind("inactive_user", 401, "The token's user is switched off.", "Ask an administrator."),
        ProblemKind("authentication_failed", 401, "Who asks can't be told.", "Check the credentials."),
        ProblemKind("wrong_secret", 401, "The scheduler's secret is wrong.", "Send CRON_SECRET."),
        ProblemKind("metrics_token", 401, "The secret is wrong.", "Send METRICS_TOKEN as Bearer."),
        ProblemKind("wrong_token", 401, "The address doesn't end with the webhook token.", "Run monday_setup."),
        ProblemKind("unsigned", 401, "The webhook is not signed.", "Sign it, or use the address with the token."),
        ProblemKind("bad_signature", 401, "The webhook's signature is wrong, or its time is over.", "Sign it again."),
        # 403: what one may.
        ProblemKind("permission_denied", 403, "You may not do this.", "Ask an administrator for the permission."),
        ProblemKind("insufficient_scope", 403, "The token is not for this.", "Use a token with the scope it names."),
        ProblemKind(
            "second_factor", 403, "The session lacks its second factor.", "Confirm it on a page, or use a token."
        ),
        ProblemKind("closed", 403, "The address is closed.", "Set its secret."),
        ProblemKind("beyond_own_scopes", 403, "The token has less scopes than that one.", "Use another token."),
        ProblemKind("beyond_own_expiry", 403, "The token expires earlier than that one.", "Give an earlier time."),
        ProblemKind("not_own_token", 403, "The token has not made that one.", "Use that token, or the page."),
        # 404 to 406: what is asked for.
        ProblemKind("not_found", 404, "There is nothing at this address.", "Check the id, or the page's number."),
        ProblemKind("method_not_allowed", 405, "The address doesn't take this method.", "See the header Allow."),
        ProblemKind("not_acceptable", 406, "The format asked for isn't there.", "Accept application/json."),
        # 409 to 412: how things are by now.
        ProblemKind("conflict", 409, "It doesn't fit how things are by now.", "Read it again, then repeat."),
        ProblemKind("stale", 409, "The values are others by now.", "Choose for those in `current`."),
        ProblemKind("not_waiting", 409, "It doesn't wait for this any more.", "Read the conflict again."),
        ProblemKind("ambiguous", 409, "Several records fit.", "Choose one of the ids that `detail` names."),
        ProblemKind(
            "external_id_taken",
            409,
            "The external id is another record's.",
            "Take it away there first, or send another.",
        ),
        ProblemKind(
            "possible_duplicate",
            409,
            "`unique` was asked, and another record says the same.",
            "Change that one, or send it without `unique`.",
        ),
        ProblemKind("named_twice", 409, "A bulk names the record twice.", "Send one operation for each."),
        ProblemKind(
            "idempotency_in_progress", 409, "The first request under the key isn't done.", "Repeat it after a second."
        ),
        ProblemKind(
            "idempotency_answer_not_kept",
            409,
            "It was done, and its answer was a secret that isn't kept.",
            "Delete what was made and make it again, or rotate again, under a new key.",
        ),
        ProblemKind("too_many", 409, "There are as many as there may be.", "Delete one first."),
        ProblemKind("in_progress", 409, "It is on its way just now.", "Repeat it in a minute."),
        ProblemKind("endpoint_off", 409, "The endpoint is switched off.", "Switch it on first."),
        ProblemKind("cursor_expired", 410, "The cursor is older than the events kept.", "Read all records again."),
        ProblemKind("since_expired", 410, "Deletions since then are not all kept.", "Read all records again."),
        ProblemKind("cursor_unknown", 410, "The cursor is of another database.", "Read all records again."),
        ProblemKind("precondition_failed", 412, "The record changed since you read it.", "Read it again, then repeat."),
        # 413 to 429: what can't be taken.
        ProblemKind("too_large", 413, "The body is too large.", "Send less at once."),
        ProblemKind("unsupported_media_type", 415, "The body is of another kind.", "Send the Content-Type declared."),
        ProblemKind(
            "idempotency_key_reused", 422, "Another request was sent under the key.", "Take a new key for this one."
        ),
        ProblemKind(
            "bulk_refused",
            422,
            "A row of an atomic bulk is refused, so none was done.",
            "Correct what `results` names.",
        ),
        ProblemKind("throttled", 429, "Too many requests.", "Wait as long as Retry-After says."),
        # Ours, of type about:blank.
        ProblemKind("error", 500, "We failed.", "Tell an administrator the `request_id`."),
        ProblemKind("no_database", 503, "The database doesn't answer.", "Try again later."),
    )
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


def refusal(code: str, detail: str, current: Any) -> Response:
    """A 409 that says how things are by now."""
    body = {**problem_body(HTTPStatus.CONFLICT, code, detail), "current": current}
    return Response(body, status=HTTPStatus.CONFLICT, content_type=MEDIA_TYPE)


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
