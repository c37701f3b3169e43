"""`python -m sandbox`: run the simulator, put together as its options say, or play a recording.

A recording (`--replay FILE`) is what `manage.py monday_check --probe` wrote: `{"api_version", "exchanges": [{"request",
"answer"} or {"delivery"}]}`. The same requests get their answers in the order of the recording, and the last one for
ever after; the webhooks that came behind an answer are posted before it is given, to the address that create_webhook
named last.
"""

import argparse
import gc
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import requests
import waitress

from sandbox.api import Api, CallLog
from sandbox.api_limits import PLANS, Plan
from sandbox.clock import Clock
from sandbox.control import Control
from sandbox.http import Application, BadRequestError, Guard, NpdAddress, Request, Response, json_response, route
from sandbox.oauth import OAuth
from sandbox.pages import Pages
from sandbox.pages.faults import FaultsPage
from sandbox.webhooks.deliveries import Deliveries, DeliveryStore, Sender
from sandbox.world import World

# A recording, played.


POST_SECONDS = 10
# They belong to a connection or to the body's new form, and the server sets them itself.
OWN_HEADERS = ("content-type", "content-length", "content-encoding", "transfer-encoding")


class UnreadableRecording(Exception):
    """The file is no recording; the message says what is wrong with it."""


@dataclass
class Turn:
    """One kind of request: its answers in their order, and how many were given."""

    answers: list[tuple[dict[str, Any], list[Any]]] = field(default_factory=list)
    given: int = 0

    def next(self) -> tuple[dict[str, Any], list[Any]]:
        found = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        # Webhooks came once.
        return found if self.given <= len(self.answers) else (found[0], [])


class Recording:
    """Answers as recorded, by what was asked."""

    def __init__(self, recorded: Any) -> None:
        self._turns: dict[str, Turn] = {}
        self._unknown: list[dict[str, Any]] = []
        self._address = ""
        self._lock = threading.Lock()
        deliveries: list[Any] = []
        for request, answer in _exchanges(recorded):
            if answer is None:
                deliveries.append(request)
            else:
                deliveries = []
                turn = self._turns.setdefault(_kind(request), Turn())
                turn.answers.append((answer, deliveries))

    def post(self, request: Request) -> Response:
        """Give the recorded answer; 404 with the request where it holds none."""
        asked = request.object()
        version = request.header("API-Version")
        with self._lock:
            if address := _webhook_address(asked):
                self._address = address
            turn = self._turns.get(_kind(asked | {"version": version})) or self._turns.get(_kind(asked))
            if turn is None:
                self._unknown.append(asked)
                message = "The recording has no such request; GET /_control/replay lists those that it lacked."
                return json_response({"errors": [{"message": message}]}, 404)
            answer, deliveries = turn.next()
        for event in deliveries:
            requests.post(self._address, json={"event": event}, timeout=POST_SECONDS)
        headers = {name: text for name, text in answer["headers"].items() if name.lower() not in OWN_HEADERS}
        if isinstance(answer["body"], str):
            return Response(answer["status"], answer["body"].encode(), {"Content-Type": "text/html"} | headers)
        return json_response(answer["body"], answer["status"], headers)

    def progress(self, request: Request) -> Response:
        """How many recorded answers were given, how many are left, and what was asked in vain."""
        with self._lock:
            turns = self._turns.values()
            given = sum(min(turn.given, len(turn.answers)) for turn in turns)
            left = sum(len(turn.answers) for turn in turns) - given
            return json_response({"given": given, "left": left, "unknown": self._unknown})


def replaying(file: Path, host: str, site_url: str) -> Application:
    """A server that plays this file. UnreadableRecording when it is none."""
    try:
        recording = Recording(json.loads(file.read_text(encoding="utf-8")))
    except OSError as failure:
        raise UnreadableRecording(f"{file} can't be read: {failure.strerror}") from failure
    except (ValueError, LookupError, TypeError, AttributeError) as failure:
        words = "is no recording of `manage.py monday_check --probe`"
        raise UnreadableRecording(f"{file} {words} ({type(failure).__name__}: {failure})") from failure
    routes = [route("POST", "/v2", recording.post), route("GET", "/_control/replay", recording.progress)]
    return Application(routes, Guard(host, site_url))


def _exchanges(recorded: Any) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    for one in recorded["exchanges"]:
        if "delivery" in one:
            yield one["delivery"], None
        else:
            answer = {name: one["answer"][name] for name in ("status", "headers", "body")}
            yield one["request"], answer


def _kind(request: dict[str, Any]) -> str:
    """What makes two requests the same: document, variables and a version asked for; neither key nor addresses."""
    variables = {name: _without_address(value) for name, value in (request.get("variables") or {}).items()}
    return json.dumps([" ".join(request["query"].split()), variables, request.get("version")], sort_keys=True)


def _without_address(value: Any) -> Any:
    return "address" if isinstance(value, str) and urlsplit(value).scheme in ("http", "https") else value


def _webhook_address(asked: dict[str, Any]) -> str:
    variables = asked.get("variables") or {}
    if "create_webhook" not in str(asked.get("query")):
        return ""
    found = next((value for value in variables.values() if _without_address(value) == "address"), "")
    if not isinstance(found, str):
        raise BadRequestError("a webhook's address is a text")
    return found


# The sandbox put together.


