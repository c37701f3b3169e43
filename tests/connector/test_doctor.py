"""The examination names each fault and how it is mended."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sync.monday import errors
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.connection import AccountInfo, BoardCheck, CheckResult, ColumnCheck
from sync.monday.connector import MondayConnector
from tests.connector.fake_account import FakeAccount

GREETING = AccountInfo(
    user_id="2",
    user_name="Sync",
    tier="pro",
    version_value="2026-10",
    version_kind="current",
    versions={"2026-10": "current"},
    day_limit=10_000,
)
EMAIL = ColumnCheck("Email", ("email",))
CHECK = BoardCheck("Contacts", "7", {"name": ColumnCheck("Name", ("name",)), "email_x": EMAIL}, group_id="topics")


@pytest.fixture
def account() -> FakeAccount:
    account = FakeAccount()
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    return account


def _examined(account: FakeAccount, greeting: AccountInfo, *checks: BoardCheck) -> list[CheckResult]:
    findings = MondayConnector(account).check_connection(greeting, "2026-10", checks)
    assert all(bool(finding.fix) is (finding.level != "ok") for finding in findings)
    assert all(finding.subject for finding in findings)
    return findings


def _wrong(findings: list[CheckResult]) -> list[CheckResult]:
    return [finding for finding in findings if finding.level != "ok"]


def _check(account: FakeAccount) -> BoardCheck:
    hooks, _ = account.ensure_webhooks("https://npd.test/")
    return replace(CHECK, hook_ids=list(hooks))


def test_a_healthy_connection_has_no_fault(account: FakeAccount) -> None:
    findings = _examined(account, GREETING, _check(account))
    assert _wrong(findings) == []
    assert [finding.subject for finding in findings] == ["token", "version", "plan", "board", "columns", "webhooks"]


REFUSED = errors.MondayError(errors.PERMISSION_MISSING, "User unauthorized", path=["me"])
NOT_ALLOWED = errors.MondayError(errors.PERMISSION_MISSING, "Field not allowed.", path=["account"])


@pytest.mark.parametrize(
    ("greeting", "level", "subject", "text", "fix"),
    [
        ({"user_id": ""}, "problem", "token", "no user", "MONDAY_API_KEY"),
        ({"user_id": "", "field_errors": (REFUSED,)}, "problem", "token", "no user", "me:read"),
        ({"version_value": "2026-07"}, "problem", "version", "2026-07 answered", "2026-10"),
        ({"versions": {"2026-10": "deprecated", "2027-04": "current"}}, "problem", "version", "2026-10", "2027-04"),
        ({"version_value": "", "versions": {}}, "problem", "version", "an unknown one", "calls current"),
        *(
            ({"versions": {"2026-10": kind, "2027-01": "current"}}, "warning", "version", "2026-10", "2027-01")
            for kind in ("maintenance", "previous_maintenance", "old__maintenance")
        ),
        (
            {"tier": "", "day_limit": None, "field_errors": (NOT_ALLOWED,)},
            *("warning", "plan", "(Field not allowed)", "account:read"),
        ),
    ],
)
def test_what_is_wrong_with_the_account_is_said_with_what_helps(
    account: FakeAccount, greeting: dict[str, Any], level: str, subject: str, text: str, fix: str
) -> None:
    (fault,) = _wrong(_examined(account, replace(GREETING, version_kind="", **greeting)))
    assert (fault.level, fault.subject, text in fault.message, fix in fault.full_fix) == (level, subject, True, True)


def test_boards_that_can_t_be_read_are_a_fault_and_the_rest_is_told(account: FakeAccount) -> None:
    account.failing["boards"] = errors.MondayError(errors.SERVER_FAILED, "Internal Server Error")
    findings = _examined(account, GREETING, CHECK)
    assert [finding.subject for finding in findings] == ["token", "version", "plan", "board"]
    assert [fault.message for fault in _wrong(findings)] == ["Internal Server Error"]


def test_a_board_that_isn_t_set_or_isn_t_seen_is_a_fault(account: FakeAccount) -> None:
    checks = [BoardCheck("Contacts", None), BoardCheck("Organizations", "99")]
    faults = _wrong(_examined(account, GREETING, *checks))
    assert [(fault.level, fault.subject, fault.message.partition(":")[0]) for fault in faults] == [
        ("problem", "board", "Contacts"), ("problem", "board", "Organizations"),
    ]  # fmt: skip


def _state(state: str) -> Callable[[FakeAccount, BoardCheck], BoardCheck]:
    def change(account: FakeAccount, check: BoardCheck) -> BoardCheck:
        account.boards["7"]["state"] = state
        return check

    return change


def _columns(**columns: ColumnCheck) -> Callable[[FakeAccount, BoardCheck], BoardCheck]:
    return lambda account, check: replace(check, columns=columns)


def _column(kind: str, settings: object, wanted: ColumnCheck) -> Callable[[FakeAccount, BoardCheck], BoardCheck]:
    def change(account: FakeAccount, check: BoardCheck) -> BoardCheck:
        column = {"id": "c", "title": "C", "type": kind, "archived": False, "settings": settings}
        account.boards["7"]["columns"].append(column)
        return replace(check, columns={"c": wanted})

    return change


def _items(count: int) -> Callable[[FakeAccount, BoardCheck], BoardCheck]:
    def change(account: FakeAccount, check: BoardCheck) -> BoardCheck:
        account.boards["7"] |= {"items_count": count, "items_limit": 10_000}
        return check

    return change


def _one_of_ours_is_gone(account: FakeAccount, check: BoardCheck) -> BoardCheck:
    account.hooks.pop(check.hook_ids[0])
    account.hooks["5"] = {"id": "5", "event": "create_item"}  # another's doesn't count
    return check


def _hooks_are_hidden(account: FakeAccount, check: BoardCheck) -> BoardCheck:
    account.failing["webhooks"] = errors.MondayError(errors.PERMISSION_MISSING, "missing webhooks:read")
    return check


def _some_go_to_an_old_address(account: FakeAccount, check: BoardCheck) -> BoardCheck:
    old, _ = account.ensure_webhooks("https://old.test/")
    return replace(check, former_hook_ids=list(old))


def _one_of_ours_stands_twice(account: FakeAccount, check: BoardCheck) -> BoardCheck:
    account.hooks["500"] = {"id": "500", "event": "create_item"}
    return replace(check, hook_ids=[*check.hook_ids, "500"])


def _another_set_is_there(account: FakeAccount, check: BoardCheck) -> BoardCheck:
    account.hooks |= {f"x{event}": {"id": f"x{event}", "event": event} for event in WEBHOOK_EVENTS}
    return check


@pytest.mark.parametrize(
    ("change", "level", "subject", "text"),
    [
        (_state("archived"), "problem", "board", "archived"),
        (_state("deleted"), "problem", "board", "deleted"),
        (lambda account, check: replace(check, group_id="gone"), "problem", "board", "group gone"),
        (_items(9_500), "warning", "board", "9,500 of at most 10,000"),
        (_items(10_000), "problem", "board", "10,000 of at most 10,000"),
        (_columns(email_x=ColumnCheck("Email", ("text", "phone"))), "problem", "columns", "text or phone"),
        (_columns(gone=ColumnCheck("Notes", ("long_text",))), "problem", "columns", "(gone) is missing"),
        (
            _column("board_relation", {"boardIds": [8]}, ColumnCheck("C", ("board_relation",), target_board="9")),
            *("problem", "columns", "board 9"),
        ),
        (
            _column(
                "status",
                {"labels": [{"id": 1, "label": "Done"}]},
                ColumnCheck("C", ("status",), labels=frozenset({"Done", "Stuck"})),
            ),
            *("warning", "columns", "labels Stuck"),
        ),
        (_one_of_ours_is_gone, "problem", "webhooks", "create_item"),
        (_hooks_are_hidden, "problem", "webhooks", "can't be read"),
        (_some_go_to_an_old_address, "problem", "webhooks", "7 webhooks of ours"),
        (_one_of_ours_stands_twice, "warning", "webhooks", "create_item"),
        (_another_set_is_there, "warning", "webhooks", "isn't ours"),
    ],
)
def test_what_is_wrong_with_a_board_is_said(
    account: FakeAccount, change: Callable[[FakeAccount, BoardCheck], BoardCheck], level: str, subject: str, text: str
) -> None:
    (fault,) = _wrong(_examined(account, GREETING, change(account, _check(account))))
    assert (fault.level, fault.subject, text in fault.message) == (level, subject, True), fault.message
