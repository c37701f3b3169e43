from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User

from conflicts.models import SyncConflict
from conflicts.pages.case import conflict_progress, state_of
from conflicts.pages.resolution import resolve, undo
from conflicts.reports import ConflictReport, FieldConflict, FieldSelection
from conflicts.store import end_fields, open_conflicts, reject_resolutions
from npd.models import Contact
from sync.clock import sync_now
from sync.models import ActivityLine
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record, values_seen
from tests.support.world import World

pytestmark = pytest.mark.django_db


def choose(contact: Contact, by: User, *fields: FieldConflict, **chosen: dict[str, Any]) -> None:
    selections = {key: FieldSelection(**selection) for key, selection in chosen.items()}
    resolve(conflict_of(contact).pk, by=by, resolution_type="merge", selections=selections, seen=values_seen(*fields))


def test_the_same_finding_twice_writes_once(contact: Contact, django_assert_num_queries: Any) -> None:
    record(finding(contact))
    assert not SyncConflict.objects.exists()
    record(finding(contact, PHONE))
    before = SyncConflict.objects.values().get()
    with django_assert_num_queries(4):  # savepoint, the open ones, sync_now(), savepoint: no write
        record(finding(contact, PHONE))
    assert SyncConflict.objects.values().get() == before


def test_values_are_brought_up_to_date_and_fields_join_and_leave(contact: Contact) -> None:
    record(finding(contact, PHONE))
    moved = replace(ROLE, monday="Head of Nothing")
    record(finding(contact, moved))

    conflict = conflict_of(contact)
    assert (conflict.conflict_fields, conflict.monday_data) == (["role_title"], {"role_title": "Head of Nothing"})
    phone = conflict.merge_selections["phone"]
    assert (phone["choose"], phone["npd"]) == ("auto", PHONE.npd)
    assert (phone["base"], phone["monday"]) == (PHONE.base, PHONE.monday)
    assert state_of(conflict) == "open"  # nobody resolved any of it


def test_a_conflict_that_is_over_closes_by_itself_with_its_values_kept(contact: Contact) -> None:
    record(finding(contact, PHONE))
    record(finding(contact, closing_reason="Sync was switched off."))

    conflict = conflict_of(contact)
    assert conflict.resolution_type == "auto"
    assert conflict.resolved_at is not None
    assert conflict.resolved_at <= sync_now()
    assert (conflict.conflict_fields, conflict.npd_data) == (["phone"], {"phone": PHONE.npd})
    assert conflict.resolved_by is None
    assert "Sync was switched off." in ActivityLine.objects.get(kind="conflict_over").sentence


def test_a_field_that_is_mapped_anew_leaves_its_conflict_with_its_values_and_the_choice(
    contact: Contact, ada: User
) -> None:
    record(finding(contact, PHONE, ROLE))
    choose(contact, ada, PHONE, ROLE, phone={"choose": "monday"}, role_title={"choose": "npd"})
    end_fields("contact", ["phone"], "It was mapped anew.")

    conflict = conflict_of(contact)
    assert (conflict.conflict_fields, list(conflict.stored_resolution.fields)) == (["role_title"], ["role_title"])
    phone = conflict.merge_selections["phone"]
    assert [phone[side] for side in ("choose", "npd", "monday")] == ["auto", PHONE.npd, PHONE.monday]
    lines = {line.kind: line for line in ActivityLine.objects.filter(key="phone")}
    assert lines["conflict_over"].values["monday"] == PHONE.monday
    assert lines["conflict_returned"].values["choose"] == "monday"
    assert all("It was mapped anew." in lines[kind].sentence for kind in ("conflict_over", "conflict_returned"))

    end_fields("contact", ["role_title", "notes"], "It was mapped anew.")
    conflict = conflict_of(contact)
    assert (state_of(conflict), sorted(conflict.conflict_fields)) == ("settled", ["phone", "role_title"])
    assert conflict.monday_data == {"phone": PHONE.monday, "role_title": ROLE.monday}


