"""Resolvers of what is asked: those of Query under the name of their field, and those of other types in `FIELDS`.

Activity logs as the API shows them (developer.monday.com/api-reference/reference/activity-logs, version 2026-10).
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import dropwhile, islice
from typing import Any

from sandbox import api_errors
from sandbox.api_limits import Limits
from sandbox.columns import kind_of, settings_json
from sandbox.graph import context as graph_context
from sandbox.graph.context import Page, Resolver, context_of, number, part, span
from sandbox.item_filters import candidate_items, column_value_test, query_test, sort_items
from sandbox.model import ACCOUNT_ID, USERS, Activity, Board, Column, Group, Hook, Item, Person, Tag, person
from sandbox.world import World

# Over all pages of one query (developer.monday.com/api-reference/reference/activity-logs).
LOG_LIMIT = 10_000
TICKS = 10**7  # a second


# How far back `from` may reach, and the rows of a page, since 2027-01; the latter as users' logs have them.
LOG_DAYS = 90
LOG_PAGE_LIMIT = 200


def activity_logs(board: Board, info: Any, **wanted: Any) -> list[dict[str, str]]:
    """Newest first; rows about the board itself pass the filter on items, as they do at Monday."""
    start, end = span(wanted)
    if end - start > LOG_LIMIT:
        start, end = span(wanted | {"limit": LOG_LIMIT})
    return [_log_row(row) for row in islice(_logged(board, info, wanted), start, end)]


def activity_log_page(board: Board, info: Any, **wanted: Any) -> dict[str, Any]:
    """The same since 2027-01: a page behind a cursor, of the last 90 days."""
    since, now = _ticks(wanted.get("from")), context_of(info).world.clock.time()
    if since is not None and since < (now - LOG_DAYS * 86_400) * TICKS:
        raise api_errors.invalid_argument(f"from must be within the last {LOG_DAYS} days")
    rows = _logged(board, info, wanted)
    if cursor := wanted.get("cursor"):
        rows = islice(dropwhile(lambda row: row.id != cursor, rows), 1, None)
    limit = span({"limit": wanted.get("limit")})[1]
    found = list(islice(rows, min(limit, LOG_PAGE_LIMIT) + 1))
    page = found[: min(limit, LOG_PAGE_LIMIT)]
    return {"logs": [_log_row(row) for row in page], "cursor": page[-1].id if len(found) > len(page) else None}


def _logged(board: Board, info: Any, wanted: dict[str, Any]) -> Iterator[Activity]:
    """Rows show `log_delay_seconds` after they were written: published probes saw more than 30 seconds."""
    world = context_of(info).world
    since, until = _ticks(wanted.get("from")), _ticks(wanted.get("to"))
    shown_until = int((world.clock.time() - world.log_delay_seconds) * TICKS)
    until = shown_until if until is None else min(until, shown_until)
    rows = (row for row in reversed(world.activity.get(board.id, [])) if row.created_at <= until)
    return (row for row in rows if (since is None or row.created_at >= since) and _matches_filters(row, wanted))


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


def _matches_filters(row: Activity, wanted: dict[str, Any]) -> bool:
    filters = {
        "column_ids": row.data.get("column_id"),
        "group_ids": row.data.get("group_id"),
        "user_ids": str(row.user_id),
    }
    filters |= {"event_types": row.event, "correlation_ids": None}
    if any(wanted.get(key) is not None and value not in wanted[key] for key, value in filters.items()):
        return False
    if not str(row.data.get("pulse_name") or "").casefold().startswith(str(wanted.get("search") or "").casefold()):
        return False
    items = wanted.get("item_ids")
    return items is None or row.item_id is None or str(row.item_id) in items


def _ticks(moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        found = datetime.fromisoformat(moment)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * TICKS)
    except (ValueError, OverflowError):
        raise api_errors.invalid_argument(f"{moment!r} is not an ISO 8601 time") from None


# Column values as their GraphQL types show them.


def column_values(board: Board, item: Item, ids: list[str] | None, types: list[str] | None) -> list[dict[str, Any]]:
    """The item's values in the order of the board's columns; the name is none of them."""
    columns = [c for c in board.visible_columns() if c.type != "name" and not c.hidden]
    if ids is not None:
        columns = [c for c in columns if c.id in ids]
    if types is not None:
        columns = [c for c in columns if c.type in types]
    return [column_value(item, column) for column in columns]


def column_value(item: Item, column: Column) -> dict[str, Any]:
    kind = kind_of(column.type)
    cell = item.cells.get(column.id)
    raw = None if cell is None else cell.raw
    # Column values write UTC as +00:00 where items write Z.
    changed = None if cell is None or cell.updated_at is None else cell.updated_at.removesuffix("Z") + "+00:00"
    return {
        "__typename": kind.graphql_type,
        "id": column.id,
        "type": column.type,
        "column": column,
        "is_leaf": True,
        "text": kind.api_text(column, raw),
        "value": kind.value(raw),
        "updated_at": changed,
        **kind.fields(column, raw),
    }


# Resolvers of what belongs to the account: users, tags.


USERS_LIMIT = 1_000  # since 2026-07
USERS_FIRST_LIMIT = 200

# What `user_kind` of 2026-07 calls whom `User.kind` calls admin, member and guest.
KINDS = {"admin": "ADMIN", "member": "MEMBER", "guest": "GUEST"}


def users(_: Any, info: Any, **wanted: Any) -> list[Person]:
    """Users by ids, addresses, name and kind; everyone here is active."""
    if (wanted.get("limit") or 0) > USERS_LIMIT:
        raise api_errors.invalid_argument(f"users takes a limit of at most {USERS_LIMIT}")
    found = [one for one in USERS if _matching_users(one, wanted)]
    if wanted.get("newest_first"):
        found.reverse()
    for order in wanted.get("sort") or []:  # by the time of creation, as ids go
        found.sort(key=lambda one: one.id, reverse=order["direction"] == "DESC")
    return part(found, wanted | {"limit": wanted.get("limit") or USERS_FIRST_LIMIT})


def _matching_users(one: Person, wanted: dict[str, Any]) -> bool:
    ids, emails, name = wanted.get("ids"), wanted.get("emails"), wanted.get("name")
    kinds, statuses = wanted.get("user_kind") or {}, wanted.get("status")
    kind, asked = KINDS[one.kind], wanted.get("kind")
    return (
        (ids is None or str(one.id) in ids)
        and (emails is None or one.email.casefold() in {email.casefold() for email in emails})
        and (name is None or name.casefold() in one.name.casefold())
        and not wanted.get("non_active")
        and (statuses is None or "ACTIVE" in statuses)
        and (kinds.get("in") is None or kind in kinds["in"])
        and kind not in (kinds.get("not_in") or ())
        and (asked in (None, "all", "non_pending") or (one.kind == "guest") == (asked == "guests"))
    )


def tags(_: Any, info: Any, ids: list[str] | None = None) -> list[Tag]:
    """The account's public tags, which all tags here are."""
    known = context_of(info).world.tags
    return list(known.values()) if ids is None else _known(known, ids)


