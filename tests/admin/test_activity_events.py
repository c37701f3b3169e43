"""What happened to a board, to the sync as a whole or to somebody's account is a line of Activity, with who."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from sync.clock import sync_now
from sync.limits import breaker, credentials
from sync.models import BoardLink, Decision, MondayAccount
from sync.monday.errors import DAILY_LIMIT_REACHED, NOT_AUTHENTICATED, UNREACHABLE, MondayError
from sync.outbox.pauses import pause, resume
from tests.admin import states
from tests.support.people import staff_who_may

ACTIVITY = "/admin/sync/decision/"


def told() -> list[tuple[str, str, str]]:
    """Kind, board and who of each entry, oldest first."""
    return list(Decision.objects.order_by("id").values_list("kind", "entity_type", "actor"))


def test_a_pause_and_its_end_are_told_once_with_who_and_why(browser: Client) -> None:
    states.boards()
    for _ in range(2):
        pause("dora", entity_type="contact", why="Moving the board")
    resume("erik", entity_type="contact")
    assert told() == [("pause", "contact", "dora"), ("pause", "contact", "erik")]
    page = browser.get(ACTIVITY).content.decode()
    assert page.index("Resumed: Contacts.") < page.index("Paused: Contacts. Moving the board")


@pytest.mark.parametrize(
    "error",
    [MondayError(NOT_AUTHENTICATED, "Not authenticated."), MondayError(DAILY_LIMIT_REACHED, "Daily limit exceeded.")],
)
def test_a_stop_of_the_account_is_told_once_and_its_end_by_who_ended_it(db: None, error: Any) -> None:
    states.boards()
    for _ in range(3):
        breaker.trip_account(error)
    credentials.end_stop(by="dora")
    credentials.end_stop(by="erik")
    assert told() == [("stop", "", ""), ("stop_end", "", "dora")]


def test_an_outage_of_seconds_is_not_told(db: None) -> None:
    states.boards()
    breaker.trip_account(MondayError(UNREACHABLE, "x"))
    credentials.end_stop()
    assert told() == []
    for _ in range(6):
        breaker.trip_account(MondayError(UNREACHABLE, "x"))
        MondayAccount.objects.update(stopped_until=sync_now() - timedelta(seconds=1))
    assert told() == [("stop", "", "")]


def test_a_board_that_stops_and_goes_on_is_told(db: None) -> None:
    states.boards()
    link = BoardLink.objects.get(entity_type="contact")
    for _ in range(2):
        breaker.trip_board(link, MondayError(NOT_AUTHENTICATED, "x"))
    breaker.reset_board(BoardLink.objects.get(entity_type="contact"))
    assert told() == [("stop", "contact", ""), ("stop_end", "contact", "")]


def test_who_was_added_and_whose_rights_changed_is_told_to_who_may_see_users(client: Client, browser: Client) -> None:
    client.force_login(User.objects.create_superuser("boss", "boss@example.com", "x"))
    form = {"username": "maya", "email": "maya@example.com", "is_active": "on", "is_staff": "on"}
    client.post("/admin/auth/user/add/", form | {"first_name": "Maya"})
    page = f"/admin/auth/user/{User.objects.get(username='maya').pk}/change/"
    client.post(page, form | {"first_name": "Maya", "last_name": "Lind"})
    client.post(page, form | {"first_name": "Maya", "last_name": "Lind", "is_superuser": "on"})
    assert told() == [("people", "", "boss"), ("people", "", "boss")]
    assert "Changed what Maya Lind may do: Administrator" in client.get(ACTIVITY).content.decode()
    client.force_login(staff_who_may("view_decision"))
    assert "Maya" not in client.get(ACTIVITY).content.decode()
