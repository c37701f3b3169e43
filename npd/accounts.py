"""The people who sign in: what allauth asks of us, second factor, groups, and what follows when an account changes."""

from collections.abc import Collection, Iterable
from time import time
from typing import Any

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import get_reauthentication_flows
from allauth.account.models import EmailAddress
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.mfa.utils import is_mfa_enabled
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.base import AuthProcess
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from allauth.usersessions.models import UserSession
from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.migrations import CreateModel
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.deprecation import MiddlewareMixin

from sync import registry
from sync.api.errors import error_response
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt, encrypted_anew
from sync.operations.retention import pruning
from sync.records.authors import log_kind_action

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

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """Count a user's wrong passwords by the user alone: the library adds the host that the browser names."""
        login: str = credentials.get("email", credentials.get("username", ""))
        return login.lower()


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


# The second factor as a duty (REQUIRE_TWO_FACTOR), and taken away from whoever has lost it.

# The names of what opens without it: setting it up, and signing out.
OPEN_WITHOUT = (
    "account_login", "account_logout", "account_reauthenticate", "mfa_", "admin:logout", "admin:jsi18n",
)  # fmt: skip

NOT_SET_UP = "This session has no second factor yet. Set it up in the browser, or use an API token."


class RequireTwoFactorMiddleware(MiddlewareMixin):
    """Lets whoever may open the admin do nothing before a second factor is set up.

    A request with an API token has no session, and none of this: a program has no phone.
    """

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        for_people = request.path_info.startswith(
            ("/admin/", "/accounts/", "/api/", "/go/")
        )  # no webhook, cron or probe
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


def remove_second_factor(user: User, *, by: User) -> bool:
    """Take all of somebody's factors away, and end their sessions; return whether there was one."""
    with transaction.atomic():
        removed = bool(Authenticator.objects.filter(user=user).delete()[0])
        # The next sign-in by the identity provider connects anew.
        removed |= bool(SocialAccount.objects.filter(user=user).delete()[0])
        sentence = "Second factor removed." if removed else "Signed out everywhere; there was no second factor."
        log_kind_action(by, User, sentence, name=user.get_username(), key=user.pk)
        for session in UserSession.objects.filter(user=user):
            session.end()
    return removed


# What happens by itself when an account changes.


@receiver(post_save, sender=User, dispatch_uid="npd.keep_email_address")
def keep_email_address(
    instance: User, raw: bool = False, update_fields: Collection[str] | None = None, **kwargs: Any
) -> None:
    """Count the address that an administrator gives a user as verified.

    Without that, the first sign-in by the identity provider would take the user's password away.
    """
    if raw or (update_fields is not None and "email" not in update_fields):
        return
    email = instance.email.lower()
    EmailAddress.objects.filter(user=instance).exclude(email=email).delete()
    if email:
        EmailAddress.objects.update_or_create(user=instance, email=email, defaults={"verified": True, "primary": True})


@receiver(authenticator_added, dispatch_uid="npd.end_sessions_without_it")
def end_sessions_without_it(request: HttpRequest, user: User, **kwargs: Any) -> None:
    """End the sessions that were begun before there was a second factor: somebody else may be in them."""
    end_other_sessions(request, user)


@receiver(pruning, dispatch_uid="npd.encrypt_second_factors_anew")
def encrypt_second_factors_anew(**kwargs: Any) -> None:
    """Encrypt keys of apps and seeds of recovery codes with the first key, so that an older one can go."""
    for factor in Authenticator.objects.exclude(type=Authenticator.Type.WEBAUTHN):
        name = "secret" if factor.type == Authenticator.Type.TOTP else "seed"
        if sealed := encrypted_anew(factor.data[name]):
            # Whoever signs in just now with a recovery code changes the row: the next night does it.
            Authenticator.objects.filter(pk=factor.pk, data=factor.data).update(data=factor.data | {name: sealed})


# The two groups of permissions: made with the tables, and from then on the administrator's. Who administers is a
# superuser. For an account that may do something else, an administrator makes a group of their own.

_RESOLVE = [
    "npd.view_contact", "npd.view_organization", "sync.view_decision", "conflicts.view_syncconflict",
    "conflicts.change_syncconflict",
]  # fmt: skip

# Their permissions, by Django's names.
GROUPS = {
    "Resolve": _RESOLVE,
    "Edit": [
        *_RESOLVE, "npd.add_contact", "npd.change_contact", "npd.delete_contact", "npd.add_organization",
        "npd.change_organization", "npd.delete_organization", "npd.import_contact", "npd.import_organization",
        "npd.export_contact", "npd.export_organization", "sync.view_syncmetadata", "sync.view_unmatcheditem",
        "sync.view_tombstone",
    ],
}  # fmt: skip


def after_migrate(sender: AppConfig, using: str, plan: Iterable[Any] = (), **kwargs: Any) -> None:
    """Make the groups where this run made NPD's tables, and let them see a synced model whose table it made.

    `plan` holds what was migrated: pairs of a migration, and whether it was undone.
    """
    created = {
        operation.name_lower
        for migration, undone in plan
        if migration.app_label == sender.label and not undone
        for operation in migration.operations
        if isinstance(operation, CreateModel)
    }
    if sender.label == "npd" and "contact" in created:
        make_groups(using)
    synced = {spec.model._meta.model_name for spec in registry.entities() if spec.model._meta.app_label == sender.label}
    if created & synced:
        # This receiver may run before Django's own, which makes the permissions.
        create_permissions(sender, verbosity=0, using=using)
        for group in Group.objects.using(using).filter(name__in=GROUPS):
            group.permissions.add(*_permissions([f"{sender.label}.view_{name}" for name in created & synced], using))


def make_groups(using: str = "default") -> None:
    """Make the groups that are missing, each with its permissions."""
    for app in apps.get_app_configs():
        create_permissions(app, verbosity=0, using=using)
    for name, codenames in GROUPS.items():
        group, is_new = Group.objects.using(using).get_or_create(name=name)
        if is_new:
            group.permissions.set(_permissions(codenames, using))


def _permissions(names: list[str], using: str) -> list[Permission]:
    """The rows of permissions by their names; raises DoesNotExist for one that no model has."""
    objects = Permission.objects.using(using)
    pairs = [name.split(".") for name in names]
    return [objects.get(content_type__app_label=app, codename=codename) for app, codename in pairs]
