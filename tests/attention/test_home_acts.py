"""Acts from Home on what waits, and their undo."""

import re
from datetime import timedelta
from html import unescape
from itertools import chain
from typing import Any
from uuid import uuid4

import pghistory
import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.messages import get_messages
from django.db import transaction
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from conflicts.pages import admin as conflicts_admin
from conflicts.reports import ConflictReport, Option
from npd.models import Contact, Organization
from sync import attention
from sync.admin import home, home_acts
from sync.attention import CAUSES, KINDS, Kind
from sync.choices import ApprovalKind, BlockedCode
from sync.clock import sync_now
from sync.kernel.acts import ACTS, APPROVAL_ACTS
from sync.models import ApiQuota, BoardLink, FieldMapping, IgnoredItem, SyncMetadata, SyncQueue, Tombstone
from sync.outbox import pauses
from tests.admin import states
from tests.admin.forms import answer_to_question
from tests.admin.test_home import HOME, html_of, text_of
from tests.admin.test_records import words_of
from tests.attention.conftest import Kinds
from tests.conflicts.conftest import conflict_of, record, rejected_too
from tests.conflicts.test_about_record import AGAIN, DELETE, UNLINK, gone
from tests.support.attention import untrue_rows
from tests.support.people import staff_who_may
from tests.support.words import said

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("boards")]
ACT, UNDO = "/admin/home/act/", "/admin/home/undo/"


def seen_of(html: str, key: str) -> dict[str, str]:
    """What a row sends back with an act."""
    [value] = re.findall(rf'name="seen:{re.escape(key)}"\s+value="([^"]*)"', html)
    return {f"seen:{key}": unescape(value)}


def keys_of(html: str) -> list[str]:
    return re.findall(r'name="key"\s+value="([^"]+)"', html)


def test_a_retried_job_leads_to_its_current_one_until_that_has_succeeded(browser: Client) -> None:
    states.dead("Ann", "Monday answered 500.")
    failed = SyncQueue.objects.get(status="failed")
    browser.post(ACT, {"act_and_key": f"retry failed:{failed.pk}"})
    current = SyncQueue.objects.get(status="pending")
    # It failed once more, and waits for its next attempt.
    current.attempts, current.error_message = 2, "Monday answered 500."
    current.next_retry = sync_now() + timedelta(minutes=5, seconds=30)
    current.save()
    html = html_of(browser)
    assert "Retrying; failed 7 times." in words_of(html)
    assert "Next attempt in 5 minutes" in words_of(html)
    assert "Failed · Contacts" in words_of(html), "the error stands in the row"
    [key] = keys_of(html)
    assert [label for _name, label, _red in acts_of(browser)] == ["Retry"]
    browser.post(ACT, {"act_and_key": f"retry {key}"})
    current.refresh_from_db()
    assert (current.attempts, current.next_retry <= sync_now()) == (0, True)


def test_a_failed_job_without_a_record_leads_to_its_own_page(browser: Client) -> None:
    item = states.candidate("77")
    gone = uuid4()
    jobs = [item, SyncQueue.objects.create(entity_type="contact", entity_id=gone, operation="delete")]
    failed = {"status": "failed", "error_message": said("Monday said no.")}
    SyncQueue.objects.filter(pk__in=[job.pk for job in jobs]).update(**failed)
    html = html_of(browser)
    for job in jobs:
        assert reverse("admin:sync_syncqueue_change", args=[job.pk]) in html
    assert str(gone) not in html


def test_home_its_entry_in_the_sidebar_and_the_api_count_groups(browser: Client, kinds: Kinds) -> None:
    states.conflicting("Zoe", "5050")  # the same cause as Ann's
    html, counts = html_of(browser), attention.counts()
    assert counts[Kind.CONFLICT] == 2
    boxes = browser.get("/admin/").context["boxes"]
    entries = sum(number for kind, number in counts.items() if kind is not Kind.STOP)
    assert entries == sum(box.group.number for box in boxes)
    things = len(boxes)
    [badge] = re.findall(r'<a\s+href="/admin/"\s.*?</a>', html.partition('id="nav-sidebar-apps"')[2], re.DOTALL)
    assert words_of(badge).split() == ["Home", str(things)]
    counted = browser.get("/api/v1/sync/stats").json()["needs_attention"]
    assert sum(number for kind, number in counted.items() if kind != Kind.STOP) == things


