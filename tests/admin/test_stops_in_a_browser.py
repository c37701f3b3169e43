"""A stop in a real browser: it comes to an open page, and is ended from another."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from sync.choices import StopCode
from sync.limits import breaker
from sync.models import MondayAccount
from tests.admin.test_records import change_page
from tests.support.pages import barriers
from tests.support.sandbox import Sandbox

pytestmark = [pytest.mark.django_db(transaction=True)]

HALF_A_MINUTE = 31_000


@pytest.fixture
def monday(sandbox: Sandbox, settings: Any) -> Sandbox:
    """It answers, and its token is set."""
    settings.MONDAY_API_URL, settings.MONDAY_API_KEY = sandbox.api_url, sandbox.token
    return sandbox


def stop_of(page: Page) -> Any:
    return page.get_by_role("region", name="Sync is stopped")


def test_a_stop_comes_to_an_open_page_and_is_ended_from_another(
    open_page: Any, world: dict[str, Any], monday: Sandbox
) -> None:
    """A used up day: what Monday said once, and not again."""
    page, errors = open_page(390, "dark")
    open_before = page.context.new_page()
    open_before.clock.install()
    open_before.goto("/admin/npd/contact/")
    monday.faults({"limit": "daily"})
    breaker.refresh_quota()
    assert MondayAccount.objects.get().stop_code == StopCode.DAY_LIMIT
    open_before.clock.fast_forward(HALF_A_MINUTE)
    expect(stop_of(open_before)).to_be_visible()
    for address in ("/admin/", change_page(world["synced"])):
        page.goto(address)
        expect(stop_of(page)).to_contain_text("calls to Monday are used up")
        assert not barriers(page)

    page.get_by_role("button", name="Try again now").click()
    page.get_by_text("Monday answers, and sync goes on").wait_for()
    expect(stop_of(page)).to_have_count(0)
    assert page.url.endswith(change_page(world["synced"]))
    assert MondayAccount.objects.get().stop_code == ""
    open_before.clock.fast_forward(HALF_A_MINUTE)
    expect(stop_of(open_before)).to_have_count(0)
    assert not errors
