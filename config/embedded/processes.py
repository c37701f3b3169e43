"""Child processes that end when they are told to, and when their parent is killed."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StartError(Exception):
    """Something could not be started; the message is a sentence for a person."""


def die_with_parent(number: int) -> Callable[[], None] | None:
    """A preexec_fn by which the kernel sends this signal when the parent ends, however it ends.

    Linux only. Elsewhere the next start finds what a killed one left behind.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # the parent ended before prctl
            os.kill(os.getpid(), number)

    return arrange


class Child:
    """A process in a group of its own, whose output goes to a log file."""

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path
    ) -> None:
        self.name, self.command, self.env, self.folder, self.log = name, list(command), env, folder, log
        self.process: subprocess.Popen[bytes] | None = None
        self.log_start = 0

    def start(self) -> None:
        """Start it, or start it again."""
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
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no other thread holds a lock here
            )

    @property
    def pid(self) -> int:
        """The main process's id; 0 before the first start."""
        return self.process.pid if self.process else 0

    @property
    def ended(self) -> int | None:
        """The exit code once it has ended, None while it runs."""
        return self.process.poll() if self.process else None

    def terminate(self) -> None:
        """Ask the main process to end. Not its group: Celery's pool would be shot under its warm shutdown."""
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
        """The last lines that this start of the process wrote."""
        with self.log.open("rb") as file:
            file.seek(self.log_start)
            return file.read().decode(errors="replace").splitlines()[-count:]


def stop_all(children: Sequence[Child], seconds: float = 15) -> list[str]:
    """Stop them side by side within `seconds`; returns the names of those that had to be killed."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    return [child.name for child in children if not child.finish(deadline)]
