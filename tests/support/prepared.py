"""What a test begins with, made once and put back for each further test: rows here, boards in the sandbox."""

from __future__ import annotations

from collections.abc import Callable

from sync import registry
from tests.support.rows import KeptRows
from tests.support.sandbox import Sandbox


class Prepared:
    """Beginnings by name and by the models that are registered; a sandbox that was started anew has none yet."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, str], KeptRows] = {}

    def stand(self, sandbox: Sandbox, pid: int, name: str, make: Callable[[], None]) -> None:
        """As after `make`, on both sides; database and sandbox are empty."""
        name = ", ".join([name, *(spec.entity_type for spec in registry.entities())])
        rows = self.kept.get((pid, name))
        if rows:
            sandbox.control("restore", name=name)
            rows.put_back()
            return
        make()
        sandbox.control("snapshot", name=name)
        self.kept[pid, name] = KeptRows(f"prepared_{len(self.kept)}")
