"""Taking back what the sync moved: only where it still stands, through NPD's own field, and again if need be."""

from collections.abc import Callable
from typing import Any

import pghistory.models
import pytest
from django.contrib.auth.models import User

from npd.models import Contact, Organization
from sync.models import Decision, FieldMapping
from sync.operations.decision_undo import decisions_of_batch, plan_decision_undo, undo_decisions
from tests.engine.test_relations import add_column, adopt, choose_on_board
from tests.support.world import World

Line = Callable[..., Decision]


def pulled(world: World, **values: Any) -> Contact:
    """A contact whose role “Boss” was changed to “Chair” on the board and taken over."""
    contact = world.linked(role_title="Boss", **values)
    world.edit(contact, "role_title", "Chair")
    world.look(contact)
    contact.refresh_from_db()
    assert contact.role_title == "Chair"
    return contact


def test_a_pulled_change_is_taken_back_on_both_sides_and_its_undo_undone(world: World, dora: User, line: Line) -> None:
    contact = pulled(world)
    pull = line(contact, "pull")
    undone = undo_decisions([pull], by=dora)
    assert [(s.label, s.now, s.back_to) for s in undone.done] == [("Role", "Chair", "Boss")]
    contact.refresh_from_db()
    assert contact.role_title == "Boss"
    undo = line(contact, "undo")
    assert (undo.undoes, undo.actor) == (pull.pk, "Dora Demo")
    context = pghistory.models.Context.objects.latest("created_at")
    assert (context.metadata["cause"], context.metadata["user"]) == ("undo", dora.pk)
    world.work()
    assert world.values(contact)["role_title"] == "Boss"
    assert world.status(contact) == "synced"
    undo_decisions([undo], by=dora)
    world.work()
    assert world.values(contact)["role_title"] == "Chair"
    contact.refresh_from_db()
    assert (contact.role_title, contact.sync_status) == ("Chair", "synced")


def test_an_undo_of_a_value_that_moved_on_changes_nothing_and_says_what_stands_now(
    told: Contact, dora: User, line: Line
) -> None:
    contact = told
    Contact.objects.filter(pk=contact.pk).update(role_title="President")
    undone = undo_decisions([line(contact, "pull")], by=dora)
    assert not undone.done
    (left,) = undone.left
    assert (left.now, left.stale) == (
        "President",
        "It was changed since: it says “President” now, not “Chair”, which this line left.",
    )
    contact.refresh_from_db()
    assert contact.role_title == "President"


