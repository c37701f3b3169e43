"""The web process itself: what it refuses before Django sees it, and whom it cuts off."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from config.embedded.processes import Child
from tests.support.servers import ROOT, free_port
from tests.support.site import log_of, started
from tests.support.waiting import wait_for

TIMEOUT = 1


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A web process whose connections may be silent for a second."""
    number = free_port()
    command = [sys.executable, "-m", "config.web", "--host", "127.0.0.1", "--timeout", str(TIMEOUT)]
    env = {**os.environ, "PORT": str(number), "SITE_URL": f"http://127.0.0.1:{number}"}
    child: Child = started(f"web-{number}", command, env, f"http://127.0.0.1:{number}/healthz")
    assert log_of(child.name).is_relative_to(ROOT)
    yield number
    child.stop(5)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer_to(port: int, head: str) -> str:
    """What is answered when nothing but the request's head was sent."""
    with connected(port) as caller:
        caller.sendall(head.replace("\n", "\r\n").encode())
        return everything(caller)


def everything(caller: socket.socket) -> str:
    received = b""
    while more := caller.recv(65_536):
        received += more
    return received.decode()


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\n"])
@pytest.mark.parametrize("path", ["/api/v1/contacts/", "/webhooks/monday/", "/healthz", "/admin/login/"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(port: int, path: str, expect: str) -> None:
    head = f"POST {path} HTTP/1.1\nHost: 127.0.0.1\n{expect}Content-Length: 12000001\n\n"
    answer = answer_to(port, head)
    assert answer.startswith("HTTP/1.1 413 ")
    is_problem = "Content-Type: application/problem+json" in answer
    assert is_problem == path.startswith(("/api/", "/webhooks/"))


def test_a_body_without_an_announced_length_is_cut_where_it_is_too_large(port: int) -> None:
    with connected(port) as caller:
        caller.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with pytest.raises(OSError):  # noqa: PT011 - the connection is closed, by whichever error
            caller.sendall(chunk * 100)


def test_who_sends_half_a_head_is_cut_off_also_when_a_byte_comes_now_and_then(port: int) -> None:
    with connected(port) as silent, connected(port) as dripping, connected(port) as half_a_body:
        for caller in (silent, dripping):
            caller.sendall(b"POST /healthz HTTP/1.1\r\nX-a: ")
        half_a_body.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        wait_for("the dripping caller is cut off", lambda: is_cut_off(dripping, drip=b"a"), 30)
        assert everything(silent) == everything(half_a_body) == ""


def is_cut_off(caller: socket.socket, drip: bytes) -> bool:
    try:
        caller.sendall(drip)
        caller.settimeout(0.2)
        return caller.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_who_sends_slowly_but_gets_on_is_heard_to_the_end(port: int) -> None:
    pieces = [b"x" * 4_000] * 100
    with connected(port) as caller:
        head = f"POST /webhooks/monday/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {4_000 * len(pieces)}\r\n\r\n"
        caller.sendall(head.encode())
        began = time.monotonic()
        wait_for("all pieces are sent", lambda: caller.sendall(pieces.pop()) or not pieces, 60)
        assert time.monotonic() - began > 2 * TIMEOUT
        assert caller.recv(12).startswith(b"HTTP/1.1 40")


def test_what_is_loaded_before_the_first_request_is_left_out_of_garbage_collections() -> None:
    program = (
        "import gc, sys; from config.web import load_application; load_application(); "
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000, 'sync.api.record_endpoints' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    ran = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert ran.stdout.split()[-3:] == ["True", "True", "True"]
