"""The ledger in figures: what they count, and that page, command, API and metrics say the same."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.choices import ResolutionStrategy, SyncStatus
from sync.clock import sync_now
from sync.ledger import SyncStateService
from sync.merge import FieldSides
from sync.models import SyncMetadata, SyncQueue, SyncState
from sync.records.ledger_statistics import Selection, statistics, with_served_status
from tests.api.conftest import user_who_may, with_token
from tests.support.rows import queries_of

pytestmark = pytest.mark.django_db

service = SyncStateService()
STATES, STATS = "/api/v1/sync/states/", "/api/v1/sync/stats"
DISPUTED = FieldSides("here", "there", ("old", "old"))


@pytest.fixture(autouse=True)
def fresh_throttles() -> None:
    cache.clear()


@pytest.fixture
def ledger() -> None:
    """Contacts as the engine has left them, and Jira's issues and sprints as other code has."""
    now = sync_now()
    contacts = [Contact.objects.create(name=name) for name in ("Ann", "Bea", "Cy", "Di")]
    SyncQueue.objects.all().delete()
    batch = uuid.uuid4()
    for contact, status in zip(contacts, ("completed", "completed", "failed", "skipped"), strict=True):
        failed = status == "failed"
        SyncMetadata.objects.create(
            entity_type="contact",
            entity_id=str(contact.pk),
            sync_status=status,
            last_sync_attempt=now - timedelta(minutes=90),
            last_successful_sync=now - (timedelta(hours=30) if failed else timedelta(minutes=90)),
            last_error="Monday refused item 5001." if failed else "",
            sync_batch_id=batch,
            api_calls_count=2,
            sync_duration_ms=400,
        )
    # A save since: the queue knows, the row does not.
    SyncQueue.objects.create(entity_type="contact", entity_id=contacts[0].pk)
    service.create_sync_states("issue", {str(number): f"ABC-{number}" for number in range(10)})
    batch_of_issues = service.begin_batch("issue", [str(number) for number in range(8)])
    service.finish_batch(
        batch_of_issues,
        completed={str(number): None for number in range(6)},
        failed={"6": "Jira answers 500 to ABC-6.", "7": "Jira answers 500 to ABC-7."},
        api_calls=3,
    )
    sprint = service.begin(service.create_sync_state("sprint", "1", "10001"))
    service.record_conflict(sprint, {"name": DISPUTED})
    service.complete(sprint, api_calls=1, duration_ms=100)
    SyncState.objects.filter(pk=sprint.pk).update(conflict_opened_at=now - timedelta(minutes=10))
    other = service.begin(service.create_sync_state("sprint", "2", "10002"))
    service.record_conflict(other, {"name": DISPUTED}, ResolutionStrategy.JIRA_WINS)
    service.complete(other, api_calls=1, duration_ms=100)


def test_they_count_every_thing_once_by_how_it_stands_now(ledger: None) -> None:
    found = statistics()
    assert found.by_status == {"pending": 3, "in_progress": 0, "completed": 9, "failed": 3, "skipped": 1}
    assert (found.total, found.tried) == (16, 14)
    assert found.outcomes[("monday", "contact")] == (4, 1, 1)
    assert found.success_rate == pytest.approx(9 / 12)
    assert found.per_hour == pytest.approx(14 / 24)
    assert sum(bar.tried for bar in found.bars) == 14
    assert (len(found.bars), found.bars[-2].tried, found.bars[-2].failed) == (24, 4, 1)
    assert (found.batches, found.api_calls) == (4, 2 + 3 + 1 + 1)
    assert (found.calls_per_batch, found.calls_per_thing) == (7 / 4, 7 / 14)
    assert statistics(Selection(entity_type="contact")).duration_ms == [400, 400, 400]
    first, second = found.errors
    assert (first.number, first.entity_type, first.example[:17]) == (2, "issue", "Jira answers 500 ")
    assert (second.number, second.example) == (1, "Monday refused item 5001.")


def test_conflicts_of_both_stores_are_counted_with_their_waits(ledger: None) -> None:
    now = sync_now()
    for resolved in (None, now - timedelta(minutes=1)):
        SyncConflict.objects.create(
            entity_type="contact", entity_id=uuid.uuid4(), monday_item_id="1", npd_data={}, monday_data={},
            conflict_fields=["name"], detected_at=now - timedelta(hours=3), resolved_at=resolved,
        )  # fmt: skip
    found = statistics(now=now).conflicts
    assert (found.open, found.opened, found.resolved) == (2, 4, 2)
    # What a strategy decided at once has waited for nobody.
    assert found.median_wait_seconds == pytest.approx(timedelta(hours=3, minutes=-1).total_seconds(), abs=1)
    assert statistics(Selection(system="jira")).conflicts.open == 1


def test_what_waits_longest_is_named_and_what_never_was_in_sync_is_counted(ledger: None) -> None:
    found = statistics()
    assert found.oldest_unsynced is not None
    assert (found.oldest_unsynced.entity_type, found.oldest_unsynced.status) == ("contact", "failed")
    assert found.never_synced == 2 + 2 + 1


def test_an_open_conflict_counts_by_what_it_is_about_and_not_by_its_time(ledger: None) -> None:
    SyncState.objects.update(conflict_opened_at=None, conflict_resolved_at=None)
    contact = SyncState.objects.filter(entity_type="contact").first()
    assert contact is not None
    SyncState.objects.filter(pk=contact.pk).update(conflicts={"fields": ["name"]})  # the other store's to count
    assert statistics().conflicts.open == 1


