"""Resolvers of mutations, each under the name of its field in the schema.

Each mutation is its own transaction: of several in one request, what succeeded stays.
"""

import json
from functools import partial
from typing import Any

from sandbox import api_errors
from sandbox.graph.context import NO_USER, Context, Resolver, number
from sandbox.model import Board, Column, Group, Hook, Item, Tag
from sandbox.operations import board_changes, item_changes, transfers, validations
from sandbox.operations.board_changes import json_in
from sandbox.webhooks import payloads

# Arguments that are ids wherever they stand; `id` and `relative_to` are a column's or a group's too.
NUMBERED = ("board_id", "item_id", "parent_item_id", "parent_id")


def resolver(name: str) -> Resolver:
    """The mutation of this name, as graphql calls it: after its latency, with ids as the numbers that they are here."""
    mutate: Resolver = globals()[name]

    def resolve(_: Any, info: Any, **arguments: Any) -> Any:
        info.context.slow_mutation()
        numbers = {key: number(arguments[key]) for key in NUMBERED if arguments.get(key) is not None}
        return mutate(info.context, **arguments | numbers)

    return resolve


def _by_api_user(operation: Resolver, context: Context, **arguments: Any) -> Any:
    return operation(context.world, context.user.id, **arguments)


# Those whose arguments are an operation's own.
archive_item = partial(_by_api_user, item_changes.set_state, item_id=None, state="archived")
delete_item = partial(_by_api_user, item_changes.set_state, item_id=None, state="deleted")
move_item_to_group = partial(_by_api_user, item_changes.move_item, item_id=None)
move_item_to_board = partial(_by_api_user, transfers.move_to_board)
archive_board = partial(_by_api_user, board_changes.set_board_state, state="archived")
delete_board = partial(_by_api_user, board_changes.set_board_state, state="deleted")
delete_group = partial(_by_api_user, board_changes.remove_group, how="delete")
delete_column = partial(_by_api_user, board_changes.delete_column)
change_column_title = partial(_by_api_user, board_changes.rename_column)


def archive_group(context: Context, board_id: int, group_id: str) -> Group:
    """A group that isn't there is refused as forbidden, a board's id that is no number fails (monday_ruby, 2025-10)."""
    if board_id == NO_USER:
        raise api_errors.InternalError
    if context.world.active_board(board_id).group(group_id) is None:
        raise api_errors.unauthorized()
    return board_changes.remove_group(context.world, context.user.id, board_id, group_id, how="archive")


def change_multiple_column_values(context: Context, column_values: Any, **where: Any) -> Item:
    return _change(context, _values(column_values), **where)


def change_column_value(context: Context, column_id: str, value: Any, **where: Any) -> Item:
    return _change(context, {column_id: json_in(value)}, **where)


def change_simple_column_value(context: Context, column_id: str, value: str | None = None, **where: Any) -> Item:
    values = {"name": value} if column_id == "name" else {column_id: value or None}
    return _change(context, values, parse="parse_simple" if value else "parse", **where)


def _change(
    context: Context,
    values: dict[str, Any],
    *,
    board_id: int,
    item_id: int | None = None,
    create_labels_if_missing: bool | None = None,
    parse: str = "parse",
) -> Item:
    return item_changes.change_values(
        context.world,
        context.user.id,
        _item_on_board(context, item_id, board_id),
        values,
        create_labels=bool(create_labels_if_missing),
        parse=parse,
    )


def _item_on_board(context: Context, item_id: int | None, board_id: int) -> Item:
    board = context.world.board(board_id)
    item = context.world.item(item_id)
    if item.board_id != board.id:
        raise api_errors.item_not_on_board(item.id, board.id)
    return item


def _values(given: Any) -> dict[str, Any]:
    """`column_values`: an object, sent as JSON in a string."""
    decoded = json_in(given)
    if not isinstance(given, str) or not isinstance(decoded, dict):
        raise api_errors.not_json(given if isinstance(given, str) else json.dumps(given))
    return decoded


