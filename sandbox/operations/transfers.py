"""Items below items, duplicates of items, and items that move to another board.

Subitems stand on a board of their own, which is made with the first of them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.columns.choice_kinds import Status
from sandbox.columns.kind import Writing
from sandbox.model import Board, Cell, Column, Item
from sandbox.operations.board_changes import subitems_board
from sandbox.operations.cells import NAME_LIMIT, check_name, check_size, parsed_values
from sandbox.operations.events import emit, emit_board, group_of, log, wanted_group
from sandbox.operations.item_changes import check_active, place_item, rank_beside
from sandbox.world import World


def create_subitem(
    world: World, user_id: int, parent_id: int, name: str, values: Mapping[str, Any], *, create_labels: bool = False
) -> Item:
    """Add an item below another, or nothing if a value is refused. `values` are of the subitems board."""
    with world.transaction():
        parent = world.item(parent_id)
        check_active(world, parent)
        check_name(name)
        if parent.parent_id is not None:
            raise api_errors.invalid_argument("A subitem of a classic board has no subitems", item_id=parent_id)
        board = subitems_board(world, user_id, world.boards[parent.board_id])
        with parsed_values(world, board, values, create_labels) as parsed:
            check_size(None, parsed)
            item = place_item(world, user_id, board, board.visible_groups()[0], name, parsed, parent_id=parent_id)
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
            raise api_errors.invalid_argument("A subitem moves to an item of its parent's board", item_id=item_id)
        if source is target:
            return item
        world.children.move(item, target)
        item.updated_at, item.changed_by = world.clock.stamp(), user_id
        world.put_items([item])
        list_children(world, source)
        list_children(world, target)
        log(world, "move_subitem", item, user_id, source_item_id=source.id, dest_item_id=target.id)
        emit(world, "move_subitem", item, user_id, source_parent=source)
        return item


def list_children(world: World, parent: Item) -> None:
    """Write into the parent's cell which subitems there are; the parent itself counts as unchanged."""
    board = world.boards[parent.board_id]
    column = next((column for column in board.visible_columns() if column.type == "subtasks"), None)
    if column is not None:
        ids = [child.id for child in world.children.children(parent)]
        parent.cells[column.id] = Cell({"item_ids": ids} if ids else None)
        world.put_items([parent])


# Duplicate an item, and move one to another board.


COPY = " (copy)"
Mapped = Sequence[Mapping[str, Any]]


def duplicate_item(world: World, user_id: int, item_id: int, *, parent: Item | None = None) -> Item:
    """A copy right below the item: its cells, whatever identity they hold, and its subitems."""
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        copied = {column.id for column in board.visible_columns() if column.type != "subtasks"}
        raws = {key: cell.raw for key, cell in item.cells.items() if key in copied}
        name = item.name if parent else item.name[: NAME_LIMIT - len(COPY)] + COPY
        copy = place_item(
            world, user_id, board, group_of(board, item), name, raws,
            rank=rank_beside(world, item, after=True),
            parent_id=parent.id if parent else item.parent_id,
        )  # fmt: skip
        children = [child for child in world.children.children(item) if child.state == "active"]
        for child in children:
            duplicate_item(world, user_id, child.id, parent=copy)
        if children:
            list_children(world, copy)
        if item.parent_id is not None and parent is None:
            list_children(world, world.items[item.parent_id])
        return copy


def move_to_board(
    world: World,
    user_id: int,
    item_id: int,
    board_id: int,
    group_id: str,
    columns_mapping: Mapped | None = None,
    subitems_columns_mapping: Mapped | None = None,
) -> Item:
    """Put an item onto another board, its id unchanged.

    `columns_mapping` says which column becomes which (`target` None: dropped); without it, columns of the same type
    and title go together. What Monday tells webhooks of it is not published; the sandbox sends none.
    """
    with world.transaction():
        item, board = world.item(item_id), world.active_board(board_id)
        check_active(world, item)
        if item.parent_id is not None:
            raise api_errors.invalid_argument("A subitem moves with its item", item_id=item_id)
        if subitems_columns_mapping or world.children.children(item):
            raise api_errors.invalid_argument("The sandbox moves no item with subitems", item_id=item_id)
        group, source = wanted_group(board, group_id), world.boards[item.board_id]
        if world.active_count(board_id) >= board.items_limit:
            raise api_errors.items_limit(board_id, board.items_limit)
        cells = _transfer_cells(world, item, board, _pairs(source, board, columns_mapping))
        log(world, "move_pulse_from_board", item, user_id, dest_board_id=board_id)
        item.cells, item.group_id = cells, group.id
        item.updated_at, item.changed_by = world.clock.stamp(), user_id
        # A new number only as its place: items rank by their ids, so that it stands last.
        world.move_to_board(item, board_id, float(world.next_id("item")))
        log(world, "move_pulse_into_board", item, user_id, source_board_id=source.id)
        emit_board(world, source.id)
        emit_board(world, board_id)
        return item


def _pairs(source: Board, target: Board, mapping: Mapped | None) -> list[tuple[Column, Column]]:
    if mapping is None:
        titled = {(column.type, column.title): column for column in target.visible_columns()}
        found = [(one, titled.get((one.type, one.title))) for one in source.visible_columns()]
        return [(one, other) for one, other in found if other is not None and one.type != "name"]
    pairs = []
    for given in mapping:
        one, other = source.column(given["source"]), target.column(given.get("target") or "")
        if one is None or (given.get("target") and other is None):
            raise api_errors.column_not_found(given["source"] if one is None else given["target"])
        if other is not None and one.type != other.type:
            raise api_errors.invalid_argument("Columns of different types cannot be mapped", column_id=one.id)
        if other is not None:
            pairs.append((one, other))
    return pairs


def _transfer_cells(world: World, item: Item, target: Board, pairs: list[tuple[Column, Column]]) -> dict[str, Cell]:
    """The cells on the other board. Labels go by their words, and are made there when they are missing."""
    stamp = world.clock.stamp()
    writing = Writing(stamp, True, keep_column=lambda column: world.put_board(target))
    cells = {}
    for one, other in pairs:
        raw, kind = item.raw(one.id), kind_of(one.type)
        if raw is not None and one.type == "status":
            raw = Status().named(other, kind.text(one, raw), writing)
        elif raw is not None and one.type == "dropdown":
            labels = [label["label"] for label in kind.fields(one, raw)["values"]]
            raw = kind.parse_object(other, {"labels": labels}, writing)
        if raw is not None:
            cells[other.id] = Cell(raw, stamp)
    return cells
