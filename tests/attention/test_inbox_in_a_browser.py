"""The inbox in a browser, up to date by itself; tests/story/test_journeys.py empties it by keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from conflicts.models import SyncConflict
from conflicts.reports import FieldConflict
from npd.models import Contact
from sync.models import SyncMetadata, SyncQueue
from tests.admin import states
from tests.admin.conftest import monday, person
from tests.attention.test_attention import Kinds, blocked, kinds
from tests.conflicts.conftest import finding, record, rejected_too
from tests.support.pages import inbox_badge, press

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["kinds", "monday", "person"]

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
    dan = page.locator(".npd-inbox-group", has_text="Dan")
    dan.locator("summary").click()
    press(page, "k")
    assert here(page) == "Bob"
    states.conflicting("Ann", "5001")
    page.clock.fast_forward(HALF_A_MINUTE)
    page.locator("[data-inbox-row]", has_text="Ann").wait_for()
    assert here(page) == "Bob"
    expect(dan.locator("[data-inbox-row]")).to_be_hidden()
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


def test_a_folded_cause_keeps_what_can_be_done_with_all_of_it_in_reach(open_page: Any, person: Any, db: None) -> None:
    states.boards()
    blocked("Dan", "5004", code="unknown")
    for number in range(6):
        states.dead(f"Dead {number}")
    page, errors = open_page(390, "dark")
    page.goto(INBOX)
    dead = page.locator(".npd-inbox-group", has_text="Dead")
    expect(dead.locator("[data-inbox-row]").first).to_be_hidden()
    expect(dead.locator(".npd-inbox-of button[value^=retry]")).to_be_visible()
    dead.locator("summary").focus()
    press(page, "Enter")
    expect(dead.locator("[data-inbox-row]").first).to_be_visible()
    assert not errors


def on_the_second_of_three(open_page: Any) -> Any:
    """The inbox with three failed jobs, the keyboard on the second, time standing still; and the page's errors."""
    states.boards()
    for name in ("Ann", "Bob", "Cid"):
        states.dead(name)
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(INBOX)
    press(page, "j", "j")
    return page, errors


def test_while_an_act_is_on_its_way_the_list_stays_as_it_is_under_the_keys(
    open_page: Any, person: Any, db: None
) -> None:
    page, errors = on_the_second_of_three(open_page)
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


def test_an_entry_that_leaves_by_itself_hands_the_keyboard_to_the_next_one_and_at_last_to_the_heading(
    open_page: Any, person: Any, db: None
) -> None:
    page, errors = on_the_second_of_three(open_page)
    names = page.locator(".npd-inbox-name").all_inner_texts()
    for left, then in ((names[1], names[2]), (names[2], names[0])):
        assert here(page) == left
        SyncQueue.objects.filter(entity_id=Contact.objects.get(name=left).pk).delete()
        page.clock.fast_forward(HALF_A_MINUTE)
        expect(page.locator("[data-inbox-row]", has_text=left)).to_have_count(0)
        assert page.evaluate("document.activeElement.matches('[data-inbox-row]')")
        assert here(page) == then
    SyncQueue.objects.all().delete()
    page.clock.fast_forward(HALF_A_MINUTE)
    page.get_by_text("Your inbox is empty").wait_for()
    assert page.evaluate("document.activeElement.tagName") == "H1"
    # Who is elsewhere stays there.
    states.dead("Dan")
    page.clock.fast_forward(HALF_A_MINUTE)
    page.locator("[data-inbox-row]", has_text="Dan").wait_for()
    page.locator("#nav-sidebar-apps a").first.focus()
    SyncQueue.objects.all().delete()
    page.clock.fast_forward(HALF_A_MINUTE)
    page.get_by_text("Your inbox is empty").wait_for()
    assert page.evaluate("document.activeElement.closest('#nav-sidebar-apps') !== null")
    assert not errors


