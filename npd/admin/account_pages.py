"""Signing in, the second factor and “Where you are signed in”: django-allauth's pages, and what ours add to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import error as NotWhole  # noqa: N812 - a class, under another's name
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
from allauth.account import views as account_views
from allauth.account.forms import LoginForm
from allauth.account.internal.flows.logout import logout
from allauth.account.internal.flows.reauthentication import did_recently_reauthenticate
from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.base.views import IndexView
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, generate_totp_secret
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from allauth.mfa.webauthn.internal.auth import get_state
from allauth.mfa.webauthn.views import AddWebAuthnView, EditWebAuthnView, RemoveWebAuthnView
from allauth.socialaccount.providers.openid_connect import views as provider_views
from allauth.usersessions.models import UserSession
from allauth.usersessions.views import ListUserSessionsView
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import DataError
from django.forms import CharField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST
from fido2.utils import websafe_decode
from fido2.webauthn import CollectedClientData
from requests import RequestException

from npd.accounts import limits, second_factor
from npd.accounts.adapters import DAY_SECONDS, MFAAdapter, ProviderAdapter, count_password
from npd.accounts.second_factor import KeyLost, Locked, WrongCode
from sync.api.callers import count_request
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt

log = structlog.get_logger(__name__)

WRONG_CODE = "This code is wrong or was already used. Wait for the next one in the app, or use a recovery code."
WRONG_PASSKEY = "This passkey is not known here, or was used for something else. Try again, or sign in in another way."
WRONG_FIRST_CODE = (
    "This code is wrong. Wait for the next one in the app, and check that the clock of your phone is right."
)
LOCKED = (
    "Too many wrong codes were entered, so codes of the app don't work for %(span)s. A recovery code works now. If you "
    "didn't enter them, somebody knows your password: sign in with a recovery code and change it."
)
GUESSED = (
    "Somebody who knows your password has entered %(number)s wrong codes. If that was not you, change your password "
    "now: that ends the waiting, too."
)
TRIED_OFTEN = (
    "Too many codes were entered on this page, so none is accepted here for %(span)s. Signing in goes on as before. If "
    "you didn't enter them, end your other sessions under “Where you are signed in”."
)
KEY_LOST = (
    "Codes from the app can't be checked, because this server's encryption key was changed. Use a recovery code, or "
    "ask an administrator to reset two-factor authentication."
)

NO_ANSWER = (
    RequestException, DataError, LookupError, ValueError, TypeError, AttributeError, ImproperlyConfigured
)  # fmt: skip
"""What the library lets through of an identity provider's answer that isn't what one should be."""

CODES_A_DAY = 10
"""Tried on the page of a session that is signed in; so who has got hold of one can't guess there."""


class SignInForm(LoginForm):
    """Name and password, under the names that browsers and our own programs know."""

    def add_prefix(self, field_name: str) -> str:
        return "username" if field_name == "login" else str(super().add_prefix(field_name))


class _WrongAtFirst:
    """What is wrong with a password stands below it; Django says it below the repetition."""

    def validate_password_for_user(self, user: User, password_field_name: str = "") -> None:
        super().validate_password_for_user(user, "new_password1")  # type: ignore[misc]


class NewPasswordForm(_WrongAtFirst, PasswordChangeForm):
    """Another password, beside the old one."""


class SignInCodeForm(AuthenticateForm):
    """The code between the password and everything else: a wrong one is a failed sign-in."""

    code = CharField(max_length=40)
    guessed = 0

    def clean_code(self) -> str:
        name = self.user.get_username()
        limits.check(context.request, name)
        try:
            self.authenticator, self.guessed = second_factor.verify(self.user, self.cleaned_data["code"])
        except KeyLost:
            raise ValidationError(KEY_LOST) from None
        except WrongCode as why:
            limits.note_failure(context.request, name)
            span = humanize.time_span((why.until - sync_now()).total_seconds()) if isinstance(why, Locked) else ""
            raise ValidationError(LOCKED % {"span": span} if span else WRONG_CODE) from None
        return ""

    def save(self) -> None:
        """Tell the owner of what came before."""
        super().save()
        if self.guessed:
            messages.warning(context.request, GUESSED % {"number": self.guessed})


class ConfirmCodeForm(ReauthenticateForm):
    """The code of who is signed in, before a second factor is changed: few are tried, and none locks anybody out."""

    code = CharField(max_length=40)

    def clean_code(self) -> str:
        quota = count_request("two-factor", str(self.user.pk), CODES_A_DAY, DAY_SECONDS)
        if quota.is_used_up:
            raise ValidationError(TRIED_OFTEN % {"span": humanize.time_span(quota.reset)})
        try:
            self.authenticator = second_factor.use_code(self.user, self.cleaned_data["code"])
        except KeyLost:
            raise ValidationError(KEY_LOST) from None
        except WrongCode:
            if not quota.remaining:
                second_factor.log_tried_codes(self.user, CODES_A_DAY)
            raise ValidationError(WRONG_CODE) from None
        return ""


