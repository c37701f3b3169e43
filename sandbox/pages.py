"""The pages for a person who plays the Monday user: boards as tables of forms, and faults & tools.

The server renders all HTML; `page.js` only loads a page again to show what others changed.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from sandbox import model, operations, web, webhooks
from sandbox.api import Call
from sandbox.api_errors import FieldError
from sandbox.columns import connected_board_ids, kind_of
from sandbox.control import Control
from sandbox.model import World
from sandbox.operations import column_of

PAGE_SIZE = 50
STATE_TABS = {"active": "Items", "archived": "Archive", "deleted": "Trash"}
NPD_ID_TITLE = "NPD ID"
NAME = model.Column("name", "Name", "name")


@dataclass(frozen=True)
class CellForm:
    """A form of a board's page, as a person sent it: for a cell, an item, or a new item."""

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
        at = query.get("at", "")  # the cell with the focus: item id, “-”, column id
        self._focused = f"{refused.item_id}-{refused.column_id}" if refused else at
        focused_item = world.items.get(web.parse_int(at.partition("-")[0]) or 0)
        state = query.get("state", focused_item.state if focused_item else "active")
        self._state = state if state in STATE_TABS else "active"
        self._columns = [column for column in board.active_columns() if column.type != "name"]
        # The items with the searched words in their name or a cell, or as their id.
        words = self._words.casefold()
        items = []
        for item in world.items_of(board.id, (self._state,)):
            texts = [item.name, *(kind_of(column.type).text(column, item.raw(column.id)) for column in self._columns)]
            if words == str(item.id) or any(words in text.casefold() for text in texts):
                items.append(item)
        # The latest change first.
        items.sort(key=lambda item: (item.updated_at, -item.id), reverse=True)
        # The page on which the item of the last form is, so that the focus stays on it.
        if focused_item in items:
            self._page = items.index(focused_item) // PAGE_SIZE + 1
        else:
            last = max(0, len(items) - 1) // PAGE_SIZE + 1
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
        for state, words in STATE_TABS.items():
            count = len(self._world.items_of(self._board.id, (state,)))
            current = ' aria-current="page"' if state == self._state else ""
            tabs += f'<a href="{self._address(state=state, page=1)}"{current}>{words} {count:,}</a>'
        tabs = f'<nav class="tabs" aria-label="Which items">{tabs}</nav>'
        first = (self._page - 1) * PAGE_SIZE + 1
        position = f"{first:,}–{first + len(self._items) - 1:,} of {self._total:,}" if self._items else "0 items"
        links = ""
        if self._page > 1:
            links += f'<a href="{self._address(page=self._page - 1)}">Previous</a> '
        if self._page * PAGE_SIZE < self._total:
            links += f'<a href="{self._address(page=self._page + 1)}">Next</a>'
        foot = f'<p class="foot">{position} <span>{links}</span> <span class="mute">Enter saves a cell.</span></p>'
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
        # Items of `POST /_control/items` were changed by nobody (NOBODY_ID).
        if person := model.PEOPLE_BY_ID.get(item.changed_by):
            remarks.append(f"{escape(person.name)} {datetime.fromisoformat(item.updated_at):%H:%M:%S}")
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
            options = "".join(
                f'<option value="{escape(label)}"{" selected" if label == text else ""}>{escape(label)}</option>'
                for label in labels
            )
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
        ids = {item.name: item.id for board_id in connected_board_ids(column) for item in world.items_of(board_id)}
        # A name may have a comma itself.
        names = [text] if text in ids else [name.strip() for name in text.split(",")]
        if unknown := [name for name in names if name not in ids]:
            raise web.BadRequestError(f"No connected board has an item called {unknown[0]}")
        return {"item_ids": [ids[name] for name in names]}
    return text


# Faults & tools: the log of calls and webhooks, and buttons for what is tried most; `/_control/` has all the rest.

LOG_LINES = 30
FAULT_BUTTONS: dict[str, dict[str, Any]] = {
    "503 with an HTML page": {"status": 503},
    "429, wait 10 s": {"status": 429, "retry_after": 10},
    "Day's calls are used up, until midnight UTC": {"limit": "daily"},
    "Slow by 5 s": {"slow": 5},
    "Write lost on the way": {"timeout": "before"},
    "Write done, its answer lost": {"timeout": "after"},
    "Every third of a batch fails": {"partial": {"every": 3}},
    "Reads are 5 s behind": {"lag": "all", "edits": 5, "writes": 5},
    "Change has no effect": {"swallow": True},
    "Writes fail, reads go on": {"status": 500, "on": "mutation", "count": None},
}
RULE_BUTTONS: dict[str, dict[str, Any]] = {
    "Hold all": {"rule": "hold"},
    "Drop the next": {"rule": "drop"},
    "Double the next": {"rule": "double"},
}


