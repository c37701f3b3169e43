"""With what Monday is called, and its deliveries are checked: the environment's secrets, or those entered on a page.

Nobody else hands them out. A variable of the environment wins. What was entered is stored encrypted and read again at
each use, so every process has it from its next call on, and nothing is restarted.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Q
from django.utils.crypto import salted_hmac

from sync import connectors
from sync.choices import SecretName
from sync.clock import SyncNow, sync_now
from sync.connectors.base.connector import OAuthApp, OAuthGrant
from sync.connectors.base.errors import AuthorizationRejected, ConnectorError
from sync.kernel.messages import TOKEN_SENTENCES, ActionError, Conflict, TokenProblem
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.models import Decision, MondayAccount, StoredSecret
from sync.models.state import STOP_END_KIND, STOP_KIND, log_event
from sync.registry import is_sandbox, monday_web_url

log = structlog.get_logger(__name__)

REFRESH_BEFORE = timedelta(minutes=5)
"""An access token is replaced so long before its end, as Monday recommends."""

REFRESH_CLAIM = timedelta(seconds=60)
"""For so long one process may take to replace it; the others go on with the old one meanwhile."""

LONGEST_SECRET = 4_096

_VARIABLES: Mapping[SecretName, str] = {
    SecretName.API_TOKEN: "MONDAY_API_KEY",
    SecretName.WEBHOOK_TOKEN: "MONDAY_WEBHOOK_TOKEN",
    SecretName.SIGNING_SECRET: "MONDAY_SIGNING_SECRET",
    SecretName.CLIENT_ID: "MONDAY_CLIENT_ID",
    SecretName.CLIENT_SECRET: "MONDAY_CLIENT_SECRET",
}

# Of these the environment decides all where it names one: half of a pair from elsewhere would fit to nothing.
_TOGETHER = (
    frozenset({SecretName.WEBHOOK_TOKEN, SecretName.SIGNING_SECRET}),
    frozenset({SecretName.CLIENT_ID, SecretName.CLIENT_SECRET}),
    frozenset({SecretName.API_TOKEN, SecretName.REFRESH_TOKEN}),
)


class Source(StrEnum):
    """Where a secret is from, or why there is none."""

    NONE = "none"
    ENVIRONMENT = "environment"
    STORED = "stored"
    UNREADABLE = "unreadable"
    ENDED = "ended"


@dataclass(frozen=True)
class CredentialState:
    """What a page may say of a secret: never the secret. `is_stored` also where the environment's is used."""

    source: Source = Source.NONE
    set_by: str = ""
    set_at: datetime | None = None
    expires_at: datetime | None = None
    is_stored: bool = False
    is_app: bool = False
    is_renewed: bool = False
    """Whether an app's token is replaced before it ends."""

    @property
    def is_usable(self) -> bool:
        return self.source in (Source.ENVIRONMENT, Source.STORED)


def _variable(name: SecretName) -> str:
    return str(getattr(settings, _VARIABLES.get(name, ""), "") or "")


def _is_of_environment(names: Iterable[SecretName]) -> bool:
    return any(_variable(name) for name in names)


def _read(*names: SecretName) -> dict[SecretName, str]:
    """These secrets, those that there are; one query, and none where the environment decides."""
    if _is_of_environment(next(group for group in _TOGETHER if names[0] in group)):
        return {name: text for name in names if (text := _variable(name))}
    found = {}
    for row in StoredSecret.objects.filter(name__in=names):
        text = _decrypted(row)
        if text:
            found[SecretName(row.name)] = text
    return found


def _decrypted(row: StoredSecret) -> str:
    """Empty where no key of now opens it; the pages say so, and what to do."""
    try:
        text = decrypt(row.sealed)
    except KeyChanged:
        return ""
    conceal(text)
    return text


SHORTEST_SECRET = 16
"""Characters. What is shorter is none that Monday makes, and hiding it would hide a word wherever it is written."""


