"""API tokens: which one opens what, how long, and what becomes of those of older installations."""

from __future__ import annotations

import hashlib
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from npd.models import Contact
from sync.choices import TokenScope
from sync.clock import sync_now
from sync.models import ApiToken
from sync.operations.retention import prune
from tests.api.conftest import by_text, code_of, row, url_of, user_who_may, with_session, with_token
from tests.support.waiting import beside, somebody_waits, wait_for

CONTACTS, TOKENS, ME = "/api/v1/contacts/", "/api/v1/tokens/", "/api/v1/me"
HOUR = timedelta(hours=1)


def asked(text: str, scheme: str = "Bearer", path: str = CONTACTS) -> Any:
    return APIClient().get(path, headers={"Authorization": f"{scheme} {text}"})


@pytest.mark.parametrize("scheme", ["Token", "Bearer", "bearer"])
def test_the_command_prints_a_token_that_opens_the_api_and_stores_no_text(person: User, scheme: str) -> None:
    out = io.StringIO()
    call_command("drf_create_token", "ada", stdout=out)
    found = re.fullmatch(r"Generated token (\S+) for user ada\n", out.getvalue())
    assert found
    assert asked(found[1], scheme).status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sync_api_tokens")
        assert found[1] not in str(cursor.fetchall())
    assert not Token.objects.exists()


def test_the_command_takes_scopes_and_an_end_and_replaces_its_own_tokens(person: User) -> None:
    call_command("drf_create_token", "ada", "--scopes", "read", "--days", "7", stdout=io.StringIO())
    token = ApiToken.objects.get()
    assert token.scopes == ["read"]
    assert token.expires_at
    assert token.expires_at - sync_now() > timedelta(days=6)
    call_command("drf_create_token", "ada", "--reset", stdout=io.StringIO())
    token.refresh_from_db()
    assert token.revoked_at
    assert ApiToken.objects.filter(revoked_at=None).count() == 1
    with pytest.raises(CommandError):
        call_command("drf_create_token", "nobody", stdout=io.StringIO())


def test_each_refusal_has_its_code(person: User) -> None:
    def issue() -> tuple[ApiToken, str]:
        return ApiToken.objects.issue(person, "tests")

    expired, revoked, of_inactive = issue(), issue(), issue()
    ApiToken.objects.filter(pk=expired[0].pk).update(expires_at=sync_now())
    revoked[0].revoke()
    assert [code_of(asked(text)) for text in ("wrong", "\xe9", "\x00")] == ["invalid_token"] * 3
    assert code_of(asked(expired[1])) == "expired_token"
    assert code_of(asked(revoked[1])) == "revoked_token"
    User.objects.update(is_active=False)
    answer = asked(of_inactive[1])
    assert (answer.status_code, code_of(answer)) == (401, "inactive_user")


def test_when_a_token_was_last_used_is_written_once_a_minute(person: User) -> None:
    token, text = ApiToken.objects.issue(person, "tests")
    asked(text)
    token.refresh_from_db()
    first = token.last_used_at
    assert first
    asked(text)
    token.refresh_from_db()
    assert token.last_used_at == first
    ApiToken.objects.update(last_used_at=first - HOUR)
    asked(text)
    token.refresh_from_db()
    assert token.last_used_at
    assert token.last_used_at >= first


# Those of DRF.


def test_a_token_made_with_drfs_own_model_works_and_is_hashed_by_its_first_use(person: User) -> None:
    key = Token.objects.create(user=person).key
    assert [asked(key, scheme).status_code for scheme in ("Token", "Bearer")] == [200, 200]
    assert not Token.objects.exists()
    assert ApiToken.objects.get().digest == hashlib.sha512(key.encode()).hexdigest()


