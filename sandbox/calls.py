"""The log of API calls."""

import itertools
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from sandbox.versions import CURRENT

LOG_LENGTH = 5_000


@dataclass
class Call:
    """One request at /v2, as the log shows it; never the token, never the variables."""

    id: int
    at: float
    status: int | None = None
    ms: float = 0.0
    kind: str = ""
    operation: str | None = None
    fields: list[tuple[str, str]] = field(default_factory=list)
    complexity: int = 0
    only_complexity: bool = False
    request_id: str = ""
    idempotency_key: str | None = None
    replayed: bool = False
    different_body: bool = False
    errors: list[str] = field(default_factory=list)
    fault: str = ""
    version: str = CURRENT

    def shown(self) -> dict[str, Any]:
        shown = asdict(self)
        shown["aliases"] = [alias for alias, _ in self.fields]
        shown["fields"] = [name for _, name in self.fields]
        return shown


class CallLog:
    """The last calls, oldest first. `changed` is called with each call that ended."""

    def __init__(self, changed: Callable[[Call], None]) -> None:
        self._calls: deque[Call] = deque(maxlen=LOG_LENGTH)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._changed = changed

    def begin(self, at: float) -> Call:
        with self._lock:
            return Call(next(self._numbers), at)

    def end(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
        self._changed(call)

    def since(self, number: int = 0) -> list[dict[str, Any]]:
        """The calls after the one with this id."""
        with self._lock:
            return [call.shown() for call in self._calls if call.id > number]

    def last(self, count: int) -> list[Call]:
        """The last calls, oldest first."""
        with self._lock:
            return list(self._calls)[-count:]

    def clear(self) -> None:
        with self._lock:
            self._calls.clear()
