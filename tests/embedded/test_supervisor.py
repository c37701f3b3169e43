"""`make run` as a stranger meets it: a copy of the tree without var/, and the processes of a whole run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.embedded import processes, stop, supervisor
from config.embedded.processes import StartError
from config.embedded.supervisor import keep_private, run_lock
from config.environment import secrets_of
from npd.models import Contact
from tests.embedded.conftest import folder_of_ones_own
from tests.support.servers import NOT_FOR_TESTS, ROOT, free_port, ran
from tests.support.site import child_environment
from tests.support.waiting import wait_for

LEFT_OUT = shutil.ignore_patterns(".*", "var", "tests", "docs", "bench")
pytestmark = pytest.mark.processes


def _bare() -> dict[str, str]:
    """The environment of a terminal in which nothing is set for NPD Sync."""
    return {n: value for n, value in os.environ.items() if not n.startswith((*NOT_FOR_TESTS, "SECRET"))}


class Run:
    """`python -m config.embedded` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.parent / "run.log"
        self.web, self.sandbox = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        """Start, and wait for the last line of the greeting."""
        self.begin([sys.executable, "-m", "config.embedded"], **variables)
        wait_for("the run is ready", self._ready, 600)

    def begin(self, command: list[str], **variables: str) -> None:
        env = _bare() | {"PORT": str(self.web), "SANDBOX_PORT": str(self.sandbox)} | variables
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=out, stderr=out)

    def begin_by_make(self, *before: str) -> psutil.Process:
        """`make run` without its packages, as far as the database's start; make's process."""
        launch = f"BOOTSTRAP=sh -c 'shift; exec {sys.executable} \"$$@\"' sh"
        self.begin([*before, "make", "-s", "run", launch])
        wait_for("the database runs", (self.folder / "var" / "run.json").exists, 600)
        assert self.process
        return psutil.Process(self.process.pid)

    def _ready(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.said()
        return "(ready after" in self.said()

    def said(self) -> str:
        """What stood on the terminal so far."""
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        """Every process of the run but the supervisor."""
        assert self.process
        return psutil.Process(self.process.pid).children(recursive=True)

    def open_files(self) -> list[str]:
        """What of var/ others than its owner may read or write."""
        found = [path for path in (self.folder / "var").iterdir() if path.lstat().st_mode & 0o066]
        return [path.name for path in found]

    def secrets_shown(self) -> list[str]:
        """The secrets of the run that `ps` shows to everybody, by name."""
        shown = " ".join(word for process in self.children() for word in process.cmdline())
        return [name for name, value in vars(secrets_of(self.folder / "var")).items() if value in shown]

    def web_pid(self) -> int:
        """The web process's id; 0 while there is none."""
        assert self.process
        for found in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                if "config.web" in found.cmdline():
                    return found.pid
        return 0

    def end(self, number: int) -> list[psutil.Process]:
        """Send a signal; returns the processes that are still there when the supervisor has ended."""
        assert self.process
        family = self.children()
        self.process.send_signal(number)
        self.process.wait(120)
        return [process for process in family if process.is_running()]

    def manage(self, code: str) -> str:
        """`manage.py shell` in a second terminal."""
        return self._in_second_terminal("shell", "--verbosity=0", "-c", code)

    def dbshell(self, query: str) -> str:
        """`manage.py dbshell` in a second terminal of a machine that has no psql."""
        return self._in_second_terminal("dbshell", "--", "-Atc", query, PATH="/nonexistent").strip()

    def _in_second_terminal(self, *arguments: str, **variables: str) -> str:
        command, env = [sys.executable, "manage.py", *arguments], _bare() | variables
        return ran(*command, cwd=self.folder, env=env, check=True).stdout

    def typed(self, line: str) -> str:
        """What a line of the greeting answers in a second terminal."""
        return ran("sh", "-c", line, cwd=self.folder, env={"PATH": os.environ["PATH"]}, check=True).stdout


def line_with(word: str, said: str) -> str:
    """The command in the one line that holds this word."""
    (line,) = [line for line in said.splitlines() if word in line]
    return line[line.index("curl") :]


@contextlib.contextmanager
def run_in(folder: Path) -> Iterator[Run]:
    found = Run(folder)
    yield found
    if found.process and found.process.poll() is None:
        found.end(signal.SIGTERM)


@pytest.fixture
def run(open_folder: Path) -> Iterator[Run]:
    """In a folder in which nothing has run yet."""
    shutil.copytree(ROOT, open_folder / "npd", ignore=LEFT_OUT)
    with run_in(open_folder / "npd") as found:
        yield found


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A folder for runs that end before anything is in their database: it is made once."""
    with folder_of_ones_own() as folder:
        shutil.copytree(ROOT, folder / "npd", ignore=LEFT_OUT)
        yield folder / "npd"


@pytest.fixture
def begun(tree: Path) -> Iterator[Run]:
    with run_in(tree) as found:
        yield found


def test_a_run_starts_alone_keeps_its_processes_up_ends_clean_and_keeps_its_data(run: Run) -> None:
    run.start()
    said = run.said()
    assert f"http://127.0.0.1:{run.web}/admin/" in said
    assert f"http://127.0.0.1:{run.sandbox}/" in said
    assert re.search(r"user: admin +password: \S{12,}", said)
    assert "Try:" in said
    assert "npd_sync_jobs" in run.typed(line_with("/metrics", said))

    add = "from npd.models import Contact as C; print(C.objects.count()); C.objects.create(name='Kept Over A Restart')"
    contacts = int(run.manage(add))
    assert contacts >= 2000
    assert run.dbshell("SELECT count(*) FROM contacts") == str(contacts + 1)

    assert run.open_files() == []
    assert run.secrets_shown() == []
    web = run.web_pid()
    os.kill(web, signal.SIGKILL)
    wait_for("web is up again", lambda: run.web_pid() not in (0, web))
    wait_for("its end was told", lambda: "web ended (exit code -9)" in run.said())

    again = ran(sys.executable, "-m", "config.embedded", cwd=run.folder)
    assert run.process
    assert again.returncode == 1
    assert f"`make run` is already running in this folder (process {run.process.pid}, " in again.stdout

    assert run.end(signal.SIGINT) == []
    assert run.process.returncode == 0
    assert "All ended" in run.said().splitlines()[-1]
    assert not (run.folder / "var" / "run.json").exists()

    assert supervisor.SAMPLE_DATA not in said

    own = {"MONDAY_API_KEY": "of-mine", "MONDAY_API_URL": "http://127.0.0.1:9/v2", "ALLOWED_HOSTS": "a.example"}
    run.start(**own)
    assert supervisor.SAMPLE_DATA in run.said()
    kept = "from npd.models import Contact; print(Contact.objects.filter(name='Kept Over A Restart').count())"
    told = "from django.conf import settings as s; print(s.MONDAY_API_KEY, s.MONDAY_API_URL, *s.ALLOWED_HOSTS)"
    assert run.manage(f"{kept}; {told}").split() == ["1", *own.values()]

    family = run.children()
    run.end(signal.SIGKILL)
    if sys.platform == "linux":
        wait_for("every process has ended", lambda: not [one for one in family if one.is_running()], 60)


@pytest.mark.parametrize(
    ("number", "before"),
    [
        pytest.param(signal.SIGINT, (), id="INT, which make keeps for itself"),
        pytest.param(signal.SIGTERM, ("sh", "-c", 'trap "" INT; exec "$@"', "sh"), id="TERM where INT is ignored"),
        pytest.param(signal.SIGKILL, (), id="KILL"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="what make got is seen in Linux's /proc")
def test_a_signal_to_make_alone_ends_the_whole_run(begun: Run, number: int, before: tuple[str, ...]) -> None:
    run = begun
    make = run.begin_by_make(*before)
    family = run.children()
    assert len(family) > 2
    make.send_signal(number)
    assert run.process
    run.process.wait(60)
    wait_for("every process has ended", lambda: not [one for one in family if one.is_running()], 60)
    wait_for("the run has cleared up", lambda: not (run.folder / "var" / "run.json").exists(), 60)
    assert "All ended" in run.said()


def test_a_signal_that_comes_while_a_child_is_forked_is_heard() -> None:
    code = """
import os, signal, subprocess, time
from config.embedded import supervisor
supervisor.install_signal_handlers()
signals = iter([signal.SIGTERM])
os.register_at_fork(after_in_parent=lambda: [signal.raise_signal(number) for number in signals])
try:
    subprocess.run(["true"], preexec_fn=lambda: None)
    time.sleep(60)
except KeyboardInterrupt:
    supervisor.ignore_signals()
    print("heard")
"""
    ended = ran(sys.executable, "-c", code, timeout=50, check=True)
    assert ended.stdout == "heard\n"
    assert "Exception ignored" in ended.stderr  # the first was dropped


def test_make_stop_ends_the_run_of_this_folder_and_says_when_there_is_none(begun: Run) -> None:
    run = begun
    run.begin_by_make()
    family = run.children()
    assert stop.main(run.folder / "var" / "run.lock") == 0
    assert not [one for one in family if one.is_running() and one.name() == "postgres"]
    assert not (run.folder / "var" / "run.json").exists()
    assert run.process
    assert run.process.wait(60) == 0


def test_stop_leaves_a_process_alone_that_does_not_hold_this_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.lock"
    assert stop.main(path) == 0
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as other:
        path.write_text(f"process {other.pid}, http://127.0.0.1:8000")
        assert stop.main(path) == 0
        assert other.poll() is None
        other.kill()
    assert capsys.readouterr().out.splitlines() == ["Nothing runs in this folder."] * 2


def test_stop_does_not_end_a_reset_that_asks_its_question(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        assert stop.main(tmp_path / "run.lock") == 1


def test_a_key_of_ones_own_means_monday_itself_without_sample_data(tmp_path: Path) -> None:
    chosen = supervisor.plan_run({"MONDAY_API_KEY": "of-mine", "SITE_URL": "https://npd.example"}, secrets_of(tmp_path))
    assert chosen.sandbox_port is None
    assert {"DEMO", "MONDAY_API_URL"}.isdisjoint(chosen.variables)
    assert chosen.variables["MONDAY_API_KEY"] == "of-mine"
    assert chosen.variables["SITE_URL"] == "https://npd.example"


def test_without_a_key_monday_is_played_by_the_sandbox(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    chosen = supervisor.plan_run({"PORT": "9000", "SANDBOX_PORT": "9001", "SITE_URL": "https://npd.example"}, secrets)
    told = chosen.variables
    assert (told["SITE_URL"], told["MONDAY_API_URL"]) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001/v2")
    assert told["MONDAY_API_KEY"] == secrets.monday_api_key
    assert float(told["NEW_ITEM_WAIT_SECONDS"]) > 86_400  # the item that is there to be tried waits
    assert "DEBUG" not in told, "an address that leads nowhere is answered by our page"


def test_a_second_terminal_is_told_every_variable_that_was_set_for_the_run(tmp_path: Path) -> None:
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    named = sorted(set(example) - {"POSTGRES_PASSWORD", "PORT", "SANDBOX_PORT"})
    assert len(named) > 20
    wanted = {name: f"value of {name}" for name in named}
    told = supervisor.plan_run(wanted, secrets_of(tmp_path)).variables
    assert {name: told.get(name) for name in named} == wanted


def test_the_sandboxs_command_line_shows_no_secret(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    command = " ".join(supervisor.sandbox_command(supervisor.plan_run({}, secrets), tmp_path))
    assert not [value for value in vars(secrets).values() if value in command]


def test_a_database_with_the_demos_contacts_holds_sample_data(transactional_db: None) -> None:
    url = child_environment()["DATABASE_URL"]
    assert not supervisor.holds_sample_data(url)
    Contact.objects.create(name="Ada", email="ada.1@mail.example.com")
    assert supervisor.holds_sample_data(url)


def test_var_is_for_its_owner_only_and_what_was_open_is_closed(tmp_path: Path) -> None:
    var, before = tmp_path / "var", os.umask(0o022)
    try:
        var.mkdir()
        (var / "web.log").touch(0o644)
        keep_private(var)
        (var / "new.log").touch()
        modes = [(var / name).stat().st_mode & 0o077 for name in ("web.log", "new.log")]
        assert modes == [0, 0]
        made = tmp_path / "made"
        keep_private(made)
        assert made.stat().st_mode & 0o066 == 0  # root lets others pass through: PostgreSQL isn't root
    finally:
        os.umask(before)


def test_data_that_began_with_other_tables_is_left_alone_with_what_to_do(tmp_path: Path) -> None:
    var = tmp_path / "var"
    (var / "pg").mkdir(parents=True)
    with pytest.raises(StartError, match="make reset"):
        supervisor.check_data(ROOT, var)
    (var / "pg").rmdir()
    supervisor.check_data(ROOT, var)
    (var / "pg").mkdir()
    supervisor.check_data(ROOT, var)
    (var / "initial_migrations").write_text("of an older version")
    with pytest.raises(StartError, match="make reset"):
        supervisor.check_data(ROOT, var)


def test_secrets_are_made_once_and_read_by_their_owner_only(tmp_path: Path) -> None:
    first = secrets_of(tmp_path / "var")
    assert secrets_of(tmp_path / "var") == first
    assert (tmp_path / "var" / "secrets.json").stat().st_mode & 0o077 == 0
    values = list(json.loads((tmp_path / "var" / "secrets.json").read_text()).values())
    assert len(set(values)) == len(values)


def test_what_a_killed_run_left_is_ended_but_a_number_given_again_is_not(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeper, start_new_session=True) as left, subprocess.Popen(sleeper) as other:
        processes.write_pids(tmp_path, [left.pid])
        with (tmp_path / "run.pids").open("a") as file:
            file.write(f"{other.pid} 1.0\n")
        assert processes.end_leftovers(tmp_path) == [left.pid]
        assert other.poll() is None
        other.kill()
    assert not (tmp_path / "run.pids").exists()
