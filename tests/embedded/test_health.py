"""What a container's health check finds out: the sign of life of worker and beat, the answer of web."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from config import health
from tests.support.servers import ROOT, free_port


def check(name: str, folder: Path | None) -> subprocess.CompletedProcess[str]:
    """As docker-compose.yml runs it."""
    env = {"PATH": os.environ["PATH"]} | ({"HEARTBEAT_DIR": str(folder)} if folder else {})
    command = [sys.executable, "-I", "config/health.py", name]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEARTBEAT_DIR", str(tmp_path))
    return tmp_path


def test_a_process_whose_loop_turns_is_well(folder: Path) -> None:
    health.give("worker")
    result = check("worker", folder)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [path.name for path in folder.iterdir()] == ["worker.heartbeat"]


def test_a_process_that_fell_silent_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now - 90)
    health.give("beat")
    result = check("beat", folder)
    assert result.returncode == 1
    assert result.stderr.startswith("beat has given no sign of life for 9")


def test_one_that_has_not_begun_is_not_well_yet(folder: Path) -> None:
    result = check("beat", folder)
    assert (result.returncode, result.stderr) == (1, f"beat has given no sign of life yet in {folder}.\n")


def test_without_a_folder_nothing_is_written_and_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEARTBEAT_DIR", raising=False)
    health.give("worker")
    assert check("worker", None).stderr == "HEARTBEAT_DIR is not set: nothing is known of the process.\n"


def test_a_folder_that_can_not_be_written_ends_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTBEAT_DIR", str(folder / "missing"))
    health.give("worker")
    assert "no sign of life yet" in health.trouble("worker")


class Web(HTTPServer):
    """Answers 200 to its own name, 400 to others: as Django does by ALLOWED_HOSTS."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.name = "127.0.0.1"


class Answer(BaseHTTPRequestHandler):
    server: Web

    def do_GET(self) -> None:
        known = self.headers["Host"] == self.server.name and self.path == "/healthz"
        self.send_response(200 if known else 400)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[Web]:
    """A web process that knows one name of its own, and notes what it was asked for."""
    server = Web()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        ("", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("npd.example.org,other", "npd.example.org"),
        (".example.org", "example.org"),
    ],
)
def test_web_is_asked_by_a_name_that_it_answers_to(
    web: Web, monkeypatch: pytest.MonkeyPatch, allowed: str, name: str
) -> None:
    web.name = name
    monkeypatch.setenv("PORT", str(web.server_port))
    monkeypatch.setenv("ALLOWED_HOSTS", allowed)
    assert health.trouble("web") == ""


def test_a_web_process_that_refuses_or_is_not_there_is_not_well(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", str(web.server_port))
    monkeypatch.setenv("ALLOWED_HOSTS", "somebody.else")
    assert health.trouble("web") == "web answered /healthz with 400."
    monkeypatch.setenv("PORT", str(free_port()))
    assert "ConnectionRefusedError" in health.trouble("web")
