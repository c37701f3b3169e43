"""What a container's health check finds out: the sign of life of worker and beat, the answer of web."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import HTTPServer
from pathlib import Path

import pytest

from config import health
from tests.support.servers import free_port, ran
from tests.support.serving import Quiet, serving

pytestmark = pytest.mark.processes


def check(name: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """As a container runs it: the image's own check names nobody."""
    (folder / "config").mkdir(exist_ok=True)
    shutil.copy(health.__file__, folder / "config")
    return ran(sys.executable, "-I", "config/health.py", *filter(None, [name]), cwd=folder, env=env)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(health, "FOLDER", tmp_path / "var" / "alive")
    return tmp_path


def test_a_process_whose_loop_turns_is_well(folder: Path) -> None:
    health.beat("worker")
    result = check("worker", folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [path.name for path in health.FOLDER.iterdir()] == ["worker.heartbeat"]


def test_a_process_that_fell_silent_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now - 90)
    health.beat("beat")
    result = check("beat", folder)
    assert result.returncode == 1
    assert result.stderr.startswith("beat has given no sign of life for 9")


def test_without_a_name_whoever_has_signed_there_must_be_well(
    folder: Path, web: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(web.server_port)
    assert check("", folder, PORT=port).returncode == 1  # nobody has begun yet
    health.beat("web")
    assert check("", folder, PORT=port).returncode == 0
    assert "web doesn't answer" in check("", folder, PORT=str(free_port())).stderr
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    health.beat("worker")
    assert check("", folder, PORT=port).stderr.startswith("worker has given no sign of life for ")


class Answer(Quiet):
    """Is well, or answers with the server's `status`."""

    def reply(self) -> None:
        self.answer(status=self.server.status if self.path == "/healthz" else 404)  # type: ignore[attr-defined]


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[HTTPServer]:
    with serving(HTTPServer(("127.0.0.1", 0), Answer)) as server:
        server.status = 200  # type: ignore[attr-defined]
        monkeypatch.setenv("PORT", str(server.server_port))
        yield server


def test_web_is_asked_by_its_address_whatever_names_it_answers_to(
    web: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "npd.example.org")
    assert health.problem_of("web") == ""


def test_a_web_process_that_fails_or_is_not_there_is_not_well(web: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    web.status = 500  # type: ignore[attr-defined]
    assert health.problem_of("web") == "web answered /healthz with 500."
    monkeypatch.setenv("PORT", str(free_port()))
    assert "ConnectionRefusedError" in health.problem_of("web")
