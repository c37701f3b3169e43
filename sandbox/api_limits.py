"""The account's plan and limits: which requests are refused, what each call costs, and how much each day has used.

Monday's plans: developer.monday.com/api-reference/docs/rate-limits.
"""

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox import api_errors, web
from sandbox.api_errors import RequestError
from sandbox.model import Clock

# A window ends 60 s after its first call (developer.monday.com/api-reference/docs/rate-limits).
MINUTE_SECONDS = 60
QUERY_POINTS = 5_000_000  # of one request at most, in any plan
DEFAULT_POINTS = 10_000_000  # of a personal token in a minute, reads and writes together


@dataclass(frozen=True)
class Plan:
    """What an account may use."""

    name: str
    day: int  # calls from midnight to midnight UTC
    minute: int  # calls within 60 seconds from a window's first call
    concurrent: int  # calls at once
    points: int = DEFAULT_POINTS  # complexity within 60 seconds from a window's first call


PLANS = {
    plan.name: plan
    for plan in (
        Plan("free", 1_000, 1_000, 40, points=1_000_000),
        Plan("standard", 1_000, 1_000, 40),
        Plan("pro", 10_000, 2_500, 100),
        Plan("enterprise", 25_000, 5_000, 250),
    )
}


DAY_SECONDS = 86_400
DEFAULT_LAG = 300.0  # seconds, see Usage.lag