class FaultsPage:
    """The page, and what its buttons do."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def press(self, do: str, choice: str) -> None:
        """Do what a button says; raises BadRequestError for an unknown one."""
        control = self._control
        acts: dict[str, Callable[[], object]] = {
            "fault": lambda: control.add_faults(**FAULT_BUTTONS[choice]),
            "no-faults": control.clear_faults,
            "rule": lambda: control.add_rules(**RULE_BUTTONS[choice]),
            "no-rules": control.clear_rules,
            "release": control.release,
            "reset": control.reset,
        }
        try:
            acts[do]()
        except KeyError:
            raise web.BadRequestError(f"There is no {do} {choice}") from None

    def html(self) -> str:
        """Return the page's sections."""
        api = self._control.api
        deliveries = self._control.deliveries
        faults_left = ""
        if faults := api.faults.all():
            lines = _bullets(f"{fault.description()}, {_times(fault.count)}" for fault in faults)
            faults_left = f"<p>Still to come:</p>{lines}{_buttons('no-faults', ['No more faults'])}"
        rules_left = ""
        if rules := deliveries.rules():
            lines = _bullets(rule.description() for rule in rules)
            rules_left = f"<p>In force:</p>{lines}{_buttons('no-rules', ['No more rules'])}"
        held_count = deliveries.held_count()
        release = f"<p>Kept back: {held_count:,}</p>{_buttons('release', ['Send'])}" if held_count else ""
        return f"""<h1>Faults &amp; tools</h1><div class="cards">
<section><h2>The next API call</h2>{_buttons("fault", FAULT_BUTTONS)}{faults_left}</section>
<section><h2>The next webhooks</h2>{_buttons("rule", RULE_BUTTONS)}{rules_left}{release}</section>
<section><h2>API calls</h2>{_bullets(map(_call_line, reversed(list(api.calls)[-LOG_LINES:])))}</section>
<section><h2>Webhooks sent</h2>{_bullets(map(_delivery_line, reversed(deliveries.log()[-LOG_LINES:])))}</section>
<section><h2>Start again</h2><details><summary>Delete everything…</summary>
<p>Boards, items, webhooks and logs are deleted.</p>{_buttons("reset", ["Delete all boards"])}</details></section>
</div>"""


def _buttons(do: str, choices: Iterable[str]) -> str:
    buttons = " ".join(
        f'<button id="{do}-{place}" name="choice" value="{escape(choice)}">{escape(choice)}</button>'
        for place, choice in enumerate(choices)
    )
    return f'<form method="post" action="/faults"><input type="hidden" name="do" value="{do}">{buttons}</form>'


def _bullets(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else "<p>None yet.</p>"


def _times(count: int | None) -> str:
    return "until there are no more faults" if count is None else f"{count:,} to go"


def _call_line(call: Call) -> str:
    """Return a line about an API call: its time, answer, fields, and what was special."""
    fields = Counter(name for name in call.fields if name != "complexity")
    names = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in fields.items()) or "no query"
    notes = [f"{call.ms:,.0f} ms", *sorted({code for code in call.errors if code})]
    if call.fault:
        notes.append(f"fault: {call.fault}")
    answer = f"HTTP {call.status}" if call.status else "the connection was cut"
    moment = datetime.fromtimestamp(call.at, UTC)
    return f"{moment:%H:%M:%S} {answer} {names} · {' · '.join(notes)}"


def _delivery_line(delivery: webhooks.Delivery) -> str:
    """Return a line about a webhook: its state, its last answer, its event, and the item or column."""
    last = delivery.tries[-1] if delivery.tries else None
    answer = f" ({last['status'] or last['error']}, {last['ms']:,} ms)" if last else ""
    return f"{delivery.state}{answer} {delivery.event} · {delivery.about}"


STATE_OF_ACT = {"archive": "archived", "delete": "deleted", "restore": "active"}
STATIC = Path(__file__).parent / "static"
TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
POLICY = "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Pages:
    def __init__(self, control: Control, npd_url: str | None) -> None:
        self._world = control.world
        self._faults = FaultsPage(control)
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
        with self._world.lock:
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
        with self._world.lock:
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return page("Not found", f"<h1>There is no item {item_id} on this board.</h1>", 404)
        request.query["at"] = f"{item_id}-{NAME.id}"
        return self.board(request, board_id)

    def board(self, request: web.Request, board_id: int, refused: CellForm | None = None) -> web.Response:
        with self._world.lock:
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
            with world.lock:
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
    return web.Response(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"} | HEADERS)


def asset(name: str, request: web.Request) -> web.Response:
    headers = {"Content-Type": f"{TYPES[name]}; charset=utf-8", "Cache-Control": "no-cache"}
    return web.Response(200, (STATIC / name).read_bytes(), headers)


NO_BOARDS = """<h1>There are no boards yet.</h1>
<p>NPD Sync makes its boards here with <code>manage.py monday_setup</code>; <code>make run</code> does that by itself.
So can any program that speaks Monday's API.</p>"""
