"""Sync health in a real browser: readable by everyone, and up to date without being in the way."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from sync import pausing
from sync.clock import sync_now
from sync.models import FieldLoop, LatencyHour, SyncAudit, SyncQueue
from tests.admin import states
from tests.admin.queue_pages import finished
from tests.admin.test_health import on_its_way
from tests.admin.test_in_a_browser import open_page
from tests.admin.test_queue_in_a_browser import patient_page, serious

__all__ = ["open_page", "patient_page"]

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
    pausing.pause("anna", entity_type="organization", why="Moving the board")
    return world


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1920, 1280, 390])
def test_the_page_has_no_barrier_no_error_and_nothing_beside_the_screen(
    patient_page: Any, busy: dict[str, Any], width: int, scheme: str
) -> None:
    page, errors = patient_page(width, scheme)
    page.goto("/admin/")
    page.wait_for_load_state("networkidle")
    for summary in page.locator(".npd-health summary").all():
        summary.click()
    beside = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert [*serious(page), *errors] == []
    assert beside <= 0


def test_a_page_before_the_set_up_has_no_barrier(patient_page: Any, db: None) -> None:
    page, errors = patient_page(390, "light")
    page.goto("/admin/")
    page.get_by_role("link", name="Connect Monday, step by step").wait_for()
    assert [*serious(page), *errors] == []


def test_a_chart_has_its_table_behind_it_and_opens_by_the_keyboard(
    patient_page: Any, busy: dict[str, Any]
) -> None:
    page, errors = patient_page(1280, "light")
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


def test_a_tile_opens_its_list_by_the_keyboard(patient_page: Any, busy: dict[str, Any]) -> None:
    page, errors = patient_page(390, "dark")
    page.goto("/admin/")
    page.get_by_role("link", name="Conflicts 1").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/npd/contact/?health=conflict")
    assert page.locator("tr.data-row").count() == 1
    assert page.get_by_role("link", name="Ann Clash").first.is_visible()
    assert not errors


def test_the_pause_is_one_click_away(patient_page: Any, busy: dict[str, Any]) -> None:
    page, errors = patient_page(1280, "light")
    page.goto("/admin/")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_role("combobox", name="Direction").wait_for()
    assert not errors


def test_the_page_brings_itself_up_to_date_and_says_what_is_new(patient_page: Any, db: None) -> None:
    states.boards()
    states.synced("Ann", "5001")
    page, errors = patient_page(1280, "light")
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


def test_the_page_asks_for_nothing_while_somebody_is_at_work_in_it(
    patient_page: Any, busy: dict[str, Any]
) -> None:
    page, errors = patient_page(1280, "light")
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


def test_an_answer_that_comes_late_leaves_alone_who_has_begun(
    patient_page: Any, busy: dict[str, Any]
) -> None:
    page, errors = patient_page(1280, "light")
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


def test_who_is_signed_out_meanwhile_keeps_the_page(patient_page: Any, busy: dict[str, Any]) -> None:
    page, _ = patient_page(1280, "light")
    page.goto("/admin/")
    page.context.clear_cookies()
    with page.expect_response("**/admin/login/**"):
        page.evaluate(REFRESH)
    page.wait_for_function(SETTLED)
    assert page.get_by_text("Needs a person").count() == 1
    assert page.locator("input[name=password]").count() == 0
