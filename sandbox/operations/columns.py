"""Create, change and delete columns."""

import re
import secrets
import string
from typing import Any

from sandbox import errors
from sandbox.columns import checked_settings, first_settings, kind_of
from sandbox.events import Happening
from sandbox.model import Board, Column
from sandbox.operations.reflections import add_reflections
from sandbox.operations.telling import column_of, log_board, tell_board
from sandbox.web import decoded
from sandbox.world import World

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
    description: str | None = None,
    after: str | None = None,
) -> Column:
    """A new column. A given id has 1 to 20 characters of a-z and _, and was never used on this board."""
    with world.transaction():
        board = world.active_board(board_id)
        kind = kind_of(column_type)
        if column_type == "subtasks":
            raise errors.invalid_argument("This column comes with the first subitem", column_type=column_type)
        _check_title(title)
        settings = first_settings(column_type, _decoded(defaults))
        _check_boards(world, column_type, settings)
        column = Column(
            fresh_id(column_type) if column_id is None else column_id,
            title,
            column_type,
            settings,
            description,
        )
        _check_column_id(board, column.id, given=column_id is not None)
        board.columns.insert(_place(board, after), column)
        add_reflections(world, board, column, (fresh_id(column_type) for _ in settings.get("boardIds", ())))
        _touch(world, board)
        about = {"column_id": column.id, "column_title": title, "column_type": kind.old_type}
        log_board(world, "create_column", board, user_id, **about)
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


def delete_column(world: World, user_id: int, board_id: int, column_id: str) -> Column:
    """Take a column off the board with what was in it; its id stays used."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if column_id == "name":
            raise errors.invalid_argument("The name column cannot be deleted", column_id=column_id)
        column.archived = True
        _touch(world, board)
        log_board(world, "delete_column", board, user_id, column_id=column_id, column_title=column.title)
        return column


def retitle_column(world: World, user_id: int, board_id: int, column_id: str, title: str) -> Column:
    """Change a column's title."""
    return change_column(world, user_id, board_id, column_id, title=title)


def change_column(
    world: World,
    user_id: int,
    board_id: int,
    column_id: str,
    *,
    title: str | None = None,
    description: str | None = None,
    settings: Any = None,
    revision: str | None = None,
) -> Column:
    """Change what is given of a column. With `revision`, only if nobody changed it since that was read."""
    with world.transaction():
        board = world.active_board(board_id)
        column = column_of(board, column_id)
        if revision is not None and revision != str(column.revision):
            raise errors.invalid_argument(
                "The column was changed since this revision", column_id=column_id, revision=column.revision
            )
        if title is not None:
            _check_title(title)
        changed = None if settings is None else checked_settings(column.type, _decoded(settings))
        if changed is not None:
            _check_boards(world, column.type, column.settings | changed)
            column.settings = column.settings | changed
            log_board(world, "change_column_settings", board, user_id, column_id=column_id)
        if title is not None:
            previous, column.title = column.title, title
            about = {"column_id": column_id, "previous_value": previous, "value": title}
            log_board(world, "update_column_name", board, user_id, **about)
        if description is not None:
            column.description = description
        column.revision += 1
        _touch(world, board)
        return column


def _decoded(given: Any) -> Any:
    """An argument of type JSON may come as an object or as JSON in a string."""
    if not isinstance(given, str):
        return given
    try:
        return decoded(given)
    except ValueError:
        raise errors.not_json(given) from None


def _check_title(title: str) -> None:
    if not 1 <= len(title) <= TITLE_LIMIT:
        raise errors.invalid_argument(f"A column's title has 1 to {TITLE_LIMIT} characters")


def _check_boards(world: World, column_type: str, settings: dict[str, Any]) -> None:
    """The boards that a relation is connected to exist."""
    if column_type != "board_relation":
        return
    for board_id in settings.get("boardIds") or ():
        world.active_board(board_id)


def _check_column_id(board: Board, column_id: str, given: bool) -> None:
    if given and not COLUMN_ID.fullmatch(column_id):
        raise errors.invalid_argument(
            "A column id has 1 to 20 characters of a-z and _", column_id=column_id, board_id=board.id
        )
    if any(column.id == column_id for column in board.columns):
        raise errors.invalid_argument(
            "This column id is or was in use on the board", column_id=column_id, board_id=board.id
        )


def _place(board: Board, after: str | None) -> int:
    if after is None:
        return len(board.columns)
    places = {column.id: place for place, column in enumerate(board.columns)}
    if after not in places:
        raise errors.column_not_found(after)
    return places[after] + 1


def _touch(world: World, board: Board) -> None:
    board.updated_at = world.clock.stamp()
    world.put_board(board)
    tell_board(world, board.id)


def fresh_id(prefix: str) -> str:
    """An id as Monday makes them, such as `text_mkmw91z2`."""
    return f"{prefix}_mk" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
