"""Sign-in through the company's identity provider, played by a local server."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client

from sync.models import ApiToken
from tests.accounts.signing_in import APP, CODE, LOGIN, code_of, enrolled, grow_old, is_in
from tests.accounts.signing_in import sign_in as sign_in_by_password
from tests.support.people import signed_in
from tests.support.serving import Quiet, local, serving

BEGIN, ANSWER = "/accounts/oidc/company/login/", "/accounts/oidc/company/login/callback/"


class Provider(Quiet):
    """Returns the test's claims; a code is only redeemed with its verifier."""

    claims: dict[str, Any] = {}
    userinfo_claims: dict[str, Any] = {}
    challenge = ""

    def reply(self) -> None:
        (self.token if self.command == "POST" else self.page)()

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
        signed = jwt.encode(token, "k" * 32, algorithm="HS256")
        self.say({"access_token": "an-access-token", "token_type": "Bearer", "id_token": signed})

    def say(self, data: Any, status: int = 200) -> None:
        self.answer(json.dumps(data).encode(), status)


@pytest.fixture
def provider(settings: Any) -> Iterator[type[Provider]]:
    handler = type("OfThisTest", (Provider,), {})
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
        {"aud": "another"}, {"exp": 1}, {"iss": "https://evil.example"},
    ],
)  # fmt: skip
def test_nobody_else_gets_in_nor_gets_an_account(ada: User, provider: type[Provider], claims: dict[str, Any]) -> None:
    client, _answer = sign_in(provider, **claims)
    assert not is_in(client)
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 0)


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


@pytest.mark.parametrize("change", [{"email": "bob@example.test"}, {"email": ""}, {"is_active": False}])
def test_another_address_or_no_account_ends_sessions_half_a_sign_in_and_the_link(
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
