"""Passkeys, by a real browser whose authenticator is played; they end where all sign-ins end."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from allauth.account.utils import user_pk_to_url_str
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import Aaguid, AttestationObject, AttestedCredentialData, AuthenticatorData

from tests.accounts.test_second_factor import CODE, INDEX, LOGIN, with_password

pytestmark = pytest.mark.django_db(transaction=True)


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
    assert len(page.locator(".npd-once pre").inner_text().split()) == 10


def test_a_passkey_alone_signs_in(page: Any, person: User, settings: Any) -> None:
    settings.REQUIRE_TWO_FACTOR = True
    add(page)
    page.goto(INDEX)
    assert "My phone" in page.locator("#content").inner_text()
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
    "", "{}", "[]", "[" * 100_000, "1", '{"id": "x"}', '{"response": {"userHandle": "!!"}}',
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


MADE = b'{"type": "webauthn.create", "challenge": "eA", "origin": "https://npd.example.test"}'


class StolenKey:
    """A security key of somebody's, whose thief says what no browser would."""

    def __init__(self, owner: User, *, alone: bool) -> None:
        self.owner, self.private = owner, ec.generate_private_key(ec.SECP256R1())
        self.site = sha256(b"npd.example.test").digest()
        public = ES256.from_cryptography_key(self.private.public_key())
        made = AttestedCredentialData.create(Aaguid(bytes(16)), b"key", public)
        attested = AttestationObject.create("none", AuthenticatorData.create(self.site, 0x45, 0, made), {})
        response = {"clientDataJSON": websafe_encode(MADE), "attestationObject": websafe_encode(attested)}
        credential = self.said(response) | {"clientExtensionResults": {"credProps": {"rk": alone}}}
        Authenticator.objects.create(user=owner, type="webauthn", data={"name": "Key", "credential": credential})

    def said(self, response: dict[str, str]) -> dict[str, Any]:
        return {"id": websafe_encode(b"key"), "rawId": websafe_encode(b"key"), "type": "public-key"} | {
            "response": response
        }

    def answer(self, client: Client, origin: str = "https://npd.example.test", *, finger: bool = True) -> str:
        """What it says to the question that this session was asked last."""
        challenge = client.session["mfa.webauthn.state"]["challenge"]
        asked = json.dumps({"type": "webauthn.get", "challenge": challenge, "origin": origin}).encode()
        of_key = AuthenticatorData.create(self.site, 0x05 if finger else 0x01, 1)
        signed = self.private.sign(of_key + sha256(asked).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": asked, "authenticatorData": of_key, "signature": signed}
        handle = {"userHandle": user_pk_to_url_str(self.owner).encode()}
        return json.dumps(self.said({name: websafe_encode(one) for name, one in (response | handle).items()}))


def asked_alone() -> Client:
    client = Client()
    client.get(f"{LOGIN}passkey/", headers={"Accept": "application/json"})
    return client


def gets_in(client: Client, answer: str) -> bool:
    client.post(f"{LOGIN}passkey/", {"credential": answer})
    return client.get("/admin/npd/contact/").status_code == 200


def opens(key: StolenKey, **how: Any) -> bool:
    client = asked_alone()
    return gets_in(client, key.answer(client, **how))


def test_a_passkeys_answer_counts_once_for_its_owner_and_this_site_alone(person: User, settings: Any) -> None:
    settings.SITE_URL = "https://npd.example.test"
    key, client = StolenKey(person, alone=True), asked_alone()
    answer = key.answer(client)
    assert not gets_in(asked_alone(), answer)
    assert gets_in(client, answer)
    assert not gets_in(asked_alone(), answer)
    for origin in ("https://evil.example", "https://evil.npd.example.test", "http://npd.example.test"):
        assert not opens(key, origin=origin)
    assert not opens(key, finger=False)
    key.owner = User.objects.create_superuser("bo", "bo@example.test", "right")
    assert not opens(key)


def test_a_key_beside_the_password_signs_in_alone_by_no_detour(person: User, settings: Any) -> None:
    settings.SITE_URL = "https://npd.example.test"
    assert not opens(StolenKey(person, alone=False))
    # The question of the thief's own sign-in asks for no finger: what answers it opens nothing here.
    thief = User.objects.create_superuser("bo", "bo@example.test", "right")
    StolenKey(thief, alone=False)
    client = Client()
    client.post(LOGIN, {"username": "bo", "password": "right"})
    client.get(CODE)
    Authenticator.objects.filter(user=person).delete()
    assert not gets_in(client, StolenKey(person, alone=True).answer(client, finger=False))


def test_a_key_beside_the_password_needs_no_finger(person: User, settings: Any) -> None:
    settings.SITE_URL = "https://npd.example.test"
    key, client = StolenKey(person, alone=False), with_password()
    client.get(CODE)
    assert client.post(CODE, {"credential": key.answer(client, finger=False)}).url == "/admin/"
