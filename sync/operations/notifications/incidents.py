"""What needs attention as rows that last, and of which of them somebody is notified now.

What needs attention is computed anew each time (sync/operations/attention.py); here it is compared with what was
noticed before, so that nobody is notified twice of one thing. Stopped boards and differences, which are no entries of
the inbox, are added. What is due is a pure function of what somebody chose, what they know, what needs attention, and
now. It loses nothing: what is open when the time has come is in the message; and when nothing is left of what a message
named, and nothing else came, it says so once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F
from django.urls import reverse

from sync import registry
from sync.clock import SyncNow
from sync.kernel.db import advisory_lock, run_sql
from sync.models import Incident, Verification
from sync.models.followers import Alarm, Frequency
from sync.models.state import VERIFICATION_WINDOW
from sync.operations import attention
from sync.operations.attention import AttentionKind
from sync.records import availability

STOPPED, DIFFERENCE = "stopped", "difference"
URGENT_KINDS = frozenset({STOPPED, DIFFERENCE, AttentionKind.APPROVAL.value})
"""Of these everybody is notified at once, whatever they chose."""

GRACE = {STOPPED: timedelta(minutes=2), AttentionKind.REMOVED.value: timedelta(minutes=2)}
"""What ends by itself within so long is nobody's news: Monday's minute of calls was used up, or a person undid it."""

MANY, FEWER = 1_000, 800
"""A kind of which there are more is one incident with their number, until there are fewer."""

_LOCK = 0x5C4ED0DE

_COLUMNS = "key text, kind text, entity_type text, name text, cause_code text, cause text, url text, number integer"

# What was gone for a moment is the same as before. Rows of a kind that was one incident until now are summed.
_SEEN = f"""
    WITH given AS MATERIALIZED (SELECT * FROM jsonb_to_recordset(%(rows)s::jsonb) AS row ({_COLUMNS})),
    back AS (
        UPDATE sync_incidents AS old SET gone_at = NULL FROM (
            SELECT DISTINCT ON (key) id, key FROM sync_incidents
            WHERE gone_at > sync_now() - %(calm)s::interval ORDER BY key, gone_at DESC) AS last
        WHERE old.id = last.id AND old.key IN (SELECT key FROM given)
            AND NOT EXISTS (SELECT FROM sync_incidents AS open WHERE open.key = old.key AND open.gone_at IS NULL)
        RETURNING old.key
    )
    INSERT INTO sync_incidents AS old (key, kind, entity_type, name, cause_code, cause, url, number, summed)
    SELECT given.key, given.kind, entity_type, name, cause_code, cause, url, number, given.kind = ANY (%(summed)s)
    FROM given WHERE given.key NOT IN (SELECT key FROM back)
    ON CONFLICT (key) WHERE gone_at IS NULL DO UPDATE
    SET name = excluded.name, cause_code = excluded.cause_code, cause = excluded.cause, url = excluded.url,
        number = excluded.number
    WHERE (old.name, old.cause_code, old.cause, old.url, old.number)
        IS DISTINCT FROM (excluded.name, excluded.cause_code, excluded.cause, excluded.url, excluded.number)
"""  # noqa: S608 - made of the constant above


@dataclass(frozen=True)
class Noticed:
    """Something that needs attention now; the fields are those of Incident."""

    key: str
    kind: str
    entity_type: str
    name: str
    cause_code: str
    cause: str
    url: str
    number: int = 1


def refresh_incidents() -> None:
    """Compare what needs attention now with what was noticed, in one transaction."""
    with transaction.atomic():
        advisory_lock(_LOCK)
        open_many = Incident.objects.filter(gone_at=None, key=F("kind"))
        were_many = frozenset(open_many.values_list("kind", flat=True))
        now = [*stops(), *differences(), *waiting(were_many)]
        keys = [one.key for one in now]
        params: dict[str, Any] = {
            "rows": json.dumps([asdict(one) for one in now]),
            "calm": CALM,
            "summed": sorted(were_many - {one.kind for one in now if one.key == one.kind}),
        }
        run_sql(_SEEN, params)
        Incident.objects.filter(gone_at=None).exclude(key__in=keys).update(gone_at=SyncNow())


def waiting(were_many: frozenset[str]) -> Iterator[Noticed]:
    """Return the inbox's entries; a kind of which there are many as one."""
    counts: Mapping[AttentionKind, int] = attention.counts()
    few = []
    for kind, number in counts.items():
        if kind is AttentionKind.NOTIFICATION:  # their person's alone, who may not be reached by it
            continue
        if number > (FEWER if kind.value in were_many else MANY):
            yield Noticed(kind.value, kind.value, "", "", "", "", inbox_url(kind=kind.value), number)
        elif number:
            few.append(kind)
    if not few:
        return
    for one in attention.entries(kinds=few, limit=MANY * len(few)):
        yield Noticed(
            one.key, one.kind.value, one.entity_type, one.name[:255], one.cause[:200], one.cause_text, one.url
        )


def inbox_url(**query: str) -> str:
    path = reverse("npd-inbox")
    return f"{path}?{urlencode(query)}" if query else path


