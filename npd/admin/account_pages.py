"""The page of an invitation's link."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import Login
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN, PasswordResetConfirmView
from django.http import HttpResponse

from npd.accounts import invitations
from sync.records.authors import log_action


class _WrongAtFirst:
    """What is wrong with a password stands below it; Django says it below the repetition."""

    def validate_password_for_user(self, user: User, password_field_name: str = "") -> None:
        super().validate_password_for_user(user, "new_password1")  # type: ignore[misc]


class FirstPasswordForm(_WrongAtFirst, SetPasswordForm):  # type: ignore[type-arg]
    """The password of who was invited."""


class AcceptInvitation(PasswordResetConfirmView):
    """The page of an invitation's link: its person sets a password, and is signed in."""

    form_class = FirstPasswordForm
    template_name = "npd/accept_invitation.html"
    token_generator = invitations.tokens
    reset_url_token = "set"  # noqa: S105 - a word in the address, in place of the token

    def get_user(self, uidb64: str) -> User | None:
        """Return who was invited, until they have set a password."""
        user: Any = super().get_user(uidb64)
        return user if user is not None and invitations.is_invited(user) else None

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        return super().get_context_data(**more, roles=invitations.role_titles(self.user) if self.user else "")

    def form_valid(self, form: Any) -> HttpResponse:
        """Set the password, and sign the person in as the sign-in page does."""
        user = form.save()
        del self.request.session[INTERNAL_RESET_SESSION_TOKEN]
        log_action(user, user, "Accepted the invitation, and set a password.")
        login = Login(user=user)
        answer: HttpResponse = perform_password_login(self.request, {"username": user.get_username()}, login)
        return answer
