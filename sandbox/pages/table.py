"""The board's table: which items it shows, in its groups, a hundred at a time; each as a row of cells."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from itertools import groupby, islice
from typing import Any
from urllib.parse import quote, urlencode

from sandbox.columns import kind_of
from sandbox.columns.choice_kinds import allows_multiple, board_ids
from sandbox.http import BadRequestError, Request, parse_int
from sandbox.model import API_USER, NOBODY, Board, Column, Item, is_person, person
from sandbox.world import World

MOST_ITEMS = 30  # of a connected board, at once
MULTIPLE = ("dropdown", "board_relation")
MAKES_NEW = ("status", "dropdown")
COLOURS = 10


@dataclass(frozen=True)
class Choice:
    """`colour` is a place among the page's colours, None for none."""

    key: str
    name: str
    more: str = ""
    colour: int | None = None


def offered_choices(world: World, column: Column, words: str) -> dict[str, Any]:
    """What may be chosen for a cell of this column, among it what `words` find; callers hold the lock."""
    find = OFFERS.get(column.type)
    if find is None:
        raise BadRequestError(f"Nothing is picked for a column of type {column.type}")
    found = list(find(world, column, words.casefold()))
    return {
        "choices": [vars(choice) for choice in found],
        "multiple": column.type in MULTIPLE and (column.type != "board_relation" or allows_multiple(column)),
        "makes_new": column.type in MAKES_NEW,
        # The rest is too much to send at once: the page asks again for each search.
        "partial": column.type == "board_relation",
    }


def _items(world: World, column: Column, words: str) -> Iterable[Choice]:
    """Items of the connected boards whose names hold the words, not all of them at once."""
    boards = (world.boards[one] for one in board_ids(column) if one in world.boards)
    named = ((item, board) for board in boards for item in world.items_of(board.id) if words in item.name.casefold())
    return (Choice(str(item.id), item.name, board.name) for item, board in islice(named, MOST_ITEMS))


OFFERS: dict[str, Callable[[World, Column, str], Iterable[Choice]]] = {
    "status": lambda world, column, words: (
        Choice(index, label, colour=int(index) % COLOURS)
        for index, label in column.settings.get("labels", {}).items()
        if label
    ),
    "dropdown": lambda world, column, words: (
        Choice(str(label["id"]), label["name"]) for label in column.settings.get("labels", [])
    ),
    "board_relation": _items,
}


def chosen_keys(column: Column, raw: Any) -> list[str]:
    """The keys of what a cell holds."""
    return sorted(kind_of(column.type).choices(column, raw)) if column.type in OFFERS else []


def value_of(world: World, board_id: int, column_id: str, chosen: Any, made: Any) -> Any:
    """What `column_values` holds when these keys were chosen and these names newly made; null for nothing."""
    if not _is_words(chosen) or not _is_words(made):
        raise BadRequestError("chosen and made are lists of strings")
    column = world.boards[board_id].column(column_id)
    if column is None:
        raise BadRequestError(f"There is no column {column_id} on this board")
    make = VALUES.get(column.type)
    if made and column.type not in MAKES_NEW:
        raise BadRequestError(f"Nothing new is made for a column of type {column.type}")
    if make is None:
        raise BadRequestError(f"Nothing is picked for a column of type {column.type}")
    with world.transaction():
        return make(column, chosen, [name.strip() for name in made]) if chosen or made else None


def _is_words(given: Any) -> bool:
    return isinstance(given, list) and all(isinstance(one, str) for one in given)


def _dropdown_value(column: Column, chosen: list[str], made: list[str]) -> Any:
    if not made:
        return {"ids": chosen}
    names = {str(one["id"]): one["name"] for one in column.settings["labels"]}
    return {"labels": [names[key] for key in chosen if key in names] + made}


VALUES: dict[str, Callable[[Column, list[str], list[str]], Any]] = {
    "status": lambda column, chosen, made: {"label": made[-1]} if made else {"index": chosen[-1]},
    "dropdown": _dropdown_value,
    "board_relation": lambda column, chosen, made: {"item_ids": chosen},
}


NPD_ID_TITLE = "NPD ID"
SHORT = 12  # characters of an NPD ID that need no cutting
EMPTY = '<span class="mute">–</span>'


