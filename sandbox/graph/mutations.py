"""Mutations of items and webhooks. Each is its own transaction: of several in one request, what succeeded stays."""

import json
from typing import Any

from sandbox import errors
from sandbox.graph.common import Resolver, json_in, number, resolvers
from sandbox.graph.context import Context
from sandbox.graph.queries import complexity
from sandbox.model import Hook, Item
from sandbox.operations import hooks, items, subitems, transfers


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
        {column_id: json_in(value)},
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


def create_subitem(
    context: Context,
    *,
    parent_item_id: str,
    item_name: str,
    column_values: Any = None,
    create_labels_if_missing: bool | None = None,
) -> Item:
    return subitems.create_subitem(
        context.world,
        context.user.id,
        number(parent_item_id),
        item_name,
        _values(column_values) if column_values is not None else {},
        create_labels=bool(create_labels_if_missing),
    )


def archive_item(context: Context, item_id: str | None = None) -> Item:
    return items.set_state(context.world, context.user.id, number(item_id), "archived")


def delete_item(context: Context, item_id: str | None = None) -> Item:
    return items.set_state(context.world, context.user.id, number(item_id), "deleted")


def move_item_to_group(context: Context, group_id: str, item_id: str | None = None) -> Item:
    return items.move_item(context.world, context.user.id, number(item_id), group_id)


def move_item_to_board(context: Context, board_id: str, group_id: str, item_id: str, **mapping: Any) -> Item:
    return transfers.move_to_board(
        context.world,
        context.user.id,
        number(item_id),
        number(board_id),
        group_id,
        mapping.get("columns_mapping"),
        mapping.get("subitems_columns_mapping"),
    )


def duplicate_item(
    context: Context, board_id: str, item_id: str | None = None, with_updates: bool | None = None
) -> Item:
    item = _item_on_board(context, item_id, board_id)
    return transfers.duplicate_item(context.world, context.user.id, item.id, with_updates=bool(with_updates))


def create_webhook(context: Context, board_id: str, url: str, event: str, config: Any = None) -> Hook | None:
    """Null, without an error, when the address does not answer the challenge."""
    decoded = json_in(config)
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
    decoded = json_in(given)
    if not isinstance(given, str) or not isinstance(decoded, dict):
        raise errors.not_json(given if isinstance(given, str) else json.dumps(given))
    return decoded


MUTATION: dict[str, Resolver] = {"complexity": complexity} | resolvers(
    change_multiple_column_values,
    change_column_value,
    change_simple_column_value,
    create_item,
    create_subitem,
    archive_item,
    delete_item,
    move_item_to_group,
    move_item_to_board,
    duplicate_item,
    create_webhook,
    delete_webhook,
)
