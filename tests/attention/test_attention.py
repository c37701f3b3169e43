"""What needs attention: every kind is counted once, by cause, with a stable key."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection

from conflicts.models import SyncConflict
from npd.models import Contact
from sync import attention
from sync.attention import Kind
from sync.clock import sync_now
from sync.models import ApprovalRequest, Attention, BoardLink, FieldMapping, MondayAccount, SyncMetadata, SyncQueue
from sync.operations.notifications import entries_to_notify_of
from sync.outbox import pauses
from sync.queue import SyncQueueService
from sync.state import record_view
from tests.admin import states
from tests.attention.conftest import Kinds, blocked
from tests.support.attention import untrue_rows
from tests.support.people import staff_who_may, unlink
from tests.support.words import said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("boards")]


def test_an_approval_says_whose_it_is_by_its_name_alone_and_then_what_would_be_lost(kinds: Kinds) -> None:
    [entry] = attention.entries(attention.waiting(kinds=[Kind.APPROVAL]))
    assert (entry.name, entry.own_detail) == ("Dan", "Notes “met at the fair”")


def test_each_kind_is_counted_and_listed_once_under_a_key_of_its_own(kinds: Kinds) -> None:
    assert attention.counts() == dict.fromkeys(Kind, 1)
    entries = {entry.kind: (entry.key, entry.name) for entry in attention.entries()}
    assert entries == kinds
    assert all(entry.url.startswith("/admin/") for entry in attention.entries())


def test_the_rows_are_what_their_sources_say_whatever_is_written(kinds: Kinds) -> None:
    assert untrue_rows() == []
    SyncQueue.objects.filter(status="failed").update(status="completed")
    SyncConflict.objects.update(resolution={"fields": {"phone": {"choose": "npd"}}, "handed_back": {}})
    SyncMetadata.objects.update(blocked_fields={})
    MondayAccount.objects.update(stops={})
    BoardLink.objects.update(silence="", sweep_problem=said("It was cut short."))
    ApprovalRequest.objects.all().delete()
    assert untrue_rows() == []
    kinds_left = {kind for kind, number in attention.counts().items() if number}
    assert kinds_left == {Kind.DIFFERENCE, Kind.NOTIFICATION, Kind.REMOVED, Kind.BOARD, Kind.UNMATCHED}
    Contact.objects.all().delete()
    assert attention.counts()[Kind.REMOVED] == 0
    assert untrue_rows() == []


def test_a_failed_job_waits_for_nobody_while_its_records_sync_is_off_unless_a_person_asked_for_it(db: None) -> None:
    records = [states.dead(name) for name in ("Ann", "Bob", "Cleo")]
    asked, off, one_way = records
    SyncQueue.objects.filter(entity_id=asked.pk).update(payload={"sync_pressed": True})
    Contact.objects.filter(pk__in=[asked.pk, off.pk]).update(sync_enabled=False)
    Contact.objects.filter(pk=one_way.pk).update(sync_direction="none")
    assert [entry.name for entry in attention.entries()] == ["Ann"]
    assert untrue_rows() == []
    Contact.objects.filter(pk=off.pk).update(sync_enabled=True)
    assert {entry.name for entry in attention.entries()} == {"Ann", "Bob"}
    assert untrue_rows() == []


def test_no_server_compiles_the_refresh_of_the_rows_which_takes_it_seconds_at_each_write(db: None) -> None:
    """PostgreSQL before 18 does (jit) where it scans a whole table although `enable_seqscan` is off."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT proname, proconfig FROM pg_proc WHERE proname LIKE 'sync_attention_of_%'")
        settings = dict(cursor.fetchall())
    assert len(settings) == 5
    assert all("jit=off" in (values or []) for values in settings.values())


def test_a_stop_is_one_row_of_its_board_until_it_ends_or_somebody_pauses_it(db: None) -> None:
    for name in ("Ann", "Bob", "Cleo"):
        states.contact(name)
    board = BoardLink.objects.filter(entity_type="contact")
    states.stop_board("contact", reason=said("The board was archived. Restore it."))
    [entry] = attention.entries()
    assert (entry.kind, entry.name, entry.entity_id, entry.detail) == (
        Kind.STOP, "Contacts", None, "The board was archived. Restore it.",
    )  # fmt: skip
    pauses.pause("eve")
    assert attention.entries() == []
    pauses.resume("eve")
    assert [entry.key for entry in attention.entries()] == [entry.key]
    board.update(stops={})
    assert attention.entries() == []
    assert untrue_rows() == []


