"""Just enough of a web framework: requests, responses, routes, and the WSGI application with its guard.

Also NPD's addresses, for browsers and for this process.
"""

import inspect
import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlsplit

from waitress.channel import ClientDisconnected

Result = TypeVar("Result")


class BadRequestError(Exception):
    """Answered with 400 and the text."""


def one_of(options: Iterable[str], word: str) -> str:
    """Return the word if it is one of the options; raises BadRequestError."""
    if word not in options:
        raise BadRequestError(f"{word!r} is none of {', '.join(options)}")
    return word


def call(function: Callable[..., Result], fields: Mapping[str, Any]) -> Result:
    """Call a function or class with the fields of a JSON object; raises BadRequestError if they don't fit it."""
    try:
        arguments = inspect.signature(function).bind(**fields)
    except TypeError as error:
        raise BadRequestError(str(error)) from None
    return function(*arguments.args, **arguments.kwargs)


LARGEST_BODY = 30_000_000  # bytes; `/_control/items` gets all items of a board at once
NUMBER = r"[0-9]{1,18}"  # SQLite stores numbers of 64 bits
JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True)
class Response:
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Request:
    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        # WSGI decodes the path's bytes as Latin-1 (PEP 3333).
        self.path: str = environ.get("PATH_INFO", "/").encode("latin-1").decode("utf-8", "replace")
        self.query = {key: values[-1] for key, values in parse_qs(environ.get("QUERY_STRING", "")).items()}

    def header(self, name: str) -> str | None:
        key = name.upper().replace("-", "_")
        # As in CGI, the name of Content-Type has no HTTP_ before it.
        value: str | None = self._environ.get(key if key == "CONTENT_TYPE" else f"HTTP_{key}")
        return value

    def body(self) -> bytes:
        """Return the whole body; raises BadRequestError above LARGEST_BODY."""
        length = int(self._environ.get("CONTENT_LENGTH") or 0)
        if length > LARGEST_BODY:
            raise BadRequestError("the body is too large")
        content: bytes = self._environ["wsgi.input"].read(length)
        return content

    def json(self) -> Any:
        """Return the body as JSON; raises BadRequestError."""
        try:
            return decode_json(self.body() or b"{}")
        except ValueError as error:
            raise BadRequestError(f"the body is not JSON: {error}") from None

    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body().decode("utf-8", "replace"), keep_blank_values=True))

    def is_json(self) -> bool:
        return (self.header("Content-Type") or "").split(";")[0].strip().lower() == "application/json"


Handler = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    method: str
    pattern: re.Pattern[str]
    handler: Handler


def route(method: str, path: str, handler: Handler) -> Route:
    """Return a route; `<id>` in its path is a number, which the handler gets as an int."""
    return Route(method, re.compile(path.replace("<id>", f"({NUMBER})") + r"\Z"), handler)


def decode_json(text: str | bytes) -> Any:
    """Decode JSON; raises ValueError, also for a lone surrogate, which no database stores."""
    try:
        text = text.decode() if isinstance(text, bytes) else text
        content = json.loads(text)
        if "\\u" in text:  # only an escape can be a lone surrogate
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeError:
        raise ValueError("it holds bytes or half of a surrogate pair that are no character") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def parse_int(text: str) -> int | None:
    """Return the number of an id or a page; None for any other text."""
    return int(text) if re.fullmatch(NUMBER, text) else None


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, body, {"Content-Type": JSON_TYPE, **(headers or {})})


class Application:
    """The WSGI application over a list of routes."""

    def __init__(self, routes: list[Route], guard: "Guard") -> None:
        self._routes = routes
        self._guard = guard

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._answer(Request(environ))
        headers = response.headers | {"Content-Length": str(len(response.body))}
        start_response(f"{response.status} {responses.get(response.status, 'Status')}", list(headers.items()))
        return [response.body]

    def _answer(self, request: Request) -> Response:
        try:
            if refusal := self._guard.refusal(request):
                return refusal
            matches = [(route, match) for route in self._routes if (match := route.pattern.match(request.path))]
            for route, match in matches:
                if route.method == request.method:
                    return route.handler(request, *(int(group) for group in match.groups()))
            # The address exists, but not for this method.
            if matches:
                return json_response({"error": f"{request.method} is not allowed here"}, 405)
            return json_response({"error": f"There is nothing at {request.path}"}, 404)
        except BadRequestError as error:
            return json_response({"error": str(error)}, 400)
        except ClientDisconnected:  # cuts the connection without an answer, as some faults want
            raise
        except Exception:
            traceback.print_exc()
            return json_response({"error": "The sandbox failed; its log says why."}, 500)


OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
READING = ("GET", "HEAD")


class Guard:
    """Refuses requests from pages of other sites.

    Such a page may point its own name to 127.0.0.1 (DNS rebinding); its requests have that name as Host. Or it sends
    them to our address; then they have its Origin. A sandbox that listens on every address accepts any name.
    """

    def __init__(self, host: str) -> None:
        self._names = () if host in EVERYWHERE else (*OWN_NAMES, host)

    def refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused, None for others."""
        host = (request.header("Host") or "").lower()
        name = re.sub(r":\d+\Z", "", host)
        if self._names and name and name not in self._names:
            return json_response({"error": f"This sandbox is not {name!r}; with --host 0.0.0.0 it has any name."}, 403)
        origin = request.header("Origin")
        if request.method not in READING and origin is not None and origin.partition("://")[2].lower() != host:
            return json_response({"error": "A page of another site may change nothing here."}, 403)
        return None


@dataclass(frozen=True)
class NpdAddress:
    """NPD's addresses."""

    public: str  # for browsers
    via: str | None = None  # by which this process reaches it, if that is another one, as between containers

    def reach(self, url: str) -> tuple[str, dict[str, str]]:
        """Return the address to call instead of this one, and the headers that name the public one."""
        if not self.via or not f"{url}/".startswith(f"{self.public}/"):
            return url, {}
        scheme, host = urlsplit(self.public)[:2]
        return self.via.rstrip("/") + url.removeprefix(self.public), {"Host": host, "X-Forwarded-Proto": scheme}
