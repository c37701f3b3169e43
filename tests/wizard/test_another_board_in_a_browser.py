"""Another board is chosen in a browser: what becomes of the links, namesakes, and a row of the plan as a whole."""

from typing import Any

import pytest
from django.conf import settings

from npd.models import Contact
from sync.operations.setup.plan import make_plan
from sync.operations.setup.run import advance_setups
from sync.operations.setup.selection import plan_key
from tests.support.pages import barriers_in_both_schemes
from tests.support.world import mail
from tests.wizard.conftest import START, Wizard, an_item
from tests.wizard.test_another_board import duplicated, first_board, items_of

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("width", [1280, 390])
def test_another_board_is_chosen_without_fear(wizard: Wizard, open_page: Any, live_server: Any, width: int) -> None:
    first = first_board(wizard, *(f"Person{number}" for number in range(6)))
    copy = duplicated(wizard, first)
    Contact.objects.create(name="Ann", email="ann@x.org")
    an_item(wizard.monday, copy, "Ann", mail=mail("other@x.org"))
    before = items_of(wizard, first)
    page, errors = open_page(width, "light")
    # The browser has the session of the wizard's client, whose choices the worker's turn reads.
    session = wizard.client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])

    def plan() -> None:
        page.get_by_role("heading", name="Both sides are being compared").wait_for()
        make_plan(plan_key(wizard.choices))
        page.get_by_role("heading", name="Contacts: the plan").wait_for()

    page.goto(f"{START}boards/")
    page.get_by_label("Board of Organizations").select_option("")
    page.get_by_label("Board of Contacts").select_option(copy)
    page.get_by_role("button", name="Next: Fields").click()
    page.get_by_role("button", name="Next: Plan").click()
    plan()
    page.get_by_text(f"The board “First” ({first}) is left as it is").wait_for()
    page.get_by_text("6 records of it are looked for on this board").wait_for()
    faults = barriers_in_both_schemes(page)
    page.get_by_label("Choice for Ann").select_option("apart")
    page.get_by_role("button", name="Plan with these answers").click()
    plan()
    page.get_by_role("link", name="All 6 records linked with their items").click()
    page.get_by_role("heading", name="Contacts: records linked with their items (6)").wait_for()
    assert page.locator("tbody tr").count() == 6
    faults += barriers_in_both_schemes(page)
    page.get_by_role("link", name="Back to the plan").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_role("heading", name="The set-up is running").wait_for()
    advance_setups()
    page.get_by_role("heading", name="their records are being synced").wait_for()
    wizard.settle()
    page.get_by_text("All records and items were compared.").wait_for()
    faults += barriers_in_both_schemes(page)
    assert items_of(wizard, first) == before
    assert len(items_of(wizard, copy)) == 8
    assert not faults
    assert not errors
