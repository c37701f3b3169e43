"""The translation of Monday's errors into ours; nothing else reads Monday's error codes.

One table maps every code in `extensions.code` (formerly `error_code`) to its kind, with the source that published it.
Where a code means several problems, the rest of the error narrows the kind.
"""

import http
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sync.monday import errors
from sync.monday.errors import ErrorKind, MondayError
from sync.monday.graphql import mapping_or_empty

SITE = "developer.monday.com/api-reference/"
DOCS = SITE + "docs/error-handling"
MIGRATING = SITE + "docs/migrating-to-version-2025-04"

# Fixtures of Monday's own tool: the spelling on the wire, where the documentation differs.
MCP = "github.com/mondaycom/mcp packages/agent-toolkit/src/utils/tests/error.utils.test.ts"
COMMUNITY = "community.monday.com topic "
RECORDED = "published recordings of github.com/sanifhimani/monday_ruby, "

# The gateway from which Monday's parse errors come (community 106532).
ROUTER = "published at apollographql.com/docs/graphos/routing/errors"

NOTES = "published notes of users on live answers, 2026-07"


class KnownCode(NamedTuple):
    """A code, its kind and its source."""

    code: str
    kind: ErrorKind
    source: str


PUBLISHED: tuple[KnownCode, ...] = (
    KnownCode("NOT_AUTHENTICATED", errors.NOT_AUTHENTICATED, COMMUNITY + "115326, body of HTTP 401"),
    KnownCode("Unauthorized", errors.NOT_AUTHENTICATED, DOCS),
    KnownCode("UserUnauthorizedException", errors.BOARD_FORBIDDEN, DOCS),
    KnownCode("USER_UNAUTHORIZED", errors.BOARD_FORBIDDEN, DOCS),
    KnownCode("UserUnauthroizedException", errors.BOARD_FORBIDDEN, COMMUNITY + "12835, misspelt until 2024"),
    KnownCode("USER_ACCESS_DENIED", errors.USER_DENIED, DOCS),
    KnownCode("missingRequiredPermissions", errors.PERMISSION_MISSING, DOCS),
    KnownCode("UNAUTHORIZED_FIELD_OR_TYPE", errors.PERMISSION_MISSING, NOTES),
    KnownCode("API_TEMPORARILY_BLOCKED", errors.ACCOUNT_BLOCKED, DOCS),
    KnownCode("InvalidVersionException", errors.VERSION_REJECTED, SITE + "docs/api-versioning"),
    KnownCode("COMPLEXITY_BUDGET_EXHAUSTED", errors.COMPLEXITY_EXHAUSTED, MCP),
    KnownCode("complexityBudgetExhausted", errors.COMPLEXITY_EXHAUSTED, COMMUNITY + "84419, 2024-04"),
    KnownCode("ComplexityException", errors.COMPLEXITY_EXHAUSTED, SITE + "changelog, 2024-10 and earlier"),
    KnownCode("REQUEST_MAX_COMPLEXITY_EXCEEDED", errors.TOO_COMPLEX, NOTES),
    KnownCode("maxComplexityExceeded", errors.TOO_COMPLEX, NOTES),
    KnownCode("maxDepthExceeded", errors.INVALID_DOCUMENT, COMMUNITY + "70378"),
    KnownCode("MINUTE_RATE_LIMIT_EXCEEDED", errors.MINUTE_LIMIT_REACHED, MCP),
    KnownCode("Rate Limit Exceeded", errors.MINUTE_LIMIT_REACHED, DOCS),
    KnownCode("RATE_LIMIT_EXCEEDED", errors.MINUTE_LIMIT_REACHED, SITE + "docs/importing-items-in-bulk"),
    KnownCode("MAX_CONCURRENCY_EXCEEDED", errors.CONCURRENCY_LIMIT_REACHED, MCP),
    KnownCode("maxConcurrencyExceeded", errors.CONCURRENCY_LIMIT_REACHED, DOCS),
    KnownCode(
        "TooManyConcurrentRequestsException", errors.CONCURRENCY_LIMIT_REACHED, COMMUNITY + "88176, the lock of an item"
    ),
    KnownCode("DAILY_LIMIT_EXCEEDED", errors.DAILY_LIMIT_REACHED, MCP),
    KnownCode("IP_RATE_LIMIT_EXCEEDED", errors.ADDRESS_LIMIT_REACHED, DOCS),
    KnownCode("FIELD_LIMIT_EXCEEDED", errors.FIELD_LIMIT_REACHED, MIGRATING),
    KnownCode("tooManyRequests", errors.FIELD_LIMIT_REACHED, MCP),
    KnownCode("IDEMPOTENCY_CONFLICT", errors.STILL_RUNNING, SITE + "docs/idempotency"),
    KnownCode("InvalidItemIdException", errors.ITEM_NOT_FOUND, COMMUNITY + "109452"),
    KnownCode("InvalidBoardIdException", errors.BOARD_NOT_FOUND, DOCS),
    KnownCode("InvalidColumnIdException", errors.COLUMN_NOT_FOUND, COMMUNITY + "92703"),
    KnownCode("ItemsLimitationException", errors.BOARD_FULL, DOCS),
    KnownCode("ItemNameTooLongException", errors.NAME_REJECTED, DOCS),
    KnownCode("ColumnValueException", errors.FIELD_REJECTED, DOCS),
    KnownCode("ChangeColumnValueError", errors.FIELD_REJECTED, COMMUNITY + "40789"),
    KnownCode("CorrectedValueException", errors.FIELD_REJECTED, DOCS),
    KnownCode("InvalidUserIdException", errors.FIELD_REJECTED, DOCS),
    KnownCode("DATA_VALIDATIONS_ERROR", errors.RULES_BROKEN, COMMUNITY + "116170, 2025-07"),
    KnownCode("CellLimitExceededException", errors.FIELD_REJECTED, COMMUNITY + "111320, 2025-03"),
    KnownCode("InvalidColumnTypeException", errors.COLUMN_UNSUPPORTED, COMMUNITY + "104534 and 113689"),
    KnownCode("FIELD_MINUTE_RATE_LIMIT_EXCEEDED", errors.FIELD_LIMIT_REACHED, NOTES),
    KnownCode("ASSET_UNAVAILABLE", errors.RECORD_REJECTED, DOCS),
    KnownCode("ResourceNotFoundException", errors.RECORD_REJECTED, DOCS),
    KnownCode("InvalidArgumentException", errors.RECORD_REJECTED, MIGRATING),
    KnownCode("RecordInvalidException", errors.RECORD_REJECTED, DOCS),
    KnownCode("DeleteLastGroupException", errors.RECORD_REJECTED, DOCS),
    KnownCode("CreateBoardException", errors.RECORD_REJECTED, DOCS),
    KnownCode("InvalidWebhookConfigException", errors.RECORD_REJECTED, NOTES),
    KnownCode("CursorException", errors.CURSOR_EXPIRED, COMMUNITY + "70289"),
    KnownCode("CursorExpiredError", errors.CURSOR_EXPIRED, SITE + "docs/querying-board-items"),
    KnownCode("GRAPHQL_VALIDATION_FAILED", errors.INVALID_DOCUMENT, COMMUNITY + "116967, HTTP 400"),
    KnownCode("GRAPHQL_PARSE_FAILED", errors.INVALID_DOCUMENT, "not published: the usual code beside the one above"),
    KnownCode("INVALID_GRAPHQL_REQUEST", errors.DOCUMENT_REJECTED, COMMUNITY + "118566, HTTP 400"),
    KnownCode("PARSING_ERROR", errors.INVALID_DOCUMENT, COMMUNITY + "106532"),
    KnownCode("undefinedField", errors.INVALID_DOCUMENT, COMMUNITY + "101399, 2024-10 and earlier, HTTP 200"),
    KnownCode("argumentNotAccepted", errors.INVALID_DOCUMENT, RECORDED + "2024-07, HTTP 200"),
    KnownCode("argumentLiteralsIncompatible", errors.INVALID_DOCUMENT, RECORDED + "2024-07, HTTP 200"),
    KnownCode("variableMismatch", errors.INVALID_DOCUMENT, "not published: graphql-ruby's code beside the two above"),
    KnownCode("VALIDATION_INVALID_TYPE_VARIABLE", errors.DOCUMENT_REJECTED, COMMUNITY + "108135"),
    KnownCode("INVALID_CONTENT_TYPE_HEADER", errors.DOCUMENT_REJECTED, COMMUNITY + "107402"),
    KnownCode("JsonParseException", errors.DOCUMENT_REJECTED, DOCS),
    KnownCode("INTERNAL_SERVER_ERROR", errors.SERVER_FAILED, DOCS),
    KnownCode("InternalServerError", errors.SERVER_FAILED, DOCS + ", older spelling"),
    KnownCode("SUBREQUEST_HTTP_ERROR", errors.SERVER_FAILED, ROUTER),
    KnownCode("SUBREQUEST_MALFORMED_RESPONSE", errors.SERVER_FAILED, ROUTER),
    KnownCode("REQUEST_TIMEOUT", errors.TIMED_OUT, ROUTER),
    KnownCode("GATEWAY_TIMEOUT", errors.TIMED_OUT, ROUTER),
)

