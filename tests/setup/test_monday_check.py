"""`monday_check` against the sandbox, over HTTP."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from sync.models import BoardLink, MondayAccount
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
    before = (
        monday.boards(),
        monday.control("webhooks", "GET")["webhooks"],
        list(BoardLink.objects.values()),
    )
    run("monday_check")
    after = (monday.boards(), monday.control("webhooks", "GET")["webhooks"], list(BoardLink.objects.values()))
    assert after == before


def test_boards_that_were_never_set_up_are_a_problem(monday: Sandbox) -> None:
    assert "Contacts: no board is set." in problems()


def test_a_missing_column_is_named_with_its_board(set_up: BoardLink, monday: Sandbox) -> None:
    monday.query(
        'mutation ($b: ID!) { delete_column(board_id: $b, column_id: "phone") { id } }', b=set_up.board_id
    )
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
