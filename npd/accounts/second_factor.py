"""The second factor: what django-allauth lacks of what docs/security.md promises.

Its tables hold the authenticator apps (the key encrypted), the recovery codes (hashed) and the passkeys. Ours are: a
code counts once, in every process and for as long as it is accepted (the library notes it in a cache, for half a minute
of the minute and a half); guesses are closed by a lock that doubles; a lost ENCRYPTION_KEY leaves the recovery codes;
whatever changes a second factor ends the person's other sessions, and sign-ins under way.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from binascii import Error as NoBase32
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused
from typing import Any

import structlog
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value
from allauth.socialaccount.models import SocialAccount
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse

from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.mails import NotSent, send_email
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt, encrypted_anew
from sync.records.authors import log_kind_action

log = structlog.get_logger(__name__)

APP, CODES = Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES
PASSED_KEY = "second_factor"
"""In the session: it was begun with a second factor, or one was set up in it."""
SHOWN_KEY = "recovery_codes"
"""In the session: new recovery codes, encrypted, until they have been shown."""

PERIOD, TOLERANCE_STEPS = 30, 1
"""A code is accepted half a minute late or early: clocks differ."""

MAX_WRONG_CODES, FURTHER_WRONG_CODES = 20, 5
"""Of one person, from all addresses together, until the first lock and then until each further one, which is twice as
long as the one before; the first is more than one address alone may have."""

LONGEST_LOCK = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(days=7)
"""So long after the last wrong code the next lock is the first again."""

SLIPS = 3
"""Wrong codes that a right one takes back: a person's own. All of them would be a guesser's to try anew."""

RECOVERY_CODES = 10
RECOVERY_BYTES = 10
"""80 random bits, so that a hash without a salt can't be guessed."""


class WrongCode(Exception):
    """The code is not the app's of now, was used already, or is none of the recovery codes left."""


class Locked(WrongCode):
    """No code of the app is tried before `until`, as too many were wrong; recovery codes are."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class KeyLost(Exception):
    """The app's key can't be read, as ENCRYPTION_KEY was changed: only recovery codes are accepted."""


def encrypt_anew(**kwargs: Any) -> None:
    """Encrypt the apps' keys with the key of now, so that an older one can go."""
    for app in Authenticator.objects.filter(type=APP):
        if sealed := encrypted_anew(app.data["secret"]):
            # Where somebody is signing in just now, the next night does it.
            Authenticator.objects.filter(pk=app.pk, data=app.data).update(data={**app.data, "secret": sealed})


def has_second_factor(user: Any) -> bool:
    """Whether somebody signs in with a code or a passkey."""
    return bool(Authenticator.objects.filter(user_id=user.pk).exclude(type=CODES).exists())


def is_required(user: Any) -> bool:
    """Whether this person has to have one: the setting asks for it, of who may open the admin."""
    return bool(settings.REQUIRE_TWO_FACTOR and user.is_staff)


def mark_of(user: Any) -> str:
    """Return what a sign-in under way depends on: the password, and the second factors that there are."""
    keys = Authenticator.objects.filter(user_id=user.pk).order_by("pk").values_list("pk", flat=True)
    return hashlib.sha256(f"{user.get_session_auth_hash()} {list(keys)}".encode()).hexdigest()


def verify(user: User, code: str) -> tuple[Authenticator, int]:
    """Accept a code, once; return what it is of, and how many wrong ones came before it, where these closed it.

    Raises WrongCode; Locked, where no code of the app is tried now; and KeyLost where none can be checked.

    Who knows the password and has many addresses could guess for ever, so a lock lasts longer each time, and a right
    code ends none of that: only a new password does, which the guesser doesn't know, or a week without a wrong code.
    Recovery codes can't be guessed, so they are accepted during a lock, too. Nobody without the password brings one
    about.
    """
    with transaction.atomic():
        app, codes = _locked(user)
        moment = sync_now()
        # Without an app there is nothing that could be guessed.
        data = app.data if app else {}
        _forget_failures(data, user, moment)
        until = locked_until(data, moment)
        used = _accepted(app, codes, code, recovery_only=until is not None)
        if used is None and until is None:
            _count_failure(data, user, moment)
        guessed = data["failures"] if data["failures"] >= MAX_WRONG_CODES else 0
        if used and not guessed:
            data["failures"] = max(0, data["failures"] - SLIPS)
        if app:
            app.save()
    if used:
        return used, guessed
    raise Locked(until) if until else WrongCode


