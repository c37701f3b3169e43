"""Waiting for something to become true, instead of sleeping; and what several do at the same time."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import connection, connections

Found = TypeVar("Found")
FIRST_LOOK, LOOK_SECONDS = 0.002, 0.03  # most waits end within a few milliseconds


def wait_for(what: str, condition: Callable[[], Found], seconds: float = 20) -> Found:
    """The first truthy answer of `condition`; after `seconds` an AssertionError that names `what`."""
    deadline, pause = time.monotonic() + seconds, FIRST_LOOK
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(2 * pause, LOOK_SECONDS)
    return answer


def at_once(number: int, act: Callable[[], object]) -> None:
    """So many do this at the same moment, each with connections of its own; returns when all have."""
    together = threading.Barrier(number)

    def run() -> None:
        try:
            together.wait(60)
            act()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def somebody_waits(kind: str = "<> 'advisory'") -> bool:
    """Whether any session waits for a lock of this kind."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype {kind})")
        return bool(cursor.fetchone()[0])
