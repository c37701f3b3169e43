"""Items without a record and records without an item: merge.md, rows "none | …" and "never linked | …"."""

import uuid
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.choices import Cause, Priority
from sync.models import BoardLink, IgnoredItem, SyncQueue, Tombstone
from sync.outbox.queue_rows import enqueue_item
from sync.reconcile import new_items
from sync.records.external_ids import external_ids_of, set_external_ids
from tests.lifecycle.conftest import asked, choose
from tests.support.world import World, mail, staged


def newcomers(world: World, seconds: float = 11) -> None:
    """Webhooks come, the items' quiet time passes, the worker looks."""
    world.hear(seconds=seconds)


def test_none_there_never_linked_it_waits_until_it_was_quiet(world: World) -> None:
    item = world.add("Ann", email=mail("ann@example.com"))
    newcomers(world, seconds=5)
    assert not Contact.objects.exists()
    newcomers(world, seconds=6)
    contact = Contact.objects.get()
    assert (contact.name, contact.email, contact.monday_id) == ("Ann", "ann@example.com", item)
    assert (world.status(contact), world.values(contact)["npd_id"]) == ("synced", str(contact.pk))


def test_none_there_never_linked_without_a_match_key_it_waits_five_minutes(world: World) -> None:
    world.add("Ann")
    newcomers(world, seconds=200)
    assert "email" in SyncQueue.objects.get(entity_id=None, status="pending").reason.lower().replace("-", "")
    assert not Contact.objects.exists()
    newcomers(world, seconds=120)
    assert Contact.objects.count() == 1


def test_none_there_never_linked_the_npd_id_of_a_record_without_an_item_links(world: World) -> None:
    contact = world.contact("Ann", sync_enabled=False)
    item = world.add("Somebody", npd_id=str(contact.pk), email=mail("else@example.com"))
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=True)
    SyncQueue.objects.filter(entity_id=contact.pk).delete()
    newcomers(world)
    contact.refresh_from_db()
    assert contact.monday_id == item
    assert len(world.sandbox.items()) == 1


def test_none_there_never_linked_one_hit_by_the_match_rule_links(world: World) -> None:
    contact = world.contact("Ann", email="ann@example.com")
    item = world.add("Ann on Monday", email=mail("Ann@Example.com".lower()))
    SyncQueue.objects.filter(entity_id=contact.pk).delete()
    newcomers(world)
    contact.refresh_from_db()
    assert contact.monday_id == item
    assert Contact.objects.count() == 1


def several(world: World) -> tuple[SyncConflict, str, list[Contact]]:
    """An item that could be either of two records, asked about."""
    records = [world.contact(name, email="ann@example.com") for name in ("One", "Two")]
    SyncQueue.objects.all().delete()
    item = world.add("Ann", email=mail("ann@example.com"), role_title="Buyer")
    newcomers(world)
    return SyncConflict.objects.get(monday_item_id=item, resolved_at=None), item, records


def test_none_there_never_linked_several_hits_are_asked_about_and_the_one_that_a_person_says_is_linked(
    world: World, pat: Any
) -> None:
    conflict, item, (other, chosen) = several(world)
    assert conflict.kind == "identity"
    assert {option["label"] for option in conflict.about["options"]} == {
        "It is “One”",
        "It is “Two”",
        "It is somebody else: create a new record",
        "Leave the item alone",
    }
    assert set(Contact.objects.values_list("sync_status", flat=True)) == {"conflict"}
    choose(conflict, pat, "custom", str(chosen.pk))
    world.work(chosen)
    assert chosen.monday_id == item
    assert world.values(chosen)["npd_id"] == str(chosen.pk)
    assert Contact.objects.get(pk=other.pk).monday_id != item
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None


def test_an_item_that_an_answer_gives_to_a_record_is_not_asked_about_by_the_same_pass(world: World, pat: Any) -> None:
    conflict, item, (other, chosen) = several(world)
    enqueue_item("contact", item, cause=Cause.WEBHOOK, priority=Priority.EDIT, due_in_seconds=0)
    choose(conflict, pat, "custom", str(chosen.pk))
    world.work(chosen)
    assert chosen.monday_id == item
    open_questions = SyncConflict.objects.filter(kind="identity", resolved_at=None)
    # The other one, with the same email, is asked about; not the item.
    assert [question.entity_id for question in open_questions] == [other.pk]
    assert "could be" not in open_questions[0].about["what"]
    assert "by now" in SyncQueue.objects.filter(remote_id=item).latest("pk").error_message


def test_an_item_that_is_nobodys_becomes_a_record_when_a_person_says_so(world: World, pat: Any) -> None:
    conflict, item, (one, two) = several(world)
    BoardLink.objects.update(creates_records=False)
    choose(conflict, pat, "custom", "record")
    world.work()
    made = Contact.objects.get(monday_id=item)
    assert (made.name, made.role_title) == ("Ann", "Buyer")
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    # The records that had waited for the answer go their own way again.
    assert world.status(one) == "synced"
    assert one.monday_id not in (None, item)
    # Their email is still the same, so that the other one is asked about, but not about this item.
    assert asked(two.pk, "identity").monday_item_id == one.monday_id


