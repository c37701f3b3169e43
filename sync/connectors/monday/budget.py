"""The allowance as arithmetic: what of Monday's limits is spent, what is left, and when there is room again.

Values in, values out; the clock and the table are elsewhere. Figures and windows are those of
developer.monday.com/api-reference/docs/rate-limits, unless a comment names another source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from sync.connectors.monday.answers import Answer, Limits
from sync.connectors.monday.plans import Allowance

WINDOW_SECONDS = 60.0
MARGIN_SECONDS = 1.0
"""Monday tells the rest of its window in whole seconds; ours must never end before it."""
MIDNIGHT_SECONDS = 5.0
"""Our day begins so long after 00:00 UTC, for Monday's clock may be behind ours."""
MINUTE_RESERVE = 0.02
DAY_RESERVE = 0.05
"""Shares of the minute (calls, points) and of the day that are kept for what a person clicked."""
DOCUMENT_POINTS = 5_000_000
"""The most that one document may cost."""
WRITE_POINTS = 10_000
"""The first guess for a record written (developer.monday.com/api-reference/docs/development-best-practices)."""
READ_POINTS = 50_000
"""The first guess for the read of a look; the first answer corrects it."""
LOOK_CALLS = 2
LIMITED_CALL = Decimal("0.1")
"""What a request that was refused for a limit counts of the day."""
AIR_SECONDS = 5.0
"""When to ask again while as many calls are in the air as may be."""


class Kind(StrEnum):
    """Which limit leaves no room."""

    DAY = "day"
    MINUTE = "minute"
    POINTS = "points"
    CONCURRENCY = "concurrency"


@dataclass(frozen=True)
class Wait:
    """There is no room: which limit it is, and when to ask again."""

    kind: Kind
    until: datetime


@dataclass(frozen=True)
class InAir:
    """What live reservations hold: their number, and the calls and points that haven't been answered yet."""

    number: int = 0
    calls: int = 0
    points: int = 0


@dataclass(frozen=True)
class Window:
    """What was spent of one minute's allowance, and when that minute ends for Monday at the latest."""

    spent: int = 0
    ends: datetime | None = None

    def at(self, now: datetime, in_air: int, patience: float) -> Window:
        """The window as it stands now; when it is over, what is in the air counts in the next one."""
        if self.ends is not None and now < self.ends:
            return self
        return Window(in_air, _opened(now, patience) if in_air else None)

    def spend(self, amount: int, now: datetime, patience: float) -> Window:
        """Take `amount`, or give it back. Monday's minute begins when it receives the call, at most `patience` later.

        One of which everything was given back has not begun: nothing of it was sent.
        """
        spent = max(0, self.spent + amount)
        if amount < 0 and not spent:
            return Window()
        return Window(spent, self.ends or _opened(now, patience))

    def answered(self, now: datetime, seen: Seen, own: int, in_air: int, seconds: float = 0.0) -> Window:
        """Corrected by an answer: when Monday's minute ends, and what it has counted of it.

        `own` is what this call cost, `seconds` how long it took. Monday's count holds other tokens' calls too, and
        of those in the air none for sure; ours holds all of these.
        """
        told = seen.reset is not None
        rest = min(WINDOW_SECONDS, max(0.0, seen.reset)) if seen.reset is not None else WINDOW_SECONDS
        ends = now + timedelta(seconds=rest + MARGIN_SECONDS)
        ours = self.ends or ends
        if told and ends - timedelta(seconds=seconds) > ours + timedelta(seconds=MARGIN_SECONDS):
            # Monday has begun another minute: ours was begun for a call that it never received, or much later.
            counted = self.spent - in_air if seen.spent is None else seen.spent
            return Window(max(counted, own) + in_air, ends)
        spent = self.spent
        if seen.spent is not None and seen.spent > spent:
            spent = seen.spent + in_air
        return Window(spent, min(ours, ends))


@dataclass(frozen=True)
class Seen:
    """What an answer tells of a window: how much is spent of it, and in how many seconds it ends."""

    spent: int | None = None
    reset: float | None = None


def _opened(now: datetime, patience: float) -> datetime:
    return now + timedelta(seconds=WINDOW_SECONDS + patience + MARGIN_SECONDS)