def cell(column: Column, item: Item) -> str:
    """A `<td>`; of an item that is not active, without the button that edits."""
    kind, raw = kind_of(column.type), item.raw(column.id)
    text, title = kind.text(column, raw), escape(column.title)
    shown = _cell_html(column, raw, text)
    frame = f'<td role="gridcell" data-title="{title}" class="of-{column.type}">'
    if item.state != "active":
        return f'{frame}<span class="still">{shown}</span></td>'
    words = f"{column.title} of {item.name}: {text or 'empty'}"
    held = ""  # for the cell's editor: the value as the API takes it, and the keys of what is picked
    if raw is not None:
        held += f' data-value="{escape(json.dumps(raw, ensure_ascii=False))}"'
    if column.type in OFFERS and (keys := chosen_keys(column, raw)):
        held += f' data-chosen="{escape(json.dumps(keys))}"'
    if column.type == "checkbox":
        held += f' aria-pressed="{"true" if raw else "false"}"'
    return (
        f'{frame}<button type="button" class="cell" tabindex="-1" data-column="{escape(column.id)}" '
        f'data-type="{column.type}"{held} aria-label="{escape(words)}">{shown}</button></td>'
    )


def _cell_html(column: Column, raw: Any, text: str) -> str:
    if column.type == "checkbox":
        return "☑" if text else '<span class="mute">☐</span>'
    if not text:
        return EMPTY
    if column.type == "status":
        return f'<span class="label c{raw["index"] % COLOURS}">{escape(text)}</span>'
    if column.type in ("dropdown", "board_relation"):
        mark, names = {"board_relation": "↗ "}.get(column.type, ""), text.split(", ")
        chips = "".join(f'<span class="chip">{mark}{escape(name)}</span>' for name in names[:3])
        more = f'<span class="chip">+{len(names) - 3}</span>' if len(names) > 3 else ""
        return f'<span class="chips" title="{escape(text)}">{chips}{more}</span>'
    short = raw["text"] if column.type == "link" else text
    if column.title == NPD_ID_TITLE and len(text) > SHORT:
        short = f"{text[:8]}…"
    return f'<span class="clip" title="{escape(text)}">{escape(short)}</span>'


# One item as a row of the board's table.


FRESH_SECONDS = 10
STATE_WORDS = {"archived": "archived", "deleted": "in the trash"}


@dataclass(frozen=True)
class RowStyle:
    now: datetime
    npd_url: str | None = None
    focused: int | None = None


