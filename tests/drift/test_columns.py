"""Columns renamed, deleted, restored, hidden or retyped: the field is held, everything else flows."""

from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from npd.models import Contact
from sync.boards.board_columns import store_columns
from sync.models import ActivityLine, BoardLink, SyncMetadata
from sync.monday.board_items import Board, BoardColumn
from sync.operations.comparison import compare_board
from sync.operations.setup.board_setup import check_board
from tests.admin import states
from tests.drift.conftest import Owner
from tests.support.waiting import in_background, somebody_waits_for_us, wait_for
from tests.support.world import World


def blocked(world: World, contact: Contact) -> dict[str, Any]:
    return dict(world.sync_state(contact).blocked_fields)


def test_a_deleted_columns_field_waits_without_a_call_until_restored(world: World, owner: Owner) -> None:
    contacts = [world.linked(name, role_title="Analyst", notes="old") for name in ("Ann", "Bo")]
    owner.column("role_title", "delete")
    calls = world.calls()
    owner.sweep()
    assert world.calls() - calls == 1
    assert owner.mapping().problem_code == "missing"
    problem = owner.mapping().problem
    for contact in contacts:
        assert world.status(contact) == "pending"
        assert blocked(world, contact)["role_title"]["reason"] == problem
    contact = contacts[0]
    world.save(contact, role_title="Countess", notes="new")
    assert world.values(contact)["notes"] == "new"
    contact.refresh_from_db()
    assert (contact.role_title, contact.sync_status) == ("Countess", "pending")
    owner.column("role_title", "restore")
    owner.sweep()
    assert world.values(contact)["role_title"] == "Countess"
    assert (world.status(contact), blocked(world, contact)) == ("synced", {})
    assert owner.mapping().problem == ""
    sentences = ActivityLine.objects.filter(kind="column", entity_type="contact").values_list("sentence", flat=True)
    assert [" 2 contacts" in sentence for sentence in sentences] == [True, True]


def test_a_column_of_another_type_takes_nothing_from_npd_and_gets_nothing(world: World, owner: Owner) -> None:
    contact = world.linked(role_title="Old", notes="n")
    owner.column("role_title", "retype", type="numbers")  # which empties its cells
    world.save(contact, notes="new")
    assert (world.status(contact), contact.role_title) == ("pending", "Old")
    assert "of the type numbers now" in world.block_of(contact, "role_title")
    world.save(contact, role_title="New")
    assert (contact.sync_status, world.values(contact)["role_title"]) == ("pending", "")
    owner.column("role_title", "retype", type="text")
    owner.sweep()
    assert (world.status(contact), world.values(contact)["role_title"]) == ("synced", "New")


def test_a_look_that_misses_a_column_asks_for_the_board_once_and_never_again(world: World, owner: Owner) -> None:
    contact = world.linked(role_title="Analyst", notes="0")
    owner.column("role_title", "delete")
    calls = []
    for number in range(1, 4):
        before = world.calls("query")
        world.save(contact, notes=str(number))
        calls.append(world.calls("query") - before)
    assert calls == [2, 1, 1]


@pytest.mark.parametrize("finds", ["the night", "a person's check"])
def test_a_hidden_columns_field_waits_until_its_values_are_seen_again(world: World, owner: Owner, finds: str) -> None:
    contacts = [world.contact(f"Ann {n}", email=f"ann{n}@x.test", role_title="Analyst") for n in range(3)]
    world.work()
    owner.column("role_title", "hide")
    Contact.objects.update(role_title="Countess")
    world.work()
    owner.sweep()
    assert owner.mapping().problem_code == "hidden"
    owner.column("role_title", "show")
    if finds == "the night":
        compare_board(world.link())
    else:
        check_board(world.link())
    world.work()
    assert (owner.mapping().problem, {world.status(contact) for contact in contacts}) == ("", {"synced"})
    assert {world.values(contact)["role_title"] for contact in contacts} == {"Countess"}


def test_without_the_npd_id_column_no_item_is_made_and_linked_records_flow(world: World, owner: Owner) -> None:
    linked = world.linked("Ann", notes="old")
    owner.column("npd_id", "delete")
    contact = world.contact("Bo")
    world.work()
    world.save(linked, notes="new")
    assert world.values(linked)["notes"] == "new"
    assert len(world.sandbox.items()) == 1
    assert world.link().npd_id_problem != ""
    assert world.sync_state(contact).note == world.link().npd_id_problem
    assert (world.status(contact), world.row(contact).status) == ("pending", "completed")
    owner.column("npd_id", "restore")
    owner.sweep()
    assert world.link().npd_id_problem == ""
    assert world.values(contact)["npd_id"] == str(contact.pk)
    assert world.status(contact) == "synced"


def test_a_renamed_board_and_a_renamed_column_are_the_same(world: World, owner: Owner) -> None:
    contact = world.linked(role_title="Analyst")
    owner.retitle("role_title", "Position")
    world.sandbox.control("boards", board_id=world.board_id(), name="People")
    world.edit(contact, "role_title", "Countess")
    world.hear()
    owner.sweep()
    contact.refresh_from_db()
    assert (contact.role_title, world.link().shape["name"]) == ("Countess", "People")


TYPES = {"email": "email", "phone": "phone", "notes": "long_text"}


def lose_role() -> None:
    """The board is read without the role's column."""
    link = BoardLink.objects.get(entity_type="contact")
    ids = [key for key in link.mappings.values_list("column_id", flat=True) if key not in ("name", "role_title")]
    columns = [BoardColumn(key, key, TYPES.get(key, "text")) for key in (*ids, link.npd_id_column)]
    store_columns(link, Board(link.board_id, "Contacts", "active", {}, tuple(columns)))


def test_records_without_sync_hold_nothing(mapped: Client) -> None:
    contacts = [states.synced(name, name) for name in ("On", "Off", "Still")]
    Contact.objects.filter(name="Off").update(sync_enabled=False)
    Contact.objects.filter(name="Still").update(sync_direction="none")
    lose_role()
    held_by = [set(SyncMetadata.objects.get(entity_id=str(contact.pk)).blocked_fields) for contact in contacts]
    assert held_by == [{"role_title"}, set(), set()]


@pytest.mark.django_db(transaction=True)
def test_a_deleted_column_and_somebody_who_changes_records_never_wait_for_each_other(mapped: Client) -> None:
    """Everything else locks records in the order of their ids."""
    ids = [f"00000000-0000-7000-8000-00000000000{number}" for number in (2, 1)]  # the later one is stored first
    for pk in ids:
        Contact.objects.create(pk=pk, name=pk[-1], monday_id=pk[-1])
    Contact.objects.update(sync_status="synced")
    link = BoardLink.objects.get(entity_type="contact")
    with transaction.atomic():
        Contact.objects.select_for_update().get(pk=ids[1])
        check = in_background(lambda: store_columns(link, Board(link.board_id, "Contacts", "active", {}, ())))
        wait_for("the check waits for us", somebody_waits_for_us)
        Contact.objects.select_for_update().get(pk=ids[0])
    check.result(60)
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"pending"}
