"""The test's side of `hand.py`: worker processes forked on demand."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from config.embedded.postgres import die_with_parent
from tests.support import guardian
from tests.support.servers import ROOT
from tests.support.site import log_of

ANSWER_SECONDS = 60


@dataclass
class Worker:
    """A forked worker; `report` is what it said, `ended` its exit code (negative: the signal)."""

    id: int
    pid: int = 0
    stopped: bool = False
    ended: int | None = None
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def problem(self) -> str:
        """Why it failed by itself; empty if it ended well or was killed on purpose."""
        if self.ended in (0, -signal.SIGKILL, None):
            return ""
        return str(self.report.get("error") or f"it ended with {self.ended}")


class Hand:
    """A process with the product loaded, and its forked workers."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env, self._begun_with = dict(env), dict[str, str]()
        self.process: subprocess.Popen[bytes] | None = None
        self.workers: dict[int, Worker] = {}
        self._lines = b""

    def start(self) -> None:
        """Start the process unless one runs with this environment."""
        if self.process and self.process.poll() is None and self._begun_with == self.env:
            return
        self.stop()
        self.workers.clear()
        self._begun_with, self._lines = self.env, b""
        with log_of("hand").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.hand"],
                env=self.env,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - no other thread holds a lock
            )
        guardian.watch(self.process.pid)
        self._read(lambda message: "ready" in message)

    def fork(self, do: str, at: int | None = None, end: str = "", only: str = "") -> Worker:
        """Start work; with `at`, stop (or, `end` "kill", kill) the worker at that point, or that point named `only`."""
        assert self.process
        assert self.process.stdin
        worker = Worker(len(self.workers) + 1)
        self.workers[worker.id] = worker
        command = {"id": worker.id, "do": do, "at": at, "end": end, "only": only}
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        self._read(lambda message: worker.pid != 0)
        return worker

    def wait(self, worker: Worker) -> Worker:
        self._read(lambda message: worker.stopped or worker.ended is not None)
        return worker

    def run(self, do: str) -> Worker:
        return self.wait(self.fork(do))

    def let_go(self, worker: Worker) -> Worker:
        if worker.ended is None and worker.stopped:
            worker.stopped = False
            os.kill(worker.pid, signal.SIGCONT)
        return self.wait(worker)

    def kill(self, worker: Worker) -> Worker:
        if worker.ended is None:
            worker.stopped = False
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
        return self.wait(worker)

    def stop(self) -> None:
        for worker in list(self.workers.values()):
            if worker.ended is None and worker.pid:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGKILL)
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                if pipe:
                    with suppress(OSError):
                        pipe.close()
        self.process = None

    def _read(self, enough: Any) -> None:
        assert self.process
        assert self.process.stdout
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            *lines, self._lines = self._lines.split(b"\n")
            is_done = False
            for line in lines:
                message = json.loads(line)
                self._note(message)
                is_done = is_done or bool(enough(message))
            if is_done or (not lines and enough({})):
                return
            remaining = deadline - time.monotonic()
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, remaining))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                log = "\n".join(log_of("hand").read_text(errors="replace").splitlines()[-25:])
                raise AssertionError(f"The hand gave no answer within {ANSWER_SECONDS} s, or ended:\n{log}")
            self._lines += chunk

    def _note(self, message: dict[str, Any]) -> None:
        worker = self.workers.get(message.get("id", 0))
        if worker is None:
            return
        worker.pid = message.get("pid", worker.pid)
        worker.report |= message.get("told", {})
        worker.stopped = bool(message.get("stopped", worker.stopped))
        if "ended" in message:
            worker.ended, worker.stopped = message["ended"], False
