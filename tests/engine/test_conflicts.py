"""What two people changed differently waits for a person, and everything else flows."""

from typing import Any

from conflicts.case import conflict_progress
from conflicts.models import SyncConflict
from sync.models import FieldMapping
from tests.engine.conftest import choose, clash
from tests.support.world import World


def test_a_choice_is_written_on_both_sides(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "merge", role_title={"choose": "base"})
    world.work(conflict)
    assert (world.status(contact), contact.role_title) == ("synced", "Old")
    assert world.values(contact)["role_title"] == "Old"
    assert conflict.resolved_at is not None
    assert (conflict.resolution_type, conflict.resolved_by) == ("merge", person)
    assert conflict.resolved_data == {"role_title": "Old"}
    # Not as JSON's null either, which is not the column's.
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def test_a_choice_whose_look_became_a_dead_letter_can_be_made_anew(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    with world.broken():
        world.give_up_on(contact)
    choose(conflict, person, "keep_monday")
    world.work()
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")


def test_a_refused_choice_is_handed_back_with_the_value_that_was_refused(world: World, person: Any) -> None:
    contact = world.linked(phone="+12025550112")
    world.edit(contact, "phone", {"phone": "+12025550147", "countryShortName": "US"})
    world.save(contact, phone="+12025550199")
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    choose(conflict, person, "merge", phone={"choose": "custom", "value": "5"})
    world.work(conflict)
    assert "“5”" in conflict.resolution_problem
    assert "Choose another value" in conflict.resolution_problem


def test_a_choice_that_waits_for_a_held_field_says_so(world: World, person: Any) -> None:
    _, conflict = clash(world)
    world.delete_column("role_title")
    choose(conflict, person, "keep_monday")
    world.work(conflict)
    problem = FieldMapping.objects.get(key="role_title", link__entity_type="contact").problem
    assert problem
    assert problem in conflict_progress(conflict).delay_reason
