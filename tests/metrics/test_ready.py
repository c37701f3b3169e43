"""/readyz judges by the age of rows: it names the board that waits, and the known reason."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from config.celery import PoolWatch
from npd.models import Contact
from npd.sign_in import PROVIDER_IS_SILENT
from sync.clock import sync_now
from sync.limits import breaker, probes
from sync.limits.breaker import monday_account
from sync.models import BoardLease, BoardLink, CacheEntry, Intent, SyncQueue
from sync.outbox import pauses
from sync.queue import SyncQueueService
from tests.admin import states
from tests.metrics.test_page import board
from tests.support.clock import move_clock, reset_clock
from tests.support.words import said as any_message

pytestmark = pytest.mark.django_db


@pytest.fixture
def link() -> BoardLink:
    return board("contact")


def overdue(seconds: float = 400, **values: Any) -> SyncQueue:
    moment = sync_now() - timedelta(seconds=seconds)
    return SyncQueue.objects.create(
        **{"entity_type": "contact", "entity_id": uuid.uuid4(), "next_retry": moment, **values}
    )


def claimed(seconds: float) -> SyncQueue:
    moment = sync_now() - timedelta(seconds=seconds)
    return overdue(status="in_progress", last_attempt=moment, lease_token=uuid.uuid4())


def leased(link: BoardLink, seconds: float) -> None:
    until = sync_now() + timedelta(seconds=seconds)
    BoardLease.objects.update_or_create(link=link, defaults={"token": uuid.uuid4(), "expires": until})


def reasons(client: Client) -> list[str]:
    answer = client.get("/readyz")
    reasons: list[str] = answer.json()["reasons"]
    assert answer.status_code == (503 if reasons else 200)
    return [text for text in reasons if " board " in text]  # without a broker that is slow on a busy machine


def test_it_names_each_board_that_waits_too_long(client: Client, link: BoardLink, settings: Any) -> None:
    board("organization")
    overdue()
    assert len(reasons(client)) == 1
    overdue(entity_type="organization")
    texts = reasons(client)
    assert {("contact board" in text, "organization board" in text) for text in texts} == {(True, False), (False, True)}
    assert all("no worker has taken the board" in text for text in texts)
    settings.READY_MAX_DUE_SECONDS = 500
    assert reasons(client) == []


def test_a_worker_that_holds_a_board_too_long_is_the_reason(client: Client, link: BoardLink) -> None:
    overdue()
    claimed(seconds=350)
    leased(link, seconds=30)
    [reason] = reasons(client)
    assert "a worker holds the board" in reason


def test_what_a_dead_worker_left_is_overdue_though_no_row_waits(client: Client, link: BoardLink) -> None:
    claimed(seconds=500)
    leased(link, seconds=30)
    assert reasons(client) == []
    leased(link, seconds=-400)
    [reason] = reasons(client)
    assert "waited for 40" in reason


def test_nobody_has_to_work_a_board_that_stands_still_for_a_reason(client: Client, link: BoardLink) -> None:
    overdue()
    claimed(seconds=500)
    pauses.pause("mary", entity_type="contact")
    assert reasons(client) == []
    BoardLink.objects.update(pause=None)
    states.stop_account()
    assert reasons(client) == []


def test_a_row_is_young_again_when_its_board_could_not_be_worked_before(client: Client, link: BoardLink) -> None:
    overdue()
    states.stop_account(sync_now() - timedelta(seconds=5))
    assert reasons(client) == []


def test_jobs_that_waited_for_the_end_of_a_pause_are_young_again(client: Client, link: BoardLink) -> None:
    row = overdue()
    pauses.pause("mary", entity_type="contact")
    assert pauses.resume("mary", entity_type="contact")
    assert reasons(client) == []
    assert SyncQueue.objects.get(pk=row.pk).next_retry == row.next_retry, "what came due first goes first"


@pytest.mark.parametrize("trying", [probes.try_again, lambda: SyncQueueService().manual_retry(overdue().pk, "mary")])
def test_whoever_tries_again_doesn_t_hide_that_no_worker_takes_the_board(
    client: Client, link: BoardLink, django_capture_on_commit_callbacks: Any, trying: Callable[[], object]
) -> None:
    monday_account()
    overdue()
    with django_capture_on_commit_callbacks(execute=True):
        trying()
    [reason] = reasons(client)
    assert "no worker has taken the board" in reason


def test_jobs_that_waited_for_the_end_of_a_stop_are_young_again(client: Client, link: BoardLink) -> None:
    overdue()
    states.stop_account(sync_now() + timedelta(hours=1), needs_probe=True)
    breaker.end_stop(monday_account())
    assert reasons(client) == []


def test_a_create_without_an_answer_waits_while_its_column_is_gone(client: Client, link: BoardLink) -> None:
    entity_id = uuid.uuid4()
    overdue(direction="to_npd", entity_id=entity_id)
    Intent.objects.create(entity_type="contact", entity_id=entity_id, deadline=sync_now() - timedelta(seconds=300))
    assert len(reasons(client)) == 1
    BoardLink.objects.update(npd_id_problem=any_message("The column was deleted from the board."))
    assert reasons(client) == []
    overdue()
    assert len(reasons(client)) == 1


def every(number: int, period: str) -> dict[str, Any]:
    return {"interval": IntervalSchedule.objects.create(every=number, period=period)}


@pytest.mark.parametrize(
    ("change", "is_named"),
    [
        (lambda row: row.delete(), True),
        (lambda row: row.update(enabled=False), True),
        (lambda row: row.update(start_time=sync_now() + timedelta(days=1)), True),
        (lambda row: row.update(**every(1, "days")), True),
        (lambda row: row.update(interval=None, crontab=CrontabSchedule.objects.create(minute="0", hour="5")), True),
        (lambda row: row.update(**every(1, "minutes"), start_time=sync_now()), False),
        (lambda row: row.update(interval=None, crontab=CrontabSchedule.objects.create()), False),  # each minute
    ],
)
def test_a_schedule_that_starts_no_due_jobs_is_named(
    client: Client, change: Callable[[Any], object], is_named: bool
) -> None:
    change(PeriodicTask.objects.filter(task="sync.sweep"))
    assert bool(said(client, "Start due jobs")) is is_named


def test_clocks_that_ran_ahead_are_named_as_long_as_it_matters(client: Client, link: BoardLink) -> None:
    move_clock(timedelta(hours=3))
    assert "2 hours" in said(client, "This machine's clock") or "3 hours" in said(client, "This machine's clock")
    Contact.objects.create(name="Ann")
    reset_clock()
    assert said(client, "PostgreSQL's clock ran ahead")
    SyncQueue.objects.all().delete()
    for number in range(10):
        client.post("/accounts/login/", {"login": f"name{number}", "password": "wrong"})
    assert not said(client, "clock")
    for limit in (":login_failed:", ":login:"):
        limits = CacheEntry.objects.filter(cache_key__contains=limit)
        assert limits.update(expires=sync_now() + timedelta(hours=3))
        assert said(client, "web process's clock")
        limits.delete()
    assert not said(client, "clock")
    cache.set(PROVIDER_IS_SILENT, True, 10_800)
    assert said(client, "web process's clock")
    cache.clear()
    assert not said(client, "clock")


def said(client: Client, words: str) -> str:
    return " ".join(text for text in client.get("/readyz").json()["reasons"] if words in text)


def test_a_pool_that_takes_nothing_for_two_minutes_while_jobs_are_due_is_stuck(link: BoardLink) -> None:
    watch = PoolWatch()
    assert not watch.observe(begun=5, running=0, waiting=3, now=10)
    assert not watch.observe(begun=5, running=0, waiting=3, now=200), "nothing is due"
    overdue(seconds=130)
    assert not watch.observe(begun=5, running=1, waiting=3, now=200), "a long task is running"
    assert not watch.observe(begun=5, running=0, waiting=3, now=319)
    assert watch.observe(begun=5, running=0, waiting=3, now=320)
    assert not watch.observe(begun=5, running=0, waiting=0, now=320), "nobody sent it anything"
    assert not watch.observe(begun=6, running=0, waiting=3, now=330), "it took one"


def test_a_load_that_takes_long_is_ready_as_long_as_its_jobs_move(client: Client, link: BoardLink) -> None:
    overdue(seconds=4_000)
    job = overdue(seconds=200, status="completed", finished_at=sync_now() - timedelta(seconds=100))
    assert reasons(client) == []
    SyncQueue.objects.filter(pk=job.pk).update(finished_at=sync_now() - timedelta(seconds=130))
    assert len(reasons(client)) == 1
