"""A settled conflict can be undone until a side changes; after that the activity has the values that lost."""

from typing import Any

import pghistory
import pytest
from django.test import Client

from conflicts.models import SyncConflict
from conflicts.pages.case import RecordContext, conflict_progress, fields_in_conflict
from conflicts.pages.resolution import InvalidResolution, NotOpen, resolve, undo
from npd.models import Contact
from sync.models import ActivityLine
from tests.admin.test_records import change_page
from tests.conflicts.conftest import PHONE, conflict_of, finding, record, values_seen
from tests.engine.conftest import choose, clash
from tests.support.world import World, staged


@pytest.fixture
def person(world: World) -> Any:
    return world.administrator("lead")


TYPED = {"role_title": {"choose": "custom", "value": "Typed"}}


def undone(world: World, conflict: SyncConflict, person: Any, *records: Contact) -> None:
    """Undo the conflict, let a pass work, and reload the rows."""
    undo(conflict.pk, by=person)
    world.work(conflict, *records)


@staged
def settled(world: World, person: Any, type_: str = "merge", **selection: Any) -> tuple[Contact, SyncConflict]:
    """A contact whose role both sides changed, after a person chose."""
    contact, conflict = clash(world)
    choose(conflict, person, type_, **selection)
    world.work()
    world.hear(conflict)
    assert world.status(contact) == "synced"
    return contact, conflict


def test_an_undone_choice_restores_each_side_and_can_be_settled_again(world: World, person: Any) -> None:
    contact, conflict = settled(world, person, **TYPED)
    assert undo(conflict.pk, by=person).is_being_undone
    with pytest.raises(NotOpen, match="asked for this already"):
        undo(conflict.pk, by=person)
    conflict.refresh_from_db()
    assert conflict_progress(conflict).state == "undoing"
    world.work(conflict)
    assert (conflict.is_open, conflict.resolution, conflict.resolution_type) == (True, None, None)
    assert conflict.npd_data == {"role_title": "NPD's"}
    assert conflict.monday_data == {"role_title": "Monday's"}
    assert conflict.base_data == {"role_title": "Old"}
    assert (world.status(contact), contact.role_title) == ("conflict", "NPD's")
    assert world.values(contact)["role_title"] == "Monday's"
    assert "Undid how Role was resolved" in ActivityLine.objects.get(kind="undo").sentence
    with pytest.raises(NotOpen, match="not resolved"):
        undo(conflict.pk, by=person)
    before = world.calls("mutation")
    world.deliver()
    world.run_pass(contact)
    conflict.refresh_from_db()
    assert (conflict.is_open, world.calls("mutation")) == (True, before)
    choose(conflict, person, "keep_monday")
    world.work(conflict)
    assert (world.status(contact), contact.role_title) == ("synced", "Monday's")
    assert conflict.resolution_type == "keep_monday"
    assert SyncConflict.objects.count() == 1


def test_a_resolution_is_one_line_that_leads_to_its_undo(world: World, person: Any, client: Client) -> None:
    contact, conflict = settled(world, person, "keep_npd")
    client.force_login(person)
    screen = f'href="/admin/conflicts/syncconflict/{conflict.pk}/screen/'

    def conflict_lines(query: str) -> list[tuple[str, str, bool]]:
        answer = client.get(f"/admin/sync/activityline/{query}")
        rows = answer.context["cl"].result_list
        admin = answer.context["cl"].model_admin
        found_rows = [row for row in rows if row.kind.startswith("conflict_")]
        return [(row.kind, admin.who(row), screen in admin.change(row)) for row in found_rows]

    once = [("conflict_settled", str(person), True), ("conflict_found", "NPD Sync", False)]
    assert conflict_lines("") == once
    assert conflict_lines(f"?q={contact.pk}") == once
    assert screen in client.get(change_page(contact)).content.decode()
    undo(conflict.pk, by=person)
    assert conflict_lines("")[-2:] == once
    world.work()
    # The request and its result are one line, too.
    undone = client.get("/admin/sync/activityline/").context["cl"].result_list[0]
    assert (undone.kind, undone.values["by"]) == ("undo", str(person))
    assert not ActivityLine.objects.filter(kind="conflict_undo", folded=False).exists()


@staged
def partly_settled(world: World, person: Any) -> tuple[Contact, SyncConflict]:
    """A contact in conflict about its role and notes, after a person chose the role."""
    contact = world.linked(role_title="Old", notes="old")
    world.edit(contact, "role_title", "Monday's")
    world.edit(contact, "notes", "M notes")
    world.save(contact, role_title="NPD's", notes="N notes")
    conflict = SyncConflict.objects.get(entity_id=contact.pk)
    choose(conflict, person, role_title={"choose": "npd"})
    with pytest.raises(NotOpen):
        undo(conflict.pk, by=person)
    world.work()
    world.hear(conflict)
    assert (conflict_progress(conflict).state, conflict.conflict_fields) == ("partly", ["notes"])
    return contact, conflict


