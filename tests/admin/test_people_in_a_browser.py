"""From a link to set a password to the first resolved conflict, and from a token to its use, in a real browser."""

import re
from typing import Any

import pytest
import requests
from django.contrib.auth.models import User
from django.core import mail
from playwright.sync_api import expect

from npd.models import Contact
from sync.models import UnmatchedItem
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, of_fields
from tests.support.pages import barriers, inbox_badge, press

pytestmark = [pytest.mark.django_db(transaction=True)]
SIZES = pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])


@SIZES
def test_a_colleague_begins_by_a_link(open_page: Any, live_server: Any, settings: Any, width: int, scheme: str) -> None:
    settings.SITE_URL = live_server.url
    states.boards()
    UnmatchedItem.objects.create(entity_type="contact", item_id="991", name="Somebody new")
    chosen = of_fields("Ann", PHONE, ROLE)
    page, errors = open_page(width, scheme)
    page.goto("/admin/settings/")
    page.get_by_role("link", name="Users").press("Enter")
    page.get_by_role("link", name="Add user").first.press("Enter")
    page.get_by_label("Username").fill("rosa")
    page.get_by_label("Email").fill("rosa@example.com")
    page.get_by_label("First name").fill("Rosa")
    page.get_by_label("Resolve: view contacts").check()
    assert not barriers(page)
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/send-link/")
    assert not barriers(page)
    page.get_by_role("button", name="Send the link").press("Enter")
    page.get_by_text("The link is on its way to rosa@example.com").wait_for()

    page.context.clear_cookies()
    link = re.search(r"https?://\S+/set-password/\S+", str(mail.outbox[-1].body))
    assert link
    page.goto(link[0])
    assert not barriers(page)
    page.get_by_label("New password", exact=True).fill("a-long-one-7-times")
    page.get_by_label("New password confirmation").fill("a-long-one-7-times")
    page.get_by_label("New password confirmation").press("Enter")
    page.get_by_text("Your password is set").wait_for()
    page.get_by_label("Username").fill("rosa")
    page.get_by_label("Password", exact=True).fill("a-long-one-7-times")
    page.get_by_label("Password", exact=True).press("Enter")
    page.wait_for_url("**/admin/")  # Home, which everybody may read
    page.goto("/admin/")
    page.get_by_role("link", name="Ann").first.wait_for()
    assert (inbox_badge(page).first.text_content() or "").strip() == "1"
    assert "Somebody new" not in page.locator("main, #main").first.inner_text()
    assert not barriers(page)

    page.goto(f"/admin/conflicts/syncconflict/{conflict_of(chosen).pk}/screen/")
    assert not barriers(page)
    press(page, "1", "1", "Enter")
    page.get_by_text("Being applied").first.wait_for()
    assert not barriers(page)
    rosa = User.objects.get(username="rosa")
    assert conflict_of(chosen).stored_resolution.by_id == rosa.pk
    assert not errors


@SIZES
def test_a_token_is_made_copied_used_and_deleted(open_page: Any, live_server: Any, width: int, scheme: str) -> None:
    Contact.objects.create(name="Ann")
    contacts = f"{live_server.url}/api/v1/contacts/"
    page, errors = open_page(width, scheme)
    page.goto("/admin/sync/apitoken/")
    assert not barriers(page)
    page.goto("/admin/sync/apitoken/add/")
    assert not barriers(page)
    page.get_by_role("button", name="Make token", exact=True).click()
    shown = page.locator(".npd-token pre")
    shown.wait_for()
    assert not barriers(page)
    text = shown.inner_text()
    headers = {"Authorization": f"Bearer {text}"}
    assert requests.get(contacts, headers=headers, timeout=30).json()["results"][0]["name"] == "Ann"
    copy = page.locator("[data-npd-copied]")
    copy.click()
    # The browser copies and pastes a moment after the click and the key.
    expect(copy).to_have_text("Copied")
    page.goto("/admin/sync/apitoken/")
    search = page.locator("#changelist-search input[name=q]")
    search.press("Control+v")
    expect(search).to_have_value(text)
    page.get_by_role("link", name=f"{text[:15]}…").click()
    assert not barriers(page)
    page.get_by_role("link", name="Delete API token").click()
    assert not barriers(page)
    page.get_by_role("button", name="Delete this API token").click()
    page.wait_for_url("**/admin/sync/apitoken/")
    assert requests.get(contacts, headers=headers, timeout=30).status_code == 401
    assert not errors
