"""Endpoints of other systems: whose they are, their secrets, when one is on, and how events are sent to them.

An endpoint gets the events that its owner may read in the feed, as that is when they are sent (decision 0032).
A secret is shown once, where it is made. An endpoint that is off keeps its place in the feed: switched on again, it is
told of everything that it missed, as far as events are kept.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import structlog
from django.core.serializers.json import DjangoJSONEncoder
from django.db import OperationalError, transaction
from django.db.models import F, Max, Q, QuerySet

from sync.clock import SyncNow, sync_now
from sync.kernel import process
from sync.kernel.db import advisory_lock, brief_transaction, gave_way, run_sql
from sync.kernel.messages import ActionError, Conflict, NotAllowed
from sync.kernel.outgoing_calls import REDIRECTED, AddressError, Answer, CallFailed, check_address, post_json
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.models import DeliveryState, DisabledCode, FeedEvent, WebhookDelivery, WebhookEndpoint
from sync.models.jobs import BACKOFF_MINUTES, backoff
from sync.operations.event_feed import CONFLICT_TYPES, FeedSight, event_bodies, feed_sight, place_events
from sync.outbox.notify import send_task

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = 32

ROTATION_GRACE = timedelta(days=1)
"""For so long after a rotation both secrets sign, so that the receiver can change its own in peace."""

MAX_ENDPOINTS = 50
"""Each is told of everything, so many cost as many calls."""


def check_may_receive(user: Any, endpoint: WebhookEndpoint | None = None) -> None:
    """Raise NotAllowed unless this person may view records, and all that the endpoint's owner may.

    With less, who changes an address could have sent there what they may not view, and the owner's copy would go short.
    """
    sight = feed_sight(user)
    if not sight.entity_types:
        raise NotAllowed("An endpoint gets what its owner may view. You may view no records, so there is none for you.")
    if endpoint is not None and not sight.covers(feed_sight(endpoint.owner)):
        raise NotAllowed(
            "The endpoint gets what its owner may view, and you may not view all of that. "
            "Only its owner, or somebody who may view as much, changes its address or secret, or switches it on."
        )


def check_endpoint_address(address: str) -> None:
    """Raise ActionError, code `address`, where nothing may be sent to this address."""
    try:
        check_address(address)
    except AddressError as why:
        raise ActionError(str(why), code="address") from why


def make_endpoint(values: Mapping[str, Any], by: Any) -> tuple[WebhookEndpoint, str]:
    """Make an endpoint that is told of what happens from now on; return it and its secret, which nobody sees again."""
    check_may_receive(by)
    check_endpoint_address(values["address"])
    if WebhookEndpoint.objects.count() >= MAX_ENDPOINTS:
        raise Conflict(f"There are {MAX_ENDPOINTS} endpoints, which is the most. Delete one first.", code="too_many")
    secret = _new_secret()
    place_events()
    place = FeedEvent.objects.aggregate(last=Max("position"))["last"] or 0
    endpoint = WebhookEndpoint(**values, secret=encrypt(secret), position=place, created_by=by, owner=by)
    if not endpoint.enabled:
        endpoint.disabled_code, endpoint.disabled_at = DisabledCode.PERSON, sync_now()
    endpoint.save()
    return endpoint, secret


def change_endpoint(endpoint: WebhookEndpoint, values: Mapping[str, Any], by: Any) -> WebhookEndpoint:
    """Change what a person may; one that is switched on, or gets another address, begins anew.

    Whoever gives it another address becomes its owner: what arrives there is theirs to answer for, as they may view it.
    So does whoever switches on one whose owner may view nothing any more.
    """
    if "address" in values:
        check_endpoint_address(values["address"])
    with brief_transaction():
        row = WebhookEndpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk)
        was_on, old_address = row.enabled, row.address
        for name, value in values.items():
            setattr(row, name, value)
        is_switched_on, is_moved = row.enabled and not was_on, row.address != old_address
        if is_switched_on or is_moved:
            check_may_receive(by, row)
            if is_moved or not feed_sight(row.owner).entity_types:
                row.owner = by
        if row.enabled and (is_switched_on or is_moved):
            row.disabled_code, row.disabled_at = DisabledCode.NONE, None
            row.failures, row.failing_since, row.next_attempt = 0, None, None
        elif was_on and not row.enabled:
            row.disabled_code, row.disabled_at = DisabledCode.PERSON, sync_now()
        row.save()
        wake_sender_on_commit()
    return row


def rotate_secret(endpoint: WebhookEndpoint, by: Any) -> str:
    """Give it another secret and return that; the one before it signs, too, for ROTATION_GRACE.

    Whoever gets the secret becomes its owner.
    """
    secret = _new_secret()
    with brief_transaction():
        row = WebhookEndpoint.objects.select_for_update(of=("self",)).get(pk=endpoint.pk)
        check_may_receive(by, row)
        row.previous_secret, row.previous_until = row.secret, sync_now() + ROTATION_GRACE
        row.secret, row.owner = encrypt(secret), by
        row.save(update_fields=["owner", "secret", "previous_secret", "previous_until"])
    return secret


def _new_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signing_secrets(endpoint: WebhookEndpoint, now: Any) -> list[str]:
    """Return the secrets that sign, the newest first; raises KeyChanged."""
    found = [decrypt(endpoint.secret)]
    if endpoint.previous_until and endpoint.previous_until > now:
        found.append(decrypt(endpoint.previous_secret))
    return found


def forget_replaced_secrets() -> None:
    """Those whose grace is over."""
    over = WebhookEndpoint.objects.filter(previous_until__lte=SyncNow())
    over.update(previous_secret="", previous_until=None)


# What a person sends.


def what_switching_on_does(code: str) -> str:
    """Return a sentence about an endpoint that is off for this reason, a DisabledCode."""
    if code == DisabledCode.OWNER:
        return "Whoever switches it on becomes its owner: it then gets what they may view, also of what it missed."
    return "Nothing is lost: once it is on again, it gets what it missed."


def send_test_event(endpoint: WebhookEndpoint) -> WebhookDelivery:
    """Send a `ping`; what came of it is read at the delivery. Raises Conflict where the endpoint is off."""
    _check_is_on(endpoint)
    delivery = WebhookDelivery.objects.create(endpoint=endpoint)
    delivery.refresh_from_db()
    _try_at_once([endpoint.pk])
    return delivery


def replay_deliveries(deliveries: QuerySet[WebhookDelivery]) -> int:
    """Send finished deliveries again under their ids, and those that wait at once; return how many.

    Raises Conflict where one of their endpoints is off, or all of them are on their way just now.
    """
    with brief_transaction():
        rows = list(deliveries.select_related("endpoint").select_for_update(of=("self",)))
        for row in rows:
            _check_is_on(row.endpoint)
        free = [row for row in rows if row.state != DeliveryState.IN_PROGRESS]
        if rows and not free:
            raise Conflict("It is on its way just now. Look again in a minute.", code="in_progress")
        WebhookDelivery.objects.filter(pk__in=[row.pk for row in free]).update(
            state=DeliveryState.PENDING, counted=0, next_attempt=SyncNow(), finished_at=None
        )
        _try_at_once({row.endpoint_id for row in free})
    return len(free)


def _check_is_on(endpoint: WebhookEndpoint) -> None:
    if not endpoint.enabled:
        raise Conflict("The endpoint is off. Switch it on first.", code="endpoint_off")


def _try_at_once(endpoints: Sequence[Any] | set[Any]) -> None:
    # A person's click does not wait for the end of a backoff.
    WebhookEndpoint.objects.filter(~Q(next_attempt=None), pk__in=list(endpoints)).update(next_attempt=SyncNow())
    wake_sender_on_commit()


SENDER_TASK = "sync.deliver_webhooks"


def wake_sender() -> None:
    """Wake the sender where anybody is to be told; the schedule does what a lost message would have done."""
    if WebhookEndpoint.objects.filter(enabled=True).exists():
        send_task(SENDER_TASK)


def wake_sender_on_commit() -> None:
    """The same once what was written is visible; a failure never fails the act."""
    transaction.on_commit(wake_sender, robust=True)


# The way of an event to the endpoints: each is told of it once it is placed, at least once, under the event's id.
#
# As in the outbox the rows are the truth. Deliveries are made in the transaction that moves the endpoint's place in the
# feed, so that none is missing and none made twice. A delivery is claimed, sent, and then marked by whoever still holds
# the claim: a worker that ends between the call and its mark leaves it to the next, which sends the same id again.
# A failure counts against a delivery only where the endpoint took others; an endpoint that takes nothing is asked again
# with one delivery at a time, and after five days switched off (decision 0032).


log = structlog.get_logger(__name__)

MAX_FAILING = timedelta(days=5)
"""An endpoint of which nothing was taken for so long is switched off."""

OPEN_STATES = (DeliveryState.PENDING, DeliveryState.IN_PROGRESS)

BACKLOG = 1_000
"""Open deliveries of an endpoint: further events wait in the feed, where they cost nothing."""

TAKEN_AT_ONCE = 2_000
"""Events of one transaction that makes deliveries."""

SENT_AT_ONCE, OF_ONE_ENDPOINT = 16, 8
"""Deliveries on their way together, in all and to one endpoint. One call each endpoint may have in any case."""

CALLS_SECONDS = 40.0
"""How long calls are waited for: longer than one lasts, shorter than the claim."""

CLAIM = timedelta(seconds=60)
ALIVE = timedelta(seconds=25)
"""A claim that is older than a call lasts is of a sender that stands still, or was killed."""

TOGETHER_SECONDS = 0.1
LOOK_SECONDS = 1.0
"""For so long the end of a call is waited for, before it is looked what else is due."""

RUN_SECONDS = 120.0
"""After so long a run ends; the schedule begins the next."""

PING = "ping"


def deliver_webhooks() -> None:
    """Tell every endpoint that is on what it was not told yet, until nothing is due or the time is over."""
    end = time.monotonic() + RUN_SECONDS
    if not WebhookEndpoint.objects.filter(enabled=True).exists():
        return
    calls = _Calls()
    try:
        while time.monotonic() < end and not process.is_shutting_down():
            place_events()
            for endpoint_id in WebhookEndpoint.objects.filter(enabled=True).values_list("pk", flat=True):
                _make_deliveries(endpoint_id)
            claimed = _claim(sync_now(), calls)
            calls.begin(claimed)
            if not claimed and not calls.under_way:
                return
            calls.note_finished()
        while calls.under_way:
            calls.note_finished()
    finally:
        calls.pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _undone_where_held_up(step: str) -> Iterator[None]:
    """A brief transaction that is left undone where another keeps a lock too long: the other endpoints are served.

    A later run does it: an endpoint's place has not moved, and a claim that is not marked ends.
    """
    try:
        with brief_transaction():
            yield
    except OperationalError as error:
        if not gave_way(error):
            raise
        log.warning("webhooks held up", step=step)


_MAKE = """
    INSERT INTO sync_webhook_deliveries (endpoint_id, event_id, message_id)
    SELECT %(endpoint)s, id, uid FROM sync_events
    WHERE position > %(after)s AND position <= %(to)s AND (%(all)s OR type = ANY (%(types)s))
        AND entity_type = ANY (%(entity_types)s) AND (%(conflicts)s OR type <> ALL (%(conflict_types)s))
    ORDER BY position
    ON CONFLICT (endpoint_id, event_id) DO NOTHING
