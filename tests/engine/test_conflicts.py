"""What two people changed differently waits for a person, and everything else flows."""

from typing import Any

import pytest
from django.contrib.auth import get_user_model

from conflicts.models import SyncConflict
from conflicts.resolution import resolve
from npd.models import Contact, Organization
from sync.models import Intent
from tests.engine.conftest import World


@pytest.fixture
def person(transactional_db: None) -> Any:
    return get_user_model().objects.create_superuser("lead", "lead@example.com", "x")


def clash(world: World, **more: str) -> tuple[Contact, SyncConflict]:
    """A contact whose role both sides changed differently."""
    contact = world.linked(role_title="Old", notes="old", phone="+442079460018")
    world.edit(contact, "role_title", "Monday's")
    Contact.objects.filter(pk=contact.pk).update(role_title="NPD's", **more)
    world.work()
    return contact, SyncConflict.objects.get(entity_id=contact.pk)


def choose(conflict: SyncConflict, person: Any, type_: str = "merge", **selection: Any) -> None:
    conflict.refresh_from_db()
    seen = {
        k: {"npd": conflict.npd_data[k], "monday": conflict.monday_data[k]} for k in conflict.conflict_fields
    }
    resolve(conflict.pk, by=person, resolution_type=type_, selections=selection, seen=seen)


def test_a_clash_becomes_a_conflict_with_all_three_values(world: World) -> None:
    contact, conflict = clash(world)
    assert world.status(contact) == "conflict"
    assert conflict.conflict_fields == ["role_title"]
    assert conflict.npd_data == {"role_title": "NPD's"}
    assert conflict.monday_data == {"role_title": "Monday's"}
    assert conflict.base_data == {"role_title": "Old"}
    assert (contact.role_title, world.values(contact)["role_title"]) == ("NPD's", "Monday's")


def test_the_other_fields_of_a_record_in_conflict_still_flow(world: World) -> None:
    contact, _ = clash(world, notes="from NPD")
    world.edit(contact, "phone", {"phone": "+442079460999", "countryShortName": "GB"})
    world.deliver()
    world.work()
    assert world.values(contact)["notes"] == "from NPD"
    assert (world.status(contact), contact.phone) == ("conflict", "+442079460999")


@pytest.mark.parametrize(
    ("type_", "selection", "result"),
    [
        ("keep_npd", {}, "NPD's"),
        ("keep_monday", {}, "Monday's"),
        ("merge", {"role_title": {"choose": "npd"}}, "NPD's"),
        ("merge", {"role_title": {"choose": "monday"}}, "Monday's"),
        ("merge", {"role_title": {"choose": "base"}}, "Old"),
        ("merge", {"role_title": {"choose": "custom", "value": "Typed"}}, "Typed"),
    ],
)
def test_a_choice_is_written_on_both_sides(
    world: World, person: Any, type_: str, selection: dict[str, Any], result: str
) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, type_, **selection)
    world.work()
    conflict.refresh_from_db()
    assert (world.status(contact), contact.role_title) == ("synced", result)
    assert world.values(contact)["role_title"] == result
    assert conflict.resolved_at is not None
    assert (conflict.resolution_type, conflict.resolved_by) == (type_, person)
    assert conflict.resolved_data == {"role_title": result}


def test_a_choice_for_values_that_moved_on_is_handed_back(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    world.edit(contact, "role_title", "Edited after the choice")
    world.work()
    conflict.refresh_from_db()
    assert world.status(contact) == "conflict"
    assert conflict.resolved_at is None
    assert conflict.monday_data == {"role_title": "Edited after the choice"}
    assert world.values(contact)["role_title"] == "Edited after the choice"
    assert "chose" in conflict.choice_problem


def test_of_two_choices_the_one_that_still_holds_is_carried_out(world: World, person: Any) -> None:
    contact = world.linked(role_title="Old", notes="old")
    world.edit(contact, "role_title", "M role")
    world.edit(contact, "notes", "M notes")
    Contact.objects.filter(pk=contact.pk).update(role_title="N role", notes="N notes")
    world.work()
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    choose(conflict, person, "keep_npd")
    world.edit(contact, "notes", "M notes, later")
    world.work()
    conflict.refresh_from_db()
    assert conflict.conflict_fields == ["notes"]
    assert world.values(contact)["role_title"] == "N role"
    assert world.values(contact)["notes"] == "M notes, later"


def test_a_conflict_that_people_settle_by_hand_closes_by_itself(world: World) -> None:
    contact, conflict = clash(world)
    world.edit(contact, "role_title", "NPD's")
    world.deliver()
    world.work()
    conflict.refresh_from_db()
    assert world.status(contact) == "synced"
    assert conflict.resolution_type == "auto"


def test_a_choice_survives_a_call_that_fails_and_is_carried_out_later(world: World, person: Any) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "merge", role_title={"choose": "custom", "value": "Typed"})
    world.sandbox.faults({"timeout": "before", "on": "mutation"})
    world.work()
    conflict.refresh_from_db()
    assert (conflict.resolved_at, contact.role_title) == (None, "NPD's") or world.status(
        contact
    ) == "conflict"
    world.wait_out()
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    assert (world.status(contact), contact.role_title) == ("synced", "Typed")
    assert world.values(contact)["role_title"] == "Typed"


def test_a_choice_whose_answer_was_lost_is_found_done_and_not_written_twice(
    world: World, person: Any
) -> None:
    contact, conflict = clash(world)
    choose(conflict, person, "keep_npd")
    world.sandbox.faults({"timeout": "after", "on": "mutation"})
    world.work()
    world.wait_out()
    world.work()
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    assert (world.status(contact), world.values(contact)["role_title"]) == ("synced", "NPD's")
    assert not Intent.objects.filter(state="open").exists()


def test_turning_sync_off_closes_the_conflict_and_keeps_its_values(world: World) -> None:
    contact, conflict = clash(world)
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    world.work()
    conflict.refresh_from_db()
    assert world.status(contact) == "disabled"
    assert conflict.resolved_at is not None
    assert conflict.monday_data == {"role_title": "Monday's"}


def test_taking_the_items_unsplittable_address_puts_all_of_it_into_the_record(
    world: World, person: Any
) -> None:
    organization = Organization.objects.create(
        name="Ltd", address_street="12 Main St", address_city="Springfield"
    )
    world.work()
    world.edit(organization, "address", "Floor 3, 14 Main St, Springfield, IL")
    world.look(organization)
    choose(SyncConflict.objects.get(entity_id=organization.pk), person, "keep_monday")
    world.work()
    assert world.status(organization) == "synced"
    assert organization.address_street == "Floor 3, 14 Main St, Springfield, IL"
    assert world.values(organization)["address"] == "Floor 3, 14 Main St, Springfield, IL"


def test_a_first_match_that_differs_is_asked_about(world: World) -> None:
    world.sandbox.act(
        "add",
        board_id=world.board_id(),
        name="Ann",
        values={"email": {"email": "a@example.com", "text": "a@example.com"}, "role_title": "M"},
    )
    contact = world.contact("Ann", email="a@example.com", role_title="N")
    world.work()
    assert world.status(contact) == "conflict"
    assert len(world.sandbox.items()) == 1
    assert SyncConflict.objects.get(entity_id=contact.pk).conflict_fields == ["role_title"]
