"""Every document of the connector, and the schemas of Monday's versions that each has to fit.

Our schema is the sandbox's. MONDAY_SCHEMA names Monday's own, with any `schema.YYYY-MM.graphql` beside it.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from graphql import GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate
from graphql.execution.values import get_variable_values

from sandbox.graph.documents import SCHEMA_FILE
from sandbox.graph.resolvers import CURRENT, MAINTENANCE
from sync.monday import account, account_probe, board_events, board_items, item_documents
from sync.monday.board_items import ColumnSearch, ItemWrite, WriteRequest
from sync.monday.graphql import Document

# The versions that Monday serves now and next.
SERVED = (MAINTENANCE, CURRENT, board_events.CURSOR_PAGES_SINCE)

# The log since 2027-01 (developer.monday.com/api-reference/changelog, the page
# board-activity-logs-cursor-pagination-and-90-day-limit); the sandbox plays 2026-10.
LOG_IN_PAGES = "  activity_logs(cursor: String, from: String, limit: Int, to: String): BoardActivityLogsPage"
LOG_PAGE = "type BoardActivityLogsPage { cursor: String logs: [ActivityLogType!] }"

COLUMNS = ["npd_id", "email_1"]
MOMENT = datetime(2026, 11, 20, 14, 0, tzinfo=UTC)
TYPED = ["board_relation", "checkbox", "dropdown", "status"]


def sent(request: WriteRequest) -> Document:
    return Document(**request.body)


def documents(version: str) -> dict[str, Document]:
    """Every document for this version of the API, by what it is for."""
    return dict(_documents(board_events.log_form(version)))


def _documents(form: board_events.LogForm) -> Iterator[tuple[str, Document]]:
    by_npd_id = {"by_npd_id": ColumnSearch("npd_id", "text", ["n-1"])}
    yield "ping", Document(account.PING, {})
    yield "read_items", item_documents.items_query(["1", "2"], COLUMNS)
    yield "look by id", item_documents.batch_query("7", ["1"], {}, COLUMNS)
    yield "look by NPD ID", item_documents.batch_query("7", [], by_npd_id, COLUMNS)
    by_email = ColumnSearch("email_1", "email", ["a@b.test"])
    yield "look by email", item_documents.batch_query("7", ["1"], {**by_npd_id, "by_match": by_email}, COLUMNS)
    by_name = ColumnSearch("name", "name", ["Ada"])
    yield "look by name", item_documents.batch_query("7", [], {"by_match": by_name}, COLUMNS)
    for name, cursor in (("first page", None), ("next page", "cursor")):
        yield name, item_documents.page_query("7", cursor, COLUMNS)
        yield f"ids of the {name}", item_documents.item_ids_query("7", cursor)
    changes = [ItemWrite("u0", {"name": "Ada"}, "1"), ItemWrite("u1", {}, "2")]
    yield "change", sent(item_documents.prepare_changes("7", changes, COLUMNS))
    creates = [ItemWrite("c0", {"name": "Ada", "email_1": None}), ItemWrite("c1", {"name": "Bob", "npd_id": "n-2"})]
    yield "create", sent(item_documents.prepare_creates("7", None, creates, COLUMNS))
    yield "create in a group", sent(item_documents.prepare_creates("7", "topics", creates, COLUMNS))
    leaving = {"a0": "1", "a1": "2"}
    yield "archive", sent(item_documents.prepare_removal("archive", leaving, COLUMNS, TYPED))
    yield "delete", sent(item_documents.prepare_removal("delete", leaving, COLUMNS))
    yield "read boards", Document(board_items.READ_BOARDS, {"ids": ["7", "8"]})
    yield "create board", Document(board_items.CREATE_BOARD, {"title": "Contacts"})
    yield "create group", Document(board_items.CREATE_GROUP, {"board": "7", "title": "Contacts"})
    column = {"board": "7", "title": "Email", "type": "email"}
    yield "create column", Document(board_items.CREATE_COLUMN, column | {"id": "npd_email"})
    yield "create column without id", Document(board_items.CREATE_COLUMN, column)
    relation = column | {"type": "board_relation", "defaults": '{"boardIds":[8]}'}
    yield "create column of connected boards", Document(board_items.CREATE_COLUMN, relation)
    yield "read webhooks", Document(board_events.READ_WEBHOOKS, {"board": "7"})
    hook = {"board": "7", "url": "https://npd.test/", "event": "create_item"}
    yield "create webhook", Document(board_events.CREATE_WEBHOOK, hook)
    yield "delete webhook", Document(board_events.DELETE_WEBHOOK, {"id": "3"})
    for every in (set(TYPED), {"status"}, {"text", "timeline"}):
        words = ", ".join(sorted(every))
        yield f"read {words}", item_documents.items_query(["1"], COLUMNS, every)
        change = [ItemWrite("u0", {"status": {"label": "New"}}, "1")]
        yield f"change {words}", sent(item_documents.prepare_changes("7", change, COLUMNS, every, create_labels=True))
        create = item_documents.prepare_creates("7", "topics", creates, COLUMNS, every, create_labels=True)
        yield f"create with {words}", sent(create)
    yield "account info", Document(account.ACCOUNT_INFO, {})
    yield "short account info", Document(account.SHORT_ACCOUNT_INFO, {})
    yield "users", Document(account.USERS, {})
    yield "what happened since", board_events.board_activity_query("7", MOMENT, form)
    page = 2 if form is board_events.NUMBERED_PAGES else "cursor"
    yield "page of the log", board_events.log_page_query("7", MOMENT, form, page)
    yield "page of the log up to a time", board_events.log_page_query("7", MOMENT, form, page, MOMENT)
    yield "probe: delete a board", Document(account_probe.DELETE_BOARD, {"board": "7"})
    yield "probe: move an item", Document(account_probe.MOVE_ITEM, {"item": "1", "group": "topics"})
    to_board = {"item": "1", "board": "8", "group": "topics"}
    yield "probe: move an item to another board", Document(account_probe.MOVE_TO_BOARD, to_board)
    yield "probe: the latest items", Document(account_probe.LATEST, {"board": "7"})
    yield "list of boards", Document(board_items.LIST_BOARDS, {"page": 1, "limit": 100})


def our_schema(version: str) -> GraphQLSchema:
    """The sandbox's schema with this version's own log."""
    text = SCHEMA_FILE.read_text(encoding="utf-8")
    if version >= board_events.CURSOR_PAGES_SINCE:
        text = re.sub(r"(?m)^  activity_logs\(.*$", LOG_IN_PAGES, text) + LOG_PAGE
    return build_schema(text)


def official_schemas() -> dict[str, Path]:
    """Monday's own files by version; the one that is named is of the current version."""
    named = os.environ.get("MONDAY_SCHEMA")
    if not named or not Path(named).is_file():
        return {}
    beside = {path.name.split(".")[1]: path for path in Path(named).parent.glob("schema.20??-??.graphql")}
    return beside | {CURRENT: Path(named)}


def document_faults(schema: GraphQLSchema, document: Document) -> list[str]:
    tree = parse(document.text)
    faults = [error.message for error in validate(schema, tree)]
    (operation,) = (node for node in tree.definitions if isinstance(node, OperationDefinitionNode))
    definitions = operation.variable_definitions or ()
    undeclared = set(document.variables) - {node.variable.name.value for node in definitions}
    faults += [f"${name} is not declared" for name in undeclared]
    values = get_variable_values(schema, definitions, dict(document.variables))
    return faults + ([error.message for error in values] if isinstance(values, list) else [])


def all_faults(schema: GraphQLSchema, version: str) -> dict[str, list[str]]:
    checked = {name: document_faults(schema, document) for name, document in documents(version).items()}
    return {name: faults for name, faults in checked.items() if faults}
