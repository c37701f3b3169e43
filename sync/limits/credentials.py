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
from sync.kernel.acts import ActionError
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.limits import breaker
from sync.models import MondayAccount, StoredSecret
from sync.models.boards_and_account import ALL_CALLS, ALL_WRITES
from sync.words.message import Message

NOT_CONNECTED = Message("not_connected")

NOT_READABLE = Message("token_unreadable")

# What an administrator can do about a token that can't be read.
RESTORE_KEY = Message("restore_key")

# Bounds of what people enter, in characters.
SHORTEST_SECRET = 8
LONGEST_SECRET = 4_096

# Shorter texts are not concealed: that would hide ordinary words, and Monday's secrets are longer.
SHORTEST_CONCEALED = 16


@dataclass(frozen=True)
class TokenState:
    """What pages may show about the token; never the token itself."""

    is_in_environment: bool = False
    is_stored: bool = False
    is_unreadable: bool = False  # only the stored one can be used, and no current key decrypts it
    set_by: str = ""
    set_at: datetime | None = None

    @property
    def is_usable(self) -> bool:
        return self.is_in_environment or (self.is_stored and not self.is_unreadable)


def api_token() -> str:
    """Return the token to call Monday with; empty if none can be used."""
    return settings.MONDAY_API_KEY or _read_secret(API_TOKEN)


def token_mark() -> str:
    """Return a hash by which `MondayAccount.answered_mark` names the token; empty if there is none."""
    token = api_token()
    return salted_hmac("sync.token_mark", token).hexdigest() if token else ""


def webhook_secrets() -> tuple[str, str]:
    """Return the secret part of the webhooks' address and an app's signing secret, each empty if there is none."""
    # If the environment has one of them, both are from there: halves of two pairs would not fit together.
    if settings.MONDAY_WEBHOOK_TOKEN or settings.MONDAY_SIGNING_SECRET:
        return settings.MONDAY_WEBHOOK_TOKEN, settings.MONDAY_SIGNING_SECRET
    return _read_secret(WEBHOOK_TOKEN), ""


def has_token() -> bool:
    return bool(api_token())


def no_token_reason() -> str:
    """Return why Monday can't be called, as a sentence; empty if there is a token."""
    if has_token():
        return ""
    return unreadable_reason() or NOT_CONNECTED


def unreadable_reason() -> str:
    """Return why the stored token can't be read; empty if it can, or isn't needed."""
    return NOT_READABLE if token_state().is_unreadable else ""


def token_state() -> TokenState:
    """Return where the API token is from and since when, by one query."""
    is_in_environment = bool(settings.MONDAY_API_KEY)
    row = StoredSecret.objects.filter(name=API_TOKEN).select_related("set_by").first()
    if row is None:
        return TokenState(is_in_environment)
    user = row.set_by
    return TokenState(
        is_in_environment,
        is_stored=True,
        is_unreadable=not is_in_environment and not _decrypted(row),
        set_by=user.get_full_name() or user.get_username() if user else "",
        set_at=row.set_at,
    )


def check_secret(text: str, label: str) -> str:
    """Return a typed secret without blanks around it; raises ActionError if it can't be one."""
    secret = text.strip()
    conceal(text, secret)
    if not secret:
        raise ActionError(f"{label}: nothing was entered.")
    is_plain = secret.isascii() and secret.isprintable() and " " not in secret
    if not is_plain or not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ActionError(
            f"{label}: this can't be one. It has {SHORTEST_SECRET} to {LONGEST_SECRET:,} letters, digits and signs "
            "without blanks; copy it on Monday again."
        )
    return secret


def store_token(token: str, user: User) -> None:
    """Store a token in place of the former one, and end a stop because of that.

    Webhooks need a secret, so one is made if there is none (`ensure_webhook_secret`).
    """
    with transaction.atomic():
        _write_secret(API_TOKEN, token, user)
        # Until Monday answers the new token, neither its user on Monday nor whether it works is known.
        MondayAccount.objects.filter(id=1).update(user_id="", answered_mark="")
        for kind in (ALL_CALLS, ALL_WRITES):
            breaker.end_stop(breaker.monday_account(), kind, by=user.get_username())
        ensure_webhook_secret(user)


def ensure_webhook_secret(user: User | None = None) -> bool:
    """Store a generated secret for the webhooks' address if there is none; return whether that was needed.

    Without one every delivery is refused.
    """
    if any(webhook_secrets()):
        return False
    with transaction.atomic():
        # Of two at once, the second waits here, and finds the first one's.
        StoredSecret.objects.get_or_create(name=WEBHOOK_TOKEN, defaults={"sealed": encrypt(""), "set_by": user})
        row = StoredSecret.objects.select_for_update().get(name=WEBHOOK_TOKEN)
        if _decrypted(row):
            return False
        _write_secret(WEBHOOK_TOKEN, secrets.token_urlsafe(32), user)
    return True


def remove_token() -> None:
    """Forget the stored token."""
    StoredSecret.objects.filter(name=API_TOKEN).delete()


def conceal(*texts: str) -> None:
    """Hide these texts from now on in this process's logs, error pages and stored errors."""
    concealed = settings.SECRET_TEXTS
    concealed.extend([text for text in texts if len(text) >= SHORTEST_CONCEALED and text not in concealed])


def _read_secret(name: str) -> str:
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


def _write_secret(name: str, text: str, user: User | None) -> None:
    conceal(text)
    values = {"sealed": encrypt(text), "set_at": SyncNow(), "set_by": user}
    StoredSecret.objects.update_or_create(name=name, defaults=values)
