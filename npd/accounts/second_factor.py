"""The second factor as a duty (REQUIRE_TWO_FACTOR), and taken away from whoever has lost it."""

from __future__ import annotations

from typing import Any

from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

from sync.api.errors import error_response
from sync.records.authors import log_kind_action

OPEN_WITHOUT = (
    "account_login", "account_logout", "account_reauthenticate", "mfa_", "admin:logout", "admin:jsi18n",
)  # fmt: skip
"""The names of what opens without it: setting it up, and signing out."""

NOT_SET_UP = "This session has no second factor yet. Set it up in the browser, or use an API token."


class RequireTwoFactorMiddleware(MiddlewareMixin):
    """Lets whoever may open the admin do nothing before a second factor is set up.

    A request with an API token has no session, and none of this: a program has no phone.
    """

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        for_people = request.path_info.startswith(("/admin/", "/accounts/", "/api/"))  # no webhook, cron or probe
        if not settings.REQUIRE_TWO_FACTOR or not for_people or not has_to_set_up(request.user):
            return None
        match = request.resolver_match
        if match and match.view_name.startswith(OPEN_WITHOUT):
            return None
        if request.path_info.startswith("/api/"):
            return error_response(403, "second_factor", NOT_SET_UP)
        return redirect("mfa_activate_totp")


def has_to_set_up(user: Any) -> bool:
    types = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    return bool(user.is_authenticated and user.is_staff and not is_mfa_enabled(user, types))


def remove(user: User, *, by: User) -> bool:
    """Take all of somebody's factors away, and end their sessions; return whether there was one."""
    with transaction.atomic():
        removed = bool(Authenticator.objects.filter(user=user).delete()[0])
        # The next sign-in by the identity provider connects anew.
        removed |= bool(SocialAccount.objects.filter(user=user).delete()[0])
        if removed:
            log_kind_action(by, User, "Second factor removed.", name=user.get_username(), key=user.pk)
        for session in UserSession.objects.filter(user=user):
            session.end()
    return removed
