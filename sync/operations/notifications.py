"""Notifying people of what needs attention: each thing once, by email or in a chat of the site.

The rows are the truth. A message is composed of what a receiver was not notified of yet, sent, and then noted: a worker
that ends between the two sends it once more, and nothing is lost. Nothing is locked while a message is sent: who sends
has taken the receiver for some minutes, by its `due_at`.
"""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse

from sync import attention
from sync.attention import Entry, Kind
from sync.clock import sync_now
from sync.kernel import grouped
from sync.kernel.humanize import count_with_noun, one_line, shorten
from sync.kernel.mails import NotSent, send_email
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.models import Notification, NotificationReceiver
from sync.models.attention import Frequency
from sync.models.jobs import backoff
from sync.records import availability
from sync.records.availability import stop_headline

log = structlog.get_logger(__name__)

# When daily messages are sent, by the clock of the site (UTC).
DAILY_HOUR = 8

# At once means the first of them; what follows within this time comes in one message.
GAP = timedelta(minutes=5)

# For so long nobody else sends to a receiver; one whose worker was killed waits for its end.
CLAIM = timedelta(minutes=5)

# What was over for less is the same thing: a board that stops every minute is one message, not ten.
CALM = timedelta(minutes=10)

# What ends by itself so soon is nobody's news: Monday's minute of calls was used up, or a person undid it.
GRACE = timedelta(minutes=2)

# For so long a run begins messages; the next one goes on.
RUN_SECONDS = 120

# After so many failures in a row a receiver is tried once a day.
HOURLY_FAILURES = 24

# What may end by itself within the grace.
BRIEF_KINDS = (Kind.STOP, Kind.REMOVED)

# A receiver whose messages don't arrive is nothing to send messages about, and a board's page says what is wrong there.
KINDS = [kind for kind in Kind if kind not in (Kind.NOTIFICATION, Kind.BOARD)]

# Things that are looked at; more than a company has records.
MOST = 100_000


def things_to_notify_of() -> list[Entry]:
    """Return all that needs attention now, the gravest first; entries of one kind and cause are one line."""
    entries = []
    # Stopped are boards that were set up, can't be worked, and that nobody paused. Not by rows: a token that is gone
    # and a day that is used up are none.
    for stop in availability.stops_of(availability.overview()):
        cause = stop.reason.partition(". ")[0].rstrip(".")  # the rest names the time of the next attempt
        for entity_type, title in stop.boards.items():
            entries.append(
                Entry(
                    id=0, kind=Kind.STOP, key=f"{Kind.STOP}:{entity_type}", entity_type=entity_type, entity_id=None,
                    item_id="", name=title, board=title, since=stop.since, cause="", cause_code="", cause_text=cause,
                    detail="", url=reverse("admin:index"), record_url="",
                )
            )  # fmt: skip
    for entry in attention.entries(kinds=[kind for kind in KINDS if kind is not Kind.STOP], limit=MOST):
        is_difference = entry.kind is Kind.DIFFERENCE
        entries.append(replace(entry, cause_text=f"{entry.name}: {entry.cause_text}") if is_difference else entry)
    return entries


def kinds_for(user: User | None) -> Collection[Kind]:
    """Return what this person, or a chat, is notified of: what they may see, and nothing of who can't sign in."""
    if user is None:
        return KINDS
    if not (user.is_active and user.is_staff):
        return ()
    scope = attention.scope_of(user)
    # What is wrong with the sync itself is told to all who may see it, also where others act on it.
    return scope.kinds | scope.others & {Kind.STOP, Kind.DIFFERENCE}


def notify_people() -> None:
    """Send everybody what they were not notified of yet. It may run often, and twice at once."""
    receivers = NotificationReceiver.objects.exclude(frequency=Frequency.OFF)
    if not receivers.exists():
        return
    now = sync_now()
    # Before what was sent is read: who has sent meanwhile has changed `due_at`, and it is not taken.
    due = list(receivers.filter(due_at__lte=now).select_related("user").order_by("due_at"))
    things = things_to_notify_of()
    _forget_what_is_over([thing.key for thing in things], now)
    end = time.monotonic() + RUN_SECONDS
    for receiver in due:
        if time.monotonic() > end:
            return
        _notify(receiver, things, now)


def _forget_what_is_over(keys: Collection[str], now: datetime) -> None:
    rows = Notification.objects
    rows.filter(gone_at=None).exclude(key__in=keys).update(gone_at=now)
    rows.filter(key__in=keys).exclude(gone_at=None).update(gone_at=None)
    rows.filter(gone_at__lte=now - CALM).delete()


def _notify(receiver: NotificationReceiver, things: Sequence[Entry], now: datetime) -> None:
    kinds = kinds_for(receiver.user)
    notified = set(Notification.objects.filter(receiver=receiver).values_list("key", flat=True))
    news = [thing for thing in things if thing.kind in kinds and thing.key not in notified]
    news = [thing for thing in news if thing.kind not in BRIEF_KINDS or not thing.since or now - thing.since >= GRACE]
    own_row = NotificationReceiver.objects.filter(pk=receiver.pk, due_at=receiver.due_at)
    if not news:
        if receiver.frequency == Frequency.DAILY:
            own_row.update(due_at=daily_time_after(now))
        return
    if not own_row.update(due_at=now + CLAIM):
        return  # another worker has it
    receiver.due_at = now + CLAIM
    subject, text = news_text(news, with_names=receiver.user is not None)
    _deliver(receiver, subject, text, news)


def daily_time_after(moment: datetime) -> datetime:
    """Return the next time of the day at which daily messages are sent."""
    today = moment.astimezone(UTC).replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    return today if today > moment else today + timedelta(days=1)


