"""Every call of Monday's API that NPD Sync makes; documents and parsers are in the modules of their subjects."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sync.monday import account, board_events, board_items, errors, graphql, item_documents, lag
from sync.monday.account import AccountInfo
from sync.monday.columns.labels import label_settings
from sync.monday.errors import MondayError

# A listing starts again when its cursor expires, at most this often.
MAX_LISTINGS = 3

BOARDS_PER_PAGE = 100
MAX_LISTED_BOARDS = 1_000  # a person finds any other by its id

_ID_REJECTION_SCOPES = frozenset({errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.DOCUMENT})

# What may be the fault of one item of a page, or of the page's size.
ITEM_FAULT_SCOPES = frozenset(
    {errors.Scope.RECORD, errors.Scope.FIELD, errors.Scope.COLUMN, errors.Scope.DOCUMENT, errors.Scope.TRANSPORT}
)

# Our webhooks by id: its event, and the fingerprint of its address, which Monday doesn't return.
Hooks = dict[str, dict[str, str]]


class PageProgress:
    """The pages of a listing or a search so far, to tell when they lead nowhere."""

    def __init__(self) -> None:
        self._ids = set[str]()
        self._cursors = set[str]()
        self._repeats = 0

    def note(self, ids: Collection[str], cursor: str) -> None:
        """Note the ids of a page and the next one's cursor; raise LISTING_UNREADABLE where both only come again."""
        self._repeats += self._ids.issuperset(ids)
        if cursor in self._cursors or self._repeats >= lag.MAX_REPEATED_PAGES:
            raise MondayError(errors.LISTING_UNREADABLE, "Monday's listing of the board gives the same page again")
        self._ids |= set(ids)
        self._cursors.add(cursor)


