"""What an answer, an approval or an item meets that comes late: the record, its item or the setting has moved on."""

from typing import Any

import pytest
from django.db import OperationalError

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.choices import GuardKind, GuardState
from sync.engine import making
from sync.guard.releasing import release
from sync.models import Decision, GuardedAct, SyncMetadata, SyncQueue, Tombstone
from tests.lifecycle.conftest import World, asked, choose, quiet_passes, take_away
from tests.lifecycle.test_item_gone import hide, set_policy


def item_of(world: World, item_id: str) -> dict[str, Any]:
    return next(i for b in world.sandbox.boards() for i in b["items"] if i["id"] == item_id)


def hear(world: World) -> None:
    """What Monday sent comes in; the items' quiet times pass, that of those without a key too."""
    world.deliver()
    world.pass_time(minutes=6)
    world.work()


def mail(text: str) -> dict[str, str]:
    return {"email": text, "text": text}


def test_an_old_item_that_somebody_restores_after_it_was_made_again_is_asked_about_and_stays(world: World) -> None:
    set_policy("create")
    contact = world.linked("Ann", email="ann@example.com")
    old = take_away(world, contact)
    quiet_passes(world)
    contact.refresh_from_db()
    assert contact.monday_id not in (None, old)
    hear(world)
    world.sandbox.act("restore", item_id=old)
    hear(world)
    assert item_of(world, old)["state"] == "active"
    assert item_of(world, old)["values"]["npd_id"] == ""
    assert asked(contact.pk, "identity").monday_item_id == old
    assert not Decision.objects.filter(entity_id=contact.pk, kind="archived").exists()


def test_a_copy_that_became_another_records_item_is_not_archived_by_a_late_answer(world: World, pat: Any) -> None:
    ann = world.linked("Ann", email="ann@example.com")
    copy = str(world.sandbox.act("duplicate", item_id=ann.monday_id)["id"])
    hear(world)
    conflict = asked(ann.pk, "identity")
    bob = world.contact("Bob", email="bob@example.com")
    Contact.objects.filter(pk=bob.pk).update(monday_id=copy)
    choose(conflict, pat, "custom", "archive")
    world.work()
    assert item_of(world, copy)["state"] == "active"
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    bob.refresh_from_db()
    assert bob.monday_id == copy


def test_a_record_deleted_by_hand_while_its_chosen_deletion_waits_stays_deleted(
    world: World, pat: Any, settings: Any
) -> None:
    settings.GUARD_RECORDS = 1
    contacts = [world.linked(f"Ann {n}", role_title="Boss") for n in range(3)]
    for contact in contacts:
        Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
        world.sandbox.act("archive", item_id=contact.monday_id)
    world.deliver()
    world.work()
    quiet_passes(world)
    for contact in contacts:
        choose(asked(contact.pk), pat, "monday")
    world.work()
    assert Contact.objects.count() == 3
    contacts[0].delete()
    world.work()
    assert not Contact.objects.filter(pk=contacts[0].pk).exists()
    assert Tombstone.objects.get(entity_id=contacts[0].pk).state == "gone"
    assert not SyncConflict.objects.filter(entity_id=contacts[0].pk, resolved_at=None).exists()