"""


def _make_deliveries(endpoint_id: UUID) -> None:
    """Make deliveries of the events that follow and its owner may read, and move the endpoint's place past them."""
    open_ones = WebhookDelivery.objects.filter(endpoint=endpoint_id, state__in=OPEN_STATES)
    if open_ones.count() >= BACKLOG:
        return
    with _undone_where_held_up("deliveries"):
        rows = WebhookEndpoint.objects.filter(pk=endpoint_id, enabled=True)
        # One worker moves an endpoint's place at a time: two would make the same deliveries.
        endpoint = rows.select_for_update(of=("self",), skip_locked=True).first()
        last = FeedEvent.objects.aggregate(last=Max("position"))["last"] or 0
        if endpoint is None or last == endpoint.position:
            return
        sight = feed_sight(endpoint.owner)
        if not sight.entity_types:
            _switch_off_ownerless(endpoint)
            return
        # After a restored backup its place may be past the end of the feed.
        to = min(last, endpoint.position + TAKEN_AT_ONCE)
        params = {"endpoint": endpoint.pk, "after": endpoint.position, "to": to, "types": endpoint.event_types}
        params["all"] = not endpoint.event_types
        params |= {"entity_types": list(sight.entity_types), "conflicts": sight.conflicts}
        params["conflict_types"] = list(CONFLICT_TYPES)
        run_sql(_MAKE, params)
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(position=to)


