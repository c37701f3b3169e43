"""Jobs: their list; retry, cancel and discard of ticked or all matching ones, and who may; and pauses."""

import html
import re
import uuid
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from sync.clock import sync_now
from sync.models import ActivityLine, BoardLink, SyncQueue, Tombstone
from sync.outbox import pauses
from sync.records.tombstones import restore_by_person
from sync.state import record_view
from sync.words.message import Message
from tests.admin import states
from tests.admin.forms import answer_to_question
from tests.admin.test_records import row_of, words_of
from tests.support.clock import move_clock, reset_clock
from tests.support.people import signed_in, staff_who_may
from tests.support.words import said

QUEUE = "/admin/sync/syncqueue/"
PAUSE, RESUME = f"{QUEUE}pause/", f"{QUEUE}resume/"


def tick(client: Client, act: str, rows: list[SyncQueue], **more: str) -> str:
    data = {"action": act, "_selected_action": [str(row.pk) for row in rows], **more}
    return words_of(client.post(QUEUE, data, follow=True).content.decode())


@pytest.fixture
def three_dead(world: dict[str, Any]) -> list[SyncQueue]:
    states.dead("Quentin")
    states.dead("Rosa")
    return list(SyncQueue.objects.filter(status="failed").order_by("id"))


def test_ticked_jobs_are_retried_unless_in_flight_or_done(browser: Client, three_dead: list[SyncQueue]) -> None:
    in_flight = states.flying()
    completed = SyncQueue.objects.create(entity_type="contact", entity_id=uuid.uuid4(), status="completed")
    text = tick(browser, "retry", [*three_dead, in_flight, completed])
    assert "Trying again: 3 jobs." in text
    assert "1 job left alone: in progress right now." in text
    assert "1 job left alone: done already." in text
    in_flight.refresh_from_db()
    assert in_flight.status == "in_progress"
    assert {row.entity_id for row in three_dead} <= set(
        SyncQueue.objects.filter(status="pending", attempts=0).values_list("entity_id", flat=True)
    )
    activity = words_of(browser.get("/admin/sync/activityline/").content.decode())
    assert "Retried. … and 2 more records" in activity


def test_a_reason_that_many_jobs_have_is_said_once(browser: Client, db: None) -> None:
    for name in ("Ann", "Bob", "Cleo"):
        states.dead(name, "Monday answered 500.")
    text = words_of(browser.get(QUEUE).content.decode())
    assert (text.count("Monday answered 500."), text.count("As above")) == (1, 2)


def test_a_done_job_of_a_deletion_says_what_has_become_of_it(browser: Client, world: dict[str, Any]) -> None:
    key = world["synced"].pk
    world["synced"].delete()
    job = SyncQueue.objects.filter(entity_id=key, operation="delete")
    job.update(status="completed", error_message="Its item waits for approval.")
    restore_by_person(Tombstone.objects.get(entity_id=key), "ada")
    pages = [words_of(browser.get(f"{QUEUE}{path}").content.decode()) for path in ("", f"{job.get().pk}/change/")]
    assert [("waits for approval" in page, "Restored by ada." in page) for page in pages] == [(False, True)] * 2


def test_discard_asks_and_ends_only_failed(browser: Client, three_dead: list[SyncQueue], world: dict[str, Any]) -> None:
    waiting = SyncQueue.objects.get(entity_id=world["waiting"].pk)
    rows = [*three_dead, waiting]
    question = tick(browser, "discard", rows)
    assert "Discard 3 jobs? | Jobs | NPD Sync" in question
    assert SyncQueue.objects.filter(status="failed").count() == 3
    text = tick(browser, "discard", rows, confirmed="yes")
    assert "Discarded: 3 jobs." in text
    assert not SyncQueue.objects.filter(status="failed").exists()
    assert SyncQueue.objects.filter(error_message=Message("discarded_by", by="dora")).count() == 3
    waiting.refresh_from_db()
    assert waiting.status == "pending"


def test_only_the_chosen_action_is_done_where_a_form_names_several(three_dead: list[SyncQueue]) -> None:
    retrier = signed_in(staff_who_may("view_syncqueue", "retry_syncqueue"))
    form = {"action": ["retry", "discard"], "index": "0", "_selected_action": three_dead[0].pk, "confirmed": "yes"}
    assert "Trying again: 1 job." in words_of(retrier.post(QUEUE, form, follow=True).content.decode())
    assert not SyncQueue.objects.filter(error_message__contains="discarded_by").exists()