def test_an_answer_that_no_longer_applies_is_handed_back_with_its_reason(world: World, pat: Any) -> None:
    linked = world.linked("Ann", email="ann@example.com")
    free = world.contact("Bob", email="ann@example.com")
    SyncQueue.objects.all().delete()
    item = world.add("Ann again", email=mail("ann@example.com"))
    newcomers(world)
    conflict = SyncConflict.objects.get(monday_item_id=item, resolved_at=None)
    choose(conflict, pat, "custom", str(free.pk))
    free.delete()
    world.work(conflict)
    assert (conflict.entity_id, conflict.resolved_at) == (linked.pk, None)
    assert "deleted meanwhile" in conflict.resolution_problem
    assert str(free.pk) not in str(conflict.about["options"])


def test_none_there_a_hit_that_has_an_item_is_asked_about(world: World) -> None:
    contact = world.linked("Ann", email="ann@example.com")
    item = world.add("Ann again", email=mail("ann@example.com"))
    newcomers(world)
    conflict = asked(contact.pk, "identity")
    assert conflict.monday_item_id == item
    assert world.status(contact) == "synced"
    assert Contact.objects.count() == 1


def test_none_there_an_item_that_can_make_no_record_is_refused_and_remembered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_items, "record_from_item", lambda *_: (Contact(), ["Name: it can't be read"]))
    item = world.add("Ann", email=mail("ann@example.com"))
    newcomers(world)
    assert IgnoredItem.objects.get(item_id=item).reason == "Name: it can't be read"
    monkeypatch.undo()
    world.sandbox.act("rename", item_id=item, name="Ann B")
    newcomers(world)
    assert not Contact.objects.exists()


def test_none_archived_or_deleted_nothing_happens_and_the_row_ends_with_the_reason(world: World) -> None:
    item = world.add("Ann", email=mail("ann@example.com"))
    world.sandbox.act("archive", item_id=item)
    newcomers(world)
    assert not Contact.objects.exists()
    assert "no such active item" in SyncQueue.objects.get(remote_id=item).error_message


def test_none_not_returned_when_asked_by_id_nothing_happens_and_the_row_ends_with_the_reason(world: World) -> None:
    from sync.outbox.queue_rows import enqueue_item

    enqueue_item("contact", "999999", cause=Cause.WEBHOOK, priority=Priority.EDIT, due_in_seconds=0)
    world.work()
    row = SyncQueue.objects.get(remote_id="999999")
    assert (row.status, "no such active item" in row.error_message) == ("completed", True)


def two_items(world: World) -> tuple[Contact, str, str]:
    """A record whose email two items on the board bear, asked about."""
    one, two = (world.add(f"Ann {n}", email=mail("ann@example.com")) for n in (1, 2))
    contact = world.contact("Ann", email="ann@example.com")
    world.work()
    assert (world.status(contact), len(world.sandbox.items())) == ("conflict", 2)
    return contact, one, two


def test_there_never_linked_none_of_the_hits_a_new_item_is_made_and_nobody_asks_again(world: World, pat: Any) -> None:
    contact, one, two = two_items(world)
    choose(asked(contact.pk, "identity"), pat, "custom", "new")
    world.work(contact)
    assert contact.monday_id not in (None, one, two)
    assert world.status(contact) == "synced"
    assert not SyncConflict.objects.filter(kind="identity", resolved_at=None).exists()
    world.deliver()
    newcomers(world)
    assert set(IgnoredItem.objects.values_list("item_id", flat=True)) <= {one, two}
    assert not SyncConflict.objects.filter(entity_id=contact.pk, resolved_at=None).exists()


@staged
def twins(world: World) -> tuple[Contact, Contact]:
    """A linked record, and one made of an item that got the same email address later."""
    known = world.linked("Ann", email="ann@example.com")
    item = world.add("A. Example")
    newcomers(world, seconds=400)
    made = Contact.objects.get(monday_id=item)
    world.hear()
    world.edit(made, "email", mail("ann@example.com"))
    world.hear(made)
    return known, made


def test_a_record_made_from_an_item_whose_key_meets_anothers_is_asked_about(world: World) -> None:
    known, made = twins(world)
    conflict = asked(made.pk, "identity")
    assert "same email" in conflict.about["what"].replace("email", "email")
    assert (made.email, made.sync_status) == ("ann@example.com", "synced")
    assert Contact.objects.get(pk=known.pk).sync_status == "synced"


def test_a_record_made_from_an_item_that_somebody_touched_in_npd_is_not_asked_about(world: World) -> None:
    world.linked("Ann", email="ann@example.com")
    item = world.add("A. Example")
    newcomers(world, seconds=400)
    made = Contact.objects.get(monday_id=item)
    made.notes = "met at the fair"
    made.save()
    world.work()
    world.edit(made, "email", mail("ann@example.com"))
    world.hear()
    assert not SyncConflict.objects.filter(kind="identity").exists()