def value_tags(value: dict[str, Any], info: Any) -> list[Tag]:
    return _known(context_of(info).world.tags, value["tag_ids"])


def _known(known: dict[int, Tag], ids: list[Any]) -> list[Tag]:
    return [known[one] for one in dict.fromkeys(number(i) for i in ids) if one in known]


# Resolvers of the account's plan and of how much of its API it has used.


UNLIMITED_TIER = "pro"  # what an account of no plan in particular calls itself

ACCOUNT = {
    "id": ACCOUNT_ID,
    "name": "Sandbox",
    "slug": "sandbox",
    "country_code": "US",
    "first_day_of_the_week": "monday",
    "show_timeline_weekends": True,
}


def account(_: Any, info: Any) -> dict[str, Any]:
    plan = _limits(info).plan
    tier = plan.name if plan else UNLIMITED_TIER
    return ACCOUNT | {"tier": tier, "plan": {"max_users": 10, "period": "monthly", "tier": tier, "version": 1}}


def platform_api(_: Any, info: Any) -> dict[str, Any]:
    """The day's limit, and what was used until `last_updated`; a personal token belongs to no app."""
    limits = _limits(info)
    with limits.figures() as usage:
        told = datetime.fromtimestamp(usage.reported_until(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        by_day, by_user = usage.by_day(), usage.by_user()
    day = limits.plan.day if limits.plan else None
    addon = {"is_active": False, "quantity": 0} if limits.plan else None
    return {
        "daily_limit": {"base": day, "total": day, "addon": addon},
        "daily_analytics": {
            "last_updated": told,
            "by_day": [{"day": one, "usage": calls} for one, calls in by_day.items()],
            "by_app": [],
            "by_user": [{"user": person(user_id), "usage": calls} for user_id, calls in by_user.items()],
        },
    }


def _limits(info: Any) -> Limits:
    limits: Limits = info.context.limits
    return limits


# Boards and items.


# developer.monday.com/api-reference/reference/items
IDS_LIMIT = 100


def me(_: Any, info: Any) -> Person:
    return context_of(info).user


def version(_: Any, info: Any) -> graph_context.Version:
    return context_of(info).version


def versions(_: Any, info: Any) -> Any:
    return graph_context.VERSIONS


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
        raise api_errors.invalid_argument(f"items takes at most {IDS_LIMIT} ids")
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
        raise api_errors.invalid_argument("columns and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, limit)
    return context.cursors.first(context.world, column_value_test(context.world, board, columns or []), limit)


def next_items_page(_: Any, info: Any, cursor: str, limit: int) -> Page:
    context = context_of(info)
    return context.cursors.next(context.world, cursor, limit)


def webhooks(_: Any, info: Any, board_id: str, **wanted: Any) -> list[Hook]:
    world = _world(info)
    board = world.board(number(board_id))
    return [hook for hook in world.hooks.values() if hook.board_id == board.id and not hook.deleted]


def validations(_: Any, info: Any, id: str, **wanted: Any) -> dict[str, Any]:  # noqa: A002 - Monday's name
    board = _world(info).board(number(id))
    return {"required_column_ids": board.required or None, "rules": board.rules or None}


def board_columns(board: Board, info: Any, **wanted: Any) -> list[Column]:
    ids, types = wanted.get("ids"), wanted.get("types")
    found = [c for c in board.visible_columns() if ids is None or c.id in ids]
    return [column for column in found if types is None or column.type in types]


def board_groups(board: Board, info: Any, ids: list[str] | None = None) -> list[Group]:
    return [group for group in board.visible_groups() if ids is None or group.id in ids]


def board_items_page(board: Board, info: Any, **wanted: Any) -> Page:
    return _items_page(info, board, wanted, None)


def group_items_page(group: Group, info: Any, **wanted: Any) -> Page:
    boards = _world(info).boards.values()
    board = next(board for board in boards if any(one is group for one in board.groups))
    return _items_page(info, board, wanted, group.id)


def _items_page(info: Any, board: Board, wanted: dict[str, Any], group_id: str | None) -> Page:
    context, cursor, query = context_of(info), wanted.get("cursor"), wanted.get("query_params")
    if cursor and query:
        raise api_errors.invalid_argument("query_params and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, wanted["limit"])
    if query and len(query.get("ids") or []) > IDS_LIMIT:
        raise api_errors.invalid_argument(f"query_params takes at most {IDS_LIMIT} ids")
    meant = query_test(context.world, board, context.user.id, query)
    found = [item for item in candidate_items(context.world, board, query) if meant(item)]
    if group_id is not None:
        found = [item for item in found if item.group_id == group_id]
    found = sort_items(board, found, (query or {}).get("order_by"))
    return context.cursors.first(context.world, found, wanted["limit"])


def item_column_values(item: Item, info: Any, **wanted: Any) -> list[dict[str, Any]]:
    board = _world(info).boards[item.board_id]
    return column_values(board, item, wanted.get("ids"), wanted.get("types"))


def item_subitems(item: Item, info: Any) -> list[Item]:
    return [child for child in _world(info).children.children(item) if child.state == "active"]


def item_path(item: Item) -> str:
    return f"/board/{item.board_id}/pulses/{item.id}"


def _world(info: Any) -> World:
    return context_of(info).world


def always(value: Any) -> Resolver:
    """A field that says the same of everything here."""
    return lambda source, info, **_: value


def creator(source: Board | Item, info: Any) -> Person:
    return person(source.creator_id)


def only_creator(source: Board | Item, info: Any) -> list[Person]:
    return [person(source.creator_id)]


# Fields that no attribute of their name holds, by type; of what is nowhere graphql says null.
FIELDS: dict[str, dict[str, Resolver]] = {
    "Board": {
        "board_kind": lambda board, info: board.kind,
        "columns": board_columns,
        "groups": board_groups,
        # Only the tags of private boards are kept with their board at Monday; here all are public.
        "tags": always([]),
        "top_group": lambda board, info: board.visible_groups()[0],
        "items_count": lambda board, info: _world(info).active_count(board.id),
        "items_page": board_items_page,
        "activity_logs": activity_logs,
        "creator": creator,
        "owners": only_creator,
        "subscribers": only_creator,
        "permissions": always("everyone"),
        "access_level": always("edit"),
        "hierarchy_type": always("classic"),
        "url": lambda board, info: f"{_world(info).page_url}/board/{board.id}",
    },
    "Item": {
        "board": lambda item, info: _world(info).boards[item.board_id],
        "group": lambda item, info: next(
            (g for g in _world(info).boards[item.board_id].groups if g.id == item.group_id), None
        ),
        "column_values": item_column_values,
        "creator": creator,
        "parent_item": lambda item, info: _world(info).items.get(item.parent_id or 0),
        "relative_link": lambda item, info: item_path(item),
        "state": lambda item, info: _world(info).state_of(item),
        "subitems": item_subitems,
        "subscribers": only_creator,
        "url": lambda item, info: _world(info).page_url + item_path(item),
    },
    "Column": {
        "settings": lambda column, info: settings_json(column),
        "settings_str": lambda column, info: json.dumps(column.settings, ensure_ascii=False),
    },
    "Group": {"items_page": group_items_page},
    "User": {
        "account": account,
        "account_id": always(ACCOUNT_ID),
        "utc_hours_diff": always(0.0),
        "created_at": always("2026-01-05T09:00:00Z"),
        "is_deleted": always(False),
        "status": always("ACTIVE"),
        "time_zone_identifier": always("Etc/UTC"),
        "url": lambda user, info: f"{_world(info).page_url}/users/{user.id}",
    },
    "TagsValue": {"tags": value_tags},
    "Webhook": {"config": lambda hook, info: None if hook.config is None else api_errors.ruby(hook.config)},
}

# What 2026-10 removed; everyone here is active.
OLD_USER: dict[str, Resolver] = {
    "enabled": always(True),
    "is_admin": lambda user, info: user.kind == "admin",
    "is_guest": lambda user, info: user.kind == "guest",
    "is_pending": always(False),
    "is_verified": always(True),
    "is_view_only": always(False),
}

CHANGED_FIELDS: dict[str, dict[str, dict[str, Resolver]]] = {
    "before-2026-10": {"User": OLD_USER},
    "2027-01": {"Board": {"activity_logs": activity_log_page}},
}
"""What other versions than the current one have otherwise, by era, type and field."""