def test_a_jobs_page_has_what_can_be_done(browser: Client, three_dead: list[SyncQueue]) -> None:
    dead = three_dead[-1]
    trace = "[Monday request 4f-1]"
    SyncQueue.objects.filter(pk=dead.pk).update(error_message=said(f"Monday refused the item. {trace}"))
    assert trace not in browser.get(QUEUE).content.decode()
    address = f"{QUEUE}{dead.pk}/change/"
    page = browser.get(address).content.decode()
    assert re.findall(r'name="action"\s+value="(\w+)"', page) == ["retry", "discard"]
    assert f"/admin/npd/contact/{dead.entity_id}/change/" in page
    assert trace in page
    assert "Trying again: 1 job." in tick(browser, "retry", [dead])
    page_after = browser.get(address).content.decode()
    assert 'name="action"' not in page_after, "nothing can be done with a job that is done"


def test_all_that_match_are_ended(browser: Client, world: dict[str, Any]) -> None:
    for number in range(3):
        states.waiting(f"Waiting number {number}")
    address = f"{QUEUE}?status__exact=pending&q=number"
    page = browser.post(address, {"action": "cancel", "select_across": "1", "_selected_action": "0"})
    browser.post(address, answer_to_question(page.content.decode()))
    assert SyncQueue.objects.filter(error_message=Message("cancelled_by", by="dora")).count() == 3
    assert SyncQueue.objects.filter(entity_id=world["waiting"].pk, status="pending").exists()


# The list


def test_a_row_says_when_its_next_attempt_comes_as_home_and_the_records_page_say_it(browser: Client) -> None:
    states.boards()
    held = states.waiting("Held Row", "Monday answered 500.", seconds=-60)
    SyncQueue.objects.update(attempts=2, reason="")
    gone = states.removed("Gone Row", "51")
    states.mark(gone, "pending", "51")
    SyncQueue.objects.create(**states.ids_of(gone), next_retry=sync_now() + timedelta(seconds=2))

    def expect(attempt: str, *, on_record: bool = True) -> None:
        assert f"{attempt} Monday answered 500." in row_of(browser.get(QUEUE).content.decode(), "Held Row")
        assert f"Next attempt {attempt}" in words_of(browser.get("/admin/").content.decode())
        assert (record_view.view_of(held).next_try_words == attempt) == on_record

    expect("as soon as a worker is free")
    assert re.search("in (9|10) minutes", row_of(browser.get(QUEUE).content.decode(), "Gone Row")), "as Home says"
    states.stop_board("contact", until=sync_now() + timedelta(minutes=30, seconds=25))  # rounded: pages take a while
    expect("in 30 minutes", on_record=False)  # the banner says it
    pauses.pause("anna")
    expect("once the pause ends", on_record=False)


# Pauses


@pytest.mark.parametrize(("entity_type", "label"), [("", "All boards"), ("contact", "Contacts")])
def test_a_pause_says_who_since_when_and_why(browser: Client, entity_type: str, label: str) -> None:
    states.boards()
    form = {"entity_type": entity_type, "confirmed": "yes"}
    address = f"{PAUSE}?entity_type={entity_type}"
    text = words_of(browser.post(address, form | {"why": "Moving\r\nthe board"}, follow=True).content.decode())
    headline = f"{label}: paused by dora" if entity_type else "Paused by dora"
    assert headline in text
    assert [(pause.why, pause.until) for pause in pauses.active_pauses()] == [("Moving the board", None)]
    page = words_of(browser.get(QUEUE).content.decode())
    assert re.search(rf"{headline} *, since \d+ \w+ \d+, \d\d:\d\d UTC *\. Moving the board Resume", page)
    again = words_of(browser.post(address, form, follow=True).content.decode())
    assert "already paused." in again
    assert f"{label}: resumed." in words_of(browser.post(RESUME, form, follow=True).content.decode())
    assert not pauses.active_pauses()
    assert not LogEntry.objects.exists(), "the activity says it"
    told = ActivityLine.objects.order_by("id").values_list("kind", "entity_type", "actor", "sentence")
    assert list(told) == [
        ("pause", entity_type, "dora", f"Paused: {label}. Moving the board"),
        ("pause", entity_type, "dora", f"Resumed: {label}."),
    ]


