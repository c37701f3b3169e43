"""Errors of Monday's API: one exception, and the table of its kinds.

A kind has the scope of an error (and so of what has to stop), whether a retry may succeed, and the advice for people.
The wait, the alias of the document and the column belong to the error itself. error_codes.py maps Monday's codes and
messages to these kinds.
"""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


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
    retry: bool = False  # whether the same call may succeed later
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
    "Check the board's id in the settings, and that NPD Sync's user on Monday can see the board.",
)
BOARD_FORBIDDEN = ErrorKind(
    "board_forbidden", Scope.BOARD, "Give the user of the API token the right to edit this board."
)
BOARD_FULL = ErrorKind("board_full", Scope.BOARD, "Archive items on the board, or ask Monday for a higher limit.")
BOARD_LOCKED = ErrorKind(
    "board_locked", Scope.BOARD, "Something else is changing the board. NPD Sync tries again by itself.", retry=True
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
    "Then run the set-up again; it goes on where it stopped.",
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
    retry=True,
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
    "document_rejected",
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
    retry=True,
)

# A limit was reached, and nothing was carried out.

LIMIT_REACHED = ErrorKind("limit_reached", Scope.LIMIT, _WAITS, retry=True)
COMPLEXITY_EXHAUSTED = ErrorKind("complexity_exhausted", Scope.LIMIT, _WAITS, retry=True)  # the minute's points
MINUTE_LIMIT_REACHED = ErrorKind("minute_limit_reached", Scope.LIMIT, _WAITS, retry=True)  # the minute's requests
CONCURRENCY_LIMIT_REACHED = ErrorKind("concurrency_limit_reached", Scope.LIMIT, _WAITS, retry=True)
DAILY_LIMIT_REACHED = ErrorKind(
    "daily_limit_reached",  # until 00:00 UTC
    Scope.LIMIT,
    "Sync goes on by itself at midnight UTC.",
    retry=True,
    words="Today's calls to Monday are used up",
)
ADDRESS_LIMIT_REACHED = ErrorKind("address_limit_reached", Scope.LIMIT, _WAITS, retry=True)  # of our network address
# One field of an answer was left out; its null says nothing about the value.
FIELD_LIMIT_REACHED = ErrorKind("field_limit_reached", Scope.LIMIT, _WAITS, retry=True)
# Never sent, because our own quota is used up. The message is whole sentences: which limit, until when.
QUOTA_EXHAUSTED = ErrorKind(
    "quota_exhausted", Scope.LIMIT, "NPD Sync sends it as soon as the quota allows.", retry=True
)
# Never sent, because our process is shutting down; another process makes the call.
SHUTTING_DOWN = ErrorKind("shutting_down", Scope.LIMIT, "NPD Sync sends it as soon as the quota allows.", retry=True)
NEVER_SENT = (QUOTA_EXHAUSTED, SHUTTING_DOWN)

# The outcome of the request is unknown.

TIMED_OUT = ErrorKind("timed_out", Scope.TRANSPORT, _READS_FIRST, retry=True)
CONNECTION_LOST = ErrorKind("connection_lost", Scope.TRANSPORT, _READS_FIRST, retry=True)  # after it was made
SERVER_FAILED = ErrorKind(
    "server_failed",  # HTTP 5xx, or an internal error in the answer
    Scope.TRANSPORT,
    "Nothing is lost. NPD Sync tries again by itself.",
    retry=True,
)
FIREWALL_REJECTED = ErrorKind(
    # HTTP 403 with a page instead of JSON, from a firewall before the API that may object to a single value. Monday's
    # own rejections give their reason as JSON (developer.monday.com/api-reference/docs/error-handling), so this is no
    # missing permission, for which every record would have to stop.
    "firewall_rejected",
    Scope.TRANSPORT,
    "NPD Sync tries again by itself, in smaller parts. “Jobs” names a record that Monday refuses alone.",
    retry=True,
)
STILL_RUNNING = ErrorKind("still_running", Scope.TRANSPORT, _READS_FIRST, retry=True)  # under the same key
UNREADABLE_ANSWER = ErrorKind("unreadable_answer", Scope.TRANSPORT, _READS_FIRST, retry=True)  # 200, but no GraphQL
LOG_SHAPE_CHANGED = ErrorKind(
    "log_shape_changed",  # an activity log of another API version
    Scope.TRANSPORT,
    "Until an administrator sets another version of Monday's API, changes are found by the items' times of last "
    "update, and an edit that was overwritten in the same second is not noticed.",
    retry=True,
    for_administrator="Set MONDAY_API_VERSION to 2026-10, or update NPD Sync.",
)
LISTING_TRUNCATED = ErrorKind(
    "listing_truncated",  # fewer items were listed than the board has; the missing ones are unknown
    Scope.TRANSPORT,
    "The next check for missed changes reads it again.",
    retry=True,
)
# A mutation was answered by errors without `data`; its successful parts stay, but aren't listed. Reported for several
# aliased mutations in one request (community topic 109452, 2025-02).
ANSWER_WITHOUT_DATA = ErrorKind("answer_without_data", Scope.TRANSPORT, _READS_FIRST, retry=True)

