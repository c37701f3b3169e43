"""Two beats, or two workers with the same message: a task that comes twice at once does its work once."""

from __future__ import annotations

from datetime import timedelta

from npd.models import Contact
from sync import tasks
from sync.clock import sync_now
from sync.models import BoardLease, BoardLink, SyncQueue
from tests.support.waiting import at_once
from tests.support.world import World

TIMES = 3


def test_due_rows_are_worked_once(world: World) -> None:
    Contact.objects.bulk_create(Contact(name=f"P{number:02}") for number in range(30))
    at_once(*[tasks.sweep] * TIMES)
    world.work()
    assert sorted(item["name"] for item in world.sandbox.items()) == [f"P{number:02}" for number in range(30)]
    assert not SyncQueue.objects.exclude(status="completed").filter(entity_type="contact", attempts__gt=1).exists()
    assert not BoardLease.objects.exclude(token=None).exists()


def test_each_board_is_compared_once(world: World) -> None:
    BoardLink.objects.update(compared_at=sync_now() - timedelta(hours=30))
    before = world.calls()
    tasks.compare_boards()
    once = world.calls() - before
    BoardLink.objects.update(compared_at=sync_now() - timedelta(hours=30))
    at_once(*[tasks.compare_boards] * TIMES)
    assert world.calls() - before == 2 * once
