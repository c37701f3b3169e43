"""Two beats, or two workers with the same message: a task that comes twice at once does its work once."""

from npd.models import Contact
from sync import tasks
from sync.models import BoardLease, SyncQueue
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
