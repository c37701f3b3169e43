"""The probe of an account, against the simulator as it is, as it isn't, and as a recording gives it again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from graphql import build_schema, parse, validate

from sandbox import __main__ as sandbox_process
from sandbox.__main__ import replaying
from sync.connectors.base.errors import TimedOut, Unreachable
from sync.connectors.monday import probe
from sync.connectors.monday.client import MondayClient
from tests.connector.documents import official_schemas
from tests.sandbox.conftest import TOKEN, Simulator
from tests.support.in_process import Application, answering, by_address, keeping
from tests.support.waiting import wait_for

SECRET = "a-secret-part"
RECEIVER = "http://receiver.test"
ADDRESS = f"{RECEIVER}/webhooks/monday/{SECRET}/"
WEBHOOKS = {question.key for question in probe.all_questions() if question.key.startswith("webhook-")}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator()


class Account:
    """One simulated account, probed; `reaches` whether its webhooks arrive."""

    def __init__(self, url: str, settled: Callable[[float], None]) -> None:
        self.client = MondayClient(f"{url}/v2", TOKEN)
        self.kept: list[tuple[bytes, str | None, str]] = []
        self.findings: list[probe.Finding] = []
        self.ground = probe.Ground(self.client.send, settled, self._events, ADDRESS)

    def _events(self, board_id: str) -> list[dict[str, Any]]:
        return [json.loads(body)["event"] for body, _, _ in self.kept]

    def probed(self, *, patient: bool = False, reached: bool = True) -> Account:
        """All findings, by the probe's own face."""
        door = keeping(self.kept) if reached else _closed
        with answering(RECEIVER, door):
            probe.run(self.ground, self.findings.append, patient=patient)
        return self

    @property
    def differing(self) -> set[str]:
        return {finding.question.key for finding in self.findings if finding.differs}

    @property
    def unasked(self) -> set[str]:
        return {finding.question.key for finding in self.findings if finding.reason}

    def recording(self) -> dict[str, Any]:
        return self.ground.recording("2026-10", [TOKEN, SECRET])


def _closed(environ: dict[str, Any], begin: Callable[..., Any]) -> list[bytes]:
    begin("503 Service Unavailable", [])
    return [b""]


@pytest.fixture
def account(simulator: Simulator) -> Account:
    """The simulator's; to wait is to let its time pass until its webhooks have come."""
    simulator.control("reset", {})
    passed = [simulator.read("clock")["offset_seconds"]]

    def wait(seconds: float) -> None:
        passed[0] += seconds
        simulator.control("clock", {"offset_seconds": passed[0]})
        wait_for("the webhooks have come", lambda: not _on_their_way(simulator))

    return Account(simulator.url, wait)


def _on_their_way(simulator: Simulator) -> bool:
    return any(delivery["state"] in ("waiting", "retrying") for delivery in simulator.read("webhooks")["deliveries"])


def nothing_is_left(simulator: Simulator) -> bool:
    return all(board["state"] == "deleted" for board in simulator.read("boards"))


def test_against_the_simulator_nothing_differs_and_nothing_is_left(simulator: Simulator, account: Account) -> None:
    account.probed(patient=True)
    assert {finding.question.key: finding.answer for finding in account.findings if finding.differs} == {}
    assert account.unasked == set()
    assert [finding.question for finding in account.findings] == probe.all_questions()
    assert nothing_is_left(simulator)
    assert account.ground.left == []
    calls = len(simulator.read("calls"))
    # At most what was said before: the log's row and the relation came with their first reads, of seven and of three.
    assert probe.cost(patient=True).calls - 8 == calls


