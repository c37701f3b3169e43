"""allauth's forms for passkeys, which refuse in words whatever is sent to them in place of one."""

from __future__ import annotations

import struct

from allauth.mfa.adapter import get_adapter
from allauth.mfa.webauthn import forms

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
