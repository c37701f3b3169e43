"""Steering and the sync state: what it says about a record matches its rows."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from npd.models import Contact
from sync.models import SyncMetadata, SyncQueue
from sync.outbox.operate import operate_one
from sync.queue import SyncQueueService, retry_all
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def _dead(contact: Contact, direction: str) -> SyncQueue:
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=contact.pk, direction=direction, status="failed", attempts=5
    )


def _sync_state_of(contact: Contact) -> SyncMetadata:
    return SyncMetadata.objects.get(entity_type="contact", entity_id=str(contact.pk))


def _with_sync_state() -> Contact:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.all().delete()
    SyncMetadata.objects.update_or_create(
        entity_type="contact", entity_id=str(contact.pk), system="monday", defaults={"sync_status": "failed"}
    )
    return contact


def test_the_sync_state_reads_failed_until_the_last_dead_letter_is_discarded() -> None:
    contact = _with_sync_state()
    first, second = _dead(contact, "to_monday"), _dead(contact, "to_npd")
    operate_one(first.pk, "mary", "discard")
    assert _sync_state_of(contact).sync_status == "failed"
    operate_one(second.pk, "mary", "discard")
    assert _sync_state_of(contact).sync_status == "pending"


def test_dead_letters_of_one_record_that_are_retried_together_ask_for_what_each_asked_for() -> None:
    contact = _with_sync_state()
    for payload in ({"unlink": "pat", "by": "pat"}, {"by": "bob"}, {}):
        dead = _dead(contact, "to_monday")
        SyncQueue.objects.filter(pk=dead.pk).update(payload=payload)
    retry_all(SyncQueue.objects.all(), "mary")
    again = SyncQueue.objects.get(status="pending")
    assert (again.payload["unlink"], again.payload["by"]) == ("pat", "bob")
    assert again.payload["retried"]["job"] == dead.pk


def test_a_pass_locks_a_failed_job_before_the_sync_state_as_a_discard_does(world: World) -> None:
    contact = world.linked()
    _dead(contact, "to_monday")
    with CaptureQueriesContext(connection) as queries:
        world.save(contact, role_title="New")
    locks = [query["sql"] for query in queries if " FOR UPDATE" in query["sql"]]
    jobs = next(number for number, sql in enumerate(locks) if "'failed'" in sql)
    sync_states = next(number for number, sql in enumerate(locks) if 'FROM "sync_metadata"' in sql)
    assert jobs < sync_states
    assert not SyncQueue.objects.filter(entity_id=contact.pk, status="failed").exists()


def test_the_sync_state_reads_failed_no_more_after_a_retry_that_was_cancelled() -> None:
    contact = _with_sync_state()
    again = SyncQueueService().manual_retry(_dead(contact, "to_monday").pk, "mary")
    operate_one(again.pk, "mary", "cancel")
    assert _sync_state_of(contact).sync_status == "pending"
