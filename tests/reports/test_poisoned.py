"""Monday fails every write of some records: these wait alone, and cost few calls."""

from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.db.models import F

from npd.models import Contact, Organization
from sync.models import FieldMapping, WebhookEvent
from tests.reports.test_writes_down import new_contacts, synced_contacts, unsynced, writes_fail, writes_stopped
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


@pytest.mark.parametrize("kind", ["create", "change"])
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


def add_records(model: Any, healthy: int, poisoned: int) -> None:
    """Add records with seeded ids, of which the poisoned ones are at seeded places: probes are chosen by id."""
    random = Random(f"{model.__name__} 1")
    notes = ["poison"] * poisoned + [""] * healthy
    random.shuffle(notes)
    ids = [UUID(int=random.getrandbits(128), version=4) for _ in notes]
    model.objects.bulk_create(
        [model(pk=pk, name=f"P{n:03}", notes=text) for n, (pk, text) in enumerate(zip(ids, notes, strict=True))]
    )


def healthy_unsynced() -> int:
    contacts = Contact.objects.exclude(sync_status="synced").exclude(notes="poison")
    organizations = Organization.objects.exclude(sync_status="synced").exclude(notes="poison")
    return contacts.count() + organizations.count()


def test_two_boards_poisoned_rows_cost_fifty_calls_at_first_then_twenty(world: World) -> None:
    poison(world)
    add_records(Organization, 4, 4)
    add_records(Contact, 12, 4)
    # This includes the calls that write the sixteen others.
    assert world.calls_while(60, seconds=30) <= 50
    assert healthy_unsynced() == 0
    assert world.calls_while(60) <= 20


def test_a_pull_whose_settings_changed_is_decided_anew_at_once_while_writes_are_stopped(world: World) -> None:
    ann = world.linked("Ann", role_title="Old")
    writes_stopped(world)
    writes = world.calls("mutation")
    world.edit(ann, "role_title", "Theirs")
    world.deliver()
    role = FieldMapping.objects.filter(link=world.link(), key="role_title")
    world.meanwhile(lambda: role.update(version=F("version") + 1), after="read")
    world.work(ann, seconds=1)
    assert (ann.role_title, world.status(ann)) == ("Old", "conflict")
    assert world.calls("mutation") == writes


def test_a_record_whose_item_has_a_delivery_since_it_was_made_is_synced_once_that_is_looked_at(world: World) -> None:
    ann = world.contact("Ann", email="ann@example.com")
    world.meanwhile(world.deliver, after="mutation")
    world.work()
    assert world.status(ann) == "synced"
    assert not WebhookEvent.objects.filter(processed_at=None).exists()
