from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from conflicts.models import SyncConflict
from conflicts.pages.resolution import InvalidResolution, NotAsSeen, NotOpen, resolve
from conflicts.reports import ConflictReport, FieldConflict, FieldSelection
from npd.models import Contact, Organization
from sync.choices import Cause, Priority
from sync.models import ActivityLine, SyncQueue
from sync.outbox import wakeups
from tests.admin import states
from tests.conflicts.conftest import PHONE, ROLE, conflict_of, finding, record, values_seen
from tests.support.waiting import at_once

pytestmark = pytest.mark.django_db


def merge(conflict: SyncConflict, by: User, *fields: FieldConflict, **selections: Any) -> SyncConflict:
    chosen = {key: FieldSelection(**{"choose": "", **selection}) for key, selection in selections.items()}
    return resolve(conflict.pk, by=by, resolution_type="merge", selections=chosen, seen=values_seen(*fields))


def test_a_choice_is_stored_and_a_look_ordered_ahead_of_other_work_in_one_go(
    conflict: SyncConflict, ada: User, contact: Contact, monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    SyncQueue.objects.all().delete()
    woken: list[str] = []
    monkeypatch.setattr(wakeups, "wake_board", lambda entity_type, seconds=0: woken.append(entity_type))
    with django_capture_on_commit_callbacks(execute=True):
        stored = merge(conflict, ada, PHONE, phone={"choose": "monday"})
    assert stored.is_open
    assert stored.is_being_applied
    assert stored.left_open == ["role_title"]
    row = SyncQueue.objects.get()
    assert (row.entity_id, row.priority, row.causes) == (contact.pk, Priority.PERSON, Cause.PERSON)
    assert woken == ["contact"]
    contact.refresh_from_db()
    assert contact.phone == ""
    assert ActivityLine.objects.get(kind="conflict_chosen").actor == "Ada"


def test_what_moved_beside_the_choice_doesnt_make_it_stale(conflict: SyncConflict, ada: User, contact: Contact) -> None:
    record(finding(contact, PHONE, replace(ROLE, npd="Head of Nothing")))
    assert merge(conflict, ada, PHONE, ROLE, phone={"choose": "npd"}).is_being_applied


def test_one_side_for_all_is_stale_when_a_field_joined_or_left(
    conflict: SyncConflict, ada: User, contact: Contact
) -> None:
    with pytest.raises(NotAsSeen):
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE))
    record(finding(contact, PHONE))
    with pytest.raises(NotAsSeen):
        resolve(conflict.pk, by=ada, resolution_type="keep_npd", seen=values_seen(PHONE, ROLE))


def test_an_empty_text_and_another_line_end_are_the_same_value(ada: User, contact: Contact) -> None:
    notes = FieldConflict("notes", "one\ntwo", None, None)
    record(finding(contact, notes))
    shown_values = {"notes": {"npd": "one\r\ntwo", "monday": ""}}
    chosen = {"notes": FieldSelection("custom", "five\r\nsix")}
    resolve(conflict_of(contact).pk, by=ada, resolution_type="merge", selections=chosen, seen=shown_values)
    pick = conflict_of(contact).stored_resolution.fields["notes"]
    assert (pick.npd, pick.monday, pick.value) == ("one\ntwo", None, "five\nsix")


def test_a_conflict_that_is_being_applied_takes_no_second_choice(conflict: SyncConflict, ada: User) -> None:
    merge(conflict, ada, PHONE, phone={"choose": "npd"})
    with pytest.raises(NotOpen, match="Ada has just resolved the conflict of Grace Hopper") as waiting:
        merge(conflict, ada, PHONE, phone={"choose": "monday"})
    assert waiting.value.current == values_seen(PHONE, ROLE)
    assert SyncConflict.objects.get().stored_resolution.fields["phone"].choose == "npd"