@pytest.mark.parametrize("other", ["organization", "contact"])
def test_only_conflicts_about_the_mapped_fields_of_the_type_end(contact: Contact, other: str) -> None:
    record(finding(contact, PHONE))
    record(ConflictReport("contact", contact.pk, "71", "overwritten", [PHONE]))
    end_fields(other, ["phone" if other == "organization" else "notes"], "It was mapped anew.")
    assert [conflict.fields for conflict in open_conflicts("contact", [contact.pk])[contact.pk]] == [("phone",)] * 2


def test_what_was_applied_leaves_and_the_rest_stays_open(contact: Contact, ada: User) -> None:
    record(finding(contact, PHONE, ROLE))
    choose(contact, ada, PHONE, phone={"choose": "npd"})
    record(finding(contact, ROLE, applied={"phone": PHONE.npd}))

    conflict = conflict_of(contact)
    assert (conflict.is_open, conflict.conflict_fields, conflict.resolution) == (True, ["role_title"], None)
    assert conflict.resolved_data == {"phone": PHONE.npd}

    choose(contact, ada, ROLE, role_title={"choose": "base"})
    record(finding(contact, applied={"role_title": ROLE.base}))
    conflict = conflict_of(contact)
    assert (conflict.is_open, conflict.resolution_type) == (False, "merge")
    assert sorted(conflict.conflict_fields) == ["phone", "role_title"]
    assert conflict.monday_data == {"phone": PHONE.monday, "role_title": ROLE.monday}


def test_a_rejected_choice_comes_back_the_others_wait_on_and_it_is_chosen_again(contact: Contact, ada: User) -> None:
    record(finding(contact, PHONE, ROLE))
    choose(contact, ada, PHONE, ROLE, phone={"choose": "npd"}, role_title={"choose": "monday"})
    moved = replace(PHONE, monday="+44 20 7946 1111")
    record(finding(contact, moved, ROLE, rejected={"phone": "The value on Monday changed."}))

    conflict = conflict_of(contact)
    assert conflict.resolution_problem == "The value on Monday changed."
    assert conflict.left_open == ["phone"]
    (wish,) = open_conflicts("contact", [contact.pk])[contact.pk]
    assert list(wish.resolutions) == ["role_title"]
    assert conflict.stored_resolution.handed_back["phone"].choose == "npd"
    record(finding(contact, moved, applied={"role_title": ROLE.monday}))
    choose(contact, ada, moved, phone={"choose": "npd"})
    assert (conflict_of(contact).resolution_problem, conflict_of(contact).is_being_applied) == ("", True)


def test_a_rejected_choice_has_a_history_line_and_the_others_wait_on(contact: Contact, ada: User) -> None:
    record(finding(contact, PHONE))
    choose(contact, ada, PHONE, phone={"choose": "npd"})
    record(replace(finding(contact, ROLE), kind="overwritten"))
    overwritten = SyncConflict.objects.get(kind="overwritten")
    resolve(overwritten.pk, by=ada, resolution_type="keep_npd", seen=values_seen(ROLE))

    reject_resolutions("contact", [contact.pk], "Somebody has it by now.", conflict_id=overwritten.pk)
    overwritten.refresh_from_db()
    assert overwritten.resolution_problem == "Somebody has it by now."
    assert overwritten.left_open == ["role_title"]
    assert list(SyncConflict.objects.get(kind="fields").stored_resolution.fields) == ["phone"]
    (line,) = ActivityLine.objects.filter(entity_id=contact.pk, kind="conflict_returned")
    assert (line.key, line.sentence.endswith("Somebody has it by now.")) == ("role_title", True)


def test_the_author_may_be_gone_by_the_time_the_choice_is_applied(contact: Contact, ada: User) -> None:
    record(finding(contact, PHONE))
    choose(contact, ada, PHONE, phone={"choose": "npd"})
    ada.delete()
    record(finding(contact, applied={"phone": PHONE.npd}))
    conflict = conflict_of(contact)
    assert (conflict.resolution_type, conflict.resolved_by) == ("merge", None)
    assert conflict.merge_selections["phone"]["by"] == "Ada"


