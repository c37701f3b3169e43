"""Of what somebody is notified when: each thing once, none lost, and one all clear."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sync.models.followers import Alarm, Frequency
from sync.operations.notifications.incidents import CALM, Digest, Preference, Thing, digest_due, last_hour

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 3, 28, 4, 30, tzinfo=UTC)  # the night after it the clocks go forward
MINUTE = timedelta(minutes=1)


@dataclass
class Story:
    """Things come and go, minute after minute; each message is marked as the service does it."""

    chosen: Preference
    now: datetime = START
    things: dict[int, Thing] = field(default_factory=dict)
    sent: list[tuple[datetime, Digest]] = field(default_factory=list)

    def comes(self, urgent: bool, **about: Any) -> None:
        number = len(self.things) + 1
        self.things[number] = Thing(number, **{"noticed_at": self.now, "urgent": urgent} | about)

    def ends(self, number: int) -> None:
        thing = self.things.get(number)
        if thing is not None and thing.gone_at is None:
            self.things[number] = replace(thing, gone_at=self.now)

    def hide(self, number: int) -> None:
        """The person may not see it any more."""
        self.things[number] = replace(self.things[number], shown=False)

    def skip(self, minutes: int) -> None:
        """No worker runs meanwhile."""
        self.now += minutes * MINUTE

    def passes(self, minutes: int = 1) -> None:
        for _ in range(minutes):
            self.now += MINUTE
            digest = digest_due(self.chosen, list(self.things.values()), self.now)
            if digest is not None:
                self.mark(digest)

    def mark(self, digest: Digest) -> None:
        self.sent.append((self.now, digest))
        if digest.is_all_clear:
            self.chosen = replace(self.chosen, alarm=Alarm.NONE)
            return
        urgent = self.chosen.alarm == Alarm.URGENT or any(one.urgent for one in digest.news)
        self.chosen = replace(
            self.chosen,
            alarm=Alarm.URGENT if urgent else Alarm.ROUTINE,
            alarmed_at=self.now,
            notified=self.chosen.notified | {one.id for one in digest.news},
        )

    @property
    def news(self) -> list[int]:
        return [one.id for _at, digest in self.sent for one in digest.news]


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("comes"), st.booleans()),
        st.tuples(st.just("ends"), st.integers(1, 8)),
        st.tuples(st.just("passes"), st.sampled_from([1, 3, 7, 61, 700])),
    ),
    max_size=25,
)
FREQUENCIES = st.sampled_from([Frequency.AT_ONCE, Frequency.HOURLY, Frequency.DAILY])


def played(frequency: Frequency, events: list[Any], hour: int = 8) -> Story:
    found = Story(Preference(frequency, hour, BERLIN, START))
    for what, value, *more in events:
        getattr(found, what)(value, **dict(more))
    return found


@settings(max_examples=40)
@given(FREQUENCIES, EVENTS)
def test_nobody_is_notified_twice_of_one_thing_nor_of_one_that_has_ended(
    frequency: Frequency, events: list[tuple[str, int]]
) -> None:
    found = played(frequency, events)
    assert len(found.news) == len(set(found.news))
    for at, digest in found.sent:
        assert digest.is_all_clear != bool(digest.news)
        ended = [found.things[one.id].gone_at for one in digest.news]
        assert all(gone is None or gone >= at for gone in ended)


@settings(max_examples=40)
@given(FREQUENCIES, EVENTS)
def test_what_is_open_when_a_day_has_passed_was_in_a_message(
    frequency: Frequency, events: list[tuple[str, int]]
) -> None:
    found = played(frequency, events)
    found.passes(25 * 60)
    assert {one.id for one in found.things.values() if one.gone_at is None} <= set(found.news)


@settings(max_examples=40)
@given(FREQUENCIES, EVENTS)
def test_all_clear_comes_once_after_each_alarm_and_only_when_nothing_is_left(
    frequency: Frequency, events: list[tuple[str, int]]
) -> None:
    found = played(frequency, events)
    for number in found.things:
        found.ends(number)
    found.passes(25 * 60)
    clears = [digest.is_all_clear for _at, digest in found.sent]
    assert clears[-1:] in ([], [True])
    assert (True, True) not in pairwise(clears)
    assert clears[:1] != [True]
    for at, digest in found.sent:
        if digest.is_all_clear:
            for one in found.things.values():
                assert one.noticed_at >= at or (one.gone_at is not None and one.gone_at <= at - CALM)


@settings(max_examples=40)
@given(FREQUENCIES, EVENTS)
def test_what_is_urgent_comes_within_the_next_minute_however_often_was_chosen(
    frequency: Frequency, events: list[tuple[str, int]]
) -> None:
    found = played(frequency, events)
    found.passes()
    for one in found.things.values():
        lasted = (one.gone_at or found.now) - one.noticed_at
        if one.urgent and lasted > MINUTE:
            [at] = [at for at, digest in found.sent if one in [replace(n, gone_at=one.gone_at) for n in digest.news]]
            assert at <= one.noticed_at + MINUTE


NEW, URGENT, DAY_LONG = ("comes", False), ("comes", True), ("passes", 24 * 60)
# In Berlin's time, in which the story begins on the 28th at 05:30; an empty message is the all clear.
STORIES: dict[str, tuple[Frequency, int, list[Any], dict[str, list[int]]]] = {
    "at once is at once, and what follows comes together": (
        Frequency.AT_ONCE, 8, [NEW, ("passes", 1), NEW, ("passes", 1), NEW, ("passes", 1), NEW, ("passes", 9)],
        {"28 05:31": [1], "28 05:36": [2, 3, 4]},
    ),
    "an hourly message comes at the full hour with all of that hour": (
        Frequency.HOURLY, 8, [NEW, ("passes", 20), NEW, ("passes", 100)], {"28 06:00": [1, 2]},
    ),
    "a daily message comes at its hour, also when the clocks change": (
        Frequency.DAILY, 8, [NEW, DAY_LONG] * 3, {"28 08:00": [1], "29 08:00": [2], "30 08:00": [3]},
    ),
    "a daily message that was missed comes later on that day": (
        Frequency.DAILY, 8, [NEW, ("skip", 7 * 60), ("passes", 1)], {"28 12:31": [1]},
    ),
    "what is new after the hour waits for the next day, also for who has just chosen": (
        Frequency.DAILY, 5, [(*NEW, ("noticed_at", START - timedelta(days=3))), ("passes", 60), DAY_LONG],
        {"29 05:00": [1]},
    ),
    "what is urgent brings nothing else before its time": (
        Frequency.DAILY, 20, [NEW, URGENT, ("passes", 1)], {"28 05:31": [2]},
    ),
    "the end of what is urgent is said at once, and of the rest at the time chosen": (
        Frequency.HOURLY, 8,
        [URGENT, ("passes", 1), ("ends", 1), ("passes", 5), NEW, ("passes", 60), ("ends", 2), ("passes", 80)],
        {"28 05:31": [1], "28 05:33": [], "28 06:00": [2], "28 07:00": []},
    ),
    "what lasts shorter than its grace is nobody's news": (
        Frequency.AT_ONCE, 8,
        [(*URGENT, ("grace", timedelta(minutes=2))), ("passes", 1), ("ends", 1), ("passes", 10)], {},
    ),
    "who may no longer see something gets no all clear before it has ended": (
        Frequency.AT_ONCE, 8, [NEW, ("passes", 1), ("hide", 1), ("passes", 10), ("ends", 1), ("passes", 10)],
        {"28 05:31": [1], "28 05:43": []},
    ),
    "who switched it off gets nothing": (Frequency.OFF, 8, [URGENT, ("passes", 100)], {}),
}  # fmt: skip


@pytest.mark.parametrize("name", STORIES)
def test_messages_come_when_they_should(name: str) -> None:
    frequency, hour, events, messages = STORIES[name]
    found = played(frequency, events, hour)
    sent = {f"{at.astimezone(BERLIN):%d %H:%M}": [one.id for one in digest.news] for at, digest in found.sent}
    assert sent == messages


def test_the_hour_that_the_clocks_leave_out_has_its_message_all_the_same() -> None:
    chosen = Preference(Frequency.DAILY, 2, BERLIN, START)
    night = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 in Berlin, where it was never 02:00
    assert last_hour(chosen, night) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