@pytest.mark.parametrize(("rule", "kind"), [("npd_wins", "push"), ("monday_wins", "pull")])
def test_a_value_that_a_rule_has_overridden_can_be_taken_back(
    world: World, dora: User, line: Line, rule: str, kind: str
) -> None:
    contact = world.linked(role_title="Boss")
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(rule=rule)
    world.edit(contact, "role_title", "From Monday")
    contact.role_title = "From NPD"
    contact.save()
    world.work()
    won, lost = ("From NPD", "From Monday") if rule == "npd_wins" else ("From Monday", "From NPD")
    assert world.values(contact)["role_title"] == won
    (step,) = undo_decisions([line(contact, kind)], by=dora).done
    assert (step.now, step.back_to) == (won, lost)
    world.work(contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == (lost, lost)


def test_a_field_that_comes_from_monday_alone_is_left_alone_and_says_where_to_change_it(
    world: World, dora: User, line: Line
) -> None:
    contact = world.linked(role_title="Boss")
    FieldMapping.objects.filter(key="role_title", link__entity_type="contact").update(direction="monday_to_npd")
    world.edit(contact, "role_title", "Chair")
    world.look(contact)
    (left,) = undo_decisions([line(contact, "pull")], by=dora).left
    assert left.stale.endswith("Change it on the board.")
    contact.refresh_from_db()
    assert contact.role_title == "Chair"


def test_a_field_in_conflict_is_left_to_its_conflict(world: World, dora: User, line: Line) -> None:
    contact = pulled(world)
    pull = line(contact, "pull")
    world.edit(contact, "role_title", "On Monday")
    contact.role_title = "In NPD"
    contact.save()
    world.work()
    contact.role_title = "Chair"
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    (step,) = plan_decision_undo([pull])
    assert step.stale == "A conflict on it is open. Resolve that instead."


def test_what_npd_refuses_now_and_a_record_that_is_gone_are_left_alone(told: Contact, dora: User, line: Line) -> None:
    contact = told
    pull = line(contact, "pull")
    Decision.objects.filter(pk=pull.pk).update(values=pull.values | {"raw_before": {"role_title": "x" * 300}})
    pull.refresh_from_db()
    (left,) = undo_decisions([pull], by=dora).left
    assert left.stale.startswith("NPD doesn't take the earlier value any more:")
    Contact.objects.filter(pk=contact.pk).delete()
    (left,) = undo_decisions([pull], by=dora).left
    assert left.stale == "The record was deleted meanwhile. Restore it first."


def test_the_first_value_of_a_new_item_is_nothing_to_go_back_from(world: World, line: Line) -> None:
    contact = world.linked(role_title="Boss")
    (step,) = plan_decision_undo([line(contact, "push")])
    assert step.stale.startswith("It was the first value of a new item")


def test_a_batch_is_taken_back_but_for_what_moved_on(world: World, dora: User, line: Line) -> None:
    contacts = [world.linked(f"Contact {n}", role_title="Boss") for n in range(3)]
    for contact in contacts:
        world.edit(contact, "role_title", "Chair")
    world.hear()
    batch = line(contacts[0], "pull").batch_id
    assert batch is not None
    Contact.objects.filter(pk=contacts[2].pk).update(role_title="President")
    undone = undo_decisions(decisions_of_batch(batch), by=dora)
    assert {s.name for s in undone.done} == {"Contact 0", "Contact 1"}
    assert [s.name for s in undone.left] == ["Contact 2"]
    world.work()
    assert [world.values(c)["role_title"] for c in contacts] == ["Boss", "Boss", "President"]


def test_the_undo_of_a_batch_is_a_batch_that_can_be_undone(world: World, dora: User, line: Line) -> None:
    contacts = [world.linked(f"Contact {n}", role_title="Boss", notes="old") for n in range(2)]
    for contact in contacts:
        world.edit(contact, "role_title", "Chair")
        world.edit(contact, "notes", "new")
    world.hear()
    first = undo_decisions(decisions_of_batch(line(contacts[0], "pull").batch_id), by=dora)
    assert len(first.done) == 4
    world.work()
    again = undo_decisions(decisions_of_batch(first.batch_id), by=dora)
    assert len(again.done) == 4
    world.work()
    for contact in contacts:
        found = world.values(contact)
        assert (found["role_title"], found["notes"]) == ("Chair", "new")


def test_a_batch_names_what_it_made_and_leaves_it_alone(world: World, dora: User, line: Line) -> None:
    contact = world.contact(role_title="Boss")
    world.work()
    batch = line(contact, "create", key="").batch_id
    (left,) = undo_decisions(decisions_of_batch(batch), by=dora).left
    assert left.stale.startswith("It created something new")


def test_moves_of_one_field_in_a_row_are_taken_back_to_the_first(world: World, dora: User) -> None:
    contact = world.linked(role_title="One")
    for value in ("Two", "Three"):
        world.edit(contact, "role_title", value)
        world.look(contact)
    lines = list(Decision.objects.filter(entity_id=contact.pk, kind="pull", key="role_title"))
    assert len(undo_decisions(lines, by=dora).done) == 2
    contact.refresh_from_db()
    assert contact.role_title == "One"


def test_a_relation_is_put_back_whole(world: World, dora: User, line: Line) -> None:
    add_column(world, "contact", "Organization", "board_relation", boardIds=[world.board_id("organization")])
    adopt("contact")
    one, two = (Organization.objects.create(name=name) for name in ("One Ltd", "Two Ltd"))
    world.work()
    contact = world.linked(organization=one)
    choose_on_board(world, contact, two)
    world.look(contact)
    contact.refresh_from_db()
    assert contact.organization == two
    undo_decisions([line(contact, "pull", key="organization")], by=dora)
    world.work(contact)
    assert contact.organization == one
    assert (world.values(contact)["organization"], world.status(contact)) == ("One Ltd", "synced")


def test_an_address_is_put_back_whole(world: World, dora: User, line: Line) -> None:
    organization = Organization.objects.create(
        name="Example Ltd", address_street="12 Main St", address_city="Springfield", address_country="USA"
    )
    world.work()
    world.edit(organization, "address", "14 Main St, Springfield, USA")
    world.look(organization)
    organization.refresh_from_db()
    assert organization.address_street == "14 Main St"
    undo_decisions([line(organization, "pull", key="address")], by=dora)
    organization.refresh_from_db()
    assert (organization.address_street, organization.address_city) == ("12 Main St", "Springfield")
