"""The wizard in a real browser: from nothing to synced by keyboard, on a phone; what its scripts keep and offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from npd.models import Contact, Organization
from sync.models import BoardLink
from sync.operations.setup.run import advance_drafts
from sync.queue import SyncQueueService
from tests.support.pages import barriers
from tests.support.sandbox import Sandbox
from tests.support.waiting import beside
from tests.wizard.conftest import PEOPLE, Wizard, a_board, an_item, draft, mail, people

pytestmark = [pytest.mark.django_db(transaction=True)]


def by_a_worker(work: Callable[[], Any]) -> None:
    """Do it in another thread with a connection of its own, as a worker does."""
    beside(work).result(120)


def test_from_nothing_to_synced_with_the_keyboard(open_page: Any, monday: Sandbox) -> None:
    people()
    jon = Contact.objects.create(name="Jon Stonehenge")
    board = a_board(monday, "Our people", *PEOPLE, ("span", "Span", "timeline"))
    an_item(monday, board, "A. Ångström", mail=mail("ann@x.org"), job="Head")
    stone = an_item(monday, board, "John Stonehenge")
    page, errors = open_page(390, "dark")
    found: list[str] = []

    page.goto("/admin/")
    # Which token is set is known; whether Monday takes it is not.
    page.get_by_role("link", name="Connect", exact=True).press("Enter")
    page.get_by_role("button", name="Test connection").press("Enter")
    page.get_by_text("The token works: NPD Sync writes").wait_for()
    found += barriers(page)

    page.get_by_role("link", name="Next: Boards").press("Enter")
    page.get_by_label("Search boards by name or number").press_sequentially("people")
    page.get_by_label("Search boards by name or number").press("Enter")
    page.get_by_text("1 board is listed.").wait_for()
    page.get_by_label("Board of Contacts").select_option(board)
    found += barriers(page)
    page.get_by_role("button", name="Next: Map fields").press("Enter")

    page.get_by_role("heading", name="Organizations: which field is which column?").wait_for()
    page.get_by_role("button", name="Next", exact=True).press("Enter")
    page.get_by_role("heading", name="Contacts: which field is which column?").wait_for()
    role = page.get_by_label("Column of Role")
    assert role.evaluate("select => select.selectedOptions[0].textContent.trim()") == "Role (Text)"
    said = page.locator('[data-says-of="npd-wizard-says-role_title"]')
    assert said.inner_text() == "Head"  # Ann's, beside what NPD says of Ann
    role.select_option("")
    expect(said).to_have_text("–")
    role.select_option("job")
    expect(said).to_have_text("Head")
    page.get_by_label("Column of Email").select_option("")
    page.get_by_role("button", name="Next", exact=True).press("Enter")
    page.get_by_role("alert").get_by_role("link", name="Email").press("Enter")
    page.get_by_label("Column of Email").select_option("mail")
    found += barriers(page)
    page.get_by_role("button", name="Next", exact=True).press("Enter")

    page.get_by_role("heading", name="Both sides are being compared", exact=True).wait_for()
    found += barriers(page)
    assert monday.item_named("Bob Stone") is None
    by_a_worker(advance_drafts)
    page.get_by_role("group", name="Jon Stonehenge").get_by_label("The same: link them").press("Space")
    found += barriers(page)
    page.get_by_role("button", name="Save these answers").press("Enter")
    page.get_by_text("Your answers are saved.").wait_for()
    page.get_by_role("button", name="Next: Plan").press("Enter")

    page.get_by_role("button", name="Confirm and begin").wait_for()
    found += barriers(page)
    assert monday.item_named("Bob Stone") is None
    page.get_by_role("button", name="Confirm and begin").press("Enter")
    page.get_by_role("heading", name="The set-up is being applied").wait_for()
    found += barriers(page)
    by_a_worker(advance_drafts)
    assert draft().state == "done", draft().problem
    for _ in range(3):  # a contact's relation waits for its organization's item
        by_a_worker(lambda: SyncQueueService().process(seconds=60))
    page.get_by_role("heading", name="The set-up is done", exact=True).wait_for()
    # Ids of webhooks and columns are for who asks for them.
    expect(page.get_by_text("created webhook").first).to_be_hidden()
    page.get_by_text("For your administrator").first.press("Enter")
    expect(page.get_by_text("created webhook").first).to_be_visible()
    found += barriers(page)
    page.get_by_role("link", name="Go to Health").press("Enter")
    page.get_by_text("Get started").wait_for(state="detached")

    jon.refresh_from_db()
    assert jon.monday_id == stone
    assert Contact.objects.get(email="bob@x.org").sync_status == "synced"
    assert Organization.objects.get().sync_status == "synced"
    assert monday.item_named("Bob Stone") is not None
    assert not found
    assert not errors


def test_what_is_ticked_is_kept_by_the_link_of_another_step(open_page: Any, monday: Sandbox, wizard: Wizard) -> None:
    board = a_board(monday, "CRM", *PEOPLE)
    an_item(monday, board, "Somebody", mail=mail("somebody@x.org"))
    wizard.compared(board)
    page, errors = open_page(1280, "light")
    page.goto("/admin/sync/boardlink/set-up/match/")
    page.locator("[name=contact-creates_records]").check()
    page.get_by_role("navigation", name="Steps of the set-up").get_by_role("link", name="Map").press("Enter")
    page.wait_for_url("**/map/**")
    page.goto("/admin/sync/boardlink/set-up/match/")
    assert page.locator("[name=contact-creates_records]").is_checked()
    assert not errors


def test_a_filters_values_are_offered_by_the_field_that_is_chosen(
    open_page: Any, monday: Sandbox, wizard: Wizard
) -> None:
    wizard.compared(a_board(monday, "CRM", *PEOPLE))
    wizard.apply()
    page, errors = open_page(1280, "light")
    page.goto(f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/")
    page.get_by_role("button", name="Edit mapping").press("Enter")
    page.get_by_role("button", name="Sync only some of them…").press("Enter")
    page.get_by_role("heading", name="Contacts: what is synced?").wait_for()
    page.locator("#npd-filter-item-field-1").select_option("group")
    text = page.locator("#npd-filter-item-text-1")
    expect(text).to_have_attribute("list", "npd-filter-item-values-group")
    assert not barriers(page)
    assert not errors


def test_what_is_ticked_while_both_sides_are_compared_outlives_the_reload(
    open_page: Any, monday: Sandbox, wizard: Wizard
) -> None:
    board = a_board(monday, "CRM", *PEOPLE, items=[{"name": "Eve", "mail": mail("eve@x.org")}])
    page, errors = open_page(390, "light")
    wizard.boards(contact=board)
    page.goto("/admin/sync/boardlink/set-up/map/contact/")
    column, direction = page.get_by_label("Column of Notes"), page.get_by_label("Direction of Notes")
    direction.select_option("none")
    assert column.input_value() == ""  # nobody wants a new column that nothing is synced to
    column.select_option("+")
    assert direction.input_value() == "bidirectional"
    page.get_by_role("button", name="Next", exact=True).press("Enter")
    page.get_by_label("Create records from unmatched items").press("Space")
    by_a_worker(advance_drafts)
    page.get_by_label("Create records from unmatched items (1 now)").wait_for()
    assert page.get_by_label("Create records from unmatched items").is_checked()
    assert draft().creates_records
    page.get_by_text("More options").first.click()
    page.get_by_label("how alike two names must be").fill("90")
    page.get_by_label("how alike two names must be").press("Enter")
    page.get_by_role("heading", name="Both sides are being compared", exact=True).wait_for()
    by_a_worker(advance_drafts)
    page.locator("tr[data-row=from_items]").wait_for()
    assert draft().threshold == 90
    assert not barriers(page)
    assert not errors


def test_a_column_that_can_not_be_changed_on_the_boards_page_says_where_it_can(
    open_page: Any, monday: Sandbox, wizard: Wizard
) -> None:
    wizard.compared(a_board(monday, "CRM", *PEOPLE, ("mobile", "Mobile", "phone")))
    wizard.apply()
    page, errors = open_page(1280, "dark")
    page.goto(f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/")
    assert page.get_by_label("Column of Phone").is_enabled()
    # A select of one choice would say no more than the column's name.
    assert page.get_by_label("Column of Email").count() == 0
    page.get_by_role("button", name="Edit mapping").press("Enter")
    assert page.get_by_label("Column of Email").is_enabled()
    assert not barriers(page)
    assert not errors
