"""What is not shown: tabs and filters of nothing, pages of one's own for what only administrators ask for."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import expect

from npd.models import Contact
from sync.models import QueuePause
from sync.records.authors import log_action
from tests.admin import states
from tests.admin.test_records import LIST, change_page, words_of
from tests.support.pages import barriers
from tests.support.people import staff_who_may


def tabs(client: Client, query: str = "") -> list[tuple[str, int, bool]]:
    return [(tab.label, tab.count, tab.is_current) for tab in client.get(f"{LIST}{query}").context["cl"].tabs]


@pytest.mark.django_db
def test_a_list_has_a_tab_with_its_number_for_each_state_that_a_record_has(browser: Client) -> None:
    states.boards()
    states.synced("Ann", "5001")
    assert tabs(browser) == [("All", 0, True)]
    states.held("Held", "5002")
    states.conflicting("Ben", "5003")
    states.disabled("Otto")
    states.waiting("Due")
    assert tabs(browser) == [
        ("All", 0, True), ("Needs attention", 2, False), ("Pending", 1, False), ("Sync off", 1, False),
    ]  # fmt: skip
    QueuePause.objects.create(entity_type="contact", paused_by="dora")
    assert tabs(browser, "?health=pending") == [
        ("All", 0, False), ("Needs attention", 1, False), ("Pending", 0, True), ("Sync off", 1, False),
        ("Paused", 3, False),
    ]  # fmt: skip
    assert "Nothing is pending" in browser.get(f"{LIST}?health=pending").content.decode()


@pytest.mark.django_db
def test_who_did_what_is_one_log_for_administrators_and_no_page_of_each_row(
    browser: Client, person: User, world: dict[str, Any]
) -> None:
    record, group = world["synced"], staff_who_may("view_logentry", "view_contact")
    log_action(person, record, "Sync now: sent.")
    log_action(person, group, "Signed out everywhere.")
    page = browser.get("/admin/admin/logentry/")
    text = words_of(page.content.decode())
    assert re.search(r"dora .*clerk Signed out everywhere\. .*dora .*Zoë .*Sync now: sent\.", text)
    assert ">History<" not in browser.get(change_page(record)).content.decode()
    before = browser.get(change_page(record).replace("change/", "history/"))
    assert (before.status_code, before.headers["Location"]) == (302, change_page(record))
    clerk = Client()
    clerk.force_login(group)
    assert clerk.get("/admin/admin/logentry/").status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_keyboard_reaches_the_content_at_once_and_folds_the_menu(
    open_page: Any, world: dict[str, Any], width: int, scheme: str
) -> None:
    Contact.objects.filter(pk=world["synced"].pk).update(name="Ann")
    page, errors = open_page(width, scheme)
    page.goto(change_page(world["synced"]))
    menu = page.get_by_role("button", name="Menu", exact=True)
    menu.wait_for()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    assert not barriers(page)
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector('#content').contains(document.activeElement)")
    assert "#" not in page.url
    sidebar = page.locator("#nav-sidebar")
    is_open = width == 1280
    for _ in range(2):
        assert menu.get_attribute("aria-expanded") == str(is_open).lower()
        expect(sidebar).to_be_visible(visible=is_open)
        menu.focus()
        page.keyboard.press("Enter")
        is_open = not is_open
    page.goto("/admin/settings/")
    assert not barriers(page)
    page.get_by_role("link", name="Schedule").click()
    page.wait_for_url("**/periodictask/")
    assert not barriers(page)
    assert not errors
