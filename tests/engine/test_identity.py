"""Which item is which record: linked, created once, asked about, or made into a record."""

from typing import Any

from conflicts.models import SyncConflict
from npd.models import Organization
from tests.support.world import World, mail


def add(world: World, name: str, **values: Any) -> dict[str, Any]:
    return world.sandbox.act("add", board_id=world.board_id(), name=name, values=values)


def test_a_record_finds_its_item_by_e_mail_whatever_the_label_says(world: World) -> None:
    item = add(world, "Ann", email={"email": "Ann@Example.com", "text": "write to Ann"})
    contact = world.contact("Ann", email="Ann@example.com")
    world.work()
    assert (world.status(contact), contact.monday_id) == ("synced", item["id"])
    assert world.values(contact)["npd_id"] == str(contact.pk)


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


def test_an_item_finds_its_record_in_whatever_form_the_name_is_stored(world: World) -> None:
    Organization.objects.create(name="Cafe\u0301 GmbH ", sync_enabled=False)
    world.work()
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Café GmbH", values={})
    world.hear(seconds=11)
    assert Organization.objects.count() == 1