# For answers without a code that we know: the HTTP status, or the `status_code` inside a 200.
STATUSES: dict[int, ErrorKind] = {
    401: errors.NOT_AUTHENTICATED,  # DOCS
    403: errors.PERMISSION_MISSING,  # DOCS
    404: errors.WRONG_ADDRESS,
    405: errors.WRONG_ADDRESS,
    408: errors.TIMED_OUT,
    409: errors.STILL_RUNNING,  # developer.monday.com/api-reference/docs/idempotency
    413: errors.TOO_COMPLEX,
    423: errors.BOARD_LOCKED,  # DOCS
    429: errors.LIMIT_REACHED,  # developer.monday.com/api-reference/docs/rate-limits
}

INNER_STATUSES: dict[int, ErrorKind] = {
    403: errors.BOARD_FORBIDDEN,  # as UserUnauthorizedException, which comes with it (DOCS)
    409: errors.RECORD_REJECTED,
    423: errors.BOARD_LOCKED,
    429: errors.FIELD_LIMIT_REACHED,  # as FIELD_LIMIT_EXCEEDED, which comes with it
}

CODES: dict[str, ErrorKind] = {entry.code: entry.kind for entry in PUBLISHED}

# Root fields about the account and not about a board: a token that may not read them lacks a scope.
_ACCOUNT_ROOTS = frozenset({"me", "account", "users", "platform_api"})


