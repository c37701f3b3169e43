"""The pages on which a person plays the Monday user: the boards, each as a table of forms, and faults & tools.

Everything is HTML of the server's. `page.js` only asks for a page again, to show what others changed.
"""

from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import urlencode

from sandbox.api_errors import FieldError
from sandbox.http import BadRequestError, Request, Response, Route, html_response, parse_int, route
from sandbox.model import PEOPLE
from sandbox.operations import column_of, item_changes
from sandbox.pages.board import NAME, BoardPage, Refusal, text_of, value_of
from sandbox.pages.faults import FaultsPage
from sandbox.world import World

MAYA = PEOPLE[0].id  # whom the pages play
STATES = {"archive": "archived", "delete": "deleted", "restore": "active"}
STATIC = Path(__file__).parent / "static"
TYPES = {"page.css": "text/css", "page.js": "text/javascript"}
POLICY = "default-src 'self'; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Pages:
    def __init__(self, world: World, faults: FaultsPage, npd_url: str | None, reset: Callable[[], None]) -> None:
        self._world = world
        self._faults = faults
        self._npd_url = npd_url
        self._reset = reset

    def routes(self) -> list[Route]:
        return [
            route("GET", "/", self.boards),
            route("GET", "/board/<id>", self.board),
            route("POST", "/board/<id>", self.change),
            route("GET", "/board/<id>/pulses/<id>", self.item),
            route("GET", "/faults", self.faults),
            route("POST", "/faults", self.press),
            *(route("GET", f"/static/{name}", _asset(name)) for name in TYPES),
        ]

    def boards(self, request: Request) -> Response:
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

    def board(self, request: Request, board_id: int) -> Response:
        return self._board(request, board_id)

    def item(self, request: Request, board_id: int, item_id: int) -> Response:
        """The page of the board that holds this item, the item in focus."""
        with self._world.read_lock():
            item = self._world.items.get(item_id)
            if item is None or item.board_id != board_id:
                return page("Not found", f"<h1>There is no item {item_id} on this board.</h1>", 404)
        request.query["at"] = f"{item_id}-{NAME.id}"
        return self._board(request, board_id)

    def _board(self, request: Request, board_id: int, refusal: Refusal | None = None) -> Response:
        with self._world.read_lock():
            board = self._world.boards.get(board_id)
            if board is None:
                return page("Not found", f"<h1>There is no board {board_id}.</h1>", 404)
            table = BoardPage(request, self._world, board, self._npd_url, refusal).html()
        state = f" ({board.state})" if board.state != "active" else ""
        message = f'<p class="refused" role="alert">{escape(refusal.words)}</p>' if refusal else ""
        body = f"<h1>{escape(board.name)}{state}</h1>{message}{table}"
        return page(board.name, body, 400 if refusal else 200)

    def change(self, request: Request, board_id: int) -> Response:
        """Carry out a form of the board's page, and show the page again."""
        form = request.form()
        item_id = parse_int(form.get("item", ""))
        column_id, text = form.get("column", ""), form.get("text", "").replace("\r\n", "\n").strip()
        try:
            at = self._change(board_id, form.get("do", "edit"), item_id, column_id, text, form.get("group"))
        except (FieldError, BadRequestError) as refused:
            return self._board(request, board_id, Refusal(str(refused), item_id, column_id, text))
        query = {key: value for key, value in request.query.items() if key != "at"} | ({"at": at} if at else {})
        return Response(303, b"", {"Location": f"/board/{board_id}?{urlencode(query)}"})

    def _change(
        self, board_id: int, do: str, item_id: int | None, column_id: str, text: str, group_id: str | None
    ) -> str:
        """Do what a form says; returns the cell where the person goes on."""
        world = self._world
        if do == "add":
            item = item_changes.create_item(world, MAYA, board_id, text, {}, group_id=group_id)
            return f"{item.id}-{NAME.id}"
        if do in STATES:
            item_changes.set_state(world, MAYA, item_id, STATES[do])
            return ""
        item = world.item(item_id)
        column = NAME if column_id == NAME.id else column_of(world.boards[item.board_id], column_id)
        if text != text_of(item, column):
            with world.read_lock():
                value = text if column is NAME else value_of(world, column, text)
            item_changes.change_values(world, MAYA, item, {column_id: value}, create_labels=True)
        return f"{item_id}-{column_id}"

    def faults(self, request: Request) -> Response:
        return page("Faults & tools", self._faults.html())

    def press(self, request: Request) -> Response:
        form = request.form()
        do, choice = form.get("do", ""), form.get("choice", "")
        if do == "reset":
            self._reset()
            return Response(303, b"", {"Location": "/"})
        self._faults.press(do, choice)
        return Response(303, b"", {"Location": "/faults"})


def page(title: str, main: str, status: int = 200) -> Response:
    """A whole page; `main` is HTML already."""
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
    response = html_response(text, status)
    return Response(response.status, response.body, response.headers | HEADERS)


def _asset(name: str) -> Callable[[Request], Response]:
    headers = {"Content-Type": f"{TYPES[name]}; charset=utf-8", "Cache-Control": "no-cache"}
    return lambda request: Response(200, (STATIC / name).read_bytes(), headers)


NO_BOARDS = """<h1>There are no boards yet.</h1>
<p>NPD Sync makes its boards here with <code>manage.py monday_setup</code>; <code>make run</code> does that by itself.
So can any program that speaks Monday's API.</p>"""
