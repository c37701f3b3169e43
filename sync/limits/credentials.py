"""The token for calls to Monday and the secrets that prove its webhooks, from the environment or stored here.

A variable of the environment wins. Secrets entered on a page are stored encrypted and read again at each use, so no
process has to be restarted after a change.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac

from sync.choices import API_TOKEN, WEBHOOK_TOKEN
from sync.clock import SyncNow
from sync.kernel.messages import NOT_CONNECTED, NOT_READABLE, ActionError
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.limits import stops
from sync.models import StoredSecret

LONGEST_SECRET = 4_096  # characters

# In characters. Shorter texts are no secrets of Monday's, and hiding them would hide ordinary words.
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class TokenState:
    """What pages may show about the token; never the token itself."""

    is_in_environment: bool = False
    is_stored: bool = False  # also if the environment's is used
    is_unreadable: bool = False  # it is stored, but no current key decrypts it
    set_by: str = ""
    set_at: datetime | None = None

    @property
    def is_usable(self) -> bool:
        return self.is_in_environment or (self.is_stored and not self.is_unreadable)


def api_token() -> str:
    """Return the token to call Monday with; empty if none can be used."""
    return settings.MONDAY_API_KEY or _stored(API_TOKEN)


def token_mark() -> str:
    """Return a hash that identifies the token; empty if there is none."""
    token = api_token()
    return salted_hmac("sync.token_mark", token).hexdigest() if token else ""


def webhook_secrets() -> tuple[str, str]:
    """Return the secret part of the webhooks' address and an app's signing secret, each empty if there is none."""
    # If the environment has one of them, both are from there: halves of two pairs would not fit together.
    if settings.MONDAY_WEBHOOK_TOKEN or settings.MONDAY_SIGNING_SECRET:
        return settings.MONDAY_WEBHOOK_TOKEN, settings.MONDAY_SIGNING_SECRET
    return _stored(WEBHOOK_TOKEN), ""


def is_configured() -> bool:
    return bool(api_token())


def missing_reason() -> str:
    """Return why Monday can't be called, as a sentence; empty if there is a token."""
    return "" if is_configured() else unusable_reason() or NOT_CONNECTED


def unusable_reason() -> str:
    """Return why the stored token can't be used; empty if there is none, or it can."""
    return NOT_READABLE if token_state().is_unreadable else ""


def token_state() -> TokenState:
    """Return where the API token is from and since when, by one query."""
    row = StoredSecret.objects.filter(name=API_TOKEN).select_related("set_by").first()
    is_in_environment = bool(settings.MONDAY_API_KEY)
    if row is None:
        return TokenState(is_in_environment)
    user = row.set_by
    set_by = ""
    if user is not None:
        set_by = user.get_full_name() or user.get_username()
    is_unreadable = not (is_in_environment or _decrypted(row))
    return TokenState(is_in_environment, True, is_unreadable, set_by=set_by, set_at=row.set_at)


def check_secret(text: str, label: str) -> str:
    """Return a typed secret without blanks around it; raises ActionError if it can't be one."""
    conceal(text, text.strip())
    secret = text.strip()
    if not secret:
        raise ActionError(f"{label}: nothing was entered.")
    if not secret.isascii() or not secret.isprintable() or " " in secret or not 8 <= len(secret) <= LONGEST_SECRET:
        raise ActionError(
            f"{label}: this can't be one. It has 8 to {LONGEST_SECRET:,} letters, digits and signs without blanks; "
            "copy it on Monday again."
        )
    return secret


def store_token(token: str, user: User) -> None:
    """Store a token in place of the former one.

    A stop because of the former token ends; the new token's user isn't known until Monday answers. Webhooks need a
    secret, so one is made if there is none.
    """
    with transaction.atomic():
        _store(API_TOKEN, token, user)
        stops.end_account_stop(by=user.get_username(), user_id="", answered_mark="")
        if not any(webhook_secrets()):
            _store(WEBHOOK_TOKEN, secrets.token_urlsafe(32), user)


def remove_token() -> None:
    """Forget the stored token."""
    StoredSecret.objects.filter(name=API_TOKEN).delete()


def conceal(*texts: str) -> None:
    """Hide these texts from now on in this process's logs, error pages and stored errors."""
    secret_texts = settings.SECRET_TEXTS
    secret_texts += [text for text in texts if len(text) >= SHORTEST_SECRET and text not in secret_texts]


def _stored(name: str) -> str:
    """Return a stored secret; empty if there is none, or no current key decrypts it."""
    row = StoredSecret.objects.filter(name=name).first()
    return _decrypted(row) if row else ""


def _decrypted(row: StoredSecret) -> str:
    """Return the row's secret; empty if no current key decrypts it."""
    try:
        text = decrypt(row.sealed)
    except KeyChanged:
        return ""
    conceal(text)
    return text


def _store(name: str, text: str, user: User) -> None:
    conceal(text)
    values = {"sealed": encrypt(text), "set_at": SyncNow(), "set_by": user}
    StoredSecret.objects.update_or_create(name=name, defaults=values)
