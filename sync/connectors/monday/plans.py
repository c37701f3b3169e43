"""What an account may spend: the limits that Monday publishes for its plans, and those that its answers tell.

developer.monday.com/api-reference/docs/rate-limits
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sync.connectors.monday.answers import Limits


@dataclass(frozen=True)
class Allowance:
    """What an account may spend; None: not known, and then it isn't kept."""

    day: int | None = None
    minute: int | None = None
    points: int | None = None
    concurrency: int | None = None

    @property
    def known(self) -> bool:
        """Whether there is anything to keep."""
        return any(value is not None for value in (self.day, self.minute, self.points, self.concurrency))

    def learn(self, limits: Limits | None) -> Allowance:
        """These, with what the headers of an answer say in their place."""
        if limits is None:
            return self
        return replace(
            self,
            minute=limits.minute_limit or self.minute,
            points=limits.points_limit or self.points,
            concurrency=limits.concurrency_limit or self.concurrency,
        )


_SMALL = Allowance(day=1_000, minute=1_000, points=10_000_000, concurrency=40)
PLANS: Mapping[str, Allowance] = {
    "free": replace(_SMALL, points=1_000_000),
    "trial": replace(_SMALL, points=1_000_000),
    "ngo": replace(_SMALL, points=1_000_000),
    "basic": _SMALL,
    "standard": _SMALL,
    "pro": Allowance(day=10_000, minute=2_500, points=10_000_000, concurrency=100),
    "enterprise": Allowance(day=25_000, minute=5_000, points=10_000_000, concurrency=250),
}


def allowance_of(tier: str) -> Allowance:
    """The published limits of a plan, for a personal token; an unknown plan's are not known."""
    return PLANS.get(tier.strip().lower(), Allowance())
