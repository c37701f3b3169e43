"""Errors of Monday's API: one exception, the table of its kinds, and the translation of Monday's errors into them.

A kind has the scope of an error (and so of what has to stop), whether Monday's wait counts, and the advice for people.
The wait, the alias of the document and the column belong to the error itself. Nothing else reads Monday's error codes.
"""

from __future__ import annotations

import http
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple


class Scope(StrEnum):
    """What an error concerns."""

    RECORD = "record"  # this record; the document's others are fine
    FIELD = "field"  # one value of one record; only this field is blocked
    COLUMN = "column"  # nothing can be written to this column
    BOARD = "board"  # nothing can be done on this board
    ACCOUNT = "account"  # every call of this token would fail the same way
    LIMIT = "limit"  # nothing was done; a retry after the wait may succeed
    TRANSPORT = "transport"  # sent, and possibly applied
    UNREACHABLE = "unreachable"  # no connection was made: certainly not applied
    DOCUMENT = "document"  # rejected as a whole before it ran: certainly not applied


# Nobody has to act: the same call may succeed later.
PASSING_SCOPES = (Scope.LIMIT, Scope.TRANSPORT, Scope.UNREACHABLE)


@dataclass(frozen=True)
class ErrorKind:
    """A row of the table of kinds."""

    code: str
    scope: Scope
    advice: str  # what to do next, for people
    keeps_wait: bool = False  # of an error in Monday's answer: whether the wait that it names counts
    words: str = ""  # replaces Monday's own message where that doesn't help people
    # What only the server's administrator can do: for logs, commands and the fold of that name, on no page.
    for_administrator: str = ""

    def __str__(self) -> str:
        return self.code

    @property
    def outcome_unknown(self) -> bool:
        """Whether the request was sent and possibly applied."""
        return self.scope is Scope.TRANSPORT

    @property
    def refuses_document(self) -> bool:
        """Whether the whole request was rejected before any of it was executed."""
        return self.scope is Scope.DOCUMENT or self is INVALID_DOCUMENT


_CHECK_RECORD = "Check the record and its item on the board."
_CORRECT_VALUE = "Correct the value in NPD, or change the column on the board."
_WAITS = "NPD Sync sends it again after the wait."
_READS_FIRST = "NPD Sync tries again by itself, and reads both sides first."

# One record.

RECORD_REJECTED = ErrorKind("record_rejected", Scope.RECORD, _CHECK_RECORD)
ITEM_NOT_FOUND = ErrorKind(
    "item_not_found",  # or not on the named board
    Scope.RECORD,
    "The item may have been deleted or moved to another board; open the board and look for it.",
)
ITEM_INACTIVE = ErrorKind(
    "item_inactive",
    Scope.RECORD,
    "The item is archived or deleted on Monday; restore it there, or choose here what to do.",
)
ITEM_LOCKED = ErrorKind(
    "item_locked",  # the item, or one that it is connected with, is being changed
    Scope.RECORD,
    "Something else is changing the item at this moment. NPD Sync tries again by itself.",
)

# One value of one record.

FIELD_REJECTED = ErrorKind("field_rejected", Scope.FIELD, _CORRECT_VALUE)
NAME_REJECTED = ErrorKind(
    "name_rejected", Scope.FIELD, "An item's name has 1 to 255 characters; change the name in NPD."
)
ITEM_NOT_CONNECTED = ErrorKind(
    "item_not_connected",  # an item of a board to which the column doesn't lead
    Scope.FIELD,
    "On the board, open the column's settings and connect the board of that item too, or choose another.",
)
RULES_BROKEN = ErrorKind(
    "rules_broken",  # the board's validation rules refuse values, perhaps of several columns
    Scope.FIELD,
    "Correct the value in NPD, or change the board's validation rules on Monday.",
)
LABEL_UNKNOWN = ErrorKind(
    "label_unknown",
    Scope.FIELD,
    "Add the label to the column on Monday (to a managed column where the account manages its columns), or choose "
    "another value.",
)

# One column of the board.

