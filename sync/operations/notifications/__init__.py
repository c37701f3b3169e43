"""Notifying people of what needs attention: who is notified of what now, and what came of it.

The rows are the truth. A message is composed of what a receiver was not yet notified of, sent, and then marked; a
worker that ends between the two sends it once more, under the same id where it is an email, and none is lost. A
receiver that fails is tried again later and stops no other.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from sync.clock import sync_now
from sync.kernel.messages import ActionError, Conflict
from sync.kernel.outgoing_calls import TOO_SLOW
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.limits import credentials
from sync.models import Incident, Notification, NotificationReceiver
from sync.models.followers import Alarm, Frequency, Medium
from sync.models.jobs import backoff
from sync.operations import attention
from sync.operations.notifications import incidents
from sync.operations.notifications.incidents import (
    CALM,
    DIFFERENCE,
    GRACE,
    STOPPED,
    URGENT_KINDS,
    Digest,
    Noticed,
    Preference,
    Thing,
    digest_due,
    refresh_incidents,
)
from sync.operations.notifications.letters import (
    Letter,
    Outcome,
    all_clear_letter,
    news_letter,
    send_chat,
    send_email,
    test_letter,
)

log = structlog.get_logger(__name__)

MAX_FAILURES, MAX_FAILING = 10, timedelta(days=1)
"""A receiver that fails so often and for so long is switched off."""

CLAIM = timedelta(minutes=5)
"""For so long nobody else sends to a receiver; one whose worker was killed waits for its end."""

AT_ONCE_SENT, SEND_SECONDS, LAST_SECONDS = 8, 120, 60
"""How many messages are on their way together, for how long a run begins others, and for how long it then waits for
those that are on their way; together less than a claim, and than Celery's limit."""

TEST_GAP = timedelta(seconds=10)
REMEMBERED = timedelta(days=2)


def seen_kinds(user: Any) -> frozenset[str]:
    """Return the kinds of incidents that this person may be notified of; of none who can't sign in to the admin."""
    if not (user.is_active and user.is_staff):
        return frozenset()
    scope = attention.scope_of(user)
    also = {STOPPED: "sync.view_boardlink", DIFFERENCE: "sync.view_verification"}
    return frozenset(
        {kind.value for kind in scope.kinds} | {kind for kind, name in also.items() if user.has_perm(name)}
    )


@dataclass(frozen=True)
class _Message:
    receiver: NotificationReceiver
    digest: Digest
    letter: Letter
    address: str
    message_id: str


def notify_people() -> None:
    """Notice what needs attention and what no longer does, and send every message that is due."""
    if not NotificationReceiver.objects.exclude(frequency=Frequency.OFF).exists():
        return
    refresh_incidents()
    now = sync_now()
    due = [message.receiver.pk for message in _messages(list(_receivers(now)), now)]
    if not due:
        return
    claimed = _claim(due, now)
    on_their_way: set[int] = set()
    try:
        _send_all(_messages(claimed, now), on_their_way)
    finally:
        # A message of which nothing is known yet may arrive: until the claim ends, nobody sends it again.
        settled = [one.pk for one in claimed if one.pk not in on_their_way]
        NotificationReceiver.objects.filter(pk__in=settled, claimed_until=now + CLAIM).update(claimed_until=None)


def _receivers(now: datetime) -> QuerySet[NotificationReceiver]:
    due = Q(next_attempt=None) | Q(next_attempt__lte=now)
    free = Q(claimed_until=None) | Q(claimed_until__lte=now)
    receivers = NotificationReceiver.objects.filter(due, free, stopped_at=None).exclude(frequency=Frequency.OFF)
    return receivers.select_related("user").order_by("pk")


def _claim(ids: Sequence[int], now: datetime) -> list[NotificationReceiver]:
    """Take these receivers, as they are now: another worker may have sent to them meanwhile, or be about to."""
    with transaction.atomic():
        found = list(_receivers(now).filter(pk__in=ids).select_for_update(of=("self",), skip_locked=True))
        NotificationReceiver.objects.filter(pk__in=[one.pk for one in found]).update(claimed_until=now + CLAIM)
    return found


