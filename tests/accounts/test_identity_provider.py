"""Sign-in through the company's identity provider, played by a local server."""

import hashlib
import json
import tracemalloc
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from threading import Event
from time import monotonic, time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client

from npd.sign_in import PROVIDER_IS_SILENT
from sync.models import ApiToken
from tests.accounts.signing_in import APP, CODE, LOGIN, code_of, enrolled, grow_old, is_in
from tests.accounts.signing_in import sign_in as sign_in_by_password
from tests.support.cases import each_once
from tests.support.people import signed_in
from tests.support.serving import Quiet, local, serving

MISSING = "missing"
BEGIN, ANSWER = "/accounts/oidc/company/login/", "/accounts/oidc/company/login/callback/"


class Provider(Quiet):
    """Returns the test's claims; a code is only redeemed with its verifier."""

    claims: dict[str, Any] = {}
    userinfo_claims: dict[str, Any] = {}
    token_answer: dict[str, Any] = {}  # in place of the usual values
    challenge = ""
    calls: list[str] = []
    drips: Event | None = None  # until it is set, an answer comes byte by byte

    def reply(self) -> None:
        self.calls.append(self.path)
        if self.drips and not self.drips.is_set():
            self.drip(self.drips)
            return
        (self.token if self.command == "POST" else self.page)()

    def drip(self, end: Event) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        with suppress(OSError):
            while not end.wait(0.05):
                self.wfile.write(b" ")

    def page(self) -> None:
        at = f"http://{self.headers['Host']}"
        pages: dict[str, Any] = {
            "/.well-known/openid-configuration": {
                "issuer": at,
                "authorization_endpoint": f"{at}/authorize",
                "token_endpoint": f"{at}/token",
                "userinfo_endpoint": f"{at}/userinfo",
                "jwks_uri": f"{at}/keys",
            },
            "/userinfo": self.userinfo_claims or self.claims,
        }
        self.say(pages.get(self.path, "Who are you?"))

    def token(self) -> None:
        sent = parse_qs(self.body().decode())
        hashed = hashlib.sha256(sent["code_verifier"][0].encode()).digest()
        if urlsafe_b64encode(hashed).decode().rstrip("=") != self.challenge or sent["code"] != ["good"]:
            self.say({"error": "invalid_grant"}, 400)
            return
        token = {"iss": f"http://{self.headers['Host']}", "aud": "npd", "exp": time() + 60, **self.claims}
        token = {name: value for name, value in token.items() if value != MISSING}
        signed = jwt.encode(token, "k" * 32, algorithm="HS256")
        answer = {"access_token": "an-access-token", "token_type": "Bearer", "id_token": signed, **self.token_answer}
        self.say({name: value for name, value in answer.items() if value != MISSING})

    def say(self, data: Any, status: int = 200) -> None:
        self.answer(json.dumps(data).encode() if not isinstance(data, bytes) else data, status)


@pytest.fixture
def provider(settings: Any) -> Iterator[type[Provider]]:
    handler = type("OfThisTest", (Provider,), {"calls": []})
    app: dict[str, Any] = {"provider_id": "company", "name": "Acme", "client_id": "npd", "secret": "s3cret"}
    with serving(local(handler)) as server:
        app["settings"] = {"server_url": f"http://127.0.0.1:{server.server_address[1]}"}
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield handler


def sent_to(client: Client, **sent: str) -> dict[str, list[str]]:
    """Follow the sign-in page's link; return what the provider is sent."""
    return parse_qs(urlsplit(client.get(BEGIN, sent).headers["Location"]).query)


def sign_in(provider: type[Provider], client: Client | None = None, **claims: Any) -> tuple[Client, Any]:
    client = client or Client()
    provider.claims = {"sub": "42", "email": "Ada@example.test", "email_verified": True, **claims}
    question = sent_to(client, process="login", next="/admin/npd/contact/")
    assert question["code_challenge_method"] == ["S256"]
    provider.challenge = question["code_challenge"][0]
    return client, client.get(ANSWER, {"code": "good", "state": question["state"][0]})


def test_a_user_signs_in_by_a_verified_address_and_the_password_stays(ada: User, provider: type[Provider]) -> None:
    assert "Sign in with Acme" in Client().get(LOGIN).content.decode()
    before, _answer = sign_in_by_password()
    client, answer = sign_in(provider)
    assert answer.headers["Location"] == "/admin/npd/contact/"
    assert is_in(client)
    assert is_in(before)
    assert is_in(sign_in_by_password()[0])
    assert not SocialToken.objects.exists()
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False}, {"email_verified": "false"}, {"email_verified": "true"}, {"email_verified": 1},
        {"email_verified": None}, {"email": None}, {"email": "nobody@example.test"}, {"email": "ada@example.te\u017ft"},
        {"aud": "another"}, {"exp": 1}, {"iss": "https://evil.example"}, {"exp": MISSING}, {"nbf": 2e9 * 2},
        {"azp": "another"}, {"sub": ""}, {"sub": MISSING},
        {"email": "ad\u0101@example.test"}, {"email": "\u212aim@example.test"},
    ],
)  # fmt: skip
def test_nobody_else_gets_in_nor_gets_an_account(ada: User, provider: type[Provider], claims: dict[str, Any]) -> None:
    User.objects.create_superuser("kim", "kim@example.test")
    client, answer = sign_in(provider, **claims)
    assert answer.status_code < 500
    assert not is_in(client)
    assert (User.objects.count(), SocialAccount.objects.count()) == (2, 0)


