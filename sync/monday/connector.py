"""Every call of Monday's API that NPD Sync makes. What needs no call stands beside it, in the module of its subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

from sync.monday import board_events, board_structure, connection, items
from sync.monday.board import (
    ActivityEntry,
    Board,
    BoardActivity,
    BoardCheck,
    BoardSetup,
    CheckResult,
    ColumnSpec,
    ListedBoard,
    OwnWebhook,
    UpdatedItemsPage,
)
from sync.monday.board_items import BatchItems, Item, ItemPage, MatchColumn, WriteRequest, WriteResult
from sync.monday.errors import ANSWER_WITHOUT_DATA, MondayError
from sync.monday.graphql import Api, ask
from sync.monday.usage import AccountInfo


class MondayConnector:
    """Monday by a transport that sends its documents: MondayClient, or what meters it.

    All calls raise MondayError, and make exactly one request unless they say otherwise. `types` name the types of
    the columns that are read, because some need more to be asked for.
    """

    def __init__(self, transport: Api) -> None:
        self.api = transport

    # Reading items.

    def read_batch(
        self,
        board_id: str,
        item_ids: Sequence[str],
        column_ids: Sequence[str],
        npd_id_column: str,
        npd_ids: Sequence[str],
        match: MatchColumn | None = None,
        match_values: Sequence[str] = (),
        types: Collection[str] = (),
    ) -> BatchItems:
        """The items by id, those that bear one of the NPD IDs, and those with one of the match values.

        Raises BOARD_NOT_FOUND where the board is not active; ValueError where there is nothing to ask.
        """
        document = items.batch_query(board_id, item_ids, column_ids, npd_id_column, npd_ids, match, match_values, types)
        return items.parse_batch(ask(self.api, document), column_ids)

    def read_items(self, item_ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()) -> list[Item]:
        """Up to ITEMS_PER_READ items by id, archived and deleted ones too; unknown ids are left out."""
        return items.parse_items(ask(self.api, items.items_query(item_ids, column_ids, types)), column_ids)

    def list_items(
        self,
        board_id: str,
        column_ids: Sequence[str],
        types: Collection[str] = (),
        *,
        limit: int = items.ITEMS_PER_PAGE,
    ) -> Iterator[list[Item]]:
        """A board's active items, one request for each page; raises CURSOR_EXPIRED where they take too long."""
        first = items.first_page_query(board_id, column_ids, limit=limit, types=types)
        page = items.parse_page(ask(self.api, first), column_ids)
        yield page.items
        while page.cursor:
            page = self.next_page(page.cursor, column_ids, types)
            yield page.items

    def next_page(self, cursor: str, column_ids: Sequence[str], types: Collection[str] = ()) -> ItemPage:
        """The page behind a cursor of `read_batch`."""
        return items.parse_page(ask(self.api, items.next_page_query(cursor, column_ids, types)), column_ids)

    # Writing items, by a request that was prepared and announced before.

    def write(self, request: WriteRequest, key: str) -> WriteResult:
        """Send a write; under the same key it takes effect once, however often it is sent."""
        try:
            answer = self.api.execute(request.body["text"], request.body["variables"], idempotency_key=key)
        except MondayError as answered:
            if answered.kind is not ANSWER_WITHOUT_DATA or len(request.aliases) > 1 or not answered.is_refusal:
                raise
            # Nothing else was asked for, so what the error says is of the one write.
            return WriteResult({request.aliases[0]: answered.errors[0]}, answered.request_id or "")
        written = items.parse_written_items(answer, request.aliases, request.column_ids)
        return WriteResult(written, answer.request_id or "", answer.replayed)

    # What happened on a board.

    def board_activity(self, board_id: str, since: datetime, *, with_log: bool = True) -> BoardActivity:
        """Everything that a sweep needs of a board; raises BOARD_NOT_FOUND where it is not active.

        A second request asks for the log in another form, where the API's version refuses the first one.
        """
        if with_log:
            return board_events.read_board_activity(self.api, board_id, since)
        document = board_events.board_activity_query(board_id, since, None)
        return board_events.parse_board_activity(ask(self.api, document))

    def log_pages(self, board_id: str, since: datetime, first: BoardActivity) -> Iterator[list[ActivityEntry]]:
        """The log's pages behind the first one, one request for each, newest first."""
        return board_events.log_pages(self.api, board_id, since, first)

    def updated_items(self, cursor: str) -> UpdatedItemsPage:
        """A further page of the items updated last."""
        return board_events.parse_updated_items(ask(self.api, board_events.updated_items_query(cursor)))

    # Boards.

    def read_boards(self, board_ids: Sequence[str]) -> dict[str, Board]:
        """Boards by id; those that don't exist or are hidden are absent. No ids, no request."""
        return board_structure.read_boards(self.api, board_ids)

    def list_boards(self) -> tuple[list[ListedBoard], bool]:
        """The boards that one can choose from, and whether these are all; one request for each hundred."""
        return board_structure.list_boards(self.api)

    def create_board(self, title: str, on_created: Callable[[str], None]) -> Board:
        """Create a board and read it; `on_created` gets its id before the second request can fail."""
        return board_structure.create_board(self.api, title, on_created)

    def ensure_columns(self, board_id: str, title: str, wanted: Sequence[ColumnSpec]) -> BoardSetup:
        """Read the board, adopt the columns that it has, create those that are missing, one request for each.

        A board without a group that takes items gets one of this title. Raises BOARD_NOT_FOUND.
        """
        return board_structure.ensure_columns(self.api, board_id, title, wanted)

    def ensure_webhooks(
        self,
        board_id: str,
        url: str,
        known: Mapping[str, str],
        on_change: Callable[[Sequence[OwnWebhook]], None] = lambda hooks: None,
    ) -> tuple[list[OwnWebhook], list[str]]:
        """Have one webhook to `url` for each event: all that are ours now, and what was done, as sentences.

        `known` gives the fingerprint of each one that we made. Raises WEBHOOKS_INCOMPLETE, ValueError for an address
        that is too long.
        """
        return board_events.ensure_webhooks(self.api, board_id, url, known, on_change)

    # The account.

    def probe(self) -> AccountInfo:
        """The cheapest request that shows whether token, account and API are well: the user and the version."""
        return connection.parse_account_info(self.api.execute(connection.PROBE, {}))

    def account_info(self) -> AccountInfo:
        """All that Monday tells of the account, in one request, or two where it withholds a part."""
        return connection.read_account_info(self.api)

    def users(self) -> dict[str, dict[str, str]]:
        """Name and email address of the account's users by id, one request for each page."""
        return connection.all_users(self.api)

    def check_connection(
        self, info: AccountInfo, requested_version: str, boards: Sequence[BoardCheck]
    ) -> list[CheckResult]:
        """Check the account and everything about these boards; errors become results."""
        return connection.check_connection(self.api, info, requested_version, boards)