def test_a_choice_needs_the_values_seen_and_a_field_in_conflict(conflict: SyncConflict, ada: User) -> None:
    with pytest.raises(NotAsSeen, match="Phone changed"):
        merge(conflict, ada, phone={"choose": "npd"})
    with pytest.raises(NotAsSeen, match="Email changed"):
        merge(conflict, ada, PHONE, email={"choose": "npd"})
    with pytest.raises(InvalidResolution, match="There is no field “fone”"):
        merge(conflict, ada, PHONE, fone={"choose": "npd"})
    with pytest.raises(InvalidResolution, match="choose npd, base, monday or custom"):
        merge(conflict, ada, PHONE, phone={"choose": "unlink"})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (PHONE, "1\x002", "NUL"),
        (PHONE, "no digits", "not a phone number"),
        (FieldConflict("name", "Grace", "G.", "Gracie"), "", "can't be empty"),
        (FieldConflict("email", "a@x.test", None, "b@x.test"), "not an address", "not an email address"),
        (FieldConflict("email", "a@x.test", None, "b@x.test"), "a@-x.test", "valid email address"),
        (FieldConflict("notes", "a", None, "b"), "n" * 2001, "a long text on Monday holds 2,000"),
    ],
)
def test_a_typed_value_is_validated(contact: Contact, ada: User, field: FieldConflict, value: str, words: str) -> None:
    record(finding(contact, field, ROLE))
    selections = {field.key: {"choose": "custom", "value": value}, "role_title": {"choose": "npd"}}
    with pytest.raises(InvalidResolution) as bad:
        merge(conflict_of(contact), ada, field, ROLE, **selections)
    assert list(bad.value.problems) == [field.key]
    assert words in bad.value.problems[field.key]
    assert conflict_of(contact).resolution is None


def test_a_typed_empty_text_clears_a_field_that_may_be_empty(conflict: SyncConflict, ada: User) -> None:
    merge(conflict, ada, ROLE, role_title={"choose": "custom", "value": ""})
    pick = SyncConflict.objects.get().stored_resolution.fields["role_title"]
    assert (pick.choose, pick.value) == ("custom", None)


def test_several_fields_on_one_column_are_validated_together(ada: User) -> None:
    states.boards()
    navy = Organization.objects.create(name="Navy", address_city="Arlington", monday_id="5")
    address = FieldConflict("address", "Arlington", None, "Norfolk")
    with transaction.atomic():
        record(ConflictReport("organization", navy.pk, "5", "fields", (address,)))
    conflict = SyncConflict.objects.get()
    with pytest.raises(InvalidResolution, match="at most 255 characters"):
        merge(conflict, ada, address, address={"choose": "custom", "value": "x" * 300})
    assert merge(conflict, ada, address, address={"choose": "custom", "value": "Norfolk"}).is_being_applied


def test_the_last_agreed_value_can_be_chosen_only_where_there_is_one(contact: Contact, ada: User) -> None:
    notes = FieldConflict("notes", "a", None, "b")
    record(finding(contact, notes))
    with pytest.raises(InvalidResolution, match="never synced"):
        merge(conflict_of(contact), ada, notes, notes={"choose": "base"})
    notes = replace(notes, base="")  # both were empty
    record(finding(contact, notes))
    assert merge(conflict_of(contact), ada, notes, notes={"choose": "base"}).is_being_applied


def test_a_side_that_is_empty_cant_be_chosen_for_a_field_that_npd_needs(contact: Contact, ada: User) -> None:
    name = FieldConflict("name", "Grace", "G.", None)
    record(finding(contact, name))
    with pytest.raises(InvalidResolution, match="Name of Grace Hopper can't be empty"):
        merge(conflict_of(contact), ada, name, name={"choose": "monday"})


def test_a_record_without_sync_or_gone_says_so(conflict: SyncConflict, ada: User, contact: Contact) -> None:
    Contact.objects.filter(pk=contact.pk).update(sync_enabled=False)
    with pytest.raises(InvalidResolution, match="Sync is off for Grace Hopper"):
        merge(conflict, ada, PHONE, phone={"choose": "npd"})
    contact.delete()
    with pytest.raises(InvalidResolution, match="deleted in NPD"):
        merge(conflict, ada, PHONE, phone={"choose": "npd"})


@pytest.mark.django_db(transaction=True)
def test_of_two_people_at_once_one_chooses_and_the_other_is_told(contact: Contact, ada: User) -> None:
    record(finding(contact, PHONE))
    conflict = conflict_of(contact)

    def choose(side: str) -> str:
        try:
            merge(conflict, ada, PHONE, phone={"choose": side})
        except NotOpen:
            return "told"
        return "stored"

    assert sorted(at_once(partial(choose, "npd"), partial(choose, "monday"))) == ["stored", "told"]