def test_the_same_person_the_made_record_goes_and_its_item_after_it(world: World, pat: Any) -> None:
    known, made = twins(world)
    item = made.monday_id
    set_external_ids("contact", {known.pk: {"crm": "1"}, made.pk: {"crm": "2", "shop": "3"}})
    choose(asked(made.pk, "identity"), pat, "custom", f"same:{known.pk}")
    world.work()
    world.work()
    assert external_ids_of("contact", [known.pk]) == {known.pk: {"crm": "1", "shop": "3"}}
    assert list(Contact.objects.all()) == [known]
    assert Tombstone.objects.get(entity_id=made.pk).state == "archived"
    states = {i["id"]: i["state"] for i in world.sandbox.all_items()}
    assert states[str(item)] == "archived"
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_the_same_person_without_an_item_takes_the_made_records_item(world: World, pat: Any) -> None:
    known = world.contact("Ann", email="ann@example.com", sync_enabled=False)
    item = world.add("A. Example")
    newcomers(world, seconds=400)
    made = Contact.objects.get(monday_id=item)
    world.edit(made, "email", mail("ann@example.com"))
    world.hear()
    conflict = asked(made.pk, "identity")
    Contact.objects.filter(pk=known.pk).update(sync_enabled=True)
    SyncQueue.objects.filter(entity_id=known.pk).delete()
    choose(conflict, pat, "custom", f"same:{known.pk}")
    world.work()
    world.work(known)
    assert (known.monday_id, Contact.objects.count()) == (item, 1)
    assert world.values(known)["npd_id"] == str(known.pk)
    assert Tombstone.objects.get(entity_id=made.pk).state == "nothing_left"
    assert len(world.sandbox.items()) == 1


def test_a_record_whose_key_is_that_of_a_made_one_may_take_over_its_item(world: World, pat: Any) -> None:
    item = world.add("A. Example", email=mail("ann@example.com"))
    newcomers(world)
    made = Contact.objects.get(monday_id=item)
    known = world.contact("Ann", email="ann@example.com")
    world.work()
    choose(asked(known.pk, "identity"), pat, "custom", f"takes:{made.pk}")
    world.work()
    world.work(known)
    assert (known.monday_id, Contact.objects.count()) == (item, 1)
    assert not SyncConflict.objects.filter(kind="identity", resolved_at=None).exists()


def test_two_persons_stay_two_and_nobody_asks_again(world: World, pat: Any) -> None:
    _, made = twins(world)
    choose(asked(made.pk, "identity"), pat, "custom", "different")
    world.work()
    world.edit(made, "role_title", "Buyer")
    world.hear()
    assert Contact.objects.count() == 2
    assert not SyncConflict.objects.filter(resolved_at=None).exists()


def test_none_there_moved_here_from_another_types_board_stays_that_records_item(world: World) -> None:
    contact = world.linked(email="ann@example.com")
    link = BoardLink.objects.get(entity_type="organization")
    world.sandbox.act("move_to_board", item_id=contact.monday_id, board_id=link.board_id, group_id=link.group_id)
    enqueue_item("organization", contact.monday_id, cause=Cause.SWEEP, priority=Priority.SWEEP, due_in_seconds=0)
    world.work()
    assert not Organization.objects.exists()
    assert world.item(contact)["values"][link.npd_id_column] == str(contact.pk)
    contact.refresh_from_db()
    assert contact.monday_id


@pytest.mark.parametrize("of_another_type", [False, True])
def test_an_item_that_bears_the_npd_id_of_no_record_becomes_the_record_of_that_id(
    world: World, of_another_type: bool
) -> None:
    borne = Organization.objects.create(name="Navy").pk if of_another_type else uuid.uuid4()
    item = world.add("Bo", email=mail("bo@x.test"), npd_id=str(borne))
    writes = world.calls("mutation")
    newcomers(world)
    contact = Contact.objects.get()
    assert contact.monday_id == item
    assert (contact.pk == borne) is not of_another_type
    assert world.values(contact)["npd_id"] == str(contact.pk)
    if not of_another_type:
        assert world.calls("mutation") == writes


def test_an_item_that_another_record_has_is_not_given_away_by_a_typed_npd_id(world: World) -> None:
    owner = world.linked("Ann", email="ann@example.test")
    item = str(owner.monday_id)
    world.edit(owner, "email", mail("bea@example.test"))
    late = world.contact("Bea", email="bea@example.test")
    world.sandbox.act("edit", item_id=item, column_id="npd_id", value=str(late.pk))
    world.work(late)
    assert "belongs to another record" in asked(late.pk, "identity").about["what"]
    owner.refresh_from_db()
    assert (owner.monday_id, late.monday_id) == (item, None)
