"""Resolvers, and what they may use: who asks, the API version, pages of items. Those of Query and Mutation stand under
the name of their field, those of other types in `FIELDS`.

Which version serves a request: developer.monday.com/api-reference/docs/api-versioning. Activity logs are as the API
shows them (developer.monday.com/api-reference/reference/activity-logs, version 2026-10). Each mutation is its own
transaction: of several in one request, what succeeded stays.
"""

import base64
import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import dropwhile, islice
from typing import Any, TypeVar

from sandbox import api_errors, model, operations
from sandbox import webhooks as subscriptions
from sandbox.api_errors import RequestError
from sandbox.api_limits import Limits, PointsSpent
from sandbox.columns import kind_of, settings_json
from sandbox.operations import json_in
from sandbox.world import INDEXED_TYPES, World

# Current until 15 January 2027, each for a quarter (developer.monday.com/api-reference/docs/api-versioning).
CURRENT = "2026-10"
MAINTENANCE = "2026-07"

QUARTER = re.compile(r"20(23|24|25|26)-(01|04|07|10)")  # there were versions of these months, the oldest are gone


@dataclass(frozen=True)
class Version:
    value: str
    kind: str
    display_name: str

    @property
    def era(self) -> str:
        """Under which name a file tells what this version has otherwise than the current one, if it has."""
        return "2027-01" if self.value > CURRENT else ""


VERSIONS = (
    Version("2025-01", "deprecated", "Deprecated"),
    Version("2025-04", "deprecated", "Deprecated"),
    Version("2026-01", "deprecated", "Deprecated"),
    Version("2026-04", "previous_maintenance", "Previous maintenance"),
    Version(MAINTENANCE, "maintenance", "Maintenance"),
    Version(CURRENT, "current", "Current"),
    Version("2027-01", "release_candidate", "Release candidate"),
    Version("dev", "dev", "Development"),
)


def served_version(header: str | None) -> Version:
    """The version that answers: deprecated ones are served by maintenance, unknown ones by the current."""
    by_value = {version.value: version for version in VERSIONS}
    if not header:
        return by_value[CURRENT]
    if header != "dev" and not re.fullmatch(r"\d{4}-\d{2}", header):
        raise RequestError(400, f"Invalid API version {header!r}", "InvalidVersionException")
    was_once = bool(QUARTER.fullmatch(header)) and header < MAINTENANCE
    served = by_value.get(header) or by_value[MAINTENANCE if was_once else CURRENT]
    return by_value[MAINTENANCE] if served.kind == "deprecated" else served


# Pages of items.


# A cursor ends an hour after the first page, not after the last one (reference/items-page of Monday's API).
CURSOR_SECONDS = 3600
# The most items of a page (reference/items-page).
PAGE_LIMIT = 500


@dataclass(frozen=True)
class CursorState:
    """What of a board's listing was not read yet: from `start` on."""

    board_id: int
    item_ids: tuple[int, ...]
    expires_at: float
    start: int = 0


@dataclass(frozen=True)
class Page:
    cursor: str | None
    items: list[model.Item]


class OpenCursors:
    """Open listings by cursor, fixed at their first page; items that went, or their board, are left out."""

    def __init__(self, clock: model.Clock) -> None:
        self._clock = clock
        self._open: dict[str, CursorState] = {}
        self._lock = threading.Lock()

    def first(self, world: World, items: list[model.Item], limit: int) -> Page:
        expires_at = self._clock.time() + CURSOR_SECONDS
        board_id = items[0].board_id if items else 0
        return self._page(world, CursorState(board_id, tuple(item.id for item in items), expires_at), limit)

    def next(self, world: World, cursor: str, limit: int) -> Page:
        """The page after `cursor`; the cursor may be used again. CursorException when it expired."""
        with self._lock:
            rest = self._open.get(cursor)
        if rest is None or rest.expires_at <= self._clock.time():
            raise api_errors.cursor_expired()
        return self._page(world, rest, limit)

    def clear(self) -> None:
        with self._lock:
            self._open.clear()

    def _page(self, world: World, rest: CursorState, limit: int) -> Page:
        if not 1 <= limit <= PAGE_LIMIT:
            raise api_errors.invalid_argument(f"limit must be between 1 and {PAGE_LIMIT}")
        end = rest.start + limit
        there = (world.items.get(item_id) for item_id in rest.item_ids[rest.start : end])
        items = [
            item
            for item in there
            if item is not None and item.board_id == rest.board_id and world.state_of(item) == "active"
        ]
        if end >= len(rest.item_ids):
            return Page(None, items)
        cursor = base64.b64encode(f"MSw{secrets.token_urlsafe(24)}".encode()).decode()
        with self._lock:
            now = self._clock.time()
            self._open = {key: state for key, state in self._open.items() if state.expires_at > now}
            self._open[cursor] = replace(rest, start=end)
        return Page(cursor, items)


