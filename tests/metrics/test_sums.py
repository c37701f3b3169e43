"""What only grows: counted once for what happened once, by whatever process, and never less than before."""

import json
from datetime import timedelta
from typing import Any

import pytest
import responses
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from npd.models import Contact
from sync.choices import QueueDirection
from sync.clock import sync_now
from sync.kernel import counters
from sync.kernel.counters import (
    API_POINTS,
    LATENCY,
    LATENCY_BOUNDS,
    PASSES,
    Increment,
    Latency,
    increment,
    latency_step,
    observe_latency,
)
from sync.models import ApiUsage, BoardLease, LatencyHour, SyncQueue
from sync.operations.retention import prune
from sync.outbox.claim import Lease
from sync.queue import SyncQueueService
from tests.admin import states
from tests.inbox.conftest import BARE, BOARD, WITH_TOKEN, body
from tests.metrics.conftest import Figures, scrape
from tests.metrics.test_page import board
from tests.support.waiting import at_once
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)

CONTACT = {"board": "contact"}
UP = {"board": "contact", "direction": "to_monday"}
DOWN = {"board": "contact", "direction": "to_npd"}


def reached(figures: Figures, labels: dict[str, str]) -> float | None:
    """The smallest bound below which a change was, or None where none was counted."""
    buckets = [s for s in figures.samples if s.name == "npd_sync_latency_seconds_bucket" and s.value]
    return min((float(s.labels["le"]) for s in buckets if labels.items() <= s.labels.items()), default=None)


def test_a_look_is_counted_with_its_records_calls_and_points_and_asks_of_all_together_when_they_were_saved(
    world: World,
) -> None:
    for number in range(5):
        world.contact(f"Person {number}")
    with CaptureQueriesContext(connection) as asked:
        world.work()
    figures = scrape()
    assert figures.value("looks_total", **CONTACT) == 1
    assert figures.by("outcome", "looked_at_records_total", **CONTACT) == {"completed": 5}
    assert figures.by("kind", "api_calls_total", **CONTACT) == {"read": 1, "write": 1}
    assert (figures.value("api_points_total", **CONTACT) or 0) > 0
    assert figures.value("latency_seconds_count", **UP) == 5
    one_by_one = [query["sql"] for query in asked if 'FROM "sync_queue" WHERE "sync_queue"."id" = ' in query["sql"]]
    assert one_by_one == []


def test_a_look_that_only_meets_an_item_is_counted_too(world: World) -> None:
    world.sandbox.act("add", board_id=world.board_id(), name="Zoe", column_values={})
    world.hear(seconds=11)
    assert scrape().by("outcome", "looked_at_records_total", **CONTACT) == {"waiting": 1}
    assert scrape().value("looks_total", **CONTACT) == 1


def test_sums_stand_when_what_they_count_is_forgotten() -> None:
    states.boards()
    old = sync_now() - timedelta(days=400)
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.filter(entity_id=contact.pk).update(status="completed", finished_at=old, created_at=old)
    increment([Increment(PASSES, "contact"), Increment(API_POINTS, "contact", value=7)])
    before = scrape()
    prune()
    ApiUsage.objects.all().delete()
    assert not SyncQueue.objects.filter(status="completed").exists()
    after = scrape()
    for name in ("looks_total", "api_points_total"):
        assert after.value(name, **CONTACT) == before.value(name, **CONTACT) != 0


def test_a_save_is_on_its_way_until_the_look_that_sends_it(world: World) -> None:
    world.contact("Ann")
    world.work(seconds=20)
    figures = scrape()
    assert figures.value("latency_seconds_count", **UP) == 1
    assert 30 <= (reached(figures, UP) or 0) <= 60  # a busy machine adds to it
    hour = LatencyHour.objects.get()
    assert (hour.direction, hour.changes) == ("to_monday", 1)
    assert latency_step(20.0) <= hour.bucket <= latency_step(60.0)
    assert 20 <= (figures.value("latency_seconds_sum", **UP) or 0) < 60


def test_an_edit_on_the_board_is_on_its_way_from_its_webhook_on(world: World) -> None:
    contact = world.linked("Ann")
    assert scrape().value("latency_seconds_count", **DOWN) == 0
    world.edit(contact, "name", "Anna")
    world.hear(seconds=4)
    figures = scrape()
    contact.refresh_from_db()
    assert contact.name == "Anna"
    assert figures.value("latency_seconds_count", **DOWN) == 1
    assert 5 <= (reached(figures, DOWN) or 0) <= 60  # a busy machine adds to it


