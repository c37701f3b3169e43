"""What django-allauth asks of us: who may sign in, with what, and how its secrets are stored."""

from __future__ import annotations

from time import time
from typing import Any
from urllib.parse import urlsplit

import structlog
from allauth.account import app_settings as account_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.stagekit import clear_login
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from npd.accounts import limits
from npd.accounts.second_factor import PASSED_KEY, mark_of
from sync.admin.admin_base import own_address
from sync.api.callers import address_of_caller, count_request
from sync.kernel.secret_texts import decrypt, encrypt

log = structlog.get_logger(__name__)

MARK_KEY = "sign_in_mark"
"""In the session of a sign-in under way: what it depends on."""

PASSWORDS_A_SESSION = 10
"""Tried in a day by who is signed in. Counted for each session, so who has got hold of one stops the owner in none."""

DAY_SECONDS = 24 * 60 * 60

PASSWORDS_TRIED = "Too many passwords were entered here, so none is accepted. Sign out, sign in again, and go on there."
BEGIN_ANEW = "Your password or two-factor authentication has changed meanwhile. Sign in once more."
NOT_HERE = "This user may not sign in here. Ask an administrator."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Signing in: nobody signs up, and what is wrong is said in words that don't need to know what staff is."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "username_password_mismatch": (
            "The username or the password is wrong, or this user may not sign in here. Small and capital letters "
            "matter."
        ),
        "incorrect_password": "This is not your password. Small and capital letters matter.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str | None) -> bool:
        return bool(url) and own_address(context.request, url) == url

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the network that a session is listed with: enough to know it by, not a person."""
        address = address_of_caller(request) or "0.0.0.0"  # noqa: S104 - of who has none
        head, dot, _last = address.rpartition(".")
        return f"{head}.0" if dot else address

    def add_message(self, request: HttpRequest, level: int, *args: Any, message: Any = None, **kwargs: Any) -> None:
        """Say what went wrong; what was done, the next page shows."""
        if message is not None:
            messages.add_message(request, level, message)

    def get_login_stages(self) -> list[str]:
        """Return what is between the password and everything else."""
        return ["npd.accounts.adapters.CodeStage"]

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Answer an attempt during a wait."""
        limits.check(request, credentials["username"])

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        limits.note_failure(request, credentials["username"])

    def authenticate(self, request: HttpRequest, **credentials: Any) -> User | None:
        """Return who this is, of those that may sign in."""
        user = super().authenticate(request, **credentials)
        return user if user and user.is_staff else None

    def reauthenticate(self, user: Any, password: str) -> bool:
        """Whether it is the password of who is signed in, as often as one may be tried."""
        count_password(context.request)
        return bool(user.check_password(password))

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Return how somebody proves once more who they are: where there is a second factor, by that alone."""
        ways = super().get_reauthentication_methods(user)
        return [way for way in ways if way["id"].startswith("mfa")] or ways

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Of who has neither password nor second factor the library asks nothing: here, that the sign-in is fresh."""
        request = context.request
        if not self.get_reauthentication_methods(request.user):
            records = get_authentication_records(request, request.user)
            if not records or time() - records[-1]["at"] > account_settings.REAUTHENTICATION_TIMEOUT:
                sentence = "To change this, sign out, sign in again, and come back within five minutes."
                refuse(request, sentence, heading="Sign in again")
        return True

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> HttpResponse | None:
        """Who signs in by a passkey or a provider may sign in here; the session's key of before is worth nothing."""
        if not (user.is_active and user.is_staff):
            clear_login(request)
            messages.error(request, NOT_HERE)
            return redirect("account_login")
        # Until the code comes the library would keep it in the session: the user's password, the provider's token.
        (kwargs.get("signal_kwargs") or {}).clear()
        request.session.cycle_key()
        request.session[MARK_KEY] = mark_of(user)
        return None

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign somebody in, unless the password or a second factor has changed since this sign-in began."""
        if request.session.pop(MARK_KEY, None) != mark_of(user):
            clear_login(request)
            messages.error(request, BEGIN_ANEW)
            raise ImmediateHttpResponse(redirect("account_login"))
        super().login(request, user)
        methods = {one["method"] for one in get_authentication_records(request, user)}
        request.session[PASSED_KEY] = "mfa" in methods or (settings.OIDC_TWO_FACTOR and "socialaccount" in methods)
        limits.forget_failures(request, user.get_username())


def count_password(request: HttpRequest) -> None:
    """Count a password tried in this session; raise the answer where none is any more."""
    key = str(request.session.session_key)
    if count_request("password", limits.mark(key), PASSWORDS_A_SESSION, DAY_SECONDS).is_used_up:
        context_ = {"heading": "Sign in again", "sentence": PASSWORDS_TRIED}
        raise ImmediateHttpResponse(render(request, "plain_page.html", context_, status=429))


class CodeStage(AuthenticateStage):  # type: ignore[misc]
    """The code between the password and everything else; of who comes from a provider that asks for one, none."""

    def _should_handle(self, request: HttpRequest) -> bool:
        records = get_authentication_records(request, self.login.user)
        if settings.OIDC_TWO_FACTOR and records and records[-1]["method"] == "socialaccount":
            return False
        return bool(super()._should_handle(request))


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Keys of apps are encrypted with ENCRYPTION_KEY; recovery codes are hashed already."""

    def encrypt(self, text: str) -> str:
        return encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return encrypted_text if encrypted_text.startswith("sha256:") else decrypt(encrypted_text)

    def get_totp_label(self, user: Any) -> str:
        return f"NPD Sync:{user.get_username()}"

    def _get_user_identifier(self, user: Any) -> str:
        return str(user.get_username())

    def generate_authenticator_name(self, user: Any, type: Any) -> str:  # noqa: A002 - the library's
        return f"Passkey {Authenticator.objects.filter(user=user, type=type).count() + 1}"

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Return the site that a passkey is of, which is SITE_URL's, by whatever name it was asked."""
        host = urlsplit(settings.SITE_URL).hostname or ""
        # Browsers keep none for an address in figures; `make run` is reached as localhost, too.
        return {"id": "localhost" if host in ("", "127.0.0.1", "::1") else host, "name": "NPD Sync"}


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The company's identity provider: it says who somebody is, and who may sign in is said here."""

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Find the user of a verified email address; from then on the provider's own id has to be the same, too.

        Nothing that the provider says is stored but that id.
        """
        if sociallogin.state.get("process") != "login":
            refuse(request, "Sign in with the button on the sign-in page.")
        account, said = sociallogin.account, sociallogin.account.extra_data
        account.extra_data = {}
        token, person = said.get("id_token", {}), said.get("userinfo", {})
        if not token.get("sub") or person.get("sub", token["sub"]) != token["sub"]:
            refuse(request, "The identity provider did not say who you are. Try again, or ask an administrator.")
        claims = token if token.get("email") else person
        email = claims.get("email")
        # Entra has a name of its own for it. A text “false” is no false to Python.
        is_verified = any(claims.get(name) in (True, 1, "1", "true", "True") for name in ("email_verified", "xms_edov"))
        if not isinstance(email, str) or not email or not is_verified:
            refuse(
                request, "The identity provider gave no verified email address of you. Ask who administers it for one."
            )
        found = User.objects.filter(email__iexact=email, is_active=True, is_staff=True)
        # To PostgreSQL “ſ” is an S, too: an address with such letters is somebody else's.
        users = [one for one in found if one.email == email or (one.email + email).isascii()]
        if len(users) != 1:
            refuse(request, "No user who may sign in here has your email address. Ask an administrator.")
        user = users[0]
        try:
            with transaction.atomic():
                User.objects.select_for_update().get(pk=user.pk)
                bound, _new = SocialAccount.objects.get_or_create(
                    user=user, provider=account.provider, defaults={"uid": account.uid, "extra_data": {}}
                )
        except IntegrityError:  # the id is another user's
            bound = None
        if bound is None or bound.uid != account.uid:
            refuse(
                request, "Your email address belongs to another account of the identity provider. Ask an administrator."
            )
        SocialAccount.objects.filter(pk=bound.pk).update(extra_data={})
        sociallogin.account, sociallogin.user = bound, user

    def on_authentication_error(self, request: HttpRequest, provider: Any, **kwargs: Any) -> None:
        """Say it in words, with the way back; the log has what an administrator can do."""
        exception = kwargs.get("exception")
        # Its text may quote what was exchanged.
        log.warning(
            "sign-in by the identity provider failed",
            kind=type(exception).__name__ if exception else str(kwargs.get("error") or "state"),
            check="OIDC_CLIENT_ID and OIDC_CLIENT_SECRET"
            if isinstance(exception, OAuth2Error)
            else "the provider's log",
        )
        refuse(
            request,
            "Signing in with the identity provider was cancelled or didn't work. Try again, or use your password.",
        )


def refuse(request: HttpRequest, sentence: Any, heading: Any = None) -> None:
    """Raise the page that says why nobody was signed in; with a heading, of somebody who is."""
    context_ = {"heading": heading or "You are not signed in", "sentence": sentence, "is_in": bool(heading)}
    raise ImmediateHttpResponse(render(request, "registration/wait.html", context_, status=403))
