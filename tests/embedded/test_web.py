"""The web process itself: what it refuses before Django sees it, and whom it cuts off."""

from __future__ import annotations

import re
import select
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import Client

from config.embedded.processes import Child
from config.web import ANONYMOUS_BODY_BYTES, BODY_BYTES, HELD_BYTES, THREADS
from sync.api.callers import FILE_COOKIE, let_send_file
from sync.models import Decision
from tests.support.servers import ROOT, free_port
from tests.support.site import child_environment, log_of, started
from tests.support.waiting import wait_for

pytestmark = pytest.mark.processes

TIMEOUT = 1
WITH_FORM = f"Cookie: {let_send_file(HttpResponse()).cookies[FILE_COOKIE].OutputString().partition(';')[0]}\n"
"""As a browser sends the form of an import."""


@pytest.fixture(scope="module")
def web(django_db_setup: None) -> Iterator[Child]:
    """A web process on the test database, whose connections may be silent for a second."""
    number = free_port()
    command = [sys.executable, "-m", "config.web", "--host", "127.0.0.1", "--timeout", str(TIMEOUT)]
    env = {**child_environment(), "PORT": str(number), "SITE_URL": f"http://127.0.0.1:{number}"}
    child: Child = started(f"web-{number}", command, env, f"http://127.0.0.1:{number}/healthz")
    assert log_of(child.name).is_relative_to(ROOT)
    yield child
    child.stop(5)


@pytest.fixture(scope="module")
def port(web: Child) -> int:
    return int(web.env["PORT"])


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer_to(port: int, head: str) -> str:
    """What is answered when nothing but the request's head was sent."""
    with connected(port) as caller:
        caller.sendall(head.replace("\n", "\r\n").encode())
        return everything(caller)


def everything(caller: socket.socket) -> str:
    """What was answered until the connection's end; it is an abrupt one where more was sent than was read."""
    received = b""
    with suppress(ConnectionResetError):
        while more := caller.recv(65_536):
            received += more
    return received.decode()


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\n"])
@pytest.mark.parametrize("path", ["/api/v1/contacts/", "/webhooks/monday/", "/healthz", "/accounts/login/"])
def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(port: int, path: str, expect: str) -> None:
    head = f"POST {path} HTTP/1.1\nHost: 127.0.0.1\n{expect}Content-Length: 12000001\n\n"
    answer = answer_to(port, head)
    assert answer.startswith("HTTP/1.1 413 ")
    is_json = "Content-Type: application/json" in answer
    assert is_json == path.startswith(("/api/", "/webhooks/"))


@pytest.mark.parametrize(
    ("credential", "most"),
    [
        ("", ANONYMOUS_BODY_BYTES),
        ("Cookie: sessionid=whichever; npd_file=Ig:1wAAAA:whichever\n", ANONYMOUS_BODY_BYTES),
        ("Authorization: Bearer whoever\n", settings.DATA_UPLOAD_MAX_MEMORY_SIZE),
        (WITH_FORM, BODY_BYTES),
    ],
    ids=["nothing", "made up", "a token", "an import's form"],  # the form's signature has another time in each process
)
def test_how_much_may_be_sent_is_said_by_nothing_that_is_made_up(port: int, credential: str, most: int) -> None:
    head = f"POST /webhooks/monday/ HTTP/1.1\nHost: 127.0.0.1\nExpect: 100-continue\n{credential}Content-Length: "
    assert answer_to(port, f"{head}{most + 1}\n\n").startswith("HTTP/1.1 413 ")
    with connected(port) as caller:
        caller.sendall(f"{head}{most}\n\n".replace("\n", "\r\n").encode())
        assert caller.recv(12) == b"HTTP/1.1 100"


