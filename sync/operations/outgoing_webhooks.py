"""Endpoints of other systems: whose they are, their secrets, when one is on, and what a person sends again.

An endpoint gets the events that its owner may read in the feed, as that is when they are sent (decision 0032).
A secret is shown once, where it is made. An endpoint that is off keeps its place in the feed: switched on again, it is
told of everything that it missed, as far as events are kept.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Q, QuerySet

from sync.clock import SyncNow, sync_now
from sync.kernel.action_errors import ActionError, Conflict, NotAllowed
from sync.kernel.db import brief_transaction
from sync.kernel.outgoing_calls import AddressError, check_address
from sync.kernel.secret_texts import decrypt, encrypt
from sync.models import DeliveryState, DisabledCode, FeedEvent, WebhookDelivery, WebhookEndpoint
from sync.operations.event_feed import feed_sight, place_events
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
