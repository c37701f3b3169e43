"""The beginnings of tests, each made once and restored for further tests: rows here, boards in the sandbox."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sync import registry
from sync.kernel.db import fetch_rows
from tests.support import rows
from tests.support.rows import KeptRows
from tests.support.sandbox import Sandbox


class Prepared:
    """Beginnings by the sandbox's process, and by their name with the registered models."""

    def __init__(self) -> None:
        self.beginnings: dict[tuple[int, str], tuple[KeptRows, Any]] = {}
        self.times_made: Counter[tuple[int, str]] = Counter()

    def restore_or_make(self, sandbox: Sandbox, name: str, make: Callable[[], Any], *, keep_from: int = 1) -> Any:
        """Bring both sides to where `make` left them and return its result; reset the sandbox's calls, faults, clock.

        It is kept the `keep_from`-th time: keeping takes as long as a pass, and some beginnings serve only one test.
        """
        name = ", ".join([name, *(spec.entity_type for spec in registry.entities())])
        key = sandbox.pid, name
        beginning = self.beginnings.get(key)
        if beginning:
            kept_rows, result = beginning
            sandbox.control("restore", name=name)
            rows.empty()
            kept_rows.put_back()
            return result
        result = make()
        self.times_made[key] += 1
        if self.times_made[key] >= keep_from:
            sandbox.control("snapshot", name=name)
            sandbox.control("restore", name=name)  # or only the first test would count the calls of `make`
            self.beginnings[key] = KeptRows(f"prepared_{len(self.beginnings)}"), result
        return result


class Stages:
    """The stages by which a test came from its beginning to where it is now.

    If only stages led there, the next stage is restored from an earlier test. Any other statement that writes, and any
    other change of the sandbox, ends this: what comes after it is made.
    """

    def __init__(self, prepared: Prepared, sandbox: Sandbox, beginning: str) -> None:
        self.prepared, self.sandbox = prepared, sandbox
        self.path = beginning  # the names of the beginning and of the stages; empty once something else was done
        self.extend_last()

    def restore_or_make(self, name: str, make: Callable[[], Any]) -> Any:
        """Restore or make the stage, and return what `make` returned."""
        path = self._leave_for(name)
        if not path:
            return make()
        result = self.prepared.restore_or_make(self.sandbox, path, make, keep_from=2)
        self.path = path
        return result

    @contextmanager
    def count_as_stage(self, name: str) -> Iterator[None]:
        """Count what the block does as a stage of this name. It takes no time, so it is never restored."""
        path = self._leave_for(name)
        yield
        self.path = path
        self.extend_last()

    def extend_last(self) -> None:
        """Count what was done until now as part of the last stage."""
        self.changes = self._changes()

    def _leave_for(self, name: str) -> str:
        """Return the path with this stage, empty if something else was done; until it is reached there is no path."""
        path = f"{self.path}; {name}" if self.path and self._changes() == self.changes else ""
        self.path = ""
        return path

    def _changes(self) -> tuple[int, int]:
        """Return the number of the next transaction that writes, and how often the sandbox was changed."""
        transaction = fetch_rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]
        return int(transaction), self.sandbox.changes
