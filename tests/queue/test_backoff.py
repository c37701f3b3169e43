"""When a failed row is tried again, and the reason that it gives."""

import threading
import uuid
from typing import Any

import pytest
from django.db import transaction

from npd.models import Contact
from sync.models import SyncQueue
from tests.support.waiting import in_background, somebody_waits, wait_for
from tests.support.world import World

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = {"partial": {"every": 1, "code": "SomethingNewException"}, "on": "mutation", "count": 50}


def refused(world: World) -> Contact:
    """A contact whose change Monday refuses for an unknown reason."""
    contact = world.linked("Ann", role_title="Buyer")
    world.sandbox.faults(REFUSED)
    world.save(contact, role_title="Head")
    return contact


def test_after_five_failures_the_row_says_what_happened_in_which_request_and_what_to_do(world: World) -> None:
    contact = refused(world)
    for _ in range(4):
        assert world.row(contact).status == "pending"
        world.work(minutes=70)
    row = world.row(contact)
    assert (row.status, row.attempts) == ("failed", 5)
    request = world.sandbox.calls()[-1]["request_id"]
    assert f"[Monday request {request}]" in row.error_message
    sentence, advice = row.error_message.split("[Monday request")[0].split(". ", 1)
    assert sentence
    assert advice.strip().endswith(".")
    world.pass_time(minutes=200)
    calls = world.calls()
    world.work()
    assert world.calls() == calls


def test_rows_that_failed_together_come_back_in_one_pass(world: World) -> None:
    world.linked_together(5, role_title="Buyer")
    world.sandbox.faults(REFUSED)
    Contact.objects.update(role_title="Head")
    world.work()
    rows: Any = SyncQueue.objects.filter(status="pending", attempts=1)
    assert rows.count() == 5
    assert all(60 <= (row.next_retry - row.last_attempt).total_seconds() <= 61 for row in rows)
    before = world.calls()
    for _ in range(15):
        world.work(seconds=5)
    assert (rows.all().count(), world.calls() - before) == (0, 2)


FOREVER = 1_000_000
SERVER_ERROR = {"partial": {"every": 1, "code": "INTERNAL_SERVER_ERROR"}}


def create_never_answered(world: World, fault: dict[str, Any]) -> Contact:
    """A new contact whose create never gets a conclusive answer from Monday."""
    contact = world.contact("Ann")
    world.sandbox.faults(fault | {"naming": str(contact.pk), "on": "create_item", "count": FOREVER})
    world.work()
    return contact


def creates_carried_out(world: World) -> int:
    calls = [call for call in world.sandbox.calls() if "create_item" in call["fields"]]
    return sum(not call["replayed"] for call in calls)


def test_a_create_whose_outcome_stays_unknown_follows_the_attempts_of_its_record(world: World) -> None:
    contact = create_never_answered(world, SERVER_ERROR)
    attempts = {world.row(contact).attempts: 0}
    for minute in range(1, 100):
        world.work(minutes=1)
        attempts.setdefault(world.row(contact).attempts, minute)
    row = world.row(contact)
    assert (row.status, row.attempts) == ("failed", 5)
    assert "internal server error" in row.error_message.lower()
    waits = [attempts[number + 1] - attempts[number] for number in range(1, 5)]
    # Each wait includes the time in which a call may still land, and the time until a worker looks.
    for wait, minutes in zip(waits, (1, 5, 15, 60), strict=True):
        assert 0.9 * minutes - 1 <= wait <= 1.1 * minutes + 4
    assert creates_carried_out(world) <= 8


def test_a_claim_gives_way_to_a_save_and_never_kills_it(world: World) -> None:
    """A worker died with two records in flight; a successor claims while one transaction saves both."""
    first, second = sorted([world.linked("A"), world.linked("B")], key=lambda c: str(c.pk))
    SyncQueue.objects.all().delete()
    dead = {"status": "in_progress", "lease_token": uuid.uuid4(), "claim_size": 2, "attempts": 1, "counted": True}
    for contact in (first, second):
        SyncQueue.objects.create(entity_type="contact", entity_id=contact.pk, payload={}, causes=1, **dead)
    begun = threading.Event()

    def save() -> None:
        with transaction.atomic():
            Contact.objects.filter(pk=second.pk).update(notes="two")
            begun.set()
            wait_for("the claim, which has one record's row, waits for the other's", somebody_waits)
            Contact.objects.filter(pk=first.pk).update(notes="one")

    saving = in_background(save)
    begun.wait(5)
    world.work()
    saving.result(60)


def test_an_item_that_lands_after_the_last_attempt_is_linked_and_ends_the_failure(world: World) -> None:
    contact = create_never_answered(world, SERVER_ERROR)
    for _ in range(30):
        world.work(minutes=1)
    world.sandbox.control("faults", "DELETE")
    world.sandbox.faults(
        {"partial": SERVER_ERROR["partial"] | {"applied": True}, "on": "create_item", "count": FOREVER}
    )
    for _ in range(65):
        world.work(minutes=1)
    assert world.row(contact).status == "failed"
    assert [item["name"] for item in world.sandbox.items()] == ["Ann"]
    world.contact("Bo")
    world.work()
    assert world.status(contact) == "synced"
    assert not SyncQueue.objects.filter(entity_id=contact.pk, status="failed").exists()
