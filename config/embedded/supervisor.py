"""`make run`: everything up in the right order, kept up, and down with one Ctrl-C.

Which processes, ports and variables a run has is decided first, from the environment alone.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import django
import psutil
import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from config import environment
from config.embedded import accounts
from config.embedded import processes as embedded_processes
from config.embedded.postgres import EmbeddedPostgres
from config.embedded.processes import Child, StartError, die_with_parent, is_abandoned_by_make, stop_all
from config.environment import Secrets, is_board_id, secrets_of


def port_of(env: Mapping[str, str], name: str, default: int) -> int:
    """The port that a variable names. Raises StartError when it isn't one."""
    text = env.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StartError(f"{name}={text} is not a port. Type a number, for example: make run {name}={default}")
    return int(text)


def is_free_port(port: int) -> bool:
    """Whether a server could listen there. Raises StartError where the system doesn't allow it at all."""
    with socket.socket() as probe:
        # As servers do: else a port of a run that has just ended would count as taken (TIME_WAIT).
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise StartError(f"Port {port} can't be used ({error.strerror}). {_line_to_type(8010)}") from error
    return True


def check_ports(web: int, sandbox: int | None) -> None:
    """Raise StartError, with who has the port and the line to type, unless the ports are free."""
    if web == sandbox:
        raise StartError(f"PORT and SANDBOX_PORT are both {web}. {_line_to_type(_free_pair_after(web))}")
    taken = [port for port in (web, sandbox) if port is not None and not is_free_port(port)]
    if taken:
        whose = "\n".join(f"Port {port} is taken by {port_holder(port)}." for port in taken)
        raise StartError(f"{whose}\n{_line_to_type(_free_pair_after(max(taken)))}")


def port_holder(port: int) -> str:
    """Return who listens on a port, as far as the system shows this user."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,)
            if listens and connection.pid:
                process = psutil.Process(connection.pid)
                command = " ".join(process.cmdline()[:3])  # no more: arguments may hold secrets
                return f"{process.name()} (process {process.pid}: {command}, in {process.cwd()})"
    except (psutil.Error, OSError):
        pass
    return "another program (the system doesn't say which)"


def _free_pair_after(port: int) -> int:
    """Return the first port of a free pair, by tens."""
    candidates = range(port - port % 10 + 10, 65000, 10)
    return next((first for first in candidates if is_free_port(first) and is_free_port(first + 1)), 8010)


def _line_to_type(first: int) -> str:
    return f"Type: make run PORT={first} SANDBOX_PORT={first + 1}"


# What `make run` starts: the variables that it sets and the command of each process.


PYTHON = sys.executable

NEW_ITEM_WAIT = str(30 * 24 * 3600)  # seconds; the demo's item without an email waits for the person who tries it


# What a person may set for the run, and `manage.py` in a second terminal must read the same.
OWN_VARIABLES = {"PORT", "SANDBOX_PORT", "EMBEDDED", "DEMO"}
PASSED_VARIABLES = environment.VARIABLES.keys() - OWN_VARIABLES


@dataclass(frozen=True)
class RunPlan:
    """One run: its ports, whether it simulates Monday itself, and the variables for its processes."""

    web_port: int
    sandbox_port: int | None
    variables: dict[str, str]

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def board_page(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"


def plan_run(env: Mapping[str, str], secrets: Secrets) -> RunPlan:
    """Plan a run from the environment. With a MONDAY_API_KEY of one's own: no sandbox, no sample data."""
    web_port = port_of(env, "PORT", 8000)
    site = f"http://127.0.0.1:{web_port}"
    variables = {
        "PORT": str(web_port),
        "SECRET_KEY": secrets.secret_key,
        "CRON_SECRET": secrets.cron_secret,
        "METRICS_TOKEN": secrets.metrics_token,
        "SITE_URL": site,
    }
    variables |= {name: env[name] for name in [*PASSED_VARIABLES, *filter(is_board_id, env)] if env.get(name)}
    if not env.get("DATABASE_URL"):
        variables["EMBEDDED"] = "true"
    if env.get("MONDAY_API_KEY"):
        return RunPlan(web_port, None, variables)
    sandbox_port = port_of(env, "SANDBOX_PORT", 8001)
    variables |= {
        "SANDBOX_PORT": str(sandbox_port),
        "SITE_URL": site,
        "MONDAY_API_URL": f"http://127.0.0.1:{sandbox_port}/v2",
        "MONDAY_API_KEY": secrets.monday_api_key,
        "MONDAY_WEBHOOK_TOKEN": secrets.monday_webhook_token,
        "NEW_ITEM_WAIT_SECONDS": env.get("NEW_ITEM_WAIT_SECONDS") or NEW_ITEM_WAIT,
        "DEMO": "true",
    }
    return RunPlan(web_port, sandbox_port, variables)


