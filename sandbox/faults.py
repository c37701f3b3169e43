"""Faults that a test asks for: a queue, each entry for so many of the next matching requests."""

import json
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sandbox import api_errors, web
from sandbox.api_errors import FieldError
from sandbox.columns import KINDS as KNOWN_TYPES
from sandbox.graph import Operation
from sandbox.graph.resolvers import Middleware, Page, number
from sandbox.model import Clock, Item

PAGE_FIELDS = ("items_page", "next_items_page", "items_page_by_column_values")
HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"

BODIES: dict[int, dict[str, Any]] = {
    401: {"message": "Not authenticated", "extensions": {"code": "NOT_AUTHENTICATED"}},
    403: {"message": "User unauthorized to perform action", "extensions": {"code": "UserUnauthorizedException"}},
    423: {"message": "Resource is currently locked, please try again later", "extensions": {"code": "RESOURCE_LOCKED"}},
    429: {"message": "Minute rate limit exceeded", "extensions": {"code": "MINUTE_RATE_LIMIT_EXCEEDED"}},
}
# Of a whole request, as recorded in 2025-11 (github.com/sanifhimani/monday_ruby): no `code`, and no id in the body.
FAILED = {"status_code": 500, "error_code": "INTERNAL_SERVER_ERROR"}
INTERNAL_ERROR = {
    **FAILED,
    "error_message": "Internal server error",
    "errors": [{"message": "Internal server error", "extensions": FAILED}],
}

# What stands before Monday's API answers these with a page (community topics 122172, 116759).
PAGES = {502: "502 Bad Gateway", 503: "503 Service Unavailable", 504: "504 Gateway Time-out"}


@dataclass(frozen=True)
class Partial:
    """Fields at the root that fail while the others of the document are carried out.

    By alias, or each `every`-th of them. With `applied` they are carried out and only look as if they were not;
    with `no_data` the answer holds errors alone, as a report of 2025-02 shows (community topic 109452).
    """

    aliases: Sequence[str] = ()
    every: int = 0
    code: str = "ColumnValueException"
    message: str = ""
    applied: bool = False
    no_data: bool = False

    def of(self, fields: list[tuple[str, str]]) -> set[str]:
        own = [alias for alias, name in fields if name not in ("complexity", "__typename")]
        if self.every:
            return set(own[self.every - 1 :: self.every])
        return set(own) & set(self.aliases)


@dataclass(frozen=True)
class Closed:
    """Columns and items, by their ids, that the token's user may read and not edit."""

    columns: Sequence[str] = ()
    items: Sequence[str] = ()

    def refuses(self, arguments: dict[str, Any]) -> bool:
        """Whether a mutation with these arguments writes one of them."""
        return str(arguments.get("item_id")) in self.items or not written_columns(arguments).isdisjoint(self.columns)


def written_columns(arguments: dict[str, Any]) -> set[str]:
    """The ids of the columns that a mutation writes; "name" where it names an item."""
    columns = set(_json_object(arguments.get("column_values")))
    if arguments.get("item_name"):
        columns.add("name")
    if "column_id" in arguments:
        columns.add(arguments["column_id"])
    return columns


def _json_object(text: Any) -> dict[str, Any]:
    try:
        decoded = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _with_tags_closed(text: str) -> str:
    opened = re.findall(r"<([A-Za-z][A-Za-z0-9]*)(?: [^<>]*)?>", text)
    missing = [name for name in reversed(opened) if text.count(f"</{name}>") < opened.count(name)]
    return text + "".join(f"</{name}>" for name in missing)


# What Monday may make of a text before it stores it; the last three lose something.
ALTERATIONS: dict[str, Callable[[str], str]] = {
    "small": str.lower,
    "title": str.title,
    "folded": lambda text: " ".join(text.split()),
    "tags closed": _with_tags_closed,
    "tags dropped": lambda text: re.sub(r"<[^>]*>", "", text),
    "invisible dropped": lambda text: "".join(each for each in text if unicodedata.category(each) != "Cf"),
    "accents dropped": lambda text: "".join(
        each for each in unicodedata.normalize("NFD", text) if not unicodedata.combining(each)
    ),
    "cut": lambda text: text[:8],
}


