"""The web process: waitress on PORT. `python -m config.web [--host H] [--timeout SECONDS]`."""

import argparse
import copy
import gc
import ipaddress
import json
import os
import re
import resource
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from io import BufferedReader
from types import FrameType
from typing import Any

import waitress
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver
from django.utils.http import parse_header_parameters
from waitress import receiver
from waitress.channel import HTTPChannel
from waitress.parser import HEADER_FIELD_RE, HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer
from waitress.task import ErrorTask, WSGITask
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from config import environment, health

THREADS = 8
# Idle connections cost little; at waitress's own limit of 100 a few busy callers shut out everybody.
CONNECTIONS = 1_000
HEAD_BYTES = 32_768
"""Of a request's first line and headers; waitress looks through all of them again with each piece that comes."""
BODY_BYTES = 12_000_000
"""An import's file may have 10 MB, with a form around it; a larger body is refused by its length."""
ANONYMOUS_BODY_BYTES = 1_000_000
"""Of everybody else but who names a token: a webhook, a sign-in and a page's form have a few thousand."""
HELD_BYTES = 100_000_000
"""Of bodies that are on their way here and answers on their way out, of all connections together."""
IN_MEMORY_BYTES = 131_072
"""Of one body or answer; the rest of it waits in a temporary file."""
AHEAD_BYTES = 65_536
"""A streamed answer is asked for its next part when its reader has taken all but so many."""
TIMEOUT_SECONDS = 20
SLOWEST_BYTES_A_SECOND = 2_000
"""What who sends a request or reads an answer must reach, but for TIMEOUT_SECONDS: a phone far from its mast has 3 kB,
and a browser shares that among six connections' files."""
DEBUG_FOR_ALL = (
    "DEBUG is on, and {host} is for everybody who reaches this machine: set DEBUG=false, "
    "or add --host 127.0.0.1 to try it alone."
)

NO_STATIC_FILES = (
    "STATIC_MANIFEST is on, and the static files were not collected, without which no page can be shown. "
    "Run: STATIC_MANIFEST=true python manage.py collectstatic --noinput"
)


def options(host: str, port: int, behind_proxy: bool, timeout: int = TIMEOUT_SECONDS) -> dict[str, Any]:
    """Return waitress's settings. Only behind the proxy of an https SITE_URL is X-Forwarded-* trusted."""
    chosen: dict[str, Any] = {
        "host": host,
        "port": port,
        "threads": THREADS,
        "connection_limit": CONNECTIONS,
        "asyncore_use_poll": True,  # select() ends the process at the first file beyond number 1,023
        "max_request_header_size": HEAD_BYTES,
        "max_request_body_size": BODY_BYTES + 1,  # waitress refuses from this number on
        "inbuf_overflow": IN_MEMORY_BYTES,
        "outbuf_overflow": IN_MEMORY_BYTES,
        "outbuf_high_watermark": 8 * IN_MEMORY_BYTES,  # then a new file begins: one doesn't shrink while it is read
        "channel_timeout": timeout,
        "cleanup_interval": min(timeout, 5),
        "ident": None,
    }
    if behind_proxy:
        chosen |= {
            "trusted_proxy": "*",
            "trusted_proxy_count": 1,
            "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        }
    return chosen


class CrowdedError(Error):  # type: ignore[misc]
    code = 503
    reason = "Service Unavailable"


class ErrorResponse(ErrorTask):  # type: ignore[misc]
    """What the server itself refuses, before Django sees it; in the API's form for a program."""

    def execute(self) -> None:
        """Send waitress's own answer, in the form that the address's callers expect."""
        from config.middleware import FOR_PROGRAMS

        error = self.request.error
        if error.code != 500:
            path = getattr(self.request, "path", "")
            answer = _as_error if path.startswith(FOR_PROGRAMS) else _as_text
            sentence = _sentence(error, self.request.adj.max_request_body_size - 1)
            error.to_response = lambda ident=None: answer(error, sentence)
        super().execute()


def _as_error(error: Any, sentence: str) -> tuple[str, list[tuple[str, str]], bytes]:
    from sync.api.errors import error_body

    code = "too_large" if error.code == 413 else str(error.reason).lower().replace(" ", "_")
    body = json.dumps(error_body(error.code, code, sentence)).encode()
    return f"{error.code} {error.reason}", [("Content-Type", "application/json"), *_retry(error)], body


def _as_text(error: Any, sentence: str) -> tuple[str, list[tuple[str, str]], bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), *_retry(error)]
    return f"{error.code} {error.reason}", headers, f"{sentence}\n".encode()


def _retry(error: Any) -> list[tuple[str, str]]:
    return [("Retry-After", str(TIMEOUT_SECONDS))] if error.code == 503 else []


