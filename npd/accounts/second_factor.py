"""The second factor: a code of an authenticator app (TOTP, RFC 6238) or one of the recovery codes.

The algorithm is django-otp's; its tables are not used, as they keep the key and the recovery codes in clear text. What
a session has proved is in the session (`SESSION_KEY`), so that no request asks the database for it.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from urllib.parse import quote

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.urls import reverse
from django_otp.oath import TOTP

from npd.accounts.models import SecondFactor
from npd.accounts.signed_in import end_sessions
from sync.clock import sync_now
from sync.kernel import humanize
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.operations.notifications import message_id
from sync.operations.notifications.letters import Letter, Outcome, person_letter, send_email
from sync.records.authors import log_kind_action

log = structlog.get_logger(__name__)

SESSION_KEY = "second_factor"
OFFER_KEY = "second_factor_offer"
KEY_BYTES = 20
TOLERANCE_STEPS = 1
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


class Proof(StrEnum):
    """What a session has proved."""

    NONE = "none"
    NEEDED = "needed"
    PASSED = "passed"


class WrongCode(Exception):
    """The code is not the app's of now, was used already, or is none of the recovery codes left."""


class Locked(WrongCode):
    """No code of the app is tried before `until`, as too many were wrong; recovery codes are."""

    def __init__(self, until: datetime) -> None:
        super().__init__()
        self.until = until


class KeyLost(Exception):
    """The app's key can't be read, as ENCRYPTION_KEY was changed: only recovery codes are accepted."""


def has_second_factor(user: Any) -> bool:
    """Whether somebody signs in with a code."""
    return SecondFactor.objects.filter(user_id=user.pk).exists()


def proof_of(session: SessionBase, user: Any) -> Proof:
    """Return what this session of this person has proved; of one that has just begun, what is needed."""
    if SESSION_KEY not in session:
        session[SESSION_KEY] = str(Proof.NEEDED if has_second_factor(user) else Proof.NONE)
    return Proof(session[SESSION_KEY])


def is_required(user: Any) -> bool:
    """Whether this person has to have one: the setting asks for it, of who may open the admin."""
    return bool(settings.REQUIRE_TWO_FACTOR and user.is_staff)


def offer(user: User, session: SessionBase) -> SecondFactor:
    """Return the factor that this person is about to set up, not stored yet: its key is this session's alone.

    A key that other sessions were shown, too, would be known to whoever has been in one of them.
    """
    factor = SecondFactor(user=user, sealed_key=session.get(OFFER_KEY, ""), last_step=-1)
    try:
        _key(factor)
    # None was offered yet, or ENCRYPTION_KEY was changed since.
    except KeyChanged:
        factor.sealed_key = session[OFFER_KEY] = encrypt(secrets.token_bytes(KEY_BYTES).hex())
    return factor


def app_key(factor: SecondFactor) -> str:
    """Return the key as it is typed into an app."""
    return b32encode(_key(factor)).decode()


def app_address(factor: SecondFactor) -> str:
    """Return what the QR code says."""
    label = quote(f"NPD Sync:{factor.user.get_username()}")
    return f"otpauth://totp/{label}?secret={app_key(factor)}&issuer=NPD%20Sync&algorithm=SHA1&digits=6&period=30"


def confirm(user: User, code: str, session: SessionBase) -> list[str]:
    """Store the offered factor, begin to ask for codes, and return the recovery codes: they are shown this once.

    Raises WrongCode, also where another session was first. The person's other sessions end: they were begun without
    a code.
    """
    factor = offer(user, session)
    if not _is_accepted(factor, code):
        raise WrongCode
    codes = _new_codes(factor)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # of two sessions at one moment, one is first
        if has_second_factor(user):
            raise WrongCode
        factor.confirmed_at, factor.turned_on_told = sync_now(), False
        factor.save(force_insert=True)
        _log(user, user, "Two-factor authentication turned on.")
    del session[OFFER_KEY]
    # In this order: passing gives the session another key, which is the one to keep.
    pass_session(session)
    end_sessions(user.pk, but=session.session_key)
    return codes


