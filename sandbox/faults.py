"""Faults of calls: a queue of entries, each for some of the next matching requests. Webhooks' are in webhooks.py."""

import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sandbox import api_errors, web
from sandbox.api_errors import FieldError
from sandbox.graph.documents import Operation
from sandbox.graph.resolvers import Page, parse_id
from sandbox.lags import LAG_KINDS, Lag
from sandbox.model import Item

PAGE_FIELDS = ("items_page", "next_items_page", "items_page_by_column_values")
# Mutations of an item that answer it, so that one without effect looks carried out.
CHANGES = ("change_multiple_column_values", "archive_item", "delete_item", "move_item_to_group")
SWALLOWED = (*CHANGES, "create_item")


@dataclass(frozen=True)
class Partial:
    """Root fields that fail while the document's other fields are carried out."""

    aliases: Sequence[str] = ()
    every: int = 0  # fail every second, third … field instead of those with the aliases
    code: str = "ColumnValueException"
    message: str = ""
    applied: bool = False  # the fields are carried out and only appear failed
    no_data: bool = False  # the answer has only errors, as a report of 2025-02 shows (community topic 109452)

    def failing_aliases(self, fields: list[tuple[str, str]]) -> set[str]:
        # These can't fail, and a test that counts the parts of a batch doesn't mean them.
        aliases = [alias for alias, name in fields if name not in ("complexity", "__typename")]
        if self.every:
            return set(aliases[self.every - 1 :: self.every])
        return set(aliases) & set(self.aliases)


def _column_values(arguments: dict[str, Any]) -> dict[str, Any]:
    text = arguments.get("column_values")
    try:
        decoded = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


UNAUTHORIZED = "User unauthorized to perform action"
ERROR_PAGE = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

STATUS_BODIES: dict[int, dict[str, Any]] = {
    401: {"message": "Not authenticated", "extensions": {"code": "NOT_AUTHENTICATED"}},
    403: {"message": UNAUTHORIZED, "extensions": {"code": "UserUnauthorizedException"}},
    423: {"message": "Resource is currently locked, please try again later", "extensions": {"code": "RESOURCE_LOCKED"}},
    429: {"message": "Minute rate limit exceeded", "extensions": {"code": "MINUTE_RATE_LIMIT_EXCEEDED"}},
}
# As recorded for a whole request in 2025-11 (github.com/sanifhimani/monday_ruby): no `code`, and no id in the body.
FAILED = {"status_code": 500, "error_code": "INTERNAL_SERVER_ERROR"}
INTERNAL_ERROR = {
    **FAILED,
    "error_message": "Internal server error",
    "errors": [{"message": "Internal server error", "extensions": FAILED}],
}

# Proxies before Monday's API answer these with a page (community topics 122172, 116759).
STATUS_PAGES = {502: "502 Bad Gateway", 503: "503 Service Unavailable", 504: "504 Gateway Time-out"}


