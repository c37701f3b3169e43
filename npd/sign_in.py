"""Sign-in: allauth's adapters, the second factor that a setting requires, and links to set a password.

Limits of wrong passwords and lifetimes are settings: “Sign-in” in config/settings.py.

allauth has no public function for some of this. So this module imports from its `internal` packages and overrides a
private method; requirements.txt pins the version that this was written for.
"""

from collections.abc import Collection
from datetime import timedelta
from threading import BoundedSemaphore
from time import time
from typing import Any, ClassVar

import requests
import structlog
from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from allauth.account.models import EmailAddress
from allauth.account.utils import user_pk_to_url_str
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.base import AuthProcess
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.signals import post_save, pre_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse, reverse_lazy
from django.utils.deprecation import MiddlewareMixin
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from sync.admin.admin_base import path_on_site
from sync.api.errors import error_response
from sync.kernel import mails, secret_texts
from sync.kernel.process import call_within, cut_off
from sync.operations.retention import pruning
from sync.records.authors import log_setting, setting_name
from sync.words.message import Message

log = structlog.get_logger(__name__)
KEY_LOST = "Codes can't be checked, as this server's encryption key was changed. Ask an administrator for help."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Signs in users that administrators have added."""

    error_messages: ClassVar[dict[str, Any]] = DefaultAccountAdapter.error_messages | {
        "username_password_mismatch": "The username or the password is wrong."
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str) -> bool:
        """Lead back to this site alone: allauth allows all of ALLOWED_HOSTS, so the reader's own machine, too."""
        return bool(path_on_site(context.request, url))

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Accept a sign-in of the last minutes instead of asking for the password again."""
        request = context.request
        records = get_authentication_records(request, request.user)
        if records and time() - records[-1]["at"] < app_settings.REAUTHENTICATION_TIMEOUT:
            return False
        if not get_reauthentication_flows(request.user):
            # Users with neither a password nor a second factor would be asked nothing. A new sign-in asks the provider.
            self.logout(request)
        return True

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Count wrong passwords by username alone, in capitals, as the database compares it: “boſs” finds “boss”.

        allauth's key includes the Host header; varying it would reset the limit.
        """
        login: str = credentials.get("email", credentials.get("username", ""))
        return login.upper()


# By how much the identity provider's clock may be ahead.
CLOCK_LEEWAY_SECONDS = 60
# How long a call to the identity provider may take in all, and how many of a process's threads may wait for one.
PROVIDER_SECONDS = 5
PROVIDER_CALLS = BoundedSemaphore(2)
PROVIDER_IS_SILENT = "npd.provider-is-silent"  # in the cache, for half a minute after a call without an answer


class ProviderSession(requests.Session):
    """Calls the identity provider. One that hangs must not take the threads that serve the site.

    What it says of itself is kept for an hour.
    """

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        is_discovery = "/.well-known/" in url
        if is_discovery and (kept := cache.get(url)):
            return kept  # type: ignore[no-any-return]
        if cache.get(PROVIDER_IS_SILENT):
            raise requests.Timeout("The identity provider didn't answer less than half a minute ago.")
        if not PROVIDER_CALLS.acquire(timeout=0.5):
            raise requests.Timeout("Too many sign-ins wait for the identity provider.")
        options |= {"timeout": PROVIDER_SECONDS, "stream": True, "hooks": {"response": cut_off}}
        try:
            answer = call_within(PROVIDER_SECONDS, super().request, method, url, **options)
        except (TimeoutError, requests.ConnectionError, requests.Timeout) as error:
            cache.set(PROVIDER_IS_SILENT, True, 30)
            raise requests.Timeout("The identity provider doesn't answer.") from error
        finally:
            PROVIDER_CALLS.release()
        if is_discovery and is_description(answer):
            cache.set(url, answer, 3_600)
        return answer


def is_description(answer: requests.Response) -> bool:
    """Return whether the identity provider says where it is asked, and not nonsense, which isn't to be kept."""
    try:
        addresses = [answer.json()[name] for name in ("authorization_endpoint", "token_endpoint")]
    except (LookupError, RecursionError, TypeError, ValueError):
        return False
    return answer.ok and all(isinstance(address, str) for address in addresses)


class ProviderAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Signs in existing users by the company's identity provider, which creates no accounts."""

    def get_requests_session(self) -> requests.Session:
        return ProviderSession()

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False

    def authenticate_by_email(self, sociallogin: Any) -> Any:
        """Find the user by an address that the provider has verified.

        allauth counts any claim that isn't empty as a verification, even the text "no". It has written the address in
        small letters, in which one outside ASCII may be another's.
        """
        written = sociallogin.account.get_provider_account().get_user_data().get("email")
        claims = sociallogin.account.extra_data.get("id_token", {})
        sociallogin.email_addresses = [
            address
            for address in sociallogin.email_addresses
            if written.isascii() and (address.verified is True or is_verified_by_entra(address, claims))
        ]
        for address in sociallogin.email_addresses:
            address.verified = True
        return super().authenticate_by_email(sociallogin)

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.state.get("process") != AuthProcess.LOGIN:
            raise PermissionDenied("Signed-in users can't connect accounts.")
        if problem := identity_problem(sociallogin.account.extra_data, sociallogin.provider.app.client_id):
            log.warning("the identity provider's answer is refused", reason=problem)
            raise PermissionDenied(problem)
        # Otherwise the token sits in the session in plain text during the second factor's step.
        sociallogin.token = None


def identity_problem(data: dict[str, Any], client_id: str) -> str:
    """Return why a provider's answer identifies nobody (OpenID Connect Core, 3.1.3.7 and 5.3.2); empty if it does.

    allauth has checked the issuer, the audience and an `exp` that is there.
    """
    claims = data.get("id_token") or {}
    userinfo = data.get("userinfo") or claims
    subject = claims.get("sub")
    begins = claims.get("nbf", 0)
    if not isinstance(subject, str) or not 0 < len(subject) <= SocialAccount._meta.get_field("uid").max_length:
        return "there is no id_token with a sub"
    if userinfo.get("sub") != subject:
        return "the sub of userinfo is another"
    if claims.get("azp", client_id) != client_id:
        return "azp is another client"
    if "exp" not in claims or not isinstance(begins, int | float) or begins > time() + CLOCK_LEEWAY_SECONDS:
        return "it has no exp, or is not valid yet"
    return ""


def is_verified_by_entra(address: EmailAddress, claims: dict[str, Any]) -> bool:
    """Return whether Microsoft Entra has verified the address, which it says in the optional claim `xms_edov`."""
    return claims.get("email") == address.email and claims.get("xms_edov") in (True, 1, "1", "true")


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Stores keys of authenticator apps and seeds of recovery codes encrypted."""

    def encrypt(self, text: str) -> str:
        return secret_texts.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        try:
            return secret_texts.decrypt(encrypted_text)
        except secret_texts.KeyChanged:
            raise ValidationError(KEY_LOST) from None


# Views that REQUIRE_TWO_FACTOR leaves open, by the start of their names: they set it up, or sign out.
VIEWS_ALLOWED_WITHOUT_2FA = (
    "account_login", "account_logout", "account_reauthenticate", "mfa_", "admin:logout", "admin:jsi18n",
)  # fmt: skip

NOT_SET_UP = "This session has no second factor yet. Set it up in the browser, or use an API token."


class RequireTwoFactorMiddleware(MiddlewareMixin):
    """Makes users of the admin set up a second factor before anything else.

    Requests with an API token are exempt: they have no session, and a program has no phone.
    """

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        # Webhooks, cron and probes are called by machines.
        is_browser_path = request.path_info.startswith(("/admin/", "/accounts/", "/api/", "/go/"))
        if not settings.REQUIRE_TWO_FACTOR or not is_browser_path:
            return None
        user = request.user
        factors = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
        if not user.is_authenticated or not user.is_staff or is_mfa_enabled(user, factors):
            return None
        match = request.resolver_match
        if match and match.view_name.startswith(VIEWS_ALLOWED_WITHOUT_2FA):
            return None
        if request.path_info.startswith("/api/"):
            return error_response(403, "second_factor", NOT_SET_UP)
        return redirect("mfa_activate_totp")


def can_sign_in() -> Q:
    """Return the condition for users who have a password, a passkey, or an address at the identity provider."""
    has_passkey = Exists(Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.WEBAUTHN))
    has_password = ~Q(password="") & ~Q(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    ways = has_password | Q(has_passkey)
    return ways | ~Q(email="") if settings.OIDC_SERVER_URL else ways


def remove_second_factor(user: User, *, by: Any) -> bool:
    """Remove a user's second factors and link to the identity provider, and end their sessions.

    Return whether there was a second factor.
    """
    with transaction.atomic():
        had_factor = bool(Authenticator.objects.filter(user=user).delete()[0])
        # The next sign-in by the identity provider links it again.
        SocialAccount.objects.filter(user=user).delete()
        log_setting(by, Message("second_factor_removed" if had_factor else "signed_out", about=setting_name(user)))
        end_sessions(user)
    return had_factor


def remove_provider_link(user: User, *, by: Any) -> None:
    """Remove a user's link to the identity provider, and end their sessions."""
    with transaction.atomic():
        SocialAccount.objects.filter(user=user).delete()
        log_setting(by, Message("provider_link_removed", about=setting_name(user)))
        end_sessions(user)


