"""Resolvers of Mutation. Each is its own transaction: of several in one request, what succeeded stays."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from sandbox import errors
from sandbox.graph.context import Context
from sandbox.graph.queries import complexity, number
from sandbox.model import Board, Column, Group, Hook, Item
from sandbox.operations import boards, hooks, items
from sandbox.web import decoded

Resolver = Callable[..., Any]


def change_multiple_column_values(
    context: Context,
    *,
    board_id: str,
    column_values: Any,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return items.change_values(
        context.world,
        context.user.id,
        item,
        _values(column_values),
        create_labels=bool(create_labels_if_missing),
    )


def change_column_value(
    context: Context,
    *,
    board_id: str,
    column_id: str,
    value: Any,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return items.change_values(
        context.world,
        context.user.id,
        item,
        {column_id: _decoded(value)},
        create_labels=bool(create_labels_if_missing),
    )


def change_simple_column_value(
    context: Context,
    *,
    board_id: str,
    column_id: str,
    value: str | None = None,
    item_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    parse = "parse_simple" if value else "parse"
    return items.change_values(
        context.world,
        context.user.id,
        item,
        {column_id: value or None} if column_id != "name" else {"name": value},
        create_labels=bool(create_labels_if_missing),
        parse=parse,
    )


def create_item(
    context: Context,
    *,
    board_id: str,
    item_name: str,
    column_values: Any = None,
    group_id: str | None = None,
    create_labels_if_missing: bool | None = None,
    position_relative_method: str | None = None,
    relative_to: str | None = None,
) -> Item:
    beside = (number(relative_to), position_relative_method != "before_at") if relative_to else None
    return items.create_item(
        context.world,
        context.user.id,
        number(board_id),
        item_name,
        _values(column_values) if column_values is not None else {},
        group_id=group_id,
        create_labels=bool(create_labels_if_missing),
        beside=beside,
    )


def archive_item(context: Context, item_id: str | None = None) -> Item:
    return items.set_state(context.world, context.user.id, number(item_id), "archived")


def delete_item(context: Context, item_id: str | None = None) -> Item:
    return items.set_state(context.world, context.user.id, number(item_id), "deleted")


def move_item_to_group(context: Context, group_id: str, item_id: str | None = None) -> Item:
    return items.move_item(context.world, context.user.id, number(item_id), group_id)


def create_board(context: Context, board_name: str, board_kind: str, **more: Any) -> Board:
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
    return boards.set_board_state(context.world, number(board_id), "archived")


def delete_board(context: Context, board_id: str) -> Board:
    return boards.set_board_state(context.world, number(board_id), "deleted")


def create_group(context: Context, board_id: str, group_name: str, **more: Any) -> Group:
    beside = None
    if more.get("relative_to"):
        beside = (more["relative_to"], more.get("position_relative_method") != "before_at")
    return boards.create_group(
        context.world,
        context.user.id,
        number(board_id),
        group_name,
        colour=more.get("group_color"),
        beside=beside,
    )


def create_column(context: Context, board_id: str, title: str, column_type: str, **more: Any) -> Column:
    return boards.create_column(
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
    return boards.delete_column(context.world, context.user.id, number(board_id), column_id)


def change_column_title(context: Context, board_id: str, column_id: str, title: str) -> Column:
    return boards.retitle_column(context.world, context.user.id, number(board_id), column_id, title)


def create_webhook(context: Context, board_id: str, url: str, event: str, config: Any = None) -> Hook | None:
    """Null, without an error, when the address does not answer the challenge."""
    decoded = _decoded(config)
    hooks.check(context.world, number(board_id), url, event, decoded)
    if not context.handshake(url):
        return None
    return hooks.create(
        context.world, context.user.id, number(board_id), url=url, event=event, config=decoded
    )


def delete_webhook(context: Context, id: str) -> Hook:  # noqa: A002 -- the argument's name at Monday
    return hooks.delete(context.world, number(id))


def _item_on_board(context: Context, item_id: str | None, board_id: str) -> Item:
    world = context.world
    board = world.board(number(board_id))
    item = world.item(number(item_id))
    if item.board_id != board.id:
        raise errors.item_not_on_board(item.id, board.id)
    return item


def _values(given: Any) -> dict[str, Any]:
    """`column_values`: an object, sent as JSON in a string."""
    decoded = _decoded(given)
    if not isinstance(given, str) or not isinstance(decoded, dict):
        raise errors.not_json(str(given))
    return decoded


def _decoded(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return decoded(given)
    except ValueError:
        raise errors.not_json(given) from None


def _resolver(mutation: Resolver) -> Resolver:
    @wraps(mutation)
    def resolve(_: Any, info: Any, **arguments: Any) -> Any:
        info.context.slow_mutation()
        return mutation(info.context, **arguments)

    return resolve


MUTATION: dict[str, Resolver] = {"complexity": complexity} | {
    mutation.__name__: _resolver(mutation)
    for mutation in (
        change_multiple_column_values,
        change_column_value,
        change_simple_column_value,
        create_item,
        archive_item,
        delete_item,
        move_item_to_group,
        create_board,
        archive_board,
        delete_board,
        create_group,
        create_column,
        delete_column,
        change_column_title,
        create_webhook,
        delete_webhook,
    )
}
