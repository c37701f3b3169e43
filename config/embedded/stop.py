"""`make stop`: end the run of this folder from another terminal. The standard library only: it is quick."""

import contextlib
import fcntl
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

LOCK = Path(__file__).resolve().parent.parent.parent / "var" / "run.lock"
STOP_SECONDS = 60.0  # seconds; the run itself kills what doesn't end in 20
LOOK_SECONDS = 0.05


def main(path: Path = LOCK) -> int:
    """End the run that holds the lock, and wait until it has ended; 0 also where nothing runs."""
    try:
        lock = path.open("r+")
    except FileNotFoundError:
        print("Nothing runs in this folder.")
        return 0
    except PermissionError:
        print(f"{path} belongs to another user. Type `make stop` as the user who typed `make run`.")
        return 1
    with lock:
        return _end_holder(lock)


def _end_holder(lock: IO[str]) -> int:
    if _is_free(lock):
        print("Nothing runs in this folder.")
        return 0
    begun = time.monotonic()
    # The holder writes who it is a moment after it has the lock, and nothing at all if it is `make reset`.
    _wait_until(lambda: _holder(lock) or _is_free(lock), 3)
    pid = _holder(lock)
    if not pid:
        print("`make reset` holds this folder, or a run that is just starting. Try again when it is done.")
        return 1
    print(f"Stopping the run of this folder (process {pid}) …", flush=True)
    try:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    except PermissionError:
        print(f"Process {pid} belongs to another user. Type `make stop` as the user who typed `make run`.")
        return 1
    if not _wait_until(lambda: _is_free(lock), STOP_SECONDS):
        print(f"Process {pid} has not ended after {STOP_SECONDS:.0f} seconds. Its terminal says what it waits for.")
        return 1
    print(f"All ended (after {time.monotonic() - begun:.1f} s).")
    return 0


def _is_free(lock: IO[str]) -> bool:
    """Whether nobody holds the lock, so that no process of a run is left."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def _holder(lock: IO[str]) -> int:
    lock.seek(0)
    found = re.match(r"process (\d+), ", lock.read())
    return int(found[1]) if found else 0


def _wait_until(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


if __name__ == "__main__":
    sys.exit(main())