@dataclass
class Fault:
    """One entry of the queue: exactly one of the kinds, to which requests it happens, and how."""

    # The kinds.
    status: int | None = None  # that HTTP status at once, nothing applied
    timeout: str | None = None  # the connection is cut "before" or "after" the request was carried out
    limit: str | None = None  # refused as that limit refuses
    slow: float | None = None  # seconds until the request is carried out
    partial: Partial | None = None  # fields of the document that fail
    cursor: str | None = None  # "expired": the next cursor is taken for one that is too old
    listing: int | None = None  # so many items are shown, and no cursor
    stale: float | None = None  # items as they were so many seconds ago, as far as the API changed them since
    drops: str | None = None  # type of the columns whose values a create loses, without an error (users' notes, 2026)
    closed: Closed | None = None  # columns and items whose writes are refused
    alters: str | None = None  # in which form texts are stored
    # To which requests it happens.
    on: str = "any"  # query, mutation, or the name of a field
    naming: str = ""  # a text in a variable: so one record fails again and again, whichever document it travels in
    skip: int = 0  # so many that it could happen to pass first
    count: int | None = 1  # to so many it happens; None: until the faults are cleared
    # How.
    body: Any = None  # the answer of a status
    retry_after: float | None = None  # seconds, in the header of a status
    retry_in: int | None = None  # seconds, in the answer of a limit
    seconds: float = 0.0  # for which a connection is held before it is cut
    columns: Sequence[str] | None = None  # whose texts are altered; None: all

    def __post_init__(self) -> None:
        self.over = threading.Event()  # nobody that met it is kept waiting any more

    def matches(self, request: Operation, variables: dict[str, Any]) -> bool:
        """Whether it can happen to this request."""
        looks_inside = self.listing is not None or self.stale is not None or self.limit == "field"
        names = request.names() if looks_inside else [name for _, name in request.fields]
        if (self.on not in ("any", request.kind) and self.on not in names) or not self.names(variables):
            return False
        if self.closed is not None or self.alters is not None:
            return request.kind == "mutation"
        if self.cursor is not None:
            return request.turns_a_page(variables)
        if self.stale is not None:
            return request.kind == "query" and not request.names().isdisjoint((*PAGE_FIELDS, "items"))
        if self.listing is not None:
            return self.on != "any" or not request.names().isdisjoint(PAGE_FIELDS)
        return self.partial is None or bool(self.partial.of(request.fields))

    def names(self, content: dict[str, Any]) -> bool:
        """Whether these variables or arguments hold the text that it waits for."""
        return not self.naming or self.naming in json.dumps(content, ensure_ascii=False, default=str)

    def name(self) -> str:
        """A few words for the log of calls."""
        descriptions = {
            "status": f"HTTP {self.status}",
            "timeout": f"timeout {self.timeout}",
            "limit": f"limit {self.limit}",
            "slow": f"slow {self.slow:g} s" if self.slow is not None else "",
            "partial": "partial failure",
            "cursor": "cursor expired",
            "listing": f"listing of {self.listing}",
            "stale": f"{self.stale:g} s behind" if self.stale is not None else "",
            "drops": f"created without {self.drops}",
            "closed": "closed to edits",
            "alters": f"stored {self.alters}",
        }
        return next(descriptions[key] for key in descriptions if getattr(self, key) is not None)

    def answer(self) -> Any:
        """The body to answer a `status` with: a JSON object, or a page."""
        if self.body is not None:
            return self.body
        if self.status in PAGES:
            return HTML.format(PAGES[self.status])
        if self.status == 500:
            return INTERNAL_ERROR
        error = BODIES.get(self.status or 0, {"message": f"HTTP {self.status}", "extensions": {}})
        extensions = dict(error["extensions"])
        if self.status == 429 and self.retry_after is not None:
            extensions["retry_in_seconds"] = self.retry_after
        return {"errors": [{"message": error["message"], "extensions": extensions}]}

    def to_json(self) -> dict[str, Any]:
        """As it was asked for, what was left out filled in."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Faults:
    """The queue of faults still to come."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            for fault in faults:
                fault.over = self._over
            self._queue += faults

    def take(self, request: Operation, variables: dict[str, Any]) -> Fault | None:
        """The first fault that this request meets, one less of it left."""
        if not self._queue:
            return None
        with self._lock:
            for fault in self._queue:
                if not fault.matches(request, variables):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.count is not None:
                    fault.count -= 1
                    if fault.count < 1:
                        self._queue.remove(fault)
                return fault
        return None

    def await_reads(self) -> bool:
        with self._lock:
            return any(fault.stale is not None for fault in self._queue)

    def remaining(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.to_json() for fault in self._queue]

    def clear(self) -> None:
        """Delete what is left, and release the requests that a fault keeps waiting."""
        with self._lock:
            self._queue.clear()
            self._over.set()
            self._over = threading.Event()


# The kinds of faults, and what each may be where that is a word.
KINDS: dict[str, Iterable[str]] = {
    "status": (),
    "timeout": ("before", "after"),
    "limit": ("complexity", "minute", "daily", "concurrency", "field"),
    "slow": (),
    "partial": (),
    "cursor": ("expired",),
    "listing": (),
    "stale": (),
    "drops": KNOWN_TYPES,
    "closed": (),
    "alters": ALTERATIONS,
}
# A time-out or a partial failure is about what was applied, so reads in between do not use it up.
DEFAULT_ON = {"timeout": "mutation", "partial": "mutation", "drops": "create_item"}
LASTING = ("closed", "alters")


def fault_from(content: dict[str, Any]) -> Fault:
    """The fault that a JSON object describes. Raises BadRequestError."""
    kinds = [kind for kind in KINDS if kind in content]
    if len(kinds) != 1:
        raise web.BadRequestError(f"a fault has exactly one of {', '.join(KINDS)}")
    kind = kinds[0]
    value = content[kind]
    if KINDS[kind]:
        web.one_of(KINDS[kind], value)
    elif kind == "partial":
        value = web.call(Partial, value)
    elif kind == "closed":
        value = web.call(Closed, value)
    elif value == "empty":
        value = 0
    defaults = {"on": DEFAULT_ON.get(kind, "any"), "count": None if kind in LASTING else 1}
    return web.call(Fault, defaults | content | {kind: value})


