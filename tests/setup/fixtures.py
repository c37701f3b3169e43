"""What set-up needs: a sandbox, settings that point at it, and an address that answers Monday's challenge."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tests.support import serving as support
from tests.support.sandbox import Sandbox
from tests.support.serving import Quiet, local


class _Echo(Quiet):
    """Answers every delivery with its own body, as the handshake wants it."""

    def reply(self) -> None:
        self.server.paths.append(self.path)  # type: ignore[attr-defined]
        self.answer(self.body())


@contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """A web server that answers the challenge; `paths` lists where it was called."""
    server = local(_Echo)
    server.paths = []  # type: ignore[attr-defined]
    with support.serving(server):
        yield server


@pytest.fixture
def receiver() -> Iterator[ThreadingHTTPServer]:
    """An address that Monday can reach."""
    with serving() as server:
        yield server


@pytest.fixture
def monday(sandbox: Sandbox, settings: Any, receiver: ThreadingHTTPServer) -> Sandbox:
    """An empty Monday account that can reach this installation."""
    settings.MONDAY_API_URL = sandbox.api_url
    settings.SITE_URL = f"http://127.0.0.1:{receiver.server_address[1]}"
    settings.MONDAY_CONTACTS_BOARD_ID = settings.MONDAY_ORGANIZATIONS_BOARD_ID = ""
    return sandbox


@pytest.fixture
def run() -> Callable[..., str]:
    """Run a management command and return what it printed."""

    def command(*arguments: str) -> str:
        out = StringIO()
        call_command(*arguments, stdout=out)
        return out.getvalue()

    return command
