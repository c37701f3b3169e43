"""The wizard in a real browser: from nothing to synced by keyboard, at both widths, in both colour schemes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from npd.models import Contact, Organization
from sync.queue import SyncQueueService
from sync.wizard.working import carry_on
from tests.support.sandbox import Sandbox
from tests.wizard.conftest import PEOPLE, START, a_board, an_item, draft, mail, people

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.django_db(transaction=True)]
WAIT = 60_000
"""Milliseconds for a page that follows a worker, on a machine that has other things to do."""


@pytest.fixture
def open_page(browser: Browser, live_server: Any, person: User, settings: Any) -> Iterator[Any]:
    """A function that opens a signed-in page of a width and scheme; its errors stand in `errors`."""
    contexts = []

    def opened(width: int, scheme: Any) -> tuple[Page, list[str]]:
        client = Client()
        client.force_login(person)
        context = browser.new_context(
            base_url=live_server.url, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        context.set_default_timeout(WAIT)
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        return page, errors

    yield opened
    for context in contexts:
        context.close()


def by_a_worker(work: Callable[[], Any]) -> None:
    """Do it in another thread with a connection of its own, as a worker does."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed, failed


def barriers(page: Page) -> list[str]:
    """What axe finds serious, and what stands beside the screen."""
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    found = [
        f"{page.url} {violation['id']}: {violation['nodes'][0]['html'][:120]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    return [*found, *([f"{page.url}: {overflow} px beside the screen"] if overflow > 0 else [])]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_from_nothing_to_synced_with_the_keyboard(
    open_page: Any, monday: Sandbox, width: int, scheme: str
) -> None:
    people()
    jon = Contact.objects.create(name="Jon Stonehenge")
    board = a_board(monday, "Our people", *PEOPLE, ("span", "Span", "timeline"))
    an_item(monday, board, "A. Ångström", mail=mail("ann@x.org"), job="Head")
    stone = an_item(monday, board, "John Stonehenge")
    page, errors = open_page(width, scheme)
    found: list[str] = []

    page.goto("/admin/")
    page.get_by_role("link", name="Set up the sync").press("Enter")
    page.get_by_role("button", name="Test the token").press("Enter")
    page.get_by_text("Monday takes the token: it is").wait_for()
    found += barriers(page)

    page.get_by_role("link", name="Next: boards").press("Enter")
    page.get_by_label("Search boards by name or number").press_sequentially("people")
    page.get_by_label("Search boards by name or number").press("Enter")
    page.get_by_text("1 board is listed.").wait_for()
    page.get_by_label("Board of Contacts").select_option(board)
    found += barriers(page)
    page.get_by_role("button", name="Next: map fields").press("Enter")

    page.get_by_role("heading", name="Organizations: which field is which column?").wait_for()
    page.get_by_role("button", name="Next", exact=True).press("Enter")
    page.get_by_role("heading", name="Contacts: which field is which column?").wait_for()
    role = page.get_by_label("Column of Role")
    assert role.evaluate("select => select.selectedOptions[0].textContent") == "Role (text)"
    role.select_option("")
    assert page.locator("#npd-wizard-says-role_title").inner_text() == "–"
    role.select_option("job")
    assert page.locator("#npd-wizard-says-role_title").inner_text() == "Head"
    page.get_by_label("Column of Email").select_option("")
    page.get_by_role("button", name="Next", exact=True).press("Enter")
    page.get_by_role("alert").get_by_role("link", name="Email").press("Enter")
    page.get_by_label("Column of Email").select_option("mail")
    found += barriers(page)
    page.get_by_role("button", name="Next", exact=True).press("Enter")

    page.get_by_role("heading", name="Both sides are being compared", exact=True).wait_for()
    found += barriers(page)
    assert monday.item_named("Bob Stone") is None
    by_a_worker(carry_on)
    page.get_by_role("group", name="Jon Stonehenge").get_by_label("The same: link them").press("Space")
    found += barriers(page)
    page.get_by_role("button", name="Keep these answers").press("Enter")
    page.get_by_text("Your answers are kept.").wait_for()
    page.get_by_role("link", name="Next: the plan").press("Enter")

    page.get_by_role("button", name="Confirm and begin").wait_for()
    found += barriers(page)
    assert monday.item_named("Bob Stone") is None
    page.get_by_role("button", name="Confirm and begin").press("Enter")
    page.get_by_role("heading", name="The set-up is being carried out").wait_for()
    found += barriers(page)
    by_a_worker(carry_on)
    assert draft().state == "done", draft().problem
    for _ in range(3):  # a contact's relation waits for its organization's item
        by_a_worker(lambda: SyncQueueService().process(seconds=60))
    page.get_by_role("heading", name="The set-up is done").wait_for()
    found += barriers(page)
    page.get_by_role("link", name="To Sync health").press("Enter")
    page.get_by_text("Begin here").wait_for(state="detached")

    jon.refresh_from_db()
    assert jon.monday_id == stone
    assert Contact.objects.get(email="bob@x.org").sync_status == "synced"
    assert Organization.objects.get().sync_status == "synced"
    assert monday.item_named("Bob Stone") is not None
    assert not found
    assert not errors


def test_a_set_up_goes_on_in_another_browser(open_page: Any, monday: Sandbox) -> None:
    people()
    board = a_board(monday, "Our people", *PEOPLE)
    first, _ = open_page(1280, "light")
    first.goto(START + "boards/")
    first.get_by_label("Board of Organizations").select_option("")
    first.get_by_label("Board of Contacts").select_option(board)
    first.get_by_role("button", name="Next: map fields").click()
    first.get_by_label("Direction of Phone").select_option("npd_to_monday")
    first.get_by_role("button", name="Next", exact=True).click()
    first.get_by_role("heading", name="Both sides are being compared", exact=True).wait_for()
    second, _ = open_page(390, "dark")
    second.goto(START + "map/contact/")
    assert second.get_by_label("Direction of Phone").input_value() == "npd_to_monday"
    second.get_by_role("link", name="Plan").click()
    by_a_worker(carry_on)
    second.get_by_role("button", name="Confirm and begin").click()
    second.get_by_role("heading", name="The set-up is being carried out").wait_for()
    first.goto(START + "plan/")
    first.get_by_role("heading", name="The set-up is being carried out").wait_for()
