"""The queue's screen in a real browser: readable, drawn, and worked by the keyboard alone."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.models import QueuePause, SyncQueue
from sync.outbox import pauses
from tests.admin import states
from tests.admin.queue_pages import QUEUE, finished
from tests.support.pages import faults_of

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def busy(world: dict[str, Any]) -> None:
    """A queue with rows in every state, a day behind it, and a pause."""
    for hours in range(24):
        finished(sync_now() - timedelta(hours=hours), rows=1 + hours % 5)
    states.dead("Quentin")
    record = states.contact("Flying")
    SyncQueue.objects.create(entity_type="contact", entity_id=record.pk, status="in_progress", lease_token=uuid.uuid4())
    pauses.pause("anna", entity_type="organization", why="Moving the board")


def test_no_page_of_the_queue_has_a_barrier_an_error_or_something_beside_the_screen(open_page: Any, busy: None) -> None:
    failed = SyncQueue.objects.filter(status="failed").latest("id")
    urls = [
        QUEUE,
        f"{QUEUE}?q=nobody-has-this-name",
        f"{QUEUE}?status__exact=completed",
        f"{QUEUE}all/retry/?status__exact=failed",
        f"{QUEUE}all/discard/?status__exact=pending",
        f"{QUEUE}{failed.pk}/change/",
    ]
    assert not faults_of(open_page, urls, unfolded=".npd-queue summary")


def test_the_chart_is_drawn_and_its_table_opens_by_the_keyboard(open_page: Any, busy: None) -> None:
    page, errors = open_page(1280, "light")
    page.goto(QUEUE)
    drawn = page.get_by_role("img", name=re.compile("rows finished in the last 24 hours"))
    drawn.wait_for()
    page.wait_for_function(
        """() => [...document.querySelectorAll('.npd-queue-chart canvas')].every((canvas) =>
            canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean))"""
    )
    table = page.get_by_role("table", name="Contacts: rows finished, by hour")
    assert table.count() == 0
    page.locator(".npd-queue-hours summary").first.focus()
    page.keyboard.press("Enter")
    assert table.get_by_role("row").count() in (25, 26)
    assert not errors


def test_a_board_is_paused_and_resumed_by_the_keyboard(open_page: Any, busy: None) -> None:
    page, errors = open_page(390, "dark")
    page.goto(QUEUE)
    page.get_by_text("Pause…").focus()
    page.keyboard.press("Enter")
    page.get_by_role("combobox", name="Board").focus()
    page.keyboard.type("Contacts")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("Clean-up")
    page.keyboard.press("Enter")
    page.get_by_text("Contacts: paused. Changes are kept").wait_for()
    made = QueuePause.objects.get(entity_type="contact")
    assert (made.direction, made.paused_by, made.why) == ("", "dora", "Clean-up")
    page.get_by_role("button", name="Resume: Contacts").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Contacts: resumed.").wait_for()
    assert QueuePause.objects.get().entity_type == "organization"
    assert not errors
