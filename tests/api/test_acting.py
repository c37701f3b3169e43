"""What a person does in the admin, a program does by API: rejected values, inbox, ignored items."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from npd.models import Contact
from sync.clock import sync_now
from sync.models import (
    ApprovalRequest,
    Assignment,
    IgnoredItem,
    SyncMetadata,
    SyncQueue,
    UnmatchedItem,
    WebhookEndpoint,
)
from tests.admin import states
from tests.api.conftest import results, row, user_who_may, with_token
from tests.conflicts.conftest import GOOD, REFUSED, rejected_too

SYNC = "/api/v1/sync/"
REJECTED, INBOX, IGNORED = (f"{SYNC}{n}/" for n in ("rejected-values", "inbox", "ignored-items"))
SEEN = {"npd": REFUSED, "monday": GOOD}


@pytest.fixture
def rejected(db: None) -> Contact:
    """A contact whose new email Monday has rejected."""
    states.boards()
    made = rejected_too("Ann", "75")
    held = SyncMetadata.objects.get(entity_id=str(made.pk)).blocked_fields
    SyncMetadata.objects.filter(entity_id=str(made.pk)).update(
        blocked_fields={"email": held["email"] | {"code": "rejected"}}
    )
    return made


# Rejected values.


def test_a_rejected_value_is_listed_with_both_sides(api: APIClient, rejected: Contact) -> None:
    [listed] = results(api, REJECTED)
    assert (listed["record"], listed["field"], listed["npd"], listed["monday"]) == ("Ann", "email", REFUSED, GOOD)
    assert (listed["code"], listed["monday_id"]) == ("rejected", "75")
    asked = {"entity_type": "contact", "entity_id": str(rejected.pk), "field": "email"}
    assert results(api, REJECTED, **asked) == [listed]
    assert results(api, REJECTED, field="phone") == results(api, REJECTED, entity_type="organization") == []
    assert api.get(REJECTED, {"field": "nonsense"}).status_code == 400


@pytest.mark.parametrize(
    ("answer", "stored", "state"),
    [
        ({"choose": "npd"}, REFUSED, "settled"),
        ({"choose": "monday"}, GOOD, "applying"),
        ({"choose": "custom", "value": "new@example.com"}, "new@example.com", "applying"),
    ],
)
def test_an_answer_is_stored_for_the_values_seen_and_taken_back(
    api: APIClient, rejected: Contact, answer: dict[str, str], stored: str, state: str
) -> None:
    one = f"{REJECTED}contact/{rejected.pk}/email/"
    assert (api.get(one).json()["waits"], api.get(one).json()["answer"]) == (True, None)
    stale = api.post(f"{one}answer", {**answer, "seen": {"npd": "else", "monday": GOOD}})
    assert (stale.status_code, stale.json()["code"], stale.json()["current"]) == (409, "stale", {"email": SEEN})
    found = api.post(f"{one}answer", {**answer, "seen": SEEN}).json()
    rejected.refresh_from_db()
    assert (rejected.email, found["waits"], found["answer"]["state"]) == (stored, False, state)
    assert api.post(f"{one}answer", {**answer, "seen": SEEN}).json()["code"] == "not_waiting"
    undone = api.post(f"{one}undo")
    rejected.refresh_from_db()
    assert (undone.status_code, rejected.email) == (200, REFUSED)
    assert api.post(f"{one}undo").status_code == 409


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"choose": "custom", "value": "no address"}, "/value"),
        ({"choose": "custom"}, "/value"),
        ({"choose": "npd", "value": "x"}, "/value"),
        ({"choose": "both"}, "/choose"),
    ],
)
def test_an_answer_that_neither_side_can_hold_is_refused(
    api: APIClient, rejected: Contact, body: dict[str, str], pointer: str
) -> None:
    answer = api.post(f"{REJECTED}contact/{rejected.pk}/email/answer", {**body, "seen": SEEN})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert Contact.objects.get().email == REFUSED


def test_rejected_values_of_records_that_one_may_not_see_are_not_told(rejected: Contact) -> None:
    clerk = with_token(user_who_may("view_syncconflict", "change_syncconflict"))
    one = f"{REJECTED}contact/{rejected.pk}/email/"
    assert results(clerk, REJECTED) == []
    assert [clerk.get(one).status_code, clerk.post(f"{one}undo").status_code] == [404, 404]
    reader = with_token(user_who_may("view_syncconflict", "view_contact", name="reader"))
    assert reader.get(one).status_code == 200
    assert reader.post(f"{one}answer", {"choose": "npd", "seen": SEEN}).status_code == 403
    decider = with_token(user_who_may("view_contact", "view_syncconflict", "change_syncconflict", name="decider"))
    typed = {"choose": "custom", "value": "new@example.com", "seen": SEEN}
    assert decider.post(f"{one}answer", typed).status_code == 403
    assert decider.get(f"{REJECTED}contact/{rejected.pk}/phone/").status_code == 404


# The inbox.


def test_the_inbox_is_one_list_with_whose_each_is(api: APIClient, person: User, rejected: Contact) -> None:
    failed = row(status="failed", entity_id=rejected.pk, error_message="Monday refused 17 times.")
    UnmatchedItem.objects.create(entity_type="contact", item_id="800", name="Stranger", reason_code="no_key")
    found = results(api, INBOX)
    assert [one["kind"] for one in found] == ["failed", "rejected", "unmatched"]
    assert (found[0]["id"], found[0]["name"]) == (str(failed.pk), "Ann")
    assert found[1]["values"] == [{"field": "email", "label": "Email", "npd": REFUSED, "monday": GOOD}]
    assert api.get(INBOX, {"page_size": 2}).json()["count"] == 3
    assert [one["kind"] for one in results(api, INBOX, kind=["failed", "unmatched"])] == ["failed", "unmatched"]
    assert results(api, INBOX, cause=found[1]["cause"]) == [found[1]]
    Assignment.objects.create(key=found[1]["key"], assignee=person, note="Asked Ann.")
    [mine] = results(api, INBOX, mine="true")
    assert (mine["kind"], mine["assignee"], mine["note"]) == ("rejected", "ada", "Asked Ann.")
    assert results(api, INBOX, assignee="ada") == [mine]
    assert results(api, INBOX, assignee="nobody") == []
    assert api.get(INBOX, {"kind": ["failed", "failed"]}).json()["count"] == 1
    for wrong in ({"kind": "nonsense"}, {"mine": "true", "assignee": "ada"}):
        assert api.get(INBOX, wrong).status_code == 400
    clerk = with_token(user_who_may("view_syncqueue"))
    assert [(one["kind"], one["name"]) for one in results(clerk, INBOX)] == [("failed", "Contact")]
    decider = with_token(user_who_may("view_syncconflict", name="decider"))
    assert [(one["kind"], one["name"], one["values"]) for one in results(decider, INBOX)] == [
        ("rejected", "Contact", [])
    ]
    assert with_token(user_who_may(name="nobody")).get(INBOX).status_code == 403


# Ignored items, and what waits.


def test_an_ignored_item_is_considered_again(api: APIClient) -> None:
    kept = {"entity_type": "contact", "reason": "ada ignored it.", "unlinked": True}
    ignored = IgnoredItem.objects.create(item_id="800", **kept)
    IgnoredItem.objects.create(item_id="801", erased=True, **kept)
    UnmatchedItem.objects.create(entity_type="contact", item_id="800", reason_code="no_key", ignored_by="ada")
    [listed] = results(api, IGNORED, monday_id="800", unlinked="true")
    assert (listed["monday_id"], listed["reason"]) == ("800", "ada ignored it.")
    assert len(results(api, IGNORED)) == 1
    viewer = with_token(user_who_may("view_ignoreditem"))
    assert results(viewer, IGNORED)[0]["reason"] == "Contact that you may not see"
    assert viewer.delete(f"{IGNORED}{ignored.pk}/").status_code == 403
    assert api.delete(f"{IGNORED}{ignored.pk}/").status_code == 204
    assert not IgnoredItem.objects.filter(pk=ignored.pk).exists()
    assert SyncQueue.objects.get(remote_id="800").status == "pending"
    assert (UnmatchedItem.objects.get().ignored_by, results(api, IGNORED)) == ("", [])
    assert LogEntry.objects.filter(object_id=str(ignored.pk), change_message__contains="by the API").exists()


def test_approvals_and_endpoints_are_filtered_and_ordered_by_what_they_show(api: APIClient, contact: Contact) -> None:
    acts = [
        ApprovalRequest.objects.create(entity_type="contact", entity_id=contact.pk, kind=kind, state="pending", **more)
        for kind, more in (("records", {"remote_id": "7"}), ("clear_npd", {"key": "phone"}))
    ]
    approvals, hooks = f"{SYNC}approvals/", "/api/v1/webhook-endpoints/"
    assert [one["id"] for one in results(api, approvals, ordering="id")] == [one.pk for one in acts]
    assert [one["id"] for one in results(api, approvals, monday_id="7")] == [acts[0].pk]
    assert results(api, approvals, field="phone", fields="field") == [{"field": "phone"}]
    # What may quote a record is told by no filter.
    assert (
        api.get(approvals, {"label": "x"}).status_code == api.get(f"{SYNC}queue/", {"reason": "x"}).status_code == 400
    )
    for address, types in (("https://a.example/x", []), ("https://b.example/x", ["record.created"])):
        assert api.post(hooks, {"address": address, "event_types": types}).status_code == 201
    assert len(results(api, hooks, event_type="record.created")) == 2
    assert len(results(api, hooks, event_type="record.deleted", enabled="true", failing="false")) == 1


LATER, EARLIER = "2040-01-01T00:00:00Z", "2020-01-01T00:00:00Z"


def test_endpoints_and_deliveries_are_filtered_by_owner_times_and_type(api: APIClient) -> None:
    hooks, sent = "/api/v1/webhook-endpoints/", "/api/v1/webhook-deliveries/"
    made = [api.post(hooks, {"address": f"https://{one}.example/x"}).json()["id"] for one in "ab"]
    WebhookEndpoint.objects.filter(pk=made[0]).update(failing_since=sync_now(), owner=None)
    assert [one["id"] for one in results(api, hooks, owner="ada")] == [made[1]]
    assert [one["id"] for one in results(api, hooks, failing_since_since=EARLIER)] == [made[0]]
    assert results(api, hooks, failing_since_since=LATER) == results(api, hooks, failing_since_before=EARLIER) == []
    assert results(api, hooks, next_attempt_since=LATER) == []
    assert api.post(f"{hooks}{made[1]}/test").status_code == 202
    assert [one["endpoint"] for one in results(api, sent, event_type="ping")] == [made[1]]
    assert results(api, sent, event_type="record.created") == results(api, sent, next_attempt_since=LATER) == []
    assert len(results(api, sent, next_attempt_since=EARLIER, next_attempt_before=LATER)) == 1
    assert api.get(sent, {"event_type": "nonsense"}).status_code == 400
