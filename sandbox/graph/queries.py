"""Resolvers of Query, and of the fields of boards and items."""

import json
from typing import Any

from sandbox import errors, versions
from sandbox.columns import shown_settings
from sandbox.cursors import Page
from sandbox.filters import in_board, matching, ordered
from sandbox.graph.common import Resolver, context_of, number, part
from sandbox.graph.logs import activity_logs
from sandbox.graph.shapes import column_values
from sandbox.model import Board, Column, Group, Hook, Item, Tag
from sandbox.people import Person, person
from sandbox.whole_values import with_values
from sandbox.world import World

IDS_LIMIT = 100


def me(_: Any, info: Any) -> Person:
    return context_of(info).user


def version(_: Any, info: Any) -> versions.Version:
    return context_of(info).version


def all_versions(_: Any, info: Any) -> Any:
    return versions.VERSIONS


def complexity(_: Any, info: Any) -> Any:
    return context_of(info).spent


def boards(_: Any, info: Any, **wanted: Any) -> list[Board]:
    """Newest first. Boards of subitems are listed like any other."""
    state, ids, kind = wanted.get("state", "active"), wanted.get("ids"), wanted.get("board_kind")
    known = _world(info).boards
    numbers = known if ids is None else dict.fromkeys(number(one) for one in ids)
    found = [known[one] for one in numbers if one in known]
    found = [b for b in found if state in ("all", b.state) and kind in (None, b.kind)]
    return part(sorted(found, key=lambda board: -board.id), wanted)


def items(_: Any, info: Any, **wanted: Any) -> list[Item]:
    """Archived and deleted items are shown too, unless `exclude_nonactive`; unknown ids are left out."""
    world, ids = _world(info), wanted.get("ids")
    if ids is None:
        known = reversed(world.items.values()) if wanted.get("newest_first") else world.items.values()
        return part([item for item in known if world.state_of(item) == "active"], wanted)
    if len(ids) > IDS_LIMIT:
        raise errors.invalid_argument(f"items takes at most {IDS_LIMIT} ids")
    found = [world.items[i] for i in dict.fromkeys(number(one) for one in ids) if i in world.items]
    if wanted.get("exclude_nonactive"):
        found = [item for item in found if world.state_of(item) == "active"]
    if wanted.get("newest_first"):
        found.sort(key=lambda item: -item.id)
    return part(found, wanted)