def test_failures_that_count_are_counted_and_the_fifth_as_a_dead_letter(world: World) -> None:
    world.contact("Ann")
    world.sandbox.faults({"status": 400, "on": "mutation", "count": 20})
    for _ in range(5):
        world.work()
        world.pass_time(hours=2)
    figures = scrape()
    assert figures.value("failed_attempts_total", **CONTACT) == 5
    assert figures.value("dead_letters_total", **CONTACT) == 1
    assert figures.by("state", "queue_rows", **CONTACT) == {"failed": 1}
    assert figures.value("looked_at_records_total", outcome="failed", **CONTACT) == 5


@responses.activate
def test_a_refusal_for_a_limit_is_counted_and_is_no_failure(settings: Any) -> None:
    states.boards()
    Contact.objects.create(name="Ann")
    responses.post(settings.MONDAY_API_URL, status=429, headers={"Retry-After": "40"})
    SyncQueueService().process("contact")
    figures = scrape()
    assert figures.value("api_rejections_total", **CONTACT) == 1
    assert figures.value("failed_attempts_total", **CONTACT) == 0


def test_a_look_that_lost_its_board_counts_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.contact("Ann")

    def taken(self: Lease, seconds: float = 60) -> None:
        BoardLease.objects.filter(link=self.link).update(token=None)

    monkeypatch.setattr(Lease, "renew", taken)
    world.work()
    assert scrape().value("looks_total", **CONTACT) == 0


def test_processes_that_count_at_once_lose_nothing() -> None:
    def many() -> None:
        for _ in range(20):
            increment([Increment(PASSES, "organization"), Increment(PASSES, "contact", value=2)])

    at_once(*[many] * 4)
    figures = scrape()
    assert figures.by("board", "looks_total") == {"organization": 80, "contact": 160}


def test_buckets_are_cumulative_as_prometheus_wants_them() -> None:
    observe_latency("contact", [Latency(QueueDirection.TO_MONDAY, s) for s in (-0.01, 0.1, 0.11, 3600.0, 9_000)])
    found = [
        s.value
        for s in scrape().samples
        if s.name == f"npd_sync_{LATENCY.name}_bucket" and UP.items() <= s.labels.items()
    ]
    assert found == sorted(found)
    # A bound is within its bucket, as Prometheus means it.
    assert (found[:2], found[-2:], len(found)) == ([2, 3], [4, 5], len(LATENCY_BOUNDS) + 1)
    assert scrape().value("latency_seconds_sum", **UP) == pytest.approx(12_600.21)


def results() -> dict[str, float]:
    return scrape().by("result", "webhooks_total")


def deliver(client: Client, path: str, **event: Any) -> int:
    content = json.dumps(body(**{"triggerUuid": "a" * 32, **event}))
    return client.post(path, content, content_type="application/json").status_code


def test_deliveries_are_counted_by_what_became_of_them(client: Client) -> None:
    board("contact", board_id=BOARD)
    assert results() == {}
    assert deliver(client, WITH_TOKEN) == 200
    assert deliver(client, WITH_TOKEN) == 200
    assert deliver(client, WITH_TOKEN, boardId=12, triggerUuid="b" * 32) == 200
    assert deliver(client, BARE) == 401
    assert deliver(client, "/webhooks/monday/wrong/") == 401
    client.post(WITH_TOKEN, b"x" * 1_000_001, content_type="application/json")
    assert results() == {"stored": 1, "duplicate": 1, "ignored": 1, "refused": 3}


def test_deliveries_are_stored_by_the_door_itself_once_a_second(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    board("contact", board_id=BOARD)
    monkeypatch.setattr(counters, "INTERVAL_SECONDS", 0.0)
    deliver(client, WITH_TOKEN)
    counters._webhook_counts.clear()  # the process is killed
    assert results() == {"stored": 1}
    monkeypatch.setattr(counters, "INTERVAL_SECONDS", 3600.0)
    deliver(client, WITH_TOKEN)
    counters._webhook_counts.clear()
    assert results() == {"stored": 1}


def test_what_the_database_does_not_take_now_is_counted_later(client: Client) -> None:
    counters.count_webhook(counters.REFUSED)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sync_metric_counts RENAME TO away")
    try:
        counters.flush_webhook_counts()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO sync_metric_counts")
    assert results() == {"refused": 1}
