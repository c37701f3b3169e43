"""What a killed `make run` left behind. On Linux the kernel ends it; elsewhere the next start does."""

import contextlib
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

SAME_START = 0.05  # seconds; a process id that was given again belongs to a process that started later


def _file(var: Path) -> Path:
    return var / "run.pids"


def remember(var: Path, pids: Iterable[int]) -> None:
    """Note these processes with their start times."""
    lines = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.append(f"{pid} {psutil.Process(pid).create_time()}\n")
    _file(var).write_text("".join(lines))


def forget(var: Path) -> None:
    """All of them have ended."""
    _file(var).unlink(missing_ok=True)


def end(var: Path, seconds: float = 10) -> list[int]:
    """End what is noted and still runs, and return the ids.

    SIGTERM first (PostgreSQL: SIGINT, its fast shutdown), after `seconds` SIGKILL to the group.
    """
    found = list(_still_running(var))
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(found, timeout=seconds)
    for process in stubborn:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # each is the leader of a group of its own
    forget(var)
    return [process.pid for process in found]


def _still_running(var: Path) -> Iterable[psutil.Process]:
    with contextlib.suppress(FileNotFoundError):
        for line in _file(var).read_text().splitlines():
            pid, started = line.split()
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if abs(process.create_time() - float(started)) < SAME_START:
                    yield process
