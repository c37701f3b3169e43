"""What NPD Sync asks of another system: the one protocol, which every connector keeps.

What needs no call is a static method, so that it can be had without a connection. All calls raise ConnectorError, and
make exactly one request unless they say otherwise. Records' counterparts are items on boards; a column has an id and
a type, and `types` name the types of the columns that are read, because some need more to be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Protocol

from sync.connectors.base import board, board_items
from sync.connectors.base.conversion import Converter, ConverterOptions
from sync.connectors.base.errors import ConnectorError

# What the other system says of the account, and of what a call used of its limits.


@dataclass(frozen=True)
class AccountInfo:
    """What Monday says of the token and its account; empty or None where it says nothing.

    `version_kind` is the kind of the version that answered, `versions` gives the kind of every version.
    `day_limit` counts the calls of a UTC day for all tokens, extensions included; `usage_by_day` those used,
    by ISO date, as of `usage_as_of`. `unlimited`: Monday answered that the day has no limit, which is more
    than not answering. `field_errors` are the errors of the fields that Monday didn't answer.
    """

    user_id: str = ""
    user_name: str = ""
    tier: str = ""
    version_value: str = ""
    version_kind: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    day_limit: int | None = None
    unlimited: bool = False
    usage_by_day: Mapping[str, int] = field(default_factory=dict)
    usage_as_of: datetime | None = None
    field_errors: tuple[ConnectorError, ...] = ()


@dataclass(frozen=True)
class Complexity:
    """Points of one call and of the minute's budget (developer.monday.com/api-reference/docs/rate-limits)."""

    query: int
    before: int
    after: int
    reset_in_seconds: int


@dataclass(frozen=True)
class Limits:
    """What the headers RateLimit-Policy and RateLimit say; None for what they don't name.

    `…_limit` is the quota of a whole window, `…_left` what remains of it, `…_reset` in how many seconds the
    window ends (developer.monday.com/api-reference/docs/rate-limits).
    """

    minute_limit: int | None = None
    minute_left: int | None = None
    minute_reset: int | None = None
    concurrency_limit: int | None = None
    points_limit: int | None = None
    points_left: int | None = None
    points_reset: int | None = None


@dataclass(frozen=True, kw_only=True)
class CallReport:
    """What one call used, and by which id Monday's support finds it; `seconds` is how long it took."""

    request_id: str | None = None
    api_version: str | None = None
    complexity: Complexity | None = None
    limits: Limits | None = None
    seconds: float = 0.0


