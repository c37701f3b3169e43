"""Unlinked by policy or a person: D22 and D23 of docs/reference/merge/removed-and-deleted.md."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.kernel.acts import NotPossible
from sync.models import ActivityLine, IgnoredItem, SyncQueue
from sync.records.item_links import ignore_item, relink
from tests.lifecycle.conftest import choose, newcomers, open_conflict, quiet_passes, take_away
from tests.support.people import unlink
from tests.support.world import World


def unlinked(world: World, contact: Contact) -> str:
    contact.refresh_from_db()
    item_id = str(contact.monday_id)
    unlink(contact)
    world.work(contact)
    return item_id


def test_unlinked_by_a_person_sync_is_off_and_the_item_is_neither_matched_nor_made_into_a_record(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    item_id = unlinked(world, contact)
    assert (contact.monday_id, contact.sync_enabled, contact.sync_status) == (None, False, "disabled")
    item = world.sandbox.item(item_id)
    assert (item["state"], item["name"], item["values"]["npd_id"]) == ("active", "Ann", "")
    row = IgnoredItem.objects.get(item_id=item_id)
    assert (row.left_alone, row.entity_id) == (True, contact.pk)
    line = ActivityLine.objects.get(entity_id=contact.pk, kind="unlinked")
    # The person stands beside it, with the undo.
    assert ("pat" in line.sentence, "Link again" in line.sentence, line.actor) == (False, False, "pat")
    world.sandbox.act("rename", item_id=item_id, name="Ann, edited")
    newcomers(world)
    assert Contact.objects.get().monday_id is None
    twin = world.contact("Ann Twin", email="ann@example.com")
    world.work(twin)
    assert twin.monday_id not in (None, item_id)


def test_an_item_that_reads_do_not_return_yet_loses_its_npd_id_too(world: World) -> None:
    world.sandbox.faults({"lag": ["new"], "writes": 30})
    contact = world.contact("Ann", email="ann@example.com")
    world.work(contact)
    item_id = unlinked(world, contact)
    for seconds in (5, 10, 60):
        world.work(contact, seconds=seconds)
    assert (contact.monday_id, contact.sync_status) == (None, "disabled")
    assert world.sandbox.item(item_id)["values"]["npd_id"] == ""


def test_an_unlinking_of_a_removed_items_record_leaves_another_persons_answer_without_effect_and_says_so(
    world: World, pat: Any
) -> None:
    contact = world.linked(role_title="Boss")
    take_away(world, contact)
    quiet_passes(world)
    choose(open_conflict(contact.pk), pat, "create_item")
    unlinked(world, contact)
    settled = SyncConflict.objects.get(entity_id=contact.pk)
    assert (contact.monday_id, contact.sync_enabled) == (None, False)
    assert (settled.resolution_type, settled.merge_selections) == ("auto", {})
    assert ActivityLine.objects.filter(entity_id=contact.pk, kind="conflict_returned").exists()


def test_linked_again_what_changed_since_flows_and_only_what_both_changed_is_asked_about(world: World) -> None:
    contact = world.linked("Ann", role_title="Buyer", notes="same", phone="+442079460018")
    item_id = unlinked(world, contact)
    world.sandbox.act("edit", item_id=item_id, column_id="role_title", value="Director")
    world.sandbox.act("rename", item_id=item_id, name="Ann on Monday")
    Contact.objects.filter(pk=contact.pk).update(notes="new", name="Ann in NPD")
    relink(contact, "pat")
    world.work(contact)
    assert (contact.monday_id, contact.sync_enabled) == (item_id, True)
    assert contact.role_title == "Director"
    item = world.sandbox.item(item_id)
    assert (item["values"]["notes"], item["values"]["npd_id"]) == ("new", str(contact.pk))
    assert SyncConflict.objects.get(resolved_at=None).conflict_fields == ["name"]
    assert not IgnoredItem.objects.exists()


@pytest.mark.parametrize("edited", ["", "NPD", "Monday", "archived"])
def test_turned_on_again_it_is_linked_without_a_question_if_neither_side_was_edited(world: World, edited: str) -> None:
    people = world.linked_together(3, role_title="Buyer")
    items = [unlinked(world, contact) for contact in people]
    world.hear()
    world.pass_time(minutes=30)
    contact, item_id = people[0], items[0]
    if edited == "NPD":
        Contact.objects.filter(pk=contact.pk).update(role_title="Chief")
    elif edited == "Monday":
        world.sandbox.act("edit", item_id=item_id, column_id="role_title", value="Chief")
    elif edited:
        world.sandbox.act("archive", item_id=item_id)
    Contact.objects.update(sync_enabled=True)
    world.hear(*people, rounds=3, seconds=20)
    linked = [contact.monday_id == item_id for contact, item_id in zip(people, items, strict=True)]
    assert (linked, SyncConflict.objects.count()) == ([not edited, True, True], 1 if edited else 0)
    assert {contact.sync_status for contact in people[1:]} == {"synced"}
    assert world.values(people[1])["npd_id"] == str(people[1].pk)
    assert IgnoredItem.objects.count() == (1 if edited else 0)


@pytest.mark.django_db
def test_linking_again_is_refused_where_the_item_is_another_records_by_now() -> None:
    contact = Contact.objects.create(name="Ann", sync_enabled=False)
    ignore_item("contact", "7", contact.pk, "pat unlinked it.")
    Contact.objects.create(name="Bob", monday_id="7")
    with pytest.raises(NotPossible, match="Bob"):
        relink(contact, "pat")


def test_an_unlinking_that_failed_for_good_is_not_forgotten_when_the_record_is_synced(world: World) -> None:
    contact = world.linked("Ann")
    unlink(contact)
    SyncQueue.objects.filter(status="pending").update(status="failed", attempts=5)
    world.edit(contact, "role_title", "Chair")
    world.hear(contact)
    assert (contact.role_title, contact.sync_status) == ("Chair", "pending")
    assert SyncQueue.objects.filter(status="failed").exists()
