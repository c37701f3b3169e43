"""Mutations of boards, groups and columns."""

import json
from typing import Any

from sandbox import errors
from sandbox.graph.common import number, resolvers
from sandbox.graph.context import Context
from sandbox.model import Board, Column, Group
from sandbox.operations import boards, columns, groups


def create_board(context: Context, board_name: str, board_kind: str, **more: Any) -> Board:
    context.limits.take("create_board")
    return boards.create_board(
        context.world,
        context.user.id,
        board_name,
        board_kind,
        empty=bool(more.get("empty")),
        description=more.get("description"),
        workspace_id=number(more["workspace_id"]) if more.get("workspace_id") else None,
    )


def archive_board(context: Context, board_id: str) -> Board:
    return boards.set_board_state(context.world, number(board_id), "archived", context.user.id)


def delete_board(context: Context, board_id: str) -> Board:
    return boards.set_board_state(context.world, number(board_id), "deleted", context.user.id)


def update_board(context: Context, board_id: str, board_attribute: str, new_value: str) -> str:
    """Answers JSON in a string, with what would undo it."""
    if board_attribute not in ("name", "description"):
        raise errors.invalid_argument(f"The sandbox changes no {board_attribute} of a board")
    before = getattr(context.world.active_board(number(board_id)), board_attribute)
    boards.describe_board(context.world, context.user.id, number(board_id), board_attribute, new_value)
    undo = {"undo_record_id": None, "action_type": f"modify_{board_attribute}", "previous_value": before}
    return json.dumps({"success": True, "undo_data": undo}, ensure_ascii=False)


def create_group(context: Context, board_id: str, group_name: str, **more: Any) -> Group:
    beside = None
    if more.get("relative_to"):
        beside = (more["relative_to"], more.get("position_relative_method") != "before_at")
    return groups.create_group(
        context.world,
        context.user.id,
        number(board_id),
        group_name,
        colour=more.get("group_color"),
        beside=beside,
    )


def update_group(
    context: Context, board_id: str, group_id: str, group_attribute: str, new_value: str
) -> Group:
    return groups.change_group(
        context.world, context.user.id, number(board_id), group_id, group_attribute, new_value
    )


def archive_group(context: Context, board_id: str, group_id: str) -> Group:
    return groups.remove_group(context.world, context.user.id, number(board_id), group_id, "archive")


def delete_group(context: Context, board_id: str, group_id: str) -> Group:
    return groups.remove_group(context.world, context.user.id, number(board_id), group_id, "delete")


def create_column(context: Context, board_id: str, title: str, column_type: str, **more: Any) -> Column:
    return columns.create_column(
        context.world,
        context.user.id,
        number(board_id),
        title,
        column_type,
        column_id=more.get("id"),
        defaults=more.get("defaults"),
        description=more.get("description"),
        after=more.get("after_column_id"),
    )


def delete_column(context: Context, board_id: str, column_id: str) -> Column:
    return columns.delete_column(context.world, context.user.id, number(board_id), column_id)


def change_column_title(context: Context, board_id: str, column_id: str, title: str) -> Column:
    return columns.retitle_column(context.world, context.user.id, number(board_id), column_id, title)


def change_column_metadata(
    context: Context,
    board_id: str,
    column_id: str,
    column_property: str | None = None,
    value: str | None = None,
) -> Column:
    if column_property is None or value is None:
        raise errors.invalid_argument("column_property and value are needed", column_id=column_id)
    change = {column_property: value}
    return columns.change_column(context.world, context.user.id, number(board_id), column_id, **change)


def update_column(
    context: Context,
    board_id: str,
    id: str,  # noqa: A002 -- the argument's name at Monday
    column_type: str,
    revision: str,
    **more: Any,
) -> Column:
    """Only with the revision that the caller read, so that nobody's change is overwritten unseen."""
    board = context.world.active_board(number(board_id))
    column = board.column(id)
    if column is not None and column.type != column_type:
        raise errors.invalid_argument("The column is of another type", column_id=id)
    wanted = {key: more.get(key) for key in ("title", "description", "settings")}
    return columns.change_column(context.world, context.user.id, board.id, id, revision=revision, **wanted)


MUTATION = resolvers(
    create_board,
    archive_board,
    delete_board,
    update_board,
    create_group,
    update_group,
    archive_group,
    delete_group,
    create_column,
    delete_column,
    change_column_title,
    change_column_metadata,
    update_column,
)