def test_an_attempt_that_failed_counts_though_its_record_waits_in_the_queue_again(ledger: None) -> None:
    failed = SyncState.objects.get(entity_type="contact", sync_status="failed")
    SyncQueue.objects.create(entity_type="contact", entity_id=failed.entity_id)
    found = statistics(Selection(system="monday"))
    assert (found.by_status["pending"], found.by_status["failed"]) == (2, 0)
    assert found.outcomes == {("monday", "contact"): (4, 1, 1)}
    assert sum(bar.failed for bar in found.bars) == 1


def test_an_own_record_is_out_of_sync_since_its_oldest_job_came(ledger: None) -> None:
    saved = SyncState.objects.filter(entity_type="contact", sync_status="completed").order_by("id")[0]
    SyncState.objects.filter(pk=saved.pk).update(last_successful_sync=sync_now() - timedelta(days=90))
    SyncState.objects.filter(sync_status="failed").update(last_successful_sync=sync_now() - timedelta(hours=30))
    oldest = statistics().oldest_unsynced
    assert oldest is not None
    assert oldest.entity_id != saved.entity_id
    SyncQueue.objects.update(created_at=sync_now() - timedelta(days=2))
    oldest = statistics().oldest_unsynced
    assert oldest is not None
    assert oldest.entity_id == saved.entity_id


def test_calls_of_a_part_of_a_batch_are_no_ratio(ledger: None) -> None:
    for part in (Selection(status="failed"), Selection(direction="bidirectional")):
        found = statistics(part)
        assert (found.calls_per_thing, found.calls_per_batch) == (None, None)


@pytest.mark.parametrize(
    ("chosen", "total", "tried"),
    [
        (Selection(system="jira"), 12, 10),
        (Selection(entity_type="issue"), 10, 8),
        (Selection(status="failed"), 3, 3),
        (Selection(direction="local_to_remote"), 0, 0),
        (Selection(window=timedelta(hours=1)), 16, 10),
        (Selection(system="monday", status="pending"), 1, 1),
    ],
)
def test_they_are_narrowed(ledger: None, chosen: Selection, total: int, tried: int) -> None:
    found = statistics(chosen)
    assert (found.total, found.tried) == (total, tried)


def test_of_an_empty_ledger_nothing_is_said(db: None) -> None:
    found = statistics()
    assert (found.total, found.success_rate, found.calls_per_thing, found.duration_ms) == (0, None, None, [])


def test_the_api_lists_as_many_of_each_status(ledger: None) -> None:
    api = with_token(User.objects.create_superuser("ada", "ada@example.test", "long-enough-1"))
    figures = statistics()
    assert {status: api.get(STATES, {"sync_status": status}).json()["count"] for status in SyncStatus.values} == (
        figures.by_status
    )


def test_only_who_may_see_sync_states_sees_their_errors(ledger: None) -> None:
    clerk = user_who_may("view_syncqueue")
    assert with_token(clerk).get(STATES).status_code == 403
    reader = user_who_may("view_syncmetadata", "view_syncqueue", name="reader")
    assert with_token(reader).get(STATES).status_code == 200


# The states themselves by the API.


@pytest.fixture
def api(db: None) -> APIClient:
    return with_token(User.objects.create_superuser("ada", "ada@example.test", "long-enough-1"))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 16),
        ("system=jira", 12),
        ("entity_type=sprint", 2),
        ("jira_id=ABC-3", 1),
        ("remote_id=10002", 1),
        ("entity_type=issue&entity_id=3", 1),
        ("sync_status=failed&sync_status=pending", 6),
        ("sync_direction=local_to_remote", 0),
    ],
)
def test_states_are_listed_and_narrowed(ledger: None, api: APIClient, query: str, count: int) -> None:
    answer = api.get(f"{STATES}?page_size=500&{query}".rstrip("&")).json()
    assert (answer["count"], len(answer["results"])) == (count, count)


def test_a_state_says_jiras_id_where_the_system_is_jira(ledger: None, api: APIClient) -> None:
    [sprint] = api.get(f"{STATES}?jira_id=10001").json()["results"]
    assert (sprint["jira_id"], sprint["remote_id"], sprint["sync_status"]) == ("10001", "10001", "completed")
    assert sprint["conflicts"]["fields"] == ["name"]
    assert {state["jira_id"] for state in api.get(f"{STATES}?system=monday").json()["results"]} == {None}


def test_figures_and_a_page_of_states_cost_the_same_queries_for_more_rows(ledger: None, api: APIClient) -> None:
    def queries() -> tuple[int, int]:
        page = f"{STATES}?sync_status=pending&page_size=500"
        return queries_of(statistics), queries_of(lambda: api.get(page))

    queries()  # what is read once, as types of content, is known from now on
    before = queries()
    service.create_sync_states("issue", {str(number): None for number in range(100, 400)})
    assert queries() == before
    assert before[0] <= 3


def test_what_the_queue_says_is_looked_up_by_the_queues_own_columns(ledger: None) -> None:
    # Casting each job's id makes the whole queue a list that each row goes through.
    found = with_served_status(SyncState.objects.all())
    assert '"entity_id")::text' not in str(found.query)
    SyncQueue.objects.update(status="in_progress")
    assert [row.entity_type for row in found if row.served_status == "in_progress"] == ["contact"]
