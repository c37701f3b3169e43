"""Passkeys in a real browser with a simulated authenticator."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from tests.accounts.signing_in import LOGIN, MFA

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(open_page: Callable[..., tuple[Any, list[str]]], person: User) -> Any:
    """A page in a browser whose authenticator verifies its owner."""
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
