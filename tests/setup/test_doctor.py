"""The examination names each fault and how it is mended."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from sync.boards import webhooks
from sync.management.commands.monday_check import board_results
from sync.models import BoardLink, FieldMapping
from sync.monday import errors
from sync.monday.board_events import WEBHOOK_EVENTS
from sync.monday.connection import AccountInfo, CheckResult, check_account
from sync.monday.connector import MondayConnector
from tests.connector.fake_account import FakeAccount

pytestmark = pytest.mark.django_db

GREETING = AccountInfo(
    user_id="2",
    user_name="Sync",
    tier="pro",
    version_value="2026-10",
    version_kind="current",
    versions={"2026-10": "current"},
    day_limit=10_000,
)


@pytest.fixture
def account() -> FakeAccount:
    account = FakeAccount()
    account.add_board("7", {"id": "email_x", "title": "Email", "type": "email", "archived": False})
    return account


@pytest.fixture
def link(account: FakeAccount) -> BoardLink:
    """A board that is set up, with the column of one field."""
    hooks, _ = account.ensure_webhooks(webhooks.webhook_url())
    link = BoardLink.objects.create(
        entity_type="contact", board_id="7", match_key="email", group_id="topics", webhooks=hooks
    )
    FieldMapping.objects.create(
        link=link,
        key="email",
        label="Email",
        fields=["email"],
        column_id="email_x",
        converter="email",
        options={"column_type": "email"},
    )
    return link


def _examined(account: FakeAccount, link: BoardLink) -> list[CheckResult]:
    monday = MondayConnector(account)
    board = monday.read_boards([link.board_id]).get(link.board_id)
    return list(board_results("Contacts", link, board, monday))


def _wrong(findings: Iterable[CheckResult]) -> list[CheckResult]:
    wrong = [finding for finding in findings if finding.level != "ok"]
    assert all(finding.fix and finding.subject for finding in wrong)
    return wrong


def test_a_healthy_connection_has_no_fault(account: FakeAccount, link: BoardLink) -> None:
    findings = [*check_account(GREETING, "2026-10"), *_examined(account, link)]
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
    greeting: dict[str, Any], level: str, subject: str, text: str, fix: str
) -> None:
    (fault,) = _wrong(check_account(replace(GREETING, version_kind="", **greeting), "2026-10"))
    assert (fault.level, fault.subject, text in fault.message, fix in fault.full_fix) == (level, subject, True, True)


def _state(state: str) -> Callable[[FakeAccount, BoardLink], None]:
    return lambda account, link: account.boards["7"].update(state=state)


def _type(kind: str) -> Callable[[FakeAccount, BoardLink], None]:
    return lambda account, link: account.boards["7"]["columns"][1].update(type=kind)


def _items(count: int) -> Callable[[FakeAccount, BoardLink], None]:
    return lambda account, link: account.boards["7"].update(items_count=count, items_limit=10_000)


def _link(**values: str) -> Callable[[FakeAccount, BoardLink], None]:
    return lambda account, link: vars(link).update(values)


def _no_column_is_there(account: FakeAccount, link: BoardLink) -> None:
    del account.boards["7"]["columns"][1]


def _one_of_ours_is_gone(account: FakeAccount, link: BoardLink) -> None:
    account.hooks.pop(next(iter(link.webhooks)))
    account.hooks["5"] = {"id": "5", "event": "create_item"}  # another's doesn't count


def _hooks_are_hidden(account: FakeAccount, link: BoardLink) -> None:
    account.failing["webhooks"] = errors.MondayError(errors.PERMISSION_MISSING, "missing webhooks:read")


def _some_go_to_an_old_address(account: FakeAccount, link: BoardLink) -> None:
    old, _ = account.ensure_webhooks("https://old.test/")
    link.webhooks |= old


def _another_set_is_there(account: FakeAccount, link: BoardLink) -> None:
    account.hooks |= {f"x{event}": {"id": f"x{event}", "event": event} for event in WEBHOOK_EVENTS}


@pytest.mark.parametrize(
    ("change", "level", "subject", "text"),
    [
        (_link(board_id=""), "problem", "board", "no board is set"),
        (_link(board_id="99"), "problem", "board", "99 isn't there"),
        (_state("archived"), "problem", "board", "archived"),
        (_state("deleted"), "problem", "board", "deleted"),
        (_link(group_id="gone"), "problem", "board", "group gone"),
        (_items(9_500), "warning", "board", "9,500 of at most 10,000"),
        (_items(10_000), "problem", "board", "10,000 of at most 10,000"),
        (_type("phone"), "problem", "columns", "of the type phone"),
        (_no_column_is_there, "problem", "columns", "“Email” was deleted"),
        (_one_of_ours_is_gone, "problem", "webhooks", "create_item"),
        (_hooks_are_hidden, "problem", "webhooks", "can't be read"),
        (_some_go_to_an_old_address, "warning", "webhooks", "7 webhooks of ours"),
        (_another_set_is_there, "warning", "webhooks", "isn't ours"),
    ],
)
def test_what_is_wrong_with_a_board_is_said(
    account: FakeAccount,
    link: BoardLink,
    change: Callable[[FakeAccount, BoardLink], None],
    level: str,
    subject: str,
    text: str,
) -> None:
    change(account, link)
    (fault,) = _wrong(_examined(account, link))
    assert (fault.level, fault.subject, text in fault.message) == (level, subject, True), fault.message
