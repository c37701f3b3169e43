"""An act whose cause has meanwhile ended does nothing, and says what happened instead."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from conflicts.models import SyncConflict
from conflicts.pages import resolution
from conflicts.reports import ConflictReport
from npd.models import Contact
from sync.attention import Kind
from sync.models import ApprovalRequest, Attention, SyncMetadata, SyncQueue, Tombstone, UnmatchedItem
from sync.outbox import operate
from sync.records import approvals
from tests.admin import states
from tests.admin.forms import answer_to_question
from tests.admin.test_home import HOME, html_of
from tests.admin.test_records import words_of
from tests.attention.conftest import Kinds
from tests.attention.test_home_acts import ACT, seen_of
from tests.conflicts.conftest import record
from tests.support.people import staff_who_may

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("boards")]

ACTS_OF = {
    Kind.FAILED: ("retry", "discard"),
    Kind.REJECTED: ("leave_both", "keep_monday", "retry_field"),
    Kind.BLOCKED: ("retry_field",),
    Kind.REMOVED: ("create_item", "unlink", "delete_record"),
    Kind.CONFLICT: ("keep_npd", "keep_monday", "use_both"),
}


def answer_of(client: Client, form: dict[str, str], url: str = ACT) -> str:
    """Return the last message, without making the page that shows it."""
    answer = client.post(url, {"confirmed": "yes", **form})
    *_before, message = get_messages(answer.wsgi_request)
    return str(message)


def turn_off(name: str) -> str:
    """Turn its sync off, and close its conflict as a pass does."""
    Contact.objects.filter(name=name).update(sync_enabled=False)
    close_conflicts(name, "Sync is off for this record.")
    return f"has turned sync off for “{name}”"


def delete(name: str) -> str:
    """Delete it, and close its conflict as a pass does."""
    contact = Contact.objects.get(name=name)
    close_conflicts(name, "The record was deleted.")
    SyncQueue.objects.filter(entity_id=contact.pk).exclude(status="completed").update(status="completed")
    contact.delete()
    return f"“{name}” was deleted in NPD"


def become_synced(name: str) -> str:
    contact = Contact.objects.get(name=name)
    close_conflicts(name, "Both sides say the same.")
    SyncQueue.objects.filter(entity_id=contact.pk).exclude(status="completed").update(status="completed")
    ApprovalRequest.objects.filter(entity_id=contact.pk).delete()
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(
        blocked_fields={}, remote_state="active", removed_since=None, conflicts={}
    )
    states.mark(contact, states.RecordSyncStatus.SYNCED, contact.monday_id)
    return f"“{name}” is synced now"


def archive_item(name: str) -> str:
    """Archive its item, as the next pass stores it."""
    contact = Contact.objects.get(name=name)
    become_synced(name)
    states.mark(contact, states.RecordSyncStatus.PENDING, contact.monday_id or "5099")
    SyncMetadata.objects.filter(entity_id=str(contact.pk)).update(
        remote_id=contact.monday_id, remote_state="archived", removed_since=states.sync_now()
    )
    return f"“{name}” needs another answer now: Archived on the board"


def close_conflicts(name: str, reason: str) -> None:
    for conflict in SyncConflict.objects.filter(entity_id=Contact.objects.get(name=name).pk, resolved_at=None):
        item = conflict.monday_item_id
        record(ConflictReport("contact", conflict.entity_id, item, conflict.kind, closing_reason=reason))


@pytest.mark.parametrize("way", [turn_off, delete, become_synced, archive_item])
def test_an_act_whose_cause_has_ended_does_nothing_and_says_what_happened(
    browser: Client, kinds: Kinds, way: Callable[[str], str]
) -> None:
    html = html_of(browser)
    for kind, acts in ACTS_OF.items():
        if kind is Kind.REMOVED and way is archive_item:
            continue  # that is what makes this kind
        key, name = kinds[kind]
        values = seen_of(html, key) if f"seen:{key}" in html else {}
        expected = way(name)
        jobs = list(SyncQueue.objects.order_by("pk").values())
        for act in acts:
            text = answer_of(browser, {"act_and_key": f"{act} {key}", **values})
            assert ("Nothing was done." in text, expected in text) == (True, True), (act, text)
        assert list(SyncQueue.objects.order_by("pk").values()) == jobs
        assert Contact.objects.filter(name=name).exists() is (way is not delete)


def test_what_a_colleague_has_decided_is_said(browser: Client, kinds: Kinds) -> None:
    eve = User.objects.create_superuser("eve")
    shown = html_of(browser)

    def answer(kind: Kind, act: str) -> str:
        key = kinds[kind][0]
        values = seen_of(shown, key) if f"seen:{key}" in shown else {}
        form = {"act_and_key": f"{act} {key}", **values}
        return answer_of(browser, form)

    operate.discard(SyncQueue.objects.filter(status="failed"), "eve")
    assert "Latest, by eve: eve discarded the failed job." in answer(Kind.FAILED, "retry")
    approvals.reject(ApprovalRequest.objects.all(), eve)
    assert "Latest, by eve: Rejected “" in answer(Kind.APPROVAL, "approve")
    conflict = SyncConflict.objects.get(pk=kinds[Kind.CONFLICT][0].partition(":")[2])
    resolution.resolve(conflict.pk, by=eve, resolution_type="keep_npd", seen=resolution.current_values(conflict))
    assert "Latest, by eve:" in answer(Kind.CONFLICT, "keep_monday")
    UnmatchedItem.objects.update(ignored_at=states.sync_now())
    assert "Nothing was done. It doesn't wait any more." in answer(Kind.UNMATCHED, "create_record")


def test_an_open_question_about_a_group_says_that_none_of_it_waits_any_more(browser: Client, kinds: Kinds) -> None:
    kind, _, source = kinds[Kind.CONFLICT][0].partition(":")
    cause = Attention.objects.get(kind=kind, source=source).cause

    def follow(**form: str) -> int:
        return browser.post(reverse("npd-home-question"), form).status_code

    assert follow(cause=cause) == follow(key=f"{kind}:{source}", cause=cause) == 200
    SyncConflict.objects.all().delete()
    assert {follow(cause=cause), follow(key="x\0", cause="\0"), follow(key=f"{kind}:{source}"), follow()} == {286}


def test_an_item_that_a_colleague_makes_a_record_of_is_not_ignored(browser: Client, kinds: Kinds) -> None:
    key = kinds[Kind.UNMATCHED][0]
    browser.post(ACT, {"act_and_key": f"create_record {key}"})
    text = words_of(browser.post(ACT, {"act_and_key": f"ignore {key}"}, follow=True).content.decode())
    assert "was not ignored: " in text
    assert UnmatchedItem.objects.get(item_id="7001").ignored_at is None


def test_the_button_of_a_group_of_one_never_acts_on_another_of_the_same_cause(browser: Client) -> None:
    _contact, conflict = states.conflicting("Ann", "5001")
    html = html_of(browser)
    [box] = browser.get(HOME).context["boxes"]
    assert f'name="only" value="conflict:{conflict.pk}"' in html
    states.conflicting("Bob", "5002")
    close_conflicts("Ann", "Both sides say the same.")
    form = {"action": "keep_npd", "cause": box.group.cause, "only": box.only_key}
    text = answer_of(browser, form)
    assert "Latest, by NPD Sync: The conflict on Phone closed: Both sides say the same." in text
    assert not SyncConflict.objects.filter(resolution__isnull=False).exists()


def test_a_question_about_a_group_is_asked_again_if_others_are_in_it(browser: Client) -> None:
    states.removed("Ann", "5001")
    states.removed("Bob", "5002")
    cause = Attention.objects.first().cause  # type: ignore[union-attr]
    form = {"action": "unlink", "cause": cause, "expect": "2", "confirmed": "yes", "asked": "those before"}
    answer = browser.post(ACT, form)
    assert answer.status_code == 409
    assert "Others match now. Nothing was done." in words_of(answer.content.decode())
    assert not SyncQueue.objects.filter(payload__has_key="unlink").exists()


def test_an_act_that_no_longer_fits_says_why(browser: Client) -> None:
    contact = states.removed("Ann", "5001")
    Contact.objects.filter(pk=contact.pk).update(sync_direction="monday_to_npd")
    form = {"act_and_key": f"create_item removed:contact:{contact.pk}"}
    text = answer_of(browser, form)
    assert "“Create again…” is not possible for “Ann”: Archived on the board by Maya Lind." in text


def test_what_became_of_something_is_told_only_to_who_may_see_it(client: Client, kinds: Kinds) -> None:
    client.force_login(staff_who_may("view_organization"))
    contact = Contact.objects.get(name="Fay")
    turn_off("Fay")
    for key in (f"removed:contact:{contact.pk}", "removed:contact:x", "failed:x", "conflict:x", "rejected:x:y:z"):
        text = answer_of(client, {"act_and_key": f"unlink {key}"})
        assert "Nothing was done. It doesn't wait any more." in text
        assert "Fay" not in text


@pytest.mark.parametrize("act", ["turn_sync_on", "turn_sync_off"])
def test_an_action_on_a_deleted_record_says_so(browser: Client, act: str) -> None:
    contact = states.synced("Ann", "5001")
    key = contact.pk
    contact.delete()
    form = {"action": act, "_selected_action": key, "index": "0"}
    text = answer_of(browser, form, "/admin/npd/contact/")
    assert "Nothing was changed" in text
    assert "deleted" in text


def test_a_lists_unlink_never_unlinks_an_item_that_was_linked_since_the_question(browser: Client) -> None:
    contact = states.synced("Ann", "5001")
    ticked = {"action": "unlink", "_selected_action": str(contact.pk)}
    for item_id, changes in (("5001", True), ("5009", False)):
        question = browser.post("/admin/npd/contact/", ticked)
        text = words_of(question.content.decode())
        assert "Unlink Ann from Monday?" in text
        assert f"Item {item_id}" in text
        if changes:
            Contact.objects.filter(pk=contact.pk).update(monday_id="5009")
        answer = browser.post("/admin/npd/contact/", answer_to_question(question.content.decode()))
        assert answer.status_code == (409 if changes else 302)
        assert SyncQueue.objects.filter(payload__has_key="unlink").exists() is not changes


@pytest.mark.parametrize(
    ("action", "url"),
    [
        ("unlink", "/admin/npd/contact/?sync_enabled__exact=1"),
        ("discard", "/admin/sync/syncqueue/?status__exact=failed"),
        ("restore_record", "/admin/sync/tombstone/"),
    ],
)
def test_all_of_a_list_are_those_that_the_question_named_not_as_many_others(
    browser: Client, action: str, url: str
) -> None:
    """The list has as many rows as before."""
    states.dead("Ann")
    Contact.objects.create(name="Al").delete()
    question = browser.post(url, {"action": action, "select_across": "1", "_selected_action": "0"})
    Contact.objects.all().update(sync_enabled=False)
    SyncQueue.objects.all().delete()
    Tombstone.objects.all().delete()
    states.dead("Bob")
    Contact.objects.create(name="Bobby").delete()
    answer = browser.post(url, answer_to_question(question.content.decode()))
    assert answer.status_code == 409
    text = words_of(answer.content.decode())
    assert "Others match now. Nothing was done." in text
    assert "Bob" in text


def test_an_act_of_a_record_that_was_deleted_meanwhile_says_so(browser: Client, rejected_email: Contact) -> None:
    key = rejected_email.pk
    rejected_email.delete()
    rejected = reverse("admin:conflicts_syncconflict_rejected_screen", args=["contact", key, "email"])
    assert browser.get(rejected).status_code == 404
    for act in ("sync_now", "direction", "link_again"):
        url = reverse(f"admin:npd_contact_{act}", args=[key])
        answer = browser.post(url, {"direction": "none", "shown": "bidirectional", "confirmed": "yes"})
        assert answer.status_code == 404
        assert "“Ann” was deleted in NPD" in words_of(answer.content.decode())
