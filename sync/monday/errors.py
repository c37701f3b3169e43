"""All errors between us and another system, as one tree; the advice is written for Monday.com, the only one.

ConnectorError
├── RecordRejected           RECORD       this record alone; the others of the document are fine
│   ├── ItemNotFound                      no such item, or it is not on the named board
│   ├── ItemInactive                      the item is archived or deleted
│   └── ItemLocked                        the item, or one that it is connected with, is being changed
├── FieldRejected            FIELD        one value of one record
│   ├── NameRejected                      the item's name is too long or empty
│   ├── ItemNotConnected                  an item of a board to which the column doesn't lead
│   ├── RulesBroken                       values that the board's own validation rules refuse
│   └── LabelUnknown                      a label that the column doesn't have
├── ColumnRejected           COLUMN       one column of the board
│   ├── ColumnNotFound                    the column id doesn't exist on the board
│   └── ColumnUnsupported                 the API can't write columns of this type
├── BoardRejected            BOARD        the whole board
│   ├── BoardNotFound                     missing, archived, or hidden from the token's user
│   ├── BoardForbidden                    the token's user may not do this on the board
│   ├── BoardFull                         no room for more items
│   ├── GroupNotFound                     the group for new items is archived or deleted
│   ├── BoardLocked                       locked for a moment by another change
│   ├── WebhookAddressUnreachable         Monday got no challenge back from our address
│   └── WebhooksIncomplete                some webhooks exist and some don't (board.py)
├── AccountRejected          ACCOUNT      every call would fail the same way
│   ├── NotAuthenticated                  wrong or missing token
│   ├── UserDenied                        the token's user is inactive, a viewer or not confirmed
│   ├── AddressForbidden                  the account admits only some IP addresses
│   ├── PermissionMissing                 the token lacks a scope, or HTTP 403
│   ├── AccountBlocked                    the API is blocked for this account for now
│   ├── VersionRejected                   the API version is not served
│   ├── WrongVersion                      another API version than the requested one answered
│   └── WrongAddress                      what answered is not Monday's API
├── LimitReached             LIMIT        wait, then the same again; nothing was done
│   ├── BudgetExhausted                   our own quota has no room: never sent
│   │   └── ShuttingDown                  our own process is shutting down: never sent
│   ├── ComplexityExhausted               the minute's complexity points are used up
│   ├── MinuteLimitReached                the minute's requests are used up
│   ├── ConcurrencyLimitReached           too many requests at the same time
│   ├── DailyLimitReached                 the day's requests are used up, until 00:00 UTC
│   ├── AddressLimitReached               too many requests from our network address
│   └── FieldLimitReached                 one field of an answer was left out; the others are fine
├── OutcomeUnknown           TRANSPORT    sent, and possibly applied
│   ├── TimedOut                          no answer in time
│   ├── ConnectionLost                    the connection broke after it was made
│   ├── ServerFailed                      HTTP 5xx, or an internal error in the answer
│   ├── FirewallRejected                  HTTP 403 without JSON: a firewall before the API, not the API
│   ├── StillRunning                      an earlier request with this idempotency key isn't finished
│   ├── UnreadableAnswer                  HTTP 200, but not GraphQL
│   │   ├── LogShapeChanged               an activity log of another API version
│   │   └── ListingTruncated              fewer items than the board has
│   └── AnswerWithoutData                 a mutation answered by errors only: some aliases may have run
├── Unreachable              UNREACHABLE  no connection was made: certainly not applied
└── DocumentRejected         DOCUMENT     rejected as a whole before it ran: certainly not applied
    ├── InvalidDocument      BOARD        no document of this kind is valid for the version that answers
    ├── TooComplex                        one request over the points that a request may cost
    └── CursorExpired                     a page's cursor is older than an hour

Whether to try again is a property of the class; how long to wait, which alias of the document and which
column are attributes of the instance. monday/graphql.py translates foreign errors (HTTP, JSON bodies of the
present and of the older format) into these.
"""

from __future__ import annotations

import http
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from sync.monday.usage import AccountInfo


# What every error says: what it concerns, whether to repeat, how long to wait, and what to do.


_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def time_span(seconds: float) -> str:
    """Return a length of time in its largest whole unit: "5 minutes"."""
    whole = max(1, round(abs(seconds)))
    size, unit = next((size, unit) for size, unit in _UNITS if whole >= size)
    number = whole // size
    return f"{number} {unit if number == 1 else unit + 's'}"


MAX_WAIT_SECONDS = 7 * 86_400.0
"""Seconds; Monday's longest window is a day (developer.monday.com/api-reference/docs/rate-limits)."""


