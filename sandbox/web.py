"""Just enough web: requests, responses, routes, and the WSGI application around them."""

import gzip
import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs

from waitress.channel import ClientDisconnected

LARGEST_BODY = 30_000_000
LONGEST_NUMBER = 18  # digits
SMALLEST_PACKED = 1_024  # bytes; below, packing saves nothing
JSON_TYPE = "application/json; charset=utf-8"


class BadRequestError(Exception):
    """Answered with 400 and the text."""


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: Iterable[bytes] | None = None


class Request:
    """One HTTP request."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        self.query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}

    def header(self, name: str) -> str | None:
        key = name.upper().replace("-", "_")
        value: str | None = self._environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
        return value

    @property
    def address(self) -> str:
        """The network address that it comes from."""
        found: str = self._environ.get("REMOTE_ADDR", "")
        return found

    def takes_gzip(self) -> bool:
        """Whether Accept-Encoding names gzip, and not with a weight of 0 (RFC 9110 section 12.5.3)."""
        for coding in (self.header("Accept-Encoding") or "").lower().split(","):
            name, _, weight = coding.partition(";")
            if name.strip() == "gzip":
                return not re.fullmatch(r"\s*q=0(\.0*)?\s*", weight)
        return False

    def body(self, largest: int = LARGEST_BODY) -> bytes:
        """The whole body. BadRequestError when it is longer than `largest` bytes."""
        length = int(self._environ.get("CONTENT_LENGTH") or 0)
        if length > largest:
            raise BadRequestError("the body is too large")
        content: bytes = self._environ["wsgi.input"].read(length)
        return content

    def json(self) -> Any:
        """The body as JSON. BadRequestError when it is none."""
        try:
            return decoded(self.body() or b"{}")
        except ValueError as bad:
            raise BadRequestError(f"the body is not JSON: {bad}") from None

    def object(self) -> dict[str, Any]:
        """The body as a JSON object. BadRequestError when it is none."""
        found = self.json()
        if not isinstance(found, dict):
            raise BadRequestError("the body must be a JSON object")
        return found

    def is_json(self) -> bool:
        return (self.header("Content-Type") or "").split(";")[0].strip().lower() == "application/json"

    def client_gone(self) -> bool:
        """Whether the other side hung up."""
        check = self._environ.get("waitress.client_disconnected")
        return bool(check and check())


Handler = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler


def route(method: str, path: str, handler: Handler) -> Route:
    """A route; `<id>` stands for a number, which the handler gets as an int."""
    return Route(method, re.compile(path.replace("<id>", r"([0-9]{1,18})") + r"\Z"), handler)


def decoded(text: str | bytes) -> Any:
    """What JSON means. ValueError for what is none, and for half a character, which nothing can store."""
    try:
        words = text.decode() if isinstance(text, bytes) else text
        found = json.loads(words)
        if "\\u" in words:  # only an escape can still hold half a character
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeError:
        raise ValueError("it holds bytes or half of a surrogate pair that are no character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def whole(text: str, otherwise: int | None = None) -> int | None:
    """The whole number that a query parameter gives, or `otherwise` when it gives none."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST_NUMBER else otherwise


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"Content-Type": JSON_TYPE, **(headers or {})})


def html_response(text: str, status: int = 200) -> Response:
    return Response(status, text.encode(), {"Content-Type": "text/html; charset=utf-8"})


def cut_connection() -> None:
    """Leave the client without an answer: so waitress closes the connection."""
    raise ClientDisconnected


class Doorkeeper(Protocol):
    """Who decides which requests are let in."""

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not."""


class Application:
    """The WSGI application over a list of routes."""

    def __init__(self, routes: list[Route], guard: Doorkeeper) -> None:
        self._routes = routes
        self._guard = guard

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        response = _packed(self._answer(request), request)
        headers = dict(response.headers)
        if response.stream is None:
            headers["Content-Length"] = str(len(response.body))
        start_response(f"{response.status} {_phrase(response.status)}", list(headers.items()))
        return _as_iterator(response.stream) if response.stream is not None else [response.body]

    def _answer(self, request: Request) -> Response:
        try:
            return self._guard.refusal(request) or self._dispatch(request)
        except BadRequestError as bad:
            return json_response({"error": str(bad)}, 400)
        except ClientDisconnected:
            raise
        except Exception:
            traceback.print_exc()
            return json_response({"error": "The sandbox failed; its log says why."}, 500)

    def _dispatch(self, request: Request) -> Response:
        found = [(one, match) for one in self._routes if (match := one.pattern.match(request.path))]
        for one, match in found:
            if one.method == request.method:
                return one.handler(request, *(int(group) for group in match.groups()))
        if found:
            return json_response({"error": f"{request.method} is not allowed here"}, 405)
        return json_response({"error": f"There is nothing at {request.path}"}, 404)


def _packed(response: Response, request: Request) -> Response:
    """The same, compressed where the client takes that and it is worth it."""
    if response.stream is not None or len(response.body) < SMALLEST_PACKED or not request.takes_gzip():
        return response
    headers = response.headers | {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return replace(response, body=gzip.compress(response.body, 1), headers=headers)


def _as_iterator(stream: Iterable[bytes]) -> Iterator[bytes]:
    yield from stream


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"
