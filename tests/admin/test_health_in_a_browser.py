"""Sync health in a real browser: readable by everyone, and up to date without being in the way."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.models import FieldLoop, LatencyHour, SyncAudit, SyncQueue
from sync.outbox import pauses
from tests.admin import states
from tests.admin.queue_pages import finished
from tests.admin.test_health import on_its_way
from tests.support.pages import faults_of

pytestmark = [pytest.mark.django_db(transaction=True)]

HALF_A_MINUTE = 30_000
SETTLED = "!document.querySelector('.htmx-request, .htmx-settling')"
REFRESH = "htmx.trigger(document.getElementById('npd-health'), 'npd:refresh')"


@pytest.fixture
def busy(world: dict[str, Any]) -> dict[str, Any]:
    """Everything that the page can show at once."""
    for hours in range(24):
        finished(sync_now() - timedelta(hours=hours), rows=1 + hours % 5)
        on_its_way(hours, {1: 40 + hours, 6: 4, 14: 2})
    SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status="in_progress")
    SyncAudit.objects.create(entity_type="contact", sampled=200, drifted=1)
    FieldLoop.objects.create(
        entity_type="contact", entity_id=world["held"].pk, key="phone", by="an automation", times=[],
        damped_until=sync_now() + timedelta(hours=1),
    )  # fmt: skip
    pauses.pause("anna", entity_type="organization", why="Moving the board")
    return world


def test_the_page_has_no_barrier_no_error_and_nothing_beside_the_screen(open_page: Any, busy: dict[str, Any]) -> None:
    assert not faults_of(open_page, ["/admin/", "/admin/"], unfolded=".npd-health summary")


def test_a_chart_has_its_table_behind_it_and_opens_by_the_keyboard(open_page: Any, busy: dict[str, Any]) -> None:
    page, errors = open_page(1280, "light")
    page.goto("/admin/")
    assert page.get_by_role("img", name="From a save in NPD to the board").count() == 1
    table = page.get_by_role("table", name="Rows finished: Contacts, by hour")
    assert table.count() == 0
    page.locator(".npd-health-chart summary").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.locator(".npd-health-chart table:visible").wait_for()
    assert page.locator(".npd-health-chart table:visible tbody tr").count() in (24, 25)
    assert not errors


def test_the_page_brings_itself_up_to_date_and_says_what_is_new(open_page: Any, db: None) -> None:
    states.boards()
    states.synced("Ann", "5001")
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto("/admin/")
    news = page.locator("#npd-health-news")
    with page.expect_response("**/admin/"):
        page.clock.fast_forward(HALF_A_MINUTE)
    page.wait_for_function(SETTLED)
    assert news.text_content() == ""
    states.conflicting("Ben", "5002")
    page.clock.fast_forward(HALF_A_MINUTE)
    page.get_by_text("1 conflict to settle").first.wait_for()
    page.wait_for_function(
        "document.getElementById('npd-health-news').textContent === 'Flowing; 1 thing needs a person'"
    )
    assert page.locator("#npd-health").count() == 1
    assert not errors


def test_the_page_asks_for_nothing_while_somebody_is_at_work_in_it(open_page: Any, busy: dict[str, Any]) -> None:
    page, errors = open_page(1280, "light")
    page.clock.install()
    page.goto("/admin/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/admin/") else None)
    summary = page.locator(".npd-health-chart summary").first
    summary.focus()
    page.clock.fast_forward(HALF_A_MINUTE)
    summary.click()
    summary.blur()
    page.clock.fast_forward(HALF_A_MINUTE)
    assert asked == []
    summary.click()
    summary.blur()
    with page.expect_response("**/admin/"):
        page.clock.fast_forward(HALF_A_MINUTE)
    assert len(asked) == 1
    assert not errors


def test_an_answer_that_comes_late_leaves_alone_who_has_begun(open_page: Any, busy: dict[str, Any]) -> None:
    page, errors = open_page(1280, "light")
    page.goto("/admin/")
    page.locator(".npd-health-chart summary").first.click()
    LatencyHour.objects.all().delete()
    with page.expect_response("**/admin/"):
        page.evaluate(REFRESH)
    page.wait_for_function(SETTLED)
    assert page.locator(".npd-health-chart table:visible").count() == 1
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.get_by_role("img", name="From a save in NPD to the board").count() == 1
    assert not errors


def test_who_is_signed_out_meanwhile_keeps_the_page(open_page: Any, busy: dict[str, Any]) -> None:
    page, _ = open_page(1280, "light")
    page.goto("/admin/")
    page.context.clear_cookies()
    with page.expect_response("**/admin/login/**"):
        page.evaluate(REFRESH)
    page.wait_for_function(SETTLED)
    assert page.get_by_text("Needs a person").count() == 1
    assert page.locator("input[name=password]").count() == 0
