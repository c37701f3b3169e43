"""API tokens: what is stored, what they open and until when, and who makes and deletes whose."""

import io
import json
import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.http import HttpResponse, JsonResponse
from django.test import Client, RequestFactory
from django.urls import get_resolver
from psycopg.errors import LockNotAvailable
from rest_framework.test import APIClient
from rest_framework.throttling import SimpleRateThrottle

from config.middleware import LockTimeoutMiddleware
from npd.models import Contact
from sync.clock import sync_now
from sync.models import ApiToken, CacheEntry
from sync.operations.retention import prune
from tests.api.conftest import url_of, with_session, with_token
from tests.support.people import signed_in, staff_who_may

CONTACTS = "/api/v1/contacts/"
TOKENS = "/admin/sync/apitoken/"


def response_to(text: str, scheme: str = "Bearer") -> Any:
    return APIClient().get(CONTACTS, headers={"Authorization": f"{scheme} {text}"})


@pytest.fixture
def clerk(db: None) -> User:
    return staff_who_may("view_contact")


@pytest.fixture
def of_clerk(clerk: User) -> Client:
    return signed_in(clerk)


@pytest.fixture
def of_ada(person: User) -> Client:
    return signed_in(person)


# What opens.


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "bearer"])
def test_the_command_prints_a_token_that_opens_the_api_and_stores_no_text(person: User, scheme: str) -> None:
    out = io.StringIO()
    call_command("drf_create_token", "ada", stdout=out)
    printed = re.fullmatch(r"Generated token (npd_\S+) for user ada\n", out.getvalue())
    assert printed
    assert response_to(printed[1], scheme).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM knox_authtoken")
        assert printed[1] not in str(cursor.fetchall())


def test_the_commands_token_ends(person: User) -> None:
    call_command("drf_create_token", "ada", "--days", "7", stdout=io.StringIO())
    call_command("drf_create_token", "ada", "--name", "Newsletter", stdout=io.StringIO())
    week, year = ApiToken.objects.order_by("expiry")
    assert [(token.expiry - sync_now()).days + 1 for token in (week, year)] == [7, 365]
    assert (week.name, year.name) == ("", "Newsletter")
    for wrong in (["nobody"], ["ada", "--days", "0"]):
        with pytest.raises(CommandError):
            call_command("drf_create_token", *wrong, stdout=io.StringIO())


def test_what_is_no_token_has_ended_or_is_of_an_inactive_user_opens_nothing(person: User) -> None:
    token, text = ApiToken.objects.create(person)
    tried = ("", "wrong", f"{text[:15]}wrong", f"{text} {text}", "\xe9", "npd_\x00", f"{text}'--")
    assert [response_to(wrong).status_code for wrong in tried] == [401] * len(tried)
    assert response_to(text).status_code == 200
    ApiToken.objects.filter(pk=token.pk).update(expiry=sync_now())
    assert response_to(text).status_code == 401
    _token, text = ApiToken.objects.create(person)
    User.objects.update(is_active=False)
    assert response_to(text).status_code == 401


def test_no_address_makes_a_token_for_a_password(client: Client, person: User) -> None:
    names = {str(name) for name in get_resolver().reverse_dict if isinstance(name, str)}
    assert not {name for name in names if "knox" in name}
    headers = {"Authorization": "Basic YWRhOmxvbmctZW5vdWdoLTE="}  # ada, with her password
    assert client.get(CONTACTS, headers=headers).status_code == 401


def test_an_ended_token_is_kept_for_ninety_days(person: User) -> None:
    token, _text = ApiToken.objects.create(person)
    for days, is_kept in ((89, True), (91, False)):
        ApiToken.objects.filter(pk=token.pk).update(expiry=sync_now() - timedelta(days=days))
        prune()
        assert ApiToken.objects.filter(pk=token.pk).exists() is is_kept


# The page.


def test_a_new_token_is_shown_once_and_lasts_a_year_unless_chosen_otherwise(of_clerk: Client, clerk: User) -> None:
    answer = of_clerk.post(f"{TOKENS}add/", {"days": "365", "name": "Newsletter"})
    text = str(answer.context["text"])
    [(header, url)] = re.findall(r'curl -H "Authorization: ([^"]+)" ([^\s<]+)', unescape(answer.content.decode()))
    assert Client().get(url, headers={"Authorization": header}).status_code == 200
    assert of_clerk.get(answer.context["further"]).status_code == 200
    assert text in unescape(answer.content.decode())
    assert "no-store" in answer.headers["Cache-Control"]
    assert not any(text in str(stored) for stored in [*of_clerk.cookies.values(), *of_clerk.session.values()])
    assert response_to(text).status_code == 200
    token = ApiToken.objects.get()
    assert token.user == clerk
    assert (token.expiry - sync_now()).days in (364, 365)
    assert of_clerk.get(f"{TOKENS}add/").context["adminform"].form["days"].value() == 365
    for page in (of_clerk.get(TOKENS), of_clerk.get(f"{TOKENS}{token.pk}/change/")):
        assert text[:15] in page.content.decode()
        assert "Newsletter" in page.content.decode()
        assert text not in page.content.decode()


