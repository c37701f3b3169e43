"""The history and the undo by API."""

import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission, User
from rest_framework.test import APIClient

from npd.models import Contact
from sync.models import Decision
from tests.support.people import api_of
from tests.support.world import World
from tests.undo.test_undo import pulled

Line = Callable[..., Decision]


@pytest.fixture
def api(dora: User) -> APIClient:
    return api_of(dora)


def may(*codenames: str) -> APIClient:
    user = User.objects.create_user("clerk", "clerk@example.com", "x")
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return api_of(user)


def test_the_history_pages_through_every_decision_with_its_cause(world: World, api: APIClient) -> None:
    contact = pulled(world)
    url = f"/api/v1/contacts/{contact.pk}/history/"
    answer = api.get(url, {"page_size": 1}).json()
    assert answer["count"] == Decision.objects.filter(entity_id=contact.pk).count() > 1
    (line,) = answer["results"]
    assert (line["kind"], line["field"], line["undoable"]) == ("pull", "role_title", True)
    assert (line["values"]["before"], line["values"]["after"]) == ("Boss", "Chair")
    assert [link["what"] for link in line["cause"]] == ["row", "call", "rule"]
    assert "raw_before" not in line["values"]


def test_the_history_of_a_deleted_record_is_still_told(told: Contact, api: APIClient) -> None:
    url = f"/api/v1/contacts/{told.pk}/history/"
    told.delete()
    assert api.get(url).json()["count"] == 1
    assert api.get(f"/api/v1/contacts/{uuid.uuid4()}/history/").status_code == 404
    assert api.get("/api/v1/contacts/nonsense/history/").status_code == 404


def test_an_undo_by_api_says_what_it_put_back(told: Contact, api: APIClient, line: Line) -> None:
    url = f"/api/v1/sync/history/{line(told, 'pull').pk}/undo"
    shown = api.get(url).json()
    assert [(s["now"], s["back_to"], s["stale"]) for s in shown["done"]] == [("Chair", "Boss", "")]
    answer = api.post(url)
    assert answer.status_code == 200
    assert answer.json()["decisions"] == [line(told, "undo").pk]
    told.refresh_from_db()
    assert told.role_title == "Boss"


def test_a_stale_undo_is_409_with_the_values_of_now(told: Contact, api: APIClient, line: Line) -> None:
    Contact.objects.filter(pk=told.pk).update(role_title="President")
    answer = api.post(f"/api/v1/sync/history/{line(told, 'pull').pk}/undo/")
    assert (answer.status_code, answer["Content-Type"]) == (409, "application/problem+json")
    body = answer.json()
    assert body["code"] == "stale"
    assert [(step["field"], step["now"]) for step in body["current"]] == [("role_title", "President")]


def test_what_is_not_kept_is_404(api: APIClient) -> None:
    assert api.post("/api/v1/sync/history/987654/undo").status_code == 404
    assert api.post(f"/api/v1/sync/batches/{uuid.uuid4()}/undo").status_code == 404


def test_history_needs_the_right_to_view(told: Contact) -> None:
    assert may("view_organization").get(f"/api/v1/contacts/{told.pk}/history/").status_code == 403
