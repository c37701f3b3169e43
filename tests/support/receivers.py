"""A mail server over real sockets, which keeps what it gets and can refuse recipients."""

import socketserver
from contextlib import suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from threading import Event
from typing import cast


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mails as an SMTP server does; `refuses` gives each unknown recipient its error code."""

    allow_reuse_address = daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Dialogue)
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.refuses: dict[str, int] = {}
        self.busy = False
        self.hangs_at = ""  # "220": at the greeting, "DATA": before a message, "END": once it has all of it
        self.drips = False  # while it hangs, a byte comes now and then

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Dialogue(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        if self.server.hangs_at == "220":
            self.hang()
            return
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
        if self.server.hangs_at == "DATA":
            self.hang()
            return
        self.say("354 go on")
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        self.server.mails.append(cast("EmailMessage", message_from_bytes(b"".join(lines), policy=policy.default)))
        if self.server.hangs_at == "END":
            self.hang()
            return
        self.say("250 taken")

    def hang(self) -> None:
        with suppress(OSError):  # the client hung up
            while self.server.drips and not Event().wait(0.02):
                self.wfile.write(b"2")
            self.rfile.read()

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())
