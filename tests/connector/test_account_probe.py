"""The probe of an account where something fails; tests/setup/test_probe_command.py tests its questions."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from sync.monday.account_probe import ASSUMPTIONS, AccountProbe, Finding
from sync.monday.client import MondayClient
from sync.monday.connector import MondayConnector
from sync.monday.errors import SERVER_FAILED
from tests.support.in_process import Hooks, answering
from tests.support.refusals import refusal
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for

RECEIVER = "http://receiver.test"
WEBHOOKS = {assumption.key for assumption in ASSUMPTIONS if assumption.key.startswith("webhook-")}


class Account:
    """The sandbox's account; waiting moves its clock until its webhooks have come."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox, self.passed = sandbox, 0.0
        self.hooks = Hooks()
        connector = MondayConnector(MondayClient(sandbox.api_url, sandbox.token, version="2026-10"))
        self.probe = AccountProbe(connector, self.wait, self.bodies, f"{RECEIVER}/webhooks/monday/a-secret-part/")

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self.sandbox.control("clock", offset_seconds=self.passed)
        wait_for("the webhooks have come", lambda: not self.on_their_way())

    def bodies(self, board_id: str) -> list[dict[str, Any]]:
        return [json.loads(body) for body, *_ in self.hooks.deliveries]

    def on_their_way(self) -> bool:
        deliveries = self.sandbox.control("webhooks", "GET")["deliveries"]
        return any(delivery["state"] in ("waiting", "retrying") for delivery in deliveries)

    def findings(self, receiver: Callable[..., list[bytes]] | None = None) -> dict[str, Finding]:
        with answering(RECEIVER, receiver or self.hooks):
            return {finding.assumption.key: finding for finding in self.probe.run()}

    def nothing_is_left(self) -> bool:
        return all(board["state"] == "deleted" for board in self.sandbox.boards())


@pytest.fixture
def account(sandbox: Sandbox) -> Account:
    return Account(sandbox)


def closed(environ: dict[str, Any], begin: Callable[..., Any]) -> list[bytes]:
    begin("503 Service Unavailable", [])
    return [b""]


def test_where_monday_does_not_reach_this_site_all_else_is_asked(account: Account) -> None:
    findings = account.findings(closed)
    assert {key for key, entry in findings.items() if entry.reason} == WEBHOOKS
    assert "SITE_URL" in findings["webhook-echo"].reason
    assert account.nothing_is_left()


def test_lags_are_measured_each_by_itself(account: Account) -> None:
    account.sandbox.faults(
        {"lag": ["searches"], "writes": 20}, {"lag": ["listings"], "writes": 5}, {"late_rows": [600]}
    )
    lags = account.findings()["lag-of-reads"].answer
    assert re.fullmatch(
        r"by id 0[.]\d s, searches 3\d[.]\d s, listings [78][.]\d s, listings of latest 0[.]\d s, log over 120 s, .*",
        lags,
    ), lags


def test_without_an_answer_nothing_is_asked(account: Account) -> None:
    account.sandbox.faults({"status": 503, "count": None})
    with refusal(SERVER_FAILED):
        account.findings()


def test_a_failure_in_the_middle_leaves_nothing_behind(account: Account) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    account.probe.wait = interrupted
    with pytest.raises(KeyboardInterrupt):
        account.findings()
    assert account.nothing_is_left()


def test_a_board_that_can_not_be_deleted_is_named(account: Account) -> None:
    account.sandbox.faults({"status": 500, "on": "delete_board", "count": 1})
    account.findings()
    [sentence] = account.probe.leftovers
    assert account.probe.board_ids[0] in sentence
