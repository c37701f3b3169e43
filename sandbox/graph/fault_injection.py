"""Faults inside a document: fields that fail, listings that are short, reads that lag behind.

Monday's reads may be behind its writes: `boards(latest: true)` exists to bring “the latest data” (its schema).
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox import api_errors
from sandbox.api_errors import FieldError
from sandbox.clock import Clock
from sandbox.faults import PAGE_FIELDS, Fault, FaultTarget
from sandbox.graph.context import Page, number
from sandbox.model import Item


class ItemHistory:
    """Earlier versions of items, kept while a fault asks for stale reads. Callers hold the world's lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before: dict[int, list[tuple[float, Item | None]]] = {}

    def record(self, item: Item) -> None:
        """Remember an item that is about to change."""
        self._at_now(item.id, replace(item, cells=dict(item.cells)))

    def record_creation(self, item: Item) -> None:
        """Remember that an item was made just now."""
        self._at_now(item.id, None)

    def _at_now(self, item_id: int, version: Item | None) -> None:
        self._before.setdefault(item_id, []).append((self._clock.time(), version))

    def as_of(self, items: list[Item], seconds: float) -> list[Item]:
        """These items as they were so many seconds ago; those that were not there yet are left out."""
        since = self._clock.time() - seconds
        # The version that the first change after `since` replaced, else the item itself.
        versions = (
            next((old for moment, old in self._before.get(item.id, ()) if moment > since), item) for item in items
        )
        return [version for version in versions if version is not None]

    def clear(self) -> None:
        self._before.clear()


# Faults inside a document: middleware of graphql-core that makes fields fail, or listings short.
#
# Used only for the requests that a fault is meant for, so the others pay nothing.


Middleware = Callable[..., Any]
FIELD_WAIT = 15  # seconds, as in Monday's own example of the error

BAD_LABEL = (
    "invalid value - label does not exist in column. Please check our API documentation for the correct data "
    "structure for this column. https://developer.monday.com/api-reference/docs/change-column-values"
)

# What single mutations fail of, as Monday words it; another code comes with itself as the message.
WORDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ColumnValueException": (BAD_LABEL, 200, {"column_type": "color"}),
    "InvalidItemIdException": ("Item not found", 200, {"item_id": None}),
    "ResourceNotFoundException": ("Item not found in board", 404, {"resource_type": "item"}),
    "TooManyConcurrentRequestsException": (
        "Failed to lock item id for graphql mutation",
        429,
        {"item_id": None, "tag": "graphql_item_locking_service"},
    ),
    "InvalidBoardIdException": ("The board does not exist", 200, {}),
    "UserUnauthorizedException": ("User unauthorized to perform action", 403, {}),
    "INTERNAL_SERVER_ERROR": ("Internal server error", 500, {}),
}


def fault_middleware(fault: Fault | None, operation: FaultTarget, past: ItemHistory) -> Middleware | None:
    """The middleware that plays this fault; None where the fault leaves the document alone."""
    made: Middleware | None = None
    if fault is None:
        return made
    if fault.stale is not None:
        made = _stale_read_middleware(past, fault.stale)
    elif fault.partial is not None:
        made = _failing_middleware(fault, fault.partial.of(operation.fields()))
    elif fault.limit in ("field", "subgraph"):
        first = next((name for _, name in operation.fields() if name != "complexity"), "")
        made = _limit_middleware(fault, fault.on if fault.on in operation.names() else first)
    elif fault.cursor is not None:
        made = _expired_cursor_middleware
    elif fault.listing is not None:
        made = _short_listing_middleware(fault.listing, PAGE_FIELDS if fault.on in ("any", "query") else (fault.on,))
    elif fault.drops is not None:
        made = _dropping_middleware(fault, fault.drops)
    return made


def failure(code: str, message: str = "") -> FieldError:
    usual, status_code, error_data = WORDS.get(code, (code, 200, {}))
    return FieldError(message or usual, code, status_code, **error_data)


def history_middleware(past: ItemHistory) -> Middleware:
    """Keep what the document's mutations are about to change, for reads that will lag behind."""

    def record_before(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        # graphql-core calls middleware for fields inside, too; a mutation stands at the root.
        if info.path.prev is not None:
            return following(root, info, **arguments)
        world = info.context.world
        with world.read_lock():
            item = world.items.get(number(arguments.get("item_id")))
            if item is not None:
                past.record(item)
        found = following(root, info, **arguments)
        if isinstance(found, Item) and (item is None or found.id != item.id):
            with world.read_lock():
                past.record_creation(found)
        return found

    return record_before


def _stale_read_middleware(past: ItemHistory, seconds: float) -> Middleware:
    # Roots that asked for `latest`: it is said there, and the items are read below.
    fresh: set[Any] = set()

    def read_stale(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name == "boards" and arguments.get("latest"):
            fresh.add(info.path.key)
        found = following(root, info, **arguments)
        if info.field_name not in (*PAGE_FIELDS, "items") or info.path.as_list()[0] in fresh:
            return found
        if isinstance(found, Page):
            return replace(found, items=past.as_of(found.items, seconds))
        return past.as_of(found, seconds) if info.path.prev is None else found

    return read_stale


def _failing_middleware(fault: Fault, aliases: set[str]) -> Middleware:
    def fail_field(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None or info.path.key not in aliases or fault.partial is None:
            return following(root, info, **arguments)
        if not fault.names(arguments):
            return following(root, info, **arguments)
        if fault.partial.applied:
            following(root, info, **arguments)
        raise failure(fault.partial.code, fault.partial.message)

    return fail_field


def _limit_middleware(fault: Fault, name: str) -> Middleware:
    def limit_field(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name != name:
            return following(root, info, **arguments)
        if fault.limit == "subgraph":
            raise api_errors.subgraph_limit(name)
        raise api_errors.field_limit(name, FIELD_WAIT if fault.retry_in is None else fault.retry_in)

    return limit_field


def _expired_cursor_middleware(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
    if info.field_name in PAGE_FIELDS and arguments.get("cursor"):
        raise api_errors.cursor_expired()
    return following(root, info, **arguments)


def _short_listing_middleware(length: int, names: tuple[str, ...]) -> Middleware:
    def shorten(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        found = following(root, info, **arguments)
        if info.field_name not in names:
            return found
        if isinstance(found, Page):
            return replace(found, cursor=None, items=found.items[:length])
        return found[:length] if isinstance(found, list) else found

    return shorten


def _dropping_middleware(fault: Fault, column_type: str) -> Middleware:
    def drop_values(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        is_meant = info.path.prev is None and fault.on in ("any", "mutation", info.field_name)
        if is_meant and arguments.get("column_values") and fault.names(arguments):
            columns = info.context.world.board(number(arguments["board_id"])).columns
            dropped = {column.id for column in columns if column.type == column_type}
            values = json.loads(arguments["column_values"])
            arguments["column_values"] = json.dumps({key: values[key] for key in values if key not in dropped})
        return following(root, info, **arguments)

    return drop_values
