"""The pages' HTTP side."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.columns import kind_of
from sandbox.live import Live
from sandbox.model import Board, Item
from sandbox.pages.layout import page, people_menu, tools_menu
from sandbox.pages.rows import Looks, headings, row
from sandbox.web import Request, Response, Route, html_response, route, whole
from sandbox.world import World

History = Callable[[], list[tuple[str, Any]]]
STATIC = Path(__file__).parent / "static"
ASSETS = {"board.css": "text/css", "board.js": "text/javascript"}
PAGE_SIZE = 100
STATES = {
    "active": ("active",),
    "archived": ("archived",),
    "deleted": ("deleted",),
    "all": ("active", "archived", "deleted"),
}


class Pages:
    """The handlers."""

    def __init__(self, world: World, live: Live, npd_url: str | None, history: History) -> None:
        self._world = world
        self._live = live
        self._npd_url = npd_url
        self._history = history

    def routes(self) -> list[Route]:
        assets = [route("GET", f"/static/{name}", _asset(name, kind)) for name, kind in ASSETS.items()]
        return [
            route("GET", "/", self.boards),
            route("GET", "/board/<id>", self.board),
            route("GET", "/board/<id>/pulses/<id>", self.board),
            route("GET", "/board/<id>/row/<id>", self.row),
            route("GET", "/events", self.events),
            *assets,
        ]

    def boards(self, request: Request) -> Response:
        """All boards."""
        with self._world.reading():
            boards = list(self._world.boards.values())
            cards = "".join(self._card(board) for board in boards)
        body = f'<ul class="boards">{cards}</ul>' if boards else NO_BOARDS
        return page("Boards", "", people_menu() + tools_menu(), f"<h1>Boards</h1>{body}{SIDE}")

    def _card(self, board: Board) -> str:
        count = self._world.active_count(board.id)
        state = f'<span class="tag bad">{board.state}</span>' if board.state != "active" else ""
        return (
            f'<li class="card"><a href="/board/{board.id}">{escape(board.name)}</a> {state}'
            f'<span class="mute small">{_items(count)} · board {board.id}</span></li>'
        )

    def board(self, request: Request, board_id: int, item_id: int | None = None) -> Response:
        """A board's table; with an item id, the page that holds this item, the item in focus."""
        with self._world.reading():
            board = self._world.boards.get(board_id)
            if board is None:
                return self._missing(f"There is no board {board_id}.")
            item = self._world.items.get(item_id) if item_id is not None else None
            if item_id is not None and (item is None or item.board_id != board_id):
                return self._missing(f"There is no item {item_id} on this board.")
            return self._board_page(request, board, item)

    def _board_page(self, request: Request, board: Board, item: Item | None) -> Response:
        listing = Listing(request, self._world, board, item)
        count = self._world.active_count(board.id)
        crumb = f'<span class="mute">›</span> <h1>{escape(board.name)}</h1>'
        crumb += f'<span class="tag">{_items(count)}</span>'
        if board.state != "active":
            crumb += f' <span class="tag bad">{board.state}</span>'
        looks = Looks(self._world.clock.now(), self._npd_url, item.id if item else None)
        rows = "".join(row(board, one, looks) for one in listing.items)
        main = f"""<div class="two">
<section class="card" aria-label="Items">
{listing.toolbar()}
<div class="scroll"><table class="stack">
<thead>{headings(board)}</thead><tbody id="rows">{rows}</tbody></table>
{listing.nothing()}</div>
{listing.footer()}
</section>
{SIDE}
</div>"""
        return page(board.name, crumb, people_menu() + tools_menu(), main, board_id=board.id)

    def row(self, request: Request, board_id: int, item_id: int) -> Response:
        """One row's HTML, for the page to put in place."""
        with self._world.reading():
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return html_response("", 404)
            looks = Looks(self._world.clock.now(), self._npd_url)
            return html_response(row(self._world.boards[board_id], item, looks))

    def events(self, request: Request) -> Response:
        """The event stream; `?board=ID` for one board's rows."""
        board = request.query.get("board", "")
        stream = self._live.stream(whole(board), self._history())
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        return Response(200, b"", headers, stream)

    def _missing(self, words: str) -> Response:
        found = page(
            "Not found",
            "",
            "",
            f'<div class="empty"><h1>{escape(words)}</h1><a href="/">All boards</a></div>',
        )
        return Response(404, found.body, found.headers)


