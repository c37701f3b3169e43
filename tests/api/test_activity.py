"""The activity and its undo, and approvals, by API."""

import uuid

import pytest
from rest_framework.test import APIClient

from npd.models import Contact
from sync import attention
from sync.attention import Kind
from sync.kernel.acts import ACTS
from sync.models import ActivityLine, ApprovalRequest
from tests.admin import states
from tests.api.conftest import code_of, error_of, results, with_token
from tests.attention.conftest import Kinds, boards, kinds
from tests.support.people import staff_who_may
from tests.support.words import said
from tests.undo.test_undo import pull

__all__ = ["boards", "kinds", "pull"]

ACTIVITY, APPROVALS = "/api/v1/sync/activity/", "/api/v1/sync/approvals/"


def test_the_activity_of_a_record_is_listed_and_an_entry_undone(api: APIClient, pull: ActivityLine) -> None:
    contact = Contact.objects.get()
    ActivityLine.objects.create(
        entity_type="contact", entity_id=uuid.uuid4(), kind="pull", sentence=said("Of another.")
    )
    [entry] = results(api, ACTIVITY, entity_id=str(contact.pk))
    assert (entry["id"], entry["key"], entry["values"]["before"]) == (pull.pk, "role_title", "Boss")
    answer = api.post(f"{ACTIVITY}{pull.pk}/undo")
    assert (answer.status_code, answer.json()["undoes"], answer.json()["actor"]) == (200, pull.pk, "ada")
    contact.refresh_from_db()
    assert contact.role_title == "Boss"
    again = api.post(f"{ACTIVITY}{pull.pk}/undo")
    assert (again.status_code, code_of(again)) == (409, "conflict")
    assert "Boss" in error_of(again)["detail"]


def test_who_may_not_change_the_record_undoes_nothing(pull: ActivityLine) -> None:
    reader = with_token(staff_who_may("view_activityline", "view_contact"))
    assert reader.get(f"{ACTIVITY}{pull.pk}/").status_code == 200
    assert reader.post(f"{ACTIVITY}{pull.pk}/undo").status_code == 403
    assert Contact.objects.get().role_title == "Chair"
    stranger = with_token(staff_who_may("view_contact", name="stranger"))
    assert stranger.post(f"{ACTIVITY}{pull.pk}/undo").status_code == 403


@pytest.mark.parametrize(("act", "state"), [("approve", "approved"), ("reject", "rejected")])
def test_an_approval_is_decided_once(api: APIClient, act: str, state: str) -> None:
    approval = states.approval(Contact.objects.create(name="Ann"), "clear_monday", key="phone")
    unasked = states.approval(Contact.objects.create(name="Bea"), "clear_npd", key="phone")
    ApprovalRequest.objects.filter(pk=unasked.pk).update(state="refilled")
    assert [entry["id"] for entry in results(api, APPROVALS)] == [approval.pk]
    answer = api.post(f"{APPROVALS}{approval.pk}/{act}")
    assert (answer.status_code, answer.json()["state"], answer.json()["decided_by"]) == (200, state, "ada")
    again = api.post(f"{APPROVALS}{approval.pk}/reject")
    assert (again.status_code, code_of(again)) == (409, "conflict")


pytestmark = pytest.mark.django_db

ATTENTION = "/api/v1/sync/attention/"


def test_each_thing_is_listed_in_the_order_and_words_of_the_admin(api: APIClient, kinds: Kinds) -> None:
    answer = api.get(ATTENTION).json()
    assert answer["count"] == len(Kind)
    assert [row["key"] for row in answer["results"]] == [entry.key for entry in attention.entries()]
    assert {row["kind"]: (row["key"], row["name"]) for row in answer["results"]} == kinds
    for row, entry in zip(answer["results"], attention.entries(), strict=True):
        assert (row["title"], row["detail"]) == (entry.title, entry.detail)


def test_it_is_filtered_by_kind_record_item_cause_and_time(api: APIClient, kinds: Kinds) -> None:
    def keys(**query: object) -> list[str]:
        return [row["key"] for row in api.get(ATTENTION, query).json()["results"]]

    [conflict] = attention.entries(attention.waiting(kinds=[Kind.CONFLICT]))
    assert keys(kind=["conflict", "failed"]) == [kinds[Kind.FAILED][0], conflict.key]
    assert keys(entity_type="contact", entity_id=conflict.entity_id) == [conflict.key]
    assert keys(cause=conflict.cause) == [conflict.key]
    assert keys(monday_id="7001") == [kinds[Kind.UNMATCHED][0]]
    assert keys(since="2099-01-01T00:00:00Z") == []
    assert set(keys(ordering="-since")) == {key for key, _name in kinds.values()}
    assert api.get(ATTENTION, {"kind": "nonsense"}).status_code == 400


def test_a_user_is_given_what_they_may_view_and_nobody_else_anything(kinds: Kinds) -> None:
    assert APIClient().get(ATTENTION).status_code == 401
    client = with_token(staff_who_may("view_syncqueue"))
    [failed] = client.get(ATTENTION).json()["results"]
    assert (failed["kind"], failed["acts"]) == ("failed", [])
    may_retry = with_token(staff_who_may("view_syncqueue", "retry_syncqueue", name="rita"))
    [failed] = may_retry.get(ATTENTION).json()["results"]
    retry = ACTS["retry"]
    assert failed["acts"] == [{"code": "retry", "label": retry.label, "effect": retry.effect}]