def test_the_person_of_userinfo_is_the_person_of_the_token(ada: User, provider: type[Provider]) -> None:
    claims = {"email": "ada@example.test", "email_verified": True}
    for other in ({"sub": "43", **claims}, {"sub": MISSING, **claims}, {"sub": ["42"], **claims}):
        provider.userinfo_claims = other
        assert not is_in(sign_in(provider, email="bob@example.test")[0])
    provider.userinfo_claims = {"sub": "42", **claims}
    provider.token_answer = {"id_token": MISSING}
    assert not is_in(sign_in(provider)[0])
    provider.token_answer = {}
    assert is_in(sign_in(provider)[0])


@pytest.mark.parametrize(
    ("claims", "token_answer"),
    [
        ({"sub": "s" * 192}, {}), ({"sub": "s\0"}, {}), ({"sub": 5}, {}), ({"email": "\0@x.test"}, {}),
        ({"email": ["ada@example.test"]}, {}), ({"name": "A\0da"}, {}), ({"given_name": "\ud800"}, {}),
        ({"exp": 1e300, "jti": "x"}, {}), ({}, {"expires_in": 1e20}), ({}, {"expires_in": "soon"}),
        ({}, {"id_token": 5}), ({}, {"access_token": ["x"]}), ({"email_verified": {}}, {}),
        ({"given_name": "n" * 999}, {}),
    ],
)  # fmt: skip
@pytest.mark.django_db(transaction=True)
def test_an_odd_answer_is_a_sentence(
    ada: User, provider: type[Provider], claims: dict[str, Any], token_answer: dict[str, Any]
) -> None:
    provider.token_answer = token_answer
    _client, answer = sign_in(provider, **claims)
    assert answer.status_code < 500


NONSENSE = [
    b"[" * 100_000, b"{", b"[]", b"null", b"<html>", b'{"token_endpoint": 5}', b"<p>token_endpoint", b"\xff\xfe",
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "text"), each_once(["/.well-known/openid-configuration", "/token", "/userinfo"], NONSENSE)
)
def test_nonsense_in_place_of_an_answer_is_a_sentence(
    ada: User, provider: type[Provider], path: str, text: bytes
) -> None:
    usual = provider.reply
    provider.reply = lambda self: self.say(text) if self.path == path else usual(self)  # type: ignore[method-assign]
    try:
        client, answer = sign_in(provider)
    except KeyError:  # there was no redirect
        client = Client()
        answer = client.get(BEGIN)
    assert answer.status_code < 500
    assert not is_in(client) or path == "/userinfo"  # the id_token alone may be enough
    provider.reply = usual  # type: ignore[method-assign]
    assert is_in(sign_in(provider)[0]), "nonsense isn't kept"


@pytest.mark.parametrize("status", [200, 302, 500])
def test_of_an_answer_without_end_no_more_than_a_megabyte_is_read(
    ada: User, provider: type[Provider], status: int
) -> None:
    text = bytes(60_000_000)
    provider.reply = lambda self: self.answer(text, status)  # type: ignore[method-assign]
    tracemalloc.start()
    assert "login failure" in Client().get(BEGIN).content.decode().lower()
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_visitor_chooses_nothing_of_what_the_provider_is_asked(ada: User, provider: type[Provider]) -> None:
    evil = {"auth_params": "client_id=x&redirect_uri=https://evil.example/&response_type=token", "scope": "offline"}
    question = sent_to(Client(), **evil)
    assert (question["client_id"], question["response_type"]) == (["npd"], ["code"])
    assert "evil" not in question["redirect_uri"][0]
    assert set(question["scope"][0].split()) == {"openid", "profile", "email"}


def test_what_the_provider_says_of_itself_is_asked_once(ada: User, provider: type[Provider]) -> None:
    for _number in range(3):
        sign_in(provider)
    assert provider.calls.count("/.well-known/openid-configuration") == 1