def clamped_wait(seconds: float | None) -> float | None:
    """The wait that somebody asked for, within what a date can be reckoned with; None for what is no number."""
    # Compared before it becomes a float, for which a whole number may be too large.
    return None if seconds is None or seconds != seconds else float(min(max(seconds, 0), MAX_WAIT_SECONDS))  # noqa: PLR0124


class Scope(StrEnum):
    """What an error concerns, and so what has to stop because of it."""

    RECORD = "record"
    FIELD = "field"
    COLUMN = "column"
    BOARD = "board"
    ACCOUNT = "account"
    LIMIT = "limit"
    TRANSPORT = "transport"
    UNREACHABLE = "unreachable"
    DOCUMENT = "document"


class ConnectorError(Exception):
    """Monday.com rejected a request or didn't answer.

    `wait_seconds` is the wait that Monday asked for; `path` is the GraphQL path of the error and `path_alias`
    its first element, the alias of the mutation that it concerns; `errors` are the single errors of an answer
    that failed as a whole; `columns` has Monday's words on each column, where it lists them.
    """

    scope: ClassVar[Scope] = Scope.RECORD
    columns: Mapping[str, str] = {}
    outcome_unknown: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    advice: str = "Check the record and its item on the board."
    words: ClassVar[str] = ""
    """What is said to people in place of Monday's own message, where that says nothing to them."""
    for_administrator: ClassVar[str] = ""
    """What only whoever runs the server can do about it: for logs, commands and the fold of that name, on no page."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        request_id: str | None = None,
        http_status: int | None = None,
        wait_seconds: float | None = None,
        path: Sequence[str | int] = (),
        column_id: str | None = None,
        column_type: str | None = None,
        errors: Sequence[ConnectorError] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.wait_seconds = clamped_wait(wait_seconds)
        self.path = tuple(path)
        self.column_id = column_id
        self.column_type = column_type
        self.errors = tuple(errors)

    def redact(self, secret: str, replacement: str) -> None:
        """Remove a text from everything that this error says, because Monday may repeat what it was sent."""
        self.message = self.message.replace(secret, replacement)
        self.args = (self.message,)
        for error in self.errors:
            error.redact(secret, replacement)

    def of_column(self, column_id: str) -> ConnectorError:
        """The same of one column alone, in Monday's words on it."""
        return self

    @property
    def path_alias(self) -> str | None:
        """The alias in our document that the error concerns, if Monday named one."""
        return str(self.path[0]) if self.path else None

    @property
    def sentence(self) -> str:
        """What happened, to what, and what to do next, for a person."""
        return self._sentence(f" Monday asks to wait {time_span(self.wait_seconds)}." if self.wait_seconds else "")

    @property
    def lasting_sentence(self) -> str:
        """The same without the wait, which is no longer true a minute later: for where its end is kept beside it."""
        return self._sentence("")

    @property
    def full_sentence(self) -> str:
        """The same with the administrator's part, and with Monday's own message where pages have other words for it."""
        said = f"Monday said: {self.message.rstrip(' .')}." if self.words else ""
        return " ".join(part for part in (self.sentence, said, self.for_administrator) if part)

    def _sentence(self, wait: str) -> str:
        subject = f" (column {self.column_id})" if self.column_id else ""
        trace = f" [Monday request {self.request_id}]" if self.request_id else ""
        message = (self.words or self.message).rstrip(" .")
        return f"{message[:1].upper()}{message[1:]}{subject}. {self.advice}{wait}{trace}"

    def __str__(self) -> str:
        return self.sentence


# Rejected: a record, a field, a column, a board, the account or the document; nothing was done.


class RecordRejected(ConnectorError):
    """Monday rejected this record; the other records of the document are not affected."""


class ItemNotFound(RecordRejected):
    advice = "The item may have been deleted or moved to another board; open the board and look for it."


class ItemInactive(RecordRejected):
    advice = "The item is archived or deleted on Monday; restore it there, or decide here what becomes of it."


class ItemLocked(RecordRejected):
    advice = "Something else changes the item at this moment; it is tried again by itself."


class FieldRejected(ConnectorError):
    """Monday rejected one value; only this field is blocked."""

    scope = Scope.FIELD
    advice = "Correct the value in NPD, or change the column on the board."


class NameRejected(FieldRejected):
    advice = "An item's name has 1 to 255 characters; change the name in NPD."


class ItemNotConnected(FieldRejected):
    advice = "On the board, open the column's settings and connect the board of that item too, or choose another."


