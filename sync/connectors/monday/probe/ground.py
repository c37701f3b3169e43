"""The probe's own boards on a real account: every call to them is recorded, and everything that was made there is
taken away again, also what a lost answer left.

A recording holds no secret and nothing of the account: ids, request ids, addresses, keys and the token are replaced
by stand-ins, each by the same one throughout, so that a recording can be played (`python -m sandbox --replay`).
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sync.connectors.base.errors import ConnectorError

Send = Callable[..., tuple[int, Mapping[str, str], bytes]]
"""Sends a body as it is, under `key` and as API `version`; the status, headers and body of the answer."""

_TITLE = "NPD Sync probe"
_OTHER_TITLE = "NPD Sync probe, other board"
_LONGEST_WAIT = 120.0
"""The longest that a limit may ask for before a question is given up, in seconds."""
_TRIES = 4
_KEPT_HEADERS = (
    "Api-Version",
    "Content-Type",
    "Idempotency-Replayed",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)
_COLUMNS = {
    "probe_text": "text",
    "probe_number": "numbers",
    "probe_status": "status",
    "probe_dropdown": "dropdown",
    "probe_phone": "phone",
    "probe_relation": "board_relation",
}

_CREATE_BOARD = """mutation ProbeBoard($title: String!) {
  create_board(board_name: $title, board_kind: private, empty: true) { id } }"""
_DELETE_BOARD = "mutation ProbeDeleteBoard($board_id: ID!) { delete_board(board_id: $board_id) { id } }"
_CREATE_COLUMN = """mutation ProbeColumn($board_id: ID!, $id: String!, $type: ColumnType!, $defaults: JSON) {
  create_column(board_id: $board_id, title: $id, id: $id, column_type: $type, defaults: $defaults) { id } }"""
_CREATE_GROUP = """mutation ProbeGroup($board_id: ID!, $title: String!) {
  create_group(board_id: $board_id, group_name: $title) { id } }"""
_CREATE_ITEM = """mutation ProbeItem($board_id: ID!, $name: String!, $values: JSON, $group_id: String) {
  create_item(board_id: $board_id, item_name: $name, column_values: $values, group_id: $group_id) { id } }"""
_CREATE_WEBHOOK = """mutation ProbeWebhook(
  $board_id: ID!, $url: String!, $event: WebhookEventType!, $config: JSON
) { create_webhook(board_id: $board_id, url: $url, event: $event, config: $config) { id } }"""
_DELETE_WEBHOOK = "mutation ProbeDeleteWebhook($id: ID!) { delete_webhook(id: $id) { id } }"
SET_UP_CALLS = 4 + len(_COLUMNS)
TAKE_AWAY_CALLS = 2


class Unanswered(Exception):
    """A question can't be asked here, and why; the others can."""


