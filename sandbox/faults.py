"""Faults that a test asks for: a queue, each entry for so many of the next matching requests."""

import threading
from collections.abc import Set
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

PAGE_FIELDS = ("items_page", "next_items_page", "items_page_by_column_values")
HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"
BODIES: dict[int, dict[str, Any]] = {
    401: {"message": "Not authenticated", "extensions": {"code": "NOT_AUTHENTICATED"}},
    403: {
        "message": "User unauthorized to perform action",
        "extensions": {"code": "UserUnauthorizedException"},
    },
    423: {
        "message": "Resource is currently locked, please try again later",
        "extensions": {"code": "RESOURCE_LOCKED"},
    },
    429: {"message": "Minute rate limit exceeded", "extensions": {"code": "MINUTE_RATE_LIMIT_EXCEEDED"}},
    500: {"message": "Internal Server Error", "extensions": {"code": "INTERNAL_SERVER_ERROR"}},
}
# What stands before Monday's API answers these with a page (community topics 122172, 116759).
PAGES = {502: "502 Bad Gateway", 503: "503 Service Unavailable", 504: "504 Gateway Time-out"}


class FaultError(ValueError):
    """What was asked for is no fault; the text says why."""


class Asked(Protocol):
    """What a fault may want to know of a request."""

    @property
    def kind(self) -> str:
        """query or mutation."""

    def fields(self) -> list[tuple[str, str]]:
        """Alias and name of each field at the root."""

    def names(self) -> Set[str]:
        """The names of all fields, also of those inside others."""

    def turns_a_page(self, variables: dict[str, Any]) -> bool:
        """Whether a cursor is given."""


@dataclass(frozen=True)
class Partial:
    """Fields at the root that fail while the others of the document are carried out.

    By alias, or each `every`-th of them. With `applied` they are carried out and only look as if they were not;
    with `no_data` the answer holds errors alone, as a report of 2025-02 shows (community topic 109452).
    """

    aliases: tuple[str, ...] = ()
    every: int = 0
    code: str = "ColumnValueException"
    applied: bool = False
    no_data: bool = False

    def of(self, fields: list[tuple[str, str]]) -> set[str]:
        """The aliases among `fields` that fail."""
        own = [alias for alias, name in fields if name not in ("complexity", "__typename")]
        if self.every:
            return set(own[self.every - 1 :: self.every])
        return set(own) & set(self.aliases)


@dataclass
class Fault:
    """One entry, of one kind. `on` is any, query, mutation, or the name of a field; `skip` so many pass first.

    `status` answers at once with that HTTP status (and `body`), nothing applied. `timeout` cuts the connection
    `before` or `after` the request was carried out, having held it for `seconds`. `limit` answers as that limit
    does. `slow` waits so many seconds, then carries the request out. `partial` makes fields fail. `cursor`
    "expired" takes the next cursor for one that is too old; `listing` shows so many items only, and no cursor;
    `stale` shows items as they were so many seconds ago, as far as the API changed them since the fault was asked for.
    """

    status: int | None = None
    timeout: str | None = None
    limit: str | None = None
    slow: float | None = None
    partial: Partial | None = None
    cursor: str | None = None
    listing: int | None = None
    stale: float | None = None
    count: int = 1
    skip: int = 0
    on: str = "any"
    body: Any = None
    retry_after: float | None = None
    retry_in: int | None = None
    header: bool = True
    seconds: float = 0.0

    def matches(self, asked: Asked, variables: dict[str, Any]) -> bool:
        """Whether it can happen to this request."""
        return self._is_on(asked) and self._can_happen(asked, variables)

    def _is_on(self, asked: Asked) -> bool:
        names = asked.names() if self._looks_inside else [name for _, name in asked.fields()]
        return self.on in ("any", asked.kind) or self.on in names

    @property
    def _looks_inside(self) -> bool:
        return self.listing is not None or self.stale is not None or self.limit in ("field", "subgraph")

    def _can_happen(self, asked: Asked, variables: dict[str, Any]) -> bool:
        if self.cursor is not None:
            return asked.turns_a_page(variables)
        if self.stale is not None:
            return asked.kind == "query" and not asked.names().isdisjoint((*PAGE_FIELDS, "items"))
        if self.listing is not None:
            return self.on != "any" or not asked.names().isdisjoint(PAGE_FIELDS)
        return self.partial is None or bool(self.partial.of(asked.fields()))

    def name(self) -> str:
        """A few words for the log of calls."""
        words = {
            "status": f"HTTP {self.status}",
            "timeout": f"timeout {self.timeout}",
            "limit": f"limit {self.limit}",
            "slow": f"slow {self.slow:g} s" if self.slow is not None else "",
            "partial": "partial failure",
            "cursor": "cursor expired",
            "listing": f"listing of {self.listing}",
            "stale": f"{self.stale:g} s behind" if self.stale is not None else "",
        }
        return next(words[key] for key in words if getattr(self, key) is not None)

    def answer(self) -> Any:
        """The body to answer a `status` with: a JSON object, or a page."""
        if self.body is not None:
            return self.body
        if self.status in PAGES:
            return HTML.format(PAGES[self.status])
        error = BODIES.get(self.status or 0, {"message": f"HTTP {self.status}", "extensions": {}})
        extensions = dict(error["extensions"])
        if self.status == 429 and self.retry_after is not None:
            extensions["retry_in_seconds"] = self.retry_after
        return {"errors": [{"message": error["message"], "extensions": extensions}]}

    def shown(self) -> dict[str, Any]:
        """As it was asked for, what was left out filled in."""
        return {key: value for key, value in asdict(self).items() if value is not None}


@dataclass
class Faults:
    """The queue of faults still to come."""

    _queue: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> threading.Event:
        """What is set when all that wait now are let go."""
        with self._lock:
            return self._released

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            self._queue += faults

    def take(self, asked: Asked, variables: dict[str, Any]) -> Fault | None:
        """The first fault that this request meets, one less of it left."""
        if not self._queue:
            return None
        with self._lock:
            for fault in self._queue:
                if not fault.matches(asked, variables):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.count -= 1
                if fault.count < 1:
                    self._queue.remove(fault)
                return fault
        return None

    def await_reads(self) -> bool:
        """Whether a fault still asks for stale reads."""
        with self._lock:
            return any(fault.stale is not None for fault in self._queue)

    def left(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.shown() for fault in self._queue]

    def clear(self) -> None:
        """Forget what is left, and let go whom a fault keeps waiting."""
        with self._lock:
            self._queue.clear()
            self._released.set()
            self._released = threading.Event()