def test_identity_conflicts_are_one_an_item_and_close_alone(contact: Contact) -> None:
    def identity(item: str, **data: Any) -> ConflictReport:
        return ConflictReport("contact", contact.pk, item, "identity", data=data)

    record(identity("8", what="Two items.", candidates=[{"id": "8", "label": "G."}]), identity("9", what="One more."))
    record(identity("9", what="Still one more."), finding(contact, PHONE))
    assert SyncConflict.objects.get(monday_item_id="8").about["candidates"] == [{"id": "8", "label": "G."}]
    assert SyncConflict.objects.get(monday_item_id="9").question == "Still one more."
    record(identity("8"))
    assert SyncConflict.objects.get(monday_item_id="8").resolution_type == "auto"
    assert SyncConflict.objects.get(monday_item_id="9").is_open


def test_a_look_at_many_records_costs_few_queries(ada: User, django_assert_max_num_queries: Any) -> None:
    states.boards()
    contacts = Contact.objects.bulk_create(Contact(name=f"c{n}", monday_id=f"1{n}") for n in range(9))
    with django_assert_max_num_queries(6):
        record(*(finding(contact, PHONE, ROLE) for contact in contacts))
    for conflict in SyncConflict.objects.all():
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE, ROLE))
    with django_assert_max_num_queries(10):
        record(*(finding(contact, applied={"phone": "1", "role_title": "2"}) for contact in contacts))
    assert SyncConflict.objects.filter(resolution_type="keep_npd").count() == 9
    with django_assert_max_num_queries(1):
        open_conflicts("contact", [contact.pk for contact in contacts])


LOST_ROLE = FieldConflict("role_title", "Stands", None, "Lost", "Grace wrote it while it was being sent.")
LOST_PHONE = FieldConflict("phone", "+44 20 7946 0812", None, "+44 20 7946 0999")


def lost(contact: Contact, *fields: FieldConflict, **more: Any) -> ConflictReport:
    return ConflictReport("contact", contact.pk, contact.monday_id or "", "overwritten", fields, **more)


def test_it_stays_with_its_values_whatever_later_looks_find(contact: Contact) -> None:
    record(lost(contact, LOST_ROLE))
    record(lost(contact))
    record(lost(contact, LOST_PHONE))
    conflict = conflict_of(contact)
    assert conflict.conflict_fields == ["role_title", "phone"]
    assert conflict.npd_data == {"role_title": "Stands", "phone": LOST_PHONE.npd}
    assert conflict.monday_data == {"role_title": "Lost", "phone": LOST_PHONE.monday}


def test_of_a_second_loss_the_first_value_stays_in_the_history(contact: Contact) -> None:
    record(lost(contact, LOST_ROLE))
    record(lost(contact, replace(LOST_ROLE, monday="Lost later")))
    assert conflict_of(contact).monday_data == {"role_title": "Lost later"}
    line = ActivityLine.objects.get(kind="overwritten")
    assert (line.values["monday"], line.values["second"]) == ("Lost", "Lost later")


@pytest.mark.django_db(transaction=True)
def test_its_resolution_tells_what_was_written_and_can_be_undone(world: World, ada: User) -> None:
    contact = world.linked(role_title="Stands")
    record(lost(contact, LOST_ROLE))
    conflict = conflict_of(contact)
    resolve(conflict.pk, by=ada, resolution_type="keep_monday", seen=values_seen(LOST_ROLE))
    world.work(contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Lost", "Lost")
    assert not conflict_of(contact).is_open
    assert "written in NPD and on Monday" in conflict_progress(conflict_of(contact)).sentence
    undo(conflict.pk, by=ada)
    world.work(contact)
    assert (contact.role_title, world.values(contact)["role_title"]) == ("Stands", "Stands")
    again = SyncConflict.objects.get()
    assert (again.is_open, again.resolution) == (True, None)
    assert (again.npd_data, again.monday_data) == ({"role_title": "Stands"}, {"role_title": "Lost"})
    assert world.status(contact) == "conflict"
    world.deliver()
    world.run_pass(contact)
    assert (world.status(contact), conflict_of(contact).is_open) == ("conflict", True)