RAW = {"local": {"phone": "1"}, "remote": "2", "base": None}


def applied(conflict: SyncConflict) -> None:
    """Report what was chosen as written, as a pass does."""
    conflict.refresh_from_db()
    [key] = conflict.conflict_fields
    record(
        ConflictReport(
            conflict.entity_type, conflict.entity_id, conflict.monday_item_id, conflict.kind,
            applied={key: conflict.monday_data[key]}, inverse={key: {"before": RAW, "after": RAW}},
        )
    )  # fmt: skip


def test_one_side_is_used_for_the_values_shown_and_that_is_undone(browser: Client, kinds: Kinds) -> None:
    key = kinds[Kind.CONFLICT][0]
    shown_values = seen_of(html_of(browser), key)
    browser.post(ACT, {"act_and_key": f"keep_monday {key}", **shown_values})
    conflict = SyncConflict.objects.get(pk=key.partition(":")[2])
    assert conflict.stored_resolution.resolution_type == "keep_monday"
    html = html_of(browser)
    assert key not in keys_of(html)
    assert "Resolved with Monday's values: Ann." in words_of(html)
    applied(conflict)
    browser.post(UNDO)
    conflict.refresh_from_db()
    assert conflict.is_being_undone


def in_notes(name: str, item: str, npd: str, monday: str) -> tuple[str, SyncConflict]:
    """The key of a conflict about notes, and the conflict."""
    _, conflict = states.conflicting(name, item)
    SyncConflict.objects.filter(pk=conflict.pk).update(
        conflict_fields=["notes"], npd_data={"notes": npd}, monday_data={"notes": monday}
    )
    return f"conflict:{conflict.pk}", conflict


def test_texts_that_can_be_combined_are_by_key_and_no_others(browser: Client, db: None) -> None:
    mapping = FieldMapping.objects.get(link__entity_type="contact", key="notes")
    assert mapping.converter == "long_text"
    key, conflict = in_notes("Zoe", "5050", "Calls on Monday.", "Likes tea.")
    longer, _ = in_notes("Yves", "5051", "Calls on Monday. Likes tea.", "Likes tea.")
    short = f"conflict:{states.conflicting('Xan', '5052')[1].pk}"
    html = html_of(browser)
    offered = {key for key in keys_of(html) if f'value="use_both {key}"' in html}
    assert {key, longer, short} <= set(keys_of(html))
    assert offered == {key}
    assert 'data-key="b"' in html
    assert "<kbd>b</kbd>" in html
    browser.post(ACT, {"act_and_key": f"use_both {key}", **seen_of(html, key)})
    conflict.refresh_from_db()
    [selection] = conflict.stored_resolution.fields.values()
    assert (selection.choose, selection.value) == ("custom", "Calls on Monday. Likes tea.")
    api = {entry["id"]: entry for entry in browser.get("/api/v1/sync/attention/?kind=conflict").json()["results"]}
    assert not any("use_both" in str(entry) for entry in api.values())


def test_whoever_may_resolve_but_not_change_records_is_not_offered_both(client: Client, db: None) -> None:
    key, _ = in_notes("Zoe", "5050", "Calls on Monday.", "Likes tea.")
    client.force_login(staff_who_may("view_contact", "view_syncconflict", "change_syncconflict"))
    html = html_of(client)
    assert f'value="keep_npd {key}"' in html
    assert "use_both" not in html


def test_a_row_says_who_wrote_each_sides_value_and_when(browser: Client, person: User, db: None) -> None:
    record, conflict = states.conflicting("Zoe", "5050")
    with pghistory.context(user=person.pk):
        Contact.objects.filter(pk=record.pk).update(phone="+46 70 1")
    edit = {"who": "Bea Board", "at": (sync_now() - timedelta(hours=2)).isoformat()}
    SyncConflict.objects.filter(pk=conflict.pk).update(about={"editors": {"phone": edit}})
    text = words_of(html_of(browser))
    assert re.search(r"NPD · Dora Demo, (now|\d+ seconds? ago)", text)
    assert "Monday · Bea Board, 2 hours ago" in text


