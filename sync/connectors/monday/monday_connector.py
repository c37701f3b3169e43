"""Monday.com behind the port: each call of it as one document, sent and read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

from sync.connectors.base.board import BoardActivity, UpdatedItemsPage
from sync.connectors.base.board_items import Item, Reading, WriteRequest, WriteResult
from sync.connectors.base.connector import AccountInfo, Connector
from sync.connectors.base.errors import AnswerWithoutData
from sync.connectors.monday import board_events, board_structure, columns, connection, items
from sync.connectors.monday.columns.places import phone_regions
from sync.connectors.monday.graphql import Answer, Api, Document, ask

Params = ParamSpec("Params")
Found = TypeVar("Found")


def _with_api(call: Callable[Concatenate[Api, Params], Found]) -> Callable[Concatenate[MondayConnector, Params], Found]:
    """The method that makes this call by the connector's transport."""

    def method(self: MondayConnector, /, *args: Params.args, **kwargs: Params.kwargs) -> Found:
        return call(self.api, *args, **kwargs)

    return method


def _reading(
    query: Callable[Params, Document], parse: Callable[[Answer, Sequence[str]], Found]
) -> Callable[Concatenate[MondayConnector, Params], Found]:
    """The method that asks for items by this document and reads the columns that it names."""

    def method(self: MondayConnector, /, *args: Params.args, **kwargs: Params.kwargs) -> Found:
        document = query(*args, **kwargs)
        return parse(ask(self.api, document), document.variables["columns"])

    return method


class MondayConnector(Connector):
    """`transport` sends a document: MondayClient, or what meters it."""

    multiline_converters = frozenset(column.name for column in columns.COLUMN_CLASSES if column.is_multiline)
    readable_types = frozenset(columns.BY_TYPE)
    distinctive_types = frozenset(kind for kind, column in columns.BY_TYPE.items() if column.is_distinctive)
    webhook_events = board_events.WEBHOOK_EVENTS
    event_types = board_events.EVENT_TYPES
    event_paths = board_events.EVENT_PATHS
    items_per_read = items.ITEMS_PER_READ

    converter = staticmethod(columns.make_converter)
    phone_regions = staticmethod(phone_regions)
    parse_challenge = staticmethod(board_events.parse_challenge)
    verify_signature = staticmethod(board_events.verify_jwt)
    parse_event = staticmethod(board_events.parse_event)
    change_body = staticmethod(board_events.change_body)
    webhook_bodies = staticmethod(board_events.webhook_bodies)
    changes_without_values = staticmethod(board_events.changes_without_values)
    concerns_items = staticmethod(board_events.concerns_items)
    check_account = staticmethod(connection.check_account)
    prepare_changes = staticmethod(items.prepare_changes)
    prepare_creates = staticmethod(items.prepare_creates)
    prepare_archive = staticmethod(partial(items.prepare_removal, "archive_item"))
    prepare_delete = staticmethod(partial(items.prepare_removal, "delete_item"))

    read_batch = _reading(items.batch_query, items.parse_batch)
    read_items = _reading(items.items_query, items.parse_items)
    next_page = _reading(items.next_page_query, items.parse_page)

    log_pages = _with_api(board_events.log_pages)
    read_boards = _with_api(board_structure.read_boards)
    list_boards = _with_api(board_structure.list_boards)
    create_board = _with_api(board_structure.create_board)
    ensure_columns = _with_api(board_structure.ensure_columns)
    ensure_webhooks = _with_api(board_events.ensure_webhooks)
    account_info = _with_api(connection.read_account_info)
    users = _with_api(connection.all_users)
    check_connection = _with_api(connection.check_connection)

    @staticmethod
    def selectable_labels(column_type: str, settings: Mapping[str, Any]) -> frozenset[str] | None:
        column = columns.BY_TYPE.get(column_type)
        return connection.selectable_labels(settings) if column and column.has_labels else None

    @staticmethod
    def empty_reading(column_id: str, column_type: str) -> Reading:
        column = columns.BY_TYPE.get(column_type)
        return Reading(column_id, column_type, text="", extra=column.empty_fields if column else {})

    def __init__(self, transport: Api) -> None:
        self.api = transport

    def list_items(
        self, board_id: str, column_ids: Sequence[str], types: Collection[str] = (), *, limit: int | None = None
    ) -> Iterator[list[Item]]:
        limited = {} if limit is None else {"limit": limit}
        first = items.first_page_query(board_id, column_ids, types=types, **limited)
        page = items.parse_page(ask(self.api, first), column_ids)
        yield page.items
        while page.cursor:
            page = self.next_page(page.cursor, column_ids, types)
            yield page.items

    def write(self, request: WriteRequest, key: str) -> WriteResult:
        try:
            answer = self.api.execute(request.body["text"], request.body["variables"], idempotency_key=key)
        except AnswerWithoutData as answered:
            if len(request.aliases) > 1 or not answered.is_refusal:
                raise
            # Nothing else was asked for, so what the error says is of the one write.
            return WriteResult({request.aliases[0]: answered.errors[0]}, answered.request_id or "")
        written = items.parse_written_items(answer, request.aliases, request.column_ids)
        return WriteResult(written, answer.request_id or "", answer.replayed)

    def board_activity(self, board_id: str, since: datetime, *, with_log: bool = True) -> BoardActivity:
        if with_log:
            return board_events.read_board_activity(self.api, board_id, since)
        return board_events.parse_board_activity(
            ask(self.api, board_events.board_activity_query(board_id, since, None))
        )

    def updated_items(self, cursor: str) -> UpdatedItemsPage:
        return board_events.parse_updated_items(ask(self.api, board_events.updated_items_query(cursor)))

    def probe(self) -> AccountInfo:
        return connection.parse_account_info(self.api.execute(connection.PROBE, {}))