class Listing:
    """Which items of a board a page shows."""

    def __init__(self, request: Request, world: World, board: Board, focused: Item | None) -> None:
        self._board = board
        self._words = request.query.get("q", "").strip()
        state = request.query.get("state", "active" if focused is None else focused.state)
        self._state = state if state in STATES else "active"
        self._sort = "board" if request.query.get("sort") == "board" else "changed"
        found = [item for item in world.items_of(board.id, STATES[self._state]) if self._has_words(item)]
        if self._sort == "changed":
            found.sort(key=lambda item: (item.updated_at, -item.id), reverse=True)
        self._total = len(found)
        self._page = self._page_number(request.query.get("page", "1"), found, focused)
        self.items = found[(self._page - 1) * PAGE_SIZE : self._page * PAGE_SIZE]

    def _has_words(self, item: Item) -> bool:
        if not self._words:
            return True
        columns = [column for column in self._board.visible_columns() if column.type != "name"]
        texts = [item.name, str(item.id), *(kind_of(c.type).text(c, item.raw(c.id)) for c in columns)]
        wanted = self._words.casefold()
        return any(wanted in text.casefold() for text in texts)

    def _page_number(self, asked: str, found: list[Item], focused: Item | None) -> int:
        if focused is not None and focused in found:
            return found.index(focused) // PAGE_SIZE + 1
        last = max(1, -(-self._total // PAGE_SIZE))
        return min(max(whole(asked) or 1, 1), last)

    def toolbar(self) -> str:
        states = "".join(_option(name, name.capitalize(), self._state) for name in STATES)
        sorts = _option("changed", "Last changed first", self._sort) + _option(
            "board", "Board order", self._sort
        )
        add = "" if self._board.state != "active" else ADD_FORM
        return f"""<div class="toolbar"><form method="get" action="/board/{self._board.id}" role="search">
<label class="wide"><span class="unseen">Search items</span>
<input class="button" type="search" name="q" value="{escape(self._words)}"
placeholder="Search items"></label>
<label><span class="unseen">Show</span><select class="button" name="state">{states}</select></label>
<label><span class="unseen">Order</span><select class="button" name="sort">{sorts}</select></label>
<button class="button">Show</button></form>{add}</div>"""

    def nothing(self) -> str:
        if self.items:
            return ""
        words = "No item matches." if self._words else "There are no items here."
        hint = (
            "Try other words, or All."
            if self._words
            else "Add one with + Item, or let NPD Sync send its records."
        )
        return f'<div class="empty" id="nothing"><b>{words}</b><br><span class="mute">{hint}</span></div>'

    def footer(self) -> str:
        first = (self._page - 1) * PAGE_SIZE + 1
        words = f"{first:,}–{first + len(self.items) - 1:,} of {self._total:,}" if self.items else "0 items"
        before = self._link(self._page - 1, "← Previous") if self._page > 1 else ""
        after = self._link(self._page + 1, "Next →") if self._page * PAGE_SIZE < self._total else ""
        return (
            f'<div class="footer small"><span class="mute">{words}</span>'
            f'<nav aria-label="Pages">{before}{after}</nav><span class="grow"></span>'
            '<span class="mute keys">enter edits and saves · esc leaves · arrows move</span></div>'
        )

    def _link(self, number: int, words: str) -> str:
        query = urlencode({"q": self._words, "state": self._state, "sort": self._sort, "page": number})
        return f'<a class="button" href="/board/{self._board.id}?{escape(query)}">{words}</a>'


def _items(count: int) -> str:
    return f"{count:,} item" if count == 1 else f"{count:,} items"


def _option(value: str, words: str, chosen: str) -> str:
    return f'<option value="{value}"{" selected" if value == chosen else ""}>{words}</option>'


def _asset(name: str, kind: str) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        headers = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-cache"}
        return Response(200, (STATIC / name).read_bytes(), headers)

    return serve


ADD_FORM = """<form id="add"><label><span class="unseen">Name of the new item</span>
<input class="button" name="name" required maxlength="255" placeholder="New item" autocomplete="off"></label>
<button class="button main">+ Item</button></form>"""
NO_BOARDS = """<div class="card empty"><b>There are no boards yet.</b><br>
<span class="mute">NPD Sync makes its boards here with <code>manage.py monday_setup</code>;
<code>make run</code> does that by itself. So can any program that speaks Monday's API.</span></div>"""
SIDE = """<aside aria-label="What goes over the wire">
<p id="npd-note" class="card note" hidden></p>
<section class="card"><h2>API calls <span class="mute small" id="live">connecting…</span></h2>
<ul id="calls" class="log"></ul><p class="mute small none">None yet.</p>
<p id="spent" class="mute small spent"></p></section>
<section class="card"><h2>Webhooks</h2>
<ul id="deliveries" class="log"></ul><p class="mute small none">None yet.</p></section>
</aside>"""
