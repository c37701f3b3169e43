"""Webhooks of a board: what a delivery says, whether it is Monday's, and how a board's webhooks are created.

Deliveries are read purely; the caller gives the time. A delivery's `type` differs from the event's name in
the subscription, and the item's id has another key for archived, deleted and restored items
(developer.monday.com/api-reference/reference/webhooks, and captures of 2025).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import jwt

from sync.connectors.base.board_items import NAME_COLUMN
from sync.connectors.base.board_shape import OwnWebhook, WebhooksIncomplete, url_fingerprint
from sync.connectors.base.errors import ConnectorError, WebhookAddressUnreachable
from sync.connectors.base.events import (
    EventKind,
    EventPaths,
    ExpiredSignature,
    ForgedSignature,
    InvalidEvent,
    ItemEvent,
    WrongAudience,
)
from sync.connectors.monday.columns.raw_values import api_column_type
from sync.connectors.monday.graphql import Api, Document, execute_mutation, mutate_root, query_root, time_or_none

_EVENT_KINDS = {
    "create_pulse": EventKind.CREATED,
    "update_column_value": EventKind.COLUMN,
    "update_name": EventKind.RENAMED,
    "archive_pulse": EventKind.ARCHIVED,
    "delete_pulse": EventKind.DELETED,
    "restore_pulse": EventKind.RESTORED,
    "move_pulse_into_group": EventKind.MOVED,
}


EVENT_TYPES: Mapping[EventKind, frozenset[str]] = {
    kind: frozenset(name for name, one in _EVENT_KINDS.items() if one is kind) for kind in EventKind
}
"""Under which types deliveries of each kind are stored."""

EVENT_PATHS = EventPaths(
    user_id=("event", "userId"),
    happened_at=("event", "triggerTime"),
    item_names=(("event", "pulseName"), ("event", "itemName")),
    column_values=("event", "columnValues"),
    column_text="value",
)


def parse_challenge(body: Mapping[str, Any]) -> str | None:
    """The token of the handshake that Monday sends, unsigned, when a webhook is created, and expects back."""
    challenge = body.get("challenge")
    # A body with an event is a delivery, whatever else it holds.
    return challenge if isinstance(challenge, str) and "event" not in body else None


def parse_event(body: Any) -> ItemEvent:
    """Read a delivery's body; raises InvalidEvent where it isn't one, or lacks its board or item."""
    event = body.get("event") if isinstance(body, Mapping) else None
    if not isinstance(event, Mapping):
        raise InvalidEvent("The body has no event.")
    kind = _EVENT_KINDS.get(str(event.get("type")), EventKind.OTHER)
    # Subitem events have the same types; their board is one of its own, which no record is linked to.
    if event.get("parentItemId") is not None:
        kind = EventKind.OTHER
    board_id = _id_under(event, "boardId")
    item_id = _id_under(event, "pulseId", "itemId")
    # Events that concern no record may lack both.
    if kind is not EventKind.OTHER and (board_id is None or item_id is None):
        raise InvalidEvent(f"The event {event.get('type')!r} names no {'item' if board_id else 'board'}.")
    is_rename = kind is EventKind.RENAMED
    column_type = _text_or_none(event.get("columnType"))
    column_values = event.get("columnValues")
    return ItemEvent(
        kind=kind,
        type=str(event.get("type") or ""),
        trigger_id=_text_or_none(event.get("triggerUuid")),
        board_id=board_id or "",
        item_id=item_id,
        # A rename is an edit of the item's name, which is no column.
        column_id=NAME_COLUMN if is_rename else _text_or_none(event.get("columnId")),
        column_type=NAME_COLUMN if is_rename else column_type and api_column_type(column_type),
        value=event.get("value"),
        previous_value=event.get("previousValue"),
        user_id=_id_under(event, "userId"),
        item_name=_item_name(event, is_rename=is_rename),
        column_values=column_values if isinstance(column_values, Mapping) else None,
        happened_at=time_or_none(event.get("triggerTime")),
        changed_at=_parse_timestamp(event.get("changedAt")),
        has_previous="previousValue" in event,
    )


def change_body(kind: str, board_id: str, item_id: str) -> dict[str, Any]:
    """A delivery's body that says no more than that an item changed."""
    return {"event": {"type": kind, "boardId": board_id, "pulseId": item_id}}


