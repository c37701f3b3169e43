"""What happened on a board since a moment: its activity log, and its items by last update, in one document.

One call tells all that a sweep asks: the board's columns, the newest page of its log, the items touched last, our
webhooks. Rows of the log as version 2026-10 tells them (developer.monday.com/api-reference/reference/activity-logs);
2027-01 tells them otherwise, which shows as LogShapeChanged. Times are Monday's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sync.connectors.monday.answers import Answer
from sync.connectors.monday.boards import BOARD_FIELDS, Board, board_from
from sync.connectors.monday.documents import Document
from sync.connectors.monday.errors import BoardGone, LogShapeChanged, MondayError, UnreadableAnswer
from sync.connectors.monday.fragments import COMPLEXITY
from sync.connectors.monday.log_rows import Entry, entry_from

LOG_PAGE = 1_000
"""Rows of the log in one call; a query tells 10,000 at most, over its pages."""
LOG_ROWS = 10_000
TOUCHED_PAGE = 100
"""Items in one call of those touched last; mostly none of them is news."""

_ROW = "id event entity data user_id created_at"
_TOUCHED = """items_page(limit: $items, query_params: {
      order_by: [{ column_id: "__last_updated__", direction: desc }]
    }) { cursor items { id updated_at } }"""
_LOG = f"activity_logs(from: $from, limit: $rows, page: 1) {{ {_ROW} }}"


@dataclass(frozen=True)
class Touched:
    """An item and when it was last updated, by Monday's clock; None where Monday doesn't say."""

    item_id: str
    at: datetime | None


@dataclass(frozen=True)
class TouchedPage:
    """Items, those touched last first; `cursor` of the next page, None at the end."""

    items: list[Touched]
    cursor: str | None


@dataclass(frozen=True)
class Happenings:
    """The answer to `since`. `log` is None where the log is told in another shape; `hooks` where they can't be read.

    `log` is its newest page; a full one may have more behind it. `trouble` says of a log in another shape what is
    wrong; `user_id` is the token's user.
    """

    board: Board
    log: list[Entry] | None
    touched: TouchedPage
    hooks: Mapping[str, str] | None
    trouble: str = ""
    user_id: str = ""


def since(board_id: str, moment: datetime, *, with_log: bool = True) -> Document:
    """Everything that a sweep asks of a board, in one call; `with_log` False where the log can't be asked for."""
    declared = "$board: ID!, $items: Int!" + (", $from: ISO8601DateTime, $rows: Int" if with_log else "")
    text = f"""query Since({declared}) {{
  {COMPLEXITY}
  boards(ids: [$board], state: all, limit: 1) {{
    {BOARD_FIELDS}
    {_LOG if with_log else ""}
    {_TOUCHED}
  }}
  webhooks(board_id: $board) {{ id event }}
  me {{ id }}
}}"""
    variables: dict[str, Any] = {"board": board_id, "items": TOUCHED_PAGE}
    return Document(text, variables | ({"from": _iso(moment), "rows": LOG_PAGE} if with_log else {}))


def log_page(board_id: str, moment: datetime, until: datetime | None, page: int) -> Document:
    """A further page of the log, newest first; `until` bounds it where 10,000 rows were not enough."""
    text = f"""query Log($board: ID!, $from: ISO8601DateTime, $to: ISO8601DateTime, $rows: Int, $page: Int) {{
  {COMPLEXITY}
  boards(ids: [$board], state: all, limit: 1) {{
    id activity_logs(from: $from, to: $to, limit: $rows, page: $page) {{ {_ROW} }}
  }}
}}"""
    variables = {"board": board_id, "from": _iso(moment), "rows": LOG_PAGE, "page": page}
    return Document(text, variables | {"to": _iso(until, up=True) if until else None})


def touched_page(cursor: str) -> Document:
    """A further page of the items touched last."""
    text = f"""query Touched($cursor: String!, $limit: Int!) {{
  {COMPLEXITY}
  next_items_page(cursor: $cursor, limit: $limit) {{ cursor items {{ id updated_at }} }}
}}"""
    return Document(text, {"cursor": cursor, "limit": TOUCHED_PAGE})


def parse_since(answer: Answer) -> Happenings:
    """Read the answer to `since`.

    Raises BoardGone where the board isn't active, UnreadableAnswer or the error of a part that was left out: what
    is missing must not look like nothing that happened. Only the webhooks may be missing.
    """
    node = _board_node(answer)
    board = board_from(node)
    if not board.is_active:
        raise BoardGone(f"The board is {board.state}", request_id=answer.request_id)
    log, trouble = _log_or_trouble(answer, node)
    _raise_below(answer, "items_page")
    touched = _touched_of(node.get("items_page"), answer)
    me = (answer.data or {}).get("me") or {}
    return Happenings(board, log, touched, _hooks(answer), trouble, str(me.get("id") or ""))


def parse_log_page(answer: Answer) -> list[Entry]:
    """Read the answer to `log_page`; raises LogShapeChanged, MondayError."""
    return _entries(answer, _board_node(answer))


def parse_touched_page(answer: Answer) -> TouchedPage:
    """Read the answer to `touched_page`; raises MondayError."""
    for error in answer.errors_of("next_items_page"):
        raise error
    return _touched_of((answer.data or {}).get("next_items_page"), answer)


def _log_or_trouble(answer: Answer, node: Mapping[str, Any]) -> tuple[list[Entry] | None, str]:
    if "activity_logs" not in node:
        return None, ""
    try:
        return _entries(answer, node), ""
    except LogShapeChanged as changed:
        return None, changed.sentence


def _entries(answer: Answer, node: Mapping[str, Any]) -> list[Entry]:
    _raise_below(answer, "activity_logs")
    rows = node.get("activity_logs")
    if not isinstance(rows, list):
        raise LogShapeChanged(
            "Monday tells the activity log in a shape that isn't known", request_id=answer.request_id
        )
    return [entry_from(row, answer.request_id) for row in rows]


def _board_node(answer: Answer) -> Mapping[str, Any]:
    nodes = (answer.data or {}).get("boards")
    if isinstance(nodes, list) and nodes and isinstance(nodes[0], Mapping):
        return nodes[0]
    errors: Sequence[MondayError] = answer.errors_of("boards")
    if errors:
        raise errors[0]
    raise BoardGone("The board is missing, or hidden from the token's user", request_id=answer.request_id)


def _raise_below(answer: Answer, name: str) -> None:
    for error in answer.errors_of("boards"):
        if name in error.path or len(error.path) <= 2:
            raise error


def _touched_of(node: Any, answer: Answer) -> TouchedPage:
    items = node.get("items") if isinstance(node, Mapping) else None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise UnreadableAnswer("Monday answered no list of items", request_id=answer.request_id)
    cursor = node.get("cursor")
    return TouchedPage([Touched(str(i["id"]), _iso_moment(i.get("updated_at"))) for i in items], cursor)


def _hooks(answer: Answer) -> Mapping[str, str] | None:
    nodes = (answer.data or {}).get("webhooks")
    if not isinstance(nodes, list) or answer.errors_of("webhooks"):
        return None
    return {str(node["id"]): str(node["event"]) for node in nodes if isinstance(node, Mapping)}


def _iso_moment(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _iso(moment: datetime, *, up: bool = False) -> str:
    """To the second; `up` to the next one, where none may be left out at the end."""
    whole = moment.astimezone(UTC).replace(microsecond=0)
    return f"{whole + timedelta(seconds=1) if up else whole:%Y-%m-%dT%H:%M:%SZ}"