COLUMN_NOT_FOUND = ErrorKind(
    "column_not_found", Scope.COLUMN, "Map the field to another column, or restore the column on the board."
)
COLUMN_UNSUPPORTED = ErrorKind(
    "column_unsupported", Scope.COLUMN, "Monday's API can't write this type of column; map the field to another one."
)

# The whole board.

BOARD_NOT_FOUND = ErrorKind(
    "board_not_found",  # missing, archived, or hidden from the token's user
    Scope.BOARD,
    "Let NPD Sync's user on Monday see this board, or run the set-up (Boards, “Set up…”) with another one.",
)
BOARD_FORBIDDEN = ErrorKind(
    "board_forbidden", Scope.BOARD, "Give the user of the API token the right to edit this board."
)
BOARD_FULL = ErrorKind("board_full", Scope.BOARD, "Archive items on the board, or ask Monday for a higher limit.")
BOARD_LOCKED = ErrorKind(
    "board_locked",
    Scope.BOARD,
    "Something else is changing the board. NPD Sync tries again by itself.",
    keeps_wait=True,
)
GROUP_NOT_FOUND = ErrorKind(
    "group_not_found",  # the group for new items, so none can be created
    Scope.BOARD,
    "Run the set-up again (Boards, “Set up…”): it chooses another group for new items.",
)
WEBHOOK_ADDRESS_UNREACHABLE = ErrorKind(
    "webhook_address_unreachable",  # Monday got no challenge back from our address
    Scope.BOARD,
    "This site's address has to be one that Monday can reach from the internet: an administrator sets it.",
    for_administrator="Set SITE_URL to an address that Monday can reach from the internet.",
)
WEBHOOKS_INCOMPLETE = ErrorKind(
    "webhooks_incomplete",  # some webhooks exist and some don't
    Scope.BOARD,
    "Then run the set-up again; it continues where it stopped.",
)
INVALID_DOCUMENT = ErrorKind(
    # The document itself, whatever its values: a part of it or a retry would be refused too.
    "invalid_document",
    Scope.BOARD,
    "NPD Sync doesn't fit this version of Monday's API: please report it to your administrator.",
    for_administrator="Report it, or set MONDAY_API_VERSION back.",
)

# The account.

NOT_AUTHENTICATED = ErrorKind(
    "not_authenticated",
    Scope.ACCOUNT,
    "Enter a valid API token of the account under Settings, Monday connection.",
    words="Monday rejects the API token",
    for_administrator="Where MONDAY_API_KEY is set, it has to be valid. After a change restart web, worker and beat.",
)
# The advice where the token can't be entered on a page.
ADVICE_ON_SERVER = "Replace the API token on the server."
USER_DENIED = ErrorKind(
    "user_denied",
    Scope.ACCOUNT,
    "On Monday, check that the token's user is active, is no viewer, and has confirmed their email address.",
)
ADDRESS_FORBIDDEN = ErrorKind(
    "address_forbidden", Scope.ACCOUNT, "An administrator of the Monday account must allow this server's IP address."
)
PERMISSION_MISSING = ErrorKind(
    "permission_missing",  # the token lacks a scope, or HTTP 403
    Scope.ACCOUNT,
    "Give the API token the scopes boards:read/write, webhooks:read/write, me:read, account:read and users:read; an "
    "app's token keeps the scopes it was granted, so it must be granted again.",
)
ACCOUNT_BLOCKED = ErrorKind(
    "account_blocked",
    Scope.ACCOUNT,
    "Monday has blocked the API for a while. NPD Sync tries again by itself.",
    keeps_wait=True,
)
VERSION_REJECTED = ErrorKind(
    "version_rejected",
    Scope.ACCOUNT,
    "An administrator has to set a version of Monday's API that Monday serves.",
    for_administrator="Set MONDAY_API_VERSION to a version that Monday serves, such as 2026-10.",
)
WRONG_VERSION = ErrorKind(
    # Another version than the requested one answered, perhaps in another shape: Monday replaces an old version without
    # an error (developer.monday.com/api-reference/docs/api-versioning).
    "wrong_version",
    Scope.ACCOUNT,
    "An administrator has to set the version of Monday's API that Monday calls current.",
    for_administrator="Set MONDAY_API_VERSION to the version that Monday calls current; `manage.py monday_check` "
    "names it.",
)
WRONG_ADDRESS = ErrorKind(
    "wrong_address",  # what answered is not Monday's API
    Scope.ACCOUNT,
    "An administrator has to correct the address of Monday's API on the server.",
    for_administrator="Check MONDAY_API_URL; Monday's own is https://api.monday.com/v2.",
)