@dataclass(frozen=True)
class Context:
    world: World
    cursors: OpenCursors
    limits: Limits
    user: model.Person
    version: Version
    spent: PointsSpent
    handshake: Callable[[str], bool]
    slow_mutation: Callable[[], None]


ID = re.compile(r"[0-9]{1,18}")
NO_USER = -1
Resolver = Callable[..., Any]
Middleware = Callable[..., Any]
Row = TypeVar("Row")


def number(value: Any) -> int:
    """An id as Monday numbers its things; ids that are no number belong to nothing."""
    words = str(value)
    return int(words) if ID.fullmatch(words) else NO_USER


def context_of(info: Any) -> Context:
    context: Context = info.context
    return context


def part(rows: list[Row], wanted: dict[str, Any]) -> list[Row]:
    """The rows of `page` with `limit` rows a page, 25 unless told."""
    start, end = span(wanted)
    return rows[start:end]


def span(wanted: dict[str, Any]) -> tuple[int, int]:
    """The first row of `page` and the one after its last. InvalidArgumentException for numbers below 1."""
    limit = wanted.get("limit")
    page = wanted.get("page")
    limit = 25 if limit is None else limit
    page = 1 if page is None else page
    if limit < 1 or page < 1:
        raise api_errors.invalid_argument("limit and page must be 1 or more")
    return (page - 1) * limit, page * limit


# Activity logs.


# Over all pages of one query (developer.monday.com/api-reference/reference/activity-logs).
LOG_LIMIT = 10_000
TICKS = 10**7  # a second


# How far back `from` may reach, and the rows of a page, since 2027-01; the latter as users' logs have them.
LOG_DAYS = 90
LOG_PAGE_LIMIT = 200


def activity_logs(board: model.Board, info: Any, **wanted: Any) -> list[dict[str, str]]:
    """Newest first; rows about the board itself pass the filter on items, as they do at Monday."""
    start, end = span(wanted)
    if end - start > LOG_LIMIT:
        start, end = span(wanted | {"limit": LOG_LIMIT})
    return [_log_row(row) for row in islice(_logged(board, info, wanted), start, end)]


def activity_log_page(board: model.Board, info: Any, **wanted: Any) -> dict[str, Any]:
    """The same since 2027-01: a page behind a cursor, of the last 90 days."""
    since = _ticks(wanted.get("from"))
    now = context_of(info).world.clock.time()
    if since is not None and since < (now - LOG_DAYS * 86_400) * TICKS:
        raise api_errors.invalid_argument(f"from must be within the last {LOG_DAYS} days")
    rows = _logged(board, info, wanted)
    if cursor := wanted.get("cursor"):
        rows = islice(dropwhile(lambda row: row.id != cursor, rows), 1, None)
    limit = span({"limit": wanted.get("limit")})[1]
    page_rows = list(islice(rows, min(limit, LOG_PAGE_LIMIT) + 1))
    page = page_rows[: min(limit, LOG_PAGE_LIMIT)]
    return {"logs": [_log_row(row) for row in page], "cursor": page[-1].id if len(page_rows) > len(page) else None}


def _logged(board: model.Board, info: Any, wanted: dict[str, Any]) -> Iterator[model.Activity]:
    """Rows show `log_delay_seconds` after they were written: published probes saw more than 30 seconds."""
    world = context_of(info).world
    since = _ticks(wanted.get("from"))
    until = _ticks(wanted.get("to"))
    shown_until = int((world.clock.time() - world.log_delay_seconds) * TICKS)
    until = shown_until if until is None else min(until, shown_until)
    columns = wanted.get("column_ids")
    items = wanted.get("item_ids")
    for row in reversed(world.activity.get(board.id, [])):
        if row.created_at > until or (since is not None and row.created_at < since):
            continue
        if columns is not None and row.data.get("column_id") not in columns:
            continue
        if items is None or row.item_id is None or str(row.item_id) in items:
            yield row


def _log_row(row: model.Activity) -> dict[str, str]:
    return {
        "id": row.id,
        "event": row.event,
        "entity": row.entity,
        "data": json.dumps(row.data, ensure_ascii=False),
        "user_id": str(row.user_id),
        "account_id": str(model.ACCOUNT_ID),
        "created_at": str(row.created_at),
    }


