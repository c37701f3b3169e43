"""What a board is made of, and the documents that read and make boards, columns, groups and webhooks."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sync.connectors.monday.answers import Answer, Api
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import MondayError, UnreadableAnswer

# 25 boards a page unless asked otherwise, and only active ones (reference/boards); `settings` since 2025-10.
BOARD_FIELDS = """id name state items_count items_limit
    groups { id title archived deleted }
    columns { id title type archived settings }"""
READ_BOARDS = f"""query Boards($ids: [ID!]!) {{
  boards(ids: $ids, state: all, limit: 100) {{
    {BOARD_FIELDS}
  }}
}}"""
CREATE_BOARD = """mutation CreateBoard($title: String!) {
  create_board(board_name: $title, board_kind: public, empty: true) { id }
}"""
CREATE_GROUP = """mutation CreateGroup($board: ID!, $title: String!) {
  create_group(board_id: $board, group_name: $title) { id title }
}"""
CREATE_COLUMN = """mutation CreateColumn(
  $board: ID!, $title: String!, $type: ColumnType!, $id: String, $defaults: JSON
) {
  create_column(board_id: $board, title: $title, column_type: $type, id: $id, defaults: $defaults) {
    id title type settings
  }
}"""
# The board's webhooks of every maker; their addresses are not told (reference/webhooks).
READ_WEBHOOKS = "query Webhooks($board: ID!) { webhooks(board_id: $board) { id board_id event config } }"
CREATE_WEBHOOK = """mutation CreateWebhook($board: ID!, $url: String!, $event: WebhookEventType!) {
  create_webhook(board_id: $board, url: $url, event: $event) { id board_id event }
}"""
DELETE_WEBHOOK = "mutation DeleteWebhook($id: ID!) { delete_webhook(id: $id) { id } }"

_DISPENSABLE = frozenset({"items_count", "items_limit", "name", "config"})
"""Fields without which a board can be set up all the same."""


@dataclass(frozen=True)
class BoardColumn:
    """A column that is there and not archived; `settings` as Monday gives them: labels, boardIds …"""

    id: str
    title: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target_boards(self) -> frozenset[str]:
        """The boards whose items a board_relation column may name (reference/connect)."""
        boards = self.settings.get("boardIds")
        return frozenset(str(board) for board in boards) if isinstance(boards, list) else frozenset()


@dataclass(frozen=True)
class Board:
    """A board as Monday answers it; `state` is active, archived or deleted.

    `groups` gives the title of each group that can take items, the topmost first; `items_limit` is how many
    items the board takes, None where Monday doesn't say.
    """

    id: str
    name: str
    state: str
    groups: Mapping[str, str]
    columns: tuple[BoardColumn, ...]
    items_count: int | None = None
    items_limit: int | None = None

    @property
    def is_active(self) -> bool:
        """Whether items can be read and written."""
        return self.state == "active"

    @property
    def group_id(self) -> str | None:
        """The topmost group that can take items."""
        return next(iter(self.groups), None)

    def column(self, column_id: str) -> BoardColumn | None:
        """The column with this id, if it is there."""
        return next((column for column in self.columns if column.id == column_id), None)


def read_boards(api: Api, board_ids: Sequence[str]) -> dict[str, Board]:
    """Boards by id; those that don't exist or are hidden from the token's user are absent.

    Raises MondayError, also where a part of a board was left out: it must not look like one that has to be made.
    """
    if not board_ids:
        return {}
    nodes = ask(api, Document(READ_BOARDS, {"ids": list(board_ids)}), "boards")
    boards = [board_from(node) for node in nodes if isinstance(node, Mapping)]
    return {board.id: board for board in boards}


def ask(api: Api, document: Document, alias: str) -> Any:
    """One root field of an answer.

    Raises its error, or one below it, but of what can be done without; UnreadableAnswer where it is null without one.
    """
    answer = api.execute(*document)
    for error in answer.errors_of(alias):
        if error.path[-1] not in _DISPENSABLE:
            raise error
    return _root(answer, alias)


def make(api: Api, document: Document, alias: str) -> Any:
    """Send one mutation and return its root field, once more under its key where no answer came.

    Monday replays what the first one did (developer.monday.com/api-reference/docs/idempotency), so that a lost
    answer makes nothing twice. Raises MondayError.
    """
    return _root(execute_once(api, document), alias)


def execute_once(api: Api, document: Document) -> Answer:
    """Send a mutation under a key of its own, and the same again where its outcome is unknown."""
    key = uuid.uuid4().hex
    try:
        return api.execute(*document, idempotency_key=key)
    except MondayError as error:
        if not error.outcome_unknown:
            raise
    return api.execute(*document, idempotency_key=key)


def column_from(node: Mapping[str, Any]) -> BoardColumn:
    """A column as a query or create_column answers it."""
    return BoardColumn(
        str(node["id"]), str(node.get("title") or ""), str(node.get("type")), _settings(node.get("settings"))
    )


def _root(answer: Answer, alias: str) -> Any:
    node = (answer.data or {}).get(alias)
    if node is not None:
        return node
    errors: tuple[MondayError, ...] = answer.errors_of(alias) or answer.errors
    if errors:
        raise errors[0]
    raise UnreadableAnswer(f"Monday answered nothing for {alias}", request_id=answer.request_id)


def board_from(node: Mapping[str, Any]) -> Board:
    """A board as a query with BOARD_FIELDS answers it; raises UnreadableAnswer where its parts are not told."""
    groups = [
        group for group in _parts(node, "groups") if not group.get("archived") and not group.get("deleted")
    ]
    columns = [column for column in _parts(node, "columns") if not column.get("archived")]
    return Board(
        id=str(node["id"]),
        name=str(node.get("name") or ""),
        state=str(node.get("state") or ""),
        groups={str(group["id"]): str(group.get("title") or "") for group in groups},
        columns=tuple(column_from(column) for column in columns),
        items_count=_count(node.get("items_count")),
        items_limit=_count(node.get("items_limit")),
    )


def _parts(node: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The groups or columns of a board, which may be none; raises UnreadableAnswer where they are not told."""
    found = node.get(name)
    if isinstance(found, list) and all(isinstance(part, Mapping) for part in found):
        return found
    raise UnreadableAnswer(f"Monday didn't tell the {name} of board {node.get('id')}", path=("boards", name))


def _settings(value: Any) -> Mapping[str, Any]:
    """The settings, which a JSON scalar may bring as an object or as the text of one."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