def _sentence(error: Any, limit: int) -> str:
    if error.code == 413:
        form = "" if limit == BODY_BYTES else " A file is sent with its form: if that was open for long, reload it."
        return f"The body is too large: this request may have {limit:,} bytes. Send less at once.{form}"
    if error.code == 503:
        return "Others send so much at this moment that there is no room for this body. Send it again in a minute."
    return f"This request can't be read: {error.body}. Correct it and send it again."


# In waitress 3.0.2 these end with `$`, which also matches before a last line feed: "5\n\r\n" would be a chunk's size.
receiver.ONLY_HEXDIG_RE = re.compile(receiver.ONLY_HEXDIG_RE.pattern[:-1] + rb"\Z")
receiver.CHUNK_EXT_RE = re.compile(receiver.CHUNK_EXT_RE.pattern[:-1] + rb"\Z")

_BODY_HEADER = re.compile(rb"^(content-length|transfer-encoding)[ \t]*:([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_LENGTH = {
    b"content-length": re.compile(rb" *[0-9]{1,15} *"),
    b"transfer-encoding": re.compile(rb" *chunked *", re.IGNORECASE),
}
_LONE = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")


class Request(HTTPRequestParser):  # type: ignore[misc]
    """A request that has one end, whoever reads it; what another server may read in another way is refused."""

    adj: Any
    error: Any = None

    def parse_header(self, head: bytes) -> None:
        """Read the head, and how much of a body may come; raises ParsingError."""
        from sync.api.callers import may_send_file

        lengths = _BODY_HEADER.findall(head)
        if len(lengths) > 1:
            raise ParsingError("Where its body ends is said twice")
        if any(not _LENGTH[name.lower()].fullmatch(value) for name, value in lengths):
            raise ParsingError("Where its body ends is not said as a number of bytes or as chunked")
        if b"\r\n " in head or b"\r\n\t" in head:
            raise ParsingError("A header goes on in a second line")
        try:
            super().parse_header(head)
            _, claimed = parse_header_parameters(self.headers.get("CONTENT_TYPE", ""))
        except ValueError as error:  # "http://[" is the beginning of no address
            raise ParsingError("Its address or Content-Type can't be read") from error
        # Django reads address and body by what is claimed: some of it decodes to no text, and zlib's kilobytes to
        # gigabytes.
        if claimed.get("charset", "utf-8").lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
            raise ParsingError("Its text is not in UTF-8")
        if lengths and lengths[0][0].lower() == b"transfer-encoding" and not self.chunked:
            raise ParsingError("Transfer-Encoding is of HTTP/1.1 alone")
        if not may_send_file(self.headers.get("COOKIE", "")):
            # Which tokens there are only the database knows: a made-up one has room for what Django reads, no more.
            is_named = "AUTHORIZATION" in self.headers
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE if is_named else ANONYMOUS_BODY_BYTES
            self.adj = copy.copy(self.adj)
            self.adj.max_request_body_size = limit + 1

    def received(self, data: bytes) -> int:
        """Take what came; return how many of its bytes are done with."""
        consumed: int = super().received(data)
        if self.error is None:
            self.error = self._trouble()
        if self.error is not None:
            self.completed = True
        if self.completed and not self.empty and data[consumed:].strip(b"\r\n"):
            # A second request, before the first was answered: nobody whom we know does that, and who does sends it
            # again where the connection is closed. Else one connection may have hundreds in hand.
            self.headers["CONNECTION"] = "close"
            return len(data)
        return consumed

    def _trouble(self) -> Error | None:
        """What is wrong with that which came, at once: waitress itself waits for its end."""
        if not self.headers_finished:
            return BadRequest("Bare CR or LF found in HTTP message") if _LONE.search(self.header_plus) else None
        if self.chunked:
            body = self.body_rcv
            unread = body.control_line + body.trailer
            if self.body_bytes_received + body.chunk_remainder >= self.adj.max_request_body_size:
                return RequestEntityTooLarge("a chunk is too large")
            if len(unread) > HEAD_BYTES or _LONE.search(unread):
                return BadRequest("Bare CR or LF found in a chunk's head or the trailer, or it is too long")
            if body.completed and not all(map(HEADER_FIELD_RE.match, filter(None, body.trailer.split(b"\r\n")))):
                return BadRequest("What follows the last chunk is no header")
        return None


# Answers that wait for their readers, who hold no thread, little room, and no connection for ever.


class Paused(BaseException):
    """An answer's reader has not taken what was sent: the rest is sent later, and this thread does something else."""