def figures_line(site: str) -> str:
    """Return a command that shows /metrics; its token stays in the file that only the run's user can read."""
    read = """python3 -c 'import json; print(json.load(open("var/run.json"))["METRICS_TOKEN"])'"""
    return f'curl -s -H "Authorization: Bearer $({read})" {site}/metrics'


def web_command() -> list[str]:
    """Return the command of the web process, for this machine only."""
    return [PYTHON, "-m", "config.web", "--host", "127.0.0.1"]


def worker_command() -> list[str]:
    """Return the command of a Celery worker without gossip: the PostgreSQL broker has no fan-out."""
    quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [PYTHON, "-m", "celery", "-A", "config", "worker", "--concurrency=2", "--loglevel=INFO", *quiet]


def beat_command() -> list[str]:
    """Return the command of Celery's clock; var/run.lock already ensures that there is only one."""
    return [PYTHON, "-m", "celery", "-A", "config", "beat", "--loglevel=INFO", "--pidfile="]


def sandbox_command(plan: RunPlan, var: Path) -> list[str]:
    """Return the command of the simulator of Monday, whose boards live in var/.

    Its token is in its environment (MONDAY_API_KEY): `ps` shows a command line to everybody.
    """
    command = [PYTHON, "-m", "sandbox", "--port", str(plan.sandbox_port), "--data", str(var / "sandbox.db")]
    return [*command, "--npd-url", plan.site]


# What `make run` writes is for its owner only: logs, boards, secrets.


OTHERS = 0o077
ENTER_ONLY = 0o711  # go through, not list


def keep_private(var: Path) -> None:
    """Make var/, and let this process and its children write for their owner only.

    Also closes what older runs left open. Where root runs this, PostgreSQL runs as another account, which
    must be able to enter its own folder below. Raises PermissionError when this user may not write there.
    """
    os.umask(OTHERS)
    var.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        var.chmod(var.stat().st_mode & 0o777 | ENTER_ONLY)
    for path in var.iterdir():
        if path.is_file() and not path.is_symlink() and path.stat().st_uid == os.geteuid():
            path.chmod(path.stat().st_mode & ~OTHERS & 0o777)


# Whether a database has the sample data of `make run`, which nobody wants on a real account's boards.


SAMPLE_ADDRESSES = "%@mail.example.com"  # as the contacts of data/ have them

SAMPLE_DATA = (
    "This database holds the sample data of an earlier run with the sandbox, and `monday_setup` would send it "
    "to your account.\nFor a database of its own: Ctrl-C, then `make reset` (deletes the sample data) and "
    "`make run` again; or set DATABASE_URL to another PostgreSQL."
)


def holds_sample_data(url: str) -> bool:
    """Whether the demo was ever prepared in this database: its contacts are there."""
    with psycopg.connect(url, connect_timeout=5) as connection:
        found = connection.execute("SELECT FROM contacts WHERE email LIKE %s LIMIT 1", [SAMPLE_ADDRESSES])
        return found.fetchone() is not None


READY_SECONDS = 60
WATCH_SECONDS = 0.2
STEADY_SECONDS = 10  # a child that lived this long is started again at once
# Once its cause is mended, a process that kept dying is back within this.
LONGEST_PAUSE = 30.0


