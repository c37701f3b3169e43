"""One writer a board, fenced finishes, and rows of workers that died."""

import threading
import uuid
from typing import Any

import pytest
from django.db import connection, transaction

from npd.models import Contact
from sync import finish, lease
from sync.choices import Cause, Priority, QueueDirection, QueueStatus
from sync.claims import claim
from sync.clock import CREATE_SYNC_NOW, sync_now
from sync.lease import LeaseLost
from sync.models import Backfill, BackfillState, BoardLink, Intent, SyncQueue
from sync.queue import QueueError, SyncQueueService

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def link() -> BoardLink:
    return BoardLink.objects.create(
        entity_type="contact", board_id="1", npd_id_column="npd_id", match_key="email"
    )


@pytest.fixture
def clock() -> Any:
    """Moves sync_now(); put back afterwards."""

    def move(seconds: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                CREATE_SYNC_NOW.replace(
                    "clock_timestamp()", f"clock_timestamp() + interval ''{seconds} seconds''"
                )
            )

    yield move
    move(0)
    with connection.cursor() as cursor:
        cursor.execute(CREATE_SYNC_NOW)


def taken(link: BoardLink) -> lease.Lease:
    found = lease.take(link)
    assert found is not None
    return found


def test_a_row_that_a_bulk_import_carries_is_not_due(link: BoardLink) -> None:
    """Else an import that Monday takes an hour for would make /readyz fail: no worker may touch its rows."""
    contact = Contact.objects.create(name="Ann")
    queue = SyncQueueService()
    assert (queue.get_queue_stats()["due"], queue.oldest_due_seconds() > 0) == (1, True)
    job = Backfill.objects.create(entity_type="contact", board_id="1", state=BackfillState.UPLOADED)
    Intent.objects.create(
        entity_type="contact", entity_id=contact.pk, board_id="1", lease_token=uuid.uuid4(),
        idempotency_key="k", deadline=sync_now(), backfill=job,
    )  # fmt: skip
    assert (queue.get_queue_stats()["due"], queue.oldest_due_seconds()) == (0, 0)
    assert claim(taken(link), 100) == []


def test_only_one_worker_gets_a_board(link: BoardLink) -> None:
    first = taken(link)
    assert lease.take(link) is None
    first.release()
    assert lease.take(link) is not None


def test_a_lease_that_ran_out_is_taken_over_and_its_owner_learns_it(link: BoardLink, clock: Any) -> None:
    first = taken(link)
    clock(61)
    second = taken(link)
    with pytest.raises(LeaseLost):
        first.renew()
    with pytest.raises(LeaseLost), first.held():
        pytest.fail("a stale owner got in")
    first.release()
    second.renew()


def test_a_claim_takes_all_rows_of_a_record_and_counts_the_due_ones(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueueService().enqueue(
        "contact", contact.pk, direction=QueueDirection.TO_NPD, cause=Cause.WEBHOOK, priority=Priority.EDIT
    )
    SyncQueue.objects.filter(direction="to_npd").update(next_retry="2999-01-01T00:00Z")
    (claimed,) = claim(taken(link), 100)
    assert {(row.direction, row.attempts, row.status) for row in claimed.rows} == {
        ("to_monday", 1, "in_progress"),
        ("to_npd", 0, "in_progress"),
    }
    assert claimed.causes == Cause.SAVE | Cause.WEBHOOK


def test_urgent_rows_come_first_and_no_more_than_asked_for(link: BoardLink) -> None:
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(5)]
    SyncQueueService().enqueue("contact", contacts[4].pk, cause=Cause.PERSON, priority=Priority.PERSON)
    found = claim(taken(link), 2)
    assert [c.entity_id for c in found] == [contacts[4].pk, contacts[0].pk]


