"""Updates: what people write under items."""

from typing import Any

from sandbox.graph.common import Resolver, context_of, number, part, resolvers
from sandbox.graph.context import Context
from sandbox.model import Board, Item, Update
from sandbox.operations import updates as operations
from sandbox.people import person


def updates(_: Any, info: Any, **wanted: Any) -> list[Update]:
    """Updates of all active items, newest first."""
    world = context_of(info).world
    found = [one for one in world.updates.values() if not one.deleted and one.parent_id is None]
    found = [one for one in found if world.state_of(world.items[one.item_id]) == "active"]
    return _asked(found, wanted)


def item_updates(item: Item, info: Any, **wanted: Any) -> list[Update]:
    return _asked(context_of(info).world.below.updates(item), wanted)


def board_updates(board: Board, info: Any, **wanted: Any) -> list[Update]:
    """Those under the board's items; nobody writes under a board itself here."""
    if wanted.get("board_updates_only"):
        return []
    world = context_of(info).world
    found = [update for item in world.items_of(board.id) for update in world.below.updates(item)]
    return _asked(found, wanted)


def _asked(found: list[Update], wanted: dict[str, Any]) -> list[Update]:
    ids, first, last = wanted.get("ids"), wanted.get("from_date"), wanted.get("to_date")
    kept = [
        one
        for one in sorted(found, key=lambda one: -one.id)
        if (ids is None or str(one.id) in ids)
        and (first is None or one.created_at[:10] >= str(first)[:10])
        and (last is None or one.created_at[:10] <= str(last)[:10])
    ]
    return part(kept, wanted)


def create_update(
    context: Context, body: str, item_id: str | None = None, parent_id: str | None = None, **_: Any
) -> Update:
    return operations.create_update(
        context.world,
        context.user.id,
        body,
        item_id=None if item_id is None else number(item_id),
        parent_id=None if parent_id is None else number(parent_id),
    )


def edit_update(context: Context, id: str, body: str) -> Update:  # noqa: A002 -- the argument's name at Monday
    return operations.edit_update(context.world, context.user.id, number(id), body)


def delete_update(context: Context, id: str) -> Update:  # noqa: A002 -- the argument's name at Monday
    return operations.delete_update(context.world, context.user.id, number(id))


QUERY: dict[str, Resolver] = {"updates": updates}
MUTATION = resolvers(create_update, edit_update, delete_update)
REPLY: dict[str, Resolver] = {
    "assets": lambda update, info: [],
    "creator": lambda update, info: person(update.creator_id),
    "updated_at": lambda update, info: update.edited_at,
    "kind": lambda update, info: "Reply",
}
UPDATE: dict[str, Resolver] = {
    "assets": lambda update, info: [],
    "creator": lambda update, info: person(update.creator_id),
    "item": lambda update, info: context_of(info).world.items[update.item_id],
    "replies": lambda update, info: context_of(info).world.below.replies(update),
    "updated_at": lambda update, info: update.edited_at,
    "original_creation_date": lambda update, info: None,
}
ITEM: dict[str, Resolver] = {"updates": item_updates}
BOARD: dict[str, Resolver] = {"updates": board_updates}
