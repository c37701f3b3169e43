"""The token to call Monday with, and the secrets that prove its deliveries: the environment's, or those stored here.

Nobody else hands them out. A variable of the environment wins. What was entered on a page is stored encrypted and read
again at each use, so every process has it from its next call on, and nothing is restarted.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.crypto import salted_hmac

from sync.choices import API_TOKEN, WEBHOOK_TOKEN
from sync.clock import SyncNow
from sync.kernel.messages import NOT_CONNECTED, NOT_READABLE, ActionError
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.models import Decision, MondayAccount, StoredSecret
from sync.models.activity import STOP_END_KIND, STOP_KIND, log_event

LONGEST_SECRET = 4_096

# Characters. What is shorter is none that Monday makes, and hiding it would hide a word wherever it is written.
SHORTEST_SECRET = 16


@dataclass(frozen=True)
class TokenState:
    """What a page may say of the token: never the token itself."""

    is_in_environment: bool = False
    is_stored: bool = False  # also where the environment's is used
    is_unreadable: bool = False  # it is stored, and no key of now opens it
    set_by: str = ""
    set_at: datetime | None = None

    @property
    def is_usable(self) -> bool:
        return self.is_in_environment or (self.is_stored and not self.is_unreadable)


def conceal(*texts: str) -> None:
    """From here on these are secrets for this process's logs, error pages and stored errors."""
    secret_texts = settings.SECRET_TEXTS
    secret_texts += [text for text in texts if len(text) >= SHORTEST_SECRET and text not in secret_texts]


def _stored(name: str) -> str:
    """A stored secret; empty where there is none, or no key of now opens it."""
    row = StoredSecret.objects.filter(name=name).first()
    return _decrypted(row) if row else ""


def _decrypted(row: StoredSecret) -> str:
    """Empty where no key of now opens it; the pages say so, and what to do."""
    try:
        text = decrypt(row.sealed)
    except KeyChanged:
        return ""
    conceal(text)
    return text


# What calls and deliveries ask for.


def api_token() -> str:
    """Return the token to call Monday with; empty where there is none that can be used."""
    return settings.MONDAY_API_KEY or _stored(API_TOKEN)


def token_mark() -> str:
    """Return what tells this token from any other, and nothing else of it; empty where there is none."""
    token = api_token()
    return salted_hmac("sync.token_mark", token).hexdigest() if token else ""


def webhook_secrets() -> tuple[str, str]:
    """Return the secret part of the webhooks' address and an app's signing secret; each empty where there is none."""
    # The environment decides both where it names one: half of a pair from elsewhere would fit to nothing.
    if settings.MONDAY_WEBHOOK_TOKEN or settings.MONDAY_SIGNING_SECRET:
        return settings.MONDAY_WEBHOOK_TOKEN, settings.MONDAY_SIGNING_SECRET
    return _stored(WEBHOOK_TOKEN), ""


def is_configured() -> bool:
    return bool(api_token())


def missing_reason() -> str:
    """Return why Monday can't be called, as a sentence; empty where there is a token."""
    return "" if is_configured() else unusable_reason() or NOT_CONNECTED


def unusable_reason() -> str:
    """Return why the token that is stored can't be used; empty where there is none, or it can."""
    return NOT_READABLE if token_state().is_unreadable else ""


# What pages ask for.


def token_state() -> TokenState:
    """Where the API token is from, and since when; one query."""
    row = StoredSecret.objects.filter(name=API_TOKEN).select_related("set_by").first()
    is_in_environment = bool(settings.MONDAY_API_KEY)
    if row is None:
        return TokenState(is_in_environment)
    user = row.set_by
    set_by = user.get_full_name() or user.get_username() if user else ""
    is_unreadable = not (is_in_environment or _decrypted(row))
    return TokenState(is_in_environment, True, is_unreadable, set_by=set_by, set_at=row.set_at)


# What a person enters, and takes away.


def check_secret(text: str, label: str) -> str:
    """Return what was typed, without blanks around it; raises ActionError where it can't be such a secret."""
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
    """Keep a token, in place of what was there.

    What stopped the former one says nothing of it, and whose it is, is not known until Monday answers it. Deliveries
    need a secret of some kind: one is made where there is none.
    """
    with transaction.atomic():
        _store(API_TOKEN, token, user)
        end_stop(by=user.get_username(), user_id="", answered_mark="")
        if not any(webhook_secrets()):
            _store(WEBHOOK_TOKEN, secrets.token_urlsafe(32), user)


def remove_token() -> None:
    """Forget the stored token."""
    StoredSecret.objects.filter(name=API_TOKEN).delete()


def _store(name: str, text: str, user: User) -> None:
    conceal(text)
    values = {"sealed": encrypt(text), "set_at": SyncNow(), "set_by": user}
    StoredSecret.objects.update_or_create(name=name, defaults=values)


# The account's row while nothing stops it.
NO_STOP: Mapping[str, Any] = {
    "stopped_until": None,
    "stop_reason": "",
    "stop_code": "",
    "stopped_since": None,
    "needs_probe": False,
    "only_writes": False,
    "failures": 0,
}


def end_stop(*, by: str = "", **changed: Any) -> bool:
    """End what stops the account, and tell Activity the end of what it was told."""
    rows = MondayAccount.objects.filter(id=1)
    with transaction.atomic():
        # Locked: of two who end it at once, the second finds none, and tells nothing.
        since = rows.select_for_update().values_list("stopped_since", flat=True).first()
        ended = rows.update(**{**NO_STOP, **changed})
        events = Decision.objects.filter(entity_id=None, entity_type="", kind__in=(STOP_KIND, STOP_END_KIND))
        # Told by an earlier cause of this stop, perhaps, of which the present one made no news.
        if since and events.order_by("-at", "-id").values_list("kind", flat=True).first() == STOP_KIND:
            log_event(STOP_END_KIND, "Sync goes on.", by=by)
    return bool(ended)
