"""What happens by itself when an account changes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added
from allauth.usersessions.internal.flows.sessions import end_other_sessions
from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest

from sync.kernel.secret_texts import encrypted_anew
from sync.operations.retention import pruning


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
