"""Lists and their exports in a real browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from npd.models import Contact
from tests.admin import states
from tests.support.pages import barriers, press

pytestmark = [pytest.mark.django_db(transaction=True)]
CONTACTS = "/admin/npd/contact/"


def test_the_filters_are_set_cleared_and_left_by_keys(open_page: Any, world: dict[str, Any]) -> None:
    page, errors = open_page(390, "dark")
    page.goto(CONTACTS)
    opens, sheet = page.locator(".npd-filter-button"), page.get_by_role("dialog", name="Filters")
    opens.press("Enter")
    sheet.get_by_role("button", name="Close").wait_for()
    assert not barriers(page)
    for _ in range(40):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.matches('body, #changelist-filter *')")
    page.keyboard.press("Escape")
    expect(opens).to_be_focused()
    opens.press("Enter")
    expect(sheet.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Enter")
    sheet.wait_for(state="hidden")
    expect(opens).to_be_focused()
    # select2's list opens beside the sheet, and can be chosen from.
    opens.press("Enter")
    sheet.locator(".select2-selection").click()
    expect(page.locator(".select2-search__field")).to_be_focused()
    page.locator(".select2-results__option", has_text=world["organization"].name).click()
    page.keyboard.press("Escape")
    sheet.wait_for(state="hidden")
    opens.press("Enter")
    sheet.get_by_label("Sync off").last.check()  # the direction's, not the state's
    sheet.locator("button[type=submit]").press("Enter")
    page.wait_for_url("**sync_direction__exact=none**")
    assert opens.locator("b").inner_text() == "2"
    opens.press("Enter")
    sheet.get_by_role("link", name="Clear").press("Enter")
    page.wait_for_url(lambda address: "sync_direction__exact" not in address)
    assert not errors


def test_all_that_are_selected_are_counted_as_everywhere_and_the_way_back_keeps_the_filter(open_page: Any) -> None:
    Contact.objects.bulk_create(Contact(name=f"Ann {number}") for number in range(1200))
    page, errors = open_page(390, "dark")
    page.goto(f"{CONTACTS}?q=Ann")
    page.locator("#action-toggle").check()
    page.get_by_role("link", name="Select all 1,200 contacts").click()
    expect(page.locator(".actions .all")).to_have_text("All 1,200 selected")
    assert page.locator(".actions .npd-button").all_inner_texts()[-1] == "Delete…"
    page.get_by_role("button", name="Turn sync off…").click()
    back = page.get_by_role("heading", level=1).get_by_role("link", name="Contacts")
    assert "←" in back.evaluate("link => getComputedStyle(link, '::before').content")
    page.get_by_role("button", name="Turn sync off for 1,200 contacts").click()
    page.wait_for_url(f"**{CONTACTS}?q=Ann")
    page.locator("tr.data-row th a").first.click()
    page.get_by_role("heading", level=1).get_by_role("link", name="Contacts").click()
    page.wait_for_url(f"**{CONTACTS}?q=Ann")
    assert not errors


def test_enter_opens_the_first_result_even_before_it_has_come(open_page: Any, db: None) -> None:
    for name in ("Nora New", "Nora Newman", "Nora Abel"):
        states.contact(name)
    page, errors = open_page(1280, "light")
    page.goto(CONTACTS)
    results = page.locator("#command-results-list li")
    press(page, "Control+k")
    page.keyboard.type("Nora New")
    expect(results).to_have_count(2)
    expect(results.first).to_have_class("group active")
    press(page, "Enter")
    page.get_by_role("heading", name=re.compile("Nora New$")).wait_for()
    # A result of an earlier text isn't opened, and without a result nothing is.
    press(page, "Control+k")
    page.keyboard.type("Nora")
    expect(results).to_have_count(3)
    page.keyboard.type(" Newman")
    press(page, "Enter")
    page.get_by_role("heading", name="Nora Newman").wait_for()
    press(page, "Control+k", "Enter")
    page.keyboard.type("Xyzzy")
    press(page, "Enter")
    page.get_by_text("Nothing found").wait_for()
    press(page, "Enter")
    assert not errors


@pytest.mark.parametrize("width", [1280, 390])
def test_the_chosen_result_stays_in_view_and_escape_closes_the_search_from_anywhere(
    open_page: Any, db: None, width: int
) -> None:
    for number in range(20):
        states.contact(f"Nora {number:02}")
    page, errors = open_page(width, "light")
    page.goto(CONTACTS)
    press(page, "Control+k")
    page.keyboard.insert_text("Nora")  # as pasted
    expect(page.locator("#command-results-list li")).to_have_count(20)
    press(page, *["ArrowDown"] * 15)
    chosen = page.locator("#command-results-list li.active")
    expect(chosen).to_contain_text("Nora 15")
    expect(chosen).to_be_in_viewport(ratio=0.9)
    assert barriers(page) == []
    for keys in (["Tab", "Tab", "Tab"], []):  # in the results, then in the field with a text
        press(page, *keys, "Escape")
        expect(page.get_by_role("dialog", name="Search")).to_be_hidden()
        page.locator("h1").click()
        press(page, "Control+k")
        page.keyboard.type("Nora")
    assert not errors


def test_an_email_is_whole_beside_a_badge_with_a_word(open_page: Any, world: dict[str, Any]) -> None:
    Contact.objects.update(email="adrianna.wendt128@mail.example.com")
    page, errors = open_page(1280, "light")
    page.goto(CONTACTS)
    page.locator(".npd-badge-bad").first.wait_for()
    cut = "all => all.filter(cell => cell.scrollWidth > cell.clientWidth).length"
    assert page.locator("td.field-email").evaluate_all(cut) == 0
    assert not errors


def test_a_list_is_walked_selected_and_opened_by_keys(open_page: Any, db: None) -> None:
    for name in ("Ann", "Bob", "Cleo"):
        states.contact(name)
    page, errors = open_page(1280, "dark")
    page.goto(CONTACTS)
    press(page, "j", "j", "j", "j")
    expect(page.get_by_role("link", name="Cleo")).to_be_focused()
    press(page, "k", "x")
    expect(page.locator(".actions .counter, .actions")).to_contain_text("1 of 3 selected")
    # What is selected has the buttons of the list, and the keys still move.
    press(page, "x", "k")
    expect(page.get_by_role("link", name="Ann")).to_be_focused()
    assert not barriers(page)
    # The row in the place of a deleted one gets the focus once the list is refreshed.
    Contact.objects.get(name="Ann").delete()
    expect(page.get_by_role("link", name="Bob")).to_be_focused(timeout=15_000)
    press(page, "j")
    expect(page.get_by_role("link", name="Cleo")).to_be_focused()
    press(page, "Enter")
    page.get_by_role("heading", name=re.compile("Cleo$")).wait_for()
    assert not errors


def test_keys_of_one_letter_can_be_turned_off(open_page: Any, db: None) -> None:
    states.contact("Ann")
    page, errors = open_page(1280, "light")
    page.goto(CONTACTS)
    for is_on in (False, True):
        page.locator(".npd-account").click()
        switch = page.get_by_role("button", name="Keys j, k, x")
        switch.click()
        expect(switch).to_have_attribute("aria-pressed", str(is_on).lower())
        assert not barriers(page)
        page.reload()
        press(page, "j")
        assert page.evaluate("document.activeElement.matches('tr.data-row a')") == is_on
        expect(page.get_by_text("move")).to_be_visible(visible=is_on)
    assert not errors
