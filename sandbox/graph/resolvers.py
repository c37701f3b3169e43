"""The API's versions and cursors, the root fields of queries and mutations, and the fields of types.

Which version serves a request: developer.monday.com/api-reference/docs/api-versioning. Activity logs:
developer.monday.com/api-reference/reference/activity-logs, version 2026-10. When one of several mutations in a request
fails, the others stay.
"""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, TypeVar

from sandbox import api_errors, model, operations, webhooks
from sandbox.api_errors import RequestError
from sandbox.api_limits import Limits, PointsSpent
from sandbox.columns import initial_settings, kind_of, settings_json
from sandbox.lags import View
from sandbox.model import World
from sandbox.web import decode_json, parse_int

# Versions as of late 2026; each is current for a quarter (developer.monday.com/api-reference/docs/api-versioning).
CURRENT = "2026-10"
MAINTENANCE = "2026-07"

QUARTER = re.compile(r"20(23|24|25|26)-(01|04|07|10)")  # months that had a version


# The kinds of the versions that answer; earlier ones have ended.
VERSION_KINDS = {"2026-04": "previous_maintenance", MAINTENANCE: "maintenance", CURRENT: "current"}


def served_version(header: str | None) -> str:
    """Return the version that answers: maintenance for those that have ended, the current one for unknown ones."""
    # So what a client without a version gets changes every quarter.
    if not header:
        return CURRENT
    if not re.fullmatch(r"\d{4}-\d{2}", header):
        raise RequestError(400, f"Invalid API version {header!r}", "InvalidVersionException")
    if header in VERSION_KINDS:
        return header
    # A version that has ended causes no error; only the `API-Version` of the answer shows it.
    return MAINTENANCE if QUARTER.fullmatch(header) and header < MAINTENANCE else CURRENT


# A cursor ends an hour after the first page, not the last (developer.monday.com/api-reference/reference/items-page).
CURSOR_SECONDS = 3600
# The most items of a page (developer.monday.com/api-reference/reference/items-page).
PAGE_LIMIT = 500


@dataclass(frozen=True)
class CursorState:
    """A listing of a board, and where its next page starts."""

    board_id: int
    item_ids: tuple[int, ...]
    where: str  # the kind of lag of its pages
    expires_at: float
    start: int = 0


@dataclass(frozen=True)
class Page:
    cursor: str | None
    items: list[model.Item]


