"""The boards of an account, for a person to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sync.connectors.monday.answers import Api
from sync.connectors.monday.boards import ask
from sync.connectors.monday.documents import Document

PAGE = 100
MOST = 1_000
"""Boards that are listed; the rest is found by its number."""
LIST_BOARDS = """query BoardList($page: Int!, $limit: Int!) {
  boards(limit: $limit, page: $page, state: active) { id name type items_count }
}"""
_NOT_BOARDS = ("sub_items_board", "document")
"""What Monday lists among the boards too (developer.monday.com/api-reference/reference/boards)."""


@dataclass(frozen=True)
class ListedBoard:
    """A board by its name; `items` is how many it holds, None where Monday doesn't say."""

    id: str
    name: str
    items: int | None = None


def list_boards(api: Api) -> tuple[list[ListedBoard], bool]:
    """The active boards that the token's user sees, by name, and whether these are all; raises MondayError."""
    found: list[ListedBoard] = []
    for page in range(1, MOST // PAGE + 1):
        nodes = ask(api, Document(LIST_BOARDS, {"page": page, "limit": PAGE}), "boards")
        found += [_board(node) for node in nodes if _is_board(node)]
        if len(nodes) < PAGE:
            return _by_name(found), True
    return _by_name(found), False


def _is_board(node: Any) -> bool:
    return isinstance(node, Mapping) and bool(node.get("id")) and node.get("type") not in _NOT_BOARDS


def _board(node: Mapping[str, Any]) -> ListedBoard:
    count = node.get("items_count")
    return ListedBoard(
        str(node["id"]), str(node.get("name") or ""), count if isinstance(count, int) else None
    )


def _by_name(boards: list[ListedBoard]) -> list[ListedBoard]:
    return sorted(boards, key=lambda board: (board.name.casefold(), board.id))
