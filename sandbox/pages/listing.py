"""Which items of a board a page shows, in its groups, a hundred at a time."""

from collections import Counter
from collections.abc import Iterator
from html import escape
from itertools import groupby
from urllib.parse import urlencode

from sandbox.columns import kind_of
from sandbox.model import Board, Group, Item
from sandbox.pages.rows import Looks, groups_of, headings, row, shown_columns
from sandbox.web import Request, whole
from sandbox.world import World

PAGE_SIZE = 100
STATES = {"active": "Items", "archived": "Archive", "deleted": "Trash", "all": "All"}
EVERY_STATE = ("active", "archived", "deleted")
SORTS = {"changed": "Last changed first", "board": "Board order"}
SWATCHES = 7


class Listing:
    """What a request asks for, looked up; callers hold the world's lock."""

    def __init__(self, request: Request, world: World, board: Board, focused: Item | None) -> None:
        self._board = board
        self.words = request.query.get("q", "").strip()
        state = request.query.get("state", "active" if focused is None else focused.state)
        self.state = state if state in STATES else "active"
        self.sort = "board" if request.query.get("sort") == "board" else "changed"
        self._closed = frozenset(request.query.get("closed", "").split(",")) - {""}
        every = world.items_of(board.id, EVERY_STATE)
        self.counts = Counter(item.state for item in every)
        matching = self._matching(item for item in every if self.state in ("all", item.state))
        self._of_group = Counter(item.group_id for item in matching)
        found = self._in_order([item for item in matching if item.group_id not in self._closed])
        self._total, self._all = len(found), len(matching)
        self._page = self._page_number(request.query.get("page", "1"), found, focused)
        self.items = found[(self._page - 1) * PAGE_SIZE : self._page * PAGE_SIZE]

    def _matching(self, items: Iterator[Item]) -> list[Item]:
        """Those with the words in their name, id or a cell."""
        if not self.words:
            return list(items)
        wanted = self.words.casefold()
        columns = [(column, kind_of(column.type)) for column in shown_columns(self._board)]
        return [
            item
            for item in items
            if wanted in item.name.casefold()
            or wanted == str(item.id)
            or any(
                wanted in kind.text(column, raw).casefold()
                for column, kind in columns
                if (raw := item.raw(column.id)) is not None
            )
        ]

    def _in_order(self, items: list[Item]) -> list[Item]:
        if self.sort == "changed":
            items.sort(key=lambda item: (item.updated_at, -item.id), reverse=True)
        places = {group.id: place for place, group in enumerate(self._board.groups)}
        return sorted(items, key=lambda item: places.get(item.group_id, len(places)))

    def _page_number(self, asked: str, found: list[Item], focused: Item | None) -> int:
        if focused is not None and focused in found:
            return found.index(focused) // PAGE_SIZE + 1
        last = max(1, -(-self._total // PAGE_SIZE))
        return min(max(whole(asked) or 1, 1), last)

    # As HTML

    def html(self, looks: Looks) -> str:
        """The tabs, the table in its groups, and the foot."""
        groups = "".join(self._groups(looks))
        table = (
            f'<table class="stack" id="grid" role="grid" aria-label="Items of {escape(self._board.name)}" '
            f'data-groups="{escape(groups_of(self._board))}"><thead role="rowgroup">{headings(self._board)}'
            f"</thead>{groups}</table>"
        )
        return f'{self._tabs()}<div class="scroll">{table}{self._nothing()}</div>{self._foot()}'

    def _groups(self, looks: Looks) -> Iterator[str]:
        shown = {key: list(items) for key, items in groupby(self.items, key=lambda item: item.group_id)}
        for place, group in enumerate(self._board.groups):
            count = self._of_group[group.id]
            if count or (not group.deleted and not group.archived and not self.words):
                rows = "".join(row(self._board, item, looks) for item in shown.get(group.id, ()))
                if rows or group.id in self._closed or not count:
                    yield self._group(group, place, count, rows)

    def _group(self, group: Group, place: int, count: int, rows: str) -> str:
        name, key = escape(group.title), escape(group.id)
        is_open = "false" if group.id in self._closed else "true"
        words = "1 item" if count == 1 else f"{count:,} items"
        span = len(shown_columns(self._board)) + 1
        return (
            f'<tbody role="rowgroup" data-rows="{key}"><tr class="group" role="row">'
            f'<th role="rowheader" scope="rowgroup" colspan="{span}">'
            f'<button type="button" class="fold g{place % SWATCHES}" data-fold="{key}" aria-expanded="{is_open}">'
            f'{name} <span class="mute small">{words}</span></button></th></tr>{rows}</tbody>'
        )

    def _tabs(self) -> str:
        counts = self.counts | {"all": sum(self.counts.values())}
        tabs = "".join(
            f'<a href="{self._address(state=state, page=1)}" data-state="{state}"'
            f"{' aria-current=page' if state == self.state else ''}>{words} "
            f'<span class="mute" data-count="{state}">{counts.get(state, 0):,}</span></a>'
            for state, words in STATES.items()
        )
        return f'<nav class="tabs" aria-label="Which items">{tabs}</nav>'

    def _nothing(self) -> str:
        if self._all:
            return ""
        words = "No item matches." if self.words else NOTHING[self.state]
        hint = "Try other words, or All." if self.words else HINTS[self.state]
        return f'<div class="empty" id="nothing"><b>{words}</b><br><span class="mute">{hint}</span></div>'

    def _foot(self) -> str:
        first = (self._page - 1) * PAGE_SIZE + 1
        words = f"{first:,}–{first + len(self.items) - 1:,} of {self._total:,}" if self.items else "0 items"
        before = self._link(self._page - 1, "← Previous") if self._page > 1 else ""
        after = self._link(self._page + 1, "Next →") if self._page * PAGE_SIZE < self._total else ""
        return (
            f'<div class="footer small"><span class="mute">{words}</span>'
            f'<nav aria-label="Pages">{before}{after}</nav><span class="grow"></span>'
            '<span class="mute keys">arrows move · enter edits and saves · esc leaves · ctrl+z undoes</span></div>'
        )

    def _link(self, number: int, words: str) -> str:
        return f'<a class="button" href="{self._address(page=number)}">{words}</a>'

    def _address(self, **changed: str | int) -> str:
        """The page with another state or page number, ready for an attribute."""
        asked: dict[str, str | int] = {"q": self.words, "state": self.state, "sort": self.sort}
        if self._closed:
            asked["closed"] = ",".join(sorted(self._closed))
        return escape(f"/board/{self._board.id}?{urlencode(asked | changed)}")

    def toolbar(self) -> str:
        """The search, the order, and the form that adds an item."""
        sorts = "".join(
            f'<option value="{key}"{" selected" if key == self.sort else ""}>{words}</option>'
            for key, words in SORTS.items()
        )
        add = "" if self._board.state != "active" else self._add_form()
        return f"""<div class="toolbar"><form id="search" method="get" action="/board/{self._board.id}" role="search">
<label class="wide"><span class="unseen">Search items</span>
<input class="button" type="search" name="q" value="{escape(self.words)}"
placeholder="Search items" autocomplete="off"></label>
<label><span class="unseen">Order</span><select class="button" name="sort">{sorts}</select></label>
<input type="hidden" name="state" value="{self.state}"><noscript><button class="button">Show</button></noscript>
</form>{add}</div>"""

    def _add_form(self) -> str:
        groups = self._board.visible_groups()
        options = "".join(f'<option value="{escape(g.id)}">{escape(g.title)}</option>' for g in groups)
        choice = (
            f'<label><span class="unseen">Its group</span><select class="button" name="group">{options}'
            "</select></label>"
        )
        return f"""<form id="add"><label><span class="unseen">Name of the new item</span>
<input class="button" name="name" required maxlength="255" placeholder="New item" autocomplete="off"></label>
{choice if len(groups) > 1 else ""}<button class="button main">+ Item</button></form>"""


NOTHING = {
    "active": "There are no items here.",
    "archived": "Nothing is archived.",
    "deleted": "The trash is empty.",
    "all": "There are no items here.",
}
HINTS = {
    "active": "Add one with + Item, or let NPD Sync send its records.",
    "archived": "Archive an item with the ⋯ beside its name; it can be restored here.",
    "deleted": "Delete an item with the ⋯ beside its name; it can be restored here.",
    "all": "Add one with + Item, or let NPD Sync send its records.",
}
