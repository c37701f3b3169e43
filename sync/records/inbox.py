"""Webhook deliveries from Monday: verified, stored once, and enqueued in one statement.

The addresses are closed by default: without a signing secret and a webhook token only the challenge is answered. Monday
repeats a delivery that isn't answered with 200 every minute for half an hour
(developer.monday.com/api-reference/reference/webhooks), so a genuine event is stored and answered with 200 even if
nothing can be done with it.
"""

import hashlib
import hmac
import json
import math
from functools import lru_cache
from typing import Any

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from psycopg.types.json import Jsonb

from sync import registry
from sync.choices import PRIORITY_OF, Cause
from sync.clock import sync_now
from sync.kernel.db import fetch_prepared, storable_json
from sync.limits import credentials
from sync.models import SyncedModel, WebhookEvent
from sync.monday.board_events import (
    LOG_PREFIX,
    EventKind,
    InvalidEvent,
    InvalidSignature,
    ItemEvent,
    parse_event,
    verify_jwt,
)
from sync.outbox import ITEM_UPSERT, RECORD_UPSERT, mark_pending, wakeups

log = structlog.get_logger(__name__)

# Monday's largest deliveries have some kilobytes.
MAX_BODY_BYTES = 64_000

MAX_CHALLENGE_CHARACTERS = 1_000

MAX_ID_CHARACTERS = 50  # the inbox's columns; Monday's ids are far shorter

# The answers to a delivery. The inbox stores the last two; a delivery that waits for its pass has no outcome there.
STORED = "stored"
DUPLICATE = "again"
NO_BOARD = "no board link: no record type is linked to this board"
NO_ITEM = "nothing that a record holds: neither an item nor one of its columns"

# The wait before an unmatched item's pass: people fill in a row cell by cell.
UNMATCHED_ITEM_WAIT_SECONDS = 10

# Deliveries a minute for one item that wake its record at once. Each further one delays the next pass by a second, up
# to LONGEST_BURST_WAIT_SECONDS, so that an endless automation costs a call a minute.
FREE_DELIVERIES = 20
LONGEST_BURST_WAIT_SECONDS = 60

# HTTP status, code and sentence of the refusal of a body that is too large, also before it is read.
TOO_LARGE = (413, "too_large", f"A webhook has at most {MAX_BODY_BYTES:,} bytes; this one was refused by its length.")


# How long it is known that a delivery was refused, because its sender has no secret of ours.
REFUSAL_SECONDS = 86_400

_REFUSAL_KEY = "sync.webhooks.refused"


def last_refusal() -> str:
    """Return why a sender without a secret of ours was refused within the last day; empty if none was."""
    return str(cache.get(_REFUSAL_KEY, ""))