def test_the_part_of_a_conflict_that_was_resolved_is_undone_and_the_rest_stays_open(world: World, person: Any) -> None:
    contact, conflict = partly_settled(world, person)
    assert world.values(contact)["role_title"] == "NPD's"
    undo(conflict.pk, by=person)
    conflict.refresh_from_db()
    assert (conflict.is_open, conflict_progress(conflict).state) == (True, "undoing")
    for again in (lambda: undo(conflict.pk, by=person), lambda: choose(conflict, person, "keep_npd")):
        with pytest.raises(NotOpen):
            again()
    world.work(conflict)
    assert (conflict.is_open, conflict.resolution) == (True, None)
    assert sorted(conflict.conflict_fields) == ["notes", "role_title"]
    assert conflict.npd_data == {"notes": "N notes", "role_title": "NPD's"}
    assert conflict.monday_data == {"notes": "M notes", "role_title": "Monday's"}
    assert world.values(contact)["role_title"] == "Monday's"
    assert conflict_progress(conflict).state == "open"
    assert ActivityLine.objects.filter(kind="undo", key="role_title").count() == 1
    with pytest.raises(NotOpen):
        undo(conflict.pk, by=person)
    choose(conflict, person, "keep_npd")
    world.work()
    assert (world.status(contact), SyncConflict.objects.count()) == ("synced", 1)


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_moved_side_is_not_put_back_and_what_lost_is_in_the_activity(
    world: World, person: Any, *, is_whole: bool
) -> None:
    contact, conflict = settled(world, person, "keep_npd") if is_whole else partly_settled(world, person)
    world.edit(contact, "role_title", "Later")
    undone(world, conflict, person, contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Later", "Later")
    assert (conflict.is_open, conflict.resolution) == (not is_whole, None)
    assert conflict.conflict_fields == (["role_title"] if is_whole else ["notes"])
    assert not is_whole or "has changed since, so nothing was restored" in conflict_progress(conflict).sentence
    assert world.status(contact) == ("synced" if is_whole else "conflict")
    [line] = ActivityLine.objects.filter(kind="conflict_undo_refused")
    assert (line.values["npd"], line.values["monday"]) == ("NPD's", "Monday's")


def test_a_value_that_an_undo_put_back_is_still_the_work_of_who_wrote_it(world: World, person: Any) -> None:
    contact = world.linked(role_title="Old")
    world.edit(contact, "role_title", "Monday's")
    with pghistory.context(user=person.pk):
        world.save(contact, role_title="NPD's")
    conflict = SyncConflict.objects.get()
    choose(conflict, person, "keep_monday")
    world.work()
    undone(world, conflict, person, contact)
    assert contact.role_title == "NPD's"
    [field] = fields_in_conflict(conflict, RecordContext.of(conflict))
    assert (field.key, field.editors["npd"].who) == ("role_title", "lead")


def test_a_save_during_the_call_that_puts_back_is_kept(world: World, person: Any) -> None:
    contact, conflict = settled(world, person, **TYPED)
    undo(conflict.pk, by=person)
    saved = Contact.objects.filter(pk=contact.pk, role_title="Typed")
    world.meanwhile(lambda: saved.update(role_title="Saved meanwhile"), before="mutation")
    world.work(contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Saved meanwhile", "Monday's")
    open_one = SyncConflict.objects.get(resolved_at=None)
    assert (open_one.npd_data, open_one.monday_data) == ({"role_title": "Saved meanwhile"}, {"role_title": "Monday's"})
    assert not SyncConflict.objects.filter(resolved_at__isnull=False, resolution__isnull=False).exists()


def test_an_undo_whose_answer_was_lost_is_finished_by_the_next_look(world: World, person: Any) -> None:
    contact, conflict = settled(world, person, **TYPED)
    undo(conflict.pk, by=person)
    world.sandbox.faults({"timeout": "before", "on": "mutation"})
    world.work(conflict)
    assert conflict.is_being_undone
    world.wait_out()
    world.work(conflict, contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("NPD's", "Monday's")
    assert (conflict.is_open, world.status(contact)) == (True, "conflict")


def test_a_field_that_joins_meanwhile_is_in_one_conflict_with_the_reopened_one(world: World, person: Any) -> None:
    contact, conflict = settled(world, person, "keep_npd")
    world.edit(contact, "notes", "M notes")
    world.save(contact, notes="N notes")
    undone(world, conflict, person)
    open_one = SyncConflict.objects.get(resolved_at=None)
    assert sorted(open_one.conflict_fields) == ["notes", "role_title"]
    assert open_one.npd_data == {"notes": "N notes", "role_title": "NPD's"}
    assert open_one.monday_data == {"notes": "M notes", "role_title": "Monday's"}
    assert "in conflict again" in conflict_progress(conflict).sentence
    assert sorted(world.sync_state(contact).conflicts["fields"]) == ["notes", "role_title"]


def test_turning_sync_off_before_the_look_ends_the_wish_with_its_reason(world: World, person: Any) -> None:
    contact, conflict = settled(world, person, "keep_npd")
    undo(conflict.pk, by=person)
    world.save(contact, sync_enabled=False)
    conflict.refresh_from_db()
    assert (conflict.is_being_undone, conflict.is_open) == (False, False)
    assert "Sync was turned off" in conflict_progress(conflict).sentence


@pytest.mark.django_db
def test_what_cant_be_undone_is_said_in_words(contact: Contact, ada: Any) -> None:
    def refused(words: str) -> None:
        with pytest.raises(InvalidResolution, match=words):
            undo(SyncConflict.objects.earliest("detected_at").pk, by=ada)

    record(finding(contact, PHONE))
    record(finding(contact))
    refused("no resolution to undo")
    SyncConflict.objects.all().delete()
    record(finding(contact, PHONE))
    resolve(conflict_of(contact).pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    raw = {"local": {"phone": "1"}, "remote": "2", "base": None}
    record(finding(contact, applied={"phone": PHONE.npd}, inverse={"phone": {"before": raw, "after": raw}}))
    record(finding(contact, PHONE))
    refused("Phone is in conflict again")
    Contact.objects.update(sync_enabled=False)
    refused("Sync is off")
    Contact.objects.all().delete()
    refused("was deleted since")
