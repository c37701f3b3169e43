"""Everything that can go wrong between us and Monday.com, as one tree.

MondayError
├── RecordRefused            RECORD       this record alone; the others of the document are fine
│   ├── ItemNotFound                      no such item, or it is not on the named board
│   └── ItemInactive                      the item is archived or deleted
├── FieldRefused             FIELD        one value of one record
│   └── NameRefused                       the item's name is too long or empty
├── ColumnRefused            COLUMN       one column of the board
│   ├── ColumnGone                        the column id doesn't exist on the board
│   └── ColumnUnsupported                 the API can't write columns of this type
├── BoardRefused             BOARD        the whole board
│   ├── BoardGone                         missing, archived, or hidden from the token's user
│   ├── BoardForbidden                    the token's user may not do this on the board
│   ├── BoardFull                         no room for more items
│   ├── BoardLocked                       locked for a moment by another change
│   ├── WebhookAddressUnreachable         Monday got no challenge back from our address
│   └── WebhooksIncomplete                some webhooks are made and some are not (hooks.py)
├── AccountRefused           ACCOUNT      every call would fail the same way
│   ├── NotAuthenticated                  wrong or missing token
│   ├── PermissionMissing                 the token lacks a scope, or HTTP 403
│   ├── AccountBlocked                    the API is blocked for this account for now
│   ├── VersionRefused                    the API version is not served
│   └── WrongAddress                      what answered is not Monday's API
├── LimitReached             LIMIT        wait, then the same again; nothing was done
│   ├── ComplexityExhausted, MinuteLimitReached, ConcurrencyLimitReached,
│   └── DailyLimitReached, AddressLimitReached, FieldLimitReached
├── OutcomeUnknown           TRANSPORT    sent, and possibly applied
│   ├── TimedOut                          no answer in time
│   ├── ConnectionLost                    the connection broke after it was made
│   ├── ServerFailed                      HTTP 5xx, or an internal error in the answer
│   ├── StillRunning                      an earlier request with this idempotency key isn't finished
│   ├── UnreadableAnswer                  HTTP 200, but not GraphQL
│   └── AnswerWithoutData                 a mutation answered by errors only: some aliases may have run
├── Unreachable              UNREACHABLE  no connection was made: certainly not applied
└── DocumentRefused          DOCUMENT     refused as a whole before it ran: certainly not applied
    └── CursorExpired                     a page's cursor is older than an hour

Whether to try again is a property of the class. Foreign errors (HTTP, JSON bodies of the present and of the
older format) become these in codes.py, the one translating edge.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import ClassVar


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


class MondayError(Exception):
    """Monday.com refused or didn't answer.

    `wait_seconds` is the wait that Monday asked for; `path` is the GraphQL path of the error and `path_alias`
    its first element, the alias of the mutation that it concerns; `errors` are the single errors of an answer
    that failed as a whole.
    """

    scope: ClassVar[Scope] = Scope.RECORD
    outcome_unknown: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    advice: ClassVar[str] = "Look at the record and at its item on the board."

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
        errors: Sequence["MondayError"] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.request_id = request_id
        self.http_status = http_status
        self.wait_seconds = wait_seconds
        self.path = tuple(path)
        self.column_id = column_id
        self.column_type = column_type
        self.errors = tuple(errors)

    @property
    def path_alias(self) -> str | None:
        """The alias in our document that the error concerns, if Monday named one."""
        return str(self.path[0]) if self.path else None

    @property
    def sentence(self) -> str:
        """What happened, for whom, and what to do next, in words for a person."""
        subject = f" (column {self.column_id})" if self.column_id else ""
        wait = f" Monday asks to wait {self.wait_seconds:.0f} s." if self.wait_seconds else ""
        trace = f" [Monday request {self.request_id}]" if self.request_id else ""
        return f"{_capital(self.message.rstrip(' .'))}{subject}. {self.advice}{wait}{trace}"

    def __str__(self) -> str:
        return self.sentence


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


class RecordRefused(MondayError):
    """Monday refused this record; the document's other records are not touched by that."""


class ItemNotFound(RecordRefused):
    advice = "The item may have been deleted or moved to another board; open the board and look for it."


