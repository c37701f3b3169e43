"""One writer per board, fenced finishes, and rows of workers that died."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client

from npd.models import Contact
from sync.choices import Cause, Priority, QueueDirection, QueueStatus
from sync.clock import sync_now
from sync.kernel.db import fetch_rows
from sync.models import BoardLease, BoardLink, SyncQueue
from sync.outbox import enqueue, enqueue_unmatched, finish
from sync.outbox.claim import Lease, LeaseLost, acquire, claim
from sync.queue import SyncQueueService
from sync.words.message import Message
from tests.support.clock import move_clock, reset_clock
from tests.support.waiting import in_background, somebody_waits_for_us, wait_for

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clock() -> Any:
    yield move_clock
    reset_clock()


DEAD = 500
BURY = """
    INSERT INTO sync_queue (entity_type, entity_id, status, attempts, finished_at, error_message, created_at)
    SELECT 'contact', gen_random_uuid(), 'failed', 5, sync_now(), '{"code": "closed_by_then", "params": {}}',
        sync_now() - number * interval '1 second'
    FROM generate_series(1, %s) AS number
"""


@pytest.mark.slow
def test_live_rows_among_thousands_of_dead_ones_go_on(link: BoardLink, admin_client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(BURY, [DEAD])
        cursor.execute("ANALYZE sync_queue")
        Contact.objects.bulk_create(Contact(name=f"Person {number}") for number in range(20))
        lease = lease_of(link)
        with transaction.atomic():
            before = reads(cursor)  # reads count for the whole test, which scans an empty table from end to end
            assert len(claim(lease, 100)) == 20
            whole, rows = (now - then for now, then in zip(reads(cursor), before, strict=True))
            transaction.set_rollback(True)
    assert whole == 0, "the table was read from end to end"
    assert rows < DEAD / 10
    stats = admin_client.get("/api/v1/sync/queue/stats").json()
    assert (stats["failed"], stats["due"]) == (DEAD, 20)
    listed = admin_client.get("/api/v1/sync/queue/?status=failed&page_size=100").json()
    assert (listed["count"], len(listed["results"])) == (DEAD, 100)
    for page in ("/admin/sync/syncqueue/", "/admin/sync/syncqueue/?status__exact=failed&p=2", "/admin/"):
        assert admin_client.get(page).status_code == 200


def reads(cursor: Any) -> tuple[int, int]:
    cursor.execute("SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'sync_queue'")
    counts: tuple[int, int] = cursor.fetchone()
    return counts


def lease_of(link: BoardLink) -> Lease:
    lease = acquire(link)
    assert lease is not None
    return lease


def test_a_lease_that_ran_out_is_taken_over_and_its_owner_learns_it(link: BoardLink, clock: Any) -> None:
    first = lease_of(link)
    clock(61)
    second = lease_of(link)
    with pytest.raises(LeaseLost):
        first.renew()
    with pytest.raises(LeaseLost), first.transaction():
        pytest.fail("a stale owner got in")
    first.release()
    second.renew()


def test_a_claim_takes_all_rows_of_a_record_and_counts_the_due_ones(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueueService().enqueue("contact", contact.pk, direction=QueueDirection.TO_NPD, cause=Cause.WEBHOOK)
    SyncQueue.objects.filter(direction="to_npd").update(next_retry="2999-01-01T00:00Z")
    (claimed,) = claim(lease_of(link), 100)
    expected = {("to_monday", 1, "in_progress"), ("to_npd", 0, "in_progress")}
    assert {(row.direction, row.attempts, row.status) for row in claimed.jobs} == expected
    assert claimed.causes == Cause.SAVE | Cause.WEBHOOK


def test_a_record_is_enqueued_by_its_type_and_id_alone(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueueService().enqueue("contact", contact.pk)
    [job] = SyncQueue.objects.filter(entity_id=contact.pk)
    assert (job.priority, Cause.PERSON in Cause(job.causes)) == (Priority.PERSON, True)


def test_a_row_that_a_save_holds_is_passed_over_and_found_later(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    saving, go_on = threading.Event(), threading.Event()

    def save() -> None:
        with transaction.atomic():
            Contact.objects.filter(pk=contact.pk).update(notes="new")
            saving.set()
            go_on.wait(10)

    saver = in_background(save)
    saving.wait(10)
    lease = lease_of(link)
    assert claim(lease, 100) == []
    go_on.set()
    saver.result(60)
    assert len(claim(lease, 100)) == 1


def test_a_stale_owner_can_not_finish_rows_that_another_took_over(link: BoardLink, clock: Any) -> None:
    Contact.objects.create(name="Ann")
    first = lease_of(link)
    (old,) = claim(first, 100)
    clock(130)
    second = lease_of(link)
    (new,) = claim(second, 100)
    with transaction.atomic():
        assert finish.complete(old.jobs, first.token) == 0
    assert SyncQueue.objects.get().status == QueueStatus.IN_PROGRESS
    with second.transaction():
        assert finish.complete(new.jobs, second.token) == 1


def test_jobs_of_a_dead_worker_come_together_then_in_quarters(link: BoardLink, clock: Any) -> None:
    """A record seldom causes a kill, and each part costs calls (bench/first_load.py)."""
    Contact.objects.bulk_create([Contact(name=f"P{n}") for n in range(40)])
    sizes = []
    for n in range(5):
        clock(n * 61)
        claimed = claim(lease_of(link), 100)
        sizes.append(len(claimed))
    assert sizes == [40, 40, 10, 2, 1]
    # Only the current attempt counts.
    assert [row.attempts for row in claimed[0].jobs] == [1]
    assert {row.attempts for row in SyncQueue.objects.filter(status="pending")} == {0}


def test_a_row_that_kills_its_worker_when_it_comes_alone_ends_after_five(link: BoardLink, clock: Any) -> None:
    Contact.objects.create(name="Poison")
    for n in range(1, 6):
        (claimed,) = claim(lease_of(link), 100)
        assert claimed.jobs[0].attempts == n
        clock(n * 3 * 3600)
    assert claim(lease_of(link), 100) == []
    row = SyncQueue.objects.get()
    assert (row.status, row.attempts) == ("failed", 5)
    assert "worker" in row.error_message


SWEEP = {"cause": Cause.SWEEP}
PERSON = {"cause": Cause.PERSON}


@pytest.mark.parametrize(
    ("asked", "attempts"), [({}, 0), (PERSON, 0), (SWEEP, 4)], ids=["a save", "a click", "a sweep"]
)
def test_a_returned_row_hands_over_to_the_next_one_with_its_attempts_only_where_nobody_did_anything(
    link: BoardLink, asked: dict[str, Any], attempts: int
) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.update(attempts=3)
    lease = lease_of(link)
    (claimed,) = claim(lease, 100)
    if asked:
        enqueue("contact", [contact.pk], **asked)
    else:
        Contact.objects.filter(pk=contact.pk).update(notes="saved meanwhile")
    with lease.transaction():
        finish.fail(claimed.jobs, lease.token, "it failed")
    closed, waiting = SyncQueue.objects.order_by("id")
    assert (closed.status, closed.error_message) == ("completed", f"superseded by #{waiting.pk}")
    assert (waiting.status, waiting.attempts) == ("pending", attempts)
    assert len(claim(lease, 100)) == (attempts == 0)


@pytest.mark.parametrize(
    ("news", "is_due"), [(Cause.WEBHOOK, True), (Cause.SAVE, True), (Cause.DEPENDENCY, False), (Cause.SWEEP, False)]
)
def test_of_what_came_during_a_pass_that_waits_news_are_due_and_the_rest_waits_with_it(
    link: BoardLink, news: Cause, is_due: bool
) -> None:
    contact = Contact.objects.create(name="Ann")
    lease = lease_of(link)
    (claimed,) = claim(lease, 100)
    enqueue("contact", [contact.pk], cause=news, priority=Priority.EDIT)
    with lease.transaction():
        finish.defer(claimed.jobs, lease.token, 3_000, Message("no_worker"), waits_for_writes=True)
    waiting = SyncQueue.objects.get(status="pending")
    assert (waiting.waits_for_writes, waiting.reason == Message("no_worker")) == (not is_due, not is_due)
    assert bool(claim(lease, 100)) is is_due


def test_of_rows_that_fail_together_the_one_that_goes_on_asks_for_what_all_asked_for(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.update(attempts=2)
    by_person = {"cause": Cause.PERSON, "direction": QueueDirection.TO_NPD}
    enqueue("contact", [contact.pk], payload={"by": "pat"}, **by_person)
    lease = lease_of(link)
    (claimed,) = claim(lease, 100)
    with lease.transaction():
        finish.fail(claimed.jobs, lease.token, "it failed")
    waiting = SyncQueue.objects.get(status="pending")
    assert (waiting.attempts, waiting.payload, waiting.priority) == (3, {"by": "pat"}, Priority.PERSON)
    assert Cause(waiting.causes) == Cause.SAVE | Cause.PERSON | Cause.FAILURE


def test_saves_while_workers_claim_lose_no_change(link: BoardLink) -> None:
    """Every committed change is covered by a claim that began after it."""
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(10)]
    notes: dict[uuid.UUID, str] = {}
    finished = threading.Event()

    def work() -> None:
        lease = lease_of(link)
        while True:
            last = finished.is_set()
            claimed = claim(lease, 3)
            for record in claimed:
                notes[record.entity_id] = Contact.objects.get(pk=record.entity_id).notes  # type: ignore[index]
            with lease.transaction():
                finish.complete([row for record in claimed for row in record.jobs], lease.token)
            if last and not claimed:
                break

    worker = in_background(work)
    for n in range(300):
        Contact.objects.filter(pk=contacts[n % 10].pk).update(notes=str(n))
    finished.set()
    worker.result(60)
    assert notes == {contact.pk: str(290 + n) for n, contact in enumerate(contacts)}


def ten_and_a_claim_of_two(link: BoardLink) -> tuple[list[Contact], Lease]:
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(10)]
    lease = lease_of(link)
    assert [c.entity_id for c in claim(lease, 2)] == [c.pk for c in contacts[:2]]
    return contacts, lease


def test_claims_go_on_by_time_but_for_what_is_more_urgent(link: BoardLink) -> None:
    contacts, lease = ten_and_a_claim_of_two(link)
    SyncQueueService().enqueue("contact", contacts[8].pk, cause=Cause.PERSON)
    assert [c.entity_id for c in claim(lease, 2)] == [contacts[8].pk, contacts[2].pk]
    assert [c.entity_id for c in claim(lease, 2)] == [contacts[3].pk, contacts[4].pk]


def test_claims_renew_the_lease_by_steps(link: BoardLink, clock: Any) -> None:
    def seconds_left() -> float:
        return (BoardLease.objects.get().expires - sync_now()).total_seconds()

    _, lease = ten_and_a_claim_of_two(link)
    before = BoardLease.objects.get().expires
    claim(lease, 2)
    assert BoardLease.objects.get().expires == before
    clock(40)
    assert seconds_left() < 30
    claim(lease, 2)
    assert seconds_left() > 55


@contextmanager
def just_before(words: str, act: Callable[[], object]) -> Iterator[None]:
    """Do something once, in another session, right before this one sends these words to the database."""
    acts = [act]

    def watch(execute: Any, sql: str, *args: Any) -> Any:
        if acts and words in sql:
            in_background(acts.pop()).result(60)
        return execute(sql, *args)

    with connection.execute_wrapper(watch):
        yield


@pytest.mark.parametrize("moment", ["UPDATE sync_queue AS waiting", "UPDATE sync_queue AS leaving"])
def test_a_save_at_any_moment_of_giving_back_keeps_its_row(link: BoardLink, moment: str) -> None:
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(3)]
    lease = lease_of(link)
    rows = [row for record in claim(lease, 100) for row in record.jobs]
    saved = contacts[1].pk
    save = partial(Contact.objects.filter(pk=saved).update, notes="saved meanwhile")
    with just_before(moment, save), lease.transaction():
        finish.release(rows, lease.token, "Monday is away.")
    waiting = {row.entity_id: row.reason for row in SyncQueue.objects.filter(status="pending")}
    assert waiting == {contacts[0].pk: "Monday is away.", saved: "", contacts[2].pk: "Monday is away."}
    closed = SyncQueue.objects.get(status="completed")
    assert (closed.entity_id, "superseded by" in closed.error_message) == (saved, True)
    assert SyncQueue.objects.get(error_message__says="superseded") == closed


ID = uuid.uuid4()


@pytest.fixture
def lease(link: BoardLink) -> Lease:
    return lease_of(link)


def asked_for(**more: Any) -> None:
    enqueue("contact", [ID], **{"cause": Cause.SWEEP, **more})


def test_a_second_reason_joins_the_waiting_row_and_makes_it_more_urgent_never_less() -> None:
    asked_for(payload={"a": 1})
    SyncQueue.objects.update(next_retry=sync_now() + timedelta(hours=1))
    asked_for(cause=Cause.PERSON, payload={"by": "mary"})
    asked_for(cause=Cause.SWEEP, priority=Priority.LOAD)
    row = SyncQueue.objects.get()
    assert (row.priority, row.causes) == (Priority.PERSON, Cause.SWEEP | Cause.PERSON)
    assert row.payload == {"a": 1, "by": "mary"}
    assert row.next_retry <= sync_now()


@pytest.mark.parametrize(
    ("cause", "priority"),
    [
        (Cause.SAVE, Priority.EDIT),
        (Cause.PERSON, Priority.PERSON),
        (Cause.WEBHOOK, Priority.EDIT),
        (Cause.SWEEP, Priority.SWEEP),
        (Cause.DEPENDENCY, Priority.EDIT),
    ],
)
def test_a_job_is_as_urgent_as_its_cause(link: BoardLink, cause: Cause, priority: Priority) -> None:
    enqueue("contact", [ID], cause=cause)
    enqueue_unmatched("contact", ["601"], cause=cause)
    assert list(SyncQueue.objects.values_list("priority", flat=True)) == [priority, priority]


def test_a_persons_click_comes_first_then_edits_then_sweeps_then_a_load(lease: Lease) -> None:
    ids = {priority: uuid.uuid4() for priority in reversed(Priority)}
    for priority, entity_id in ids.items():
        SyncQueueService().enqueue("contact", entity_id, cause=Cause.SWEEP, priority=priority)
    order = [claim(lease, 1)[0].entity_id for _ in Priority]
    assert order == [ids[priority] for priority in Priority]


def test_no_pass_takes_a_persons_request_before_its_record_is_pending(link: BoardLink) -> None:
    contact = Contact.objects.create(name="Ann")
    SyncQueue.objects.all().delete()
    Contact.objects.update(sync_status="synced")
    with transaction.atomic():
        Contact.objects.select_for_update(no_key=True).get()
        request = in_background(partial(enqueue, "contact", [contact.pk], cause=Cause.PERSON))
        wait_for("the request waits for the record's row", somebody_waits_for_us)
        assert not SyncQueue.objects.exists()
    request.result(60)
    contact.refresh_from_db()
    assert (SyncQueue.objects.count(), contact.sync_status) == (1, "pending")


def test_a_pass_gives_way_before_postgresql_ends_a_save_that_it_waits_for(link: BoardLink) -> None:
    """PostgreSQL ends one of two transactions that wait for each other once either has waited for deadlock_timeout."""
    waits = "SELECT current_setting('lock_timeout')::interval, current_setting('deadlock_timeout')::interval"
    with lease_of(link).transaction():
        [(before_a_pass_gives_way, before_a_deadlock_ends)] = fetch_rows(waits)
    assert timedelta(0) < before_a_pass_gives_way < before_a_deadlock_ends


def test_a_claim_gives_way_to_whoever_holds_the_lease_row(link: BoardLink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.kernel.db.MAX_ATTEMPTS", 1)
    monkeypatch.setattr("sync.outbox.claim.LOCK_TIMEOUT_MS", 20)
    Contact.objects.create(name="Ann")
    lease = lease_of(link)
    options = connection.get_connection_params()
    with psycopg.connect(
        **{k: options[k] for k in ("host", "port", "user", "password", "dbname") if k in options}
    ) as db:
        db.execute("SELECT 1 FROM sync_board_leases FOR UPDATE")
        with pytest.raises(OperationalError, match="lock timeout"):
            claim(lease, 100)
    assert len(claim(lease, 100)) == 1
