"""GET sync/states/: the states of records, and of what other code keeps in sync."""

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from rest_framework.test import APIClient

from npd.models import Contact
from sync.merge import FieldSides
from sync.models import SyncMetadata, SyncQueue, SyncState
from sync.state import SyncStateService, with_served_status
from tests.api.conftest import with_token

pytestmark = pytest.mark.django_db

STATES = "/api/v1/sync/states/"

service = SyncStateService()


@pytest.fixture
def states() -> None:
    """A contact that was synced, another one with a job that waits, and three things of Jira's."""
    for name in ("Ann", "Bea"):
        contact = Contact.objects.create(name=name)
        SyncMetadata.objects.create(entity_type="contact", entity_id=str(contact.pk), sync_status="completed")
    SyncQueue.objects.filter(entity_id=Contact.objects.get(name="Ann").pk).delete()
    sprint = service.begin(service.create_sync_state("sprint", "1", jira_id="10001"))
    service.record_conflict(sprint, {"name": FieldSides("here", "there", ("old", "old"))})
    service.complete(sprint)
    service.fail(service.begin(service.create_sync_state("issue", "2", jira_id="ABC-2")), "Jira answers 500.")
    service.create_sync_state("issue", "3", jira_id="ABC-3")


@pytest.fixture
def api(db: None) -> APIClient:
    cache.clear()
    return with_token(User.objects.create_superuser("ada", "ada@example.test", "long-enough-1"))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 5),
        ("system=jira", 3),
        ("entity_type=sprint", 1),
        ("remote_id=ABC-3", 1),
        ("entity_type=issue&entity_id=3", 1),
        ("sync_status=failed&sync_status=pending", 3),
    ],
)
def test_states_are_listed_and_narrowed(states: None, api: APIClient, query: str, count: int) -> None:
    answer = api.get(f"{STATES}?{query}").json()
    assert (answer["count"], len(answer["results"])) == (count, count)


def test_a_state_says_jiras_id_where_the_system_is_jira(states: None, api: APIClient) -> None:
    [sprint] = api.get(f"{STATES}?remote_id=10001").json()["results"]
    assert (sprint["jira_id"], sprint["monday_id"], sprint["sync_status"]) == ("10001", None, "completed")
    assert sprint["conflicts"]["fields"] == ["name"]
    assert {state["jira_id"] for state in api.get(f"{STATES}?system=monday").json()["results"]} == {None}


def test_what_the_queue_says_is_looked_up_by_the_queues_own_columns(states: None) -> None:
    # Casting each job's id makes the whole queue a list that each row goes through.
    rows = with_served_status(SyncState.objects.all())
    assert '"entity_id")::text' not in str(rows.query)
    SyncQueue.objects.update(status="in_progress")
    assert [row.entity_type for row in rows if row.served_status == "in_progress"] == ["contact"]
