"""Boards, their groups and their columns are created, changed, archived and deleted."""

import re
import secrets
import string
from typing import Any

from sandbox import api_errors
from sandbox.columns import initial_settings, kind_of
from sandbox.http import percent_decode
from sandbox.model import Board, Column, Group, WorldEvent
from sandbox.operations import column_of, log, log_board, wanted_group
from sandbox.world import World

# An id that a caller chooses has 1 to 20 of these characters (reference/columns of Monday's API).
COLUMN_ID = re.compile(r"[a-z_]{1,20}")
TITLE_LIMIT = 255


def create_column(
    world: World,
    user_id: int,
    board_id: int,
    title: str,
    column_type: str,
    *,
    column_id: str | None = None,
    defaults: Any = None,
) -> Column:
    """A new column. A given id has 1 to 20 characters of a-z and _, and was never used on this board."""
    with world.transaction():
        board = world.active_board(board_id)
        kind = kind_of(column_type)
        _check_title("A column's title", title)
        settings = initial_settings(column_type, json_in(defaults))
        _check_boards(world, column_type, settings)
        if column_id is not None and not COLUMN_ID.fullmatch(column_id):
            raise api_errors.invalid_argument(
                "A column id has 1 to 20 characters of a-z and _", column_id=column_id, board_id=board_id
            )
        column_id = fresh_id(column_type) if column_id is None else column_id
        if any(existing.id == column_id for existing in board.columns):
            raise api_errors.invalid_argument(
                "This column id is or was in use on the board", column_id=column_id, board_id=board_id
            )
        column = Column(column_id, title, column_type, settings)
        board.columns.append(column)
        world.put_board(board)
        about = {"column_id": column.id, "column_title": title, "column_type": kind.old_type}
        log_board(world, "create_column", board, user_id, **about)
        world.emit(
            WorldEvent("create_column", board_id, user_id, world.clock.time(), column=column, column_type=kind.old_type)
        )
        return column


def delete_column(world: World, user_id: int, board_id: int, column_id: str) -> Column:
    """Take a column off the board with what was in it; its id stays used."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if column_id == "name":
            raise api_errors.invalid_argument("The name column cannot be deleted", column_id=column_id)
        column.archived = True
        world.put_board(board)
        log_board(world, "delete_column", board, user_id, column_id=column_id, column_title=column.title)
        return column


def rename_column(world: World, user_id: int, board_id: int, column_id: str, title: str) -> Column:
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        _check_title("A column's title", title)
        previous, column.title = column.title, title
        about = {"column_id": column_id, "previous_value": previous, "value": title}
        log_board(world, "update_column_name", board, user_id, **about)
        world.put_board(board)
        return column


def json_in(text: Any) -> Any:
    """What an argument of type JSON holds; it may come as JSON in a string. JsonParseException."""
    if not isinstance(text, str):
        return text
    try:
        return percent_decode(text)
    except ValueError:
        raise api_errors.not_json(text) from None


def _check_title(what: str, title: str) -> None:
    if not 1 <= len(title) <= TITLE_LIMIT:
        raise api_errors.invalid_argument(f"{what} has 1 to {TITLE_LIMIT} characters")


def _check_boards(world: World, column_type: str, settings: dict[str, Any]) -> None:
    if column_type != "board_relation":
        return
    for board_id in settings.get("boardIds") or ():
        world.active_board(board_id)


def fresh_id(prefix: str) -> str:
    """An id as Monday makes them, such as `text_mkmw91z2`."""
    return f"{prefix}_mk" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))


# Create groups.


GROUP_COLOURS = ("#a25ddc", "#00c875", "#e2445c", "#fdab3d", "#037f4c", "#784bd1", "#cab641")


def create_group(world: World, user_id: int, board_id: int, title: str) -> Group:
    """A new group, on top as Monday puts it."""
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A group's title", title)
        group = Group(fresh_id("group"), title, GROUP_COLOURS[len(board.groups) % 7], "0")
        board.groups.insert(0, group)
        for number, one in enumerate(board.groups, start=1):
            one.position = f"{number * 65536}.0"
        world.put_board(board)
        log_board(world, "create_group", board, user_id, group_id=group.id, group_title=title)
        return group


def delete_group(world: World, user_id: int, board_id: int, group_id: str) -> Group:
    """Delete a group with its items; the last one stays. Webhooks aren't told: what Monday tells isn't published."""
    with world.transaction():
        board = world.active_board(board_id)
        group = wanted_group(board, group_id)
        if len(board.visible_groups()) == 1:
            raise api_errors.last_group(group_id, board_id)
        items = [item for item in world.items_of(board_id, ("active", "archived")) if item.group_id == group_id]
        for item in items:
            item.state, item.updated_at, item.changed_by = "deleted", world.clock.stamp(), user_id
        world.put_items(items)
        for item in items:
            log(world, "delete_group_pulse", item, user_id, value={}, previous_value={})
        group.deleted = True
        world.put_board(board)
        log_board(world, "delete_group", board, user_id, group_id=group.id, group_title=group.title)
        return group


# Create, change, archive and delete boards.


TOP_GROUP_COLOUR = "#579bfc"


def create_board(world: World, user_id: int, name: str) -> Board:
    with world.transaction():
        _check_title("A board's name", name)
        board = Board(world.next_id("board"), name)
        board.columns = [Column("name", "Name", "name")]
        board.groups = [Group("topics", "Group Title", TOP_GROUP_COLOUR, "65536.0")]
        world.put_board(board)
        log_board(world, "create_board", board, user_id, board_name=name)
        return board


def set_board_state(world: World, user_id: int, board_id: int, state: str) -> Board:
    """Archive, delete or restore ("active") a board; its items are then as inactive as it is."""
    with world.transaction():
        board = world.active_board(board_id) if state == "archived" else world.board(board_id)
        board.state = state
        world.put_board(board)
        event = {"archived": "archive_board", "deleted": "delete_board", "active": "restore_board"}[state]
        log_board(world, event, board, user_id, board_name=board.name)
        return board


def rename_board(world: World, user_id: int, board_id: int, name: str) -> str:
    """Give a board another name; the one that it had."""
    with world.transaction():
        board = world.active_board(board_id)
        _check_title("A board's name", name)
        previous, board.name = board.name, name
        log_board(world, "update_board_name", board, user_id, previous_value=previous, value=name)
        world.put_board(board)
        return previous