def verify_jwt(token: str, secret: str, audience: str, now: datetime, leeway_seconds: int = 60) -> Mapping[str, Any]:
    """Check the JWT of a delivery's Authorization header and return its claims.

    The signature (HS256 only) comes first, then the address that it was issued for, then its time against the
    caller's `now`. Raises an InvalidSignature; also without a secret, because then nothing can be checked.
    """
    # An empty secret would accept a token that anybody can sign.
    if not secret:
        raise ForgedSignature("No signing secret is set; set MONDAY_SIGNING_SECRET.")
    try:
        # PyJWT's own time checks read the machine's clock; ours compare with `now` below.
        claims: Mapping[str, Any] = jwt.decode(
            token.removeprefix("Bearer ").strip(),
            secret,
            algorithms=["HS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False},
        )
    except jwt.PyJWTError as error:
        raise ForgedSignature("The webhook's signature is not Monday's.") from error
    audiences = claims.get("aud")
    addresses = audiences if isinstance(audiences, list) else [audiences]
    # A proxy may add or drop the last slash, which doesn't change the address.
    if audience.rstrip("/") not in {str(address).rstrip("/") for address in addresses if address}:
        raise WrongAudience("The webhook was signed for another address; check SITE_URL.")
    leeway = timedelta(seconds=leeway_seconds)
    expires, issued = _parse_timestamp(claims.get("exp")), _parse_timestamp(claims.get("iat"))
    not_before = _parse_timestamp(claims.get("nbf"))
    # Without an end a stolen token would be valid for ever.
    if expires is None:
        raise ExpiredSignature("The webhook's signature has no end of validity.")
    if now > expires + leeway:
        raise ExpiredSignature("The webhook's signature has expired.")
    if any(start is not None and now < start - leeway for start in (issued, not_before)):
        raise ExpiredSignature("The webhook's signature is from the future; check the clock of this machine.")
    return claims


def _parse_timestamp(claim: Any) -> datetime | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (OverflowError, OSError, ValueError):
        return None


def _item_name(event: Mapping[str, Any], *, is_rename: bool) -> str | None:
    value = event.get("value")
    if is_rename and isinstance(value, Mapping):
        return _text_or_none(value.get("name"))
    # Some events name the item in another key.
    return _text_or_none(event.get("pulseName")) or _text_or_none(event.get("itemName"))


def _id_under(event: Mapping[str, Any], *keys: str) -> str | None:
    for key in keys:
        value = event.get(key)
        # A bool is an int in Python, but no id.
        if isinstance(value, int | str) and not isinstance(value, bool) and str(value):
            return str(value)
    return None


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


# Webhooks of a board: one for each kind of event, all to the same address.
#
# Monday's API doesn't return a webhook's address, so the caller stores the ids of those that it made, each
# with a fingerprint of the address. Webhooks that others made are never changed.


WEBHOOK_EVENTS = (
    "create_item",
    "change_column_value",
    "change_name",
    "item_archived",
    "item_deleted",
    "item_restored",
    "item_moved_to_any_group",
)

MIN_SECRET_CHARACTERS = 6
"""Characters; redacting a shorter part of an address would also remove ordinary words."""

URL_CHARACTERS = 255  # developer.monday.com/api-reference/reference/webhooks


@dataclass
class _WebhookChanges:
    """What exists so far, for the caller to store even where a later step fails."""

    hooks: list[OwnWebhook] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


def read_webhooks(api: Api, board_id: str) -> dict[str, str]:
    """The board's webhooks, ours and others': event by id."""
    nodes = query_root(api, Document(READ_WEBHOOKS, {"board": board_id}), "webhooks")
    return {str(node["id"]): str(node["event"]) for node in nodes if node}


def ensure_webhooks(
    api: Api,
    board_id: str,
    url: str,
    known: Mapping[str, str],
    on_change: Callable[[Sequence[OwnWebhook]], None] = lambda _: None,
) -> tuple[list[OwnWebhook], list[str]]:
    """Bring our webhooks on a board up to date: one for each needed event, all to `url`.

    `known` gives, for each webhook that we made, the fingerprint of its address. Returns all webhooks that
    are ours now, and what was done, as sentences. Raises WebhooksIncomplete, which holds those that exist, or
    ValueError for an address that is too long. `on_change` gets our webhooks after each step: one that a
    killed process had created without storing its id would stay on the board for ever.
    """
    if len(url) > URL_CHARACTERS:
        raise ValueError(f"A webhook's address can have {URL_CHARACTERS} characters; this one has {len(url)}.")
    fingerprint = url_fingerprint(url)
    existing = read_webhooks(api, board_id)
    # Only those that we made; others' webhooks on the board are left alone.
    ours = [OwnWebhook(key, event, known[key]) for key, event in existing.items() if key in known]
    current, stale = _split_current(ours, fingerprint)
    # Stale ones are still ours until they are deleted.
    changes = _WebhookChanges(hooks=[*current.values(), *stale])
    try:
        for event in WEBHOOK_EVENTS:
            if event not in current:
                _create_webhook(api, board_id, url, event, changes)
                # After each step: a killed process must not leave a webhook that nobody knows.
                on_change(changes.hooks)
        # Last, so that a failure leaves no time without any webhook.
        for hook in stale:
            mutate_root(api, Document(DELETE_WEBHOOK, {"id": hook.id}), "delete_webhook")
            changes.hooks.remove(hook)
            changes.steps.append(
                f"deleted webhook {hook.event} ({hook.id}), which went to another address or existed twice"
            )
            on_change(changes.hooks)
    except ConnectorError as error:
        _redact_address(error, url)
        raise WebhooksIncomplete(error, changes.hooks) from error
    return changes.hooks, changes.steps


def _redact_address(error: ConnectorError, url: str) -> None:
    # Monday may repeat the address in its rejection; its last part may be the webhooks' secret.
    error.redact(url, "the webhooks' address")
    secret = urlsplit(url).path.rstrip("/").rpartition("/")[2]
    if len(secret) >= MIN_SECRET_CHARACTERS:
        error.redact(secret, "…")


def _split_current(ours: Sequence[OwnWebhook], fingerprint: str) -> tuple[dict[str, OwnWebhook], list[OwnWebhook]]:
    """The first fitting webhook of each needed event, and all our others."""
    current: dict[str, OwnWebhook] = {}
    stale = []
    for hook in ours:
        # A second webhook for the same event and address is superfluous.
        if hook.fingerprint == fingerprint and hook.event in WEBHOOK_EVENTS and hook.event not in current:
            current[hook.event] = hook
        else:
            stale.append(hook)
    return current, stale


def _create_webhook(api: Api, board_id: str, url: str, event: str, changes: _WebhookChanges) -> None:
    variables = {"board": board_id, "url": url, "event": event}
    answer = execute_mutation(api, Document(CREATE_WEBHOOK, variables))
    node = (answer.data or {}).get("create_webhook")
    if node is None:
        errors = answer.errors_of("create_webhook") or answer.errors
        # Null without an error is Monday's sign of a failed handshake (community topics 27219, 51686).
        raise (
            errors[0]
            if errors
            else WebhookAddressUnreachable(
                f"Monday could not reach the webhook address for {event} on board {board_id}",
                request_id=answer.request_id,
            )
        )
    changes.hooks.append(OwnWebhook(str(node["id"]), event, url_fingerprint(url)))
    changes.steps.append(f"created webhook {event} on board {board_id}")


# The board's webhooks, whoever made them; their addresses are not returned (reference/webhooks).
READ_WEBHOOKS = "query Webhooks($board: ID!) { webhooks(board_id: $board) { id board_id event config } }"

CREATE_WEBHOOK = """mutation CreateWebhook($board: ID!, $url: String!, $event: WebhookEventType!) {
  create_webhook(board_id: $board, url: $url, event: $event) { id board_id event }
}"""

DELETE_WEBHOOK = "mutation DeleteWebhook($id: ID!) { delete_webhook(id: $id) { id } }"
