"""What people decided, and records and items that come and go, while a board is paused: all of it waits."""

from typing import Any

import pytest
from django.db import connection

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.models import SyncQueue
from tests.lifecycle.conftest import asked, choose, pat
from tests.lifecycle.test_candidates import twins
from tests.support.people import unlink
from tests.support.world import World

__all__ = ["pat"]

pytestmark = pytest.mark.django_db(transaction=True)


def paused(world: World) -> int:
    """Pause the board; returns how many calls had changed something until then."""
    world.queue.pause("mary", entity_type="contact")
    return world.calls("mutation")


def resumed(world: World) -> None:
    assert world.queue.resume("mary", entity_type="contact")
    for _ in range(2):
        world.work()
        world.deliver()
    world.work()


def test_an_unlinking_waits(world: World) -> None:
    contact = world.linked("Ann")
    item = contact.monday_id
    before = paused(world)
    unlink(contact)
    world.edit(contact, "notes", "looked at")
    world.hear()
    contact.refresh_from_db()
    assert (world.calls("mutation"), contact.monday_id, contact.sync_enabled) == (before, item, True)
    resumed(world)
    contact.refresh_from_db()
    assert (contact.monday_id, contact.sync_enabled) == (None, False)


def test_a_pause_right_before_two_records_are_united_keeps_them_apart(world: World, pat: Any) -> None:
    known, made = twins(world)
    choose(asked(made.pk, "identity"), pat, "custom", f"same:{known.pk}")
    before: list[int] = []

    def late(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "pg_advisory_xact_lock_shared" in sql and not before:
            # The pass read before that nothing is paused, and asks once more, with the lock.
            before.append(paused(world))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(late):
        world.work()
    assert before
    assert Contact.objects.count() == 2
    assert asked(made.pk, "identity").is_being_applied
    resumed(world)
    assert list(Contact.objects.all()) == [known]


def test_a_copy_keeps_the_npd_id_until_writing_is_resumed(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.test")
    before = paused(world)
    copy = str(world.sandbox.act("duplicate", item_id=contact.monday_id)["id"])
    world.hear(seconds=11)
    reads = world.calls()
    world.work()
    assert (world.calls("mutation"), world.calls()) == (before, reads)
    assert not SyncConflict.objects.exists()
    [row] = SyncQueue.objects.filter(status="pending")
    assert (row.remote_id, row.direction, row.attempts) == (copy, "to_npd", 0)
    resumed(world)
    assert asked(contact.pk, "identity").monday_item_id == copy
    assert world.values(contact)["npd_id"] == str(contact.pk)
