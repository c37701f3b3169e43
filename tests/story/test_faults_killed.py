"""A worker stops in the middle of a batch and is overtaken: nothing is lost, doubled or reverted."""

from collections.abc import Callable, Iterator

import pytest
from django.conf import settings as used

from npd.models import Contact
from sync.models import SyncMetadata, SyncQueue
from sync.outbox import wakeups
from tests.chaos.points import ANSWER, MUTATION
from tests.chaos.workers import Hand
from tests.support.arrived import Writers, all_arrived
from tests.support.site import Site

OLD = [f"Old {number}" for number in range(2)]
NEW = [f"New {number}" for number in range(2)]
ALL = [*OLD, *NEW]
PAST_EVERY_DEADLINE = used.MONDAY_TIMEOUT_SECONDS * 2 + used.MONDAY_SETTLE_SECONDS + 5  # seconds


@pytest.fixture(scope="module")
def running_hand() -> Iterator[Hand]:
    """A process that forks workers quickly, kept for the module."""
    hand = Hand({})
    yield hand
    hand.stop()


@pytest.fixture
def site(quiet_site: Site) -> Site:
    return quiet_site


@pytest.fixture
def hand(site: Site, running_hand: Hand) -> Iterator[Hand]:
    # Start it before any call is made: on a busy machine that takes longer than a call's deadline.
    site.processes.work()
    site.processes.rest()
    running_hand.env = site.processes.env
    running_hand.start()
    yield running_hand
    for worker in running_hand.workers.values():
        running_hand.kill(worker)


@pytest.fixture
def people(hand: Hand) -> Writers:
    """Half of the records are linked and have a newer value, half are new: a batch with changes and creates."""
    writers = Writers()
    writers.new(OLD)
    assert hand.run("work").problem == ""
    writers.change(OLD)
    writers.new(NEW)
    return writers


# Where the worker stops, and how many mutations it still sends when it wakes: one if it had passed its last check.
STOPS = {
    "before it sends its changes": (MUTATION, 1, 1),
    "before it sends its creates": (MUTATION, 2, 1),
    "before it settles": (ANSWER, 3, 0),
}


@pytest.mark.parametrize("when", STOPS)
def test_a_worker_that_stood_still_until_another_had_its_board_can_finish_nothing(
    site: Site, hand: Hand, people: Writers, later: Callable[[float], None], when: str
) -> None:
    point, number, late = STOPS[when]
    stale = hand.wait(hand.fork("work", at=number, only=point))
    assert (stale.stopped, stale.report["point"]) == (True, point)
    announced = list(Contact.objects.values_list("role_title", flat=True))
    people.change([OLD[0], NEW[0]])
    later(PAST_EVERY_DEADLINE)
    assert hand.run("work").report["result"]["completed"] >= len(ALL)
    before, calls = settled(), site.sandbox.calls()

    hand.let_go(stale)

    assert (stale.problem, stale.report["result"]["completed"]) == ("", 0)
    assert settled() >= before  # its late write makes Monday send webhooks, which write rows of their own
    mutations = [call for call in site.sandbox.calls(calls[-1]["id"]) if call["kind"] == "mutation"]
    assert len(mutations) == late
    site.processes.work()
    wakeups.wake_board("contact")
    all_arrived(site.sandbox, landed_late=announced if late else ())


def settled() -> set[tuple[object, ...]]:
    """All that a finished pass writes: how rows ended, what both sides agreed on, and whose each item is."""
    ended = SyncQueue.objects.exclude(status="pending")
    return {
        *ended.values_list("id", "status", "finished_at"),
        *SyncMetadata.objects.values_list("entity_id", "remote_id", "base__role_title__remote"),
        *Contact.objects.values_list("id", "monday_id", "role_title"),
    }