def test_bodies_that_are_on_their_way_have_a_limit_together(web: Child, port: int) -> None:
    head = f"POST /api/v1/contacts/ HTTP/1.1\nHost: 127.0.0.1\n{WITH_FORM}Content-Length: {BODY_BYTES}\n\n"
    sending = [connected(port) for _ in range(HELD_BYTES // BODY_BYTES + 4)]
    for caller in sending:
        caller.sendall(head.replace("\n", "\r\n").encode())
    most, answers = 0, set()
    for _ in range(BODY_BYTES // 100_000 - 1):
        for caller in list(sending):
            try:
                caller.sendall(b"x" * 100_000)
            except OSError:
                sending.remove(caller)
                answers.add(everything(caller)[:12])
                caller.close()
        most = max(most, bytes_in_temporary_files(web.pid))
    for caller in sending:
        caller.close()
    assert "HTTP/1.1 503" in answers
    assert BODY_BYTES < most < HELD_BYTES + BODY_BYTES
    assert answer_to(port, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n").startswith("HTTP/1.1 200")


def test_where_too_much_is_held_who_holds_little_is_heard_however_slow(port: int) -> None:
    head = f"POST /webhooks/monday/ HTTP/1.1\r\nHost: 127.0.0.1\r\n{WITH_FORM.strip()}\r\nContent-Length: "
    pieces = [b"x" * 3_000] * (HELD_BYTES // BODY_BYTES + 4)
    with ExitStack() as stack:
        small = stack.enter_context(connected(port))
        small.sendall(f"{head}{3_000 * len(pieces)}\r\n\r\n".encode())
        while pieces:
            small.sendall(pieces.pop())
            large = stack.enter_context(connected(port))
            with suppress(OSError):  # it is let go meanwhile
                large.sendall(f"{head}{BODY_BYTES}\r\n\r\n".encode() + b"x" * (BODY_BYTES - 1))
        assert small.recv(12).startswith(b"HTTP/1.1 40")


def bytes_in_temporary_files(pid: int) -> int:
    """Of the files that a process has open without a name."""
    found = 0
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found += file.stat().st_size if "(deleted)" in str(file.readlink()) else 0
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


SMUGGLED = "GET /readyz HTTP/1.1\nHost: 127.0.0.1\n\n"
TWICE_READ = [
    "Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n",
    "Content-Length: 5\nTransfer-Encoding:\tchunked\n\n0\n\n",
    "Transfer-Encoding: chunked\nContent-Length:\t5\n\n0\n\n",
    "Transfer-Encoding:\tchunked\n\n0\n\n",
    "Transfer-Encoding : chunked\n\n0\n\n",
    "Transfer-Encoding: chunked, chunked\n\n0\n\n",
    "Transfer-Encoding: ,chunked\n\n0\n\n",
    "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
    "Transfer-Encoding: xchunked\n\n0\n\n",
    "Transfer-Encoding:\n\n0\n\n",
    "Transfer-Encoding:\n chunked\n\n0\n\n",
    "X-a: b\n Transfer-Encoding: chunked\n\n0\n\n",
    "Content-Length: 0\nContent-Length: 5\n\n",
    "Content-Length: 0\nContent-Length: 0\n\n",
    "Content-Length: 0, 5\n\n",
    "Content-Length: +5\n\n01234",
    "Content-Length: 0x5\n\n01234",
    f"Content-Length: {'9' * 5_000}\n\n",
    "Transfer-Encoding: chunked\n\n-1\n\n",
    "Transfer-Encoding: chunked\n\n5\r\r\nhello\n0\n\n",
    "Transfer-Encoding: chunked\n\n0\nGET /readyz HTTP/1.1\n\n",
    "Transfer-Encoding: chunked\n\n0\nContent-Length: 5\n folded\n\n",
]


@pytest.mark.parametrize("rest", TWICE_READ)
def test_what_two_servers_may_read_as_different_requests_is_refused_whole(port: int, rest: str) -> None:
    answer = answer_to(port, f"POST /healthz HTTP/1.1\nHost: 127.0.0.1\n{rest}{SMUGGLED}")
    assert re.findall(r"HTTP/1\.[01] (\d+)", answer) == ["400"]


CHUNKED = b"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n", "400"),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: b\nX-b: c", "400"),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: b\rX-b: c", "400"),
        (b"POST /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        (CHUNKED + b"5\nhello", "400"),
        (CHUNKED + b"5\n\r\nhello\r\n0\r\n\r\n", "400"),
        (CHUNKED + b"5;a\n\r\nhello\r\n0\r\n\r\n", "400"),
        (CHUNKED + b"0\r\n\nGET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "400"),
        (CHUNKED + b"1" * 40_000, "400"),
        (CHUNKED + b"7fffffffffffffff\r\n", "413"),
        (b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-a: " + b"b" * 40_000, "431"),
        (b"GET http://[::1/healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "400"),
        (b"GET /admin/?q=%41 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: a/b; CHARSET=\"zlib_codec\"\r\n\r\n", "400"),
    ],
)  # fmt: skip
def test_what_can_have_no_good_end_is_refused_before_its_end(port: int, sent: bytes, code: str) -> None:
    with connected(port) as caller:
        caller.sendall(sent)
        assert re.findall(r"HTTP/1\.[01] (\d+)", everything(caller)) == [code]


def test_a_request_in_chunks_is_read_to_its_end(port: int) -> None:
    with connected(port) as caller:
        head = CHUNKED.replace(b"/healthz", b"/webhooks/monday/")
        caller.sendall(head + b'c;a="b"\r\n{"challenge"\r\n7\r\n: "yes"\r\n1\r\n}\r\n0\r\nX-Sum: 1\r\n\r\n')
        assert caller.recv(12) == b"HTTP/1.1 200"


def test_of_requests_that_are_sent_at_once_the_first_is_answered_and_the_others_are_to_be_sent_again(port: int) -> None:
    answer = answer_to(port, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\n\n" * 100)
    assert re.findall(r"HTTP/1\.1 (\d+)", answer) == ["200"]
    assert "\r\nConnection: close\r\n" in answer


IN_TURN = ["/healthz", "/nothing-here"]


def test_on_connections_that_are_kept_each_request_gets_its_own_answer(port: int) -> None:
    def ask_in_turn(_caller: int) -> set[tuple[str, int]]:
        with requests.Session() as session:
            answers = [session.post(f"http://127.0.0.1:{port}{path}", data=b"x" * 500) for path in IN_TURN * 150]
        return {(urlsplit(one.url).path, one.status_code) for one in answers}

    with ThreadPoolExecutor(6) as callers:
        found = set[tuple[str, int]]().union(*callers.map(ask_in_turn, range(6)))
    assert found == {("/healthz", 405), ("/nothing-here", 404)}


@pytest.mark.parametrize("request_line", ["GET /healthz HTTP/1.1", "POST /healthz HTTP/1.1\nContent-Length: 0"])
def test_who_waits_to_be_asked_for_a_body_and_has_none_is_answered(port: int, request_line: str) -> None:
    answer = answer_to(port, f"{request_line}\nHost: 127.0.0.1\nExpect: 100-continue\nConnection: close\n\n")
    assert re.findall(r"HTTP/1\.1 (\d+)", answer) == ["200" if request_line.startswith("GET") else "405"]


def test_an_answer_to_head_has_no_body_that_would_be_read_as_the_next_answer(port: int) -> None:
    answer = answer_to(port, "HEAD /readyz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n")
    assert answer.startswith("HTTP/1.1 200 ")
    assert answer.endswith("\r\n\r\n")


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


def test_who_does_not_read_is_cut_and_holds_up_nobody_and_who_reads_slowly_gets_all(
    port: int, transactional_db: None
) -> None:
    asks, size = long_answer()
    idle = [connected(port) for _ in range(THREADS + 2)]
    for caller in idle:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        caller.sendall(asks)
    with connected(port) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        slow.sendall(asks)
        healthy = answer_to(port, "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nConnection: close\n\n")
        assert healthy.startswith("HTTP/1.1 200")
        pieces: list[int] = []

        def is_read() -> bool:
            piece = slow.recv(300_000, socket.MSG_WAITALL)
            pieces.append(len(piece))
            return not piece or sum(pieces) > size

        wait_for("the slow reader has it all", is_read, 120)
    assert sum(pieces) > size
    wait_for("who doesn't read is cut off", lambda: all(is_reset(caller) for caller in idle), 60)
    for caller in idle:
        caller.close()


def long_answer() -> tuple[bytes, int]:
    """A request for a list of more than 20 MB as a file, and that size."""
    person = User.objects.create_superuser("ada", "ada@example.test", "long-enough-1")
    rows = (Decision(entity_type="contact", kind="push", sentence="x" * 10_000) for _ in range(2_000))
    Decision.objects.bulk_create(rows, batch_size=200)
    browser = Client()
    browser.force_login(person)
    token = "c" * 32
    cookies = f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}; csrftoken={token}"
    head = (
        f"POST /admin/sync/decision/export/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nCookie: {cookies}\r\n"
        f"X-CSRFToken: {token}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Content-Length: 10\r\n\r\nformat=csv"
    )
    return head.encode(), 20_000_000


def is_reset(caller: socket.socket) -> bool:
    """Whether the server ended the connection, which a reader who doesn't read learns from the kernel alone."""
    looks = select.poll()
    looks.register(caller, 0)
    return bool(looks.poll(0))


def test_a_phone_with_three_kilobytes_a_second_is_heard_to_the_end(port: int) -> None:
    pace, size = 3_000, 3_000 * 6 * TIMEOUT
    with connected(port) as caller:
        head = f"POST /webhooks/monday/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {size}\r\n\r\n"
        caller.sendall(head.encode())
        began, sent = time.monotonic(), 0

        def is_sent() -> bool:
            nonlocal sent
            due = min(int((time.monotonic() - began) * pace), size)
            caller.sendall(b"x" * (due - sent))
            sent = due
            return sent == size

        wait_for("all is sent", is_sent, 60)
        assert caller.recv(12).startswith(b"HTTP/1.1 40")
