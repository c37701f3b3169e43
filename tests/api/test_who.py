"""Who may use the API, by which token, and whom the history names."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.http import HttpResponse, JsonResponse
from django.test import Client, RequestFactory
from psycopg.errors import LockNotAvailable
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from config.middleware import GaveWayMiddleware
from npd.models import Contact
from sync.models import ApiToken, CacheEntry
from tests.api.conftest import by_text, url_of, user_who_may, with_session, with_token

CONTACTS = "/api/v1/contacts/"


def with_bearer(user: User) -> APIClient:
    return by_text(ApiToken.objects.create(user)[1])


def last_context(contact: Contact) -> Any:
    events = Contact.pgh_event_model.objects  # type: ignore[attr-defined]  # made by pghistory
    return events.filter(pgh_obj_id=contact.pk).order_by("-pgh_id").first().pgh_context


@pytest.mark.parametrize("path", [CONTACTS, "/api/v1/schema/"])
def test_who_brings_no_token_is_told_what_to_bring(db: None, path: str) -> None:
    answer = APIClient().get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_no_cache_keeps_what_the_api_tells_and_none_gives_it_to_another(api: APIClient) -> None:
    asked = (CONTACTS, "/api/v1/nothing/", "/api/v1/schema/")
    for answer in (APIClient().get(CONTACTS), *(api.get(address) for address in asked)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))


def test_every_answer_says_what_its_page_never_does(client: Client) -> None:
    assert "geolocation=()" in client.get("/healthz").headers["Permissions-Policy"]


@pytest.mark.parametrize("signed_in", [with_token, with_bearer, with_session])
def test_each_way_of_signing_in_writes_and_the_history_names_the_author(
    person: User, contact: Contact, signed_in: Any
) -> None:
    answer = signed_in(person).patch(url_of(contact), {"notes": "by API"})
    assert answer.status_code == 200
    metadata = last_context(contact).metadata
    assert (metadata["user"], metadata["cause"]) == (person.pk, "api")


def test_every_token_of_a_user_counts_together_and_so_does_every_process(
    person: User, api: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "2/min")
    assert with_token(person).get(CONTACTS).status_code == 200
    # A count is a row, so that it doesn't matter which process has written it.
    assert CacheEntry.objects.filter(cache_key__contains=f"throttle_user_{person.pk}").count() == 1
    assert [api.get(CONTACTS).status_code, with_session(person).get(CONTACTS).status_code] == [200, 429]
    assert with_token(user_who_may("view_contact")).get(CONTACTS).status_code == 200


@pytest.mark.parametrize("path", ["/cron/sync-queue", "/webhooks/monday/"])
def test_a_program_is_told_in_its_own_form_that_its_request_gave_way(path: str) -> None:
    waited = OperationalError()
    waited.__cause__ = LockNotAvailable()
    middleware = GaveWayMiddleware(lambda request: HttpResponse())
    answer = middleware.process_exception(RequestFactory().post(path), waited)
    assert isinstance(answer, JsonResponse)
    assert (answer.status_code, json.loads(answer.content)["errors"][0]["code"]) == (409, "conflict")
