"""The allowance as arithmetic: no schedule of calls makes Monday refuse one, and nothing is lost track of."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sync.limits.rate_limits import (
    PASS_CALLS,
    PLAN_QUOTAS,
    InFlight,
    LimitKind,
    Quota,
    QuotaBudget,
    midnight_after,
    plan_quota,
    reserve,
)
from sync.monday.graphql import Answer
from sync.monday.usage import Complexity, Limits

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOTHING = InFlight()
SMALL = Quota(day=400, minute=20, points=1_000, concurrency=2)


@dataclass
class Monday:
    """Monday's side of the minute: it begins when the first call is received and lasts 60 seconds."""

    allowance: Quota
    calls: int = 0
    points: int = 0
    ends: datetime | None = None
    refused: int = 0
    by_day: dict[str, int] = field(default_factory=dict)

    def counted(self, now: datetime) -> Decimal:
        """Calls of the UTC day of `now`."""
        return Decimal(self.by_day.get(now.date().isoformat(), 0))

    def receive(self, now: datetime, points: int, *, headers: bool) -> Answer:
        if self.ends is None or now >= self.ends:
            self.calls, self.points, self.ends = 0, 0, now + timedelta(seconds=60)
        day = now.date().isoformat()
        self.by_day[day] = self.by_day.get(day, 0) + 1
        self.calls += 1
        self.points += points
        minute, most, a_day = self.allowance.minute, self.allowance.points, self.allowance.day
        assert minute
        assert most
        assert a_day
        self.refused += self.calls > minute or self.points > most or self.by_day[day] > a_day
        reset = int((self.ends - now).total_seconds())
        limits = Limits(minute_limit=minute, minute_left=minute - self.calls, points_limit=most) if headers else None
        complexity = Complexity(points, most - self.points + points, most - self.points, reset)
        return Answer(data={}, limits=limits, complexity=complexity)


UNHEARD = [
    *[(0.0, 0.0, 0.0, 1, "sent")] * 12, (3.0, 4.0, 4.0, 1, "sent"), (50.0, 0.0, 0.0, 1, "lost"),
    (40.0, 4.0, 0.0, 1, "unsent"), (0.0, 0.0, 0.0, 314, "unanswered"), (0.0, 0.0, 0.0, 400, "unanswered"),
    (27.0, 0.0, 0.0, 287, "sent"),
]  # fmt: skip
"""A call that Monday never got opens our minute early; two without an answer are in Monday's, which began later."""


@settings(max_examples=300, deadline=None)
@example(steps=UNHEARD, headers=False, start=NOON)
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
    headers=st.booleans(),
    start=st.sampled_from([NOON, NOON.replace(hour=23, minute=58, second=30)]),
)
def test_whatever_the_calls_delays_monday_never_has_a_reason_to_refuse_one(
    steps: list[tuple[float, float, float, int, str]], headers: bool, start: datetime
) -> None:
    monday, budget, now = Monday(SMALL), QuotaBudget(SMALL, max_delay=10), start
    for pause, there, back, points, fate in steps:
        now += timedelta(seconds=pause)
        budget = budget.at_time(now, NOTHING, monday.counted(now))
        if budget.required_wait(1, points, now, NOTHING, urgent=True) is not None:
            continue
        budget = budget.spend(1, points, now)
        in_air = InFlight(1, 1, points)
        now += timedelta(seconds=there)
        if fate == "unsent":  # a look that ended without a call
            budget = budget.at_time(now, in_air, monday.counted(now)).spend(-1, -points, now)
            continue
        received = int(fate != "lost")  # one that Monday never received: nobody knows which these are
        answer = monday.receive(now, points, headers=headers) if received else None
        now += timedelta(seconds=back)
        budget = budget.at_time(now, in_air, monday.counted(now) - received)
        if answer is None or fate == "unanswered":
            budget = budget.after_failure(now)
        else:
            answer = replace(answer, seconds=there + back)
            budget = budget.after_answer(answer, points, now, NOTHING)
    assert monday.refused == 0
    assert budget.day is not None
    assert budget.day_calls >= monday.by_day.get(budget.day.isoformat(), 0)


