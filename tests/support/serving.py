"""Servers in this process, which NPD or the sandbox calls."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import Any, TypeVar

Server = TypeVar("Server", bound=BaseServer)


class Quiet(BaseHTTPRequestHandler):
    """Logs nothing and answers every request by `reply`."""

    def do_GET(self) -> None:
        self.reply()

    def do_POST(self) -> None:
        self.reply()

    def reply(self) -> None:
        raise NotImplementedError

    def answer(self, body: bytes = b"", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class _Local(ThreadingHTTPServer):
    # With the default queue of five, one of sixty requests at once waits a second for its next attempt or is reset.
    request_queue_size = 128


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def local(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    return _Local(("127.0.0.1", 0), handler)
