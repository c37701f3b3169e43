"""Monday refuses some writes: a column, an item, new items, or all of a viewer's (community 109061, 105221, 114893)."""

from html import unescape
from typing import Any

import pytest
from django.urls import reverse

from npd.models import Contact
from sync import attention
from sync.choices import CallKind, Cause
from sync.limits import probes
from sync.models import Intent
from tests.limits.test_promises import FIRST_HOUR
from tests.support.world import World

PHONE = "+442079460018"


def close(world: World, naming: str = "") -> None:
    """The token's user may read the board, but not edit this column or item; without one, none."""
    refused = {"every": 1, "code": "UserUnauthorizedException"}
    world.sandbox.control("faults", partial=refused, naming=naming, count=None)


def calls_while(world: World, minutes: int, *, seconds: int = 60) -> int:
    """Deliver first, because a delivery's signature is valid for five minutes only."""
    world.deliver()
    return world.calls_while(minutes, seconds=seconds)


def edits_come_in(world: World, record: Any, value: str) -> bool:
    world.edit(record, "role_title", value)
    world.hear(record, seconds=5)
    return bool(record.role_title == value)


@pytest.fixture
def people(world: World) -> tuple[Contact, Contact]:
    return world.linked("Ann", role_title="Old"), world.linked("Bob", role_title="Old")


def test_a_column_that_is_closed_is_blocked_and_the_other_fields_flow(world: World, people: Any) -> None:
    ann, bob = people
    close(world, "phone")
    world.save(ann, phone=PHONE, role_title="New")
    assert world.values(ann)["role_title"] == "New"
    assert "User unauthorized" in world.block_of(ann, "phone")
    world.save(bob, role_title="New")
    assert (world.values(bob)["role_title"], world.status(bob)) == ("New", "synced")
    assert calls_while(world, 60) <= 2
    assert edits_come_in(world, ann, "Theirs")


def test_a_new_contact_with_a_closed_column_is_made_without_it(world: World) -> None:
    close(world, "phone")
    ann, bob = world.contact("Ann", phone=PHONE, role_title="Boss"), world.contact("Bob")
    world.work()
    calls = calls_while(world, 10)
    assert sorted(item["name"] for item in world.sandbox.items()) == ["Ann", "Bob"]
    assert world.values(ann)["role_title"] == "Boss"
    assert world.status(bob) == "synced"
    assert world.block_of(ann, "phone")
    assert calls <= 8


def test_a_closed_column_is_closed_for_all_and_opens_once_a_person_asks(world: World, people: Any) -> None:
    ann, bob = people
    close(world, "phone")
    Contact.objects.update(phone=PHONE, role_title="New")
    before = world.calls("mutation")
    world.work(ann, bob)
    assert world.calls("mutation") - before == 3, "both together, one value by value, the other without its phone"
    for contact in people:
        assert world.values(contact)["role_title"] == "New"
        assert "User unauthorized" in world.block_of(contact, "phone")
    world.sandbox.control("faults", "DELETE")
    world.run_pass(ann, Cause.PERSON)
    assert (world.block_of(ann, "phone"), world.status(ann)) == ("", "synced")


def test_the_value_after_a_refused_one_is_sent_as_soon_as_the_column_is_open(world: World, people: Any) -> None:
    ann, _ = people
    assert edits_come_in(world, ann, "Theirs")
    close(world, "role_title")
    world.save(ann, role_title="First")
    assert world.block_of(ann, "role_title")
    world.sandbox.control("faults", "DELETE")
    world.save(ann, role_title="Second")
    assert (world.values(ann)["role_title"], world.status(ann)) == ("Second", "synced")


def test_the_values_after_refused_ones_are_sent_at_once_also_if_none_was_taken(world: World, people: Any) -> None:
    ann, _ = people
    refusal = {"every": 1, "code": "ColumnValueException", "message": "invalid value"}
    world.sandbox.control("faults", partial=refusal, on="mutation", count=2)
    world.save(ann, role_title="First", phone=PHONE)
    assert world.block_of(ann, "role_title")
    assert world.block_of(ann, "phone")
    assert not Intent.objects.filter(state="open")
    world.save(ann, role_title="Second", phone="")
    assert (world.values(ann)["role_title"], world.status(ann)) == ("Second", "synced")