def test_our_minute_does_not_drift_away_from_mondays_while_little_is_sent() -> None:
    """Its headers tell how many calls are left of the minute, and not when it ends."""
    wide = Quota(day=10_000, minute=20, points=10**6, concurrency=2)
    for quiet_minutes in range(2, 45, 3):
        monday, budget, now = Monday(wide), QuotaBudget(wide, day=NOON.date()), NOON
        burst = NOON + timedelta(minutes=quiet_minutes)
        while now < burst + timedelta(minutes=3):
            now += timedelta(seconds=5 if now < burst else 0.5)
            budget = budget.at_time(now, NOTHING)
            if budget.required_wait(1, 1, now, NOTHING, urgent=True) is None:
                answer = monday.receive(now, 1, headers=True)
                budget = budget.spend(1, 1, now).after_answer(replace(answer, complexity=None), 1, now, NOTHING)
        assert monday.refused == 0, quiet_minutes


def test_a_slow_answer_does_not_make_the_minute_longer() -> None:
    budget = QuotaBudget(SMALL).spend(1, 10, NOON)
    quick = Answer(data={}, complexity=Complexity(10, 1_000, 990, 60))
    budget = budget.after_answer(quick, 10, NOON + timedelta(seconds=1), NOTHING)
    began = NOON + timedelta(seconds=20)
    slow = Answer(data={}, complexity=Complexity(10, 990, 980, 40), seconds=25)
    after = budget.spend(1, 10, began).after_answer(slow, 10, began + timedelta(seconds=25), NOTHING)
    assert after.points.ends == budget.points.ends


@pytest.mark.parametrize("reset", [-30, 0, 86_400])
def test_an_answer_that_tells_an_impossible_end_of_the_minute_is_not_believed(reset: int) -> None:
    told = Answer(data={}, complexity=Complexity(10, 1_000, 990, reset))
    after = QuotaBudget(SMALL).spend(1, 10, NOON).after_answer(told, 10, NOON, NOTHING)
    assert after.points.ends is not None
    assert NOON < after.points.ends <= NOON + timedelta(seconds=61)


def test_the_reserve_is_for_what_a_person_clicked() -> None:
    plan = PLAN_QUOTAS["standard"]
    assert plan.day
    assert plan.minute
    day = replace(QuotaBudget(plan), day=NOON.date(), day_calls=Decimal(plan.day - 50))
    waits = day.required_wait(PASS_CALLS, 0, NOON, NOTHING, urgent=False)
    assert waits is not None
    assert (waits.kind, waits.until) == (LimitKind.DAY, midnight_after(NOON))
    assert day.required_wait(PASS_CALLS, 0, NOON, NOTHING, urgent=True) is None
    minute = QuotaBudget(plan, day=NOON.date()).spend(plan.minute - 20, 0, NOON)
    assert minute.required_wait(1, 0, NOON, NOTHING, urgent=False) is not None
    assert minute.required_wait(1, 0, NOON, NOTHING, urgent=True) is None


def test_live_reservations_are_the_calls_in_the_air() -> None:
    budget = QuotaBudget(SMALL, day=NOON.date())
    assert budget.required_wait(2, 0, NOON, InFlight(1, 2, 0), urgent=False) is None
    full = budget.required_wait(2, 0, NOON, InFlight(2, 4, 0), urgent=True)
    assert full is not None
    assert full.kind is LimitKind.CONCURRENCY


def test_limits_that_are_not_known_are_not_kept() -> None:
    spent = QuotaBudget(day=NOON.date()).spend(10**6, 10**9, NOON)
    assert spent.required_wait(2, 10**6, NOON, InFlight(500, 1_000, 10**9), urgent=False) is None
    assert spent.day_left() is None


