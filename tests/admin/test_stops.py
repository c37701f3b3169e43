"""A stop as people see it: on every page with its cause and one button, in the inbox, and on Health."""

import re
from datetime import timedelta
from typing import Any

import pytest
import responses
from django.contrib.auth.models import User
from django.test import Client

from sync.clock import sync_now
from sync.limits import breaker, credentials
from sync.models import ApiQuota, BoardLink, Intent
from sync.monday.errors import ADVICE_ON_SERVER, DAILY_LIMIT_REACHED, NOT_AUTHENTICATED, MondayError
from sync.outbox import pauses
from tests.admin import states
from tests.admin.test_home import html_of
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may

PAGES = ("/admin/", "/admin/npd/contact/", "/admin/npd/contact/{}/change/", "/admin/settings/",
         "/admin/sync/syncqueue/", "/admin/sync/boardlink/")  # fmt: skip
TRY = "/admin/sync/syncqueue/try-again/"


def stop_of(html: str) -> str:
    """The HTML of the banner, or of the first card on Health; empty without a stop."""
    section = re.search(r'<section\s+class="[^"]*"\s+aria-label="Sync is stopped".*?</section>', html, re.DOTALL)
    return section[0] if section else ""


def button_of(html: str) -> str:
    match = re.search(r'id="npd-stop-token".*?href="([^"]*)"|action="([^"]*)"', stop_of(html), re.DOTALL)
    return (match[1] or match[2]) if match else ""


@pytest.fixture
def stopped(world: dict[str, Any]) -> dict[str, Any]:
    breaker.stop_account(MondayError(DAILY_LIMIT_REACHED, "daily limit exceeded", wait_seconds=63_877))
    return world


def test_a_stop_is_on_every_page_with_its_cause_and_one_button(browser: Client, stopped: dict[str, Any]) -> None:
    for page in PAGES:
        html = browser.get(page.format(stopped["synced"].pk)).content.decode()
        assert "calls to Monday are used up" in words_of(stop_of(html)), page
        assert button_of(html) == TRY
        assert html.count('aria-label="Sync is stopped"') == 1
        assert "<time" in stop_of(html)  # since when
    breaker.end_stop(breaker.monday_account())
    for page in PAGES:
        assert not stop_of(browser.get(page.format(stopped["synced"].pk)).content.decode())


def test_a_stop_says_when_the_outcome_of_an_unanswered_call_is_looked_for(
    browser: Client, world: dict[str, Any]
) -> None:
    breaker.stop_account(MondayError(DAILY_LIMIT_REACHED, "daily limit exceeded", wait_seconds=600))
    states.intent(world["synced"], deadline=sync_now() + timedelta(seconds=90))
    assert "looked for" not in words_of(stop_of(html_of(browser))), "the next attempt is later"
    states.stop_account(until=sync_now(), needs_probe=True)  # a call is tried
    assert "The outcome of a call to Monday is not known; it is looked for" in words_of(stop_of(html_of(browser)))
    Intent.objects.update(deadline=sync_now())
    assert "looked for" not in words_of(stop_of(html_of(browser)))


def test_a_refused_tokens_button_leads_to_its_field(browser: Client, world: dict[str, Any], settings: Any) -> None:
    breaker.stop_account(MondayError(NOT_AUTHENTICATED, "Not authenticated"))
    health = html_of(browser)
    page, _, place = button_of(health).partition("#")
    assert f'action="{TRY}"' in stop_of(health)
    assert stop_of(health).count("npd-button-main") == 1, "what ends the stop, not another try"
    html = browser.get(page).content.decode()
    assert f'id="{place}"' in html
    assert 'id="npd-token"' not in html  # the environment's token wins
    settings.MONDAY_API_KEY = ""
    credentials.store_token("a-token-that-was-revoked", User.objects.get(username="dora"))
    breaker.stop_account(MondayError(NOT_AUTHENTICATED, "Not authenticated"))
    page, _, place = button_of(html_of(browser)).partition("#")
    assert place == "npd-token"
    assert TRY not in stop_of(html_of(browser))  # a new token is tested when it is entered
    form = browser.get(page).content.decode().partition('id="npd-token"')[0].rpartition("<details")[2]
    assert " open" in form.partition(">")[0]


