"""`make run` for a newcomer: a copy of the tree without var/, and the processes of a whole run."""

import contextlib
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.embedded import launcher
from config.embedded.launcher import check_ports, run_lock, variables_of
from config.embedded.postgres import StartError
from config.environment import load_or_create_secrets
from npd.management.commands.demo import SAMPLE_DATA_WARNING
from tests.embedded.conftest import folder_of_ones_own
from tests.support.servers import NOT_FOR_TESTS, ROOT, free_port, run_command
from tests.support.waiting import wait_for

QUICK = "tests/connector/test_converter_address.py"  # without a database
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", "var", "tests", "docs", "bench")
pytestmark = pytest.mark.processes


def _bare() -> dict[str, str]:
    """The environment of a terminal in which nothing is set for NPD Sync, and a proxy for addresses elsewhere."""
    variables = {n: value for n, value in os.environ.items() if not n.startswith((*NOT_FOR_TESTS, "SECRET", "PYTEST"))}
    return variables | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}


COMMAND = [sys.executable, "-m", "config.embedded.launcher"]


class Run:
    """`make run` in a folder of its own, with this Python's packages."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.parent / "run.log"
        self.web, self.sandbox = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        self.begin([*COMMAND, "run"], **variables)
        wait_for("the run is ready", self._ready, 600)

    def link_packages(self) -> None:
        """A link to another folder's .venv counts as a finished one."""
        link = self.folder / ".venv"
        if not link.is_symlink():
            link.symlink_to(Path(sys.prefix))

    def begin(self, command: list[str], **variables: str) -> None:
        env = _bare() | {"PORT": str(self.web), "SANDBOX_PORT": str(self.sandbox)} | variables
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=out, stderr=out)

    def begin_by_make(self, *before: str) -> psutil.Process:
        """Run `make run` until the database starts; return make's process."""
        self.link_packages()
        run_file = self.folder / "var" / "run.json"
        run_file.unlink(missing_ok=True)  # of a killed run
        self.begin([*before, "make", "-s", "run"])
        wait_for("the database runs", lambda: self._is_going_on() and run_file.exists(), 600)
        assert self.process
        return psutil.Process(self.process.pid)

    def _ready(self) -> bool:
        return self._is_going_on() and "(ready after" in self.output()

    def _is_going_on(self) -> bool:
        assert self.process
        assert self.process.poll() is None, self.output()
        return True

    def output(self) -> str:
        return self.log.read_text()

    def children(self) -> list[psutil.Process]:
        assert self.process
        return psutil.Process(self.process.pid).children(recursive=True)

    def open_files(self) -> list[str]:
        """What in var/ others than its owner may read or write."""
        open_paths = [path for path in (self.folder / "var").iterdir() if path.lstat().st_mode & 0o066]
        return [path.name for path in open_paths]

    def secrets_shown(self) -> list[str]:
        command_lines = " ".join(word for process in self.children() for word in process.cmdline())
        return [name for name, value in load_or_create_secrets(self.folder / "var").items() if value in command_lines]

    def pid_of(self, words: str) -> int:
        """The first process with these words in its command, or 0 if there is none yet."""
        with contextlib.suppress(psutil.Error):
            return next((process.pid for process in self.children() if words in " ".join(process.cmdline())), 0)
        return 0

    def end(self, number: int) -> list[psutil.Process]:
        """Send a signal; return the processes that outlive the supervisor."""
        assert self.process
        family = self.children()
        self.process.send_signal(number)
        self.process.wait(120)
        return [process for process in family if process.is_running()]

    def manage(self, code: str) -> str:
        command = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", code]
        return run_command(*command, cwd=self.folder, env=_bare(), check=True).stdout


@contextlib.contextmanager
def run_in(folder: Path) -> Iterator[Run]:
    begun_run = Run(folder)
    yield begun_run
    if begun_run.process and begun_run.process.poll() is None:
        begun_run.end(signal.SIGTERM)


@pytest.fixture
def run(open_folder: Path) -> Iterator[Run]:
    """`make run` in a folder where nothing has run yet."""
    shutil.copytree(ROOT, open_folder / "npd", ignore=LEFT_OUT)
    with run_in(open_folder / "npd") as begun_run:
        yield begun_run


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    """A folder for runs that end before their database has anything in it, made once."""
    with folder_of_ones_own() as folder:
        shutil.copytree(ROOT, folder / "npd", ignore=LEFT_OUT)
        yield folder / "npd"


@pytest.fixture
def begun(tree: Path) -> Iterator[Run]:
    with run_in(tree) as begun_run:
        yield begun_run


