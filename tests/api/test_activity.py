"""The activity and its undo, and approvals, by API."""

import uuid

import pytest
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import ApprovalRequest, Decision
from tests.api.conftest import code_of, error_of, results, user_who_may, with_token
from tests.undo.conftest import pull

__all__ = ["pull"]

ACTIVITY, APPROVALS = "/api/v1/sync/activity/", "/api/v1/sync/approvals/"


@pytest.fixture
def approval(db: None) -> ApprovalRequest:
    return ApprovalRequest.objects.create(
        entity_type="contact", entity_id=uuid.uuid4(), kind="clear_monday", key="phone", state="pending", label="Phone"
    )


def test_the_activity_of_a_record_is_listed_and_an_entry_undone(api: APIClient, pull: Decision) -> None:
    contact = Contact.objects.get()
    Decision.objects.create(entity_type="contact", entity_id=uuid.uuid4(), kind="pull", sentence="Of another.")
    [entry] = results(api, ACTIVITY, entity_id=str(contact.pk))
    assert (entry["id"], entry["key"], entry["values"]["before"]) == (pull.pk, "role_title", "Boss")
    answer = api.post(f"{ACTIVITY}{pull.pk}/undo")
    assert (answer.status_code, answer.json()["undoes"], answer.json()["actor"]) == (200, pull.pk, "ada")
    contact.refresh_from_db()
    assert contact.role_title == "Boss"
    again = api.post(f"{ACTIVITY}{pull.pk}/undo")
    assert (again.status_code, code_of(again)) == (409, "conflict")
    assert "Boss" in error_of(again)["detail"]


def test_who_may_not_change_the_record_undoes_nothing(pull: Decision) -> None:
    reader = with_token(user_who_may("view_decision", "view_contact"))
    assert reader.get(f"{ACTIVITY}{pull.pk}/").status_code == 200
    assert reader.post(f"{ACTIVITY}{pull.pk}/undo").status_code == 403
    assert Contact.objects.get().role_title == "Chair"
    stranger = with_token(user_who_may("view_contact", name="stranger"))
    assert stranger.post(f"{ACTIVITY}{pull.pk}/undo").status_code == 403


@pytest.mark.parametrize(("act", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_an_approval_is_decided_once(api: APIClient, approval: ApprovalRequest, act: str, state: str) -> None:
    assert [one["id"] for one in results(api, APPROVALS, state="pending")] == [approval.pk]
    answer = api.post(f"{APPROVALS}{approval.pk}/{act}")
    assert (answer.status_code, answer.json()["state"], answer.json()["decided_by"]) == (200, state, "ada")
    again = api.post(f"{APPROVALS}{approval.pk}/reject")
    assert (again.status_code, code_of(again)) == (409, "conflict")