def items_page_by_column_values(_: Any, info: Any, board_id: str, **wanted: Any) -> Page:
    context = context_of(info)
    board = context.world.active_board(number(board_id))
    columns, cursor, limit = wanted.get("columns"), wanted.get("cursor"), wanted["limit"]
    if cursor and columns:
        raise errors.invalid_argument("columns and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, limit)
    return context.cursors.first(context.world, with_values(context.world, board, columns or []), limit)


def next_items_page(_: Any, info: Any, cursor: str, limit: int) -> Page:
    context = context_of(info)
    return context.cursors.next(context.world, cursor, limit)


def webhooks(_: Any, info: Any, board_id: str, **wanted: Any) -> list[Hook]:
    world = _world(info)
    board = world.board(number(board_id))
    return [hook for hook in world.hooks.values() if hook.board_id == board.id and not hook.deleted]


def board_columns(board: Board, info: Any, **wanted: Any) -> list[Column]:
    ids, types = wanted.get("ids"), wanted.get("types")
    found = [c for c in board.visible_columns() if ids is None or c.id in ids]
    return [column for column in found if types is None or column.type in types]


def board_groups(board: Board, info: Any, ids: list[str] | None = None) -> list[Group]:
    return [group for group in board.visible_groups() if ids is None or group.id in ids]


def board_tags(board: Board, info: Any) -> list[Tag]:
    """Only the tags of private boards are kept with their board at Monday; here all are public."""
    return []


def board_items_page(board: Board, info: Any, **wanted: Any) -> Page:
    return _items_page(info, board, wanted, None)


def group_items_page(group: Group, info: Any, **wanted: Any) -> Page:
    boards = _world(info).boards.values()
    board = next(board for board in boards if any(one is group for one in board.groups))
    return _items_page(info, board, wanted, group.id)


def _items_page(info: Any, board: Board, wanted: dict[str, Any], group_id: str | None) -> Page:
    context, cursor, query = context_of(info), wanted.get("cursor"), wanted.get("query_params")
    if cursor and query:
        raise errors.invalid_argument("query_params and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, wanted["limit"])
    if query and len(query.get("ids") or []) > IDS_LIMIT:
        raise errors.invalid_argument(f"query_params takes at most {IDS_LIMIT} ids")
    meant = matching(context.world, board, context.user.id, query)
    found = [item for item in in_board(context.world, board, query) if meant(item)]
    if group_id is not None:
        found = [item for item in found if item.group_id == group_id]
    found = ordered(board, found, (query or {}).get("order_by"))
    return context.cursors.first(context.world, found, wanted["limit"])


def item_column_values(item: Item, info: Any, **wanted: Any) -> list[dict[str, Any]]:
    board = _world(info).boards[item.board_id]
    return column_values(board, item, wanted.get("ids"), wanted.get("types"))


def item_subitems(item: Item, info: Any) -> list[Item]:
    return [child for child in _world(info).below.children(item) if child.state == "active"]


def item_linked_items(item: Item, info: Any, link_to_item_column_id: str, linked_board_id: str) -> list[Item]:
    """The items of another board that this one is connected to by one of its columns."""
    board = _world(info).boards[item.board_id]
    found = column_values(board, item, [link_to_item_column_id], ["board_relation"])
    linked = [one for value in found for one in value["linked_items"]]
    return [one for one in linked if one.board_id == number(linked_board_id)]


def item_path(item: Item) -> str:
    return f"/board/{item.board_id}/pulses/{item.id}"


def _world(info: Any) -> World:
    return context_of(info).world


QUERY: dict[str, Resolver] = {
    "me": me,
    "version": version,
    "versions": all_versions,
    "complexity": complexity,
    "boards": boards,
    "items": items,
    "items_page_by_column_values": items_page_by_column_values,
    "next_items_page": next_items_page,
    "webhooks": webhooks,
}
BOARD: dict[str, Resolver] = {
    "board_kind": lambda board, info: board.kind,
    "columns": board_columns,
    "groups": board_groups,
    "tags": board_tags,
    "top_group": lambda board, info: board.visible_groups()[0],
    "items_count": lambda board, info: _world(info).active_count(board.id),
    "items_page": board_items_page,
    "activity_logs": activity_logs,
    "creator": lambda board, info: person(board.creator_id),
    "owners": lambda board, info: [person(board.creator_id)],
    "subscribers": lambda board, info: [person(board.creator_id)],
    "permissions": lambda board, info: "everyone",
    "access_level": lambda board, info: "edit",
    "hierarchy_type": lambda board, info: "classic",
    "url": lambda board, info: f"{_world(info).site_url}/board/{board.id}",
}
ITEM: dict[str, Resolver] = {
    "board": lambda item, info: _world(info).boards[item.board_id],
    "group": lambda item, info: next(
        (g for g in _world(info).boards[item.board_id].groups if g.id == item.group_id), None
    ),
    "column_values": item_column_values,
    "creator": lambda item, info: person(item.creator_id),
    "linked_items": item_linked_items,
    "parent_item": lambda item, info: _world(info).items.get(item.parent_id or 0),
    "relative_link": lambda item, info: item_path(item),
    "state": lambda item, info: _world(info).state_of(item),
    "subitems": item_subitems,
    "subscribers": lambda item, info: [person(item.creator_id)],
    "url": lambda item, info: _world(info).site_url + item_path(item),
}
COLUMN: dict[str, Resolver] = {
    "settings": lambda column, info: shown_settings(column),
    "settings_str": lambda column, info: json.dumps(column.settings, ensure_ascii=False),
    "width": lambda column, info: None,
}
GROUP: dict[str, Resolver] = {"items_page": group_items_page}
WEBHOOK: dict[str, Resolver] = {
    "config": lambda hook, info: None if hook.config is None else json.dumps(hook.config)
}