def conceal(*texts: str) -> None:
    """From here on these are secrets for this process's logs, error pages and stored errors."""
    known = settings.SECRET_TEXTS
    known += [text for text in texts if len(text) >= SHORTEST_SECRET and text not in known]


# What calls and deliveries ask for.


def api_token() -> str:
    """The token to call Monday with; empty where there is none that can be used."""
    if token := _variable(SecretName.API_TOKEN):
        return token
    row = StoredSecret.objects.filter(name=SecretName.API_TOKEN).first()
    if row is None or (row.expires_at and row.expires_at <= sync_now() and not _can_be_refreshed()):
        return ""
    return _decrypted(row)


def fresh_api_token() -> str:
    """The same for a call that is about to be made: an app's token that is about to end is replaced before."""
    if not _variable(SecretName.API_TOKEN) and not connection.in_atomic_block:
        # Not in somebody's transaction: taken back, it would lose the new refresh token, and the old is used up.
        _refresh_if_due()
    return api_token()


def token_mark() -> str:
    """What tells this token from any other, and nothing else of it; empty where there is none."""
    token = api_token()
    return salted_hmac("sync.token_mark", token).hexdigest() if token else ""


def webhook_secrets() -> tuple[str, str]:
    """The secret part of the webhooks' address and the app's signing secret; each empty where there is none."""
    found = _read(SecretName.WEBHOOK_TOKEN, SecretName.SIGNING_SECRET)
    return found.get(SecretName.WEBHOOK_TOKEN, ""), found.get(SecretName.SIGNING_SECRET, "")


def oauth_app() -> OAuthApp | None:
    """The app by which people can connect, where its ID and secret are set."""
    found = _read(SecretName.CLIENT_ID, SecretName.CLIENT_SECRET)
    if len(found) < 2:
        return None
    page_url = url = connectors.get().sign_in_url
    if is_sandbox():
        page_url, url = monday_web_url(), settings.MONDAY_API_URL.removesuffix("/v2")
    return OAuthApp(found[SecretName.CLIENT_ID], found[SecretName.CLIENT_SECRET], url, page_url)


def is_configured() -> bool:
    return bool(api_token())


def missing_reason() -> str:
    """Why Monday can't be called, as a sentence; empty where there is a token."""
    return "" if is_configured() else unusable_reason() or TOKEN_SENTENCES[TokenProblem.NONE]


def unusable_reason() -> str:
    """Why the token that is stored can't be used; empty where there is none, or it can."""
    source = token_state().source
    return TOKEN_SENTENCES[TokenProblem(source)] if source in (Source.UNREADABLE, Source.ENDED) else ""


# What pages ask for.


def token_state() -> CredentialState:
    """Where the API token is from, and since when; two queries at most."""
    return states(SecretName.API_TOKEN)[SecretName.API_TOKEN]


def states(*names: SecretName) -> dict[SecretName, CredentialState]:
    """How these secrets are; one query, and one more for an app's token."""
    wanted = {*names, SecretName.REFRESH_TOKEN}
    rows = {row.name: row for row in StoredSecret.objects.filter(name__in=wanted).select_related("set_by")}
    found = {}
    for name in names:
        row = rows.get(name)
        is_app = name is SecretName.API_TOKEN and row is not None and row.expires_at is not None
        is_renewed = is_app and SecretName.REFRESH_TOKEN in rows and oauth_app() is not None
        if _variable(name) or _is_of_environment(next(group for group in _TOGETHER if name in group)):
            source = Source.ENVIRONMENT if _variable(name) else Source.NONE
        elif row is None:
            source = Source.NONE
        elif not _decrypted(row):
            source = Source.UNREADABLE
        elif row.expires_at and row.expires_at <= sync_now() and not is_renewed:
            source = Source.ENDED
        else:
            source = Source.STORED
        found[name] = CredentialState(
            source,
            set_by=str(row.set_by.get_full_name() or row.set_by.get_username()) if row and row.set_by else "",
            set_at=row.set_at if row else None,
            expires_at=row.expires_at if row else None,
            is_stored=row is not None,
            is_app=is_app,
            is_renewed=is_renewed,
        )
    return found


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