@responses.activate
def test_a_token_of_the_environment_is_replaced_on_the_server(
    browser: Client, world: dict[str, Any], settings: Any
) -> None:
    settings.MONDAY_API_URL = "https://monday.test/v2"
    responses.post(settings.MONDAY_API_URL, json={"errors": [{"message": "Not Authenticated"}]}, status=401)
    assert ADVICE_ON_SERVER in browser.post("/admin/sync/boardlink/set-up/").content.decode()
    assert ADVICE_ON_SERVER in words_of(stop_of(html_of(browser)))


def test_without_a_token_set_up_boards_are_stopped(browser: Client, world: dict[str, Any], settings: Any) -> None:
    settings.MONDAY_API_KEY = ""
    assert button_of(html_of(browser)).startswith("/admin/sync/boardlink/set-up/")
    BoardLink.objects.all().delete()
    assert not stop_of(html_of(browser))


def test_a_board_whose_day_is_used_up_is_not_said_to_be_syncing(browser: Client, world: dict[str, Any]) -> None:
    ApiQuota.objects.create(id=1, day_limit=200, day=sync_now().date(), day_calls=199)
    html = html_of(browser)
    assert "Today's calls to Monday are used up" in words_of(html)
    assert "Contacts Stopped" in words_of(html)
    assert "Contacts Syncing" not in words_of(html)


def test_who_may_not_act_reads_the_cause_and_has_no_button(client: Client, stopped: dict[str, Any]) -> None:
    client.force_login(staff_who_may("view_contact"))
    html = html_of(client)
    assert "calls to Monday are used up" in words_of(stop_of(html))
    assert DAILY_LIMIT_REACHED.advice in words_of(stop_of(html))  # nobody has to do anything
    assert button_of(html) == ""
    assert client.post(TRY).status_code == 403
    breaker.end_stop(breaker.monday_account())
    breaker.stop_account(MondayError(NOT_AUTHENTICATED, "Not authenticated"))
    staff_who_may("view_contact", "change_mondayaccount", name="nora")
    banner = words_of(stop_of(html_of(client)))
    assert "Who may act: nora" in banner
    assert NOT_AUTHENTICATED.advice not in banner


def pauses_of(html: str) -> list[str]:
    looks = "npd-banner npd-banner-warn npd-stop|npd-home-state npd-badge-warn"
    return re.findall(rf'<section\s+class="(?:{looks})"\s+aria-label="(.*?): paused"', html)


def test_a_pause_is_no_stop_and_every_page_offers_its_resume(browser: Client, stopped: dict[str, Any]) -> None:
    pauses.pause("anna")
    pauses.pause("ben", entity_type="contact", why="Clean-up")
    for page in PAGES:
        html = browser.get(page.format(stopped["synced"].pk)).content.decode()
        assert not stop_of(html)
        assert pauses_of(html) == ["All boards", "Contacts"]
        assert html.count('aria-label="Resume: ') == 2
    form = {"entity_type": "contact", "back": "/admin/npd/contact/"}
    answer = browser.post("/admin/sync/syncqueue/resume/", form)
    assert answer.headers["Location"] == "/admin/npd/contact/"
    assert pauses_of(browser.get("/admin/settings/").content.decode()) == ["All boards"]


@responses.activate
def test_the_button_asks_monday_once_and_leads_back(browser: Client, stopped: dict[str, Any], settings: Any) -> None:
    settings.MONDAY_API_URL = "https://monday.test/v2"
    responses.post("https://monday.test/v2", json={"data": {"me": {"id": "7"}}})
    answer = browser.post(TRY, {"back": "/admin/npd/contact/?q=a"})
    assert answer.headers["Location"] == "/admin/npd/contact/?q=a"
    assert len(responses.calls) == 1
    assert not stop_of(html_of(browser))
    assert browser.post(TRY, {"back": "https://evil.example/"}).headers["Location"] == "/admin/"
    assert browser.get(TRY).status_code == 405
    assert len(responses.calls) == 1
