"""The metrics page: its form, its cost, and what it never reveals. Its secret: tests/api/test_doors.py."""

import re
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import ApiQuota, BoardLink, SyncMetadata, SyncQueue
from sync.outbox import pauses
from sync.queue import SyncQueueService
from sync.registry import entities
from tests.admin.states import stop_board
from tests.metrics.conftest import bearer, scrape
from tests.support.clock import move_clock
from tests.support.rows import count_queries
from tests.support.words import said
from tests.support.world import World

pytestmark = pytest.mark.django_db

MAX_QUERIES = 15


def board(entity_type: str, **values: Any) -> BoardLink:
    defaults = {"board_id": f"1-{entity_type}", "npd_id_column": "npd_id", "match_key": "name"}
    return BoardLink.objects.create(entity_type=entity_type, **defaults | values)


def everything_is_tight() -> None:
    """Every limit is known, the day is nearly over, and two boards want more than this minute allows."""
    now = sync_now()
    for minutes, spec in enumerate(entities(), start=1):
        entity_type = spec.entity_type
        board(entity_type, last_pass_at=now - timedelta(minutes=minutes), verified_at=now)
        SyncMetadata.objects.create(
            entity_type=entity_type, entity_id=str(uuid.uuid4()), sync_status="completed", last_sync_attempt=now
        )
        for number in range(3):
            SyncQueue.objects.create(
                entity_type=entity_type, entity_id=uuid.uuid4(), next_retry=now - timedelta(minutes=number)
            )
    ApiQuota.objects.create(
        id=1, day_limit=1000, points_limit=100_000, day=now.date(),
        day_calls=500, points=60_000, points_end=now + timedelta(seconds=50),
    )  # fmt: skip


def test_it_is_text_whatever_the_scraper_accepts(client: Client) -> None:
    answer = client.get("/metrics", headers=bearer(Accept="application/openmetrics-text;version=1.0.0"))
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_a_scrape_is_no_more_queries_with_more_rows_and_two_with_another_board() -> None:
    everything_is_tight()
    BoardLink.objects.filter(entity_type="organization").delete()
    one_board = count_queries(scrape)
    board("organization", last_pass_at=sync_now())
    two_boards = count_queries(scrape)
    # Two more: the jobs due there, and whether another board has waited longer.
    assert two_boards <= min(one_board + 2, MAX_QUERIES)
    SyncQueue.objects.bulk_create(SyncQueue(entity_type="organization", entity_id=uuid.uuid4()) for _ in range(50))
    assert count_queries(scrape) <= two_boards


def test_no_label_holds_what_people_wrote() -> None:
    everything_is_tight()
    contact = Contact.objects.create(name="Ada", email="ada@example.test")
    pauses.pause("mallory@example.test", why="the secret merger")
    failed = {"status": "failed", "error_message": "Monday refused “ada@example.test”"}
    SyncQueue.objects.create(entity_type="contact", entity_id=contact.pk, **failed)
    text = scrape().text
    for word in ("mallory", "merger", "Ada", "ada@", "refused “", str(contact.pk)):
        assert word not in text


CONTACT = {"board": "contact"}


@pytest.fixture
def noon(db: None) -> None:
    """Set the clock to 12:00 UTC tomorrow, as pacing differs near a day's end; the rollback resets it."""
    now = sync_now()
    wait = (now + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0) - now
    move_clock(wait)


@pytest.fixture
def link(noon: None) -> BoardLink:
    return board("contact", board_id="4711")


def row(**values: Any) -> SyncQueue:
    return SyncQueue.objects.create(**{"entity_type": "contact", "entity_id": uuid.uuid4(), **values})


def test_jobs_are_counted_by_status(link: BoardLink) -> None:
    for attempts in (0, 0, 3):
        row(attempts=attempts)
    row(status="in_progress", last_attempt=sync_now() - timedelta(seconds=40), lease_token=uuid.uuid4())
    row(status="failed", attempts=5)
    row(status="completed")
    figures = scrape()
    assert figures.by("status", "jobs", **CONTACT) == {"pending": 3, "in_progress": 1, "failed": 1}
    assert 40 <= (figures.value("oldest_claim_seconds", **CONTACT) or 0) < 60


def changes_are_gathered(link: BoardLink) -> None:
    now = sync_now()
    BoardLink.objects.update(last_pass_at=now)
    ApiQuota.objects.create(id=1, day_limit=1000, day=now.date(), day_calls=900)


