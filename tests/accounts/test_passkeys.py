"""Passkeys, by a real browser whose authenticator is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.test import Client

from tests.accounts.signing_in import CODE, LOGIN, MFA, enrolled, sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(open_page: Callable[..., tuple[Any, list[str]]], person: User) -> Any:
    """A page whose browser has an authenticator that knows its owner by a finger."""
    page, errors = open_page(1280, "light")
    page.context.clear_cookies()
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    finger = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": {**finger, "isUserVerified": True}})
    yield page
    assert not errors


def with_password(page: Any) -> None:
    page.goto(LOGIN)
    page.fill("#id_login", "ada")
    page.fill("#id_password", "right")
    page.get_by_role("button", name="Sign in", exact=True).click()


def add(page: Any, *, alone: bool) -> None:
    with_password(page)
    page.wait_for_url("**/admin/")
    page.goto(f"{MFA}webauthn/add/")
    page.set_checked("#id_passwordless", alone)
    page.click("#mfa_webauthn_add")
    page.wait_for_url(f"**{MFA}recovery-codes/")
    page.check("#codes_saved")
    page.context.clear_cookies()


def test_a_passkey_alone_signs_in(page: Any) -> None:
    add(page, alone=True)
    page.goto("/admin/npd/contact/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url("**/admin/npd/contact/")


def test_a_security_key_stands_beside_the_password_and_does_not_replace_it(page: Any) -> None:
    add(page, alone=False)
    page.goto(LOGIN)
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_selector("#passkey-error", state="visible")
    with_password(page)
    page.get_by_role("button", name="Use a security key").click()
    page.wait_for_url("**/admin/")


NO_PASSKEYS = (
    "", "{}", "[]", "1", "9" * 5_000, "[" * 5_000 + "]" * 5_000, '{"response": {"userHandle": "!!"}}', '{"id": "x"}',
    '{"id": "x", "rawId": "x", "response": {}}',
    '{"id": "eA", "rawId": "eA", "response": {"clientDataJSON": "e30", "attestationObject": "oA"}}',
)  # fmt: skip


@pytest.mark.parametrize("credential", NO_PASSKEYS)
def test_what_is_no_passkey_is_refused_in_words(person: User, credential: str) -> None:
    enrolled(User.objects.create_user("eve", "eve@example.test", "right"))
    for address, name in ((f"{MFA}webauthn/login/", ""), (CODE, "eve"), (f"{MFA}webauthn/add/", "ada")):
        client = sign_in(name=name)[0] if name else Client()
        client.get(address, headers={"Accept": "application/json"})
        assert client.post(address, {"credential": credential}).status_code in (200, 302)
    assert not Authenticator.objects.filter(type=Authenticator.Type.WEBAUTHN).exists()