@dataclass(frozen=True)
class Exchange:
    """An answer as it came: the body is JSON, or text where it was none."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def errors(self) -> list[Any]:
        found = self.body.get("errors") if isinstance(self.body, dict) else None
        return found if isinstance(found, list) else []

    @property
    def data(self) -> Mapping[str, Any]:
        """What was answered; empty where nothing was."""
        found = self.body.get("data") if isinstance(self.body, dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def extensions(self) -> Mapping[str, Any]:
        """Those of the first error."""
        found = self.errors[0].get("extensions") if self.errors and isinstance(self.errors[0], dict) else None
        return found if isinstance(found, dict) else {}

    @property
    def outcome(self) -> str:
        """Done, or by which status and code it was refused: what stays the same from case to case."""
        if not self.errors:
            return "done" if self.status == 200 else f"HTTP {self.status}"
        return f"HTTP {self.status}, {self.extensions.get('code') or 'no code'}"

    def root(self, name: str) -> Mapping[str, Any]:
        """One field at the root. Unanswered where it was refused, for what depends on it."""
        found = self.data.get(name)
        if isinstance(found, dict):
            return found
        raise self._missing(name)

    def root_list(self, name: str) -> list[Any]:
        """The same of a field that is a list."""
        found = self.data.get(name)
        if isinstance(found, list):
            return found
        raise self._missing(name)

    def _missing(self, name: str) -> Unanswered:
        message = str(self.errors[0].get("message", "")) if self.errors else ""
        return Unanswered(f"{name} was refused: {self.outcome}{f' ({message})' if message else ''}")


@dataclass
class Ground:
    """The probe's two boards and what is done there; `wait` lets time pass, `deliveries` gives the events that came."""

    send: Send
    wait: Callable[[float], None]
    deliveries: Callable[[str], list[dict[str, Any]]]
    webhook_url: str
    board_id: str = ""
    other_board_id: str = ""
    calls: int = 0
    left: list[str] = field(default_factory=list)
    exchanges: list[dict[str, Any]] = field(default_factory=list)
    _webhooks: list[str] = field(default_factory=list)
    _boards: dict[str, str] = field(default_factory=dict)
    _delivered: int = 0
    _nonce: str = field(default_factory=lambda: uuid.uuid4().hex)
    _keys: int = 0

    def make(self) -> None:
        """Make the boards, a group on each and the columns; raises ConnectorError or Unanswered."""
        self.other_board_id = self._make_board(_OTHER_TITLE)
        self.board_id = self._make_board(_TITLE)
        for board_id in (self.board_id, self.other_board_id):
            self.add_group(board_id, "Items")  # an empty board need not have one, and items need one
        for column_id, kind in _COLUMNS.items():
            defaults = json.dumps({"boardIds": [int(self.other_board_id)]}) if kind == "board_relation" else None
            variables = {"board_id": self.board_id, "id": column_id, "type": kind, "defaults": defaults}
            self.ask(_CREATE_COLUMN, **variables).root("create_column")

    def ask(self, document: str, *, key: str | None = None, version: str | None = None, **variables: Any) -> Exchange:
        """Send a document and record what came; waits where a limit asks for it. Raises ConnectorError."""
        body = json.dumps({"query": document, "variables": variables})
        for left in reversed(range(_TRIES)):
            used = key or (self.new_key() if document.startswith("mutation") else None)
            self.calls += 1
            status, headers, content = self.send(body.encode(), used, version)
            found = Exchange(status, headers, _decoded(content))
            self._record(document, variables, used, version, found)
            seconds = _asked_wait(found)
            if seconds is None or seconds > _LONGEST_WAIT or not left:
                break
            self.wait(seconds)
        return found

    def new_key(self) -> str:
        """An Idempotency-Key that no run has used."""
        self._keys += 1
        return f"{self._nonce}-{self._keys}"

    def add_group(self, board_id: str, title: str) -> str:
        return str(self.ask(_CREATE_GROUP, board_id=board_id, title=title).root("create_group")["id"])

    def add_item(self, name: str, values: Mapping[str, Any] | None = None, group_id: str | None = None) -> str:
        given = {"board_id": self.board_id, "name": name, "values": json.dumps(values or {}), "group_id": group_id}
        return str(self.ask(_CREATE_ITEM, **given).root("create_item")["id"])

    def add_linked_item(self, name: str) -> str:
        given = {"board_id": self.other_board_id, "name": name, "values": None, "group_id": None}
        return str(self.ask(_CREATE_ITEM, **given).root("create_item")["id"])

    def subscribe(self, event: str, config: Mapping[str, Any] | None = None) -> str:
        """A webhook of the board to this installation; its id. Unanswered where Monday doesn't reach the address."""
        given = {"url": self.webhook_url, "event": event, "config": json.dumps(config) if config else None}
        made = self.ask(_CREATE_WEBHOOK, board_id=self.board_id, **given)
        if made.data.get("create_webhook") is None:
            raise Unanswered(f"Monday made no webhook ({made.outcome}): it has to reach SITE_URL while web is running")
        self._webhooks.append(hook_id := str(made.root("create_webhook")["id"]))
        return hook_id

    def arrived(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> list[dict[str, Any]]:
        """All events so far, as soon as a wanted one is among them, and what comes in the ten seconds after it.

        Unanswered where it doesn't come. Events have no order, so what is not there now may only be late.
        """
        for _ in range(int(seconds)):
            if any(wanted(event) for event in self.deliveries(self.board_id)):
                break
            self.wait(1)
        else:
            raise Unanswered(f"no webhook arrived within {seconds:g} s")
        self.wait(10)
        events = self.deliveries(self.board_id)
        self.exchanges += [{"delivery": event} for event in events[self._delivered :]]
        self._delivered = len(events)
        return events

    def take_away(self) -> None:
        """Delete webhooks and boards; `left` says what could not be deleted, and what to do."""
        for hook_id in reversed(self._webhooks):
            self._attempt(partial(self.ask, _DELETE_WEBHOOK, id=hook_id))
        for key, title in reversed(self._boards.items()):
            # Under its key a create happens once: asked again, it tells the id that a lost answer held.
            known = {_TITLE: self.board_id, _OTHER_TITLE: self.other_board_id}[title]
            found = {"id": known} if known else self._attempt(partial(self._create_board, title, key))
            gone = found and self._attempt(partial(self.ask, _DELETE_BOARD, board_id=str(found["id"])))
            if not gone or gone.errors:
                self.left.append(f"the board “{title}”{f' ({known})' if known else ''}: delete it on Monday")

    def recording(self, version: str, secrets: Iterable[str]) -> dict[str, Any]:
        scrubber = Scrubber((*filter(None, secrets), self._nonce))
        exchanges = [scrubber.learn(exchange) for exchange in self.exchanges]
        return {"api_version": version, "exchanges": [scrubber.scrub(exchange) for exchange in exchanges]}

    def _make_board(self, title: str) -> str:
        key = self.new_key()
        self._boards[key] = title  # before it is sent: the answer may be lost
        try:
            return str(self._create_board(title, key)["id"])
        except (ConnectorError, Unanswered) as error:
            if not getattr(error, "outcome_unknown", False):
                del self._boards[key]
            raise

    def _create_board(self, title: str, key: str) -> Mapping[str, Any]:
        return self.ask(_CREATE_BOARD, key=key, title=title).root("create_board")

    @staticmethod
    def _attempt(act: Callable[[], Any]) -> Any:
        """Take away what can be: one failure must not keep the rest on the account."""
        try:
            return act()
        except (ConnectorError, Unanswered):
            return None

    def _record(
        self, document: str, variables: Mapping[str, Any], key: str | None, version: str | None, found: Exchange
    ) -> None:
        kept = {name: found.headers[name] for name in _KEPT_HEADERS if name in found.headers}
        asked = {"query": document, "variables": dict(variables), "version": version, "key": key}
        answered = {"status": found.status, "headers": kept, "body": found.body}
        self.exchanges.append({"request": asked, "answer": answered})


def _decoded(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode(errors="replace")


def _asked_wait(found: Exchange) -> float | None:
    """How long a limit asks to wait; None where none was hit."""
    told = found.extensions.get("retry_in_seconds", found.headers.get("Retry-After"))
    limited = found.status == 429 or found.extensions.get("status_code") == 429
    if not limited:
        return None
    return float(told) if str(told).replace(".", "", 1).isdigit() else 30.0


# What a recording may not hold.


_ID_KEY = re.compile(r"(^|_)ids?$|[a-z]Ids?$")
_FIRST_ID = 1_000_001
_SHORTEST_ID = 4  # digits; what the probe itself asks for as an id of nothing is shorter
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b")
_NUMBER = re.compile(rf"\d{{{_SHORTEST_ID},}}")
_REPLACED = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "a-signed-token"),
    (re.compile(r"https?://[^\s\"'<>\\]+"), "https://address.example/"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"), "person@example.org"),
)


class Scrubber:
    """Replaces what belongs to an account or a person, the same by the same: learn everything first, then scrub."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = tuple(secrets)
        self._ids: dict[str, str] = {}
        self._unique: dict[str, str] = {}

    def learn(self, value: Any, key: str = "") -> Any:
        """Find the ids, also in JSON within texts; returns the value."""
        if isinstance(value, dict):
            for name, inner in value.items():
                self.learn(inner, name)
        elif isinstance(value, list):
            for inner in value:
                self.learn(inner, key)
        elif isinstance(value, str) and (inner := _json_within(value)) is not None:
            self.learn(inner)
        elif _is_id(value, key):
            self._ids.setdefault(str(value), str(_FIRST_ID + len(self._ids)))
        return value

    def scrub(self, value: Any, key: str = "") -> Any:
        """The same with stand-ins."""
        if isinstance(value, dict):
            return {name: self.scrub(inner, name) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.scrub(inner, key) for inner in value]
        if not isinstance(value, str):
            return int(self._ids[str(value)]) if _is_id(value, key) else value
        if (inner := _json_within(value)) is not None:
            return json.dumps(self.scrub(inner))
        return self._text(value)

    def _text(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "secret")
        for pattern, stand_in in _REPLACED:
            text = pattern.sub(stand_in, text)
        text = _UUID.sub(lambda found: self._stand_in(found[0]), text)
        return _NUMBER.sub(lambda found: self._ids.get(found[0], found[0]), text)

    def _stand_in(self, unique: str) -> str:
        number = f"{len(self._unique) + 1:012d}"
        whole = f"00000000-0000-4000-8000-{number}" if "-" in unique else f"{'0' * 20}{number}"
        return self._unique.setdefault(unique, whole)


def _is_id(value: Any, key: str) -> bool:
    digits = str(value)
    is_number = isinstance(value, int | str) and not isinstance(value, bool) and digits.isdecimal()
    return is_number and len(digits) >= _SHORTEST_ID and bool(_ID_KEY.search(key))


def _json_within(text: str) -> Any:
    """The object or list that a text holds as JSON, None where it holds none."""
    if not text.startswith(("{", "[")):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None
