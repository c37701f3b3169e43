"""Unlinked by policy or a person: merge.md, last row of the table "A record and its item", and the way back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.kernel.messages import NotPossible
from sync.models import BoardLink, Decision, IgnoredItem, SyncQueue
from sync.reconcile import record_writes
from sync.records.item_links import ignore_item, relink
from tests.lifecycle.conftest import choose, newcomers, open_conflict, quiet_passes, take_away
from tests.support.people import unlink
from tests.support.world import World


def unlinked(world: World, contact: Contact) -> str:
    """A person unlinks the record; returns the item's id."""
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
    line = Decision.objects.get(entity_id=contact.pk, kind="unlinked")
    assert ("pat" in line.sentence, line.actor) == (True, "pat")
    world.sandbox.act("rename", item_id=item_id, name="Ann, edited")
    newcomers(world)
    assert Contact.objects.get().monday_id is None
    twin = world.contact("Ann Twin", email="ann@example.com")
    world.work(twin)
    assert twin.monday_id not in (None, item_id)


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


@contextmanager
def unlinking_fails() -> Iterator[None]:
    """NPD's own code fails in every pass that would unlink a record."""

    def fails(*_: Any) -> Any:
        raise ValueError("boom")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_writes, "cleared_columns", fails)
        yield


def test_an_unlinking_that_failed_for_good_is_not_forgotten_when_the_record_is_synced(world: World) -> None:
    contact = world.linked("Ann")
    unlink(contact)
    with unlinking_fails():
        world.give_up_on(contact)
    world.edit(contact, "role_title", "Chair")
    world.hear(contact)
    assert (contact.role_title, contact.sync_status) == ("Chair", "pending")
    failed = SyncQueue.objects.get(status="failed")
    world.queue.manual_retry(failed.pk, "pat")
    world.work()
    assert (world.status(contact), contact.monday_id) == ("disabled", None)
    assert not SyncQueue.objects.exclude(status="completed").exists()


@pytest.mark.django_db
def test_linking_again_is_refused_where_the_item_is_another_records_by_now() -> None:
    contact = Contact.objects.create(name="Ann", sync_enabled=False)
    ignore_item("contact", "7", contact.pk, "pat unlinked it.")
    Contact.objects.create(name="Bob", monday_id="7")
    with pytest.raises(NotPossible, match="Bob"):
        relink(contact, "pat")


def test_a_record_whose_sync_is_turned_on_again_is_asked_about_its_let_go_item(world: World, pat: Any) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    BoardLink.objects.filter(entity_type="contact").update(removed_item_policy="unlink")
    item_id = take_away(world, contact)
    quiet_passes(world)
    world.sandbox.act("restore", item_id=item_id)
    newcomers(world)
    contact.refresh_from_db()
    # Of an item that has left the board Monday lets nothing be changed.
    assert (contact.sync_enabled, world.sandbox.item(item_id)["values"]["npd_id"]) == (False, str(contact.pk))
    contact.sync_enabled = True
    contact.save()
    world.work()
    assert world.status(contact) == "conflict"
    assert len(world.sandbox.items()) == 1
    choose(open_conflict(contact.pk, "identity"), pat, "custom", item_id)
    world.work()
    assert world.status(contact) == "synced"
    assert (contact.monday_id, IgnoredItem.objects.count()) == (item_id, 0)