@dataclass
class Fault:
    """One entry of the queue; the fields are named as in the JSON of `/_control/faults`."""

    # What happens: exactly one of these.
    status: int | None = None  # that HTTP status at once, nothing applied
    timeout: str | None = None  # the connection is cut "before" or "after" the request was carried out
    limit: str | None = None  # the request is refused as by that limit
    slow: float | None = None  # seconds until the request is carried out
    partial: Partial | None = None  # fields of the document that fail
    cursor: str | None = (
        None  # "expired": the next cursor counts as too old; or the page comes again with "same", "new"
    )
    listing: int | None = None  # only this many items are listed, and no cursor
    stale: float | None = None  # items as they were this many seconds ago; only changes made through the API are undone
    lag: Sequence[str] | None = None  # of LAG_KINDS: what reads show `edits` and `writes` seconds late
    late_rows: Sequence[float] | None = None  # seconds until a row of an activity log is shown, in turn
    alters: str | None = None  # the form in which texts are stored
    swallow: bool | None = None  # changes are answered and not made; creates lose values
    unreadable: Sequence[str] | None = None  # ids of items whose cells no listing can read; or "first", on its board
    # Which requests it happens to.
    on: str = "any"  # query, mutation, or the name of a field
    naming: str = ""  # only requests whose variables contain this text, such as a record's id
    skip: int = 0  # this many matching requests pass first
    count: int | None = 1  # it happens to this many; None: until the faults are cleared
    # Details.
    body: Any = None  # the answer of a status
    retry_after: float | None = None  # seconds, in the header of a status
    retry_in: int | None = None  # seconds, in the answer of a limit
    columns: Sequence[str] | None = None  # whose texts are altered, or whose values are swallowed; None: all
    edits: float = 0.0  # seconds until reads show what a person changed
    writes: float = 0.0  # seconds until reads show what the API changed
    by_id: bool = False  # reads by id fail for unreadable items, too

    def __post_init__(self) -> None:
        # Set when the faults are cleared, so that requests stop waiting. It is no field, because fields are JSON.
        self.cleared = threading.Event()

    def matches(self, operation: Operation, variables: dict[str, Any]) -> bool:
        """Return whether the fault can happen to this request."""
        # These happen to fields at any depth, others to root fields.
        is_nested = self.listing is not None or self.stale is not None or self.limit == "field"
        names = operation.names() if is_nested else {name for _, name in operation.fields}
        if self.on not in ("any", operation.kind, *names) or not self.is_named_in(variables):
            return False
        if self.alters is not None or self.swallow is not None:
            return operation.is_mutation and (self.swallow is None or not operation.names().isdisjoint(SWALLOWED))
        if self.unreadable is not None:
            return not operation.is_mutation and "column_values" in operation.names()
        if self.cursor is not None:
            return operation.has_cursor(variables)
        if self.stale is not None:
            return not operation.is_mutation and not operation.names().isdisjoint((*PAGE_FIELDS, "items"))
        if self.listing is not None:
            return self.on != "any" or not operation.names().isdisjoint(PAGE_FIELDS)
        return self.partial is None or bool(self.partial.failing_aliases(operation.fields))

    def makes_reads_lag(self) -> bool:
        """Return whether it needs a record of what items were before."""
        return self.lag is not None or self.late_rows is not None or self.stale is not None

    def is_named_in(self, content: dict[str, Any]) -> bool:
        """Return whether these variables or arguments contain the text in `naming`."""
        return not self.naming or self.naming in json.dumps(content, ensure_ascii=False, default=str)

    def description(self) -> str:
        """Return the fault in words for the log of calls."""
        name = next(name for name in KINDS if getattr(self, name) is not None)
        value = getattr(self, name)
        return KINDS[name].words.format(", ".join(map(str, value)) if isinstance(value, list | tuple) else value)

    def status_body(self) -> Any:
        """Return the body of a `status`: a JSON object, or a page."""
        if self.body is not None:
            return self.body
        if self.status in STATUS_PAGES:
            return ERROR_PAGE.format(STATUS_PAGES[self.status])
        if self.status == 500:
            return INTERNAL_ERROR
        error = STATUS_BODIES.get(self.status or 0, {"message": f"HTTP {self.status}", "extensions": {}})
        # A wait stands in the header and in the body; a limit without one is the harder case for a client.
        extensions = dict(error["extensions"])
        if self.status == 429 and self.retry_after is not None:
            extensions["retry_in_seconds"] = self.retry_after
        return {"errors": [{"message": error["message"], "extensions": extensions}]}

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that asked for the fault, with the defaults filled in."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def _with_tags_closed(text: str) -> str:
    opened = re.findall(r"<([A-Za-z][A-Za-z0-9]*)(?: [^<>]*)?>", text)
    missing = [name for name in reversed(opened) if text.count(f"</{name}>") < opened.count(name)]
    return text + "".join(f"</{name}>" for name in missing)


# Changes that Monday may make to a text before it stores it.
ALTERATIONS: dict[str, Callable[[str], str]] = {
    "small": str.lower,
    "title": str.title,
    "folded": lambda text: " ".join(text.split()),
    "tags closed": _with_tags_closed,
    "tags dropped": lambda text: re.sub(r"<[^>]*>", "", text),
    "invisible dropped": lambda text: "".join(letter for letter in text if unicodedata.category(letter) != "Cf"),
    "accents dropped": lambda text: "".join(
        letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter)
    ),
    "cut": lambda text: text[:8],
}