def test_a_pause_can_end_by_itself(browser: Client) -> None:
    states.boards()
    asked = words_of(browser.get(PAUSE).content.decode())
    assert re.search(r"For 4 hours, until .*\d\d:\d\d UTC\.", asked)
    form = {"confirmed": "yes", "hours": "4", "why": "Move"}
    text = words_of(browser.post(PAUSE, form, follow=True).content.decode())
    assert re.search(r"Paused by dora until .*\d\d:\d\d UTC ?, since ", text)
    for hours, is_paused in ((3, True), (4, False)):
        try:
            move_clock(timedelta(hours=hours, minutes=1))
            pauses.resume_ended()
        finally:
            reset_clock()
        assert bool(pauses.active_pauses()) is is_paused
    assert ActivityLine.objects.latest("id").sentence == "Resumed: All boards."


@pytest.mark.parametrize("hours", ["until", ""])
def test_a_pause_ends_at_a_time_of_the_readers_clock(browser: Client, hours: str) -> None:
    states.boards()
    browser.cookies["npd_zone"] = "Asia/Tokyo"
    assert 'type="datetime-local"' in browser.get(PAUSE).content.decode()
    end = (sync_now() + timedelta(days=1)).astimezone(ZoneInfo("Asia/Tokyo")).replace(hour=14, minute=0, second=0)
    sent = {"confirmed": "yes", "hours": hours, "until": f"{end:%Y-%m-%dT%H:%M}", "why": "Move"}
    text = words_of(browser.post(f"{PAUSE}?entity_type=contact", sent, follow=True).content.decode())
    assert re.search(r"Contacts: paused by dora until \d+ \w+ \d+, 14:00 JST ?, since ", text)
    assert re.search(r"Contacts paused until \d+ \w+ \d+, 14:00 JST; all else is well", text)
    assert [pause.until for pause in pauses.active_pauses()] == [end.replace(microsecond=0)]


@pytest.mark.parametrize(
    ("until", "why"),
    [
        ("2020-01-01T14:00", "is over already"),
        ("9999-12-31T23:59", "within a year"),  # which some time zones cannot show
        ("", "Enter a time."),
        ("at two", "Enter a time."),
        ("2027-03-28T02:30", "it is skipped, or comes twice"),
    ],
)
def test_an_end_that_is_over_or_missing_is_refused_and_what_was_typed_stays(
    browser: Client, until: str, why: str
) -> None:
    states.boards()
    browser.cookies["npd_zone"] = "Europe/Berlin"
    answer = browser.post(PAUSE, {"confirmed": "yes", "hours": "until", "until": until, "why": "Big move"})
    html = answer.content.decode()
    assert answer.status_code == 400
    assert why in words_of(html)
    assert 'value="Big move"' in html
    assert re.search(r'value="until"\s+required\s+checked', html)
    assert not pauses.active_pauses()


def test_a_link_pauses_and_resumes_nothing(browser: Client) -> None:
    codes = [browser.get(url).status_code for url in (PAUSE, f"{PAUSE}?entity_type=contact", RESUME)]
    assert codes == [200, 200, 405]  # pausing asks first
    assert browser.post(RESUME, {"entity_type": "x"}, follow=True).status_code == 200
    assert not pauses.active_pauses()


def test_health_and_a_board_lead_to_the_form_that_pauses_and_back(browser: Client) -> None:
    states.boards()
    board = f"/admin/sync/boardlink/{BoardLink.objects.get(entity_type='contact').pk}/change/"
    for page, entity_type in (("/admin/", ""), (board, "contact")):
        [address] = re.findall(rf'href="({PAUSE}[^"]*)"', browser.get(page).content.decode())
        sent = {"confirmed": "yes", "why": ""}
        assert browser.post(html.unescape(address), sent).headers["Location"] == page
        assert [pause.entity_type for pause in pauses.active_pauses()] == [entity_type]
        pauses.resume("dora", entity_type=entity_type)
