"""The four states of a record: what each means, and that a page and a database query agree."""

from datetime import timedelta
from typing import Any

import pytest

from conflicts.models import SyncConflict
from npd.models import Contact, Organization
from sync.choices import ApprovalKind, ApprovalState, QueueStatus, RecordSyncStatus, SyncDirection
from sync.clock import sync_now
from sync.models import FieldMapping, SyncMetadata, SyncQueue
from sync.outbox import pauses
from sync.state import record_view
from sync.state.record_view import FieldReason, RecordState, RecordView, filter_by_state
from tests.admin import states
from tests.metrics.test_page import noon
from tests.support.words import said

__all__ = ["noon"]

pytestmark = pytest.mark.django_db


def described() -> dict[str, RecordView]:
    records = list(Contact.objects.order_by("name"))
    views = record_view.views_of(records)
    return {record.name: views[record.pk] for record in records}


def waits(name: str, *directions: str, **blocked_fields: dict[str, Any]) -> Contact:
    record = states.contact(name)
    for direction in directions:
        SyncQueue.objects.create(entity_type="contact", entity_id=record.pk, direction=direction)
    if blocked_fields:
        states.sync_state(record, "pending", blocked_fields=blocked_fields)
    return record


def asked_about(name: str, item: str, gone: str, **conflicts: list[str]) -> None:
    record = states.contact(name)
    states.mark(record, RecordSyncStatus.CONFLICT, item)
    states.sync_state(record, "completed", remote_state=gone, removed_since=sync_now(), conflicts=conflicts)
    for kind, fields in conflicts.items():
        states.conflict(record, item, kind, conflict_fields=fields if kind == "fields" else [])


REJECTED = {"reason": "Monday refused it.", "code": "rejected"}
BLOCKED = {"reason": "The column is gone."}
KEPT = {"reason": "Monday refused it.", "code": "rejected", "kept_by": {"who": "Ada"}}
NO_COLUMN = {"reason": "The column is gone.", "code": "column"}
SKIPPED = {"reason": "It has no item.", "code": "relation_skipped"}


