"""What the first page of a new installation says is to be done, and what it costs not to have it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client

from sync.admin.connection_pages import setup_checklist
from sync.limits import credentials
from sync.models import BoardLink, MondayAccount

pytestmark = pytest.mark.django_db


def link(**values: Any) -> dict[str, BoardLink]:
    return {"contact": BoardLink(entity_type="contact", **values)}


DONE = {
    "board_id": "1",
    "npd_id_column": "npd_id",
    "webhooks": {"7": {}},
    "webhooks_problem": "",
    "last_pass_at": "then",
}


@pytest.fixture
def boss(db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.com", "x")


@pytest.mark.parametrize(
    ("connected", "values", "following"),
    [
        (False, {"board_id": ""}, "Connect Monday"),
        (True, {"board_id": ""}, "Choose the boards"),
        (True, DONE | {"npd_id_column": "", "last_pass_at": None}, "Choose the boards"),
        (True, DONE | {"last_pass_at": None}, "First sync"),
        (False, DONE, "Connect Monday"),
    ],
)
def test_one_thing_is_next(boss: User, connected: bool, values: dict[str, Any], following: str) -> None:
    steps = setup_checklist(boss, link(**values), connected=connected)
    assert [step.title for step in steps if step.is_next] == [following]
    assert all(step.url for step in steps if step.is_next)


def test_it_is_gone_once_all_is_done(boss: User) -> None:
    assert setup_checklist(boss, link(**DONE), connected=True) == []


def test_monday_is_connected_once_it_has_answered_with_the_token_of_now(
    boss: User, client: Client, settings: Any
) -> None:
    settings.MONDAY_API_KEY = "token"
    client.force_login(boss)
    connect = client.get("/admin/").context["checklist"][0]
    assert (connect.title, connect.is_done, connect.is_next) == ("Connect Monday", False, True)
    MondayAccount.objects.update_or_create(id=1, defaults={"answered_mark": credentials.token_mark()})
    assert client.get("/admin/").context["checklist"][0].is_done


def test_an_address_that_monday_can_not_reach_is_recommended_against_with_its_cost(boss: User, settings: Any) -> None:
    settings.MONDAY_API_URL, settings.SITE_URL = "https://api.monday.com/v2", "http://192.168.0.7:8000"
    steps = setup_checklist(boss, link(**DONE), connected=True)
    (open_step,) = [step for step in steps if not step.is_done]
    assert open_step.is_optional
    assert "every 10 minutes at best" in open_step.why
    settings.SITE_URL = "https://npd.example.org"
    assert setup_checklist(boss, link(**DONE), connected=True) == []


def test_webhooks_that_are_missing_are_said(boss: User) -> None:
    for change in ({"webhooks": {}}, {"webhooks_problem": "Monday could not reach it."}):
        steps = setup_checklist(boss, link(**DONE | change), connected=True)
        assert [step.title for step in steps if not step.is_done] == ["Let Monday report edits"]


def test_who_may_not_set_up_sees_what_is_to_be_done_and_no_door() -> None:
    assert not [step.url for step in setup_checklist(AnonymousUser(), link(board_id=""), connected=False) if step.url]


def test_a_set_up_that_is_being_applied_is_running_and_not_to_do(boss: User) -> None:
    steps = setup_checklist(boss, link(board_id=""), connected=True, running=True)
    running = [step for step in steps if step.is_running]
    assert [step.title for step in running] == ["Choose the boards", "Let Monday report edits", "First sync"]
    assert {step.url for step in running} == {"/admin/sync/boardlink/set-up/run/"}
    assert not [step for step in setup_checklist(boss, link(board_id=""), connected=True) if step.is_running]
