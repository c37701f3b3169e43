"""What a board is made of, and the documents that read and make boards, columns and webhooks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.client import MondayClient
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import MondayError, UnreadableAnswer

READ_BOARDS = """query Boards($ids: [ID!]!) {
  boards(ids: $ids, state: all, limit: 100) {
    id name state
    groups { id archived deleted }
    columns { id title type archived }
  }
}"""
CREATE_BOARD = """mutation CreateBoard($title: String!) {
  create_board(board_name: $title, board_kind: public, empty: true) { id }
}"""
CREATE_COLUMN = """mutation CreateColumn($board: ID!, $title: String!, $type: ColumnType!, $id: String) {
  create_column(board_id: $board, title: $title, column_type: $type, id: $id) { id type }
}"""
CREATE_COLUMN_WITHOUT_ID = """mutation CreateColumn($board: ID!, $title: String!, $type: ColumnType!) {
  create_column(board_id: $board, title: $title, column_type: $type) { id type }
}"""
READ_WEBHOOKS = "query Webhooks($board: ID!) { webhooks(board_id: $board) { id board_id event config } }"
CREATE_WEBHOOK = """mutation CreateWebhook($board: ID!, $url: String!, $event: WebhookEventType!) {
  create_webhook(board_id: $board, url: $url, event: $event) { id board_id event }
}"""
DELETE_WEBHOOK = "mutation DeleteWebhook($id: ID!) { delete_webhook(id: $id) { id } }"


@dataclass(frozen=True)
class BoardColumn:
    """A column that is there and not archived."""

    id: str
    title: str
    type: str


@dataclass(frozen=True)
class Board:
    """A board as Monday answers it; `state` is active, archived or deleted."""

    id: str
    name: str
    state: str
    group_id: str | None
    columns: tuple[BoardColumn, ...]

    @property
    def is_active(self) -> bool:
        """Whether items can be read and written."""
        return self.state == "active"

    def column(self, column_id: str) -> BoardColumn | None:
        """The column with this id, if it is there."""
        return next((column for column in self.columns if column.id == column_id), None)


def read_boards(client: MondayClient, board_ids: Sequence[str]) -> dict[str, Board]:
    """Boards by id; those that don't exist or are hidden from the token's user are absent."""
    if not board_ids:
        return {}
    nodes = ask(client, Document(READ_BOARDS, {"ids": list(board_ids)}), "boards")
    boards = [_board(node) for node in nodes if isinstance(node, Mapping)]
    return {board.id: board for board in boards}


def ask(client: MondayClient, document: Document, alias: str) -> Any:
    """One root field of an answer; raises its error, or UnreadableAnswer where it is null without one."""
    answer = client.execute(*document)
    node = (answer.data or {}).get(alias)
    if node is not None:
        return node
    errors: tuple[MondayError, ...] = answer.errors_of(alias) or answer.errors
    if errors:
        raise errors[0]
    raise UnreadableAnswer(f"Monday answered nothing for {alias}", request_id=answer.request_id)


def _board(node: Mapping[str, Any]) -> Board:
    groups = [
        group for group in node.get("groups") or [] if not group.get("archived") and not group.get("deleted")
    ]
    columns = [column for column in node.get("columns") or [] if not column.get("archived")]
    return Board(
        id=str(node["id"]),
        name=str(node.get("name") or ""),
        state=str(node.get("state") or ""),
        group_id=str(groups[0]["id"]) if groups else None,
        columns=tuple(
            BoardColumn(str(c["id"]), str(c.get("title") or ""), str(c.get("type"))) for c in columns
        ),
    )