class Departing:
    """The simulator with five departures: what it is asked and what it answers pass through here."""

    def __init__(self, inner: Application) -> None:
        self._inner = inner
        self._bodies: dict[str, bytes] = {}
        self._grouped: dict[str, list[tuple[str, str]]] = {}

    def __call__(self, environ: dict[str, Any], begin: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/v2":
            return self._inner(environ, begin)
        body = environ["wsgi.input"].read()
        asked = json.loads(body)
        key = environ.get("HTTP_IDEMPOTENCY_KEY")
        if key and self._bodies.setdefault(key, body) != body:
            environ["HTTP_IDEMPOTENCY_KEY"] = f"{key}-another"  # 1: another body under a used key runs
        environ |= {"wsgi.input": io.BytesIO(body), "HTTP_ACCEPT_ENCODING": "identity"}
        told: list[Any] = []
        answer = json.loads(b"".join(self._inner(environ, lambda *given: told.extend(given))))
        self._webhooks(asked, answer)
        if "ProbeCreate(" in asked["query"] and (made := (answer.get("data") or {}).get("create_item")):
            for cell in made["column_values"]:
                cell |= {"linked_item_ids": []}  # 2: a create's answer shows no relation
        for error in answer.get("errors", []):
            error.setdefault("extensions", {})["service"] = "another"  # 3: refusals name another service
        given = {name.lower(): text for name, text in told[1]} | {
            "ratelimit": '"minuteRate";r=9'  # 4: limits stand in headers
        }
        content = json.dumps(answer).encode()
        begin(told[0], list((given | {"content-length": str(len(content))}).items()))
        return [content]

    def _webhooks(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        """5: items that are archived with their group are told."""
        sent = asked["variables"]
        data = answer.get("data") or {}
        if sent.get("group_id") and data.get("create_item"):
            self._grouped.setdefault(sent["group_id"], []).append((sent["board_id"], data["create_item"]["id"]))
        if data.get("archive_group"):
            for board_id, item_id in self._grouped.get(sent["group_id"], []):
                event = {"type": "archive_pulse", "boardId": int(board_id), "itemId": int(item_id)}
                requests.post(ADDRESS, json={"event": event}, timeout=5)


PLANTED = {"key-other-body", "create-relation", "refusal-service", "limit-headers", "webhook-archived-group"}


@pytest.fixture
def departing(simulator: Simulator, account: Account) -> Iterator[Account]:
    host = simulator.url.removeprefix("http://")
    inner = by_address[host]
    by_address[host] = Departing(inner)
    yield account
    by_address[host] = inner


def test_departures_of_the_account_are_named_and_a_recording_gives_them_again(
    departing: Account, simulator: Simulator, tmp_path: Path
) -> None:
    departing.probed()
    assert departing.differing == PLANTED
    assert departing.unasked == set()
    file = tmp_path / "recording.json"
    file.write_text(json.dumps(departing.recording()))
    played = replaying(file, "127.0.0.1", "http://127.0.0.1:9")
    with answering("http://127.0.0.1:9", played):
        again = Account("http://127.0.0.1:9", lambda seconds: None).probed()
        progress = requests.get("http://127.0.0.1:9/_control/replay", timeout=5).json()
    assert {f.question.key: f.answer for f in again.findings} == {f.question.key: f.answer for f in departing.findings}
    assert (progress["left"], progress["unknown"]) == (0, [])


def test_a_recording_holds_nothing_of_the_account(account: Account, simulator: Simulator) -> None:
    account.probed()
    ids = {account.ground.board_id, account.ground.other_board_id, *_user_ids(account)}
    text = json.dumps(account.recording())
    assert [word for word in (TOKEN, SECRET, RECEIVER, *ids) if word in text] == []
    assert '"delivery"' in text
    # Calls know each other by the stand-ins: what a create answered is what the next call names.
    exchanges = [one for one in account.recording()["exchanges"] if "request" in one]
    made = [
        e["answer"]["body"]["data"]["create_board"]["id"] for e in exchanges if "ProbeBoard(" in e["request"]["query"]
    ]
    assert {e["request"]["variables"].get("board_id") for e in exchanges} >= set(made)


def _user_ids(account: Account) -> set[str]:
    return {str(event["userId"]) for event in account._events("")}


def test_what_a_recording_lacks_is_refused_and_listed(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "recording.json"
    file.write_text(json.dumps({"exchanges": []}))
    with answering("http://127.0.0.1:9", replaying(file, "127.0.0.1", "http://127.0.0.1:9")):
        answer = requests.post("http://127.0.0.1:9/v2", json={"query": "{ me { id } }"}, timeout=5)
        progress = requests.get("http://127.0.0.1:9/_control/replay", timeout=5).json()
    assert answer.status_code == 404
    assert progress["unknown"] == [{"query": "{ me { id } }"}]


def test_the_simulator_says_what_is_wrong_with_a_file_and_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "recording.json"
    monkeypatch.setattr("sys.argv", ["sandbox", "--port", "0", "--replay", str(file)])
    assert sandbox_process.main() == 1
    assert str(file) in capsys.readouterr().err


@pytest.mark.parametrize("call", [1, 2, 3, 9, 20, 60, 70])
@pytest.mark.parametrize(
    ("failure", "carried_out"),
    [
        (KeyboardInterrupt, False),
        (KeyboardInterrupt, True),
        (TimedOut("no answer"), False),
        (TimedOut("no answer"), True),
        (Unreachable("no connection"), False),
    ],
)
def test_whatever_ends_it_everything_is_taken_away(
    simulator: Simulator, account: Account, call: int, failure: Any, carried_out: bool
) -> None:
    sent = [0]

    def send(*given: Any) -> Any:
        sent[0] += 1
        answer = account.client.send(*given) if sent[0] != call or carried_out else None
        if sent[0] == call:
            raise failure
        return answer

    account.ground.send = send
    with suppress(KeyboardInterrupt, TimedOut, Unreachable):
        account.probed()
    assert sent[0] >= call
    assert nothing_is_left(simulator)


def test_what_can_t_be_taken_away_is_named_with_what_to_do(simulator: Simulator, account: Account) -> None:
    simulator.control("faults", {"partial": {"every": 1}, "on": "delete_board", "count": 2})
    account.probed()
    assert len(account.ground.left) == 2
    assert all("delete it on Monday" in left for left in account.ground.left)
    assert account.ground.board_id in account.ground.left[0]


def test_a_limit_is_waited_for_and_the_question_asked_again(simulator: Simulator, account: Account) -> None:
    simulator.control("faults", {"limit": "minute", "retry_in": 40, "skip": 11})
    account.probed()
    assert (account.differing, account.unasked) == (set(), set())
    assert nothing_is_left(simulator)


def test_without_a_way_for_webhooks_all_else_is_asked(simulator: Simulator, account: Account) -> None:
    account.probed(reached=False)
    assert (account.differing, account.unasked) == (set(), WEBHOOKS)
    assert nothing_is_left(simulator)


def test_a_token_that_isn_t_taken_ends_it_at_once(account: Account) -> None:
    account.ground.send = MondayClient(account.client.url, "wrong").send
    with pytest.raises(probe.Unanswered):
        account.probed()
    assert (account.ground.calls, account.ground.left) == (1, [])


def test_what_is_asked_is_valid_for_monday_but_where_it_asks_for_a_refusal(account: Account) -> None:
    schemas = [build_schema(path.read_text(encoding="utf-8")) for path in official_schemas().values()]
    if not schemas:
        pytest.skip("MONDAY_SCHEMA names no file with Monday's schema")
    account.probed(patient=True)
    invalid = ("ProbeUnknown", "ProbeSyntax")
    texts = {one["request"]["query"] for one in account.recording()["exchanges"] if "request" in one}
    asked = [text for text in texts if not any(name in text for name in invalid)]
    assert {text: found for text in asked for schema in schemas if (found := validate(schema, parse(text)))} == {}
