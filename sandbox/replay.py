"""`python -m sandbox --replay FILE`: recorded answers of Monday's, given again to whoever asks the same.

A recording is what `manage.py monday_check --probe` wrote: `{"api_version", "exchanges": [{"request", "answer"} or
{"delivery"}]}`. The same requests get their answers in the order of the recording, and the last one for ever after; the
webhooks that came behind an answer are posted before it is given, to the address that create_webhook named last.
"""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from sandbox.http import Application, BadRequestError, Guard, Request, Response, json_response, route

POST_SECONDS = 10
# They belong to a connection or to the body's new form, and the server sets them itself.
OWN_HEADERS = ("content-type", "content-length", "content-encoding", "transfer-encoding")


class UnreadableRecording(Exception):
    """The file is no recording; the message says what is wrong with it."""


@dataclass
class Turn:
    """One kind of request: its answers in their order, and how many were given."""

    answers: list[tuple[dict[str, Any], list[Any]]] = field(default_factory=list)
    given: int = 0

    def next(self) -> tuple[dict[str, Any], list[Any]]:
        found = self.answers[min(self.given, len(self.answers) - 1)]
        self.given += 1
        # Webhooks came once.
        return found if self.given <= len(self.answers) else (found[0], [])


class Recording:
    """Answers as recorded, by what was asked."""

    def __init__(self, recorded: Any) -> None:
        self._turns: dict[str, Turn] = {}
        self._unknown: list[dict[str, Any]] = []
        self._address = ""
        self._lock = threading.Lock()
        deliveries: list[Any] = []
        for request, answer in _exchanges(recorded):
            if answer is None:
                deliveries.append(request)
            else:
                deliveries = []
                turn = self._turns.setdefault(_kind(request), Turn())
                turn.answers.append((answer, deliveries))

    def post(self, request: Request) -> Response:
        """Give the recorded answer; 404 with the request where it holds none."""
        asked = request.object()
        version = request.header("API-Version")
        with self._lock:
            if address := _webhook_address(asked):
                self._address = address
            turn = self._turns.get(_kind(asked | {"version": version})) or self._turns.get(_kind(asked))
            if turn is None:
                self._unknown.append(asked)
                message = "The recording has no such request; GET /_control/replay lists those that it lacked."
                return json_response({"errors": [{"message": message}]}, 404)
            answer, deliveries = turn.next()
        for event in deliveries:
            requests.post(self._address, json={"event": event}, timeout=POST_SECONDS)
        headers = {name: text for name, text in answer["headers"].items() if name.lower() not in OWN_HEADERS}
        if isinstance(answer["body"], str):
            return Response(answer["status"], answer["body"].encode(), {"Content-Type": "text/html"} | headers)
        return json_response(answer["body"], answer["status"], headers)

    def progress(self, request: Request) -> Response:
        """How many recorded answers were given, how many are left, and what was asked in vain."""
        with self._lock:
            turns = self._turns.values()
            given = sum(min(turn.given, len(turn.answers)) for turn in turns)
            left = sum(len(turn.answers) for turn in turns) - given
            return json_response({"given": given, "left": left, "unknown": self._unknown})


def build(file: Path, host: str, site_url: str) -> Application:
    """A server that plays this file. UnreadableRecording when it is none."""
    try:
        recording = Recording(json.loads(file.read_text(encoding="utf-8")))
    except OSError as failure:
        raise UnreadableRecording(f"{file} can't be read: {failure.strerror}") from failure
    except (ValueError, LookupError, TypeError, AttributeError) as failure:
        words = "is no recording of `manage.py monday_check --probe`"
        raise UnreadableRecording(f"{file} {words} ({type(failure).__name__}: {failure})") from failure
    routes = [route("POST", "/v2", recording.post), route("GET", "/_control/replay", recording.progress)]
    return Application(routes, Guard(host, site_url))


def _exchanges(recorded: Any) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    for one in recorded["exchanges"]:
        if "delivery" in one:
            yield one["delivery"], None
        else:
            answer = {name: one["answer"][name] for name in ("status", "headers", "body")}
            yield one["request"], answer


def _kind(request: dict[str, Any]) -> str:
    """What makes two requests the same: document, variables and a version asked for; neither key nor addresses."""
    variables = {name: _without_address(value) for name, value in (request.get("variables") or {}).items()}
    return json.dumps([" ".join(request["query"].split()), variables, request.get("version")], sort_keys=True)


def _without_address(value: Any) -> Any:
    return "address" if isinstance(value, str) and urlsplit(value).scheme in ("http", "https") else value


def _webhook_address(asked: dict[str, Any]) -> str:
    variables = asked.get("variables") or {}
    if "create_webhook" not in str(asked.get("query")):
        return ""
    found = next((value for value in variables.values() if _without_address(value) == "address"), "")
    if not isinstance(found, str):
        raise BadRequestError("a webhook's address is a text")
    return found
