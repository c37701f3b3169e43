"""Waiting until something is true instead of sleeping, and doing several things at the same time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from django.db import connections

from sync.kernel.db import fetch_rows

Found = TypeVar("Found")
FIRST_LOOK, LOOK_SECONDS = 0.002, 0.03  # most waits end within a few milliseconds


def wait_for(description: str, condition: Callable[[], Found], seconds: float = 120) -> Found:
    """Return the first truthy answer of `condition`, or fail with `description` after `seconds`."""
    deadline, pause = time.monotonic() + seconds, FIRST_LOOK
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{description}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(2 * pause, LOOK_SECONDS)
    return answer


def beside(act: Callable[[], Found]) -> "Future[Found]":
    """Begin this now in a session of its own; the caller waits for its `result`."""
    future: Future[Found] = Future()

    def run() -> None:
        try:
            try:
                result = act()
            finally:
                connections.close_all()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    threading.Thread(target=run, daemon=True).start()
    return future


def at_once(*acts: Callable[[], Found]) -> list[Found]:
    """The results of these acts, all begun at the same moment, each in its own session."""
    together = threading.Barrier(len(acts))

    def begun(act: Callable[[], Found]) -> Found:
        together.wait(60)
        return act()

    return [future.result(60) for future in [beside(partial(begun, act)) for act in acts]]


def somebody_waits(kind: str = "<> 'advisory'") -> bool:
    return bool(fetch_rows(f"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype {kind}"))


def somebody_waits_for_us() -> bool:
    """Whether another session waits for a lock that this one has."""
    waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(fetch_rows(waits))
