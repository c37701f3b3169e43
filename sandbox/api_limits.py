"""The account's plan and limits: who may call now, what each call uses up, and how much each day has used.

What each of Monday's plans allows: developer.monday.com/api-reference/docs/rate-limits.
"""

import math
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox import api_errors
from sandbox.api_errors import RequestError
from sandbox.model import Clock
from sandbox.web import BadRequestError, call, one_of

# A window ends 60 s after its first call (developer.monday.com/api-reference/docs/rate-limits).
MINUTE_SECONDS = 60
QUERY_POINTS = 5_000_000  # one request's most, whatever the plan
DEFAULT_POINTS = 10_000_000  # a personal token's minute, reads and writes together


@dataclass(frozen=True)
class Plan:
    """What an account may use.

    `day` calls from midnight to midnight UTC, `minute` calls and `points` of complexity within 60 seconds from a
    window's first call, and `concurrent` calls at once.
    """

    name: str
    day: int
    minute: int
    concurrent: int
    points: int = DEFAULT_POINTS

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "name"}


PLANS = {
    plan.name: plan
    for plan in (
        Plan("free", 1_000, 1_000, 40, points=1_000_000),
        Plan("standard", 1_000, 1_000, 40),
        Plan("pro", 10_000, 2_500, 100),
        Plan("enterprise", 25_000, 5_000, 250),
    )
}


def plan_from(name: str | None, limits: dict[str, int]) -> Plan | None:
    """The plan of this name, with `limits` in place of its own; None for no plan. Raises BadRequestError."""
    if name is not None:
        return call(Plan, vars(PLANS[one_of(PLANS, name)]) | limits)
    if limits:
        raise BadRequestError(f"{', '.join(sorted(limits))}: without a plan nothing is limited; name a plan too")
    return None


# How many calls the account has used, by day; Monday counts in tenths of a call.


DAY_SECONDS = 86_400
KEPT_DAYS = 8
DEFAULT_LAG = 300.0


