"""A create without an answer, whose item a person took away before it was linked: no second one is made."""

from typing import Any

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.clock import SyncNow
from sync.models import BoardLink, Intent
from tests.lifecycle.conftest import asked, quiet_passes
from tests.support.waiting import wait_for
from tests.support.world import World


def lost_create(world: World, **values: Any) -> tuple[Contact, str]:
    """A contact whose item was made, though no answer came; returns the item's id."""
    world.sandbox.faults({"timeout": "after", "on": "create_item"})
    contact = world.contact(**values)
    world.work()
    (item,) = world.sandbox.items()
    contact.refresh_from_db()
    assert contact.monday_id is None
    return contact, str(item["id"])


def test_an_item_taken_away_before_it_was_linked_is_not_made_again(world: World) -> None:
    contact, item = lost_create(world, role_title="Boss")
    world.sandbox.act("delete", item_id=item)
    world.hear(minutes=45)
    quiet_passes(world, 2)
    assert [one["id"] for one in world.sandbox.all_items()] == [item]
    contact.refresh_from_db()
    assert contact.monday_id == item
    assert asked(contact.pk).about["what"].startswith("The item “Ann” was ")


def test_an_item_taken_away_of_which_only_the_removal_was_told_is_found_by_its_name(world: World) -> None:
    contact, item = lost_create(world)
    wait_for("the create is told", lambda: world.hooks.kept)  # type: ignore[attr-defined]
    world.hooks.kept.clear()  # type: ignore[attr-defined]
    world.sandbox.act("archive", item_id=item)
    assert world.deliver() == 1
    world.work(contact, minutes=45)
    assert contact.monday_id == item


def given_up(world: World, **values: Any) -> tuple[Contact, Intent]:
    """A contact whose create came to nothing as far as can be told; returns the intent of it."""
    world.sandbox.faults({"timeout": "before", "on": "create_item"})
    contact = world.contact(**values)
    world.work()
    world.pass_time(minutes=3)
    Intent.objects.filter(entity_id=contact.pk).update(state="void", lookups=1, settled_at=SyncNow())
    return contact, Intent.objects.get(entity_id=contact.pk)


def land(world: World, intent: Intent) -> str:
    """The create takes effect after all; returns the item's id."""
    world.sandbox.query(intent.body["text"], **intent.body["variables"])
    (item,) = world.sandbox.items()
    return str(item["id"])


def test_an_item_that_lands_after_its_create_was_given_up_has_what_was_sent_as_the_base(world: World) -> None:
    contact, intent = given_up(world, role_title="Boss", notes="n")
    item = land(world, intent)
    world.sandbox.act("rename", item_id=item, name="Anne")
    Contact.objects.filter(pk=contact.pk).update(notes="newer")
    world.deliver()
    world.work(seconds=20)
    assert world.status(contact) == "synced", world.ledger(contact).note
    assert contact.monday_id == item
    assert (contact.name, contact.role_title) == ("Anne", "Boss")
    assert world.values(contact)["notes"] == "newer"
    assert not SyncConflict.objects.exists()


def test_an_item_that_got_its_npd_id_by_hand_is_not_taken_for_the_lost_creates_own(world: World) -> None:
    BoardLink.objects.update(creates_records=False)
    contact, _ = given_up(world, role_title="Boss", email="ann@example.com")
    values = {"role_title": "Countess"}
    item = world.sandbox.act("add", board_id=int(world.board_id()), name="Ann", values=values)
    wait_for("the item is told", lambda: world.hooks.kept)  # type: ignore[attr-defined]
    world.hooks.kept.clear()  # type: ignore[attr-defined]  # so long ago that nobody remembers who made it
    world.sandbox.act("edit", item_id=item["id"], column_id="npd_id", value=str(contact.pk))
    world.hear(contact, seconds=20)
    assert (contact.monday_id, contact.role_title) == (item["id"], "Boss")
    assert asked(contact.pk, "fields").monday_data == {"role_title": "Countess"}