def test_limits_are_learned_from_the_headers_of_an_answer() -> None:
    told = Limits(minute_limit=5_000, minute_left=4_999, concurrency_limit=250, points_limit=5_000_000)
    learned = QuotaBudget().spend(1, 0, NOON).after_answer(Answer(data={}, limits=told), 0, NOON, NOTHING).quota
    assert learned == Quota(None, 5_000, 5_000_000, 250)


def test_what_monday_counts_beyond_our_calls_is_the_other_tokens() -> None:
    budget = QuotaBudget(SMALL, day=NOON.date(), day_calls=Decimal(100))
    reported = budget.with_reported_usage(180, Decimal(90), NOON)
    assert (reported.others_calls, reported.used_today) == (90, 190)
    assert budget.with_reported_usage(50, Decimal(90), NOON).used_today == 100


def test_a_figure_older_than_a_refusal_says_less_than_it() -> None:
    before, later, own = NOON - timedelta(minutes=5), NOON + timedelta(minutes=5), Decimal("20.1")
    plan = Quota(day=1_000)
    used = QuotaBudget(plan, day=NOON.date(), day_calls=Decimal(20), others_calls=Decimal(200)).spend(1, 0, NOON)
    refused = used.after_rejection(LimitKind.DAY, None, 0, NOON, NOTHING)
    assert (refused.used_today, refused.refused_at) == (1_000, NOON)
    # It may have been a mistake, so work goes on by the old figure; that more was used is remembered.
    asked = refused.with_reported_usage(220, own, before)
    assert (round(asked.used_today), asked.refused_at, asked.reported_at) == (220, NOON, before)
    assert (newer := asked.with_reported_usage(724, own, later)).refused_at is None
    assert round(newer.used_today) == 724
    raised = replace(refused, quota=Quota(day=10_000)).with_reported_usage(220, own, before)
    assert (raised.used_today, raised.refused_at, raised.reported_at) == (1_000, None, NOON)
    assert asked.at_time(NOON + timedelta(days=1), NOTHING).refused_at is None


def test_what_goes_back_unsent_after_a_refusal_makes_no_room() -> None:
    budget = QuotaBudget(SMALL, day=NOON.date()).spend(2, 400, NOON)
    refused = budget.after_rejection(LimitKind.POINTS, 30, 100, NOON, InFlight(1, 1, 300)).spend(-1, -300, NOON)
    assert refused.required_wait(1, 1, NOON, NOTHING, urgent=True) is not None


def test_a_refused_call_counts_a_tenth_and_its_limit_is_used_up_until_monday_says() -> None:
    budget = QuotaBudget(SMALL, day=NOON.date()).spend(1, 400, NOON)
    refused = budget.after_rejection(LimitKind.POINTS, 30, 400, NOON, NOTHING)
    assert refused.day_calls == Decimal("0.1")
    wait = refused.required_wait(1, 1, NOON, NOTHING, urgent=True)
    assert wait is not None
    assert wait.until == NOON + timedelta(seconds=31)
    assert refused.at_time(wait.until, NOTHING).required_wait(1, 1, wait.until, NOTHING, urgent=True) is None


def test_a_new_day_begins_a_moment_after_midnight_utc() -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    full = QuotaBudget(SMALL, day=NOON.date(), day_calls=Decimal(400), others_calls=Decimal(9))
    assert full.at_time(midnight + timedelta(seconds=1), NOTHING).used_today == 409
    assert full.at_time(midnight + timedelta(seconds=6), InFlight(1, 2, 0)).used_today == 2
    assert full.at_time(midnight + timedelta(seconds=6), NOTHING, Decimal(3)).used_today == 3


def test_a_plan_is_known_however_it_is_written_and_one_without_published_limits_has_none() -> None:
    found = [plan_quota(tier).is_known for tier in ("standard", " FREE ", "Pro", "", "galactic")]
    assert found == [True, True, True, False, False]


@given(st.integers(0, 10**8), st.sampled_from([0.02, 0.05]))
def test_the_reserve_is_never_less_than_its_share_and_less_than_one_more(limit: int, share: float) -> None:
    kept = reserve(limit, share)
    assert limit * share - 1e-3 <= kept < limit * share + 1.001
