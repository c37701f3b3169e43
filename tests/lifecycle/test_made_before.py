"""A create without an answer, whose item a person took away before it was linked: no second one is made."""

from typing import Any

import pytest

from npd.models import Contact
from sync.models import BoardLink
from tests.lifecycle.conftest import World, asked, choose, quiet_passes
from tests.support.waiting import wait_for


def lost_create(world: World, **values: Any) -> tuple[Contact, str]:
    """A contact whose item was made, though no answer came; returns the item's id."""
    world.sandbox.faults({"timeout": "after", "on": "create_item"})
    contact = world.contact(**values)
    world.work()
    (item,) = world.sandbox.items()
    contact.refresh_from_db()
    assert contact.monday_id is None
    return contact, str(item["id"])


def all_items(world: World) -> list[dict[str, Any]]:
    return [item for board in world.sandbox.boards() for item in board["items"]]


@pytest.mark.parametrize("how", ["archive", "delete"])
@pytest.mark.parametrize("minutes", [3, 45])
def test_an_item_taken_away_before_it_was_linked_is_not_made_again(
    world: World, how: str, minutes: int
) -> None:
    contact, item = lost_create(world, role_title="Boss")
    world.sandbox.act(how, item_id=item)
    world.deliver()
    world.pass_time(minutes=minutes)
    world.work()
    quiet_passes(world, 2)
    assert [one["id"] for one in all_items(world)] == [item]
    contact.refresh_from_db()
    assert contact.monday_id == item
    assert asked(contact.pk).about["what"].startswith("The item “Ann” was ")


def test_an_item_taken_away_of_which_only_the_removal_was_told_is_found_by_its_name(world: World) -> None:
    contact, item = lost_create(world)
    wait_for("the create is told", lambda: world.hooks.kept)  # type: ignore[attr-defined]
    world.hooks.kept.clear()  # type: ignore[attr-defined]
    world.sandbox.act("archive", item_id=item)
    assert world.deliver() == 1
    world.pass_time(minutes=45)
    world.work()
    contact.refresh_from_db()
    assert contact.monday_id == item


def test_what_a_person_wants_made_again_is_made_again_all_the_same(world: World, pat: Any) -> None:
    contact, item = lost_create(world, role_title="Boss")
    world.sandbox.act("archive", item_id=item)
    world.deliver()
    world.pass_time(minutes=45)
    world.work()
    quiet_passes(world, 2)
    choose(asked(contact.pk), pat, "npd")
    world.work()
    assert world.status(contact) == "synced"
    assert contact.monday_id != item
    assert len(all_items(world)) == 2


def test_without_any_word_of_the_first_item_the_record_still_gets_one(world: World) -> None:
    contact, item = lost_create(world)
    world.sandbox.act("archive", item_id=item)
    world.pass_time(minutes=45)
    world.work()
    assert world.status(contact) == "synced"
    assert contact.monday_id != item


def test_another_item_of_the_same_name_is_not_taken_for_it(world: World) -> None:
    BoardLink.objects.update(creates_records=False)
    world.sandbox.faults({"timeout": "before", "on": "create_item"})
    contact = world.contact("Ann")
    world.work()
    other = world.sandbox.act("add", board_id=world.board_id(), name="Ann", values={})
    world.sandbox.act("archive", item_id=other["id"])
    world.deliver()
    world.pass_time(minutes=45)
    world.work()
    assert world.status(contact) == "synced"
    assert contact.monday_id != other["id"]
