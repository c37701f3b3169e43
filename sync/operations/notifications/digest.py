"""Of what somebody is notified now: a pure function of what they chose, what they know, what needs attention, and now.

It notifies of a thing once, of none that has ended, and loses none: what is open when the time has come is in the
message. When nothing is left of what a message named, and nothing else came, it says so once.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sync.models.notification import Alarm, Frequency

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