def row(board: Board, item: Item, looks: RowStyle) -> str:
    cells = "".join(cell(column, item) for column in shown_columns(board))
    changed = datetime.strptime(item.updated_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    # Items of a bulk load were always there: nobody changed them.
    fresh = item.changed_by != NOBODY and abs((looks.now - changed).total_seconds()) < FRESH_SECONDS
    by_npd = item.changed_by == API_USER.id
    who = escape(person(item.changed_by).name) if is_person(item.changed_by) else ""
    mark = f'<span class="tag {"ok" if by_npd else ""} just">just now · {who}</span>' if fresh else ""
    classes = " ".join(
        name
        for name, on in (
            ("fresh", fresh),
            ("by-npd", fresh and by_npd),
            ("focused", item.id == looks.focused),
            ("gone", item.state != "active"),
        )
        if on
    )
    about = f'data-item="{item.id}" data-state="{item.state}" data-group="{escape(item.group_id)}" data-by="{who}"'
    name = escape(item.name)
    if item.state == "active":
        shown = (
            f'<button type="button" class="cell" tabindex="-1" data-column="name" data-type="name" '
            f'data-value="{escape(json.dumps(item.name, ensure_ascii=False))}" aria-label="Name: {name}">{name}'
            "</button>"
        )
        action = (
            f'<button type="button" class="button quiet stop more" tabindex="-1" data-menu aria-haspopup="menu" '
            f'aria-label="More for {name}">⋯</button>'
        )
    else:
        shown = f'<span class="still">{name}</span> <span class="tag bad">{STATE_WORDS[item.state]}</span>'
        action = (
            f'<button type="button" class="button quiet stop" tabindex="-1" data-action="restore" '
            f'aria-label="Restore {name}">Restore</button>'
        )
    return (
        f'<tr id="item-{item.id}" class="{classes}" role="row" {about}>'
        f'<th scope="row" role="rowheader" data-title="Item">{shown}'
        f'<span class="under small">{_npd(board, item, looks)}{mark}{action}</span></th>{cells}</tr>'
    )


def shown_columns(board: Board) -> list[Column]:
    """The columns of the table, the item's name left out."""
    return [column for column in board.visible_columns() if column.type != "name"]


def headings(board: Board) -> str:
    titles = ["Item", *(column.title for column in shown_columns(board))]
    cells = "".join(f'<th scope="col" role="columnheader">{escape(title)}</th>' for title in titles)
    return f'<tr role="row">{cells}</tr>'


def groups_of(board: Board) -> str:
    return json.dumps([{"id": group.id, "title": group.title} for group in board.visible_groups()])


def _npd(board: Board, item: Item, looks: RowStyle) -> str:
    waiting = '<span class="tag warn waiting" hidden></span>'
    npd_id = npd_id_of(board, item)
    if not npd_id:
        return f'<span class="mute">not linked</span> {waiting}'
    if looks.npd_url is None:
        return f'<span class="mute">linked</span> {waiting}'
    address = f"{looks.npd_url}/go/{quote(npd_id, safe='')}"
    words = f"Open {item.name} in NPD"
    link = f'<a class="stop" href="{escape(address)}" tabindex="-1" aria-label="{escape(words)}">In NPD ↗</a>'
    return f"{link} {waiting}"


def npd_id_of(board: Board, item: Item) -> str:
    """The text of the column titled "NPD ID", "" where there is none."""
    column = next((c for c in board.visible_columns() if c.title == NPD_ID_TITLE), None)
    return kind_of(column.type).text(column, item.raw(column.id)).strip() if column else ""


# Which items of a board a page shows, in its groups, a hundred at a time.


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
        found = [item for item in matching if item.group_id not in self._closed]
        if self.sort == "changed":
            found.sort(key=lambda item: (item.updated_at, -item.id), reverse=True)
        places = {group.id: place for place, group in enumerate(board.groups)}
        found.sort(key=lambda item: places.get(item.group_id, len(places)))
        self._total, self._all = len(found), len(matching)
        if focused is not None and focused in found:
            self._page = found.index(focused) // PAGE_SIZE + 1
        else:
            last = max(1, -(-self._total // PAGE_SIZE))
            self._page = min(max(parse_int(request.query.get("page", "1")) or 1, 1), last)
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

    # As HTML

    def html(self, looks: RowStyle) -> str:
        """The tabs, the table in its groups, and the foot."""
        counts = self.counts | {"all": sum(self.counts.values())}
        tabs = "".join(
            f'<a href="{self._address(state=state, page=1)}" data-state="{state}"'
            f"{' aria-current=page' if state == self.state else ''}>{words} "
            f'<span class="mute" data-count="{state}">{counts.get(state, 0):,}</span></a>'
            for state, words in STATES.items()
        )
        nothing = ""
        if not self._all:
            words = "No item matches." if self.words else NOTHING[self.state]
            hint = "Try other words, or All." if self.words else HINTS[self.state]
            nothing = f'<div class="empty" id="nothing"><b>{words}</b><br><span class="mute">{hint}</span></div>'
        groups = "".join(self._groups(looks))
        table = (
            f'<table class="stack" id="grid" role="grid" aria-label="Items of {escape(self._board.name)}" '
            f'data-groups="{escape(groups_of(self._board))}"><thead role="rowgroup">{headings(self._board)}'
            f"</thead>{groups}</table>"
        )
        return (
            f'<nav class="tabs" aria-label="Which items">{tabs}</nav>'
            f'<div class="scroll">{table}{nothing}</div>{self._foot()}'
        )

    def _groups(self, looks: RowStyle) -> Iterator[str]:
        span = len(shown_columns(self._board)) + 1
        shown = {key: list(items) for key, items in groupby(self.items, key=lambda item: item.group_id)}
        for place, group in enumerate(self._board.groups):
            count = self._of_group[group.id]
            if not count and (group.deleted or group.archived or self.words):
                continue
            rows = "".join(row(self._board, item, looks) for item in shown.get(group.id, ()))
            if count and not rows and group.id not in self._closed:
                continue  # its items are on another page
            name, key = escape(group.title), escape(group.id)
            is_open = "false" if group.id in self._closed else "true"
            words = "1 item" if count == 1 else f"{count:,} items"
            yield (
                f'<tbody role="rowgroup" data-rows="{key}"><tr class="group" role="row">'
                f'<th role="rowheader" scope="rowgroup" colspan="{span}">'
                f'<button type="button" class="fold g{place % SWATCHES}" data-fold="{key}" aria-expanded="{is_open}">'
                f'{name} <span class="mute small">{words}</span></button></th></tr>{rows}</tbody>'
            )

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
        groups, add = self._board.visible_groups(), ""
        if self._board.state == "active":
            options = "".join(f'<option value="{escape(g.id)}">{escape(g.title)}</option>' for g in groups)
            choice = (
                f'<label><span class="unseen">Its group</span><select class="button" name="group">{options}'
                "</select></label>"
            )
            add = f"""<form id="add"><label><span class="unseen">Name of the new item</span>
<input class="button" name="name" required maxlength="255" placeholder="New item" autocomplete="off"></label>
{choice if len(groups) > 1 else ""}<button class="button main">+ Item</button></form>"""
        return f"""<div class="toolbar"><form id="search" method="get" action="/board/{self._board.id}" role="search">
<label class="wide"><span class="unseen">Search items</span>
<input class="button" type="search" name="q" value="{escape(self.words)}"
placeholder="Search items" autocomplete="off"></label>
<label><span class="unseen">Order</span><select class="button" name="sort">{sorts}</select></label>
<input type="hidden" name="state" value="{self.state}"><noscript><button class="button">Show</button></noscript>
</form>{add}</div>"""


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
