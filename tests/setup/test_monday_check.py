"""`monday_check` against the sandbox: each fault is named, with its remedy."""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from sync.clock import SyncNow
from sync.management.commands import monday_check
from sync.models import BoardLink, SyncQueue
from sync.monday import errors
from sync.monday.account import AccountInfo, CheckResult, check_account
from tests.admin import states
from tests.support.sandbox import Sandbox
from tests.support.world import World

pytestmark = pytest.mark.django_db

Run = Callable[..., str]


@pytest.fixture
def set_up(world: World) -> BoardLink:
    return BoardLink.objects.get(entity_type="contact")


def wrong(results: Iterable[CheckResult]) -> list[CheckResult]:
    faults = [result for result in results if result.level != "ok"]
    assert all(fault.fix and fault.subject for fault in faults)
    return faults


def subjects(level: str) -> set[str]:
    return {result.subject for result in monday_check.run_checks() if result.level == level}


def test_after_the_set_up_everything_is_well(set_up: BoardLink, sandbox: Sandbox, run: Run, settings: Any) -> None:
    def state() -> Any:
        return sandbox.boards(), sandbox.control("webhooks", "GET")["webhooks"], list(BoardLink.objects.values())

    before, output = state(), run("monday_check")
    assert state() == before
    assert all(line.startswith("ok") for line in output.splitlines()[:-1])
    assert {"token", "version", "plan", "board", "columns", "webhooks", "queue"} <= subjects("ok")
    assert settings.MONDAY_WEBHOOK_TOKEN not in output


@pytest.mark.parametrize(("seconds", "is_wrong"), [(-300, True), (-30, False), (30, False), (300, True)])
def test_a_clock_that_differs_from_mondays_is_named_until_it_is_right(
    set_up: BoardLink, sandbox: Sandbox, client: Client, seconds: int, is_wrong: bool
) -> None:
    def reasons() -> list[str]:
        return client.get("/readyz").json()["reasons"]

    sandbox.control("clock", offset_seconds=seconds)
    assert ("clock" in subjects("problem")) is is_wrong
    assert [("Monday" in reason, "minutes" in reason) for reason in reasons()] == [(True, True)] * is_wrong, reasons()
    sandbox.control("clock", offset_seconds=0)
    assert ("clock" in subjects("problem"), reasons()) == (False, [])


def test_webhooks_to_a_former_address_or_without_any_secret_are_a_problem(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "a-new-token"
    assert subjects("problem") == {"webhooks"}
    settings.MONDAY_WEBHOOK_TOKEN = settings.MONDAY_SIGNING_SECRET = ""
    assert subjects("problem") == {"webhooks", "settings"}
    settings.MONDAY_API_KEY = ""
    assert subjects("problem") == {"token", "settings"}


def test_a_wrong_token_is_told_also_by_the_exit_and_shown_nowhere(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_API_KEY = "not-the-token"
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("monday_check", stdout=out)
    (problem,) = [result for result in monday_check.run_checks() if result.level == "problem"]
    assert (problem.subject, "MONDAY_API_KEY" in problem.full_fix) == ("token", True)
    assert "not-the-token" not in out.getvalue()


def test_without_an_answer_of_monday_the_connection_is_the_problem(settings: Any) -> None:
    settings.MONDAY_API_URL = "http://127.0.0.1:18261/v2"
    assert "connection" in subjects("problem")


GREETING = AccountInfo(
    user_id="2",
    user_name="Sync",
    tier="pro",
    version_value="2026-10",
    versions={"2026-10": "current"},
    day_limit=10_000,
)
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
        ({"versions": {"2026-10": "maintenance", "2027-01": "current"}}, "warning", "version", "2026-10", "2027-01"),
        (
            {"tier": "", "day_limit": None, "field_errors": (NOT_ALLOWED,)},
            *("warning", "plan", "(Field not allowed)", "account:read"),
        ),
    ],
)
def test_what_is_wrong_with_the_account_is_said_with_what_helps(
    greeting: dict[str, Any], level: str, subject: str, text: str, fix: str
) -> None:
    (fault,) = wrong(check_account(replace(GREETING, **greeting), "2026-10"))
    assert (fault.level, fault.subject, text in fault.message, fix in fault.full_fix) == (level, subject, True, True)


Change = Callable[[Sandbox, BoardLink], object]


def link_says(**values: str) -> Change:
    return lambda monday, link: BoardLink.objects.filter(pk=link.pk).update(**values)


