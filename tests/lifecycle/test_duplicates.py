"""MERGE: "there, linked | a second item bears its NPD ID": the link stays, the copy is parted from it."""

from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact
from sync.engine.questions import LEAVE, NEW_RECORD
from sync.models import BoardLink, Decision, Intent, MondayAccount, RefusedItem, SyncQueue
from tests.lifecycle.conftest import World, asked, choose


def item_of(world: World, item_id: str) -> dict[str, Any]:
    return next(i for b in world.sandbox.boards() for i in b["items"] if i["id"] == item_id)


def duplicate(world: World, contact: Contact) -> str:
    """A person duplicates the item on the board; the worker finds out."""
    made = world.sandbox.act("duplicate", item_id=contact.monday_id)
    hear(world)
    return str(made["id"])


def hear(world: World) -> None:
    world.deliver()
    world.pass_time(seconds=11)
    world.work()


def test_a_persons_duplicate_loses_the_npd_id_and_a_person_is_asked(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com", role_title="Boss")
    before = contact.monday_id
    copy = duplicate(world, contact)
    assert item_of(world, copy)["values"]["npd_id"] == ""
    assert item_of(world, copy)["state"] == "active"
    assert (world.status(contact), contact.monday_id) == ("synced", before)
    assert world.values(contact)["npd_id"] == str(contact.pk)
    conflict = asked(contact.pk, "identity")
    assert conflict.monday_item_id == copy
    assert [o["value"] for o in conflict.about["options"]] == ["archive", NEW_RECORD, LEAVE]
    assert Contact.objects.count() == 1


def test_the_question_stays_one_while_webhooks_and_looks_go_on(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    hear(world)
    world.sandbox.act("edit", item_id=copy, column_id="role_title", text="edited")
    hear(world)
    world.look(contact)
    assert SyncConflict.objects.filter(kind="identity", resolved_at=None).count() == 1
    assert Contact.objects.count() == 1
    assert world.status(contact) == "synced"


def test_a_copy_that_a_person_calls_a_copy_is_archived(world: World, pat: Any) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    choose(asked(contact.pk, "identity"), pat, "custom", "archive")
    world.work()
    assert item_of(world, copy)["state"] == "archived"
    assert world.status(contact) == "synced"
    conflict = SyncConflict.objects.get()
    assert (conflict.resolved_by, conflict.resolution_type) == (pat, "merge")
    hear(world)
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_a_copy_that_is_another_one_becomes_a_record_of_its_own(world: World, pat: Any) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    choose(asked(contact.pk, "identity"), pat, "custom", NEW_RECORD)
    world.work()
    hear(world)
    other = Contact.objects.get(monday_id=copy)
    assert other.pk != contact.pk
    assert item_of(world, copy)["values"]["npd_id"] == str(other.pk)
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_a_copy_that_is_left_on_the_board_makes_no_record_and_is_not_asked_about_again(
    world: World, pat: Any
) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    choose(asked(contact.pk, "identity"), pat, "custom", LEAVE)
    world.work()
    world.sandbox.act("edit", item_id=copy, column_id="role_title", text="edited")
    hear(world)
    assert item_of(world, copy)["state"] == "active"
    assert Contact.objects.count() == 1
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert RefusedItem.objects.get(item_id=copy).let_go


def test_an_answer_about_a_copy_that_is_gone_by_then_closes_the_question(world: World, pat: Any) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    world.sandbox.act("delete", item_id=copy)
    choose(asked(contact.pk, "identity"), pat, "custom", "archive")
    world.work()
    assert not SyncConflict.objects.filter(resolved_at=None).exists()
    assert item_of(world, copy)["state"] == "deleted"


def ran_twice(world: World) -> tuple[Contact, str]:
    """A create whose first run Monday's search didn't show, so that it was made once more; returns the first's id."""
    world.sandbox.faults({"timeout": "after", "on": "create_item"})
    contact = world.contact("Ann", email="ann@example.com", role_title="Boss")
    world.work()
    (first,) = world.sandbox.items()
    Intent.objects.update(state="void", looks=1)
    world.sandbox.act("edit", item_id=first["id"], column_id="npd_id", text="")
    world.sandbox.act("edit", item_id=first["id"], column_id="email", value=None)
    world.wait_out()
    world.work()
    world.sandbox.act(
        "edit",
        item_id=first["id"],
        column_id="email",
        value={"email": "ann@example.com", "text": "ann@example.com"},
    )
    world.sandbox.act("edit", item_id=first["id"], column_id="npd_id", text=str(contact.pk))
    contact.refresh_from_db()
    assert contact.monday_id not in (None, first["id"])
    return contact, str(first["id"])


def test_a_create_that_ran_twice_leaves_one_item_the_untouched_copy_is_archived(world: World) -> None:
    contact, copy = ran_twice(world)
    hear(world)
    assert item_of(world, copy)["state"] == "archived"
    assert item_of(world, copy)["values"]["npd_id"] == ""
    assert [item["id"] for item in world.sandbox.items()] == [contact.monday_id]
    assert world.status(contact) == "synced"
    line = Decision.objects.get(entity_id=contact.pk, kind="archived")
    assert "whose answer was lost" in line.sentence
    assert not SyncConflict.objects.exists()


def test_a_create_that_ran_twice_is_asked_about_once_somebody_touched_the_copy(world: World) -> None:
    contact, copy = ran_twice(world)
    world.sandbox.act("edit", item_id=copy, column_id="role_title", text="somebody's")
    hear(world)
    assert item_of(world, copy)["state"] == "active"
    assert item_of(world, copy)["values"]["npd_id"] == ""
    assert asked(contact.pk, "identity").monday_item_id == copy


def test_an_equal_item_that_somebody_else_made_is_asked_about(world: World) -> None:
    contact, copy = ran_twice(world)
    MondayAccount.objects.update_or_create(id=1, defaults={"user_id": "4711"})
    hear(world)
    assert item_of(world, copy)["state"] == "active"
    assert asked(contact.pk, "identity").monday_item_id == copy


def test_more_copies_than_the_guard_lets_through_are_asked_about(world: World, settings: Any) -> None:
    contact, copy = ran_twice(world)
    settings.GUARD_RECORDS = 1
    from sync.choices import GuardKind, GuardState
    from sync.models import GuardedAct

    other = world.contact("Other", sync_enabled=False)
    GuardedAct.objects.create(
        entity_type="contact", entity_id=other.pk, kind=GuardKind.ITEMS, state=GuardState.DONE
    )
    hear(world)
    assert item_of(world, copy)["state"] == "active"
    assert asked(contact.pk, "identity").monday_item_id == copy


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_answer_to_the_clearing_is_found_out_about(world: World, moment: str) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    made = world.sandbox.act("duplicate", item_id=contact.monday_id)
    world.deliver()
    world.pass_time(seconds=11)
    world.sandbox.faults({"timeout": moment, "on": "change_multiple_column_values"})
    world.work()
    world.wait_out()
    world.work()
    hear(world)
    assert item_of(world, made["id"])["values"]["npd_id"] == ""
    assert asked(contact.pk, "identity").monday_item_id == made["id"]
    assert not SyncQueue.objects.filter(status__in=["pending", "in_progress"]).exists()


def test_the_copy_of_a_record_without_sync_is_left_alone(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    world.work()
    mutations = world.calls("mutation")
    copy = duplicate(world, contact)
    assert item_of(world, copy)["values"]["npd_id"] == str(contact.pk)
    assert world.calls("mutation") == mutations
    assert Contact.objects.count() == 1


def test_the_npd_id_of_a_copy_is_cleared_whatever_the_records_direction(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    Contact.objects.filter(pk=contact.pk).update(sync_direction="monday_to_npd")
    world.work()
    copy = duplicate(world, contact)
    assert item_of(world, copy)["values"]["npd_id"] == ""
    assert world.values(contact)["npd_id"] == str(contact.pk)


def test_a_board_whose_items_make_no_records_still_parts_copies(world: World) -> None:
    BoardLink.objects.update(creates_records=False)
    contact = world.linked("Ann", email="ann@example.com")
    copy = duplicate(world, contact)
    assert item_of(world, copy)["values"]["npd_id"] == ""
    assert asked(contact.pk, "identity").monday_item_id == copy
