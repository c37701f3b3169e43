"""Create and change boards, groups and columns."""

import re
import secrets
import string
from typing import Any

from sandbox import errors
from sandbox.columns import first_settings, kind_of
from sandbox.events import Happening
from sandbox.model import Board, Column, Group
from sandbox.operations.items import create_item, tell_board
from sandbox.web import decoded
from sandbox.world import World

COLUMN_ID = re.compile(r"[a-z_]{1,20}")
TOP_GROUP_COLOUR = "#579bfc"
GROUP_COLOURS = ("#a25ddc", "#00c875", "#e2445c", "#fdab3d", "#037f4c", "#784bd1", "#cab641")


def create_board(
    world: World, user_id: int, name: str, kind: str, *, empty: bool = False, **more: Any
) -> Board:
    """A new board: name column and one group; unless `empty`, the usual columns, groups and items too."""
    with world.transaction():
        if not 1 <= len(name) <= 255:
            raise errors.invalid_argument("A board's name has 1 to 255 characters")
        stamp = world.clock.stamp()
        board = Board(world.next_id("board"), name, kind, stamp, stamp, user_id, **more)
        board.columns = [Column("name", "Name", "name")]
        board.groups = [Group("topics", "Group Title", TOP_GROUP_COLOUR, "65536.0")]
        world.put_board(board)
        world.log(board.id, "create_board", {"board_id": board.id, "board_name": name}, user_id, None)
        if not empty:
            _furnish(world, user_id, board)
        tell_board(world, board.id)
        return board


def _furnish(world: World, user_id: int, board: Board) -> None:
    board.groups[0].title = "To-Do"
    board.groups.append(Group("group_title", "Completed", GROUP_COLOURS[1], "131072.0"))
    board.columns += [
        Column("status", "Status", "status", first_settings("status", None)),
        Column("date4", "Date", "date"),
    ]
    world.put_board(board)
    for number in (1, 2, 3):
        create_item(world, user_id, board.id, f"Task {number}", {})


def set_board_state(world: World, board_id: int, state: str) -> Board:
    """Archive or delete a board."""
    with world.transaction():
        board = world.active_board(board_id)
        board.state, board.updated_at = state, world.clock.stamp()
        world.put_board(board)
        tell_board(world, board_id)
        return board


def create_group(
    world: World,
    user_id: int,
    board_id: int,
    title: str,
    *,
    colour: str | None = None,
    beside: tuple[str, bool] | None = None,
) -> Group:
    """A new group, on top as Monday puts it, or `beside` another (its id, and whether after it)."""
    with world.transaction():
        board = world.active_board(board_id)
        group = Group(_fresh_id("group"), title, colour or GROUP_COLOURS[len(board.groups) % 7], "0")
        board.groups.insert(_place(board, beside), group)
        for place, one in enumerate(board.groups):
            one.position = f"{(place + 1) * 65536}.0"
        _touch(world, board)
        world.log(board_id, "create_group", {"board_id": board_id, "group_id": group.id}, user_id, None)
        return group


def _place(board: Board, beside: tuple[str, bool] | None) -> int:
    if beside is None:
        return 0
    places = {group.id: place for place, group in enumerate(board.groups)}
    if beside[0] not in places:
        raise errors.group_not_found(beside[0], board.id)
    return places[beside[0]] + (1 if beside[1] else 0)


def create_column(
    world: World,
    user_id: int,
    board_id: int,
    title: str,
    column_type: str,
    *,
    column_id: str | None = None,
    defaults: Any = None,
    description: str | None = None,
    after: str | None = None,
) -> Column:
    """A new column. A given id has 1 to 20 characters of a-z and _, and was never used on this board."""
    with world.transaction():
        board = world.active_board(board_id)
        kind = kind_of(column_type)
        settings = first_settings(column_type, _decoded(defaults))
        column = Column(column_id or _fresh_id(column_type), title, column_type, settings, description)
        _check_column_id(board, column.id, given=column_id is not None)
        board.columns.insert(_column_place(board, after), column)
        _touch(world, board)
        world.log(board_id, "create_column", {"board_id": board_id, "column_id": column.id}, user_id, None)
        world.tell(
            Happening(
                "create_column",
                board_id,
                user_id,
                world.clock.time(),
                column=column,
                column_type=kind.old_type,
            )
        )
        return column


def _decoded(defaults: Any) -> Any:
    """`defaults` may come as an object or as JSON in a string."""
    if not isinstance(defaults, str):
        return defaults
    try:
        return decoded(defaults)
    except ValueError:
        raise errors.not_json(defaults) from None


def _check_column_id(board: Board, column_id: str, given: bool) -> None:
    if given and not COLUMN_ID.fullmatch(column_id):
        raise errors.invalid_argument(
            "A column id has 1 to 20 characters of a-z and _", column_id=column_id, board_id=board.id
        )
    if any(column.id == column_id for column in board.columns):
        raise errors.invalid_argument(
            "This column id is or was in use on the board", column_id=column_id, board_id=board.id
        )


def _column_place(board: Board, after: str | None) -> int:
    if after is None:
        return len(board.columns)
    places = {column.id: place for place, column in enumerate(board.columns)}
    if after not in places:
        raise errors.column_not_found(after)
    return places[after] + 1


def delete_column(world: World, user_id: int, board_id: int, column_id: str) -> Column:
    """Take a column off the board; its id stays used."""
    with world.transaction():
        board, column = _board_and_column(world, board_id, column_id)
        if column_id == "name":
            raise errors.invalid_argument("The name column cannot be deleted", column_id=column_id)
        column.archived = True
        _touch(world, board)
        world.log(board_id, "delete_column", {"board_id": board_id, "column_id": column_id}, user_id, None)
        return column


def retitle_column(world: World, user_id: int, board_id: int, column_id: str, title: str) -> Column:
    """Change a column's title."""
    with world.transaction():
        board, column = _board_and_column(world, board_id, column_id)
        column.title, column.revision = title, column.revision + 1
        _touch(world, board)
        world.log(
            board_id, "update_column_name", {"board_id": board_id, "column_id": column_id}, user_id, None
        )
        return column


def _board_and_column(world: World, board_id: int, column_id: str) -> tuple[Board, Column]:
    board = world.active_board(board_id)
    column = board.column(column_id)
    if column is None:
        raise errors.column_not_found(column_id)
    return board, column


def _touch(world: World, board: Board) -> None:
    board.updated_at = world.clock.stamp()
    world.put_board(board)
    tell_board(world, board.id)


def _fresh_id(prefix: str) -> str:
    return f"{prefix}_mk" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
