"""The one read call of a look: linked items by id, and the board's possible counterparts of the others."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sync.account import client
from sync.budget import sending
from sync.budget.boards import learned
from sync.connectors.monday.converters import UnknownValue
from sync.connectors.monday.documents import ITEMS_PER_READ, MatchColumn, look, next_page
from sync.connectors.monday.items import Item, LookResult, parse_look, parse_page
from sync.engine.graves import open_graves
from sync.engine.subjects import Batch, Board, Subject, raw_of

PAGES = 20
"""Further pages that a look follows; a match key that more items than this hold is no key."""


def read(batch: Batch) -> LookResult:
    """Ask Monday once for everything that the open subjects and the candidates need; raises MondayError.

    Where a part has more pages, they are read too: a part of the hits would look like few hits.
    """
    board = batch.board
    linked = [s.record.monday_id for s in batch.open if s.record.monday_id]
    linked += [c.remote_id for c in batch.candidates if c.remote_id]
    linked += [str(grave.stone.monday_id) for grave in open_graves(batch)]
    unlinked = [s for s in batch.open if not s.record.monday_id]
    match = board.match
    values = [text for s in unlinked if (text := match_text(batch, s))]
    if not linked and not unlinked:
        return LookResult()
    document = look(
        board.link.board_id,
        [str(item_id) for item_id in dict.fromkeys(linked)],
        board.columns,
        board.link.npd_id_column,
        [str(s.id) for s in unlinked],
        MatchColumn(match.column_id, board.converter(match).column_type) if match else None,
        sorted(set(values)),
        board.types,
    )
    batch.calls += 1
    with sending(board.link, len(linked) + len(unlinked)):
        answer = client().execute(*document)
    batch.read_request = answer.request_id or ""
    result = parse_look(answer, board.columns)
    return _with_further_pages(batch, result)


def match_text(batch: Batch, subject: Subject) -> str:
    """Return the record's match key in canonical form, or an empty text."""
    match = batch.board.match
    if match is None:
        return ""
    convert = batch.board.converter(match, subject.record)
    return str(convert.local(raw_of(subject.record, match)) or "")


def match_text_of_item(batch: Batch, item: Item) -> str | None:
    """Return the item's match key in canonical form, an empty text where it has none, None where it can't be read."""
    match = batch.board.match
    if match is None:
        return ""
    convert = batch.board.converter(match)
    try:
        return str(convert.remote(convert.raw_of(item.reading(match.column_id))) or "")
    except UnknownValue:
        return None


def npd_id_of(board: Board, item: Item) -> str | None:
    """Return the NPD ID that the item bears, an empty text where it bears none, None where it can't be read."""
    reading = item.reading(board.link.npd_id_column)
    return (reading.text or "").strip() if reading.known else None


def items_bearing(board: Board, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises MondayError."""
    found: dict[str, Item] = {}
    size = min(ITEMS_PER_READ, learned(board.link.pk).size)
    for start in range(0, len(ids), size):
        asked = ids[start : start + size]
        document = look(
            board.link.board_id, [], board.columns, board.link.npd_id_column, asked, types=board.types
        )
        with sending(board.link, len(asked)):
            result = parse_look(client().execute(*document), board.columns)
        for item in result.by_npd_id:
            bears = npd_id_of(board, item)
            if bears is None:
                return None
            if bears in asked:
                found.setdefault(bears, item)
    return found


def as_uuid(text: str) -> UUID | None:
    """Return the NPD ID in a text, or None where it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _with_further_pages(batch: Batch, result: LookResult) -> LookResult:
    found = {"by_npd_id": result.by_npd_id, "by_match": result.by_match}
    for part, first in result.cursors.items():
        cursor: str | None = first
        for _ in range(PAGES):
            if cursor is None:
                break
            batch.calls += 1
            document = next_page(cursor, batch.board.columns, types=batch.board.types)
            with sending(batch.board.link, 0):
                page = parse_page(client().execute(*document), batch.board.columns)
            found[part] = [*found[part], *page.items]
            cursor = page.cursor
    return LookResult(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])
