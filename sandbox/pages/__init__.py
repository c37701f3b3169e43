"""The pages on which a person plays the Monday user: their HTTP side, the log of API calls and webhooks beside the
table, a demo's faults, clock and plan, and what open pages are sent as server-sent events.
"""

import json
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

import requests

from sandbox.api import Api, Call
from sandbox.api_limits import PLANS
from sandbox.clock import Clock
from sandbox.faults import fault_from
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
from sandbox.pages.table import EVERY_STATE, Listing, RowStyle, offered_choices, row
from sandbox.webhooks.deliveries import (
    DELAYED,
    DELETED,
    DROPPED,
    GIVEN_UP,
    HELD,
    RETRIES,
    RETRYING,
    Deliveries,
    Delivery,
)
from sandbox.world import World

Details = list[tuple[str, str]]
WORDS = {"timeout": "timeout", DELETED: "not sent"}


def call_line(call: Call) -> str:
    names = Counter(name for _, name in call.fields if name != "complexity")
    words = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items()) or "no query"
    notes = [f"{call.complexity:,} points"] if call.complexity else []
    notes.append(f"{call.ms:,.0f} ms")
    if call.replayed:
        notes.append("answered again" + (", though the body differs" if call.different_body else ""))
    notes += sorted({code for code in call.errors if code})
    if call.fault:
        notes.append(f"fault: {call.fault}")
    kind = (
        "warn" if call.status == 429 or (call.status == 200 and call.errors) else "ok" if call.status == 200 else "bad"
    )
    summary = (
        f'<span class="tag {kind}">{call.status or "cut"}</span> '
        f'{escape(words)} <span class="mute">· {escape(" · ".join(notes))}</span>'
    )
    errors = Counter(code or "an error without a code" for code in call.errors)
    details = [
        ("At", _moment(call.at)),
        ("Operation", f"{call.kind or 'none'} {call.operation or ''}".strip()),
        ("Fields", f"{len(call.fields)} at the root"),
        ("Complexity", f"{call.complexity:,} points"),
        ("Took", f"{call.ms:,.1f} ms"),
        ("Answer", f"HTTP {call.status}" if call.status else "the connection was cut"),
        ("Errors", ", ".join(f"{count} × {code}" for code, count in errors.items())),
        ("Fault", call.fault),
        ("Idempotency-Key", call.idempotency_key or ""),
        ("Request id", call.request_id),
    ]
    return _line(f"call-{call.id}", summary, details)


def delivery_line(delivery: Delivery) -> str:
    event = delivery.body["event"]
    kind, words = _delivery_state(delivery)
    about = f" · {delivery.about}" if delivery.about else ""
    shows = delivery.rule and delivery.state not in (DROPPED, HELD, DELAYED)  # these say it themselves
    rule = f' <span class="tag">{escape(delivery.rule)}</span>' if shows else ""
    retry = " · failed" if delivery.state == GIVEN_UP else ""
    if delivery.state == RETRYING:
        retry = f" · retry {len(delivery.tries)} of {RETRIES} within a minute"
    summary = (
        f'<span class="tag {kind}">{escape(words)}</span>{rule} '
        f'{escape(event["type"])}<span class="mute">{escape(about)}{retry}</span>'
    )
    tries = "; ".join(
        f"{_moment(one['at'])} {one['status'] or one['error']} in {one['ms']:,} ms" for one in delivery.tries[-5:]
    )
    details = [
        ("Event", f"{delivery.event}, sent as {event['type']}"),
        ("To", f"{delivery.host} (webhook {delivery.webhook_id})"),
        ("State", delivery.state),
        ("Next attempt", _moment(delivery.next_try) if delivery.next_try is not None else ""),
        ("Attempts", tries or "none yet"),
        ("Rule", delivery.rule),
        ("Trigger", event["triggerUuid"]),
    ]
    return _line(f"delivery-{delivery.id}", summary, details)


def _delivery_state(delivery: Delivery) -> tuple[str, str]:
    if delivery.state in (DROPPED, HELD, DELAYED):
        return "warn", delivery.state
    if not delivery.tries:
        return "", "sending"
    last = delivery.tries[-1]
    if last["status"] == 200:
        return "ok", f"200 in {last['ms']:,} ms"
    return "bad", str(last["status"] or WORDS.get(last["error"], "no answer"))


def _line(key: str, summary: str, details: Details) -> str:
    rows = "".join(f"<div><dt>{term}</dt><dd>{escape(words)}</dd></div>" for term, words in details if words)
    return f'<li id="{key}"><details><summary>{summary}</summary><dl>{rows}</dl></details></li>'