@dataclass(frozen=True)
class FaultKind:
    words: str  # what happens, with its value
    values: Iterable[str] = ()  # the words that it accepts as its value; empty: any value
    on: str = "any"  # to which requests it happens, unless the fault says
    is_lasting: bool = False  # whether it stays until the faults are cleared, unless the fault says


# By the name of the field of `Fault`. A new kind also needs such a field, and its effect in `FieldFault` or in the API.
# `matches` may limit its requests. The page's buttons are `FAULT_BUTTONS` in pages.py.
KINDS = {
    "status": FaultKind("HTTP {}"),
    # A time-out or a partial failure is about writes, so reads in between must not use it up.
    "timeout": FaultKind("timeout {}", ("before", "after"), on="mutation"),
    "limit": FaultKind("limit {}", ("complexity", "minute", "daily", "concurrency", "field")),
    "slow": FaultKind("slow {:g} s"),
    "partial": FaultKind("partial failure", on="mutation"),
    "cursor": FaultKind("cursor {}", ("expired", "same", "new")),
    "listing": FaultKind("listing of {}"),
    "stale": FaultKind("{:g} s behind"),
    "lag": FaultKind("reads behind: {}", is_lasting=True),
    "late_rows": FaultKind("rows of the log late by {} s", is_lasting=True),
    "swallow": FaultKind("write swallowed", on="mutation"),
    # These stand for lasting properties of a board.
    "unreadable": FaultKind("item unreadable: {}", is_lasting=True),
    "alters": FaultKind("stored {}", ALTERATIONS, is_lasting=True),
}


def fault_from(**content: Any) -> Fault:
    """Return the fault that a JSON object describes. Raises BadRequestError."""
    names = [name for name in KINDS if name in content]
    if len(names) != 1:
        raise web.BadRequestError(f"a fault has exactly one of {', '.join(KINDS)}")
    name = names[0]
    kind = KINDS[name]
    value = content[name]
    if kind.values:
        web.one_of(kind.values, value)
    elif name == "partial":
        value = web.call(Partial, value)
    elif name == "listing" and value == "empty":
        value = 0
    elif name == "lag":
        value = LAG_KINDS if value == "all" else [web.one_of(LAG_KINDS, lag_kind) for lag_kind in value]
    return web.call(Fault, {"on": kind.on, "count": None if kind.is_lasting else 1} | content | {name: value})