def create_item(context: Context, board_id: int, item_name: str, column_values: Any = None, **more: Any) -> Item:
    beside = None
    if more.get("relative_to"):
        beside = (number(more["relative_to"]), more.get("position_relative_method") != "before_at")
    return item_changes.create_item(
        context.world,
        context.user.id,
        board_id,
        item_name,
        {} if column_values is None else _values(column_values),
        group_id=more.get("group_id"),
        create_labels=bool(more.get("create_labels_if_missing")),
        beside=beside,
    )


def create_webhook(context: Context, board_id: int, url: str, event: str, config: Any = None) -> Hook | None:
    """Null, without an error, when the address does not answer the challenge."""
    decoded = json_in(config)
    payloads.check_subscription(context.world, board_id, url, event, decoded)
    if not context.handshake(url):
        return None
    return payloads.subscribe(context.world, context.user.id, board_id, url=url, event=event, config=decoded)


def delete_webhook(context: Context, id: str) -> Hook:  # noqa: A002 -- the argument's name at Monday
    return payloads.unsubscribe(context.world, number(id))


def create_board(context: Context, board_name: str, board_kind: str, **more: Any) -> Board:
    context.limits.take("create_board")
    return board_changes.create_board(
        context.world,
        context.user.id,
        board_name,
        board_kind,
        empty=bool(more.get("empty")),
        description=more.get("description"),
        workspace_id=number(more["workspace_id"]) if more.get("workspace_id") else None,
    )


def update_board(context: Context, board_id: int, board_attribute: str, new_value: str) -> str:
    """Answers JSON in a string, with what would undo it."""
    if board_attribute not in ("name", "description"):
        raise api_errors.invalid_argument(f"The sandbox changes no {board_attribute} of a board")
    before = getattr(context.world.active_board(board_id), board_attribute)
    board_changes.describe_board(context.world, context.user.id, board_id, board_attribute, new_value)
    undo = {"undo_record_id": None, "action_type": f"modify_{board_attribute}", "previous_value": before}
    return json.dumps({"success": True, "undo_data": undo}, ensure_ascii=False)


def create_group(context: Context, board_id: int, group_name: str, **more: Any) -> Group:
    beside = None
    if more.get("relative_to"):
        beside = (more["relative_to"], more.get("position_relative_method") != "before_at")
    return board_changes.create_group(
        context.world, context.user.id, board_id, group_name, colour=more.get("group_color"), beside=beside
    )


def create_column(context: Context, board_id: int, title: str, column_type: str, **more: Any) -> Column:
    return board_changes.create_column(
        context.world,
        context.user.id,
        board_id,
        title,
        column_type,
        column_id=more.get("id"),
        defaults=more.get("defaults"),
        description=more.get("description"),
        after=more.get("after_column_id"),
    )


def create_or_get_tag(context: Context, tag_name: str | None = None, board_id: int | None = None) -> Tag:
    world = context.world
    if not tag_name or not tag_name.strip():
        raise api_errors.invalid_argument("tag_name must not be empty")
    if board_id is not None:
        world.active_board(board_id)
    with world.transaction():
        return world.tags[world.names.tag_called(tag_name)]


def add_required_column(context: Context, id: str, column_id: str, type: str = "") -> dict[str, Any]:  # noqa: A002
    required = validations.set_required(context.world, number(id), column_id, required=True)
    return {"required_column_ids": required}


def remove_required_column(context: Context, id: str, column_id: str, type: str = "") -> dict[str, Any]:  # noqa: A002
    required = validations.set_required(context.world, number(id), column_id, required=False)
    return {"required_column_ids": required}


def create_validation_rule(context: Context, id: str, rule: dict[str, Any], type: str = "") -> dict[str, Any]:  # noqa: A002
    return validations.add_rule(context.world, number(id), rule)


def delete_validation_rule(context: Context, id: str, rule_id: str, type: str = "") -> dict[str, Any]:  # noqa: A002
    return validations.delete_rule(context.world, number(id), rule_id)
