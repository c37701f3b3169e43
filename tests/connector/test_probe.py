"""The probe of an account where something fails; its questions are asked in tests/setup/test_probe_command.py."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.errors import UNREACHABLE
from sync.monday.probe import ASSUMPTIONS, Finding, Probe
from tests.sandbox.conftest import TOKEN, Simulator
from tests.support.in_process import answering, keeping
from tests.support.refusals import refusal
from tests.support.waiting import wait_for

RECEIVER = "http://receiver.test"
ADDRESS = f"{RECEIVER}/webhooks/monday/a-secret-part/"
WEBHOOKS = {assumption.key for assumption in ASSUMPTIONS if assumption.key.startswith("webhook-")}


@pytest.fixture(scope="module")
def simulator() -> Simulator:
    return Simulator()


class Account:
    def __init__(self, url: str, wait: Callable[[float], None]) -> None:
        self.kept: list[tuple[bytes, str | None, str]] = []
        connector = MondayConnector(MondayClient(f"{url}/v2", TOKEN))
        self.probe = Probe(connector, wait, self._bodies, ADDRESS)

    def _bodies(self, board_id: str) -> list[dict[str, Any]]:
        return [json.loads(body) for body, _, _ in self.kept]

    def findings(self, *, reached: bool = True) -> dict[str, Finding]:
        with answering(RECEIVER, keeping(self.kept) if reached else _closed):
            return {finding.assumption.key: finding for finding in self.probe.run()}


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


def test_where_monday_does_not_reach_this_site_all_else_is_asked(simulator: Simulator, account: Account) -> None:
    findings = account.findings(reached=False)
    assert {key for key, entry in findings.items() if entry.reason} == WEBHOOKS
    assert "SITE_URL" in findings["webhook-echo"].reason
    assert nothing_is_left(simulator)


def test_without_an_answer_nothing_is_asked(account: Account) -> None:
    away = Account("http://127.0.0.1:9", lambda seconds: None)
    with refusal(UNREACHABLE):
        away.findings()


def test_a_failure_in_the_middle_leaves_nothing_behind(simulator: Simulator, account: Account) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    account.probe.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        account.findings()
    assert nothing_is_left(simulator)


def test_a_board_that_can_not_be_deleted_is_named(simulator: Simulator, account: Account) -> None:
    simulator.control("faults", {"status": 500, "on": "delete_board", "count": 1})
    account.findings()
    [sentence] = account.probe.leftovers
    assert account.probe.board_ids[0] in sentence
