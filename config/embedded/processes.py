"""Child processes that end on a signal, when their parent is killed, or with the next start."""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StartError(Exception):
    """Something could not be started; the message is a sentence for a person."""


def die_with_parent(number: int) -> Callable[[], None] | None:
    """Return a preexec_fn by which the kernel sends this signal when the parent ends, however it ends.

    Linux only. Elsewhere the next start finds what a killed run left behind.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent ended before prctl
            os.kill(os.getpid(), number)

    return arrange


def is_abandoned_by_make(parent: int) -> bool:
    """Whether the `make` that started this process has ended, or got a SIGINT.

    GNU make hands a SIGTERM on, but waits for ever for its child after a SIGINT that only it got. Linux shows
    that it neither catches nor ignores SIGINT any more; elsewhere there is `make stop`.
    """
    if os.getppid() != parent:
        return True
    try:
        masks = dict(re.findall(r"^Sig(Cgt|Ign):\s*(\w+)$", Path(f"/proc/{parent}/status").read_text(), re.MULTILINE))
    except OSError:
        return False
    return not any(int(mask, 16) & 1 << signal.SIGINT - 1 for mask in masks.values())


class Child:
    """A process in a group of its own, whose output goes to a log file."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
        self.name, self.command, self.env, self.folder, self.log = name, list(command), env, folder, log
        self.process: subprocess.Popen[bytes] | None = None
        self.log_start = 0

    def start(self, **how: Any) -> None:
        """Start it; `how` is what subprocess has to know besides: whose it is, what it does first."""
        with self.log.open("ab") as out:
            self.log_start = out.tell()
            self.process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # No other thread holds a lock here.
                **{"preexec_fn": die_with_parent(signal.SIGTERM), **how},
            )

    @property
    def pid(self) -> int:
        """The main process's id; 0 before the first start."""
        return self.process.pid if self.process else 0

    @property
    def ended(self) -> int | None:
        return self.process.poll() if self.process else None

    def terminate(self) -> None:
        # The main process, not its group: Celery's pool would be killed during its warm shutdown.
        if self.process and self.process.poll() is None:
            self.process.terminate()

    def finish(self, deadline: float) -> bool:
        """Wait until `deadline` (time.monotonic()), then kill the group. True when it ended by itself."""
        if not self.process:
            return True
        try:
            self.process.wait(max(0.1, deadline - time.monotonic()))
            graceful = True
        except subprocess.TimeoutExpired:
            graceful = False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return graceful

    def stop(self, seconds: float = 15) -> bool:
        """Terminate, wait up to `seconds`, kill. True when it ended by itself."""
        self.terminate()
        return self.finish(time.monotonic() + seconds)

    def last_lines(self, count: int = 10) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace").splitlines()[-count:]


def stop_all(children: Sequence[Child], seconds: float = 15) -> list[str]:
    """Stop them side by side within `seconds`; return the names of those that had to be killed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    return [child.name for child in children if not child.finish(deadline)]


# What a killed `make run` left behind. On Linux the kernel ends it; elsewhere the next start does.


SAME_START = 0.05  # seconds; a process id that was reused belongs to a process that started later


def _pid_file(var: Path) -> Path:
    return var / "run.pids"


def write_pids(var: Path, pids: Iterable[int]) -> None:
    lines = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            lines.append(f"{pid} {psutil.Process(pid).create_time()}\n")
    _pid_file(var).write_text("".join(lines))


def forget_children(var: Path) -> None:
    _pid_file(var).unlink(missing_ok=True)


def end_leftovers(var: Path, seconds: float = 10) -> list[int]:
    """End what is recorded and still runs, and return the ids.

    SIGTERM first (PostgreSQL: SIGINT, its fast shutdown), after `seconds` SIGKILL to the group.
    """
    found = list(_running_processes(var))
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT if process.name() == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(found, timeout=seconds)
    for process in stubborn:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # each is the leader of a group of its own
    forget_children(var)
    return [process.pid for process in found]


def _running_processes(var: Path) -> Iterable[psutil.Process]:
    with contextlib.suppress(FileNotFoundError):
        for line in _pid_file(var).read_text().splitlines():
            pid, started = line.split()
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if abs(process.create_time() - float(started)) < SAME_START:
                    yield process