STATES: dict[str, tuple[Callable[[BoardLink], Any], str]] = {
    "the board can be worked": (lambda link: None, ""),
    "the board is blocked": (lambda link: stop_board("contact", sync_now() + timedelta(minutes=3)), "blocked"),
    "everything is paused": (lambda link: pauses.pause("mary"), "paused"),
    "another is paused": (lambda link: (board("organization"), pauses.pause("mary", entity_type="organization")), ""),
    "changes are gathered": (changes_are_gathered, "batching"),
}


@pytest.mark.parametrize("state", STATES)
def test_due_means_the_same_as_in_the_statistics_and_a_standstill_says_its_kind(link: BoardLink, state: str) -> None:
    make, kind = STATES[state]
    row(next_retry=sync_now() - timedelta(seconds=90))
    row(next_retry=sync_now() - timedelta(seconds=20), direction="to_npd")
    make(link)
    figures, stats = scrape(), SyncQueueService().get_queue_stats()
    assert sum(figures.by("board", "jobs_due").values()) == stats["due"]
    oldest = max(figures.by("board", "oldest_due_seconds").values(), default=0.0)
    assert oldest == pytest.approx(stats["oldest_due_seconds"], abs=2)
    assert figures.by("reason", "board_waits", **CONTACT) == ({kind: 1} if kind else {})


def test_passes_sweeps_and_comparisons_tell_when_they_last_were_and_what_they_found(link: BoardLink) -> None:
    before = scrape()
    assert before.value("last_pass_timestamp_seconds", **CONTACT) is None
    assert before.value("records_different", **CONTACT) is None
    now = sync_now()
    done = {"last_pass_at": now, "swept_at": now, "verified_at": now}
    BoardLink.objects.update(**done, verified_records=50, differed_records=1, silence=said("No webhook since Tuesday."))
    figures = scrape()
    for name in ("pass", "sweep", "comparison"):
        assert figures.value(f"last_{name}_timestamp_seconds", **CONTACT) == pytest.approx(now.timestamp())
    assert figures.value("webhooks_silent", **CONTACT) == 1
    assert figures.value("records_different", **CONTACT) == 1


def test_the_quota_is_told_as_far_as_it_is_known() -> None:
    assert scrape().value("api_calls_limit") is None
    ApiQuota.objects.create(id=1, day_limit=1000, day=sync_now().date(), day_calls=300, others_calls=100)
    figures = scrape()
    assert figures.value("api_calls_today") == 400
    assert figures.value("api_calls_limit") == 1000


def test_records_are_counted_by_status_and_what_is_open_by_kind(link: BoardLink) -> None:
    Contact.objects.create(name="Ann")
    Contact.objects.create(name="Bob", sync_enabled=False)
    Organization.objects.create(name="Navy")
    values = {"monday_item_id": "1", "npd_data": {}, "monday_data": {}, "conflict_fields": ["name"]}
    for kind, resolved_at in (("fields", None), ("delete", None), ("fields", sync_now())):
        SyncConflict.objects.create(
            entity_type="contact", entity_id=uuid.uuid4(), kind=kind, resolved_at=resolved_at, **values
        )
    figures = scrape()
    assert figures.by("status", "records", board="contact") == {"pending": 1, "disabled": 1}
    assert figures.by("status", "records", board="organization") == {"pending": 1}
    assert figures.by("kind", "attention", **CONTACT) == {"conflict": 2}


ALERTS = Path(__file__).resolve().parents[2] / "ops" / "prometheus" / "alerts.yml"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.django_db
def test_every_alert_is_about_figures_that_are_exported() -> None:
    everything_is_tight()
    exported = {(sample.name, label) for sample in scrape().samples for label in sample.labels}
    for rule in alerts():
        [name] = re.findall(r"npd_sync_\w+", rule["expr"])
        [label] = re.findall(r"\bby \((\w+)\)", rule["expr"])
        assert (name, label) in exported, rule["alert"]


@pytest.mark.django_db(transaction=True)
def test_a_stale_read_counts_by_the_time_after_which_another_showed_the_edit(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    world.pass_time(minutes=30)
    world.sandbox.control("faults", lag="all", edits=20)
    world.edit(ann, "role_title", "New")
    for seconds in (1, 5, 40):
        world.hear(ann, seconds=seconds)
    assert ann.role_title == "New"
    buckets = scrape().by("le", "read_lag_seconds_bucket", **CONTACT)
    assert buckets == {"90.0": 1, "600.0": 1, "+Inf": 1}
    assert 45 <= (scrape().value("read_lag_seconds_sum", **CONTACT) or 0) < 90