def board_is(**values: Any) -> Change:
    return lambda monday, link: monday.control("boards", board_id=link.board_id, **values)


def column_is(**values: str) -> Change:
    return lambda monday, link: monday.control("columns", board_id=link.board_id, column_id="email", **values)


def filled(count: int) -> Change:
    def fill(monday: Sandbox, link: BoardLink) -> None:
        monday.control("items", board_id=link.board_id, items=[{"name": "x"}] * count)
        monday.control("boards", board_id=link.board_id, items_limit=20)

    return fill


def one_webhook_is_gone(monday: Sandbox, link: BoardLink) -> None:
    monday.query("mutation ($i: ID!) { delete_webhook(id: $i) { id } }", i=next(iter(link.webhooks)))


def webhooks_are_hidden(monday: Sandbox, link: BoardLink) -> None:
    monday.faults({"limit": "field", "on": "webhooks"})


@pytest.mark.parametrize(
    ("change", "level", "subject", "text"),
    [
        (link_says(board_id=""), "problem", "board", "no board is set"),
        (link_says(board_id="99"), "problem", "board", "99 isn't there"),
        (link_says(group_id="gone"), "problem", "board", "group gone"),
        (board_is(state="archived"), "problem", "board", "archived"),
        (filled(19), "warning", "board", "19 of at most 20"),
        (filled(20), "problem", "board", "20 of at most 20"),
        (column_is(action="retype", type="phone"), "problem", "columns", "of the type phone"),
        (column_is(action="delete"), "problem", "columns", "“Email” was deleted"),
        (one_webhook_is_gone, "problem", "webhooks", "create_item"),
        (webhooks_are_hidden, "problem", "webhooks", "can't be read"),
    ],
)
def test_what_is_wrong_with_a_board_is_said(
    set_up: BoardLink, sandbox: Sandbox, change: Change, level: str, subject: str, text: str
) -> None:
    change(sandbox, set_up)
    (fault,) = wrong(monday_check.run_checks())
    assert (fault.level, fault.subject, text in fault.message) == (level, subject, True), fault.message


def test_a_board_of_the_environment_that_is_not_set_up_is_named(set_up: BoardLink, settings: Any) -> None:
    BoardLink.objects.filter(entity_type="contact").delete()
    settings.MONDAY_CONTACTS_BOARD_ID = "70002"
    (fault,) = wrong(monday_check.run_checks())
    assert "70002" in fault.message
    assert "monday_setup" in fault.full_fix


def test_webhooks_of_a_former_address_and_a_second_set_of_somebody_elses_are_a_warning(
    set_up: BoardLink, run: Run, settings: Any
) -> None:
    BoardLink.objects.filter(pk=set_up.pk).update(webhooks={})
    settings.MONDAY_WEBHOOK_TOKEN = "a-new-token"
    run("monday_setup")
    (fault,) = wrong(monday_check.run_checks())
    assert (fault.level, "isn't ours" in fault.message) == ("warning", True)
    link = BoardLink.objects.get(pk=set_up.pk)
    BoardLink.objects.filter(pk=link.pk).update(webhooks=set_up.webhooks | link.webhooks)
    (fault,) = wrong(monday_check.run_checks())
    assert (fault.level, "7 webhooks of ours too many" in fault.message) == ("warning", True)


def test_rows_on_which_nobody_works_are_a_problem_and_rows_that_were_given_up_a_warning() -> None:
    states.boards()
    row = SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), direction="to_monday")
    SyncQueue.objects.filter(pk=row.pk).update(next_retry=SyncNow() - timedelta(minutes=12))
    assert [result.level for result in monday_check._queue_results()] == ["problem"]
    SyncQueue.objects.filter(pk=row.pk).update(status="failed")
    assert [result.level for result in monday_check._queue_results()] == ["ok", "warning"]


@pytest.mark.parametrize(
    ("site", "private"), [("http://localhost:8000", True), ("http://npd", True), ("https://npd.example.org", False)]
)
def test_an_address_that_monday_s_servers_can_t_reach_is_a_problem(settings: Any, site: str, private: bool) -> None:
    settings.SITE_URL, settings.MONDAY_API_URL = site, "https://api.monday.com/v2"
    messages = [result.message for result in monday_check._address_results()]
    assert [f"Monday can't reach SITE_URL ({site})" in message for message in messages] == [True] * private
    settings.MONDAY_API_URL = "http://127.0.0.1:8001/v2"
    assert list(monday_check._address_results()) == []