def test_the_gravest_kind_comes_first_and_pages_follow_each_other(kinds: Kinds) -> None:
    whole = [entry.kind for entry in attention.entries()]
    assert whole == list(Kind)
    pages = [attention.entries(limit=3, offset=start) for start in range(0, len(whole), 3)]
    assert [entry.kind for page in pages for entry in page] == whole


def test_records_with_one_cause_are_one_line_that_names_it(kinds: Kinds) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="phone").update(
        problem=said("Column Phone was deleted.")
    )
    gone = {"code": "column", "reason": "Column Phone was deleted."}
    for number in range(3):
        blocked(f"Gone {number}", f"60{number}", **gone)
    for number in range(3):
        blocked(f"Unread {number}", f"61{number}", code="unknown", side="npd")
    causes = attention.groups(attention.waiting(kinds=[Kind.BLOCKED]))
    expected = {("Column Phone was deleted.", 1), ("Phone can't be compared with Monday", 4)}
    assert {(cause.title, cause.number) for cause in causes} == expected
    [unread] = [cause for cause in causes if cause.number == 4]
    members = attention.entries(attention.waiting().filter(cause=unread.cause))
    assert {entry.name for entry in members} == {"Dan", "Unread 0", "Unread 1", "Unread 2"}
    assert {entry.title for entry in members} == {unread.title}
    oldest = attention.oldest_of_each_cause(attention.waiting(), 2)
    assert len(attention.entries(oldest.filter(cause=unread.cause))) == 2


@pytest.mark.parametrize("unsynced", [{"sync_status": "disabled"}, {"sync_enabled": False}], ids=["filter", "off"])
def test_what_blocks_a_record_waits_for_nobody_while_its_sync_or_the_filter_leaves_it_out(
    db: None, unsynced: dict[str, object]
) -> None:
    FieldMapping.objects.filter(link__entity_type="contact", key="notes").update(column_id="")
    ann = blocked("Ann", "601", code="rejected")
    bob = blocked("Bob", "602", "notes", code="column")
    contacts = Contact.objects.filter(pk__in=[ann.pk, bob.pk])
    for values, number in (({}, 2), (unsynced, 0), ({"sync_enabled": True, "sync_status": "pending"}, 2)):
        contacts.update(**values)
        assert (len(attention.entries()), untrue_rows()) == (number, [])


def test_a_column_that_blocks_many_records_is_one_entry_until_it_is_back(db: None) -> None:
    phone = FieldMapping.objects.filter(link__entity_type="contact", key="phone")
    phone.update(problem=said("Column Phone was deleted."), problem_code="missing")
    for number in range(3):
        blocked(f"Gone {number}", f"60{number}", code="column", side="npd", reason=said("Column Phone was deleted."))
    assert attention.counts()[Kind.BLOCKED] == 1
    [entry] = attention.entries()
    assert (entry.key, entry.entity_id, entry.field) == ("blocked:contact:phone", None, "phone")
    # It also blocks a record whose value is in conflict; the number is the same everywhere.
    SyncMetadata.objects.filter(remote_id="600").update(conflicts={"fields": ["phone"]})
    [cause] = attention.groups(attention.waiting(kinds=[Kind.BLOCKED]))
    assert (cause.number, cause.records, cause.count_text) == (1, 3, "3 contacts")
    # It waits since the column was lost, whatever its records do.
    phone.update(problem=said("Column Phone was deleted by Maya Lind."))
    SyncMetadata.objects.update(last_sync_attempt=sync_now() + timedelta(hours=1))
    assert [entry.since for entry in attention.entries()] == [entry.since]
    [entry] = attention.entries()
    assert attention.entries(attention.with_keys(attention.waiting(), [entry.key])) == [entry]
    assert [thing.key for thing in entries_to_notify_of() if thing.kind == "blocked"] == [entry.key]
    # The column is back, and its records are synced again one by one.
    phone.update(problem="", problem_code="")
    assert attention.entries() == []


def test_failures_that_differ_in_names_and_numbers_only_have_one_cause(db: None) -> None:
    for name, request in (("Ann", "1"), ("Bob", "2")):
        states.dead(name, f"Monday rejected “{name}” after {request} s [Monday request {request}]")
    states.dead("Cleo", "The board is full.")
    numbers = {cause.title: cause.number for cause in attention.groups()}
    assert numbers == {"Monday rejected … after … s.": 2, "The board is full.": 1}
    details = {entry.name: entry.detail for entry in attention.entries()}
    assert details["Bob"] == "Monday rejected “Bob” after 2 s."