UNREACHABLE = ErrorKind(
    "unreachable",
    Scope.UNREACHABLE,
    "NPD Sync tries again by itself.",
    retry=True,
    for_administrator="Check the network and MONDAY_API_URL.",
)

KINDS = {kind.code: kind for kind in list(globals().values()) if isinstance(kind, ErrorKind)}


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def time_span(seconds: float) -> str:
    """Return a length of time in its largest whole unit: "5 minutes"."""
    whole = max(1, round(abs(seconds)))
    size, unit = next((size, unit) for size, unit in _UNITS if whole >= size)
    number = whole // size
    return f"{number} {unit if number == 1 else unit + 's'}"


# Seconds; Monday's longest window is a day (developer.monday.com/api-reference/docs/rate-limits).
MAX_WAIT_SECONDS = 86_400.0


def clamped_wait(seconds: float | None) -> float | None:
    """Limit a wait to a day, so that a date can be computed with it; None for NaN."""
    # Compared before the conversion, because an int may be too large for a float.
    return None if seconds is None or seconds != seconds else float(min(max(seconds, 0), MAX_WAIT_SECONDS))  # noqa: PLR0124


class MondayError(Exception):
    """Monday.com rejected a request or didn't answer."""

    answer: Any = None  # of another API version, which still lists the versions
    shortfall: int = 0  # items that are missing in a truncated listing

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
        column_type: str | None = None,
        columns: Mapping[str, str] | None = None,  # Monday's message on each column, where it lists them
        errors: Sequence[MondayError] = (),  # the single errors of an answer that failed as a whole
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.advice = kind.advice
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.wait_seconds = clamped_wait(wait_seconds)
        self.path = tuple(path)
        self.column_id = column_id
        self.column_type = column_type
        self.columns = columns or {}
        self.errors = tuple(errors)

    @property
    def scope(self) -> Scope:
        return self.kind.scope

    @property
    def outcome_unknown(self) -> bool:
        return self.kind.outcome_unknown

    def redact(self, secret: str, replacement: str) -> None:
        """Replace a text in this error's messages, because Monday may repeat a secret that it was sent."""
        self.message = self.message.replace(secret, replacement)
        self.args = (self.message,)
        for error in self.errors:
            error.redact(secret, replacement)

    def name_document(self, name: str, version: str) -> None:
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

    @property
    def path_alias(self) -> str | None:
        """The alias in our document that the error concerns, if Monday named one."""
        return str(self.path[0]) if self.path else None

    @property
    def is_refusal(self) -> bool:
        """For an answer without data: whether a mutation was certainly refused, though perhaps not which of several."""
        is_certain = all(len(error.path) <= 1 and not error.outcome_unknown for error in self.errors)
        return bool(self.errors) and is_certain and (self.http_status or 200) < http.HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def sentence(self) -> str:
        """What happened, and what to do next, for people."""
        if self.kind in NEVER_SENT and self.message.endswith("."):
            return self.message
        if not self.wait_seconds:
            return self.lasting_sentence
        span = time_span(self.wait_seconds)
        return self._sentence(
            f" There is room in {span}." if self.kind in NEVER_SENT else f" Monday asks to wait {span}."
        )

    @property
    def lasting_sentence(self) -> str:
        """The sentence without the wait, for storing, because the wait is wrong a minute later."""
        return self._sentence("")

    @property
    def full_sentence(self) -> str:
        """The sentence with the administrator's part, and with Monday's own message where `kind.words` replace it."""
        quoted = f"Monday said: {self.message.rstrip(' .')}." if self.kind.words else ""
        return " ".join(part for part in (self.sentence, quoted, self.kind.for_administrator) if part)

    def _sentence(self, wait: str) -> str:
        subject = f" (column {self.column_id})" if self.column_id else ""
        trace = f" [Monday request {self.request_id}]" if self.request_id else ""
        message = (self.kind.words or self.message).rstrip(" .")
        return f"{message[:1].upper()}{message[1:]}{subject}. {self.advice}{wait}{trace}"

    def __str__(self) -> str:
        return self.sentence
