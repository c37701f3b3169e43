"""Notifications of things that need attention: each thing once, by email or in a chat of the site.

A message lists the things that its receiver wasn't notified of yet, and they are stored after it was sent. So if a
worker is killed in between, the message is sent twice, and nothing is lost. No row is locked meanwhile: setting the
receiver's `due_at` reserves it for some minutes.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse

from sync import attention
from sync.attention import Entry, Kind
from sync.boards import availability
from sync.choices import PASSING_REASONS
from sync.clock import sync_now
from sync.kernel import grouped
from sync.kernel.humanize import count_with_noun, one_line, shorten, within_sentence
from sync.kernel.mails import NotSent, send_email
from sync.kernel.secret_texts import KeyChanged, decrypt, encrypt
from sync.models import Notification, NotificationReceiver
from sync.models.attention import DAILY_HOUR, Frequency
from sync.models.jobs import backoff
from sync.records import authors
from sync.words.message import Message, reason_of

log = structlog.get_logger(__name__)

# “At once” sends the first thing at once, and all things within this time after it in one message.
TIME_BETWEEN_MESSAGES = timedelta(minutes=5)

# A worker reserves a receiver for this long.
RESERVATION = timedelta(minutes=5)

# A thing that comes back within this time is no news: a board that stops every minute is one message, not ten.
MAX_INTERRUPTION = timedelta(minutes=10)

# Some things often end within this time: the minute's quota was used up, a person undid it, or an item was matched.
BRIEF = timedelta(minutes=2)

# A failing receiver is left out, because its messages don't arrive, and so are a board's problems: its page shows them.
KINDS = [kind for kind in Kind if kind not in (Kind.NOTIFICATION, Kind.BOARD)]

# The most that one message lists.
MAX_CAUSES = 8
MAX_NAMES = 4  # below each cause
MAX_LINE_LENGTH = 110


def entries_to_notify_of() -> list[Entry]:
    """Return what needs attention now, the gravest first."""
    waiting = attention.waiting(kinds=[kind for kind in KINDS if kind is not Kind.STOP])
    return availability.stop_entries() + attention.entries(attention.without_notices(waiting), limit=None)


def kinds_for(user: User | None) -> Collection[Kind]:
    """Return the kinds that a person may see, or all for a chat; none for people who can't sign in."""
    if user is None:
        return KINDS
    if not (user.is_active and user.is_staff):
        return ()
    shown = attention.kinds_shown_to(user)
    # Problems of the sync itself concern everybody who may see them, even if others have to act.
    return shown.kinds | shown.others & {Kind.STOP, Kind.DIFFERENCE}


def notify_people() -> None:
    """Send each receiver the things that it wasn't notified of yet. May run often, also at the same time."""
    receivers = NotificationReceiver.objects.exclude(frequency=Frequency.OFF)
    if not receivers.exists():
        return
    now = sync_now()
    # Read before the notifications that were sent: if another worker sends to a receiver meanwhile, it also changes the
    # receiver's `due_at`, so that this worker can't reserve it.
    due = list(receivers.filter(due_at__lte=now).select_related("user").order_by("due_at"))
    entries = entries_to_notify_of()
    keys = [entry.key for entry in entries]
    notifications = Notification.objects
    notifications.filter(gone_at=None).exclude(key__in=keys).update(gone_at=now)
    notifications.filter(key__in=keys).exclude(gone_at=None).update(gone_at=None)
    notifications.filter(gone_at__lte=now - MAX_INTERRUPTION).delete()
    for receiver in due:
        kinds = kinds_for(receiver.user)
        notified = set(notifications.filter(receiver=receiver).values_list("key", flat=True))
        news = [entry for entry in entries if entry.kind in kinds and entry.key not in notified]
        news = [entry for entry in news if not _may_end_soon(entry, now)]
        own_row = NotificationReceiver.objects.filter(pk=receiver.pk, due_at=receiver.due_at)
        if not news:
            if receiver.frequency == Frequency.DAILY:
                own_row.update(due_at=daily_time_after(now))
            continue
        # `_deliver` compares it with the row, which changes if the person chooses another frequency.
        receiver.due_at = now + RESERVATION
        if not own_row.update(due_at=receiver.due_at):
            continue  # another worker has it
        subject, text = news_text(news, with_names=receiver.user is not None)
        _deliver(receiver, subject, text, news)


def _may_end_soon(entry: Entry, now: datetime) -> bool:
    if entry.since is None or now - entry.since >= BRIEF:
        return False
    is_passing = entry.kind is Kind.UNMATCHED and entry.code in PASSING_REASONS
    return is_passing or entry.kind in (Kind.STOP, Kind.REMOVED)


def daily_time_after(moment: datetime) -> datetime:
    """Return the next time of the day at which daily messages are sent."""
    today = moment.astimezone(UTC).replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    return today if today > moment else today + timedelta(days=1)