@pytest.mark.parametrize("width", [1280, 390])
def test_an_address_is_read_whole_before_a_side_is_used(open_page: Any, person: Any, db: None, width: int) -> None:
    states.boards()
    contact = rejected_too("Clara", "5070")
    address = "clemence.antoinette.becker8/office@example.net"
    Contact.objects.filter(pk=contact.pk).update(email=address)
    ledger = SyncMetadata.objects.get(entity_id=str(contact.pk))
    ledger.blocked_fields["email"]["local"]["email"] = address
    ledger.save()
    page, errors = open_page(width, "light")
    page.goto(INBOX)
    sides = page.locator(".npd-inbox-value > span")
    expect(sides.first).to_contain_text("office@example.net")
    assert sides.evaluate_all("all => all.filter(one => one.scrollHeight > one.clientHeight).length") == 0
    assert not errors


@pytest.mark.parametrize("width", [1280, 390])
def test_a_large_number_lies_over_no_text_and_select_all_says_how_many(
    open_page: Any, person: Any, db: None, width: int
) -> None:
    states.boards()
    for number in range(11):
        states.dead(f"Dead {number}")
    page, errors = open_page(width, "light")
    page.goto(f"{INBOX}?kind=failed")
    expect(page.locator(".npd-inbox-count")).to_have_text("11 contacts")
    page.locator("[data-inbox-all]").check()
    expect(page.locator("[data-inbox-selected]")).to_contain_text("11")
    # One less on the page is no longer all.
    page.locator(".npd-inbox-tick").first.uncheck()
    expect(page.locator("[data-inbox-all]")).not_to_be_checked()
    expect(page.locator("[data-inbox-selected]")).to_contain_text("9")
    # All that the page shows are not all.
    page.locator(".npd-inbox-tick").first.check()
    expect(page.locator("[data-inbox-all]")).not_to_be_checked()
    assert not errors


def test_a_button_names_the_number_of_those_selected_with_which_it_can_be_done(
    open_page: Any, person: Any, db: None
) -> None:
    states.boards()
    for number in range(3):
        states.removed(f"Gone {number}", f"5{number:02}")
    page, errors = open_page(1280, "light")
    page.goto(INBOX)
    delete = page.locator("[data-inbox-bulk][value=delete_removed]")
    ticks = page.locator(".npd-inbox-tick")
    ticks.first.check()
    expect(delete).to_have_text("Delete…")
    expect(page.locator(".npd-inbox-of button").last).to_contain_class("npd-button-deletes")
    expect(page.locator(".npd-inbox-acts .npd-button-deletes")).to_have_count(3)
    ticks.nth(1).check()
    expect(delete).to_have_text("Delete 2 contacts in NPD…")
    page.locator("[data-inbox-all]").check()
    expect(delete).to_have_text("Delete 3 contacts in NPD…")
    states.dead("Dan")
    page.reload()
    page.locator("[data-inbox-all]").check()
    expect(page.locator("[data-inbox-selected]")).to_have_text("4 selected")
    expect(delete).to_have_text("Delete 3 contacts in NPD…")
    for number in range(3, 12):  # of which the page shows ten
        states.removed(f"Gone {number:02}", f"5{number:02}")
    states.dead("Eve")
    page.reload()
    page.locator("[data-inbox-all]").check()
    expect(delete).to_have_text("Delete 12 contacts in NPD…")
    expect(page.locator("[data-inbox-bulk][value=retry]")).to_have_text("Retry 2…")
    page.locator("[data-inbox-row]", has_text="Eve").locator(".npd-inbox-tick").uncheck()
    expect(page.locator("[data-inbox-bulk][value=retry]")).to_have_text("Retry 1")
    page.locator("[data-inbox-row]", has_text="Gone 03").locator(".npd-inbox-tick").uncheck()
    expect(delete).to_have_text("Delete 9 contacts in NPD…")
    assert not errors


