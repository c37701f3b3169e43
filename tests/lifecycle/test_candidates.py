"""Items without a record and records without an item: merge.md, rows "none | …" and "never linked | …"."""

from typing import Any

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.choices import Cause, Priority
from sync.clock import SyncNow
from sync.models import BoardLink, Intent, SyncQueue, Tombstone
from sync.outbox import enqueue_unmatched
from tests.lifecycle.conftest import choose, newcomers, open_conflict
from tests.support.world import World, mail, staged


@staged
def twins(world: World) -> tuple[Contact, Contact]:
    """A linked record, and one made of an item that got the same email address later."""
    original = world.linked("Ann", email="ann@example.com")
    item = world.add("A. Example")
    newcomers(world, seconds=400)
    newer = Contact.objects.get(monday_id=item)
    world.hear()
    world.edit(newer, "email", mail("ann@example.com"))
    world.hear(newer)
    return original, newer


def test_the_same_person_the_made_record_goes_and_its_item_after_it(world: World, pat: Any) -> None:
    original, newer = twins(world)
    item = newer.monday_id
    choose(open_conflict(newer.pk, "identity"), pat, "custom", f"same:{original.pk}")
    world.work()
    world.work()
    assert list(Contact.objects.all()) == [original]
    assert Tombstone.objects.get(entity_id=newer.pk).state == "archived"
    states = {i["id"]: i["state"] for i in world.sandbox.all_items()}
    assert states[str(item)] == "archived"
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_an_item_moved_to_another_types_board_makes_no_record_there_once_its_record_is_deleted(world: World) -> None:
    contact = world.linked(email="ann@example.com")
    link = BoardLink.objects.get(entity_type="organization")
    item = contact.monday_id
    world.sandbox.act("move_to_board", item_id=item, board_id=link.board_id, group_id=link.group_id)
    contact.delete()
    world.work(minutes=11)
    assert Tombstone.objects.get().state == "kept"
    enqueue_unmatched("organization", [item], cause=Cause.SWEEP, priority=Priority.SWEEP)
    world.work(minutes=1)
    assert not Organization.objects.exists()
    job = SyncQueue.objects.filter(remote_id=item, entity_type="organization").latest("pk")
    assert "deleted in NPD. The item stays, and becomes no new record." in job.error_message


def test_a_record_whose_key_is_that_of_a_made_one_may_take_over_its_item(world: World, pat: Any) -> None:
    item = world.add("A. Example", email=mail("ann@example.com"))
    newcomers(world, seconds=11)
    first = Contact.objects.get(monday_id=item)
    second = world.contact("Ann", email="ann@example.com")
    world.work()
    choose(open_conflict(second.pk, "identity"), pat, "custom", f"takes:{first.pk}")
    world.work()
    world.work(second)
    assert (second.monday_id, Contact.objects.count()) == (item, 1)
    assert world.values(second)["npd_id"] == str(second.pk)
    assert (Tombstone.objects.get(entity_id=first.pk).state, len(world.sandbox.items())) == ("nothing_left", 1)
    assert not SyncConflict.objects.filter(kind="identity", resolved_at=None).exists()


def given_up(world: World, **values: Any) -> tuple[Contact, Intent]:
    """A contact whose create came to nothing as far as can be told; returns the intent of it."""
    world.sandbox.faults({"timeout": "before", "on": "create_item"})
    contact = world.contact(**values)
    world.work()
    world.pass_time(minutes=3)
    Intent.objects.filter(entity_id=contact.pk).update(state="void", was_searched=True, settled_at=SyncNow())
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
    assert world.status(contact) == "synced", world.sync_state(contact).note
    assert contact.monday_id == item
    assert (contact.name, contact.role_title) == ("Anne", "Boss")
    assert world.values(contact)["notes"] == "newer"
    assert not SyncConflict.objects.exists()
