"""The allowance as arithmetic: no schedule of calls makes Monday refuse one, and every call is counted."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.limits import api_quota
from sync.limits.api_quota import PASS_CALLS, PLAN_LIMITS, Quota, WaitKind, midnight_after, reserve
from sync.monday.errors import COMPLEXITY_EXHAUSTED, CONNECTION_LOST, TOO_COMPLEX, UNREACHABLE, ErrorKind, MondayError
from sync.monday.graphql import Answer, Complexity

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY, POINTS = 400, 1_000


def small(now: datetime = NOON, **values: object) -> Quota:
    return Quota(now, DAY, POINTS, day=api_quota.day_of(now), **values)  # type: ignore[arg-type]


def pass_time(quota: Quota, now: datetime) -> None:
    """Set the time as reading the quota again does."""
    quota.now = now
    quota.end_past_spans()


@dataclass
class Monday:
    """Monday's side of the minute: it begins when the first call is received and lasts 60 seconds."""

    most_points: int = POINTS
    most_a_day: int = DAY
    points: int = 0
    ends: datetime | None = None
    refused: int = 0
    by_day: dict[str, int] = field(default_factory=dict)

    def receive(self, now: datetime, points: int) -> Answer:
        if self.ends is None or now >= self.ends:
            self.points, self.ends = 0, now + timedelta(seconds=60)
        day = now.date().isoformat()
        self.by_day[day] = self.by_day.get(day, 0) + 1
        self.points += points
        self.refused += self.points > self.most_points or self.by_day[day] > self.most_a_day
        reset = int((self.ends - now).total_seconds())
        remaining = self.most_points - self.points
        complexity = Complexity(points, remaining, reset)
        return Answer(data={}, complexity=complexity)


# A call that Monday never got opens our minute early; two unanswered ones are in Monday's minute, which began later.
UNHEARD = [
    *[(0.0, 0.0, 0.0, 1, "sent")] * 12, (3.0, 4.0, 4.0, 1, "sent"), (50.0, 0.0, 0.0, 1, "lost"),
    (40.0, 4.0, 0.0, 1, "unsent"), (0.0, 0.0, 0.0, 314, "unanswered"), (0.0, 0.0, 0.0, 400, "unanswered"),
    (27.0, 0.0, 0.0, 287, "sent"),
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@example(steps=UNHEARD, start=NOON)
@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 50),  # seconds between two looks
            st.floats(0, 4),  # on the way to Monday
            st.floats(0, 4),  # on the way back
            st.integers(1, 400),  # points that the call really costs, at most what was reserved
            st.sampled_from(["sent", "sent", "sent", "unsent", "lost", "unanswered"]),
        ),
        min_size=1,
        max_size=80,
    ),
    start=st.sampled_from([NOON, NOON.replace(hour=23, minute=58, second=30)]),
)
def test_delayed_calls_are_never_refused(steps: list[tuple[float, float, float, int, str]], start: datetime) -> None:
    monday = Monday()
    quota = small(start)
    now = start
    for pause, there, back, points, fate in steps:
        now += timedelta(seconds=pause)
        pass_time(quota, now)
        if quota.required_wait(1, points, urgent=True) is not None:
            continue
        quota.spend(points)
        now += timedelta(seconds=there)
        if fate == "unsent":
            pass_time(quota, now)
            quota.after_error(MondayError(UNREACHABLE, ""), points)
            continue
        received = int(fate != "lost")  # one that Monday never received: nobody knows which these are
        answer = monday.receive(now, points) if received else None
        now += timedelta(seconds=back)
        pass_time(quota, now)
        if answer is None or fate == "unanswered":
            quota.after_error(MondayError(CONNECTION_LOST, ""), points)
        else:
            quota.after_answer(replace(answer, seconds=there + back), points)
    assert monday.refused == 0


def test_a_slow_answer_does_not_make_the_minute_longer() -> None:
    quota = small()
    quota.spend(10)
    pass_time(quota, NOON + timedelta(seconds=1))
    quota.after_answer(Answer(data={}, complexity=Complexity(10, 990, 60)), 10)
    ends = quota.points_end
    pass_time(quota, NOON + timedelta(seconds=20))
    quota.spend(10)
    pass_time(quota, NOON + timedelta(seconds=45))
    quota.after_answer(Answer(data={}, complexity=Complexity(10, 980, 40), seconds=25), 10)
    assert quota.points_end == ends