def test_an_ongoing_write_is_undone_afterwards(browser: Client, kinds: Kinds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts_admin, "UNDO_WAIT_SECONDS", 0)
    key = kinds[Kind.CONFLICT][0]
    browser.post(ACT, {"act_and_key": f"keep_monday {key}", **seen_of(html_of(browser), key)})
    assert "being written at this moment" in words_of(browser.post(UNDO, follow=True).content.decode())
    assert not SyncConflict.objects.get(pk=key.partition(":")[2]).is_being_undone


def test_a_value_that_changed_since_it_was_shown_is_not_overwritten(browser: Client, kinds: Kinds) -> None:
    key = kinds[Kind.CONFLICT][0]
    shown_values = seen_of(html_of(browser), key)
    SyncConflict.objects.filter(pk=key.partition(":")[2]).update(monday_data={"phone": "another"})
    for form in (shown_values, {}):
        browser.post(ACT, {"act_and_key": f"keep_monday {key}", **form})
        assert SyncConflict.objects.get(pk=key.partition(":")[2]).resolution is None


def test_ticked_entries_of_several_kinds_are_done_where_it_fits(browser: Client, kinds: Kinds) -> None:
    keys = [kinds[kind][0] for kind in (Kind.FAILED, Kind.BLOCKED, Kind.CONFLICT)]
    browser.post(ACT, {"action": "retry", "key": keys})
    assert not SyncQueue.objects.filter(status="failed").exists()
    dan = Contact.objects.get(name="Dan")
    assert not SyncQueue.objects.filter(entity_id=dan.pk, status="pending").exists()
    browser.post(ACT, {"action": "retry_field", "key": keys})
    assert SyncQueue.objects.filter(entity_id=dan.pk, status="pending").exists()
    assert not SyncConflict.objects.filter(resolution__resolution_type__isnull=False).exists()


def logged() -> list[str]:
    rows = LogEntry.objects.filter(content_type__model="unmatcheditem").order_by("pk")
    return list(rows.values_list("change_message", flat=True))


def test_a_record_is_created_from_an_unmatched_item(browser: Client, kinds: Kinds) -> None:
    key, html = kinds[Kind.UNMATCHED][0], html_of(browser)
    assert f'href="/admin/sync/unmatcheditem/{key.partition(":")[2]}/link/"' in html
    assert "Create contact" in html
    browser.post(ACT, {"act_and_key": f"create_record {key}"})
    job = SyncQueue.objects.filter(remote_id="7001", status="pending")
    assert job.exists()
    assert logged() == ["Asked to create a record from it."]
    # Nothing is offered any more, and the row says why.
    html = html_of(browser)
    [row] = re.findall(rf'<li[^>]*id="entry-{key.replace(":", "")}".*?</li>', html, re.DOTALL)
    assert "Being created" in row
    assert "checkbox" not in row


def test_records_that_have_an_items_name_are_named_before_one_is_created_of_it(browser: Client) -> None:
    states.contact("Anne Thomas", monday_id="6001", email="anne@x.org")
    for item, name, code in (("7001", "ANNE THOMAS", "no_key_yet"), ("7002", "Stranger", "no_key")):
        states.unmatched(item, code, name=name)
    entries = attention.entries(attention.waiting(kinds=[Kind.UNMATCHED]))
    known, stranger = sorted(entries, key=lambda entry: entry.item_id)
    told = "NPD has 1 contact of this name already: Anne Thomas · anne@x.org."
    assert html_of(browser).count(told) == 1
    listed = {"action": "create_record", "_selected_action": [known.source]}
    for url, form in (
        (ACT, {"act_and_key": f"create_record {known.key}"}),
        (ACT, {"action": "create_record", "key": [known.key, stranger.key]}),
        (ACT, {"action": "create_record", "cause": known.cause}),
        ("/admin/sync/unmatcheditem/", listed),
    ):
        assert told in browser.post(url, form).content.decode()
    assert not SyncQueue.objects.filter(remote_id="7001", status="pending").exists()
    browser.post(ACT, {"act_and_key": f"create_record {stranger.key}"})
    assert SyncQueue.objects.filter(remote_id="7002", status="pending").exists()


