"""`make run`: everything up in the right order, kept up, and down with one Ctrl-C."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import environ

from config import environment
from config.embedded import leftovers, plan, ports
from config.embedded.postgres import EmbeddedPostgres
from config.embedded.private import keep_private
from config.embedded.processes import Child, StartError, stop_all
from config.embedded.samples import SAMPLE_DATA, holds_sample_data
from config.embedded.secrets import Secrets, secrets_of

READY_SECONDS = 60
LOOK_SECONDS = 0.2
STEADY_SECONDS = 10  # a child that lived this long is started again at once
LONGEST_PAUSE = 30.0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, flush=True)


@contextlib.contextmanager
def only_one(var: Path) -> Iterator[IO[str]]:
    """Hold var/run.lock. Raises StartError when another `make run` holds it."""
    lock = (var / "run.lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartError(
                f"`make run` is already running in this folder ({lock.read().strip() or 'just starting'}). "
                "Use that one, or end it with Ctrl-C in its terminal."
            ) from error
        lock.truncate(0)
        yield lock


class Supervisor:
    """One run, from the empty folder to the last process ended."""

    def __init__(self, root: Path, chosen: plan.Plan, secrets: Secrets) -> None:
        self.root, self.var, self.plan, self.secrets = root, root / "var", chosen, secrets
        self.env = {**os.environ, **chosen.variables}
        self.postgres: EmbeddedPostgres | None = None
        self.children: dict[str, Child] = {}
        self.started_at: dict[str, float] = {}
        self.pauses: dict[str, float] = {}
        self.due: dict[str, float] = {}

    def up(self) -> None:
        """Start everything. Raises StartError with the reason and the last lines of what failed."""
        self._database()
        self._write_run_file()
        self._run("The database", [plan.PYTHON, "-m", "config.embedded.prepare"])
        if self.plan.sandbox_port:
            self._child(
                "sandbox", plan.sandbox_command(self.plan, self.var), NPD_TOKEN=self.secrets.npd_token
            )
        self._child("web", plan.web_command())
        if self.plan.sandbox_port:
            self._wait_for("sandbox", self.plan.board_page)
        self._wait_for("web", f"{self.plan.site}/healthz")
        if self.plan.sandbox_port:
            self._run("The sample data", [plan.PYTHON, "manage.py", "demo"], show=True)
        self._child("worker", plan.worker_command())
        self._child("beat", plan.beat_command())

    def tell(self) -> None:
        """The last lines: where to look, how to get in, what to try."""
        lines = [
            "",
            f"NPD             {self.plan.site}/admin/",
            f"                user: admin   password: {self.secrets.admin_password}",
        ]
        if self.plan.sandbox_port:
            lines += [f"Monday sandbox  {self.plan.board_page}/", "", *self._things_to_try()]
        else:
            lines += [
                "MONDAY_API_KEY is set: Monday's own API is used, without sandbox and sample data.",
                "Check the connection: .venv/bin/python manage.py monday_check",
            ]
            if self.postgres and holds_sample_data(self.postgres.url("npd")):
                lines += ["", SAMPLE_DATA]
        say("\n".join([*lines, "", "Ctrl-C ends all of it; `make logs` shows what the processes say."]))

    def watch(self) -> NoReturn:
        """Keep every process up, until a signal ends this."""
        while True:
            time.sleep(LOOK_SECONDS)
            if self.postgres and self.postgres.process and self.postgres.process.poll() is not None:
                say("PostgreSQL ended; starting it again.")
                self.postgres.start()
                self._write_pids()
            for name, child in self.children.items():
                if child.ended is not None:
                    self._mourn(name, child)

    def down(self) -> None:
        """End everything: what calls the sandbox before the sandbox, PostgreSQL last."""
        say("\nStopping …")
        last = {"sandbox"}
        killed = stop_all([child for name, child in self.children.items() if name not in last])
        killed += stop_all([child for name, child in self.children.items() if name in last], seconds=5)
        for name in killed:
            say(f"{name} did not end in time and was killed.")
        if self.postgres:
            self.postgres.stop()
        (self.var / "run.json").unlink(missing_ok=True)
        leftovers.forget(self.var)
        say("All ended.")

    def _database(self) -> None:
        if self.env.get("DATABASE_URL"):
            return
        self.postgres = EmbeddedPostgres(self.var / "pg")
        self.postgres.start()
        self.postgres.create_database("npd")
        self.env["DATABASE_URL"] = self.plan.variables["DATABASE_URL"] = self.postgres.url("npd")
        self._write_pids()

    def _write_run_file(self) -> None:
        """Let `manage.py` in a second terminal meet the same world; secrets inside, so for the owner only."""
        told = {**self.plan.variables, "DATABASE_URL": self.env["DATABASE_URL"]}
        path = self.var / "run.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(told, file, indent=1)

    def _run(self, what: str, command: list[str], show: bool = False) -> None:
        """Run a step to its end; its last ten lines are in the StartError when it fails."""
        env = {**self.env, "PYTHONUNBUFFERED": "1"}
        env |= {"ADMIN_PASSWORD": self.secrets.admin_password, "NPD_TOKEN": self.secrets.npd_token}
        log = self.var / "setup.log"
        with log.open("wb") as out:
            shown = None if show else out
            result = subprocess.run(command, cwd=self.root, env=env, stdout=shown, stderr=out, check=False)
        if result.returncode:
            lines = log.read_text(errors="replace").splitlines()[-10:]
            raise StartError("\n".join([f"{what} could not be prepared. The last lines of {log}:", *lines]))

    def _child(self, name: str, command: list[str], **variables: str) -> None:
        child = Child(name, command, {**self.env, **variables}, self.root, self.var / f"{name}.log")
        self.children[name] = child
        self._start(name)

    def _start(self, name: str) -> None:
        self.children[name].start()
        self.started_at[name] = time.monotonic()
        self._write_pids()

    def _write_pids(self) -> None:
        processes = [child.pid for child in self.children.values() if child.ended is None]
        if self.postgres and self.postgres.process:
            processes.append(self.postgres.process.pid)
        leftovers.remember(self.var, processes)

    def _wait_for(self, name: str, url: str) -> None:
        child = self.children[name]
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if child.ended is not None:
                raise StartError("\n".join([f"{name} ended at its start:", *child.last_lines()]))
            try:
                urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of our own
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        lines = [f"{name} did not answer at {url} within {READY_SECONDS} seconds:", *child.last_lines()]
        raise StartError("\n".join(lines))

    def _things_to_try(self) -> list[str]:
        result = subprocess.run(
            [plan.PYTHON, "manage.py", "demo", "--try"],
            cwd=self.root,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        return (
            result.stdout.rstrip().splitlines()
            if result.returncode == 0
            else result.stderr.splitlines()[-10:]
        )

    def _mourn(self, name: str, child: Child) -> None:
        """Say how a process ended and start it again; one that ends at once waits longer each time."""
        now = time.monotonic()
        if name not in self.due:
            steady = now - self.started_at[name] > STEADY_SECONDS
            pause = 0.0 if steady else min(LONGEST_PAUSE, max(1.0, 2 * self.pauses.get(name, 0.0)))
            self.pauses[name], self.due[name] = pause, now + pause
            again = f"Starting it again in {pause:.0f} s."
            say(
                "\n".join(
                    [f"{name} ended (exit code {child.ended}). {again} Its last lines:", *child.last_lines()]
                )
            )
        if now >= self.due[name]:
            del self.due[name]
            self._start(name)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End the run as Ctrl-C does."""
    raise KeyboardInterrupt


def run(supervisor: Supervisor, clock: Callable[[], float] = time.monotonic) -> int:
    """Up, watch, down; the exit code."""
    begun = clock()
    try:
        supervisor.up()
        supervisor.tell()
        say(f"(ready after {clock() - begun:.1f} s)")
        supervisor.watch()
    except KeyboardInterrupt:
        return 0
    except StartError as error:
        say(f"\n{error}")
        return 1
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        supervisor.down()


def main() -> int:
    """`python -m config.embedded`."""
    root, var = environment.BASE_DIR, environment.VAR
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        keep_private(var)
        with only_one(var) as lock:
            (var / "run.json").unlink(missing_ok=True)
            leftovers.end(var)
            if (root / ".env").is_file():
                environ.Env.read_env(str(root / ".env"), overwrite=False)
            secrets = secrets_of(var)
            chosen = plan.plan_for(os.environ, secrets)
            ports.check(chosen.web_port, chosen.sandbox_port)
            lock.write(f"process {os.getpid()}, {chosen.site}")
            lock.flush()
            return run(Supervisor(root, chosen, secrets))
    except StartError as error:
        say(str(error))
        return 1
    except PermissionError as error:
        say(f"{error.filename} can't be written by this user. Clone the project into a folder of your own.")
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
