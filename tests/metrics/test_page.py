"""The page itself: who may read it, what form it has, what it costs, and what it never says."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from npd.models import Contact, Organization
from sync.clock import sync_now
from sync.models import ApiBudget, BoardLink, QueuePause, SyncMetadata, SyncQueue
from tests.api.conftest import code_of, error_of
from tests.metrics.conftest import Figures, bearer, scrape
from tests.support.rows import queries_of

pytestmark = pytest.mark.django_db

MOST_QUERIES = 15


def board(entity_type: str, **values: Any) -> BoardLink:
    defaults = {"board_id": f"1-{entity_type}", "npd_id_column": "npd_id", "match_key": "name"}
    return BoardLink.objects.create(entity_type=entity_type, **defaults | values)


def everything_is_tight() -> None:
    """Every limit is known, the day is nearly over, and two boards want more than this minute has."""
    now = sync_now()
    for minutes, entity_type in enumerate(("contact", "organization"), start=1):
        board(entity_type, last_pass_at=now - timedelta(minutes=minutes), verified_at=now)
        SyncMetadata.objects.create(
            entity_type=entity_type, entity_id=str(uuid.uuid4()), sync_status="completed", last_sync_attempt=now
        )
        for number in range(3):
            SyncQueue.objects.create(
                entity_type=entity_type, entity_id=uuid.uuid4(), next_retry=now - timedelta(minutes=number)
            )
    ApiBudget.objects.create(
        id=1, day_limit=1000, minute_limit=1000, points_limit=100_000, day=now.date(),
        day_calls=500, points=60_000, points_end=now + timedelta(seconds=50),
    )  # fmt: skip


def test_it_is_text_with_a_line_of_help_for_each_gauge(client: Client) -> None:
    everything_is_tight()
    answer = client.get("/metrics", headers=bearer())
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert client.post("/metrics").status_code == 405
    figures = Figures(answer.content.decode())
    assert 12 <= len(figures.families) <= 18
    for family in figures.families:
        assert (family.type, bool(family.documentation)) == ("gauge", True)


def test_while_no_token_is_set_it_is_closed_to_everybody(client: Client, settings: Any) -> None:
    settings.METRICS_TOKEN = ""
    for header in ({}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}):
        answer = client.get("/metrics", headers=header)
        assert (answer.status_code, code_of(answer)) == (403, "closed")
        assert "METRICS_TOKEN" in error_of(answer)["detail"]


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer é", "Token figures-please"])
def test_nobody_reads_it_without_its_token(client: Client, settings: Any, header: str | None) -> None:
    settings.METRICS_TOKEN = "figures-please"
    answer = client.get("/metrics", headers={} if header is None else {"Authorization": header})
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "figures-please" not in answer.content.decode()
    assert "npd_sync" not in answer.content.decode()


def test_a_scrape_is_no_more_queries_with_more_boards_and_rows() -> None:
    everything_is_tight()
    BoardLink.objects.filter(entity_type="organization").delete()
    one_board = queries_of(scrape)
    assert one_board <= MOST_QUERIES
    board("organization", last_pass_at=sync_now())
    SyncQueue.objects.bulk_create(SyncQueue(entity_type="organization", entity_id=uuid.uuid4()) for _ in range(50))
    assert queries_of(scrape) <= one_board


def test_no_label_holds_what_people_wrote(contact_of_a_person: Contact) -> None:
    everything_is_tight()
    QueuePause.objects.create(paused_by="mallory@example.test", why="the secret merger")
    SyncQueue.objects.create(
        entity_type="contact", entity_id=contact_of_a_person.pk, status="failed",
        error_message="Monday refused “ada@example.test”",
    )  # fmt: skip
    text = scrape().text
    for word in ("mallory", "merger", "Ada", "ada@", "refused “", str(contact_of_a_person.pk), "Navy"):
        assert word not in text


@pytest.fixture
def contact_of_a_person() -> Contact:
    navy = Organization.objects.create(name="Navy")
    return Contact.objects.create(name="Ada", email="ada@example.test", organization=navy)
