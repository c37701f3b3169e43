"""Ctrl+K in a real browser: opened from wherever, worked by arrows and Enter, and given back."""

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