def test_a_row_that_a_save_holds_is_passed_over_and_found_later(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    saving, go_on = threading.Event(), threading.Event()

    def save() -> None:
        with transaction.atomic():
            Contact.objects.filter(pk=contact.pk).update(notes="new")
            saving.set()
            go_on.wait(10)
        connection.close()

    thread = threading.Thread(target=save)
    thread.start()
    saving.wait(10)
    held = taken(link)
    assert claim(held, 100) == []
    go_on.set()
    thread.join()
    assert len(claim(held, 100)) == 1


def test_a_stale_owner_can_not_finish_rows_that_another_took_over(link: BoardLink, clock: Any) -> None:
    Contact.objects.create(name="Ann")
    first = taken(link)
    (old,) = claim(first, 100)
    clock(130)
    second = taken(link)
    (new,) = claim(second, 100)
    with transaction.atomic():
        assert finish.complete(old.rows, first.token) == 0
    assert SyncQueue.objects.get().status == QueueStatus.IN_PROGRESS
    with second.held():
        assert finish.complete(new.rows, second.token) == 1


def test_a_row_that_died_among_others_gets_its_attempt_back_and_comes_alone(
    link: BoardLink, clock: Any
) -> None:
    Contact.objects.bulk_create([Contact(name=f"P{n}") for n in range(3)])
    claim(taken(link), 100)
    clock(61)
    alone = claim(taken(link), 100)
    assert len(alone) == 1
    assert [row.attempts for row in alone[0].rows] == [1]
    assert {row.attempts for row in SyncQueue.objects.filter(status="pending")} == {0}


def test_a_row_that_kills_its_worker_when_it_comes_alone_ends_after_five(link: BoardLink, clock: Any) -> None:
    Contact.objects.create(name="Poison")
    for n in range(1, 6):
        (claimed,) = claim(taken(link), 100)
        assert claimed.rows[0].attempts == n
        clock(n * 3 * 3600)
    assert claim(taken(link), 100) == []
    row = SyncQueue.objects.get()
    assert (row.status, row.attempts) == ("failed", 5)
    assert "worker" in row.error_message


def test_a_returned_row_hands_over_to_the_row_of_a_save(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    held = taken(link)
    (claimed,) = claim(held, 100)
    Contact.objects.filter(pk=contact.pk).update(notes="saved meanwhile")
    with held.held():
        finish.fail(claimed.rows, held.token, "it failed")
    closed, waiting = SyncQueue.objects.order_by("id")
    assert (closed.status, closed.error_message) == ("completed", f"superseded by #{waiting.pk}")
    assert (waiting.status, waiting.attempts) == ("pending", 0)
    assert len(claim(held, 100)) == 1


def test_a_returned_row_hands_its_attempts_to_a_row_that_no_save_wrote(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.update(attempts=3)
    held = taken(link)
    (claimed,) = claim(held, 100)
    SyncQueueService().enqueue("contact", contact.pk, cause=Cause.SWEEP, priority=Priority.SWEEP)
    with held.held():
        finish.fail(claimed.rows, held.token, "it failed")
    waiting = SyncQueue.objects.get(status="pending")
    assert (waiting.attempts, waiting.priority) == (4, Priority.EDIT)
    assert claim(held, 100) == []


def test_a_dead_row_at_the_head_does_not_block_its_board(link: BoardLink) -> None:
    dead = Contact.objects.create(name="Dead")
    SyncQueue.objects.update(status="failed", attempts=5)
    fine = Contact.objects.create(name="Fine")
    assert [c.entity_id for c in claim(taken(link), 100)] == [fine.pk]
    assert SyncQueue.objects.get(entity_id=dead.pk).status == "failed"


def test_a_dead_letter_is_retried_with_all_its_attempts(link: BoardLink) -> None:
    Contact.objects.create(name="Ann")
    row = SyncQueue.objects.get()
    SyncQueue.objects.update(status="failed", attempts=5, error_message="it failed")
    retried = SyncQueueService().manual_retry(row.pk, by="lead")
    assert (retried.status, retried.attempts, retried.error_message) == ("pending", 0, "")
    assert SyncQueue.objects.get(pk=row.pk).error_message == "retried by lead"


def test_a_row_can_be_cancelled_and_says_by_whom(link: BoardLink) -> None:
    Contact.objects.create(name="Ann")
    row = SyncQueueService().cancel(SyncQueue.objects.get().pk, by="lead")
    assert (row.status, row.error_message) == ("completed", "cancelled by lead")


@pytest.mark.parametrize("act", ["manual_retry", "cancel"])
def test_a_row_in_flight_can_not_be_steered(link: BoardLink, act: str) -> None:
    Contact.objects.create(name="Ann")
    claim(taken(link), 100)
    with pytest.raises(QueueError, match="worked on"):
        getattr(SyncQueueService(), act)(SyncQueue.objects.get().pk, by="lead")


def test_steering_a_row_that_is_not_there_says_so() -> None:
    with pytest.raises(QueueError, match="no queue row"):
        SyncQueueService().cancel(4711, by="lead")


def test_saves_while_workers_claim_lose_no_change(link: BoardLink) -> None:
    """Saves and claims at the same time: every committed change is covered by a claim that began after it."""
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(10)]
    seen: dict[uuid.UUID, str] = {}
    done = threading.Event()

    def work() -> None:
        held = taken(link)
        while True:
            last = done.is_set()
            claimed = claim(held, 3)
            for one in claimed:
                seen[one.entity_id] = Contact.objects.get(pk=one.entity_id).notes  # type: ignore[index]
            with held.held():
                finish.complete([row for one in claimed for row in one.rows], held.token)
            if last and not claimed:
                break
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    for n in range(300):
        Contact.objects.filter(pk=contacts[n % 10].pk).update(notes=str(n))
    done.set()
    worker.join()
    assert seen == {contact.pk: str(290 + n) for n, contact in enumerate(contacts)}