def _deliver(receiver: NotificationReceiver, subject: str, text: str, news: Sequence[Entry] = ()) -> str:
    """Send a message and store the result; return why it could not be sent, empty if it was."""
    problem = ""
    try:
        _send(receiver, subject, text)
    except NotSent as why:
        problem = reason_of(why)
    log.info("notification", receiver=receiver.pk, sent=not problem, news=len(news))
    now = sync_now()
    if problem:
        failures = receiver.failures + 1
        changes: dict[str, Any] = {
            "failures": failures,
            "failed_since": receiver.failed_since or now,
            "problem": problem,
            "due_at": now + backoff(failures),
        }
    else:
        is_daily = receiver.frequency == Frequency.DAILY
        due_at = daily_time_after(now) if is_daily else now + TIME_BETWEEN_MESSAGES
        changes = {"failures": 0, "failed_since": None, "problem": "", "last_sent": now, "due_at": due_at}
    with transaction.atomic():
        row = NotificationReceiver.objects.select_for_update().filter(pk=receiver.pk).first()
        if row is None:
            return problem  # removed while its message was sent
        is_plain_test = not (news or problem or receiver.failures)
        if is_plain_test or row.due_at != receiver.due_at:
            # A test delays no news, unless it fails; or another frequency was chosen meanwhile.
            del changes["due_at"]
        NotificationReceiver.objects.filter(pk=receiver.pk).update(**changes)
        if not problem:
            rows = [Notification(receiver=row, key=entry.key) for entry in news]
            Notification.objects.bulk_create(rows, ignore_conflicts=True)
    return problem


def _send(receiver: NotificationReceiver, subject: str, text: str) -> None:
    if receiver.user is not None:
        if not receiver.user.email:
            raise NotSent("The account has no email address. An administrator enters it under Users.")
        footer = f"-- \nYou get this because you chose it: {_absolute(reverse('npd-notifications'))}\n"
        send_email(receiver.user.email, f"NPD Sync: {subject}", f"{text}\n\n{footer}")
        return
    # Imported here, because Apprise takes a second and 14 MB.
    from sync.operations import chats

    try:
        address = decrypt(receiver.address)
    except KeyChanged:
        raise NotSent("The stored address can't be read, for the key was changed. Add the chat again.") from None
    chats.post(address, f"NPD Sync: {subject}", text)


def send_test(receiver: NotificationReceiver) -> str:
    """Send a test message now; return why it could not be sent, empty if it was."""
    return _deliver(receiver, "test", f"This is a test. Notifications arrive here.\n\n{_home_line()}")


def news_text(news: Sequence[Entry], *, with_names: bool) -> tuple[str, str]:
    """Return the subject and the text of a message: a line for each cause, the gravest first.

    A chat gets no names, because personal data doesn't leave the site and Teams takes a thousand characters.
    """
    kinds = list(Kind)
    # Differences of two boards are two causes.
    by_cause = grouped(
        news, lambda entry: (entry.kind, entry.title, entry.name if entry.kind is Kind.DIFFERENCE else "")
    )
    # Within a kind, the most frequent cause first.
    groups = sorted(by_cause.values(), key=lambda group: (kinds.index(group[0].kind), -len(group)))
    lines = []
    for group in groups[:MAX_CAUSES]:
        lines.append(_headline(group))
        if with_names:
            lines += [f"  - {_short(entry.name)}: {_absolute(entry.url)}" for entry in group[:MAX_NAMES]]
            lines += [f"  - and {len(group) - MAX_NAMES:,} more"] if len(group) > MAX_NAMES else []
            lines.append("")
    if len(groups) > MAX_CAUSES:
        lines.append(f"And {count_with_noun(len(groups) - MAX_CAUSES, 'more cause')}.")
    subject = f"{count_with_noun(len(groups), 'thing needs', 'things need')} attention"
    if len(groups) == 1 or groups[0][0].kind is Kind.STOP:
        subject = _headline(groups[0])
    text = "\n".join(lines).rstrip()
    return subject, f"{text}\n\n{_home_line()}"


def _headline(group: Sequence[Entry]) -> str:
    first = group[0]
    if first.kind is Kind.STOP:
        return _short(availability.stop_headline([entry.board for entry in group], first.title_sentence))
    if first.kind is Kind.APPROVAL:
        approve = first.act("approve")
        label = attention.filled_label(approve.many, len(group), attention.common_type(group))
        return _short(f"Approve: {within_sentence(label)}")
    if first.kind is Kind.DIFFERENCE:
        return _short(f"A difference was found: {first.name}: {first.title}")
    return _short(f"{count_with_noun(len(group), *attention.KINDS[first.kind].nouns)}: {first.title}")


def _short(text: str) -> str:
    return shorten(one_line(text), MAX_LINE_LENGTH)


def _home_line() -> str:
    return f"Open Home: {_absolute(reverse('admin:index'))}"


def _absolute(url: str) -> str:
    return f"{settings.SITE_URL}{url or reverse('admin:index')}"


def choose(user: User, frequency: Frequency) -> NotificationReceiver:
    """Store how often a person is notified; off also deletes their notifications."""
    receiver, _is_new = NotificationReceiver.objects.get_or_create(user=user)
    if frequency != receiver.frequency:
        change = Message("setting", label="By email", before=receiver.get_frequency_display(), after=frequency.label)
        authors.log_settings_changed(user, "Notifications", change)
        receiver.frequency = frequency
        receiver.due_at = _first_due(frequency)
        receiver.save(update_fields=["frequency", "due_at"])
    if frequency == Frequency.OFF:
        Notification.objects.filter(receiver=receiver).delete()
    return receiver


def add_chat(name: str, address: str, frequency: Frequency) -> NotificationReceiver:
    """Add a chat of the site; the caller has checked its address."""
    return NotificationReceiver.objects.create(
        name=name, address=encrypt(address), frequency=frequency, due_at=_first_due(frequency)
    )


def _first_due(frequency: Frequency) -> datetime:
    now = sync_now()
    return daily_time_after(now) if frequency == Frequency.DAILY else now