# Scopes.


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("get", CONTACTS, "read"),
        ("get", "/api/v1/sync/queue/stats", "read"),
        ("post", CONTACTS, "write"),
        ("patch", "contact", "write"),
        ("post", "/api/v1/sync/queue/1/retry", "operate"),
        ("post", "/api/v1/sync/conflicts/11111111-1111-1111-1111-111111111111/resolve", "resolve"),
    ],
)
def test_a_token_without_the_scope_is_refused_and_told_which(
    person: User, contact: Contact, method: str, path: str, scope: str
) -> None:
    path = url_of(contact) if path == "contact" else path
    others = [one for one in TokenScope.values if one != scope]
    answer = getattr(with_token(person, *others), method)(path)
    assert (answer.status_code, code_of(answer)) == (403, "insufficient_scope")
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    with_it = getattr(with_token(person, scope), method)(path)
    assert with_it.status_code != 403


def test_a_token_that_may_only_write_is_answered_with_its_record_and_reads_nothing_else(
    person: User, contact: Contact
) -> None:
    client = with_token(person, "write")
    answer = client.patch(url_of(contact), {})
    assert (answer.status_code, answer.json()["name"]) == (200, contact.name)
    assert {client.get(one).status_code for one in (url_of(contact), CONTACTS)} == {403}


def test_who_signed_in_on_a_page_needs_no_scope(person: User) -> None:
    client = with_session(person)
    job = row(status="failed")
    assert client.post(f"/api/v1/sync/queue/{job.pk}/retry").status_code == 200


# One's own tokens, by API.


def test_me_says_who_asks_with_what(person: User) -> None:
    answer = with_token(person, "read").get(ME).json()
    assert (answer["username"], answer["scopes"], answer["token"]["name"]) == ("ada", ["read"], "tests")
    client = with_session(person)
    assert (client.get(ME).json()["token"], len(client.get(ME).json()["scopes"])) == (None, 4)


def test_a_token_is_made_by_api_shown_once_and_listed_without_its_text(person: User, api: APIClient) -> None:
    made = api.post(TOKENS, {"name": "newsletter", "scopes": ["read"], "expires_at": "2999-01-31T00:00:00Z"})
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    text = made.json()["token"]
    assert asked(text).status_code == 200
    listed = api.get(TOKENS)
    assert [one["name"] for one in listed.json()["results"]] == ["newsletter", "tests"]
    assert text not in listed.content.decode()
    other = with_token(user_who_may("view_contact"))
    assert other.get(f"{TOKENS}{made.json()['id']}/").status_code == 404
    assert api.post(TOKENS, {"name": "x", "scopes": ["everything"]}).status_code == 400
    assert api.post(TOKENS, {"name": "x", "scopes": ["read"], "expires_at": "2000-01-31T00:00:00Z"}).status_code == 400


@pytest.mark.parametrize("name", ["a\x1b[31mred", "a\u202eb", "a\x9bb", "\u2066"])
def test_a_tokens_name_holds_nothing_that_controls_how_it_is_read(person: User, api: APIClient, name: str) -> None:
    asked = {"name": name, "scopes": ["read"]}
    assert code_of(api.post(TOKENS, asked)) == "invalid"
    page = Client()
    page.force_login(person)
    assert page.post("/admin/sync/apitoken/add/", asked | {"days": "30", "user": person.pk}).status_code == 400
    assert ApiToken.objects.count() == 1


@pytest.mark.parametrize("act", ["create", "rotate", "revoke"])
def test_a_token_manages_none_that_may_more_or_lasts_longer(person: User, act: str) -> None:
    end = sync_now() + HOUR
    _own, text = ApiToken.objects.issue(person, "own", scopes=["write", "read"], expires_at=end)
    client = by_text(text)

    def done(scopes: list[str], expires_at: Any) -> Any:
        if act == "create":
            return client.post(TOKENS, {"name": "n", "scopes": scopes, "expires_at": expires_at})
        other, _text = ApiToken.objects.issue(person, "other", scopes=scopes, expires_at=expires_at)
        return client.post(f"{TOKENS}{other.pk}/{act}")

    assert code_of(done(["read", "operate"], end)) == "beyond_own_scopes"
    assert code_of(done(["read"], None)) == "beyond_own_expiry"
    # Nor does one get another's text.
    assert done(["read"], end).status_code == {"create": 201, "rotate": 403, "revoke": 200}[act]


