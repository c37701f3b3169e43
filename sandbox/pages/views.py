"""The pages' HTTP side, what all pages share, and what open ones are sent as server-sent events."""

import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import requests

from sandbox.http import (
    BadRequestError,
    NpdAddress,
    Request,
    Response,
    Route,
    html_response,
    json_response,
    parse_int,
    route,
)
from sandbox.model import PEOPLE, Item
from sandbox.pages.sidebar import Tools
from sandbox.pages.table import EVERY_STATE, Listing, RowStyle, offered_choices, row
from sandbox.world import World

HEARTBEAT_SECONDS = 5.0
LIFETIME_SECONDS = 300.0
PAGES_LIMIT = 16


# Compared by identity: two pages that show the same board are two viewers.
@dataclass(eq=False)
class Viewer:
    """One open page; `board_id` None sees all boards."""

    board_id: int | None
    inbox: queue.SimpleQueue[bytes | None] = field(default_factory=queue.SimpleQueue)


class Live:
    """Who watches, and how to tell them.

    Each watcher takes a thread of the server, so the oldest gives way to the 17th.
    """

    def __init__(self) -> None:
        self._viewers: list[Viewer] = []
        self._lock = threading.Lock()
        self.watched = threading.Event()

    def publish(self, event: str, content: Any, board_id: int | None = None) -> None:
        """Send to this board's open pages, or to all; a function's content is made only where a page is open."""
        with self._lock:
            viewers = [v for v in self._viewers if board_id is None or v.board_id in (None, board_id)]
        if viewers:
            message = _message(event, content() if callable(content) else content)
            for viewer in viewers:
                viewer.inbox.put(message)

    def close(self) -> None:
        """End all streams, so that none holds up the end of the server."""
        with self._lock:
            for viewer in self._viewers:
                viewer.inbox.put(None)

    def stream(self, board_id: int | None, first: list[tuple[str, Any]]) -> Iterator[bytes]:
        """The event stream of one page, begun with `first`; when it ends, the browser comes back."""
        viewer = Viewer(board_id)
        with self._lock:
            self._viewers.append(viewer)
            if len(self._viewers) > PAGES_LIMIT:
                self._viewers.pop(0).inbox.put(None)
            self.watched.set()
        try:
            yield b"retry: 1000\n\n"
            for event, content in first:
                yield _message(event, content)
            end = time.monotonic() + LIFETIME_SECONDS
            while time.monotonic() < end:
                try:
                    message = viewer.inbox.get(timeout=HEARTBEAT_SECONDS)
                except queue.Empty:
                    message = b": still here\n\n"
                if message is None:
                    return
                yield message
        finally:
            with self._lock:
                if viewer in self._viewers:
                    self._viewers.remove(viewer)
                if not self._viewers:
                    self.watched.clear()


def _message(event: str, content: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps(content, ensure_ascii=False)}\n\n".encode()


# Where NPD is, and why an item waits: asked of its API while a board is open in a browser.


POLL_SECONDS = 3.0
PATH = "/api/v1/sync/queue/?unmatched_items=true&status=pending&page_size=100"
State = dict[str, Any]


class Watcher:
    """Polls NPD's queue of unmatched items; `told` gets each new state.

    A state is `{"reachable": bool, "waiting": {item id: {"reason", "until"}}}`.
    """

    def __init__(self, npd: NpdAddress, token: str, watched: threading.Event, told: Callable[[State], None]) -> None:
        self._address, headers = npd.reach(npd.public + PATH)
        self._headers = {"Authorization": f"Token {token}", "Accept": "application/json", **headers}
        self._watched = watched
        self._told = told
        self._session = requests.Session()
        self._session.trust_env = False
        self.state: State = {"reachable": True, "waiting": {}}

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True, name="npd").start()

    def _watch(self) -> None:
        while True:
            self._watched.wait()
            state = self._ask()
            if state != self.state:
                self.state = state
                self._told(state)
            time.sleep(POLL_SECONDS)

    def _ask(self) -> State:
        try:
            answer = self._session.get(self._address, headers=self._headers, timeout=3, allow_redirects=False)
            answer.raise_for_status()
            rows = answer.json()["results"]
            waiting = {
                str(row["monday_id"]): {"reason": row.get("reason") or "waiting", "until": row.get("next_retry")}
                for row in rows
                if row.get("monday_id")
            }
        # What answers there may be no NPD at all, with JSON of any shape.
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError):
            return {"reachable": False, "waiting": {}}
        return {"reachable": True, "waiting": waiting}


POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"

HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

BANNER = "This is a sandbox that plays Monday.com on this machine. Nothing here reaches Monday.com."

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect width='16' height='16' rx='4' fill='%236d28d9'/%3E%3Crect x='3' y='4' width='10' height='2.5' "
    "fill='white'/%3E%3Crect x='3' y='9' width='6' height='2.5' fill='white'/%3E%3C/svg%3E"
)


