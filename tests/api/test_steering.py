"""Steering the queue: one job by API, all matching jobs and pauses by the service; who may, and what stays."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from rest_framework.test import APIClient

from npd.models import Contact
from sync.clock import sync_now
from sync.models import ActivityLine, SyncMetadata, SyncQueue
from sync.outbox import pauses
from sync.queue import retry_all
from tests.api.conftest import QUEUE, error_of, row
from tests.support.waiting import in_background, wait_for
from tests.support.words import said


def states() -> dict[int, str]:
    return dict(SyncQueue.objects.order_by("id").values_list("pk", "status"))


@pytest.mark.parametrize(
    ("act", "status", "words"),
    [
        ("cancel", "failed", "failed after its last attempt"),
        ("cancel", "completed", "nothing to cancel"),
        ("discard", "pending", "Cancel it instead"),
        ("discard", "completed", "nothing to discard"),
        ("cancel", "in_progress", "is in progress"),
        ("retry", "in_progress", "is in progress"),
        ("discard", "in_progress", "is in progress"),
    ],
)
def test_what_does_not_fit_a_row_is_refused_with_what_does(api: APIClient, act: str, status: str, words: str) -> None:
    job = row(status=status, lease_token=uuid.uuid4() if status == "in_progress" else None)
    answer = api.post(f"{QUEUE}{job.pk}/{act}")
    assert answer.status_code == 409
    assert words in error_of(answer)["detail"]
    assert states() == {job.pk: status}
    assert not LogEntry.objects.exists()


def test_all_dead_letters_that_match_are_retried_together(db: None) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.update(status="failed", attempts=5, error_message=said("Monday refused it."))
    twice = row(entity_id=contact.pk, status="failed", attempts=5, operation="create", payload={"a": 1})
    item = row(entity_id=None, remote_id="55", direction="to_npd", status="failed", attempts=5)
    other_job = row(entity_type="organization", status="failed")
    result = retry_all(SyncQueue.objects.filter(status="failed", entity_type="contact"), "ada")
    assert (result.changed, result.in_progress) == (3, 0)
    waiting = {(w.entity_id, w.remote_id): w for w in SyncQueue.objects.filter(status="pending")}
    assert set(waiting) == {(contact.pk, None), (None, "55")}
    again = waiting[contact.pk, None]
    assert (again.attempts, again.priority, again.operation) == (0, 20, "create")
    retried = {"job": twice.pk, "error": "", "attempts": 5}
    assert again.payload == {"a": 1, "retried": retried}
    assert (again.causes & 2, again.error_message) == (2, "")
    assert waiting[None, "55"].direction == "to_npd"
    assert states()[other_job.pk] == "failed"
    assert SyncQueue.objects.get(pk=twice.pk).error_message == "retried by ada"
    assert SyncQueue.objects.get(pk=item.pk).status == "completed"


def test_every_act_leaves_a_line_with_its_author_and_one_in_the_records_history(api: APIClient) -> None:
    ann, ben = row(), row(status="failed")
    SyncMetadata.objects.create(entity_type="contact", entity_id=str(ben.entity_id), sync_status="failed")
    api.post(f"{QUEUE}{ann.pk}/cancel")
    api.post(f"{QUEUE}{ben.pk}/discard")
    lines = LogEntry.objects.order_by("id")
    assert [line.user.get_username() for line in lines] == ["ada"] * 2
    expected = [(str(ann.pk), "Cancelled by the API."), (str(ben.pk), "Discarded by the API.")]
    assert [(line.object_id, line.get_change_message()) for line in lines] == expected
    lines_by_record = {line.entity_id: line for line in ActivityLine.objects.all()}
    assert lines_by_record[ann.entity_id].sentence.startswith("ada cancelled the pending job")
    assert (lines_by_record[ann.entity_id].actor, lines_by_record[ann.entity_id].cause["rows"]) == ("ada", [ann.pk])
    assert lines_by_record[ben.entity_id].sentence.startswith("ada discarded the failed job")
    assert SyncMetadata.objects.get().sync_status == "pending"


@pytest.mark.django_db(transaction=True)
def test_of_pauses_asked_at_once_one_is_made_and_the_others_find_it() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        # All of them start before the first one continues.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [pauses.PAUSE_LOCK])
        pausing = [in_background(lambda: pauses.pause("ada", why="audit")[1]) for _ in range(6)]
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        wait_for("six pauses", lambda: cursor.execute(waiting) or cursor.fetchone() == (6,))
    assert sorted(pause.result(60) for pause in pausing) == [False] * 5 + [True]


def test_rows_in_backoff_are_due_at_once_and_keep_nothing_of_their_failures(db: None) -> None:
    later = sync_now() + timedelta(hours=1)
    row(attempts=3, next_retry=later, error_message=said("It failed."), reason="It waits.")
    assert retry_all(SyncQueue.objects.all(), "ada").changed == 1
    job = SyncQueue.objects.get()
    assert (job.attempts, job.error_message, job.reason) == (0, "", "")
    assert job.next_retry <= sync_now()