# Faults inside a document: fields that fail, listings that are short, reads that lag behind.
# Monday's reads may be behind its writes: `boards(latest: true)` exists to bring “the latest data” (its schema).


class ItemHistory:
    """Earlier versions of items, kept while a fault asks for stale reads. Callers hold the world's lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before: dict[int, list[tuple[float, Item | None]]] = {}

    def record(self, item: Item) -> None:
        self._at_now(item.id, replace(item, cells=dict(item.cells)))

    def record_creation(self, item: Item) -> None:
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
    "ItemsLimitationException": ("The board has reached its limit of items", 200, {}),
    "UserUnauthorizedException": ("User unauthorized to perform action", 403, {}),
    "INTERNAL_SERVER_ERROR": ("Internal server error", 500, {}),
}


def fault_middleware(fault: Fault | None, operation: Operation, past: ItemHistory) -> Middleware | None:
    """The middleware that plays this fault; None where the fault leaves the document alone."""
    made: Middleware | None = None
    if fault is None:
        return made
    if fault.stale is not None:
        made = _stale_read_middleware(past, fault.stale)
    elif fault.partial is not None:
        made = _failing_middleware(fault, fault.partial.of(operation.fields))
    elif fault.limit == "field":
        first = next((name for _, name in operation.fields if name != "complexity"), "")
        made = _limit_middleware(fault, fault.on if fault.on in operation.names() else first)
    elif fault.cursor is not None:
        made = _expired_cursor_middleware
    elif fault.listing is not None:
        made = _short_listing_middleware(fault.listing, PAGE_FIELDS if fault.on in ("any", "query") else (fault.on,))
    elif fault.drops is not None:
        made = _dropping_middleware(fault, fault.drops)
    elif fault.closed is not None:
        made = _closing_middleware(fault, fault.closed)
    elif fault.alters is not None:
        made = _altering_middleware(fault, ALTERATIONS[fault.alters])
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
        result = following(root, info, **arguments)
        if isinstance(result, Item) and (item is None or result.id != item.id):
            with world.read_lock():
                past.record_creation(result)
        return result

    return record_before


def _stale_read_middleware(past: ItemHistory, seconds: float) -> Middleware:
    # Roots that asked for `latest`: it is said there, and the items are read below.
    fresh: set[Any] = set()

    def read_stale(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.field_name == "boards" and arguments.get("latest"):
            fresh.add(info.path.key)
        result = following(root, info, **arguments)
        if info.field_name not in (*PAGE_FIELDS, "items") or info.path.as_list()[0] in fresh:
            return result
        if isinstance(result, Page):
            return replace(result, items=past.as_of(result.items, seconds))
        return past.as_of(result, seconds) if info.path.prev is None else result

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
        raise api_errors.field_limit(name, FIELD_WAIT if fault.retry_in is None else fault.retry_in)

    return limit_field


def _expired_cursor_middleware(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
    if info.field_name in PAGE_FIELDS and arguments.get("cursor"):
        raise api_errors.cursor_expired()
    return following(root, info, **arguments)


def _short_listing_middleware(length: int, names: tuple[str, ...]) -> Middleware:
    def shorten(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        result = following(root, info, **arguments)
        if info.field_name not in names:
            return result
        if isinstance(result, Page):
            return replace(result, cursor=None, items=result.items[:length])
        return result[:length] if isinstance(result, list) else result

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


def _closing_middleware(fault: Fault, closed: Closed) -> Middleware:
    def refuse_closed(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is None and fault.names(arguments) and closed.refuses(arguments):
            raise failure("UserUnauthorizedException")
        return following(root, info, **arguments)

    return refuse_closed


def _altering_middleware(fault: Fault, alter: Callable[[str], str]) -> Middleware:
    def alters(column_id: str) -> bool:
        return fault.columns is None or column_id in fault.columns

    def alter_texts(following: Any, root: Any, info: Any, **arguments: Any) -> Any:
        if info.path.prev is not None or not fault.names(arguments):
            return following(root, info, **arguments)
        if arguments.get("item_name") and alters("name"):
            arguments["item_name"] = alter(arguments["item_name"])
        if values := _json_object(arguments.get("column_values")):
            altered = {key: _altered(value, alter) if alters(key) else value for key, value in values.items()}
            arguments["column_values"] = json.dumps(altered)
        return following(root, info, **arguments)

    return alter_texts


def _altered(value: Any, alter: Callable[[str], str]) -> Any:
    """A text, alone or as a long text has it, in its other form; any other value as it is."""
    if isinstance(value, dict) and isinstance(value.get("text"), str) and value.keys() == {"text"}:
        return {"text": alter(value["text"])}
    return alter(value) if isinstance(value, str) else value
