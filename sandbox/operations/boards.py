"""Create, change, archive and delete boards."""

from typing import Any

from sandbox import errors
from sandbox.columns import first_settings
from sandbox.model import Board, Column, Group
from sandbox.operations.columns import create_column, delete_column, fresh_id, retitle_column
from sandbox.operations.groups import create_group
from sandbox.operations.items import create_item
from sandbox.operations.telling import log_board, tell_board
from sandbox.people import NOBODY
from sandbox.world import World

__all__ = [
    "create_board",
    "create_column",
    "create_group",
    "delete_column",
    "describe_board",
    "retitle_column",
    "set_board_state",
    "subitems_board",
]

TOP_GROUP_COLOUR = "#579bfc"
DONE_COLOUR = "#00c875"


def create_board(
    world: World, user_id: int, name: str, kind: str, *, empty: bool = False, **more: Any
) -> Board:
    """A new board: name column and one group; unless `empty`, the usual columns, groups and items too."""
    with world.transaction():
        _check_name(name)
        stamp = world.clock.stamp()
        board = Board(world.next_id("board"), name, kind, stamp, stamp, user_id, **more)
        board.columns = [Column("name", "Name", "name")]
        board.groups = [Group("topics", "Group Title", TOP_GROUP_COLOUR, "65536.0")]
        world.put_board(board)
        log_board(world, "create_board", board, user_id, board_name=name)
        if not empty:
            _furnish(world, user_id, board)
        tell_board(world, board.id)
        return board


def _furnish(world: World, user_id: int, board: Board) -> None:
    board.groups[0].title = "To-Do"
    board.groups.append(Group("group_title", "Completed", DONE_COLOUR, "131072.0"))
    board.columns += [
        Column("status", "Status", "status", first_settings("status", None)),
        Column("date4", "Date", "date"),
    ]
    world.put_board(board)
    for number in (1, 2, 3):
        create_item(world, user_id, board.id, f"Task {number}", {})


def set_board_state(world: World, board_id: int, state: str, user_id: int = NOBODY) -> Board:
    """Archive, delete or restore ("active") a board; its items are then as inactive as it is."""
    with world.transaction():
        board = world.active_board(board_id) if state == "archived" else world.board(board_id)
        board.state, board.updated_at = state, world.clock.stamp()
        world.put_board(board)
        event = {"archived": "archive_board", "deleted": "delete_board", "active": "restore_board"}[state]
        log_board(world, event, board, user_id, board_name=board.name)
        tell_board(world, board_id)
        return board


def describe_board(world: World, user_id: int, board_id: int, attribute: str, value: str) -> Board:
    """Give a board another name or description."""
    with world.transaction():
        board = world.active_board(board_id)
        if attribute == "name":
            _check_name(value)
            previous, board.name = board.name, value
            log_board(world, "update_board_name", board, user_id, previous_value=previous, value=value)
        else:
            board.description = value
        board.updated_at = world.clock.stamp()
        world.put_board(board)
        tell_board(world, board_id)
        return board


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 255:
        raise errors.invalid_argument("A board's name has 1 to 255 characters")


def subitems_board(world: World, user_id: int, board: Board) -> Board:
    """The board that holds a board's subitems, made with its column at the first subitem."""
    column = next((column for column in board.visible_columns() if column.type == "subtasks"), None)
    if column is not None:
        return world.boards[column.settings["boardIds"][0]]
    stamp = world.clock.stamp()
    made = Board(
        world.next_id("board"), f"Subitems of {board.name}", board.kind, stamp, stamp, user_id,
        workspace_id=board.workspace_id, type="sub_items_board",
    )  # fmt: skip
    made.columns = [
        Column("name", "Name", "name"),
        Column("person", "Owner", "people"),
        Column("status", "Status", "status", first_settings("status", None)),
        Column("date0", "Date", "date"),
    ]
    made.groups = [Group("topics", "Subitems", TOP_GROUP_COLOUR, "65536.0")]
    world.put_board(made)
    settings = {"allowMultipleItems": True, "itemTypeName": "column.subtasks.title", "boardIds": [made.id]}
    board.columns.append(Column(fresh_id("subtasks"), "Subitems", "subtasks", settings))
    world.put_board(board)
    tell_board(world, board.id)
    return made
