"""A system that is told by webhook, over real sockets: what it was sent, verified, and how it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from standardwebhooks.webhooks import Webhook

from tests.support.serving import Quiet, local, serving


class WebhookReceiver:
    """Keeps the bodies and headers that came; `status` and `says` are how it answers, `meanwhile` is done before."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.status = 200
        self.says = b"thanks"
        self.answered: dict[str, int] = {}
        self.meanwhile: Callable[[], object] = bool
        self.lock = threading.Lock()
        self.server = local(type("Handler", (_Taking,), {"receiver": self}))

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hooks/npd"

    @property
    def ids(self) -> list[str]:
        """The ids of the messages, as often as they came."""
        return [headers["webhook-id"] for _, headers in self.posted]

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """The messages, verified by the standard's own library."""
        return [Webhook(secret).verify(body, headers) for body, headers in self.posted]


class _Taking(Quiet):
    receiver: WebhookReceiver

    def reply(self) -> None:
        body = self.body().decode()
        with self.receiver.lock:
            self.receiver.posted.append((body, {name.lower(): value for name, value in self.headers.items()}))
        self.receiver.meanwhile()
        kind = json.loads(body)["data"].get("changes", {}).get("name", {}).get("new", "")
        self.answer(self.receiver.says, self.receiver.answered.get(kind or "", self.receiver.status))


@contextmanager
def webhook_receiver() -> Iterator[WebhookReceiver]:
    """A receiver that listens as long as the block lasts."""
    found = WebhookReceiver()
    with serving(found.server):
        yield found