@dataclass(frozen=True)
class Budget:
    """The account's allowance and what is spent of it; `patience` is how late a call may still arrive, in seconds.

    `day_calls` are our calls of the UTC day, `others_calls` those of the account's other tokens as last reported.
    """

    allowance: Allowance = field(default_factory=Allowance)
    minute: Window = Window()
    points: Window = Window()
    day: date | None = None
    day_calls: Decimal = Decimal(0)
    others_calls: Decimal = Decimal(0)
    reported_at: datetime | None = None
    patience: float = 40.0

    def at(self, now: datetime, in_air: InAir, since_midnight: Decimal = Decimal(0)) -> Budget:
        """The budget as it stands now: windows and days that are over begin anew, with what is in the air.

        `since_midnight` are our calls of the new UTC day's first seconds, which the old day has counted.
        """
        today = day_of(now)
        rolled = replace(
            self,
            minute=self.minute.at(now, in_air.calls, self.patience),
            points=self.points.at(now, in_air.points, self.patience),
        )
        if self.day == today:
            return rolled
        return replace(
            rolled,
            day=today,
            day_calls=in_air.calls + since_midnight,
            others_calls=Decimal(0),
            reported_at=None,
        )

    @property
    def used_today(self) -> Decimal:
        """Calls of the day, everyone's."""
        return self.day_calls + self.others_calls

    @property
    def day_reserve(self) -> int:
        """Calls of the day that are kept for what a person clicked."""
        return reserve(self.allowance.day or 0, DAY_RESERVE)

    def day_left(self, *, urgent: bool = False) -> float | None:
        """Calls that are left today, after the reserve unless `urgent`; None where the limit isn't known."""
        if self.allowance.day is None:
            return None
        left = Decimal(self.allowance.day) - self.used_today - (0 if urgent else self.day_reserve)
        return float(max(Decimal(0), left))

    def without_day(self) -> Budget:
        """The same, of which the day is not kept."""
        return replace(self, allowance=replace(self.allowance, day=None))

    def points_room(self, *, urgent: bool) -> int | None:
        """Points that are left of this minute; None where the limit isn't known."""
        return _left(self.allowance.points, self.points, urgent)

    def wait(self, calls: int, points: int, now: datetime, in_air: InAir, *, urgent: bool) -> Wait | None:
        """What leaves no room for so many calls and points; None where there is room.

        More points than a whole minute has go through in a minute that nothing was spent of.
        """
        day = self.day_left(urgent=urgent)
        if day is not None and day < calls:
            return Wait(Kind.DAY, midnight_after(now))
        minute = _left(self.allowance.minute, self.minute, urgent)
        if minute is not None and minute < calls:
            return Wait(Kind.MINUTE, self._end_of(self.minute, now))
        room = self.points_room(urgent=urgent)
        if room is not None and room < points and self.points.spent:
            return Wait(Kind.POINTS, self._end_of(self.points, now))
        most = self.allowance.concurrency
        if most is not None and in_air.number >= most:
            return Wait(Kind.CONCURRENCY, now + timedelta(seconds=AIR_SECONDS))
        return None

    def _end_of(self, window: Window, now: datetime) -> datetime:
        return window.ends or now + timedelta(seconds=WINDOW_SECONDS)

    def spend(self, calls: int, points: int, now: datetime) -> Budget:
        """Take calls and points before they are sent; negative ones go back."""
        return replace(
            self,
            minute=self.minute.spend(calls, now, self.patience),
            points=self.points.spend(points, now, self.patience),
            day_calls=max(Decimal(0), self.day_calls + calls),
        )

    def answered(self, answer: Answer, expected: int, now: datetime, in_air: InAir) -> Budget:
        """Correct it by an answer to a call of which `expected` points were taken before."""
        allowance = self.allowance.learn(answer.limits)
        cost = answer.complexity.query if answer.complexity else expected
        minute, points = _seen_minute(answer.limits), _seen_points(answer, allowance)
        spent = replace(self.points, spent=max(0, self.points.spent + cost - expected))
        return replace(
            self,
            allowance=allowance,
            minute=self.minute.answered(now, minute, 1, in_air.calls, answer.seconds),
            points=spent.answered(now, points, cost, in_air.points, answer.seconds),
        )

    def refused(
        self, kind: Kind | None, wait: float | None, expected: int, now: datetime, in_air: InAir
    ) -> Budget:
        """Correct it by a refusal for a limit: it counts a tenth of a call, and its limit is used up till then."""
        kept = replace(
            self,
            points=replace(self.points, spent=max(0, self.points.spent - expected)),
            day_calls=max(Decimal(0), self.day_calls - 1 + LIMITED_CALL),
        )
        ends = now + timedelta(seconds=(wait or WINDOW_SECONDS) + MARGIN_SECONDS)
        # What is in the air may go back unsent, and makes no room then.
        if kind is Kind.POINTS and self.allowance.points is not None:
            return replace(kept, points=Window(self.allowance.points + in_air.points, ends))
        if kind is Kind.MINUTE and self.allowance.minute is not None:
            return replace(kept, minute=Window(self.allowance.minute + in_air.calls, ends))
        if kind is Kind.DAY and self.allowance.day is not None:
            others = self.allowance.day - kept.day_calls + in_air.calls
            return replace(kept, others_calls=max(self.others_calls, others))
        return kept

    def reported(self, used: float, ours_by_then: Decimal, as_of: datetime) -> Budget:
        """Correct the day by Monday's own figure, which is as old as `as_of` says.

        What it counts beyond our calls of that time is the account's other tokens'.
        """
        others = max(Decimal(0), Decimal(str(used)) - ours_by_then)
        return replace(self, others_calls=others, reported_at=as_of)


def _left(limit: int | None, window: Window, urgent: bool) -> int | None:
    if limit is None:
        return None
    return max(0, limit - (0 if urgent else reserve(limit, MINUTE_RESERVE)) - window.spent)


def _seen_minute(limits: Limits | None) -> Seen:
    if limits is None:
        return Seen()
    return Seen(_spent(limits.minute_limit, limits.minute_left), limits.minute_reset)


def _seen_points(answer: Answer, allowance: Allowance) -> Seen:
    """The answer's own `complexity` where it was asked for, for it is of the moment; else the headers."""
    if answer.complexity:
        found = answer.complexity
        return Seen(_spent(allowance.points, found.after), found.reset_in_seconds)
    if answer.limits:
        return Seen(_spent(answer.limits.points_limit, answer.limits.points_left), answer.limits.points_reset)
    return Seen()


def _spent(limit: int | None, left: int | None) -> int | None:
    return None if limit is None or left is None else max(0, limit - left)


def reserve(limit: int, share: float) -> int:
    """What is kept of a limit."""
    return math.ceil(round(limit * share, 6))


def day_of(now: datetime) -> date:
    """The UTC day whose calls a call of now counts among."""
    return (now.astimezone(UTC) - timedelta(seconds=MIDNIGHT_SECONDS)).date()


def midnight_after(now: datetime) -> datetime:
    """When the next day of calls begins."""
    start = datetime.combine(day_of(now), datetime.min.time(), UTC)
    return start + timedelta(days=1, seconds=MIDNIGHT_SECONDS)