class Usage:
    """Calls in tenths of a call, as Monday counts them; whoever uses it holds the lock of `Limits`.

    `lag` is the age of `platform_api`'s figures in seconds. Its `last_updated` documents that they lag, but not by how
    much; five minutes are our guess.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenths: Counter[int] = Counter()  # by second
        self.lag = DEFAULT_LAG

    def add(self, tenths: int) -> None:
        """Add tenths of a call; negative ones correct an earlier count."""
        self._tenths[int(self._clock.time())] += tenths

    def tenths_today(self) -> int:
        now = self._clock.time()
        return self._tenths_by_day(now)[int(now) // DAY_SECONDS]

    def seconds_left(self) -> int:
        """Return the seconds until midnight UTC, at least 1."""
        return max(1, DAY_SECONDS - int(self._clock.time()) % DAY_SECONDS)

    def reported_until(self) -> float:
        """Return the time up to which `platform_api` counts calls."""
        return self._clock.time() - self.lag

    def reported_calls(self) -> dict[str, int]:
        """Return `platform_api`'s figures: whole calls by day, the newest first."""
        days = sorted(self._tenths_by_day(self.reported_until()).items(), reverse=True)
        return {f"{datetime.fromtimestamp(day * DAY_SECONDS, UTC):%Y-%m-%d}": tenths // 10 for day, tenths in days}

    def _tenths_by_day(self, until: float) -> Counter[int]:
        """Return the tenths up to this time by the number of the day."""
        counts: Counter[int] = Counter()
        for second, tenths in self._tenths.items():
            if second <= until:
                counts[second // DAY_SECONDS] += tenths
        return counts

    def set_calls(self, calls: int) -> None:
        """Count so many calls now, and none before."""
        self._tenths.clear()
        self.add(calls * WHOLE_CALL)


# In tenths of a call (developer.monday.com/api-reference/docs/rate-limits): a request counts one call, also one that
# fails; one that a limit refuses counts a tenth. All tokens of the account share the counters.
WHOLE_CALL = 10
REFUSED_CALL = 1
CONCURRENCY_WAIT = 15  # seconds, as in Monday's own example of the error


@dataclass(frozen=True)
class PointsSpent:
    """Complexity points."""

    query: int  # of the request itself
    before: int  # left in the minute before the request
    after: int  # left after it
    reset_in_x_seconds: int


class Window:
    """A window of some seconds that begins with its first use; the next use after its end begins another."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._ends = 0.0
        self.used = 0

    def roll(self, now: float) -> "Window":
        """Start again when the window is over, or when the clock was set back before its start."""
        # A test that moves the clock back would otherwise wait for an end that is hours away.
        if not 0 < self._ends - now <= self._seconds:
            self._ends = 0.0
            self.used = 0
        return self

    def use(self, amount: int, now: float) -> None:
        self.roll(now)
        self._ends = self._ends or now + self._seconds
        self.used += amount

    def seconds_left(self, now: float) -> int:
        """Return the seconds until its end, at least 1; its whole length before its first use."""
        return max(1, math.ceil(self._ends - now)) if self._ends else self._seconds


class Limits:
    """Counts calls and points, and refuses requests over the plan's limits; without a plan it refuses none."""

    def __init__(self, clock: Clock, plan: Plan | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self.plan = plan
        self.usage = Usage(clock)
        self.refused: Counter[str] = Counter()
        self._running = 0
        self._start_windows()

    def _start_windows(self) -> None:
        self._minute = Window(MINUTE_SECONDS)
        self._points = Window(MINUTE_SECONDS)

    def set_plan(self, name: str | None, limits: dict[str, int]) -> None:
        """Use a plan with these limits in place of its own, or none, with new windows and today's calls.

        Raises BadRequestError.
        """
        if name is None and limits:
            raise web.BadRequestError(f"{', '.join(sorted(limits))}: nothing is limited without a plan; name one too")
        plan = None if name is None else web.call(Plan, vars(PLANS[web.one_of(PLANS, name)]) | limits)
        with self._lock:
            self.plan = plan
            self._start_windows()

    @contextmanager
    def count_call(self) -> Iterator[None]:
        """Count a request while it is answered; raises RequestError (429) where a limit refuses it."""
        moment = self._clock.time()
        with self._lock:
            self._minute.use(1, moment)  # refused ones too: our guess, and the harder one for a client
            if refusal := self._refusal(moment):
                self.usage.add(REFUSED_CALL)
                raise self._counted(refusal)
            self.usage.add(WHOLE_CALL)
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def count_as_refused(self) -> None:
        """Count a tenth of a call for one that was counted whole, and refused later."""
        with self._lock:
            self.usage.add(REFUSED_CALL - WHOLE_CALL)

    def _refusal(self, now: float) -> RequestError | None:
        """Return why a request is refused; None if it isn't."""
        if self.plan is None:
            return None
        # Which of several limits Monday names isn't published.
        if self._minute.used > self.plan.minute:
            return api_errors.minute_limit(self._minute.seconds_left(now))
        if self._running >= self.plan.concurrent:
            return api_errors.concurrency_limit(CONCURRENCY_WAIT)
        if self.usage.tenths_today() + WHOLE_CALL > self.plan.day * WHOLE_CALL:
            return api_errors.daily_limit(self.usage.seconds_left())
        return None

    def spend(self, cost: int) -> PointsSpent:
        """Use complexity points before the document runs; raises RequestError where they don't suffice."""
        # Without a wait, because the same request is too large in any minute.
        if cost > QUERY_POINTS:
            raise self._counted(api_errors.query_too_complex(cost, QUERY_POINTS))
        with self._lock:
            now = self._clock.time()
            window = self._points.roll(now)
            # Without a plan more may be used than there is; answers never show less than nothing.
            before = max(0, (self.plan.points if self.plan else DEFAULT_POINTS) - window.used)
            if self.plan is not None and cost > before:
                raise self._counted(api_errors.complexity_limit(window.seconds_left(now)))
            if cost:
                window.use(cost, now)
            return PointsSpent(cost, before, max(0, before - cost), window.seconds_left(now))

    def _counted(self, refusal: RequestError) -> RequestError:
        """Count a refusal by its code, and return it."""
        self.refused[refusal.errors[0]["extensions"]["code"]] += 1
        return refusal

    @contextmanager
    def locked_usage(self) -> Iterator[Usage]:
        with self._lock:
            yield self.usage

    def to_json(self) -> dict[str, Any]:
        """Return the plan, its limits, and how much of them is used."""
        with self._lock:
            now = self._clock.time()
            limits = asdict(self.plan) if self.plan else None
            return {
                "plan": limits.pop("name") if limits else None,
                "limits": limits,
                "used": {
                    "day": self.usage.tenths_today() / WHOLE_CALL,
                    "minute": self._minute.roll(now).used,
                    "concurrent": self._running,
                    "points": self._points.roll(now).used,
                },
                "refused": dict(self.refused),
                "lag": self.usage.lag,
            }