def test_the_last_act_is_undone_only_while_it_is_the_last_minutes(browser: Client, kinds: Kinds) -> None:
    browser.post(ACT, {"act_and_key": f"ignore {kinds[Kind.UNMATCHED][0]}"})
    for _ in range(2):
        html = html_of(browser)
        assert ("data-undo" in html, "data-leaves" in html) == (True, True)
    session = browser.session
    session["home_act"] |= {"at": (sync_now() - timedelta(seconds=61)).isoformat()}
    session.save()
    assert 'id="npd-home-undo"' not in html_of(browser)
    browser.post(UNDO)
    assert IgnoredItem.objects.exists()


def acts_of(client: Client) -> list[tuple[str, str, bool]]:
    """The acts of the only group: name, label, and whether it deletes."""
    [box] = client.get(HOME).context["boxes"]
    return [(button.code, button.label, button.deletes) for button in box.buttons if button.code]


def test_a_rejected_value_is_kept_different_and_asked_again_by_undo(browser: Client, rejected_email: Contact) -> None:
    key = f"rejected:contact:{rejected_email.pk}:email"
    html = html_of(browser)
    assert "ann@example.com" in html
    assert f'href="{attention.entries()[0].url}"' in html
    browser.post(ACT, {"act_and_key": f"leave_both {key}", **seen_of(html, key)})
    assert "Both left as they are: Ann." in text_of(browser)
    assert "kept_by" in SyncMetadata.objects.get(entity_id=str(rejected_email.pk)).blocked_fields["email"]
    browser.post(UNDO)
    assert "kept_by" not in SyncMetadata.objects.get(entity_id=str(rejected_email.pk)).blocked_fields["email"]
    assert key in keys_of(html_of(browser))


def empty_on_monday(name: str, item: str) -> tuple[str, SyncConflict]:
    """The key of a conflict in which Monday has no phone, and the conflict."""
    _, conflict = states.conflicting(name, item)
    SyncConflict.objects.filter(pk=conflict.pk).update(monday_data={"phone": None})
    return f"conflict:{conflict.pk}", conflict


def buttons_of(row: str) -> list[tuple[str, bool]]:
    """The acts of a row or card in order, and whether each button is red."""
    buttons = re.findall(r'class="npd-button([^"]*)"\s+name="act_and_key"\s+value="(\w+) ', row)
    return [(name, "npd-button-deletes" in classes) for classes, name in buttons]


def test_an_empty_side_is_last_and_asks_in_red_before_it_empties_even_one_value(browser: Client, kinds: Kinds) -> None:
    key, conflict = empty_on_monday("Zoe", "5050")
    html = html_of(browser)
    [row] = re.findall(rf'<li[^>]*id="entry-{key.replace(":", "")}".*?</li>', html, re.DOTALL)
    assert buttons_of(row) == [("keep_npd", False), ("keep_monday", True)]
    assert "Empty Phone in NPD…" in words_of(row)
    question = browser.post(ACT, {"act_and_key": f"keep_monday {key}", **seen_of(html, key)}).content.decode()
    button = r'npd-button-deletes"\s+type="submit"\s*>\s*Use Monday for 1 conflict; empty 1 value in NPD\s*<'
    assert re.search(button, question)
    conflict.refresh_from_db()
    assert conflict.resolution is None
    browser.post(ACT, answer_to_question(question))
    conflict.refresh_from_db()
    assert conflict.stored_resolution.resolution_type == "keep_monday"


def test_all_of_a_card_that_would_be_emptied_are_named_with_their_number(browser: Client, db: None) -> None:
    for number in range(2):
        record = states.synced(f"Empty {number}", f"81{number}", email="x@crm.test")
        reason = {"code": "rejected", "reason": "Monday rejected it", "local": {"email": "x@crm.test"}}
        blocked_fields = {"email": reason | {"column": "email", "version": 1}}
        seen_values = {"email": {"values": [[None, sync_now().isoformat()]], "losses": []}}
        SyncMetadata.objects.filter(entity_id=str(record.pk)).update(
            blocked_fields=blocked_fields, seen=seen_values, base={}
        )
    assert acts_of(browser)[-1] == ("keep_monday", "Use Monday for all 2…", True)
    assert "Use Monday for the selected" in text_of(browser)
    [cause] = attention.groups()
    confirmed(browser, action="keep_monday", cause=cause.cause)
    assert list(Contact.objects.values_list("email", flat=True)) == ["", ""]
    browser.post(UNDO)
    assert list(Contact.objects.values_list("email", flat=True)) == ["x@crm.test"] * 2