def test_what_would_empty_values_is_red_among_the_acts_of_selected_entries(
    open_page: Any, person: Any, db: None
) -> None:
    states.boards()
    states.conflicting("Ann", "71")
    _, empty = states.conflicting("Zoe", "72")
    SyncConflict.objects.filter(pk=empty.pk).update(monday_data={"phone": None})
    page, errors = open_page(390, "light")
    page.goto(INBOX)
    use = page.locator("[data-inbox-bulk][value=keep_monday]")
    page.locator("[data-inbox-row]", has_text="Ann").locator(".npd-inbox-tick").check()
    expect(use).to_have_text("Use Monday")
    page.locator("[data-inbox-row]", has_text="Zoe").locator(".npd-inbox-tick").check()
    expect(use).to_have_text("Use Monday in 2…")
    expect(use).to_contain_class("npd-button-deletes")
    page.locator("[data-inbox-row]", has_text="Ann").locator(".npd-inbox-tick").uncheck()
    expect(use).to_have_text("Empty 1 entry in NPD…")
    use.click()
    expect(page.get_by_role("heading", name="Empty Phone in NPD?", exact=True)).to_be_visible()
    page.get_by_role("button", name="Empty Phone in NPD").click()
    expect(page.locator("#npd-inbox-undo")).to_contain_text("Zoe: Phone emptied in NPD.")
    assert not errors


PRESSED = """button => {
    addEventListener("click", event => {
        event.preventDefault();
        document.body.dataset.pressed = event.target.getAttribute("aria-label");
    }, { capture: true, once: true });
    return button.getAttribute("aria-label");
}"""
"""What a button is called; and its next click is noted, and does nothing."""


def test_each_key_that_the_help_names_does_what_it_says(open_page: Any, person: Any, kinds: Kinds) -> None:
    notes = states.synced("Eva", "5060", notes="Old")
    record(finding(notes, FieldConflict("notes", "Old\nOne", "Old", "Old\nTwo")))
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(INBOX)
    named = page.locator("#npd-inbox-help dt kbd").evaluate_all("all => all.map(one => one.textContent)")
    moving = ["j", "k", "Enter", "x", "u"]
    assert set(moving) < set(named)
    for key in [one for one in named if one not in moving]:
        row = page.locator("[data-inbox-row]", has=page.locator(f"[data-key='{key}']")).first
        called = row.locator(f"[data-key='{key}']").first.evaluate(PRESSED)
        row.focus()
        press(page, key)
        expect(page.locator("body")).to_have_attribute("data-pressed", called)
    page.goto(INBOX)
    page.locator("[data-inbox-row]").first.focus()
    first = here(page)
    press(page, "j")
    assert here(page) != first
    press(page, "k")
    assert here(page) == first
    press(page, "x")
    expect(page.locator(".npd-inbox-tick:checked")).to_have_count(1)
    press(page, "x", "?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    press(page, "Escape")
    item = page.locator("[data-inbox-row]", has_text="Item 7001")
    item.focus()
    press(page, "i")
    page.locator("#npd-inbox-undo").wait_for()
    expect(item).to_have_count(0)
    press(page, "u")
    item.wait_for()
    expect(page.locator("[data-inbox-row]:focus")).to_have_count(1)
    press(page, "u")
    expect(page.get_by_role("alert").filter(has_text="There is nothing to undo.")).to_be_visible()
    item.focus()
    press(page, "Enter")
    page.wait_for_url("**/unmatcheditem/**")
    # An act to which somebody came by Tab, and not by its key, leaves the keyboard in the list, too.
    page.goto(INBOX)
    page.locator("[data-inbox-row]", has_text="Item 7001").focus()
    press(page, *["Tab"] * 4, "Enter")
    page.locator("#npd-inbox-undo").wait_for()
    expect(page.locator("[data-inbox-row]:focus")).to_have_count(1)
    assert not errors