def use_code(user: User, code: str) -> Authenticator:
    """Accept a code of somebody who is signed in, once; raises WrongCode, KeyLost.

    A wrong one counts for no lock, and nobody is warned of it: a session that somebody got hold of would keep its owner
    from signing in. Whoever asks for the code limits how many are tried.
    """
    with transaction.atomic():
        app, codes = _locked(user)
        used = _accepted(app, codes, code)
        if used is None:
            raise WrongCode
        if app:
            app.save()
    return used


def log_tried_codes(user: User, number: int) -> None:
    """Leave a line of the last code that is tried in a person's sessions for now."""
    _log(user, user, f"{number} two-factor codes were tried while signed in, the last of them wrong.")


def step_of(key: str, code: str, after: int = -1) -> int | None:
    """Return the time step of a code that is accepted now, where it comes after one; None of a wrong code."""
    now = int(sync_now().timestamp()) // PERIOD
    for step in range(now - TOLERANCE_STEPS, now + TOLERANCE_STEPS + 1):
        if step > after and secrets.compare_digest(f"{hotp_value(key, step):06d}", code):
            return step
    return None


def locked_until(data: dict[str, Any], moment: datetime) -> datetime | None:
    """Return until when no code of the app is tried; None where one is."""
    further, left = divmod(data.get("failures", 0) - MAX_WRONG_CODES, FURTHER_WRONG_CODES)
    if further < 0 or left:
        return None
    # The shift is bounded, for failures aren't: a timedelta overflows.
    until = _failed_at(data) + min(settings.LOGIN_WAIT * (1 << min(further, 10)), LONGEST_LOCK)
    return until if until > moment else None