# The document.

DOCUMENT_REJECTED = ErrorKind(
    "document_rejected",  # with these values: a part of it may be accepted, unlike an INVALID_DOCUMENT
    Scope.DOCUMENT,
    "This is most likely a fault of NPD Sync: please report it with the request id.",
)
TOO_COMPLEX = ErrorKind(
    "too_complex",  # the one request costs more points than Monday allows; a smaller one may succeed
    Scope.DOCUMENT,
    "It is sent again in smaller parts; a record that is refused alone needs fewer mapped columns.",
)
CURSOR_EXPIRED = ErrorKind(
    "cursor_expired",  # a page's cursor is older than an hour
    Scope.DOCUMENT,
    "NPD Sync lists the board again from the first page.",
    keeps_wait=True,
)
LISTING_UNREADABLE = ErrorKind(
    "listing_unreadable",  # its pages lead nowhere, or too many of its items can't be read
    Scope.DOCUMENT,
    "NPD Sync lists the board again the next night. Edits are synced meanwhile, as far as webhooks report them.",
)

# A limit was reached, and nothing was carried out.

# Too many requests in a minute, at a time, or from our network address. If it left out one field of an answer, that
# field's null says nothing about the value.
LIMIT_REACHED = ErrorKind("limit_reached", Scope.LIMIT, _WAITS, keeps_wait=True)
COMPLEXITY_EXHAUSTED = ErrorKind("complexity_exhausted", Scope.LIMIT, _WAITS, keeps_wait=True)  # the minute's points
DAILY_LIMIT_REACHED = ErrorKind(
    "daily_limit_reached",  # until 00:00 UTC
    Scope.LIMIT,
    "Sync continues by itself with the next day's calls.",
    keeps_wait=True,
    words="Today's calls to Monday are used up",
)
# Never sent, because our own quota is used up. The message is whole sentences: which limit, until when.
QUOTA_EXHAUSTED = ErrorKind(
    "quota_exhausted", Scope.LIMIT, "NPD Sync sends it as soon as the quota allows.", keeps_wait=True
)
# Never sent, because our process is shutting down; another process makes the call.
SHUTTING_DOWN = ErrorKind(
    "shutting_down", Scope.LIMIT, "This process is being stopped; another one sends it.", keeps_wait=True
)
NEVER_SENT = (QUOTA_EXHAUSTED, SHUTTING_DOWN)

# The outcome of the request is unknown.

TIMED_OUT = ErrorKind("timed_out", Scope.TRANSPORT, _READS_FIRST, keeps_wait=True)
CONNECTION_LOST = ErrorKind("connection_lost", Scope.TRANSPORT, _READS_FIRST, keeps_wait=True)  # after it was made
SERVER_FAILED = ErrorKind(
    "server_failed",  # HTTP 5xx, or an internal error in the answer
    Scope.TRANSPORT,
    "Nothing is lost. NPD Sync tries again by itself.",
    keeps_wait=True,
)
FIREWALL_REJECTED = ErrorKind(
    # HTTP 403 with a page instead of JSON, from a firewall before the API that may object to a single value. Monday's
    # own rejections give their reason as JSON (developer.monday.com/api-reference/docs/error-handling), so this is no
    # missing permission, for which every record would have to stop.
    "firewall_rejected",
    Scope.TRANSPORT,
    "NPD Sync tries again by itself, in smaller parts. “Jobs” names a record that Monday refuses alone.",
    keeps_wait=True,
)
STILL_RUNNING = ErrorKind("still_running", Scope.TRANSPORT, _READS_FIRST, keeps_wait=True)  # under the same key
UNREADABLE_ANSWER = ErrorKind(
    "unreadable_answer", Scope.TRANSPORT, _READS_FIRST, keeps_wait=True
)  # 200, but no GraphQL
LOG_SHAPE_CHANGED = ErrorKind(
    "log_shape_changed",  # an activity log of another API version
    Scope.TRANSPORT,
    "Until an administrator sets another version of Monday's API, what webhooks missed is found at night, and an edit "
    "that was overwritten is not noticed.",
    keeps_wait=True,
    for_administrator="Set MONDAY_API_VERSION to 2026-10, or update NPD Sync.",
)
# A mutation was answered by errors without `data`; its successful parts stay, but aren't listed. Reported for several
# aliased mutations in one request (community topic 109452, 2025-02).
ANSWER_WITHOUT_DATA = ErrorKind("answer_without_data", Scope.TRANSPORT, _READS_FIRST, keeps_wait=True)
WITHOUT_RESULTS = "Monday answered without results: {}"