def test_a_provider_that_hangs_is_given_up_and_not_asked_again_for_half_a_minute(
    ada: User, provider: type[Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("npd.sign_in.PROVIDER_SECONDS", 0.3)
    provider.drips = Event()
    assert "login failure" in Client().get(BEGIN).content.decode().lower()
    begun = monotonic()
    for _number in range(5):
        Client().get(BEGIN)
    assert monotonic() - begun < 0.3 * 5
    assert len(provider.calls) == 1
    provider.drips.set()
    cache.delete(PROVIDER_IS_SILENT)
    assert is_in(sign_in(provider)[0])


def test_entra_says_verified_in_its_own_way_of_the_same_address(ada: User, provider: type[Provider]) -> None:
    provider.userinfo_claims = {"sub": "42", "email": "ada@example.test"}
    assert not is_in(sign_in(provider, email="mallory@example.test", email_verified=None, xms_edov="1")[0])
    assert is_in(sign_in(provider, email="ada@example.test", email_verified=None, xms_edov="1")[0])


def test_an_account_is_never_connected_from_within(ada: User, provider: type[Provider]) -> None:
    client = signed_in(ada)
    provider.claims = {"sub": "42", "email": "mallory@example.test", "email_verified": True}
    for process in ("connect", "redirect"):
        question = sent_to(client, process=process, next="/admin/")
        provider.challenge = question["code_challenge"][0]
        client.get(ANSWER, {"code": "good", "state": question["state"][0]})
    assert not SocialAccount.objects.exists()


def test_a_second_factor_is_asked_for_and_nothing_of_the_providers_is_kept(ada: User, provider: type[Provider]) -> None:
    enrolled(ada)
    client, answer = sign_in(provider)
    assert answer.headers["Location"] == CODE
    assert not is_in(client)
    assert "an-access-token" not in json.dumps([session.get_decoded() for session in Session.objects.all()])
    client.post(CODE, {"code": code_of(ada)})
    assert is_in(client)


def test_one_without_password_or_second_factor_changes_it_after_a_sign_in(ada: User, provider: type[Provider]) -> None:
    ada.set_unusable_password()
    ada.save()
    for address in (APP, "/accounts/password/set/"):
        client, _answer = sign_in(provider)
        assert client.get(address).status_code == 200
        grow_old(client)
        assert client.get(address).headers["Location"].startswith(LOGIN)
        assert not is_in(client)


@pytest.mark.parametrize(
    "change", [{"email": "bob@example.test"}, {"email": ""}, {"is_active": False}, {"password": "!another"}]
)
def test_another_address_or_password_or_no_account_ends_sessions_half_a_sign_in_and_the_link(
    ada: User, provider: type[Provider], change: dict[str, Any]
) -> None:
    linked, _answer = sign_in(provider)
    enrolled(ada)
    half, _answer = sign_in_by_password()
    others = signed_in(User.objects.create_superuser("eve"))
    for name, value in change.items():
        setattr(ada, name, value)
    ada.save(update_fields=["last_login"])
    assert is_in(linked)
    ada.save()
    User.objects.filter(pk=ada.pk).update(is_active=True)
    half.post(CODE, {"code": code_of(ada)})
    assert [is_in(client) for client in (linked, half, others)] == [False, False, True]
    assert SocialAccount.objects.exists() is ("email" not in change)
    assert is_in(sign_in(provider)[0]) is False  # another address, or the second factor


def test_an_address_in_other_letters_is_the_same(ada: User, provider: type[Provider]) -> None:
    client, _answer = sign_in(provider)
    ada.email = "ADA@example.test"
    ada.save()
    assert is_in(client)
    assert SocialAccount.objects.exists()


def test_the_users_page_shows_and_removes_the_link(ada: User, provider: type[Provider]) -> None:
    client, _answer = sign_in(provider, email="ADA@example.test")
    administrator = signed_in(User.objects.create_superuser("eve"))
    page, remove = f"/admin/auth/user/{ada.pk}/change/", f"/admin/auth/user/{ada.pk}/remove-provider-link/"
    shown = administrator.get(page).content.decode()
    assert "by the identity provider as ADA@example.test" in shown
    assert remove in shown
    administrator.post(remove)
    assert is_in(client)
    administrator.post(remove, {"confirmed": "yes"})
    assert not is_in(client)
    assert remove not in administrator.get(page).content.decode()
    assert administrator.post(remove, {"confirmed": "yes"}).status_code == 403
    assert is_in(sign_in(provider)[0])


def test_who_corrects_an_address_reads_which_tokens_still_work(ada: User) -> None:
    ApiToken.objects.create(user=ada)
    client = signed_in(ada)
    form = {"username": "ada", "email": "b@example.test", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
    saved = client.post(f"/admin/auth/user/{ada.pk}/change/", form, follow=True)  # one's own session goes on
    assert "1 API token still works" in saved.content.decode()


def test_without_a_provider_there_is_no_such_way(ada: User) -> None:
    assert BEGIN not in Client().get(LOGIN).content.decode()
    assert Client().get(BEGIN).status_code == 404