class Faults:
    """The queue of faults that are still to happen."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._lock = threading.Lock()
        self._cleared = threading.Event()

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            for fault in faults:
                fault.cleared = self._cleared
            self._queue += [fault for fault in faults if fault.count != 0]

    def take(self, operation: Operation, variables: dict[str, Any]) -> Fault | None:
        """Return the first fault for a request with this operation, and count it."""
        with self._lock:
            for fault in self._queue:
                # Reads lag beside any other fault.
                if fault.lag is not None or fault.late_rows is not None or not fault.matches(operation, variables):
                    continue
                # The next entry may happen to the request instead.
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.count is not None:
                    fault.count -= 1
                if fault.count == 0:
                    self._queue.remove(fault)
                return fault
        return None

    def lags(self) -> list[Lag]:
        """Return how far all reads are behind."""
        return [Lag(fault.lag, fault.edits, fault.writes) for fault in self.all() if fault.lag is not None]

    def late_rows(self) -> Sequence[float]:
        """Return by how many seconds the rows of activity logs are late, in turn."""
        return next((fault.late_rows for fault in self.all() if fault.late_rows is not None), ())

    def all(self) -> list[Fault]:
        """Return the queue, with what is left of each count."""
        with self._lock:
            return list(self._queue)

    def clear(self) -> None:
        """Clear the queue, and release the requests that a fault keeps waiting."""
        with self._lock:
            self._queue.clear()
            # Of the faults that are waiting now; those that are added later get the new event.
            self._cleared.set()
            self._cleared = threading.Event()


FIELD_WAIT = 15  # seconds, as in Monday's own example of the error

BAD_LABEL = (
    "invalid value - label does not exist in column. Please check our API documentation for the correct data "
    "structure for this column. https://developer.monday.com/api-reference/docs/change-column-values"
)

# Monday's messages of failing mutations. For a code not listed here the code itself is the message.
MESSAGES = {"ColumnValueException": BAD_LABEL, "UserUnauthorizedException": UNAUTHORIZED}


def failure(code: str, message: str = "") -> FieldError:
    return FieldError(message or MESSAGES.get(code, code), code)


class FieldFault:
    """A fault inside the document, as graphql-core's middleware: called for each field, it calls `next_` to resolve it.

    Faults outside the document, such as a status, change nothing here.
    """

    def __init__(self, fault: Fault, operation: Operation) -> None:
        self._fault = fault
        self._failing = fault.partial.failing_aliases(operation.fields) if fault.partial else set()
        first = next((name for _, name in operation.fields if name != "complexity"), "")
        self._limited = fault.on if fault.on in operation.names() else first
        self._listed = PAGE_FIELDS if fault.on in ("any", "query") else (fault.on,)

    def resolve(self, next_: Any, root: Any, info: Any, **arguments: Any) -> Any:
        fault = self._fault
        name = info.field_name
        is_root = info.path.prev is None
        if is_root and fault.is_named_in(arguments):
            if fault.partial is not None and info.path.key in self._failing:
                # As where Monday writes the item and fails while it reads it back.
                if fault.partial.applied:
                    next_(root, info, **arguments)
                raise failure(fault.partial.code, fault.partial.message)
            if fault.swallow is not None and name in CHANGES and not self._remaining_values(arguments):
                return info.context.world.item(parse_id(arguments["item_id"]))
            arguments = self._arguments_of_root(arguments)
        if fault.limit == "field" and name == self._limited:
            raise api_errors.field_limit(name, FIELD_WAIT if fault.retry_in is None else fault.retry_in)
        if fault.cursor == "expired" and name in PAGE_FIELDS and arguments.get("cursor"):
            raise api_errors.cursor_expired()
        if fault.unreadable is not None and name == "column_values" and self._is_unreadable(root, info):
            raise api_errors.internal_error()
        result = next_(root, info, **arguments)
        if fault.cursor is not None and name in PAGE_FIELDS and arguments.get("cursor"):
            return replace(result, cursor=info.context.cursors.again(arguments["cursor"], fault.cursor == "new"))
        if fault.listing is not None and name in self._listed:
            # Without a cursor the client takes the listing for complete: items that aren't listed look deleted.
            if isinstance(result, Page):
                return replace(result, cursor=None, items=result.items[: fault.listing])
            return result[: fault.listing]
        return result

    def _is_unreadable(self, item: Item, info: Any) -> bool:
        """Return whether the fault hides the cells of this item where they are asked for."""
        if info.context.root_field(info) == "items" and not self._fault.by_id:
            return False
        if self._fault.unreadable == "first":
            return item.id == next((first.id for first in info.context.world.items_of(item.board_id)), None)
        return str(item.id) in (self._fault.unreadable or ())

    def _remaining_values(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the values of a write that aren't swallowed."""
        swallowed = self._fault.columns
        return {key: value for key, value in _column_values(arguments).items() if swallowed and key not in swallowed}

    def _arguments_of_root(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return a root field's arguments as the fault changes them."""
        fault = self._fault
        if fault.swallow is not None and arguments.get("column_values"):
            return arguments | {"column_values": json.dumps(self._remaining_values(arguments))}
        return self._with_altered_texts(ALTERATIONS[fault.alters], arguments) if fault.alters is not None else arguments

    def _with_altered_texts(self, alter: Callable[[str], str], arguments: dict[str, Any]) -> dict[str, Any]:
        def is_altered(column_id: str) -> bool:
            return self._fault.columns is None or column_id in self._fault.columns

        if arguments.get("item_name") and is_altered("name"):
            arguments = arguments | {"item_name": alter(arguments["item_name"])}
        if values := _column_values(arguments):
            new_values = {key: _altered(value, alter) if is_altered(key) else value for key, value in values.items()}
            arguments = arguments | {"column_values": json.dumps(new_values)}
        return arguments


def _altered(value: Any, alter: Callable[[str], str]) -> Any:
    """Return a text, or the text of a long text, in its other form; any other value as it is."""
    if isinstance(value, dict) and isinstance(value.get("text"), str) and value.keys() == {"text"}:
        return {"text": alter(value["text"])}
    return alter(value) if isinstance(value, str) else value