def print_line(text: str) -> None:
    """Print for the person at the terminal; a closed terminal is no error."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


@contextlib.contextmanager
def run_lock(var: Path) -> Iterator[IO[str]]:
    """Hold var/run.lock. Raises StartError when another `make run` holds it."""
    lock = (var / "run.lock").open("a+")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StartError(
                f"`make run` is already running in this folder ({lock.read().strip() or 'just starting'}). "
                "Use that one, or end it: Ctrl-C in its terminal, or `make stop`."
            ) from error
        lock.truncate(0)
        yield lock


# What a run needs before it is ready, step by step in one process, because Django's start takes a second:
# each line of its input names a step, and after each it reports the end; so web can be started between two.


DONE = "\x04"  # the line after a step


def check_data(root: Path, var: Path) -> None:
    """Note which tables the data begins with. Raises StartError where it began with others: nothing converts them."""
    initial = sorted(root.glob("*/migrations/0001_initial.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in initial)).hexdigest()
    note = var / "initial_migrations"
    if (var / "pg").exists() and (not note.exists() or note.read_text() != digest):
        raise StartError(
            f"The data in {var} was made by another version of NPD Sync, which has other tables. "
            "To start with new data, run `make reset`: it asks, and deletes this folder's data."
        )
    note.write_text(digest)


def prepare_database() -> None:
    """Migrate, and create the user `admin` with the password in ADMIN_PASSWORD unless there is one."""
    from django.contrib.auth import get_user_model

    call_command("migrate", verbosity=0, interactive=False)
    users = get_user_model().objects
    if not users.filter(username="admin").exists():
        users.create_superuser("admin", "admin@example.com", os.environ["ADMIN_PASSWORD"])


STEPS: dict[str, Callable[[], object]] = {
    "database": prepare_database,
    "demo": partial(call_command, "demo"),  # needs the sandbox, and web for its webhooks
    "tour": partial(call_command, "demo", tour=True),
}


def prepare() -> int:
    """Do the steps on the input until it ends; 1 with a sentence when a step can't be done."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    try:
        for line in sys.stdin:
            STEPS[line.strip()]()
            print(DONE, flush=True)
    except CommandError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


