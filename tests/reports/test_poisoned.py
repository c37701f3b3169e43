"""Monday fails every write of some records: these wait alone, and cost few calls."""

import pytest

from npd.models import Contact
from tests.reports.test_writes_down import new_contacts, synced_contacts, unsynced, writes_fail
from tests.support.world import World


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
