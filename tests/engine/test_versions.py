"""Another API version than the one that was asked for answers: everything stands still, and nothing is lost."""

from typing import Any

from tests.support.world import World


def test_a_replaced_version_stops_the_account_until_the_one_asked_for_answers_again(
    world: World, settings: Any
) -> None:
    settings.MONDAY_API_VERSION = "2025-01"
    contact = world.contact()
    world.work()
    pause, row = world.mon_pause(), world.row(contact)
    assert "API version 2025-01 was asked for" in pause.stop_reason
    assert world.sandbox.item_named("Ann") is None
    assert (row.status, row.attempts) == ("pending", 0)
    world.settle()
    assert world.mon_pause().needs_probe
    settings.MONDAY_API_VERSION = "2026-10"
    world.settle()
    assert world.status(contact) == "synced"
    assert world.mon_pause().stop_reason == ""