def stops() -> Iterator[Noticed]:
    """Return the boards that were set up, can't be worked, and that nobody paused."""
    now = availability.overview()
    for stop in availability.stops_of(now):
        for entity_type, title in stop.boards.items():
            key = f"{STOPPED}:{entity_type}"
            yield Noticed(key, STOPPED, entity_type, title, stop.kind.value, stop.reason, reverse("admin:index"))


def differences() -> Iterator[Noticed]:
    """Return the verifications of the last day that found records which said “synced” and differed."""
    found = Verification.objects.filter(differed__gt=0, at__gt=SyncNow() - VERIFICATION_WINDOW)
    for one in found.order_by("id").values("id", "entity_type", "differed", "compared"):
        title = registry.board_title(one["entity_type"])
        cause = f"{one['differed']:,} of {one['compared']:,} checked records said “synced” and differed"
        url = reverse("admin:sync_verification_change", args=[one["id"]])
        yield Noticed(f"{DIFFERENCE}:{one['id']}", DIFFERENCE, one["entity_type"], title, "", cause, url)


CALM = timedelta(minutes=2)
"""Something counts as gone when it has been for so long: a board that stops every minute is one alarm, not ten."""

GAP = timedelta(minutes=5)
"""At once means the first of them; what follows within this time comes in one message."""


@dataclass(frozen=True)
class Thing:
    """Something that needs attention, or did until `gone_at`; `shown` is whether this person may see it.

    It is news only once it has lasted for `grace`; one that is `summed` was counted before, and is no news.
    """

    id: int
    noticed_at: datetime
    gone_at: datetime | None = None
    urgent: bool = False
    grace: timedelta = timedelta()
    summed: bool = False
    shown: bool = True

    def is_open(self, now: datetime) -> bool:
        """Whether it still needs attention, or has ended only now."""
        return self.gone_at is None or now - self.gone_at < CALM


@dataclass(frozen=True)
class Preference:
    """What somebody chose, since when, and what they were notified of."""

    frequency: Frequency
    hour: int
    zone: ZoneInfo
    chosen_at: datetime
    alarm: Alarm = Alarm.NONE
    alarmed_at: datetime | None = None
    notified: AbstractSet[int] = frozenset()


@dataclass(frozen=True)
class Digest:
    """A message that is due: its news, or that all is clear."""

    news: tuple[Thing, ...] = ()
    is_all_clear: bool = False


def digest_due(chosen: Preference, things: Sequence[Thing], now: datetime) -> Digest | None:
    """Return the message that is due now, or None.

    `things` are those that are open, those that ended lately, and of those one was notified of all that ended within
    the last two days.
    """
    if chosen.frequency == Frequency.OFF:
        return None
    new = [one for one in things if one.gone_at is None and not one.summed and one.id not in chosen.notified]
    # What ends by itself within its grace is no news.
    news = [one for one in new if one.shown and now - one.noticed_at >= one.grace]
    urgent = [one for one in news if one.urgent]
    if urgent and chosen.frequency != Frequency.AT_ONCE:
        # The others wait for their time, unless it has come.
        news = news if _is_time(chosen, news, now) else urgent
        return Digest(tuple(news))
    if urgent or (news and _is_time(chosen, news, now)):
        return Digest(tuple(news))
    return Digest(is_all_clear=True) if not news and _is_all_clear(chosen, things, now) else None


def _is_time(chosen: Preference, news: Sequence[Thing], now: datetime) -> bool:
    if chosen.frequency == Frequency.AT_ONCE:
        return chosen.alarmed_at is None or now - chosen.alarmed_at >= GAP
    # What was noticed before the last of their hours was not in its message, so it is in the one of now.
    last = last_hour(chosen, now)
    return last >= chosen.chosen_at and any(one.noticed_at <= last for one in news if not one.urgent)


def _is_all_clear(chosen: Preference, things: Sequence[Thing], now: datetime) -> bool:
    # Of what one may no longer see, one isn't notified that it has ended before it has.
    if chosen.alarm == Alarm.NONE or any(one.is_open(now) for one in things if one.shown or one.id in chosen.notified):
        return False
    if chosen.frequency == Frequency.AT_ONCE or chosen.alarm == Alarm.URGENT:
        return True
    last = last_hour(chosen, now)
    return all(one.gone_at is not None and one.gone_at <= last for one in things if one.id in chosen.notified)


def last_hour(chosen: Preference, now: datetime) -> datetime:
    """Return the last moment, now included, at which an hourly or daily message was due."""
    local = now.astimezone(chosen.zone)
    if chosen.frequency == Frequency.HOURLY:
        return now - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    today = _at_hour(chosen, local)
    return today if today <= now else _at_hour(chosen, local - timedelta(days=1))


def _at_hour(chosen: Preference, day: datetime) -> datetime:
    # In UTC: an hour that the clocks leave out equals no other time in its own zone.
    return datetime.combine(day.date(), time(chosen.hour), chosen.zone).astimezone(UTC)
