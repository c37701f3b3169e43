"""`make run`, `make stop` and `make reset`: the embedded PostgreSQL, and the Procfile's processes by honcho."""

import contextlib
import ctypes
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO

import psutil
from django.core.exceptions import ImproperlyConfigured

from config import environment
from config.embedded import postgres
from config.environment import load_or_create_secrets, names_board

ROOT = environment.BASE_DIR
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LOOK_SECONDS = 0.1  # between two looks at the processes
READY_SECONDS = 60  # until a started server answers
# honcho kills processes that don't end within 5 s.
END_SECONDS = 20
STOP_SECONDS = 60

NEW_ITEM_WAIT = str(30 * 24 * 3600)  # seconds; the demo's item without an email stays unmatched until somebody acts
OWN_ACCOUNT = (
    "MONDAY_API_KEY is set: Monday's own API is used, without sandbox and sample data.\n"
    "Check the connection: .venv/bin/python manage.py monday_check"
)
QUESTION = (
    "This deletes var/: the embedded database with everything in it, the sandbox's boards, the logs and the "
    "secrets made here.\nType yes to go on: "
)
STOPPED = re.compile(r"system\s*\| (\w+)\.1 stopped \(rc=(-?\d+)\)")


def variables_of(env: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a run's processes.

    If MONDAY_API_KEY is set, there is no sandbox and no sample data.
    """
    web = env.get("PORT") or "8000"
    sandbox = env.get("SANDBOX_PORT") or "8001"
    variables = {
        "SECRET_KEY": secrets["secret_key"],
        "CRON_SECRET": secrets["cron_secret"],
        "METRICS_TOKEN": secrets["metrics_token"],
        "SITE_URL": f"http://127.0.0.1:{web}",
        "WEB_CONCURRENCY": "1",
        **{name: env[name] for name in [*environment.VARIABLES, *filter(names_board, env)] if env.get(name)},
        "PORT": web,
        "SANDBOX_PORT": sandbox,
    }
    if not env.get("DATABASE_URL"):
        variables["EMBEDDED"] = "true"
    if not env.get("MONDAY_API_KEY"):
        variables |= {
            "SITE_URL": f"http://127.0.0.1:{web}",
            "MONDAY_API_URL": f"http://127.0.0.1:{sandbox}/v2",
            "MONDAY_API_KEY": secrets["monday_api_key"],
            "MONDAY_WEBHOOK_TOKEN": secrets["monday_webhook_token"],
            "NEW_ITEM_WAIT_SECONDS": env.get("NEW_ITEM_WAIT_SECONDS") or NEW_ITEM_WAIT,
            "DEMO": "true",
        }
    return variables


def check_ports(*ports: int) -> None:
    """Raise StartError, with a command that works, unless these ports are free and different."""
    problems = [f"Port {port} is taken by another program." for port in ports if not is_free(port)]
    if len(set(ports)) < len(ports):
        problems = [f"PORT and SANDBOX_PORT are both {ports[0]}."]
    if problems:
        first = max(ports) + 10
        raise postgres.StartError("\n".join([*problems, f"Type: make run PORT={first} SANDBOX_PORT={first + 1}"]))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do. Otherwise a port of a run that has just ended would count as taken (TIME_WAIT).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return True


def make_private(var: Path) -> None:
    """Make var/, and let only the owner read what this process and its children write."""
    os.umask(0o077)
    var.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        var.chmod(0o711)  # PostgreSQL runs as another account, and has to enter its own folder in var/


@contextlib.contextmanager
def run_lock(var: Path) -> Iterator[IO[str]]:
    """Hold var/run.lock. Raises StartError if another `make run` holds it."""
    with (var / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise postgres.StartError(
                f"`make run` is already running in this folder (process {lock.read()}). "
                "Use it, or end it with `make stop`."
            ) from None
        lock.truncate(0)
        yield lock


class Run:
    """Starts everything in order, watches it, and stops all of it if a process ends or a signal arrives."""

    def __init__(self, var: Path, variables: dict[str, str], lock: IO[str], password: str) -> None:
        self.var = var
        self.variables = variables
        self.lock = lock
        self.password = password
        self.log = var / "run.log"
        self.has_sandbox = "DEMO" in variables
        self.postgres: postgres.EmbeddedPostgres | None = None
        self.honchos: list[subprocess.Popen[bytes]] = []
        self.interrupted = False

    @property
    def env(self) -> dict[str, str]:
        programs = str(Path(sys.executable).parent)
        return {**os.environ, **self.variables, "PATH": os.pathsep.join([programs, *os.get_exec_path()])}

    def start(self) -> None:
        """Start everything. Raises StartError with the reason."""
        site = self.variables["SITE_URL"]
        if "EMBEDDED" in self.variables:
            check_data(self.var)
            say("Starting the database …")
            self.postgres = postgres.EmbeddedPostgres(self.var / "pg")
            self.postgres.start()
            self.postgres.create_database("npd")
            self.variables["DATABASE_URL"] = self.postgres.url("npd")
        (self.var / "run.json").write_text(json.dumps(self.variables, indent=1))
        self.log.write_bytes(b"")
        self.manage("migrate", "--verbosity=0")
        say("Starting web server and sandbox …" if self.has_sandbox else "Starting the web server …")
        self.start_honcho("web", *(["sandbox"] if self.has_sandbox else []))
        self.wait_for(f"http://127.0.0.1:{self.variables['PORT']}/healthz")
        if self.has_sandbox:
            self.wait_for(f"http://127.0.0.1:{self.variables['SANDBOX_PORT']}/")
            say("Checking the boards and the sample data …")
        # Before worker and beat, which would sync the examples.
        self.manage("demo", *([] if self.has_sandbox else ["--admin"]))
        say("Starting worker and beat …")
        self.start_honcho("worker", "beat")
        say(f"\nNPD             {site}/admin/\n                user: admin   password: {self.password}")
        say(f"API             {site}/api/v1/docs/")
        if self.has_sandbox:
            say(f"Monday sandbox  http://127.0.0.1:{self.variables['SANDBOX_PORT']}/\n")
            self.manage("demo", "--try")
        else:
            say(OWN_ACCOUNT)
        say("\nCtrl-C here or `make stop` elsewhere ends all of it; `make logs` shows what the processes say.")

    def start_honcho(self, *names: str) -> None:
        """Make honcho run these processes of the Procfile. It ends all of them if one ends."""
        with self.log.open("ab") as log:
            honcho = subprocess.Popen(
                # Without these options honcho would let .env override the environment, and choose ports.
                [sys.executable, "-m", "honcho", "-e", "/dev/null", "start", "-p", self.variables["PORT"], *names],
                cwd=ROOT,
                env=self.env | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # this process passes a Ctrl-C on
                pass_fds=[self.lock.fileno()],  # processes left by a killed run keep this folder locked
                preexec_fn=postgres.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no other thread holds a lock here
            )
        self.honchos.append(honcho)

    def manage(self, *arguments: str) -> None:
        """Run a command of manage.py, which prints to the terminal."""
        with (self.var / "setup.log").open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.env | {"ADMIN_PASSWORD": self.password},
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=postgres.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no other thread holds a lock here
            )
        try:
            self.wait_until(lambda: child.poll() is not None)
        finally:
            child.terminate()
            child.wait()
        if child.returncode:
            lines = Path(log.name).read_text(errors="replace").splitlines()
            raise postgres.StartError(
                "\n".join([*lines[-10:], f"`manage.py {arguments[0]}` failed. Its log: {log.name}"])
            )

    def wait_for(self, url: str) -> None:
        """Wait until the address answers, with any status."""
        deadline = time.monotonic() + READY_SECONDS

        def answers() -> bool:
            if time.monotonic() > deadline:
                raise postgres.StartError(
                    f"Nothing answers at {url} after {READY_SECONDS} seconds; the log: {self.log}"
                )
            try:
                urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of our own
            except urllib.error.HTTPError:
                return True
            except OSError:
                return False
            return True

        self.wait_until(answers)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true.

        Raises KeyboardInterrupt if a signal ends the run, and StartError if one of its processes has ended.
        """
        while not condition():
            if self.interrupted:
                raise KeyboardInterrupt
            if self.postgres and self.postgres.process and self.postgres.process.poll() is not None:
                raise postgres.StartError(f"PostgreSQL ended, and with it the run. Its log: {self.postgres.log}")
            if any(honcho.poll() is not None for honcho in self.honchos):
                raise postgres.StartError(self.first_end())
            time.sleep(LOOK_SECONDS)

    def first_end(self) -> str:
        """Return the sentence about the process that ended first, with its last lines and its log."""
        lines = self.log.read_text(errors="replace").splitlines()
        end = next(filter(None, map(STOPPED.search, lines)), None)
        if end is None:
            return f"honcho ended, and with it the run. Its log: {self.log}"
        name, code = end.groups()
        own_lines = [line for line in lines if f" {name}.1 " in line.partition("|")[0] + " "]
        return "\n".join(
            [*own_lines[-10:], f"{name} ended (exit code {code}), and with it the run. Its log: {self.log}"]
        )

    def stop(self) -> None:
        """End everything: worker and beat first, then web and sandbox, PostgreSQL last."""
        begun = time.monotonic()
        say("\nStopping …")
        for honcho in reversed(self.honchos):
            honcho.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                honcho.wait(END_SECONDS)
        if self.postgres:
            self.postgres.stop()
        survivors = psutil.Process().children(recursive=True)
        for process in survivors:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(survivors, timeout=5)
        (self.var / "run.json").unlink(missing_ok=True)
        say(f"All ended (after {time.monotonic() - begun:.1f} s). The data stays in {self.var}.")

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True


def say(text: str) -> None:
    """Print to the terminal, which may be closed already."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def run(var: Path) -> int:
    make_private(var)
    with run_lock(var) as lock:
        (var / "run.json").unlink(missing_ok=True)
        environment.load_secrets()
        secrets = load_or_create_secrets(var)
        variables = variables_of(os.environ, secrets)
        check_ports(environment.env("PORT"), *([environment.env("SANDBOX_PORT")] if "DEMO" in variables else []))
        demo = Run(var, variables, lock, secrets["admin_password"])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # `nohup make run` continues without its terminal.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, demo.interrupt)
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            libc.prctl(postgres.PR_SET_PDEATHSIG, signal.SIGTERM)  # when `make` ends
            libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes left by a killed honcho become our children
        lock.write(str(os.getpid()))
        lock.flush()
        reason = ""
        try:
            demo.start()
            # `make` became this process, so its age includes installing the packages.
            say(f"(ready after {time.time() - psutil.Process().create_time():.1f} s)")
            demo.wait_until(lambda: False)
        except KeyboardInterrupt:
            pass
        except postgres.StartError as error:
            reason = str(error)
        finally:
            demo.stop()
    if reason:
        say(f"\n{reason}")
    return 1 if reason else 0


def stop(var: Path) -> int:
    """End the run that has the lock, if there is one, and wait until it has ended."""
    try:
        lock = (var / "run.lock").open("r+")
    except FileNotFoundError:
        say("Nothing runs in this folder.")
        return 0
    with lock:
        if is_unlocked(lock):
            say("Nothing runs in this folder.")
            return 0
        pid = lock.read()
        if not pid:
            raise postgres.StartError(
                "`make reset` holds this folder, or a run that is just starting. Try again when it is done."
            )
        say(f"Stopping the run of this folder (process {pid}) …")
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
        begun = time.monotonic()
        while not is_unlocked(lock):
            if time.monotonic() - begun > STOP_SECONDS:
                raise postgres.StartError(
                    f"Process {pid} has not ended after {STOP_SECONDS} s. Its terminal says what it waits for."
                )
            time.sleep(LOOK_SECONDS)
    say(f"All ended (after {time.monotonic() - begun:.1f} s).")
    return 0


def is_unlocked(lock: IO[str]) -> bool:
    """Whether the lock is free, so that no process of a run is left."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(lock, fcntl.LOCK_UN)
    return True


def check_data(var: Path) -> None:
    """Store a digest of the initial migrations with the data.

    Raises StartError if the data began with other tables, which can't be converted.
    """
    initial = sorted(ROOT.glob("*/migrations/0001_initial.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in initial)).hexdigest()
    note = var / "initial_migrations"
    if (var / "pg").exists() and (not note.exists() or note.read_text() != digest):
        raise postgres.StartError(
            f"The data in {var} was made by another version of NPD Sync, which has other tables. "
            "To start with new data, run `make reset`: it asks, and deletes this folder's data."
        )
    note.write_text(digest)


def reset(var: Path) -> int:
    """Delete var/ after a question, unless `make run` is running."""
    if not var.exists():
        say("There is nothing to reset.")
        return 0
    with run_lock(var):
        try:
            answer = input(QUESTION).strip().lower()
        except (EOFError, KeyboardInterrupt):
            answer = ""
        if answer != "yes":
            say("Nothing was deleted.")
            return 1
        shutil.rmtree(var)
    say("Done. `make run` starts again.")
    return 0


def main(command: str) -> int:
    try:
        return {"run": run, "stop": stop, "reset": reset}[command](environment.VAR)
    except (postgres.StartError, ImproperlyConfigured) as error:
        say(str(error))
    except PermissionError as error:
        path = error.filename or "The run"
        say(f"{path} belongs to another user. Type this as the user who typed `make run`, or use a folder of your own.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