UNREACHABLE = ErrorKind(
    "unreachable",
    Scope.UNREACHABLE,
    "NPD Sync tries again by itself.",
    keeps_wait=True,
    for_administrator="Check the network and MONDAY_API_URL.",
)

KINDS = {kind.code: kind for kind in list(globals().values()) if isinstance(kind, ErrorKind)}


# Seconds; Monday's longest window is a day (developer.monday.com/api-reference/docs/rate-limits).
MAX_WAIT_SECONDS = 86_400.0


def clamped_wait(seconds: float | None) -> float | None:
    """Limit a wait to a day, so that a date can be computed with it; None for NaN."""
    # Compared before the conversion, because an int may be too large for a float.
    return None if seconds is None or seconds != seconds else float(min(max(seconds, 0), MAX_WAIT_SECONDS))  # noqa: PLR0124


class MondayError(Exception):
    """Monday.com rejected a request or didn't answer."""

    answer: Any = None  # of WRONG_VERSION: what the other version answered, which still lists the versions

    def __init__(  # noqa: PLR0913 - the parts of an answer
        self,
        kind: ErrorKind,
        message: str,
        *,
        code: str = "",  # Monday's own
        request_id: str | None = None,
        http_status: int | None = None,
        wait_seconds: float | None = None,  # that Monday asked for
        path: Sequence[str | int] = (),  # the GraphQL path of the error
        column_id: str | None = None,
        columns: Mapping[str, str] | None = None,  # Monday's message on each column, where it lists them
        errors: Sequence[MondayError] = (),  # the single errors of an answer that failed as a whole
    ) -> None:
        self.kind = kind
        self.message = kind.words or message
        super().__init__(self.message)
        self.advice = kind.advice
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.wait_seconds = clamped_wait(wait_seconds)
        self.path = tuple(path)
        self.column_id = column_id
        self.columns = columns or {}
        self.errors = tuple(errors)

    @property
    def scope(self) -> Scope:
        return self.kind.scope

    @property
    def outcome_unknown(self) -> bool:
        return self.kind.outcome_unknown

    def add_document_name(self, name: str, version: str) -> None:
        """Add to the message which of our documents was refused, and the API version that it was sent to."""
        self.message = f"{self.message.rstrip(' .')} (document {name or 'without a name'}, API version {version})"
        self.args = (self.message,)

    def of_column(self, column_id: str) -> MondayError:
        """Return the error for one column, with Monday's message on it."""
        if column_id not in self.columns:
            return self
        message = self.columns[column_id]
        return MondayError(
            self.kind, message, code=self.code, request_id=self.request_id, path=self.path, column_id=column_id
        )

    def as_kind(self, kind: ErrorKind, message: str, errors: Sequence[MondayError]) -> MondayError:
        """Return an error of this answer as a whole, of another kind, with the single errors in it."""
        return MondayError(
            kind,
            message,
            code=self.code,
            request_id=self.request_id,
            http_status=self.http_status,
            wait_seconds=self.wait_seconds,
            errors=errors,
        )

    @property
    def path_alias(self) -> str | None:
        """The alias in our document that the error concerns, if Monday named one."""
        return str(self.path[0]) if self.path else None

    @property
    def has_written_nothing(self) -> bool:
        """Of ANSWER_WITHOUT_DATA: whether certainly nothing was written; the errors may not name all that was refused.

        An error deeper than a root field may come from reading the result of a write.
        """
        is_certain = all(len(error.path) <= 1 and not error.outcome_unknown for error in self.errors)
        return bool(self.errors) and is_certain and (self.http_status or 200) < http.HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def sentence(self) -> str:
        """What happened, and what to do next, for people."""
        if self.kind in NEVER_SENT and self.message.endswith("."):
            return self.message
        subject = f" (column {self.column_id})" if self.column_id else ""
        trace = f" [Monday request {self.request_id}]" if self.request_id else ""
        message = self.message.rstrip(" .")
        return f"{message[:1].upper()}{message[1:]}{subject}. {self.advice}{trace}"

    @property
    def full_sentence(self) -> str:
        """The sentence with the administrator's part."""
        return f"{self.sentence} {self.kind.for_administrator}".rstrip()

    def __str__(self) -> str:
        return self.sentence


