"""Laws of the limits, for any order of calls and pauses."""

from dataclasses import dataclass
from math import ceil

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.clock import Clock
from sandbox.errors import RequestError
from sandbox.limits import CALL, LITTLE, Limits
from sandbox.plans import Plan

DAY = 86_400
PAUSES = st.floats(0, 90, allow_nan=False)
ROOMY = 1_000_000


class Hand(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 20_000.0 * DAY

    def time(self) -> float:
        return self.seconds


@dataclass
class Account:
    """Limits on a clock of the test's own."""

    clock: Hand
    limits: Limits

    def calls(self) -> RequestError | None:
        """One request; its refusal, if any."""
        try:
            with self.limits.visit("127.0.0.1"):
                return None
        except RequestError as refusal:
            return refusal

    def spends(self, cost: int) -> RequestError | None:
        try:
            spent = self.limits.spend(cost)
        except RequestError as refusal:
            return refusal
        assert spent.before - spent.query == spent.after
        assert 1 <= spent.reset_in_x_seconds <= 60
        return None


def account(**limits: int) -> Account:
    clock = Hand()
    own = {"day": ROOMY, "minute": ROOMY, "concurrent": ROOMY, "points": 4_000_000, "address": ROOMY} | limits
    return Account(clock, Limits(clock, Plan("a plan", **own)))


def wait_of(refusal: RequestError) -> int:
    seconds: int = refusal.errors[0]["extensions"]["retry_in_seconds"]
    assert refusal.headers["Retry-After"] == str(seconds)
    return seconds


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(PAUSES, max_size=40))
def test_a_window_lets_in_no_more_than_its_limit_and_the_wait_it_tells_is_enough(
    limit: int, pauses: list[float]
) -> None:
    one = account(minute=limit)
    begun, let_in = 0.0, 0
    for pause in pauses:
        one.clock.seconds += pause
        if one.clock.seconds >= begun + 60:
            begun, let_in = one.clock.seconds, 0
        refusal = one.calls()
        let_in += refusal is None
        assert let_in <= limit
        assert refusal is None or let_in == limit
        if refusal is not None:
            assert wait_of(refusal) == max(1, ceil(begun + 60 - one.clock.seconds))
    refusals = [refusal for refusal in (one.calls() for _ in range(limit + 1)) if refusal]
    one.clock.seconds += wait_of(refusals[-1])
    assert one.calls() is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PAUSES, st.integers(0, 5_000_000)), max_size=40))
def test_points_never_exceed_the_minute_and_what_was_refused_fits_after_its_wait(
    spendings: list[tuple[float, int]],
) -> None:
    one = account()
    begun, spent = 0.0, 0
    for pause, cost in spendings:
        one.clock.seconds += pause
        if one.clock.seconds >= begun + 60:
            begun, spent = 0.0, 0
        refusal = one.spends(cost)
        if refusal is None:
            spent += cost
            begun = begun or (one.clock.seconds if cost else 0.0)
            assert spent <= 4_000_000
        else:
            assert spent + cost > 4_000_000
            one.clock.seconds += wait_of(refusal)
            begun, spent = 0.0, 0
            if cost <= 4_000_000:
                assert one.spends(cost) is None
                begun, spent = one.clock.seconds, cost


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.lists(st.floats(0, 30_000), max_size=40))
def test_the_day_lets_in_no_more_than_its_calls_and_refusals_count_tenths(
    limit: int, pauses: list[float]
) -> None:
    one = account(day=limit)
    day, tenths = 0, 0
    for pause in pauses:
        one.clock.seconds += pause
        if int(one.clock.seconds // DAY) != day:
            day, tenths = int(one.clock.seconds // DAY), 0
        refusal = one.calls()
        assert (refusal is None) == (tenths + CALL <= limit * CALL)
        tenths += CALL if refusal is None else LITTLE
        assert one.limits.usage.today() == tenths
        if refusal is not None:
            midnight = (one.clock.seconds + wait_of(refusal)) / DAY
            assert int(midnight) == day + 1


def test_a_clock_that_is_set_back_begins_another_window() -> None:
    one = account(minute=1)
    assert one.calls() is None
    one.clock.seconds -= 1_000
    assert one.calls() is None
    assert one.calls() is not None
