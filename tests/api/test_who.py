"""Who may use the API, by which token, and whom the history names."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from knox.models import AuthToken
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from npd.models import Contact
from tests.api.conftest import url_of, user_who_may, with_token

CONTACTS = "/api/v1/contacts/"


def with_knox(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {AuthToken.objects.create(user=user)[1]}")
    return client


def with_session(user: User) -> APIClient:
    client = APIClient()
    client.force_login(user)
    return client


def last_context(contact: Contact) -> Any:
    events = Contact.pgh_event_model.objects  # type: ignore[attr-defined]  # made by pghistory
    return events.filter(pgh_obj_id=contact.pk).order_by("-pgh_id").first().pgh_context


@pytest.mark.parametrize("path", [CONTACTS, "/api/v1/sync/queue/", "/api/v1/sync/stats", "/api/v1/schema/"])
def test_without_a_token_nothing_is_told(db: None, path: str) -> None:
    answer = APIClient().get(path)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_no_cache_keeps_what_the_api_tells_and_none_gives_it_to_another(api: APIClient) -> None:
    asked = (CONTACTS, "/api/v1/nothing/", "/api/v1/schema/")
    for answer in (APIClient().get(CONTACTS), *(api.get(address) for address in asked)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))


def test_every_answer_says_what_its_page_never_does(client: Client) -> None:
    assert "geolocation=()" in client.get("/healthz").headers["Permissions-Policy"]


@pytest.mark.parametrize("header", ["Token wrong", "Bearer wrong", "Bearer"])
def test_a_wrong_token_is_refused(db: None, header: str) -> None:
    assert APIClient().get(CONTACTS, headers={"Authorization": header}).status_code == 401


@pytest.mark.parametrize("signed_in", [with_token, with_knox, with_session])
def test_each_way_of_signing_in_writes_and_the_history_names_the_author(
    person: User, contact: Contact, signed_in: Any
) -> None:
    answer = signed_in(person).patch(url_of(contact), {"notes": "by API"})
    assert answer.status_code == 200
    metadata = last_context(contact).metadata
    assert (metadata["user"], metadata["cause"]) == (person.pk, "api")


def test_a_session_needs_the_csrf_token(person: User, contact: Contact) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(person)
    answer = browser.patch(url_of(contact), {"notes": "x"}, content_type="application/json")
    assert answer.status_code == 403


def test_who_may_only_view_reads_and_cannot_write(contact: Contact) -> None:
    viewer = with_token(user_who_may("view_contact"))
    assert viewer.get(url_of(contact)).status_code == 200
    assert viewer.patch(url_of(contact), {"notes": "x"}).status_code == 403
    assert viewer.delete(url_of(contact)).status_code == 403
    assert viewer.post(CONTACTS, {"name": "x"}).status_code == 403
    assert viewer.post(url_of(contact, "sync-to-monday")).status_code == 403


def test_who_may_nothing_reads_nothing(contact: Contact) -> None:
    nobody = with_token(user_who_may())
    for path in (CONTACTS, url_of(contact), "/api/v1/sync/queue/", "/api/v1/sync/queue/stats", "/api/v1/sync/stats"):
        assert nobody.get(path).status_code == 403


def test_a_user_who_asks_too_often_is_told_when_to_ask_again(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "2/min")
    assert [api.get(CONTACTS).status_code for _ in range(3)] == [200, 200, 429]
    assert 0 < int(api.get(CONTACTS).headers["Retry-After"]) <= 60
