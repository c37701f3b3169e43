"""Monday's error codes, each with its class and its source: the one edge where foreign errors become ours."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.errors import (
    AccountBlocked,
    AddressLimitReached,
    BoardForbidden,
    BoardFull,
    BoardGone,
    BoardLocked,
    ColumnGone,
    ColumnUnsupported,
    ComplexityExhausted,
    ConcurrencyLimitReached,
    CursorExpired,
    DailyLimitReached,
    DocumentRefused,
    FieldLimitReached,
    FieldRefused,
    ItemInactive,
    ItemNotFound,
    LimitReached,
    MinuteLimitReached,
    MondayError,
    NameRefused,
    NotAuthenticated,
    PermissionMissing,
    RecordRefused,
    ServerFailed,
    StillRunning,
    TimedOut,
    VersionRefused,
    WrongAddress,
)

# Codes as they come in `extensions.code` (formerly `error_code`). "docs" stands for
# developer.monday.com/api-reference/docs/error-handling; "mcp" for the error fixtures in
# github.com/mondaycom/mcp, which show the spelling on the wire where the docs differ; "community n" for
# topics of community.monday.com.
CODES: dict[str, type[MondayError]] = {
    "NOT_AUTHENTICATED": NotAuthenticated,  # community 115326, body of HTTP 401
    "UserUnauthorizedException": BoardForbidden,  # docs; inside a 200 with status_code 403
    "USER_UNAUTHORIZED": BoardForbidden,  # docs, newer spelling of the same
    "missingRequiredPermissions": PermissionMissing,  # docs
    "API_TEMPORARILY_BLOCKED": AccountBlocked,  # docs
    "InvalidVersionException": VersionRefused,  # developer.monday.com/api-reference/docs/api-versioning
    "COMPLEXITY_BUDGET_EXHAUSTED": ComplexityExhausted,  # mcp
    "ComplexityException": ComplexityExhausted,  # docs, 2024-10 and earlier
    "MINUTE_RATE_LIMIT_EXCEEDED": MinuteLimitReached,  # mcp
    "RATE_LIMIT_EXCEEDED": MinuteLimitReached,  # reference/ingest-items-api-reference, with retryAfterMs
    "MAX_CONCURRENCY_EXCEEDED": ConcurrencyLimitReached,  # mcp
    "maxConcurrencyExceeded": ConcurrencyLimitReached,  # docs
    "TooManyConcurrentRequestsException": ConcurrencyLimitReached,  # community 88176, an item's lock
    "DAILY_LIMIT_EXCEEDED": DailyLimitReached,  # mcp
    "IP_RATE_LIMIT_EXCEEDED": AddressLimitReached,  # docs
    "FIELD_LIMIT_EXCEEDED": FieldLimitReached,  # docs/migrating-to-version-2025-04
    "tooManyRequests": FieldLimitReached,  # mcp, a subgraph's limit inside a 200
    "IDEMPOTENCY_CONFLICT": StillRunning,  # docs/idempotency
    "InvalidItemIdException": ItemNotFound,  # community 109452
    "InvalidBoardIdException": BoardGone,  # docs
    "InvalidColumnIdException": ColumnGone,  # community 92703
    "ItemsLimitationException": BoardFull,  # docs
    "ItemNameTooLongException": NameRefused,  # docs
    "ColumnValueException": FieldRefused,  # docs; narrowed by _column_value
    "CorrectedValueException": FieldRefused,  # docs
    "InvalidUserIdException": FieldRefused,  # docs
    "ResourceNotFoundException": RecordRefused,  # docs; narrowed by _resource_not_found
    "InvalidArgumentException": RecordRefused,  # docs/migrating-to-version-2025-04; narrowed
    "RecordInvalidException": RecordRefused,  # docs
    "DeleteLastGroupException": RecordRefused,  # docs
    "CursorException": CursorExpired,  # community 70289
    "CursorExpiredError": CursorExpired,  # docs
    "GRAPHQL_VALIDATION_FAILED": DocumentRefused,  # community 116967, HTTP 400
    "GRAPHQL_PARSE_FAILED": DocumentRefused,  # not published; the usual code beside the one above
    "INVALID_GRAPHQL_REQUEST": DocumentRefused,  # community 118566, HTTP 400
    "undefinedField": DocumentRefused,  # community 101399, 2024-10 and earlier, HTTP 200
    "JsonParseException": DocumentRefused,  # docs, HTTP 400
    "INTERNAL_SERVER_ERROR": ServerFailed,  # docs, HTTP 500
    "InternalServerError": ServerFailed,  # docs, older spelling
}

# For answers whose body names no code that we know.
_STATUSES: dict[int, type[MondayError]] = {
    401: NotAuthenticated,
    403: PermissionMissing,
    404: WrongAddress,
    405: WrongAddress,
    408: TimedOut,
    409: StillRunning,
    423: BoardLocked,
    429: LimitReached,
}


@dataclass(frozen=True)
class _Facts:
    code: str
    message: str
    data: Mapping[str, Any]
    extensions: Mapping[str, Any]


def is_known(code: str) -> bool:
    """Whether an error code of Monday's has a class here; the caller logs those that have none."""
    return code in CODES


