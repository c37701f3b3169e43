"""The queue and the stats by API."""

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from npd.models import Contact
from sync.clock import sync_now
from sync.models import SyncQueue
from tests.admin import states
from tests.api.conftest import QUEUE, row


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_dead_letter_is_retried_with_its_attempts_counted_anew(api: APIClient, slash: str) -> None:
    failed = row(status="failed", attempts=5, next_retry=sync_now() + timedelta(hours=1))
    answer = api.post(f"{QUEUE}{failed.pk}/retry{slash}")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["attempts"]) == ("pending", 0)
    again = SyncQueue.objects.get(pk=answer.json()["id"])
    assert again.entity_id == failed.entity_id
    assert again.next_retry <= sync_now()
    assert not SyncQueue.objects.filter(status="failed").exists()
    assert (answer.json()["retried_as"], api.get(f"{QUEUE}{failed.pk}/").json()["retried_as"]) == (None, again.pk)


def test_the_stats_count_records_by_status(api: APIClient) -> None:
    Contact.objects.create(name="a")
    Contact.objects.create(name="b", sync_enabled=False)
    synced = Contact.objects.create(name="c")
    moment = sync_now()
    Contact.objects.filter(pk=synced.pk).update(sync_status="synced", monday_last_synced=moment)
    conflict = Contact.objects.create(name="d")
    Contact.objects.filter(pk=conflict.pk).update(sync_status="conflict")
    stats = api.get("/api/v1/sync/stats").json()
    counts = {
        name: stats["records"]["contact"][name] for name in ("synced", "pending", "conflict", "disabled", "total")
    }
    assert counts == {"synced": 1, "pending": 1, "conflict": 1, "disabled": 1, "total": 4}
    assert stats["records"]["organization"]["total"] == 0
    assert stats["records"]["contact"]["last_synced"] == moment.isoformat().replace("+00:00", "Z")
    assert stats["queue"]["pending"] == 3 + 1  # the disabled record's save wrote one too


def test_the_stats_say_why_and_until_when_monday_is_not_called(api: APIClient) -> None:
    assert api.get("/api/v1/sync/stats").json()["stop_reason"] == ""
    until = sync_now() + timedelta(minutes=5)
    states.stop_account(until, "A wrong token.")
    stats = api.get("/api/v1/sync/stats").json()
    assert stats["stop_reason"] == "A wrong token."
    assert stats["stopped_until"] == until.isoformat().replace("+00:00", "Z")
    states.stop_account(sync_now() - timedelta(seconds=1), "A wrong token.")
    assert api.get("/api/v1/sync/stats").json()["stopped_until"] is None
    # While its next probe is due, it counts as stopped, as on every page.
    states.boards()
    states.waiting("Due", seconds=-60)
    states.stop_account(sync_now(), "A wrong token.", needs_probe=True)
    stats = api.get("/api/v1/sync/stats").json()
    assert (stats["stop_reason"], stats["queue"]["due"]) == ("A wrong token.", 0)
    assert stats["records"]["contact"]["board"].startswith("A wrong token.")
