"""Resolvers of Query, and of the fields of boards and items."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from sandbox import errors, versions
from sandbox.cursors import Page
from sandbox.filters import having_values, matching, ordered
from sandbox.graph.context import Context
from sandbox.graph.shapes import column_values
from sandbox.model import Activity, Board, Column, Group, Hook, Item
from sandbox.people import ACCOUNT_ID, Person, person

Resolver = Callable[..., Any]
Row = TypeVar("Row")
IDS_LIMIT = 100
LOG_LIMIT = 10_000
ACCOUNT = {
    "id": ACCOUNT_ID,
    "name": "Sandbox",
    "slug": "sandbox",
    "tier": "pro",
    "country_code": "US",
    "first_day_of_the_week": "monday",
    "show_timeline_weekends": True,
    "plan": {"max_users": 10, "period": "monthly", "tier": "pro", "version": 1},
}


def number(given: Any) -> int:
    """An id as Monday numbers its things; ids that are no number belong to nothing."""
    try:
        return int(given)
    except (TypeError, ValueError):
        return -1


def account(_: Any, info: Any) -> Any:
    return ACCOUNT


def me(_: Any, info: Any) -> Person:
    return _context(info).user


def version(_: Any, info: Any) -> versions.Version:
    return _context(info).version


def all_versions(_: Any, info: Any) -> Any:
    return versions.VERSIONS


def complexity(_: Any, info: Any) -> Any:
    return _context(info).spent


def boards(_: Any, info: Any, **wanted: Any) -> list[Board]:
    state, ids, kind = wanted.get("state", "active"), wanted.get("ids"), wanted.get("board_kind")
    found = list(_context(info).world.boards.values())
    if ids is not None:
        numbers = {number(one) for one in ids}
        found = [board for board in found if board.id in numbers]
    found = [b for b in found if state in ("all", b.state) and kind in (None, b.kind)]
    return _slice(sorted(found, key=lambda board: -board.id), wanted)


def items(_: Any, info: Any, **wanted: Any) -> list[Item]:
    """Archived and deleted items are shown too, unless `exclude_nonactive`; unknown ids are left out."""
    world, ids = _context(info).world, wanted.get("ids")
    if ids is None:
        found = sorted(
            world.items.values(), key=lambda item: item.id, reverse=bool(wanted.get("newest_first"))
        )
        return _slice([item for item in found if world.state_of(item) == "active"], wanted)
    if len(ids) > IDS_LIMIT:
        raise errors.invalid_argument(f"items takes at most {IDS_LIMIT} ids")
    found = [world.items[i] for i in dict.fromkeys(number(one) for one in ids) if i in world.items]
    if wanted.get("exclude_nonactive"):
        found = [item for item in found if world.state_of(item) == "active"]
    if wanted.get("newest_first"):
        found.sort(key=lambda item: -item.id)
    return _slice(found, wanted)


def items_page_by_column_values(_: Any, info: Any, board_id: str, **wanted: Any) -> Page:
    context = _context(info)
    board = context.world.active_board(number(board_id))
    columns, cursor, limit = wanted.get("columns"), wanted.get("cursor"), wanted["limit"]
    if cursor and columns:
        raise errors.invalid_argument("columns and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, limit)
    test = having_values(board, columns or [])
    found = [item for item in context.world.items_of(board.id) if test(item)]
    return context.cursors.first(context.world, found, limit)


def next_items_page(_: Any, info: Any, cursor: str, limit: int) -> Page:
    context = _context(info)
    return context.cursors.next(context.world, cursor, limit)


def webhooks(_: Any, info: Any, board_id: str, **wanted: Any) -> list[Hook]:
    world = _context(info).world
    board = world.board(number(board_id))
    return [hook for hook in world.hooks.values() if hook.board_id == board.id and not hook.deleted]


def board_columns(board: Board, info: Any, **wanted: Any) -> list[Column]:
    ids, types = wanted.get("ids"), wanted.get("types")
    found = [c for c in board.visible_columns() if ids is None or c.id in ids]
    return [column for column in found if types is None or column.type in types]


def board_groups(board: Board, info: Any, ids: list[str] | None = None) -> list[Group]:
    return [group for group in board.visible_groups() if ids is None or group.id in ids]


def board_items_page(board: Board, info: Any, **wanted: Any) -> Page:
    return _items_page(info, board, wanted, lambda item: True)


def group_items_page(group: Group, info: Any, **wanted: Any) -> Page:
    world = _context(info).world
    board = next(board for board in world.boards.values() if any(one is group for one in board.groups))
    return _items_page(info, board, wanted, lambda item: item.group_id == group.id)


def _items_page(info: Any, board: Board, wanted: dict[str, Any], test: Callable[[Item], bool]) -> Page:
    context, cursor, query = _context(info), wanted.get("cursor"), wanted.get("query_params")
    if cursor and query:
        raise errors.invalid_argument("query_params and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, wanted["limit"])
    if query and len(query.get("ids") or []) > IDS_LIMIT:
        raise errors.invalid_argument(f"query_params takes at most {IDS_LIMIT} ids")
    meant = matching(board, query)
    active = context.world.items_of(board.id) if board.state == "active" else []
    found = [item for item in active if test(item) and meant(item)]
    return context.cursors.first(
        context.world, ordered(board, found, (query or {}).get("order_by")), wanted["limit"]
    )


def activity_logs(board: Board, info: Any, **wanted: Any) -> list[dict[str, str]]:
    """Newest first; rows about the board itself pass the filter on items, as they do at Monday."""
    rows = reversed(_context(info).world.activity.get(board.id, []))
    since, until = _ticks(wanted.get("from")), _ticks(wanted.get("to"))
    kept = [row for row in rows if _in_time(row, since, until) and _asked_for(row, wanted)]
    limit = min(wanted["limit"], LOG_LIMIT)
    return [_log_row(row) for row in _slice(kept, wanted | {"limit": limit})]


def _asked_for(row: Activity, wanted: dict[str, Any]) -> bool:
    filters = {
        "column_ids": row.data.get("column_id"),
        "group_ids": row.data.get("group_id"),
        "user_ids": str(row.user_id),
    }
    if any(wanted.get(key) is not None and value not in wanted[key] for key, value in filters.items()):
        return False
    items = wanted.get("item_ids")
    return items is None or row.item_id is None or str(row.item_id) in items


def _in_time(row: Activity, since: int | None, until: int | None) -> bool:
    return (since is None or row.created_at >= since) and (until is None or row.created_at <= until)


def _ticks(moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1e7)
    except ValueError:
        raise errors.invalid_argument(f"{moment!r} is not an ISO 8601 time") from None


def _log_row(row: Activity) -> dict[str, str]:
    return {
        "id": row.id,
        "event": row.event,
        "entity": row.entity,
        "data": json.dumps(row.data, ensure_ascii=False),
        "user_id": str(row.user_id),
        "account_id": str(ACCOUNT_ID),
        "created_at": str(row.created_at),
    }


def item_column_values(item: Item, info: Any, **wanted: Any) -> list[dict[str, Any]]:
    board = _context(info).world.boards[item.board_id]
    return column_values(board, item, wanted.get("ids"), wanted.get("types"))


def item_path(item: Item) -> str:
    return f"/board/{item.board_id}/pulses/{item.id}"


def _context(info: Any) -> Context:
    context: Context = info.context
    return context


def _slice(rows: list[Row], wanted: dict[str, Any]) -> list[Row]:
    limit, page = wanted.get("limit") or 25, wanted.get("page") or 1
    return rows[(page - 1) * limit : page * limit]


def _world(info: Any) -> Any:
    return _context(info).world


QUERY: dict[str, Resolver] = {
    "account": account,
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
    "top_group": lambda board, info: board.visible_groups()[0],
    "items_count": lambda board, info: _world(info).active_count(board.id),
    "items_page": board_items_page,
    "activity_logs": activity_logs,
    "creator": lambda board, info: person(board.creator_id),
    "owners": lambda board, info: [person(board.creator_id)],
    "subscribers": lambda board, info: [person(board.creator_id)],
    "permissions": lambda board, info: "everyone",
    "access_level": lambda board, info: "edit",
    "type": lambda board, info: "board",
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
    "parent_item": lambda item, info: None,
    "relative_link": lambda item, info: item_path(item),
    "state": lambda item, info: _world(info).state_of(item),
    "url": lambda item, info: _world(info).site_url + item_path(item),
}
COLUMN: dict[str, Resolver] = {
    "settings_str": lambda column, info: json.dumps(column.settings, ensure_ascii=False),
    "width": lambda column, info: None,
}
GROUP: dict[str, Resolver] = {"items_page": group_items_page}
USER: dict[str, Resolver] = {
    "account": account,
    "created_at": lambda user, info: "2026-01-05T09:00:00Z",
    "time_zone_identifier": lambda user, info: "Etc/UTC",
    "url": lambda user, info: f"{_world(info).site_url}/users/{user.id}",
}
WEBHOOK: dict[str, Resolver] = {
    "config": lambda hook, info: None if hook.config is None else json.dumps(hook.config)
}
