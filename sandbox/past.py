"""Items as they were before the API changed them: what a read that lags behind shows.

Monday's reads may be behind its writes: `boards(latest: true)` exists to bring "the latest data" (its schema).
"""

from dataclasses import replace

from sandbox.clock import Clock
from sandbox.model import Item


class Past:
    """Earlier versions of items, kept while a fault asks for stale reads. Callers hold the world's lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._before: dict[int, list[tuple[float, Item | None]]] = {}

    def keep(self, item: Item) -> None:
        """Remember an item that is about to change."""
        self._at_now(item.id, replace(item, cells=dict(item.cells)))

    def was_not_there(self, item: Item) -> None:
        """Remember that an item was made just now."""
        self._at_now(item.id, None)

    def _at_now(self, item_id: int, version: Item | None) -> None:
        self._before.setdefault(item_id, []).append((self._clock.time(), version))

    def of(self, items: list[Item], seconds: float) -> list[Item]:
        """These items as they were so many seconds ago; those that were not there yet are left out."""
        since = self._clock.time() - seconds
        versions = (self._version(item, since) for item in items)
        return [version for version in versions if version is not None]

    def _version(self, item: Item, since: float) -> Item | None:
        """The version that the first change after `since` replaced."""
        for moment, version in self._before.get(item.id, ()):
            if moment > since:
                return version
        return item

    def clear(self) -> None:
        """Forget all of it."""
        self._before.clear()
