"""Signing in by the company's identity provider, which a server on this machine plays."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client
from structlog.testing import capture_logs

from tests.accounts.test_second_factor import CODE, INDEX, LOGIN, code_of, enrolled, everything_stored
from tests.support.serving import Quiet, local, serving

BEGIN, ANSWER = f"{LOGIN}company/", f"{LOGIN}company/callback/"


class Provider(Quiet):
    """Says what the test tells it to; a code is given for a verifier alone."""

    claims: dict[str, Any] = {}
    said_by_userinfo: dict[str, Any] = {}
    challenge = ""
    breaks = ""
    broken: Any = b"<html>"

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
            "/userinfo": self.said_by_userinfo or {"sub": self.claims.get("sub")},
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
        self.answer(self.broken if self.path == self.breaks else json.dumps(data).encode(), status)


@pytest.fixture
def provider(settings: Any) -> Iterator[type[Provider]]:
    one = type("OfThisTest", (Provider,), {})
    app = {"provider_id": "company", "name": "Acme", "client_id": "npd", "secret": "s3cret"}
    with serving(local(one)) as server:
        settings.OIDC_SERVER_URL = f"http://127.0.0.1:{server.server_address[1]}"
        app["settings"] = {"server_url": settings.OIDC_SERVER_URL}
        settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}
        yield one


def sent_to(client: Client, **sent: str) -> str:
    """Where the browser goes from our page."""
    return str(client.post(BEGIN, sent).context["address"])


def sign_in(provider: type[Provider], client: Client | None = None, **claims: Any) -> tuple[Client, Any]:
    """Go to the provider and come back with what it says."""
    client = client or Client()
    provider.claims = {"sub": "42", "email": "Ada@example.test", "email_verified": True, **claims}
    asked = parse_qs(urlsplit(sent_to(client, next="/admin/npd/contact/")).query)
    assert asked["code_challenge_method"] == ["S256"]
    provider.challenge = asked["code_challenge"][0]
    return client, client.get(ANSWER, {"code": "good", "state": asked["state"][0]})


def is_in(client: Client) -> bool:
    return client.get("/admin/npd/contact/").status_code == 200


def test_a_user_signs_in_by_a_verified_address_and_nothing_of_it_is_kept(ada: User, provider: type[Provider]) -> None:
    client, answer = sign_in(provider)
    assert (answer.status_code, answer.url) == (302, "/admin/npd/contact/")
    assert is_in(client)
    assert not SocialToken.objects.exists()
    assert "an-access-token" not in everything_stored()
    assert "Ada@example.test" not in everything_stored()
    # The password still signs in, too.
    assert Client().post(LOGIN, {"username": "ada", "password": "right"}).url == "/admin/"
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "ada@example.teſt"},
        {"email_verified": False}, {"email_verified": "false"}, {"email_verified": None}, {"email": None},
        {"email": ["ada@example.test"]}, {"email": "nobody@example.test"}, {"sub": ""}, {"aud": "another"},
        {"exp": 1}, {"iss": "https://evil.example"}, {"sub": "4\x002"}, {"sub": "4" * 300},
    ],
)  # fmt: skip
def test_nobody_else_gets_in_nor_gets_an_account(ada: User, provider: type[Provider], claims: dict[str, Any]) -> None:
    client, answer = sign_in(provider, **claims)
    assert answer.status_code == 403
    assert "You are not signed in" in answer.content.decode()
    assert not is_in(client)
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 0)


def test_entra_says_verified_in_its_own_way(ada: User, provider: type[Provider]) -> None:
    assert is_in(sign_in(provider, email_verified=None, xms_edov="1")[0])


def test_an_address_that_userinfo_alone_says_counts_only_of_the_same_person(
    ada: User, provider: type[Provider]
) -> None:
    provider.said_by_userinfo = {"sub": "43", "email": "ada@example.test", "email_verified": True}
    assert sign_in(provider, email=None)[1].status_code == 403
    provider.said_by_userinfo["sub"] = "42"
    assert is_in(sign_in(provider, email=None)[0])


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}, {"email": ""}])
def test_who_may_not_sign_in_here_does_not_by_the_provider(
    ada: User, provider: type[Provider], change: dict[str, Any]
) -> None:
    sign_in(provider)
    User.objects.update(**change)
    client, answer = sign_in(provider)
    assert answer.status_code == 403
    assert not is_in(client)


def test_an_address_of_two_users_signs_in_neither(ada: User, provider: type[Provider]) -> None:
    User.objects.create_user("bo", "ADA@example.test", is_staff=True)
    assert sign_in(provider)[1].status_code == 403


def test_an_address_that_another_person_got_opens_nothing_until_it_is_reset(
    ada: User, provider: type[Provider]
) -> None:
    sign_in(provider)
    assert sign_in(provider, sub="43")[1].status_code == 403
    User.objects.create_user("bo", "bo@example.test", is_staff=True)
    assert sign_in(provider, email="bo@example.test")[1].status_code == 403
    call_command("reset_two_factor", "ada")
    assert is_in(sign_in(provider, sub="43")[0])


def test_an_answer_counts_once_and_for_who_asked_alone(ada: User, provider: type[Provider]) -> None:
    client, _ = sign_in(provider)
    state = parse_qs(urlsplit(sent_to(client)).query)["state"][0]
    stranger = Client()
    for who, sent in ((stranger, {"code": "good", "state": state}), (stranger, {"code": "good"}), (stranger, {})):
        assert who.get(ANSWER, sent).status_code == 403
        assert not is_in(who)
    # A code of somebody else's sign-in: the verifier is another one.
    hers = Client()
    asked = parse_qs(urlsplit(sent_to(hers)).query)
    assert hers.get(ANSWER, {"code": "good", "state": asked["state"][0]}).status_code == 403
    assert hers.get(ANSWER, {"error": "access_denied", "state": asked["state"][0]}).status_code == 403


def test_an_account_is_never_linked_from_within(ada: User, provider: type[Provider]) -> None:
    client = Client()
    client.force_login(ada)
    provider.claims = {"sub": "42", "email": "mallory@example.test", "email_verified": True}
    for process in ("connect", "redirect"):
        asked = parse_qs(urlsplit(sent_to(client, process=process, next="/admin/")).query)
        provider.challenge = asked["code_challenge"][0]
        assert client.get(ANSWER, {"code": "good", "state": asked["state"][0]}).status_code == 403
    assert not SocialAccount.objects.exists()


def test_the_second_factor_is_asked_for_unless_the_provider_is_said_to_ask(
    ada: User, provider: type[Provider], settings: Any
) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    client, _ = sign_in(provider)
    assert client.get("/admin/").url.startswith(INDEX)
    enrolled(ada)
    client, answer = sign_in(provider)
    assert answer.url == CODE
    assert not is_in(client)
    # Nor is anything kept in between: neither what the provider said, nor the user's password.
    ada.refresh_from_db()
    kept = json.dumps([one.get_decoded() for one in Session.objects.all()])
    assert not any(one in kept for one in ("an-access-token", "Ada@example.test", ada.password))
    client.post(CODE, {"code": code_of(ada)})
    assert is_in(client)
    settings.OIDC_TWO_FACTOR = True
    assert is_in(sign_in(provider)[0])
    # Beside the provider, the password alone still opens nothing.
    assert Client().post(LOGIN, {"username": "ada", "password": "right"}).url == CODE


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null"])
@pytest.mark.parametrize("page", ["/.well-known/openid-configuration", "/token", "/userinfo"])
def test_a_provider_out_of_order_is_told_in_words(ada: User, provider: type[Provider], page: str, body: bytes) -> None:
    provider.breaks, provider.broken = page, body
    if page.startswith("/."):
        assert Client().post(BEGIN).status_code == 403
    else:
        assert sign_in(provider)[1].status_code == 403


def test_the_log_says_what_to_check_where_the_provider_refuses_us_and_quotes_nothing(
    ada: User, provider: type[Provider]
) -> None:
    client = Client()
    state = parse_qs(urlsplit(sent_to(client)).query)["state"][0]
    with capture_logs() as lines:
        assert client.get(ANSWER, {"code": "bad", "state": state}).status_code == 403
    (line,) = [one for one in lines if "identity provider" in one["event"]]
    assert (line["kind"], "OIDC_CLIENT_SECRET" in line["check"]) == ("OAuth2Error", True)
    assert not any(text in str(lines) for text in ("s3cret", "invalid_grant", state))


def test_without_a_provider_there_is_no_such_way(ada: User) -> None:
    assert BEGIN not in Client().get(LOGIN).content.decode()
    assert Client().post(BEGIN).status_code == 404


def test_who_has_neither_password_nor_second_factor_changes_it_only_after_a_fresh_sign_in(
    ada: User, provider: type[Provider]
) -> None:
    ada.set_unusable_password()
    ada.save()
    client, _ = sign_in(provider)
    assert client.get(f"{INDEX}app/").status_code == 200
    session = client.session
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": time() - 400}]
    session.save()
    answer = client.get(f"{INDEX}app/")
    assert answer.status_code == 403
    assert "You are not signed in" not in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_browser_gets_there_at_whatever_address_the_provider_asks(
    provider: type[Provider], open_page: Callable[..., tuple[Any, list[str]]]
) -> None:
    page, errors = open_page(1280, "light")
    page.context.clear_cookies()
    page.goto(LOGIN)
    page.get_by_role("button", name="Sign in with your company account").click()
    page.wait_for_url("**/authorize?**")
    assert not errors