@pytest.mark.parametrize(("item", "key"), [("", "name"), ("", "phone"), ("8100", "name")])
def test_monday_s_value_is_not_offered_where_there_is_none_to_use(
    browser: Client, db: None, item: str, key: str
) -> None:
    record = states.synced("Zoe", item or "8100", phone="1")
    entry = {"code": "rejected", "reason": "Monday rejected it", "local": {key: getattr(record, key)}}
    blocked_fields = {key: entry | {"column": key, "version": 1}}
    sync_state = SyncMetadata.objects.filter(entity_id=str(record.pk))
    sync_state.update(blocked_fields=blocked_fields, remote_id=item or None, seen={}, base={})
    Contact.objects.filter(pk=record.pk).update(monday_id=item or None)
    assert [code for code, _, _ in acts_of(browser)] == ["leave_both", "retry_field"]
    if not item:
        [waiting] = browser.get("/api/v1/sync/attention/").json()["results"]
        assert [act["code"] for act in waiting["acts"]] == ["leave_both", "retry_field"]


def test_an_act_waits_for_a_pause(browser: Client, kinds: Kinds) -> None:
    jobs = kinds[Kind.FAILED][0]
    pauses.pause("eve")
    assert "It waits" in words_of(browser.post(ACT, {"act_and_key": f"retry {jobs}"}, follow=True).content.decode())


def test_a_deletion_says_on_which_side_and_what_follows(browser: Client, db: None) -> None:
    contacts = [Contact.objects.create(name=f"Gone {number}", monday_id=f"600{number}") for number in range(3)]
    record(*(gone(contact, options=[AGAIN, DELETE, UNLINK]) for contact in contacts))
    _, again, edited = (conflict_of(contact) for contact in contacts)
    for conflict, asks in ((again, "restored_item"), (edited, "deleted_record")):
        options = [{"choose": "archive_item"}, {"choose": "restore_record"}, {"choose": "unlink"}]
        conflict.about = {"asks": asks, "what": "Asked.", "options": options}
        conflict.save()
    SyncConflict.objects.filter(pk=edited.pk).update(conflict_fields=["phone"])
    html = text_of(browser)
    assert "The item left the board" in html
    assert "Deleted in NPD, still on Monday; edited since: Phone" in html
    assert "Deleted in NPD, and the item was restored on Monday" in html
    assert html.count("until somebody chooses") == 3


def removed_ones(number: int, **more: Any) -> list[Contact]:
    """Contacts whose items one person archived together, before anybody is asked."""
    return [states.removed(f"Gone {n:02}", f"6{n:03}", **more) for n in range(number)]


def confirmed(browser: Client, **form: Any) -> str:
    """Send an act and confirm it; return the question's page."""
    question = browser.post(ACT, {"back": HOME, **form}).content.decode()
    assert browser.post(ACT, answer_to_question(question)).status_code == 302
    return words_of(question[question.index('class="npd-card npd-question"') :])


@pytest.mark.parametrize(
    ("act", "key", "consequence"),
    [
        ("create_item", "recreate", "Create 60 items again on Monday?"),
        ("unlink", "unlink", "Unlink 60 contacts from Monday?"),
    ],
)
def test_sixty_removed_items_are_answered_in_one_act(browser: Client, act: str, key: str, consequence: str) -> None:
    gone = removed_ones(60)
    [cause] = attention.groups()
    assert consequence in confirmed(browser, action=act, cause=cause.cause)
    jobs = SyncQueue.objects.filter(status="pending", payload__has_key=key)
    assert set(jobs.values_list("entity_id", flat=True)) == {record.pk for record in gone}
    assert attention.entries() == []
    assert LogEntry.objects.filter(object_id=str(gone[0].pk)).exists()


