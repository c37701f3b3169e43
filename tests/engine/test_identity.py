"""Which item is which record: linked, created once, asked about, or made into a record."""

from typing import Any

from npd.models import Organization
from sync.reconcile.identity import SEARCH_SECONDS
from tests.support.world import World


def add(world: World, name: str, **values: Any) -> dict[str, Any]:
    return world.sandbox.act("add", board_id=world.board_id(), name=name, values=values)


def test_an_item_finds_its_record_in_whatever_form_the_name_is_stored(world: World) -> None:
    Organization.objects.create(name="Cafe\u0301 GmbH ", sync_enabled=False)
    world.work()
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Café GmbH", values={})
    world.hear(seconds=11)
    assert Organization.objects.count() == 1


def test_of_two_records_with_one_address_the_later_gets_no_item_and_is_asked_about(world: World) -> None:
    first = world.contact("Ann", email="ann@example.com")
    world.work()
    second = world.contact("Ann Again", email="ann@example.com")
    world.work()
    world.work(seconds=SEARCH_SECONDS + 1)
    first.refresh_from_db()
    second.refresh_from_db()
    assert [item["id"] for item in world.sandbox.items()] == [first.monday_id]
    assert (second.monday_id, second.sync_status) == (None, "conflict")
