"""How many calls the account has used, by day and by user; Monday counts in tenths of a call."""

from collections import Counter, deque
from datetime import UTC, datetime

from sandbox.clock import Clock

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
        self._used: deque[tuple[int, int, int]] = deque()  # second, user, tenths
        self._days: Counter[str] = Counter()
        self.lag = DEFAULT_LAG

    def add(self, tenths: int, user_id: int, moment: float) -> None:
        """Count `tenths` of calls to the day of `moment`; fewer than none take back what was counted before."""
        second = int(moment)
        if self._used and self._used[-1][:2] == (second, user_id):
            tenths_before = self._used.pop()[2]
            self._used.append((second, user_id, tenths_before + tenths))
        else:
            self._used.append((second, user_id, tenths))
        self._days[_day(moment)] += tenths
        while self._used and self._used[0][0] < second - KEPT_DAYS * DAY_SECONDS:
            self._used.popleft()

    def today(self) -> int:
        """Tenths of calls since midnight UTC."""
        return self._days[_day(self._clock.time())]

    def seconds_left(self) -> int:
        """Until the day ends, at midnight UTC; from 1."""
        return max(1, DAY_SECONDS - int(self._clock.time()) % DAY_SECONDS)

    def told_until(self) -> float:
        """The moment up to which Monday's figures go."""
        return self._clock.time() - self.lag

    def by_day(self) -> dict[str, int]:
        """Whole calls by day, the newest first, as old as `lag` makes them."""
        found: Counter[str] = Counter()
        until = self.told_until()
        for second, _, tenths in list(self._used):
            if second <= until:
                found[_day(second)] += tenths
        return {day: tenths // 10 for day, tenths in sorted(found.items(), reverse=True)}

    def by_user(self) -> dict[int, int]:
        """Whole calls of today by the user's id, as old as `lag` makes them."""
        found: Counter[int] = Counter()
        until = self.told_until()
        for second, user_id, tenths in list(self._used):
            if second <= until and _day(second) == _day(until):
                found[user_id] += tenths
        return {user_id: tenths // 10 for user_id, tenths in found.items()}

    def clear(self) -> None:
        """Forget all of it."""
        self._used.clear()
        self._days.clear()
        self.lag = DEFAULT_LAG


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
