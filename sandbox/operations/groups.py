"""Create, change, archive and delete groups."""

import math

from sandbox import errors
from sandbox.model import Board, Group
from sandbox.operations.columns import fresh_id
from sandbox.operations.telling import log, log_board, tell_board, wanted_group
from sandbox.world import World

COLOURS = ("#a25ddc", "#00c875", "#e2445c", "#fdab3d", "#037f4c", "#784bd1", "#cab641")
TITLE_LIMIT = 255
STATES = {"archive": "archived", "delete": "deleted"}


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
        _check_title(title)
        group = Group(fresh_id("group"), title, colour or COLOURS[len(board.groups) % 7], "0")
        board.groups.insert(_place(board, beside), group)
        _renumber(board)
        _touch(world, board)
        log_board(world, "create_group", board, user_id, group_id=group.id, group_title=title)
        return group


def change_group(
    world: World, user_id: int, board_id: int, group_id: str, attribute: str, value: str
) -> Group:
    """Change a group's title, colour or place, as `attribute` of Monday's GroupAttributes says."""
    with world.transaction():
        board = world.active_board(board_id)
        group = wanted_group(board, group_id)
        if attribute == "title":
            _check_title(value)
            previous, group.title = group.title, value
            about = {"group_id": group_id, "previous_value": previous, "value": value}
            log_board(world, "update_group_name", board, user_id, **about)
        elif attribute == "color":
            group.color = value
        else:
            _replace(board, group, attribute, value)
        _touch(world, board)
        return group


def _replace(board: Board, group: Group, attribute: str, value: str) -> None:
    if attribute == "position":
        try:
            position = float(value)
            if not math.isfinite(position):
                raise ValueError
        except ValueError:
            raise errors.invalid_argument("position must be a number") from None
        group.position = str(position)
        board.groups.sort(key=lambda one: float(one.position))
        return
    if wanted_group(board, value) is group:
        raise errors.invalid_argument("A group cannot stand beside itself", group_id=group.id)
    board.groups.remove(group)
    board.groups.insert(_place(board, (value, attribute == "relative_position_after")), group)
    _renumber(board)


def remove_group(world: World, user_id: int, board_id: int, group_id: str, how: str) -> Group:
    """`archive` or `delete` a group with its items; DeleteLastGroupException for the only one.

    Which webhooks Monday sends for the items of such a group is not published; the sandbox sends none,
    and its activity log has a row for each item, as published probes saw.
    """
    with world.transaction():
        board = world.active_board(board_id)
        group = wanted_group(board, group_id)
        if len(board.visible_groups()) == 1:
            raise errors.last_group(board_id, group_id)
        group.archived, group.deleted = how == "archive", how == "delete"
        stamp = world.clock.stamp()
        inside = [item for item in world.items_of(board_id) if item.group_id == group_id]
        for item in inside:
            item.state, item.updated_at, item.changed_by = STATES[how], stamp, user_id
            log(world, f"{how}_group_pulse", item, user_id)
        world.put_items(inside)
        log_board(world, f"{how}_group", board, user_id, group_id=group_id, group_title=group.title)
        _touch(world, board)
        return group


def _check_title(title: str) -> None:
    if not 1 <= len(title) <= TITLE_LIMIT:
        raise errors.invalid_argument(f"A group's title has 1 to {TITLE_LIMIT} characters")


def _place(board: Board, beside: tuple[str, bool] | None) -> int:
    if beside is None:
        return 0
    places = {group.id: place for place, group in enumerate(board.groups)}
    if beside[0] not in places:
        raise errors.group_not_found(beside[0], board.id)
    return places[beside[0]] + (1 if beside[1] else 0)


def _renumber(board: Board) -> None:
    for place, one in enumerate(board.groups):
        one.position = f"{(place + 1) * 65536}.0"


def _touch(world: World, board: Board) -> None:
    board.updated_at = world.clock.stamp()
    world.put_board(board)
    tell_board(world, board.id)