# The translation. Monday's codes are in `extensions.code`; the formats of API versions before 2025-01, which Monday no
# longer serves, are not read.

SITE = "developer.monday.com/api-reference/"
DOCS = SITE + "docs/error-handling"
MIGRATING = SITE + "docs/migrating-to-version-2025-04"

# Fixtures of Monday's own tool: the spelling on the wire, where the documentation differs.
MCP = "github.com/mondaycom/mcp packages/agent-toolkit/src/utils/tests/error.utils.test.ts"
COMMUNITY = "community.monday.com topic "

# The gateway from which Monday's parse errors come (community 106532).
ROUTER = "published at apollographql.com/docs/graphos/routing/errors"

NOTES = "published notes of users on live answers, 2026-07"


class KnownCode(NamedTuple):
    """A code, its kind and its source."""

    code: str
    kind: ErrorKind
    source: str


# Where a code means several problems, the rest of the error narrows the kind (`_NARROWERS`).
PUBLISHED: tuple[KnownCode, ...] = (
    KnownCode("NOT_AUTHENTICATED", NOT_AUTHENTICATED, COMMUNITY + "115326, body of HTTP 401"),
    KnownCode("Unauthorized", NOT_AUTHENTICATED, DOCS),
    KnownCode("UserUnauthorizedException", BOARD_FORBIDDEN, DOCS),
    KnownCode("USER_UNAUTHORIZED", BOARD_FORBIDDEN, DOCS),
    KnownCode("USER_ACCESS_DENIED", USER_DENIED, DOCS),
    KnownCode("missingRequiredPermissions", PERMISSION_MISSING, DOCS),
    KnownCode("UNAUTHORIZED_FIELD_OR_TYPE", PERMISSION_MISSING, NOTES),
    KnownCode("API_TEMPORARILY_BLOCKED", ACCOUNT_BLOCKED, DOCS),
    KnownCode("InvalidVersionException", VERSION_REJECTED, SITE + "docs/api-versioning"),
    KnownCode("COMPLEXITY_BUDGET_EXHAUSTED", COMPLEXITY_EXHAUSTED, MCP),
    KnownCode("REQUEST_MAX_COMPLEXITY_EXCEEDED", TOO_COMPLEX, NOTES),
    KnownCode("maxComplexityExceeded", TOO_COMPLEX, NOTES),
    KnownCode("MINUTE_RATE_LIMIT_EXCEEDED", LIMIT_REACHED, MCP),
    KnownCode("Rate Limit Exceeded", LIMIT_REACHED, DOCS),
    KnownCode("RATE_LIMIT_EXCEEDED", LIMIT_REACHED, SITE + "docs/importing-items-in-bulk"),
    KnownCode("MAX_CONCURRENCY_EXCEEDED", LIMIT_REACHED, MCP),
    KnownCode("maxConcurrencyExceeded", LIMIT_REACHED, DOCS),
    KnownCode("TooManyConcurrentRequestsException", LIMIT_REACHED, COMMUNITY + "88176, the lock of an item"),
    KnownCode("DAILY_LIMIT_EXCEEDED", DAILY_LIMIT_REACHED, MCP),
    KnownCode("IP_RATE_LIMIT_EXCEEDED", LIMIT_REACHED, DOCS),
    KnownCode("FIELD_LIMIT_EXCEEDED", LIMIT_REACHED, MIGRATING),
    KnownCode("tooManyRequests", LIMIT_REACHED, MCP),
    KnownCode("FIELD_MINUTE_RATE_LIMIT_EXCEEDED", LIMIT_REACHED, NOTES),
    KnownCode("IDEMPOTENCY_CONFLICT", STILL_RUNNING, SITE + "docs/idempotency"),
    KnownCode("InvalidItemIdException", ITEM_NOT_FOUND, COMMUNITY + "109452"),
    KnownCode("InvalidBoardIdException", BOARD_NOT_FOUND, DOCS),
    KnownCode("InvalidColumnIdException", COLUMN_NOT_FOUND, COMMUNITY + "92703"),
    KnownCode("ItemsLimitationException", BOARD_FULL, DOCS),
    KnownCode("ItemNameTooLongException", NAME_REJECTED, DOCS),
    KnownCode("ColumnValueException", FIELD_REJECTED, DOCS),
    KnownCode("CorrectedValueException", FIELD_REJECTED, DOCS),
    KnownCode("InvalidUserIdException", FIELD_REJECTED, DOCS),
    KnownCode("DATA_VALIDATIONS_ERROR", RULES_BROKEN, COMMUNITY + "116170, 2025-07"),
    KnownCode("CellLimitExceededException", FIELD_REJECTED, COMMUNITY + "111320, 2025-03"),
    KnownCode("InvalidColumnTypeException", COLUMN_UNSUPPORTED, COMMUNITY + "104534 and 113689"),
    KnownCode("ResourceNotFoundException", RECORD_REJECTED, DOCS),
    KnownCode("InvalidArgumentException", RECORD_REJECTED, MIGRATING),
    KnownCode("RecordInvalidException", RECORD_REJECTED, DOCS),
    KnownCode("DeleteLastGroupException", RECORD_REJECTED, DOCS),
    KnownCode("CursorException", CURSOR_EXPIRED, COMMUNITY + "70289"),
    KnownCode("CursorExpiredError", CURSOR_EXPIRED, SITE + "docs/querying-board-items"),
    KnownCode("GRAPHQL_VALIDATION_FAILED", INVALID_DOCUMENT, COMMUNITY + "116967, HTTP 400"),
    KnownCode("GRAPHQL_PARSE_FAILED", INVALID_DOCUMENT, "not published: the usual code beside the one above"),
    KnownCode("INVALID_GRAPHQL_REQUEST", DOCUMENT_REJECTED, COMMUNITY + "118566, HTTP 400"),
    KnownCode("PARSING_ERROR", INVALID_DOCUMENT, COMMUNITY + "106532"),
    KnownCode("VALIDATION_INVALID_TYPE_VARIABLE", DOCUMENT_REJECTED, COMMUNITY + "108135"),
    KnownCode("INVALID_CONTENT_TYPE_HEADER", DOCUMENT_REJECTED, COMMUNITY + "107402"),
    KnownCode("JsonParseException", DOCUMENT_REJECTED, DOCS),
    KnownCode("INTERNAL_SERVER_ERROR", SERVER_FAILED, DOCS),
    KnownCode("InternalServerError", SERVER_FAILED, DOCS + ", older spelling"),
    KnownCode("SUBREQUEST_HTTP_ERROR", SERVER_FAILED, ROUTER),
    KnownCode("SUBREQUEST_MALFORMED_RESPONSE", SERVER_FAILED, ROUTER),
    KnownCode("REQUEST_TIMEOUT", TIMED_OUT, ROUTER),
    KnownCode("GATEWAY_TIMEOUT", TIMED_OUT, ROUTER),
)