def test_what_creates_says_what_it_takes(browser: Client) -> None:
    removed_ones(2)
    [cause] = attention.groups()
    form = {"back": HOME, "action": "create_item", "cause": cause.cause}

    def question() -> str:
        return words_of(browser.post(ACT, form).content.decode())

    assert "API calls left" not in question()
    limits = {"day_limit": 1_000, "day": sync_now().date(), "day_calls": 220, "points": 0}
    ApiQuota.objects.update_or_create(id=1, defaults=limits)
    assert "Takes about 2 of the 780 API calls left today." in question()


def test_sixty_records_are_deleted_in_one_act_but_not_what_was_edited_since_the_question(browser: Client) -> None:
    gone = removed_ones(60)
    Contact.objects.update(email="who@npd.example")
    Contact.objects.filter(pk=gone[1].pk).update(email="other@npd.example")
    [cause] = attention.groups()
    form = {"action": "delete_record", "cause": cause.cause, "back": HOME}
    question = browser.post(ACT, form).content.decode()
    assert "npd-button-deletes" in question
    # Each is shown with what distinguishes it from others of its name.
    assert question.count("who@npd.example") == 59
    assert "Delete 60 contacts in NPD?" in words_of(question)
    Contact.objects.filter(pk=gone[0].pk).update(role_title="Chair")
    browser.post(ACT, answer_to_question(question) | {"asked_at": "2026-02-30T00:00Z"})
    assert Contact.objects.count() == 60
    page_after = browser.post(ACT, answer_to_question(question), follow=True).content.decode()
    assert re.search(r'Deleted in NPD: 59 contacts\.\s*<a [^>]*href="/admin/sync/tombstone/"', page_after, re.DOTALL)
    assert "data-undo" not in page_after, "a restored record gets a new item, which asks first"
    assert list(Contact.objects.values_list("pk", flat=True)) == [gone[0].pk]
    assert Tombstone.objects.count() == 59
    assert LogEntry.objects.filter(action_flag=DELETION).count() == 59


def test_a_resolver_is_offered_the_answers_that_are_hers_and_no_word_of_others(client: Client, db: None) -> None:
    removed_ones(3)
    staff_who_may("delete_contact", name="editor")
    resolver = staff_who_may("view_syncconflict", "change_syncconflict", "view_contact")
    client.force_login(resolver)
    [group] = client.get(HOME).context["boxes"]
    assert [button.code for button in group.buttons if button.code] == ["create_item", "unlink"]
    assert "not part of your role" not in group.lead
    client.force_login(User.objects.create_superuser("root"))
    [group] = client.get(HOME).context["boxes"]
    assert [button.code for button in group.buttons] == ["", "create_item", "unlink", "delete_record"]
    assert group.buttons[0].label.startswith("Restore on Monday")
    assert "who may" not in group.lead


def test_deletions_that_wait_for_approval_are_announced_so(browser: Client, settings: Any) -> None:
    settings.GUARD_RECORDS = 3
    gone = removed_ones(2)
    BoardLink.objects.update(removed_item_policy="delete_record")
    [box] = browser.get(HOME).context["boxes"]
    assert "After that, NPD Sync deletes the records in NPD" in box.lead
    gone += [states.removed(f"Deleted {n}", f"7{n:03}", removal="deleted") for n in range(3)]
    leads = " ".join(box.lead for box in browser.get(HOME).context["boxes"])
    assert leads.count("After that, the records wait for approval before NPD Sync deletes them") == 1, "said once"
    for contact in gone:
        states.approval(contact, "records")
    [box] = browser.get(HOME).context["boxes"]
    assert (box.group.kind, box.group.records) == (Kind.APPROVAL, 5)
    assert box.lead.startswith("Their items were archived or deleted on Monday. Together")
    assert untrue_rows() == []