def test_a_lock_that_npd_waits_for_too_long_does_not_end_a_new_item(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, told = making.store, []

    def locked_once(record: Any, *, by_itself: bool = True) -> None:
        if not told:
            told.append(record)
            raise OperationalError("canceling statement due to lock timeout")
        real(record, by_itself=by_itself)

    monkeypatch.setattr(making, "store", locked_once)
    item = world.sandbox.act(
        "add", board_id=world.board_id(), name="Ann", values={"email": mail("ann@example.com")}
    )
    hear(world)
    assert told
    assert Contact.objects.get().monday_id == item["id"]


def test_an_item_behind_a_question_about_a_deletion_is_not_read_every_minute(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    world.edit(contact, "role_title", "Director")
    world.sandbox.act("duplicate", item_id=contact.monday_id)
    key = contact.pk
    contact.delete()
    hear(world)
    assert Tombstone.objects.get(entity_id=key).state == "asked"
    calls = world.calls()
    for _ in range(30):
        world.pass_time(minutes=1)
        world.work()
    assert world.calls() - calls <= 2


def test_a_question_whose_item_leaves_the_board_closes_and_its_records_go_on(world: World) -> None:
    records = [world.contact(name, email="ann@example.com") for name in ("One", "Two")]
    SyncQueue.objects.all().delete()
    item = world.sandbox.act(
        "add", board_id=world.board_id(), name="Ann", values={"email": mail("ann@example.com")}
    )
    hear(world)
    assert SyncConflict.objects.get(resolved_at=None).monday_item_id == item["id"]
    world.sandbox.act("archive", item_id=item["id"])
    hear(world)
    assert not SyncConflict.objects.filter(monday_item_id=item["id"], resolved_at=None).exists()
    assert world.status(records[0]) == "synced"


def test_an_item_not_returned_once_is_looked_for_again_before_its_deletion_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = world.linked("Ann")
    item_id, key = str(contact.monday_id), contact.pk
    with monkeypatch.context() as patch:
        hide(world, patch, item_id)
        contact.delete()
        world.work()
        assert Tombstone.objects.get(entity_id=key).state == "waiting"
    quiet_passes(world)
    assert item_of(world, item_id)["state"] == "archived"
    assert Tombstone.objects.get(entity_id=key).state == "archived"


def test_an_item_never_returned_ends_its_deletion(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    contact = world.linked("Ann")
    key = contact.pk
    hide(world, monkeypatch, str(contact.monday_id))
    contact.delete()
    world.work()
    quiet_passes(world, 3)
    assert Tombstone.objects.get(entity_id=key).state == "gone"
    assert not SyncQueue.objects.filter(status="pending").exists()


def test_a_held_deletion_lets_itself_go_when_another_record_has_the_item(world: World, settings: Any) -> None:
    settings.GUARD_RECORDS = 1
    contacts = [world.linked(f"Ann {n}", email=f"ann{n}@example.com") for n in range(3)]
    items = [contact.monday_id for contact in contacts]
    Contact.objects.all().delete()
    world.work()
    assert GuardedAct.objects.filter(state="held").count() == 3
    again = world.contact("Ann again", email="ann0@example.com")
    world.work()
    again.refresh_from_db()
    assert again.monday_id == items[0]
    release()
    assert GuardedAct.objects.filter(state="held").count() == 2


def test_a_question_about_a_deletion_closes_when_another_record_has_the_item(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    world.edit(contact, "role_title", "Director")
    key, item = contact.pk, contact.monday_id
    contact.delete()
    hear(world)
    assert SyncConflict.objects.get(resolved_at=None).entity_id == key
    again = world.contact("Ann", email="ann@example.com", role_title="Director")
    world.work()
    again.refresh_from_db()
    assert again.monday_id == item
    world.pass_time(minutes=1)
    world.work()
    assert not SyncConflict.objects.filter(entity_id=key, resolved_at=None).exists()


def test_copies_that_are_archived_count_for_the_guard(world: World, settings: Any) -> None:
    from tests.lifecycle.test_duplicates import ran_twice

    contact, copy = ran_twice(world)
    world.deliver()
    world.pass_time(seconds=11)
    world.work()
    assert item_of(world, copy)["state"] == "archived"
    acts = GuardedAct.objects.filter(kind=GuardKind.ITEMS, state=GuardState.DONE)
    assert [act.entity_id for act in acts] == [contact.pk]


def test_a_policy_that_a_person_changes_during_a_run_counts_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sync.engine import identity

    set_policy("delete")
    contact = world.linked("Ann")
    take_away(world, contact)
    real = identity.decide_gone

    def after_a_change(batch: Any) -> None:
        set_policy("ask")
        real(batch)

    monkeypatch.setattr(identity, "decide_gone", after_a_change)
    quiet_passes(world)
    assert Contact.objects.filter(pk=contact.pk).exists()
    assert asked(contact.pk)


def test_a_held_deletion_of_a_record_lets_itself_go_when_the_record_is_edited(world: World, settings: Any) -> None:
    settings.GUARD_RECORDS = 1
    set_policy("delete")
    contacts = [world.linked(f"Ann {n}") for n in range(3)]
    for contact in contacts:
        world.sandbox.act("archive", item_id=contact.monday_id)
    world.deliver()
    world.work()
    quiet_passes(world)
    assert GuardedAct.objects.filter(state="held").count() == 3
    Contact.objects.filter(pk=contacts[0].pk).update(role_title="Chair")
    world.work()
    assert asked(contacts[0].pk).conflict_fields == ["role_title"]
    assert GuardedAct.objects.filter(state="held").count() == 2


def test_an_unlink_that_a_person_wants_outlives_a_save_during_a_failed_look(world: World) -> None:
    from sync.letting_go import ask_to_unlink

    contact = world.linked("Ann")
    item = str(contact.monday_id)
    world.sandbox.faults({"timeout": "before", "on": "change_multiple_column_values"})
    ask_to_unlink(contact, "pat")
    world.work()
    Contact.objects.filter(pk=contact.pk).update(role_title="Chair")
    world.wait_out()
    world.work()
    assert (world.status(contact), contact.monday_id) == ("disabled", None)
    assert item_of(world, item)["values"]["npd_id"] == ""
    assert SyncMetadata.objects.get(entity_id=str(contact.pk)).conflicts == {}