def _moment(seconds: float) -> str:
    """UTC, by the sandbox's clock."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S")


# The drawer of a demo: faults of the API, what happens to webhooks, the clock, the plan.


FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("500", {"status": 500}),
    ("503, a page", {"status": 503}),
    ("429, wait 10 s", {"status": 429, "retry_after": 10}),
    ("429, no wait said", {"status": 429}),
    ("Minute's complexity is used up", {"limit": "complexity", "retry_in": 10}),
    ("Day's calls are used up, until midnight UTC", {"limit": "daily"}),
    ("Slow by 5 s", {"slow": 5}),
    ("Write lost on the way", {"timeout": "before"}),
    ("Write done, its answer lost", {"timeout": "after"}),
    ("Every third of a batch fails", {"partial": {"every": 3}}),
    ("Cursor is too old", {"cursor": "expired"}),
    ("Listing is empty", {"listing": "empty"}),
)

RULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Hold all", {"rule": "hold"}),
    ("Drop the next", {"rule": "drop"}),
    ("Drop every 3rd", {"rule": "drop", "every": 3, "count": None}),
    ("Double the next", {"rule": "double"}),
    ("Next a minute late", {"rule": "delay", "seconds": 60}),
    ("Shuffle the next 5", {"rule": "reorder", "n": 5}),
)

RELEASES = (("Send", "send"), ("Send twice", "double"), ("Shuffle", "shuffle"), ("Drop", "drop"))
NO_CHOICE = ("body", "seconds")  # of a fault that the page has no name for
LATENCIES = ((0, "at once"), (200, "0.2 s"), (600, "0.6 s"), (2000, "2 s"))
STEPS = ((60, "+1 min"), (3600, "+1 h"), (86_400, "+1 day"))


class Tools:
    """What the drawer shows and offers; each button is a request at `/_control/`."""

    def __init__(self, clock: Clock, api: Api, deliveries: Deliveries) -> None:
        self._clock = clock
        self._api = api
        self._deliveries = deliveries

    def html(self) -> str:
        return self._calls() + self._webhooks() + self._plan() + self._time() + RESET

    def _calls(self) -> str:
        buttons = "".join(_button(words, "faults", fault) for words, fault in FAULTS)
        left = self._api.faults.remaining()
        waiting = "".join(f"<li>{escape(_fault_words(fault))}</li>" for fault in left)
        clear = _button("No more faults", "faults", None, "DELETE") if left else ""
        latencies = _select(
            "Each write takes",
            "latency",
            [({"mutation_ms": ms}, words) for ms, words in LATENCIES],
            {"mutation_ms": round(self._api.latency.mutation_ms)},
        )
        return (
            f'<section><h3>The next API call</h3><div class="wrap">{buttons}</div>'
            f"{_list('Still to come', waiting)}{clear}{latencies}</section>"
        )

    def _webhooks(self) -> str:
        buttons = "".join(_button(words, "webhooks", rule) for words, rule in RULES)
        rules = self._deliveries.rules.all()
        listed = "".join(f"<li>{escape(rule.description())}</li>" for rule in rules)
        clear = _button("No more rules", "webhooks", None, "DELETE") if rules else ""
        held = ""
        if count := self._deliveries.held_count():
            words = "1 delivery is kept back" if count == 1 else f"{count:,} deliveries are kept back"
            releases = "".join(_button(text, "webhooks/release", {"how": how}) for text, how in RELEASES)
            held = f'<p class="small held"><b>{words}</b></p><div class="wrap">{releases}</div>'
        return (
            f'<section><h3>Webhooks</h3><div class="wrap">{buttons}</div>'
            f"{_list('In force', listed)}{clear}{held}</section>"
        )

    def _plan(self) -> str:
        shown = self._api.limits.to_json()
        plans: list[tuple[dict[str, Any], str]] = [({"plan": None}, "no limits")]
        plans += [({"plan": name}, name) for name in PLANS]
        choice = _select("Limits of the plan", "plan", plans, {"plan": shown["plan"]})
        used, limits = shown["used"], shown["limits"]
        words = f"{used['day']:,.0f} calls today; nothing is refused."
        if limits is not None:
            words = (
                f"{used['day']:,.0f} of {limits['day']:,} calls today, {used['minute']:,} of {limits['minute']:,} this "
                f"minute, {used['points']:,} of {limits['points']:,} points this minute."
            )
        return f'<section><h3>API quota</h3>{choice}<p class="mute small">{words}</p></section>'

    def _time(self) -> str:
        offset = self._clock.offset_seconds
        steps = "".join(_button(words, "clock", {"offset_seconds": offset + seconds}) for seconds, words in STEPS)
        back = _button("Real time", "clock", {"offset_seconds": 0}) if offset else ""
        return (
            f'<section><h3>Clock</h3><p class="mute small">It is {self._clock.stamp()} here.</p>'
            f'<div class="wrap">{steps}{back}</div></section>'
        )


def _fault_words(fault: dict[str, Any]) -> str:
    if fault.get("naming") and fault.get("partial"):
        return f"What names {fault['naming']} is not saved, until there are no more faults"
    about = _without_count(fault)
    known = (words for words, one in FAULTS if _without_count(asdict(fault_from(one))) == about)
    own = next(known, "") or ", ".join(f"{key} {value}" for key, value in about.items() if key not in NO_CHOICE)
    return own + (f", {fault['count']} times" if fault["count"] > 1 else "")


def _without_count(fault: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fault.items() if value is not None and key not in ("count", "skip")}


def _list(title: str, lines: str) -> str:
    return f'<p class="mute small">{title}:</p><ul class="small">{lines}</ul>' if lines else ""


def _button(words: str, name: str, body: Any, method: str = "POST") -> str:
    return (
        f'<button class="button" type="button" data-send="/_control/{name}" data-method="{method}" '
        f'data-body="{escape(json.dumps(body))}">{escape(words)}</button>'
    )


def _select(words: str, name: str, options: list[tuple[dict[str, Any], str]], now: dict[str, Any]) -> str:
    known = any(value == now for value, _ in options)
    if not known:
        options = [*options, (now, ", ".join(str(one) for one in now.values()))]
    listed = "".join(
        f'<option value="{escape(json.dumps(value))}"{" selected" if value == now else ""}>{escape(text)}</option>'
        for value, text in options
    )
    return (
        f'<label class="small line">{words} <select class="button" data-send="/_control/{name}">{listed}'
        "</select></label>"
    )


RESET = """<section><h3>Start again</h3>
<button class="button danger" type="button" id="reset">Delete everything…</button></section>"""


# What open pages are sent.


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
