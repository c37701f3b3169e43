"""A mail server and a chat's webhook over real sockets: what they got, and how they fail."""

from __future__ import annotations

import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

from tests.support.serving import Quiet, local, serving


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mails as an SMTP server does; `refuses` are recipients that it does not know, by their code."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refuses: dict[str, int] = {}
        self.busy = False

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Dialogue(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.say("220 test")
        while line := self.rfile.readline():
            word = line[:4].upper()
            if word == b"QUIT":
                self.say("221 bye")
                return
            if word == b"RCPT":
                self.recipient(line.decode())
            elif word == b"DATA":
                self.data()
            elif word == b"MAIL" and self.server.busy:
                self.say("451 try later")
            else:
                self.say("250 test" if word != b"AUTH" else "535 no")

    def recipient(self, line: str) -> None:
        address = line.partition("<")[2].partition(">")[0]
        code = self.server.refuses.get(address)
        if code is None:
            self.server.recipients.append(address)
        self.say(f"{code} nobody of that name" if code else "250 ok")

    def data(self) -> None:
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        self.server.mails.append(cast("EmailMessage", message_from_bytes(b"".join(lines), policy=policy.default)))
        self.say("250 taken")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


SECRET = "sEcReTpArT"


class Chat:
    """A chat's webhook: what was posted, and how it answers; `status` None: a byte now and then, for ever.

    `meanwhile` is done before each answer.
    """

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.status: int | None = 200
        self.says = b"ok"
        self.headers: dict[str, str] = {}
        self.scheme = "http"
        self.meanwhile: Callable[[], object] = bool
        self.over = threading.Event()
        self.server = local(type("Handler", (_Answer,), {"chat": self}))

    def speak_tls(self, certificate: str) -> None:
        """From here on by TLS, with the certificate and key of this file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # The handshake is of the thread that answers.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.scheme = "https"

    @property
    def address(self) -> str:
        """The webhook's address, with its secret."""
        return f"{self.scheme}://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/{SECRET}"


class _Answer(Quiet):
    chat: Chat

    def reply(self) -> None:
        assert self.path.endswith(SECRET)
        self.chat.posted.append(json.loads(self.body()))
        self.chat.meanwhile()
        if self.chat.status is None:
            self.drip()
            return
        self.send_response(self.chat.status)
        for name, value in self.chat.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.chat.says)))
        self.end_headers()
        self.wfile.write(self.chat.says)

    def drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-More: ")
        with suppress(OSError):
            while not self.chat.over.wait(0.02):
                self.wfile.write(b"a")


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A mail server that listens as long as the block lasts."""
    found = MailServer()
    with serving(found):  # type: ignore[type-var]
        yield found


@contextmanager
def chat_server() -> Iterator[Chat]:
    """A chat's webhook that answers as long as the block lasts."""
    found = Chat()
    with serving(found.server):
        yield found
        found.over.set()