def test_a_run_starts_alone_ends_clean_and_keeps_its_data(run: Run) -> None:
    run.start()
    output = run.output()
    assert f"http://127.0.0.1:{run.web}/admin/" in output
    assert f"http://127.0.0.1:{run.web}/api/v1/docs/" in output
    assert f"http://127.0.0.1:{run.sandbox}/" in output
    assert re.search(r"user: admin +password: \S{12,}", output)
    assert "Try:" in output

    add = "from npd.models import Contact as C; print(C.objects.count()); C.objects.create(name='Kept Over A Restart')"
    contacts = int(run.manage(add))
    assert contacts >= 500

    assert run.open_files() == []
    assert run.secrets_shown() == []
    lines = {path.stem: path.read_text().splitlines() for path in (run.folder / "var" / "logs").iterdir()}
    assert {"web", "worker", "beat", "sandbox"} <= {*lines}
    assert not [line for name, own in lines.items() for line in own if f" {name}." not in line]

    again = run_command(*COMMAND, "run", cwd=run.folder)
    assert run.process
    assert again.returncode == 1
    assert f"`make run` is already running in this folder (process {run.process.pid})" in again.stdout

    assert run.end(signal.SIGINT) == []
    assert run.process.returncode == 0
    assert "All ended" in run.output().splitlines()[-1]
    assert not (run.folder / "var" / "run.json").exists()
    assert SAMPLE_DATA_WARNING not in output

    own = {"MONDAY_API_KEY": "of-mine", "MONDAY_API_URL": "http://127.0.0.1:9/v2", "ALLOWED_HOSTS": "a.example"}
    run.start(**own)
    assert SAMPLE_DATA_WARNING in run.output()
    count_of_kept = "from npd.models import Contact; print(Contact.objects.filter(name='Kept Over A Restart').count())"
    used_settings = (
        "from django.conf import settings as s; print(s.MONDAY_API_KEY, s.MONDAY_API_URL, s.ALLOWED_HOSTS[0])"
    )
    assert run.manage(f"{count_of_kept}; {used_settings}").split() == ["1", *own.values()]

    family = run.children()
    run.end(signal.SIGKILL)
    if sys.platform == "linux":
        wait_for("every process has ended", lambda: not [process for process in family if process.is_running()], 60)

    # In the same folder, as a first start takes long: a program of the Procfile, and the database beside it.
    for words, name in (("-A config worker", "worker"), ("/postgres -D", "PostgreSQL")):
        run.start(**own)
        pid = wait_for(f"{name} runs", lambda words=words: run.pid_of(words))
        family = run.children()
        os.kill(pid, signal.SIGKILL)
        assert run.process.wait(60) == 1
        assert re.search(rf"^{name} ended.* Its log: {run.folder}/var/\w+\.log$", run.output().splitlines()[-1])
        assert not [process for process in family if process.is_running()]