def verify(user: User, code: str) -> int:
    """Accept a code, once; return how many wrong ones were typed before it, where these closed it.

    Raises WrongCode; Locked, where no code of the app is tried now; and KeyLost where none can be checked.

    Who knows the password and has many addresses could guess for ever, so a lock lasts longer each time, and a right
    code ends none of that: only a new password does, which the guesser doesn't know, or a week without a wrong code.
    Recovery codes can't be guessed, so they are accepted during a lock, too. Nobody without the password brings one
    about.
    """
    with transaction.atomic():
        # Locked: the same code sent twice at once is accepted once.
        factor = SecondFactor.objects.select_for_update().filter(user=user).first()
        if factor is None:
            raise WrongCode
        moment = sync_now()
        _forget_failures(factor, user, moment)
        until = locked_until(factor, moment)
        is_right = _is_accepted(factor, code, recovery_only=until is not None)
        if not is_right and until is None:
            _count_failure(factor, user, moment)
        guessed = factor.failures if factor.failures >= MAX_WRONG_CODES else 0
        if is_right and not guessed:
            factor.failures = max(0, factor.failures - SLIPS)
        factor.save()
    if is_right:
        return guessed
    raise Locked(until) if until else WrongCode


def use_code(user: User, code: str) -> None:
    """Accept a code of somebody who is signed in, once; raises WrongCode, KeyLost.

    A wrong one counts for no lock, and nobody is warned of it: a session that somebody got hold of would keep its owner
    from signing in. Whoever asks for the code limits how many are tried.
    """
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user=user).first()
        if factor is None or not _is_accepted(factor, code):
            raise WrongCode
        factor.save()


def log_tried_codes(user: User, number: int) -> None:
    """Leave a line of the last code that is tried in a person's sessions for now."""
    _log(user, user, f"{number} two-factor codes were tried while signed in, the last of them wrong.")


def locked_until(factor: SecondFactor, moment: datetime) -> datetime | None:
    """Return until when no code of the app is tried; None where one is."""
    further, left = divmod(factor.failures - MAX_WRONG_CODES, FURTHER_WRONG_CODES)
    if further < 0 or left or factor.failed_at is None:
        return None
    until = factor.failed_at + _lock(further)
    return until if until > moment else None


def _lock(further: int) -> timedelta:
    cool_off: timedelta = settings.AXES_COOLOFF_TIME
    # The shift is bounded, for failures aren't: a timedelta overflows long before the column does.
    return min(cool_off * (1 << min(further, 10)), LONGEST_LOCK)


def _forget_failures(factor: SecondFactor, user: User, moment: datetime) -> None:
    password = user.get_session_auth_hash()[:16]
    is_over = factor.failed_at is None or moment - factor.failed_at > FORGOTTEN_AFTER
    if is_over or factor.failed_password != password:
        factor.failures, factor.told, factor.failed_password = 0, 0, password


def _count_failure(factor: SecondFactor, user: User, moment: datetime) -> None:
    factor.failures, factor.failed_at = factor.failures + 1, moment
    if until := locked_until(factor, moment):
        span = humanize.time_span((until - moment).total_seconds())
        _log(user, user, f"{factor.failures} wrong two-factor codes: none is tried for {span}.")


def warn_of_wrong_codes() -> int:
    """Tell people by email of codes that were guessed at with their password; return how many were told.

    Each lock is told once, whatever somebody chose to be notified of; of one whose address is refused for good the log
    tells.
    """
    told = 0
    for factor in SecondFactor.objects.filter(failures__gte=MAX_WRONG_CODES).select_related("user"):
        number = factor.failures - (factor.failures - MAX_WRONG_CODES) % FURTHER_WRONG_CODES
        if number <= factor.told or not factor.user.email:
            continue
        letter = person_letter(
            "wrong codes for your account",
            f"{number} wrong two-factor codes were entered for {factor.user.get_username()}, by somebody who knows the "
            "password. If that was not you, change your password. While no code of the app is tried, a recovery code "
            "signs you in.",
            "Change your password",
            reverse("admin:password_change"),
        )
        outcome = _write(factor.user, letter, message_id("codes", factor.pk, number, factor.failed_at))
        if outcome.is_sent or outcome.is_final:
            SecondFactor.objects.filter(pk=factor.pk, told=factor.told).update(told=number)
        told += outcome.is_sent
    return told


