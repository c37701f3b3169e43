"""The history and the undo by API."""

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import Decision
from tests.support.people import api_of, staff_who_may
from tests.support.world import World
from tests.undo.test_undo import pulled


@pytest.fixture
def api(admin_user: User) -> APIClient:
    return api_of(admin_user)


def history(contact_id: Any) -> str:
    return f"/api/v1/contacts/{contact_id}/history/"


def test_the_history_pages_through_every_decision_with_its_cause(world: World, dora: User) -> None:
    contact = pulled(world)
    answer = api_of(dora).get(history(contact.pk), {"page_size": 1}).json()
    assert answer["count"] == Decision.objects.filter(entity_id=contact.pk).count() > 1
    (line,) = answer["results"]
    assert (line["kind"], line["field"], line["undoable"]) == ("pull", "role_title", True)
    assert (line["values"]["before"], line["values"]["after"]) == ("Boss", "Chair")
    assert [link["what"] for link in line["cause"]] == ["row", "call", "rule"]
    assert "raw_before" not in line["values"]


def test_the_history_of_a_deleted_record_is_still_told(pull: Decision, api: APIClient) -> None:
    Contact.objects.all().delete()
    assert api.get(history(pull.entity_id)).json()["count"] >= 1
    assert api.get(history(uuid.uuid4())).status_code == 404
    assert api.get(history("nonsense")).status_code == 404


def test_an_undo_by_api_says_what_it_put_back(pull: Decision, api: APIClient) -> None:
    url = f"/api/v1/sync/history/{pull.pk}/undo"
    shown = api.get(url).json()
    assert [(s["now"], s["back_to"], s["stale"]) for s in shown["done"]] == [("Chair", "Boss", "")]
    answer = api.post(url)
    assert answer.status_code == 200
    assert answer.json()["decisions"] == [Decision.objects.get(kind="undo").pk]
    assert Contact.objects.get().role_title == "Boss"


def test_a_stale_undo_is_409_with_the_values_of_now(pull: Decision, api: APIClient) -> None:
    Contact.objects.update(role_title="President")
    answer = api.post(f"/api/v1/sync/history/{pull.pk}/undo/")
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    body = answer.json()
    assert body["code"] == "stale"
    assert [(step["field"], step["now"]) for step in body["current"]] == [("role_title", "President")]


def test_what_is_not_kept_is_404(api: APIClient) -> None:
    assert api.post("/api/v1/sync/history/987654/undo").status_code == 404
    assert api.post(f"/api/v1/sync/batches/{uuid.uuid4()}/undo").status_code == 404


def test_history_needs_the_right_to_view(pull: Decision) -> None:
    assert api_of(staff_who_may("view_organization")).get(history(pull.entity_id)).status_code == 403
