"""A mail server, and chat servers."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import responses

from tests.support.receivers import MailServer
from tests.support.serving import serving

TOKEN = "TIiajkdnlazkcOXrIdevi7FQ"
SLACK = f"https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/{TOKEN}"


@pytest.fixture
def mail(settings: Any) -> Iterator[MailServer]:
    with serving(MailServer()) as server:
        settings.EMAIL_BACKEND = "sync.kernel.mails.EmailBackend"  # pytest-django puts its own there
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield server


class Chats:
    """Every chat host: keeps what was posted, calls `before`, answers `status`, `body` and `headers`."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.status: int | BaseException = 200
        self.body: str | bytes = "ok"
        self.headers: dict[str, str] = {}
        self.before: Callable[[], object] = bool

    def answer(self, request: Any) -> tuple[int, dict[str, str], str | bytes]:
        self.calls.append(request)
        self.before()
        if isinstance(self.status, BaseException):
            raise self.status
        return self.status, self.headers, self.body

    @property
    def posted(self) -> list[Any]:
        return [json.loads(call.body) for call in self.calls]


@pytest.fixture
def chats() -> Iterator[Chats]:
    recorder = Chats()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as hosts:
        for method in ("GET", "POST"):
            hosts.add_callback(method, re.compile("https?://"), recorder.answer)
        yield recorder