def test_who_may_only_resolve_and_pause_reads_the_state_and_what_needs_others(client: Client, db: None) -> None:
    client.force_login(staff_who_may("view_syncconflict", "change_syncconflict", "pause_syncqueue"))
    assert "All is well" in text_of(client)
    assert [button.code for button in [client.get(HOME).context["pause_button"]]] == ["pause"]
    removed_ones(1)
    states.dead("Failed")
    staff = staff_who_may("view_syncconflict", "change_syncconflict", "view_syncqueue", name="nora")
    client.force_login(staff)
    text = text_of(client)
    assert "1 thing needs attention; 1 thing needs somebody else" in text
    assert text.count("somebody else") == 1
    assert "as usual" not in text, "something fails"


def test_a_deletion_that_waits_leads_to_its_own_page_which_has_the_answers(browser: Client) -> None:
    company = Organization.objects.create(name="Kestrel")
    contact = states.contact("Ann", monday_id="5001", email="ann@kestrel.test", organization=company)
    waiting = states.approval(contact, "items")
    Contact.objects.filter(pk=contact.pk).delete()
    address = reverse("admin:sync_approvalrequest_change", args=[waiting.pk])
    [box] = browser.get(HOME).context["boxes"]
    assert box.rows[0].entry.url == address
    buttons = browser.get(address).context["row_buttons"]
    assert [button.code for button in buttons] == ["reject", "approve"]
    question = confirmed(browser, **buttons[1].hidden)
    assert "ann@kestrel.test" in question, "what tells a deleted record from its namesakes"
    assert "Kestrel" in question
    waiting.refresh_from_db()
    assert waiting.state == "approved"
    assert browser.get(address).context["row_buttons"] == []


def test_whoever_deleted_the_records_sees_their_removal_first_and_others_see_how_to_keep_the_items(
    browser: Client,
) -> None:
    contacts = [states.contact(f"Gone {number}", monday_id=f"500{number}") for number in range(2)]
    for contact in contacts:
        states.approval(contact, "items")
    browser.post(
        "/admin/npd/contact/",
        {"action": "delete_selected", "post": "yes", "_selected_action": [c.pk for c in contacts]},
    )
    assert not Contact.objects.exists()
    assert [code for code, _, _ in acts_of(browser)] == ["approve", "reject"]
    browser.force_login(User.objects.create_superuser("eve"))
    assert [code for code, _, _ in acts_of(browser)] == ["reject", "approve"]


def test_questions_who_is_who_are_answered_together_but_not_where_several_are_found(browser: Client) -> None:
    link, other = ({"choose": "link", "value": str(n), "label": "L", "effect": "E."} for n in (7, 8))
    new = {"choose": "new_item", "label": "N", "effect": "E."}
    asked = []
    for name, options in (("Ann", [link, new]), ("Bob", [link, new]), ("Cid", [link, other, new])):
        about = {"what": f"Is it {name}?", "options": options, "candidates": [{"id": "7"}]}
        asked.append(states.conflict(states.contact(name), "7", "identity", about=about))
    [box] = browser.get(HOME).context["boxes"]
    assert [[act.code for act in row.acts] for row in box.rows] == [["link", "new_item"]] * 2 + [["new_item"]]
    assert [button.code for button in box.buttons[1:]] == ["new_item"], "on all three"
    keys = [row.entry.key for row in box.rows[:2]]
    assert "Link 2 contacts" in confirmed(browser, cause=box.group.cause, key=keys, action="link")
    chosen = [SyncConflict.objects.get(pk=conflict.pk).is_being_applied for conflict in asked]
    assert chosen == [True, True, False]