@pytest.mark.parametrize(
    ("number", "before"),
    [
        pytest.param(signal.SIGTERM, ("sh", "-c", 'trap "" INT; exec "$@"', "sh"), id="TERM where INT is ignored"),
        pytest.param(signal.SIGKILL, (), id="KILL"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="what make got is seen in Linux's /proc")
def test_a_signal_to_make_alone_ends_the_whole_run(begun: Run, number: int, before: tuple[str, ...]) -> None:
    make = begun.begin_by_make(*before)
    family = begun.children()
    assert len(family) > 2
    make.send_signal(number)
    assert begun.process
    begun.process.wait(60)
    wait_for("every process has ended", lambda: not [process for process in family if process.is_running()], 60)
    wait_for("the run has cleared up", lambda: not (begun.folder / "var" / "run.json").exists(), 60)
    assert "All ended" in begun.output()


def test_make_stop_ends_the_run_of_this_folder_and_says_when_there_is_none(begun: Run) -> None:
    begun.begin_by_make()
    family = begun.children()
    assert launcher.stop(begun.folder / "var") == 0
    assert not [process for process in family if process.is_running() and process.name() == "postgres"]
    assert not (begun.folder / "var" / "run.json").exists()
    assert begun.process
    assert begun.process.wait(60) == 0


SIGNAL_DURING_FORK = """
import os, pathlib, signal, sys
from config.embedded import launcher
def before_fork():
    if pathlib.Path("var/run.json").exists() and signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGTERM)
os.register_at_fork(before=before_fork)
sys.exit(launcher.main("run"))
"""


def test_a_signal_that_arrives_while_a_process_is_forked_ends_the_run(begun: Run) -> None:
    """Python drops what a signal's handler raises in a hook of fork; logging has such hooks."""
    begun.begin([sys.executable, "-c", SIGNAL_DURING_FORK])
    assert begun.process
    assert begun.process.wait(60) == 0, begun.output()
    assert "Starting the web server" not in begun.output()


def ordinary_user() -> list[str]:
    """Return what, before a command, lets nobody run it, who may also read what only root may, as its Python may be."""
    nobody = pwd.getpwnam("nobody")
    as_nobody = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    reading = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    return as_nobody + (reading if not run_command(*as_nobody, *reading, "true").returncode else [])


@pytest.mark.parametrize("is_root", [True, False], ids=["root", "an ordinary user"])
def test_all_commands_work_in_a_folder_that_nobody_else_may_enter(open_folder: Path, is_root: bool) -> None:
    if is_root and os.geteuid() != 0:
        pytest.skip("only root meets this")
    closed = open_folder / "a $HOME ü"
    shutil.copytree(ROOT, closed / "npd", ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "var"))
    closed.chmod(0o700)
    with run_in(closed / "npd") as run:
        run.link_packages()
        before: list[str] = []
        if os.geteuid() == 0 and not is_root:
            before = ordinary_user()
            run_command("chown", "-RP", "nobody", str(closed), check=True)

        def make(*arguments: str, typed: str = "") -> str:
            env = _bare() | {"HOME": str(closed)}
            result = run_command(*before, "make", "-s", *arguments, cwd=run.folder, env=env, input=typed)
            assert result.returncode == 0, result.stdout + result.stderr
            return result.stdout

        run.begin_by_make(*before)
        assert (run.folder / "var" / "postgres").is_symlink() == is_root
        assert "All ended" in make("stop")
        assert " passed" in make("test", "PROCESSES=-n 1", f"ARGS=-q -p no:cacheprovider {QUICK}")
        folders = [link.readlink() for link in (run.folder / "var").rglob("postgres")]
        assert len(folders) == 2 * is_root  # of the run and of the tests
        assert "Done." in make("reset", typed="yes\n")
        assert not [folder for folder in folders if folder.exists()]


def test_where_nothing_can_be_written_one_sentence_comes_before_test_processes(open_folder: Path) -> None:
    """As beneath a folder of another user: a file is where var/ should be."""
    shutil.copytree(ROOT, open_folder / "npd", ignore=shutil.ignore_patterns(".git", ".venv", ".*_cache", "var"))
    (open_folder / "npd" / "var").touch()
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", QUICK]
    result = run_command(*command, cwd=open_folder / "npd", env=_bare())
    assert (result.returncode, result.stdout) == (4, "")
    assert re.fullmatch(r"ERROR: .*/npd/var\S* .*\n\n?", result.stderr)


def test_stop_spares_a_process_of_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.lock"
    assert launcher.stop(tmp_path) == 0
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        path.write_text(str(process.pid))
        assert launcher.stop(tmp_path) == 0
        assert process.poll() is None
        process.kill()
    assert capsys.readouterr().out.splitlines() == ["Nothing runs in this folder."] * 2


def test_stop_does_not_end_a_reset_that_asks_its_question(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(StartError, match="make reset"):
        launcher.stop(tmp_path)


def test_a_key_of_ones_own_means_monday_itself_without_sample_data(tmp_path: Path) -> None:
    variables = variables_of(
        {"MONDAY_API_KEY": "of-mine", "SITE_URL": "https://npd.example"}, load_or_create_secrets(tmp_path)
    )
    assert {"DEMO", "MONDAY_API_URL"}.isdisjoint(variables)
    assert variables["MONDAY_API_KEY"] == "of-mine"
    assert variables["SITE_URL"] == "https://npd.example"


def test_without_a_key_monday_is_played_by_the_sandbox(tmp_path: Path) -> None:
    secrets = load_or_create_secrets(tmp_path)
    variables = variables_of({"PORT": "9000", "SANDBOX_PORT": "9001", "SITE_URL": "https://npd.example"}, secrets)
    assert (variables["SITE_URL"], variables["MONDAY_API_URL"]) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001/v2")
    assert variables["MONDAY_API_KEY"] == secrets["monday_api_key"]
    assert variables["WEB_CONCURRENCY"] == "1"
    assert float(variables["NEW_ITEM_WAIT_SECONDS"]) > 86_400  # the item that is there to be tried waits
    assert variables_of({"NO_PROXY": "x.example"}, secrets)["no_proxy"] == "x.example,127.0.0.1"
    assert "DEBUG" not in variables, "an address that leads nowhere is answered by our page"


def test_a_taken_port_names_the_line_to_type() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StartError, match=rf"Port {port} is taken.*\nType: make run PORT=\d+ SANDBOX_PORT=\d+$"):
            check_ports(port)


def test_secrets_are_made_once_and_read_by_their_owner_only(tmp_path: Path) -> None:
    first = load_or_create_secrets(tmp_path / "var")
    assert load_or_create_secrets(tmp_path / "var") == first
    assert (tmp_path / "var" / "secrets.json").stat().st_mode & 0o077 == 0
    values = list(json.loads((tmp_path / "var" / "secrets.json").read_text()).values())
    assert len(set(values)) == len(values)