def _ticks(moment: str | None) -> int | None:
    if moment is None:
        return None
    try:
        parsed = datetime.fromisoformat(moment)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * TICKS)
    except (ValueError, OverflowError):
        raise api_errors.invalid_argument(f"{moment!r} is not an ISO 8601 time") from None


# Column values as their GraphQL types show them.


def column_values(
    board: model.Board, item: model.Item, ids: list[str] | None, types: list[str] | None
) -> list[dict[str, Any]]:
    """The item's values in the order of the board's columns; the name is none of them."""
    columns = [c for c in board.visible_columns() if c.type != "name" and not c.hidden]
    if ids is not None:
        columns = [c for c in columns if c.id in ids]
    if types is not None:
        columns = [c for c in columns if c.type in types]
    return [column_value(item, column) for column in columns]


def column_value(item: model.Item, column: model.Column) -> dict[str, Any]:
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


# Resolvers of what belongs to the account: users.


USERS_LIMIT = 1_000  # since 2026-07
USERS_FIRST_LIMIT = 200


def users(_: Any, info: Any, **wanted: Any) -> list[model.Person]:
    """All users, page by page; everyone here is active."""
    limit = wanted.get("limit") or USERS_FIRST_LIMIT
    if limit > USERS_LIMIT:
        raise api_errors.invalid_argument(f"users takes a limit of at most {USERS_LIMIT}")
    return part(list(model.USERS), wanted | {"limit": limit})


# Resolvers of the account's plan and of how much of its API it has used.


UNLIMITED_TIER = "pro"  # what an account of no plan in particular calls itself


def account(_: Any, info: Any) -> dict[str, Any]:
    plan = context_of(info).limits.plan
    tier = plan.name if plan else UNLIMITED_TIER
    return {"tier": tier, "plan": {"tier": tier}}


