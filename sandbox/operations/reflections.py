"""Two-way connections: a relation made with `allowCreateReflectionColumn` has a column on the other board too.

Source: developer.monday.com/api-reference/reference/connect (defaults of `create_column`). What webhooks say of the
other side is not published: the sandbox sends none there, and writes the row into that board's activity log.
"""

from collections.abc import Iterable
from typing import Any

from sandbox.columns import kind_of
from sandbox.columns.links import allows_multiple, board_ids
from sandbox.model import Board, Cell, Column, Item
from sandbox.operations.telling import log, tell_board
from sandbox.world import World

REFLECTS = "reflects"
ASKED = "allowCreateReflectionColumn"


def add_reflections(world: World, board: Board, column: Column, column_ids: Iterable[str]) -> None:
    """Put a column onto each board that a new relation is connected to, and connect both ways."""
    if column.type != "board_relation" or column.settings.get(ASKED) not in (True, "true"):
        return
    column.settings[REFLECTS] = {}
    for board_id, column_id in zip(board_ids(column), column_ids, strict=False):
        target = world.boards[board_id]
        settings = {"boardIds": [board.id], "allowMultipleItems": True, REFLECTS: {str(board.id): column.id}}
        target.columns.append(Column(column_id, board.name, "board_relation", settings))
        column.settings[REFLECTS][str(board_id)] = column_id
        world.put_board(target)
        tell_board(world, board_id)


def reflect(world: World, user_id: int, item: Item, column: Column, old: Any, new: Any) -> None:
    """Bring the other sides of a relation in line with what was just written into one."""
    before, after = set(_ids(old)), set(_ids(new))
    for other_id in sorted(before ^ after):
        other = world.items.get(other_id)
        other_side = None if other is None else _side(world, column, other.board_id)
        if other is None or other_side is None:
            continue
        ids = [one for one in _ids(other.raw(other_side.id)) if one != item.id]
        if other_id in after:
            ids = (
                [*ids, item.id]
                if allows_multiple(other_side)
                else _replaced(world, user_id, other, other_side, item)
            )
        _write(world, user_id, other, other_side, ids)


def _replaced(world: World, user_id: int, other: Item, side: Column, item: Item) -> list[int]:
    """A side that takes one item lets go the one that it had, which loses its own side of the link."""
    for gone_id in _ids(other.raw(side.id)):
        gone = world.items.get(gone_id)
        gone_side = None if gone is None else _side(world, side, gone.board_id)
        if gone is not None and gone_side is not None and gone_id != item.id:
            kept = [one for one in _ids(gone.raw(gone_side.id)) if one != other.id]
            _write(world, user_id, gone, gone_side, kept)
    return [item.id]


def _side(world: World, column: Column, board_id: int) -> Column | None:
    """The column on that board which shows the other side of this one."""
    column_id = column.settings.get(REFLECTS, {}).get(str(board_id))
    return None if column_id is None else world.boards[board_id].column(column_id)


def _ids(raw: Any) -> list[int]:
    return list(raw["item_ids"]) if raw else []


def _write(world: World, user_id: int, item: Item, column: Column, ids: list[int]) -> None:
    kind, stamp, old = kind_of(column.type), world.clock.stamp(), item.raw(column.id)
    raw = {"item_ids": ids, "changed_at": stamp} if ids else None
    if kind.same(old, raw):
        return
    item.cells[column.id] = Cell(raw, stamp)
    item.updated_at, item.changed_by = stamp, user_id
    world.put_items([item])
    log(
        world,
        "update_column_value",
        item,
        user_id,
        column_id=column.id,
        column_type=kind.old_type,
        column_title=column.title,
        value=kind.payload(column, raw),
        previous_value=kind.payload(column, old),
        textual_value=kind.text(column, raw),
        is_column_with_hide_permissions=False,
    )
    tell_board(world, item.board_id)
