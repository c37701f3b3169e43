"""`monday_check` against the sandbox, over HTTP."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from sync.clock import SyncNow
from sync.models import BoardLink, FieldMapping, Intent, MondayAccount, SyncQueue, WebhookEvent
from sync.operations import doctor
from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.django_db

Run = Callable[..., str]


def problems() -> str:
    """What the doctor says; it must have found something."""
    out = StringIO()
    with pytest.raises(CommandError, match="problem"):
        call_command("monday_check", stdout=out)
    return "\n".join(line for line in out.getvalue().splitlines() if not line.startswith("ok"))


@pytest.fixture
def set_up(monday: Sandbox, run: Run) -> BoardLink:
    """Boards as the set-up leaves them."""
    run("monday_setup")
    return BoardLink.objects.get(entity_type="contact")


def test_after_the_set_up_everything_is_well(set_up: BoardLink, run: Run) -> None:
    said = run("monday_check")
    assert "Everything is well." in said
    assert all(line.startswith("ok") for line in said.splitlines()[:-1])


def test_it_changes_nothing(set_up: BoardLink, monday: Sandbox, run: Run) -> None:
    before = (monday.boards(), monday.control("webhooks", "GET")["webhooks"], list(BoardLink.objects.values()))
    run("monday_check")
    after = (monday.boards(), monday.control("webhooks", "GET")["webhooks"], list(BoardLink.objects.values()))
    assert after == before


def test_boards_that_were_never_set_up_are_a_problem(monday: Sandbox) -> None:
    assert "Contacts: no board is set." in problems()


def test_a_missing_column_is_named_with_its_board(set_up: BoardLink, monday: Sandbox) -> None:
    monday.query('mutation ($b: ID!) { delete_column(board_id: $b, column_id: "phone") { id } }', b=set_up.board_id)
    assert "Contacts: column “Phone” (phone) is missing." in problems()


def test_a_deleted_board_is_named(set_up: BoardLink, monday: Sandbox) -> None:
    monday.query("mutation ($b: ID!) { delete_board(board_id: $b) { id } }", b=set_up.board_id)
    assert f"board {set_up.board_id} is deleted" in problems()


def test_a_deleted_webhook_is_missed(set_up: BoardLink, monday: Sandbox) -> None:
    hook = next(hook for hook, kept in set_up.webhooks.items() if kept["event"] == "change_name")
    monday.query("mutation ($i: ID!) { delete_webhook(id: $i) { id } }", i=hook)
    assert "no webhook of ours for change_name" in problems()


def test_webhooks_to_an_address_of_former_days_do_not_count(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = "a-new-token"
    assert "no webhook of ours for create_item" in problems()


def test_without_any_webhook_secret_it_says_that_all_are_refused(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_WEBHOOK_TOKEN = settings.MONDAY_SIGNING_SECRET = ""
    assert "neither MONDAY_WEBHOOK_TOKEN nor MONDAY_SIGNING_SECRET is set" in problems()


def test_a_wrong_token_is_a_problem_with_its_mend(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_API_KEY = "not-the-token"
    said = problems()
    assert "Set MONDAY_API_KEY to a valid API token" in said
    assert "not-the-token" not in said


def test_no_token_is_a_problem_with_its_mend(settings: Any) -> None:
    settings.MONDAY_API_KEY = ""
    assert "There is no API token." in problems()


def test_monday_being_away_is_a_problem_with_its_mend(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_API_URL = "http://127.0.0.1:18261/v2"
    assert "Check the network and MONDAY_API_URL" in problems()


def test_a_pause_is_told_with_its_reason(set_up: BoardLink) -> None:
    MondayAccount.objects.update(paused_until="2999-01-01T00:00:00Z", pause_reason="Blocked for now.")
    assert "Blocked for now." in problems()


def warnings(run: Run) -> str:
    """What the doctor warns of; nothing may be wrong."""
    said = run("monday_check")
    assert "PROBLEM" not in said
    return "\n".join(line for line in said.splitlines() if not line.startswith("ok"))


def test_machines_get_one_json_object(set_up: BoardLink, run: Run) -> None:
    told = json.loads(run("monday_check", "--json"))
    assert told["ok"] is True
    assert told["counts"]["problem"] == 0
    assert {"token", "version", "plan", "board", "columns", "webhooks", "queue"} <= {
        finding["about"] for finding in told["findings"]
    }


def test_machines_are_told_of_a_problem_by_json_and_by_the_exit(set_up: BoardLink, settings: Any) -> None:
    settings.MONDAY_API_KEY = "not-the-token"
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("monday_check", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert told["ok"] is False
    (wrong,) = [finding for finding in told["findings"] if finding["level"] == "problem"]
    assert (wrong["about"], "MONDAY_API_KEY" in wrong["mend"]) == ("token", True)


@pytest.mark.parametrize("asked", ["2025-01", "1999-01"])
def test_a_version_that_is_replaced_is_a_problem_that_names_the_current_one(
    set_up: BoardLink, settings: Any, asked: str
) -> None:
    settings.MONDAY_API_VERSION = asked
    said = problems()
    assert f"API version {asked} was asked for" in said
    assert "calls current, 2026-10" in said


def test_a_version_in_maintenance_is_a_warning(set_up: BoardLink, settings: Any, run: Run) -> None:
    settings.MONDAY_API_VERSION = "2026-07"
    assert "2026-07 answers, but Monday is about to end it" in warnings(run)


def test_a_group_for_new_items_that_is_gone_is_a_problem(set_up: BoardLink) -> None:
    BoardLink.objects.filter(pk=set_up.pk).update(group_id="gone")
    assert "the group gone, to which new items go" in problems()


def test_a_people_column_without_the_directory_is_a_problem(set_up: BoardLink) -> None:
    FieldMapping.objects.create(
        link=set_up, key="owner", label="Owner", fields=["notes"], converter="people", column_id="x"
    )
    MondayAccount.objects.update(users={})
    assert "users:read" in problems()


def _a_change(link: BoardLink, minutes_ago: int) -> None:
    when = SyncNow() - timedelta(minutes=minutes_ago)
    Intent.objects.create(
        entity_type="contact",
        entity_id=uuid.uuid4(),
        board_id=link.board_id,
        lease_token=uuid.uuid4(),
        idempotency_key=uuid.uuid4().hex,
        state="applied",
        created_at=when,
        deadline=when,
        settled_at=when,
    )


def test_webhooks_that_never_arrive_are_a_problem_after_some_changes_of_ours(set_up: BoardLink) -> None:
    for _ in range(3):
        _a_change(set_up, 30)
    said = problems()
    assert "Contacts: webhooks don't arrive: none ever came, and 3 changes went to the board since." in said
    assert "Organizations: webhooks" not in said


def test_changes_of_a_moment_ago_may_still_be_announced(set_up: BoardLink, run: Run) -> None:
    for _ in range(3):
        _a_change(set_up, 5)
    assert "Everything is well." in run("monday_check")


def test_a_webhook_since_the_changes_shows_that_they_arrive(set_up: BoardLink, run: Run) -> None:
    for _ in range(3):
        _a_change(set_up, 30)
    WebhookEvent.objects.create(trigger_id="t", board_id=set_up.board_id, type="update_name", body={})
    assert "Contacts: webhooks arrive; the last one came" in run("monday_check")


def test_due_rows_on_which_nobody_works_are_a_problem(set_up: BoardLink) -> None:
    row = SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), direction="to_monday")
    SyncQueue.objects.filter(pk=row.pk).update(next_retry=SyncNow() - timedelta(minutes=12))
    said = problems()
    assert "1 queue row is due, the oldest since 0:12:" in said
    assert "Start the worker" in said


def test_rows_that_were_given_up_are_a_warning(set_up: BoardLink, run: Run) -> None:
    SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), direction="to_monday", status="failed")
    assert "1 queue row is given up" in warnings(run)


def test_the_secret_part_of_the_address_is_in_no_line(set_up: BoardLink, run: Run, settings: Any) -> None:
    assert settings.MONDAY_WEBHOOK_TOKEN not in run("monday_check")


@pytest.mark.parametrize(
    ("site", "private"),
    [
        ("http://localhost:8000", True),
        ("http://192.168.1.7", True),
        ("http://npd", True),
        ("https://npd.example.org", False),
        ("https://8.8.8.8", False),
    ],
)
def test_an_address_that_monday_s_servers_can_t_reach_is_a_problem(settings: Any, site: str, private: bool) -> None:
    settings.SITE_URL, settings.MONDAY_API_URL = site, "https://api.monday.com/v2"
    found = [finding.message for finding in doctor._address_findings()]
    assert [f"Monday can't reach SITE_URL ({site})" in what for what in found] == [True] * private
    settings.MONDAY_API_URL = "http://127.0.0.1:8001/v2"
    assert list(doctor._address_findings()) == []