def _messages(receivers: Sequence[NotificationReceiver], now: datetime) -> list[_Message]:
    """Compose what is due to these receivers, in a number of queries that grows with people's permissions alone."""
    notified = Exists(Notification.objects.filter(incident=OuterRef("pk")))
    lately = Q(gone_at__gt=now - CALM) | (Q(gone_at__gt=now - REMEMBERED) & notified)
    known = {row.pk: row for row in Incident.objects.filter(Q(gone_at=None) | lately).order_by("pk")}
    ids: dict[int, set[int]] = {one.pk: set() for one in receivers}
    rows = Notification.objects.filter(receiver__in=receivers, incident__in=known)
    for receiver_id, incident_id in rows.values_list("receiver_id", "incident_id"):
        ids[receiver_id].add(incident_id)
    things: dict[frozenset[str], list[Thing]] = {}
    found = []
    for receiver in receivers:
        kinds = seen_kinds(receiver.user)
        if not kinds:
            continue
        if kinds not in things:
            things[kinds] = [_thing(row, kinds) for row in known.values()]
        digest = digest_due(_preference(receiver, ids[receiver.pk]), things[kinds], now)
        if digest is not None:
            found.append(_message(receiver, digest, known, kinds))
    return found


def _preference(receiver: NotificationReceiver, notified: set[int]) -> Preference:
    return Preference(
        Frequency(receiver.frequency), receiver.hour, ZoneInfo(receiver.zone), receiver.chosen_at,
        Alarm(receiver.alarm), receiver.alarmed_at, notified,
    )  # fmt: skip


def _thing(row: Incident, kinds: frozenset[str]) -> Thing:
    grace = GRACE.get(row.kind, timedelta())
    urgent = row.kind in URGENT_KINDS
    return Thing(row.pk, row.noticed_at, row.gone_at, urgent, grace, row.summed, row.kind in kinds)


def _message(
    receiver: NotificationReceiver, digest: Digest, known: Mapping[int, Incident], kinds: frozenset[str]
) -> _Message:
    if digest.is_all_clear:
        letter = all_clear_letter()
    else:
        shown = [row for row in known.values() if row.gone_at is None and row.kind in kinds]
        news = [_noticed(known[one.id]) for one in digest.news]
        letter = news_letter(news, _causes(shown))
    # The same news make the same id; so does the all clear of the same alarm.
    about = [receiver.pk, digest.is_all_clear, str(receiver.alarmed_at), *(one.id for one in digest.news)]
    return _Message(receiver, digest, letter, receiver.address, message_id(*about))


def _causes(found: Iterable[Noticed | Incident]) -> int:
    return len({(one.kind, one.cause_code) for one in found})


def message_id(*about: object) -> str:
    """Return the id of an email, the same for the same news."""
    digits = hashlib.sha256(repr(list(about)).encode()).hexdigest()[:32]
    return f"<npd-{digits}@{urlsplit(settings.SITE_URL).hostname or 'localhost'}>"


def _noticed(row: Incident) -> Noticed:
    return Noticed(row.key, row.kind, row.entity_type, row.name, row.cause_code, row.cause, row.url, row.number)


# Sending, and what came of it.


def _send_all(messages: Sequence[_Message], on_their_way: set[int]) -> None:
    """Send them side by side: threads only send, what came of it is written here.

    `on_their_way` gets the receivers of which nothing is known at the end.
    """
    if not messages:
        return
    pool = ThreadPoolExecutor(AT_ONCE_SENT, thread_name_prefix="notification")
    sent: dict[Future[Outcome], _Message] = {
        pool.submit(_send, one.receiver, one.letter, one.message_id): one for one in messages
    }
    unknown = set(sent)
    try:
        _record_until(time.monotonic() + SEND_SECONDS, sent, unknown)
        pool.shutdown(wait=False, cancel_futures=True)
        unknown -= {future for future in unknown if future.cancelled()}
        _record_until(time.monotonic() + LAST_SECONDS, sent, unknown)
        for future in unknown:
            _record(sent[future], Outcome(False, TOO_SLOW))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        on_their_way |= {sent[future].receiver.pk for future in unknown if not future.cancelled()}