class Parts:
    """A streamed answer, which is asked for its parts by whichever thread: it may hold no database cursor."""

    def __init__(self, answer: Any, channel: "ServerChannel") -> None:
        self.answer, self.parts, self.channel = answer, iter(answer), channel

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next part; raises Paused while the reader lags behind."""
        if self.channel.total_outbufs_len > AHEAD_BYTES:
            self.channel.rest = self
            raise Paused
        return bytes(next(self.parts))

    def close(self) -> None:
        """Close the answer, unless it goes on later."""
        if self.channel.rest is not self:
            self.answer.close()


def in_parts(application: Any) -> Callable[[dict[str, Any], Any], Any]:
    """Return the application, whose streamed answers are sent as their readers take them."""

    def answer(environ: dict[str, Any], start_response: Any) -> Any:
        found = application(environ, start_response)
        streams = getattr(found, "streaming", False)
        return Parts(found, environ["waitress.client_disconnected"].__self__) if streams else found

    return answer


class Answer(WSGITask):  # type: ignore[misc]
    def execute(self) -> None:
        """Ask the application, or go on with what it answered."""
        parts, self.channel.rest = self.channel.rest, None
        if parts is None:
            super().execute()
            return
        try:
            for part in parts:
                self.write(part)
        finally:
            parts.close()
        if self.content_length not in (None, self.content_bytes_written):
            self.set_close_on_finish()

    def write(self, data: bytes) -> None:
        """Send more of the answer; to HEAD its head alone, or the rest would be read as the next answer."""
        super().write(b"" if self.request.command == "HEAD" else data)


class ServerChannel(HTTPChannel):  # type: ignore[misc]
    """A connection that must make progress: waitress itself accepts a byte every two minutes, or an idle reader."""

    parser_class = Request
    error_task_class = ErrorResponse
    request: Any = None
    task: Answer | None = None
    rest: Parts | None = None
    """What is still to be sent of a streamed answer."""
    is_waiting = False
    """Whether it goes on with `rest` when its reader has caught up."""
    began = 0.0
    moved = 0
    """Since when something is on its way, and how many bytes of it have come or gone."""
    makes_room = False
    """Whether it is let go, as too much is held."""

    def __init__(self, server: Any, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        # Else the kernel takes up to 4 MB for each reader, and says late that one is slow.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, AHEAD_BYTES)
        super().__init__(server, sock, *args, **kwargs)

    def task_class(self, channel: HTTPChannel, request: Request) -> Answer:
        """The answer that paused, or a new one: the next request may come before this thread is done with the last."""
        if self.rest is None or self.task is None:
            self.task = Answer(channel, request)
        return self.task

    def handle_read(self) -> None:
        """Read on; what comes of one request has to come fast enough."""
        request, active = self.request, self.last_activity
        before = _size(request)
        super().handle_read()
        if request is None or self.request is not request:
            self.began, self.moved = self.last_activity, _size(self.request)
        else:
            self._advance(_size(request) - before, active)
            if request.body_bytes_received > IN_MEMORY_BYTES:
                self._hold_less()

    def write_soon(self, data: Any) -> int:
        """Send it, now or when its reader takes it; never wait for that."""
        if not self.total_outbufs_len:
            self.began = self.last_activity = time.time()
            self.moved = 0
        written: int = super().write_soon(data)
        if self.total_outbufs_len > AHEAD_BYTES:
            self._hold_less()
        return written

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Wait for no reader, where waitress lets a thread wait without an end."""

    def _flush_some(self, do_close: bool = True) -> bool:
        unsent, active = self.total_outbufs_len, self.last_activity
        sent = bool(super()._flush_some(do_close))
        if sent and self.total_outbufs_len:
            self._advance(unsent - self.total_outbufs_len, active)
        return sent

    def _advance(self, size: int, active: float) -> None:
        """Count what has come or gone: `last_activity` moves on by as long as that may take, up to now."""
        now = time.time()
        self.moved += size
        self.last_activity = min(now, active + size / SLOWEST_BYTES_A_SECOND)
        if now - self.began > self.adj.channel_timeout:
            # Else who was fast at first and trickles since would look fast for minutes.
            self.began, self.moved = (self.began + now) / 2, self.moved // 2

    @property
    def held(self) -> int:
        """How many bytes are kept for it: of bodies, and of answers, but for files that are there anyway."""
        kept = [one for one in list(self.outbufs) if not isinstance(getattr(one, "file", None), BufferedReader)]
        answers: int = sum(len(one) for one in kept)
        bodies: int = sum(one.body_bytes_received for one in (*self.requests, self.request) if one is not None)
        return answers + bodies

    def _hold_less(self) -> None:
        """Let the connection go that takes most room for longest, where too much is held for all.

        Not the slowest: that may be a phone which holds nothing, and whose end makes no room.
        """
        held: dict[ServerChannel, int] = {one: one.held for one in list(self.server.active_channels.values())}
        if sum(held.values()) <= HELD_BYTES:
            return
        now = time.time()
        moving = [one for one in held if held[one] and (one.request or one.total_outbufs_len)]
        seconds = {one: held[one] * max(now - one.began, 0.001) / max(one.moved, 1) for one in moving}
        greediest = max(moving, key=lambda one: held[one] * seconds[one], default=self)
        greediest.makes_room = True
        self.server.pull_trigger()

    def writable(self) -> bool:
        """Whether there is something to send; who doesn't read is cut here, and who has caught up gets the rest."""
        if self.makes_room and self.request is not None:
            self._refuse_body()
        too_slow = self.total_outbufs_len and self.last_activity < time.time() - self.adj.channel_timeout
        if self.will_close or too_slow or (self.makes_room and self.total_outbufs_len):
            # waitress waits until something can be sent, which is never where nobody reads.
            if self.total_outbufs_len:  # else the kernel would keep it for minutes
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.handle_close()
            return False
        self.makes_room = False
        if self.is_waiting and self.total_outbufs_len <= AHEAD_BYTES:
            self._go_on()
        return bool(super().writable())

    def _refuse_body(self) -> None:
        request, self.request, self.makes_room = self.request, None, False
        request.close()
        request.error, request.completed, request.body_bytes_received = CrowdedError(""), True, 0
        with self.requests_lock:
            self.requests.append(request)
        self.server.add_task(self)

    def handle_close(self) -> None:
        """Close the connection, and what was still to be sent by it."""
        super().handle_close()
        if self.is_waiting:
            self._go_on()

    def _go_on(self) -> None:
        self.is_waiting = False
        self.server.add_task(self)

    def service(self) -> None:
        """Answer a request, or go on with its answer."""
        if not self.requests:  # it was closed at the moment at which it paused, and that was noticed twice
            return
        try:
            super().service()
        except Paused:
            self.is_waiting = True
            if self.connected:
                self.server.pull_trigger()
            else:
                self._go_on()
            return
        # Of a connection that goes on, another thread may answer the next request by now.
        if not self.connected and (rest := self.rest) is not None:
            self.rest = None
            rest.close()

    def send_continue(self) -> None:
        """Ask for the body, unless there is none, or its announced length was refused already."""
        if self.request.error is None and not self.request.completed:
            super().send_continue()
        else:
            self.request.expect_continue = False


