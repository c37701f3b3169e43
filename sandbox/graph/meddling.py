"""Faults inside a document: middleware of graphql-core that makes fields fail, or listings short.

Used only for the requests that a fault is meant for, so the others pay nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sandbox import errors
from sandbox.cursors import Page
from sandbox.errors import FieldError
from sandbox.faults import PAGE_FIELDS, Asked, Fault
from sandbox.graph.common import number
from sandbox.model import Item
from sandbox.past import Past

Middleware = Callable[..., Any]
FIELD_WAIT = 15  # seconds, as in Monday's own example of the error
BAD_LABEL = (
    "invalid value - label does not exist in column. Please check our API documentation for the correct data "
    "structure for this column. https://developer.monday.com/api-reference/docs/change-column-values"
)
# What single mutations fail of, as Monday words it; another code comes with itself as the message.
WORDS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ColumnValueException": (
        BAD_LABEL,
        200,
        {"column_type": "color"},
    ),
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


def meddler(fault: Fault | None, operation: Asked, past: Past) -> Middleware | None:
    """The middleware that plays this fault; None where the fault leaves the document alone."""
    made: Middleware | None = None
    if fault is None:
        return made
    if fault.stale is not None:
        made = _lagging(past, fault.stale)
    elif fault.partial is not None:
        made = _failing(fault, fault.partial.of(operation.fields()))
    elif fault.limit in ("field", "subgraph"):
        first = next((name for _, name in operation.fields() if name != "complexity"), "")
        made = _limited(fault, fault.on if fault.on in operation.names() else first)
    elif fault.cursor is not None:
        made = _expiring
    elif fault.listing is not None:
        made = _shortening(fault.listing, PAGE_FIELDS if fault.on in ("any", "query") else (fault.on,))
    return made


def failure(code: str) -> FieldError:
    """The error of one field that a code stands for."""
    message, status_code, error_data = WORDS.get(code, (code, 200, {}))
    return FieldError(message, code, status_code, **error_data)


def remembering(past: Past) -> Middleware:
    """Keep what the document's mutations are about to change, for reads that will lag behind."""

    def meddle(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None:
            return following(root, info, **arguments)
        world = info.context.world
        with world.reading():
            item = world.items.get(number(arguments.get("item_id")))
            if item is not None:
                past.keep(item)
        found = following(root, info, **arguments)
        if isinstance(found, Item) and (item is None or found.id != item.id):
            with world.reading():
                past.was_not_there(found)
        return found

    return meddle


def _lagging(past: Past, seconds: float) -> Middleware:
    fresh: set[Any] = set()

    def meddle(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name == "boards" and arguments.get("latest"):
            fresh.add(info.path.key)
        found = following(root, info, **arguments)
        if info.field_name not in (*PAGE_FIELDS, "items") or info.path.as_list()[0] in fresh:
            return found
        if isinstance(found, Page):
            return replace(found, items=past.of(found.items, seconds))
        return past.of(found, seconds) if info.path.prev is None else found

    return meddle


def _failing(fault: Fault, aliases: set[str]) -> Middleware:
    def meddle(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None or info.path.key not in aliases or fault.partial is None:
            return following(root, info, **arguments)
        if fault.partial.applied:
            following(root, info, **arguments)
        raise failure(fault.partial.code)

    return meddle


def _limited(fault: Fault, name: str) -> Middleware:
    def meddle(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name != name:
            return following(root, info, **arguments)
        if fault.limit == "subgraph":
            raise errors.subgraph_limit(name)
        raise errors.field_limit(name, FIELD_WAIT if fault.retry_in is None else fault.retry_in)

    return meddle


def _expiring(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
    if info.field_name in PAGE_FIELDS and arguments.get("cursor"):
        raise errors.cursor_expired()
    return following(root, info, **arguments)


def _shortening(length: int, names: tuple[str, ...]) -> Middleware:
    def meddle(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        found = following(root, info, **arguments)
        if info.field_name not in names:
            return found
        if isinstance(found, Page):
            return replace(found, cursor=None, items=found.items[:length])
        return found[:length] if isinstance(found, list) else found

    return meddle
