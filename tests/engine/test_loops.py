"""A field that an automation on the board rewrites after each of our writes is answered a few times, then throttled."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import Decision, FieldMapping, WriteLoop
from tests.support.world import World

AUTOMATIONS = -4
LIMIT = 3


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.LOOP_TIMES = LIMIT


def rewrite(world: World, contact: Contact, value: str = "AUTOMATIC") -> None:
    """What a Monday automation does with our value."""
    world.sandbox.act("edit", item_id=contact.monday_id, column_id="role_title", value=value, user_id=AUTOMATIONS)
    world.hear()


def one_way(world: World) -> Contact:
    contact = world.linked(role_title="Ours")
    FieldMapping.objects.filter(key="role_title").update(direction="npd_to_monday")
    return contact


def loop(world: World, contact: Contact, rounds: int = 10) -> int:
    """The automation rewrites whatever we write, so often; returns how many mutations of ours that cost."""
    before = world.calls("mutation")
    for _ in range(rounds):
        if world.values(contact)["role_title"] == "AUTOMATIC":
            break
        rewrite(world, contact)
    return world.calls("mutation") - before


def test_a_field_that_is_rewritten_after_each_write_is_damped_before_it_burns_the_allowance(world: World) -> None:
    contact = one_way(world)
    mutations = loop(world, contact)
    assert mutations == LIMIT - 1
    assert (world.status(contact), world.values(contact)["role_title"]) == ("pending", "AUTOMATIC")
    assert Decision.objects.filter(entity_id=contact.pk, kind="loop").count() == 1
    throttled = WriteLoop.objects.get(entity_id=contact.pk, key="role_title")
    assert (throttled.throttled_until is not None, throttled.by) == (True, "Monday user -4")
    world.save(contact, notes="from NPD")
    assert (world.values(contact)["notes"], world.values(contact)["role_title"]) == ("from NPD", "AUTOMATIC")