def _record_until(deadline: float, sent: Mapping[Future[Outcome], _Message], unknown: set[Future[Outcome]]) -> None:
    """Record what comes of these messages, as it comes, and no longer than until then."""
    while unknown and (left := deadline - time.monotonic()) > 0:
        done, _open = wait(unknown, timeout=left, return_when="FIRST_COMPLETED")
        for future in done:
            _record(sent[future], future.result())
            unknown.discard(future)


NO_ADDRESS = "Your account has no email address. An administrator enters it under Users."
NOT_READABLE = (
    "The stored address can't be read any more, because the key of this installation was changed. Enter it again."
)


UNKNOWN_ERROR = "An unknown error stopped the message. An administrator finds its kind in the log."

SHORTEST_HIDDEN = 16
"""Characters of an address's path, from which on it may be a secret; people choose it, so not everything is hidden."""


def _send(receiver: NotificationReceiver, letter: Letter, message_id: str) -> Outcome:
    """Send one message; asks nothing of the database."""
    try:
        if receiver.medium == Medium.EMAIL:
            address = receiver.user.email
            return send_email(address, letter, message_id) if address else Outcome(False, NO_ADDRESS)
        address = decrypt(receiver.address)
        _conceal_address(address)
        return send_chat(Medium(receiver.medium), address, letter)
    except KeyChanged:
        return Outcome(False, NOT_READABLE, is_final=True)
    except Exception as error:  # an unknown error of one receiver must not stop the others
        # By its type only: its text, or what it came from, may quote the address.
        log.error("notification not sent", receiver=receiver.pk, error=type(error).__name__)
        return Outcome(False, UNKNOWN_ERROR, is_ours=True)


def _conceal_address(address: str) -> None:
    """Hide what of an address may be a secret: not its host, and no short text, which stands in other places too."""
    parts = urlsplit(address)
    if len(parts.path) >= SHORTEST_HIDDEN:
        texts = {parts.path, parts.query, f"{parts.path}?{parts.query}".rstrip("?")}
        credentials.conceal(*(text for text in texts if len(text) >= SHORTEST_HIDDEN))


def _record(message: _Message, outcome: Outcome) -> None:
    receiver, digest = message.receiver, message.digest
    log.info("notification", receiver=receiver.pk, medium=receiver.medium, sent=outcome.is_sent, news=len(digest.news))
    now = sync_now()
    if not outcome.is_sent:
        record_failure(receiver, outcome, now)
        return
    is_urgent = receiver.alarm == Alarm.URGENT or any(one.urgent for one in digest.news)
    alarm = Alarm.NONE if digest.is_all_clear else Alarm.URGENT if is_urgent else Alarm.ROUTINE
    with transaction.atomic():
        changes: dict[str, Any] = {"last_sent": now, "alarm": alarm, **_WELL}
        if not digest.is_all_clear:
            changes["alarmed_at"] = now
        # Another address, entered while the message was on its way to the old one, has heard of nothing yet.
        if NotificationReceiver.objects.filter(pk=receiver.pk, address=message.address).update(**changes):
            rows = [Notification(receiver=receiver, incident_id=one.id, sent_at=now) for one in digest.news]
            Notification.objects.bulk_create(rows, ignore_conflicts=True)


_WELL: Mapping[str, Any] = {
    "failures": 0,
    "failed_since": None,
    "problem": "",
    "next_attempt": None,
    "stopped_at": None,
}


