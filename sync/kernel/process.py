"""The running process: whether it shall shut down, its garbage, and the context of its log lines."""

import gc
import mmap
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from structlog.contextvars import bound_contextvars

SHUTDOWN_POLL_SECONDS = 0.05
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_shutdown_flag = mmap.mmap(-1, 1)


def request_shutdown() -> None:
    _shutdown_flag[0] = 1


def cancel_shutdown() -> None:
    """Take the request back: the process that asked lives on and works again."""
    _shutdown_flag[0] = 0


def is_shutting_down() -> bool:
    return bool(_shutdown_flag[0])


def wait(seconds: float) -> bool:
    """Wait so many seconds, less when asked to shut down; return whether it was."""
    until = time.monotonic() + seconds
    while not is_shutting_down() and (seconds_left := until - time.monotonic()) > 0:
        time.sleep(min(SHUTDOWN_POLL_SECONDS, seconds_left))
    return is_shutting_down()


# Measured over 120 pages (docs/decisions/0019-what-it-runs-on.md): the slowest collection took 191 ms as Python has it
# (700, 10, 10) and with all that is loaded, 57 without that, 33 with these; 50,000 made it 53 again.
GARBAGE = (5_000, 10, 10)


def spare_loaded_code() -> None:
    """Leave out of every later garbage collection what is loaded by now, which lives as long as the process."""
    gc.freeze()
    gc.set_threshold(*GARBAGE)


@dataclass
class Interruption:
    """Which signal came, 0 for none."""

    signal_number: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code that a shell expects of a program that a signal ended."""
        return 128 + self.signal_number


@contextmanager
def shutdown_on_signals() -> Iterator[Interruption]:
    """Treat Ctrl-C and TERM inside as a request to shut down; a second signal ends the process at once.

    Only a main thread can receive signals; in another one nothing is changed.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def handle(number: int, frame: FrameType | None) -> None:
        interruption.signal_number = number
        _restore_handlers(handlers)
        request_shutdown()

    handlers = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        _restore_handlers(handlers)
        if interruption.signal_number:
            cancel_shutdown()


def _restore_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


# The log context of a piece of work: the board, and the pass by the id that the ledger keeps.
#
# Bound to the context and not to a logger, so that lines of libraries have it too, and it ends with the work.


@contextmanager
def pass_log_context(entity_type: str) -> Iterator[uuid.UUID]:
    """Lines inside name the board and one pass.

    Yields the pass's id, which becomes the ledger's sync_batch_id.
    """
    batch_id = uuid.uuid4()
    with bound_contextvars(board=entity_type, batch=str(batch_id)):
        yield batch_id
