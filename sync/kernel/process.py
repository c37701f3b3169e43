"""Shutting down: a flag that long work checks wherever it may end; limits of time and answers; garbage collection."""

import gc
import mmap
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import requests

Result = TypeVar("Result")

SHUTDOWN_POLL_SECONDS = 0.05

# One byte of memory shared with forked Celery children: only the main process gets the signal.
_shutdown_flag = mmap.mmap(-1, 1)


def request_shutdown() -> None:
    """Ask this process and its forked children to end soon."""
    _shutdown_flag[0] = 1


def cancel_shutdown() -> None:
    """Withdraw the request: the process goes on working."""
    _shutdown_flag[0] = 0


def is_shutting_down() -> bool:
    return bool(_shutdown_flag[0])


def wait_or_shutdown(seconds: float) -> bool:
    """Wait until the time is over or a shutdown is requested; return whether it was requested."""
    until = time.monotonic() + seconds
    # In short steps, because a forked child can't be woken: it only sees the flag.
    while not is_shutting_down() and (seconds_left := until - time.monotonic()) > 0:
        time.sleep(min(SHUTDOWN_POLL_SECONDS, seconds_left))
    return is_shutting_down()


def call_within(seconds: float, function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """Call a function in a thread, and return what it returns; raises TimeoutError if it takes longer.

    A server that answers byte by byte, or accepts a connection and stays silent, outlasts the timeouts of libraries.
    """
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:
            future.set_exception(error)

    # A daemon: the end of the process would wait for any other thread.
    threading.Thread(target=call, name="within", daemon=True).start()
    return future.result(timeout=seconds)


# The most that is read of an answer that is small if it is sound.
MAX_ANSWER_BYTES = 1_000_000


def cut_off(answer: "requests.Response", **options: Any) -> None:
    """Keep the first bytes of an answer, decoded: a hook for requests with `stream`."""
    content = b""
    for chunk in answer.iter_content(65_536):
        content += chunk
        if len(content) >= MAX_ANSWER_BYTES:
            break
    answer.close()
    answer._content = content  # what later readers get; there is no public way


class Interruption:
    """The signal that interrupted a command, 0 for none."""

    signal_number: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code that a shell expects from a program ended by this signal."""
        return 128 + self.signal_number


@contextmanager
def shutdown_on_signals() -> Iterator[Interruption]:
    """Make Ctrl-C and TERM request a shutdown of what runs inside; a second signal ends the process at once.

    Only the main thread receives signals; elsewhere this does nothing.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    # Read before the first is replaced: a signal may come at once, and its handler restores both.
    former_handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def request_once(number: int, frame: FrameType | None) -> None:
        interruption.signal_number = number
        _install_handlers(former_handlers)
        request_shutdown()

    try:
        _install_handlers(dict.fromkeys(former_handlers, request_once))
        yield interruption
    finally:
        _install_handlers(former_handlers)
        # The flag outlives this block: later work in the same process would end at once.
        if interruption.signal_number:
            cancel_shutdown()


def _install_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


# Measured over 120 pages: the slowest collection took 191 ms with Python's defaults (700, 10, 10), 57 after
# gc.freeze(), 33 with these thresholds too; 50,000 made it 53 again.
GC_THRESHOLDS = (5_000, 10, 10)


def freeze_loaded_objects() -> None:
    """Exclude the objects loaded so far from later garbage collections; they live as long as the process."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
