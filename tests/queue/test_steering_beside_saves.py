"""Steering and the ledger: what it says of a record is what its rows say."""

import pytest

from npd.models import Contact
from sync.models import SyncMetadata, SyncQueue
from sync.models.jobs import QueueAction
from sync.outbox.operate import operate_one
from sync.queue import SyncQueueService

pytestmark = pytest.mark.django_db(transaction=True)


def _dead(contact: Contact, direction: str) -> SyncQueue:
    return SyncQueue.objects.create(
        entity_type="contact", entity_id=contact.pk, direction=direction, status="failed", attempts=5
    )


def _ledger_of(contact: Contact) -> SyncMetadata:
    return SyncMetadata.objects.get(entity_type="contact", entity_id=str(contact.pk))


def _with_ledger() -> Contact:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.all().delete()
    SyncMetadata.objects.update_or_create(
        entity_type="contact", entity_id=str(contact.pk), system="monday", defaults={"sync_status": "failed"}
    )
    return contact


def test_the_ledger_reads_failed_until_the_last_dead_letter_is_discarded() -> None:
    contact = _with_ledger()
    one, other = _dead(contact, "to_monday"), _dead(contact, "to_npd")
    operate_one(one.pk, "mary", QueueAction.DISCARD)
    assert _ledger_of(contact).sync_status == "failed"
    operate_one(other.pk, "mary", QueueAction.DISCARD)
    assert _ledger_of(contact).sync_status == "pending"


def test_the_ledger_reads_failed_no_more_after_a_retry_that_was_cancelled() -> None:
    contact = _with_ledger()
    again = SyncQueueService().manual_retry(_dead(contact, "to_monday").pk, "mary")
    operate_one(again.pk, "mary", QueueAction.CANCEL)
    assert _ledger_of(contact).sync_status == "pending"