class SetUpForm(ActivateTOTPForm):
    """The app's first code, of a key that this session alone was shown, and that stands encrypted in it."""

    code = CharField(max_length=10)
    secret: str
    step = -1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        session = context.request.session
        try:
            self.secret = decrypt(self.secret) if self.is_bound else self.secret
        except KeyChanged:  # or none was shown yet
            self.secret = generate_totp_secret()
            session.pop(SECRET_SESSION_KEY)
        if not self.is_bound or SECRET_SESSION_KEY not in session:
            session[SECRET_SESSION_KEY] = encrypt(self.secret)

    def clean_code(self) -> str:
        """Accept it; that it is not counted is no way to guess, as the session was shown the key."""
        step = second_factor.step_of(self.secret, "".join(self.cleaned_data["code"].split()))
        if step is None:
            raise ValidationError(WRONG_FIRST_CODE)
        self.step = step
        return ""


class _WholePasskey:
    """What a browser sends of a passkey; of some that is none the library says it by an error of its own."""

    def full_clean(self) -> None:
        try:
            super().full_clean()  # type: ignore[misc]
            if self.is_bound and not self.errors:  # type: ignore[attr-defined]
                self.check_site(json.loads(self.data["credential"]))  # type: ignore[attr-defined]
        except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError, NotWhole):
            self.add_error("credential", WRONG_PASSKEY)  # type: ignore[attr-defined]

    def check_site(self, credential: dict[str, Any]) -> None:
        """Take none from a page of a subdomain, as the library does: it may be somebody else's."""
        said = CollectedClientData(websafe_decode(credential["response"]["clientDataJSON"]))
        if urlsplit(said.origin).hostname != MFAAdapter().get_public_key_credential_rp_entity()["id"]:
            raise ValueError


class SignInPasskeyForm(_WholePasskey, LoginWebAuthnForm):
    """A passkey in place of name and password."""

    def clean_credential(self) -> Authenticator:
        """Take none that was added to stand beside the password, nor what was asked beside it: without a finger."""
        if (get_state() or {}).get("user_verification") != "required":
            raise ValidationError(WRONG_PASSKEY)
        found: Authenticator = super().clean_credential()
        if found.wrap().is_passwordless is False:  # not every browser says it
            raise ValidationError(WRONG_PASSKEY)
        return found


class BesidePasswordForm(_WholePasskey, AuthenticateWebAuthnForm):
    """A passkey in place of the code."""


class ConfirmPasskeyForm(_WholePasskey, ReauthenticateWebAuthnForm):
    """A passkey before a second factor is changed."""


class AddPasskeyForm(_WholePasskey, AddWebAuthnForm):
    """A new one."""


class SignInPage(account_views.LoginView):
    """Name and password, a passkey, or the company's identity provider."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Who is signed in and no staff gets here by each page of the admin, and goes on as somebody else."""
        if request.user.is_authenticated and request.method == "POST":
            logout(request, show_message=False)
        elif request.user.is_authenticated and request.user.is_staff:
            return redirect(self.get_next_url() or "admin:index")
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> Any:
        found = super().get_context_data(**kwargs) | admin.site.each_context(self.request)
        name = settings.OIDC_NAME if settings.OIDC_SERVER_URL else ""
        return found | {"next": self.get_next_url() or "", "provider": name}


def _frame_of(request: HttpRequest, heading: str) -> dict[str, Any]:
    """Return the site's frame for who may see it: staff whose session has passed what the setting asks for."""
    is_passed = bool(request.session.get(second_factor.PASSED_KEY)) or not second_factor.is_required(request.user)
    found: dict[str, Any] = {"base": "plain_page.html", "heading": heading, "is_passed": is_passed}
    if is_passed and request.user.is_staff:
        found |= admin.site.each_context(request) | {"base": "npd/account_page.html", "page_name": heading}
    return found


class Framed:
    """A page about the second factor."""

    heading: str

    def get_context_data(self, **kwargs: Any) -> Any:
        return super().get_context_data(**kwargs) | _frame_of(self.request, self.heading)  # type: ignore[misc, attr-defined]


class Overview(Framed, IndexView):
    """What somebody has beside the password."""

    heading = "Two-factor authentication"

    def get_context_data(self, **kwargs: Any) -> Any:
        """Return it; in the frame its section has the name already."""
        return super().get_context_data(**kwargs) | {"page_name": ""}


class Proven(Framed):
    """A page that asks for a proof of who it is."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Ask with an empty form: the library would store in the session what anybody typed."""
        if request.method == "POST" and not did_recently_reauthenticate(request):
            return redirect(request.path if request.user.is_authenticated else "account_login")
        return never_cache(super().dispatch)(request, *args, **kwargs)  # type: ignore[misc]


class Changing(Proven):
    """A page that changes the second factor, in one session alone."""

    done = ""

    def form_valid(self, form: Any) -> Any:
        with second_factor.changing(self.request, self.done):  # type: ignore[attr-defined]
            return self.change(form)

    def change(self, form: Any) -> Any:
        return super().form_valid(form)  # type: ignore[misc]