def test_a_failure_alone_is_told_as_it_is_and_a_long_one_ends_with_a_sentence(db: None) -> None:
    states.dead("Ann", "Press “No more faults” within 5 minutes [Monday request 1]")
    states.dead("Bob", f"The board is full. {'It holds what it holds, ' * 9}and no more.")
    expected = {"Press “No more faults” within 5 minutes.", "The board is full."}
    assert {cause.title for cause in attention.groups()} == expected


def test_a_failed_job_that_is_retried_stays_until_it_succeeds_and_says_how_often_it_failed(db: None) -> None:
    states.dead("Ann", "The board is full.")
    [before] = attention.entries()
    retried = SyncQueueService().manual_retry(int(before.source), "eve")
    SyncQueue.objects.filter(pk=retried.pk).update(attempts=2)
    [entry] = attention.entries()
    assert (entry.key, entry.failures, entry.cause) == (before.key, 7, before.cause)
    SyncQueueService().manual_retry(retried.pk, "eve")
    SyncQueue.objects.filter(pk=retried.pk).update(attempts=1, error_message=said("The item is locked."))
    [entry] = attention.entries()
    assert (entry.key, entry.failures) == (before.key, 8)
    assert entry.cause != before.cause
    SyncQueue.objects.filter(pk=retried.pk).update(status="completed")
    assert not any(attention.counts().values())


def test_what_one_person_removes_without_a_break_is_one_act_and_what_others_do_is_another(db: None) -> None:
    for number in range(3):
        states.removed(f"Early {number}", f"51{number}", minutes=40 + 6 * number)
    states.removed("Late", "520", minutes=2)
    states.removed("Another's", "521", person="Bea Board", minutes=2)
    states.removed("Deleted", "522", removal="deleted", minutes=2)
    states.removed("Nobody knows whose", "523", person="", removal="moved", minutes=2)
    causes = sorted((cause.title, cause.number) for cause in attention.groups(attention.waiting(kinds=[Kind.REMOVED])))
    assert causes == [
        ("Archived on the board by Bea Board", 1),
        ("Archived on the board by Maya Lind", 1),
        ("Archived on the board by Maya Lind", 3),
        ("Deleted on the board by Maya Lind", 1),
        ("Moved to another board", 1),
    ]
    assert attention.counts()[Kind.REMOVED] == 7


def test_a_removed_item_keeps_its_entry_once_its_question_is_open_until_somebody_has_answered(db: None) -> None:
    gone = states.removed("Ann", "5001", minutes=20)
    [before] = attention.entries()
    assert before.url == f"/admin/npd/contact/{gone.pk}/change/"
    values = {"npd_data": {"role_title": "Chair", "notes": "Tea"}, "base_data": {"notes": "Tea"}}
    fields, about = ["role_title", "notes"], {"what": "It was archived."}
    conflict = states.conflict(gone, "5001", "delete", conflict_fields=fields, about=about, **values)
    SyncMetadata.objects.filter(entity_id=str(gone.pk)).update(conflicts={"delete": ["It was archived."]})
    [entry] = attention.entries()
    assert (entry.key, entry.cause, entry.since) == (before.key, before.cause, before.since)
    detail = "Edited since the last sync: Role. Can't be read on Monday: Notes."
    assert entry.detail == f"{before.title}. {detail}"
    assert entry.own_detail == detail
    assert str(conflict.pk) in entry.url
    # An answer on the conflict's page, and one given to the record.
    resolution = {"fields": {"record": {"choose": "create_item"}}, "handed_back": {}}
    SyncConflict.objects.filter(pk=conflict.pk).update(resolution=resolution)
    assert attention.entries() == []
    SyncConflict.objects.filter(pk=conflict.pk).update(resolution=None)
    unlink(gone)
    assert attention.entries() == []


def test_a_removed_item_needs_nobody_while_its_record_is_unsynced_or_awaits_approval(db: None) -> None:
    off, waits = states.removed("Off", "5001"), states.removed("Waits", "5002")
    Contact.objects.filter(pk=off.pk).update(sync_enabled=False)
    states.approval(waits, "records")
    SyncQueue.objects.all().delete()
    assert [entry.kind for entry in attention.entries()] == [Kind.APPROVAL]


def test_what_can_be_done_about_a_removed_item_follows_the_records_direction(db: None) -> None:
    for number, direction in enumerate(("bidirectional", "npd_to_monday", "monday_to_npd")):
        record = states.removed(direction, f"500{number}")
        Contact.objects.filter(pk=record.pk).update(sync_direction=direction)
    entries = attention.entries(attention.waiting(kinds=[Kind.REMOVED]))
    assert {entry.name: [act.code for act in entry.acts] for entry in entries} == {
        "bidirectional": ["create_item", "delete_record", "unlink"],
        "npd_to_monday": ["create_item", "unlink"],
        "monday_to_npd": ["delete_record", "unlink"],
    }