@dataclass(frozen=True)
class _ErrorDetails:
    code: str
    message: str
    data: Mapping[str, Any]
    extensions: Mapping[str, Any]
    broken: Mapping[str, str] = field(default_factory=dict)
    path: tuple[str | int, ...] = ()
    status: int | None = None


def translate_error(
    error: Any, *, http_status: int | None = None, request_id: str | None = None, retry_after: float | None = None
) -> MondayError:
    """Translate one error of an answer: an entry of `errors`, or a whole body of the format before 2025-01.

    `retry_after` is the Retry-After header in seconds; the wait in the body counts first.
    """
    details = _parse_details(error)
    kind = _kind_of(details, http_status)
    # The format before 2025-01 has it in `error_data` (changelog, FIELD_LIMIT_EXCEEDED).
    wait = details.extensions.get("retry_in_seconds", details.data.get("retry_in_seconds"))
    # The column's id, or an object that has it (community 41658).
    column = details.data.get("column_id")
    column_id = column.get("column_id") if isinstance(column, Mapping) else column
    if not isinstance(wait, int | float):
        wait = retry_after
    message = details.message
    if not message:
        is_down = http_status is not None and http_status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
        message = "Monday is not available just now" if is_down else "Monday gave no reason"
        message += f" (HTTP {http_status})" if http_status is not None else ""
    return errors.MondayError(
        kind,
        message,
        code=details.code,
        request_id=request_id,
        http_status=http_status,
        wait_seconds=wait if kind.retry else None,
        path=details.path,
        column_id="name" if kind is errors.NAME_REJECTED else _text(column_id),
        column_type=_text(details.data.get("column_type")),
        columns=details.broken if kind is errors.RULES_BROKEN else None,
    )