def tell_turned_on() -> int:
    """Tell people by email that their second factor was turned on, as somebody else may have; return how many.

    Each once, and what is older than a day no more.
    """
    told = 0
    waiting = SecondFactor.objects.filter(turned_on_told=False, confirmed_at__gt=sync_now() - timedelta(days=1))
    for factor in waiting.exclude(user__email="").select_related("user"):
        letter = person_letter(
            "two-factor authentication is on",
            f"Two-factor authentication was turned on for {factor.user.get_username()}, and all other sessions have "
            "ended. If that was not you, somebody knows your password: ask an administrator to reset two-factor "
            "authentication, and for another password.",
            "Your two-factor authentication",
            reverse("npd-two-factor-set-up"),
        )
        outcome = _write(factor.user, letter, message_id("two-factor-on", factor.pk, factor.confirmed_at))
        if outcome.is_sent or outcome.is_final:
            SecondFactor.objects.filter(pk=factor.pk).update(turned_on_told=True)
        told += outcome.is_sent
    return told


def _write(user: User, letter: Letter, id_of_message: str) -> Outcome:
    outcome = send_email(user.email, letter, id_of_message)
    if outcome.is_final:
        # Without the address: it is a person's.
        log.warning("not told of their account: the mail server does not accept the address", user=user.get_username())
    return outcome


def renew_recovery_codes(user: User) -> list[str]:
    """Return new recovery codes; those of before are worth nothing."""
    with transaction.atomic():
        # Locked, for save() writes every column: a wrong code that is counted at this moment would be forgotten.
        factor = SecondFactor.objects.select_for_update().get(user=user)
        codes = _new_codes(factor)
        factor.save()
        _log(user, user, "New recovery codes made.")
    return codes


def remove(user: User, *, by: User, session: SessionBase | None = None) -> bool:
    """Take somebody's factor away, and end their sessions but this one; return whether there was one."""
    with transaction.atomic():
        removed = bool(SecondFactor.objects.filter(user=user).delete()[0])
        if removed:
            _log(by, user, "Two-factor authentication removed.")
    if session is not None:
        session[SESSION_KEY] = str(Proof.NONE)
    end_sessions(user.pk, but=session.session_key if session is not None else None)
    return removed


def pass_session(session: SessionBase) -> None:
    """The session has proved who it is; its key is a new one, so that one known from before is worth nothing."""
    session.cycle_key()
    session[SESSION_KEY] = str(Proof.PASSED)
    session.save()


def _key(factor: SecondFactor) -> bytes:
    return bytes.fromhex(decrypt(factor.sealed_key))


def _is_accepted(factor: SecondFactor, code: str, *, recovery_only: bool = False) -> bool:
    plain = "".join(code.split()).replace("-", "").upper()
    if plain.isascii() and plain.isdecimal() and len(plain) == 6:
        if recovery_only:
            return False
        try:
            totp = TOTP(_key(factor))
        except KeyChanged as error:
            raise KeyLost from error
        totp.time = sync_now().timestamp()
        if totp.verify(int(plain), TOLERANCE_STEPS, factor.last_step + 1):
            factor.last_step = totp.t()
            return True
    elif (hashed := _hash(plain)) in factor.recovery:
        factor.recovery.remove(hashed)
        return True
    return False


def _new_codes(factor: SecondFactor) -> list[str]:
    codes = [b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    factor.recovery = [_hash(code) for code in codes]
    return ["-".join(code[n : n + 4] for n in range(0, len(code), 4)) for code in codes]


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _log(by: User, user: User, sentence: str) -> None:
    log_kind_action(by, User, sentence, name=user.get_username(), key=user.pk)