def record_failure(receiver: NotificationReceiver, outcome: Outcome, now: datetime) -> None:
    """Write why a message could not be sent, and when the next attempt is; after many switch the receiver off."""
    failures, since = receiver.failures + 1, receiver.failed_since or now
    is_over = outcome.is_final or (not outcome.is_ours and failures >= MAX_FAILURES and now - since >= MAX_FAILING)
    NotificationReceiver.objects.filter(pk=receiver.pk, address=receiver.address).update(
        failures=F("failures") + 1,
        failed_since=since,
        problem=outcome.problem,
        next_attempt=now + max(backoff(failures), timedelta(seconds=outcome.wait)),
        stopped_at=now if is_over else None,
    )


# What a person does on their page.


@dataclass(frozen=True)
class Choice:
    """How somebody wants to be notified by one medium; an empty address keeps the one that is stored."""

    medium: Medium
    frequency: Frequency
    hour: int
    zone: str
    address: str = ""


def choose(user: User, choices: Iterable[Choice]) -> None:
    """Store what a person chose. A receiver that was switched off, or has another address, begins again."""
    now = sync_now()
    with transaction.atomic():
        rows = NotificationReceiver.objects.select_for_update(of=("self",)).filter(user=user)
        stored = {row.medium: row for row in rows}
        for choice in choices:
            row = stored.get(choice.medium)
            if row is not None or choice.frequency != Frequency.OFF or choice.address:
                _choose_one(row or NotificationReceiver(user=user, medium=choice.medium, chosen_at=now), choice, now)


def _choose_one(row: NotificationReceiver, choice: Choice, now: datetime) -> None:
    wanted: dict[str, Any] = {"frequency": choice.frequency, "hour": choice.hour, "zone": choice.zone}
    if any(getattr(row, name) != value for name, value in wanted.items()):
        wanted["chosen_at"] = now
    if choice.frequency == Frequency.OFF or choice.address:
        # Nobody wants an all clear of what they no longer follow, or what another channel was notified of.
        wanted["alarm"] = Alarm.NONE
    if choice.address:
        _conceal_address(choice.address)
        wanted["address"] = encrypt(choice.address)
        Notification.objects.filter(receiver_id=row.pk).delete()
    if choice.address or row.stopped_at or row.frequency == Frequency.OFF:
        wanted |= _WELL
    NotificationReceiver.objects.update_or_create(user=row.user, medium=row.medium, defaults=wanted)


def address_host(receiver: NotificationReceiver) -> str:
    """Return where the stored address leads, without what is secret of it; empty where none is stored or readable."""
    try:
        address = decrypt(receiver.address) if receiver.address else ""
    except KeyChanged:
        return ""
    return urlsplit(address).hostname or ""


def send_test(receiver: NotificationReceiver) -> None:
    """Send a test message now: a receiver that failed is well again, or fails from now on.

    Raises ActionError with the reason.
    """
    now = sync_now()
    free = Q(tested_at=None) | Q(tested_at__lte=now - TEST_GAP)
    if not NotificationReceiver.objects.filter(free, pk=receiver.pk).update(tested_at=now):
        raise Conflict(f"Wait {TEST_GAP.seconds} seconds between two tests.")
    letter = test_letter(receiver.user.get_full_name() or receiver.user.get_username())
    outcome = _send(receiver, letter, message_id(receiver.pk, now))
    if not outcome.is_sent:
        record_failure(receiver, outcome, sync_now())
        place = Medium(receiver.medium).label
        raise ActionError(
            f"The test was not sent to {place}. {outcome.problem} Check the address of {place}, then send it again.",
            code="not_sent",
        )
    NotificationReceiver.objects.filter(pk=receiver.pk).update(last_sent=now, **_WELL)


def preview(user: User) -> Letter | None:
    """Return the message that a person would get now, if none had come before; None where nothing needs attention."""
    kinds = seen_kinds(user)
    found: Iterable[Noticed] = (*incidents.stops(), *incidents.differences(), *incidents.waiting(frozenset()))
    shown = [one for one in found if one.kind in kinds]
    return news_letter(shown, _causes(shown)) if shown else None