def _switch_off_ownerless(endpoint: WebhookEndpoint) -> None:
    """Switch it off where its owner may view nothing; what it is not sent meanwhile, whoever takes it over gets."""
    code = DisabledCode.OWNER
    same_owner = WebhookEndpoint.objects.filter(pk=endpoint.pk, enabled=True, owner=endpoint.owner_id)
    if same_owner.update(enabled=False, disabled_code=code, disabled_at=sync_now()):
        log.warning("webhook endpoint switched off", endpoint=str(endpoint.pk), code=str(code))


def _claim(now: datetime, calls: _Calls) -> list[WebhookDelivery]:
    """Take what is due for CLAIM, so that no other worker sends it meanwhile; as much as there is room for."""
    under_way = calls.by_endpoint()
    free_calls = SENT_AT_ONCE - under_way.total()
    due = Q(next_attempt=None) | Q(next_attempt__lte=now)
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    found: list[WebhookDelivery] = []
    is_claimed = False
    with _undone_where_held_up("claim"):
        if _does_another_send(now, calls):
            return []
        # In any order: a busy endpoint keeps no other waiting for long.
        for endpoint in WebhookEndpoint.objects.filter(due, enabled=True).select_related("owner").order_by("?"):
            most = 1 if endpoint.failing_since else OF_ONE_ENDPOINT
            room = min(free_calls - len(found), most - under_way[endpoint.pk])
            # Also while slow ones have all the places.
            room = max(room, 0 if under_way[endpoint.pk] else 1)
            rows = WebhookDelivery.objects.filter(
                free, endpoint=endpoint, state__in=OPEN_STATES, next_attempt__lte=now
            ).order_by("next_attempt", "id")
            for row in rows.select_for_update(skip_locked=True)[:room]:
                row.endpoint = endpoint
                found.append(row)
        WebhookDelivery.objects.filter(pk__in=[row.pk for row in found]).update(
            state=DeliveryState.IN_PROGRESS, claimed_until=now + CLAIM, attempts=F("attempts") + 1, last_attempt=now
        )
        is_claimed = True
    if not is_claimed:
        return []
    for row in found:
        row.claimed_until, row.attempts = now + CLAIM, row.attempts + 1
    return found


