"""A holder whose database session is gone was killed, and its board is taken over at once. A living one keeps it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from celery import current_app
from django.db import connection, connections

from npd.models import Contact
from sync.clock import sync_now
from sync.kernel.db import fetch_rows
from sync.models import BoardLease, BoardLink, SyncQueue
from sync.outbox import wakeups
from sync.outbox.claim import MAX_LOST_HOLDERS, Lease, LeaseLost, acquire, claim, orphaned_boards
from sync.tasks import Scheduler
from tests.admin import states
from tests.support.waiting import wait_for

pytestmark = pytest.mark.django_db(transaction=True)

Found = TypeVar("Found")


class Worker:
    """A thread with its own database session, alive until it `dies`: a server sees no more of a kill than that."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1)

    def do(self, work: Callable[[], Found]) -> Found:
        return self.thread.submit(work).result(30)

    def takes(self, link: BoardLink) -> Lease:
        lease = self.do(lambda: acquire(link))
        assert lease is not None
        return lease

    def dies(self) -> None:
        pid = self.do(session)
        self.do(connections.close_all)  # the thread's own
        wait_for("the session has ended", lambda: not sessions(pid))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *failure: object) -> None:
        self.do(connections.close_all)
        self.thread.shutdown()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with Worker() as worker:
        yield worker


def session() -> int:
    return int(fetch_rows("SELECT pg_backend_pid()")[0][0])


def sessions(pid: int) -> int:
    return len(fetch_rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]))


def test_a_board_whose_holder_was_killed_is_taken_over_before_its_lease_ends(link: BoardLink, worker: Worker) -> None:
    first = worker.takes(link)
    worker.dies()
    assert (BoardLease.objects.get().expires - sync_now()).total_seconds() > 30
    assert acquire(link) is not None
    with pytest.raises(LeaseLost):
        first.renew()
    with pytest.raises(LeaseLost), first.transaction():
        pytest.fail("a holder whose board was taken over got in")


def test_a_session_that_has_the_number_of_the_holders_is_told_by_when_it_began(link: BoardLink, worker: Worker) -> None:
    worker.takes(link)
    BoardLease.objects.update(session_start=sync_now() - timedelta(days=1))
    assert orphaned_boards() == ["contact"]
    assert acquire(link) is not None


def test_a_holder_that_connects_anew_keeps_its_board_from_its_next_step_on(link: BoardLink, worker: Worker) -> None:
    lease = worker.takes(link)
    worker.dies()

    def step() -> None:
        with lease.transaction():
            pass

    worker.do(step)
    assert BoardLease.objects.get().session_pid == worker.do(session)
    assert acquire(link) is None


def test_a_lease_is_waited_out_by_a_pooler(link: BoardLink, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler gives clients numbers of its own, and its sessions don't show whom they serve."""
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.ConnectionInfo, "backend_pid", property(lambda info: 17))
        lease = worker.takes(link)
        with lease.transaction():
            pass
    worker.dies()
    assert BoardLease.objects.get().session_pid is None
    assert acquire(link) is None


@contextmanager
def as_somebody_who_may_see_no_other_roles_sessions() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE npd_test_other; GRANT ALL ON ALL TABLES IN SCHEMA public TO npd_test_other")
        cursor.execute("SET ROLE npd_test_other")
        try:
            yield
        finally:
            cursor.execute("RESET ROLE; DROP OWNED BY npd_test_other; DROP ROLE npd_test_other")


def test_a_holder_whose_session_another_role_may_not_see_is_taken_to_live(link: BoardLink, worker: Worker) -> None:
    worker.takes(link)
    BoardLease.objects.update(session_start=sync_now() - timedelta(days=1))  # which that role can't tell
    with as_somebody_who_may_see_no_other_roles_sessions():
        assert acquire(link) is None
        worker.dies()
        assert acquire(link) is not None


def test_a_worker_that_was_frozen_until_its_lease_had_expired_leaves_the_board(link: BoardLink) -> None:
    assert acquire(link, seconds=0) is None


def killed_again(link: BoardLink) -> None:
    with Worker() as worker:
        worker.takes(link)
        worker.dies()


def test_what_kills_every_worker_that_takes_the_board_soon_waits_for_each_lease(link: BoardLink) -> None:
    for _ in range(MAX_LOST_HOLDERS + 1):
        killed_again(link)
    assert acquire(link) is None
    assert orphaned_boards() == []
    BoardLease.objects.update(expires=sync_now())
    survivor = acquire(link)
    assert survivor is not None
    survivor.release()
    killed_again(link)
    assert acquire(link) is not None


def test_a_successor_passes_over_what_is_in_the_air_and_does_the_rest(link: BoardLink, worker: Worker) -> None:
    contacts = [Contact.objects.create(name=f"P{n}") for n in range(4)]
    lease = worker.takes(link)
    assert len(worker.do(lambda: claim(lease, 3))) == 3
    for contact, item in ((contacts[0], "7"), (contacts[1], "")):
        in_the_air = sync_now() + timedelta(seconds=90)
        states.intent(contact, item_id=item, deadline=in_the_air)
    worker.dies()
    successor, claims = acquire(link), []
    assert successor is not None
    while claimed := claim(successor, 100):
        claims += [[record.entity_id for record in claimed]]
    assert claims == [[contacts[2].pk], [contacts[3].pk]]
    passed_over = SyncQueue.objects.filter(status="pending")
    assert set(passed_over.values_list("entity_id", "attempts")) == {(c.pk, 0) for c in contacts[:2]}


def test_beat_wakes_a_worker_for_a_lost_board(link: BoardLink, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[Any] = []
    monkeypatch.setattr(wakeups, "INTERVAL_SECONDS", 0.0)  # its looks are two seconds apart
    monkeypatch.setattr(current_app, "send_task", lambda name, args, **options: woken.append(args))

    def ticks() -> list[Any]:
        woken.clear()
        assert 0 <= Scheduler(app=current_app).tick() <= 2
        return woken

    worker.takes(link)
    assert ticks() == []
    worker.dies()
    assert ticks() == [("contact",)]
    assert ticks() == [("contact",)]
    assert acquire(link) is not None
    assert ticks() == []


def test_of_many_that_would_take_over_one_does(link: BoardLink, worker: Worker) -> None:
    worker.takes(link)
    worker.dies()
    start, took = threading.Barrier(4), []

    def try_it() -> None:
        connection.ensure_connection()
        start.wait(20)
        took.append(acquire(link))

    with ExitStack() as stack:
        others = [stack.enter_context(Worker()) for _ in range(4)]
        for attempt in [other.thread.submit(try_it) for other in others]:
            attempt.result(30)
    assert len([lease for lease in took if lease]) == 1