def test_a_record_says_of_two_jobs_the_next_attempt_and_in_a_pause_none(db: None) -> None:
    contact = states.waiting("Ann", "Monday answered 500.")
    jobs = SyncQueue.objects.filter(entity_id=contact.pk)
    jobs.update(reason="", attempts=2)
    later = sync_now() + timedelta(hours=1)
    error = "Monday answered 502."
    SyncQueue.objects.create(
        **states.ids_of(contact), direction="to_npd", attempts=4, error_message=error, next_retry=later
    )
    assert attention.waiting(kinds=[Kind.FAILED]).count() == 2
    view = record_view.view_of(contact)
    assert view.reason == "Retrying; failed 2 times. Monday answered 500."
    assert [entry.sentence for entry in view.other_entries] == ["Retrying; failed 4 times. Monday answered 502."]
    pauses.pause("maya", entity_type="contact")
    view = record_view.view_of(contact)
    assert (view.reason[:14], view.next_try_words) == ("Paused by maya", "")


def test_a_change_is_here_from_its_second_failure_on_and_keeps_its_key_until_it_has_failed_for_good(db: None) -> None:
    states.waiting("Ann", "Monday answered 500.")
    job = SyncQueue.objects.filter(entity_type="contact")
    job.update(reason="")
    assert attention.entries() == []
    job.update(attempts=2)
    [entry] = attention.entries()
    expected = (Kind.FAILED, 2, "Retrying; failed 2 times. Monday answered 500.")
    assert (entry.kind, entry.failures, entry.detail) == expected
    # While its third attempt runs it has still failed twice; during the first two it hadn't.
    job.update(status="in_progress", attempts=3)
    assert [entry.key for entry in attention.entries()] == [entry.key]
    job.update(attempts=2)
    assert attention.entries() == []
    job.update(status="failed", attempts=5)
    [failed] = attention.entries()
    assert (failed.key, failed.failures, failed.cause) == (entry.key, 0, entry.cause)
    # A job that waits for something else has not failed.
    job.update(status="pending", attempts=3, reason=said("Its relation waits."))
    assert attention.entries() == []


def test_a_conflict_shows_the_fields_with_what_each_side_has(kinds: Kinds) -> None:
    [entry] = attention.entries(attention.waiting(kinds=[Kind.CONFLICT]))
    [value] = entry.values
    assert (value.label, value.npd, value.monday) == ("Phone", "+44 20 7946 0812", "+44 20 7946 0018 ext. 4")
    assert entry.title == "Phone changed on both sides"


def test_a_title_names_several_fields_as_a_sentence_does() -> None:
    row = Attention(kind=Kind.CONFLICT, entity_type="contact", field="email,phone", values={})
    assert attention.Wording({}).title(row) == "Email and Phone changed on both sides"
    row.field = "email,phone,name,notes,role_title"
    assert attention.Wording({}).title(row) == "Email, Phone, Name and 2 more changed on both sides"


def test_what_was_never_the_same_is_not_said_to_have_changed(kinds: Kinds) -> None:
    SyncConflict.objects.filter(kind="fields").update(base_data={"phone": None})
    [entry] = attention.entries(attention.waiting(kinds=[Kind.CONFLICT]))
    assert entry.code == "first_match"
    # Both sides filled a field that was empty.
    SyncConflict.objects.filter(kind="fields").update(base_data={"phone": ""})
    [entry] = attention.entries(attention.waiting(kinds=[Kind.CONFLICT]))
    assert entry.code == "fields"


def test_a_person_sees_the_kinds_of_the_lists_that_they_may_view(kinds: Kinds) -> None:
    reader = User.objects.create_user("reader", is_staff=True)
    assert not any(attention.counts(attention.kinds_shown_to(reader)).values())
    assert attention.entries(attention.waiting(attention.kinds_shown_to(reader))) == []
    shown = attention.kinds_shown_to(staff_who_may("view_syncqueue", "view_unmatcheditem"))
    visible_kinds = {kind for kind, number in attention.counts(shown).items() if number}
    assert visible_kinds == {Kind.FAILED, Kind.UNMATCHED}
    assert {entry.name for entry in attention.entries(attention.waiting(shown))} == {"Bob", "Item 7001"}
    assert attention.entries(attention.waiting(shown, kinds=[Kind.CONFLICT])) == []
