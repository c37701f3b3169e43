"""The points at which a forked worker can be killed or stopped: each commit, each call before it goes, each answer."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from requests.adapters import HTTPAdapter

MUTATION, QUERY, ANSWER = "a mutation about to go", "a query about to go", "an answer"
WRITES = ("INSERT", "UPDATE", "DELETE")


class Points:
    """Counts points; at the `at`-th it reports, then kills (SIGKILL) or stops (SIGSTOP) its own process."""

    def __init__(
        self, at: int | None, number: signal.Signals, tell: Callable[[str, int], None], only: str = ""
    ) -> None:
        self.at, self.number, self.tell, self.only = at, number, tell, only
        self.count = self.meant = 0

    def reached(self, name: str) -> None:
        """Count a point; with `only`, `at` counts just the points of that name."""
        self.count += 1
        if self.only not in ("", name):
            return
        self.meant += 1
        if self.meant == self.at:
            self.tell(name, self.count)
            os.kill(os.getpid(), self.number)

    def install(self) -> None:
        self._after(BaseDatabaseWrapper, "commit", "a commit")
        self._around_calls()
        connection_created.connect(self._listen, weak=False)

    def _after(self, owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        @wraps(original)
        def counted(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            self.reached(name)
            return answer

        setattr(owner, method, counted)

    def _around_calls(self) -> None:
        original = HTTPAdapter.send

        @wraps(original)
        def counted(adapter: HTTPAdapter, request: Any, *args: Any, **kwargs: Any) -> Any:
            mutation = b"mutation" in bytes(request.body or b"")[:40]
            self.reached(MUTATION if mutation else QUERY)
            answer = original(adapter, request, *args, **kwargs)
            self.reached(ANSWER)
            return answer

        HTTPAdapter.send = counted  # type: ignore[assignment,method-assign]

    def _listen(self, connection: Any, **kwargs: Any) -> None:
        """Count a write outside a transaction as a commit."""

        def after_write(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            answer = execute(sql, params, many, context)
            if not connection.in_atomic_block and str(sql).lstrip().upper().startswith(WRITES):
                self.reached("a commit")
            return answer

        connection.execute_wrappers.append(after_write)