@dataclass(frozen=True)
class Settings:
    site_url: str
    token: str | None = None
    signing_secret: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    data: str | None = None
    page_url: str | None = None
    npd: NpdAddress | None = None
    host: str = "127.0.0.1"
    plan: Plan | None = None


def build(settings: Settings) -> Application:
    world = World(Clock(), settings.data)
    world.site_url = settings.site_url
    world.page_url = settings.page_url or settings.site_url
    deliveries = Deliveries(world, Sender(settings.signing_secret, settings.npd), DeliveryStore(settings.data))
    oauth = OAuth(world.clock, settings.client_id, settings.client_secret)
    api = Api(world, deliveries, CallLog(), settings.token, settings.plan, oauth)
    world.listen(deliveries.on_events)
    deliveries.start()
    control = Control(world, api, deliveries)
    npd_url = settings.npd.public if settings.npd else None
    pages = Pages(world, FaultsPage(world.clock, api, deliveries), npd_url, control.forget)
    routes = [route("POST", "/v2", api.post), *control.routes(), *oauth.routes(), *pages.routes()]
    return Application(routes, Guard(settings.host, world.site_url, world.page_url))


# The largest plan lets 250 requests in at once, and a page is read meanwhile.
THREADS = 280
CONNECTIONS = 1_000
# A full collection walks every item of every board, and Python's defaults make one each few requests.
GARBAGE = (50_000, 20, 100)
ENVIRONMENT_OPTIONS = ""


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The options; secrets that are not on the command line come from the environment, which `ps` doesn't show.

    A signing secret in the environment alone signs nothing: without the option, webhooks are those of a personal token.
    """
    parser = _parser()
    chosen = parser.parse_args(given)
    if chosen.signing_secret == ENVIRONMENT_OPTIONS:
        chosen.signing_secret = os.environ.get("MONDAY_SIGNING_SECRET")
        if not chosen.signing_secret:
            parser.error("--signing-secret has no value, and MONDAY_SIGNING_SECRET is not set. Set one of them.")
    if chosen.npd_via and not chosen.npd_url:
        parser.error("--npd-via is another way to --npd-url, which is not given. Give both.")
    return chosen


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A Monday.com simulator.")
    add = parser.add_argument
    add("--port", type=int, required=True)
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    for option, name, words in (
        ("--token", "MONDAY_API_KEY", "the API token that is accepted; without any, every one is"),
        ("--client-id", "MONDAY_CLIENT_ID", "the app that may ask for authorization; without any, the sandbox's own"),
        ("--client-secret", "MONDAY_CLIENT_SECRET", "its secret; without any, the sandbox's own"),
    ):
        add(option, default=os.environ.get(name), help=f"{words} (default: {name} of the environment)")
    signing = "sign webhooks, as an app's are; without a value, with MONDAY_SIGNING_SECRET of the environment"
    add("--signing-secret", nargs="?", const=ENVIRONMENT_OPTIONS, help=signing)
    replay = "answer with what `manage.py monday_check --probe` recorded instead of playing Monday"
    add("--replay", metavar="FILE", help=replay)
    add("--data", metavar="FILE", help="keep the boards in this file; without it, in memory")
    add("--npd-url", help="where NPD is, for links from items to records")
    via = "the address by which calls from here reach --npd-url, where that is another one (containers)"
    add("--npd-via", help=via)
    plan = "refuse what is over this plan's published limits; without it nothing is limited"
    add("--plan", choices=list(PLANS), help=plan)
    add("--site-url", help="how callers reach this sandbox (default: http://HOST:PORT)")
    add("--page-url", help="how browsers reach it, for links (default: --site-url)")
    return parser


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        site_url=(options.site_url or f"http://{options.host}:{options.port}").rstrip("/"),
        token=options.token,
        signing_secret=options.signing_secret,
        client_id=options.client_id,
        client_secret=options.client_secret,
        data=options.data,
        page_url=options.page_url.rstrip("/") if options.page_url else None,
        npd=NpdAddress(options.npd_url.rstrip("/"), options.npd_via) if options.npd_url else None,
        host=options.host,
        plan=PLANS.get(options.plan),
    )


def main() -> int:
    options = arguments()
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    # waitress warns of every request that finds no free thread: in a burst a line each.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    settings = _settings(options)
    gc.set_threshold(*GARBAGE)
    sandbox = None if options.replay else build(settings)
    try:
        server = waitress.create_server(
            sandbox or replaying(Path(options.replay), options.host, settings.site_url),
            host=options.host,
            port=options.port,
            threads=THREADS,
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,  # select() fails above 1,024 file descriptors
            # Without it waitress doesn't read while a request is worked, and sees nobody hang up (`client_gone`).
            channel_request_lookahead=1,
            ident="sandbox",
        )
    except UnreadableRecording as failure:
        print(failure, file=sys.stderr)
        return 1
    except OSError as failure:
        where = f"{options.host}:{options.port}"
        print(f"The sandbox can't listen on {where}: {failure.strerror}. Choose another --port.", file=sys.stderr)
        return 1

    def stop(signum: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    where = f"{settings.site_url} (boards), " if sandbox else f"the answers recorded in {options.replay}, "
    print(f"Monday sandbox on {where}{settings.site_url}/v2 (API)", flush=True)
    try:
        server.run()
    except SystemExit:
        server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