@pytest.fixture
def everything() -> None:
    """Contacts in every combination of status, jobs and blocked fields."""
    states.boards()
    FieldMapping.objects.filter(key="notes").update(problem=said("The column is gone."))
    states.synced("Synced", "5001")
    for number, direction in enumerate(SyncDirection.values):
        record = states.contact(f"Direction {direction}", sync_direction=direction)
        if direction != SyncDirection.NONE:
            states.mark(record, RecordSyncStatus.SYNCED, f"51{number}")
    states.contact("Off", sync_enabled=False)
    states.contact("From Monday, no item", sync_direction="monday_to_npd")
    states.conflicting("Conflict", "5004")
    states.dead("Failed")
    for entries, blocked_fields in (
        ("nothing", {}), ("rejected", {"email": REJECTED}), ("blocked", {"email": BLOCKED}),
        ("kept", {"email": KEPT}), ("skipped", {"organization": SKIPPED}),
        ("both", {"email": KEPT, "phone": REJECTED}), ("no column", {"notes": NO_COLUMN}),
        ("made without its column", {"notes": {**NO_COLUMN, "local": {"notes": "Call again"}}}),
        ("column is back", {"email": NO_COLUMN}), ("rejected and no column", {"email": REJECTED, "notes": NO_COLUMN}),
    ):  # fmt: skip
        waits(f"No job, {entries}", **blocked_fields)
        waits(f"To Monday, {entries}", "to_monday", **blocked_fields)
        waits(f"To NPD, {entries}", "to_npd", **blocked_fields)
        waits(f"Both ways, {entries}", "to_monday", "to_npd", **blocked_fields)
        working = waits(f"Working, {entries}", "to_monday", **blocked_fields)
        SyncQueue.objects.filter(entity_id=working.pk).update(status=QueueStatus.IN_PROGRESS)
    for number, gone in enumerate(("archived", "deleted", "moved", "missing")):
        record = waits(f"To NPD, {gone}", "to_npd")
        states.mark(record, RecordSyncStatus.PENDING, f"52{number}")
        blocked_fields = {"blocked_fields": {"notes": NO_COLUMN}} if gone == "archived" else {}
        states.sync_state(record, "pending", remote_state=gone, removed_since=sync_now(), **blocked_fields)
        asked_about(f"Asked, {gone}", f"53{number}", gone, delete=["It was archived."])
    _, conflict = states.conflicting("Conflict, answered", "5005")
    SyncConflict.objects.filter(pk=conflict.pk).update(resolution={"fields": {"phone": {"choose": "npd"}}})
    asked_about("Asked, and in conflict", "5398", "archived", delete=["It was archived."], fields=["phone"])
    answered = waits("Removed, answered")
    states.mark(answered, RecordSyncStatus.PENDING, "5299")
    states.sync_state(answered, "pending", remote_state="archived", removed_since=sync_now())
    SyncQueue.objects.create(entity_type="contact", entity_id=answered.pk, direction="to_npd", payload={"unlink": True})
    for kind in (ApprovalKind.RECORDS, ApprovalKind.CLEAR_MONDAY, ApprovalKind.CLEAR_NPD):
        states.approval(waits(f"Asks, {kind}", "to_monday"), kind)
    states.approval(waits("Asks, without a job"), ApprovalKind.CLEAR_MONDAY)
    states.approval(waits("Asks, blocked", "to_npd", email=BLOCKED), ApprovalKind.CLEAR_NPD)
    states.approval(states.dead("Asks, failed"), ApprovalKind.CLEAR_MONDAY)
    states.approval(states.contact("Asks, off", sync_enabled=False), ApprovalKind.CLEAR_MONDAY)
    states.approval(states.synced("Asks, synced", "5300"), ApprovalKind.CLEAR_MONDAY)
    for state in (ApprovalState.APPROVED, ApprovalState.REJECTED):
        states.approval(waits(f"Answered, {state}", "to_monday"), ApprovalKind.CLEAR_MONDAY, state)


def test_a_pause_changes_the_state_of_no_record(everything: None) -> None:
    before = {name: view.state for name, view in described().items()}
    pauses.pause("anna", entity_type="contact")
    views = described()
    assert {name: view.state for name, view in views.items()} == before
    assert views["To Monday, nothing"].reason.startswith("Paused by anna")
    assert views["Synced"].reason == ""


# A missing column is the board's problem and turns no record amber.
SYNCED = "Synced; Direction monday_to_npd; Direction npd_to_monday; No job, no column; No job, made without its column"
OFF = "Direction none; Off; From Monday, no item; Asks, off"
# Values kept in NPD and skipped relations leave a record in sync. A hidden item is looked up first, an answer is being
# applied, and a column that is back blocks nothing.
PENDING = (
    "Both ways, nothing; To Monday, nothing; To NPD, nothing; To NPD, no column; To NPD, kept; To NPD, skipped; "
    "To NPD, missing; To NPD, column is back; "
    "Removed, answered; Conflict, answered; Answered, approved; Answered, rejected"
)
ATTENTION = (
    "Conflict; Failed; To Monday, rejected; To NPD, blocked; To NPD, rejected and no column; "
    "To NPD, archived; To NPD, deleted; To NPD, moved; "
    "Asked, archived; Asked, deleted; Asked, moved; Asked, missing; Asked, and in conflict; "
    "Asks, records; Asks, clear_monday; Asks, clear_npd; Asks, without a job; Asks, blocked; Asks, failed"
)


NAMES = {
    RecordState.SYNCED: SYNCED,
    RecordState.OFF: OFF,
    RecordState.PENDING: PENDING,
    RecordState.ATTENTION: ATTENTION,
}


