"""Many reasons to look at a record are one row, and none of them is lost."""

import uuid
from datetime import timedelta
from typing import Any

import pytest

from sync.choices import Cause, Priority
from sync.clock import sync_now
from sync.models import BoardLink, SyncQueue
from sync.outbox import finish
from sync.outbox.claim import Lease, acquire, claim
from sync.outbox.queue_rows import enqueue_item_many, enqueue_many
from sync.queue import SyncQueueService

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = SyncQueueService()
ID = uuid.uuid4()


@pytest.fixture
def held() -> Lease:
    link = BoardLink.objects.create(entity_type="contact", board_id="1", npd_id_column="npd_id", match_key="email")
    found = acquire(link)
    assert found is not None
    return found


def asked_for(**more: Any) -> None:
    enqueue_many("contact", [ID], **{"cause": Cause.SWEEP, "priority": Priority.SWEEP, **more})


def test_a_second_reason_joins_the_waiting_row_and_makes_it_more_urgent_never_less() -> None:
    asked_for(payload={"a": 1})
    SyncQueue.objects.update(next_retry=sync_now() + timedelta(hours=1))
    asked_for(cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": "mary"})
    asked_for(cause=Cause.SWEEP, priority=Priority.LOAD)
    row = SyncQueue.objects.get()
    assert (row.priority, row.causes) == (Priority.PERSON, Cause.SWEEP | Cause.PERSON)
    assert row.payload == {"a": 1, "by": "mary"}
    assert row.next_retry <= sync_now()


def test_items_that_no_record_has_coalesce_by_their_number() -> None:
    for remote_id in ("55", "55", "56"):
        enqueue_item_many("contact", [remote_id], cause=Cause.WEBHOOK, priority=Priority.EDIT)
    assert sorted(SyncQueue.objects.values_list("remote_id", flat=True)) == ["55", "56"]


def test_a_row_in_flight_is_not_edited_and_gets_a_successor(held: Lease) -> None:
    asked_for()
    [claimed] = claim(held, 10)
    before = SyncQueue.objects.filter(pk=claimed.rows[0].pk).values().get()
    asked_for(cause=Cause.PERSON, priority=Priority.PERSON, payload={"by": "mary"})
    flying, waiting = SyncQueue.objects.order_by("id").values()
    assert flying == before
    assert (waiting["status"], waiting["attempts"], waiting["payload"]) == ("pending", 0, {"by": "mary"})
    with held.transaction():
        assert finish.complete(claimed.rows, held.token, "done") == 1
    assert [one.entity_id for one in claim(held, 10)] == [ID]


def test_a_persons_click_comes_first_then_edits_then_sweeps_then_a_load(held: Lease) -> None:
    ids = {priority: uuid.uuid4() for priority in reversed(Priority)}
    for priority, entity_id in ids.items():
        QUEUE.enqueue("contact", entity_id, cause=Cause.SWEEP, priority=priority)
    found = [claim(held, 1)[0].entity_id for _ in Priority]
    assert found == [ids[priority] for priority in Priority]