def test_a_closed_item_fails_alone(world: World, people: Any) -> None:
    ann, bob = people
    close(world, ann.monday_id)
    world.save(ann, role_title="New")
    assert "User unauthorized" in world.row(ann).error_message
    assert not world.block_of(ann, "role_title"), "the item is at fault, and not the value"
    world.save(bob, role_title="New")
    assert (world.values(bob)["role_title"], world.status(bob)) == ("New", "synced")
    assert calls_while(world, 30) <= 12
    assert not world.link().stops
    world.save(bob, role_title="Newer")
    assert world.values(bob)["role_title"] == "Newer"


@pytest.mark.parametrize("together", [True, False], ids=["saved together", "one after another"])
def test_a_closed_board_stops_after_few_calls_and_opens_once_a_person_asks(world: World, together: bool) -> None:
    """Saved one after another, no pass has two of them before the board is stopped."""
    contacts = world.linked_together(12, role_title="Old")
    close(world)
    if together:
        Contact.objects.update(notes="New")
        calls = calls_while(world, 60)
    else:
        calls = 0
        for contact in contacts:
            before = world.calls()
            world.save(contact, notes="New")
            calls += world.calls() - before + calls_while(world, 5)
    assert calls <= FIRST_HOUR
    assert CallKind.CHANGE in world.link().stops
    assert edits_come_in(world, contacts[0], "Theirs")
    assert {world.status(contact) for contact in contacts} == {"pending"}
    world.sandbox.control("faults", "DELETE")
    assert probes.try_again() == probes.TRIED
    world.work(*contacts)
    world.calls_while(65)
    assert {world.values(contact)["notes"] for contact in contacts} == {"New"}


def a_full_board(world: World, ann: Contact) -> None:
    world.sandbox.control("boards", board_id=world.board_id(), items_limit=2)


def no_group(world: World, ann: Contact) -> None:
    board = world.board_id()
    second = world.sandbox.query(
        'mutation ($b: ID!) { create_group(board_id: $b, group_name: "Second") { id } }', b=board
    )["data"]["create_group"]["id"]
    for item in world.sandbox.items():
        world.sandbox.act("move", item_id=item["id"], group_id=second)
    gone = "mutation ($b: ID!, $g: String!) { delete_group(board_id: $b, group_id: $g) { id } }"
    assert "errors" not in world.sandbox.query(gone, b=board, g=world.link().group_id)


WHAT_TO_DO = {a_full_board: "Archive items on the board", no_group: "chooses another group for new items"}


@pytest.mark.parametrize("obstacle", [a_full_board, no_group])
def test_what_refuses_new_items_holds_new_items(world: World, people: Any, obstacle: Any) -> None:
    ann, bob = people
    obstacle(world, ann)
    cyd = world.contact("Cyd")
    assert calls_while(world, 60) <= 14
    assert world.status(cyd) == "pending"
    assert "Monday doesn't store" in world.row(cyd).reason
    [entry] = attention.entries()
    assert (entry.key, entry.title) == ("board:contact:refused_create", "New items can't be made on the board")
    assert WHAT_TO_DO[obstacle] in entry.detail
    olga = world.browser(world.administrator("olga"))
    assert "New items can&#x27;t be made on the board" in olga.get("/admin/").content.decode()
    page = olga.get(reverse("admin:sync_boardlink_change", args=[world.link().pk])).content.decode()
    assert WHAT_TO_DO[obstacle] in unescape(page)
    assert "Try again now" in page
    world.save(ann, role_title="New")
    assert (world.values(ann)["role_title"], world.status(ann)) == ("New", "synced")
    assert edits_come_in(world, bob, "Theirs")
    if obstacle is a_full_board:
        world.sandbox.control("boards", board_id=world.board_id(), items_limit=10)
        assert probes.try_again() == probes.TRIED
        world.work()
        assert world.status(cyd) == "synced"
        assert not attention.entries()