CODES: dict[str, ErrorKind] = {entry.code: entry.kind for entry in PUBLISHED}

# For answers without a code that we know: the HTTP status, or the `status_code` inside a 200.
STATUSES: dict[int, ErrorKind] = {
    401: NOT_AUTHENTICATED,  # DOCS
    403: PERMISSION_MISSING,  # DOCS
    404: WRONG_ADDRESS,
    405: WRONG_ADDRESS,
    408: TIMED_OUT,
    409: STILL_RUNNING,  # developer.monday.com/api-reference/docs/idempotency
    413: TOO_COMPLEX,
    423: BOARD_LOCKED,  # DOCS
    429: LIMIT_REACHED,  # developer.monday.com/api-reference/docs/rate-limits
}

INNER_STATUSES: dict[int, ErrorKind] = {
    403: BOARD_FORBIDDEN,  # as UserUnauthorizedException, which comes with it (DOCS)
    409: RECORD_REJECTED,
    423: BOARD_LOCKED,
    429: LIMIT_REACHED,
}

# Root fields about the account and not about a board: a token that may not read them lacks a scope.
_ACCOUNT_ROOTS = frozenset({"me", "account", "users", "platform_api"})


@dataclass(frozen=True)
class _ErrorDetails:
    """What an entry of an answer's `errors` says."""

    code: str
    message: str
    data: Mapping[str, Any]
    extensions: Mapping[str, Any]
    broken: Mapping[str, str]  # Monday's messages on each column whose rules are broken
    path: tuple[str | int, ...]
    status: int  # inside a 200; 0 for none


