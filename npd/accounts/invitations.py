"""Inviting a colleague: an account without a password, with a role, and a link by email by which its person sets one.

The link is Django's token of a password reset, under a salt of its own: it works once, for some days, and until another
one is made. It stands in the email alone, unless none can be sent: then who invites is shown it, once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.admin.models import ADDITION
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Case, Q, QuerySet, When
from django.urls import reverse
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from sync.kernel import humanize
from sync.kernel.mails import NotSent, are_emails_files, send_email
from sync.models.state import PEOPLE_KIND, log_event
from sync.records.authors import log_action


@dataclass(frozen=True)
class Role:
    """A group that the migrations make, as an invitation offers it: a title, and what its members may do."""

    group: str
    title: Any
    about: Any


ROLES: Sequence[Role] = (
    Role(
        "NPD Sync: view",
        "View",
        "sees all contacts, organizations, activity and the state of the sync, and exports lists; changes nothing.",
    ),
    Role(
        "NPD Sync: resolve conflicts",
        "Resolve conflicts",
        (
            "sees all contacts, organizations and activity; resolves conflicts and rejected values by choosing what is "
            "offered, but nothing that deletes a record or an item; changes nothing else."
        ),
    ),
    Role(
        "NPD Sync: edit contacts",
        "Edit contacts",
        "adds, changes, deletes and imports contacts and organizations; resolves conflicts and rejected values.",
    ),
    Role(
        "NPD Sync: operate",
        "Operate",
        (
            "sees what View sees; retries jobs, pauses the sync, approves deletions, ignores unmatched items, and says "
            "which boards and columns are synced."
        ),
    ),
)
"""What is offered, from the least on; other groups are an administrator's own."""


def role_of(group: str) -> Role | None:
    return next((role for role in ROLES if role.group == group), None)


def by_role(groups: QuerySet[Group]) -> QuerySet[Group]:
    """Return groups as they are listed everywhere: the roles in their order, then others by name."""
    roles = Case(*(When(name=one.group, then=place) for place, one in enumerate(ROLES)), default=len(ROLES))
    return groups.order_by(roles, "name")


def role_titles(user: User) -> str:
    """Return what the user's groups are called: roles by their titles; empty without any."""
    found = (role_of(group.name) or group for group in user.groups.all())
    return ", ".join(str(getattr(one, "title", one)) for one in found)


class _InvitationTokens(PasswordResetTokenGenerator):
    """A token that another password ends: it is made of the stored one."""

    key_salt = "npd.accounts.invitations"


tokens = _InvitationTokens()

IN_A_FILE = "No email server is set up: the email is written as a file into var/mail."


@dataclass(frozen=True)
class Invitation:
    """An invitation that was made: until when its link works; of one that no email could bring, why, and the link."""

    user: User
    until: datetime
    problem: str = ""
    link: str = ""


def invite(by: User, email: str, group: Group, *, first_name: str = "", last_name: str = "") -> Invitation:
    """Make an account for the person with this address, and send the link; raises ValidationError."""
    known = ValidationError("There is a user with this address already. Find them under Users.")
    if User.objects.filter(Q(username__iexact=email) | Q(email__iexact=email)).exists():
        raise known
    try:
        user = _create(by, email, group, first_name, last_name)
    except IntegrityError as at_once:  # somebody else invited them just now
        raise known from at_once
    return _send(user, by)


def _create(by: User, email: str, group: Group, first_name: str, last_name: str) -> User:
    with transaction.atomic():
        user = User.objects.create_user(
            email.lower(), email, None, first_name=first_name, last_name=last_name, is_staff=True
        )  # without a password
        user.groups.add(group)
        log_action(by, user, f"Invited, as “{group.name}”.", flag=ADDITION)
        said = f"Invited {user.get_full_name() or user}, as “{role_titles(user) or group.name}”."
        log_event(PEOPLE_KIND, said, by=by.get_username())
    return user


def is_invited(user: User) -> bool:
    """Whether somebody was invited and has set no password yet."""
    return user.is_active and user.is_staff and not user.has_usable_password() and user.last_login is None


def invite_again(by: User, user: User) -> Invitation:
    """Make another link; the one before ends."""
    user.password = make_password(None)
    user.save(update_fields=["password"])
    log_action(by, user, "Invited again.")
    return _send(user, by)


def _send(user: User, by: User) -> Invitation:
    until = timezone.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT)
    key = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("npd-invitation", args=[key, tokens.make_token(user)])
    provider = f" With {settings.OIDC_NAME} you can sign in without one." if settings.OIDC_SERVER_URL else ""
    role = f", your role “{titles}”" if (titles := role_titles(user)) else ""
    subject = f"NPD Sync: {by.get_full_name() or by.get_username()} invites you"
    text = (
        f"You have an account on NPD Sync, which keeps contacts and organizations the same here and on Monday. Your "
        f"username is {user.get_username()}{role}. Set a password to sign in: the link works once, until "
        f"{humanize.day_and_time(until)}.{provider}\n\nSet your password: {settings.SITE_URL}{path}\n"
    )
    problem = IN_A_FILE if are_emails_files() else ""  # its person gets none
    try:
        send_email(user.email, subject, text)
    except NotSent as why:
        problem = str(why)
    return Invitation(user, until, problem, f"{settings.SITE_URL}{path}" if problem else "")