def _size(request: Request | None) -> int:
    return request.header_bytes_received + request.body_bytes_received if request is not None else 0


def stop_server(number: int, frame: FrameType | None) -> None:
    """Let waitress finish the requests in hand; one that works the queue ends after its batch."""
    from sync.kernel import process

    process.request_shutdown()
    sys.exit(0)


def startup_refusal(host: str) -> str:
    """Return why this process must not serve here; empty where it may. Reads the settings."""
    try:
        environment.load()
        if environment.database_url() == environment.NOWHERE:
            return environment.NO_SERVER
        shows_traces = settings.DEBUG
        if settings.STATIC_MANIFEST and not (settings.STATIC_ROOT / "staticfiles.json").is_file():
            return NO_STATIC_FILES
    except ImproperlyConfigured as error:
        return f"Settings: {error}"
    return DEBUG_FOR_ALL.format(host=host) if shows_traces and not _is_local_host(host) else ""


def _is_local_host(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m config.web", description=main.__doc__)
    parser.add_argument("--host", default="0.0.0.0", help="the address to listen on (default: every one)")  # noqa: S104
    parser.add_argument(
        "--timeout", type=int, default=TIMEOUT_SECONDS, metavar="SECONDS",
        help="for so long a connection may be silent, and a request be half sent (default: %(default)s)",
    )  # fmt: skip
    chosen = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sentence := startup_refusal(chosen.host):
        sys.exit(sentence)
    try:
        serve(chosen.host, chosen.timeout)
    except ImproperlyConfigured as error:  # errors that appear only while Django is loaded
        sys.exit(f"Settings: {error}")


def load_application() -> WSGIHandler:
    """Load all that answers requests, which needs valid settings, and make the process ready to serve it."""
    from sync.kernel import process

    application = get_wsgi_application()

    # Else the first request imports the views, and they are looked through by each collection.
    get_resolver().url_patterns  # noqa: B018 - reading it imports them
    gc.collect()
    process.spare_loaded_code()
    return application


def serve(host: str, timeout: int = TIMEOUT_SECONDS) -> None:
    application = load_application()

    signal.signal(signal.SIGTERM, stop_server)
    BaseWSGIServer.channel_class = ServerChannel
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # systemd gives 1,024 to who doesn't ask
    wanted = 4 * CONNECTIONS
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most < 0 else min(wanted, most), most))
    health.beat("web")  # says which process this is; whether it is well, /healthz says
    waitress.serve(in_parts(application), **options(host, settings.PORT, settings.SITE_IS_HTTPS, timeout))


if __name__ == "__main__":
    main()
