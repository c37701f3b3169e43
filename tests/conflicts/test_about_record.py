"""Conflicts about the record itself: a delete, an identity. A person picks one of the ways offered."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.test import APIClient

from conflicts.models import SyncConflict
from conflicts.pages.case import RecordContext, conflict_progress
from conflicts.pages.resolution import InvalidResolution, NotAsSeen, NotOpen, resolve, undo_problem
from conflicts.reports import (
    RECORD_KEY,
    REMOVED_ITEM,
    WHICH_ITEM,
    ConflictReport,
    FieldConflict,
    FieldSelection,
    Option,
)
from conflicts.store import open_conflicts
from npd.models import Contact
from sync.choices import Cause, DeletedRecordPolicy, Priority, RemovedItemPolicy
from sync.kernel.acts import ACTS, NotAllowed
from sync.models import ActivityLine, SyncQueue
from sync.words.message import Message
from tests.admin import states
from tests.api.conftest import code_of, error_of
from tests.conflicts.conftest import conflict_of, record
from tests.conflicts.test_screen import screen, text_of
from tests.support.people import staff_who_may

pytestmark = pytest.mark.django_db

AGAIN = Option("create_item", "A new item is made from the record.", label="Make the item again")
DELETE = Option("delete_record", "The record is deleted in NPD too.", label="Delete the record")
RESTORE = Option("restore_record", "It comes back.")
UNLINK = Option("unlink", "Both stay as they are.", label="Unlink")
WHAT = "The item of Grace Hopper was archived on Monday, but the record was edited here."
ROLE = FieldConflict("role_title", "Admiral", "Captain", None)
EDITED = {"role_title": {"npd": "Admiral", "monday": None}}
IT = {RECORD_KEY: {"npd": WHAT, "monday": None}}


def gone(
    contact: Contact,
    *fields: FieldConflict,
    options: Any = (AGAIN, DELETE, UNLINK),
    asks: str = REMOVED_ITEM,
    **more: Any,
) -> ConflictReport:
    data = {"asks": asks, "what": WHAT, "options": [option.to_json() for option in options]}
    return ConflictReport("contact", contact.pk, "71", "delete", fields, **{"data": data, **more})


def over(contact: Contact, **more: Any) -> ConflictReport:
    return ConflictReport("contact", contact.pk, "71", "delete", **more)


def identity_report(contact: Contact, item: str = "8", **more: Any) -> ConflictReport:
    options = [Option("link", "They are linked.", "8", "It is Grace H."), Option("new_item", "New.")]
    data = {
        "asks": WHICH_ITEM,
        "what": WHAT,
        "options": [option.to_json() for option in options],
        "candidates": [
            {"id": "8", "label": "Grace H.", "values": {"email": "grace@navy.test", "role_title": "Rear Admiral"}},
            {"id": "9", "label": "G. Hopper", "linked_to": str(uuid4()), "values": {"email": "other@navy.test"}},
            {"id": "10", "label": "Grace (copy)", "linked_to": str(contact.pk)},
        ],
    }
    return ConflictReport("contact", contact.pk, item, "identity", **{"data": data, **more})


@pytest.fixture
def conflict(contact: Contact) -> SyncConflict:
    record(gone(contact, ROLE))
    return conflict_of(contact)


def pick(conflict: SyncConflict, by: User, choose: str, value: str = "", shown_values: Any = None) -> SyncConflict:
    chosen = {RECORD_KEY: FieldSelection(choose, value)}
    return resolve(conflict.pk, by=by, resolution_type="merge", selections=chosen, seen=shown_values or EDITED)


def test_every_policy_is_an_act() -> None:
    assert {*RemovedItemPolicy.values, *DeletedRecordPolicy.values} - {"ask"} <= ACTS.keys()


def test_a_chosen_option_reaches_the_engine(conflict: SyncConflict, ada: User, contact: Contact) -> None:
    SyncQueue.objects.all().delete()
    assert pick(conflict, ada, "unlink").is_being_applied
    (wish,) = open_conflicts("contact", [contact.pk])[contact.pk]
    choice = wish.resolutions[RECORD_KEY]
    assert (choice.choose, choice.value, choice.npd) == ("unlink", None, WHAT)
    assert choice.seen == {"role_title": ["Admiral", None]}
    row = SyncQueue.objects.get()
    assert (row.entity_id, row.priority, row.causes) == (contact.pk, Priority.PERSON, Cause.PERSON)
    assert "Chose “Unlink”" in ActivityLine.objects.get(kind="conflict_chosen").sentence
    assert conflict_progress(conflict_of(contact)).sentence == "Saving: “Unlink”. Both stay as they are."


@pytest.mark.parametrize("act", ["delete_record", "archive_item", "delete_item"])
def test_what_deletes_a_record_or_removes_its_item_is_chosen_by_who_may_delete_it_and_others_read_who_that_is(
    conflict: SyncConflict, ada: User, contact: Contact, client: Client, act: str
) -> None:
    delete = {"choose": act, "label": "Delete it", "effect": "It is deleted."}
    SyncConflict.objects.update(about={**conflict.about, "options": [delete, *conflict.about["options"][1:]]})
    rights = ("view_syncconflict", "change_syncconflict", "view_contact")
    clerk, editor = staff_who_may(*rights), staff_who_may(*rights, "delete_contact", name="editor")
    with pytest.raises(NotAllowed, match=r"editor and Ada"):
        pick(conflict, clerk, act)
    offered = {}
    for user in (clerk, editor):
        client.force_login(user)
        answer = client.get(f"/admin/conflicts/syncconflict/{conflict.pk}/screen/")
        offered[user] = answer.context["case"]["about"]["deletion_problem"] == ""
    assert offered == {clerk: False, editor: True}
    assert pick(conflict, editor, act).is_being_applied


def test_a_carried_out_option_closes_with_its_values(conflict: SyncConflict, ada: User, contact: Contact) -> None:
    pick(conflict, ada, "create_item")
    record(over(contact, applied={RECORD_KEY: Message("recreated")}))
    assert ActivityLine.objects.get(kind="conflict_settled").sentence.params["outcome"].code == "recreated"
    settled = conflict_of(contact)
    assert (settled.resolution_type, settled.resolved_by, settled.resolution) == ("merge", ada, None)
    assert settled.resolved_data == {RECORD_KEY: Message("recreated")}
    assert settled.merge_selections[RECORD_KEY]["label"] == "Make the item again"
    assert (settled.question, settled.npd_data, settled.base_data) == (
        WHAT, {"role_title": "Admiral"}, {"role_title": "Captain"},
    )  # fmt: skip
    assert conflict_progress(settled).sentence == "“Make the item again” was chosen. " + Message("recreated")


def test_a_choice_that_was_not_needed_says_so(conflict: SyncConflict, ada: User, contact: Contact) -> None:
    pick(conflict, ada, "delete_record")
    record(over(contact, closing_reason="The item is on the board again."))
    settled = conflict_of(contact)
    assert (settled.resolution_type, settled.npd_data) == ("auto", {"role_title": "Admiral"})
    assert "The item is on the board again." in conflict_progress(settled).sentence
    lines = {line.kind: line.sentence for line in ActivityLine.objects.exclude(kind="conflict_chosen")}
    assert "Ada's choice was not saved: The item is on the board again." in lines["conflict_returned"]
    assert WHAT in lines["conflict_over"]


def test_a_question_that_an_act_elsewhere_answered_ends_without_a_line(
    conflict: SyncConflict, contact: Contact
) -> None:
    before = ActivityLine.objects.count()
    reason = Message("recreated")
    record(over(contact, applied={RECORD_KEY: reason}, closing_reason=reason))
    conflict.refresh_from_db()
    assert conflict.resolved_at is not None
    assert ActivityLine.objects.count() == before


def test_a_field_that_is_not_edited_any_more_is_named(conflict: SyncConflict, contact: Contact) -> None:
    record(gone(contact))
    line = ActivityLine.objects.get(key="role_title")
    assert line.sentence == "Role isn't in conflict any more. NPD had “Admiral”, Monday had (empty)."


def test_a_way_that_is_not_offered_is_refused_in_words(contact: Contact, ada: User) -> None:
    record(gone(contact, ROLE, options=[DELETE]))
    refused: list[tuple[str, Any, str]] = [
        ("keep_npd", {}, "under “record”"),
        ("merge", {RECORD_KEY: FieldSelection("create_item")}, "isn't offered here"),
        ("merge", {}, "under “record”"),
        ("merge", {"role_title": FieldSelection("npd")}, "under “record”"),
    ]
    for type_, selections, words in refused:
        with pytest.raises(InvalidResolution) as bad:
            resolve(conflict_of(contact).pk, by=ada, resolution_type=type_, selections=selections, seen=EDITED)
        assert words in str(bad.value)
    assert conflict_of(contact).resolution is None


def test_what_was_not_seen_as_it_is_answers_with_the_present_values(conflict: SyncConflict, ada: User) -> None:
    for shown_values in (
        {"role_title": {"npd": "Lieutenant", "monday": None}},
        {**EDITED, "notes": {"npd": "x", "monday": None}},
        {**EDITED, RECORD_KEY: {"npd": "Something else happened.", "monday": None}},
        IT,
    ):
        with pytest.raises(NotAsSeen) as stale:
            pick(conflict, ada, "create_item", shown_values=shown_values)
        assert stale.value.current == {**EDITED, **IT}
    assert SyncConflict.objects.get().resolution is None


def test_a_deleted_record_is_called_by_its_name_and_can_be_decided_on(contact: Contact, ada: User) -> None:
    Contact.objects.filter(pk=contact.pk).delete()
    record(gone(contact, FieldConflict("role_title", None, "Captain", "Admiral"), options=[RESTORE]))
    conflict = conflict_of(contact)
    shown_values = {"role_title": {"npd": None, "monday": "Admiral"}}
    assert pick(conflict, ada, "restore_record", shown_values=shown_values).is_being_applied
    assert SyncQueue.objects.filter(entity_id=contact.pk, priority=Priority.PERSON).exists()
    with pytest.raises(NotOpen, match=r"Grace Hopper \(deleted\)"):
        pick(conflict, ada, "restore_record", shown_values=shown_values)


def test_who_is_this_is_settled_by_naming_the_candidate(contact: Contact, ada: User) -> None:
    record(identity_report(contact))
    conflict = conflict_of(contact)
    with pytest.raises(NotAsSeen):
        resolve(conflict.pk, by=ada, resolution_type="merge",
                selections={RECORD_KEY: FieldSelection("link", "8")},
                seen={})  # fmt: skip
    pick(conflict, ada, "link", "8", shown_values=IT)
    record(identity_report(contact, data={}, applied={RECORD_KEY: "Linked with the item “Grace H.”."}))
    settled = conflict_of(contact)
    assert (settled.resolution_type, settled.resolved_by) == ("merge", ada)
    assert len(settled.about["candidates"]) == 3
    assert "Unlink the record" in undo_problem(settled, RecordContext.of(settled))


@pytest.mark.parametrize("choice", [{"choose": "unlink"}, {"choose": "custom", "value": "unlink"}])
def test_the_api_tells_the_options_and_takes_one(
    api: APIClient, conflict: SyncConflict, choice: dict[str, str]
) -> None:
    address = f"/api/v1/sync/conflicts/{conflict.pk}/"
    answered = api.get(address).json()
    assert answered["about"]["what"] == WHAT
    assert answered["about"]["options"][2] == UNLINK.to_json()
    assert answered["left_open"] == [RECORD_KEY]
    body = {"resolution_type": "merge", "selections": {RECORD_KEY: choice}, "seen": EDITED}
    answer = api.post(f"{address}resolve", body)
    assert (answer.status_code, answer.json()["state"]) == (200, "applying")
    assert answer.json()["message"] == "Saving: “Unlink”. Both stay as they are."


def test_an_api_undo_answers_400_or_409(api: APIClient, conflict: SyncConflict, contact: Contact, ada: User) -> None:
    address = f"/api/v1/sync/conflicts/{conflict.pk}/undo"
    assert code_of(api.post(address)) == "not_waiting"
    pick(conflict, ada, "create_item")
    record(over(contact, applied={RECORD_KEY: "Done."}))
    refused = api.post(address)
    assert refused.status_code == 400
    assert "archive the new items" in error_of(refused)["detail"]
    assert api.post("/api/v1/sync/conflicts/00000000-0000-0000-0000-000000000000/undo").status_code == 404


def test_candidates_stand_side_by_side_with_what_differs(browser: Client, contact: Contact) -> None:
    states.boards()
    record(identity_report(contact))
    response = browser.get(screen(conflict_of(contact)))
    page = text_of(response)
    assert "Side by side" in page
    assert "Rear Admiral differs" in page
    assert page.count("Belongs to another record already.") == 1
    assert page.count("Has this contact's NPD ID.") == 1
    assert page.count("grace@navy.test") == 2
    SyncConflict.objects.update(about={"what": WHAT, "candidates": [{"id": "8", "label": "Item 8"}]})
    unread = text_of(browser.get(screen(conflict_of(contact))))
    assert ("not read" in unread, "differs" in unread) == (True, False)
