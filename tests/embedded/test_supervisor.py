"""`make run` as a stranger meets it: a copy of the tree without var/, and the processes of a whole run."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.contrib.auth import get_user_model

from config.embedded import leftovers, plan, samples
from config.embedded.private import keep_private
from config.embedded.secrets import secrets_of
from npd.demo import people
from tests.support.servers import NOT_FOR_TESTS, ROOT, free_port
from tests.support.site import child_environment
from tests.support.waiting import wait_for

LEFT_OUT = shutil.ignore_patterns(".*", "var", "tests", "docs", "bench", "__pycache__")
pytestmark = pytest.mark.processes


class Run:
    """`python -m config.embedded` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder.parent / "run.log"
        self.web, self.sandbox = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **variables: str) -> None:
        """Start, and wait for the last line of the greeting."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith((*NOT_FOR_TESTS, "SECRET"))
        }
        env |= {"PORT": str(self.web), "SANDBOX_PORT": str(self.sandbox)} | variables
        command = [sys.executable, "-m", "config.embedded"]
        with self.log.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=out, stderr=out)
        wait_for("the run is ready", self._ready, 150)

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
        self.process.wait(40)
        return [process for process in family if process.is_running()]

    def manage(self, code: str) -> str:
        """`manage.py shell` in a second terminal."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith((*NOT_FOR_TESTS, "SECRET"))
        }
        command = [sys.executable, "manage.py", "shell", "--verbosity=0", "-c", code]
        return subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, check=True
        ).stdout


@pytest.fixture
def run(open_folder: Path) -> Iterator[Run]:
    shutil.copytree(ROOT, open_folder / "npd", ignore=LEFT_OUT)
    found = Run(open_folder / "npd")
    yield found
    if found.process and found.process.poll() is None:
        found.end(signal.SIGTERM)


def test_a_run_starts_keeps_its_processes_up_ends_clean_and_keeps_its_data(run: Run) -> None:
    run.start()
    said = run.said()
    assert f"http://127.0.0.1:{run.web}/admin/" in said
    assert f"http://127.0.0.1:{run.sandbox}/" in said
    assert re.search(r"user: admin +password: \S{12,}", said)
    assert "Try:" in said

    contacts = int(run.manage("from npd.models import Contact; print(Contact.objects.count())"))
    assert contacts >= 2000
    run.manage("from npd.models import Contact; Contact.objects.create(name='Kept Over A Restart')")

    assert run.open_files() == []
    assert run.secrets_shown() == []
    web = run.web_pid()
    os.kill(web, signal.SIGKILL)
    wait_for("web is up again", lambda: run.web_pid() not in (0, web))
    wait_for("its end was told", lambda: "web ended (exit code -9)" in run.said())

    assert run.end(signal.SIGINT) == []
    assert run.process
    assert run.process.returncode == 0
    assert run.said().rstrip().endswith("All ended.")
    assert not (run.folder / "var" / "run.json").exists()

    assert samples.SAMPLE_DATA not in said

    own = {
        "MONDAY_API_KEY": "of-mine",
        "MONDAY_API_URL": "http://127.0.0.1:9/v2",
        "ALLOWED_HOSTS": "a.example",
    }
    run.start(**own)
    kept = "from npd.models import Contact; print(Contact.objects.filter(name='Kept Over A Restart').count())"
    assert run.manage(kept).strip() == "1"
    assert samples.SAMPLE_DATA in run.said()
    told = (
        "from django.conf import settings as s; print(s.MONDAY_API_KEY, s.MONDAY_API_URL, *s.ALLOWED_HOSTS)"
    )
    assert run.manage(told).split() == list(own.values())


def test_a_second_run_in_the_same_folder_is_refused_and_a_killed_one_leaves_nothing(run: Run) -> None:
    run.start()
    again = subprocess.run(
        [sys.executable, "-m", "config.embedded"], cwd=run.folder, capture_output=True, text=True, check=False
    )
    assert again.returncode == 1
    assert f"`make run` is already running in this folder (process {run.process.pid}, " in again.stdout  # type: ignore[union-attr]
    family = run.children()
    run.end(signal.SIGKILL)
    if sys.platform == "linux":
        wait_for("every process has ended", lambda: not [one for one in family if one.is_running()], 30)
    run.start()
    urllib.request.urlopen(f"http://127.0.0.1:{run.web}/healthz", timeout=5).close()


def test_a_key_of_ones_own_means_monday_itself_without_sample_data(tmp_path: Path) -> None:
    chosen = plan.plan_for(
        {"MONDAY_API_KEY": "of-mine", "SITE_URL": "https://npd.example"}, secrets_of(tmp_path)
    )
    assert chosen.sandbox_port is None
    assert {"DEMO", "MONDAY_API_URL"}.isdisjoint(chosen.variables)
    assert chosen.variables["MONDAY_API_KEY"] == "of-mine"
    assert chosen.variables["SITE_URL"] == "https://npd.example"


def test_without_a_key_monday_is_played_by_the_sandbox(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    chosen = plan.plan_for(
        {"PORT": "9000", "SANDBOX_PORT": "9001", "SITE_URL": "https://npd.example"}, secrets
    )
    told = chosen.variables
    assert (told["SITE_URL"], told["MONDAY_API_URL"]) == ("http://127.0.0.1:9000", "http://127.0.0.1:9001/v2")
    assert told["MONDAY_API_KEY"] == secrets.monday_api_key
    assert told["NEW_ITEM_WAIT_SECONDS"] == "30"


def test_a_second_terminal_is_told_every_variable_that_was_set_for_the_run(tmp_path: Path) -> None:
    example = re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    named = sorted(set(example) - {"POSTGRES_PASSWORD", "PORT", "SANDBOX_PORT"})
    assert len(named) > 20
    wanted = {name: f"value of {name}" for name in named}
    told = plan.plan_for(wanted, secrets_of(tmp_path)).variables
    assert {name: told.get(name) for name in named} == wanted


def test_the_sandboxs_command_line_shows_no_secret(tmp_path: Path) -> None:
    secrets = secrets_of(tmp_path)
    command = " ".join(plan.sandbox_command(plan.plan_for({}, secrets), tmp_path))
    assert not [value for value in vars(secrets).values() if value in command]


def test_a_database_with_the_demos_board_page_holds_sample_data(transactional_db: None) -> None:
    url = child_environment()["DATABASE_URL"]
    assert not samples.holds_sample_data(url)
    get_user_model().objects.create_user(people.PAGE)
    assert samples.holds_sample_data(url)


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


def test_secrets_are_made_once_and_read_by_their_owner_only(tmp_path: Path) -> None:
    first = secrets_of(tmp_path / "var")
    assert secrets_of(tmp_path / "var") == first
    assert (tmp_path / "var" / "secrets.json").stat().st_mode & 0o077 == 0
    values = list(json.loads((tmp_path / "var" / "secrets.json").read_text()).values())
    assert len(set(values)) == len(values)


def test_what_a_killed_run_left_is_ended_but_a_number_given_again_is_not(tmp_path: Path) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    with subprocess.Popen(sleeper, start_new_session=True) as left, subprocess.Popen(sleeper) as other:
        leftovers.remember(tmp_path, [left.pid])
        with (tmp_path / "run.pids").open("a") as file:
            file.write(f"{other.pid} 1.0\n")
        assert leftovers.end(tmp_path) == [left.pid]
        assert other.poll() is None
        other.kill()
    assert not (tmp_path / "run.pids").exists()
