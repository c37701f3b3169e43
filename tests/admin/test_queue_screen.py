"""The queue's screen: how each board stands, and the list of the rows."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from sync import choices
from sync.admin import queue_pages
from sync.clock import sync_now
from sync.models import SyncQueue
from sync.outbox import pauses
from sync.queue import SyncQueueService
from tests.admin import states
from tests.admin.queue_pages import QUEUE, card, finished, flying, listed, text_of
from tests.admin.test_records import row_of, words_of
from tests.support.rows import queries_of


def test_a_boards_card_counts_its_rows_by_what_they_wait_for(browser: Client) -> None:
    states.boards()
    states.waiting("Due", seconds=-60)
    states.waiting("Snoozed", seconds=600)
    states.waiting("Backing off", seconds=120)
    SyncQueue.objects.filter(next_retry__lt=sync_now() + timedelta(seconds=300)).update(reason="")
    states.dead("Dead")
    flying()
    finished(sync_now() - timedelta(hours=3), rows=4)
    found = card(browser, "Contacts")
    assert "Syncing" in found
    assert re.search(r"3 jobs pending .*1 job in progress .*1 job failed .*4 jobs done in the last 24 hours", found)
    assert "Pending: 1 due now, 1 until the next attempt, 1 for later. Why later: Monday answered 500." in found
    for name, minutes in (("Archived", 3), ("Archived too", 7)):
        states.waiting(name, f"“{name}” was archived on Monday {minutes} minutes ago. {'Nothing was changed. ' * 20}")
    # Each reason with its number, those that differ in names and numbers alone as one.
    told = card(browser, "Contacts")
    assert re.search(r"Why later \(2\): “Archived.*Why later \(1\): Monday answered 500\.", told)
    assert "Nothing was changed. " * 19 in row_of(listed(browser), "Archived too")
    assert re.search(r"Oldest due: for 1 minute\. Next attempt: in [12] minutes?\.", found)
    # A figure of nothing is none.
    assert not re.search(r"jobs? (pending|in progress|failed|done)", card(browser, "Organizations"))


def test_a_board_that_stands_still_says_why_and_holds_its_due_rows(browser: Client) -> None:
    states.boards()
    states.waiting("Due", seconds=-60)
    states.stop_board("contact")
    found = card(browser, "Contacts")
    assert "Stopped 1 job pending The board was archived. Next attempt at" in found
    assert "Pending: 1 because the board is stopped or paused." in found
    assert "Oldest due" not in found
    assert "Syncing" in card(browser, "Organizations")


def test_what_the_cards_call_due_is_what_the_api_calls_due(browser: Client) -> None:
    states.boards()
    for number in range(3):
        states.waiting(f"Due {number}", seconds=-60)
    states.candidate("7001", seconds=-60)
    assert SyncQueueService().get_queue_stats()["due"] == 4
    assert "Pending: 4 due now" in card(browser, "Contacts")
    pauses.pause("anna", entity_type="contact")
    assert SyncQueueService().get_queue_stats()["due"] == 0
    assert "Pending: 4 because the board is stopped or paused." in card(browser, "Contacts")


def test_what_a_set_up_or_an_import_made_is_counted_apart_from_peoples_edits(browser: Client) -> None:
    states.boards()
    now = sync_now()
    finished(now - timedelta(hours=2), rows=5)
    finished(now - timedelta(hours=2), rows=90, priority=choices.Priority.LOAD)
    finished(now - timedelta(hours=2), "organization", rows=40, priority=choices.Priority.LOAD)
    html = listed(browser)
    assert re.search(r"\b5 jobs done in the last 24 hours, and 90 for a set-up or an import\b", words_of(html))
    assert re.search(r"\b40 jobs of a set-up or an import\b", card(browser, "Organizations"))


# The list


def test_the_list_opens_with_the_rows_that_are_not_done(browser: Client, world: dict[str, Any]) -> None:
    SyncQueue.objects.create(entity_type="contact", entity_id=world["synced"].pk, status="completed")
    html = listed(browser)
    assert row_of(html, "Petra Keller")
    assert "Zoë Ångström" not in html
    ticked = re.findall(r'<input[^>]*name="status__exact"[^>]*value="(\w+)"[^>]* checked(?=[\s>])', html)
    assert sorted(ticked) == ["failed", "in_progress", "pending"]
    assert "npd-filter-button npd-button-main" not in html  # as a list that nobody has filtered
    assert "Zoë Ångström" in listed(browser, "status__exact=completed")


def test_the_queries_are_few_and_do_not_grow(browser: Client, world: dict[str, Any]) -> None:
    queries = partial(queries_of, lambda: listed(browser))
    listed(browser)
    few = queries()
    assert few <= 15
    for number in range(20):
        states.waiting(f"Waiting {number}", seconds=-10)
        states.candidate(f"80{number}", seconds=-10)
        states.dead(f"Dead {number}")
    assert queries() <= few


def test_the_count_stops_at_the_cap_and_says_so(
    browser: Client, world: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_pages, "MAX_COUNTED", 60)
    finished(sync_now(), rows=90)
    text = text_of(browser, "status__exact=completed")
    assert "More than 60 jobs (the first 60 are listed;" in text
    assert "Select all jobs: more than 60" in text
    everything = "&".join(f"status__exact={status}" for status in choices.QueueStatus.values)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sync_queue")
    total = SyncQueue.objects.count()
    assert f"About {total} jobs (the first 60 are listed;" in text_of(browser, everything)
    assert browser.get(f"{QUEUE}?status__exact=completed&p=3").status_code == 302


def test_a_due_row_says_what_holds_it_beside_its_last_error(browser: Client) -> None:
    states.boards()
    states.waiting("Held Row", "Monday answered 500.", seconds=-60)
    pauses.pause("anna", entity_type="contact", why="Clean-up")
    found = row_of(listed(browser), "Held Row")
    assert re.search(r"paused Monday answered 500\. Paused by anna since .* \(Clean-up\)", found)
