"""The record was deleted in NPD: merge.md, rows "deleted | …" of the table "A record and its item"."""

from typing import Any

from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.models import BoardLink, Decision, FieldMapping, Intent, SyncMetadata, SyncQueue, Tombstone
from sync.operations.decision_undo import undo_decisions
from sync.records.tombstones import prune_tombstones, restore_by_person
from tests.admin import states
from tests.lifecycle.conftest import choose, newcomers
from tests.support.world import World


def deleted(world: World, contact: Contact | Organization) -> tuple[str, Any]:
    """Delete a record as its page does, and work; returns its item's id and its own."""
    contact.refresh_from_db()
    item_id, key = contact.monday_id, contact.pk
    contact.delete()
    world.work()
    assert item_id is not None
    return item_id, key


def stone(key: Any) -> Tombstone:
    return Tombstone.objects.get(entity_id=key)


def question(key: Any) -> SyncConflict:
    return SyncConflict.objects.get(entity_id=key, kind="delete", resolved_at=None)


def test_deleted_there_as_the_base_the_item_goes_by_the_board_links_policy(world: World) -> None:
    item_id, key = deleted(world, world.linked("Ann", email="ann@example.com"))
    # The base outlives the record as long as its tombstone stands.
    assert SyncMetadata.objects.get(entity_id=str(key)).base["email"]["local"] == {"email": "ann@example.com"}
    assert world.sandbox.item(item_id)["state"] == "archived"
    assert stone(key).state == "archived"
    assert "archived" in stone(key).note
    assert stone(key).settled_at is not None
    (intent,) = Intent.objects.filter(entity_id=key, body__removes="archive")
    assert intent.state == "applied"
    assert Decision.objects.filter(entity_id=key, kind="archived").count() == 1
    assert not SyncQueue.objects.filter(status="pending").exists()


def test_a_record_deleted_while_its_create_was_in_the_air_has_its_item_archived(world: World) -> None:
    contact = world.contact("Ann", email="ann@example.com")
    key = contact.pk
    world.sandbox.faults({"timeout": "after", "on": "create_item"})
    world.work()
    contact.delete()
    for _ in range(3):
        world.settle()
    (item,) = world.sandbox.all_items()
    assert item["state"] == "archived"
    assert (stone(key).state, stone(key).monday_id) == ("archived", item["id"])


def edited_there(world: World) -> tuple[str, Any]:
    """A deleted record whose item was edited on Monday: a person is asked."""
    contact = world.linked("Ann", email="ann@example.com", role_title="Buyer", notes="note")
    world.edit(contact, "role_title", "Director")
    return deleted(world, contact)


def test_gone_here_edited_there_the_record_is_brought_back_with_what_was_edited(world: World, pat: Any) -> None:
    item_id, key = edited_there(world)
    conflict = question(key)
    choose(conflict, pat, "monday")
    world.work()
    world.work()
    back = Contact.objects.get(pk=key)
    assert (back.monday_id, back.role_title, back.notes) == (item_id, "Director", "note")
    assert back.sync_status == "synced"
    assert stone(key).state == "restored"
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None


def test_a_deleted_record_is_brought_back_by_hand_under_its_own_id_and_linked(world: World) -> None:
    BoardLink.objects.update(deleted_record_policy="ask")
    organization = Organization.objects.create(name="Example Ltd")
    world.work()
    contact = world.linked("Ann", email="ann@example.com", organization=organization, phone="+442079460018")
    created = Contact.objects.get().created_at
    item_id, key = deleted(world, contact)
    restore_by_person(stone(key), "pat")
    world.work()
    back = Contact.objects.get()
    assert (back.pk, back.monday_id, back.created_at) == (key, item_id, created)
    assert (back.email, back.organization_id, back.phone) == ("ann@example.com", organization.pk, "+442079460018")
    assert back.sync_status == "synced"
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert Decision.objects.filter(entity_id=key, kind="restored", actor="pat").exists()


def test_old_tombstones_are_forgotten_and_a_still_item_makes_no_record(world: World, settings: Any) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    world.save(contact, sync_direction="monday_to_npd")
    item_id, _ = deleted(world, contact)
    asked_about = edited_there(world)[1]
    newcomers(world)
    world.pass_time(days=settings.TOMBSTONE_DAYS - 1)
    assert prune_tombstones() == 0
    world.pass_time(days=2)
    assert prune_tombstones() == 1
    assert [s.entity_id for s in Tombstone.objects.all()] == [asked_about]
    assert not SyncMetadata.objects.filter(entity_id=str(contact.pk)).exists()
    world.sandbox.act("edit", item_id=item_id, column_id="role_title", value="Late")
    newcomers(world)
    assert not Contact.objects.exists()


def one_way(contact: Contact, level: str) -> None:
    """Let the role flow to Monday only, by the record's direction or by the mapping's."""
    if level == "record":
        Contact.objects.filter(pk=contact.pk).update(sync_direction="npd_to_monday")
    else:
        FieldMapping.objects.filter(link__entity_type="contact", key="role_title").update(direction="npd_to_monday")


def left_with_item(key: Any) -> list[Decision]:
    """What the history says of edits that left the board with the item."""
    return list(Decision.objects.filter(entity_id=key, kind="overridden").order_by("key"))


def test_what_left_with_an_item_is_taken_back_once_the_record_is_there_again(world: World, pat: Any) -> None:
    contact = world.linked("Ann", role_title="Buyer", notes="n")
    one_way(contact, "mapping")
    world.work()
    world.edit(contact, "role_title", "Chair")
    item_id, key = deleted(world, contact)
    (line,) = left_with_item(key)
    (step,) = undo_decisions([line], by=pat).left_alone
    assert "Restore it first" in step.refusal
    restore_by_person(stone(key), "pat")
    world.work()
    back = Contact.objects.get()
    assert (back.role_title, world.values(back)["role_title"]) == ("Buyer", "Buyer")
    assert back.monday_id != item_id
    assert [(s.current_text, s.restored_text) for s in undo_decisions([line], by=pat).undone] == [("Buyer", "Chair")]
    world.work(back)
    assert (back.role_title, world.values(back)["role_title"]) == ("Chair", "Chair")
    assert back.sync_status == "synced"


def test_the_page_of_a_deleted_record_shows_its_history(admin_client: Client) -> None:
    states.boards()
    contact = states.synced("Ann", "70", role_title="Buyer")
    key, raws = contact.pk, {"raw_before": {"role_title": "Chair"}, "raw_after": {"role_title": "Buyer"}}
    values = {"before": "Chair", "after": "Buyer", "overridden": True} | raws
    sentence = "Tom wrote “Chair” into Role on Monday."
    line = states.decided(contact, sentence, kind="overridden", key="role_title", values=values)
    contact.delete()
    client = admin_client
    page = client.get(f"/admin/sync/tombstone/{stone(key).pk}/change/").content.decode()
    assert "“Chair” into Role" in page
    assert f"/admin/sync/decision/{line.pk}/undo/" in page
    assert client.get(f"/admin/sync/decision/{line.pk}/undo/").status_code == 200
