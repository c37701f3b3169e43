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
│   ├── GroupGone                         the group for new items is archived or deleted
│   ├── BoardLocked                       locked for a moment by another change
│   ├── WebhookAddressUnreachable         Monday got no challenge back from our address
│   └── WebhooksIncomplete                some webhooks are made and some are not (hooks.py)
├── AccountRefused           ACCOUNT      every call would fail the same way
│   ├── NotAuthenticated                  wrong or missing token
│   ├── UserDenied                        the token's user is inactive, a viewer or not confirmed
│   ├── AddressForbidden                  the account lets only some IP addresses in
│   ├── PermissionMissing                 the token lacks a scope, or HTTP 403
│   ├── AccountBlocked                    the API is blocked for this account for now
│   ├── VersionRefused                    the API version is not served
│   ├── WrongVersion                      another API version than the one asked for answered
│   └── WrongAddress                      what answered is not Monday's API
├── LimitReached             LIMIT        wait, then the same again; nothing was done
│   ├── BudgetExhausted                   our own allowance has no room: never sent
│   │   └── CallerEnds                    our own process was told to end: never sent
│   ├── ComplexityExhausted               the minute's complexity points are used up
│   ├── MinuteLimitReached                the minute's requests are used up
│   ├── ConcurrencyLimitReached           too many requests at the same time
│   ├── DailyLimitReached                 the day's requests are used up, until 00:00 UTC
│   ├── AddressLimitReached               too many requests from our network address
│   ├── JobLimitReached                   the hour's bulk jobs are used up; other calls go on
│   └── FieldLimitReached                 one field of an answer was left out; the others are fine
├── OutcomeUnknown           TRANSPORT    sent, and possibly applied
│   ├── TimedOut                          no answer in time
│   ├── ConnectionLost                    the connection broke after it was made
│   ├── ServerFailed                      HTTP 5xx, or an internal error in the answer
│   ├── EdgeRefused                       HTTP 403 without JSON: a firewall before the API, not the API
│   ├── StillRunning                      an earlier request with this idempotency key isn't finished
│   ├── UnreadableAnswer                  HTTP 200, but not GraphQL
│   │   ├── LogShapeChanged               an activity log of another API version
│   │   └── ListingTruncated              fewer items than the board has
│   └── AnswerWithoutData                 a mutation answered by errors only: some aliases may have run
├── UploadRefused            RECORD       the file of a bulk import was not taken (uploads.py)
├── Unreachable              UNREACHABLE  no connection was made: certainly not applied
└── DocumentRefused          DOCUMENT     refused as a whole before it ran: certainly not applied
    ├── TooComplex                        one request over the points that a request may cost
    └── CursorExpired                     a page's cursor is older than an hour

Whether to try again is a property of the class; how long to wait, which alias of the document and which column
are attributes of the instance (base.py). Foreign errors (HTTP, JSON bodies of the present and of the older
format) become these in codes.py, the one translating edge.
"""

from sync.connectors.monday.errors.base import (
    MondayError,
    Scope,
)
from sync.connectors.monday.errors.refusals import (
    AccountBlocked,
    AccountRefused,
    AddressForbidden,
    BoardForbidden,
    BoardFull,
    BoardGone,
    BoardLocked,
    BoardRefused,
    ColumnGone,
    ColumnRefused,
    ColumnUnsupported,
    CursorExpired,
    DocumentRefused,
    FieldRefused,
    GroupGone,
    ItemInactive,
    ItemNotFound,
    NameRefused,
    NotAuthenticated,
    PermissionMissing,
    RecordRefused,
    TooComplex,
    UserDenied,
    VersionRefused,
    WebhookAddressUnreachable,
    WrongAddress,
    WrongVersion,
)
from sync.connectors.monday.errors.waits import (
    AddressLimitReached,
    AnswerWithoutData,
    BudgetExhausted,
    CallerEnds,
    ComplexityExhausted,
    ConcurrencyLimitReached,
    ConnectionLost,
    DailyLimitReached,
    EdgeRefused,
    FieldLimitReached,
    JobLimitReached,
    LimitReached,
    ListingTruncated,
    LogShapeChanged,
    MinuteLimitReached,
    OutcomeUnknown,
    ServerFailed,
    StillRunning,
    TimedOut,
    Unreachable,
    UnreadableAnswer,
)

__all__ = [
    "AccountBlocked",
    "AccountRefused",
    "AddressForbidden",
    "AddressLimitReached",
    "AnswerWithoutData",
    "BoardForbidden",
    "BoardFull",
    "BoardGone",
    "BoardLocked",
    "BoardRefused",
    "BudgetExhausted",
    "CallerEnds",
    "ColumnGone",
    "ColumnRefused",
    "ColumnUnsupported",
    "ComplexityExhausted",
    "ConcurrencyLimitReached",
    "ConnectionLost",
    "CursorExpired",
    "DailyLimitReached",
    "DocumentRefused",
    "EdgeRefused",
    "FieldLimitReached",
    "FieldRefused",
    "GroupGone",
    "ItemInactive",
    "ItemNotFound",
    "JobLimitReached",
    "LimitReached",
    "ListingTruncated",
    "LogShapeChanged",
    "MinuteLimitReached",
    "MondayError",
    "NameRefused",
    "NotAuthenticated",
    "OutcomeUnknown",
    "PermissionMissing",
    "RecordRefused",
    "Scope",
    "ServerFailed",
    "StillRunning",
    "TimedOut",
    "TooComplex",
    "Unreachable",
    "UnreadableAnswer",
    "UserDenied",
    "VersionRefused",
    "WebhookAddressUnreachable",
    "WrongAddress",
    "WrongVersion",
]
