"""Which item is which record: linked, created once, asked about, or made into a record."""

from typing import Any

from npd.models import Organization
from tests.support.world import World


def add(world: World, name: str, **values: Any) -> dict[str, Any]:
    return world.sandbox.act("add", board_id=world.board_id(), name=name, values=values)


def test_an_item_finds_its_record_in_whatever_form_the_name_is_stored(world: World) -> None:
    Organization.objects.create(name="Cafe\u0301 GmbH ", sync_enabled=False)
    world.work()
    world.sandbox.act("add", board_id=world.board_id("organization"), name="Café GmbH", values={})
    world.hear(seconds=11)
    assert Organization.objects.count() == 1
