"""Items by the words of a cell, so that finding one of 20,000 does not read them all.

An index is made when a column is first asked for, and kept up with every item that is written.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from sandbox.model import Board, Item

INDEXED_TYPES = ("name", "text", "email")
Reader = Callable[[Item], str]


def folded(words: str) -> str:
    """Words as they are compared: without case and outer spaces."""
    return words.strip().casefold()


@dataclass
class Index:
    """One column of one board: item ids by folded words."""

    read: Reader
    ids: dict[str, set[int]] = field(default_factory=dict)
    words: dict[int, str] = field(default_factory=dict)

    def put(self, item: Item) -> None:
        words = self.read(item)
        known = self.words.get(item.id)
        if known == words:
            return
        self.drop(item.id)
        self.words[item.id] = words
        self.ids.setdefault(words, set()).add(item.id)

    def drop(self, item_id: int) -> None:
        words = self.words.pop(item_id, None)
        if words is None:
            return
        self.ids[words].discard(item_id)
        if not self.ids[words]:
            del self.ids[words]


class Lookups:
    """The indexes of all boards. `items_of` gives a board's items in whatever state."""

    def __init__(self, items_of: Callable[[int], Iterable[Item]]) -> None:
        self._items_of = items_of
        self._indexes: dict[int, dict[str, Index]] = {}

    def find(self, board: Board, column_id: str, words: str) -> set[int] | None:
        """Ids of the items, in whatever state, whose cell says this; None for a type that is not indexed."""
        column = board.column(column_id)
        if column is None or column.type not in INDEXED_TYPES:
            return None
        indexes = self._indexes.setdefault(board.id, {})
        index = indexes.get(column_id)
        if index is None:
            index = indexes[column_id] = Index(_reader(column_id, column.type))
            for item in self._items_of(board.id):
                index.put(item)
        return index.ids.get(folded(words), set())

    def put(self, item: Item) -> None:
        """An item was written."""
        for index in self._indexes.get(item.board_id, {}).values():
            index.put(item)

    def drop(self, board_id: int, item_id: int) -> None:
        """An item left this board."""
        for index in self._indexes.get(board_id, {}).values():
            index.drop(item_id)

    def forget(self, board_id: int) -> None:
        """A board that never was."""
        self._indexes.pop(board_id, None)

    def clear(self) -> None:
        self._indexes.clear()


def _reader(column_id: str, column_type: str) -> Reader:
    if column_type == "name":
        return lambda item: folded(item.name)
    if column_type == "email":
        # Monday's filters compare with the label, not with the address.
        return lambda item: folded((item.raw(column_id) or {}).get("text", ""))
    return lambda item: folded(item.raw(column_id) or "")