@pytest.mark.parametrize(
    ("dated", "seconds", "ahead"),
    [(300, 2, 300), (-300, 2, -298), (-25, 25, 0), (-1, 2, 0), (0, 0, 0), (None, 2, None)],
)
def test_what_a_slow_call_may_explain_is_no_difference_of_the_clocks(
    dated: int | None, seconds: float, ahead: float | None
) -> None:
    quota = small()
    quota.spend(10)
    moment = None if dated is None else NOON + timedelta(seconds=dated)
    quota.after_answer(Answer(data={}, dated=moment, seconds=seconds), 10)
    assert quota.monday_ahead == ahead


@pytest.mark.parametrize("reset", [-30, 0, 86_400])
def test_an_answer_that_tells_an_impossible_end_of_the_minute_is_not_believed(reset: int) -> None:
    quota = small()
    quota.spend(10)
    quota.after_answer(Answer(data={}, complexity=Complexity(10, 990, reset)), 10)
    assert quota.points_end is not None
    assert NOON < quota.points_end <= NOON + timedelta(seconds=61)


def test_the_reserve_is_for_what_a_person_clicked() -> None:
    day, points = PLAN_LIMITS["standard"]
    quota = Quota(NOON, day, points, day_calls=day - 50)
    waits = quota.required_wait(PASS_CALLS, 0, urgent=False)
    assert waits is not None
    assert (waits.kind, waits.until) == (WaitKind.QUOTA, midnight_after(NOON))
    assert quota.required_wait(PASS_CALLS, 0, urgent=True) is None
    quota = Quota(NOON, None, points)
    quota.spend(points - 20)
    assert quota.required_wait(1, 20, urgent=False) is not None
    assert quota.required_wait(1, 20, urgent=True) is None


@pytest.mark.parametrize(("calls", "is_told"), [(699, False), (700, True)])
def test_people_are_told_what_is_left_once_seven_tenths_of_the_day_are_used(calls: int, is_told: bool) -> None:
    late = NOON.replace(hour=22)
    assert Quota(late, 1_000, day=api_quota.day_of(late), day_calls=calls - 50, others_calls=50).is_low is is_told


def test_limits_are_learned_from_the_headers_of_an_answer() -> None:
    quota = Quota(NOON)
    quota.spend(0)
    quota.after_answer(Answer(data={}, points_limit=5_000_000), 0)
    assert (quota.day_limit, quota.points_limit) == (None, 5_000_000)


def test_after_a_refusal_for_points_they_are_used_up_until_monday_says() -> None:
    quota = small()
    quota.spend(400)
    quota.after_error(MondayError(COMPLEXITY_EXHAUSTED, "", wait_seconds=30), 400)
    wait = quota.required_wait(1, 1, urgent=True)
    assert wait is not None
    assert wait.until == NOON + timedelta(seconds=31)
    pass_time(quota, wait.until)
    assert quota.required_wait(1, 1, urgent=True) is None


@pytest.mark.parametrize(
    ("kind", "calls", "points"), [(UNREACHABLE, 0, 0), (TOO_COMPLEX, 1, 0), (CONNECTION_LOST, 1, 400)]
)
def test_only_what_monday_may_have_carried_out_costs_points(kind: ErrorKind, calls: int, points: int) -> None:
    quota = small()
    quota.spend(400)
    quota.after_error(MondayError(kind, ""), 400)
    assert (quota.day_calls, quota.points) == (calls, points)


def test_a_new_day_begins_a_moment_after_midnight_utc() -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    quota = small(day_calls=400, others_calls=9)
    pass_time(quota, midnight + timedelta(seconds=1))
    assert quota.used_today == 409
    pass_time(quota, midnight + timedelta(seconds=6))
    assert quota.used_today == 0


@given(st.integers(0, 10**8), st.sampled_from([0.02, 0.05]))
def test_the_reserve_is_never_less_than_its_share_and_less_than_one_more(limit: int, share: float) -> None:
    reserved = reserve(limit, share)
    assert limit * share - 1e-3 <= reserved < limit * share + 1.001
