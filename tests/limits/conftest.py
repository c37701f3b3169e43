"""The engine's world, with a plan whose limits the sandbox enforces."""

from datetime import timedelta
from typing import Any

import pytest

from sync.clock import sync_now
from sync.limits import probes
from tests.support.world import World


class Planned:
    """Monday with a plan: sets its limits and counts refused calls."""

    def __init__(self, world: World) -> None:
        self.world = world

    def limits(self, **plan: Any) -> None:
        """Enforce a plan or single limits, and let NPD learn of it as the hourly report does."""
        self.world.sandbox.control("plan", **plan)
        probes.refresh_account_info()

    def at_noon(self) -> None:
        """Move to 12:00 UTC of the next day, so that a test doesn't cross midnight."""
        noon = (sync_now() + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
        self.world.pass_time(seconds=(noon - sync_now()).total_seconds())

    @property
    def refused(self) -> int:
        return sum(self.world.sandbox.control("plan", "GET")["refused"].values())


@pytest.fixture
def monday(world: World) -> Planned:
    planned = Planned(world)
    planned.at_noon()
    return planned
