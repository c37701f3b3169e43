"""Ctrl+K in a real browser: opened from wherever, worked by arrows and Enter, and given back."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.admin import states
from tests.support.pages import barriers

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_record_is_found_and_opened_by_the_keyboard_alone(open_page: Any, db: None, width: int, scheme: str) -> None:
    states.contact("Adam Grant")
    states.contact("Zoë Müller")
    page, errors = open_page(width, scheme)
    page.goto("/admin/npd/contact/")
    # By the key, or by the button.
    page.locator("body").press("Control+k")
    box = page.locator("#search-input-command")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
    page.get_by_role("button", name="Search").filter(visible=True).first.press("Enter")
    expect(box).to_be_focused()
    page.keyboard.type("muller zoe")
    found = page.locator("#command-results-list a")
    expect(found).to_contain_text(["Zoë Müller"])
    assert not barriers(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Zoë Müller").wait_for()
    assert not errors


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
