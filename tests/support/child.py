"""Child processes that tests and benches start, of the Procfile and others: each in its own group, with a log."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from config.embedded.postgres import die_with_parent

ROOT = Path(__file__).resolve().parent.parent.parent


def command_of(name: str) -> list[str]:
    """Return the Procfile's command of a process; further arguments can be appended."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    line = dict(line.split(": ", 1) for line in lines)[name]
    return ["sh", "-c", f'PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"; {line} "$@"', name]


class Child:
    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, log: Path) -> None:
        self.name, self.command, self.env, self.folder, self.log = name, list(command), env, folder, log
        self.process: subprocess.Popen[bytes] | None = None
        self.log_start = 0  # the file also has the lines of earlier starts

    def start(self) -> None:
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
        """The exit code; None while it runs or before the first start."""
        return self.process.poll() if self.process else None

    def terminate(self) -> None:
        # Not to its group: that would kill Celery's pool during its warm shutdown.
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


def stop_all(children: Sequence[Child], seconds: float) -> None:
    for child in children:
        child.terminate()
    deadline = time.monotonic() + seconds
    for child in children:
        child.finish(deadline)