def store_token(token: str, user: User) -> str:
    """Keep a personal token, in place of what was there. Return why Monday didn't end an app's authorization, if so."""
    with transaction.atomic():
        former = _stored_grant()
        _store({SecretName.API_TOKEN: token}, user)
        StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).delete()
        _begin_anew(user)
    return _revoke(former)


def store_app(client_id: str, client_secret: str, signing_secret: str, user: User) -> None:
    """Keep who the app is; an empty signing secret leaves the stored one.

    Raises Conflict for another app while the stored token is the present one's, which alone can renew and end it.
    """
    texts = {SecretName.CLIENT_ID: client_id, SecretName.CLIENT_SECRET: client_secret}
    with transaction.atomic():
        _stored_grant()  # nobody connects meanwhile
        if _read(SecretName.CLIENT_ID).get(SecretName.CLIENT_ID, client_id) != client_id and token_state().is_app:
            raise Conflict(
                "The stored token was given to another app, and this one could neither renew nor end it. "
                "Disconnect first, then enter this app."
            )
        _store(texts | ({SecretName.SIGNING_SECRET: signing_secret} if signing_secret else {}), user)


def connect_app(code: str, redirect_uri: str, verifier: str, user: User) -> None:
    """Exchange the code of an authorization, and keep its tokens; raises ActionError, ConnectorError.

    Former tokens of the app are forgotten, not revoked: RFC 7009 lets a server end the whole authorization with one
    token, and Monday doesn't say whether the new ones would go with it.
    """
    app = oauth_app()
    if app is None:
        raise ActionError("The app's client ID and client secret are not set any more. Enter them, then connect again.")
    grant = connectors.get().exchange_code(app, code, redirect_uri, verifier)
    with transaction.atomic():
        _stored_grant()  # in the order of whoever else replaces them: each would wait for the other
        _store_grant(grant, user)
        _begin_anew(user)


def remove_token() -> str:
    """Forget the stored token; of an app's, end it on Monday too. Return why Monday didn't, if so."""
    with transaction.atomic():
        former = _stored_grant()
        StoredSecret.objects.filter(name__in=_TOGETHER[2]).delete()
    return _revoke(former)


def check_app_unused() -> None:
    """Raise Conflict while the stored token is the app's: without the app it could neither be renewed nor be ended."""
    if token_state().is_app:
        raise Conflict("The token was given to this app. Disconnect first, then remove the app.")


def remove_app() -> None:
    """Forget who the app is; raises Conflict while the stored token is its own."""
    check_app_unused()
    names = (SecretName.CLIENT_ID, SecretName.CLIENT_SECRET, SecretName.SIGNING_SECRET)
    StoredSecret.objects.filter(name__in=names).delete()


def _stored_grant() -> OAuthGrant | None:
    """The tokens that Monday gave to the app, held until the transaction ends; None where there are none."""
    # The refresh token's row first, as who replaces it does: they would wait for each other.
    rows = StoredSecret.objects.filter(name__in=_TOGETHER[2]).order_by("-name").select_for_update()
    found = {row.name: _decrypted(row) for row in rows}
    if SecretName.REFRESH_TOKEN not in found:
        return None
    return OAuthGrant(found.get(SecretName.API_TOKEN, ""), found[SecretName.REFRESH_TOKEN])


def _revoke(grant: OAuthGrant | None) -> str:
    """End tokens at Monday that nobody here uses any more. Return why they go on there, if so."""
    if grant is None:
        return ""
    if not grant.refresh_token:
        return "The stored tokens can't be read."
    app = oauth_app()
    if app is None:
        return "The app's client ID and client secret are missing here."
    try:
        connectors.get().revoke_grant(app, grant)
    except ConnectorError as error:
        return f"{error.message}."
    return ""


def _store(texts: Mapping[SecretName, str], user: User | None, expires_at: datetime | None = None) -> None:
    conceal(*texts.values())
    for name, text in texts.items():
        values = {"sealed": encrypt(text), "set_at": SyncNow(), "expires_at": expires_at, "claimed_until": None}
        StoredSecret.objects.update_or_create(name=name, defaults=values | ({"set_by": user} if user else {}))


