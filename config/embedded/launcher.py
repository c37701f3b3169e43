"""`make run`, `make stop` and `make reset`: the embedded PostgreSQL, and the Procfile's processes by honcho."""

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import psutil
import requests
from django.core.exceptions import ImproperlyConfigured

from config import environment
from config.embedded import postgres
from config.environment import load_or_create_secrets, names_board

ROOT = environment.BASE_DIR
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
LOOK_SECONDS = 0.1  # between two looks at the processes
READY_SECONDS = 60  # until a started server answers
END_SECONDS = 20  # until a honcho has ended, which kills its processes after 5 s
STOP_SECONDS = 60  # until `make stop` gives up

NEW_ITEM_WAIT = str(30 * 24 * 3600)  # seconds; the demo's item without an email stays unmatched until somebody acts
FIRST_START = ", which is made first (with the sample data this takes about a minute)"
OWN_ACCOUNT = (
    "MONDAY_API_KEY is set: Monday's own API is used, without sandbox and sample data.\n"
    "Check the connection: .venv/bin/python manage.py monday_check"
)
QUESTION = (
    "This deletes var/: the embedded database with everything in it, the sandbox's boards, the logs and the "
    "secrets made here.\nType yes to go on: "
)
PROCESS = re.compile(rb"\S+ (\w+)\.\d+\s*\| ")  # how honcho begins a line of a process
STOPPED = re.compile(r"system\s*\| (\w+)\.1 stopped")  # in honcho's log, when a process has ended
THIS_MACHINE = "127.0.0.1"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        # A proxy in the shell is for addresses elsewhere.
        "no_proxy": ",".join(filter(None, (env.get("no_proxy") or env.get("NO_PROXY"), THIS_MACHINE))),
    }
    if not env.get("DATABASE_URL"):
        variables["EMBEDDED"] = "true"
    if not env.get("MONDAY_API_KEY"):
        variables |= {
            "SITE_URL": f"http://127.0.0.1:{web}",  # even if .env has another: the sandbox calls it
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


@contextlib.contextmanager
def run_lock(var: Path) -> Iterator[IO[str]]:
    """Hold var/run.lock. Raises StartError if another `make run` holds it."""
    with (var / "run.lock").open("a+") as lock:
        if not takes_lock(lock):
            lock.seek(0)
            raise postgres.StartError(
                f"`make run` is already running in this folder (process {lock.read()}). "
                "Use it, or end it with `make stop`."
            )
        lock.truncate(0)
        yield lock


def takes_lock(lock: IO[str]) -> bool:
    """Lock the file for this process; return False if another has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Run:
    """Starts everything in order, watches it, and stops all of it if a process ends or a signal arrives."""

    def __init__(self, var: Path, variables: dict[str, str], lock: IO[str], password: str) -> None:
        self.var = var
        self.variables = variables
        self.lock = lock
        self.password = password
        self.log = var / "run.log"
        self.logs = var / "logs"  # one of each process, with the same lines
        self.has_sandbox = "DEMO" in variables
        self.postgres: postgres.EmbeddedPostgres | None = None
        self.honchos: list[subprocess.Popen[bytes]] = []
        self.sorted_bytes = 0  # of the common log, whose lines are in the processes' own
        self.is_interrupted = False

    @property
    def env(self) -> dict[str, str]:
        programs = str(Path(sys.executable).parent)
        return {**os.environ, **self.variables, "PATH": os.pathsep.join([programs, *os.get_exec_path()])}

    def interrupt(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """Handle a signal that ends the run.

        It is noted too, because Python drops what a handler raises during one of fork's hooks (os.register_at_fork).
        """
        self.is_interrupted = True
        raise KeyboardInterrupt

    def start(self) -> None:
        """Start everything. Raises StartError with the reason."""
        site = self.variables["SITE_URL"]
        if "EMBEDDED" in self.variables:
            is_first = not (self.var / "setup.log").exists()
            say(f"Starting the database{FIRST_START if is_first else ''} …")
            self.postgres = postgres.EmbeddedPostgres(self.var / "pg")
            self.postgres.start()
            self.postgres.create_database("npd")
            self.variables["DATABASE_URL"] = self.postgres.url("npd")
        (self.var / "run.json").write_text(json.dumps(self.variables, indent=1))
        self.log.write_bytes(b"")
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
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
        if self.has_sandbox:
            say("")
            self.manage("demo", "--try")  # first, because README speaks of its links
        say(f"\nNPD             {site}/admin/\n                user: admin   password: {self.password}")
        say(f"API             {site}/api/v1/docs/")
        say(f"Monday sandbox  http://127.0.0.1:{self.variables['SANDBOX_PORT']}/" if self.has_sandbox else OWN_ACCOUNT)
        say("\nCtrl-C here or `make stop` elsewhere ends all of it; `make logs` shows what the processes say.")

    def start_honcho(self, *names: str) -> None:
        """Make honcho run these processes of the Procfile. It ends all of them if one ends.

        It writes into a file, as a pipe to this process would break when this process is killed: honcho says that it
        ends its processes before it does, and fails if nobody can hear it.
        """
        with self.log.open("ab") as log:
            honcho = subprocess.Popen(
                # Without these options honcho would let .env override the environment, and choose ports.
                [sys.executable, "-m", "honcho", "-e", "/dev/null", "start", "-p", self.variables["PORT"], *names],
                cwd=ROOT,
                env=self.env | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # this process passes a Ctrl-C on
                pass_fds=[self.lock.fileno()],  # processes left by a killed run keep this folder locked
                preexec_fn=postgres.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - this process has one thread
            )
        self.honchos.append(honcho)

    def sort_lines(self) -> None:
        """Write what is new in the common log into the processes' own."""
        with self.log.open("rb") as log:
            log.seek(self.sorted_bytes)
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the rest of it follows
                self.sorted_bytes += len(line)
                if match := PROCESS.match(line):
                    with (self.logs / f"{match[1].decode()}.log").open("ab") as own:
                        own.write(line)

    def manage(self, *arguments: str) -> None:
        """Run a command of manage.py, which prints to the terminal."""
        with (self.var / "setup.log").open("w+") as log:
            child = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=ROOT,
                env=self.env | {"ADMIN_PASSWORD": self.password},
                stdin=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                preexec_fn=postgres.die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - this process has one thread
            )
            try:
                while child.poll() is None:
                    self.check_processes()
                    time.sleep(LOOK_SECONDS)
            finally:
                child.kill()  # nothing, if it has ended
            log.seek(0)
            lines = log.read().splitlines()
        if child.returncode:
            raise postgres.StartError(
                "\n".join([*lines[-10:], f"`manage.py {arguments[0]}` failed. Its log: {log.name}"])
            )

    def wait_for(self, url: str) -> None:
        """Wait until the address answers, with any status."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            self.check_processes()
            try:
                requests.get(url, timeout=5, proxies={"no_proxy": THIS_MACHINE})
                return
            except requests.RequestException:
                time.sleep(LOOK_SECONDS)
        raise postgres.StartError(f"Nothing answers at {url} after {READY_SECONDS} seconds; the log: {self.log}")

    def check_processes(self) -> None:
        """Raise StartError if one of them has ended, with its last lines, and KeyboardInterrupt after a signal."""
        if self.is_interrupted:
            raise KeyboardInterrupt
        self.sort_lines()
        if self.postgres and self.postgres.process and self.postgres.process.poll() is not None:
            raise postgres.StartError(f"PostgreSQL ended, and with it the run. Its log: {self.postgres.log}")
        if any(honcho.poll() is not None for honcho in self.honchos):
            text = self.log.read_text(errors="replace")
            end = STOPPED.search(text)
            name = end[1] if end else "honcho"
            lines = [line for line in text.splitlines() if f" {name}.1 " in line.partition("|")[0]]
            sentence = f"{name} ended, and with it the run. Its log: {self.log}"
            raise postgres.StartError("\n".join([*lines[-10:], sentence]))

    def stop(self) -> None:
        """End everything: worker and beat first, then web and sandbox, PostgreSQL last."""
        begun = time.monotonic()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
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
        if self.honchos:
            self.sort_lines()
        (self.var / "run.json").unlink(missing_ok=True)
        folders = [str(self.var)]
        if self.postgres and not self.postgres.data.is_relative_to(self.var):
            folders.append(str(self.postgres.data.parent))
        say(f"All ended (after {time.monotonic() - begun:.1f} s). The data stays in {' and '.join(folders)}.")


def say(text: str) -> None:
    """Print to the terminal, which may be closed already."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def run(var: Path) -> int:
    # Only the owner may read what this process and its children write.
    os.umask(0o077)
    var.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        var.chmod(0o711)  # PostgreSQL runs as another account, and has to enter its own folder in var/
    with run_lock(var) as lock:
        (var / "run.json").unlink(missing_ok=True)
        environment.load_dotenv_and_secret_files()
        secrets = load_or_create_secrets(var)
        variables = variables_of(os.environ, secrets)
        check_ports(environment.env("PORT"), *([environment.env("SANDBOX_PORT")] if "DEMO" in variables else []))
        current_run = Run(var, variables, lock, secrets["admin_password"])
        reason = ""
        try:
            for number in SIGNALS:
                # `nohup make run` continues without its terminal.
                if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, current_run.interrupt)
            if sys.platform == "linux":
                libc = ctypes.CDLL(None)
                libc.prctl(postgres.PR_SET_PDEATHSIG, signal.SIGTERM)  # when `make` ends
                libc.prctl(PR_SET_CHILD_SUBREAPER, 1)  # processes left by a killed honcho become our children
            lock.write(str(os.getpid()))
            lock.flush()
            current_run.start()
            # This process began as the shell of make's recipe, so its age includes installing the packages.
            say(f"(ready after {time.time() - psutil.Process().create_time():.1f} s)")
            while True:
                current_run.check_processes()
                time.sleep(LOOK_SECONDS)
        except KeyboardInterrupt:
            pass
        except postgres.StartError as error:
            reason = f"\n{error}"
        finally:
            current_run.stop()
    if reason:
        say(reason)
    return 1 if reason else 0


def stop(var: Path) -> int:
    """End the run that has the lock, if there is one, and wait until it has ended."""
    if not (var / "run.lock").exists():
        say("Nothing runs in this folder.")
        return 0
    begun = time.monotonic()
    pid = ""
    with (var / "run.lock").open("a+") as lock:
        # While a process of the run is left, it has the lock.
        while not takes_lock(lock):
            if not pid:
                lock.seek(0)
                pid = lock.read()
                if not pid:
                    raise postgres.StartError(
                        "`make reset` holds this folder, or a run that is just starting. Try again when it is done."
                    )
                say(f"Stopping the run of this folder (process {pid}) …")
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGTERM)
            if time.monotonic() - begun > STOP_SECONDS:
                raise postgres.StartError(
                    f"Process {pid} has not ended after {STOP_SECONDS} s. Its terminal says what it waits for."
                )
            time.sleep(LOOK_SECONDS)
    say(f"All ended (after {time.monotonic() - begun:.1f} s)." if pid else "Nothing runs in this folder.")
    return 0


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
        postgres.remove_outside(var)
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