_LOCK = 0x5EED_5E4D


def _does_another_send(now: datetime, calls: _Calls) -> bool:
    """Whether another worker has calls on their way: it sends what is due.

    A sender waits for its slowest call, and every change wakes one: soon no worker would be left for the sync.
    """
    # One at a time, until the commit: two that begin together would not see each other's claims.
    advisory_lock(_LOCK)
    own = [row.pk for row, _begun in calls.under_way.values()]
    alive = WebhookDelivery.objects.filter(state=DeliveryState.IN_PROGRESS, claimed_until__gt=now + CLAIM - ALIVE)
    return alive.exclude(pk__in=own).exists()


# Sending: threads only send, what came of it is noted by the one that claimed.


@dataclass(frozen=True)
class _Message:
    address: str
    body: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]


@dataclass(frozen=True)
class _Outcome:
    """What came of a call: `status` None where there was no answer."""

    status: int | None
    problem: str = ""
    excerpt: str = ""
    wait: float = 0.0
    duration_ms: int = 0

    @property
    def is_delivered(self) -> bool:
        return not self.problem


NOT_READABLE = "The stored secret can't be read any more, because the key of this installation was changed. Rotate it."


class _Calls:
    """Calls on their way. A slow one takes its own place, and no other's: where one ends, the next begins."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(SENT_AT_ONCE + MAX_ENDPOINTS, thread_name_prefix="webhook")
        self.under_way: dict[Future[_Outcome], tuple[WebhookDelivery, float]] = {}

    def by_endpoint(self) -> Counter[UUID]:
        return Counter(row.endpoint_id for row, _begun in self.under_way.values())

    def begin(self, claimed: Sequence[WebhookDelivery]) -> None:
        events = FeedEvent.objects.in_bulk([row.event_id for row in claimed if row.event_id])
        shown = _shown(claimed, events)
        bodies = event_bodies([events[row.event_id] for row in shown if row.event_id in events])
        now, begun = sync_now(), time.monotonic()
        for row in shown:
            try:
                message = _message(row, bodies.get(row.event_id or 0), now)
            except KeyChanged:
                _note(row, _Outcome(None, NOT_READABLE))
            else:
                self.under_way[self.pool.submit(_send, message)] = row, begun

    def note_finished(self) -> None:
        """Wait a moment for the first that end, and note what came of them."""
        done, rest = wait(self.under_way, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        # Those that end together are noted, and followed by others, together.
        done |= wait(rest, timeout=TOGETHER_SECONDS).done
        for future in done:
            row, _begun = self.under_way.pop(future)
            _note(row, future.result())
        # Of what lasts longer nothing is known: the claim ends, and it is sent again.
        late = time.monotonic() - CALLS_SECONDS
        self.under_way = {future: call for future, call in self.under_way.items() if call[1] > late}


WITHHELD = "Its owner may not read this event any more, so it was not sent."


def _shown(claimed: Sequence[WebhookDelivery], events: Mapping[int, FeedEvent]) -> list[WebhookDelivery]:
    """The deliveries that may be sent: rights may have been lost since they were made. The others are ended here."""
    # As claimed: of one endpoint all rows have the same owner, whose rights are asked once.
    owners = {row.endpoint_id: row.endpoint for row in claimed}
    sights: dict[UUID, FeedSight] = {key: feed_sight(endpoint.owner) for key, endpoint in owners.items()}
    shown, withheld = [], defaultdict[UUID, list[WebhookDelivery]](list)
    for row in claimed:
        event = events.get(row.event_id or 0)
        if event is None or sights[row.endpoint_id].shows(event):
            shown.append(row)
        else:
            withheld[row.endpoint_id].append(row)
    for key, rows in withheld.items():
        with _undone_where_held_up("withheld"):
            ended: dict[str, Any] = {"state": DeliveryState.FAILED, "problem": WITHHELD, "finished_at": sync_now()}
            if not sights[key].entity_types:
                _switch_off_ownerless(owners[key])
                ended = {"state": DeliveryState.PENDING}
            for row in rows:
                _give_back(row, **ended)
    return shown


def _give_back(row: WebhookDelivery, **values: Any) -> None:
    """End the claim without a call."""
    mine = WebhookDelivery.objects.filter(pk=row.pk, state=DeliveryState.IN_PROGRESS, claimed_until=row.claimed_until)
    mine.update(claimed_until=None, attempts=F("attempts") - 1, **values)


def _message(row: WebhookDelivery, said: Mapping[str, Any] | None, now: datetime) -> _Message:
    if said is None:
        content = {"type": PING, "timestamp": _moment(row.created_at), "data": {"endpoint": str(row.endpoint_id)}}
    else:
        at = _moment(said["at"])
        content = {"type": said["type"], "timestamp": at, "data": {**said, "at": at}}
    body = json.dumps(content, cls=DjangoJSONEncoder, ensure_ascii=False)
    secrets = tuple(signing_secrets(row.endpoint, now))
    signed = signed_headers(str(row.message_id), int(now.timestamp()), body, secrets)
    return _Message(row.endpoint.address, body, signed, secrets)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def signed_headers(message_id: str, timestamp: int, body: str, secrets: Sequence[str]) -> dict[str, str]:
    """Return the three headers of Standard Webhooks: one signature by each secret."""
    content = f"{message_id}.{timestamp}.{body}".encode()
    keys = [base64.b64decode(secret.removeprefix(SECRET_PREFIX)) for secret in secrets]
    digests = [base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


def _send(message: _Message) -> _Outcome:
    begun = time.monotonic()
    try:
        outcome = _outcome(post_json(message.address, message.body, message.headers), message)
    except (AddressError, CallFailed) as why:
        outcome = _Outcome(None, str(why))
    except Exception as error:  # an unknown error of one endpoint must not stop the others
        # By its type only: its text, or what it came from, may quote the address.
        log.error("webhook not sent", error=type(error).__name__)
        outcome = _Outcome(None, "An unknown error stopped the call. An administrator finds its kind in the log.")
    return replace(outcome, duration_ms=round((time.monotonic() - begun) * 1_000))


def _outcome(answer: Answer, message: _Message) -> _Outcome:
    if answer.is_success:
        return _Outcome(answer.status)
    problem = REDIRECTED if answer.is_redirect else f"It answered with HTTP {answer.status}."
    text = answer.body.decode("utf-8", "replace").replace("\0", "")
    # A careless receiver may answer with what it got.
    for secret in (*message.secrets, *message.headers["webhook-signature"].split()):
        text = text.replace(secret, "…")
    return _Outcome(answer.status, problem, " ".join(text.split())[:500], answer.wait)


# What came of it.


def _note(row: WebhookDelivery, outcome: _Outcome) -> None:
    """Mark the delivery, whoever holds its endpoint's row meanwhile; then note what it says of the endpoint."""
    now = sync_now()
    if not _mark(row, outcome, now):
        return
    log.info(
        "webhook", endpoint=str(row.endpoint_id), delivered=outcome.is_delivered, status=outcome.status, delivery=row.pk
    )
    with _undone_where_held_up("outcome"):
        endpoints = WebhookEndpoint.objects.filter(pk=row.endpoint_id)
        if outcome.is_delivered:
            recovered = endpoints.filter(failing_since__isnull=False)
            recovered.update(failures=0, failing_since=None, next_attempt=None)
        # Of several failures that end while somebody holds the row, each would wait: the next one is noted.
        elif endpoint := endpoints.select_for_update(skip_locked=True).first():
            _note_failing(endpoint, outcome, now)