def _store_grant(grant: OAuthGrant, user: User | None) -> None:
    # One whose end can't be read is replaced as if it had half an hour.
    end = grant.expires_at or sync_now() + timedelta(minutes=30)
    _store({SecretName.API_TOKEN: grant.access_token}, user, end)
    _store({SecretName.REFRESH_TOKEN: grant.refresh_token}, user)


NO_STOP: Mapping[str, Any] = {
    "stopped_until": None,
    "stop_reason": "",
    "stop_code": "",
    "stopped_since": None,
    "needs_probe": False,
    "failures": 0,
}
"""The account's row while nothing stops it."""


def end_stop(*, by: str = "", **changed: Any) -> bool:
    """End what stops the account, and tell Activity the end of what it was told."""
    rows = MondayAccount.objects.filter(id=1)
    with transaction.atomic():
        # Locked: of two who end it at once, the second finds none, and tells nothing.
        since = rows.select_for_update().values_list("stopped_since", flat=True).first()
        ended = rows.update(**changed, **NO_STOP)
        events = Decision.objects.filter(entity_id=None, entity_type="", kind__in=(STOP_KIND, STOP_END_KIND))
        # Told by an earlier cause of this stop, perhaps, of which the present one made no news.
        if since and events.order_by("-at", "-id").values_list("kind", flat=True).first() == STOP_KIND:
            log_event(STOP_END_KIND, "Sync goes on.", by=by)
    return bool(ended)


def _begin_anew(user: User) -> None:
    """Another token: what stopped the old one says nothing of it, and deliveries need a secret of some kind.

    Whose it is, is not known until Monday answers it.
    """
    end_stop(by=user.get_username(), user_id="", answered_mark="")
    if not any(webhook_secrets()):
        _store({SecretName.WEBHOOK_TOKEN: secrets.token_urlsafe(32)}, user)


# An app's token, replaced before it ends; and keys, replaced by and by.


def _can_be_refreshed() -> bool:
    return StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN).exists() and oauth_app() is not None


def _refresh_if_due() -> None:
    """Replace an app's token that is about to end: by one process, for its refresh token is good for one refresh."""
    due = StoredSecret.objects.filter(name=SecretName.API_TOKEN, expires_at__lte=SyncNow() + REFRESH_BEFORE)
    if not due.exists():
        return
    refresh = StoredSecret.objects.filter(name=SecretName.REFRESH_TOKEN)
    free = refresh.filter(Q(claimed_until=None) | Q(claimed_until__lte=SyncNow()))
    # The update elects the one process that asks: it matches for the first only.
    if not free.update(claimed_until=SyncNow() + REFRESH_CLAIM):
        return
    row, app = refresh.first(), oauth_app()
    token = _decrypted(row) if row is not None else ""
    if app is None:
        log.warning("token not refreshed", reason="the app's client ID and client secret are missing")
    if row is None or app is None or not token:
        return
    try:
        grant = connectors.get().refresh_grant(app, token)
    except AuthorizationRejected as error:
        # For good: it was revoked, is too old, or the app is another one. Asking again would be refused again.
        refresh.filter(sealed=row.sealed).delete()
        log.warning("authorization ended", reason=error.sentence)
    except ConnectorError as error:
        log.warning("token not refreshed", reason=error.sentence)
    else:
        with transaction.atomic():
            # The call took seconds, and a person may have disconnected, or connected anew, while it ran.
            present = refresh.select_for_update().first()
            is_wanted = present is not None and present.sealed == row.sealed
            if is_wanted:
                _store_grant(grant, None)
                # Monday has answered this one as it gave it.
                MondayAccount.objects.exclude(answered_mark="").update(answered_mark=token_mark())
        # Where a person disconnected meanwhile, these are nobody's; where one connected again, theirs stand.
        problem = _revoke(grant) if present is None else ""
        log.info("token refreshed", used=is_wanted, not_revoked=problem)
