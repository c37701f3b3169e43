"""The engine's world, with a plan whose limits the sandbox enforces."""

from datetime import timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.limits import breaker
from tests.support.world import World


class Planned:
    """Monday under a plan: what it refuses, and what it has counted."""

    def __init__(self, world: World) -> None:
        self.world = world

    def limits(self, **plan: Any) -> None:
        """Enforce a plan, or single limits of it, and let NPD learn of it as the hourly report does."""
        self.world.sandbox.control("plan", **plan)
        breaker.refresh_account_info()

    def at_noon(self) -> None:
        """Move to 12:00 UTC of the next day, so that a test's day doesn't end in the middle of it."""
        noon = (sync_now() + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
        self.world.pass_time(seconds=(noon - sync_now()).total_seconds())

    @property
    def refused(self) -> int:
        """How many calls Monday has refused for a limit."""
        return sum(self.world.sandbox.control("plan", "GET")["refused"].values())


@pytest.fixture
def monday(world: World) -> Planned:
    """It is noon; no plan is enforced yet."""
    planned = Planned(world)
    planned.at_noon()
    return planned