def translate_error(
    error: Any, *, http_status: int | None = None, request_id: str | None = None, retry_after: float | None = None
) -> MondayError:
    """Translate one entry of an answer's `errors`, or None for an answer that has none.

    `retry_after` is the Retry-After header in seconds; the wait in the body counts first.
    """
    details = _parse_details(error)
    kind = _kind_of(details, http_status)
    wait = details.extensions.get("retry_in_seconds")
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
    return MondayError(
        kind,
        message,
        code=details.code,
        request_id=request_id,
        http_status=http_status,
        wait_seconds=wait if kind.keeps_wait else None,
        path=details.path,
        column_id="name" if kind is NAME_REJECTED else _text(column_id),
        columns=details.broken if kind is RULES_BROKEN else None,
    )


def _parse_details(error: Any) -> _ErrorDetails:
    entry = error if isinstance(error, Mapping) else {"message": error}
    extensions = _mapping_or_empty(entry.get("extensions"))
    detail_text = _text(extensions.get("details"))
    # The message's reference to the API's documentation doesn't help a person who edits a record.
    message = str(entry.get("message") or "").split(" Please check our API doc")[0]
    path = entry.get("path")
    status = extensions.get("status_code")
    data = extensions.get("error_data")
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
        # Internal errors have `error_code` in its place (recorded, 2025-10).
        code=str(extensions.get("code") or extensions.get("error_code") or ""),
        message=f"{message}: {detail_text}" if detail_text else message,
        data=_mapping_or_empty(data),
        extensions=extensions,
        broken=broken,
        path=tuple(path) if isinstance(path, list) else (),
        status=status if isinstance(status, int) else 0,
    )


def _kind_of(details: _ErrorDetails, http_status: int | None) -> ErrorKind:
    """Return the kind by the code; without a known code by the message, the HTTP status or the status inside a 200."""
    kind = CODES.get(details.code)
    if kind is not None:
        narrow = _NARROWERS.get(details.code)
        return (narrow(details) if narrow else None) or kind
    if not details.path and _INVALID_DOCUMENT.search(details.message):
        return _narrow_invalid(details) or INVALID_DOCUMENT
    kind = _kind_by_words(_WORDS, details) or _kind_by_words(_VALUE_WORDS, details) or _kind_by_status(http_status)
    if kind is not None:
        return kind
    # The codes of limits have several spellings, their wait has one.
    if "retry_in_seconds" in details.extensions:
        return LIMIT_REACHED
    return SERVER_FAILED if details.status >= 500 else INNER_STATUSES.get(details.status, RECORD_REJECTED)


def _kind_by_status(http_status: int | None) -> ErrorKind | None:
    if http_status is None or 200 <= http_status < 300:
        return None
    if http_status >= 500:
        return SERVER_FAILED
    if 300 <= http_status < 400:
        return WRONG_ADDRESS
    return STATUSES.get(http_status, DOCUMENT_REJECTED)