class RulesBroken(FieldRejected):
    """The board's validation rules refuse values, perhaps of several columns."""

    advice = "Correct the value in NPD, or change the board's validation rules on Monday."

    def of_column(self, column_id: str) -> ConnectorError:
        words = self.columns[column_id]
        return RulesBroken(words, code=self.code, request_id=self.request_id, path=self.path, column_id=column_id)


class LabelUnknown(FieldRejected):
    advice = (
        "Add the label to the column on Monday (to a managed column where the account manages its columns), or choose "
        "another value."
    )


class ColumnRejected(ConnectorError):
    """Nothing can be written to this column."""

    scope = Scope.COLUMN
    advice = "Map the field to another column, or restore the column on the board."


class ColumnNotFound(ColumnRejected):
    """The column doesn't exist on the board any more."""


class ColumnUnsupported(ColumnRejected):
    advice = "Monday's API can't write this type of column; map the field to another one."


class BoardRejected(ConnectorError):
    """Nothing can be done on this board."""

    scope = Scope.BOARD
    advice = "Open the board on Monday and check that it is there and not archived."


class BoardNotFound(BoardRejected):
    advice = "Check the board's id in the settings, and that NPD Sync's user on Monday can see the board."


class BoardForbidden(BoardRejected):
    advice = "Give the user of the API token the right to edit this board."


class BoardFull(BoardRejected):
    advice = "Archive items on the board, or ask Monday for a higher limit."


class BoardLocked(BoardRejected):
    retryable = True
    advice = "Another change holds the board; it is tried again by itself."


class GroupNotFound(BoardRejected):
    """The group for new items doesn't exist any more, so none can be created."""

    advice = "Run the set-up again (Boards, “Set up…”): it chooses another group for new items."


class WebhookAddressUnreachable(BoardRejected):
    advice = "This site's address has to be one that Monday can reach from the internet: an administrator sets it."
    for_administrator = "Set SITE_URL to an address that Monday can reach from the internet."


class AccountRejected(ConnectorError):
    """Monday would reject every call of this token now."""

    scope = Scope.ACCOUNT
    advice = "Check the Monday account and its API token."


class NotAuthenticated(AccountRejected):
    words = "Monday rejects the API token"
    advice = "Enter a valid API token of the account under Settings, Monday connection."
    advice_on_server = "Replace the API token on the server."
    """Where no page takes another token."""
    for_administrator = "Where MONDAY_API_KEY is set, it has to be valid. After a change restart web, worker and beat."


class UserDenied(AccountRejected):
    advice = "The token's user must be active, not a viewer, and have a confirmed email address; see to it on Monday."


class AddressForbidden(AccountRejected):
    advice = "An administrator of the Monday account must allow this server's IP address."


class PermissionMissing(AccountRejected):
    advice = (
        "Give the API token the scopes boards:read/write, webhooks:read/write, me:read, account:read and "
        "users:read; an app's token keeps the scopes it was granted, so it must be granted again."
    )


class AccountBlocked(AccountRejected):
    retryable = True
    advice = "Monday has blocked the API for a while; it is tried again by itself."


class VersionRejected(AccountRejected):
    advice = "An administrator has to set a version of Monday's API that Monday serves."
    for_administrator = "Set MONDAY_API_VERSION to a version that Monday serves, such as 2026-10."


class WrongVersion(AccountRejected):
    """Another API version than the requested one answered, so answers may have another shape.

    Monday replaces an old version without an error (developer.monday.com/api-reference/docs/api-versioning).
    `account` is what it answered all the same: good enough to read which versions there are.
    """

    advice = "An administrator has to set the version of Monday's API that Monday calls current."
    for_administrator = (
        "Set MONDAY_API_VERSION to the version that Monday calls current; `manage.py monday_check` names it."
    )
    account: AccountInfo | None = None


class WrongAddress(AccountRejected):
    advice = "An administrator has to correct the address of Monday's API on the server."
    for_administrator = "Check MONDAY_API_URL; Monday's own is https://api.monday.com/v2."


class DocumentRejected(ConnectorError):
    """The request was rejected as a whole before any of it ran."""

    scope = Scope.DOCUMENT
    advice = "This is most likely a fault of NPD Sync: please report it with the request id."

    def name_document(self, name: str, version: str) -> None:
        """Say which of our documents it was, and to which version of the API it was sent."""
        self.message = f"{self.message.rstrip(' .')} (document {name or 'without a name'}, API version {version})"
        self.args = (self.message,)


