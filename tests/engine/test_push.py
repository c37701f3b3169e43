"""From NPD to the board."""

import pytest
from django.db import transaction

from npd.models import Contact, Organization
from sync.models import Intent, SyncQueue
from tests.engine.conftest import World


def test_a_saved_contact_gets_an_item_with_every_mapped_value(world: World) -> None:
    contact = world.contact(
        "Zoë Ångström",
        email="zoe@example.com",
        phone="+44 20 7946 0018",
        role_title="Head",
        notes="first\nsecond",
    )
    world.work()
    assert world.status(contact) == "synced"
    assert world.values(contact) == {
        "name": "Zoë Ångström",
        "email": "zoe@example.com",
        "phone": "+442079460018",
        "role_title": "Head",
        "notes": "first\nsecond",
        "npd_id": str(contact.pk),
    }


def test_an_organizations_address_is_one_text_on_the_board(world: World) -> None:
    organization = Organization.objects.create(
        name="Example Ltd",
        address_street="12 Main St",
        address_city="Springfield",
        address_zip="62701",
        notes="n",
    )
    world.work()
    assert world.values(organization)["address"] == "12 Main St, Springfield, 62701"


def test_many_changes_are_one_read_and_one_write(world: World) -> None:
    contacts = [world.contact(f"Person {n}", email=f"p{n}@example.com") for n in range(30)]
    world.work()
    before = world.calls()
    with transaction.atomic():
        for contact in contacts:
            Contact.objects.filter(pk=contact.pk).update(phone=f"+4420794600{contacts.index(contact):02}")
    world.work()
    assert world.calls() - before == 2
    assert {world.status(contact) for contact in contacts} == {"synced"}


def test_only_the_field_that_changed_is_written(world: World) -> None:
    contact = world.linked(email="ann@example.com", notes="n", role_title="Boss")
    contact.role_title = "Chair"
    contact.save()
    world.work()
    intent = Intent.objects.filter(entity_id=contact.pk).latest("created_at")
    assert list(intent.values) == ["role_title"]
    assert world.values(contact)["role_title"] == "Chair"


@pytest.mark.parametrize("field", ["email", "phone", "role_title", "notes"])
def test_a_field_emptied_in_npd_is_cleared_on_the_board(world: World, field: str) -> None:
    contact = world.linked(email="a@example.com", phone="+442079460018", role_title="r", notes="n")
    setattr(contact, field, "")
    contact.save()
    world.work()
    assert world.values(contact)[field] == ""
    assert world.status(contact) == "synced"


def test_a_new_name_renames_the_item(world: World) -> None:
    contact = world.linked("Old Name")
    contact.name = "New Name"
    contact.save()
    world.work()
    assert world.values(contact)["name"] == "New Name"


def test_a_save_that_changes_nothing_writes_no_row_and_makes_no_call(world: World) -> None:
    contact = world.linked()
    rows, calls = SyncQueue.objects.count(), world.calls()
    contact.save()
    world.work()
    assert (SyncQueue.objects.count(), world.calls()) == (rows, calls)


def test_a_change_of_an_unmapped_field_ends_without_a_call(world: World) -> None:
    organization = Organization.objects.create(name="Example Ltd")
    world.work()
    before = world.calls()
    organization.inventory_url = "https://inventory.example.com"
    organization.save()
    world.work()
    assert world.calls() == before
    assert world.status(organization) == "synced"


def test_a_value_that_differs_in_form_only_is_not_written(world: World) -> None:
    contact = world.linked(phone="+44 20 7946 0018")
    mutations = world.calls("mutation")
    contact.phone = "+44 (0)20 7946-0018"
    contact.save()
    world.work()
    assert world.calls("mutation") == mutations
    assert Contact.objects.get(pk=contact.pk).phone == "+44 (0)20 7946-0018"


@pytest.mark.parametrize("how", [{"sync_enabled": False}, {"sync_direction": "none"}])
def test_a_record_without_sync_is_not_sent(world: World, how: dict[str, object]) -> None:
    contact = world.contact(**how)
    before = world.calls()
    world.work()
    assert world.calls() == before
    assert world.status(contact) == "disabled"


def test_a_direction_from_monday_only_makes_no_item_and_says_so(world: World) -> None:
    contact = world.contact(sync_direction="monday_to_npd")
    world.work()
    assert world.sandbox.items() == []
    assert world.status(contact) == "pending"
    assert "direction" in world.ledger(contact).note


def test_sync_turned_off_while_a_change_waits_sends_nothing(world: World) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    world.work()
    assert world.values(contact)["role_title"] == "Boss"
    assert world.status(contact) == "disabled"


def test_sync_turned_on_again_sends_what_changed_meanwhile(world: World) -> None:
    contact = world.linked(role_title="Boss")
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.work()
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=True)
    world.work()
    assert world.values(contact)["role_title"] == "Chair"
    assert world.status(contact) == "synced"


def test_a_deleted_contacts_item_is_archived_and_a_note_stays(world: World) -> None:
    from sync.models import Tombstone

    contact = world.linked()
    key, item = contact.pk, contact.monday_id
    contact.delete()
    world.work()
    stone = Tombstone.objects.get(entity_id=key)
    assert (stone.monday_id, stone.state) == (item, "archived"), stone.note
    assert "archived" in stone.note
    items = [i for board in world.sandbox.boards() for i in board["items"]]
    assert [(i["id"], i["state"]) for i in items] == [(item, "archived")]
