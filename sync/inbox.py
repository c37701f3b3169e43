"""Webhook deliveries from Monday: verified, stored, answered; weighed later, under the board's lease.

Closed by default: without MONDAY_SIGNING_SECRET and MONDAY_WEBHOOK_TOKEN nothing is taken but the challenge.
Monday sends again, every minute for half an hour, what isn't answered with 200
(developer.monday.com/api-reference/reference/webhooks), so an event that is genuine is stored and answered
with 200 also where nothing can be done with it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction

from sync import wake
from sync.clock import sync_now
from sync.connectors.monday.webhooks import (
    BadEvent,
    BadSignature,
    Event,
    Kind,
    challenge_of,
    parse_event,
    verify_jwt,
)
from sync.delivering import Delivery, take
from sync.metrics import webhooks
from sync.models import WebhookEvent

log = structlog.get_logger(__name__)

MAX_BODY_BYTES = 1_000_000
MAX_CHALLENGE_CHARACTERS = 1_000
MAX_ID_CHARACTERS = 50  # what the inbox has room for; Monday's are far shorter

STORED, AGAIN = "stored", "again"
NO_BOARD = "no board link: no record type is linked to this board; see `manage.py monday_check`"
NO_ITEM = "nothing that a record holds: neither an item nor one of its columns"


@dataclass(frozen=True)
class Received:
    """How to answer a delivery: the HTTP status and the body; a refusal has `code` and `sentence` instead."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    sentence: str = ""


CLOSED = Received(
    403,
    code="closed",
    sentence="Webhooks are closed: set MONDAY_SIGNING_SECRET (webhooks of an app) or MONDAY_WEBHOOK_TOKEN "
    "(webhooks of a personal token), then run `manage.py monday_setup`.",
)
BARE_DOOR_CLOSED = Received(
    403,
    code="closed",
    sentence="This address takes signed webhooks only, and MONDAY_SIGNING_SECRET is not set. Set it, or use "
    "the address with the token, which `manage.py monday_setup` registers.",
)
PATH_DOOR_CLOSED = Received(
    403,
    code="closed",
    sentence="This address needs MONDAY_WEBHOOK_TOKEN, which is not set. Set it, or send signed webhooks to "
    "/webhooks/monday/.",
)
WRONG_TOKEN = Received(
    401,
    code="wrong_token",
    sentence="The last part of this address is not MONDAY_WEBHOOK_TOKEN. Run `manage.py monday_setup`, which "
    "registers the right address.",
)
UNSIGNED = Received(
    401,
    code="unsigned",
    sentence="The webhook is not signed. Make it with an app's token; or set MONDAY_WEBHOOK_TOKEN, then run "
    "`manage.py monday_setup`, which registers the address for a personal token.",
)
NOT_JSON = Received(400, code="not_json", sentence="The webhook's body is not JSON.")
TOO_LARGE = Received(
    413, code="too_large", sentence=f"A webhook has at most {MAX_BODY_BYTES:,} bytes; this one was not read."
)


class Refused(Exception):
    """The delivery is not taken; the answer's sentence holds no secret."""

    def __init__(self, answer: Received) -> None:
        super().__init__(answer.sentence)
        self.answer = answer


def receive(raw_body: bytes, *, authorization: str | None, path_token: str | None, path: str) -> Received:
    """Take one delivery: store it and its wake-up in one transaction, or say why it is not taken.

    `authorization` is the request's header, `path_token` the secret part of the address (None at the bare
    door), `path` the address without the host, for which a signature must have been issued.
    """
    try:
        if len(raw_body) > MAX_BODY_BYTES:
            raise Refused(TOO_LARGE)
        challenge = _challenge(raw_body)
        if challenge is not None:
            _check_path_token(path_token)
            return Received(200, {"challenge": challenge})
        _check_door(path_token)
        _check_signature(authorization, path_token, path)
        body, event = _read(raw_body)
    except Refused as refusal:
        log.warning("webhook refused", code=refusal.answer.code, reason=refusal.answer.sentence)
        webhooks.note(webhooks.REFUSED)
        return refusal.answer
    done = _take(raw_body, body, event)
    webhooks.note({STORED: webhooks.STORED, AGAIN: webhooks.DUPLICATE}.get(done, webhooks.IGNORED))
    return Received(200, {"received": done})