class SetUpApp(Changing, ActivateTOTPView):
    """The QR code, and the app's first code."""

    heading = "Add an authenticator app"
    done = "An authenticator app was added."

    def change(self, form: Any) -> Any:
        """Store the app; the code that it was added with signs nobody in any more."""
        if Authenticator.objects.filter(user=self.request.user, type=second_factor.APP).exists():
            return redirect("mfa_index")
        answer = super().change(form)
        added = Authenticator.objects.get(user=self.request.user, type=second_factor.APP)
        added.data["last_step"] = form.step
        added.save()
        return answer


class TurnOffApp(Changing, DeactivateTOTPView):
    """Take the app away, and with the last factor the recovery codes."""

    heading = "Remove the authenticator app"
    done = "The authenticator app was removed."


class AddPasskey(Changing, AddWebAuthnView):
    """A passkey, which signs in alone, or a security key beside the password."""

    heading = "Add a passkey"
    done = "A passkey was added."


class RemovePasskey(Changing, RemoveWebAuthnView):
    heading = "Remove a passkey"
    done = "A passkey was removed."
    success_url = reverse_lazy("mfa_index")


class RenamePasskey(Proven, EditWebAuthnView):
    heading = "Rename a passkey"
    success_url = reverse_lazy("mfa_index")


class NewCodes(Changing, GenerateRecoveryCodesView):
    """Other recovery codes; those of before are worth nothing."""

    heading = "Make new recovery codes"
    done = "New recovery codes made."


@never_cache
@login_required
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Show new recovery codes, once: what is shown again, somebody else may read."""
    try:
        codes = decrypt(request.session.pop(second_factor.SHOWN_KEY, "")).split()
    except KeyChanged:  # or they were shown
        return redirect("mfa_index")
    context_ = {"codes": codes, "lines": "\n".join(codes), **_frame_of(request, "Your recovery codes")}
    return TemplateResponse(request, "npd/recovery_codes.html", context_)


@never_cache
@sensitive_post_parameters()
def change_password(request: HttpRequest) -> HttpResponse:
    """The library's page, which asks for the old password, as often as one may be tried."""
    if request.method == "POST":
        count_password(request)
    answer: Any = PasswordChangeView.as_view(
        form_class=NewPasswordForm,
        success_url=reverse_lazy("admin:password_change_done"),
        extra_context=admin.site.each_context(request),
    )(request)
    return cast("HttpResponse", answer)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Sign out, also of a sign-in under way."""
    was_in = request.user.is_authenticated
    logout(request, show_message=False)
    if not was_in:
        return redirect("account_login")
    return TemplateResponse(request, "registration/logged_out.html")


@never_cache
@require_POST
def begin_at_provider(request: HttpRequest) -> HttpResponse:
    """Send somebody to the identity provider, by a page: of a redirect browsers ask the form's policy, at each step.

    The provider's addresses may be many: not all ask at the issuer's, and some lead on to another provider.
    """
    answer = _in_words(provider_views.login, request, "company")
    if not isinstance(answer, HttpResponseRedirect):
        return answer
    return TemplateResponse(request, "npd/to_provider.html", {"address": answer.url, "provider": settings.OIDC_NAME})


@never_cache
def answer_of_provider(request: HttpRequest, provider_id: str) -> HttpResponse:
    return _in_words(provider_views.callback, request, provider_id)


def _in_words(view: Callable[[HttpRequest, str], HttpResponse], request: HttpRequest, provider_id: str) -> HttpResponse:
    try:
        return view(request, provider_id)
    except NO_ANSWER as error:
        log.warning("the identity provider did not answer as one", kind=type(error).__name__)
        ProviderAdapter(request).on_authentication_error(request, None)
        raise


class Sessions(ListUserSessionsView):
    """The browsers in which somebody is signed in; one is ended, or all others."""

    template_name = "npd/sessions.html"

    def get_context_data(self, **kwargs: Any) -> Any:
        """Return the sessions, the one used last first."""
        found = super().get_context_data(**kwargs)
        found["sessions"].sort(key=lambda one: (one.is_current(), one.last_seen_at), reverse=True)
        for one in found["sessions"]:
            one.browser, one.is_this = browser_name(one.user_agent), one.is_current()
            one.network = one.ip.removesuffix(".0") + ".x" if "." in one.ip else one.ip
        return admin.site.each_context(self.request) | found | {"title": "Where you are signed in"}

    def form_valid(self, form: Any) -> HttpResponse:
        others = UserSession.objects.filter(user=self.request.user).exclude(
            session_key=self.request.session.session_key
        )
        chosen = self.request.POST.get("session")
        ended = [one for one in others if chosen in (None, str(one.pk))]
        for one in ended:
            one.end()
        sentence = humanize.plural(len(ended), "1 session has ended.", f"{len(ended)} sessions have ended.")
        messages.success(self.request, sentence)
        return redirect("usersessions_list")


_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
            ("Linux", "Linux"))  # fmt: skip


def browser_name(agent: str) -> str:
    """Return browser and system as people call them; empty where a browser says neither."""
    names = [next((name for mark, name in marks if mark in agent), "") for marks in (_BROWSERS, _SYSTEMS)]
    return " · ".join(filter(None, names))
