"""What a test begins with, made once and put back for each further test: rows here, boards in the sandbox."""

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
    """Beginnings by name and by the models that are registered; a sandbox that was started anew has none yet."""

    def __init__(self) -> None:
        self.beginnings: dict[tuple[int, str], tuple[KeptRows, Any]] = {}
        self.times_made: Counter[tuple[int, str]] = Counter()

    def stand(self, sandbox: Sandbox, name: str, make: Callable[[], Any], *, since: int = 1) -> Any:
        """As after `make`, on both sides, and what it returned; the sandbox has forgotten its calls, faults and clock.

        Kept the `since`-th time that it is made: to keep takes as long as a pass, and some beginnings are one test's.
        """
        name = ", ".join([name, *(spec.entity_type for spec in registry.entities())])
        key = sandbox.life, name
        beginning = self.beginnings.get(key)
        if beginning:
            sandbox.control("restore", name=name)
            rows.empty()
            beginning[0].put_back()
            return beginning[1]
        result = make()
        self.times_made[key] += 1
        if self.times_made[key] >= since:
            sandbox.control("snapshot", name=name)
            sandbox.control("restore", name=name)  # or the first test alone would count the calls of `make`
            self.beginnings[key] = KeptRows(f"prepared_{len(self.beginnings)}"), result
        return result


class Stages:
    """The way from a beginning to where a test stands, as long as nothing but stages led there.

    Then a further stage is what it was in the test before, and is put back. Any other statement that writes, and any
    other word to the sandbox, ends that: what comes after it is made.
    """

    def __init__(self, prepared: Prepared, sandbox: Sandbox, way: str) -> None:
        self.prepared, self.sandbox, self.way = prepared, sandbox, way
        self.stay()

    def reach(self, name: str, make: Callable[[], Any]) -> Any:
        """As after `make`, and what it returned."""
        way = self._further(name)
        if not way:
            return make()
        result = self.prepared.stand(self.sandbox, way, make, since=2)
        self.way = way
        return result

    @contextmanager
    def alike(self, name: str) -> Iterator[None]:
        """What is done meanwhile is done so wherever it has this name, and takes no time: it is never put back."""
        way = self._further(name)
        yield
        self.way = way
        self.stay()

    def stay(self) -> None:
        """What was done until now belongs to the last stage."""
        self.moment = self._now()

    def _further(self, name: str) -> str:
        way = f"{self.way}; {name}" if self.way and self._now() == self.moment else ""
        self.way = ""
        return way

    def _now(self) -> tuple[int, int]:
        moment = fetch_rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]
        return int(moment), self.sandbox.changes