class ItemInactive(RecordRefused):
    advice = "The item is archived or deleted on Monday; restore it there, or decide here what becomes of it."


class FieldRefused(MondayError):
    """Monday refused one value; only this field is held."""

    scope = Scope.FIELD
    advice = "Correct the value in NPD, or change the column on the board."


class NameRefused(FieldRefused):
    advice = "An item's name has 1 to 255 characters; change the name in NPD."


class ColumnRefused(MondayError):
    """Nothing can be written to this column."""

    scope = Scope.COLUMN
    advice = "Map the field to another column, or restore the column on the board."


class ColumnGone(ColumnRefused):
    """The column doesn't exist on the board any more."""


class ColumnUnsupported(ColumnRefused):
    advice = "Monday's API can't write this type of column; map the field to another one."


class BoardRefused(MondayError):
    """Nothing can be done on this board."""

    scope = Scope.BOARD
    advice = "Open the board on Monday and check that it is there and not archived."


class BoardGone(BoardRefused):
    advice = "Check the board's id in the settings, and that the token's user can see the board."


class BoardForbidden(BoardRefused):
    advice = "Give the user of the API token the right to edit this board."


class BoardFull(BoardRefused):
    advice = "Archive items on the board, or ask Monday for a higher limit."


class BoardLocked(BoardRefused):
    retryable = True
    advice = "Another change holds the board; it is tried again by itself."


class WebhookAddressUnreachable(BoardRefused):
    advice = "SITE_URL has to be an address that Monday can reach from the internet."


class AccountRefused(MondayError):
    """Every call of this token would be refused now."""

    scope = Scope.ACCOUNT
    advice = "Check the Monday account and its API token."


class NotAuthenticated(AccountRefused):
    advice = "Set MONDAY_API_KEY to a valid API token of the account."


class PermissionMissing(AccountRefused):
    advice = "Give the API token the scopes boards:read/write, webhooks:read/write and me:read."


class AccountBlocked(AccountRefused):
    retryable = True
    advice = "Monday has blocked the API for a while; it is tried again by itself."


class VersionRefused(AccountRefused):
    advice = "Set MONDAY_API_VERSION to a version that Monday serves, such as 2026-10."


class WrongAddress(AccountRefused):
    advice = "Check MONDAY_API_URL; Monday's own is https://api.monday.com/v2."


class LimitReached(MondayError):
    """A rate limit; the request was not carried out."""

    scope = Scope.LIMIT
    retryable = True
    advice = "It is sent again by itself after the wait."


class ComplexityExhausted(LimitReached):
    """The complexity points of this minute are used up."""


class MinuteLimitReached(LimitReached):
    """Too many requests within a minute."""


class ConcurrencyLimitReached(LimitReached):
    """Too many requests at the same time."""


class DailyLimitReached(LimitReached):
    advice = "The account's calls for today are used up; it goes on by itself after midnight UTC."


class AddressLimitReached(LimitReached):
    """Too many requests from this network address."""


class FieldLimitReached(LimitReached):
    """One field of the answer was left out because of a limit."""


class OutcomeUnknown(MondayError):
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
    """Monday had an internal error."""

    advice = "Monday has trouble; nothing is lost, and it is tried again by itself."


class StillRunning(OutcomeUnknown):
    """An earlier request with the same idempotency key is still being carried out."""


class UnreadableAnswer(OutcomeUnknown):
    """The answer came with HTTP 200 but is not a GraphQL answer."""


class AnswerWithoutData(OutcomeUnknown):
    """A mutation was answered by errors without `data`; what succeeded stays, but isn't told.

    Seen with several aliased mutations in one request (community topic 109452, 2025-02).
    """


class Unreachable(MondayError):
    """No connection was made, so nothing was sent."""

    scope = Scope.UNREACHABLE
    retryable = True
    advice = "Check the network and MONDAY_API_URL; it is tried again by itself."


class DocumentRefused(MondayError):
    """The request was refused as a whole before any of it ran."""

    scope = Scope.DOCUMENT
    advice = "This is most likely a fault of NPD Sync: please report it with the request id."


class CursorExpired(DocumentRefused):
    retryable = True
    advice = "The listing is started again from its first page."