class MondayConnector:
    """The calls of Monday's API, over MondayClient or a wrapper that meters it.

    All calls raise MondayError, and make one request unless their docstring says otherwise. `types` are the types of
    the columns that are read, because some need further fields.
    """

    def __init__(self, api: graphql.Api) -> None:
        self.api = api

    # Reading items.

    def read_batch(
        self,
        board_id: str,
        item_ids: Sequence[str],
        searches: Mapping[str, board_items.ColumnSearch],
        column_ids: Sequence[str],
        types: Collection[str] = (),
    ) -> board_items.BatchItems:
        """Read items by id, and those that the searches "by_npd_id" and "by_match" find.

        Raises BOARD_NOT_FOUND where the board is not active; ValueError where there is nothing to ask for.
        """
        document = item_documents.batch_query(board_id, item_ids, searches, column_ids, types)
        aliases = [alias for alias, search in searches.items() if search.values]
        aliases += ["board", "linked"] if item_ids else ["board"]
        return item_documents.parse_batch(graphql.send_query(self.api, document, *aliases), column_ids)

    def read_items(
        self, item_ids: Sequence[str], column_ids: Sequence[str], types: Collection[str] = ()
    ) -> list[board_items.Item]:
        """Return up to ITEMS_PER_READ items by id, archived and deleted ones too; unknown ids are left out."""
        document = item_documents.items_query(item_ids, column_ids, types)
        return item_documents.parse_items(graphql.send_query(self.api, document, "linked"), column_ids)

    def list_items(
        self,
        board_id: str,
        column_ids: Sequence[str],
        types: Collection[str] = (),
        unreadable: dict[str, MondayError] | None = None,
    ) -> Iterator[list[board_items.Item]]:
        """Yield a board's active items page by page, each item once; starts again if the cursor expires.

        Of a page that fails, the items are read by id. The ids of those that can't be read either are added to
        `unreadable`, which may have some already. Raises LISTING_UNREADABLE where the pages lead nowhere.
        """
        listed = set[str]()
        failing = {} if unreadable is None else unreadable
        for listing in range(1, MAX_LISTINGS + 1):
            try:
                for page in self._pages(board_id, column_ids, types, failing):
                    yield [item for item in page if item.id not in listed]
                    listed |= {item.id for item in page}
            except MondayError as error:
                if error.kind is not errors.CURSOR_EXPIRED or listing == MAX_LISTINGS:
                    raise
            else:
                return

    def _pages(
        self, board_id: str, column_ids: Sequence[str], types: Collection[str], unreadable: dict[str, MondayError]
    ) -> Iterator[list[board_items.Item]]:
        """Yield the pages of one listing."""
        progress = PageProgress()
        cursor: str | None = None
        while True:
            page, ids, cursor = self._page_at(board_id, cursor, column_ids, types, unreadable)
            yield page
            if cursor is None:
                return
            progress.note(ids, cursor)

    def _page_at(
        self,
        board_id: str,
        cursor: str | None,
        column_ids: Sequence[str],
        types: Collection[str],
        unreadable: dict[str, MondayError],
    ) -> tuple[list[board_items.Item], list[str], str | None]:
        """Return a page's items that can be read, the ids of all its items, and the next page's cursor."""
        try:
            page, following = self.read_page(board_id, cursor, column_ids, types)
        except MondayError as error:
            if error.scope not in ITEM_FAULT_SCOPES or error.kind is errors.CURSOR_EXPIRED:
                raise
            document = item_documents.item_ids_query(board_id, cursor)
            ids, following = item_documents.parse_item_ids(graphql.send_query(self.api, document, "page"))
            page = []
            for start in range(0, len(ids), item_documents.ITEMS_PER_READ):
                batch = ids[start : start + item_documents.ITEMS_PER_READ]
                page += self._read_in_parts(batch, column_ids, types, unreadable)
            # Read by id, an item may have left the board since the page was made.
            on_board = [item for item in page if item.state == "active" and item.board_id in (None, board_id)]
            return on_board, ids, following
        return page, [item.id for item in page], following

    def _read_in_parts(
        self, ids: Sequence[str], column_ids: Sequence[str], types: Collection[str], unreadable: dict[str, MondayError]
    ) -> list[board_items.Item]:
        """Read items by id, a batch that fails in halves, without those that fail alone."""
        readable = [item_id for item_id in ids if item_id not in unreadable]
        if not readable:
            return []
        try:
            return self.read_items(readable, column_ids, types)
        except MondayError as error:
            if error.scope not in ITEM_FAULT_SCOPES:
                raise
            if len(readable) == 1:
                unreadable[readable[0]] = error
                # So many failures are nobody's fault but Monday's.
                if len(unreadable) > lag.MAX_UNREADABLE_ITEMS:
                    raise
                return []
        middle = len(readable) // 2
        halves = (readable[:middle], readable[middle:])
        return [item for half in halves for item in self._read_in_parts(half, column_ids, types, unreadable)]

    def read_page(
        self, board_id: str, cursor: str | None, column_ids: Sequence[str], types: Collection[str] = ()
    ) -> board_items.ItemPage:
        """Return the first page of a board's active items, or the page at a cursor, also at one of `read_batch`."""
        document = item_documents.page_query(board_id, cursor, column_ids, types)
        return item_documents.parse_page(graphql.send_query(self.api, document, "page"), "page", column_ids)

    def write(self, request: board_items.WriteRequest, key: str) -> board_items.WriteResult:
        """Send a prepared write; under the same key it takes effect only once."""
        try:
            answer = self.api.execute(request.body["text"], request.body["variables"], idempotency_key=key)
        except MondayError as error:
            is_of_one_write = error.kind is errors.ANSWER_WITHOUT_DATA and len(request.aliases) == 1
            if not (is_of_one_write and error.has_written_nothing):
                raise
            return board_items.WriteResult({request.aliases[0]: error.errors[0]}, error.request_id or "")
        results = item_documents.parse_written_items(answer, request.aliases, request.column_ids)
        return board_items.WriteResult(results, answer.request_id or "", answer.replayed)

    def read_activity(self, board_id: str, since: datetime) -> board_events.BoardActivity:
        """Return all that a sweep needs to know about a board; raises BOARD_NOT_FOUND if it isn't active."""
        query = board_events.board_activity_query(board_id, since, board_events.log_form(self.api.version))
        return board_events.parse_board_activity(graphql.send_query(self.api, query))

    def read_log(
        self,
        board_id: str,
        since: datetime,
        until: datetime | None = None,
        after: board_events.BoardActivity | None = None,
    ) -> Iterator[list[board_events.ActivityEntry]]:
        """Yield the log's pages since a time, newest first, one request for each.

        They end at `until`, or follow the page `after`, which `read_activity` has read since the same time.
        """
        form = board_events.log_form(self.api.version)
        has_cursors = form is board_events.CURSOR_PAGES
        entries = list(after.log or ()) if after else []
        cursor = after.log_cursor if after else None
        cursors = set[str]()
        number = 1 if after else 0  # of the last page that was read
        # Pages with a cursor end without one, those with a number by a shorter page.
        while number == 0 or (cursor is not None if has_cursors else len(entries) >= form.rows):
            if cursor is not None:
                if cursor in cursors:
                    raise MondayError(errors.LOG_SHAPE_CHANGED, "Monday's activity log gives the same page again")
                cursors.add(cursor)
            # Beyond 10,000 rows a new query starts at the oldest row.
            elif number * form.rows >= board_events.LOG_ROWS:
                oldest = entries[-1].at.replace(microsecond=0)
                # More rows of one second can't be read. The nightly comparison finds what they changed.
                is_full_second = until is not None and oldest >= until
                until = oldest - timedelta(seconds=1) if is_full_second else oldest
                number = 0
            number += 1
            page = cursor if has_cursors else number
            query = board_events.log_page_query(board_id, since, form, page, until)
            entries, cursor = board_events.parse_log_page(graphql.send_query(self.api, query))
            yield entries

    def read_boards(self, board_ids: Sequence[str]) -> dict[str, board_items.Board]:
        """Return boards by id, without those that don't exist or are hidden; makes no request for no ids.

        Raises also where a part of a board is missing, because set-up would create it again.
        """
        if not board_ids:
            return {}
        document = graphql.Document(board_items.READ_BOARDS, {"ids": list(board_ids)})
        nodes = graphql.query_root(self.api, document, "boards")
        boards = [board_items.parse_board(node) for node in nodes if isinstance(node, Mapping)]
        return {board.id: board for board in boards}

    def list_boards(self) -> tuple[list[board_items.BoardSummary], bool]:
        """Return the active boards that the token's user sees, by name, and whether these are all.

        Makes one request for each hundred boards.
        """
        boards: list[board_items.BoardSummary] = []
        is_complete = False
        for page in range(1, MAX_LISTED_BOARDS // BOARDS_PER_PAGE + 1):
            document = graphql.Document(board_items.LIST_BOARDS, {"page": page, "limit": BOARDS_PER_PAGE})
            nodes = graphql.query_root(self.api, document, "boards")
            boards += [
                board_items.BoardSummary(
                    str(node["id"]), str(node.get("name") or ""), graphql.int_or_none(node.get("items_count"))
                )
                for node in nodes
                if isinstance(node, Mapping) and node.get("id") and node.get("type") not in board_items.NOT_BOARDS
            ]
            is_complete = len(nodes) < BOARDS_PER_PAGE
            if is_complete:
                break
        return sorted(boards, key=lambda board: (board.name.casefold(), board.id)), is_complete

    def create_board(self, title: str, on_created: Callable[[str], None]) -> board_items.Board:
        """Create a board and read it; `on_created` gets its id before the second request can fail."""
        document = graphql.Document(board_items.CREATE_BOARD, {"title": title})
        board_id = str(graphql.mutate_root(self.api, document, "create_board")["id"])
        on_created(board_id)
        board = self.read_boards([board_id]).get(board_id)
        if board is None:
            message = f"Board {board_id} was made but can't be read yet; run the set-up again in a minute"
            raise MondayError(errors.UNREADABLE_ANSWER, message)
        return board

    def ensure_columns(
        self, board_id: str, group_title: str, specs: Sequence[board_items.ColumnSpec]
    ) -> board_items.BoardSetup:
        """Read the board, adopt its fitting columns and create the missing ones, one request for each.

        A second run adopts what the first one created. In a board without a group for items it creates one. Raises
        BOARD_NOT_FOUND.
        """
        board = self.read_boards([board_id]).get(board_id)
        # Not replaced by another board, because a person may have chosen this one.
        if board is None or not board.is_active:
            message = f"Board {board_id} is {board.state if board else 'not to be found'}"
            raise MondayError(errors.BOARD_NOT_FOUND, message)
        created = []
        if not board.groups:
            document = graphql.Document(board_items.CREATE_GROUP, {"board": board.id, "title": group_title})
            group = graphql.mutate_root(self.api, document, "create_group")
            board = replace(board, groups={str(group["id"]): group_title})
            created.append(board_items.Reason("step_group", title=group_title))
        available = list(board.columns)
        columns: dict[str, board_items.BoardColumn] = {}
        for spec in specs:
            column = board_items.adoptable_column(spec, available)
            if column is not None:
                columns[spec.key] = column
                # One column serves one field.
                available.remove(column)
        adopted = [
            board_items.Reason("step_column_there", title=column.title, id=column.id) for column in columns.values()
        ]
        for spec in specs:
            if spec.key not in columns:
                column = self._create_column(board.id, spec)
                columns[spec.key] = column
                created.append(board_items.Reason("step_column", title=spec.title, id=column.id))
        return board_items.BoardSetup(board, columns, created, adopted)

    def _create_column(self, board_id: str, spec: board_items.ColumnSpec) -> board_items.BoardColumn:
        variables = {"board": board_id, "title": spec.title, "type": spec.type}
        # Monday sets a relation's target when the column is created. It takes one item, because NPD has one related
        # record.
        if spec.type == board_items.RELATION and spec.target_board is not None:
            settings = {"boardIds": [int(spec.target_board)], "allowMultipleItems": False}
            variables["defaults"] = json.dumps(settings)
        elif labels := label_settings(spec.type, spec.labels):
            variables["defaults"] = json.dumps(labels)
        if spec.preferred_id:
            try:
                return self._send_column(variables | {"id": spec.preferred_id})
            except MondayError as error:
                cause = error.errors[0] if len(error.errors) == 1 else error
                # Monday rejects the id of a deleted column, and chooses one itself if it gets none. An error about the
                # account, the board or the network is no rejection of the id.
                if cause.scope not in _ID_REJECTION_SCOPES:
                    raise
        return self._send_column(variables)

    def _send_column(self, variables: Mapping[str, Any]) -> board_items.BoardColumn:
        node = graphql.mutate_root(self.api, graphql.Document(board_items.CREATE_COLUMN, variables), "create_column")
        return board_items.parse_column(node)

    def read_webhooks(self, board_id: str) -> dict[str, str]:
        """Return the event of each webhook of a board by id, those of other programs too."""
        document = graphql.Document(board_events.READ_WEBHOOKS, {"board": board_id})
        nodes = graphql.query_root(self.api, document, "webhooks")
        return {str(node["id"]): str(node["event"]) for node in nodes if node}

    def ensure_webhooks(
        self, board_id: str, url: str, stored: Mapping[str, Mapping[str, str]], store: Callable[[Hooks], None]
    ) -> list[board_items.Reason]:
        """Create the missing webhooks to `url`, one for each event, and delete superfluous ones; return the steps.

        `stored` are our webhooks; others are left alone. `store` gets ours after each step, because a webhook whose id
        is lost with a killed process would stay on the board for ever. Raises WEBHOOKS_INCOMPLETE, and ValueError for
        an address that is too long.
        """
        limit = board_events.MAX_URL_CHARACTERS
        if len(url) > limit:
            raise ValueError(f"A webhook's address can have {limit} characters; this one has {len(url)}.")
        fingerprint = board_events.url_fingerprint(url)
        existing = self.read_webhooks(board_id)
        ours: Hooks = {
            hook_id: {"event": event, "fingerprint": str(stored[hook_id]["fingerprint"])}
            for hook_id, event in existing.items()
            if hook_id in stored
        }
        # The id by event; a second webhook for the same event and address is superfluous.
        current: dict[str, str] = {}
        for hook_id, hook in ours.items():
            if hook["fingerprint"] == fingerprint:
                current.setdefault(hook["event"], hook_id)
        steps = []
        try:
            for event in board_events.WEBHOOK_EVENTS:
                if event not in current:
                    current[event] = self._create_webhook(board_id, url, event)
                    ours[current[event]] = {"event": event, "fingerprint": fingerprint}
                    steps.append(board_items.Reason("step_webhook", event=event, board=board_id))
                    store(dict(ours))
            # Deleted last, so that no event is ever without a webhook.
            needed = {current[event] for event in board_events.WEBHOOK_EVENTS}
            for hook_id in [hook_id for hook_id in ours if hook_id not in needed]:
                self.delete_webhook(hook_id)
                event = ours.pop(hook_id)["event"]
                steps.append(board_items.Reason("step_webhook_gone", event=event, id=hook_id))
                store(dict(ours))
        except MondayError as error:
            store(dict(ours))
            message = f"{error.message.rstrip(' .')}. {error.advice.rstrip(' .')}"
            raise error.as_kind(errors.WEBHOOKS_INCOMPLETE, message, [error]) from error
        store(dict(ours))
        return steps

    def delete_webhook(self, hook_id: str) -> None:
        """Delete a webhook; raises MondayError."""
        document = graphql.Document(board_events.DELETE_WEBHOOK, {"id": hook_id})
        graphql.mutate_root(self.api, document, "delete_webhook")

    def _create_webhook(self, board_id: str, url: str, event: str) -> str:
        variables = {"board": board_id, "url": url, "event": event}
        answer = graphql.send_mutation(self.api, graphql.Document(board_events.CREATE_WEBHOOK, variables))
        node = answer.data.get("create_webhook")
        if node is not None:
            return str(node["id"])
        if causes := answer.errors_of("create_webhook") or answer.errors:
            raise causes[0]
        # Null without an error is Monday's sign of a failed handshake (community topics 27219, 51686).
        raise MondayError(
            errors.WEBHOOK_ADDRESS_UNREACHABLE,
            f"Monday could not reach the webhook address for {event} on board {board_id}",
            request_id=answer.request_id,
        )

    def ping(self) -> AccountInfo:
        """Return the user and the version, by the cheapest request that shows whether token, account and API work."""
        return account.parse_account_info(self.api.execute(account.PING, {}))

    def read_account_info(self) -> AccountInfo:
        """Return what Monday answers about the account; if the query is rejected, by a second one for any token."""
        try:
            return account.parse_account_info(self.api.execute(account.ACCOUNT_INFO, {}))
        except MondayError as error:
            # Without a scope Monday may reject the whole query instead of single fields.
            is_of_a_field = error.scope in (errors.Scope.RECORD, errors.Scope.FIELD) or error.kind.refuses_document
            if not is_of_a_field and error.kind not in (errors.BOARD_FORBIDDEN, errors.PERMISSION_MISSING):
                raise
            info = account.parse_account_info(self.api.execute(account.SHORT_ACCOUNT_INFO, {}))
            # The check of the connection shows which permission is missing.
            return replace(info, field_errors=(*info.field_errors, error))

    def read_users(self) -> dict[str, dict[str, str]]:
        """Return name and email address of up to 1,000 users by id."""
        return account.parse_users(self.api.execute(account.USERS, {}))
