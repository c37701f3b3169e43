"""Monday fails every write of some records: these wait alone, and cost few calls."""

import pytest

from npd.models import Contact
from sync import attention
from sync.attention import Kind
from sync.limits import probes
from sync.models import SyncQueue
from tests.limits.conftest import Planned, monday
from tests.reports.test_writes_down import new_contacts, synced_contacts, unsynced, writes_fail, writes_work
from tests.support.world import World

__all__ = ["monday"]


def poison(world: World) -> None:
    writes_fail(world, naming="poison")


def calls_each_half_minute(world: World, minutes: int) -> int:
    """Calls of workers that run every half minute, while the failing records are found."""
    before = world.calls()
    for _ in range(2 * minutes):
        world.work(seconds=30)
    return world.calls() - before


def synced_at_once(world: World, contact: Contact, hours: int = 3) -> None:
    """Saves are not delayed by records that always fail, now and in the next hours."""
    world.save(contact, role_title="Now")
    assert world.status(contact) == "synced"
    for hour in range(hours):
        world.pass_time(hours=1)
        world.work()
        world.save(contact, role_title=f"After {hour} hours")
        assert world.status(contact) == "synced"


@pytest.mark.parametrize("kind", ["create", pytest.param("change", marks=pytest.mark.hostile)])
def test_one_that_always_fails_waits_alone(world: World, kind: str) -> None:
    if kind == "change":
        synced_contacts(world, 21)
    poison(world)
    before = world.calls()
    if kind == "change":
        Contact.objects.update(notes="New")
    else:
        new_contacts(21)
    Contact.objects.filter(name="P007").update(notes="poison")
    calls_each_half_minute(world, 10)
    assert unsynced() == ["P007"]
    assert world.calls() - before <= 45
    synced_at_once(world, world.contact("Bob"))
    assert world.calls() - before <= 75


def calls_in_vain(world: World) -> int:
    """Calls of an hour that carried out no write: look-ups, probes and repeats."""
    before = world.calls()
    for _ in range(12):
        world.work(minutes=5)
    return sum(call["kind"] != "mutation" or call["status"] != 200 for call in world.sandbox.calls()[before:])


@pytest.mark.parametrize("kind", ["create", pytest.param("change", marks=pytest.mark.hostile)])
def test_many_that_always_fail_hold_the_others_two_hours_at_most_and_fail_after_five_attempts(
    world: World, kind: str
) -> None:
    if kind == "change":
        synced_contacts(world, 40)
        Contact.objects.update(notes="New")
    else:
        new_contacts(40)
    poison(world)
    poisoned = [f"P{number:03}" for number in range(1, 40, 5)]
    Contact.objects.filter(name__in=poisoned).update(notes="poison")
    assert calls_in_vain(world) <= 50
    assert calls_in_vain(world) <= 20
    assert unsynced() == poisoned
    for _ in range(8):
        assert calls_in_vain(world) <= 20
    jobs = list(SyncQueue.objects.filter(status="failed"))
    assert [job.attempts for job in jobs] == [5] * len(poisoned)
    assert len(attention.entries(attention.waiting(kinds=[Kind.FAILED]))) == len(poisoned)
    writes_work(world)
    for job in jobs:
        world.queue.manual_retry(job.pk, by="lead")
    world.work()
    world.work(minutes=3)
    assert unsynced() == []


def test_many_that_always_fail_take_a_tenth_of_the_days_calls(world: World, monday: Planned) -> None:
    monday.limits(plan="standard", day=1_000)
    new_contacts(40)
    poison(world)
    Contact.objects.filter(name__in=[f"P{number:03}" for number in range(0, 40, 4)]).update(notes="poison")
    before = world.calls()
    for _ in range(11 * 6):
        world.work(minutes=10)
    assert world.calls() - before <= 100


def test_what_waits_behind_others_that_failed_is_tried_once_a_person_tries_again(world: World) -> None:
    synced_contacts(world, 40)
    poison(world)
    Contact.objects.update(notes="poison")
    Contact.objects.filter(name__in=["P000", "P013"]).update(notes="New")
    calls_in_vain(world)
    assert SyncQueue.objects.filter(status="pending", waits_for_writes=True).exists()
    writes_work(world)
    probes.try_again()
    world.work()
    assert unsynced() == []
