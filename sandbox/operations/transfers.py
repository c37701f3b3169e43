"""Duplicates of items, and items that move to another board."""

from sandbox import api_errors
from sandbox.columns import kind_of
from sandbox.columns.choice_kinds import Status
from sandbox.columns.kind import Writing
from sandbox.model import Board, Cell, Column, Item
from sandbox.operations.cells import NAME_LIMIT
from sandbox.operations.events import emit_board, group_of, log, wanted_group
from sandbox.operations.item_changes import check_active, place_item, rank_behind
from sandbox.world import World

COPY = " (copy)"


def duplicate_item(world: World, user_id: int, item_id: int) -> Item:
    """A copy right below the item: its cells, whatever identity they hold."""
    with world.transaction():
        item = world.item(item_id)
        check_active(world, item)
        board = world.boards[item.board_id]
        copied = {column.id for column in board.visible_columns()}
        raws = {key: cell.raw for key, cell in item.cells.items() if key in copied}
        name, rank = item.name[: NAME_LIMIT - len(COPY)] + COPY, rank_behind(world, item)
        return place_item(world, user_id, board, group_of(board, item), name, raws, rank=rank)


def move_to_board(world: World, user_id: int, item_id: int, board_id: int, group_id: str) -> Item:
    """Put an item onto another board, its id unchanged; columns of the same type and title go together.

    What Monday tells webhooks of it is not published; the sandbox sends none.
    """
    with world.transaction():
        item, board = world.item(item_id), world.active_board(board_id)
        check_active(world, item)
        group, source = wanted_group(board, group_id), world.boards[item.board_id]
        if world.active_count(board_id) >= board.items_limit:
            raise api_errors.items_limit(board_id, board.items_limit)
        cells = _transfer_cells(world, item, board, _pairs(source, board))
        log(world, "move_pulse_from_board", item, user_id, dest_board_id=board_id)
        item.cells, item.group_id = cells, group.id
        item.updated_at, item.changed_by = world.clock.stamp(), user_id
        # A new number only as its place: items rank by their ids, so that it stands last.
        world.move_to_board(item, board_id, float(world.next_id("item")))
        log(world, "move_pulse_into_board", item, user_id, source_board_id=source.id)
        emit_board(world, source.id)
        emit_board(world, board_id)
        return item


def _pairs(source: Board, target: Board) -> list[tuple[Column, Column]]:
    titled = {(column.type, column.title): column for column in target.visible_columns()}
    found = [(one, titled.get((one.type, one.title))) for one in source.visible_columns()]
    return [(one, other) for one, other in found if other is not None and one.type != "name"]


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
