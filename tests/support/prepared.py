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
    """Beginnings by name and registered models; a restarted sandbox has none yet."""

    def __init__(self) -> None:
        self.beginnings: dict[tuple[int, str], tuple[KeptRows, Any]] = {}
        self.times_made: Counter[tuple[int, str]] = Counter()

    def stand(self, sandbox: Sandbox, name: str, make: Callable[[], Any], *, since: int = 1) -> Any:
        """Bring both sides to where `make` left them and return its result; reset the sandbox's calls, faults, clock.

        It is kept the `since`-th time: keeping takes as long as a pass, and some beginnings serve only one test.
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
            sandbox.control("restore", name=name)  # or only the first test would count the calls of `make`
            self.beginnings[key] = KeptRows(f"prepared_{len(self.beginnings)}"), result
        return result


class Stages:
    """The stages by which a test came from its beginning to where it stands.

    If only stages led there, a further stage is restored from an earlier test. Any other statement that writes, and any
    other change of the sandbox, ends this: what comes after it is made.
    """

    def __init__(self, prepared: Prepared, sandbox: Sandbox, way: str) -> None:
        self.prepared, self.sandbox, self.way = prepared, sandbox, way
        self.stay()

    def reach(self, name: str, make: Callable[[], Any]) -> Any:
        """Restore or make the stage, and return what `make` returned."""
        way = self._further(name)
        if not way:
            return make()
        result = self.prepared.stand(self.sandbox, way, make, since=2)
        self.way = way
        return result

    @contextmanager
    def alike(self, name: str) -> Iterator[None]:
        """Count what the block does as a stage of this name. It takes no time, so it is never restored."""
        way = self._further(name)
        yield
        self.way = way
        self.stay()

    def stay(self) -> None:
        """Count what was done until now as part of the last stage."""
        self.moment = self._now()

    def _further(self, name: str) -> str:
        way = f"{self.way}; {name}" if self.way and self._now() == self.moment else ""
        self.way = ""
        return way

    def _now(self) -> tuple[int, int]:
        moment = fetch_rows("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")[0][0]
        return int(moment), self.sandbox.changes
