"""Webhook deliveries: what they say, and whether they are Monday's; pure, the caller gives the time.

A delivery's `type` is not the name that was subscribed to, and the item's id has another key for archived,
deleted and restored items (developer.monday.com/api-reference/reference/webhooks, and captures of 2025).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

from sync.connectors.monday.converters.forms import api_column_type
from sync.connectors.monday.items import NAME_COLUMN


class Kind(StrEnum):
    """What happened to an item; OTHER is everything that no record hangs on (updates, subitems, columns)."""

    CREATED = "created"
    COLUMN = "column"
    RENAMED = "renamed"
    ARCHIVED = "archived"
    DELETED = "deleted"
    RESTORED = "restored"
    MOVED = "moved"
    OTHER = "other"


_KINDS = {
    "create_pulse": Kind.CREATED,
    "update_column_value": Kind.COLUMN,
    "update_name": Kind.RENAMED,
    "archive_pulse": Kind.ARCHIVED,
    "delete_pulse": Kind.DELETED,
    "restore_pulse": Kind.RESTORED,
    "move_pulse_into_group": Kind.MOVED,
}


class BadEvent(ValueError):
    """The body is not a webhook event; the message says why."""


class BadSignature(Exception):
    """The delivery can't be shown to be Monday's; the message never holds the token or the secret."""


class ForgedSignature(BadSignature):
    """Not a token, not HS256, or not signed with our secret."""


class WrongAudience(BadSignature):
    """Signed for another address."""


class SignatureOutOfDate(BadSignature):
    """Expired, or issued in the future."""


@dataclass(frozen=True)
class Event:
    """One delivery. Ids are texts here, numbers on the wire; `column_type` is the name that GraphQL uses.

    For a renamed item `column_id` is "name" and `value` holds the key "name". `happened_at` is when the trigger
    fired (triggerTime), `changed_at` when the column was changed (changedAt, seconds), a moment before;
    `tells_previous` whether the body has a previous value at all, be it an empty one.
    """

    kind: Kind
    type: str
    trigger_id: str | None
    board_id: str
    item_id: str | None
    column_id: str | None = None
    column_type: str | None = None
    value: Any = None
    previous_value: Any = None
    user_id: str | None = None
    item_name: str | None = None
    column_values: Mapping[str, Any] | None = None
    happened_at: datetime | None = None
    changed_at: datetime | None = None
    tells_previous: bool = False


def challenge_of(body: Mapping[str, Any]) -> str | None:
    """The token of the handshake that Monday sends, unsigned, when a webhook is made; it wants it back."""
    challenge = body.get("challenge")
    return challenge if isinstance(challenge, str) and "event" not in body else None


def parse_event(body: Any) -> Event:
    """Read a delivery's body; raises BadEvent where it isn't one, or lacks its board or item."""
    event = body.get("event") if isinstance(body, Mapping) else None
    if not isinstance(event, Mapping):
        raise BadEvent("The body has no event.")
    kind = _kind(event)
    board_id = _id(event, "boardId")
    item_id = _id(event, "pulseId", "itemId")
    if kind is not Kind.OTHER and (board_id is None or item_id is None):
        raise BadEvent(f"The event {event.get('type')!r} names no {'item' if board_id else 'board'}.")
    renamed = kind is Kind.RENAMED
    column_values = event.get("columnValues")
    return Event(
        kind=kind,
        type=str(event.get("type") or ""),
        trigger_id=_text(event.get("triggerUuid")),
        board_id=board_id or "",
        item_id=item_id,
        column_id=NAME_COLUMN if renamed else _text(event.get("columnId")),
        column_type=NAME_COLUMN if renamed else _column_type(event),
        value=event.get("value"),
        previous_value=event.get("previousValue"),
        user_id=_id(event, "userId"),
        item_name=_name(event, renamed=renamed),
        column_values=column_values if isinstance(column_values, Mapping) else None,
        happened_at=_moment(event.get("triggerTime")),
        changed_at=_timestamp(event.get("changedAt")),
        tells_previous="previousValue" in event,
    )


def verify_jwt(
    token: str, secret: str, audience: str, now: datetime, leeway_seconds: int = 60
) -> Mapping[str, Any]:
    """Check the JWT of a delivery's Authorization header and return its claims.

    The signature (HS256 only) comes first, then the address that it was issued for, then its time against the
    caller's `now`. Raises a BadSignature; also without a secret, for then nothing can be checked.
    """
    if not secret:
        raise ForgedSignature("No signing secret is set; set MONDAY_SIGNING_SECRET.")
    try:
        # PyJWT's own checks read the machine's clock; ours compare with `now` below.
        claims: Mapping[str, Any] = jwt.decode(
            token.removeprefix("Bearer ").strip(),
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        raise ForgedSignature("The webhook's signature is not Monday's.") from error
    _check_audience(claims.get("aud"), audience)
    _check_time(claims, now, timedelta(seconds=leeway_seconds))
    return claims


def _check_audience(claimed: Any, audience: str) -> None:
    addresses = claimed if isinstance(claimed, list) else [claimed]
    # A router may add or drop the last slash; an address is the same with and without it.
    if audience.rstrip("/") not in {str(address).rstrip("/") for address in addresses if address}:
        raise WrongAudience("The webhook was signed for another address; check SITE_URL.")


def _check_time(claims: Mapping[str, Any], now: datetime, leeway: timedelta) -> None:
    expires, issued = _timestamp(claims.get("exp")), _timestamp(claims.get("iat"))
    if expires is None:
        raise SignatureOutOfDate("The webhook's signature has no end of validity.")
    if now > expires + leeway:
        raise SignatureOutOfDate("The webhook's signature has expired.")
    if issued is not None and now < issued - leeway:
        raise SignatureOutOfDate(
            "The webhook's signature is from the future; check the clock of this machine."
        )


def _timestamp(claim: Any) -> datetime | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _kind(event: Mapping[str, Any]) -> Kind:
    # Subitem events bear the same types; their board is one of its own, which no record is linked to.
    if event.get("parentItemId") is not None:
        return Kind.OTHER
    return _KINDS.get(str(event.get("type")), Kind.OTHER)


def _column_type(event: Mapping[str, Any]) -> str | None:
    column_type = _text(event.get("columnType"))
    return api_column_type(column_type) if column_type else None


def _name(event: Mapping[str, Any], *, renamed: bool) -> str | None:
    value = event.get("value")
    if renamed and isinstance(value, Mapping):
        return _text(value.get("name"))
    return _text(event.get("pulseName")) or _text(event.get("itemName"))


def _id(event: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = event.get(key)
        if isinstance(value, int | str) and not isinstance(value, bool) and str(value):
            return str(value)
    return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    if moment is None:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
