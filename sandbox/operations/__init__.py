"""What can be done to boards and items, whoever asks: the API, the page, or a test; and how it is told to webhooks and
pages, and kept in the activity log.

Log rows as published probes saw them (developer.monday.com/api-reference/docs/activity-logs names the shape).
"""

from typing import Any

from sandbox import api_errors
from sandbox.model import Board, Column, Group, Item, WorldEvent
from sandbox.world import World


def emit(world: World, kind: str, item: Item, user_id: int, **more: Any) -> None:
    """Report that something happened to an item, as it is now."""
    board = world.boards[item.board_id]
    group = group_of(board, item)
    world.emit(
        WorldEvent(
            kind=kind,
            board_id=board.id,
            user_id=user_id,
            seconds=world.clock.time(),
            item=item,
            item_name=item.name,
            group=group,
            is_top_group=is_top(board, group),
            **more,
        )
    )


def log(world: World, event: str, item: Item, user_id: int, **data: Any) -> None:
    """A row about an item in its board's activity log."""
    board = world.boards[item.board_id]
    about = {
        "board_id": board.id,
        "group_id": item.group_id,
        "is_top_group": is_top(board, group_of(board, item)),
        "pulse_id": item.id,
        "pulse_name": item.name,
    }
    if event == "update_column_value":
        about |= {"parent_board_id": None, "parent_item_id": None}
    world.log(board.id, event, about | data, user_id, item.id)


def log_board(world: World, event: str, board: Board, user_id: int, **data: Any) -> None:
    world.log(board.id, event, {"board_id": board.id} | data, user_id, None)


def column_of(board: Board, column_id: str) -> Column:
    column = board.column(column_id)
    if column is None:
        raise api_errors.column_not_found(column_id)
    return column


def wanted_group(board: Board, group_id: str | None) -> Group:
    """The group of this id, without one the top group; ResourceNotFoundException when there is none."""
    if group_id is None:
        return board.visible_groups()[0]
    group = board.group(group_id)
    if group is None:
        raise api_errors.group_not_found(group_id, board.id)
    return group


def group_of(board: Board, item: Item) -> Group:
    return next((group for group in board.groups if group.id == item.group_id), board.groups[0])


def is_top(board: Board, group: Group) -> bool:
    return next((one for one in board.groups if not one.deleted and not one.archived), None) is group
