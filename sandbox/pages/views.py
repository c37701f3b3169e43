"""The pages' HTTP side."""

from collections import Counter
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from sandbox.live import Live
from sandbox.model import Board, Item
from sandbox.pages.choices import offered
from sandbox.pages.layout import page, people_menu, tools_menu
from sandbox.pages.listing import EVERY_STATE, Listing
from sandbox.pages.rows import Looks, row
from sandbox.pages.tools import Tools
from sandbox.web import (
    BadRequestError,
    Request,
    Response,
    Route,
    html_response,
    json_response,
    route,
    whole,
)
from sandbox.world import World

History = Callable[[], list[tuple[str, Any]]]
STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript"}
MOST_ROWS = 100


class Pages:
    """The handlers."""

    def __init__(self, world: World, live: Live, npd_url: str | None, history: History, tools: Tools) -> None:
        self._world = world
        self._live = live
        self._npd_url = npd_url
        self._history = history
        self._tools = tools

    def routes(self) -> list[Route]:
        assets = [
            route("GET", f"/static/{path.name}", _asset(path))
            for path in sorted(STATIC.iterdir())
            if path.suffix in KINDS
        ]
        return [
            route("GET", "/", self.boards),
            route("GET", "/board/<id>", self.board),
            route("GET", "/board/<id>/pulses/<id>", self.board),
            route("GET", "/board/<id>/list", self.listing),
            route("GET", "/board/<id>/rows", self.rows),
            route("GET", "/board/<id>/row/<id>", self.row),
            route("GET", "/board/<id>/choices", self.choices),
            route("GET", "/tools", self.tools),
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
        state += "" if board.type == "board" else ' <span class="tag">subitems</span>'
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
        crumb = f'<span class="mute">›</span> <h1>{escape(board.name)}</h1>'
        crumb += f'<span class="tag">{_items(listing.counts["active"])}</span>'
        if board.state != "active":
            crumb += f' <span class="tag bad">{board.state}</span>'
        main = f"""<div class="two">
<section class="card" aria-label="Items">
{listing.toolbar()}
<div id="list">{listing.html(self._looks(item))}</div>
</section>
{SIDE}
</div>"""
        return page(board.name, crumb, people_menu() + tools_menu(), main, board_id=board.id)

    def _looks(self, focused: Item | None = None) -> Looks:
        return Looks(self._world.clock.now(), self._npd_url, focused.id if focused else None)

    def listing(self, request: Request, board_id: int) -> Response:
        """The table alone, for another search, page, order or state."""
        with self._world.reading():
            board = self._world.boards.get(board_id)
            if board is None:
                return html_response("", 404)
            return html_response(Listing(request, self._world, board, None).html(self._looks()))

    def row(self, request: Request, board_id: int, item_id: int) -> Response:
        """One row's HTML."""
        with self._world.reading():
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return html_response("", 404)
            return html_response(row(self._world.boards[board_id], item, self._looks()))

    def rows(self, request: Request, board_id: int) -> Response:
        """`?ids=1,2`: rows by item id for the page to put in place, and how many items there are by state."""
        asked = [whole(one) for one in request.query.get("ids", "").split(",")[:MOST_ROWS]]
        with self._world.reading():
            board = self._world.boards.get(board_id)
            if board is None:
                return json_response({"rows": {}, "counts": {}}, 404)
            looks = self._looks()
            there = [self._world.items.get(one) for one in asked if one is not None]
            found = {
                str(item.id): row(board, item, looks)
                for item in there
                if item is not None and item.board_id == board_id
            }
            counts = Counter(item.state for item in self._world.items_of(board_id, EVERY_STATE))
        by_state = {state: counts[state] for state in EVERY_STATE}
        return json_response({"rows": found, "counts": by_state | {"all": counts.total()}})

    def choices(self, request: Request, board_id: int) -> Response:
        """`?column=ID&q=WORDS`: what the picker of a cell offers."""
        with self._world.reading():
            board = self._world.boards.get(board_id)
            column = board.column(request.query.get("column", "")) if board is not None else None
            if column is None:
                raise BadRequestError("There is no such column on this board")
            return json_response(offered(self._world, column, request.query.get("q", "").strip()))

    def tools(self, request: Request) -> Response:
        """The inside of the drawer."""
        return html_response(self._tools.html())

    def events(self, request: Request) -> Response:
        """The event stream; `?board=ID` for one board's rows."""
        board = request.query.get("board", "")
        stream = self._live.stream(whole(board), self._history())
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        return Response(200, b"", headers, stream)

    def _missing(self, words: str) -> Response:
        found = page(
            "Not found",
            "",
            "",
            f'<div class="empty"><h1>{escape(words)}</h1><a href="/">All boards</a></div>',
        )
        return Response(404, found.body, found.headers)


def _items(count: int) -> str:
    return f"{count:,} item" if count == 1 else f"{count:,} items"


def _asset(path: Path) -> Callable[[Request], Response]:
    def serve(request: Request) -> Response:
        headers = {"Content-Type": f"{KINDS[path.suffix]}; charset=utf-8", "Cache-Control": "no-cache"}
        return Response(200, path.read_bytes(), headers)

    return serve


NO_BOARDS = """<div class="card empty"><b>There are no boards yet.</b><br>
<span class="mute">NPD Sync makes its boards here with <code>manage.py monday_setup</code>;
<code>make run</code> does that by itself. So can any program that speaks Monday's API.</span></div>"""
SIDE = """<aside aria-label="What goes over the wire">
<p id="npd-note" class="card note" hidden></p>
<section class="card"><h2>API calls <span class="mute small" id="live">connecting…</span></h2>
<ul id="calls" class="log" tabindex="0" aria-label="API calls, the last first"></ul>
<p class="mute small none">None yet.</p>
<p id="spent" class="mute small spent"></p></section>
<section class="card"><h2>Webhooks</h2>
<ul id="deliveries" class="log" tabindex="0" aria-label="Webhooks, the last first"></ul>
<p class="mute small none">None yet.</p></section>
</aside>"""