def platform_api(_: Any, info: Any) -> dict[str, Any]:
    """The day's limit, and what was used until `last_updated`."""
    limits = context_of(info).limits
    with limits.figures() as usage:
        last = datetime.fromtimestamp(usage.reported_until(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        by_day = [{"day": day, "usage": calls} for day, calls in usage.by_day().items()]
    limit = limits.plan.day if limits.plan else None
    return {"daily_limit": {"base": limit, "total": limit}, "daily_analytics": {"last_updated": last, "by_day": by_day}}


# developer.monday.com/api-reference/reference/items
IDS_LIMIT = 100


def me(_: Any, info: Any) -> model.Person:
    return context_of(info).user


def version(_: Any, info: Any) -> Version:
    return context_of(info).version


def versions(_: Any, info: Any) -> Any:
    return VERSIONS


def complexity(_: Any, info: Any) -> Any:
    return context_of(info).spent


def boards(_: Any, info: Any, **wanted: Any) -> list[model.Board]:
    """Newest first."""
    state = wanted.get("state", "active")
    ids = wanted.get("ids")
    all_boards = _world(info).boards
    numbers = all_boards if ids is None else dict.fromkeys(number(key) for key in ids)
    shown = [all_boards[key] for key in numbers if key in all_boards and state in ("all", all_boards[key].state)]
    return part(sorted(shown, key=lambda board: -board.id), wanted)


def items(_: Any, info: Any, **wanted: Any) -> list[model.Item]:
    """Archived and deleted items are shown too, unless `exclude_nonactive`; unknown ids are left out."""
    world = _world(info)
    ids = wanted.get("ids")
    if ids is None:
        raise api_errors.invalid_argument("The sandbox gives items by their ids")
    if len(ids) > IDS_LIMIT:
        raise api_errors.invalid_argument(f"items takes at most {IDS_LIMIT} ids")
    listed = [world.items[i] for i in dict.fromkeys(number(item_id) for item_id in ids) if i in world.items]
    if wanted.get("exclude_nonactive"):
        listed = [item for item in listed if world.state_of(item) == "active"]
    return part(listed, wanted)


def items_page_by_column_values(_: Any, info: Any, board_id: str, **wanted: Any) -> Page:
    context = context_of(info)
    board = context.world.active_board(number(board_id))
    columns = wanted.get("columns")
    cursor = wanted.get("cursor")
    limit = wanted["limit"]
    if cursor and columns:
        raise api_errors.invalid_argument("columns and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, limit)
    return context.cursors.first(context.world, _items_with_values(context.world, board, columns or []), limit)


def _items_with_values(world: World, board: model.Board, columns: list[dict[str, Any]]) -> list[model.Item]:
    """Columns ANDed, values ORed, whole values without regard to case; an email by its label, as Monday does.

    Which types are compared how: developer.monday.com/api-reference/reference/items-page-by-column-values.
    """
    matching = world.items_of(board.id)
    for condition in columns:
        column = _filter_column(board, condition["column_id"])
        if column.type not in INDEXED_TYPES:
            raise api_errors.invalid_argument("The sandbox looks up no such column", column_type=column.type)
        ids = world.ids_saying(board, column, [value or "" for value in condition["column_values"]])
        matching = [item for item in matching if item.id in ids]
    return matching


# What items a query means, and in which order (developer.monday.com/api-reference/reference/items-page).


def _filter_column(board: model.Board, column_id: str) -> model.Column:
    column = board.column(column_id)
    if column is None:
        raise api_errors.filter_column_not_found(column_id, board.id)
    return column


def queried_items(board: model.Board, matching: list[model.Item], query: dict[str, Any]) -> list[model.Item]:
    """Those of the items that an `ItemsQuery` means, in its order. ResourceNotFoundException for an unknown column."""
    if query.get("ids") is not None or query.get("groups"):
        raise api_errors.invalid_argument("The sandbox filters by rules")
    tests = [_rule(board, rule) for rule in query.get("rules") or []]
    combine = any if query.get("operator") == "or" and tests else all
    matching = [item for item in matching if combine(test(item) for test in tests)]
    for order in query.get("order_by") or []:
        if order["column_id"] != "__last_updated__":
            raise api_errors.invalid_argument("The sandbox orders by the last update")
        matching.sort(key=lambda item: item.updated_at, reverse=order.get("direction") == "desc")
    return matching


def _rule(board: model.Board, rule: dict[str, Any]) -> Callable[[model.Item], bool]:
    column = _filter_column(board, rule["column_id"])
    compared = rule["compare_value"]
    kind = kind_of(column.type)
    if rule.get("operator") != "contains_text":
        raise api_errors.invalid_argument(f"The sandbox doesn't compare by {rule.get('operator') or 'any_of'}")
    terms = [str(value).casefold() for value in (compared if isinstance(compared, list) else [compared])]
    return lambda item: any(term in kind.text(column, item.raw(column.id)).casefold() for term in terms)


def next_items_page(_: Any, info: Any, cursor: str, limit: int) -> Page:
    context = context_of(info)
    return context.cursors.next(context.world, cursor, limit)


def webhooks(_: Any, info: Any, board_id: str, **wanted: Any) -> list[model.Hook]:
    world = _world(info)
    board = world.board(number(board_id))
    return [hook for hook in world.hooks.values() if hook.board_id == board.id and not hook.deleted]


def board_columns(board: model.Board, info: Any, **wanted: Any) -> list[model.Column]:
    ids = wanted.get("ids")
    types = wanted.get("types")
    columns = [c for c in board.visible_columns() if ids is None or c.id in ids]
    return [column for column in columns if types is None or column.type in types]


def board_groups(board: model.Board, info: Any, ids: list[str] | None = None) -> list[model.Group]:
    return [group for group in board.visible_groups() if ids is None or group.id in ids]


def board_items_page(board: model.Board, info: Any, **wanted: Any) -> Page:
    context = context_of(info)
    cursor = wanted.get("cursor")
    query = wanted.get("query_params")
    if cursor and query:
        raise api_errors.invalid_argument("query_params and cursor exclude each other")
    if cursor:
        return context.cursors.next(context.world, cursor, wanted["limit"])
    items = context.world.items_of(board.id) if board.state == "active" else []
    return context.cursors.first(context.world, queried_items(board, items, query or {}), wanted["limit"])


def item_column_values(item: model.Item, info: Any, **wanted: Any) -> list[dict[str, Any]]:
    board = _world(info).boards[item.board_id]
    return column_values(board, item, wanted.get("ids"), wanted.get("types"))


def _world(info: Any) -> World:
    return context_of(info).world


def always(value: Any) -> Resolver:
    """A field that says the same of everything here."""
    return lambda source, info, **_: value


# Fields that no attribute of their name holds, by type; of what is nowhere graphql says null.
FIELDS: dict[str, dict[str, Resolver]] = {
    "Board": {
        "columns": board_columns,
        "groups": board_groups,
        "items_count": lambda board, info: _world(info).active_count(board.id),
        "items_page": board_items_page,
        "activity_logs": activity_logs,
        "type": always("board"),
    },
    "Item": {
        "board": lambda item, info: _world(info).boards[item.board_id],
        "group": lambda item, info: next(
            (g for g in _world(info).boards[item.board_id].groups if g.id == item.group_id), None
        ),
        "column_values": item_column_values,
        "state": lambda item, info: _world(info).state_of(item),
    },
    "Column": {"settings": lambda column, info: settings_json(column)},
    "Webhook": {"config": lambda hook, info: None if hook.config is None else api_errors.ruby(hook.config)},
}

# What other versions than the current one have otherwise, by era, type and field.
CHANGED_FIELDS: dict[str, dict[str, dict[str, Resolver]]] = {"2027-01": {"Board": {"activity_logs": activity_log_page}}}


# Mutations.


# Arguments that are ids wherever they stand; `id` is a column's or a rule's too.
NUMBERED = ("board_id", "item_id")


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
archive_item = partial(_by_api_user, operations.set_state, item_id=None, state="archived")
delete_item = partial(_by_api_user, operations.set_state, item_id=None, state="deleted")
move_item_to_group = partial(_by_api_user, operations.move_item, item_id=None)
archive_board = partial(_by_api_user, operations.set_board_state, state="archived")
delete_board = partial(_by_api_user, operations.set_board_state, state="deleted")
delete_group = partial(_by_api_user, operations.delete_group)
delete_column = partial(_by_api_user, operations.delete_column)
change_column_title = partial(_by_api_user, operations.rename_column)


def change_multiple_column_values(context: Context, column_values: Any, **where: Any) -> model.Item:
    return _change(context, _values(column_values), **where)


def change_column_value(context: Context, column_id: str, value: Any, **where: Any) -> model.Item:
    return _change(context, {column_id: json_in(value)}, **where)


def _change(
    context: Context,
    values: dict[str, Any],
    *,
    board_id: int,
    item_id: int | None = None,
    create_labels_if_missing: bool | None = None,
) -> model.Item:
    board = context.world.board(board_id)
    item = context.world.item(item_id)
    if item.board_id != board.id:
        raise api_errors.item_not_on_board(item.id, board.id)
    return operations.change_values(
        context.world, context.user.id, item, values, create_labels=bool(create_labels_if_missing)
    )


def _values(text: Any) -> dict[str, Any]:
    """`column_values`: an object, sent as JSON in a string."""
    decoded = json_in(text)
    if not isinstance(text, str) or not isinstance(decoded, dict):
        raise api_errors.not_json(text if isinstance(text, str) else json.dumps(text))
    return decoded


def create_item(context: Context, board_id: int, item_name: str, column_values: Any = None, **more: Any) -> model.Item:
    if more.get("relative_to"):
        raise api_errors.invalid_argument("The sandbox creates items at the end of their group")
    return operations.create_item(
        context.world,
        context.user.id,
        board_id,
        item_name,
        {} if column_values is None else _values(column_values),
        group_id=more.get("group_id"),
        create_labels=bool(more.get("create_labels_if_missing")),
    )


def create_webhook(context: Context, board_id: int, url: str, event: str, config: Any = None) -> model.Hook | None:
    """Null, without an error, when the address does not answer the challenge."""
    decoded = json_in(config)
    subscriptions.check_subscription(context.world, board_id, url, event, decoded)
    if not context.handshake(url):
        return None
    return subscriptions.subscribe(context.world, context.user.id, board_id, url=url, event=event, config=decoded)


def delete_webhook(context: Context, id: str) -> model.Hook:  # noqa: A002 -- the argument's name at Monday
    return subscriptions.unsubscribe(context.world, number(id))


def create_board(context: Context, board_name: str, **more: Any) -> model.Board:
    if not more.get("empty"):
        raise api_errors.invalid_argument("The sandbox creates boards with empty: true")
    return operations.create_board(context.world, context.user.id, board_name)


def update_board(context: Context, board_id: int, board_attribute: str, new_value: str) -> str:
    """Answers JSON in a string, with what would undo it."""
    if board_attribute != "name":
        raise api_errors.invalid_argument(f"The sandbox changes no {board_attribute} of a board")
    before = operations.rename_board(context.world, context.user.id, board_id, new_value)
    undo = {"undo_record_id": None, "action_type": "modify_name", "previous_value": before}
    return json.dumps({"success": True, "undo_data": undo}, ensure_ascii=False)


def create_group(context: Context, board_id: int, group_name: str, **more: Any) -> model.Group:
    return operations.create_group(context.world, context.user.id, board_id, group_name)


def create_column(context: Context, board_id: int, title: str, column_type: str, **more: Any) -> model.Column:
    return operations.create_column(
        context.world,
        context.user.id,
        board_id,
        title,
        column_type,
        column_id=more.get("id"),
        defaults=more.get("defaults"),
    )
