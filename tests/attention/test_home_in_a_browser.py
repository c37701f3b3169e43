"""Home refreshes itself in a browser; tests/story/test_monday_morning.py works through a morning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from conflicts.models import SyncConflict
from sync.models import IgnoredItem
from tests.admin import states
from tests.attention.conftest import Kinds
from tests.support.pages import barriers, press

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("boards")]
HOME = "/admin/"
POLL = 6_000


def focused_name(page: Page) -> str:
    return str(page.evaluate("document.activeElement.querySelector('.npd-home-name')?.textContent.trim() ?? ''"))


def row_of(page: Page, name: str) -> Any:
    return page.locator("[data-row]", has_text=name)


def test_what_comes_in_appears_and_the_keyboard_and_what_is_opened_stay(open_page: Any, person: Any, db: None) -> None:
    states.conflicting("Bob", "5002")
    for number in range(7):
        states.dead(f"Dead {number}")
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(HOME)
    expect(row_of(page, "Dead 3")).to_have_count(0)
    page.locator("summary", has_text="Failed").focus()
    press(page, "Enter")
    row_of(page, "Dead 3").wait_for()
    row_of(page, "Bob").focus()
    states.dead("Dead later")
    states.conflicting("Zoe", "5003", "email")  # one more cause, which the first line counts
    page.clock.fast_forward(POLL)
    row_of(page, "Dead later").wait_for()
    page.wait_for_function("document.getElementById('npd-live-news').textContent !== ''")
    assert focused_name(page) == "Bob"
    # While a row is selected, nothing moves.
    press(page, "x")
    states.dead("Dead last")
    with page.expect_response(lambda response: "x-npd-live" in response.request.headers):
        page.clock.fast_forward(3 * POLL)
    expect(row_of(page, "Dead last")).to_have_count(0)
    press(page, "x")
    page.clock.fast_forward(POLL)
    row_of(page, "Dead last").wait_for()
    # A hidden page doesn't poll.
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    with page.expect_event("console", lambda line: line.text == "passed"):
        page.evaluate("setTimeout(() => console.log('passed'), 60_000)")
        page.clock.run_for(61_000)
    assert requests == []
    assert not errors


def test_a_whole_group_is_done_by_its_button_and_taken_back_by_u(open_page: Any, person: Any, kinds: Kinds) -> None:
    page, errors = open_page(1280, "dark")
    page.goto(HOME)
    group = page.locator(".npd-home-group", has_text="Item 7001")
    group.locator(".npd-menu > summary").click()
    group.get_by_role("button", name="Ignore").click()
    page.locator("#npd-home-undo").wait_for()
    assert IgnoredItem.objects.exists()
    assert not barriers(page)
    press(page, "u")
    page.get_by_text("Undone: 1 item will be checked again.").wait_for()
    row_of(page, "Item 7001").wait_for()
    assert not errors


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_each_key_does_what_it_says(open_page: Any, person: Any, kinds: Kinds, width: int, scheme: str) -> None:
    states.conflicting("Zoe", "5050")  # the same cause as Ann's
    for number in range(6):
        states.dead(f"Dead {number}")
    page, errors = open_page(width, scheme)
    page.goto(HOME)
    # A folded group is opened, and left for its first row.
    page.locator("#npd-home summary", has_text="Failed").focus()
    press(page, "Enter")
    row_of(page, "Dead 5").wait_for()
    press(page, "Enter")
    assert focused_name(page) in ("Bob", "Dead 0")
    row_of(page, "Zoe").focus()
    press(page, "k")
    assert focused_name(page) == "Ann"
    press(page, "j")
    assert focused_name(page) == "Zoe"
    press(page, "1")
    page.get_by_text("Resolved with NPD's values: Zoe.").wait_for()
    chosen = SyncConflict.objects.get(resolution__resolution_type="keep_npd")
    assert chosen.monday_item_id == "5050"
    row_of(page, "Ann").focus()
    press(page, "x")
    expect(page.locator(".npd-home-tick:checked")).to_have_count(1)
    # A group of one has the buttons of any group.
    assert page.locator(".npd-home-group", has_text="Ann").locator(".npd-home-head [data-key='3']").count() == 1
    press(page, "3")
    page.get_by_text("Resolved with Monday's values: Ann.").wait_for()
    row_of(page, "Item 7001").focus()
    press(page, "Enter")
    page.wait_for_url("**/unmatcheditem/**")
    assert not errors


def test_while_the_search_is_open_every_key_is_typed_into_it(open_page: Any, person: Any, kinds: Kinds) -> None:
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto(HOME)
    row_of(page, "Ann").focus()
    press(page, "x")
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))  # as a machine that is too busy to draw
    press(page, "Control+k", "1")
    field = page.locator("#search-input-command")
    expect(field).to_have_value("1")
    # Also after the focus was lost or moved to a result.
    page.evaluate("document.activeElement.blur()")
    press(page, "3")
    expect(field).to_have_value("13")
    press(page, "Control+A")
    page.keyboard.type("Ann")
    page.clock.resume()
    page.locator("#command-results-list a").first.focus()
    press(page, "1", "3", "x")
    field.focus()
    press(page, "Escape", "Escape")
    expect(field).to_be_hidden()
    expect(page.locator(".npd-home-tick:checked")).to_have_count(1)
    page.locator(".npd-search-open").press("Enter")
    expect(field).to_be_focused()
    assert not SyncConflict.objects.filter(resolution__resolution_type__in=["keep_npd", "keep_monday"]).exists()
    assert not errors


@pytest.mark.parametrize("width", [1280, 390])
def test_questions_are_ticked_and_answered_by_one_key(open_page: Any, person: Any, db: None, width: int) -> None:
    states.boards()
    for name in ("Ida", "Jon"):
        option = {"choose": "link", "value": "7", "label": "Link it", "effect": "Both are synced."}
        about = {"what": f"Is it {name}?", "options": [option], "candidates": [{"id": "7", "label": name}]}
        states.conflict(states.contact(name), "7", "identity", about=about)
    page, errors = open_page(width, "light")
    page.goto(HOME)
    for name in ("Ida", "Jon"):
        row_of(page, name).focus()
        press(page, "x")
    press(page, "1")
    page.get_by_role("heading", name="Link 2 contacts?").wait_for()
    assert not barriers(page)
    page.get_by_role("button", name="Link 2 contacts").click()
    page.get_by_text("2 contacts will be linked.").wait_for()
    assert not errors


def test_a_groups_rows_are_answered_one_after_another_by_keys(open_page: Any, person: Any, db: None) -> None:
    states.boards()
    names = [f"Person {number}" for number in range(7)]  # so many that their group begins folded
    for number, name in enumerate(names):
        states.conflicting(name, f"50{number}")
    page, errors = open_page(1280, "light")
    page.goto(HOME)
    page.locator("#npd-home summary", has_text="7 contacts").focus()
    press(page, "Enter")
    row_of(page, names[6]).wait_for()
    press(page, "j", "j")
    for number in (1, 2):
        assert focused_name(page) == names[number]
        press(page, "3")
        page.get_by_text(f"Resolved with Monday's values: {names[number]}.").wait_for()
    assert focused_name(page) == names[3]
    press(page, "u")
    expect(page.locator("#npd-home-undo")).to_have_count(0)
    assert focused_name(page) == names[3]
    assert not errors