def _parse_details(error: Any) -> _ErrorDetails:
    if not isinstance(error, Mapping):
        return _ErrorDetails("", str(error or ""), {}, {})
    extensions = mapping_or_empty(error.get("extensions"))
    detail_text = _text(extensions.get("details"))
    # The message's reference to the API's documentation doesn't help a person who edits a record.
    message = str(error.get("message") or error.get("error_message") or "").split(" Please check our API doc")[0]
    # `path` was called `fields` in 2021.
    path = error.get("path") or error.get("fields")
    status = extensions.get("status_code", error.get("status_code"))
    data = extensions.get("error_data") or error.get("error_data")
    broken: Mapping[str, str] = {}
    if isinstance(data, list):
        # Of a DATA_VALIDATIONS_ERROR: Monday's messages on all rules, and those on each column.
        rules = [rule for rule in data if isinstance(rule, Mapping)]
        of_columns: dict[str, list[str]] = {}
        for rule in rules:
            for column_id in rule.get("columnIds") or ():
                of_columns.setdefault(str(column_id), []).append(str(rule.get("message") or message))
        broken = {column_id: "; ".join(texts) for column_id, texts in of_columns.items()}
        messages = dict.fromkeys(str(rule["message"]) for rule in rules if rule.get("message"))
        message = "; ".join(messages) or message
        data = {"column_id": next(iter(broken))} if len(broken) == 1 else {}
    return _ErrorDetails(
        # Internal errors have `error_code` in the extensions too (recorded, 2025-10).
        code=str(extensions.get("code") or extensions.get("error_code") or error.get("error_code") or ""),
        message=f"{message}: {detail_text}" if detail_text else message,
        data=mapping_or_empty(data),
        extensions=extensions,
        broken=broken,
        path=tuple(path) if isinstance(path, list) else (),
        status=status if isinstance(status, int) else None,
    )


def _kind_of(details: _ErrorDetails, http_status: int | None) -> ErrorKind:
    """Return the kind by the code; without a known code by the message, the HTTP status or the status inside a 200."""
    kind = CODES.get(details.code)
    if kind is not None:
        narrow = _NARROWERS.get(details.code)
        return (narrow(details) if narrow else None) or kind
    is_placed = bool(details.path) and bool(_INVALID_PLACE.match(str(details.path[0])))
    if is_placed or (not details.path and _INVALID_DOCUMENT.search(details.message)):
        return _narrow_invalid(details) or errors.INVALID_DOCUMENT
    return (
        _kind_by_words(_WORDS, details)
        or _kind_by_words(_VALUE_WORDS, details)
        or _kind_by_status(http_status)
        or _kind_by_inner_status(details)
        or errors.RECORD_REJECTED
    )


def _kind_by_status(http_status: int | None) -> ErrorKind | None:
    if http_status is None or 200 <= http_status < 300:
        return None
    if http_status >= 500:
        return errors.SERVER_FAILED
    if 300 <= http_status < 400:
        return errors.WRONG_ADDRESS
    return STATUSES.get(http_status, errors.DOCUMENT_REJECTED)


def _kind_by_inner_status(details: _ErrorDetails) -> ErrorKind | None:
    # Inside HTTP 200; the codes of limits have several spellings, their wait has one.
    is_limit = details.status == 429 or "retry_in_seconds" in details.extensions
    if is_limit and not details.path:
        return errors.LIMIT_REACHED
    if is_limit:
        return errors.FIELD_LIMIT_REACHED
    if details.status is not None and details.status >= 500:
        return errors.SERVER_FAILED
    return INNER_STATUSES.get(details.status or 0)


# How GraphQL libraries refuse a document, graphql-ruby until 2025-07 and graphql-js since. The latter's errors have
# HTTP 200 and no code; errors of values in a document that was executed have a code of Monday's.
_INVALID_DOCUMENT = re.compile(
    r"^(Parse|parsing|Syntax) error|^Unexpected end of document|^No query string was present|^Unsupported query"
    r"|^(An o|O)peration name is required|^Must provide |^Cannot query field|^Query has depth of"
    r"|^Unknown (argument|type|directive|fragment|operation)|mismatch on variable|^(Fields?|Fragment|Directive) [\"'@]"
    r"|^Field must have selections"
    r"|doesn't (exist on type|accept argument)|cannot represent|^Variable \S+ |^invalid type for variable|Expected type"
    r"|^There can be only one|^Expected value of type|^Value \S+ does not exist in",
    re.IGNORECASE,
)

# The first part of the path, or of `fields` in older answers, where the document itself is refused.
_INVALID_PLACE = re.compile(r"(query|mutation|fragment)\b")


