"""Passkeys, by a real browser whose authenticator is played; they end where all sign-ins end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from tests.accounts.test_second_factor import INDEX, LOGIN

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def person(transactional_db: None) -> User:
    return User.objects.create_superuser("ada", "ada@example.test", "right")


@pytest.fixture
def page(open_page: Callable[..., tuple[Any, list[str]]], live_server: Any, settings: Any) -> Any:
    """A signed-in page, whose browser has an authenticator that knows its owner by a finger."""
    settings.SITE_URL = live_server.url
    page, errors = open_page(1280, "light")
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    finger = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
    session.send("WebAuthn.addVirtualAuthenticator", {"options": {**finger, "isUserVerified": True}})
    page.key_ring = session
    yield page
    assert not errors


def add(page: Any, *, alone: bool = True) -> None:
    page.goto(f"{INDEX}passkey/")
    if page.locator("#id_password").count():
        page.fill("#id_password", "right")
        page.click("button[type=submit]")
    page.set_checked("#passwordless", alone)
    page.fill("#id_name", "My phone")
    page.click("#passkey")
    page.wait_for_url(f"**{INDEX}codes/")
    assert page.locator(".codes li").count() == 10


def test_a_passkey_alone_signs_in(page: Any, person: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    add(page)
    page.goto(INDEX)
    assert "My phone" in page.locator("main").inner_text()
    page.goto("/admin/")
    page.wait_for_selector("#nav-sidebar", state="attached")
    page.context.clear_cookies()
    page.goto("/admin/npd/contact/")
    page.click("#passkey")
    page.wait_for_url("**/admin/npd/contact/")
    page.wait_for_selector("#nav-sidebar", state="attached")


def test_a_site_at_127_0_0_1_takes_passkeys_by_the_name_localhost(
    page: Any, person: User, live_server: Any, settings: Any
) -> None:
    settings.SITE_URL = live_server.url.replace("localhost", "127.0.0.1")
    add(page)


def test_a_security_key_stands_beside_the_password_and_confirms_a_change(page: Any, person: User) -> None:
    add(page, alone=False)
    page.context.clear_cookies()
    page.goto(LOGIN)
    page.click("#passkey")
    page.wait_for_selector("#passkey-error", state="visible")
    page.fill("#id_username", "ada")
    page.fill("#id_password", "right")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.click("#passkey")
    page.wait_for_selector("#nav-sidebar", state="attached")
    key = Authenticator.objects.get(type="webauthn")
    page.goto(f"{INDEX}passkey/{key.pk}/off/")
    page.get_by_role("link", name="Use a passkey").click()
    page.click("#passkey")
    page.get_by_role("button", name="Remove the passkey").click()
    page.wait_for_url(f"**{INDEX}")
    assert not Authenticator.objects.exists()
    assert Client().post(LOGIN, {"username": "ada", "password": "right"}).url == "/admin/"


@pytest.mark.parametrize("change", ["reset", "not staff", "inactive"])
def test_a_passkey_signs_nobody_in_who_may_not(page: Any, person: User, change: str) -> None:
    add(page)
    page.context.clear_cookies()
    if change == "reset":
        call_command("reset_two_factor", "ada")
    else:
        User.objects.update(**{"not staff": {"is_staff": False}, "inactive": {"is_active": False}}[change])
    page.goto(LOGIN)
    page.click("#passkey")
    page.get_by_role("alert").first.wait_for()
    page.goto("/admin/npd/contact/")
    assert page.url.endswith("?next=/admin/npd/contact/")


NONE = (
    "", "{}", "[]", "1", '{"id": "x"}', '{"response": {"userHandle": "!!"}}',
    ('{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"clientDataJSON": "eA", '
    '"attestationObject": "eA", "authenticatorData": "eA", "signature": "eA", "userHandle": "MQ"}}'),
)  # fmt: skip


@pytest.mark.parametrize("credential", NONE)
@pytest.mark.parametrize("address", [f"{LOGIN}passkey/", f"{LOGIN}code/", f"{INDEX}passkey/"])
def test_what_is_no_passkey_is_refused_in_words(person: User, address: str, credential: str) -> None:
    client = Client()
    client.get(f"{LOGIN}passkey/", headers={"Accept": "application/json"})
    if address.endswith("two-factor/passkey/"):
        client.force_login(person)
        client.post(f"{INDEX}confirm/", {"password": "right"})
        client.get(address)
    assert client.post(address, {"credential": credential}).status_code in (200, 302)
    assert not Authenticator.objects.exists()
