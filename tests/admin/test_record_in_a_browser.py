"""The record's sync panel, and blocked fields in a real browser: by the keyboard, readable, and with two at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse

from npd.models import Contact
from sync.clock import sync_now
from sync.models import BoardLink, FieldLoop, FieldMapping, GuardedAct, SyncMetadata
from tests.admin import states
from tests.support.pages import faults_of

pytestmark = [pytest.mark.django_db(transaction=True)]
HELD, LOOPS = "/admin/sync/boardlink/held/", "/admin/sync/boardlink/held/?show=throttled"
LONG = "a-very-long-name-without-a-place-to-break-" * 4


@pytest.fixture
def busy(world: dict[str, Any]) -> dict[str, Any]:
    """Every kind of trouble at once, with names that are long, read from the right, or look like HTML."""
    link = BoardLink.objects.get(entity_type="contact")
    columns = {"phone": {"title": "הטלפון החדש", "type": "phone"}, "spare": {"title": LONG, "type": "text"}}
    link.shape, link.known_titles = {"name": "Contacts", "columns": columns}, {"phone": "<b>Phone</b>"}
    link.npd_id_problem = "The column “NPD ID” is gone from the board."
    link.save()
    FieldMapping.objects.filter(link=link, key="role_title").update(
        problem=f"The column “{LONG}” is gone from the board. Restore it."
    )
    for key in ("phone", "notes"):
        FieldLoop.objects.create(
            entity_type="contact", entity_id=world["synced"].pk, key=key, by="an automation", damped=1,
            damped_until=sync_now() + timedelta(hours=1), times=[{"at": "x", "write": "1"}] * 5,
        )  # fmt: skip
    FieldMapping.objects.filter(link=link, key="notes").update(direction="npd_to_monday")
    GuardedAct.objects.create(
        entity_type="contact", entity_id=world["synced"].pk, kind="records", state="held", label=LONG
    )
    held = {"email": {"reason": f"Monday refused “{LONG}”: it is no address.", "side": "monday"}}
    SyncMetadata.objects.filter(entity_id=str(world["synced"].pk)).update(held=held)
    world["paused"] = states.synced("Paused one", "5055")
    Contact.objects.filter(pk=world["paused"].pk).update(sync_enabled=False)
    return world


def page_of(record: Any) -> str:
    return reverse(f"admin:npd_{record._meta.model_name}_change", args=[record.pk])


def test_no_page_has_a_barrier_an_error_or_something_beside_the_screen(open_page: Any, busy: dict[str, Any]) -> None:
    names = ("synced", "conflicting", "waiting", "paused", "organization")
    urls = [HELD, LOOPS, "/admin/sync/boardlink/", *(page_of(busy[name]) for name in names)]
    assert not faults_of(open_page, urls, unfolded=".npd-record-act summary")


def test_a_record_is_paused_and_resumed_by_the_keyboard(open_page: Any, world: dict[str, Any]) -> None:
    page, errors = open_page(390, "dark")
    page.goto(page_of(world["synced"]))
    page.get_by_text("Pause this record…").focus()
    page.keyboard.press("Enter")
    page.get_by_role("textbox", name="Why").focus()
    page.keyboard.type("A repair")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Why: A repair.").wait_for()
    world["synced"].refresh_from_db()
    assert not world["synced"].sync_enabled
    page.get_by_role("button", name="Resume").focus()
    page.keyboard.press("Enter")
    page.get_by_text("is resumed. What one side changed meanwhile flows now").wait_for()
    world["synced"].refresh_from_db()
    assert world["synced"].sync_enabled
    assert not errors


def test_reading_monday_changes_the_table_alone_and_says_why_it_could_not(
    open_page: Any, world: dict[str, Any]
) -> None:
    """No Monday answers in this test: the page stays, with what was typed into its form."""
    page, errors = open_page(1280, "light")
    page.goto(page_of(world["synced"]))
    page.fill("#id_role_title", "Typed")
    page.get_by_role("button", name="Read Monday now").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Monday was not read:").wait_for()
    assert page.input_value("#id_role_title") == "Typed"
    assert page.locator("#npd-sides-card").count() == 1
    assert page.get_by_role("button", name="Read Monday now").count() == 1
    assert not errors


def test_of_two_who_have_the_record_open_the_second_is_told_what_the_first_did(
    open_page: Any, world: dict[str, Any]
) -> None:
    first, _ = open_page(1280, "light")
    second, errors = open_page(390, "light")
    for page in (first, second):
        page.goto(page_of(world["synced"]))
        page.get_by_text("Pause this record…").click()
    first.get_by_role("textbox", name="Why").fill("Mine")
    first.get_by_role("button", name="Pause", exact=True).click()
    first.get_by_text("Why: Mine.").wait_for()
    second.get_by_role("textbox", name="Why").fill("Yours")
    second.get_by_role("button", name="Pause", exact=True).click()
    second.get_by_text("was paused already by Dora Demo. Nothing was changed.").wait_for()
    assert second.get_by_text("Why: Mine.").is_visible()
    assert not errors


def test_a_held_field_is_left_alone_by_the_keyboard_after_a_page_that_asks(
    open_page: Any, busy: dict[str, Any]
) -> None:
    page, errors = open_page(390, "light")
    page.goto("/admin/")
    page.get_by_role("link", name="See the options: Contacts: Role is held", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Stop syncing it…: Role on Contacts", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Yes, stop syncing it").focus()
    page.keyboard.press("Enter")
    page.get_by_text("“Role” is “No sync” now; it was “Both ways”.").wait_for()
    assert FieldMapping.objects.get(link__entity_type="contact", key="role_title").direction == "none"
    assert not errors