class Usage:
    """Calls as Monday counts them. `add` may be called by one thread at a time; its owner holds a lock.

    `lag` is how many seconds old the figures are that Monday's `platform_api` tells. That they are behind is
    documented by `last_updated`; by how much is not, and five minutes are our guess.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used: deque[tuple[int, int]] = deque()  # second, tenths
        self._days: Counter[str] = Counter()
        self.lag = DEFAULT_LAG

    def add(self, tenths: int, moment: float) -> None:
        """Count `tenths` of calls to the day of `moment`; fewer than none take back what was counted before."""
        second = int(moment)
        before = self._used.pop()[1] if self._used and self._used[-1][0] == second else 0
        self._used.append((second, before + tenths))
        self._days[_day(moment)] += tenths
        while self._used and self._used[0][0] < second - KEPT_DAYS * DAY_SECONDS:
            self._used.popleft()

    def today(self) -> int:
        return self._days[_day(self._clock.time())]

    def seconds_left(self) -> int:
        """Until the day ends, at midnight UTC; from 1."""
        return max(1, DAY_SECONDS - int(self._clock.time()) % DAY_SECONDS)

    def reported_until(self) -> float:
        """The moment up to which Monday's figures go."""
        return self._clock.time() - self.lag

    def by_day(self) -> dict[str, int]:
        """Whole calls by day, the newest first, as old as `lag` makes them."""
        counts: Counter[str] = Counter()
        until = self.reported_until()
        for second, tenths in list(self._used):
            if second <= until:
                counts[_day(second)] += tenths
        return {day: tenths // 10 for day, tenths in sorted(counts.items(), reverse=True)}

    def clear(self) -> None:
        self._used.clear()
        self._days.clear()
        self.lag = DEFAULT_LAG


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")


# The account's limits: who may call now, and what each call uses up.
#
# developer.monday.com/api-reference/docs/rate-limits: a request counts one call, also one that fails; one that a limit
# refuses, or that asks for nothing but its complexity, a tenth. All tokens of the account share the counters.


# tenths of a call
CALL = 10
REJECTED_CALL = 1
CONCURRENCY_WAIT = 15  # seconds, as in Monday's own example of the error


@dataclass(frozen=True)
class PointsSpent:
    """Complexity points: the request's own, and the minute's quota around it."""

    query: int
    before: int
    after: int
    reset_in_x_seconds: int


class Window:
    """A time of some seconds that begins with its first use; the next use after its end begins another."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._ends = 0.0
        self.used = 0

    def roll(self, now: float) -> "Window":
        """Forget what was used when the window is over, or when the clock was set back behind it."""
        if not 0 < self._ends - now <= self._seconds:
            self._ends = 0.0
            self.used = 0
        return self

    def use(self, amount: int, now: float) -> None:
        self.roll(now)
        self._ends = self._ends or now + self._seconds
        self.used += amount

    def seconds_left(self, now: float) -> int:
        """Until it ends, from 1; its whole length while it has not begun."""
        return max(1, math.ceil(self._ends - now)) if self.is_open else self._seconds

    @property
    def is_open(self) -> bool:
        return self._ends > 0


@dataclass
class CallInProgress:
    """One request being answered; `tenths` of a call are what it comes to in the end."""

    tenths: int = CALL


class Limits:
    """Without a plan everything is counted and nothing refused."""

    def __init__(self, clock: Clock, plan: Plan | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._first_plan = plan
        self.plan = plan
        self.shows_headers = False
        self.usage = Usage(clock)
        self.refused: Counter[str] = Counter()
        self._running = 0
        self._life = 0  # goes up at a reset: what was counted before is not taken back after it
        self._start_windows()

    def _start_windows(self) -> None:
        self._minute = Window(MINUTE_SECONDS)
        self._points = Window(MINUTE_SECONDS)

    def set_plan(self, plan: Plan | None) -> None:
        """From now on these limits, with new windows; what was used today stays used."""
        with self._lock:
            self.plan = plan
            self._start_windows()

    def reset(self) -> None:
        with self._lock:
            self.plan = self._first_plan
            self._life = self._life + 1
            self.shows_headers = False
            self.usage.clear()
            self.refused.clear()
            self._start_windows()

    @contextmanager
    def visit(self) -> Iterator[CallInProgress]:
        """Count a request while it is answered. RequestError (429) where a limit does not let it in."""
        visit = CallInProgress()
        moment = self._clock.time()
        with self._lock:
            refusal = self._refusal(moment)
            self.usage.add(CALL if refusal is None else REJECTED_CALL, moment)
            if refusal is not None:
                raise self._count_rejection(refusal)
            self._running += 1
        counted_in = self._life
        try:
            yield visit
        finally:
            with self._lock:
                self._running -= 1
                # Taken back on the day that it was counted to: the answer may come after midnight.
                if visit.tenths != CALL and counted_in == self._life:
                    self.usage.add(visit.tenths - CALL, moment)

    def _refusal(self, now: float) -> RequestError | None:
        """Why this request is not let in. Each window has counted it, also when it is not."""
        self._minute.use(1, now)
        if self.plan is None:
            return None
        if self._minute.used > self.plan.minute:
            return api_errors.minute_limit(self._minute.seconds_left(now))
        if self._running >= self.plan.concurrent:
            return api_errors.concurrency_limit(CONCURRENCY_WAIT)
        if self.usage.today() + CALL > self.plan.day * CALL:
            return api_errors.daily_limit(self.usage.seconds_left())
        return None

    def spend(self, cost: int) -> PointsSpent:
        """Take complexity points before anything runs. RequestError where they do not suffice."""
        if cost > QUERY_POINTS:
            raise self._count_rejection(api_errors.query_too_complex(cost, QUERY_POINTS))
        with self._lock:
            now = self._clock.time()
            window = self._points.roll(now)
            before = max(0, self.points_limit - window.used)
            if self.plan is not None and cost > before:
                raise self._count_rejection(api_errors.complexity_limit(window.seconds_left(now)))
            if cost:
                window.use(cost, now)
            return PointsSpent(cost, before, max(0, before - cost), window.seconds_left(now))

    def _count_rejection(self, refusal: RequestError) -> RequestError:
        self.refused[refusal.errors[0]["extensions"]["code"]] += 1
        return refusal

    @property
    def points_limit(self) -> int:
        return DEFAULT_POINTS if self.plan is None else self.plan.points

    def points_left(self) -> tuple[int, int]:
        with self._lock:
            return max(0, self.points_limit - self._points.roll(self._clock.time()).used), self.points_limit

    def sentence(self) -> str:
        """What is left, for the people who read the log of calls."""
        remaining, limit = self.points_left()
        words = f"{remaining:,} of {limit:,} complexity points left this minute"
        if self.plan is None:
            return words
        calls = max(0, self.plan.day - math.ceil(self.usage.today() / CALL))
        return f"{words}, {calls:,} of {self.plan.day:,} calls left today"

    def set_lag(self, seconds: int) -> None:
        """How old the figures of `platform_api` are from now on."""
        with self._lock:
            self.usage.lag = float(seconds)

    def set_used(self, calls: int) -> None:
        """Make it so many calls today, whatever it was."""
        with self._lock:
            lag = self.usage.lag
            self.usage.clear()
            self.usage.lag = lag
            self._life += 1
            self.usage.add(calls * CALL, self._clock.time())

    def use_by_others(self, calls: int) -> None:
        """Count calls of the account's other tokens, now."""
        with self._lock:
            self.usage.add(calls * CALL, self._clock.time())

    @contextmanager
    def figures(self) -> Iterator[Usage]:
        with self._lock:
            yield self.usage

    def headers(self) -> dict[str, str]:
        """RateLimit-Policy and RateLimit as Monday's rate-limits page shows them, where they are asked for.

        No recorded answer up to 2025-11 has them (github.com/sanifhimani/monday_ruby), so they are off at first.
        """
        with self._lock:
            if self.plan is None or not self.shows_headers:
                return {}
            now = self._clock.time()
            plan = self.plan
            minute = self._minute.roll(now)
            points = self._points.roll(now)
            remaining = [max(0, number) for number in (plan.minute - minute.used, plan.points - points.used)]
            minute_end = f";t={minute.seconds_left(now)}" if remaining[0] == 0 else ""
            points_end = f";t={points.seconds_left(now)}" if points.is_open else ""
            free = max(0, plan.concurrent - self._running)
        return {
            "RateLimit-Policy": f'"minuteRate";q={plan.minute};w={MINUTE_SECONDS}, '
            f'"concurrency";q={plan.concurrent};qu="concurrent-requests", '
            f'"complexityMinute";q={plan.points};w={MINUTE_SECONDS};qu="content-bytes"',
            "RateLimit": f'"minuteRate";r={remaining[0]}{minute_end}, "concurrency";r={free}, '
            f'"complexityMinute";r={remaining[1]}{points_end}',
        }

    def to_json(self) -> dict[str, Any]:
        """The plan, its limits, and what is used of them."""
        with self._lock:
            now = self._clock.time()
            return {
                "plan": self.plan.name if self.plan else None,
                "limits": self.plan.to_json() if self.plan else None,
                "used": {
                    "day": self.usage.today() / CALL,
                    "minute": self._minute.roll(now).used,
                    "concurrent": self._running,
                    "points": self._points.roll(now).used,
                },
                "refused": dict(self.refused),
                "lag": self.usage.lag,
            }
