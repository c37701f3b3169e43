"""Another API version than the one that was asked for answers: everything stands still, and nothing is lost."""

from typing import Any

import pytest

from tests.support.world import World


@pytest.mark.parametrize("asked", ["2025-01", "1999-01"])
def test_a_replaced_version_pauses_the_account_and_costs_no_attempt(world: World, settings: Any, asked: str) -> None:
    settings.MONDAY_API_VERSION = asked
    contact = world.contact()
    world.work()
    pause = world.mon_pause()
    assert f"API version {asked} was asked for" in pause.stop_reason
    assert pause.needs_probe
    assert world.sandbox.item_named("Ann") is None
    row = world.row(contact)
    assert (row.status, row.attempts) == ("pending", 0)


def test_when_the_asked_version_answers_again_everything_goes_on(world: World, settings: Any) -> None:
    settings.MONDAY_API_VERSION = "2025-01"
    contact = world.contact()
    world.work()
    world.settle()
    assert world.mon_pause().needs_probe
    settings.MONDAY_API_VERSION = "2026-10"
    world.settle()
    assert world.status(contact) == "synced"
    assert world.mon_pause().stop_reason == ""