class OpenCursors:
    """Open listings by cursor; their items are fixed at the first page, and inactive ones are left out later.

    Callers hold the world's lock.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: dict[str, CursorState] = {}

    def first(self, items: list[model.Item], limit: int, view: View, where: str = "") -> Page:
        expires_at = self._world.clock.time() + CURSOR_SECONDS
        # An item that moves to another board later no longer belongs to the listing.
        board_id = items[0].board_id if items else 0
        return self._page(CursorState(board_id, tuple(item.id for item in items), where, expires_at), limit, view)

    def next(self, cursor: str, limit: int, view: View) -> Page:
        """Return the page after `cursor`, which stays usable; raises FieldError if it has expired."""
        state = self._open.get(cursor)
        if state is None or state.expires_at <= self._world.clock.time():
            raise api_errors.cursor_expired()
        return self._page(state, limit, view)

    def again(self, cursor: str, as_new: bool) -> str:
        """Return a cursor of the same page as `cursor`: this one or a new one."""
        if not as_new:
            return cursor
        second = secrets.token_urlsafe(24)
        self._open[second] = self._open[cursor]
        return second

    def _page(self, listing: CursorState, limit: int, view: View) -> Page:
        if not 1 <= limit <= PAGE_LIMIT:
            raise api_errors.invalid_argument(f"limit must be between 1 and {PAGE_LIMIT}")
        end = listing.start + limit
        # The state is checked now, because an item may have been archived since the first page.
        items = []
        for item_id in listing.item_ids[listing.start : end]:
            stored = self._world.items.get(item_id)
            item = stored and view.item(stored, listing.where)
            if item is not None and item.board_id == listing.board_id and self._world.state_of(item) == "active":
                items.append(item)
        if end >= len(listing.item_ids):
            return Page(None, items)
        cursor = secrets.token_urlsafe(24)
        # Expired cursors are dropped when another is made.
        now = self._world.clock.time()
        self._open = {key: state for key, state in self._open.items() if state.expires_at > now}
        self._open[cursor] = replace(listing, start=end)
        return Page(cursor, items)


NO_ID = -1
Resolver = Callable[..., Any]
Middleware = Callable[..., Any]
Row = TypeVar("Row")


def parse_id(value: Any) -> int:
    """Return an id as a number; NO_ID, which no object has, for any other text."""
    number = parse_int(str(value))
    return NO_ID if number is None else number


DEFAULT_LIMIT = 25  # of a listing where a query names none


def page_of(rows: list[Row], limit: int | None, page: int | None) -> list[Row]:
    """Return the rows of a page; raises FieldError."""
    # An argument that is null doesn't get the schema's default.
    limit = DEFAULT_LIMIT if limit is None else limit
    page = 1 if page is None else page
    if limit < 1 or page < 1:
        raise api_errors.invalid_argument("limit and page must be 1 or more")
    return rows[(page - 1) * limit : page * limit]


USERS_LIMIT = 1_000  # since 2026-07
USERS_DEFAULT_LIMIT = 200
UNLIMITED_TIER = "pro"  # of an account without limits
IDS_LIMIT = 100  # developer.monday.com/api-reference/reference/items
SEARCHED_TYPES = ("name", "text", "email")


@dataclass(frozen=True)
class Root:
    """The root fields of queries, by their names, and what other resolvers get as their context."""

    world: World
    cursors: OpenCursors
    limits: Limits
    served_version: str
    complexity: PointsSpent
    handshake: Callable[[str], bool]  # whether a new webhook's address answers its challenge
    slow_mutation: Callable[[], None]  # waits for the latency of one mutation
    view: View
    me: ClassVar = model.API_USER
    versions: ClassVar = [{"value": value, "kind": kind} for value, kind in VERSION_KINDS.items()]

    @property
    def version(self) -> dict[str, str]:
        return {"value": self.served_version, "kind": VERSION_KINDS[self.served_version]}

    def account(self, info: Any) -> dict[str, Any]:
        tier = self.limits.plan.name if self.limits.plan else UNLIMITED_TIER
        return {"tier": tier, "plan": {"tier": tier}}

    def platform_api(self, info: Any) -> dict[str, Any]:
        """Return the day's limit, and the calls until `last_updated`."""
        with self.limits.locked_usage() as usage:
            last = datetime.fromtimestamp(usage.reported_until(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            by_day = [{"day": day, "usage": calls} for day, calls in usage.reported_calls().items()]
        # Null: Monday names no limit for the account.
        limit = self.limits.plan.day if self.limits.plan else None
        analytics = {"last_updated": last, "by_day": by_day}
        return {"daily_limit": {"base": limit, "total": limit}, "daily_analytics": analytics}

    def users(
        self, info: Any, limit: int | None = None, page: int | None = None, **unplayed: Any
    ) -> list[model.Person]:
        """Return a page of users, all of whom are active."""
        # Unlike other listings (developer.monday.com/api-reference/reference/users).
        limit = limit or USERS_DEFAULT_LIMIT
        if limit > USERS_LIMIT:
            raise api_errors.invalid_argument(f"users takes a limit of at most {USERS_LIMIT}")
        return page_of(list(model.USERS), limit, page)

    def boards(self, info: Any, limit: int | None, page: int | None, **arguments: Any) -> list[model.Board]:
        """Return boards, newest first."""
        if arguments.get("latest"):
            self.view.show_latest()
        ids = arguments.get("ids")
        state = arguments.get("state", "active")
        numbers = self.world.boards if ids is None else {parse_id(board_id) for board_id in ids}
        boards = sorted(self.world.boards.values(), key=lambda board: -board.id)
        matching = [board for board in boards if board.id in numbers and state in ("all", board.state)]
        return page_of(matching, limit, page)

    def items(
        self, info: Any, ids: list[str], limit: int | None, page: int | None, exclude_nonactive: bool | None = None
    ) -> list[model.Item]:
        """Return items by id, archived and deleted ones too unless `exclude_nonactive`; unknown ids are left out."""
        if len(ids) > IDS_LIMIT:
            raise api_errors.invalid_argument(f"items takes at most {IDS_LIMIT} ids")
        numbers = dict.fromkeys(parse_id(item_id) for item_id in ids)
        views = [self.view.item(self.world.items[number]) for number in numbers if number in self.world.items]
        matching = [item for item in views if item is not None]
        # The state is the item's or its board's: the items of an archived board aren't active.
        if exclude_nonactive:
            matching = [item for item in matching if self.world.state_of(item) == "active"]
        # Also items that were asked for by their ids come in pages.
        return page_of(matching, limit, page)

    def items_page_by_column_values(self, info: Any, board_id: str, limit: int, columns: list[dict[str, Any]]) -> Page:
        """Return items with one of the values in each column, in any case; an email by its label, as Monday does.

        How types are compared: developer.monday.com/api-reference/reference/items-page-by-column-values.
        """
        board = self.world.active_board(parse_id(board_id))
        matching = self.view.items_of(board.id, "searches")
        for condition in columns:
            column = _filter_column(board, condition["column_id"])
            if column.type not in SEARCHED_TYPES:
                raise api_errors.invalid_argument("The sandbox looks up no such column", column_type=column.type)
            texts = {(value or "").strip().casefold() for value in condition["column_values"]}
            matching = [item for item in matching if _searched_text(item, column) in texts]
        return self.cursors.first(matching, limit, self.view)

    def next_items_page(self, info: Any, cursor: str, limit: int) -> Page:
        return self.cursors.next(cursor, limit, self.view)

    @staticmethod
    def root_field(info: Any) -> str:
        """Return the name of the root field of the field that is being resolved."""
        path = info.path
        while path.prev is not None:
            path = path.prev
        fields = info.operation.selection_set.selections
        return next(str(f.name.value) for f in fields if (f.alias or f.name).value == path.key)

    def webhooks(self, info: Any, board_id: str, **unplayed: Any) -> list[model.Hook]:
        board = self.world.board(parse_id(board_id))
        return [hook for hook in self.world.hooks.values() if hook.board_id == board.id and not hook.deleted]


def _searched_text(item: model.Item, column: model.Column) -> str:
    """Return a cell's text as lookups compare it; an email's is its label."""
    text: Any = item.name if column.type == "name" else item.raw(column.id)
    if text and column.type == "email":
        text = text["text"]
    return str(text or "").strip().casefold()


def _filter_column(board: model.Board, column_id: str) -> model.Column:
    column = board.column(column_id)
    if column is None:
        raise api_errors.filter_column_not_found(column_id, board.id)
    return column


# Fields of types.

# Monday's limit over all pages of a query (developer.monday.com/api-reference/reference/activity-logs); the sandbox
# applies it to each page.
LOG_LIMIT = 10_000
TICKS_PER_SECOND = 10**7


def activity_logs(
    board: model.Board, info: Any, limit: int | None, page: int | None, **arguments: Any
) -> list[model.Activity]:
    """Return rows, newest first."""
    since = _ticks(arguments.pop("from", None) or "2000-01-01")
    until = _ticks(arguments.pop("to", None) or "9999-01-01")
    if arguments:
        raise api_errors.invalid_argument(f"The sandbox filters logs by time, not by {', '.join(arguments)}")
    rows = info.context.view.rows(info.context.world.activity.get(board.id, []))
    matching = [row for row in reversed(rows) if since <= row.created_at <= until]
    return page_of(matching, limit and min(limit, LOG_LIMIT), page)


def _ticks(moment: str) -> int:
    try:
        parsed = datetime.fromisoformat(moment)
        return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * TICKS_PER_SECOND)
    except (ValueError, OverflowError):
        raise api_errors.invalid_argument(f"{moment!r} is not an ISO 8601 time") from None


def item_column_values(item: model.Item, info: Any, ids: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the item's values without its name, in the order of the board's columns."""
    return [
        column_value(item, column)
        for column in info.context.world.boards[item.board_id].active_columns()
        # A column that the user may not view is left out without an error; the board still lists it.
        if column.type != "name" and not column.hidden and (ids is None or column.id in ids)
    ]


def column_value(item: model.Item, column: model.Column) -> dict[str, Any]:
    kind = kind_of(column.type)
    raw = item.raw(column.id)
    return {
        "__typename": kind.graphql_type,
        "id": column.id,
        "type": column.type,
        "text": kind.api_text(column, raw),
        "value": kind.api_value(raw),
        **kind.api_fields(column, raw),
    }


def queried_items(board: model.Board, matching: list[model.Item], query: dict[str, Any]) -> list[model.Item]:
    """Filter items by an `ItemsQuery` (developer.monday.com/api-reference/reference/items-page)."""
    if query.get("ids") is not None or query.get("groups") or query.get("order_by"):
        raise api_errors.invalid_argument("The sandbox filters by rules, and doesn't sort")
    hits: list[set[int]] = []  # of each rule
    for rule in query.get("rules") or ():
        column = _filter_column(board, rule["column_id"])
        if rule.get("operator") != "contains_text":
            raise api_errors.invalid_argument(f"The sandbox doesn't compare by {rule.get('operator') or 'any_of'}")
        compared = rule["compare_value"]
        terms = [str(value).casefold() for value in (compared if isinstance(compared, list) else [compared])]
        texts = {item.id: kind_of(column.type).text(column, item.raw(column.id)).casefold() for item in matching}
        hits.append({item_id for item_id, text in texts.items() if any(term in text for term in terms)})
    if not hits:
        return matching
    ids = set.union(*hits) if query.get("operator") == "or" else set.intersection(*hits)
    return [item for item in matching if item.id in ids]


def board_items_page(board: model.Board, info: Any, limit: int, query_params: dict[str, Any] | None = None) -> Page:
    root: Root = info.context
    # An archived board lists nothing, and its items are found by their ids alone.
    where = "searches" if query_params else "listings"
    items = root.view.items_of(board.id, where) if board.state == "active" else []
    matching = queried_items(board, items, query_params or {})
    return root.cursors.first(matching, limit, root.view, "" if query_params else where)


# By type: the fields that aren't attributes of their objects; graphql answers null for fields that are neither. An
# argument that a resolver doesn't take, because nothing asks for it, fails.
FIELDS: dict[str, dict[str, Resolver]] = {
    "Board": {
        "columns": lambda board, info: board.active_columns(),
        "groups": lambda board, info: board.active_groups(),
        "items_count": lambda board, info: info.context.world.active_count(board.id),
        "items_page": board_items_page,
        "activity_logs": activity_logs,
        "type": lambda board, info: "board",
    },
    "Item": {
        "board": lambda item, info: info.context.world.boards[item.board_id],
        "group": lambda item, info: info.context.world.boards[item.board_id].group_of(item),
        "column_values": item_column_values,
        "state": lambda item, info: info.context.world.state_of(item),
    },
    "Column": {"settings": lambda column, info: settings_json(column)},
    "ActivityLogType": {"data": lambda row, info: json.dumps(row.data, ensure_ascii=False)},
}


# Mutations.

# Arguments that are numbers; `id` may also be a column's.
NUMBERED = ("board_id", "item_id")


def mutate(root: Root, info: Any, **arguments: Any) -> Any:
    """Resolve a mutation: wait for its latency, and turn ids into numbers."""
    # One after another, as GraphQL requires of a document's mutations.
    root.slow_mutation()
    numbers = {key: parse_id(arguments[key]) for key in NUMBERED if arguments.get(key) is not None}
    return MUTATIONS[info.field_name](root, **arguments | numbers)


def _by_api_user(operation: Resolver, root: Root, **arguments: Any) -> Any:
    return operation(root.world, root.me.id, **arguments)


def change_multiple_column_values(
    root: Root,
    column_values: Any,
    board_id: int,
    item_id: int | None = None,
    create_labels_if_missing: bool | None = None,
) -> model.Item:
    values = _decode_values(column_values)
    board = root.world.board(board_id)
    item = root.world.item(item_id)
    if item.board_id != board.id:
        raise api_errors.item_not_on_board(item.id, board.id)
    return operations.change_values(root.world, root.me.id, item, values, create_labels=bool(create_labels_if_missing))


def decode_argument(text: Any) -> Any:
    """Return an argument of type JSON, which may be JSON in a string; raises FieldError."""
    if not isinstance(text, str):
        return text
    try:
        return decode_json(text)
    except ValueError:
        raise api_errors.not_json(text) from None


def _decode_values(text: Any) -> dict[str, Any]:
    """Decode `column_values`, an object as JSON in a string."""
    decoded = decode_argument(text)
    if not isinstance(text, str) or not isinstance(decoded, dict):
        raise api_errors.not_json(text if isinstance(text, str) else json.dumps(text))
    return decoded


def create_item(  # noqa: PLR0913, PLR0917 - the arguments at Monday
    root: Root,
    board_id: int,
    item_name: str,
    column_values: Any = None,
    group_id: str | None = None,
    create_labels_if_missing: bool | None = None,
) -> model.Item:
    values = {} if column_values is None else _decode_values(column_values)
    row = {"name": item_name, "values": values, "group_id": group_id}
    return operations.create_item(root.world, root.me.id, board_id, row, create_labels=bool(create_labels_if_missing))


def create_webhook(root: Root, board_id: int, url: str, event: str) -> model.Hook | None:
    """Answer null, without an error, when the address doesn't answer the challenge (community topics 27219, 51686)."""
    hook = model.Hook(0, board_id, url, event, root.me.id)
    return webhooks.subscribe(root.world, hook, root.handshake)


def delete_webhook(root: Root, id: str) -> model.Hook:  # noqa: A002 -- the argument's name at Monday
    return webhooks.unsubscribe(root.world, parse_id(id))


def create_board(root: Root, board_name: str, **arguments: Any) -> model.Board:
    if not arguments.get("empty"):
        raise api_errors.invalid_argument("The sandbox creates boards with empty: true")
    return operations.create_board(root.world, root.me.id, board_name)


def create_group(root: Root, board_id: int, group_name: str) -> model.Group:
    return operations.create_group(root.world, root.me.id, board_id, group_name)


# A column id that a caller chooses (developer.monday.com/api-reference/reference/columns).
COLUMN_ID = re.compile(r"[a-z_]{1,20}")


def create_column(root: Root, board_id: int, title: str, column_type: str, **arguments: Any) -> model.Column:
    column_id = arguments.get("id")
    # Monday's own ids have digits, which a caller's may not have.
    if column_id is None:
        column_id = operations.fresh_id(column_type)
    elif not COLUMN_ID.fullmatch(column_id):
        message = "A column id has 1 to 20 characters of a-z and _"
        raise api_errors.invalid_argument(message, column_id=column_id, board_id=board_id)
    settings = initial_settings(column_type, decode_argument(arguments.get("defaults")))
    column = model.Column(column_id, title, column_type, settings)
    return operations.create_column(root.world, root.me.id, board_id, column)


MUTATIONS: dict[str, Resolver] = {
    # Mutations with the same arguments as an operation; `item_id` is optional in Monday's schema.
    "archive_item": partial(_by_api_user, operations.set_state, item_id=None, state="archived"),
    "delete_item": partial(_by_api_user, operations.set_state, item_id=None, state="deleted"),
    "move_item_to_group": partial(_by_api_user, operations.move_item, item_id=None),
    "move_item_to_board": partial(_by_api_user, operations.move_to_board),
    "archive_board": partial(_by_api_user, operations.set_board_state, state="archived"),
    "delete_board": partial(_by_api_user, operations.set_board_state, state="deleted"),
    "delete_group": partial(_by_api_user, operations.delete_group),
    "delete_column": partial(_by_api_user, operations.delete_column),
    "change_column_title": partial(_by_api_user, operations.rename_column),
    "change_multiple_column_values": change_multiple_column_values,
    "create_item": create_item,
    "create_webhook": create_webhook,
    "delete_webhook": delete_webhook,
    "create_board": create_board,
    "create_group": create_group,
    "create_column": create_column,
}
