"""What two people changed differently waits for a person, and everything else flows."""

from typing import Any

from tests.engine.conftest import choose, clash
from tests.support.world import World


def test_a_choice_whose_look_became_a_dead_letter_can_be_made_anew(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    with world.broken():
        world.give_up_on(contact)
    choose(conflict, person, "keep_monday")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")
