"""What can be done to webhooks on their way: drop, double, delay, hold and release."""

from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Simulator
from tests.support.waiting import wait_for


@pytest.fixture
def heard(simulator: Simulator, board: str, receiver: Receiver) -> Receiver:
    assert simulator.subscribe(board, receiver.url, "create_item")
    return receiver


def rule(simulator: Simulator, **options: Any) -> Any:
    return simulator.control("webhooks", options)


def release(simulator: Simulator, **options: Any) -> int:
    return simulator.control("webhooks/release", options)["released"]


def add(simulator: Simulator, board: str, *names: str) -> None:
    for name in names:
        simulator.item(board, name)


def names(receiver: Receiver) -> list[str]:
    return [event["pulseName"] for event in receiver.events]


def states(simulator: Simulator) -> list[str]:
    return [delivery["state"] for delivery in simulator.read("webhooks")["deliveries"]]


def settled(simulator: Simulator, count: int) -> list[str]:
    """The states of so many deliveries, as soon as none is on its way."""
    wait_for(f"{count} settle", lambda: len(present := states(simulator)) == count and "waiting" not in present)
    return states(simulator)


@pytest.mark.parametrize("fresh", [False, True])
def test_a_doubled_delivery_comes_twice(simulator: Simulator, board: str, heard: Receiver, fresh: bool) -> None:
    rule(simulator, rule="double", fresh_uuid=fresh)
    add(simulator, board, "Ada")
    heard.wait(2)
    settled(simulator, 2)
    assert names(heard) == ["Ada", "Ada"]
    assert len({event["triggerUuid"] for event in heard.events}) == (2 if fresh else 1)
    assert {event["isRetry"] for event in heard.events} == {False}


def test_a_delayed_delivery_waits_for_the_sandboxs_clock(simulator: Simulator, board: str, heard: Receiver) -> None:
    rule(simulator, rule="delay", seconds=3600)
    add(simulator, board, "Ada", "Bo")
    assert settled(simulator, 2) == ["delayed", "delivered"]
    simulator.control("clock", {"offset_seconds": 3500})
    add(simulator, board, "Cy")
    settled(simulator, 3)
    assert sorted(names(heard)) == ["Bo", "Cy"]
    simulator.control("clock", {"offset_seconds": 3601})
    heard.wait(3)
    assert names(heard)[-1] == "Ada"


@pytest.mark.parametrize(
    ("order", "expected"),
    [("double", ["Ada", "Ada", "Bo", "Bo", "Cy", "Cy"]), ("drop", []), ("shuffle", ["Ada", "Bo", "Cy"])],
)
def test_what_is_held_is_let_go_twice_never_or_shuffled(
    simulator: Simulator, board: str, heard: Receiver, order: str, expected: list[str]
) -> None:
    rule(simulator, rule="hold")
    add(simulator, board, "Ada", "Bo", "Cy")
    assert release(simulator, order=order, seed=3) == 3
    add(simulator, board, "Di")
    heard.wait(len(expected) + 1)
    settled(simulator, len(expected) + 1 if expected[1:2] == ["Ada"] else 4)
    delivered = [name for name in names(heard) if name != "Di"]
    assert sorted(delivered) == expected
    assert order != "shuffle" or delivered != expected