def address_at_provider(account: SocialAccount) -> str:
    """Return the address with which somebody signed in by the identity provider, else their number there."""
    claims = account.extra_data.get("id_token", {}) | account.extra_data.get("userinfo", {})
    return str(claims.get("email") or account.uid)


def end_sessions(user: User) -> None:
    """End a user's sessions, and sign-ins that wait for the second factor, but not the session of this request."""
    current = getattr(context.request, "session", None)
    current_key = current.session_key if current is not None else None
    for session in Session.objects.exclude(session_key=current_key).iterator():
        data = session.get_decoded()
        pending = data.get(LOGIN_SESSION_KEY, {}).get("user_pk")
        if data.get(SESSION_KEY) == str(user.pk) or pending == user_pk_to_url_str(user):
            session.delete()
    UserSession.objects.filter(user=user).exclude(session_key=current_key).delete()


LINK_LIFETIME = f"{timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT).days} days"


def password_link(user: User) -> str:
    """Return a link by which this user sets a password.

    Django's PasswordResetForm skips users without a usable password.
    """
    key = urlsafe_base64_encode(force_bytes(user.pk))
    return settings.SITE_URL + reverse("npd-set-password", args=[key, default_token_generator.make_token(user)])


def mail_password_link(user: User, link: str) -> str:
    """Send somebody the link; return the problem, or an empty string if it was sent."""
    if mails.writes_emails_to_files():
        return mails.EMAILS_ARE_FILES
    if not user.email:
        return "The user has no email address."
    text = (
        f"You have an account on NPD Sync; your username is {user.get_username()}. Set a password to sign in. "
        f"The link works once, within {LINK_LIFETIME}:\n\n{link}\n"
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
        log_setting(form.user, Message("password_set"))
        messages.success(self.request, "Your password is set. Sign in with it.")
        return super().form_valid(form)


@receiver(post_save, sender=User, dispatch_uid="npd.keep_email_address")
def keep_email_address(
    instance: User, raw: bool = False, update_fields: Collection[str] | None = None, **kwargs: Any
) -> None:
    """Mark the address that an administrator enters for a user as verified.

    Otherwise the first sign-in by the identity provider would remove the user's password.
    """
    if raw or (update_fields is not None and "email" not in update_fields):
        return
    email = instance.email.lower()
    EmailAddress.objects.filter(user=instance).exclude(email=email).delete()
    if email:
        EmailAddress.objects.update_or_create(user=instance, email=email, defaults={"verified": True, "primary": True})


def is_other_address(former: str, email: str) -> bool:
    return former.lower() != email.lower()


@receiver(pre_save, sender=User, dispatch_uid="npd.end_access")
def end_access(instance: User, raw: bool = False, update_fields: Collection[str] | None = None, **kwargs: Any) -> None:
    """End the sessions, and half-done sign-ins, of a user who gets another address or password or is switched off.

    With another address the account may be another person's, so the link to the identity provider ends, too.
    """
    former = None if raw else User.objects.filter(pk=instance.pk).first()
    if former is None:
        return
    is_saved = {name: update_fields is None or name in update_fields for name in ("email", "is_active", "password")}
    gets_other_address = is_saved["email"] and is_other_address(former.email, instance.email)
    if gets_other_address:
        SocialAccount.objects.filter(user=instance).delete()
    gets_other_password = is_saved["password"] and former.password != instance.password
    is_switched_off = is_saved["is_active"] and former.is_active and not instance.is_active
    if gets_other_address or gets_other_password or is_switched_off:
        end_sessions(instance)


@receiver(authenticator_added, dispatch_uid="npd.end_other_sessions_on_enrolment")
def end_other_sessions_on_enrolment(
    user: User, authenticator: Authenticator, request: HttpRequest, **kwargs: Any
) -> None:
    """End sessions that began without the second factor, because somebody else may be using them.

    The code that was typed to add an app is used up, which allauth does at a sign-in only.
    """
    end_sessions(user)
    if authenticator.type == Authenticator.Type.TOTP:
        authenticator.wrap().validate_code(request.POST["code"])


@receiver(pruning, dispatch_uid="npd.reencrypt_second_factors")
def reencrypt_second_factors(**kwargs: Any) -> None:
    """Encrypt keys of apps and seeds of recovery codes with the newest key, so that older keys can be removed."""
    for factor in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN):
        name = "secret" if factor.type == Authenticator.Type.TOTP else "seed"
        if encrypted := secret_texts.reencrypt(factor.data[name]):
            # If a sign-in with a recovery code changes the row meanwhile, the next night does it.
            Authenticator.objects.filter(pk=factor.pk, data=factor.data).update(data=factor.data | {name: encrypted})
