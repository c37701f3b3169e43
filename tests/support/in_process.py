"""Servers within this process: `requests` calls their WSGI application instead of opening a connection."""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import RemoteDisconnected
from typing import Any, Self
from urllib.parse import unquote, urlsplit
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.exceptions import ProtocolError
from waitress.channel import ClientDisconnected

from tests.support.serving import serving

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
by_address: dict[str, Application] = {}  # by host and port, each answered here instead of over the network


@contextmanager
def answering(url: str, application: Application) -> Iterator[None]:
    """Have the application answer every path of this host and port."""
    by_address[urlsplit(url).netloc] = application
    try:
        yield
    finally:
        del by_address[urlsplit(url).netloc]


@contextmanager
def calls_in_process() -> Iterator[None]:
    """Make `requests` call the application of an address, and connect only to other addresses."""
    connect = HTTPAdapter.send

    def send(adapter: HTTPAdapter, request: Any, *arguments: Any, **options: Any) -> requests.Response:
        application = by_address.get(urlsplit(request.url).netloc)
        if application is None:
            return connect(adapter, request, *arguments, **options)
        return adapter.build_response(request, _answer_of(application, request, options.get("timeout")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HTTPAdapter, "send", send)
        yield


def _answer_of(application: Application, request: requests.PreparedRequest, timeout: Any) -> HTTPResponse:
    """Return the application's answer, or raise the error of a client that timed out or was cut off."""
    path, _, query = request.path_url.partition("?")
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    seconds = timeout[1] if isinstance(timeout, tuple) else timeout
    end = float("inf") if seconds is None else time.monotonic() + seconds
    environ = {
        "HTTP_HOST": urlsplit(request.url).netloc,
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in request.headers.items()},
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(path),
        "QUERY_STRING": query,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": request.headers.get("Content-Type"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "waitress.client_disconnected": lambda: time.monotonic() > end,
    }
    head: list[Any] = []  # the status line, and the headers
    try:
        content = b"".join(application(environ, lambda *arguments: head.extend(arguments)))
        is_cut = False
    except ClientDisconnected:
        is_cut = True
    # A client whose time is up notices that before a cut connection.
    if time.monotonic() > end:
        raise requests.ReadTimeout("no answer in time")
    if is_cut:
        raise requests.ConnectionError(ProtocolError("Connection aborted.", RemoteDisconnected()))
    status = int(head[0].split()[0])
    return HTTPResponse(io.BytesIO(content), headers=dict(head[1]), status=status, preload_content=False)


class Hooks:
    """Plays NPD's endpoint for webhooks, and keeps each delivery: body, Authorization, path."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[bytes, str | None, str]] = []
        self.url = ""

    @contextmanager
    def receiving(self) -> Iterator[Self]:
        """Answer within this process, and over HTTP for a sandbox in another process."""
        server = make_server("127.0.0.1", 0, self, handler_class=_Silent)
        self.url = f"http://127.0.0.1:{server.server_port}"
        with serving(server), answering(self.url, self):
            yield self

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        if "challenge" not in json.loads(body):
            self.deliveries.append((body, environ.get("HTTP_AUTHORIZATION"), environ["PATH_INFO"]))
        start_response("200 OK", [("Content-Type", "application/json")])
        return [body]


class _Silent(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Say nothing."""