class InvalidDocument(DocumentRejected):
    """The document itself is invalid, whatever values it holds: in parts, or once more, it would be refused as well."""

    scope = Scope.BOARD
    advice = "NPD Sync doesn't fit this version of Monday's API: please report it to your administrator."
    for_administrator = "Report it, or set MONDAY_API_VERSION back."


class TooComplex(DocumentRejected):
    """The one request costs more points than Monday allows; a smaller one may succeed."""

    advice = "It is sent again in smaller parts; a record that is refused alone needs fewer mapped columns."


class CursorExpired(DocumentRejected):
    retryable = True
    advice = "The listing is started again from its first page."


# Not now: a limit was reached, or no answer says what became of the request.


class LimitReached(ConnectorError):
    """A rate limit; the request was not carried out."""

    scope = Scope.LIMIT
    retryable = True
    advice = "It is sent again by itself after the wait."


class BudgetExhausted(LimitReached):
    """Our own quota has no room for the call, so it was not sent; `wait_seconds` says until when.

    Its message is whole sentences: which limit it is, and when calls go on. Monday was not asked.
    """

    advice = "It goes out by itself as soon as there is room."

    @property
    def sentence(self) -> str:
        if self.message.endswith("."):
            return self.message
        wait = f" There is room in {time_span(self.wait_seconds)}." if self.wait_seconds else ""
        return f"{self.message}. {self.advice}{wait}"


class ShuttingDown(BudgetExhausted):
    """The process that would make the call is shutting down, so it was not sent; another process makes it."""


class ComplexityExhausted(LimitReached):
    """The complexity points of this minute are used up."""


class MinuteLimitReached(LimitReached):
    """Too many requests within a minute."""


class ConcurrencyLimitReached(LimitReached):
    """Too many requests at the same time."""


class DailyLimitReached(LimitReached):
    words = "Today's calls to Monday are used up"
    advice = "Sync goes on by itself when Monday's new day begins."


class AddressLimitReached(LimitReached):
    """Too many requests from this network address."""


class FieldLimitReached(LimitReached):
    """One field of the answer was left out because of a limit; its null says nothing about the value."""


class OutcomeUnknown(ConnectorError):
    """The request was sent, and whether it took effect is not known."""

    scope = Scope.TRANSPORT
    outcome_unknown = True
    retryable = True
    advice = "It is tried again by itself; both sides are read before anything is sent."


class TimedOut(OutcomeUnknown):
    """No complete answer within the client's timeout."""


class ConnectionLost(OutcomeUnknown):
    """The connection broke after the request may have been sent."""


class ServerFailed(OutcomeUnknown):
    advice = "Monday has trouble; nothing is lost, and it is tried again by itself."


class FirewallRejected(OutcomeUnknown):
    """HTTP 403 with a page and no JSON: from a firewall before the API, which may object to a single value.

    Monday's own rejections give their reason as JSON (developer.monday.com/api-reference/docs/error-handling). So this
    is no missing permission of the token, for which every record would have to stop.
    """

    advice = "It is tried again by itself, in smaller parts; a record that is refused alone is named in the queue."


class StillRunning(OutcomeUnknown):
    """An earlier request with the same idempotency key is still being carried out."""


class UnreadableAnswer(OutcomeUnknown):
    """The answer came with HTTP 200 but is not a GraphQL answer."""


class LogShapeChanged(UnreadableAnswer):
    """The log was answered in a shape that this version doesn't know."""

    advice = (
        "Until an administrator sets another version of Monday's API, changes are found by the items' times of last "
        "update, and an edit that was overwritten in the same second is not noticed."
    )
    for_administrator = "Set MONDAY_API_VERSION to 2026-10, or update NPD Sync."


class ListingTruncated(UnreadableAnswer):
    """Fewer items were listed than the board has; nothing is known of the missing ones, `shortfall` in number."""

    advice = "It is read again by the next check for missed changes."
    shortfall = 0


class AnswerWithoutData(OutcomeUnknown):
    """A mutation was answered by errors without `data`; what succeeded stays, but isn't listed.

    Seen with several aliased mutations in one request (community topic 109452, 2025-02).
    """

    @property
    def is_refusal(self) -> bool:
        """Whether it says for certain that a mutation was refused; of several ones it doesn't say which."""
        refused = all(len(error.path) <= 1 and not error.outcome_unknown for error in self.errors)
        return bool(self.errors) and refused and (self.http_status or 200) < http.HTTPStatus.INTERNAL_SERVER_ERROR


class Unreachable(ConnectorError):
    """No connection was made, so nothing was sent."""

    scope = Scope.UNREACHABLE
    retryable = True
    advice = "It is tried again by itself."
    for_administrator = "Check the network and MONDAY_API_URL."