# How graphql-js refuses a document, with HTTP 200 and without a code; errors of values in a document that was executed
# have a code of Monday's.
_INVALID_DOCUMENT = re.compile(
    r"^(parsing|Syntax) error|^Must provide |^Cannot query field|^Unknown (argument|type|directive|fragment|operation)"
    r"|^(Fields?|Fragment|Directive) [\"@]|cannot represent|^Variable \S+ |^invalid type for variable"
    r"|^There can be only one|^Expected value of type|^Value \S+ does not exist in",
    re.IGNORECASE,
)


def _kind_by_words(table: Sequence[tuple[str, ErrorKind]], details: _ErrorDetails) -> ErrorKind | None:
    return next((kind for words, kind in table if re.search(words, details.message, re.IGNORECASE)), None)


_WORDS: tuple[tuple[str, ErrorKind], ...] = (
    ("ip is restricted", ADDRESS_FORBIDDEN),  # DOCS, HTTP 401
    ("^Cannot return null for non-nullable|^internal server error", SERVER_FAILED),  # community 107921
)

# About a value, or the item that it is written to.
_VALUE_WORDS: tuple[tuple[str, ErrorKind], ...] = (
    ("inactive items", ITEM_INACTIVE),  # community 117322
    ("max ?locks ?exceeded", ITEM_LOCKED),  # community 46018 and 40789
    # Sent as an invalid record (community 19867).
    ("not in the connected boards", ITEM_NOT_CONNECTED),  # community 29555 and 67850
    ("label .*(does not|doesn't) exist", LABEL_UNKNOWN),  # community 34196
    ("^invalid value|^email is not valid", FIELD_REJECTED),  # community 122100, without a code
)


# How they refuse a value, not the document; "used in position expecting" is about the document's text.
_INVALID_VALUE = re.compile(r"cannot represent|^Variable \S+ (got|of required type \S+ was)|^invalid type for variable")


def _narrow_invalid(details: _ErrorDetails) -> ErrorKind | None:
    """Return DOCUMENT_REJECTED for a value that doesn't fit its variable: without it the document may be valid."""
    return DOCUMENT_REJECTED if _INVALID_VALUE.search(details.message) else None


def _narrow_unauthorized(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind of a missing right about the account; others are about the board."""
    return PERMISSION_MISSING if details.path and details.path[0] in _ACCOUNT_ROOTS else None


# The order matters: an item's message is "not found in board".
_RESOURCES: tuple[tuple[str, ErrorKind], ...] = (
    ("column", COLUMN_NOT_FOUND),
    ("group", GROUP_NOT_FOUND),
    ("item", ITEM_NOT_FOUND),
    ("board", BOARD_NOT_FOUND),
)


def _narrow_not_found(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind by the resource, which `resource_type` or the message names (community 78294, 92703)."""
    text = f"{details.data.get('resource_type') or ''} {details.message}".lower()
    if "not found" not in text:
        return None
    return next((kind for word, kind in _RESOURCES if re.search(rf"\b{word}\b", text)), None)


def _narrow_value(details: _ErrorDetails) -> ErrorKind | None:
    """Return the kind by the message; this code is also for removed items (117322) and read-only types (56466)."""
    if "inactive_pulse_ids" in details.data:
        return ITEM_INACTIVE
    unsupported = COLUMN_UNSUPPORTED if "not supported" in details.message else None
    return _kind_by_words(_VALUE_WORDS, details) or unsupported


_NARROWERS: dict[str, Callable[[_ErrorDetails], ErrorKind | None]] = {
    "GRAPHQL_VALIDATION_FAILED": _narrow_invalid,
    "UserUnauthorizedException": _narrow_unauthorized,
    "USER_UNAUTHORIZED": _narrow_unauthorized,
    "ResourceNotFoundException": _narrow_not_found,
    "InvalidArgumentException": _narrow_not_found,
    "ColumnValueException": _narrow_value,
    "RecordInvalidException": _narrow_value,
}


def _mapping_or_empty(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str | None:
    return str(value) if value not in (None, "") else None
