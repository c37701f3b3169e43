"""The pages for a person who plays the Monday user: boards as tables of forms, and faults & tools.

The server renders all HTML; `page.js` only loads a page again to show what others changed.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from sandbox import model, operations, web
from sandbox.api_errors import FieldError
from sandbox.columns import board_ids, kind_of
from sandbox.operations import column_of
from sandbox.pages.faults import FaultsPage
from sandbox.world import World

PAGE_SIZE = 50
STATES = {"active": "Items", "archived": "Archive", "deleted": "Trash"}
NPD_ID_TITLE = "NPD ID"
NAME = model.Column("name", "Name", "name")


@dataclass(frozen=True)
class CellForm:
    """The form of one cell, as a person sent it."""

    item_id: int | None
    column_id: str
    text: str
    refusal: str = ""  # why it was not carried out


class BoardPage:
    """The page of a board with search, state and page number from the request; callers hold the world's lock."""

    def __init__(
        self,
        request: web.Request,
        world: World,
        board: model.Board,
        npd_url: str | None = None,
        refused: CellForm | None = None,
    ) -> None:
        self._world = world
        self._board = board
        self._npd_url = npd_url
        self._refused = refused
        query = request.query
        self._words = query.get("q", "").strip()
        at = query.get("at", "")
        self._focused = f"{refused.item_id}-{refused.column_id}" if refused else at
        focused_item = world.items.get(web.parse_int(at.partition("-")[0]) or 0)
        state = query.get("state", focused_item.state if focused_item else "active")
        self._state = state if state in STATES else "active"
        self._columns = [column for column in board.active_columns() if column.type != "name"]
        # The items with the searched words in their name or a cell, or as their id.
        words = self._words.casefold()
        items = []
        for item in world.items_of(board.id, (self._state,)):
            texts = [item.name, *(kind_of(column.type).text(column, item.raw(column.id)) for column in self._columns)]
            if words == str(item.id) or any(words in text.casefold() for text in texts):
                items.append(item)
        # Those that were changed last first.
        items.sort(key=lambda item: (item.updated_at, -item.id), reverse=True)
        # The page on which the item of the last form is, so that the focus stays on it.
        if focused_item in items:
            self._page = items.index(focused_item) // PAGE_SIZE + 1
        else:
            last = max(1, -(-len(items) // PAGE_SIZE))
            self._page = min(web.parse_int(query.get("page", "1")) or 1, last)
        self._total = len(items)
        self._items = items[(self._page - 1) * PAGE_SIZE : self._page * PAGE_SIZE]

    def html(self) -> str:
        # The search, and the form for a new item, which only an active board takes.
        add_form = ""
        if self._board.state == "active":
            add_form = (
                f'<form method="post" action="{self._address()}"><input name="text" required maxlength="255" '
                f'placeholder="New item" aria-label="Name of the new item" autocomplete="off"> '
                '<button class="main" name="do" value="add">Add item</button></form>'
            )
        toolbar = f"""<div class="toolbar">
<form method="get" action="/board/{self._board.id}" role="search">
<input type="search" name="q" value="{escape(self._words)}" placeholder="Search items" aria-label="Search items">
<input type="hidden" name="state" value="{self._state}"><button>Show</button></form>
{add_form}</div>"""
        tabs = ""
        for state, words in STATES.items():
            count = len(self._world.items_of(self._board.id, (state,)))
            current = ' aria-current="page"' if state == self._state else ""
            tabs += f'<a href="{self._address(state=state, page=1)}"{current}>{words} {count:,}</a>'
        tabs = f'<nav class="tabs" aria-label="Which items">{tabs}</nav>'
        first = (self._page - 1) * PAGE_SIZE + 1
        shown = f"{first:,}–{first + len(self._items) - 1:,} of {self._total:,}" if self._items else "0 items"
        links = ""
        if self._page > 1:
            links += f'<a href="{self._address(page=self._page - 1)}">Previous</a> '
        if self._page * PAGE_SIZE < self._total:
            links += f'<a href="{self._address(page=self._page + 1)}">Next</a>'
        foot = f'<p class="foot">{shown} <span>{links}</span> <span class="mute">Enter saves a cell.</span></p>'
        return f"{toolbar}{tabs}{self._table()}{foot}"

    def _table(self) -> str:
        if not self._items:
            return f'<p class="empty">{"No item matches." if self._words else "There are no items here."}</p>'
        titles = ["Name", *(column.title for column in self._columns), "Actions"]
        headings = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
        rows = "".join(self._row(item) for item in self._items)
        return (
            f'<div class="scroll"><table aria-label="Items of {escape(self._board.name)}">'
            f"<thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table></div>"
        )

    def _row(self, item: model.Item) -> str:
        cells = "".join(
            f'<td data-title="{escape(column.title)}">{self._cell(item, column)}</td>' for column in self._columns
        )
        acts = {"archive": "Archive", "delete": "Delete"} if item.state == "active" else {"restore": "Restore"}
        buttons = " ".join(
            f'<button id="{item.id}-{act}" name="do" value="{act}" '
            f'aria-label="{words} {escape(item.name)}">{words}</button>'
            for act, words in acts.items()
        )
        # A link to the item's record in NPD, and who changed it last.
        remarks = []
        column = next((column for column in self._columns if column.title == NPD_ID_TITLE), None)
        npd_id = kind_of(column.type).text(column, item.raw(column.id)).strip() if column else ""
        if npd_id and self._npd_url:
            address = escape(f"{self._npd_url}/go/{quote(npd_id, safe='')}")
            remarks.append(f'<a href="{address}" aria-label="Open {escape(item.name)} in NPD">In NPD</a>')
        # Nobody changed the items of a bulk load.
        if item.changed_by != model.NOBODY_ID and model.is_person(item.changed_by):
            changed = datetime.strptime(item.updated_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            remarks.append(f"{escape(model.person(item.changed_by).name)} {changed:%H:%M:%S}")
        return (
            f'<tr id="item-{item.id}"><th scope="row" data-title="Name">{self._cell(item, NAME)}'
            f'<span class="mute">{" · ".join(remarks)}</span></th>{cells}'
            f'<td data-title="Actions"><form method="post" action="{self._address()}">'
            f'<input type="hidden" name="item" value="{item.id}">{buttons}</form></td></tr>'
        )

    def _cell(self, item: model.Item, column: model.Column) -> str:
        """Return a cell as its own form, or its text for an item that isn't active."""
        text = text_of(item, column)
        if item.state != "active":
            return f"<span>{escape(text)}</span>"
        key = f"{item.id}-{column.id}"
        if self._refused and key == self._focused:
            text = self._refused.text
        attributes = f'id="{escape(key)}" aria-label="{escape(f"{column.title} of {item.name}")}"'
        if key == self._focused:
            attributes += " autofocus"
        field = '<button class="save" name="do" value="edit">Save</button>'
        if column.type == "checkbox":
            new_value, mark = ("", "☑") if text else ("true", "☐")
            field = (
                f'<input type="hidden" name="text" value="{new_value}"><button {attributes} class="tick" name="do" '
                f'value="edit" aria-pressed="{"true" if text else "false"}">{mark}</button>'
            )
        elif column.type == "status":
            labels = ["", *(label for label in column.settings.get("labels", {}).values() if label)]
            options = "".join(_option(label, label, label == text) for label in labels)
            field = f'<select {attributes} name="text">{options}</select>{field}'
        elif column.type == "long_text":
            field = f'<textarea {attributes} name="text" rows="1">\n{escape(text)}</textarea>{field}'
        else:
            field = f'<input {attributes} name="text" value="{escape(text)}" autocomplete="off">{field}'
        return (
            f'<form class="cell" method="post" action="{self._address()}">'
            f'<input type="hidden" name="item" value="{item.id}">'
            f'<input type="hidden" name="column" value="{escape(column.id)}">{field}</form>'
        )

    def _address(self, **changes: str | int) -> str:
        """Return the address of this page with these changes, escaped for an attribute."""
        query = {"q": self._words, "state": self._state, "page": self._page}
        return escape(f"/board/{self._board.id}?{urlencode(query | changes)}")


def _option(value: str, words: str, selected: bool = False) -> str:
    return f'<option value="{escape(value)}"{" selected" if selected else ""}>{escape(words)}</option>'


def text_of(item: model.Item, column: model.Column) -> str:
    """Return a cell's text as a person types it: with the label of an address, or the country of a number."""
    if column is NAME:
        return item.name
    raw = item.raw(column.id)
    if raw and column.type == "phone":
        return f"{raw['phone']} {raw['countryShortName']}".strip()
    if raw and column.type in ("link", "email"):
        address = raw["url" if column.type == "link" else "email"]
        return address if raw["text"] == address else f"{address} {raw['text']}"
    return kind_of(column.type).text(column, raw)


def value_of(world: World, column: model.Column, text: str) -> Any:
    """Return the value for `column_values` of a text that a person typed into a cell; None clears it."""
    if not text:
        return None
    if column.type == "checkbox":
        return {"checked": text}
    if column.type == "status":
        # By its index, because a label of digits would be read as an index.
        labels = column.settings.get("labels", {})
        return next(({"index": index} for index, label in labels.items() if label == text), {"label": text})
    if column.type == "dropdown":
        return {"labels": [label.strip() for label in text.split(",") if label.strip()]}
    if column.type == "board_relation":
        ids = {item.name: item.id for board_id in board_ids(column) for item in world.items_of(board_id)}
        # A name may have a comma itself.
        names = [text] if text in ids else [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in ids]:
            raise web.BadRequestError(f"No connected board has an item called {unknown[0]}")
        return {"item_ids": [ids[name] for name in names]}
    return text


STATE_OF_ACT = {"archive": "archived", "delete": "deleted", "restore": "active"}
STATIC = Path(__file__).parent / "static"
TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
POLICY = "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Pages:
    def __init__(self, world: World, faults: FaultsPage, npd_url: str | None) -> None:
        self._world = world
        self._faults = faults
        self._npd_url = npd_url

    def routes(self) -> list[web.Route]:
        return [
            web.route("GET", "/", self.boards),
            web.route("GET", "/board/<id>", self.board),
            web.route("POST", "/board/<id>", self.change),
            web.route("GET", "/board/<id>/pulses/<id>", self.item),
            web.route("GET", "/faults", self.faults),
            web.route("POST", "/faults", self.press),
            *(web.route("GET", f"/static/{name}", partial(asset, name)) for name in TYPES),
        ]

    def boards(self, request: web.Request) -> web.Response:
        with self._world.read_lock():
            lines = ""
            for board in self._world.boards.values():
                state = f" · {board.state}" if board.state != "active" else ""
                count = self._world.active_count(board.id)
                lines += (
                    f'<li><a href="/board/{board.id}">{escape(board.name)}</a> '
                    f'<span class="mute">{count:,} items · board {board.id}{state}</span></li>'
                )
        return page("Boards", f"<h1>Boards</h1><ul>{lines}</ul>" if lines else NO_BOARDS)

    def item(self, request: web.Request, board_id: int, item_id: int) -> web.Response:
        """Show the board's page on which this item is, with the focus on the item."""
        with self._world.read_lock():
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return page("Not found", f"<h1>There is no item {item_id} on this board.</h1>", 404)
        request.query["at"] = f"{item_id}-{NAME.id}"
        return self.board(request, board_id)

    def board(self, request: web.Request, board_id: int, refused: CellForm | None = None) -> web.Response:
        with self._world.read_lock():
            board = self._world.boards.get(board_id)
            if board is None:
                return page("Not found", f"<h1>There is no board {board_id}.</h1>", 404)
            table = BoardPage(request, self._world, board, self._npd_url, refused).html()
        state = f" ({board.state})" if board.state != "active" else ""
        message = f'<p class="refused" role="alert">{escape(refused.refusal)}</p>' if refused else ""
        body = f"<h1>{escape(board.name)}{state}</h1>{message}{table}"
        return page(board.name, body, 400 if refused else 200)

    def change(self, request: web.Request, board_id: int) -> web.Response:
        """Carry out a form of the board's page, and show the page again."""
        form = request.form()
        text = form.get("text", "").replace("\r\n", "\n").strip()
        cell = CellForm(web.parse_int(form.get("item", "")), form.get("column", ""), text)
        try:
            at = self._change(board_id, form.get("do", "edit"), cell)
        except (FieldError, web.BadRequestError) as error:
            return self.board(request, board_id, replace(cell, refusal=str(error)))
        query = {key: value for key, value in request.query.items() if key != "at"} | ({"at": at} if at else {})
        return web.Response(303, b"", {"Location": f"/board/{board_id}?{urlencode(query)}"})

    def _change(self, board_id: int, do: str, cell: CellForm) -> str:
        """Do what a form asks for; return the cell that gets the focus next."""
        world = self._world
        if do == "add":
            item = operations.create_item(world, model.MAYA_ID, board_id, {"name": cell.text})
            return f"{item.id}-{NAME.id}"
        if do in STATE_OF_ACT:
            operations.set_state(world, model.MAYA_ID, cell.item_id, STATE_OF_ACT[do])
            return ""
        item = world.item(cell.item_id)
        column = NAME if cell.column_id == NAME.id else column_of(world.boards[item.board_id], cell.column_id)
        if cell.text != text_of(item, column):
            with world.read_lock():
                value = cell.text if column is NAME else value_of(world, column, cell.text)
            operations.change_values(world, model.MAYA_ID, item, {column.id: value}, create_labels=True)
        return f"{item.id}-{column.id}"

    def faults(self, request: web.Request) -> web.Response:
        return page("Faults & tools", self._faults.html())

    def press(self, request: web.Request) -> web.Response:
        form = request.form()
        self._faults.press(form.get("do", ""), form.get("choice", ""))
        return web.Response(303, b"", {"Location": "/faults"})


def page(title: str, main: str, status: int = 200) -> web.Response:
    """Return a whole page; `main` is HTML."""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · Monday sandbox</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/page.css">
<script src="/static/page.js" defer></script>
</head>
<body>
<header><nav aria-label="Sandbox"><a href="/">Monday sandbox</a> <a href="/faults">Faults &amp; tools</a></nav>
<p>This plays Monday.com on this machine. Nothing here reaches Monday.com.</p></header>
<main>{main}</main>
</body>
</html>
"""
    response = web.html_response(text, status)
    return web.Response(response.status, response.body, response.headers | HEADERS)


def asset(name: str, request: web.Request) -> web.Response:
    headers = {"Content-Type": f"{TYPES[name]}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.Response(200, (STATIC / name).read_bytes(), headers)


NO_BOARDS = """<h1>There are no boards yet.</h1>
<p>NPD Sync makes its boards here with <code>manage.py monday_setup</code>; <code>make run</code> does that by itself.
So can any program that speaks Monday's API.</p>"""