def _mark(row: WebhookDelivery, outcome: _Outcome, now: datetime) -> bool:
    """Store what came of it; False where the claim is somebody else's by now, or the row is held up."""
    marked: dict[str, Any] = {
        "claimed_until": None,
        "status_code": outcome.status,
        "duration_ms": outcome.duration_ms,
        "problem": outcome.problem,
        "excerpt": outcome.excerpt,
    }
    if outcome.is_delivered:
        marked |= {"state": DeliveryState.DELIVERED, "finished_at": now}
    else:
        # Where it took nothing before this call either, it is not this delivery's fault.
        counted = row.counted + (0 if row.endpoint.failing_since else 1)
        is_over = counted > len(BACKOFF_MINUTES)
        pause = max(backoff(counted), timedelta(seconds=outcome.wait))
        marked |= {"counted": counted, "next_attempt": now + pause, "finished_at": now if is_over else None}
        marked["state"] = DeliveryState.FAILED if is_over else DeliveryState.PENDING
    mine = WebhookDelivery.objects.filter(pk=row.pk, state=DeliveryState.IN_PROGRESS, claimed_until=row.claimed_until)
    number = 0
    with _undone_where_held_up("mark"):
        number = mine.update(**marked)
    return number == 1


def _note_failing(endpoint: WebhookEndpoint, outcome: _Outcome, now: datetime) -> None:
    """Leave a failing endpoint alone for a while; one that is gone, or fails for five days, is switched off."""
    if not endpoint.enabled:
        return
    # Calls that were on their way together are one failure.
    if endpoint.next_attempt is None or endpoint.next_attempt <= now:
        endpoint.failures += 1
        endpoint.failing_since = endpoint.failing_since or now
        endpoint.next_attempt = now + max(backoff(endpoint.failures), timedelta(seconds=outcome.wait))
    code = DisabledCode.NONE
    if outcome.status == HTTPStatus.GONE:
        code = DisabledCode.GONE
    elif endpoint.failing_since and now - endpoint.failing_since >= MAX_FAILING:
        code = DisabledCode.FAILING
    if code:
        endpoint.enabled, endpoint.disabled_code, endpoint.disabled_at = False, code, now
        log.warning("webhook endpoint switched off", endpoint=str(endpoint.pk), code=str(code))
    endpoint.save(
        update_fields=["failures", "failing_since", "next_attempt", "enabled", "disabled_code", "disabled_at"]
    )