@pytest.mark.parametrize("days", ["", "0", "36500"])
def test_a_token_without_an_end_is_not_made(of_clerk: Client, days: str) -> None:
    assert of_clerk.post(f"{TOKENS}add/", {"days": days}).context["adminform"].form.has_error("days")
    assert not ApiToken.objects.exists()


def test_an_administrator_sees_all_tokens(of_clerk: Client, of_ada: Client, clerk: User, person: User) -> None:
    mine, _text = ApiToken.objects.create(clerk)
    other_token, text = ApiToken.objects.create(person)
    assert str(other_token) not in of_clerk.get(TOKENS).content.decode()
    for act in ("change", "delete"):
        assert of_clerk.get(f"{TOKENS}{other_token.pk}/{act}/").status_code == 302
    of_clerk.post(f"{TOKENS}{other_token.pk}/delete/", {"post": "yes"})
    of_clerk.post(TOKENS, {"action": "delete_selected", "_selected_action": [other_token.pk], "post": "yes"})
    assert response_to(text).status_code == 200
    assert str(mine) in of_ada.get(TOKENS).content.decode()
    of_ada.post(f"{TOKENS}{mine.pk}/delete/", {"post": "yes"})
    assert list(ApiToken.objects.all()) == [other_token]


def test_only_administrators_make_others_tokens(of_clerk: Client, of_ada: Client, clerk: User, person: User) -> None:
    of_clerk.post(f"{TOKENS}add/", {"days": "30", "user": person.pk})
    of_ada.post(f"{TOKENS}add/", {"days": "30", "user": clerk.pk})
    assert [token.user for token in ApiToken.objects.all()] == [clerk, clerk]


def test_no_cache_keeps_what_the_api_tells_and_none_gives_it_to_another(api: APIClient) -> None:
    addresses = (CONTACTS, "/api/v1/nothing/", "/api/v1/schema/")
    stranger = APIClient().get(CONTACTS)
    assert stranger.headers["WWW-Authenticate"] == "Bearer"
    for answer in (stranger, *(api.get(address) for address in addresses)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert {"Authorization", "Cookie"} <= set(answer.headers["Vary"].split(", "))


@pytest.mark.parametrize("signed_in", [with_token, with_session])
def test_each_way_to_sign_in_writes_and_names_the_author(person: User, contact: Contact, signed_in: Any) -> None:
    answer = signed_in(person).patch(url_of(contact), {"notes": "by API"})
    assert answer.status_code == 200
    events = Contact.pgh_event_model.objects  # type: ignore[attr-defined]  # made by pghistory
    metadata = events.filter(pgh_obj_id=contact.pk).latest("pgh_id").pgh_context.metadata
    assert (metadata["user"], metadata["cause"]) == (person.pk, "api")


def test_tokens_and_processes_of_a_user_count(person: User, api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SimpleRateThrottle.THROTTLE_RATES, "user", "2/min")
    assert with_token(person).get(CONTACTS).status_code == 200
    # Counts are rows, so all processes share them.
    assert CacheEntry.objects.filter(cache_key__contains=f"throttle_user_{person.pk}").count() == 1
    assert [api.get(CONTACTS).status_code, with_session(person).get(CONTACTS).status_code] == [200, 429]
    assert with_token(staff_who_may("view_contact")).get(CONTACTS).status_code == 200


@pytest.mark.parametrize("path", ["/cron/sync-queue", "/webhooks/monday/"])
def test_a_program_is_told_in_its_own_form_that_its_request_gave_way(path: str) -> None:
    waited = OperationalError()
    waited.__cause__ = LockNotAvailable()
    middleware = LockTimeoutMiddleware(lambda request: HttpResponse())
    answer = middleware.process_exception(RequestFactory().post(path), waited)
    assert isinstance(answer, JsonResponse)
    assert (answer.status_code, json.loads(answer.content)["errors"][0]["code"]) == (409, "conflict")
