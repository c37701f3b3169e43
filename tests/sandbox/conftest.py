"""The sandbox within this process or as a child process, and a receiver of its webhooks."""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.__main__ import Settings, build
from tests.support.in_process import Hooks, by_address
from tests.support.sandbox import Sandbox
from tests.support.servers import free_port
from tests.support.site import start_child
from tests.support.waiting import wait_for

TOKEN = "a-token-for-tests"
COLUMNS = {
    "email": "email",
    "phone": "phone",
    "role": "text",
    "notes": "long_text",
    "amount": "numbers",
    "stage": "status",
    "kinds": "dropdown",
    "day": "date",
    "site": "link",
    "ticked": "checkbox",
    "npd_id": "text",
}


class Simulator(Sandbox):
    """A test's own sandbox within this process, used by requests only."""

    def __init__(self, **settings: Any) -> None:
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", TOKEN, "")
        self.start(**settings)

    def start(self, **settings: Any) -> None:
        options = {"token": TOKEN} | settings
        by_address[urlsplit(self.url).netloc] = build(Settings(**options))

    def post(self, document: str, variables: dict[str, Any] | None = None, **headers: str) -> requests.Response:
        """Send one request to /v2; header names have underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(
            self.api_url,
            json={"query": document, "variables": variables or {}},
            headers={"Authorization": TOKEN} | named,
            timeout=20,
        )

    def data(self, document: str, **variables: Any) -> Any:
        """The data of an answer, which must have no errors."""
        answer = self.query(document, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def board(self, columns: dict[str, str] | None = None) -> str:
        board = self.add_board("Contacts")
        for column, column_type in (COLUMNS if columns is None else columns).items():
            self.add_column(board, column, "NPD ID" if column == "npd_id" else column.capitalize(), column_type)
        return board

    def new_item(self, board: str, name: str = "Ada", **values: Any) -> str:
        created = self.data(
            "mutation ($b: ID!, $n: String!, $v: JSON) { create_item(board_id: $b, item_name: $n,"
            " column_values: $v, create_labels_if_missing: true) { id } }",
            b=board,
            n=name,
            v=json.dumps(values),
        )
        return created["create_item"]["id"]

    def change(self, board: str, item: str, values: dict[str, Any]) -> dict[str, Any]:
        return self.query(CHANGE, b=board, i=item, v=json.dumps(values))

    def webhooks(self) -> dict[str, Any]:
        return self.control("webhooks", "GET")

    def subscribe(self, board: str, url: str, event: str) -> dict[str, Any] | None:
        hook: dict[str, Any] | None = self.data(
            "mutation ($b: ID!, $u: String!, $e: WebhookEventType!) {"
            " create_webhook(board_id: $b, url: $u, event: $e) { id event board_id } }",
            b=board,
            u=url,
            e=event,
        )["create_webhook"]
        return hook


CHANGE = """mutation ($b: ID!, $i: ID!, $v: JSON!) {
  change_multiple_column_values(board_id: $b, item_id: $i, column_values: $v) { id name updated_at } }"""


class Process(Simulator):
    """A sandbox as a process with its own options, used over connections."""

    def __init__(self, *options: str) -> None:
        self._options = options
        super().__init__()

    def start(self, **_: Any) -> None:
        command = [sys.executable, "-m", "sandbox", "--port", str(self.port), "--token", TOKEN, *self._options]
        self._child = start_child(f"sandbox-{self.port}", command, dict(os.environ), f"{self.url}/")

    def stop(self, kill: bool = False) -> int | None:
        """End the process, by SIGKILL if asked; return its exit code."""
        if kill:
            os.kill(self._child.pid, signal.SIGKILL)
        self._child.stop(60)
        return self._child.ended

    def close(self) -> None:
        self.session.close()
        self.stop()


class Receiver(Hooks):
    """NPD's endpoint with a status of the test's choice; it also keeps the environment of each call."""

    def __init__(self) -> None:
        super().__init__()
        self.status = "200 OK"
        self.calls: list[dict[str, Any]] = []
        self.challenges: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        [body] = super().__call__(environ, lambda status, headers: start_response(self.status, headers))
        (self.challenges if "challenge" in json.loads(body) else self.calls).append(environ)
        return [body]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body)["event"] for body, *_ in self.deliveries]

    def wait(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait for `count` events, and return them."""
        wait_for(f"{count} webhooks arrive (there are {len(self.calls)})", lambda: len(self.calls) >= count)
        return self.events


@pytest.fixture(scope="session")
def own() -> Simulator:
    return Simulator()


@pytest.fixture
def simulator(own: Simulator) -> Simulator:
    own.reset()
    return own


@pytest.fixture(scope="session")
def running() -> Iterator[Process]:
    simulator = Process()
    yield simulator
    simulator.close()


@pytest.fixture
def live(running: Process) -> Process:
    """`simulator` as a process, for tests about connections."""
    running.reset()
    return running


@pytest.fixture
def board(simulator: Simulator) -> str:
    return simulator.board()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().receiving() as receiver:
        yield receiver