class DeliveryRefused(Exception):
    """The delivery was refused; the sentence has no secret."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


def receive(raw_body: bytes, *, authorization: str | None, path_token: str | None, path: str) -> dict[str, str]:
    """Verify and store a delivery, and enqueue its record; return the body of the answer. Raises DeliveryRefused.

    `authorization` is the request's header, `path_token` the secret part of the address (None at the address without
    one), `path` the address without the host, for which a signature must have been issued.
    """
    try:
        if len(raw_body) > MAX_BODY_BYTES:
            raise DeliveryRefused(*TOO_LARGE)
        challenge = _handshake_challenge(raw_body)
        if challenge is not None:
            # A handshake is unsigned, but needs the token at the address with one.
            _check_path_token(path_token, credentials.webhook_secrets()[0])
            return {"challenge": challenge}
        _check_sender(authorization, path_token, path)  # before the body is read as an event
        body, event = _parse_body(raw_body)
    except DeliveryRefused as refusal:
        log.warning("webhook refused", code=refusal.code, reason=str(refusal))
        if refusal.status in (401, 403):
            # The first of a day is enough, so that strangers cause no writes.
            cache.add(_REFUSAL_KEY, str(refusal), REFUSAL_SECONDS)
        raise
    return {"received": _store_delivery(raw_body, body, event)}


def _handshake_challenge(raw_body: bytes) -> str | None:
    """Return the token that Monday sends when a webhook is created and expects back; a body with more is an event."""
    # Before verification nobody may make us parse a large body.
    if len(raw_body) > 2 * MAX_CHALLENGE_CHARACTERS:
        return None
    try:
        body = json.loads(raw_body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or set(body) != {"challenge"}:
        return None
    challenge = body["challenge"]
    if not isinstance(challenge, str) or len(challenge) > MAX_CHALLENGE_CHARACTERS:
        return None
    return challenge or None


def _check_path_token(path_token: str | None, expected: str) -> None:
    if path_token is None or not expected:
        return
    # In constant time, so that the token can't be guessed character by character.
    if not hmac.compare_digest(path_token.encode(errors="replace"), expected.encode()):
        raise DeliveryRefused(
            401,
            "wrong_token",
            "The last part of this address is not MONDAY_WEBHOOK_TOKEN. Run `manage.py monday_setup`, which registers "
            "the right address.",
        )


def _check_sender(authorization: str | None, path_token: str | None, path: str) -> None:
    """Raise DeliveryRefused unless the address is enabled by its secret, and the sender has that secret.

    The address without a token requires a signature; at the one with it, a signature is checked if there is one.
    """
    webhook_token, signing_secret = credentials.webhook_secrets()
    if not (signing_secret if path_token is None else webhook_token):
        raise DeliveryRefused(
            403,
            "closed",
            "This address is closed: connect Monday in the set-up, or set MONDAY_SIGNING_SECRET (for signed webhooks "
            "of an app, at /webhooks/monday/) or MONDAY_WEBHOOK_TOKEN (for webhooks of a personal token, at the "
            "address with it), then run `manage.py monday_setup`, which registers the right one.",
        )
    _check_path_token(path_token, webhook_token)
    if not authorization and path_token is None:
        raise DeliveryRefused(
            401,
            "unsigned",
            "The webhook is not signed. Make it with an app's token; or set MONDAY_WEBHOOK_TOKEN, then run "
            "`manage.py monday_setup`, which registers the address for a personal token.",
        )
    if not authorization or not signing_secret:
        return  # the path's token is proof enough
    try:
        verify_jwt(authorization, signing_secret, settings.SITE_URL + path, sync_now())
    except InvalidSignature as error:
        raise DeliveryRefused(401, "bad_signature", str(error)) from error


def _parse_body(raw_body: bytes) -> tuple[Any, ItemEvent]:
    def finite(text: str) -> float:
        # Rejects NaN and Infinity, which are not JSON, and numbers that are too large.
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"{text} is not JSON")
        return number

    try:
        body = storable_json(json.loads(raw_body, parse_constant=finite, parse_float=finite))
    except (ValueError, RecursionError) as error:
        raise DeliveryRefused(400, "not_json", "The webhook's body is not JSON.") from error
    try:
        event = parse_event(body)
    except InvalidEvent as error:
        raise _not_an_event(str(error)) from error
    texts = (event.board_id, event.item_id, event.column_id, event.type)
    if not event.type or any(len(text or "") > MAX_ID_CHARACTERS for text in texts):
        raise _not_an_event(f"It has no type, or an id or type longer than {MAX_ID_CHARACTERS} characters.")
    return body, event


def _not_an_event(problem: str) -> DeliveryRefused:
    return DeliveryRefused(400, "not_an_event", f"The webhook's body is not an event. {problem}")


def _store_delivery(raw_body: bytes, body: Any, event: ItemEvent) -> str:
    """Store the delivery and enqueue its record or item; return the outcome for the answer."""
    # A hash identifies a delivery without a usable id. Ids with LOG_PREFIX are our own, of the activity log.
    max_length = WebhookEvent._meta.get_field("trigger_id").max_length or 0
    trigger_id = event.trigger_id or ""
    if len(trigger_id) > max_length or trigger_id.startswith(LOG_PREFIX):
        trigger_id = ""
    models = {spec.entity_type: spec.model for spec in registry.entities()}
    # The environment's board id wins over the stored one, as in `lookups.with_configured_board`.
    board_ids = {
        entity_type: board_id for entity_type in models if (board_id := registry.configured_board_id(entity_type))
    }
    params = {
        "trigger_id": trigger_id or hashlib.sha256(raw_body).hexdigest(),
        "board_id": event.board_id,
        "item_id": event.item_id,
        "column_id": event.column_id,
        "type": event.type,
        "body": Jsonb(body),
        # An event without an item is stored and answered with 200 too, or Monday would repeat it.
        "outcome": NO_ITEM if event.kind is EventKind.OTHER or event.item_id is None else "",
        "no_board": NO_BOARD,
        "name": event.item_name or "",
        # An item that leaves the board isn't listed.
        "is_listed": event.kind not in (EventKind.ARCHIVED, EventKind.DELETED),
        "priority": int(PRIORITY_OF[Cause.WEBHOOK]),
        "cause": int(Cause.WEBHOOK),
        "wait": UNMATCHED_ITEM_WAIT_SECONDS,
        "free": FREE_DELIVERIES,
        "longest": LONGEST_BURST_WAIT_SECONDS,
        "types": list(models),
        "types_of_environment": list(board_ids),
        "types_of_this_board": [key for key, board_id in board_ids.items() if board_id == event.board_id],
    }
    [row] = fetch_prepared(_delivery_sql(tuple(models.items())), params)
    outcome, woken_type, wait_seconds, synced_id = row
    if woken_type is not None and synced_id is not None:
        mark_pending(woken_type, [synced_id], skips_locked=True)
    if woken_type is not None:
        wakeups.wake_on_commit(woken_type, wait_seconds)
    return DUPLICATE if outcome is None else outcome or STORED


# A repeated delivery (ON CONFLICT DO NOTHING) enqueues nothing, nor does one about an item whose person was erased.
_DELIVER = """
WITH link AS MATERIALIZED (
    SELECT entity_type FROM sync_board_links
    WHERE entity_type = ANY (%(types)s::text[]) AND CASE WHEN entity_type = ANY (%(types_of_environment)s::text[])
        THEN entity_type = ANY (%(types_of_this_board)s::text[]) ELSE board_id = %(board_id)s AND board_id <> '' END
    ORDER BY array_position(%(types)s::text[], entity_type::text) LIMIT 1
), stored AS (
    INSERT INTO sync_webhook_events (trigger_id, board_id, item_id, column_id, type, body, outcome, processed_at)
    SELECT %(trigger_id)s, %(board_id)s, %(item_id)s, %(column_id)s, %(type)s, %(body)s, outcome,
        CASE WHEN outcome = '' THEN NULL ELSE sync_now() END
    FROM (SELECT CASE WHEN EXISTS (SELECT FROM link) THEN %(outcome)s ELSE %(no_board)s END AS outcome) AS delivery
    WHERE NOT EXISTS (SELECT FROM sync_ignored_items AS item WHERE item.item_id = %(item_id)s::varchar AND item.erased)
    ON CONFLICT (trigger_id, item_id, column_id, type) DO NOTHING
    RETURNING outcome
), record AS MATERIALIZED (
    {records}
), target AS (
    SELECT link.entity_type FROM link CROSS JOIN stored WHERE stored.outcome = ''
), burst AS MATERIALIZED (
    SELECT greatest(0, count(*) - %(free)s) AS seconds FROM (
        SELECT FROM sync_webhook_events WHERE item_id = %(item_id)s::varchar
            AND received_at > sync_now() - make_interval(mins => 1)
        LIMIT %(free)s + %(longest)s
    ) AS recent
), woken AS (
    INSERT INTO sync_queue (entity_type, entity_id, direction, operation, payload, priority, causes, next_retry)
    SELECT target.entity_type, record.id, 'to_npd', 'update', '{{}}', %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => burst.seconds)
    FROM target CROSS JOIN record CROSS JOIN burst
    {record_upsert}
    RETURNING entity_type
), candidate AS (
    INSERT INTO sync_queue (entity_type, remote_id, direction, operation, payload, priority, causes, next_retry)
    SELECT target.entity_type, %(item_id)s, 'to_npd', 'create', '{{}}', %(priority)s, %(cause)s,
        sync_now() + make_interval(secs => %(wait)s)
    FROM target WHERE NOT EXISTS (SELECT FROM record)
    {item_upsert}
), unmatched AS (
    INSERT INTO sync_unmatched_items (entity_type, board_id, item_id, name, reason_code)
    SELECT target.entity_type, %(board_id)s, %(item_id)s, %(name)s, 'queued'
    FROM target WHERE %(is_listed)s AND NOT EXISTS (SELECT FROM record)
        AND NOT EXISTS (SELECT FROM sync_ignored_items AS ignored
            WHERE ignored.entity_type = target.entity_type AND ignored.item_id = %(item_id)s AND ignored.left_alone)
        AND NOT EXISTS (SELECT FROM sync_tombstones AS tombstone WHERE tombstone.entity_type = target.entity_type
            AND tombstone.monday_id = %(item_id)s AND tombstone.state <> 'restored')
    ON CONFLICT (item_id, entity_type) DO NOTHING
)
-- the outcome, null if nothing was stored (a repetition, or an item whose person was erased); the type if a record has
-- new work (the sweep finds an item's job), and its delay; the record if it still says synced
SELECT (SELECT outcome FROM stored), (SELECT entity_type FROM woken), (SELECT seconds FROM burst),
    (SELECT id FROM record WHERE sync_status = 'synced')
"""

_RECORD = """
    SELECT id, sync_status FROM {table} WHERE monday_id = %(item_id)s AND {entity_type} = (SELECT entity_type FROM link)
"""


@lru_cache(maxsize=8)
def _delivery_sql(models: tuple[tuple[str, type[SyncedModel]], ...]) -> str:
    """Return the statement for these types and their tables."""
    quote = connection.ops.quote_name
    records = " UNION ALL ".join(
        _RECORD.format(table=quote(model._meta.db_table), entity_type=f"'{entity_type}'")
        for entity_type, model in models
    )
    return _DELIVER.format(records=records, record_upsert=RECORD_UPSERT, item_upsert=ITEM_UPSERT)
