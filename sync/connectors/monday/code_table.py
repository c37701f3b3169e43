"""Monday's error codes, each with the class it becomes here and where it was published: the one table.

Codes as they come in `extensions.code` (formerly `error_code`). Where one code stands for several troubles,
codes.py narrows the class down by what else the error says.
"""

from __future__ import annotations

from typing import NamedTuple

from sync.connectors.monday import errors
from sync.connectors.monday.errors import MondayError

SITE = "developer.monday.com/api-reference/"
DOCS = SITE + "docs/error-handling"
# Fixtures of Monday's own tool: the spelling on the wire, where the documentation differs.
MCP = "github.com/mondaycom/mcp packages/agent-toolkit/src/utils/tests/error.utils.test.ts"
COMMUNITY = "community.monday.com topic "
# A team's notes on its live answers, not Monday's own words.
NOTES = "published notes of users on live answers, 2026-07"


class Known(NamedTuple):
    """One code."""

    code: str
    error: type[MondayError]
    source: str


PUBLISHED: tuple[Known, ...] = (
    Known("NOT_AUTHENTICATED", errors.NotAuthenticated, COMMUNITY + "115326, body of HTTP 401"),
    Known("Unauthorized", errors.NotAuthenticated, DOCS),
    Known("UserUnauthorizedException", errors.BoardForbidden, DOCS),
    Known("USER_UNAUTHORIZED", errors.BoardForbidden, DOCS),
    Known("USER_ACCESS_DENIED", errors.UserDenied, DOCS),
    Known("missingRequiredPermissions", errors.PermissionMissing, DOCS),
    Known("UNAUTHORIZED_FIELD_OR_TYPE", errors.PermissionMissing, NOTES),
    Known("API_TEMPORARILY_BLOCKED", errors.AccountBlocked, DOCS),
    Known(
        "InvalidVersionException",
        errors.VersionRefused,
        "developer.monday.com/api-reference/docs/api-versioning",
    ),
    Known("COMPLEXITY_BUDGET_EXHAUSTED", errors.ComplexityExhausted, MCP),
    Known(
        "ComplexityException",
        errors.ComplexityExhausted,
        "developer.monday.com/api-reference/changelog, 2024-10 and earlier",
    ),
    Known("REQUEST_MAX_COMPLEXITY_EXCEEDED", errors.TooComplex, NOTES),
    Known("maxComplexityExceeded", errors.TooComplex, NOTES),
    Known("MINUTE_RATE_LIMIT_EXCEEDED", errors.MinuteLimitReached, MCP),
    Known("Rate Limit Exceeded", errors.MinuteLimitReached, DOCS),
    Known(
        "RATE_LIMIT_EXCEEDED",
        errors.JobLimitReached,
        "developer.monday.com/api-reference/reference/ingest-items-api-reference",
    ),
    Known("MAX_CONCURRENCY_EXCEEDED", errors.ConcurrencyLimitReached, MCP),
    Known("maxConcurrencyExceeded", errors.ConcurrencyLimitReached, DOCS),
    Known(
        "TooManyConcurrentRequestsException",
        errors.ConcurrencyLimitReached,
        COMMUNITY + "88176, the lock of an item",
    ),
    Known("DAILY_LIMIT_EXCEEDED", errors.DailyLimitReached, MCP),
    Known("IP_RATE_LIMIT_EXCEEDED", errors.AddressLimitReached, DOCS),
    Known(
        "FIELD_LIMIT_EXCEEDED",
        errors.FieldLimitReached,
        "developer.monday.com/api-reference/docs/migrating-to-version-2025-04",
    ),
    Known("tooManyRequests", errors.FieldLimitReached, MCP),
    Known("IDEMPOTENCY_CONFLICT", errors.StillRunning, SITE + "docs/idempotency"),
    Known("InvalidItemIdException", errors.ItemNotFound, COMMUNITY + "109452"),
    Known("InvalidBoardIdException", errors.BoardGone, DOCS),
    Known("InvalidColumnIdException", errors.ColumnGone, COMMUNITY + "92703"),
    Known("ItemsLimitationException", errors.BoardFull, DOCS),
    Known("ItemNameTooLongException", errors.NameRefused, DOCS),
    Known("ColumnValueException", errors.FieldRefused, DOCS),
    Known("CorrectedValueException", errors.FieldRefused, DOCS),
    Known("InvalidUserIdException", errors.FieldRefused, DOCS),
    Known("ASSET_UNAVAILABLE", errors.RecordRefused, DOCS),
    Known("ResourceNotFoundException", errors.RecordRefused, DOCS),
    Known(
        "InvalidArgumentException",
        errors.RecordRefused,
        "developer.monday.com/api-reference/docs/migrating-to-version-2025-04",
    ),
    Known("RecordInvalidException", errors.RecordRefused, DOCS),
    Known("DeleteLastGroupException", errors.RecordRefused, DOCS),
    Known("CreateBoardException", errors.RecordRefused, DOCS),
    Known("CursorException", errors.CursorExpired, COMMUNITY + "70289"),
    Known(
        "CursorExpiredError",
        errors.CursorExpired,
        "developer.monday.com/api-reference/docs/querying-board-items",
    ),
    Known("GRAPHQL_VALIDATION_FAILED", errors.DocumentRefused, COMMUNITY + "116967, HTTP 400"),
    Known(
        "GRAPHQL_PARSE_FAILED", errors.DocumentRefused, "not published: the usual code beside the one above"
    ),
    Known("INVALID_GRAPHQL_REQUEST", errors.DocumentRefused, COMMUNITY + "118566, HTTP 400"),
    Known("undefinedField", errors.DocumentRefused, COMMUNITY + "101399, 2024-10 and earlier, HTTP 200"),
    Known("JsonParseException", errors.DocumentRefused, DOCS),
    Known("INTERNAL_SERVER_ERROR", errors.ServerFailed, DOCS),
    Known("InternalServerError", errors.ServerFailed, DOCS + ", older spelling"),
)

# For answers whose body names no code that we know: the HTTP status, or the `status_code` inside a 200.
STATUSES: dict[int, type[MondayError]] = {
    401: errors.NotAuthenticated,  # DOCS
    403: errors.PermissionMissing,  # DOCS
    404: errors.WrongAddress,
    405: errors.WrongAddress,
    408: errors.TimedOut,
    409: errors.StillRunning,  # developer.monday.com/api-reference/docs/idempotency
    413: errors.TooComplex,
    423: errors.BoardLocked,  # DOCS
    429: errors.LimitReached,  # developer.monday.com/api-reference/docs/rate-limits
}
STATUSES_INSIDE: dict[int, type[MondayError]] = {
    403: errors.BoardForbidden,  # as UserUnauthorizedException, which comes with it (DOCS)
    409: errors.RecordRefused,
    423: errors.BoardLocked,
    429: errors.FieldLimitReached,  # as FIELD_LIMIT_EXCEEDED, which comes with it
}
