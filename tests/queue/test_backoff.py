"""When a row that failed is tried again, and what it says of why."""

from typing import Any

import pytest

from npd.models import Contact
from sync.boards import link_of
from sync.clock import sync_now
from sync.models import SyncQueue
from sync.standstill import standstill
from tests.engine.conftest import World, world

__all__ = ["world"]

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {"partial": {"every": 1, "code": "SomethingNewException"}, "on": "mutation", "count": 50}


def refused(world: World) -> Contact:
    """A contact whose change Monday refuses, for a reason that nobody knows yet."""
    contact = world.linked("Ann", role_title="Buyer")
    world.sandbox.faults(REFUSED)
    Contact.objects.filter(pk=contact.pk).update(role_title="Head")
    world.work()
    return contact


def test_after_five_failures_the_row_says_what_happened_in_which_request_and_what_to_do(world: World) -> None:
    contact = refused(world)
    for _ in range(4):
        assert world.row(contact).status == "pending"
        world.pass_time(minutes=70)
        world.work()
    row = world.row(contact)
    assert (row.status, row.attempts) == ("failed", 5)
    request = world.sandbox.calls()[-1]["request_id"]
    assert f"[Monday request {request}]" in row.error_message
    said, advice = row.error_message.split("[Monday request")[0].split(". ", 1)
    assert said
    assert advice.strip().endswith(".")
    world.pass_time(minutes=200)
    calls = world.calls()
    world.work()
    assert world.calls() == calls


def test_a_wait_that_monday_asks_for_wins_where_it_is_longer_than_the_backoff(world: World) -> None:
    contact = refused(world)
    assert world.row(contact).attempts == 1
    other = world.contact("Ben")
    world.sandbox.control("faults", "DELETE")
    world.sandbox.faults({"status": 429, "retry_after": 600})
    world.work()
    assert world.status(other) == "pending"
    world.pass_time(minutes=2)
    assert world.row(contact).next_retry < sync_now()
    held = standstill("contact", link_of("contact"))
    assert held.until is not None
    assert held.until > sync_now()
    calls = world.calls()
    world.work()
    assert (world.calls(), world.row(contact).attempts) == (calls, 1)
    world.pass_time(minutes=10)
    world.work()
    assert world.status(contact) == "synced"


def test_the_backoff_wins_where_monday_asks_for_less(world: World) -> None:
    contact = refused(world)
    world.contact("Ben")
    world.sandbox.control("faults", "DELETE")
    world.sandbox.faults({"status": 429, "retry_after": 5})
    world.work()
    world.pass_time(seconds=10)
    world.work()
    assert (world.row(contact).status, world.row(contact).attempts) == ("pending", 1)
    world.pass_time(seconds=60)
    world.work()
    assert world.status(contact) == "synced"


def test_rows_that_failed_together_do_not_come_back_at_the_same_moment(world: World) -> None:
    for n in range(5):
        world.linked(f"P{n}", role_title="Buyer")
    world.sandbox.faults(REFUSED)
    Contact.objects.update(role_title="Head")
    world.work()
    rows: Any = SyncQueue.objects.filter(status="pending", attempts=1)
    waits = {row.next_retry - row.last_attempt for row in rows}
    assert len(waits) == rows.count() == 5
    assert all(54 <= wait.total_seconds() <= 66 for wait in waits)
