"""The client of a dry run: reads go out and are booked on the allowance; what would write never leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from django.db import connection, connections

from sync import account
from sync.budget import Metered
from sync.connectors.monday.answers import Answer

LOCK_TIMEOUT = "5s"
"""The bookkeeping of a call must never wait for the transaction that the call is made in."""


class WouldWrite(RuntimeError):
    """A dry run came to a mutation: a fault of this program. Nothing was sent."""


class ReadsOnly(Metered):
    """Counts its calls and their points. Each is made, and booked, over a database connection of its own.

    A dry run takes its transaction back, but not the calls that it has made.
    """

    def __init__(self, metered: Metered) -> None:
        super().__init__(metered.inner, urgent=metered.urgent)
        self.calls = 0
        self.points = 0
        self._booking = ThreadPoolExecutor(1, "dry-run", initializer=_patience)

    def execute(
        self, document: str, variables: Mapping[str, Any], *, idempotency_key: str | None = None
    ) -> Answer:
        """Send a query; raises WouldWrite for a mutation, MondayError as Metered does."""
        if document.lstrip().startswith("mutation"):
            raise WouldWrite("A dry run came to a call that writes. It was not sent. Please report it.")
        self.calls += 1
        context, send = copy_context(), super().execute
        answer: Answer = self._booking.submit(context.run, send, document, variables).result()
        self.points += answer.complexity.query if answer.complexity else 0
        return answer

    def close(self) -> None:
        """Close the connection over which calls were booked."""
        self._booking.submit(connections.close_all).result()
        self._booking.shutdown()


@contextmanager
def reading_only() -> Iterator[ReadsOnly]:
    """Let everything inside read from Monday and write nothing there."""
    client = ReadsOnly(account.client())
    try:
        with account.calling(client):
            yield client
    finally:
        client.close()


def _patience() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [LOCK_TIMEOUT])
