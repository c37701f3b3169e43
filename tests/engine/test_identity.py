"""Which item is which record: linked, created once, asked about, or made into a record."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.connectors.base.board_items import Reading
from sync.connectors.monday import items
from sync.models import SyncQueue
from tests.support.world import World, mail


def add(world: World, name: str, **values: Any) -> dict[str, Any]:
    return world.sandbox.act("add", board_id=world.board_id(), name=name, values=values)


def test_a_record_finds_its_item_by_e_mail_whatever_the_label_says(world: World) -> None:
    item = add(world, "Ann", email={"email": "Ann@Example.com", "text": "write to Ann"})
    contact = world.contact("Ann", email="Ann@example.com")
    world.work()
    assert (world.status(contact), contact.monday_id) == ("synced", item["id"])
    assert world.values(contact)["npd_id"] == str(contact.pk)


def test_an_organization_finds_its_item_by_name(world: World) -> None:
    from npd.models import Organization

    item = world.sandbox.act("add", board_id=world.board_id("organization"), name="Example Ltd", values={})
    organization = Organization.objects.create(name="Example Ltd")
    world.work()
    assert (world.status(organization), organization.monday_id) == ("synced", item["id"])


def test_a_question_of_identity_closes_when_it_is_answered_on_the_board(world: World) -> None:
    add(world, "Ann", email=mail("ann@example.com"))
    other = add(world, "Ann", email=mail("ann@example.com"))
    contact = world.contact("Ann", email="ann@example.com")
    world.work()
    world.sandbox.act("edit", item_id=other["id"], column_id="email", value=mail("other@example.com"))
    world.look(contact)
    assert world.status(contact) == "synced"
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_an_item_moved_here_from_another_types_board_stays_that_records(world: World) -> None:
    from npd.models import Organization

    organization = Organization.objects.create(name="Example Ltd")
    world.work()
    item = world.item(organization)
    world.sandbox.act("move_to_board", item_id=item["id"], board_id=world.board_id(), group_id="topics")
    world.sandbox.act("edit", item_id=item["id"], column_id="email", text="ann@example.com")
    contact = world.contact("Ann", email="ann@example.com")
    world.work(contact)
    assert (world.status(contact), contact.monday_id) == ("conflict", None)


def test_an_item_that_bears_another_records_npd_id_is_not_taken_by_e_mail(world: World) -> None:
    other = Contact(name="Other", sync_enabled=False)
    other.save()
    add(world, "Theirs", email=mail("ann@example.com"), npd_id=str(other.pk))
    contact = world.contact("Ann", email="ann@example.com")
    world.work()
    assert world.status(contact) == "conflict"
    assert contact.monday_id is None


def blind_to_emails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The column of emails was turned into one of another type."""
    original = items._parse_reading

    def blind(node: Any, error: Any) -> Any:
        if node["id"] != "email":
            return original(node, error)
        return Reading("email", "text", text="ann@example.com", value="ann@example.com")

    monkeypatch.setattr(items, "_parse_reading", blind)


def test_no_item_is_made_while_the_match_key_of_one_that_may_be_the_records_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(world, "Ann on Monday", email=mail("ann@example.com"))
    blind_to_emails(monkeypatch)
    contact = world.contact("Ann", email="ann@example.com")
    world.contact("Bob")
    world.work()
    assert world.status(contact) == "pending"
    assert "can't be read" in world.ledger(contact).note
    assert sorted(item["name"] for item in world.sandbox.items()) == ["Ann on Monday", "Bob"]


def test_a_new_item_waits_while_its_match_key_cannot_be_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.contact("Ann", email="ann@example.com", sync_enabled=False)
    blind_to_emails(monkeypatch)
    add(world, "Ann on Monday", email=mail("ann@example.com"))
    world.hear(minutes=20)
    assert Contact.objects.count() == 1
    waiting = SyncQueue.objects.get(status="pending")
    assert "can't be read" in waiting.reason
    monkeypatch.undo()
    world.work(minutes=2)
    assert Contact.objects.count() == 1


@pytest.mark.parametrize("stored", ["Cafe\u0301 GmbH", "Café GmbH "])
def test_an_item_finds_its_record_in_whatever_form_the_name_is_stored(world: World, stored: str) -> None:
    Organization.objects.create(name=stored, sync_enabled=False)
    world.work()
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Café GmbH", values={})
    world.hear(seconds=11)
    assert Organization.objects.count() == 1
