"""What people decided, and records and items that come and go, while a direction is paused: all of it waits."""

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

UP = {"entity_type": "contact", "direction": "to_monday"}
DOWN = {"entity_type": "contact", "direction": "to_npd"}


def paused(world: World, what: dict[str, str]) -> int:
    """Pause that way; returns how many calls had changed something until then."""
    world.queue.pause("mary", **what)
    return world.calls("mutation")


def resumed(world: World, what: dict[str, str]) -> None:
    assert world.queue.resume("mary", **what)
    for _ in range(2):
        world.work()
        world.deliver()
    world.work()


def touched(world: World, record: Any) -> None:
    """Somebody edits another cell, so that there is a look for another reason."""
    world.edit(record, "notes", "looked at")
    world.hear()


def test_an_unlinking_waits_also_where_only_taking_over_is_paused(world: World) -> None:
    contact = world.linked("Ann")
    item = contact.monday_id
    before = paused(world, DOWN)
    unlink(contact)
    touched(world, contact)
    contact.refresh_from_db()
    assert (world.calls("mutation"), contact.monday_id, contact.sync_enabled) == (before, item, True)
    resumed(world, DOWN)
    contact.refresh_from_db()
    assert (contact.monday_id, contact.sync_enabled) == (None, False)


def test_a_pause_right_before_two_records_are_united_keeps_them_apart(world: World, pat: Any) -> None:
    known, made = twins(world)
    choose(asked(made.pk, "identity"), pat, "custom", f"same:{known.pk}")
    before: list[int] = []

    def late(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "pg_advisory_xact_lock_shared" in sql and not before:
            # The pass read before that nothing is paused, and asks once more, with the lock.
            before.append(paused(world, DOWN))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(late):
        world.work()
    assert before
    assert Contact.objects.count() == 2
    assert asked(made.pk, "identity").is_being_applied
    resumed(world, DOWN)
    assert list(Contact.objects.all()) == [known]


def test_a_copy_keeps_the_npd_id_until_writing_is_resumed(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.test")
    before = paused(world, UP)
    copy = str(world.sandbox.act("duplicate", item_id=contact.monday_id)["id"])
    world.hear(seconds=11)
    reads = world.calls()
    world.work()
    assert (world.calls("mutation"), world.calls()) == (before, reads)
    assert not SyncConflict.objects.exists()
    [row] = SyncQueue.objects.filter(status="pending")
    assert (row.remote_id, row.direction, row.attempts) == (copy, "to_monday", 0)
    resumed(world, UP)
    assert asked(contact.pk, "identity").monday_item_id == copy
    assert world.values(contact)["npd_id"] == str(contact.pk)