class Preparation:
    """The process of `prepare`, which does a step when asked to."""

    def __init__(self, root: Path, env: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "config.embedded", "prepare"],
                cwd=root,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,  # a Ctrl-C in the terminal comes through us
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509 - no other thread holds a lock here
            )

    def run_step(self, step: str, what: str, show: Callable[[str], None] | None = None) -> None:
        """Have a step done, and its lines shown; its last ten are in the StartError when it fails."""
        assert self.process.stdin
        assert self.process.stdout
        with contextlib.suppress(BrokenPipeError):  # a process that has ended is reported below
            self.process.stdin.write(step + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.rstrip("\n") == DONE:
                return
            if show:
                show(line.rstrip("\n"))
        self.process.wait()
        lines = self.log.read_text(errors="replace").splitlines()[-10:]
        raise StartError("\n".join([f"{what} could not be prepared. The last lines of {self.log}:", *lines]))

    def end(self) -> None:
        self.process.terminate()
        self.process.communicate()


class Supervisor:
    """One run, from the empty folder to the last process ended."""

    def __init__(self, root: Path, chosen: RunPlan, secrets: Secrets) -> None:
        self.root, self.var, self.plan, self.secrets = root, root / "var", chosen, secrets
        self.env = {**os.environ, **chosen.variables}
        self.postgres: EmbeddedPostgres | None = None
        self.children: dict[str, Child] = {}
        self.started_at: dict[str, float] = {}
        self.pauses: dict[str, float] = {}
        self.due: dict[str, float] = {}
        self.to_try: list[str] = []

    def start(self) -> None:
        """Start everything. Raises StartError with the reason and the last lines of what failed."""
        print_line("Starting the database …")
        self._start_database()
        # With this file `manage.py` in a second terminal uses the same database; it has secrets: owner only.
        values = {**self.plan.variables, "DATABASE_URL": self.env["DATABASE_URL"]}
        path = self.var / "run.json"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(values, file, indent=1)
        if self.plan.sandbox_port:
            print_line("Starting the sandbox …")
            self._start_child("sandbox", sandbox_command(self.plan, self.var))
        variables = {"ADMIN_PASSWORD": self.secrets.admin_password}
        preparation = Preparation(self.root, {**self.env, **variables}, self.var / "setup.log")
        try:
            preparation.run_step("database", "The database")
            print_line("Starting the web server …")
            self._start_child("web", web_command())
            if self.plan.sandbox_port:
                self._wait_for("sandbox", self.plan.board_page)
            self._wait_for("web", f"{self.plan.site}/healthz")
            if self.plan.sandbox_port:
                print_line("Checking the boards and the sample data …")
                preparation.run_step("demo", "The sample data", print_line)
            print_line("Starting worker and beat …")
            self._start_child("worker", worker_command())
            self._start_child("beat", beat_command())
            if self.plan.sandbox_port:
                preparation.run_step("tour", "The list of things to try", self.to_try.append)
        finally:
            preparation.end()

    def print_summary(self) -> None:
        """Print the last lines: where to look, how to sign in, what to try."""
        lines = [
            "",
            f"NPD             {self.plan.site}/admin/",
            f"                user: admin   password: {self.secrets.admin_password}",
        ]
        if self.plan.sandbox_port:
            lines += [f"Monday sandbox  {self.plan.board_page}/", "", *self.to_try]
        else:
            lines += [
                "MONDAY_API_KEY is set: Monday's own API is used, without sandbox and sample data.",
                "Check the connection: .venv/bin/python manage.py monday_check",
            ]
            if self.postgres and holds_sample_data(self.postgres.url("npd")):
                lines += ["", SAMPLE_DATA]
        lines += ["", f"Figures for Prometheus: {figures_line(self.plan.site)}"]
        last = "Ctrl-C here or `make stop` elsewhere ends all of it; `make logs` shows what the processes say."
        print_line("\n".join([*lines, "", last]))

    def watch(self) -> NoReturn:
        """Keep every process up, until a signal ends this."""
        while True:
            time.sleep(WATCH_SECONDS)
            if self.postgres and self.postgres.process and self.postgres.process.poll() is not None:
                print_line("PostgreSQL ended; starting it again.")
                self.postgres.start()
                self._write_pids()
            for name, child in self.children.items():
                if child.ended is not None:
                    self._restart(name, child)

    def stop(self) -> None:
        """End everything: what calls the sandbox before the sandbox, PostgreSQL last."""
        begun = time.monotonic()
        first = [child for name, child in self.children.items() if name != "sandbox"]
        rest = [child for name, child in self.children.items() if name == "sandbox"]
        print_line(f"\nStopping {_joined_names(first)}; each finishes what it has begun …" if first else "\nStopping …")
        killed = stop_all(first)
        print_line(f"Stopping {_joined_names(rest, 'the database')} …")
        killed += stop_all(rest, seconds=5)
        for name in killed:
            print_line(f"{name} did not end in time and was killed.")
        if self.postgres:
            self.postgres.stop()
        (self.var / "run.json").unlink(missing_ok=True)
        embedded_processes.forget_children(self.var)
        print_line(f"All ended (after {time.monotonic() - begun:.1f} s). The data stays in {self.var}.")

    def _start_database(self) -> None:
        if self.env.get("DATABASE_URL"):
            return
        check_data(self.root, self.var)
        self.postgres = EmbeddedPostgres(self.var / "pg")
        self.postgres.start()
        self.postgres.create_database("npd")
        self.env["DATABASE_URL"] = self.plan.variables["DATABASE_URL"] = self.postgres.url("npd")
        self._write_pids()

    def _start_child(self, name: str, command: list[str], **variables: str) -> None:
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
        embedded_processes.write_pids(self.var, processes)

    def _wait_for(self, name: str, url: str) -> None:
        child = self.children[name]
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if child.ended is not None:
                raise StartError("\n".join([f"{name} ended at its start:", *child.last_lines()]))
            try:
                urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 - an address of our own
                return
            # Whatever it says: it answers.
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        lines = [f"{name} did not answer at {url} within {READY_SECONDS} seconds:", *child.last_lines()]
        raise StartError("\n".join(lines))

    def _restart(self, name: str, child: Child) -> None:
        """Report how a process ended and start it again; one that ends at once waits longer each time."""
        now = time.monotonic()
        if name not in self.due:
            steady = now - self.started_at[name] > STEADY_SECONDS
            pause = 0.0 if steady else min(LONGEST_PAUSE, max(1.0, 2 * self.pauses.get(name, 0.0)))
            self.pauses[name], self.due[name] = pause, now + pause
            again = f"Starting it again in {pause:.0f} s."
            print_line(
                "\n".join([f"{name} ended (exit code {child.ended}). {again} Its last lines:", *child.last_lines()])
            )
        if now >= self.due[name]:
            del self.due[name]
            self._start(name)


def _joined_names(children: list[Child], *more: str) -> str:
    return ", ".join([*[child.name for child in children], *more])


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """End the run as Ctrl-C does; repeated until it takes effect."""
    # What is raised while Python forks a child is printed and dropped (the hooks of os.register_at_fork).
    signal.signal(signal.SIGALRM, raise_interrupt)
    signal.setitimer(signal.ITIMER_REAL, WATCH_SECONDS)
    raise KeyboardInterrupt


def install_signal_handlers() -> None:
    """End the run after a signal, and when the `make` that started it has ended or was interrupted alone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup make run` is to outlive its terminal.
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, raise_interrupt)
    parent = psutil.Process().parent()
    if parent is not None and "make" in parent.name():
        pid = parent.pid
        signal.signal(
            signal.SIGALRM, lambda number, frame: raise_interrupt(number, frame) if is_abandoned_by_make(pid) else None
        )
        signal.setitimer(signal.ITIMER_REAL, WATCH_SECONDS, WATCH_SECONDS)


def ignore_signals() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def run(supervisor: Supervisor) -> int:
    try:
        supervisor.start()
        supervisor.print_summary()
        # `make` became this process, so its age includes installing the packages.
        print_line(f"(ready after {time.time() - psutil.Process().create_time():.1f} s)")
        supervisor.watch()
    except KeyboardInterrupt:
        return 0
    except StartError as error:
        print_line(f"\n{error}")
        return 1
    finally:
        ignore_signals()
        supervisor.stop()


def main() -> int:
    root, var = environment.BASE_DIR, environment.VAR
    try:
        install_signal_handlers()
        keep_private(var)
        with run_lock(var) as lock:
            (var / "run.json").unlink(missing_ok=True)
            embedded_processes.end_leftovers(var)
            environment.load_secrets(root / ".env")
            secrets = secrets_of(var)
            chosen = plan_run(os.environ, secrets)
            check_ports(chosen.web_port, chosen.sandbox_port)
            lock.write(f"process {os.getpid()}, {chosen.site}")
            lock.flush()
            return run(Supervisor(root, chosen, secrets))
    except (StartError, ImproperlyConfigured) as error:
        print_line(str(error))
        return 1
    except PermissionError as error:
        print_line(f"{error.filename} can't be written by this user. Clone the project into a folder of your own.")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        ignore_signals()  # a timer that goes off while Python ends would be printed as an alarm


QUESTION = (
    "This deletes var/: the embedded database with everything in it, the sandbox's boards, the logs and the "
    "secrets made here.\nType yes to go on: "
)


def reset() -> int:
    """Ask, then delete var/; refuses while `make run` is running."""
    var = environment.VAR
    if not var.exists():
        print("There is nothing to reset.")
        return 0
    try:
        with run_lock(var):
            if input(QUESTION).strip().lower() != "yes":
                print("Nothing was deleted.")
                return 1
            if (home := accounts.relocation_of(var / "pg")) is not None:
                shutil.rmtree(home, ignore_errors=True)
            shutil.rmtree(var)
    except StartError as error:
        print(error)
        return 1
    except (EOFError, KeyboardInterrupt):
        print("\nNothing was deleted.")
        return 1
    print("Done. `make run` starts again.")
    return 0
