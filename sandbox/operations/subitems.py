"""Items below items. They stand on a board of their own, which is made with the first of them."""

from collections.abc import Mapping
from typing import Any

from sandbox import errors
from sandbox.model import Cell, Item
from sandbox.operations.boards import subitems_board
from sandbox.operations.cells import check_name, check_size, parsing
from sandbox.operations.items import check_active, place_item
from sandbox.operations.telling import log, tell
from sandbox.world import World


def create_subitem(
    world: World,
    user_id: int,
    parent_id: int,
    name: str,
    values: Mapping[str, Any],
    *,
    create_labels: bool = False,
) -> Item:
    """Add an item below another, or nothing if a value is refused. `values` are of the subitems board."""
    with world.transaction():
        parent = world.item(parent_id)
        check_active(world, parent)
        check_name(name)
        if parent.parent_id is not None:
            raise errors.invalid_argument("A subitem of a classic board has no subitems", item_id=parent_id)
        board = subitems_board(world, user_id, world.boards[parent.board_id])
        with parsing(world, board, values, create_labels) as parsed:
            check_size(None, parsed)
            item = place_item(
                world, user_id, board, board.visible_groups()[0], name, parsed, parent_id=parent_id
            )
        list_children(world, parent)
        return item


def move_subitem(world: World, user_id: int, item_id: int, parent_id: int) -> Item:
    """Put a subitem below another item of its parent's board; only a person can, on the page."""
    with world.transaction():
        item, target = world.item(item_id), world.item(parent_id)
        check_active(world, item)
        check_active(world, target)
        source = None if item.parent_id is None else world.items[item.parent_id]
        if source is None or target.board_id != source.board_id:
            raise errors.invalid_argument("A subitem moves to an item of its parent's board", item_id=item_id)
        if source is target:
            return item
        world.below.move(item, target)
        item.updated_at, item.changed_by = world.clock.stamp(), user_id
        world.put_items([item])
        list_children(world, source)
        list_children(world, target)
        log(world, "move_subitem", item, user_id, source_item_id=source.id, dest_item_id=target.id)
        tell(world, "move_subitem", item, user_id, source_parent=source)
        return item


def list_children(world: World, parent: Item) -> None:
    """Write into the parent's cell which subitems there are; the parent itself counts as unchanged."""
    board = world.boards[parent.board_id]
    column = next((column for column in board.visible_columns() if column.type == "subtasks"), None)
    if column is not None:
        ids = [child.id for child in world.below.children(parent)]
        parent.cells[column.id] = Cell({"item_ids": ids} if ids else None)
        world.put_items([parent])
