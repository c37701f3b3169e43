"""What allauth asks of us: nobody signs up, secrets are encrypted, and what an identity provider's word is worth."""

from __future__ import annotations

import struct
from time import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter, get_adapter
from allauth.mfa.webauthn import forms
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.base import AuthProcess
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest

from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt

KEY_LOST = "Codes can't be checked, as this server's encryption key was changed. Ask an administrator for help."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Ask nobody twice: a sign-in of the last minutes proves as much as typing the password once more."""
        request = context.request
        records = get_authentication_records(request, request.user)
        if records and time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT:
            return False
        if not get_reauthentication_flows(request.user):
            # Neither a password nor a second factor: the library would ask for nothing. So the provider asks again.
            self.logout(request)
        return True


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The company's identity provider says who somebody is; who has an account is said here."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def authenticate_by_email(self, sociallogin: Any) -> Any:
        """Find the user of a verified address: the library believes any claim but an empty one, also the text "no"."""
        claims = sociallogin.account.extra_data.get("id_token", {})
        sociallogin.email_addresses = [
            address
            for address in sociallogin.email_addresses
            if address.verified is True or is_verified_by_entra(address, claims)
        ]
        for address in sociallogin.email_addresses:
            address.verified = True
        return super().authenticate_by_email(sociallogin)

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            raise PermissionDenied("Accounts are not connected from within.")
        # Else it would be kept in the session, in clear, while the code of the second factor is asked.
        sociallogin.token = None


def is_verified_by_entra(address: EmailAddress, claims: dict[str, Any]) -> bool:
    """Whether Microsoft's Entra says it in its own way, in an optional claim of the ID token."""
    return claims.get("email") == address.email and claims.get("xms_edov") in (True, 1, "1", "true")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Keys of authenticator apps and seeds of recovery codes are stored encrypted."""

    def encrypt(self, text: str) -> str:
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return decrypt(encrypted_text)
        except KeyChanged:
            raise ValidationError(KEY_LOST) from None


# Passkeys: allauth's forms, which refuse in words whatever is sent to them in place of one.

UNREADABLE = (AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error)
"""What fido2 and Django's field for JSON fail with; allauth expects few of them."""


class ReadsPasskey:
    def full_clean(self) -> None:
        form: forms.AuthenticateWebAuthnForm = self
        try:
            super().full_clean()  # type: ignore[misc]
        except UNREADABLE:
            form.data = {}  # or the page would read it once more
            form.add_error("credential", get_adapter().validation_error("incorrect_code"))


class AddForm(ReadsPasskey, forms.AddWebAuthnForm):  # type: ignore[misc]  # allauth has no types
    pass


class SignInForm(ReadsPasskey, forms.LoginWebAuthnForm):  # type: ignore[misc]
    pass


class SecondFactorForm(ReadsPasskey, forms.AuthenticateWebAuthnForm):  # type: ignore[misc]
    pass


class SignInAgainForm(ReadsPasskey, forms.ReauthenticateWebAuthnForm):  # type: ignore[misc]
    pass
