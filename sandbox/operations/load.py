"""Put items on a board as if they had always been there."""

from collections.abc import Mapping
from typing import Any

from sandbox.columns import Writing, kind_of
from sandbox.model import Board, Cell, Item
from sandbox.operations.cells import check_name
from sandbox.operations.telling import column_of, tell_board, wanted_group
from sandbox.people import NOBODY
from sandbox.world import World


def load_items(world: World, board_id: int, rows: list[Mapping[str, Any]]) -> list[int]:
    """The new ids, in order: no logs, no webhooks, no items limit."""
    with world.transaction():
        board = world.active_board(board_id)
        stamp = world.clock.stamp()
        ids = world.next_ids("item", len(rows))
        # Numbers that were always there may be older than Monday's check of them.
        writing = Writing(
            stamp, True, unchecked_phones=True, keep_column=lambda column: world.put_board(board)
        )
        items = [_loaded(board, row, item_id, stamp, writing) for row, item_id in zip(rows, ids, strict=True)]
        world.put_items(items)
        if world.active_count(board_id) > board.items_limit:
            board.items_limit = world.active_count(board_id)
            world.put_board(board)
        tell_board(world, board_id)
        return list(ids)


def _loaded(board: Board, row: Mapping[str, Any], item_id: int, stamp: str, writing: Writing) -> Item:
    name, group = row["name"], wanted_group(board, row.get("group_id"))
    check_name(name)
    rank = float(item_id)
    item = Item(item_id, board.id, group.id, name, rank, stamp, stamp, board.creator_id, NOBODY)
    for column_id, given in (row.get("values") or {}).items():
        column = column_of(board, column_id)
        raw = kind_of(column.type).parse(column, given, writing)
        if raw is not None:
            item.cells[column_id] = Cell(raw, stamp)
    return item
