"""Of what somebody is notified when: each thing once, none lost, and one all clear."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.models.followers import Alarm, Frequency
from sync.operations.notifications.incidents import CALM, GAP, Digest, Preference, Thing, digest_due, last_hour

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

    def comes(self, *, urgent: bool = False) -> None:
        number = len(self.things) + 1
        self.things[number] = Thing(number, self.now, urgent=urgent)

    def ends(self, number: int) -> None:
        thing = self.things.get(number)
        if thing is not None and thing.gone_at is None:
            self.things[number] = replace(thing, gone_at=self.now)

    def pass_minutes(self, minutes: int = 1) -> None:
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


def story(frequency: Frequency, hour: int = 8) -> Story:
    return Story(Preference(frequency, hour, BERLIN, START))


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("comes"), st.booleans()),
        st.tuples(st.just("ends"), st.integers(1, 8)),
        st.tuples(st.just("pass"), st.sampled_from([1, 3, 7, 61, 700])),
    ),
    max_size=25,
)
FREQUENCIES = st.sampled_from([Frequency.AT_ONCE, Frequency.HOURLY, Frequency.DAILY])


def played(frequency: Frequency, events: list[tuple[str, int]]) -> Story:
    found = story(frequency)
    for what, value in events:
        if what == "comes":
            found.comes(urgent=bool(value))
        elif what == "ends":
            found.ends(int(value))
        else:
            found.pass_minutes(int(value))
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
    found.pass_minutes(25 * 60)
    assert {one.id for one in found.things.values() if one.gone_at is None} <= set(found.news)


@settings(max_examples=40)
@given(FREQUENCIES, EVENTS)
def test_all_clear_comes_once_after_each_alarm_and_only_when_nothing_is_left(
    frequency: Frequency, events: list[tuple[str, int]]
) -> None:
    found = played(frequency, events)
    for number in found.things:
        found.ends(number)
    found.pass_minutes(25 * 60)
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
    found.pass_minutes()
    for one in found.things.values():
        lasted = (one.gone_at or found.now) - one.noticed_at
        if one.urgent and lasted > MINUTE:
            [at] = [at for at, digest in found.sent if one in [replace(n, gone_at=one.gone_at) for n in digest.news]]
            assert at <= one.noticed_at + MINUTE


def test_at_once_is_at_once_and_what_follows_comes_together() -> None:
    found = story(Frequency.AT_ONCE)
    found.comes()
    found.pass_minutes()
    for _ in range(3):
        found.comes()
        found.pass_minutes()
    assert found.news == [1]
    found.pass_minutes(int(GAP / MINUTE))
    assert [len(digest.news) for _at, digest in found.sent] == [1, 3]


def test_an_hourly_message_comes_at_the_full_hour_with_all_of_that_hour() -> None:
    found = story(Frequency.HOURLY)
    found.comes()
    found.pass_minutes(20)
    found.comes()
    found.pass_minutes(100)
    assert [(f"{at:%H:%M}", len(digest.news)) for at, digest in found.sent] == [("05:00", 2)]


def test_a_daily_message_comes_at_its_hour_in_the_persons_zone_also_when_the_clocks_change() -> None:
    found = story(Frequency.DAILY, hour=8)
    for _ in range(3):
        found.comes()
        found.pass_minutes(24 * 60)
    local = [f"{at.astimezone(BERLIN):%d %H:%M}" for at, _digest in found.sent]
    assert local == ["28 08:00", "29 08:00", "30 08:00"]


def test_a_daily_message_that_was_missed_comes_later_on_that_day() -> None:
    found = story(Frequency.DAILY, hour=8)
    found.comes()
    found.now = START + timedelta(hours=7)
    found.pass_minutes()
    assert found.news == [1]


def test_something_new_after_the_hour_waits_for_the_next_day_also_for_who_has_just_chosen() -> None:
    found = story(Frequency.DAILY, hour=5)  # 04:00 UTC: half an hour before the beginning
    found.things[1] = Thing(1, START - timedelta(days=3))
    found.pass_minutes(60)
    assert not found.sent
    found.pass_minutes(24 * 60)
    assert found.news == [1]


def test_an_urgent_thing_brings_no_routine_ones_before_their_time() -> None:
    found = story(Frequency.DAILY, hour=20)
    found.comes()
    found.comes(urgent=True)
    found.pass_minutes()
    assert found.news == [2]


def test_the_end_of_something_urgent_is_said_at_once_and_of_the_rest_at_the_time_chosen() -> None:
    found = story(Frequency.HOURLY)
    found.comes(urgent=True)
    found.pass_minutes()
    found.ends(1)
    found.pass_minutes(5)
    assert [digest.is_all_clear for _at, digest in found.sent] == [False, True]
    found.comes()
    found.pass_minutes(60)
    found.ends(2)
    found.pass_minutes(20)
    assert len(found.sent) == 3
    found.pass_minutes(60)
    assert [digest.is_all_clear for _at, digest in found.sent] == [False, True, False, True]


def test_what_lasts_shorter_than_its_grace_is_nobodys_news() -> None:
    found = story(Frequency.AT_ONCE)
    found.things[1] = Thing(1, START, urgent=True, grace=timedelta(minutes=2))
    found.pass_minutes()
    found.ends(1)
    found.pass_minutes(10)
    assert not found.sent


def test_who_may_no_longer_see_something_gets_no_all_clear_before_it_has_ended() -> None:
    found = story(Frequency.AT_ONCE)
    found.comes()
    found.pass_minutes()
    found.things[1] = replace(found.things[1], shown=False)
    found.pass_minutes(10)
    assert len(found.sent) == 1
    found.ends(1)
    found.pass_minutes(10)
    assert [digest.is_all_clear for _at, digest in found.sent] == [False, True]


def test_who_switched_it_off_gets_nothing() -> None:
    found = story(Frequency.OFF)
    found.comes(urgent=True)
    found.pass_minutes(100)
    assert not found.sent


def test_the_hour_that_the_clocks_leave_out_has_its_message_all_the_same() -> None:
    chosen = Preference(Frequency.DAILY, 2, BERLIN, START)
    night = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 in Berlin, where it was never 02:00
    assert last_hour(chosen, night) == datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
