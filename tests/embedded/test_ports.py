import os
import re
import socket
from collections.abc import Iterator

import pytest

from config.embedded import supervisor
from config.embedded.processes import StartError


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


def test_a_taken_port_names_its_holder_and_the_line_to_type(taken: int) -> None:
    with pytest.raises(StartError) as refusal:
        supervisor.check_ports(taken, None)
    sentence = str(refusal.value)
    assert f"Port {taken} is taken by" in sentence
    assert f"(process {os.getpid()}: " in sentence
    line = re.search(r"Type: make run PORT=(\d+) SANDBOX_PORT=(\d+)$", sentence)
    assert line
    assert all(supervisor.is_free_port(int(port)) for port in line.groups())


def test_the_holders_arguments_are_not_shown(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["python", "-m", "sandbox", "--token", "the-token"]
    monkeypatch.setattr("psutil.Process.cmdline", lambda self: command)
    assert "the-token" not in supervisor.port_holder(taken)


def test_one_port_for_both_is_refused() -> None:
    with pytest.raises(StartError, match=r"PORT and SANDBOX_PORT are both 8000\. Type: make run PORT="):
        supervisor.check_ports(8000, 8000)


@pytest.mark.parametrize("text", ["eight", "0", "65536", "-1", "80.5"])
def test_what_is_not_a_port_is_said(text: str) -> None:
    with pytest.raises(StartError, match=rf"PORT={re.escape(text)} is not a port.*make run PORT=8000"):
        supervisor.port_of({"PORT": text}, "PORT", 8000)


def test_an_empty_port_is_the_default() -> None:
    assert supervisor.port_of({"PORT": ""}, "PORT", 8000) == 8000
