"""Retry, cancel and discard on the queue's screen: one row, ticked rows, all that match; and who may."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from sync.clock import sync_now
from sync.models import SyncQueue
from sync.outbox import pauses
from tests.admin import states
from tests.admin.queue_pages import (
    FAILED,
    PAUSE,
    QUEUE,
    act_on_all,
    confirmed,
    finished,
    flying,
    listed,
    statuses,
    tick,
)
from tests.admin.test_records import words_of
from tests.support.people import staff_who_may


@pytest.fixture
def three_dead(world: dict[str, Any]) -> list[SyncQueue]:
    """The world's dead letter and two more."""
    states.dead("Quentin")
    states.dead("Rosa")
    return list(SyncQueue.objects.filter(status="failed").order_by("id"))


BUTTONS = {"pending": ["retry", "cancel"], "in_progress": [], "failed": ["retry", "discard"], "completed": []}


def test_a_rows_page_offers_what_fits_it_and_nothing_in_flight(browser: Client, world: dict[str, Any]) -> None:
    for status, buttons in BUTTONS.items():
        row = SyncQueue.objects.create(
            entity_type="contact", entity_id=world["disabled"].pk, status=status, direction="to_npd"
        )
        html = browser.get(f"{QUEUE}{row.pk}/change/").content.decode()
        assert re.findall(r'name="action" value="(\w+)"', html) == buttons, status


def test_ticked_rows_are_retried_and_those_in_flight_or_done_are_left(
    browser: Client, three_dead: list[SyncQueue]
) -> None:
    in_flight = flying()
    done = SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status="completed")
    said = tick(browser, "retry", [*three_dead, in_flight, done])
    assert "3 jobs will be tried again now." in said
    assert "1 job is in progress right now and was left alone." in said
    assert "1 job is done already and was left alone." in said
    in_flight.refresh_from_db()
    assert in_flight.status == "in_progress"
    assert {row.entity_id for row in three_dead} <= set(
        SyncQueue.objects.filter(status="pending", attempts=0).values_list("entity_id", flat=True)
    )


def test_a_retry_while_all_is_paused_says_what_the_jobs_wait_for(browser: Client, three_dead: list[SyncQueue]) -> None:
    pauses.pause("eve")
    said = tick(browser, "retry", three_dead)
    assert ("again now" in said, "They wait: Paused by eve" in said) == (False, True)


def test_discard_asks_first_and_then_ends_dead_letters_alone(
    browser: Client, three_dead: list[SyncQueue], world: dict[str, Any]
) -> None:
    waiting = SyncQueue.objects.get(entity_id=world["waiting"].pk)
    rows = [*three_dead, waiting]
    asked = tick(browser, "discard", rows)
    assert "Discard 3 jobs? | Queue | NPD Sync" in asked
    assert "1 job has not failed and is left alone." in asked
    assert SyncQueue.objects.filter(status="failed").count() == 3
    said = tick(browser, "discard", rows, confirmed="yes")
    assert "3 jobs discarded. 1 job has not failed and was left alone." in said
    assert not SyncQueue.objects.filter(status="failed").exists()
    assert SyncQueue.objects.filter(error_message="discarded by dora").count() == 3
    waiting.refresh_from_db()
    assert waiting.status == "pending"


def test_all_that_match_are_retried_after_their_number_was_confirmed(
    browser: Client, three_dead: list[SyncQueue], world: dict[str, Any]
) -> None:
    in_flight = flying()
    finished(sync_now())
    query = "entity_type=contact&status__exact=failed&status__exact=in_progress"
    page = act_on_all(browser, "retry", query).content.decode()
    assert "Retry 3 jobs?" in words_of(page)
    assert "1 job is in progress right now and is left alone." in words_of(page)
    assert statuses()["failed"] == 3
    answer = act_on_all(browser, "retry", query, confirmed="yes", expect=confirmed(page))
    assert answer.headers["Location"] == f"{QUEUE}?{query}"
    assert not SyncQueue.objects.filter(status="failed").exists()
    in_flight.refresh_from_db()
    assert in_flight.status == "in_progress"
    assert LogEntry.objects.latest("id").change_message == "Retry: 3 jobs."


@pytest.mark.parametrize(
    ("act", "query", "becomes"),
    [
        ("cancel", "status__exact=pending&q=number", "cancelled by dora"),
        ("discard", f"{FAILED}&q=number", "discarded by dora"),
    ],
)
def test_all_that_match_the_search_are_ended_and_no_others(
    browser: Client, world: dict[str, Any], act: str, query: str, becomes: str
) -> None:
    for number in range(3):
        states.waiting(f"Waiting number {number}")
        states.dead(f"Dead number {number}")
    page = act_on_all(browser, act, query).content.decode()
    act_on_all(browser, act, query, confirmed="yes", expect=confirmed(page))
    assert SyncQueue.objects.filter(error_message=becomes).count() == 3
    assert SyncQueue.objects.filter(entity_id=world["waiting"].pk, status="pending").exists()
    assert SyncQueue.objects.filter(entity_id=world["dead"].pk, status="failed").exists()


def test_when_the_number_has_changed_nothing_is_done_and_the_new_one_is_said(
    browser: Client, three_dead: list[SyncQueue]
) -> None:
    page = act_on_all(browser, "discard", FAILED).content.decode()
    states.dead("Sam")
    answer = act_on_all(browser, "discard", FAILED, confirmed="yes", expect=confirmed(page))
    assert answer.status_code == 409
    assert "4 match now, not 3. Nothing was done." in words_of(answer.content.decode())
    assert statuses()["failed"] == 4
    expect = confirmed(answer.content.decode())
    act_on_all(browser, "discard", FAILED, confirmed="yes", expect=expect)
    assert "failed" not in statuses()


def test_without_a_number_of_rows_nothing_is_done(browser: Client, three_dead: list[SyncQueue]) -> None:
    for expect in ("", "many", "-1", "9" * 30):
        answer = act_on_all(browser, "discard", FAILED, confirmed="yes", expect=expect)
        assert answer.status_code == 409
        assert "match now, and no number was confirmed. Nothing was done." in words_of(answer.content.decode())
    assert statuses()["failed"] == 3


@pytest.mark.parametrize("acts", [[], ["retry"], ["discard"]])
def test_each_act_is_offered_to_who_may_do_it(client: Client, three_dead: list[SyncQueue], acts: list[str]) -> None:
    client.force_login(staff_who_may("view_syncqueue", *(f"{act}_syncqueue" for act in acts)))
    html = client.get(f"{QUEUE}{three_dead[0].pk}/change/").content.decode()
    assert re.findall(r'name="action" value="(\w+)"', html) == acts
    html = listed(client, FAILED)
    assert re.findall(r'name="action" value="(retry|cancel|discard)"', html) == acts
    assert f'action="{PAUSE}"' not in html
    for act in ("retry", "cancel", "discard"):
        answer = act_on_all(client, act, FAILED, confirmed="yes", expect="2")
        assert (answer.status_code == 409) is (act in acts)
    assert statuses()["failed"] == 3