def _challenge(raw_body: bytes) -> str | None:
    """The text of a handshake whose body holds nothing else; before trust, only a short body is read."""
    if len(raw_body) > 2 * MAX_CHALLENGE_CHARACTERS:
        return None
    try:
        body = json.loads(raw_body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or set(body) != {"challenge"}:
        return None
    challenge = challenge_of(body)
    return challenge if challenge and len(challenge) <= MAX_CHALLENGE_CHARACTERS else None


def _check_path_token(path_token: str | None) -> None:
    wanted = settings.MONDAY_WEBHOOK_TOKEN
    if path_token is None or not wanted:
        return
    if not hmac.compare_digest(path_token.encode(errors="replace"), wanted.encode()):
        raise Refused(WRONG_TOKEN)


def _check_door(path_token: str | None) -> None:
    """Pass a delivery only through a door that somebody opened by setting its secret."""
    signed, tokened = bool(settings.MONDAY_SIGNING_SECRET), bool(settings.MONDAY_WEBHOOK_TOKEN)
    if not signed and not tokened:
        raise Refused(CLOSED)
    if path_token is None and not signed:
        raise Refused(BARE_DOOR_CLOSED)
    if path_token is not None and not tokened:
        raise Refused(PATH_DOOR_CLOSED)
    _check_path_token(path_token)


def _check_signature(authorization: str | None, path_token: str | None, path: str) -> None:
    """The bare door demands a signature; the path door, proven by its token, checks one that is there."""
    if not authorization:
        if path_token is None:
            raise Refused(UNSIGNED)
        return
    if not settings.MONDAY_SIGNING_SECRET:
        return  # nothing to check it with, and without a signature it would have been taken too
    try:
        verify_jwt(authorization, settings.MONDAY_SIGNING_SECRET, settings.SITE_URL + path, sync_now())
    except BadSignature as error:
        raise Refused(Received(401, code="bad_signature", sentence=str(error))) from error


def _read(raw_body: bytes) -> tuple[Any, Event]:
    try:
        body = storable(json.loads(raw_body, parse_constant=_no_number, parse_float=_finite))
    except (ValueError, RecursionError) as error:
        raise Refused(NOT_JSON) from error
    try:
        event = parse_event(body)
    except BadEvent as error:
        raise _not_an_event(str(error)) from error
    texts = (event.board_id, event.item_id, event.column_id, event.type)
    if not event.type or any(len(text or "") > MAX_ID_CHARACTERS for text in texts):
        raise _not_an_event(f"It has no type, or an id or type longer than {MAX_ID_CHARACTERS} characters.")
    return body, event


def _not_an_event(trouble: str) -> Refused:
    sentence = f"The webhook's body is not an event. {trouble}"
    return Refused(Received(400, code="not_an_event", sentence=sentence))


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("the number is too large")
    return number


def storable(value: Any) -> Any:
    """The JSON value without what PostgreSQL can't keep in jsonb: NUL and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {storable(key): storable(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [storable(entry) for entry in value]
    return value


def _take(raw_body: bytes, body: Any, event: Event) -> str:
    """Store the delivery and wake what it names; return what was done, for the answer."""
    outcome = NO_ITEM if event.kind is Kind.OTHER or event.item_id is None else ""
    ids = (event.board_id, event.item_id, event.column_id, event.type)
    taken = take(Delivery(_name(raw_body, event), *ids, body, outcome), no_board=NO_BOARD)
    woken = taken.woken
    if woken is not None:
        transaction.on_commit(lambda: wake.board(woken), robust=True)
    return AGAIN if taken.outcome is None else taken.outcome or STORED


def _name(raw_body: bytes, event: Event) -> str:
    """What names the delivery; one without a usable id of its own is named by its content."""
    longest = WebhookEvent._meta.get_field("trigger_id").max_length or 0
    usable = event.trigger_id and len(event.trigger_id) <= longest
    return event.trigger_id if usable and event.trigger_id else hashlib.sha256(raw_body).hexdigest()
