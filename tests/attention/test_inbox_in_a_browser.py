"""The inbox in a browser, up to date by itself; tests/story/test_journeys.py empties it by keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.admin import states
from tests.admin.conftest import monday, person
from tests.attention.test_attention import blocked
from tests.support.pages import inbox_badge, press

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["monday", "person"]

pytestmark = [pytest.mark.django_db(transaction=True)]
INBOX = "/admin/inbox/"
HALF_A_MINUTE = 31_000


def here(page: Page) -> str:
    return str(page.evaluate("document.activeElement.querySelector('.npd-inbox-name')?.textContent.trim() ?? ''"))


def test_what_comes_in_appears_without_moving_the_keyboard_or_the_folds(open_page: Any, person: Any, db: None) -> None:
    states.boards()
    states.dead("Bob")
    blocked("Dan", "5004", code="unknown")
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(INBOX)
    page.locator("details", has_text="Dan").locator("summary").click()
    press(page, "k")
    assert here(page) == "Bob"
    states.conflicting("Ann", "5001")
    page.clock.fast_forward(HALF_A_MINUTE)
    page.locator("[data-inbox-row]", has_text="Ann").wait_for()
    assert here(page) == "Bob"
    assert page.locator("details[open]", has_text="Dan").count() == 0
    expect(inbox_badge(page)).to_have_text("3")
    assert here(page) == "Bob"
    # A selected row is somebody's work: the list stays as it is.
    press(page, "x")
    states.conflicting("Zoe", "5002")
    page.clock.fast_forward(HALF_A_MINUTE)
    with page.expect_response("**/admin/live/**"):
        page.clock.fast_forward(HALF_A_MINUTE)
    assert page.locator("[data-inbox-row]", has_text="Zoe").count() == 0
    assert not errors


def test_while_an_act_is_on_its_way_the_list_stays_as_it_is_under_the_keys(
    open_page: Any, person: Any, db: None
) -> None:
    states.boards()
    for name in ("Ann", "Bob", "Cid"):
        states.dead(name)
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(INBOX)
    press(page, "j", "j")
    second, zoe = here(page), page.locator("[data-inbox-row]", has_text="Zoe")
    page.locator("form.npd-inbox-form").dispatch_event("submit")
    states.conflicting("Zoe", "5001")
    for milliseconds in (HALF_A_MINUTE, 5_000):
        with page.expect_response("**/admin/live/**"):
            page.clock.fast_forward(milliseconds)
    assert zoe.count() == 0
    # The answer was no page: this one stays, and is kept up to date.
    page.clock.fast_forward(HALF_A_MINUTE)
    zoe.wait_for()
    assert here(page) == second
    assert not errors