def error_from(
    error: Any,
    *,
    http_status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> MondayError:
    """Translate one error of an answer: an entry of `errors`, or a whole body of the format before 2025-01.

    `retry_after` is the Retry-After header in seconds; the body's own wait goes before it.
    """
    facts = _facts(error)
    refused = _class_of(facts, http_status)
    path = error.get("path") if isinstance(error, Mapping) else None
    return refused(
        facts.message or f"Monday answered HTTP {http_status} without a reason",
        code=facts.code,
        request_id=request_id,
        http_status=http_status,
        wait_seconds=_wait(facts.extensions, retry_after),
        path=path if isinstance(path, list) else (),
        column_id="name" if refused is NameRefused else _text(facts.data.get("column_id")),
        column_type=_text(facts.data.get("column_type")),
    )


def _facts(error: Any) -> _Facts:
    if not isinstance(error, Mapping):
        return _Facts("", str(error or ""), {}, {})
    extensions = _mapping(error.get("extensions"))
    details = _text(extensions.get("details"))
    # The pointer to the API's documentation helps no one who only edits a record.
    message = str(error.get("message") or error.get("error_message") or "").split(
        " Please check our API doc"
    )[0]
    return _Facts(
        code=str(extensions.get("code") or error.get("error_code") or ""),
        message=f"{message}: {details}" if details else message,
        data=_mapping(extensions.get("error_data") or error.get("error_data")),
        extensions=extensions,
    )


def _class_of(facts: _Facts, http_status: int | None) -> type[MondayError]:
    known = CODES.get(facts.code)
    narrow = _NARROWED.get(facts.code)
    if known is not None:
        return (narrow(facts) if narrow else None) or known
    return _class_of_status(http_status) or _class_of_message(facts.message) or RecordRefused


def _class_of_status(http_status: int | None) -> type[MondayError] | None:
    if http_status is None or 200 <= http_status < 300:
        return None
    if http_status >= 500:
        return ServerFailed
    if 300 <= http_status < 400:
        return WrongAddress
    return _STATUSES.get(http_status, DocumentRefused)


def _class_of_message(message: str) -> type[MondayError] | None:
    """Errors without a code: a syntax error ("Parse error on …", community 82381) and the old 401 (82701)."""
    if message.startswith("Parse error"):
        return DocumentRefused
    return NotAuthenticated if message.lower() == "not authenticated" else None


def _resource_not_found(facts: _Facts) -> type[MondayError] | None:
    """One code for several resources (community 78294, 92703): `resource_type` or the message tells which."""
    words = f"{facts.data.get('resource_type') or ''} {facts.message}".lower()
    if "not found" not in words:
        return None
    for word, refused in (("column", ColumnGone), ("item", ItemNotFound), ("board", BoardGone)):
        if re.search(rf"\b{word}\b", words):
            return refused
    return None


def _column_value(facts: _Facts) -> type[MondayError] | None:
    """Also removed items (community 117322) and unwritable types (56466) come with this code."""
    if "inactive_pulse_ids" in facts.data or "inactive items" in facts.message:
        return ItemInactive
    return ColumnUnsupported if "not supported" in facts.message else None


_NARROWED: dict[str, Callable[[_Facts], type[MondayError] | None]] = {
    "ResourceNotFoundException": _resource_not_found,
    "InvalidArgumentException": _resource_not_found,
    "ColumnValueException": _column_value,
}


def _wait(extensions: Mapping[str, Any], retry_after: float | None) -> float | None:
    seconds = extensions.get("retry_in_seconds")
    milliseconds = extensions.get("retryAfterMs")
    if isinstance(seconds, int | float):
        return float(seconds)
    return milliseconds / 1000 if isinstance(milliseconds, int | float) else retry_after


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
