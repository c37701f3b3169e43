"""The link by which a user sets a password: it is made, mailed and opened here."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from sync.kernel import mails
from sync.records.authors import log_action

LIFETIME = f"{timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days} days"


def make_link(user: User) -> str:
    """Return a link by which this user sets a password.

    Django's PasswordResetForm skips users without a usable password.
    """
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return settings.SITE_URL + reverse("npd-set-password", args=[key, default_token_generator.make_token(user)])


def mail_link(user: User, link: str) -> str:
    """Send somebody the link; return the problem, or an empty string if it was sent."""
    if mails.are_emails_files():
        return mails.EMAILS_ARE_FILES
    if not user.email:
        return "The user has no email address."
    text = (
        f"You have an account on NPD Sync; your username is {user.get_username()}. Set a password to sign in. "
        f"The link works once, within {LIFETIME}:\n\n{link}\n"
    )
    try:
        mails.send_email(user.email, "NPD Sync: set your password", text)
    except mails.NotSent as why:
        return str(why)
    return ""


class SetPassword(PasswordResetConfirmView):
    """The page behind the link. It doesn't sign the user in, so the second factor is still required."""

    template_name = "npd/set_password.html"
    success_url = reverse_lazy("account_login")
    reset_url_token = "set"  # noqa: S105 - a word in the address, in place of the token

    def get_user(self, uidb64: str) -> Any:
        """Return the link's user, or None if inactive."""
        user: Any = super().get_user(uidb64)
        return user if user and user.is_active else None

    def form_valid(self, form: Any) -> HttpResponse:
        log_action(form.user, form.user, "Set a password by a link.")
        messages.success(self.request, "Your password is set. Sign in with it.")
        return super().form_valid(form)
