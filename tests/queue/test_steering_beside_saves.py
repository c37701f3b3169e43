"""Steering beside saves: no save is ended for it, and what the ledger says of a record is what its rows say."""

import threading
from collections.abc import Callable

import pytest
from django.db import transaction

from npd.models import Contact
from sync.admin.queue_actions import QUEUE_OPERATIONS, run_operation
from sync.models import SyncMetadata, SyncQueue
from sync.queue import BulkResult, Conflict, SyncQueueService
from tests.support.waiting import beside, somebody_waits, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def somebody_steers() -> None:
    wait_for("the steering waits for the row", somebody_waits)


class Saves:
    """A transaction that saves the second contact, and the first one once somebody waits for the second one's row."""

    def __init__(self, until: Callable[[], object] = somebody_steers) -> None:
        self.ids = [Contact.objects.create(name=name).pk for name in ("Ann", "Ben")]
        self.holds = threading.Event()
        self.saving = beside(lambda: self._run(until))
        assert self.holds.wait(20)

    def _run(self, until: Callable[[], object]) -> None:
        with transaction.atomic():
            Contact.objects.filter(pk=self.ids[1]).update(notes="saved")
            self.holds.set()
            until()
            Contact.objects.filter(pk=self.ids[0]).update(notes="saved")

    def ended_well(self) -> bool:
        return self.saving.exception(60) is None and Contact.objects.filter(notes="saved").count() == 2


def test_all_that_match_are_cancelled_beside_such_a_save_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.outbox.operate.CHUNK", 1)
    saves = Saves()
    waiting = SyncQueue.objects.filter(status="pending")
    steered = run_operation(QUEUE_OPERATIONS["cancel"], waiting, "mary", expect=2)
    assert saves.ended_well()
    assert steered == BulkResult(2, 0, 0)


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
    SyncQueueService().discard(one.pk, "mary")
    assert _ledger_of(contact).sync_status == "failed"
    SyncQueueService().discard(other.pk, "mary")
    assert _ledger_of(contact).sync_status == "pending"


def test_the_ledger_reads_failed_no_more_after_a_retry_that_was_cancelled() -> None:
    contact = _with_ledger()
    again = SyncQueueService().manual_retry(_dead(contact, "to_monday").pk, "mary")
    SyncQueueService().cancel(again.pk, "mary")
    assert _ledger_of(contact).sync_status == "pending"


def test_a_save_that_does_not_end_is_told_of_and_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.kernel.db.MAX_ATTEMPTS", 2)
    ends = threading.Event()
    saves = Saves(until=lambda: ends.wait(20))
    with pytest.raises(Conflict, match="A save that takes long has some of them locked"):
        run_operation(QUEUE_OPERATIONS["cancel"], SyncQueue.objects.filter(status="pending"), "mary", expect=2)
    ends.set()
    assert saves.ended_well()
    assert set(SyncQueue.objects.values_list("status", flat=True)) == {"pending"}
