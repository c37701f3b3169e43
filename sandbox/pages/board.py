"""A board as a table: which items a page shows, a form for each cell, and what a typed text means in each column."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import quote, urlencode

from sandbox.columns import kind_of
from sandbox.columns.choice_kinds import board_ids
from sandbox.http import BadRequestError, Request, parse_int
from sandbox.model import NOBODY, Board, Column, Item, is_person, person
from sandbox.world import World

PAGE_SIZE = 50
STATES = {"active": "Items", "archived": "Archive", "deleted": "Trash"}
SORTS = {"changed": "Last changed first", "board": "Board order"}
NPD_ID_TITLE = "NPD ID"
NAME = Column("name", "Name", "name")


@dataclass(frozen=True)
class Refusal:
    """Why a form was not carried out, and what had been typed into it."""

    words: str
    item_id: int | None = None
    column_id: str = ""
    text: str = ""


class BoardPage:
    """What a request asks to see of a board; callers hold the world's lock."""

    def __init__(
        self, request: Request, world: World, board: Board, npd_url: str | None = None, refusal: Refusal | None = None
    ) -> None:
        self._world = world
        self._board = board
        self._npd_url = npd_url
        self._refusal = refusal
        query = request.query
        self._words = query.get("q", "").strip()
        self._sort = query.get("sort") if query.get("sort") in SORTS else "changed"
        at = query.get("at", "")
        self._focused = f"{refusal.item_id}-{refusal.column_id}" if refusal else at
        focused_item = world.items.get(parse_int(at.partition("-")[0]) or 0)
        state = query.get("state", focused_item.state if focused_item else "active")
        self._state = state if state in STATES else "active"
        self._columns = [column for column in board.visible_columns() if column.type != "name"]
        matching = self._matching()
        if focused_item in matching:
            self._page = matching.index(focused_item) // PAGE_SIZE + 1
        else:
            last = max(1, -(-len(matching) // PAGE_SIZE))
            self._page = min(parse_int(query.get("page", "1")) or 1, last)
        self._total = len(matching)
        self._items = matching[(self._page - 1) * PAGE_SIZE : self._page * PAGE_SIZE]

    def _matching(self) -> list[Item]:
        """The items of this state with the words in their name, id or a cell, in their order."""
        items = self._world.items_of(self._board.id, (self._state,))
        if self._words:
            items = [item for item in items if self._matches(item)]
        if self._sort == "changed":
            items = sorted(items, key=lambda item: (item.updated_at, -item.id), reverse=True)
        return items

    def _matches(self, item: Item) -> bool:
        words = self._words.casefold()
        texts = [item.name, *(kind_of(column.type).text(column, item.raw(column.id)) for column in self._columns)]
        return words == str(item.id) or any(words in text.casefold() for text in texts)

    # As HTML

    def html(self) -> str:
        return f"{self._toolbar()}{self._tabs()}{self._table()}{self._foot()}"

    def _toolbar(self) -> str:
        sorts = "".join(_option(key, words, key == self._sort) for key, words in SORTS.items())
        return f"""<div class="toolbar">
<form method="get" action="/board/{self._board.id}" role="search">
<input type="search" name="q" value="{escape(self._words)}" placeholder="Search items" aria-label="Search items">
<select name="sort" aria-label="Order">{sorts}</select>
<input type="hidden" name="state" value="{self._state}"><button>Show</button></form>
{self._add_form() if self._board.state == "active" else ""}</div>"""

    def _add_form(self) -> str:
        groups = self._board.visible_groups()
        choice = ""
        if len(groups) > 1:
            options = "".join(_option(group.id, group.title) for group in groups)
            choice = f'<select name="group" aria-label="Group of the new item">{options}</select>'
        return (
            f'<form method="post" action="{self._address()}"><input name="text" required maxlength="255" '
            f'placeholder="New item" aria-label="Name of the new item" autocomplete="off"> {choice}'
            '<button class="main" name="do" value="add">Add item</button></form>'
        )

    def _tabs(self) -> str:
        links = ""
        for state, words in STATES.items():
            count = len(self._world.items_of(self._board.id, (state,)))
            current = ' aria-current="page"' if state == self._state else ""
            links += f'<a href="{self._address(state=state, page=1)}"{current}>{words} {count:,}</a>'
        return f'<nav class="tabs" aria-label="Which items">{links}</nav>'

    def _table(self) -> str:
        if not self._items:
            return f'<p class="empty">{"No item matches." if self._words else "There are no items here."}</p>'
        titles = ["Name", *(column.title for column in self._columns), "Actions"]
        headings = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
        rows = "".join(self._row(item) for item in self._items)
        offers = "".join(self._offers(column) for column in self._columns)
        return (
            f'<div class="scroll"><table aria-label="Items of {escape(self._board.name)}">'
            f"<thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>{offers}"
        )

    def _offers(self, column: Column) -> str:
        """What the fields of a column suggest: its labels, or the items of the connected boards."""
        if column.type == "dropdown":
            names = [label["name"] for label in column.settings.get("labels", [])]
        elif column.type == "board_relation":
            names = [item.name for board_id in board_ids(column) for item in self._world.items_of(board_id)]
        else:
            return ""
        options = "".join(f'<option value="{escape(name)}">' for name in names)
        return f'<datalist id="offers-{escape(column.id)}">{options}</datalist>'

    def _row(self, item: Item) -> str:
        cells = "".join(
            f'<td data-title="{escape(column.title)}">{self._cell(item, column)}</td>' for column in self._columns
        )
        return (
            f'<tr id="item-{item.id}"><th scope="row" data-title="Name">{self._cell(item, NAME)}'
            f'<span class="mute">{" · ".join(self._remarks(item))}</span></th>{cells}'
            f'<td data-title="Actions">{self._actions(item)}</td></tr>'
        )

    def _remarks(self, item: Item) -> Iterator[str]:
        """Its record in NPD, its group, and who changed it last."""
        column = next((column for column in self._columns if column.title == NPD_ID_TITLE), None)
        npd_id = kind_of(column.type).text(column, item.raw(column.id)).strip() if column else ""
        if npd_id and self._npd_url:
            address = escape(f"{self._npd_url}/go/{quote(npd_id, safe='')}")
            yield f'<a href="{address}" aria-label="Open {escape(item.name)} in NPD">In NPD</a>'
        if len(self._board.visible_groups()) > 1:
            yield escape(next((group.title for group in self._board.groups if group.id == item.group_id), ""))
        # Items of a bulk load were always there: nobody changed them.
        if item.changed_by != NOBODY and is_person(item.changed_by):
            changed = datetime.strptime(item.updated_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            yield f"{escape(person(item.changed_by).name)} {changed:%H:%M:%S}"

    def _actions(self, item: Item) -> str:
        acts = {"archive": "Archive", "delete": "Delete"} if item.state == "active" else {"restore": "Restore"}
        buttons = " ".join(
            f'<button id="{item.id}-{act}" name="do" value="{act}" '
            f'aria-label="{words} {escape(item.name)}">{words}</button>'
            for act, words in acts.items()
        )
        return (
            f'<form method="post" action="{self._address()}"><input type="hidden" name="item" value="{item.id}">'
            f"{buttons}</form>"
        )

    def _cell(self, item: Item, column: Column) -> str:
        """A cell as a form that writes it alone; of an item that is not active, its words."""
        text = text_of(item, column)
        if item.state != "active":
            return f"<span>{escape(text)}</span>"
        key = f"{item.id}-{column.id}"
        if self._refusal and key == f"{self._refusal.item_id}-{self._refusal.column_id}":
            text = self._refusal.text
        attributes = f'id="{escape(key)}" aria-label="{escape(f"{column.title} of {item.name}")}"'
        if key == self._focused:
            attributes += " autofocus"
        return (
            f'<form class="cell" method="post" action="{self._address()}">'
            f'<input type="hidden" name="item" value="{item.id}">'
            f'<input type="hidden" name="column" value="{escape(column.id)}">{_field(column, text, attributes)}</form>'
        )

    def _foot(self) -> str:
        first = (self._page - 1) * PAGE_SIZE + 1
        words = f"{first:,}–{first + len(self._items) - 1:,} of {self._total:,}" if self._items else "0 items"
        links = ""
        if self._page > 1:
            links += f'<a href="{self._address(page=self._page - 1)}">Previous</a> '
        if self._page * PAGE_SIZE < self._total:
            links += f'<a href="{self._address(page=self._page + 1)}">Next</a>'
        return f'<p class="foot">{words} <span>{links}</span> <span class="mute">Enter saves a cell.</span></p>'

    def _address(self, **changes: str | int) -> str:
        """This page, or another state or page number of it, ready for an attribute."""
        query = {"q": self._words, "state": self._state, "sort": self._sort, "page": self._page}
        return escape(f"/board/{self._board.id}?{urlencode(query | changes)}")


def _field(column: Column, text: str, attributes: str) -> str:
    """What a person types into; a button saves it too."""
    save = '<button class="save" name="do" value="edit">Save</button>'
    if column.type == "checkbox":
        turned, mark = ("", "☑") if text else ("true", "☐")
        return (
            f'<input type="hidden" name="text" value="{turned}"><button {attributes} class="tick" name="do" '
            f'value="edit" aria-pressed="{"true" if text else "false"}">{mark}</button>'
        )
    if column.type == "status":
        labels = ["", *(label for label in column.settings.get("labels", {}).values() if label)]
        options = "".join(_option(label, label, label == text) for label in labels)
        return f'<select {attributes} name="text">{options}</select>{save}'
    if column.type == "long_text":
        return f'<textarea {attributes} name="text" rows="1">\n{escape(text)}</textarea>{save}'
    offers = f' list="offers-{escape(column.id)}"' if column.type in ("dropdown", "board_relation") else ""
    return f'<input {attributes} name="text" value="{escape(text)}"{offers} autocomplete="off">{save}'


def _option(value: str, words: str, selected: bool = False) -> str:
    return f'<option value="{escape(value)}"{" selected" if selected else ""}>{escape(words)}</option>'


def text_of(item: Item, column: Column) -> str:
    """A cell as it is typed: with what its column takes beside the address or number."""
    if column is NAME:
        return item.name
    raw = item.raw(column.id)
    if raw and column.type == "phone":
        return f"{raw['phone']} {raw['countryShortName']}".strip()
    if raw and column.type in ("link", "email"):
        address = raw["url" if column.type == "link" else "email"]
        return address if raw["text"] == address else f"{address} {raw['text']}"
    return kind_of(column.type).text(column, raw)


def value_of(world: World, column: Column, text: str) -> Any:
    """What `column_values` holds when a person typed this into a cell of the column; None clears it."""
    if not text:
        return None
    if column.type == "checkbox":
        return {"checked": text}
    if column.type == "status":
        # By its index: words that are digits would be read as one.
        labels = column.settings.get("labels", {})
        return next(({"index": index} for index, label in labels.items() if label == text), {"label": text})
    if column.type == "dropdown":
        return {"labels": [label.strip() for label in text.split(",") if label.strip()]}
    if column.type == "board_relation":
        return {"item_ids": _linked(world, column, text)}
    return text


def _linked(world: World, column: Column, text: str) -> list[int]:
    """The items of the connected boards that are called this, or these with commas between them."""
    ids = {item.name: item.id for board_id in board_ids(column) for item in world.items_of(board_id)}
    names = [text] if text in ids else [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise BadRequestError(f"No connected board has an item called {unknown[0]}")
    return [ids[name] for name in names]