def test_what_a_token_made_is_its_own_and_ends_with_it(person: User, api: APIClient) -> None:
    first = api.post(TOKENS, {"name": "first", "scopes": ["read", "write"]}).json()
    text = api.post(f"{TOKENS}{first['id']}/rotate").json()["token"]
    client = by_text(text)
    second = client.post(TOKENS, {"name": "second", "scopes": ["read"]}).json()
    assert asked(second["token"]).status_code == 200
    ApiToken.objects.get(name="tests").revoke()
    assert [code_of(asked(one)) for one in (text, second["token"])] == ["revoked_token", "revoked_token"]


def test_a_text_in_its_grace_leaves_nothing_that_outlasts_the_grace(person: User) -> None:
    token, old = ApiToken.objects.issue(person, "tests")
    new = token.rotate(HOUR)
    client = by_text(old)
    # Rotated because it leaked: who has the old text gets none that stays, and takes the owner's from nobody.
    tries = [
        client.post(f"{TOKENS}{token.pk}/rotate", {"grace_seconds": 0}),
        client.post(f"{TOKENS}{token.pk}/revoke"),
        client.post(TOKENS, {"name": "stays", "scopes": ["read"]}),
        client.post(TOKENS, {"name": "stays", "scopes": ["read"], "expires_at": sync_now() + 2 * HOUR}),
    ]
    assert [(one.status_code, code_of(one)) for one in tries] == [(403, "beyond_own_expiry")] * 4
    brief = {"name": "brief", "scopes": ["read"], "expires_at": sync_now() + HOUR / 2}
    assert client.post(TOKENS, brief).status_code == 201
    assert (asked(old).status_code, asked(new).status_code) == (200, 200)


@pytest.mark.django_db(transaction=True)
def test_a_token_that_is_revoked_while_it_makes_another_makes_none(api: APIClient) -> None:
    parent = ApiToken.objects.get(name="tests")
    api.get(ME)  # so that its use is written before, and not under the lock
    with transaction.atomic():
        ApiToken.objects.select_for_update().get(pk=parent.pk)
        maker = beside(lambda: api.post(TOKENS, {"name": "outlives it", "scopes": ["read"]}))
        wait_for("the request waits for the token", somebody_waits)
        parent.revoke()
    answer = maker.result(60)
    assert (answer.status_code, code_of(answer)) == (401, "revoked_token")
    assert not ApiToken.objects.filter(revoked_at=None).exists()


def test_a_rotated_token_opens_by_both_texts_for_the_grace_only(person: User) -> None:
    token, old = ApiToken.objects.issue(person, "tests")
    client = by_text(old)
    new = client.post(f"{TOKENS}{token.pk}/rotate", {"grace_seconds": 3600}).json()["token"]
    assert (asked(old).status_code, asked(new).status_code) == (200, 200)
    ApiToken.objects.update(previous_until=sync_now())
    assert (code_of(asked(old)), asked(new).status_code) == ("revoked_token", 200)
    at_once = ApiToken.objects.get().rotate()
    assert (code_of(asked(new)), asked(at_once).status_code) == ("invalid_token", 200)
    assert client.post(f"{TOKENS}{token.pk}/rotate", {"grace_seconds": 90_000}).status_code == 401


def test_a_revoked_token_is_listed_for_ninety_days(person: User, api: APIClient) -> None:
    token, text = ApiToken.objects.issue(person, "tests", made_with=ApiToken.objects.get(user=person))
    assert api.post(f"{TOKENS}{token.pk}/revoke").json()["state"] == "revoked_token"
    assert code_of(asked(text)) == "revoked_token"
    again = api.post(f"{TOKENS}{token.pk}/rotate")
    assert (again.status_code, code_of(again)) == (409, "revoked_token")
    prune()
    assert ApiToken.objects.filter(pk=token.pk).exists()
    ApiToken.objects.filter(pk=token.pk).update(revoked_at=sync_now() - timedelta(days=91))
    prune()
    assert not ApiToken.objects.filter(pk=token.pk).exists()