def test_what_waits_is_pending_and_what_needs_a_person_says_so(everything: None) -> None:
    views = described()
    expected = {name: state for state, names in NAMES.items() for name in names.split("; ")}
    assert {name: views[name].state for name in expected} == expected
    assert {name for name, view in views.items() if view.has_failed} == {"Failed", "Asks, failed"}
    # The database query gives each record the same state as its page.
    [counted, _] = record_view.state_counts(Contact.objects.all(), Organization.objects.all())
    for state in RecordState:
        named = {name for name, view in views.items() if view.state is state}
        listed = filter_by_state(Contact.objects.all(), state.value).values_list("name", flat=True)
        assert (set(listed), counted[state]) == (named, len(named)), state


@pytest.fixture
def ann(db: None) -> Contact:
    states.boards()
    return states.synced("Ann", "5001")


def test_state_and_sentence_are_of_one_moment(ann: Contact) -> None:
    """A pass or a person changes the record while its page is made."""
    Contact.objects.filter(pk=ann.pk).update(sync_status="pending")
    view = record_view.view_of(ann)
    assert (view.state, view.reason) == (RecordState.PENDING, "A change is waiting for its next sync.")


def test_an_edit_whose_column_is_gone_says_that_it_waits_for_the_column(ann: Contact) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="notes").update(problem=said("The column is gone."))
    edited = {**NO_COLUMN, "local": {"notes": "Call again"}}
    SyncMetadata.objects.filter(entity_id=str(ann.pk)).update(blocked_fields={"notes": edited})
    Contact.objects.filter(pk=ann.pk).update(sync_status="pending")
    view = record_view.view_of(ann)
    assert (view.state, view.reason, view.other_entries) == (RecordState.PENDING, "The column is gone.", [])


def test_each_field_says_its_state_and_why(ann: Contact) -> None:
    record = ann
    Contact.objects.filter(pk=record.pk).update(role_title="Chief")
    blocked_fields = {"email": REJECTED, "phone": KEPT, "notes": BLOCKED}
    SyncMetadata.objects.filter(entity_id=str(record.pk)).update(
        blocked_fields=blocked_fields, conflicts={"fields": ["name"]}
    )
    states.conflict(record, "5001", conflict_fields=["name"], npd_data={"name": "Ann"}, monday_data={"name": "Anna"})
    FieldMapping.objects.filter(link__entity_type="contact", key="organization").update(direction="none")
    record.refresh_from_db()
    fields = {field.key: field for field in record_view.view_of(record).fields}
    assert fields["role_title"].local == "Chief"
    expected = {
        "name": FieldReason.CONFLICT,
        "email": FieldReason.REJECTED,
        "notes": FieldReason.BLOCKED,
        "phone": FieldReason.KEPT_DIFFERENT,
        "role_title": FieldReason.NPD_CHANGED,
        "organization": FieldReason.NOT_SYNCED,
    }
    assert {key: fields[key].reason_code for key in expected} == expected


def test_a_field_whose_conflict_is_resolved_says_until_the_next_pass_that_both_changed(ann: Contact) -> None:
    Contact.objects.filter(pk=ann.pk).update(role_title="Chief")
    later = sync_now() + timedelta(minutes=1)
    SyncMetadata.objects.filter(entity_id=str(ann.pk)).update(
        conflicts={"fields": ["role_title"]},
        seen={"role_title": {"values": [["Head", later.isoformat()]], "losses": []}},
    )
    ann.refresh_from_db()
    fields = {field.key: field for field in record_view.view_of(ann).fields}
    assert fields["role_title"].reason_code is FieldReason.BOTH_CHANGED


def test_a_base_of_another_item_is_no_base(ann: Contact) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="name").update(version=2)
    fields = {field.key: field for field in record_view.view_of(ann).fields}
    assert (fields["name"].reason_code, fields["name"].base_local) == (FieldReason.NO_BASE, "")
    assert fields["email"].reason_code is FieldReason.IN_SYNC


def test_what_its_last_pass_held_back_says_why_while_sync_is_stopped_too() -> None:
    states.boards()
    states.sync_state(waits("Held back"), "pending", note=said("Nothing new is created for now."))
    waits("To Monday", "to_monday")
    pauses.pause("anna", entity_type="contact")
    views = described()
    assert views["Held back"].reason == "Nothing new is created for now."
    assert views["To Monday"].reason.startswith("Paused by anna")