# Sending, and what came of it.


def _deliver(receiver: NotificationReceiver, subject: str, text: str, news: Sequence[Entry] = ()) -> str:
    """Send a message and note what came of it; return why it was not sent, empty where it was."""
    problem = ""
    try:
        _send(receiver, subject, text)
    except NotSent as why:
        problem = str(why)
    log.info("notification", receiver=receiver.pk, sent=not problem, news=len(news))
    now = sync_now()
    daily = daily_time_after(now)
    if problem:
        failures = receiver.failures + 1
        changes: dict[str, Any] = {
            "failures": failures,
            "failed_since": receiver.failed_since or now,
            "problem": problem,
            "due_at": daily if failures > HOURLY_FAILURES else now + backoff(failures),
        }
    else:
        due_at = daily if receiver.frequency == Frequency.DAILY else now + GAP
        changes = {"failures": 0, "failed_since": None, "problem": "", "last_sent": now, "due_at": due_at}
    with transaction.atomic():
        row = NotificationReceiver.objects.select_for_update().filter(pk=receiver.pk).first()
        if row is None:
            return problem  # removed while its message was on its way
        if row.due_at != receiver.due_at:
            del changes["due_at"]  # another frequency was chosen meanwhile
        NotificationReceiver.objects.filter(pk=row.pk).update(**changes)
        if not problem:
            rows = [Notification(receiver=row, key=thing.key, sent_at=now) for thing in news]
            Notification.objects.bulk_create(rows, ignore_conflicts=True)
    return problem


def _send(receiver: NotificationReceiver, subject: str, text: str) -> None:
    if receiver.user is not None:
        if not receiver.user.email:
            raise NotSent("The account has no email address. An administrator enters it under Users.")
        footer = f"-- \nYou get this because you chose it: {_absolute(reverse('npd-notifications'))}\n"
        send_email(receiver.user.email, f"NPD Sync: {subject}", f"{text}\n\n{footer}")
        return
    # Apprise takes a second and 14 MB: of a process that needs it.
    from sync.operations import chats

    try:
        address = decrypt(receiver.address)
    except KeyChanged:
        raise NotSent("The stored address can't be read, for the key was changed. Add the chat again.") from None
    chats.post(address, f"NPD Sync: {subject}", text)


def send_test(receiver: NotificationReceiver) -> str:
    """Send a test message now; return why it was not sent, empty where it was."""
    return _deliver(receiver, "test", f"This is a test. Notifications arrive here.\n\n{_home_line()}")


# What a message says.


MAX_LINES = 8
MAX_NAMES = 4
MAX_LINE = 110


def news_text(news: Iterable[Entry], *, with_names: bool) -> tuple[str, str]:
    """Return the subject and the text of a message about these: a line for each cause, the gravest first.

    A chat gets no names: whose they are doesn't leave the site for it, and Teams takes a thousand characters.
    """
    kinds = list(Kind)
    by_cause = grouped(news, lambda thing: (thing.kind, thing.cause_text))
    # Within a kind the cause of the most first.
    groups = sorted(by_cause.values(), key=lambda group: (kinds.index(group[0].kind), -len(group)))
    lines = []
    for group in groups[:MAX_LINES]:
        lines.append(_headline(group))
        if with_names:
            lines += [f"  - {_short(thing.name)}: {_absolute(thing.url)}" for thing in group[:MAX_NAMES]]
            lines += [f"  - and {len(group) - MAX_NAMES:,} more"] if len(group) > MAX_NAMES else []
            lines.append("")
    if len(groups) > MAX_LINES:
        lines.append(f"And {count_with_noun(len(groups) - MAX_LINES, 'more cause')}.")
    number = count_with_noun(len(groups), "thing needs", "things need")
    subject = _headline(groups[0]) if len(groups) == 1 or groups[0][0].kind is Kind.STOP else f"{number} attention"
    text = "\n".join(lines).rstrip()
    return subject, f"{text}\n\n{_home_line()}"


def _headline(group: Sequence[Entry]) -> str:
    first = group[0]
    if first.kind is Kind.STOP:
        return _short(stop_headline([thing.name for thing in group], first.cause_text))
    if first.kind is Kind.DIFFERENCE:
        return _short(f"A difference was found: {first.cause_text}")
    return _short(f"{count_with_noun(len(group), *attention.KINDS[first.kind].nouns)}: {first.cause_text}")


def _short(text: str) -> str:
    return shorten(one_line(text), MAX_LINE)


def _home_line() -> str:
    return f"Open Home: {_absolute(reverse('admin:index'))}"


def _absolute(url: str) -> str:
    return f"{settings.SITE_URL}{url or reverse('admin:index')}"


# What people choose.


def choose(user: User, frequency: Frequency) -> NotificationReceiver:
    """Store how often a person is notified. Off forgets what they were notified of."""
    receiver, _is_new = NotificationReceiver.objects.get_or_create(user=user)
    if frequency != receiver.frequency:
        receiver.frequency = frequency
        receiver.due_at = _first_due(frequency)
        receiver.save(update_fields=["frequency", "due_at"])
    if frequency == Frequency.OFF:
        Notification.objects.filter(receiver=receiver).delete()
    return receiver


def add_chat(name: str, address: str, frequency: Frequency) -> NotificationReceiver:
    """Add a chat of the site; its address was checked."""
    return NotificationReceiver.objects.create(
        name=name, address=encrypt(address), frequency=frequency, due_at=_first_due(frequency)
    )


def _first_due(frequency: Frequency) -> datetime:
    now = sync_now()
    return daily_time_after(now) if frequency == Frequency.DAILY else now
