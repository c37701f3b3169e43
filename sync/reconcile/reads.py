"""Monday's side of a pass: the one call that reads it, its further pages, and items that are asked for by id."""

from __future__ import annotations

from collections.abc import Sequence

from sync import connectors
from sync.connectors.base.board_items import BatchItems, Item, MatchColumn
from sync.limits import board_costs, call_cost, connector
from sync.reconcile.batch import Batch
from sync.reconcile.field_values import BoardContext, match_text_of_record, npd_id_of

MAX_PAGES = 20
"""Further pages that a pass follows; a match key that more items than this hold is no key."""


def read(batch: Batch) -> BatchItems:
    """Ask Monday once for everything that the open records and the unmatched items need; raises ConnectorError.

    Where a part has more pages, they are read too: a part of the hits would look like few hits.
    """
    board = batch.board
    linked = [s.record.monday_id for s in batch.open_records if s.record.monday_id]
    linked += [c.claim.remote_id for c in batch.unmatched_claims if c.claim.remote_id]
    linked += [str(deleted_record.tombstone.monday_id) for deleted_record in batch.open_deleted]
    unlinked = [s for s in batch.open_records if not s.record.monday_id]
    match = board.match_mapping
    values = [text for s in unlinked if (text := match_text_of_record(board, s.record))]
    if not linked and not unlinked:
        return BatchItems()
    batch.calls += 1
    with call_cost(board.link, len(linked) + len(unlinked)):
        result = connector(board.link.system).read_batch(
            board.link.board_id,
            [str(item_id) for item_id in dict.fromkeys(linked)],
            board.columns,
            board.link.npd_id_column,
            [str(s.id) for s in unlinked],
            MatchColumn(match.column_id, board.converter(match).column_type) if match else None,
            sorted(set(values)),
            board.types,
        )
    batch.read_request = result.request_id
    return _with_further_pages(batch, result)


def read_by_id(batch: Batch, ids: Sequence[str]) -> dict[str, Item]:
    """Return these items, whatever became of them, as far as Monday shows them; raises ConnectorError."""
    found: dict[str, Item] = {}
    board = batch.board
    size = connectors.get(board.link.system).items_per_read
    for start in range(0, len(ids), size):
        asked_ids = ids[start : start + size]
        batch.calls += 1
        with call_cost(batch.link, len(asked_ids)):
            items = connector(batch.link.system).read_items(asked_ids, batch.board.columns, batch.board.types)
        found |= {item.id: item for item in items}
    return found


def items_with_npd_ids(board: BoardContext, ids: Sequence[str]) -> dict[str, Item] | None:
    """Return the items that bear these NPD IDs, by NPD ID; None where one can't be read. Raises ConnectorError."""
    found: dict[str, Item] = {}
    size = min(connectors.get(board.link.system).items_per_read, board_costs(board.link.pk).size)
    for start in range(0, len(ids), size):
        asked_ids = ids[start : start + size]
        with call_cost(board.link, len(asked_ids)):
            result = connector(board.link.system).read_batch(
                board.link.board_id, [], board.columns, board.link.npd_id_column, asked_ids, types=board.types
            )
        for item in result.by_npd_id:
            npd_id = npd_id_of(board, item)
            if npd_id is None:
                return None
            if npd_id in asked_ids:
                found.setdefault(npd_id, item)
    return found


def _with_further_pages(batch: Batch, result: BatchItems) -> BatchItems:
    found = {"by_npd_id": result.by_npd_id, "by_match": result.by_match}
    for part, first in result.cursors.items():
        cursor: str | None = first
        for _ in range(MAX_PAGES):
            if cursor is None:
                break
            batch.calls += 1
            with call_cost(batch.link, 0):
                page = connector(batch.link.system).next_page(cursor, batch.board.columns, batch.board.types)
            found[part] = [*found[part], *page.items]
            cursor = page.cursor
    return BatchItems(linked=result.linked, by_npd_id=found["by_npd_id"], by_match=found["by_match"])