def one_of_each_cause() -> None:
    """Add to `kinds` what has other acts than the others of its kind."""
    in_notes("Nora", "5901", "Calls on Monday.", "Likes tea.")
    for number, code in enumerate(BlockedCode):
        states.blocked(f"Blocked {code}", f"61{number:02}", phone={"reason": "Why.", "code": code, "side": "npd"})
    for number, kind in enumerate(ApprovalKind):
        states.approval(states.synced(f"Approval {kind}", f"62{number:02}"), kind, key="phone")
    options = {
        "removed_item": ("create_item", "delete_record", "unlink"),
        "deleted_record": ("restore_record", "unlink", "archive_item", "delete_item"),
    }
    for number, (asks, codes) in enumerate(options.items()):
        contact = states.contact(f"Gone {asks}", monday_id=f"63{number:02}")
        record(gone(contact, options=[Option(code, "It is done.") for code in codes], asks=asks))
        if asks == "deleted_record":
            contact.delete()
    rejected_too("Rejected", "75")
    for item, asks, acts in (
        ("6501", "same_name", ("same_name", "new_item")),
        ("6502", "copy", ("archive", "new_record", "leave_alone")),
        ("6503", "which_record", ("link", "new_record", "leave_alone")),
        ("6504", "namesake", ("leave_alone", "new_record")),
        ("6505", "second_item", ("leave_alone", "new_record")),
    ):
        offered = [{"choose": act, "label": act, "effect": "It is done."} for act in acts]
        about = {"what": "Who?", "asks": asks, "options": offered}
        _, conflict = states.conflicting(f"Perhaps {item}", item)
        SyncConflict.objects.filter(pk=conflict.pk).update(kind="identity", conflict_fields=[], about=about)
    _, conflict = states.conflicting("Lost", "6401")
    SyncConflict.objects.filter(pk=conflict.pk).update(kind="overwritten")
    states.dead("Failed")
    BoardLink.objects.filter(entity_type="organization").update(creates_held=said("Why."))


@pytest.mark.parametrize(
    ("who", "direction"),
    [
        ("root", "bidirectional"),
        ("Resolve", "npd_to_monday"),
        pytest.param("root", "monday_to_npd", marks=pytest.mark.hostile),
        pytest.param("Edit", "bidirectional", marks=pytest.mark.hostile),
    ],
)
def test_nobody_is_offered_an_act_that_is_then_refused(kinds: Kinds, client: Client, who: str, direction: str) -> None:
    one_of_each_cause()
    Contact.objects.exclude(sync_direction=direction).update(sync_direction=direction)
    person = User.objects.create_superuser("root") if who == "root" else staff_who_may(name=who)
    if who != "root":
        person.groups.add(Group.objects.get(name=who))
    client.force_login(person)
    done = set()
    entries = attention.entries(attention.seen_by(person), limit=None)
    for entry in home_acts.with_values(entries, attention.Wording.of_boards()):
        html = client.get(home.rows_url(entry.cause, 1)).content.decode()
        for act in attention.offered_acts(person, entry):
            if entry.kind is Kind.STOP or act.code == "check_column":  # in the banner; and one that asks Monday
                continue
            form = {"act_and_key": f"{act.code} {entry.key}"}
            if f"seen:{entry.key}" in html:
                form |= seen_of(html, entry.key)
            savepoint = transaction.savepoint()
            answer = client.post(ACT, form)
            if act.asks or answer.status_code != 302:
                answer = client.post(ACT, answer_to_question(answer.content.decode()))
            levels = {message.level_tag for message in get_messages(answer.wsgi_request)}
            assert levels <= {"success"}, (entry.key, entry.code, act.code)
            transaction.savepoint_rollback(savepoint)
            done.add((entry.kind, act.code))
    if (who, direction) == ("root", "bidirectional"):
        acts = {(kind, act.code) for kind, code in CAUSES for act in attention.acts_of(kind, code)}
        assert {(kind, code) for kind, code in acts - done if code not in ("check_column", "try_again")} == set()


def test_each_act_of_a_cause_can_be_done_on_home_or_in_the_banner() -> None:
    for kind, code in [*((kind, "") for kind in KINDS), *CAUSES]:
        codes = [act.code for act in attention.acts_of(kind, code)]
        assert all(((kind, act) in home_acts.RUNS) is (kind is not Kind.STOP) for act in codes), (kind, code)


def test_each_act_says_what_it_does_as_a_sentence_and_asks_before_it_deletes() -> None:
    for act in (*ACTS.values(), *chain.from_iterable(APPROVAL_ACTS.values())):
        assert act.effect.endswith("."), act.code
        assert act.asks or not act.deletes, act.code


@pytest.mark.parametrize(
    "form", [{}, {"action": "retry"}, {"action": "x", "key": "y"}, {"act_and_key": "retry failed:\0"}]
)
def test_odd_acts_do_nothing(browser: Client, kinds: Kinds, form: dict[str, str]) -> None:
    assert browser.post(ACT, form).status_code == 302
    assert attention.counts() == dict.fromkeys(Kind, 1)
