"""The demo, played by one person with two windows: NPD's admin, and the board. No page is ever reloaded."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.story.conftest import sign_in, worker_asleep
from tests.story.seed import HEROINE, sandbox, seed
from tests.support.site import Site

__all__ = ["sandbox"]

COUNTRY = " SE"  # the cell of a phone number takes the country with it


@pytest.mark.journey
def test_a_person_plays_the_demo_story(site: Site, page: Page) -> None:
    seed(site)
    sign_in(site, page)
    open_record(page)
    board = open_board(page)
    an_edit_in_npd_shows_on_the_board(site, page, board)
    an_edit_on_the_board_shows_in_npd(page, board)
    with worker_asleep(site):
        both_change_the_same_fields(page, board)
    the_badge_leads_to_the_conflict(page)
    settle_it_by_keys(page)
    both_sides_show_the_result(page, board)


def sidebar(page: Page, name: str) -> None:
    # The name of a link begins with its icon's and may end with the number of what waits.
    page.get_by_role("link", name=re.compile(rf"{name}( \d+)?$")).first.click()


def open_record(page: Page) -> None:
    sidebar(page, "Contacts")
    page.get_by_role("link", name=HEROINE, exact=True).click()
    expect(page.get_by_label("Sync state")).to_contain_text("Synced")


def open_board(page: Page) -> Page:
    with page.expect_popup() as popup:
        page.get_by_role("link", name=re.compile("Open the item of .* on Monday")).first.click()
    board = popup.value
    board.set_viewport_size({"width": 1280, "height": 800})
    return board


def save(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text(re.compile("was (?:added|changed) successfully"))).to_be_visible()


def cell(board: Page, column: str) -> Locator:
    return board.get_by_label(f"{column} of {HEROINE}", exact=True)


def type_into(board: Page, column: str, text: str) -> None:
    """Write a cell and wait until the page shows the value."""
    cell(board, column).fill(text)
    with board.expect_navigation():
        board.locator("form", has=cell(board, column)).get_by_role("button", name="Save").click()
    expect(cell(board, column)).to_have_value(text)


def an_edit_in_npd_shows_on_the_board(site: Site, page: Page, board: Page) -> None:
    """The saved page says Pending and then, without a reload, Synced."""
    with worker_asleep(site):
        save(page, role_title="Head of purchasing")
        expect(page.get_by_label("Sync state")).to_contain_text("Pending")
        page.evaluate("window.wasLoadedBefore = true")
    expect(page.get_by_label("Sync state")).to_contain_text("Synced")
    assert page.evaluate("window.wasLoadedBefore")
    expect(cell(board, "Role")).to_have_value("Head of purchasing")


def an_edit_on_the_board_shows_in_npd(page: Page, board: Page) -> None:
    type_into(board, "Notes", "Call in the morning. Orders in spring and autumn.")
    expect(page.locator("[name=notes]")).to_have_value("Call in the morning. Orders in spring and autumn.")
    expect(page.get_by_label("Sync state")).to_contain_text("Synced")
    assert page.evaluate("window.wasLoadedBefore")
    expect(page.get_by_role("region", name="Activity")).to_contain_text("updated from Monday")


def both_change_the_same_fields(page: Page, board: Page) -> None:
    save(page, role_title="Director of purchasing", phone="+46 31 701 23 99")
    type_into(board, "Role", "Chief buyer")
    type_into(board, "Phone", f"+46 31 701 55 00{COUNTRY}")


def the_badge_leads_to_the_conflict(page: Page) -> None:
    sidebar(page, "Contacts")
    row = page.get_by_role("row").filter(has_text=HEROINE)
    expect(row).to_contain_text("Role")
    row.get_by_role("link", name="Conflict").click()
    expect(page.locator("#cfl-form")).to_be_visible()
    expect(page.locator("[data-row]")).to_have_count(2)


def settle_it_by_keys(page: Page) -> None:
    """Choose Monday's phone number and NPD's role."""
    expect(page.locator(".cfl-current")).to_have_count(1)  # the page listens to keys
    choices = {"Phone": "3", "Role": "1"}
    for legend in page.locator("[data-row] .cfl-field b").all_inner_texts():
        page.keyboard.press(choices[legend])
    expect(page.locator("[data-summary]")).to_have_text("Changes NPD and Monday.")
    page.keyboard.press("Enter")
    # The email that Monday refuses comes next; above it the page says what became of this one.
    expect(page.locator(".cfl-tag", has_text="Rejected by Monday")).to_be_visible()
    expect(page.locator(".cfl-strip")).to_contain_text("Resolved:", timeout=30_000)
    page.locator(".cfl-strip-state").get_by_role("link", name=HEROINE).click()
    expect(page.locator(".cfl-tag", has_text="Resolved")).to_be_visible()


def both_sides_show_the_result(page: Page, board: Page) -> None:
    expect(cell(board, "Role")).to_have_value("Director of purchasing")
    expect(cell(board, "Phone")).to_have_value(f"+46 31 701 55 00{COUNTRY}")
    page.get_by_role("link", name=HEROINE).first.click()
    expect(page.get_by_label("Sync state")).to_contain_text("Synced")
    expect(page.locator("[name=role_title]")).to_have_value("Director of purchasing")
    assert page.locator("[name=phone]").input_value().replace(" ", "") == "+46317015500"