def page(title: str, crumb: str, header: str, main: str, *, board_id: int | None = None) -> Response:
    """A whole page. `crumb`, `header` and `main` are HTML already."""
    board = f' data-board="{board_id}"' if board_id is not None else ""
    text = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · Monday sandbox</title>
<link rel="icon" href="{ICON}">
<link rel="stylesheet" href="/static/board.css">
<script type="module" src="/static/board.js"></script>
</head>
<body{board}>
<section class="banner" aria-label="About this page">{BANNER}</section>
<header>
<nav aria-label="Where you are"><a class="home" href="/">Monday sandbox</a>{crumb}</nav>
<span class="grow"></span>
{header}
</header>
<main>
{main}
</main>
<div id="message" class="message" hidden><span role="status"></span>
<button type="button" class="button" id="undo" hidden>Undo</button></div>
<p id="news" class="unseen" role="log" aria-label="What others changed"></p>
</body>
</html>
"""
    response = html_response(text)
    return Response(response.status, response.body, response.headers | HEADERS)


def people_menu() -> str:
    options = "".join(f'<option value="{one.id}">{escape(one.name)}, {escape(one.title)}</option>' for one in PEOPLE)
    return (
        '<label class="me"><span class="face" id="face" aria-hidden="true"></span>'
        f'<span class="mute small">You play</span> <select id="person" class="button">{options}</select></label>'
    )


def tools_menu() -> str:
    """The button of the drawer, and the drawer, whose inside is fetched when it is opened."""
    return """<button class="button" type="button" id="tools-button" aria-expanded="false"
aria-controls="tools">Faults &amp; tools</button>
<section id="tools" class="drawer" aria-labelledby="tools-title" hidden tabindex="-1">
<div class="line"><h2 id="tools-title">Faults &amp; tools</h2><span class="grow"></span>
<button class="button quiet" type="button" id="tools-close" aria-label="Close faults and tools">✕</button></div>
<div id="tools-inside"></div></section>"""


History = Callable[[], list[tuple[str, Any]]]
STATIC = Path(__file__).parent / "static"
KINDS = {".css": "text/css", ".js": "text/javascript"}
MOST_ROWS = 100


class Pages:
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
        with self._world.read_lock():
            cards = ""
            for board in self._world.boards.values():
                state = f'<span class="tag bad">{board.state}</span>' if board.state != "active" else ""
                cards += (
                    f'<li class="card"><a href="/board/{board.id}">{escape(board.name)}</a> {state}<span '
                    f'class="mute small">{_items(self._world.active_count(board.id))} · board {board.id}</span></li>'
                )
        body = f'<ul class="boards">{cards}</ul>' if cards else NO_BOARDS
        return page("Boards", "", people_menu() + tools_menu(), f"<h1>Boards</h1>{body}{SIDE}")

    def board(self, request: Request, board_id: int, item_id: int | None = None) -> Response:
        """A board's table; with an item id, the page that holds this item, the item in focus."""
        with self._world.read_lock():
            board = self._world.boards.get(board_id)
            if board is None:
                return self._missing(f"There is no board {board_id}.")
            item = self._world.items.get(item_id) if item_id is not None else None
            if item_id is not None and (item is None or item.board_id != board_id):
                return self._missing(f"There is no item {item_id} on this board.")
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

    def _looks(self, focused: Item | None = None) -> RowStyle:
        return RowStyle(self._world.clock.now(), self._npd_url, focused.id if focused else None)

    def listing(self, request: Request, board_id: int) -> Response:
        """The table alone, for another search, page, order or state."""
        with self._world.read_lock():
            board = self._world.boards.get(board_id)
            if board is None:
                return html_response("", 404)
            return html_response(Listing(request, self._world, board, None).html(self._looks()))

    def row(self, request: Request, board_id: int, item_id: int) -> Response:
        with self._world.read_lock():
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return html_response("", 404)
            return html_response(row(self._world.boards[board_id], item, self._looks()))

    def rows(self, request: Request, board_id: int) -> Response:
        """`?ids=1,2`: rows by item id for the page to put in place, and how many items there are by state."""
        asked = [parse_int(one) for one in request.query.get("ids", "").split(",")[:MOST_ROWS]]
        with self._world.read_lock():
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
        with self._world.read_lock():
            board = self._world.boards.get(board_id)
            column = board.column(request.query.get("column", "")) if board is not None else None
            if column is None:
                raise BadRequestError("There is no such column on this board")
            return json_response(offered_choices(self._world, column, request.query.get("q", "").strip()))

    def tools(self, request: Request) -> Response:
        return html_response(self._tools.html())

    def events(self, request: Request) -> Response:
        """The event stream; `?board=ID` for one board's rows."""
        board = request.query.get("board", "")
        stream = self._live.stream(parse_int(board), self._history())
        headers = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        return Response(200, b"", headers, stream)

    def _missing(self, words: str) -> Response:
        found = page(
            "Not found", "", "", f'<div class="empty"><h1>{escape(words)}</h1><a href="/">All boards</a></div>'
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