def _failed_at(data: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(data["failed_at"])


def _forget_failures(data: dict[str, Any], user: User, moment: datetime) -> None:
    password = user.get_session_auth_hash()[:16]
    is_over = "failed_at" not in data or moment - _failed_at(data) > FORGOTTEN_AFTER
    if is_over or data["failed_password"] != password:
        data |= {"failures": 0, "told": 0, "failed_password": password}


def _count_failure(data: dict[str, Any], user: User, moment: datetime) -> None:
    data |= {"failures": data["failures"] + 1, "failed_at": moment.isoformat()}
    if until := locked_until(data, moment):
        span = humanize.time_span((until - moment).total_seconds())
        _log(user, user, f"{data['failures']} wrong two-factor codes: none is tried for {span}.")


def warn_of_wrong_codes() -> int:
    """Tell people by email of codes that were guessed at with their password; return how many were told.

    Each lock is told once, whatever somebody chose to be notified of; of one whose address is refused for good the log
    tells.
    """
    told = 0
    guessed = Authenticator.objects.filter(type=APP, data__failures__gte=MAX_WRONG_CODES)
    for app in guessed.exclude(user__email="").select_related("user"):
        number = app.data["failures"] - (app.data["failures"] - MAX_WRONG_CODES) % FURTHER_WRONG_CODES
        if number <= app.data["told"]:
            continue
        letter = (
            "NPD Sync: wrong codes for your account",
            (
                f"{number} wrong two-factor codes were entered for {app.user.get_username()}, by somebody who knows "
                "the password. If that was not you, change your password. While no code of the app is tried, a "
                "recovery code signs you in.\n\nChange your password: "
                f"{settings.SITE_URL}{reverse('admin:password_change')}\n"
            ),
        )
        told += _tell(app, letter, told=number)
    return told


def tell_turned_on() -> int:
    """Tell people by email of an app or a passkey that was added, as somebody else may have; return how many.

    Each once, and what is older than a day no more.
    """
    told = 0
    waiting = Authenticator.objects.exclude(type=CODES).exclude(data__has_key="announced").exclude(user__email="")
    for added in waiting.filter(created_at__gt=sync_now() - timedelta(days=1)).select_related("user"):
        kind = "An authenticator app" if added.type == APP else "A passkey"
        letter = (
            "NPD Sync: two-factor authentication is on",
            (
                f"{kind} was turned on for {added.user.get_username()}, and all other sessions have ended. If that "
                "was not you, somebody knows your password: ask an administrator to reset two-factor authentication, "
                "and for another password.\n\nYour two-factor authentication: "
                f"{settings.SITE_URL}{reverse('mfa_index')}\n"
            ),
        )
        told += _tell(added, letter, announced=True)
    return told


def _tell(one: Authenticator, letter: tuple[str, str], **facts: Any) -> bool:
    """Send its owner a letter; return whether it was sent. Where nothing more can be done, these facts are noted."""
    problem = is_final = None
    try:
        send_email(one.user.email, *letter)
    except NotSent as why:
        problem = why
        is_final = isinstance(why.__cause__, SMTPRecipientsRefused | ValueError)
    if is_final:
        # Without the address: it is a person's.
        log.warning(
            "not told of their account: the email server does not accept the address", user=one.user.get_username()
        )
    if problem is None or is_final:
        # Locked and read again: a wrong code that is counted at this moment would be forgotten.
        with transaction.atomic():
            if held := Authenticator.objects.select_for_update().filter(pk=one.pk).first():
                held.data |= facts
                held.save()
    return problem is None


@contextmanager
def changing(request: HttpRequest, sentence: str) -> Iterator[None]:
    """Change a second factor within it: of two sessions at one moment the first wins, and ends the other.

    New recovery codes are hashed, and shown once. The session gets another key: one known from before is worth nothing.
    """
    user: Any = request.user
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if not request.session.exists(str(request.session.session_key)):
            raise ImmediateHttpResponse(redirect("account_login"))
        yield
        # What the library makes is derived from a seed, and lost with ENCRYPTION_KEY.
        if codes := Authenticator.objects.filter(user=user, type=CODES, data__has_key="seed").first():
            texts = [b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
            codes.data = {"migrated_codes": [hashed(text) for text in texts]}
            codes.save()
            request.session[SHOWN_KEY] = encrypt(
                " ".join("-".join(t[n : n + 4] for n in range(0, 16, 4)) for t in texts)
            )
        request.session[PASSED_KEY] = has_second_factor(user)
        request.session.cycle_key()
        end_sessions(user.pk, but=request.session.session_key)
        _log(user, user, sentence)


def remove(user: User, *, by: User) -> bool:
    """Take all of somebody's factors away, and end their sessions; return whether there was one."""
    with transaction.atomic():
        removed = bool(Authenticator.objects.filter(user=user).delete()[0])
        # The next sign-in by the identity provider binds anew.
        removed |= bool(SocialAccount.objects.filter(user=user).delete()[0])
        if removed:
            _log(by, user, "Two-factor authentication removed.")
        end_sessions(user.pk)
    return removed


def end_sessions(user_id: Any, *, but: str | None = None) -> int:
    """End a person's sessions but that with this key; return how many."""
    rows = UserSession.objects.filter(user_id=user_id).exclude(session_key=but or "")
    ended = int(Session.objects.filter(session_key__in=list(rows.values_list("session_key", flat=True))).delete()[0])
    rows.delete()
    return ended


def hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _locked(user: User) -> tuple[Authenticator | None, Authenticator | None]:
    # Locked: the same code sent twice at once is accepted once.
    found = Authenticator.objects.select_for_update().filter(user=user, type__in=(APP, CODES)).order_by("pk")
    by_type = {one.type: one for one in found}
    return by_type.get(APP), by_type.get(CODES)


def _accepted(
    app: Authenticator | None, codes: Authenticator | None, code: str, *, recovery_only: bool = False
) -> Authenticator | None:
    plain = "".join(code.split()).replace("-", "").upper()
    if plain.isascii() and plain.isdecimal() and len(plain) == 6:
        if app is None or recovery_only:
            return None
        try:
            step = step_of(decrypt(app.data["secret"]), plain, app.data.get("last_step", -1))
        except (KeyChanged, NoBase32) as error:
            raise KeyLost from error
        if step is None:
            return None
        app.data["last_step"] = step
        return app
    return codes if codes and codes.wrap().validate_code(hashed(plain)) else None


def _log(by: User, user: User, sentence: str) -> None:
    log_kind_action(by, User, sentence, name=user.get_username(), key=user.pk)
