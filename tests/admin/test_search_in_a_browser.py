"""Ctrl+K in a real browser: opened from wherever, worked by arrows and Enter, and given back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Browser, expect

from sync.models import NotificationReceiver, QueuePause
from tests.admin import states
from tests.support.pages import barriers

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_person_is_found_a_board_paused_and_the_colours_changed_by_the_keyboard_alone(
    open_page: Any, world: dict[str, Any], width: int, scheme: str
) -> None:
    states.contact("Adam Grant")
    states.contact("Ada Lovelace")
    page, errors = open_page(width, scheme)
    page.goto(f"/admin/npd/contact/{world['synced'].pk}/change/")
    search, chosen = page.get_by_role("combobox", name="Search or type a command"), page.locator("[aria-selected=true]")
    # From within a field, too; Escape gives the keyboard back to it.
    page.locator("#id_phone").focus()
    page.keyboard.press("Control+k")
    expect(search).to_be_focused()
    expect(chosen).to_contain_text("Sync now")
    assert not barriers(page)
    page.keyboard.press("Escape")
    expect(page.locator("#id_phone")).to_be_focused()

    # The hint is a button of its own.
    page.get_by_role("button", name="Search").filter(visible=True).click()
    page.keyboard.type("ada")
    expect(chosen).to_contain_text("Ada Lovelace")
    page.keyboard.press("ArrowDown")
    expect(chosen).to_contain_text("Adam Grant")
    assert search.get_attribute("aria-activedescendant") == chosen.get_attribute("id")
    assert not barriers(page)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Ada Lovelace").wait_for()

    page.keyboard.press("Control+k")
    page.keyboard.type("qqqq")
    expect(page.locator("#npd-search [role=status]")).to_contain_text("Nothing is found for “qqqq”.")
    assert not barriers(page)
    page.keyboard.press("Control+a")
    page.keyboard.type("dark" if scheme == "light" else "light")
    page.keyboard.press("Enter")
    expect(page.locator("html.dark")).to_have_count(1 if scheme == "light" else 0)
    expect(search).to_be_hidden()

    page.keyboard.press("Control+k")
    # Enter may come before the answer: it means what was typed.
    page.keyboard.type("pause contacts")
    page.keyboard.press("Enter")
    # As the queue's own button: what it means, and why; the page that was open comes back.
    page.get_by_role("heading", name="Pause: Contacts?", exact=True).wait_for()
    assert not barriers(page)
    page.get_by_label("Why").fill("Moving house")
    page.get_by_role("button", name="Yes, pause").click()
    page.get_by_text("Contacts: paused. Changes are kept").wait_for()
    page.get_by_role("heading", name="Ada Lovelace").wait_for()
    assert [(pause.entity_type, pause.why) for pause in QueuePause.objects.all()] == [("contact", "Moving house")]
    assert not errors


def test_a_setting_is_changed_from_sign_in_to_sign_out_by_the_keyboard_alone(
    chromium: Browser, live_server: Any, person: User, world: dict[str, Any]
) -> None:
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 390, "height": 900})
    page = context.new_page()
    press, write = page.keyboard.press, page.keyboard.type

    def command(words: str) -> None:
        press("Control+k")
        write(words)
        expect(page.locator("[aria-selected=true]")).to_contain_text(re.compile(words, re.IGNORECASE))
        press("Enter")

    page.goto("/admin/login/")
    write("dora")
    press("Tab")
    write("x")
    press("Enter")
    page.get_by_role("heading", name="Needs attention").wait_for()
    press("Tab")
    press("Enter")  # past the menu
    press("Tab")
    expect(page.get_by_role("link", name="Open the inbox")).to_be_focused()
    command("notifications")
    page.get_by_role("heading", name="Notifications").first.wait_for()
    press("Tab")
    press("Enter")
    press("Tab")
    expect(page.locator("#id_email_frequency")).to_be_focused()
    write("Once")
    while page.evaluate("document.activeElement.innerText.trim()") != "Save":
        press("Tab")
    press("Enter")
    page.get_by_text("Saved").first.wait_for()
    assert NotificationReceiver.objects.get(user=person, medium="email").frequency == "daily"
    command("sign out")
    page.get_by_text("signed out").first.wait_for()
    context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_account_menu_is_opened_walked_and_left_by_keys_and_system_follows_the_system(
    open_page: Any, db: None, width: int, scheme: Any
) -> None:
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/")
    opens, sign_out = page.get_by_role("button", name="Dora Demo"), page.get_by_role("button", name="Sign out")
    if width == 390:
        page.get_by_role("button", name="Menu").press("Enter")
        expect(opens).to_be_visible()
    page.locator("#nav-sidebar-apps a").last.focus()
    page.keyboard.press("Tab")
    expect(opens).to_be_focused()
    page.keyboard.press("Enter")
    expect(opens).to_have_attribute("aria-expanded", "true")
    assert not barriers(page)
    for name in ("Light", "Dark", "System"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name, exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    other = "light" if scheme == "dark" else "dark"
    for system in (other, scheme, other):
        page.emulate_media(color_scheme=system)
        expect(page.locator("html.dark")).to_have_count(1 if system == "dark" else 0)
    page.get_by_role("button", name="Light", exact=True).press("Enter")
    expect(page.locator("html.dark")).to_have_count(0)
    sign_out.focus()
    page.keyboard.press("Escape")
    expect(opens).to_be_focused()
    expect(sign_out).to_be_hidden()
    assert not errors


def test_the_help_is_searched_as_one_types_and_opened_by_a_key(open_page: Any, db: None) -> None:
    page, errors = open_page(390, "dark")
    page.goto("/admin/npd/contact/")
    page.keyboard.press("?")
    page.get_by_role("heading", name="Find records, and export a list").wait_for()
    page.goto("/admin/help/")
    titles = page.locator(".npd-help-list li:visible")
    assert titles.first.inner_text() == "Sync is stopped"
    box = page.get_by_role("searchbox", name="Search the help")
    box.press_sequentially("prometheus gauge")  # of its text
    expect(titles).to_have_text([re.compile("Watch NPD Sync with Prometheus")])
    box.fill("zzzz")
    expect(page.get_by_text("No page has these words.")).to_be_visible()
    assert not barriers(page)
    assert not errors
