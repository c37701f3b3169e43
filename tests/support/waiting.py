"""Waiting until something is true instead of sleeping, and doing several things at the same time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from django.db import connections

from sync.kernel.db import fetch_rows

Result = TypeVar("Result")
FIRST_PAUSE = 0.002  # seconds; most waits end within a few milliseconds
LONGEST_PAUSE = 0.03


def wait_for(description: str, condition: Callable[[], Result], seconds: float = 120) -> Result:
    """Return the first truthy answer of `condition`, or fail with `description` after `seconds`."""
    deadline = time.monotonic() + seconds
    pause = FIRST_PAUSE
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{description}: not within {seconds} s; the last answer was {answer!r}")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
    return answer


def in_background(act: Callable[[], Result]) -> "Future[Result]":
    """Run an act in a thread with a database session of its own; the caller waits for the future's `result`."""
    future: Future[Result] = Future()

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


def at_once(*acts: Callable[[], Result]) -> list[Result]:
    """Begin these acts at the same moment, each in a session of its own, and return their results."""
    barrier = threading.Barrier(len(acts))

    def begin(act: Callable[[], Result]) -> Result:
        barrier.wait(60)
        return act()

    return [future.result(60) for future in [in_background(partial(begin, act)) for act in acts]]


def somebody_waits(locktype: str = "<> 'advisory'") -> bool:
    """Return whether a session waits for a lock whose type fits this condition."""
    return bool(fetch_rows(f"SELECT 1 FROM pg_locks WHERE NOT granted AND locktype {locktype}"))


def somebody_waits_for_us() -> bool:
    """Return whether another session waits for a lock that this one has."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    return bool(fetch_rows(waiting))
