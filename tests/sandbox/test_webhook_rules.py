"""What can be done to webhooks on their way: drop, double, delay, reorder, hold and release."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.clock import Clock
from sandbox.model import PEOPLE
from sandbox.operations.board_changes import create_board
from sandbox.operations.item_changes import create_item
from sandbox.webhooks.deliveries import Deliveries, Delivery, DeliveryStore, Sender
from sandbox.webhooks.payloads import subscribe
from sandbox.world import World
from tests.sandbox.conftest import Process, Receiver, Simulator
from tests.support.waiting import wait_for

NAMES = ("Ada", "Bo", "Cy", "Di", "Ed", "Flo")


@pytest.fixture
def heard(simulator: Simulator, board: str, receiver: Receiver) -> Receiver:
    assert simulator.subscribe(board, receiver.url, "create_item")
    return receiver


def rule(simulator: Simulator, **given: Any) -> Any:
    return simulator.control("webhooks", given)


def release(simulator: Simulator, **given: Any) -> int:
    released: int = simulator.control("webhooks/release", given)["released"]
    return released


def add(simulator: Simulator, board: str, *names: str) -> None:
    for name in names:
        simulator.item(board, name)


def names(receiver: Receiver) -> list[str]:
    return [event["pulseName"] for event in receiver.got]


def states(simulator: Simulator) -> list[str]:
    return [one["state"] for one in simulator.read("webhooks")["deliveries"]]


def settled(simulator: Simulator, count: int) -> list[str]:
    """The states of so many deliveries, as soon as none is on its way."""
    wait_for(f"{count} settle", lambda: len(found := states(simulator)) == count and "waiting" not in found)
    return states(simulator)


def test_a_rule_looks_only_at_the_event_and_the_webhook_that_it_names(
    simulator: Simulator, board: str, heard: Receiver
) -> None:
    hook = simulator.subscribe(board, heard.url, "change_name")
    rule(simulator, rule="drop", event="change_name")
    rule(simulator, rule="drop", webhook_id="999")
    item = simulator.item(board, "Ada")
    simulator.change(board, item, {"name": "Bo"})
    assert sorted(settled(simulator, 2)) == ["delivered", "dropped"]
    assert heard.got[0]["type"] == "create_pulse"
    rule(simulator, rule="drop", webhook_id=(hook or {})["id"])
    simulator.change(board, item, {"name": "Cy"})
    assert settled(simulator, 3)[-1] == "dropped"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_doubled_delivery_comes_twice_with_one_trigger_or_with_two(
    simulator: Simulator, board: str, heard: Receiver, fresh: bool
) -> None:
    rule(simulator, rule="double", fresh_uuid=fresh)
    add(simulator, board, "Ada")
    heard.wait(2)
    settled(simulator, 2)
    assert names(heard) == ["Ada", "Ada"]
    assert len({event["triggerUuid"] for event in heard.got}) == (2 if fresh else 1)
    assert {event["isRetry"] for event in heard.got} == {False}


def test_a_delayed_delivery_goes_when_the_sandboxs_clock_has_passed(
    simulator: Simulator, board: str, heard: Receiver
) -> None:
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


def test_reordered_deliveries_leave_together_in_an_order_that_the_seed_gives(
    simulator: Simulator, board: str, heard: Receiver
) -> None:
    orders = []
    for seed in (7, 7, 8):
        heard.got.clear()
        rule(simulator, rule="reorder", n=6, seed=seed)
        add(simulator, board, *NAMES[:5])
        assert heard.got == []
        add(simulator, board, NAMES[5])
        heard.wait(6)
        orders.append(names(heard))
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == list(NAMES)
    assert orders[0] != list(NAMES)


@pytest.mark.parametrize(
    ("how", "wanted"),
    [("double", ["Ada", "Ada", "Bo", "Bo", "Cy", "Cy"]), ("drop", []), ("shuffle", ["Ada", "Bo", "Cy"])],
)
def test_what_is_held_is_let_go_twice_never_or_shuffled(
    simulator: Simulator, board: str, heard: Receiver, how: str, wanted: list[str]
) -> None:
    rule(simulator, rule="hold")
    add(simulator, board, "Ada", "Bo", "Cy")
    assert release(simulator, how=how, seed=3) == 3
    add(simulator, board, "Di")
    heard.wait(len(wanted) + 1)
    settled(simulator, len(wanted) + 1 if wanted[1:2] == ["Ada"] else 4)
    came = [name for name in names(heard) if name != "Di"]
    assert sorted(came) == wanted
    assert how != "shuffle" or came != wanted


def test_what_waits_survives_a_kill(start: Callable[..., Process], tmp_path: Path, receiver: Receiver) -> None:
    one = start("--data", str(tmp_path / "boards.db"))
    board = one.board({})
    assert one.subscribe(board, receiver.url, "create_item")
    one.control("webhooks", [{"rule": "hold", "count": 1}, {"rule": "delay", "seconds": 600}])
    add(one, board, "held", "delayed")
    receiver.status = 500
    add(one, board, "retried")
    wait_for("a retry is planned", lambda: "retrying" in states(one))
    one.stop(kill=True)
    receiver.status, receiver.got[:] = 200, []
    one.start()
    assert sorted(states(one)) == ["delayed", "held", "retrying"]
    one.control("clock", {"offset_seconds": 700})
    receiver.wait(2)
    assert {event["pulseName"]: event["isRetry"] for event in receiver.got} == {"delayed": False, "retried": True}
    assert one.control("webhooks/release", {})["released"] == 1
    receiver.wait(3)
    wait_for("all are delivered", lambda: set(states(one)) == {"delivered"})
    one.stop(kill=True)
    one.start()
    assert states(one) == []
    add(one, board, "new")
    receiver.wait(4)
    assert names(receiver)[2:] == ["held", "new"]


class Slow(DeliveryStore):
    """Keeps nothing, and takes its time with what was delivered until it may go on."""

    def __init__(self) -> None:
        super().__init__(None)
        self.writes, self.go_on = threading.Event(), threading.Event()

    def save(self, *deliveries: Delivery) -> None:
        if any(one.state == "delivered" for one in deliveries):
            self.writes.set()
            assert self.go_on.wait(20)


class Answering(Sender):
    def post(self, url: str, body: dict[str, Any], user_id: int, now: float) -> tuple[int | None, str]:
        return 200, ""


def test_nobody_sees_a_delivery_as_delivered_before_that_is_on_disk() -> None:
    world, store = World(Clock()), Slow()
    board = create_board(world, PEOPLE[0].id, "Contacts", "public", empty=True)
    deliveries = Deliveries(world, Answering(None), store, lambda delivery: None)
    world.listen(deliveries.on_events)
    deliveries.start()
    subscribe(world, PEOPLE[0].id, board.id, url="http://127.0.0.1:9/", event="create_item", config=None)
    create_item(world, PEOPLE[0].id, board.id, "Ada", {})
    assert store.writes.wait(20)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(one.state for one in deliveries.log()))
    reader.start()
    reader.join(0.2)
    assert "delivered" not in seen
    store.go_on.set()
    reader.join()
    assert deliveries.log()[0].state == "delivered"
