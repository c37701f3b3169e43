"""Faults that a test asks for: a queue, each entry for so many of the next matching requests."""

import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

LONGEST_SECONDS = 86_400
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


class FaultError(ValueError):
    """What was asked for is no fault; the text says why."""


@dataclass
class Fault:
    """One entry. `on` is any, query, mutation, or the name of a root field.

    Either `status` answers at once with that HTTP status (and `body`), nothing applied; or `timeout` cuts the
    connection `before` or `after` the request was carried out, or holds it for `seconds` first.
    """

    status: int | None = None
    timeout: str | None = None
    count: int = 1
    on: str = "any"
    body: Any = None
    retry_after: int | None = None
    seconds: float = 0.0

    def matches(self, kind: str, fields: Iterable[str]) -> bool:
        return self.on in ("any", kind) or self.on in fields

    def answer(self) -> Any:
        """The body to answer a `status` with."""
        if self.body is not None:
            return self.body
        error = BODIES.get(self.status or 0, {"message": f"HTTP {self.status}", "extensions": {}})
        extensions = dict(error["extensions"])
        if self.status == 429 and self.retry_after is not None:
            extensions["retry_in_seconds"] = self.retry_after
        return {"errors": [{"message": error["message"], "extensions": extensions}]}


def fault_from(given: Any) -> Fault:
    """The fault that a JSON object describes. Raises FaultError."""
    if not isinstance(given, dict):
        raise FaultError("a fault is a JSON object")
    known = {"status", "timeout", "count", "on", "body", "retry_after", "seconds"}
    if set(given) - known:
        raise FaultError(f"unknown keys: {', '.join(sorted(set(given) - known))}")
    if ("status" in given) == ("timeout" in given):
        raise FaultError("a fault has either a status or a timeout")
    if given.get("timeout", "before") not in ("before", "after"):
        raise FaultError('timeout is "before" or "after"')
    status = given.get("status", 500)
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise FaultError("status is an HTTP status from 200 to 599")
    if not isinstance(given.get("count", 1), int) or given.get("count", 1) < 1:
        raise FaultError("count is a whole number from 1")
    if not isinstance(given.get("on", "any"), str):
        raise FaultError("on is any, query, mutation, or the name of a field")
    if not _is_seconds(given.get("seconds", 0)):
        raise FaultError(f"seconds is a number from 0 to {LONGEST_SECONDS}")
    if not _is_seconds(given.get("retry_after") or 0):
        raise FaultError(f"retry_after is a number of seconds from 0 to {LONGEST_SECONDS}")
    # A time-out is about whether the mutation was applied, so reads in between do not use it up.
    default_on = "mutation" if "timeout" in given else "any"
    wanted: dict[str, Any] = {"on": default_on} | given
    return Fault(**wanted)


def _is_seconds(given: Any) -> bool:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    return is_number and 0 <= given <= LONGEST_SECONDS


class Faults:
    """The queue of faults still to come."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, faults: list[Fault]) -> None:
        with self._lock:
            self._queue += faults

    def take(self, kind: str, fields: list[str]) -> Fault | None:
        """The first fault that this request meets, one less of it left."""
        with self._lock:
            for fault in self._queue:
                if fault.matches(kind, fields):
                    fault.count -= 1
                    if fault.count < 1:
                        self._queue.remove(fault)
                    return fault
        return None

    def left(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._queue]

    def clear(self) -> None:
        with self._lock:
            self._queue.clear()
