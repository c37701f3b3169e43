"""A stop in a real browser: it comes to an open page, stands on every other, and is ended from whichever."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from npd.models import Contact
from sync.choices import StopCode
from sync.limits import breaker
from sync.models import MondayAccount
from tests.support.pages import barriers
from tests.support.sandbox import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True)]

HALF_A_MINUTE = 31_000
PAGES = {"list": "/admin/npd/contact/", "record": "/admin/npd/contact/{}/change/", "health": "/admin/"}
WHERE = [(1280, "light", "list"), (390, "dark", "record"), (1280, "dark", "health"), (390, "light", "health")]


@pytest.fixture
def monday(sandbox: Sandbox, settings: Any) -> Sandbox:
    """It answers, and its token is set."""
    settings.MONDAY_API_URL, settings.MONDAY_API_KEY = sandbox.api_url, sandbox.token
    return sandbox


def stop_of(page: Page) -> Any:
    return page.get_by_role("region", name="Sync is stopped")


def address(kind: str, record: Contact) -> str:
    return PAGES[kind].format(record.pk)


@pytest.mark.parametrize(("width", "scheme", "kind"), WHERE)
def test_a_stop_is_seen_on_every_page_and_ended_from_whichever(
    open_page: Any, world: dict[str, Any], monday: Sandbox, width: int, scheme: str, kind: str
) -> None:
    """A used up day: what Monday said once, and not again."""
    page, errors = open_page(width, scheme)
    open_before, faults = page.context.new_page(), list[str]()
    open_before.clock.install()
    open_before.goto(PAGES["list"])
    monday.faults({"limit": "daily"})
    breaker.refresh_quota()
    assert MondayAccount.objects.get().stop_code == StopCode.DAY_LIMIT
    open_before.clock.fast_forward(HALF_A_MINUTE)
    expect(stop_of(open_before)).to_be_visible()
    for name in sorted(PAGES, key=lambda name: name == kind):
        page.goto(address(name, world["synced"]))
        expect(stop_of(page)).to_contain_text("calls to Monday are used up")
        faults += barriers(page)

    page.get_by_role("button", name="Try again now").click()
    page.get_by_text("Monday answers, and sync goes on").wait_for()
    expect(stop_of(page)).to_have_count(0)
    assert page.url.endswith(address(kind, world["synced"]))
    faults += barriers(page)
    assert MondayAccount.objects.get().stop_code == ""
    open_before.clock.fast_forward(HALF_A_MINUTE)
    expect(stop_of(open_before)).to_have_count(0)
    assert not faults
    assert not errors
