"""Whether this worker was told to end. What runs asks between two steps, and before each call to Monday.

The pool's processes ignore signals, so the main process tells them by a byte of memory that they share: it is made
when this module is imported, before the pool is forked. In a pool of threads, or in none, it is an ordinary flag.
"""

from __future__ import annotations

import mmap
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

LOOK_SECONDS = 0.05
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_byte = mmap.mmap(-1, 1)


def ask() -> None:
    """Tell this process, and all that it has forked, to end soon."""
    _byte[0] = 1


def withdraw() -> None:
    """Go on after all: the process that asked lives on and works again."""
    _byte[0] = 0


def asked() -> bool:
    """Whether the worker was told to end."""
    return bool(_byte[0])


def wait(seconds: float) -> bool:
    """Wait so many seconds, less when the worker is told to end; return whether it was."""
    until = time.monotonic() + seconds
    while not asked() and (left := until - time.monotonic()) > 0:
        time.sleep(min(LOOK_SECONDS, left))
    return asked()


@dataclass
class Interrupted:
    """Which signal came, 0 for none."""

    number: int = 0

    @property
    def exit_code(self) -> int:
        """What a shell expects of a program that a signal ended."""
        return 128 + self.number


@contextmanager
def on_signals() -> Iterator[Interrupted]:
    """Take Ctrl-C and TERM inside as being asked; a second one ends the process at once.

    Only a main thread can take signals; in another nothing is changed.
    """
    came = Interrupted()
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def take(number: int, frame: FrameType | None) -> None:
        came.number = number
        _put_back(former)
        ask()

    former = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield came
    finally:
        _put_back(former)
        if came.number:
            withdraw()


def _put_back(former: Mapping[signal.Signals, Any]) -> None:
    for number, handler in former.items():
        signal.signal(number, handler)