def _kind_by_words(table: Sequence[tuple[str, ErrorKind]], details: _ErrorDetails) -> ErrorKind | None:
    return next((kind for words, kind in table if re.search(words, details.message, re.IGNORECASE)), None)


_WORDS: tuple[tuple[str, ErrorKind], ...] = (
    ("^not authenticated$", errors.NOT_AUTHENTICATED),  # community 82701, the old 401
    ("ip is restricted", errors.ADDRESS_FORBIDDEN),  # DOCS, HTTP 401
    ("doesn['’]t grant access to", errors.PERMISSION_MISSING),  # community 42772
    ("unauthorized to use the api", errors.USER_DENIED),  # community 10948
    ("^Query has complexity of", errors.TOO_COMPLEX),  # community 43638, before there was a code
    ("^Complexity budget exhausted", errors.COMPLEXITY_EXHAUSTED),
    ("unexpected token at '", errors.DOCUMENT_REJECTED),  # community 50060, with the status 500 inside
    ("^Cannot return null for non-nullable|^internal server error", errors.SERVER_FAILED),  # community 107921
)

# About a value, or the item that it is written to.
_VALUE_WORDS: tuple[tuple[str, ErrorKind], ...] = (
    ("inactive items", errors.ITEM_INACTIVE),  # community 117322
    ("max ?locks ?exceeded", errors.ITEM_LOCKED),  # community 46018 and 40789
    # Sent as an invalid record (community 19867).
    ("not in the connected boards", errors.ITEM_NOT_CONNECTED),  # community 29555 and 67850
    ("label .*(does not|doesn't) exist", errors.LABEL_UNKNOWN),  # community 34196
    ("^invalid value|^email is not valid", errors.FIELD_REJECTED),  # community 122100, without a code
)


# How they refuse a value, not the document; "used in position expecting" is about the document's text.
_INVALID_VALUE = re.compile(
    r"cannot represent|^Variable \S+ (got|of (required )?type \S+ was)|^invalid type for variable"
)


def _narrow_invalid(details: _ErrorDetails) -> ErrorKind | None:
    """Return DOCUMENT_REJECTED for a value that doesn't fit its variable: without it the document may be valid."""
    return errors.DOCUMENT_REJECTED if _INVALID_VALUE.search(details.message) else None


def _narrow_unauthorized(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind of a missing right about the account; others are about the board."""
    if "use the api" in details.message:
        return errors.USER_DENIED  # community 10948
    return errors.PERMISSION_MISSING if details.path and details.path[0] in _ACCOUNT_ROOTS else None


# The order matters: an item's message is "not found in board".
_RESOURCES: tuple[tuple[str, ErrorKind], ...] = (
    ("column", errors.COLUMN_NOT_FOUND),
    ("group", errors.GROUP_NOT_FOUND),
    ("item", errors.ITEM_NOT_FOUND),
    ("board", errors.BOARD_NOT_FOUND),
)


def _narrow_not_found(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind by the resource, which `resource_type` or the message names (community 78294, 92703)."""
    text = f"{details.data.get('resource_type') or ''} {details.message}".lower()
    if "not found" not in text:
        return None
    for word, kind in _RESOURCES:
        if re.search(rf"\b{word}\b", text):
            return kind
    return None


def _narrow_value(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind by the message; this code is also for removed items (117322) and read-only types (56466)."""
    if "inactive_pulse_ids" in details.data:
        return errors.ITEM_INACTIVE
    unsupported = errors.COLUMN_UNSUPPORTED if "not supported" in details.message else None
    return _kind_by_words(_VALUE_WORDS, details) or unsupported


_NARROWERS: dict[str, Callable[[_ErrorDetails], ErrorKind | None]] = {
    "GRAPHQL_VALIDATION_FAILED": _narrow_invalid,
    "UserUnauthorizedException": _narrow_unauthorized,
    "UserUnauthroizedException": _narrow_unauthorized,
    "USER_UNAUTHORIZED": _narrow_unauthorized,
    "ResourceNotFoundException": _narrow_not_found,
    "InvalidArgumentException": _narrow_not_found,
    "ColumnValueException": _narrow_value,
    "ChangeColumnValueError": _narrow_value,
    "RecordInvalidException": _narrow_value,
}


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
