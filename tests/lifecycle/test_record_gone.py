"""The record was deleted in NPD: D13 to D21 of docs/reference/merge/removed-and-deleted.md."""

from datetime import timedelta
from typing import Any

from django.test import Client

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.choices import Cause
from sync.clock import sync_now
from sync.models import ActivityLine, BoardLink, Intent, SyncMetadata, SyncQueue, Tombstone
from sync.outbox import enqueue
from sync.records.tombstones import restore_by_person
from tests.admin import states
from tests.admin.test_records import words_of
from tests.lifecycle.conftest import choose
from tests.support.world import World


def deleted(world: World, contact: Contact | Organization) -> tuple[str, Any]:
    """Delete a record as its page does, and work; returns the ids of its item and the record."""
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
    # The base is kept as long as the tombstone.
    assert SyncMetadata.objects.get(entity_id=str(key)).base["email"]["local"] == {"email": "ann@example.com"}
    assert world.sandbox.item(item_id)["state"] == "archived"
    assert stone(key).state == "archived"
    assert "archived" in stone(key).note
    assert stone(key).settled_at is not None
    (intent,) = Intent.objects.filter(entity_id=key, body__removes="archive_item")
    assert intent.state == "applied"
    assert ActivityLine.objects.filter(entity_id=key, kind="archived").count() == 1
    assert not SyncQueue.objects.filter(status="pending").exists()


def test_a_record_deleted_while_its_create_was_in_the_air_has_its_item_archived(world: World) -> None:
    contact = world.contact("Ann", email="ann@example.com")
    key = contact.pk
    world.sandbox.faults({"timeout": "after", "on": "create_item"})
    world.work()
    contact.delete()
    for _ in range(3):
        world.settle()
    [item] = world.sandbox.all_items()
    assert (item["state"], stone(key).state, stone(key).monday_id) == ("archived", "archived", item["id"])


def test_an_item_that_somebody_restored_is_asked_about_again_after_a_failed_read(world: World) -> None:
    item_id, key = deleted(world, world.linked("Ann", email="ann@example.com"))
    world.hear()
    world.sandbox.act("restore", item_id=item_id)
    world.hear()
    world.work(seconds=700)
    assert question(key)
    world.sandbox.faults({"status": 503, "count": 1})
    for seconds in (0, 60):
        enqueue("contact", [key], cause=Cause.SWEEP)
        world.work(seconds=seconds)
    assert world.sandbox.item(item_id)["state"] == "active"
    assert question(key)


def edited_there(world: World) -> tuple[str, Any]:
    """A deleted record whose item was edited on Monday: a person is asked."""
    contact = world.linked("Ann", email="ann@example.com", role_title="Buyer", notes="note")
    world.edit(contact, "role_title", "Director")
    return deleted(world, contact)


def test_whoever_deleted_records_is_named_though_one_is_asked_about(world: World) -> None:
    browser = world.browser(world.administrator("ada"))
    contacts = world.linked_together(3, role_title="Buyer")
    world.edit(contacts[0], "role_title", "Director")
    keys = [str(contact.pk) for contact in contacts]
    browser.post("/admin/npd/contact/", {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    world.work()
    assert question(contacts[0].pk)
    activity = words_of(browser.get("/admin/sync/activityline/?kind=delete").content.decode())
    assert "Deleted 3 contacts in NPD." in activity


def test_what_was_restored_at_once_is_one_line_with_its_new_items(world: World) -> None:
    browser = world.browser(world.administrator("ada"))
    contacts = world.linked_together(4)
    keys = [str(contact.pk) for contact in contacts]
    browser.post("/admin/npd/contact/", {"action": "delete_selected", "_selected_action": keys, "post": "yes"})
    # A pass has said of three that they were deleted.
    SyncQueue.objects.filter(entity_id=keys[0]).update(next_retry=sync_now() + timedelta(days=1))
    world.work()
    stones = [str(key) for key in Tombstone.objects.values_list("pk", flat=True)]
    form = {"action": "restore_record", "_selected_action": stones, "confirmed": "yes"}
    browser.post("/admin/sync/tombstone/", form)
    world.work()
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"synced"}
    rows = browser.get("/admin/sync/activityline/?person=ada").context["cl"].result_list
    assert [row.page_act.line.sentence for row in rows] == [
        "Restored 4 contacts, as they were when they were deleted.",
        "Deleted 4 contacts in NPD.",
    ]
    one = browser.get(f"/admin/npd/contact/{keys[1]}/change/").context["activity"]["acts"]
    assert {"restored", "create"} <= {act.row.kind for act in one}


def test_gone_here_edited_there_the_record_is_brought_back_with_what_was_edited(world: World, pat: Any) -> None:
    item_id, key = edited_there(world)
    conflict = question(key)
    choose(conflict, pat, "restore_record")
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
    assert ActivityLine.objects.filter(entity_id=key, kind="restored", actor="pat").exists()


def test_the_page_of_a_deleted_record_shows_its_history(admin_client: Client) -> None:
    states.boards()
    contact = states.synced("Ann", "70", role_title="Buyer")
    key, raws = contact.pk, {"raw_before": {"role_title": "Chair"}, "raw_after": {"role_title": "Buyer"}}
    values = {"before": "Chair", "after": "Buyer"} | raws
    sentence = "Tom wrote “Chair” into Role on Monday."
    line = states.decided(contact, sentence, kind="overwritten", key="role_title", values=values)
    contact.delete()
    client = admin_client
    page = client.get(f"/admin/sync/tombstone/{stone(key).pk}/change/").content.decode()
    assert "“Chair” into Role" in page
    assert f"/admin/sync/activityline/{line.pk}/undo/" in page
    assert client.get(f"/admin/sync/activityline/{line.pk}/undo/").status_code == 200


def test_who_deleted_a_record_that_was_edited_on_monday_is_on_home_and_in_the_question(world: World) -> None:
    browser = world.browser(world.administrator("pat"))
    contact = world.linked("Ann", role_title="Boss")
    world.edit(contact, "role_title", "Chair")
    browser.post(f"/admin/npd/contact/{contact.pk}/delete/", {"post": "yes"})
    world.work()
    screen = f"/admin/conflicts/syncconflict/{question(contact.pk).pk}/screen/"
    for page in ("/admin/", screen):
        assert "deleted by pat" in browser.get(page).content.decode()
