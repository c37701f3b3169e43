"""The board as a backfill reads it: page by page, and found again by NPD ID or match key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sync import account
from sync.connectors.monday.documents import first_page, next_page
from sync.connectors.monday.errors import CursorExpired
from sync.connectors.monday.items import Item, LookResult, parse_page
from sync.engine.reading import match_text, match_text_of_item, npd_id_of
from sync.engine.subjects import Batch, Board, Subject

LISTINGS = 3  # a listing is begun anew when its cursor expires, at most this often


def pages(board: Board, columns: Sequence[str]) -> Iterator[list[Item]]:
    """Yield the board's active items, 500 a call; after an expired cursor all of them again. Raises MondayError."""
    for listing in range(LISTINGS):
        try:
            yield from _pages(board, columns)
        except CursorExpired:
            if listing + 1 == LISTINGS:
                raise
        else:
            return


def _pages(board: Board, columns: Sequence[str]) -> Iterator[list[Item]]:
    page = parse_page(
        account.client().execute(*first_page(board.link.board_id, columns, types=board.types)), columns
    )
    yield page.items
    while page.cursor:
        page = parse_page(
            account.client().execute(*next_page(page.cursor, columns, types=board.types)), columns
        )
        yield page.items


@dataclass
class Index:
    """A board's items by what a record could find them by."""

    batch: Batch
    items: dict[str, Item] = field(default_factory=dict)
    calls: int = 0
    _by_npd_id: dict[str, list[Item]] = field(default_factory=dict)
    _by_match: dict[str, list[Item]] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Batch, tell: Callable[[int], None] = lambda items: None) -> Index:
        """List the whole board; raises MondayError. `tell` hears after each page how many items are known."""
        index, match = cls(batch), batch.board.match
        columns = [batch.board.link.npd_id_column]
        if match is not None and match.column_id != "name":
            columns.append(match.column_id)
        for items in pages(batch.board, columns):
            index.calls += 1
            for item in items:
                index.add(item)
            tell(len(index.items))
        return index

    def add(self, item: Item) -> None:
        """Know an item by its id, its NPD ID and its match key."""
        if item.id in self.items:
            return
        self.items[item.id] = item
        if npd_id := npd_id_of(self.batch.board, item):
            self._by_npd_id.setdefault(npd_id, []).append(item)
        if key := match_text_of_item(self.batch, item):
            self._by_match.setdefault(key, []).append(item)

    def hits(self, subjects: Sequence[Subject]) -> LookResult:
        """What a look at these records would find: by NPD ID, and by the match rule."""
        named = [item for s in subjects for item in self._by_npd_id.get(str(s.id), ())]
        keys = dict.fromkeys(match_text(self.batch, s) for s in subjects)
        matched = [item for key in keys if key for item in self._by_match.get(key, ())]
        return LookResult(by_npd_id=named, by_match=matched)