class Connector(Protocol):
    """One system, reached by a transport that sends its requests (and meters them)."""

    multiline_converters: ClassVar[Collection[str]]
    """Converters whose values are mostly of several lines."""
    readable_types: ClassVar[Collection[str]]
    distinctive_types: ClassVar[Collection[str]]
    """Types of which a board's only column is most likely the one that is looked for."""
    webhook_events: ClassVar[Sequence[str]]
    """The events for which a board needs a webhook each."""
    event_types: ClassVar[Mapping[board.EventKind, Collection[str]]]
    """Under which types deliveries of each kind are stored."""
    event_paths: ClassVar[board.EventPaths]
    items_per_read: ClassVar[int]

    def __init__(self, transport: Any) -> None: ...

    # Columns and their values.

    @staticmethod
    def converter(name: str, options: ConverterOptions = ...) -> Converter:
        """The converter of that name; raises KeyError for an unknown one."""

    @staticmethod
    def selectable_labels(column_type: str, settings: Mapping[str, Any]) -> frozenset[str] | None:
        """The labels that can be chosen in a column with these settings; None where its type has none."""

    @staticmethod
    def empty_reading(column_id: str, column_type: str) -> board_items.Reading:
        """How an empty cell of a column reads."""

    @staticmethod
    def phone_regions() -> Sequence[tuple[str, str]]:
        """The countries that phone numbers may be of: two-letter code and name, by name."""

    # Reading items.

    def read_batch(
        self,
        board_id: str,
        item_ids: Sequence[str],
        column_ids: Sequence[str],
        npd_id_column: str,
        npd_ids: Sequence[str],
        match: board_items.MatchColumn | None = None,
        match_values: Sequence[str] = (),
        types: Collection[str] = (),
    ) -> board_items.BatchItems:
        """The items by id, those that bear one of the NPD IDs, and those with one of the match values.

        Raises BoardNotFound where the board is not active; ValueError where there is nothing to ask.
        """

    def read_items(
        self, item_ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()
    ) -> list[board_items.Item]:
        """Up to `items_per_read` items by id, archived and deleted ones too; unknown ids are left out."""

    def list_items(
        self, board_id: str, column_ids: Sequence[str], types: Collection[str] = (), *, limit: int | None = None
    ) -> Iterator[list[board_items.Item]]:
        """A board's active items, one request for each page; raises CursorExpired where they take too long."""

    def next_page(self, cursor: str, column_ids: Sequence[str], types: Collection[str] = ()) -> board_items.ItemPage:
        """The page behind a cursor of `read_batch`."""

    # Writing items: prepared first, because a write is announced before it is sent.

    @staticmethod
    def prepare_changes(
        board_id: str,
        changes: Sequence[board_items.ItemChange],
        column_ids: Sequence[str],
        types: Collection[str] = (),
        *,
        create_labels: bool = False,
    ) -> board_items.WriteRequest:
        """New values of many items; with `create_labels` a label that the column lacks is created."""

    @staticmethod
    def prepare_creates(
        board_id: str,
        group_id: str | None,
        creates: Sequence[board_items.ItemCreate],
        column_ids: Sequence[str],
        types: Collection[str] = (),
        *,
        create_labels: bool = False,
    ) -> board_items.WriteRequest:
        """Many new items; without a group they go to the board's topmost one."""

    @staticmethod
    def prepare_archive(
        removals: Sequence[board_items.ItemRemoval], column_ids: Sequence[str], types: Collection[str] = ()
    ) -> board_items.WriteRequest:
        """Many items leave their board, and can be restored there."""

    @staticmethod
    def prepare_delete(
        removals: Sequence[board_items.ItemRemoval], column_ids: Sequence[str], types: Collection[str] = ()
    ) -> board_items.WriteRequest:
        """Many items are deleted."""

    def write(self, request: board_items.WriteRequest, key: str) -> board_items.WriteResult:
        """Send a write; under the same key it takes effect once, however often it is sent."""

    # What happened on a board.

    @staticmethod
    def parse_challenge(body: Mapping[str, Any]) -> str | None:
        """What the system expects back as it registers a webhook; None for a delivery."""

    @staticmethod
    def verify_signature(token: str, secret: str, audience: str, now: datetime) -> Any:
        """Check that a delivery is the system's; raises InvalidSignature."""

    @staticmethod
    def parse_event(body: Any) -> board.ItemEvent:
        """Read a delivery's body; raises InvalidEvent."""

    @staticmethod
    def change_body(kind: str, board_id: str, item_id: str) -> dict[str, Any]:
        """A delivery's body that says no more than that an item changed."""

    @staticmethod
    def webhook_bodies(entry: board.ActivityEntry, board_id: str) -> Iterable[dict[str, Any]]:
        """The deliveries that an entry of the log stands for, one for each item."""

    @staticmethod
    def changes_without_values(entry: board.ActivityEntry) -> bool:
        """Whether an entry says that items changed, but not to which values."""

    @staticmethod
    def concerns_items(entry: board.ActivityEntry) -> bool:
        """Whether an entry is about anything that a record could hold."""

    def board_activity(self, board_id: str, since: datetime, *, with_log: bool = True) -> board.BoardActivity:
        """Everything that a sweep needs of a board; raises BoardNotFound where it is not active.

        A second request asks for the log in another form, where the API's version refuses the first one.
        """

    def log_pages(
        self, board_id: str, since: datetime, first: board.BoardActivity
    ) -> Iterator[list[board.ActivityEntry]]:
        """The log's pages behind the first one, one request for each, newest first."""

    def updated_items(self, cursor: str) -> board.UpdatedItemsPage:
        """A further page of the items updated last."""

    # Boards.

    def read_boards(self, board_ids: Sequence[str]) -> dict[str, board.Board]:
        """Boards by id; those that don't exist or are hidden are absent. No ids, no request."""

    def list_boards(self) -> tuple[list[board.ListedBoard], bool]:
        """The boards that one can choose from, and whether these are all; one request for each hundred."""

    def create_board(self, title: str, on_created: Callable[[str], None]) -> board.Board:
        """Create a board and read it; `on_created` gets its id before the second request can fail."""

    def ensure_columns(self, board_id: str, title: str, wanted: Sequence[board.ColumnSpec]) -> board.BoardSetup:
        """Read the board, adopt the columns that it has, create those that are missing, one request for each.

        A board without a group that takes items gets one of this title. Raises BoardNotFound.
        """

    def ensure_webhooks(
        self,
        board_id: str,
        url: str,
        known: Mapping[str, str],
        on_change: Callable[[Sequence[board.OwnWebhook]], None] = ...,
    ) -> tuple[list[board.OwnWebhook], list[str]]:
        """Have one webhook to `url` for each event: all that are ours now, and what was done, as sentences.

        `known` gives the fingerprint of each one that we made. Raises WebhooksIncomplete, ValueError for an address
        that is too long.
        """

    # The account.

    def probe(self) -> AccountInfo:
        """The cheapest request that shows whether token, account and API are well: the user and the version."""

    def account_info(self) -> AccountInfo:
        """All that the system tells of the account, in one request, or two where it withholds a part."""

    def users(self) -> dict[str, dict[str, str]]:
        """Name and email address of the account's users by id, one request for each page."""

    @staticmethod
    def check_account(info: AccountInfo, requested_version: str) -> list[board.CheckResult]:
        """What the account's own answer shows."""

    def check_connection(
        self, info: AccountInfo, requested_version: str, boards: Sequence[board.BoardCheck]
    ) -> list[board.CheckResult]:
        """Check the account and everything about these boards; errors become results."""
