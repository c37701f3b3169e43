"""From an invitation to the first resolved conflict, in a real browser, by keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail

from sync.models import UnmatchedItem
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, of_fields
from tests.support.pages import barriers, inbox_badge, press

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_colleague_is_invited_and_resolves_a_conflict(
    open_page: Any, live_server: Any, settings: Any, width: int, scheme: str
) -> None:
    settings.SITE_URL = live_server.url
    states.boards()
    UnmatchedItem.objects.create(entity_type="contact", item_id="991", name="Somebody new")
    chosen = of_fields("Ann", PHONE, ROLE)
    page, errors = open_page(width, scheme)
    page.goto("/admin/settings/")
    page.get_by_role("link", name="Invite a colleague").press("Enter")
    page.get_by_label("Email").fill("rosa@example.com")
    page.get_by_label("First name").fill("Rosa")
    assert page.get_by_role("radio").count() == 4
    page.get_by_role("radio", name="Resolve conflicts").check()
    assert not barriers(page)
    page.get_by_role("button", name="Invite").press("Enter")
    page.get_by_text("Rosa is invited as").wait_for(timeout=15_000)
    assert not barriers(page)

    page.context.clear_cookies()
    link = re.search(r"https?://\S+/admin/invitation/\S+", str(mail.outbox[-1].body))
    assert link
    page.goto(link[0])
    assert not barriers(page)
    page.get_by_label("Password", exact=True).fill("a-long-one-7-times")
    page.get_by_label("Repeat the password").fill("a-long-one-7-times")
    page.get_by_label("Repeat the password").press("Enter")
    page.wait_for_url("**/admin/")  # Health, which everybody may read
    page.goto("/admin/inbox/")
    page.get_by_role("link", name="Ann").first.wait_for()
    assert (inbox_badge(page).first.text_content() or "").strip() == "1"
    assert "Somebody new" not in page.locator("main, #main").first.inner_text()
    assert not barriers(page)

    page.goto(f"/admin/conflicts/syncconflict/{conflict_of(chosen).pk}/screen/")
    assert not barriers(page)
    press(page, "a", "Control+Enter")
    page.get_by_role("button", name=re.compile("^Resolve")).first.click()
    page.get_by_text("Being applied").first.wait_for()
    assert not barriers(page)
    rosa = User.objects.get(username="rosa@example.com")
    assert conflict_of(chosen).stored_resolution.by_id == rosa.pk
    assert rosa.last_login is not None
    assert not errors


def test_what_is_shown_once_is_copied_by_a_button(open_page: Any) -> None:
    page, errors = open_page(1280, "light")
    page.goto("/admin/sync/apitoken/add/")
    page.get_by_label("Name").fill("An import")
    page.locator("#content form button[type=submit]").first.click()
    shown = page.locator(".npd-token pre")
    shown.wait_for()
    text = shown.inner_text()
    page.locator("[data-npd-copied]").click()
    page.goto("/admin/sync/apitoken/")
    page.locator("#changelist-search input[name=q]").focus()
    page.keyboard.press("Control+v")
    assert page.locator("#changelist-search input[name=q]").input_value() == text
    assert not errors
